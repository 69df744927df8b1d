"""Mean cross-entropy of an affine classifier over chosen pairs: value, slope, minimum, and a lower bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyactivate.floor.basis import Floats

_TIGHT = 1e-13
_SETTLED = 1e-10
_MOST_STEPS = 100
_MOST_INNER_STEPS = 1000
_CLEAR_MARGIN = 1e-9
_ROUNDING = 1e-17
_RAISED_TO = (1e-5, 1e-8)


@dataclass(frozen=True, slots=True)
class Problem:
    """Minimise the mean over rows of log(1 + Σ exp(−margin)), the sum over the pairs of the row.

    The margin of a pair (row, wrong class) is the score of the right class minus that of the wrong one.
    With all pairs this is the cross-entropy; the problem is convex.

    Attributes:
        z: (rows, columns).
        y: (rows,) class numbers.
        pairs: (rows, classes), False at the right class.
    """

    z: Floats
    y: NDArray[np.int64]
    pairs: NDArray[np.bool_]

    def margins(self, c: Floats) -> Floats:
        """(rows, classes): infinity where there is no pair."""
        scores = self.z @ c
        margins = np.take_along_axis(scores, self.y[:, None], axis=1) - scores
        return np.where(self.pairs, margins, np.inf)

    def separates(self, c: Floats) -> bool:
        """Whether every margin is positive, with room for rounding."""
        return bool(self.margins(c).min() > _CLEAR_MARGIN * max(1.0, float(np.abs(self.z @ c).max())))

    def loss(self, c: Floats) -> float:
        """The value at coefficients c, (columns, classes)."""
        return float(np.mean(_log_one_plus_sum_exp(-self.margins(c))))

    def shares(self, c: Floats) -> Floats:
        """(rows, classes): the probability of each class; 0 where there is no pair."""
        exponents = -self.margins(c)
        exponents[np.arange(len(self.y)), self.y] = 0.0
        top = exponents.max(axis=1, keepdims=True)
        weights = np.exp(exponents - top)
        return weights / weights.sum(axis=1, keepdims=True)

    def gradient(self, shares: Floats) -> Floats:
        """The slope of the loss in the coefficients, from the shares there."""
        difference = shares.copy()
        difference[np.arange(len(self.y)), self.y] -= 1.0
        slope = self.z.T @ difference / len(self.y)
        # Scores that rise alike for all classes change nothing; rounding must not say otherwise.
        return slope - slope.mean(axis=1, keepdims=True)

    def minimise(self) -> tuple[Floats, bool]:
        """Coefficients, and whether they are settled: the gradient is tight, or they separate the classes.

        Newton's method; each step solves for the direction by conjugate gradients, then halves it until
        the loss goes down.
        """
        c = np.zeros((self.z.shape[1], self.pairs.shape[1]))
        loss, shares = self.loss(c), self.shares(c)
        for _ in range(_MOST_STEPS):
            gradient = self.gradient(shares)
            if np.abs(gradient).max() <= _TIGHT or self.separates(c):
                return c, True
            step = self.newton_step(shares, gradient, min(0.1, float(np.linalg.norm(gradient))))
            slope, length = float(np.sum(gradient * step)), 1.0
            while length > 1e-6 and not self.loss(c + length * step) <= loss + 1e-4 * length * slope:
                length /= 2
            if length <= 1e-6:
                length = 1.0
                if np.abs(self.gradient(self.shares(c + step))).max() >= np.abs(gradient).max():
                    break
            c = c + length * step
            loss, shares = self.loss(c), self.shares(c)
        return c, bool(np.abs(self.gradient(shares)).max() <= _SETTLED)

    def curvature(self, shares: Floats, direction: Floats) -> Floats:
        """The second derivative of the loss, applied to a direction."""
        return self.z.T @ _first_order(shares, self.z @ direction) / len(self.y)

    def newton_step(self, shares: Floats, gradient: Floats, accuracy: float = 1e-10) -> Floats:
        """The direction d with curvature·d = −gradient, by conjugate gradients."""
        step = np.zeros_like(gradient)
        residual = -gradient
        direction, size = residual, float(np.sum(residual**2))
        goal = max(accuracy**2 * size, _ROUNDING**2 * gradient.size)
        for _ in range(min(_MOST_INNER_STEPS, 2 * gradient.size)):
            if size <= goal:
                break
            bent = self.curvature(shares, direction)
            bend = float(np.sum(direction * bent))
            if bend <= 0:
                break
            step = step + size / bend * direction
            residual = residual - size / bend * bent
            size, before = float(np.sum(residual**2)), size
            direction = residual + size / before * direction
        return step

    def is_minimum(self, c: Floats) -> bool:
        """Whether a minimum near `c` is proved (up to rounding), and not just a loss that falls for ever.

        Weights above 0 on all pairs under which their margins balance, for whatever coefficients, leave no direction
        with positive margins and no negative one. The shares at `c` balance but may be 0 up to rounding; so the
        smallest are raised, and a Newton step makes up for it on the others.
        """
        shares = self.shares(c)
        for least in _RAISED_TO:
            raised = np.where(self.pairs, np.maximum(shares, least), 0.0)
            rows = np.arange(len(self.y))
            raised[rows, self.y] = 1.0 - raised.sum(axis=1)
            step = self.newton_step(shares, self.gradient(raised))
            balanced = raised + _first_order(shares, self.z @ step)
            left = np.abs(self.gradient(balanced)).max()
            if float(balanced[self.pairs].min()) > least / 2 and left < _ROUNDING * 1e4 < least / 100:
                return True
        return False

    def dual_bound(self, c: Floats) -> float:
        """A loss that no coefficients go below: weak duality, up to rounding.

        Shares q ≥ 0 that sum to 1 in each row, vanish outside the pairs, and have zᵀ(q − onehot(y)) = 0, bound the
        loss from below by their mean entropy. The shares at `c` are such where the gradient is 0; where it is not
        quite, one Newton step makes them such. Where the curvature vanishes in the gradient's direction, that step
        is rounding blown up; then the shares stay, and the bound pays for their gradient.
        """
        shares = self.shares(c)
        gradient = self.gradient(shares)
        moved, paid = shares + _first_order(shares, self.z @ self.newton_step(shares, gradient)), 0.0
        if moved.min() < -_SETTLED or np.abs(self.gradient(moved)).max() > np.abs(gradient).max():
            if np.abs(gradient).max() > _SETTLED:
                return 0.0
            moved, paid = shares, float(np.sum(np.abs(gradient * c)))
        moved = np.maximum(moved, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(moved > 0, -moved * np.log(moved), 0.0)
        return max(0.0, float(np.mean(terms.sum(axis=1))) - paid)


def _first_order(shares: Floats, scores: Floats) -> Floats:
    """How the shares change when the scores change a little."""
    return shares * (scores - np.sum(shares * scores, axis=1, keepdims=True))


def _log_one_plus_sum_exp(exponents: Floats) -> Floats:
    top = np.maximum(exponents.max(axis=1), 0.0)
    rest = np.exp(exponents - top[:, None]).sum(axis=1)
    return np.where(top > 0, top + np.log(np.exp(-top) + rest), np.log1p(rest))
