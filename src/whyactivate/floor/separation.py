"""Can an affine map put every row on its right side? A linear programme finds out; exact arithmetic confirms."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyactivate.floor.basis import Floats

# The solver keeps constraints to about 1e-7; a margin above this is not an artefact of that.
_CLEAR = 1e-5
_LARGEST_COEFFICIENT = 1e5


def find_direction(
    z: Floats, y: NDArray[np.int64], pairs: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_]] | None:
    """Coefficients with no negative margin and as many positive ones as there can be, and which those are.

    Maximises the sum over pairs of min(margin, 1), all margins being at least 0 (Konis 2007, after Albert &
    Anderson 1984). Directions add up, so the optimum has every margin positive that any direction has.

    Returns:
        Coefficients (columns, classes), and the pairs (rows, classes) whose margin is positive; none
        where the classes overlap. None where the solver gave up.
    """
    import scipy.sparse as sparse
    from scipy.optimize import linprog

    row, wrong = np.nonzero(pairs)
    columns, classes, count = z.shape[1], pairs.shape[1], len(row)
    line = np.repeat(np.arange(count), columns)
    values = z[row].ravel()

    def at(kind: NDArray[Any]) -> NDArray[Any]:
        return (kind[:, None] * columns + np.arange(columns)).ravel()

    shape = (count, columns * classes)
    right_side: Any = sparse.csr_matrix((values, (line, at(y[row]))), shape=shape)
    wrong_side: Any = sparse.csr_matrix((values, (line, at(wrong))), shape=shape)
    constraints = sparse.hstack([wrong_side - right_side, sparse.identity(count)], format="csr")
    cost = np.concatenate([np.zeros(shape[1]), -np.ones(count)])
    bounds = [(-_LARGEST_COEFFICIENT, _LARGEST_COEFFICIENT)] * shape[1] + [(0.0, 1.0)] * count
    found: Any = linprog(cost, A_ub=constraints, b_ub=np.zeros(count), bounds=bounds, method="highs")
    if found.status != 0:
        return None
    direction: Floats = np.asarray(found.x[: shape[1]], dtype=np.float64).reshape(classes, columns).T
    scores = z @ direction
    margins = np.take_along_axis(scores, y[:, None], axis=1) - scores
    return direction, pairs & (margins > _CLEAR)


def check_separates(weight: Floats, bias: Floats, x: Floats, y: NDArray[np.int64]) -> bool:
    """Whether argmax(weight·x + bias) is y, with no tie, for every row: exact, no rounding.

    A float margin above its rounding error decides; the few others are computed in rational numbers.
    """
    rows = np.arange(len(y))
    scores = x @ weight.T + bias
    margins = scores[rows, y][:, None] - scores
    margins[rows, y] = np.inf
    roundoff = np.finfo(np.float64).eps * (x.shape[1] + 4)
    sizes = np.abs(x) @ np.abs(weight).T + np.abs(bias)
    doubt = margins <= roundoff * (sizes + sizes[rows, y][:, None])
    doubt[rows, y] = False
    if (doubt & (margins < 0)).sum() > len(y):
        return False
    return all(
        _exact_margin(weight, bias, x[i], int(y[i]), int(k)) > 0 for i, k in zip(*np.nonzero(doubt), strict=True)
    )


def _exact_margin(weight: Floats, bias: Floats, row: Floats, right: int, wrong: int) -> Fraction:
    def score(kind: int) -> Fraction:
        terms = zip(weight[kind].tolist(), row.tolist(), strict=True)
        return sum((Fraction(w) * Fraction(v) for w, v in terms), Fraction(float(bias[kind])))

    return score(right) - score(wrong)
