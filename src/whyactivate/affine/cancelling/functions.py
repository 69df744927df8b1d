"""Functions that canonical forms keep as unknowns, f(p), and how f(-p) follows from f(p)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from flint import fmpq

from whyactivate.affine._torch_compat import OpOverload
from whyactivate.affine.cancelling.polynomial_array import PolynomialArray
from whyactivate.affine.cancelling.polynomials import Polynomial

aten = torch.ops.aten


class Symmetry(Enum):
    """What f(-x) is."""

    NONE = "not known"
    ODD = "-f(x)"
    EVEN = "f(x)"
    COMPLEMENT = "1 - f(x)"
    SHIFT = "f(x) - x"


@dataclass(frozen=True, slots=True)
class Function:
    """What is known of a function of one real number: its symmetry, its bounds, and its square.

    With a partner g, f² = 1 + sign·g².
    """

    symmetry: Symmetry = Symmetry.NONE
    low: int | None = None
    high: int | None = None
    partner: OpOverload | None = None
    sign: int = 1


_FUNCTIONS: dict[OpOverload, Function] = {
    aten.tanh.default: Function(Symmetry.ODD, -1, 1),
    aten.erf.default: Function(Symmetry.ODD, -1, 1),
    aten.sin.default: Function(Symmetry.ODD, -1, 1),
    aten.cos.default: Function(Symmetry.EVEN, -1, 1, partner=aten.sin.default, sign=-1),
    aten.cosh.default: Function(Symmetry.EVEN, 1, partner=aten.sinh.default),
    aten.atan.default: Function(Symmetry.ODD, -2, 2),
    aten.sinh.default: Function(Symmetry.ODD),
    aten.asinh.default: Function(Symmetry.ODD),
    aten.sigmoid.default: Function(Symmetry.COMPLEMENT, 0, 1),
    aten.silu.default: Function(Symmetry.SHIFT),
    aten.gelu.default: Function(Symmetry.SHIFT),
    aten.softplus.default: Function(low=0),
    aten.elu.default: Function(),
    aten.mish.default: Function(),
    aten.sign.default: Function(Symmetry.ODD, -1, 1),
    aten.floor.default: Function(),
    aten.ceil.default: Function(),
    aten.round.default: Function(Symmetry.ODD),
    aten.trunc.default: Function(Symmetry.ODD),
}


def apply_function(
    op: OpOverload, others: tuple[tuple[str, Any], ...], operand: PolynomialArray, dtype: torch.dtype | None = None
) -> PolynomialArray | None:
    """F(p) for every polynomial of an array; None where nothing is known of the operation.

    Args:
        op: the operation.
        others: its further operands: numbers and words, by name.
        operand: the polynomials.
        dtype: the dtype that the further operands are rounded to, where that makes another function.
    """
    forms = operand.forms
    if op is aten.exp.default:
        results = [forms.exponential(p) for p in operand.flat_list()]
    elif op is aten.log.default:
        logarithms = [forms.logarithm(p) for p in operand.flat_list()]
        results = [p for p in logarithms if p is not None]
        if len(results) < len(logarithms):
            return None
    elif op in _FUNCTIONS:
        known = _FUNCTIONS[op] if op is not aten.softplus.default or _is_positive(**dict(others)) else Function()
        results = [_apply(op, (others, dtype), known, p) for p in operand.flat_list()]
    else:
        return None
    cells = np.empty(operand.size, dtype=object)
    cells[:] = results
    return PolynomialArray(cells.reshape(operand.polynomials.shape), operand.forms)


def _is_positive(beta: float, threshold: float) -> bool:
    """Whether a softplus is; above a negative threshold it is the identity, below 0 as well."""
    return beta > 0 and threshold >= 0


def _apply(op: OpOverload, others: Hashable, function: Function, p: Polynomial) -> Polynomial:
    forms = p.forms
    low, high = (None if end is None else fmpq(end) for end in (function.low, function.high))
    turned = function.symmetry is not Symmetry.NONE and p.leading < 0
    square: Polynomial | None = None
    if function.partner is not None:
        other = _apply(function.partner, others, _FUNCTIONS[function.partner], p)
        square = forms.constant(fmpq(1)) + other * other * fmpq(function.sign)
    value = forms.unknown((op, others), -p if turned else p, low, high, square)
    if not turned or function.symmetry is Symmetry.EVEN:
        return value
    if function.symmetry is Symmetry.ODD:
        return -value
    return forms.constant(fmpq(1)) - value if function.symmetry is Symmetry.COMPLEMENT else value + p
