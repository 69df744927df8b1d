"""The smallest cross-entropy of an affine classifier, whether or not any classifier reaches it.

A finite minimiser exists exactly where the classes overlap. Otherwise some affine map has a positive margin
for some pairs (row, wrong class) and a negative one for none, and going further along it lowers the loss for
ever (Albert & Anderson 1984). In the limit these pairs cost nothing: the infimum is the minimum over the
pairs that are left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyactivate.floor.basis import Floats
from whyactivate.floor.problem import Problem
from whyactivate.floor.separation import find_direction

# A pair this likely in the minimum is far above rounding, so it is not one that fades away for ever.
_SURELY_STAYS = 1e-8
# Beyond this many non-zeros the linear programme takes minutes.
_LARGEST_PROGRAMME = 4_000_000
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
    everything = np.ones((len(y), classes), dtype=np.bool_)
    everything[np.arange(len(y)), y] = False
    whole = Problem(z, y, everything)
    left = whole
    directions: list[Floats] = []
    undecided = programme = False
    while True:
        coefficients, settled = left.minimise()
        if left.separates(coefficients):
            directions.append(coefficients)
            left = Problem(z, y, np.zeros_like(everything))
            coefficients = np.zeros_like(coefficients)
            break
        if settled and left.smallest_share(coefficients) > _SURELY_STAYS:
            break
        if 2 * z.shape[1] * left.pairs.sum() > _LARGEST_PROGRAMME:
            undecided = True
            break
        programme = True
        direction, fading = find_direction(z, y, left.pairs)
        if not fading.any():
            break
        directions.append(direction)
        left = Problem(z, y, left.pairs & ~fading)
        if not left.pairs.any():
            coefficients = np.zeros_like(coefficients)
            break
    infimum = left.loss(coefficients)
    return Fit(
        coefficients=_go_along(whole, coefficients, directions, infimum),
        infimum=infimum,
        gap=max(0.0, infimum - left.dual_bound(coefficients)),
        attained=None if undecided else not directions,
        programme=programme,
        fading=int(everything.sum() - left.pairs.sum()),
    )


def _go_along(whole: Problem, coefficients: Floats, directions: list[Floats], infimum: float) -> Floats:
    """Coefficients far enough along the directions, the later ones first, for the loss to be near its infimum.

    One direction that separates everything is taken as it was found: any length would do, and a moderate one
    is the better classifier of other rows.
    """
    if infimum == 0.0 and len(directions) == 1:
        return directions[0]
    for direction in reversed(directions):
        length, best = 1.0, coefficients + direction
        while whole.loss(best) > infimum + _NEAR_ENOUGH and length < 2.0**20:
            length *= 2
            further = coefficients + length * direction
            if not whole.loss(further) < whole.loss(best):
                break
            best = further
        coefficients = best
    return coefficients
