"""Activation-free networks, and their exact steps, for the tests of the proofs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.proof.rounding import RoundedStep

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@dataclass(frozen=True)
class Step:
    exact_weight: ExactArray
    exact_bias: ExactArray | None


@dataclass(frozen=True)
class Architecture:
    widths: tuple[int, ...]
    biases: tuple[bool, ...]
    dtype: torch.dtype
    seed: int

    def network(self, scale: float = 1.0) -> nn.Sequential:
        """Linear layers with normal weights, drawn without touching the global generator."""
        generator = torch.Generator().manual_seed(self.seed)
        layers: list[nn.Module] = []
        for (inputs, outputs), bias in zip(pairwise(self.widths), self.biases, strict=True):
            layer = nn.Linear(inputs, outputs, bias=bias, dtype=self.dtype, device="meta").to_empty(device="cpu")
            with torch.no_grad():
                for parameter in layer.parameters():
                    draw = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
                    parameter.copy_(draw * scale / inputs**0.5)
            layers.append(layer)
        return nn.Sequential(*layers)


@st.composite
def architectures(draw, max_depth: int = 5, max_width: int = 9, dtypes=tuple(DTYPES)) -> Architecture:
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=max_depth + 1))
    biases = draw(st.lists(st.booleans(), min_size=len(widths) - 1, max_size=len(widths) - 1))
    return Architecture(tuple(widths), tuple(biases), draw(st.sampled_from(dtypes)), draw(st.integers(0, 2**32 - 1)))


def exact_steps(network: nn.Sequential) -> list[Step]:
    return [
        Step(ExactArray.from_tensor(layer.weight), None if layer.bias is None else ExactArray.from_tensor(layer.bias))
        for layer in network
    ]


def rounded_steps(network: nn.Sequential) -> list[RoundedStep]:
    return [RoundedStep.linear(layer.weight, layer.bias) for layer in network]


def layer_by_layer(steps: list[Step]):
    """The network itself, exact, one layer after the other on the points."""

    def evaluate(points: ExactArray) -> ExactArray:
        for step in steps:
            points = (step.exact_weight @ points.reshape(-1, 1)).reshape(-1)
            if step.exact_bias is not None:
                points = points + step.exact_bias
        return points

    return evaluate


def one_layer(claimed: ExactAffine, dtype: torch.dtype) -> nn.Linear:
    """The collapsed layer, each entry rounded once."""
    layer = nn.Linear(claimed.inputs, claimed.outputs, dtype=dtype, device="meta")
    layer.weight = nn.Parameter(claimed.weight.to_tensor(dtype)[0])
    layer.bias = nn.Parameter(claimed.bias.to_tensor(dtype)[0])
    return layer


def largest_ulp(tensor: Tensor) -> Tensor:
    """The gap to the next number, entry by entry, in float64."""
    return (torch.nextafter(tensor.abs(), torch.full_like(tensor, torch.inf)).double() - tensor.abs().double()).abs()
