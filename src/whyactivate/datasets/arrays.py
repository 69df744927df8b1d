"""Arrays of any kind to a `Dataset`: checked, split, and standardised on the training part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyactivate._checks import check_number, check_seed, check_truth
from whyactivate.datasets.columns import Floats, check_table, names_of_columns
from whyactivate.datasets.dataset import Dataset, Task
from whyactivate.datasets.scikit import import_scikit
from whyactivate.datasets.targets import Target, check_target
from whyactivate.errors import InputError, SettingError


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
    check_truth("standardise", standardise)
    names = names_of_columns(feature_names, x)
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


def split_rows(target: Target, test_fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers of the training and the test part; classes keep their shares.

    Raises:
        InputError: a part would be empty, or a class absent from one of them.
    """
    train_test_split = import_scikit("model_selection").train_test_split
    rows, kinds = len(target.values), max(1, len(target.classes))
    test_rows = math.ceil(test_fraction * rows)
    train_rows = rows - test_rows
    if min(test_rows, train_rows) < kinds:
        raise SettingError(
            f"{test_fraction:g} of {rows} rows held out leaves {train_rows} to train on and {test_rows} to test on"
            + (f", too few for {kinds} classes" if kinds > 1 else "")
            + "; bring more rows",
            "test_fraction",
            lead=" or change ",
        )
    labels = target.values if target.task is Task.CLASSIFICATION else None
    train, test = cast(
        tuple[NDArray[np.intp], NDArray[np.intp]],
        train_test_split(np.arange(rows), test_size=test_rows, random_state=seed, stratify=labels),
    )
    return train, test


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
