"""Layers that take the place of what was collapsed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whyactivate.affine.pairs import as_complex, as_pairs
from whyactivate.errors import InputError


def linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The layer x ↦ weight·x + bias, in the dtype and on the device of its weight."""
    layer = nn.Linear(1, 1, device="meta")  # draws no random numbers, and does not warn where there are none
    layer.out_features, layer.in_features = weight.shape
    layer.weight, layer.bias = nn.Parameter(weight.contiguous()), nn.Parameter(bias)
    return layer


class OnComplex(nn.Module):
    """A module on pairs of reals, for complex numbers."""

    def __init__(self, on_pairs: nn.Module, takes: bool, gives: bool) -> None:
        super().__init__()
        self.on_pairs, self.takes, self.gives = on_pairs, takes, gives

    def forward(self, x: Tensor) -> Tensor:
        """Complex numbers in, out, or both, as the module on pairs takes them."""
        result = self.on_pairs(as_pairs(x) if self.takes else x)
        return as_complex(result) if self.gives else result


class Reshaped(nn.Module):
    """A layer on flattened rows, between the shapes of the module that it replaces."""

    def __init__(self, layer: nn.Linear, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.input_shape, self.output_shape = layer, input_shape, output_shape

    def forward(self, x: Tensor) -> Tensor:
        """(rows, *input_shape) to (rows, *output_shape).

        Raises:
            InputError: rows of another shape.
        """
        # While it is traced, shapes are tensors, of which no question may be asked.
        tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        if not tracing and (not x.ndim or tuple(x.shape[1:]) != self.input_shape):
            expected = ", ".join(map(str, ("rows", *self.input_shape)))
            raise InputError(
                f"this collapsed layer takes tensors of shape ({expected}), and was given {tuple(x.shape)}; "
                "collapse the original with an example of that shape"
            )
        # The layer has the dtype of the output, which is not always that of the input.
        rows = x.reshape(x.shape[0], self.layer.in_features).to(self.layer.weight.dtype)
        return self.layer(rows).reshape(x.shape[0], *self.output_shape)
