"""`Dataset`: a training part, a held-out test part, and what their columns mean."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from whyactivate._checks import check_names, check_number
from whyactivate.errors import InputError


class Task(StrEnum):
    """What is predicted: a number (`regression`) or one of several classes (`classification`)."""

    REGRESSION = "regression"
    """A number."""
    CLASSIFICATION = "classification"
    """One of several classes."""


def _empty() -> Tensor:
    """Where nothing was standardised."""
    return torch.zeros(0, dtype=torch.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Training and held-out rows, ready for `train`.

    Attributes:
        name: what to call it.
        train_x: (rows, features), float32.
        train_y: (rows, 1) float32 for regression; (rows,) int64 class numbers for classification.
        test_x: as `train_x`, for rows that training never sees.
        test_y: as `train_y`.
        task: regression or classification.
        classes: the name of each class number; empty for regression.
        feature_names: one name per column of x.
        target_name: the name of what is predicted.
        mean: (features,) float64, subtracted from the columns of x; computed on the training part only.
        scale: (features,) float64, by which they were then divided; 1 for constant columns.
        target_mean: subtracted from y (regression).
        target_scale: by which y was then divided (regression).
        image_shape: (height, width) where the columns of x are the pixels of an image.
        sentence: what the data is, in one sentence.
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    task: Task
    classes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    target_name: str = "y"
    mean: Tensor = field(default_factory=_empty)
    scale: Tensor = field(default_factory=_empty)
    target_mean: float = 0.0
    target_scale: float = 1.0
    image_shape: tuple[int, int] | None = None
    sentence: str = ""

    def __post_init__(self) -> None:
        _check_words(self)
        _check_tensors(self)
        columns = self.features
        if not self.feature_names:
            object.__setattr__(self, "feature_names", tuple(f"x{i}" for i in range(columns)))
        if self.mean.numel() == 0:
            object.__setattr__(self, "mean", torch.zeros(columns, dtype=torch.float64))
        if self.scale.numel() == 0:
            object.__setattr__(self, "scale", torch.ones(columns, dtype=torch.float64))
        if len(self.feature_names) != columns:
            raise InputError(f"{self.name}: {len(self.feature_names)} feature_names for {columns} columns of x")
        for name in ("mean", "scale"):
            if tuple(getattr(self, name).shape) != (columns,):
                came = tuple(getattr(self, name).shape)
                raise InputError(f"{self.name}: {name} must have shape ({columns},), one per column of x; {came} came")
        if not (torch.isfinite(self.mean).all() and torch.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise InputError(f"{self.name}: mean must be finite, and scale finite and above 0, in every column")
        check_number("target_mean", self.target_mean, -math.inf)
        check_number("target_scale", self.target_scale, 0)
        image = cast("object", self.image_shape)
        if image is not None and not (isinstance(image, tuple) and math.prod(cast("tuple[int]", image)) == columns):
            raise InputError(f"{self.name}: an image of shape {image!r} does not have {columns} pixels")

    @property
    def features(self) -> int:
        """The number of columns of x."""
        return self.train_x.shape[1]

    @property
    def outputs(self) -> int:
        """The number of outputs that a network needs: 1 for regression, else one per class."""
        return len(self.classes) if self.task is Task.CLASSIFICATION else 1

    @property
    def standardised(self) -> bool:
        """Whether the columns of x were shifted or scaled."""
        return bool((self.mean != 0).any() or (self.scale != 1).any())

    @staticmethod
    def from_arrays(
        x: object,
        y: object,
        *,
        name: str = "your data",
        task: Task | str | None = None,
        feature_names: Sequence[str] | None = None,
        target_name: str | None = None,
        classes: Sequence[str] | None = None,
        test_fraction: float = 0.25,
        seed: int = 0,
        standardise: bool = True,
    ) -> Dataset:
        """Your own data, from NumPy arrays, PyTorch tensors, lists or pandas objects.

        Args:
            x: (rows, features) numbers.
            y: (rows,) or (rows, 1): numbers, or class labels, which may be text.
            name: what to call the data.
            task: "regression" or "classification"; where None, text, True/False, and whole numbers with
                at most 20 different values are classes, all else is regression.
            feature_names: one per column; taken from x where it has column names, else x0, x1, …
            target_name: the name of y; taken from y where it has one.
            classes: a name for each of the class numbers 0, 1, … in y.
            test_fraction: the part of the rows held out, between 0 and 1.
            seed: fixes which rows are held out; classes keep their shares.
            standardise: shift and scale the columns of x, and y in regression, to mean 0 and variance 1
                over the training part.

        Raises:
            InputError: values are missing or not finite, a column holds text, there is one class only,
                too few rows, or shapes do not fit.
        """
        from whyactivate.datasets.arrays import dataset_from_arrays

        return dataset_from_arrays(
            x, y, name=name, task=task, feature_names=feature_names, target_name=target_name, classes=classes,
            test_fraction=test_fraction, seed=seed, standardise=standardise,
        )  # fmt: skip

    @staticmethod
    def from_csv(
        path: str | Path,
        target: str,
        *,
        drop: Sequence[str] = (),
        delimiter: str = ",",
        encoding: str = "utf-8-sig",
        name: str | None = None,
        task: Task | str | None = None,
        test_fraction: float = 0.25,
        seed: int = 0,
        standardise: bool = True,
    ) -> Dataset:
        """Your own data, from a CSV file with a header line.

        Args:
            path: the file.
            target: the column to predict; its values may be text.
            drop: columns to leave out, such as a row number.
            delimiter: what separates the columns.
            encoding: of the file.
            name: what to call the data; the file's name where None.
            task: as in `from_arrays`.
            test_fraction: as in `from_arrays`.
            seed: as in `from_arrays`.
            standardise: as in `from_arrays`.

        Raises:
            InputError: the file cannot be read, a column is missing, named twice or holds text, a cell is
                empty or not finite, a line is too long or too short, or anything that `from_arrays` refuses.
        """
        from whyactivate.datasets.files import read_csv

        table = read_csv(path, target, drop=drop, delimiter=delimiter, encoding=encoding, task=task)
        return Dataset.from_arrays(
            table.x, table.y, name=name or Path(path).stem, task=task, feature_names=table.feature_names,
            target_name=target, test_fraction=test_fraction, seed=seed, standardise=standardise,
        )  # fmt: skip

    def __str__(self) -> str:
        kind = f"{len(self.classes)} classes" if self.task is Task.CLASSIFICATION else "regression"
        shape = f"{len(self.train_x)} training and {len(self.test_x)} test rows, {_count(self.features, 'feature')}"
        return f"{self.name}: {shape}, {kind}{', standardised' if self.standardised else ''}"

    def __repr__(self) -> str:
        return f"<Dataset {self}>"

    def _repr_html_(self) -> str:
        title, facts = html.escape(self.name), html.escape(str(self).removeprefix(f"{self.name}: "))
        more = f"<br>{html.escape(self.sentence)}" if self.sentence else ""
        return f"<p><b>{title}</b>: {facts}{more}</p>"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _check_words(data: Dataset) -> None:
    """Refuse what is no name, no list of names and no number; what tensors must be is asked later."""
    for name in ("name", "target_name", "sentence"):
        if not isinstance(getattr(data, name), str):
            raise InputError(f"{name} must be text, but {getattr(data, name)!r} came")
    for name in ("classes", "feature_names"):
        object.__setattr__(data, name, check_names(name, getattr(data, name)))
    for name in ("mean", "scale"):
        if not isinstance(getattr(data, name), Tensor):
            raise InputError(f"{name} must be a tensor with a number for each column; {getattr(data, name)!r} came")


def _check_tensors(data: Dataset) -> None:
    """Refuse tensors that no trainer could use; `from_arrays` makes the right ones."""
    if data.task not in tuple(Task):
        raise InputError(f"task must be a Task, regression or classification, but {data.task!r} came")
    object.__setattr__(data, "task", Task(data.task))
    numbers = data.task is Task.REGRESSION
    if not numbers and len(data.classes) < 2:
        raise InputError(f"{data.name}: classification needs at least two classes; {data.classes!r} came")
    for part in ("train", "test"):
        x, y = (cast(object, getattr(data, f"{part}_{letter}")) for letter in "xy")
        if not isinstance(x, Tensor) or x.dtype != torch.float32 or x.ndim != 2 or 0 in x.shape:
            raise InputError(f"{part}_x must be float32 of shape (rows, features); {_describe(x)} came")
        wanted = (torch.float32, (len(x), 1)) if numbers else (torch.int64, (len(x),))
        if not isinstance(y, Tensor) or (y.dtype, tuple(y.shape)) != wanted:
            raise InputError(f"{part}_y must be {wanted[0]} of shape {wanted[1]}; {_describe(y)} came")
        if x.is_meta or y.is_meta:
            raise InputError(f"{part}_x or {part}_y is on the meta device, which holds no values")
        if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
            raise InputError(f"{part}_x or {part}_y holds nan or infinity; use Dataset.from_arrays to find where")
        if not numbers and (int(y.min()) < 0 or int(y.max()) >= len(data.classes)):
            raise InputError(f"{part}_y must hold class numbers from 0 to {len(data.classes) - 1}")
    if data.test_x.shape[1] != data.train_x.shape[1]:
        raise InputError(f"train_x has {data.train_x.shape[1]} columns and test_x {data.test_x.shape[1]}")


def _describe(value: object) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
