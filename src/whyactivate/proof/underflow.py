"""The other side: a network without activations that is visibly not linear, because floating point underflows.

In real numbers it is x -> x. In float16, products below 2^-24 have nowhere to go but to 0 or to a multiple of 2^-24, so
what comes out is a staircase. (The effect was used to train deep linear networks by J. Foerster, "Nonlinear computation
in deep linear networks", OpenAI 2017.) The numeric proof's bound covers underflow, and hence the stairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from whyactivate.errors import InputError

_SMALLEST = -24
"""The exponent of float16's smallest positive number."""


@dataclass(frozen=True)
class Staircase:
    """A float16 network of bias-free linear layers that stands for x -> x.

    Attributes:
        network: three layers, 1 to 1 each: one that makes numbers tiny, two that make them large again.
        x: inputs from -1 to 1, shape `(count, 1)`.
        outputs: what PyTorch gives, the same shape: multiples of `step`.
        step: the height of one stair.
    """

    network: nn.Sequential
    x: Tensor
    outputs: Tensor
    step: float

    @property
    def deviation(self) -> float:
        """The largest |output - x|: how far from linear it is."""
        return (self.outputs.double() - self.x.double()).abs().max().item()


def underflow_staircase(stairs: int = 4, count: int = 401) -> Staircase:
    """The network whose outputs go up from 0 to 1 in `stairs` steps.

    Args:
        stairs: a power of two from 4 to 64.
        count: how many inputs.

    Raises:
        InputError: another number of stairs.
    """
    if stairs not in (4, 8, 16, 32, 64):
        raise InputError(f"expected a power of two from 4 to 64, got {stairs}")
    down = stairs.bit_length() - 1 + _SMALLEST
    factors = (2.0**down, 2.0 ** (-down - 12), 2.0**12)
    network = nn.Sequential(*(nn.Linear(1, 1, bias=False, dtype=torch.float16, device="meta") for _ in factors))
    for layer, factor in zip(network, factors, strict=True):
        layer.weight = nn.Parameter(torch.tensor([[factor]], dtype=torch.float16, device="cpu"))
    x = torch.linspace(-1, 1, count, dtype=torch.float64, device="cpu").to(torch.float16)[:, None]
    with torch.no_grad():
        outputs = network(x)
    return Staircase(network, x, outputs, 1 / stairs)
