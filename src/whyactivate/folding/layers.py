"""Makes nn.Linear and nn.Conv layers out of structured maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine.tape import Geometry
from whyactivate.folding.composing import as_kernel, plain
from whyactivate.folding.maps import CannotFold, Dense, Diagonal, Kernel, Map, Scale, Shift, Transposed, as_vector

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


@dataclass(frozen=True)
class Layer:
    """A layer yet to be made: what it is called in words, and how it is made for a dtype."""

    words: str
    weight: Callable[[], Tensor]
    bias: Callable[[], Tensor] | None
    hollow: Callable[[], nn.Module]
    device: torch.device
    dtype: torch.dtype

    def make(self, filling: Filling) -> nn.Module:
        """The layer, filled.

        Raises:
            CannotFold: a number is too large for the dtype.
        """
        layer = self.hollow()  # on the meta device: draws no random numbers
        for name, numbers in (("weight", self.weight), ("bias", self.bias)):
            if numbers is not None:
                shape = getattr(layer, name).shape
                setattr(layer, name, nn.Parameter(filling.fill(name, numbers, shape, self.dtype, self.device)))
        return layer


@dataclass(frozen=True)
class Filling:
    """What new layers are filled with: their numbers, rounded to `dtype` or each to its own; or nothing but zeros."""

    dtype: torch.dtype | None = None
    empty: bool = False

    def fill(
        self, name: str, numbers: Callable[[], Tensor], shape: Sequence[int], own: torch.dtype, device: torch.device
    ) -> Tensor:
        """A tensor of that shape.

        Raises:
            CannotFold: a number is too large for the dtype.
        """
        if self.empty:
            return torch.zeros((), dtype=own, device=device).expand(tuple(shape))
        rounded = numbers().to(self.dtype or own)
        if not bool(torch.isfinite(rounded).all()):
            raise CannotFold(f"the folded {name} has a number that is too large for {rounded.dtype}")
        return rounded.reshape(tuple(shape)).to(device).clone()


def layer_for(map: Map, shift: Shift, view: Geometry, axis: int, device: torch.device) -> Layer:
    """The layer that is the map, plus the shift, on tensors that look like `view` with features along `axis`.

    Raises:
        CannotFold: neither an nn.Linear nor an nn.Conv.
    """
    map, axes = plain(map), len(view.size) - 2
    if isinstance(map, Dense) and axis == len(view.size) - 1 and axis > 0:
        bias = as_vector(shift, map.out) if shift is not None else None
        return Layer(
            words=f"Linear({map.into}, {map.out})",
            weight=map.matrix,
            bias=(lambda: bias.value) if bias is not None else None,
            hollow=lambda: nn.Linear(map.into, map.out, bias=bias is not None, device="meta"),
            device=device,
            dtype=view.dtype,
        )
    if isinstance(map, Scale) or axis != 1 or axes not in _CONVOLUTIONS:
        raise CannotFold("it is no nn.Linear on the last axis and no convolution of channels")
    kernel = as_kernel(map, axes)
    if len(kernel.size) != axes:
        raise CannotFold("the convolution has another number of axes")
    vector = as_vector(shift, kernel.out) if shift is not None else None
    return Layer(
        words=_words(kernel),
        weight=lambda: kernel.weight.value,
        bias=(lambda: vector.value) if vector is not None else None,
        hollow=lambda: _convolution(kernel, bias=vector is not None),
        device=device,
        dtype=view.dtype,
    )


def _convolution(kernel: Kernel, *, bias: bool) -> nn.Module:
    form: dict[str, Any] = {
        "kernel_size": kernel.size,
        "stride": kernel.stride,
        "padding": kernel.padding,
        "dilation": kernel.dilation,
        "groups": kernel.groups,
        "bias": bias,
        "device": "meta",
    }
    if isinstance(kernel, Transposed):
        form["output_padding"] = kernel.output_padding
        return _TRANSPOSED[len(kernel.size)](kernel.into, kernel.out, **form)
    return _CONVOLUTIONS[len(kernel.size)](kernel.into, kernel.out, **form)


def _words(kernel: Kernel) -> str:
    axes = len(kernel.size)
    name = (_TRANSPOSED if isinstance(kernel, Transposed) else _CONVOLUTIONS)[axes].__name__
    parts = [str(kernel.into), str(kernel.out), "×".join(map(str, kernel.size))]
    for word, numbers, usual in (
        ("stride", kernel.stride, 1),
        ("padding", kernel.padding, 0),
        ("dilation", kernel.dilation, 1),
        ("output padding", kernel.output_padding if isinstance(kernel, Transposed) else (0,), 0),
    ):
        if any(number != usual for number in numbers):
            same = len(set(numbers)) == 1
            parts.append(f"{word} {numbers[0] if same else '×'.join(map(str, numbers))}")
    if kernel.groups != 1:
        parts.append(f"groups {kernel.groups}")
    return f"{name}({', '.join(parts)})"


def describe(map: Map, view: Geometry, axis: int | None) -> str:
    """A map in words."""
    map = plain(map)
    if isinstance(map, Scale):
        return "identity" if map.factor == 1 else f"{map.factor:g}·x"
    if isinstance(map, Diagonal):
        return f"scale({map.size})"
    if axis is None:
        return "a linear map"
    try:
        return layer_for(map, None, view, axis, torch.device("cpu")).words
    except CannotFold:
        return f"Linear({map.into}, {map.out})"
