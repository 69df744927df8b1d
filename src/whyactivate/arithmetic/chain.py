"""Products of chains of exact matrices in the cheapest order, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, Self, TypeVar

from whyactivate.arithmetic.digits import DIGIT_BITS
from whyactivate.arithmetic.exact import ExactArray


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
    cheapest = _cheapest([m.shape[-2] for m in matrices] + [matrices[-1].shape[-1]])

    def product(first: int, last: int) -> M:
        if first == last:
            return matrices[first]
        split = cheapest(first, last)[1]
        return product(first, split) @ product(split + 1, last)

    return product(0, len(matrices) - 1)


@dataclass(frozen=True, slots=True)
class Cost:
    """What multiplying a chain of matrices out takes, known before it is done.

    Attributes:
        work: products of digits.
        memory: bytes held at once, about: the matrices' digits, and a product with its factors.
        bits: of the result's integers, about.
    """

    work: float
    memory: int
    bits: int


def estimate_cost(matrices: Sequence[ExactArray]) -> Cost:
    """The cost of `multiply_chain` for these factors, the first to act first."""
    chain = list(reversed(matrices))
    digits = [_count_digits(m) for m in chain]
    sizes = [m.shape[-2] for m in chain] + [chain[-1].shape[-1]]
    cheapest = _cheapest(sizes)
    work, largest = 0.0, 0

    def multiply(first: int, last: int) -> None:
        nonlocal work, largest
        if first == last:
            return
        split = cheapest(first, last)[1]
        multiply(first, split)
        multiply(split + 1, last)
        left, right = sum(digits[first : split + 1]), sum(digits[split + 1 : last + 1])
        m, k, n = sizes[first], sizes[split + 1], sizes[last + 1]
        work += float(left * right) * m * k * n
        largest = max(largest, (left + right) * (m * k + k * n + 2 * m * n))

    multiply(0, len(chain) - 1)
    held = sum(count * m.size for count, m in zip(digits, chain, strict=True))
    bits = DIGIT_BITS * sum(digits) + sum(size.bit_length() for size in sizes[1:-1])
    return Cost(work, 8 * (held + largest), bits)


def _count_digits(matrix: ExactArray) -> int:
    digits = matrix.find_digits() if matrix.is_wide else None
    return digits.count if digits is not None else math.ceil(matrix.bits / DIGIT_BITS) + 1


def _cheapest(sizes: Sequence[int]) -> Callable[[int, int], tuple[int, int]]:
    @cache
    def cheapest(first: int, last: int) -> tuple[int, int]:
        """Work of the product of matrices first..last, and after which of them it splits."""
        if first == last:
            return 0, first
        outer = sizes[first] * sizes[last + 1] * (last - first + 1)
        return min(
            (cheapest(first, k)[0] + cheapest(k + 1, last)[0] + outer * sizes[k + 1], k) for k in range(first, last)
        )

    return cheapest
