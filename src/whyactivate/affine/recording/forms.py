"""What a number that came of sizes is for every number of rows, told from what was done to get it."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

Form = Any
"""A plain number; a `Leaf`; or the name of an operation and the forms of its operands."""
Column = np.ndarray[Any, Any]
"""One number for each number of rows."""

_TOO_LARGE = 2.0**62


class Leaf(tuple[Any, ...]):
    """Where a size was asked for, and at which turn there."""

    __slots__ = ()


class UnknownError(Exception):
    """What the number is for other numbers of rows cannot be told."""


def polynomial_through(values: Mapping[int, int | float]) -> tuple[Fraction, ...]:
    """The coefficients of the polynomial of degree 2 at most on which lies what a size was, the constant one first.

    Raises:
        UnknownError: there is none, or it takes one run more to tell.
    """
    points = sorted(values.items())
    slopes = [*itertools.starmap(_slope, itertools.pairwise(points))]
    bends = [
        (later - earlier) / (points[at + 2][0] - points[at][0])
        for at, (earlier, later) in enumerate(itertools.pairwise(slopes))
    ]
    if not slopes:
        return (Fraction(points[0][1]),)
    bend = bends[0] if bends else Fraction(0)
    if any(one != bend for one in bends) or (bend and len(bends) == 1):
        raise UnknownError
    (first, low), (second, _) = points[:2]
    # Newton's form, multiplied out
    return Fraction(low) - slopes[0] * first + bend * first * second, slopes[0] - bend * (first + second), bend


def _slope(one: tuple[int, int | float], other: tuple[int, int | float]) -> Fraction:
    return (Fraction(other[1]) - Fraction(one[1])) / (other[0] - one[0])


def column(form: Form, leaves: Mapping[Leaf, Mapping[int, int | float]], rows: Column) -> Column:
    """What a form is for each of some numbers of rows.

    Args:
        form: the form.
        leaves: what each size was, by the number of rows of the runs in which it was asked for.
        rows: the numbers of rows.

    Raises:
        UnknownError: one of its sizes does not grow evenly with the rows, or the numbers become too large.
    """
    if isinstance(form, Leaf):
        coefficients = polynomial_through(leaves[form])
        numbers = np.asarray(sum(float(one) * rows.astype(float) ** power for power, one in enumerate(coefficients)))
        if not bool((np.abs(numbers) < _TOO_LARGE).all()):
            raise UnknownError
        is_whole = all(type(value) is int for value in leaves[form].values())
        return np.rint(numbers).astype(np.int64) if is_whole else np.asarray(numbers)
    if not isinstance(form, tuple):
        return np.full(len(rows), form)
    name, *operands = form
    columns = [column(operand, leaves, rows) for operand in operands]
    is_whole = all(np.issubdtype(one.dtype, np.integer) for one in columns)
    with np.errstate(all="ignore"):
        if name in _GROWING:
            about = _GROWING[name](*[one.astype(float) for one in columns])
            if not bool((np.abs(about) < _TOO_LARGE).all()):
                raise UnknownError
            if not is_whole or not bool((about == np.rint(about)).all()):
                return about
        return np.asarray(_OPERATIONS[name](*columns))


def is_fixed(form: Form, leaves: Mapping[Leaf, Mapping[int, int | float]]) -> bool:
    """Whether all sizes in a form were the same in every run."""
    if isinstance(form, Leaf):
        return len(set(leaves[form].values())) == 1
    return not isinstance(form, tuple) or all(is_fixed(operand, leaves) for operand in form[1:])


def _whole(to_whole: Callable[[Column], Column]) -> Callable[[Column], Column]:
    return lambda one: to_whole(one).astype(np.int64)


def _as_float(one: Column) -> Column:
    return one.astype(float)


def _bit_length(one: Column) -> Column:
    return np.frexp(np.abs(one).astype(float))[1]


def _shifted(one: Column, other: Column) -> Column:
    return one * 2.0**other


_PLAIN = (
    "add", "sub", "mul", "floordiv", "mod", "truediv", "pow", "and_", "or_", "xor", "lshift", "rshift",
    "lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert",
)  # fmt: skip
_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in _PLAIN},
    "trunc": _whole(np.trunc),
    "floor": _whole(np.floor),
    "ceil": _whole(np.ceil),
    "round": _whole(np.rint),
    "float": _as_float,
    "bit_length": _bit_length,
}
_GROWING: dict[str, Callable[..., Any]] = {"mul": operator.mul, "pow": operator.pow, "lshift": _shifted}
"""What may leave the whole numbers that an array holds, with what tells about how large it becomes."""
