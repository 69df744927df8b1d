"""Determinants, inverses and roots of matrices that depend on the input, by elimination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from whyactivate.affine.rules.masks import greater
from whyactivate.affine.rules.rule import Label, shape_of
from whyactivate.affine.rules.table import nonlinear
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten


def _terms(arguments: Mapping[str, Argument]) -> int:
    return max(1, shape_of(arguments.get("A", arguments.get("self")))[-1])


_BY_ELIMINATION: dict[str, Any] = {"label": Label.SMOOTH, "work": _terms}


def _rows(matrix: Any) -> list[Any]:
    return [matrix[..., place, :] for place in range(matrix.shape[-2])]


def _stacked(rows: Sequence[Any]) -> Any:
    return type(rows[0]).stack(list(rows), rows[0].ndim - 1)


def _eliminated(rows: list[Any], size: int, upwards: bool) -> list[Any]:
    """The pivots, after what is below each of them (and above, if wanted) has been made 0 in `rows`, which are changed.

    No rows are exchanged: where a pivot may be 0, nothing is known of what follows.
    """
    pivots: list[Any] = []
    for place in range(size):
        pivot = rows[place][..., place : place + 1]
        pivots.append(pivot)
        for other in range(0 if upwards else place + 1, size):
            if other != place:
                factor = rows[other][..., place : place + 1] / pivot
                rows[other] = rows[other] - rows[place] * factor
    return pivots


def _product(pivots: Sequence[Any]) -> Any:
    result = pivots[0]
    for pivot in pivots[1:]:
        result = result * pivot
    return result[..., 0]


@nonlinear(aten._linalg_det.default, **_BY_ELIMINATION)
def det(A: Any) -> Any:
    return _product(_eliminated(_rows(A), A.shape[-1], upwards=False))


@nonlinear(aten._linalg_slogdet.default, **_BY_ELIMINATION)
def slogdet(A: Any) -> Any:
    value = det(A)
    return greater(value, 0) - greater(0, value), abs(value).log()


def solution(matrix: Any, right: Any) -> Any:
    """X with matrix @ X = right."""
    size = matrix.shape[-1]
    known = right.expand((*matrix.shape[:-2], size, right.shape[-1]))
    count = max(matrix.points, known.points)
    rows = _rows(type(matrix).concatenate([matrix.at_points(count), known.at_points(count)], matrix.ndim - 1))
    pivots = _eliminated(rows, size, upwards=True)
    return _stacked([row[..., size:] / pivot for row, pivot in zip(rows, pivots, strict=True)])


@nonlinear(aten.linalg_inv_ex.default, **_BY_ELIMINATION)
def inverse(A: Any) -> Any:
    return solution(A, type(A).from_exact(ExactArray.from_tensor(torch.eye(A.shape[-1], device="cpu"))))


@nonlinear(aten.linalg_cholesky_ex.default, **_BY_ELIMINATION)
def cholesky(self: Any, upper: bool) -> Any:
    """The root of the symmetric matrix in the lower half; of the upper one where that is wanted."""
    matrix = self.swap(-1, -2) if upper else self
    size = matrix.shape[-1]
    rows = _rows(matrix)
    columns: list[Any] = []
    for place in range(size):
        root = rows[place][..., place : place + 1].sqrt()
        column = _stacked(rows)[..., place] / root
        columns.append(column * ExactArray(np.array([[int(row >= place) for row in range(size)]], dtype=object)))
        for other in range(place + 1, size):
            rows[other] = rows[other] - column * column[..., other : other + 1]
    root = _stacked(columns)
    return root if upper else root.swap(-1, -2)
