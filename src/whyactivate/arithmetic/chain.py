"""Products of chains of integer matrices in the cheapest order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol, Self, TypeVar


class _Matrix(Protocol):
    def __matmul__(self, other: Self, /) -> Self: ...

    @property
    def shape(self) -> Any: ...


M = TypeVar("M", bound=_Matrix)


def multiply_chain(matrices: Sequence[M]) -> M:
    """`matrices[0] @ matrices[1] @ …`, associated so that the least work is needed.

    The work of one product is its number of scalar products times the number of matrices that it joins, for the exact
    entries of a product are as long as its factors' together. Source: the dynamic programme for matrix chains
    (Godbole 1973).
    """
    sizes = [m.shape[-2] for m in matrices] + [matrices[-1].shape[-1]]

    @cache
    def cheapest(first: int, last: int) -> tuple[int, int]:
        """Work of the product of matrices first..last, and after which of them it splits."""
        if first == last:
            return 0, first
        outer = sizes[first] * sizes[last + 1] * (last - first + 1)
        return min(
            (cheapest(first, k)[0] + cheapest(k + 1, last)[0] + outer * sizes[k + 1], k) for k in range(first, last)
        )

    def product(first: int, last: int) -> M:
        if first == last:
            return matrices[first]
        split = cheapest(first, last)[1]
        return product(first, split) @ product(split + 1, last)

    return product(0, len(matrices) - 1)
