"""The smallest cross-entropy of an affine classifier, whether or not any classifier reaches it.

A finite minimiser exists exactly where the classes overlap. Otherwise some affine map has a positive margin
for some pairs (row, wrong class) and a negative one for none, and going further along it lowers the loss for
ever (Albert & Anderson 1984). In the limit these pairs cost nothing: the infimum is the minimum over the
pairs that are left. One direction is enough, because directions add up: the sum of two of them has a positive
margin wherever either has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whyactivate.floor.basis import Floats
from whyactivate.floor.problem import Problem
from whyactivate.floor.separation import find_direction

# Beyond this many non-zeros the linear programme takes more than some seconds.
_LARGEST_PROGRAMME = 300_000
_NEAR_ENOUGH = 1e-6


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the convex problem ended.

    Attributes:
        coefficients: (1 + rank, classes).
        infimum: of the loss, over all affine classifiers.
        gap: the true infimum is at most this far below (weak duality, up to rounding).
        attained: whether some classifier reaches it; None where this was not decided.
        programme: whether a linear programme was needed.
        fading: how many pairs (row, wrong class) cost nothing in the limit, and only there.
    """

    coefficients: Floats
    infimum: float
    gap: float
    attained: bool | None
    programme: bool
    fading: int


def fit_cross_entropy(z: Floats, y: NDArray[np.int64], classes: int) -> Fit:
    """The infimum of the mean cross-entropy over all affine classifiers, and coefficients at it or near it."""
    pairs = np.ones((len(y), classes), dtype=np.bool_)
    pairs[np.arange(len(y)), y] = False
    whole = Problem(z, y, pairs)
    coefficients, settled = whole.minimise()
    if whole.separates(coefficients):
        return Fit(coefficients, 0.0, 0.0, attained=False, programme=False, fading=int(pairs.sum()))
    if settled and whole.is_minimum(coefficients):
        return _fit(whole, coefficients, attained=True, programme=False)
    small = 2 * z.shape[1] * pairs.sum() <= _LARGEST_PROGRAMME
    found = find_direction(z, y, pairs) if small else None
    if found is None:
        return _fit(whole, coefficients, attained=None, programme=small)
    direction, fading = found
    if not fading.any():
        return _fit(whole, coefficients, attained=True if settled else None, programme=True)
    if fading.sum() == pairs.sum():
        return Fit(direction, 0.0, 0.0, attained=False, programme=True, fading=int(fading.sum()))
    left = Problem(z, y, pairs & ~fading)
    coefficients, _ = left.minimise()
    limit = _fit(left, coefficients, attained=False, programme=True)
    near = _go_along(whole, coefficients, direction, limit.infimum)
    return replace(limit, coefficients=near, fading=int(fading.sum()))


def _fit(problem: Problem, coefficients: Floats, attained: bool | None, programme: bool) -> Fit:
    loss = problem.loss(coefficients)
    gap = max(0.0, loss - problem.dual_bound(coefficients))
    return Fit(coefficients, loss, gap, attained, programme, fading=0)


def _go_along(whole: Problem, coefficients: Floats, direction: Floats, infimum: float) -> Floats:
    """Coefficients far enough along the direction for the loss to be near its infimum."""
    length, best = 1.0, coefficients + direction
    while whole.loss(best) > infimum + _NEAR_ENOUGH and length < 2.0**20:
        length *= 2
        further = coefficients + length * direction
        if not whole.loss(further) < whole.loss(best):
            break
        best = further
    return best
