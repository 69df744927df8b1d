"""Arrays of any kind to float64 columns; whatever is no finite number is refused with its place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyactivate._checks import check_names
from whyactivate.errors import InputError

Floats = NDArray[np.float64]
MISSING = ("NoneType", "NAType", "NaTType")


def names_of_columns(feature_names: Sequence[str] | None, x: object) -> tuple[str, ...]:
    """The names of the columns, from the argument or from x itself; () where there are none."""
    names = check_names("feature_names", getattr(x, "columns", ()) if feature_names is None else feature_names)
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{times} columns of x are named {name!r}; every column needs its own name")
    return names


def check_table(x: object, names: tuple[str, ...] = ()) -> Floats:
    """The values of x as float64 of shape (rows, features), every value finite."""
    array = to_array(x, "x")
    if array.ndim != 2:
        hint = "; for one feature use x.reshape(-1, 1)" if array.ndim == 1 else ""
        raise InputError(f"x must be a table of shape (rows, features); shape {array.shape} came{hint}")
    if 0 in array.shape:
        raise InputError(f"x is empty: shape {array.shape} came, (rows, features) with at least one of each is needed")
    if names and len(names) != array.shape[1]:
        raise InputError(f"there are {len(names)} feature names for {array.shape[1]} columns of x")
    table = np.empty(array.shape, dtype=np.float64)
    for j in range(array.shape[1]):
        table[:, j] = to_floats(array[:, j], f"x, column {j} ({names[j]!r})" if names else f"x, column {j}")
    check_finite(table, names)
    return table


def to_array(values: object, letter: str) -> NDArray[Any]:
    """A NumPy array with at least one axis, from whatever holds numbers or labels."""
    if isinstance(values, Tensor):
        values = _tensor_to_array(values, letter)
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


def _tensor_to_array(values: Tensor, letter: str) -> NDArray[Any]:
    try:
        values = values.detach().cpu().to_dense().resolve_conj().resolve_neg()
        return values.to(torch.float64).numpy() if values.is_floating_point() else values.numpy()
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"{letter} must hold plain numbers, but a tensor of {values.dtype} and layout {values.layout} on "
            f"{values.device} came, whose values cannot be read: {next(iter(str(error).splitlines()), '')}"
        ) from error


def to_floats(column: NDArray[Any], where: str) -> Floats:
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
            result[row] = math.nan if type(value).__name__ in MISSING else float(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where} holds {type(value).__name__} in row {row}, not a number") from None
    return result


def check_finite(table: Floats, names: tuple[str, ...], where: str = "x") -> None:
    """Raises InputError where a value is nan or infinite, saying where the first one is."""
    bad = np.argwhere(~np.isfinite(table))
    if len(bad) == 0:
        return
    row, column = (int(i) for i in bad[0])
    what = "a missing value (nan)" if math.isnan(table[row, column]) else "infinity"
    place = f"row {row}" if where == "y" else f"row {row}, column {column}" + (f" ({names[column]!r})" if names else "")
    more = f", and {len(bad) - 1} more such values" if len(bad) > 1 else ""
    raise InputError(f"{where} holds {what} in {place}{more} (counting from 0): fill it or leave the row out")
