"""CSV files to arrays, with errors that name the line and the column."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyactivate._checks import check_path
from whyactivate.datasets.dataset import Task
from whyactivate.datasets.targets import check_task
from whyactivate.errors import InputError, SettingError, UnknownNameError

_EMPTY = ("", "na", "n/a", "nan", "null", "none", "?")


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds: x (rows, features) float64, y (rows,) numbers or text, the names of x."""

    x: NDArray[np.float64]
    y: NDArray[np.float64] | NDArray[np.str_]
    feature_names: tuple[str, ...]


def read_csv(
    path: str | Path,
    target: str,
    *,
    drop: Sequence[str] = (),
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    task: Task | str | None = None,
) -> Table:
    """The numbers of a CSV file with a header line, and its target column.

    Raises:
        InputError: with the line and the column where it went wrong.
    """
    path, task = check_path("a CSV file", path), check_task(task)
    header, lines = _read(path, delimiter, encoding)
    _check_header(header, path, delimiter)
    if not isinstance(drop, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"drop must be a list of column names, but {drop!r} came")
    dropped = [drop] if isinstance(drop, str) else list(drop)
    for name in (target, *dropped):
        if name not in header:
            raise UnknownNameError(f"column of {path.name}", name, header)
    if target in dropped:
        raise InputError(f"{target!r} is the target and cannot be dropped")
    names = tuple(name for name in header if name != target and name not in dropped)
    if not names:
        raise InputError(f"{path.name} has no column besides the target {target!r}; nothing to predict from")
    if not lines:
        raise InputError(f"{path.name} has a header and no rows")
    columns = {name: [(number, row[i]) for number, row in lines] for i, name in enumerate(header)}
    x = np.array([_numbers(columns[name], name, path, droppable=True) for name in names], dtype=np.float64).T
    return Table(x, _target(columns[target], target, path, task), names)


def _read(path: Path, delimiter: str, encoding: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and every row with the number of the line that it ends on."""
    if not (isinstance(delimiter, str) and len(delimiter) == 1):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"delimiter must be one character, such as ',' or ';'; {delimiter!r} came")
    if not isinstance(encoding, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"encoding must be a name such as 'utf-8', but {encoding!r} came")
    try:
        with path.open(newline="", encoding=encoding) as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except FileNotFoundError:
        raise InputError(f"there is no file {str(path)!r} (looked in {Path.cwd()})") from None
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except (UnicodeError, LookupError) as error:
        name = encoding.removesuffix("-sig")  # what follows a mark that need not be there
        problem = f"{path.name} is not text in {name}: {error}"
        raise SettingError(problem, "encoding", "latin-1", lead="; name its own, as in ") from error
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path.name!r} is not a CSV file: {error}") from error
    if not rows:
        raise InputError(f"{path.name} is empty; a header line and rows are needed")
    (_, header), *body = rows
    for number, row in body:
        if len(row) != len(header):
            raise InputError(f"{path.name}, line {number} has {len(row)} cells; the header has {len(header)}")
    return header, body


def _check_header(header: list[str], path: Path, delimiter: str) -> None:
    if "" in header:
        raise InputError(f"{path.name}: column {header.index('') + 1} has no name in the header line")
    name, times = Counter(header).most_common(1)[0]
    if times > 1:
        raise InputError(f"{path.name}: the header names {name!r} {times} times; every column needs its own name")
    others = [mark for mark in ";\t|," if mark != delimiter and mark in header[0]]
    if len(header) == 1 and others:
        raise SettingError(f"{path.name} has one column, {header[0]!r}", "delimiter", others[0])


def _numbers(cells: list[tuple[int, str]], name: str, path: Path, *, droppable: bool) -> list[float]:
    return [_number(cell, line, name, path, droppable) for line, cell in cells]


def _number(cell: str, line: int, name: str, path: Path, droppable: bool) -> float:
    where = f"{path.name}, line {line}, column {name!r}"
    if cell.lower() in _EMPTY:
        raise InputError(f"{where}: the cell is {'empty' if not cell else repr(cell)}; fill it or leave the line out")
    value = _parse(cell)
    if value is None:
        problem = f"{where} holds text, {cell!r}; turn the column into numbers"
        raise SettingError(problem, "drop", [name], lead=" or pass ") if droppable else InputError(problem)
    if not math.isfinite(value):
        raise InputError(f"{where} holds {cell!r}, which is not a finite number")
    return value


def _parse(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _target(
    cells: list[tuple[int, str]], name: str, path: Path, task: Task | None
) -> NDArray[np.float64] | NDArray[np.str_]:
    """Numbers where (nearly) all cells are numbers, else text; a stray text among numbers is an error."""
    for line, cell in cells:
        if not cell:
            raise InputError(f"{path.name}, line {line}, column {name!r}: the cell is empty; fill it or leave it out")
    numeric = sum(_parse(cell) is not None for _, cell in cells)
    mostly_numbers = 2 * numeric > len(cells) and task is None
    if task is Task.REGRESSION or numeric == len(cells) or mostly_numbers:
        return np.array(_numbers(cells, name, path, droppable=False), dtype=np.float64)
    return np.array([cell for _, cell in cells], dtype=np.str_)
