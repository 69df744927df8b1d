"""Intervals whose midpoints are held in fixed point, as float64 digits, so that many are computed at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from flint import arb, ctx, fmpz
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import Digits, on_one_scale
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.planes import DIGIT_BITS
from whyactivate.arithmetic.points import Cells, Mask

Floats = NDArray[np.float64]

GENEROUS = 1 + 2.0**-20
"""Covers the roundings in a sum of up to 2^30 products of floats, in whatever order, and much more."""
TINY = 2.0**-1000
"""Covers what underflows, gradually or to zero; a radius or a size is never so small."""
_LARGEST = 900
"""Balls beyond 2^900 are taken for unknown numbers, so that float64 holds radii and sizes."""
_UNKNOWN = arb("nan")


@dataclass(frozen=True, slots=True, eq=False)
class FixedPoint:
    """Numbers in intervals midpoint ± radius, whose midpoints are whole multiples of one unit.

    Sums and products of midpoints are exact: see `Digits`. What is then cut off below the unit, and what was uncertain
    before, goes into the radius; radii come from sizes and radii in float64, rounded upward. Of two operands the axes
    are equally many, and broadcast.

    Attributes:
        digits: the midpoints.
        radius: floats not below the radii, of the same shape; infinite or NaN where nothing is known.
    """

    digits: Digits
    radius: Floats

    # -- making -----------------------------------------------------------------------------------------------

    @classmethod
    def cut(cls, digits: Digits, radius: Floats, bits: int) -> Self:
        """Midpoints cut off, by whole digits, at least `bits` below the leading digit of the largest."""
        left_out = max(0, digits.count - (2 + (bits - 1) // DIGIT_BITS))
        if left_out:
            with np.errstate(over="ignore", under="ignore"):  # a unit beyond the range of float64 leaves nothing known
                unit = float(np.ldexp(1.0, DIGIT_BITS * (digits.low + left_out))) + TINY  # about twice what is left out
            radius = (radius + np.where(digits.planes[:left_out].any(axis=0), unit, 0.0)) * GENEROUS
            digits = Digits(digits.planes[left_out:], digits.low + left_out)
        if (digits.low + digits.count) * DIGIT_BITS > _LARGEST:
            far = np.abs(_approximately(digits)) > 2.0**_LARGEST
            digits, radius = Digits(np.where(far, 0.0, digits.planes), digits.low), np.where(far, math.inf, radius)
        return cls(digits, radius)

    @classmethod
    def from_balls(cls, balls: Cells, bits: int) -> Self:
        """Balls, cut off `bits` below the leading bit of the largest."""
        parts = [_parts(ball) for ball in balls.ravel().tolist()]
        tops = [significand.bit_length() + exponent for significand, exponent, _ in parts if significand]
        unit = max(tops, default=0) - bits
        ints = [s << e - unit if e >= unit else s >> unit - e for s, e, _ in parts]
        cut = np.array([math.ldexp(1.0, unit) + TINY if s and e < unit else 0.0 for s, e, _ in parts])
        radius = (cut + np.array([r for _, _, r in parts])).reshape(balls.shape) * GENEROUS
        return cls(Digits.from_ints(_object_array(ints).reshape(balls.shape), unit), radius)

    @classmethod
    def from_exact(cls, exact: ExactArray) -> Self | None:
        """Exact numbers; None where they have no digits to a power of two, or one lies beyond float64's range."""
        digits = exact.find_digits()
        if digits is None or (digits.low + digits.count) * DIGIT_BITS > _LARGEST:
            return None
        return cls(digits, np.zeros(digits.shape))

    @classmethod
    def from_cells(cls, cells: Cells, low: int) -> Self:
        """Undoes `to_cells`."""
        digits = Digits.from_cells(cells, low)  # a view, in which the digits of one place lie far apart
        return cls(Digits(np.ascontiguousarray(digits.planes), low), np.ascontiguousarray(cells["radius"]))

    @classmethod
    def stack(cls, arrays: Sequence[Self]) -> Self:
        """Arrays of one shape along a new first axis."""
        digits = on_one_scale([one.digits for one in arrays])
        planes = np.stack([one.planes for one in digits], axis=1)
        return cls(Digits(planes, digits[0].low), np.stack([one.radius for one in arrays]))

    @classmethod
    def concatenate(cls, arrays: Sequence[Self]) -> Self:
        """Arrays joined along their last axis."""
        digits = on_one_scale([one.digits for one in arrays])
        planes = np.concatenate([one.planes for one in digits], axis=-1)
        return cls(Digits(planes, digits[0].low), np.concatenate([one.radius for one in arrays], axis=-1))

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of numbers."""
        return self.radius.shape

    def approximately(self) -> Floats:
        """About the midpoints; 0 or infinite where those are beyond the range of float64."""
        return _approximately(self.digits)

    @property
    def size(self) -> Floats:
        """Floats not below the midpoints' absolute values."""
        return np.abs(_approximately(self.digits)) * GENEROUS + TINY

    def to_cells(self, low: int, count: int) -> Cells:
        """One cell per number, a record of its radius and of `count` digits from position `low` on."""
        cells = np.zeros(self.shape, dtype=[("digits", np.float64, (count,)), ("radius", np.float64)])
        start = self.digits.low - low if self.digits.count else 0
        cells["digits"][..., start : start + self.digits.count] = np.moveaxis(self.digits.planes, 0, -1)
        cells["radius"] = self.radius
        return cells

    def to_balls(self, bits: int) -> Cells:
        """The same intervals as objects of flint's."""
        ints, exponent = self.digits.to_ints()
        with ctx.workprec(bits):
            unit = arb(fmpz(1) << exponent) if exponent >= 0 else 1 / arb(fmpz(1) << -exponent)
            balls = [
                _UNKNOWN if not math.isfinite(r) else arb(i) * unit + arb(0, r) if r else arb(i) * unit
                for i, r in zip(ints.ravel().tolist(), self.radius.ravel().tolist(), strict=True)
            ]
        return _object_array(balls).reshape(self.shape)

    # -- the same numbers in other places ---------------------------------------------------------------------

    def map(self, move: Callable[[Floats], Floats]) -> Self:
        """The same numbers in other places; `move` is given arrays that have one more axis in front."""
        return type(self)(Digits(move(self.digits.planes), self.digits.low), move(self.radius[None])[0])

    def at(self, place: int) -> Self:
        """The numbers at one place of the first axis."""
        return self.map(lambda a: a[:, place])

    def with_axes(self, axes: int) -> Self:
        """1-axes inserted after that of the points, until there are `axes`."""

        def grown(array: Floats) -> Floats:
            return array.reshape(*array.shape[:2], *(1,) * (axes + 1 - array.ndim), *array.shape[2:])

        return self.map(grown)

    # -- arithmetic, entry by entry ---------------------------------------------------------------------------

    def __neg__(self) -> Self:
        return type(self)(-self.digits, self.radius)

    def __abs__(self) -> Self:
        return type(self)(self.digits.times_sign(self.digits.sign()), self.radius)

    def plus(self, other: Self, bits: int) -> Self:
        """The sum."""
        return self.cut(self.digits + other.digits, (self.radius + other.radius) * GENEROUS, bits)

    def times(self, other: Self, bits: int) -> Self:
        """The product."""
        return self.cut(self.digits.times(other.digits), self.bound_product(other, np.multiply, 1), bits)

    def sum(self, axes: tuple[int, ...], keepdims: bool, bits: int) -> Self:
        """Sums over axes, of up to 2^30 numbers each."""
        radius = self.radius.sum(axis=axes, keepdims=keepdims) * GENEROUS
        return self.cut(self.digits.sum(axes, keepdims), radius, bits)

    def maximum(self, other: Self, bits: int) -> Self:
        """The larger of the two; an enclosure also where the order is not decided."""
        sign, decided = self.compare(other)
        first = sign >= 0
        radius = np.where(decided, np.where(first, self.radius, other.radius), np.maximum(self.radius, other.radius))
        return self.cut(self.digits.where(first, other.digits), radius, bits)

    def compare(self, other: Self) -> tuple[Floats, Mask]:
        """The sign of the difference of the midpoints, and whether it is certainly that of the numbers themselves."""
        difference = self.digits + -other.digits if other.digits.count else self.digits
        radius = self.radius + other.radius
        apart = np.abs(_approximately(difference)) > radius * GENEROUS**2 + TINY
        return np.sign(difference.leading()), apart | (radius == 0)

    def bound_product(self, other: Self, product: Callable[[Floats, Floats], Floats], terms: int) -> Floats:
        """Radii of sums of `terms` products, as `product` computes them; infinite or NaN where nothing is known."""
        with np.errstate(all="ignore"):
            radius = product(self.radius, other.size + other.radius)
            if not self.radius.any() and not other.radius.any():
                return radius
            if other.radius.any():
                radius = radius + product(self.size, other.radius)
            return radius * GENEROUS + (terms + 1) * TINY


def _approximately(digits: Digits) -> Floats:
    """About the numbers; 0 or infinite where those are beyond the range of float64."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(digits.leading(), DIGIT_BITS * (digits.low + digits.count - 1))


def _parts(ball: arb) -> tuple[int, int, float]:
    """Significand, exponent and radius."""
    if not ball.is_finite():
        return 0, 0, math.inf
    significand, exponent = map(int, ball.mid().man_exp())
    radius = 0.0 if ball.is_exact() else float(ball.rad()) * GENEROUS + TINY
    if significand.bit_length() + exponent > _LARGEST or radius > 2.0**_LARGEST:
        return 0, 0, math.inf
    return significand, exponent, radius


def _object_array(items: Sequence[Any]) -> Cells:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
