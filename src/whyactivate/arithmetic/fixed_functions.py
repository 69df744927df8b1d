"""Smooth functions of many numbers in fixed point: Taylor polynomials around the nearest of evenly spaced points."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
from flint import arb, arb_series, ctx
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import Digits
from whyactivate.arithmetic.fixed_point import GENEROUS, TINY, FixedPoint

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
_BITS_OF_REMAINDERS = 53
_SAMPLED = 8
"""At how many points it is looked how many terms it takes."""
_BLOCK = 1 << 15


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
    blocks = [slice(start, start + _BLOCK) for start in range(0, count, _BLOCK)]
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
        reach = arb(_REACH * 2.0**-fineness)
        most = 2 * (bits + _SPARE_BITS) // fineness
        with _terms_of_series(most):
            sample = points[:: max(1, len(points) // _SAMPLED)]
            bounds = np.max([_remainders(series, point, reach, most) for point in sample], axis=0)
            enough = bounds <= max(2.0 ** -(bits + _SPARE_BITS), bounds[1:].min())
            count = max(1, int(np.argmax(enough)))
            self._remainders = np.array([_remainders(series, point, reach, count + 1)[count] for point in points])
            with ctx.workprec(bits + 2 * _SPARE_BITS):
                terms = [_terms(series, arb(point), count) for point in points]
        # By about so many bits a term is smaller than the one before.
        self._bits = [max(0, bits - power * (fineness + 1)) + _SPARE_BITS for power in range(count)]
        columns = np.array(terms, dtype=object).T
        self._terms = [FixedPoint.from_balls(column, most) for column, most in zip(columns, self._bits, strict=True)]

    def values(self, numbers: FixedPoint, which: NDArray[np.intp]) -> FixedPoint:
        """The function of a row of numbers, each by the polynomial around its own point."""
        points = Digits.from_floats(self._points[which])
        assert points is not None  # so few bits make few digits
        distance = FixedPoint(numbers.digits + -points, numbers.radius)
        total = self._terms[-1].map(lambda a: a[:, which])
        for term, bits in zip(self._terms[-2::-1], self._bits[-2::-1], strict=True):
            by = FixedPoint.cut(distance.digits, distance.radius, bits)
            total = total.times(by, bits).plus(term.map(lambda a: a[:, which]), bits)
        return FixedPoint(total.digits, (total.radius + self._remainders[which]) * GENEROUS)


def _terms(series: Series, around: arb, count: int) -> list[arb]:
    found = series(arb_series([around, 1], count))
    return [found[power] for power in range(count)]


def _remainders(series: Series, point: float, reach: arb, count: int) -> list[float]:
    """For each number of terms how far from the polynomial the function may be, within reach of the point."""
    with ctx.workprec(_BITS_OF_REMAINDERS):
        bounds = [
            (term * reach**power).abs_upper() for power, term in enumerate(_terms(series, arb(point, reach), count))
        ]
    return [float(bound) * GENEROUS + TINY if bound.is_finite() else math.inf for bound in bounds]


@contextmanager
def _terms_of_series(count: int) -> Generator[None]:
    """Within it, flint's series have up to so many terms."""
    before = ctx.cap
    ctx.cap = count
    try:
        yield
    finally:
        ctx.cap = before
