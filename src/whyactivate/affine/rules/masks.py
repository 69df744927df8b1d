"""Comparisons and choices: what is true is held as 1, what is false as 0, what is not known as all between."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import torch

from whyactivate.affine.rules.places import in_one_arithmetic
from whyactivate.affine.rules.rule import Label, NoValue, depends
from whyactivate.affine.rules.table import nonlinear
from whyactivate.affine.tape import Argument, Constant, Value
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten


def select(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition is 1, `no` where it is 0, and what encloses both where that is not known."""
    c, a, b = in_one_arithmetic([condition, yes, no])
    if isinstance(c, ExactArray):
        return ExactArray.where(c == 1, a, b)
    return type(c).where(c == 1, c == 0, a, b)


def _mask(a: Any, b: Any, certainly: Callable[[Any, Any], Any], certainly_not: Callable[[Any, Any], Any]) -> Any:
    """1 where the first holds for certain, 0 where the second does."""
    x, y = in_one_arithmetic([a, b])
    one, zero = (type(x).from_fraction(number) for number in (1, 0))
    if isinstance(x, ExactArray):
        return ExactArray(certainly(x, y).astype(int).astype(object))
    return type(x).where(certainly(x, y), certainly_not(x, y), one, zero)


def greater(a: Any, b: Any) -> Any:
    """1 where a > b."""
    return _mask(a, b, lambda x, y: x > y, lambda x, y: x <= y)


def at_least(a: Any, b: Any) -> Any:
    """1 where a ≥ b."""
    return _mask(a, b, lambda x, y: x >= y, lambda x, y: x < y)


def precedes(a: Any, b: Any) -> Any:
    """1 where a < b, 0 where a > b; of equal numbers nothing is known.

    Raises:
        NoValue: exact numbers are equal.
    """
    first, second = in_one_arithmetic([a, b])
    if isinstance(first, ExactArray) and (first == second).any():
        raise NoValue("two numbers are equal, so that either may come first")
    return _mask(first, second, lambda x, y: x < y, lambda x, y: x > y)


def equal(a: Any, b: Any) -> Any:
    """1 where a = b."""
    return _mask(a, b, lambda x, y: x == y, lambda x, y: x != y)


def unequal(a: Any, b: Any) -> Any:
    """1 where a ≠ b."""
    return _mask(a, b, lambda x, y: x != y, lambda x, y: x == y)


def floor(array: Any) -> Any:
    """The largest whole numbers not above."""
    if isinstance(array, ExactArray):
        return ExactArray(array.ints * array.unit.numerator // array.unit.denominator)
    return array.floor()


_KINK: dict[str, Any] = {
    "label": Label.PIECEWISE,
    "gives_whole": True,
    "kinks": ("other",),
    "unbounded": frozenset({"other"}),
}


@nonlinear(aten.gt.Scalar, aten.gt.Tensor, **_KINK)
def gt(self: Any, other: Any, call: Any) -> Any:
    return _compared(self, other, call, operator.gt, greater)


@nonlinear(aten.ge.Scalar, aten.ge.Tensor, **_KINK)
def ge(self: Any, other: Any, call: Any) -> Any:
    return _compared(self, other, call, operator.ge, at_least)


@nonlinear(aten.lt.Scalar, aten.lt.Tensor, **_KINK)
def lt(self: Any, other: Any, call: Any) -> Any:
    return _compared(self, other, call, operator.lt, lambda a, b: greater(b, a))


@nonlinear(aten.le.Scalar, aten.le.Tensor, **_KINK)
def le(self: Any, other: Any, call: Any) -> Any:
    return _compared(self, other, call, operator.le, lambda a, b: at_least(b, a))


@nonlinear(aten.eq.Scalar, aten.eq.Tensor, **_KINK)
def eq(self: Any, other: Any, call: Any) -> Any:
    return _compared(self, other, call, operator.eq, equal)


@nonlinear(aten.ne.Scalar, aten.ne.Tensor, **_KINK)
def ne(self: Any, other: Any, call: Any) -> Any:
    return _compared(self, other, call, operator.ne, unequal)


def _compared(
    self: Any, other: Any, call: Any, holds: Callable[[Any, Any], bool], compare: Callable[[Any, Any], Any]
) -> Any:
    """A comparison; with infinity, or of numbers with themselves, it comes out alike for all numbers that there are."""
    one, two = call.arguments["self"], call.arguments["other"]
    if isinstance(two, float) and math.isinf(two):
        return _wherever_finite(self, holds(0.0, two))
    if isinstance(one, Value) and one == two:
        return _wherever_finite(self, holds(0.0, 0.0))
    return compare(self, other)


def _wherever_finite(array: Any, answer: bool) -> Any:
    """The answer, not known where it is not known that there is a number."""
    if isinstance(array, ExactArray):
        return array * 0 + int(answer)
    one, zero = (type(array).from_fraction(number) for number in (1, 0))
    known = array.is_finite()
    return type(array).where(known & answer, known & (not answer), one, zero)


@nonlinear(aten.logical_not.default, label=Label.PIECEWISE, gives_whole=True)
def logical_not(self: Any) -> Any:
    return equal(self, 0)


@nonlinear(aten.logical_and.default, label=Label.PIECEWISE, gives_whole=True)
def logical_and(self: Any, other: Any) -> Any:
    return unequal(self, 0).minimum(unequal(other, 0))


@nonlinear(aten.logical_or.default, label=Label.PIECEWISE, gives_whole=True)
def logical_or(self: Any, other: Any) -> Any:
    return unequal(self, 0).maximum(unequal(other, 0))


def _are_masks(arguments: Mapping[str, Argument]) -> str | None:
    values = [argument.geometry.dtype for argument in arguments.values() if isinstance(argument, Value)]
    constants = [argument.tensor.dtype for argument in arguments.values() if isinstance(argument, Constant)]
    masks = all(dtype == torch.bool for dtype in (*values, *constants))
    return None if masks else "operations on the bits of numbers have no formula"


_BITS: dict[str, Any] = {"label": Label.PIECEWISE, "gives_whole": True, "when": _are_masks}


@nonlinear(aten.bitwise_not.default, **_BITS)
def bitwise_not(self: Any) -> Any:
    return equal(self, 0)


@nonlinear(aten.bitwise_and.Tensor, **_BITS)
def bitwise_and(self: Any, other: Any) -> Any:
    return logical_and(self, other)


@nonlinear(aten.bitwise_or.Tensor, **_BITS)
def bitwise_or(self: Any, other: Any) -> Any:
    return logical_or(self, other)


@nonlinear(aten.logical_xor.default, label=Label.PIECEWISE, gives_whole=True)
def logical_xor(self: Any, other: Any) -> Any:
    return unequal(unequal(self, 0), unequal(other, 0))


@nonlinear(aten.bitwise_xor.Tensor, **_BITS)
def bitwise_xor(self: Any, other: Any) -> Any:
    return logical_xor(self, other)


@nonlinear(aten.isnan.default, aten.isinf.default, label=Label.PIECEWISE, gives_whole=True)
def is_no_number(self: Any) -> Any:
    """False for every real number; where it is not known that there is one, that is not known either."""
    return _wherever_finite(self, False)


# -- steps ------------------------------------------------------------------------------------------------------------


@nonlinear(aten.sign.default, aten.sgn.default, label=Label.PIECEWISE, kinks=(0.0,))
def sign(self: Any) -> Any:
    return greater(self, 0) - greater(0, self)


@nonlinear(aten.heaviside.default, label=Label.PIECEWISE, kinks=(0.0,))
def heaviside(self: Any, values: Any) -> Any:
    return greater(self, 0) + equal(self, 0) * values


@nonlinear(aten.floor.default, label=Label.PIECEWISE)
def floor_(self: Any) -> Any:
    return floor(self)


@nonlinear(aten.ceil.default, label=Label.PIECEWISE)
def ceil(self: Any) -> Any:
    return -floor(-self)


@nonlinear(aten.trunc.default, label=Label.PIECEWISE)
def trunc(self: Any) -> Any:
    return towards_zero(self)


def towards_zero(array: Any) -> Any:
    """The whole numbers that are left when the places after the point are cut off."""
    return floor(array.maximum(0)) - floor((-array).maximum(0))


@nonlinear(aten.frac.default, label=Label.PIECEWISE)
def frac(self: Any) -> Any:
    return self - towards_zero(self)


@nonlinear(aten.copysign.Tensor, aten.copysign.Scalar, label=Label.PIECEWISE)
def copysign(self: Any, other: Any) -> Any:
    """Of a 0 the sign is that of its bits, and not known here."""
    return abs(self) * (precedes(0, other) * 2 - 1)


@nonlinear(aten.round.decimals, label=Label.PIECEWISE)
def round_to_decimals(self: Any, decimals: int) -> Any:
    step = Fraction(10) ** -decimals
    return round_(self / step) * step


@nonlinear(aten.round.default, label=Label.PIECEWISE)
def round_(self: Any) -> Any:
    below = floor(self + Fraction(1, 2))
    is_half = equal(self + Fraction(1, 2), below)
    is_odd = below - floor(below / 2) * 2
    return below - is_half * is_odd


def _divided(a: Any, b: Any, rounding_mode: str | None) -> Any:
    quotient = a / b
    if rounding_mode is None:
        return quotient
    return floor(quotient) if rounding_mode == "floor" else towards_zero(quotient)


def _divides(arguments: Mapping[str, Argument]) -> bool:
    return depends(arguments["other"])


_QUOTIENT: dict[str, Any] = {"label": Label.PIECEWISE, "smooth_when": _divides}


@nonlinear(aten.div.Tensor_mode, aten.div.Scalar_mode, **_QUOTIENT)
def div_mode(self: Any, other: Any, rounding_mode: str | None) -> Any:
    return _divided(self, other, rounding_mode)


@nonlinear(aten.floor_divide.default, aten.floor_divide.Scalar, **_QUOTIENT)
def floor_divide(self: Any, other: Any) -> Any:
    return _divided(self, other, "floor")


@nonlinear(aten.remainder.Tensor, aten.remainder.Scalar, **_QUOTIENT)
def remainder(self: Any, other: Any) -> Any:
    return self - _divided(self, other, "floor") * other


@nonlinear(aten.fmod.Tensor, aten.fmod.Scalar, **_QUOTIENT)
def fmod(self: Any, other: Any) -> Any:
    return self - _divided(self, other, "trunc") * other
