from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whyactivate.arithmetic.chain import multiply_chain


class Counted:
    """A matrix that counts the work spent on it: scalar products, times the matrices joined."""

    def __init__(self, matrix: torch.Tensor, cost: int = 0, joined: int = 1) -> None:
        self.matrix, self.cost, self.joined, self.shape = matrix, cost, joined, matrix.shape

    def __matmul__(self, other: Counted) -> Counted:
        (m, k), n = self.shape, other.shape[1]
        joined = self.joined + other.joined
        return Counted(self.matrix @ other.matrix, self.cost + other.cost + m * k * n * joined, joined)


def costs(sizes: tuple[int, ...]) -> set[int]:
    """The cost of every association of the chain."""
    if len(sizes) == 2:
        return {0}
    return {
        a + b + sizes[0] * sizes[k] * sizes[-1] * (len(sizes) - 1)
        for k in range(1, len(sizes) - 1)
        for a, b in itertools.product(costs(sizes[: k + 1]), costs(sizes[k:]))
    }


@given(st.lists(st.integers(1, 7), min_size=2, max_size=6))
def test_the_chain_is_multiplied_in_the_cheapest_order(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    chain = [torch.randint(-5, 5, pair, generator=generator) for pair in itertools.pairwise(sizes)]
    product = multiply_chain([Counted(m) for m in chain])
    expected = chain[0]
    for matrix in chain[1:]:
        expected = expected @ matrix
    assert torch.equal(product.matrix, expected)
    assert product.cost == min(costs(tuple(sizes)))


@pytest.mark.parametrize("depth", [1, 64, 150])
def test_long_chains_of_equal_sizes_are_halved(depth: int) -> None:
    product = multiply_chain([Counted(torch.eye(2))] * depth)
    assert torch.equal(product.matrix, torch.eye(2))
    assert product.cost <= 8 * depth * depth.bit_length()
