"""Exact products of integer matrices."""

from __future__ import annotations

import numpy as np
from flint import fmpz_mat

from whyactivate.arithmetic.points import Cells


def integer_matmul(left: Cells, right: Cells) -> Cells:
    """`left @ right` for two object arrays of Python ints, shapes `(m, k)` and `(k, n)`; no rounding anywhere.

    FLINT multiplies where the product outweighs the conversion to and fro.
    """
    m, k = left.shape
    n = right.shape[1]
    products, conversions = m * k * n, m * k + k * n + m * n
    if products < 8 * conversions:
        return np.matmul(left, right) if k else np.zeros((m, n), dtype=object)
    result = fmpz_mat(m, k, left.ravel().tolist()) * fmpz_mat(k, n, right.ravel().tolist())
    cells = np.empty(m * n, dtype=object)
    cells[:] = list(map(int, result.entries()))
    return cells.reshape(m, n)
