"""Arrays of any kind to a `Dataset`: checked, split, and standardised on the training part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyactivate._checks import check_number, check_seed
from whyactivate.datasets.dataset import Dataset, Task
from whyactivate.errors import InputError, UnknownNameError

Floats = NDArray[np.float64]
FEWEST_ROWS = 4
MOST_GUESSED_CLASSES = 20
_MISSING = ("NoneType", "NAType", "NaTType")


@dataclass(frozen=True, slots=True)
class Target:
    """y as the task needs it: float64 values, or int64 class numbers with their names."""

    values: NDArray[Any]
    task: Task
    classes: tuple[str, ...] = ()


def dataset_from_arrays(
    x: object,
    y: object,
    *,
    name: str,
    task: Task | str | None,
    feature_names: Sequence[str] | None,
    target_name: str | None,
    classes: Sequence[str] | None,
    test_fraction: float,
    seed: int,
    standardise: bool,
    image_shape: tuple[int, int] | None = None,
    sentence: str = "",
) -> Dataset:
    """The work of `Dataset.from_arrays`."""
    if not isinstance(standardise, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"standardise must be True or False, but {standardise!r} came")
    names = check_names(feature_names, x)
    table = check_table(x, names)
    names = names or tuple(f"x{i}" for i in range(table.shape[1]))
    target = check_target(y, len(table), task, classes)
    train, test = split_rows(target, check_number("test_fraction", test_fraction, 0, 1), check_seed(seed))
    mean, scale = _mean_and_scale(table[train]) if standardise else _no_change(table.shape[1])
    target_mean, target_scale = 0.0, 1.0
    if standardise and target.task is Task.REGRESSION:
        means, scales = _mean_and_scale(target.values[train][:, None])
        target_mean, target_scale = float(means[0]), float(scales[0])
    values = target.values
    if target.task is Task.REGRESSION:
        values = ((values - target_mean) / target_scale)[:, None]
    return Dataset(
        name=str(name),
        train_x=_to_float32((table[train] - mean) / scale, "x"),
        train_y=_to_tensor(values[train], target.task),
        test_x=_to_float32((table[test] - mean) / scale, "x"),
        test_y=_to_tensor(values[test], target.task),
        task=target.task,
        classes=target.classes,
        feature_names=names,
        target_name=target_name or str(getattr(y, "name", None) or "y"),
        mean=torch.from_numpy(mean),
        scale=torch.from_numpy(scale),
        target_mean=target_mean,
        target_scale=target_scale,
        image_shape=image_shape,
        sentence=sentence,
    )


def check_names(feature_names: Sequence[str] | None, x: object) -> tuple[str, ...]:
    """The names of the columns, from the argument or from x itself; () where there are none."""
    if isinstance(feature_names, str):
        raise InputError(f"feature_names must be a list of names, one per column; the text {feature_names!r} came")
    columns = getattr(x, "columns", None) if feature_names is None else feature_names
    names = () if columns is None else tuple(str(column) for column in columns)
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{times} columns of x are named {name!r}; every column needs its own name")
    return names


def check_table(x: object, names: tuple[str, ...] = ()) -> Floats:
    """The values of x as float64 of shape (rows, features), every value finite."""
    array = _to_array(x, "x")
    if array.ndim != 2:
        hint = "; for one feature use x.reshape(-1, 1)" if array.ndim == 1 else ""
        raise InputError(f"x must be a table of shape (rows, features); shape {array.shape} came{hint}")
    if 0 in array.shape:
        raise InputError(f"x is empty: shape {array.shape} came, (rows, features) with at least one of each is needed")
    if names and len(names) != array.shape[1]:
        raise InputError(f"there are {len(names)} feature names for {array.shape[1]} columns of x")
    table = np.empty(array.shape, dtype=np.float64)
    for j in range(array.shape[1]):
        table[:, j] = _to_floats(array[:, j], f"x, column {j} ({names[j]!r})" if names else f"x, column {j}")
    _check_finite(table, names)
    return table


def check_target(y: object, rows: int, task: Task | str | None, classes: Sequence[str] | None = None) -> Target:
    """The values of y as numbers or as class numbers, one per row of x."""
    task = check_task(task)
    array = _to_array(y, "y")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"y must have one value per row, shape (rows,) or (rows, 1); shape {array.shape} came")
    if len(array) != rows:
        raise InputError(f"x has {rows} rows and y has {len(array)}; they must be equally long")
    if rows < FEWEST_ROWS:
        raise InputError(f"{rows} rows are too few to train on some and hold out others: at least {FEWEST_ROWS} needed")
    guessed = task is None
    task = task or (Task.CLASSIFICATION if classes is not None else _guess_task(array))
    if task is Task.REGRESSION:
        values = _to_floats(array, "y")
        _check_finite(values[:, None], ("y",), where="y")
        return Target(values, task)
    values, found = _number_classes(array, classes, guessed)
    return Target(values, task, found)


def check_task(task: Task | str | None) -> Task | None:
    """`task` as a `Task`."""
    if task is None or task in tuple(Task):
        return None if task is None else Task(task)
    raise UnknownNameError("task", task, [str(known) for known in Task])


def split_rows(target: Target, test_fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers of the training and the test part; classes keep their shares.

    Raises:
        InputError: a part would be empty, or a class absent from one of them.
    """
    from sklearn.model_selection import train_test_split  # slow to import

    rows, kinds = len(target.values), max(1, len(target.classes))
    test_rows = math.ceil(test_fraction * rows)
    train_rows = rows - test_rows
    if min(test_rows, train_rows) < kinds:
        raise InputError(
            f"test_fraction {test_fraction:g} of {rows} rows leaves {train_rows} to train on and {test_rows} to test on"
            + (f", too few for {kinds} classes" if kinds > 1 else "")
            + "; change test_fraction or bring more rows"
        )
    labels = target.values if target.task is Task.CLASSIFICATION else None
    train, test = cast(
        tuple[NDArray[np.intp], NDArray[np.intp]],
        train_test_split(np.arange(rows), test_size=test_rows, random_state=seed, stratify=labels),
    )
    return train, test


def _to_array(values: object, letter: str) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.to(torch.float64).numpy() if values.is_floating_point() else values.numpy()
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):  # type: ignore[no-untyped-call]
        raise InputError(f"{letter} is a masked array with masked values: fill them or leave these rows out")
    to_dense = getattr(values, "toarray", None)
    if to_dense is not None:
        values = to_dense()
    try:
        array = np.asarray(values)
        if array.dtype.kind in "US" and isinstance(values, (list, tuple)):
            array = np.asarray(values, dtype=object)  # NumPy had turned the numbers beside a text into text
    except ValueError as error:
        raise InputError(f"{letter} is not a table of equally long rows: {error}") from error
    if array.ndim == 0:
        raise InputError(f"{letter} must be an array with one row per example; {type(values).__name__} came")
    return array


def _to_floats(column: NDArray[Any], where: str) -> Floats:
    """One column as float64; missing values become nan."""
    if column.dtype.kind in "buif":
        return column.astype(np.float64)
    if column.dtype.kind in "cMmV":
        raise InputError(f"{where} holds {column.dtype}, not real numbers")
    result = np.empty(len(column), dtype=np.float64)
    for row, value in enumerate(column):
        if isinstance(value, (str, bytes)):
            raise InputError(f"{where} holds text, {str(value)!r} in row {row}: turn it into numbers or leave it out")
        try:
            result[row] = math.nan if type(value).__name__ in _MISSING else float(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where} holds {type(value).__name__} in row {row}, not a number") from None
    return result


def _check_finite(table: Floats, names: tuple[str, ...], where: str = "x") -> None:
    bad = np.argwhere(~np.isfinite(table))
    if len(bad) == 0:
        return
    row, column = (int(i) for i in bad[0])
    what = "a missing value (nan)" if math.isnan(table[row, column]) else "infinity"
    place = f"row {row}" if where == "y" else f"row {row}, column {column}" + (f" ({names[column]!r})" if names else "")
    more = f", and {len(bad) - 1} more such values" if len(bad) > 1 else ""
    raise InputError(f"{where} holds {what} in {place}{more} (counting from 0): fill it or leave the row out")


def _guess_task(array: NDArray[Any]) -> Task:
    if array.dtype.kind in "UOSb" and not all(isinstance(v, (int, float)) for v in array.tolist()):
        texts = sum(isinstance(v, (str, bytes, bool)) for v in array.tolist())
        return Task.CLASSIFICATION if texts else Task.REGRESSION
    values = _to_floats(array, "y")
    whole = bool(np.all(np.isfinite(values)) and np.all(values == np.round(values)))
    few = len(np.unique(values)) <= MOST_GUESSED_CLASSES
    return Task.CLASSIFICATION if array.dtype.kind == "b" or (whole and few) else Task.REGRESSION


def _number_classes(
    array: NDArray[Any], classes: Sequence[str] | None, guessed: bool
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers and names, in the order of the labels (numbers by value, text by alphabet)."""
    labels = [_label(value, row) for row, value in enumerate(array.tolist())]
    texts = any(isinstance(label, str) for label in labels)
    kinds: list[Any] = sorted({str(v) for v in labels}) if texts else sorted(set(labels))
    if classes is not None:
        if texts or kinds != list(range(len(classes))):
            raise InputError(
                f"{len(classes)} classes are named, so y must hold every class number from 0 to {len(classes) - 1}; "
                f"it holds {_list(kinds)}"
            )
        names = tuple(str(name) for name in classes)
    else:
        names = tuple(str(kind) for kind in kinds)
    hint = '; if y is a quantity, pass task="regression"' if guessed and not texts else ""
    if len(kinds) < 2:
        raise InputError(f"y holds one class only, {names[0]!r}: at least two are needed{hint}")
    number = {kind: i for i, kind in enumerate(kinds)}
    values = np.array([number[str(v) if texts else v] for v in labels], dtype=np.int64)
    counts = np.bincount(values)
    if counts.min() < 2:
        rare = names[int(counts.argmin())]
        raise InputError(
            f"class {rare!r} has {counts.min()} row: at least two are needed, one to train on and one to test on{hint}"
        )
    return values, names


def _label(value: Any, row: int) -> str | int | bool:
    if type(value).__name__ in _MISSING or value in ("", b"") or (isinstance(value, float) and math.isnan(value)):
        raise InputError(f"y has no label in row {row} (counting from 0): fill it or leave the row out")
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, float):
        raise InputError(f'y holds {value!r} in row {row}, which is no class; pass task="regression" for quantities')
    return str(value)


def _list(kinds: list[Any]) -> str:
    shown = ", ".join(repr(kind) for kind in kinds[:10])
    return shown + (", …" if len(kinds) > 10 else "")


def _mean_and_scale(table: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column; a constant column has scale 1."""
    constant = table.max(axis=0) == table.min(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(constant, table[0], table.mean(axis=0))
        scale = np.where(constant, 1.0, table.std(axis=0))
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise InputError("values are too large to compute a mean and a variance: divide them by a constant first")
    return mean, np.where(scale == 0, 1.0, scale)


def _no_change(columns: int) -> tuple[Floats, Floats]:
    return np.zeros(columns), np.ones(columns)


def _to_tensor(values: NDArray[Any], task: Task) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)) if task is Task.CLASSIFICATION else _to_float32(values, "y")


def _to_float32(values: Floats, letter: str) -> Tensor:
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    if not np.isfinite(result).all():
        raise InputError(
            f"{letter} holds values too large for float32 (3.4e38) or, once standardised, too far from the training "
            "rows: rescale it, or look for a column that hardly varies but for a few rows"
        )
    return torch.from_numpy(result)
