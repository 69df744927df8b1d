"""Exact numbers as float64 digits, so that products of large matrices run on fast floating-point hardware."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from whyactivate.arithmetic.planes import (
    BASE,
    DIGIT_BITS,
    FEW,
    Floats,
    Known,
    carry_over,
    multiply_planes,
    trim,
)

MOST_FROM_FLOATS = 40
"""Up to how many digits a float64 matrix is split into; its numbers then span 860 binades at most."""
_BLOCK = 2**13
_AT_ONCE = 4


def flushes_subnormals() -> bool:
    """Whether this thread's processor takes subnormal numbers for zero (`torch.set_flush_denormal`)."""
    return bool((np.array([2.0**-1074]) * np.array([1.0]))[0] == 0)


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """An array of dyadic numbers: the sum over k of planes[k] · 2^(22 (low + k)).

    Every digit is an integer of magnitude at most 2^21, held in a float64. A product of two matrices is a sum of
    products of their planes, each of them one float64 matrix product in which every partial sum is an integer within
    2^53 and hence exact in any order (Ozaki, Ogita, Oishi & Rump, "Error-free transformations of matrix
    multiplication", Numerical Algorithms 2012). An array of n entries takes 8 · (number of digits) · n bytes.

    Attributes:
        planes: shape `[digits, *shape]`, the lowest digit first.
        low: the position of the lowest digit.
        few: where a matrix's planes are not 0, as far as is known: by plane the entries, as counted in memory; None
            for many. A matrix shares it with its transpose alone.
    """

    planes: Floats
    low: int
    few: Known = field(default_factory=Known, repr=False)

    @classmethod
    def from_floats(cls, numbers: NDArray[np.floating[Any]]) -> Self | None:
        """The digits of finite float32 or float64 numbers; None where they span too many binades."""
        if numbers.ndim > 1 and numbers.strides[-2] < numbers.strides[-1]:
            digits = cls.from_floats(numbers.swapaxes(-1, -2))
            return digits and cls(digits.planes.swapaxes(-1, -2), digits.low, digits.few)
        if not numbers.size or not (largest := max(float(numbers.max()), -float(numbers.min()))):
            return cls(np.zeros((0, *numbers.shape)), 0)
        top = (math.frexp(largest)[1] + DIGIT_BITS) // DIGIT_BITS - 1
        if top < -45:
            return None
        scale = math.ldexp(1.0, -DIGIT_BITS * top)
        flat = np.ascontiguousarray(numbers).reshape(-1)
        planes, count = np.zeros((_AT_ONCE, flat.size)), 0  # rows never written take no memory
        nonzeros: list[dict[int, int]] = []  # by level: how many, by the start of the block
        buffer = np.empty(_BLOCK)
        for start in range(0, flat.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            rest = buffer[: len(flat[block])]
            np.multiply(flat[block], scale, out=rest, dtype=np.float64)
            if top > 0 and numbers.dtype == np.float64 and not np.array_equal(rest / scale, flat[block]):
                return None  # numbers so small beside the largest that they are no longer held in full
            used = 0
            while rest.any():
                if used == len(planes):
                    if used == MOST_FROM_FLOATS:
                        return None
                    planes = np.concatenate([planes, np.zeros((_AT_ONCE, flat.size))])
                if used == len(nonzeros):
                    nonzeros.append({})
                digit = planes[used, block]
                np.rint(rest, out=digit)
                if some := int(np.count_nonzero(digit)):
                    nonzeros[used][start] = some
                np.subtract(rest, digit, out=rest)
                np.multiply(rest, BASE, out=rest)
                used += 1
            count = max(count, used)
        few: Known = {count - 1 - level: None for level in range(count)}
        for level, blocks in enumerate(nonzeros):
            if FEW * sum(blocks.values()) <= flat.size:
                found = [np.flatnonzero(planes[level, start : start + _BLOCK]) + start for start in blocks]
                few[count - 1 - level] = np.concatenate([np.zeros(0, dtype=np.int64), *found])
        return cls(planes[:count][::-1].reshape(count, *numbers.shape), top - count + 1, few)

    @classmethod
    def from_planes(cls, planes: Floats, low: int) -> Self:
        """The numbers with these planes of integers up to 2^53 - 2^32 in size, brought into range; takes them over."""
        return cls(*carry_over(planes, low))

    @classmethod
    def from_ints(cls, ints: NDArray[Any], exponent: int) -> Self:
        """The digits of Python ints times 2^exponent."""
        low, shift = divmod(exponent, DIGIT_BITS)
        rest = ints << shift if shift else ints
        half = 1 << (DIGIT_BITS - 1)
        planes: list[Floats] = []
        while rest.any():
            digit = ((rest + half) & ((1 << DIGIT_BITS) - 1)) - half
            planes.append(digit.astype(np.float64))
            rest = (rest - digit) >> DIGIT_BITS
        return cls.from_planes(np.stack(planes), low) if planes else cls(np.zeros((0, *ints.shape)), 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of numbers."""
        return self.planes.shape[1:]

    @property
    def count(self) -> int:
        """How many digits each number has."""
        return self.planes.shape[0]

    def __neg__(self) -> Self:
        return type(self)(-self.planes, self.low)

    def __add__(self, other: Self) -> Self:
        """The sum; shapes of equally many axes broadcast."""
        shape = np.broadcast_shapes(self.shape, other.shape)
        used = [one for one in (self, other) if one.count]
        if not used:
            return type(self)(np.zeros((0, *shape)), 0)
        low, high = min(one.low for one in used), max(one.low + one.count for one in used)
        total = np.zeros((high - low, *shape))
        for one in used:
            total[one.low - low : one.low - low + one.count] += one.planes
        return self.from_planes(total, low)

    def sum(self, axes: tuple[int, ...], keepdims: bool) -> Self:
        """Sums over axes of the array of numbers, of up to 2^30 numbers each."""
        total = self.planes.sum(axis=tuple(axis + 1 for axis in axes), keepdims=keepdims)
        return self.from_planes(total, self.low) if self.count else type(self)(total, 0)

    def times(self, other: Self) -> Self:
        """The product, entry by entry; shapes of equally many axes broadcast, and have up to 2^10 digits."""
        total = np.zeros((self.count + other.count + 1, *np.broadcast_shapes(self.shape, other.shape)))
        for i, plane in enumerate(self.planes):
            for j, factor in enumerate(other.planes):
                total[i + j] += plane * factor
        return self.from_planes(total, self.low + other.low)

    def where(self, mask: NDArray[np.bool_], other: Self) -> Self:
        """These numbers where the mask holds, and the others elsewhere; shapes of equally many axes broadcast."""
        first, second = on_one_scale([self, other])
        return type(self)(*trim(np.where(mask, first.planes, second.planes), first.low))

    def times_sign(self, sign: NDArray[Any]) -> Self:
        """Every number times 1, 0 or -1."""
        return type(self)(self.planes * sign, self.low)

    def matmul(self, other: Self) -> Self:
        """The product of two matrices, shapes `(m, k)` and `(k, n)`.

        Beside the operands it holds at most 8 (2 d1 + 2 d2 + 3) m n bytes, a copy of the smaller operand and 16 MiB,
        where d1 and d2 are their numbers of digits.
        """
        (m, k), n = self.shape, other.shape[1]
        if not (self.count and other.count and m and n and k):
            return type(self)(np.zeros((0, m, n)), 0)
        low = self.low + other.low
        if self.planes.size <= other.planes.size:
            return self.from_planes(multiply_planes(self.planes, other.planes, other.few), low)
        turned = multiply_planes(other.planes.swapaxes(1, 2), self.planes.swapaxes(1, 2), self.few)
        return self.from_planes(turned.swapaxes(1, 2), low)

    @property
    def bits(self) -> int:
        """The bit length of the largest number, counted in the largest power of two that divides them all."""
        if not self.count:
            return 0
        lowest = int(np.bitwise_or.reduce(self.planes[0].astype(np.int64), axis=None))
        leading = np.abs(self.planes[-1] * BASE + (self.planes[-2] if self.count > 1 else 0))
        candidates = type(self)(self.planes[:, leading >= leading.max() - 1], self.low)
        largest = max(abs(int(i)) for i in candidates.to_ints()[0])
        return largest.bit_length() - ((lowest & -lowest).bit_length() - 1)

    def to_cells(self) -> NDArray[Any]:
        """One cell per number, a record of its digits."""
        record = np.dtype([("digits", np.float64, (self.count,))])
        return np.ascontiguousarray(np.moveaxis(self.planes, 0, -1)).view(record)[..., 0]

    @classmethod
    def from_cells(cls, cells: NDArray[Any], low: int) -> Self:
        """Undoes `to_cells`."""
        return cls(np.moveaxis(cells["digits"], -1, 0), low)

    def sign(self) -> NDArray[np.int8]:
        """-1, 0 or 1 per number: the sign of its leading digit, which outweighs all below it."""
        return self._signs()[-1]

    def leading(self) -> Floats:
        """About the numbers, counted in the position of the highest digit: relatively 2^-50 off, and of their sign."""
        value = np.zeros(self.shape)
        for plane in self.planes:
            value *= 1 / BASE
            value += plane
        return value

    def nearest(self) -> tuple[Floats, NDArray[np.int8]] | None:
        """The nearest float64 (ties to even) and the sign of what is left over; None near the ends of float64's range.

        The four leading digits have 64 bits or more and go into two floats without error, the digits below count by
        their sign; one floating-point addition then rounds as if it knew the whole number.
        """
        if not self.count:
            return np.zeros(self.shape), np.zeros(self.shape, dtype=np.int8)
        signs = self._signs()
        padded = np.concatenate([np.zeros((3, *self.shape)), self.planes])
        top = self.count - 1 - np.argmax(self.planes[::-1] != 0, axis=0)[None]

        def digit(below: int) -> Floats:
            return np.take_along_axis(padded, top + 3 - below, axis=0)[0]

        below = np.take_along_axis(signs, np.maximum(top - 3, 0), axis=0)[0]
        high = (digit(0) * BASE + digit(1)) * 2.0**46
        low = (digit(2) * BASE + digit(3)) * 4 + below
        rounded = high + low
        left = low - (rounded - high)
        with np.errstate(over="ignore", under="ignore"):
            result = np.ldexp(rounded, DIGIT_BITS * (top[0] - 3 + self.low) - 2)
        size = np.abs(result)
        if not np.isfinite(size).all() or ((size < 2.0**-960) & (rounded != 0)).any():
            return None
        return result, np.sign(left).astype(np.int8)

    def to_ints(self) -> tuple[NDArray[Any], int]:
        """`(ints, exponent)`: an object array of Python ints, which are to be multiplied by 2^exponent."""
        ints = np.zeros(self.shape, dtype=object)
        for start in range(0, self.count, 2):
            pair = self.planes[start : start + 2]
            both = pair[0] + (pair[1] * BASE if len(pair) == 2 else 0)
            ints = ints + (np.asarray(both.astype(np.int64)).astype(object) << DIGIT_BITS * start)
        return np.asarray(ints, dtype=object), DIGIT_BITS * self.low

    def _signs(self) -> NDArray[np.int8]:
        """For each k the sign of what the k lowest digits stand for, shape `[digits + 1, *shape]`."""
        signs = np.zeros((self.count + 1, *self.shape), dtype=np.int8)
        for k, plane in enumerate(self.planes):
            own = np.sign(plane).astype(np.int8)
            signs[k + 1] = np.where(own == 0, signs[k], own)
        return signs


def on_one_scale(arrays: Sequence[Digits]) -> list[Digits]:
    """The same numbers with equally many digits, from the same position on."""
    low = min((one.low for one in arrays if one.count), default=0)
    high = max((one.low + one.count for one in arrays if one.count), default=0)
    found: list[Digits] = []
    for one in arrays:
        if not one.count or one.low > low or one.low + one.count < high:
            planes = np.zeros((high - low, *one.shape))
            planes[one.low - low : one.low - low + one.count] = one.planes
            one = Digits(planes, low)
        found.append(one)
    return found
