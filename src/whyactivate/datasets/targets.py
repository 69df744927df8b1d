"""Arrays of any kind to what the task predicts: numbers, or class numbers with their names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyactivate._checks import check_names
from whyactivate.datasets.columns import MISSING, check_finite, to_array, to_floats
from whyactivate.datasets.dataset import Task
from whyactivate.errors import InputError, SettingError, UnknownNameError

FEWEST_ROWS = 4
_LARGEST_LABEL = 2.0**53  # beyond, floats skip whole numbers
MOST_GUESSED_CLASSES = 20


@dataclass(frozen=True, slots=True)
class Target:
    """y as the task needs it: float64 values, or int64 class numbers with their names."""

    values: NDArray[Any]
    task: Task
    classes: tuple[str, ...] = ()


def check_target(y: object, rows: int, task: Task | str | None, classes: Sequence[str] | None = None) -> Target:
    """The values of y as numbers or as class numbers, one per row of x."""
    task = check_task(task)
    given = None if classes is None else check_names("classes", classes)
    array = to_array(y, "y")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"y must have one value per row, shape (rows,) or (rows, 1); shape {array.shape} came")
    if len(array) != rows:
        raise InputError(f"x has {rows} rows and y has {len(array)}; they must be equally long")
    if rows < FEWEST_ROWS:
        raise InputError(f"{rows} rows are too few to train on some and hold out others: at least {FEWEST_ROWS} needed")
    if classes is not None and task is Task.REGRESSION:
        raise InputError("regression has no classes: leave out classes= or task=")
    guessed = task is None
    task = task or (Task.CLASSIFICATION if classes is not None else _guess_task(array))
    if task is Task.REGRESSION:
        values = to_floats(array, "y")
        check_finite(values[:, None], ("y",), where="y")
        return Target(values, task)
    values, found = _number_classes(array, given, guessed)
    return Target(values, task, found)


def check_task(task: Task | str | None) -> Task | None:
    """`task` as a `Task`."""
    if task is None or task in tuple(Task):
        return None if task is None else Task(task)
    raise UnknownNameError("task", task, [str(known) for known in Task])


def _guess_task(array: NDArray[Any]) -> Task:
    if array.dtype.kind in "UOSb" and not all(isinstance(v, (int, float)) for v in array.tolist()):
        texts = sum(isinstance(v, (str, bytes, bool)) for v in array.tolist())
        return Task.CLASSIFICATION if texts else Task.REGRESSION
    values = to_floats(array, "y")
    whole = bool(np.all(np.isfinite(values)) and np.all(values == np.round(values)))
    few = len(np.unique(values)) <= MOST_GUESSED_CLASSES
    return Task.CLASSIFICATION if array.dtype.kind == "b" or (whole and few) else Task.REGRESSION


def _number_classes(
    array: NDArray[Any], given: tuple[str, ...] | None, guessed: bool
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers and names, in the order of the labels (numbers by value, text by alphabet)."""
    labels = [_label(value, row) for row, value in enumerate(array.tolist())]
    texts = any(isinstance(label, str) for label in labels)
    kinds: list[Any] = sorted({str(v) for v in labels}) if texts else sorted(set(labels))
    if given is not None:
        if texts or kinds != list(range(len(given))):
            raise InputError(
                f"{len(given)} classes are named, so y must hold every class number from 0 to {len(given) - 1}; "
                f"it holds {_list(kinds)}"
            )
        names = given
        if len(set(names)) < len(names):
            raise InputError(f"every class needs its own name, but {_list(list(names))} came")
    else:
        names = tuple(str(kind) for kind in kinds)
    maybe_quantity = guessed and not texts
    if len(kinds) < 2:
        raise _too_few(f"y holds one class only, {names[0]!r}: at least two are needed", maybe_quantity)
    number = {kind: i for i, kind in enumerate(kinds)}
    values = np.array([number[str(v) if texts else v] for v in labels], dtype=np.int64)
    counts = np.bincount(values)
    if counts.min() < 2:
        rare = names[int(counts.argmin())]
        raise _too_few(
            f"class {rare!r} has {counts.min()} row: at least two are needed, one to train on and one to test on",
            maybe_quantity,
        )
    return values, names


def _too_few(problem: str, maybe_quantity: bool) -> InputError:
    if not maybe_quantity:
        return InputError(problem)
    return SettingError(problem, "task", str(Task.REGRESSION), lead="; if y is a quantity, pass ")


def _label(value: Any, row: int) -> str | int | bool:
    if type(value).__name__ in MISSING or value in ("", b"") or (isinstance(value, float) and math.isnan(value)):
        raise InputError(f"y has no label in row {row} (counting from 0): fill it or leave the row out")
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_LABEL:
        return int(value)
    if isinstance(value, float):
        problem = f"y holds {value!r} in row {row}, which is no class"
        raise SettingError(problem, "task", str(Task.REGRESSION), lead="; if y is a quantity, pass ")
    return str(value)


def _list(kinds: list[Any]) -> str:
    shown = ", ".join(repr(kind) for kind in kinds[:10])
    return shown + (", …" if len(kinds) > 10 else "")
