"""Smooth functions of many numbers in fixed point: Taylor polynomials around the nearest of evenly spaced points."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import numpy as np
from flint import arb, arb_series, ctx
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import Digits
from whyactivate.arithmetic.fixed_point import GENEROUS, TINY, FixedPoint
from whyactivate.arithmetic.planes import DIGIT_BITS
from whyactivate.arithmetic.points import objects

Series = Callable[[arb_series], arb_series]
"""A function, as flint carries it out on a power series."""

MANY = 1 << 13
"""From so many numbers on, polynomials are faster than a call of flint's for each."""
_FINENESSES = range(5, 11)
"""The points are 2^-5 to 2^-10 apart; further apart, bounds of remainders are too wide."""
_NUMBERS_PER_POLYNOMIAL = 64
"""To make a polynomial takes as long as to find its values for so many numbers."""
_FARTHEST = 2.0**20
_NARROW = 2.0**-4
"""How uncertain a number may be at most, as a part of the distance between two points."""
_REACH = 0.5 + 2 * _NARROW
"""How far from its point a number may then lie, in the same unit; the rounding of its place is covered, too."""
_SPARE_BITS = 12
"""By so much more precise are the polynomials than the values."""
_SPARE_DIGITS = 2
"""So many digits more are kept of a polynomial's value, while it is found, than it ends with."""
_BITS_OF_BOUNDS = 53
_SAMPLED = 8
"""At how many points it is looked how many terms it takes."""
_DIGITS_AT_ONCE = 1 << 16
"""How many digits of numbers are worked on at once: few enough to stay in the cache."""


def apply_series(numbers: FixedPoint, series: Series, bits: int) -> FixedPoint | None:
    """The function of every number; None where polynomials do not serve: few numbers, or such as are not well known.

    The function must be analytic on the whole real line.
    """
    count = math.prod(numbers.shape)
    flat = numbers.map(lambda a: a.reshape(len(a), count))
    near = flat.approximately()
    if count < MANY or not (np.abs(near) < _FARTHEST).all():
        return None
    spread = float(near.max() - near.min())
    fineness = min(_FINENESSES, key=lambda one: (count + _NUMBERS_PER_POLYNOMIAL * spread * 2.0**one) / (one + 1))
    worth = _NUMBERS_PER_POLYNOMIAL * spread * 2.0**fineness < count
    if not worth or not (flat.radius <= _NARROW * 2.0**-fineness).all():
        return None
    places, which = np.unique(np.rint(np.ldexp(near, fineness)), return_inverse=True)
    polynomials = _Polynomials(series, places, fineness, bits)
    step = max(1, _DIGITS_AT_ONCE * DIGIT_BITS // bits)
    blocks = [slice(start, start + step) for start in range(0, count, step)]
    values = [polynomials.values(flat.map(lambda a, b=block: a[:, b]), which[block]) for block in blocks]
    return FixedPoint.concatenate(values).map(lambda a: a.reshape(len(a), *numbers.shape))


class _Polynomials:
    """Taylor polynomials of a function around whole multiples of 2^-fineness.

    Args:
        series: the function.
        places: around which multiples.
        fineness: how close to each other they are.
        bits: how precise values are to be.
    """

    def __init__(self, series: Series, places: NDArray[np.float64], fineness: int, bits: int) -> None:
        self._points = np.ldexp(places, -fineness)
        points: list[float] = self._points.tolist()
        self._reach = _REACH * 2.0**-fineness
        most = 2 * (bits + _SPARE_BITS) // fineness
        with _terms_of_series(most):
            sample = points[:: max(1, len(points) // _SAMPLED)]
            bounds = np.max([_bounds(series, point, self._reach, most) for point in sample], axis=0)
            enough = bounds <= max(2.0 ** -(bits + _SPARE_BITS), bounds[1:].min())
            count = max(1, int(np.argmax(enough)))
            found = np.array([_bounds(series, point, self._reach, max(2, count + 1)) for point in points])
            with ctx.workprec(bits + 2 * _SPARE_BITS):
                columns = [*zip(*(_terms(series, arb(point), count) for point in points), strict=True)]
        self._slopes, self._remainders = found[:, 1] / self._reach * GENEROUS, found[:, count]
        lowest = -(-_exponent(columns[0]) // DIGIT_BITS) - bits // DIGIT_BITS - _SPARE_DIGITS
        # What is cut off from the sum of the terms from one on is multiplied by the distance, once for each before it.
        self._lows = [lowest + power * fineness // DIGIT_BITS for power in range(count)]
        self._terms = [
            FixedPoint.from_balls(objects(np.array(column)), max(1, _exponent(column) - low * DIGIT_BITS))
            for column, low in zip(columns, self._lows, strict=True)
        ]

    def values(self, numbers: FixedPoint, which: NDArray[np.intp]) -> FixedPoint:
        """The function of a row of numbers, each by the polynomial around its own point."""
        points = Digits.from_floats(self._points[which])
        assert points is not None  # so few bits make few digits
        distance = numbers.digits + -points
        total, error = Digits(np.zeros((0, len(which))), 0), 0.0
        for term, low in zip(reversed(self._terms), reversed(self._lows), strict=True):
            cut_off = math.ldexp(1 + min(total.count, distance.count), 2 * DIGIT_BITS + (low - 1) * DIGIT_BITS)
            error = (error * self._reach + cut_off + float(term.radius.max())) * GENEROUS + TINY
            total = _multiply_add(total, distance, Digits(term.digits.planes[:, which], term.digits.low), low)
        with np.errstate(invalid="ignore"):  # where nothing is known, neither is the radius
            radius = error + self._remainders[which] + self._slopes[which] * numbers.radius
        return FixedPoint(total, radius * GENEROUS)


def _multiply_add(number: Digits, factor: Digits, addend: Digits, low: int) -> Digits:
    """The product and sum of rows of numbers, without what digits give below the position `low`.

    That is less than 2^44 · 2^(22 (low - 1)) for each pair of digits that meet at one place, and for the addend.
    """
    ends = (number.low + number.count + factor.low + factor.count, addend.low + addend.count, low)
    total = np.zeros((max(ends) + 1 - low, *addend.shape))
    for place, digit in enumerate(number.planes, start=number.low + factor.low - low):
        first = max(0, -place)
        if first < factor.count:
            total[place + first : place + factor.count] += digit * factor.planes[first:]
    first = max(0, low - addend.low)
    if first < addend.count:
        place = addend.low - low
        total[place + first : place + addend.count] += addend.planes[first:]
    return Digits.from_planes(total, low)


def _terms(series: Series, around: arb, count: int) -> list[arb]:
    found = series(arb_series([around, 1], count))
    return [found[power] for power in range(count)]


def _bounds(series: Series, point: float, reach: float, count: int) -> list[float]:
    """How large each term may be at a point within reach of this one, times the reach to its power.

    Of the term with the number n, that is how far the polynomial of the terms before it may be from the function.
    """
    with ctx.workprec(_BITS_OF_BOUNDS):
        around = enumerate(_terms(series, arb(point, reach), count))
        bounds = [(term * arb(reach) ** power).abs_upper() for power, term in around]
    return [float(bound) * GENEROUS + TINY if bound.is_finite() else math.inf for bound in bounds]


def _exponent(balls: Sequence[arb]) -> int:
    """The binary place of the leading digit of the largest, as far as is known."""
    sizes = [float(ball.abs_upper()) for ball in balls if ball.is_finite()]
    return math.frexp(max(sizes, default=0.0))[1]


@contextmanager
def _terms_of_series(count: int) -> Generator[None]:
    """Within it, flint's series have up to so many terms."""
    before = ctx.cap
    ctx.cap = count
    try:
        yield
    finally:
        ctx.cap = before
