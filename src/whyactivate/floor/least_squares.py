"""The smallest mean squared error of an affine model, in closed form."""

from __future__ import annotations

import numpy as np

from whyactivate.floor.basis import Basis, Floats


def fit_least_squares(basis: Basis, y: Floats) -> tuple[Floats, float, float]:
    """Coefficients (1 + rank, 1) of the least squares fit, its mean squared error, and how far below the least may be.

    The coordinates are orthonormal, so each coefficient is a mean of products; a second pass takes
    away what rounding left in the residual (iterative refinement).
    """
    coefficients = basis.z.T @ y / len(y)
    coefficients += basis.z.T @ (y - basis.z @ coefficients) / len(y)
    residual = y - basis.z @ coefficients
    left = basis.z.T @ residual / len(y)
    return coefficients, float(np.mean(residual**2)), float(np.sum(left**2))
