"""The columns of x as orthonormal coordinates, in which every fit is well conditioned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Basis:
    """Coordinates z with zᵀz/rows = 1, first column 1, that span the same functions as 1 and the columns of x.

    Attributes:
        z: (rows, 1 + rank).
        mean: (features,), the mean of each column of x.
        back: (features, rank), takes coefficients of z (without the first) to weights on x.
    """

    z: Floats
    mean: Floats
    back: Floats

    @property
    def rank(self) -> int:
        """How many columns of x are independent of each other and of 1."""
        return self.back.shape[1]

    def to_layer(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Coefficients (1 + rank, outputs) as weight (outputs, features) and bias (outputs,) on x."""
        weight = self.back @ coefficients[1:]
        return weight.T, coefficients[0] - self.mean @ weight


def find_basis(x: Floats) -> Basis:
    """The basis for the rows of x, by a singular value decomposition of its centred, scaled columns.

    Directions whose singular value is below rounding (float64 epsilon times the larger side, times the
    largest) are dropped, so dependent and constant columns do no harm.
    """
    rows = len(x)
    mean = np.where(x.max(axis=0) == x.min(axis=0), x[0], x.mean(axis=0))
    centred = x - mean
    norm = np.linalg.norm(centred, axis=0)
    norm[norm == 0] = 1.0
    left, values, right = np.linalg.svd(centred / norm, full_matrices=False)
    kept = values > max(x.shape) * np.finfo(np.float64).eps * values.max(initial=0.0)
    z = np.hstack([np.ones((rows, 1)), np.sqrt(rows) * left[:, kept]])
    back = right[kept].T / norm[:, None] * (np.sqrt(rows) / values[kept])
    return Basis(z, mean, back)
