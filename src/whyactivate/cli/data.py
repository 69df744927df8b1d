"""The data set that a command is given: one by name, or a CSV file with the options that say how to read it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.errors import InputError, SettingError

if TYPE_CHECKING:
    from whyactivate.datasets import Dataset

Target = Annotated[str | None, typer.Option(help="The column of the CSV file to predict.")]
Drop = Annotated[list[str] | None, typer.Option(help="A column of the CSV file to leave out (repeatable).")]
Task = Annotated[
    str | None,
    typer.Option(help="Of the CSV file: regression or classification; told from its target where left out."),
]
Delimiter = Annotated[str, typer.Option(help="What separates the columns of the CSV file; \\t for a tab.")]
Encoding = Annotated[str | None, typer.Option(help="Of the CSV file, as in latin-1; UTF-8 where left out.")]


def load_data(
    data: str, target: str | None, drop: list[str] | None, task: str | None, delimiter: str, encoding: str | None,
    seed: int,
) -> Dataset:  # fmt: skip
    """The data set of that name, or the CSV file at that path.

    Raises:
        InputError: there is neither, the file cannot be used, or its target is not named.
    """
    from whyactivate.datasets import DATASETS, Dataset, load_dataset

    if not data.strip():
        raise InputError(f"no data set is named: expected one of {', '.join(DATASETS)}, or the path of a CSV file")
    path = Path(data)
    if data in DATASETS or not (path.suffix.lower() == ".csv" or path.exists() or target is not None):
        for option, given in (("--target", target), ("--drop", drop), ("--task", task), ("--encoding", encoding)):
            if given:
                raise InputError(f"{option} is for CSV files; {data!r} is a data set by name")
        return load_dataset(data, seed)
    if target is None and path.is_file():
        raise InputError(f"{data} is a file: name the column to predict with --target")
    try:
        return Dataset.from_csv(
            path, target or "", drop=drop or [], task=task, delimiter="\t" if delimiter == r"\t" else delimiter,
            encoding=encoding or "utf-8-sig", seed=seed,
        )  # fmt: skip
    except SettingError as error:
        raise InputError(_as_option(error)) from error


def _as_option(error: SettingError) -> str:
    """What went wrong, with the option of the command that would help where there is one."""
    values = error.value if isinstance(error.value, list) else [error.value]
    words = [shlex.quote(str(value).replace("\t", r"\t")) for value in values]  # pyright: ignore[reportUnknownVariableType]
    if error.setting not in ("drop", "delimiter", "encoding", "task"):
        return error.problem
    return f"{error.problem}{error.lead}{' '.join(f'--{error.setting} {word}' for word in words)}"
