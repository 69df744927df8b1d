"""What canonical forms know of softmax and its kin: shifts leave it as it is, and its entries sum to 1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from flint import fmpq

from whyactivate.affine._torch_compat import OpOverload
from whyactivate.affine.cancelling.polynomial_array import PolynomialArray
from whyactivate.affine.cancelling.polynomials import Forms, Polynomial
from whyactivate.affine.rules import CannotEvaluate
from whyactivate.affine.rules.axes import along, apart, together

aten = torch.ops.aten

_PLACES = (aten.argmax.default, aten.argmin.default)
_ZERO, _ONE = fmpq(0), fmpq(1)


def apply_reduction(op: OpOverload, others: Mapping[str, Any], operand: PolynomialArray) -> PolynomialArray | None:
    """What an operation makes of vectors of polynomials; None where nothing is known of it.

    Args:
        op: the operation.
        others: its further operands, by name.
        operand: the polynomials.
    """
    dim: Any = others.get("dim")
    keepdim = others.get("keepdim", False)
    if op in (aten._softmax.default, aten._safe_softmax.default):
        return along(operand, dim, _softmax)
    if op is aten._log_softmax.default:
        return along(operand, dim, _log_softmax)
    if op is aten.logsumexp.default:
        return apart(operand, _log_sum_exp(together(operand, dim)), dim, keepdim)
    if op in _PLACES and (rows := together(operand, dim)).shape[-1] == 1:
        return apart(operand, rows[..., 0] * 0, dim, keepdim)
    return None


def _softmax(rows: PolynomialArray) -> PolynomialArray:
    """Of each vector along the last axis: an unknown for every entry but the last, which is 1 less all others."""
    cells = np.empty(rows.cells.shape, dtype=object)
    for place in np.ndindex(cells.shape[:-1]):
        vector: Sequence[Polynomial] = rows.cells[place].tolist()
        if not vector:
            continue
        name, last = _shape_of(vector), rows.forms.constant(_ONE)
        for number, p in enumerate(vector[:-1]):
            share = rows.forms.unknown(("softmax", name, number), p - vector[0], _ZERO, _ONE)
            cells[(*place, number)], last = share, last - share
        cells[(*place, -1)] = last
    return PolynomialArray(cells, rows.forms)


def _log_softmax(rows: PolynomialArray) -> PolynomialArray:
    return rows - _log_sum_exp(rows).reshape(*rows.shape[:-1], 1)


def _log_sum_exp(rows: PolynomialArray) -> PolynomialArray:
    """Of each vector along the last axis: its first entry, and an unknown function of how far the others are off."""
    cells = np.empty(rows.cells.shape[:-1], dtype=object)
    for place in np.ndindex(cells.shape):
        cells[place] = _log_sum_exp_of(rows.cells[place].tolist(), rows.forms)
    return PolynomialArray(cells, rows.forms)


def _log_sum_exp_of(vector: Sequence[Polynomial], forms: Forms) -> Polynomial:
    if not vector:
        raise CannotEvaluate("the logarithm of an empty sum")
    first = vector[0]
    if len(vector) == 1:
        return first
    return first + forms.unknown(("logsumexp", _shape_of(vector)), first - first, _ZERO, None)


def _shape_of(vector: Sequence[Polynomial]) -> Hashable:
    """How far the entries of a vector are from its first, in a form that can be compared."""
    return tuple(frozenset((p - vector[0]).terms.items()) for p in vector)
