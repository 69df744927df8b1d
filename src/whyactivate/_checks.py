"""Checks of plain arguments, each with a message that says what was expected and what came."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from whyactivate.errors import InputError, shorten

LARGEST_SEED = 2**32 - 1
_T = TypeVar("_T")


def check_whole(name: str, value: object, low: int, high: int | None = None) -> int:
    """`value` as an int between `low` and `high` (both allowed).

    Raises:
        InputError: it is a bool, not a whole number, or outside.
    """
    wanted = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    if isinstance(value, bool):
        raise InputError(f"{name} must be {wanted}, but {value!r} came")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{name} must be {wanted}, but {show_value(value)} came") from None
    if number < low or (high is not None and number > high):
        raise InputError(f"{name} must be {wanted}, but {number} came")
    return number


def check_number(name: str, value: object, low: float, high: float = math.inf, *, low_allowed: bool = False) -> float:
    """`value` as a finite float above `low` (or equal to it, where allowed) and below `high`.

    Raises:
        InputError: it is not a number, not finite, or outside.
    """
    wanted = f"a number {'of at least' if low_allowed else 'above'} {low:g}"
    if high < math.inf:
        wanted += f" and below {high:g}"
    if isinstance(value, (bool, str, bytes)):
        raise InputError(f"{name} must be {wanted}, but {show_value(value)} came")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be {wanted}, but {show_value(value)} came") from None
    above = number >= low if low_allowed else number > low
    if not (math.isfinite(number) and above and number < high):
        raise InputError(f"{name} must be {wanted}, but {number} came")
    return number


def check_some(name: str, value: Sequence[_T]) -> Sequence[_T]:
    """`value` if it is a list of at least one thing.

    Raises:
        InputError: it is empty, one text, or no list.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"{name} must be a list, but {show_value(value)} came")
    if not value:
        raise InputError(f"{name} is empty; at least one is needed")
    return value


def check_truth(name: str, value: object) -> bool:
    """`value` if it is True or False.

    Raises:
        InputError: it is anything else.
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, but {show_value(value)} came")
    return value


def check_names(name: str, value: object) -> tuple[str, ...]:
    """`value` as a tuple of texts.

    Raises:
        InputError: it is one text, or nothing that lists any.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list of names, but {show_value(value)} came")
    return tuple(str(each) for each in cast("Iterable[object]", value))


def check_path(what: str, value: object) -> Path:
    """`value` as a path; `what` says of which file, as in "a CSV file".

    Raises:
        InputError: it is neither text nor a path.
    """
    if not isinstance(value, (str, Path)) or not str(value):
        raise InputError(f"path must be the path of {what}, but {show_value(value)} came")
    return Path(value)


def check_seed(value: object) -> int:
    """`value` as a seed, which PyTorch, NumPy and scikit-learn all accept: 0 to 2**32 - 1."""
    return check_whole("seed", value, 0, LARGEST_SEED)


def show_value(value: object) -> str:
    """A value and its class, as an error names them."""
    return f"{shorten(repr(value))} ({type(value).__name__})"
