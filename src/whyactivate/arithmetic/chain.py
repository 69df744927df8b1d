"""Products of matrix chains in the cheapest order."""

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
    """`matrices[0] @ matrices[1] @ …`, associated so that the fewest scalar products are needed.

    Source: the dynamic programme for matrix chains (Godbole 1973).
    """
    sizes = [m.shape[-2] for m in matrices] + [matrices[-1].shape[-1]]

    @cache
    def cheapest(first: int, last: int) -> tuple[int, int]:
        """Cost of the product of matrices first..last, and after which of them it splits."""
        if first == last:
            return 0, first
        return min(
            (cheapest(first, k)[0] + cheapest(k + 1, last)[0] + sizes[first] * sizes[k + 1] * sizes[last + 1], k)
            for k in range(first, last)
        )

    def product(first: int, last: int) -> M:
        if first == last:
            return matrices[first]
        split = cheapest(first, last)[1]
        return product(first, split) @ product(split + 1, last)

    return product(0, len(matrices) - 1)
