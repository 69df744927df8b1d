"""The bound of a float64 product against the exact product, in several orders of multiplication."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import Tensor

from proof.networks import Architecture, architectures, exact_steps
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.proof import bound_product


def products(weights: list[Tensor]) -> list[Tensor]:
    """W_n … W_1 from the left, from the right, and in the cheapest order."""
    forward, backward = weights[0], weights[-1]
    for weight in weights[1:]:
        forward = weight @ forward
    for weight in reversed(weights[:-1]):
        backward = backward @ weight
    cheapest = torch.linalg.multi_dot(weights[::-1]) if len(weights) > 1 else forward
    return [forward, backward, cheapest]


@pytest.mark.parametrize("scale", [1.0, 1e-60, 1e40])
@given(architectures(dtypes=(torch.float64, torch.float32)))
def test_no_order_of_multiplication_exceeds_the_bound(scale: float, architecture: Architecture) -> None:
    if architecture.dtype == torch.float32:
        scale = scale**0.1
    network = architecture.network(scale)
    weights = [layer.weight.detach().double() for layer in network]
    biases = [None if layer.bias is None else layer.bias.detach().double() for layer in network]
    exact = ExactAffine.multiply_out(exact_steps(network))
    weight_bound, bias_bound = bound_product(weights, biases)
    for product in products(weights):
        assert bool((exact.weight.error_of(product) <= weight_bound).all())
    carried = torch.zeros(architecture.widths[0], dtype=torch.float64)
    for weight, bias in zip(weights, biases, strict=True):
        carried = weight @ carried if bias is None else weight @ carried + bias
    assert bool((exact.bias.error_of(carried) <= bias_bound).all())


def test_the_bound_is_small_and_a_wrong_entry_exceeds_it() -> None:
    network = Architecture((10, 18, 18, 4, 1), (True,) * 4, torch.float32, 0).network()
    weights = [layer.weight.detach().double() for layer in network]
    weight_bound, _ = bound_product(weights, [None] * 4)
    exact = ExactAffine.multiply_out(exact_steps(network))
    product = products(weights)[0]
    assert weight_bound.max().item() < 1e-12
    assert bool((exact.weight.error_of(product * (1 + 1e-9)) > weight_bound).any())
