"""A network without activations that is visibly not linear, because floating point underflows; the bound covers it.

In real numbers it is x -> x. In float16, products below 2^-24 have nowhere to go but to 0 or to a multiple of 2^-24, so
what comes out is a staircase. (The effect was used to train deep linear networks by J. Foerster, "Nonlinear computation
in deep linear networks", OpenAI 2017.)
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

import whyactivate as wa

SMALLEST = -24
"""The exponent of float16's smallest positive number."""


def staircase(stairs: int) -> nn.Sequential:
    """Three layers, one that makes numbers tiny and two that make them large again: from 0 to 1 in so many steps."""
    down = stairs.bit_length() - 1 + SMALLEST
    layers = [nn.Linear(1, 1, bias=False, dtype=torch.float16) for _ in range(3)]
    for layer, factor in zip(layers, (2.0**down, 2.0 ** (-down - 12), 2.0**12), strict=True):
        layer.weight = nn.Parameter(torch.tensor([[factor]], dtype=torch.float16))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("stairs", [4, 16, 64])
def test_a_linear_network_is_a_staircase_and_the_bound_covers_it(stairs: int) -> None:
    network, x = staircase(stairs), torch.linspace(-1, 1, 401, dtype=torch.float64).half()[:, None]
    with torch.no_grad():
        outputs = network(x)
    assert len(outputs.unique()) == 2 * stairs + 1
    assert torch.equal((outputs * stairs).round() / stairs, outputs)
    deviation = (outputs.double() - x.double()).abs().max().item()
    assert deviation == pytest.approx(1 / stairs / 2, rel=0.05)
    collapse = wa.collapse_linear(network)
    assert collapse.weight.item() == 1
    assert collapse.prove("exact").holds
    proof = collapse.prove("numeric", x=x)
    assert proof.holds
    assert proof.details["at x: measured"] == deviation
    assert deviation <= proof.details["at x: bound"] <= 16 * deviation


def test_sums_are_not_kept_either() -> None:
    network, a = staircase(4), torch.tensor([[0.1]]).half()
    with torch.no_grad():
        assert network(a) + network(a) != network(a + a)
