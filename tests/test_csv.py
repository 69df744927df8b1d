from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whyactivate.datasets import Dataset, Task
from whyactivate.errors import InputError, UnknownNameError

ROWS = "\n".join(f"{i},{i * 0.5},{'red' if i % 3 else 'blue'},{i % 2}" for i in range(20))
GOOD = f"id,size,colour,price\n{ROWS}\n"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_file(text: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_file


def test_text_labels(write: Any):
    data = Dataset.from_csv(write(GOOD), target="colour", drop=["id"], standardise=False)
    assert (data.name, data.task, data.classes) == ("data", Task.CLASSIFICATION, ("blue", "red"))
    assert (data.feature_names, data.target_name) == (("size", "price"), "colour")
    for rows, labels in ((data.train_x, data.train_y), (data.test_x, data.test_y)):
        expected = [0 if int(size * 2) % 3 == 0 else 1 for size in rows[:, 0].tolist()]
        assert labels.tolist() == expected


def test_numbers(write: Any):
    data = Dataset.from_csv(str(write(GOOD)), target="size", drop=["colour"], task="regression", standardise=False)
    assert data.task is Task.REGRESSION
    torch.testing.assert_close(data.train_y, data.train_x[:, :1] / 2)


def test_drop_takes_one_name_too(write: Any):
    assert Dataset.from_csv(write(GOOD), target="price", drop="colour").feature_names == ("id", "size")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (GOOD.replace(",", ";"), {"delimiter": ";"}),
        (GOOD.replace("\n", "\r\n"), {}),
        ("\ufeff" + GOOD, {}),
        (GOOD.replace(",", " , "), {}),
        (GOOD.replace("\n", "\n\n"), {}),
        (GOOD.replace("red", '"red"'), {}),
        (GOOD.encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
def test_the_same_table_in_other_clothes(write: Any, text: str | bytes, options: dict[str, Any]):
    expected = Dataset.from_csv(write(GOOD), target="colour")
    data = Dataset.from_csv(write(text, "other.csv"), target="colour", **options)
    assert torch.equal(data.train_x, expected.train_x)
    assert torch.equal(data.train_y, expected.train_y)
    assert data.classes == expected.classes


@given(
    table=st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False, width=32)] * 3), min_size=8, max_size=9)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_survive_the_file(write: Any, table: list[tuple[float, float, float]]):
    path = write("a,b,y\n" + "\n".join(",".join(repr(v) for v in row) for row in table))
    data = Dataset.from_csv(path, "y", task="regression", standardise=False)
    array = np.array(table)
    expected = Dataset.from_arrays(array[:, :2], array[:, 2], task="regression", standardise=False)
    assert torch.equal(data.train_x, expected.train_x)
    assert torch.equal(data.test_y, expected.test_y)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "data.csv is empty"),
        ("\n\n", "data.csv is empty"),
        ("id,size,colour,price\n", "has a header and no rows"),
        (GOOD.replace("size", "id", 1), "the header names 'id' 2 times"),
        (GOOD.replace("size", "", 1), "column 2 has no name"),
        (GOOD.replace("3,1.5,", "3,", 1), "line 5 has 3 cells; the header has 4"),
        (GOOD.replace("3,1.5,", "3,1.5,9,", 1), "line 5 has 5 cells"),
        (GOOD.replace("3,1.5,", "3,,", 1), "line 5, column 'size': the cell is empty"),
        (GOOD.replace("3,1.5,", "3,NA,", 1), "line 5, column 'size': the cell is 'NA'"),
        (GOOD.replace("3,1.5,", "3,nan,", 1), "line 5, column 'size': the cell is 'nan'"),
        (GOOD.replace("3,1.5,", "3,-inf,", 1), "line 5, column 'size' holds '-inf', which is not a finite number"),
        (GOOD.replace("3,1.5,", "3,1e999,", 1), "holds '1e999', which is not a finite number"),
        (GOOD.replace("3,1.5,", "3,1_5,", 1), "holds text, '1_5'"),
        (GOOD.replace("3,1.5,", '3,"1,5",', 1), "holds text, '1,5'"),
        (GOOD.replace("red", "", 1), "line 3, column 'colour': the cell is empty"),
        (GOOD.replace(",", ";"), "has one column, .*pass delimiter=';'"),
        (GOOD.replace(",", "\t"), r"pass delimiter='\\t'"),
        (GOOD.encode("utf-16"), "is not text in utf-8: .*name its own, as in encoding='latin-1'"),
        (GOOD.replace("red", '"red', 1), "is not a CSV file: unexpected end of data"),
        ("colour\nred\nblue\n", "no column besides the target"),
    ],
)
def test_bad_files(write: Any, text: str | bytes, message: str):
    with pytest.raises(InputError, match=message):
        Dataset.from_csv(write(text), target="colour", drop=[] if "besides" in message else ())


def test_a_text_column_names_itself_and_the_way_out(write: Any):
    with pytest.raises(InputError, match=r"line 2, column 'colour' holds text, 'blue'.*drop=\['colour'\]"):
        Dataset.from_csv(write(GOOD), target="price")


def test_one_stray_text_among_numbers_is_no_class(write: Any):
    text = "a,y\n" + "\n".join(f"{i},{i + 0.5}" for i in range(10)) + "\n11,oops\n"
    with pytest.raises(InputError, match="line 12, column 'y' holds text, 'oops'"):
        Dataset.from_csv(write(text), target="y")


@pytest.mark.parametrize(("wrong", "nearest"), [("color", "colour"), ("Price", "price"), ("zzz", None)])
def test_a_missing_target_suggests_the_nearest(write: Any, wrong: str, nearest: str | None):
    with pytest.raises(UnknownNameError, match=r"unknown column of data.csv") as caught:
        Dataset.from_csv(write(GOOD), target=wrong)
    assert caught.value.nearest == nearest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "price", "drop": ["colr"]}, "unknown column of data.csv 'colr'"),
        ({"target": "price", "drop": ["price"]}, "is the target and cannot be dropped"),
        ({"target": "price", "drop": ["id", "size", "colour"]}, "no column besides the target"),
        ({"target": "colour", "delimiter": ""}, "delimiter must be one character"),
        ({"target": "colour", "delimiter": None}, "delimiter must be one character"),
        ({"target": "colour", "encoding": 5}, "encoding must be a name"),
        ({"target": "price", "drop": 3}, "drop must be a list of column names"),
        ({"target": "colour", "encoding": "utf-99"}, "is not text in utf-99"),
        ({"target": "colour", "task": "regression"}, "column 'colour' holds text"),
        ({"target": "price", "drop": ["colour"], "task": "guess"}, "unknown task"),
        ({"target": None}, "unknown column"),
        ({"target": "colour", "test_fraction": 2}, "test_fraction"),
        ({"target": "colour", "test_fraction": 0.01}, "bring more rows or change test_fraction$"),
    ],
)
def test_bad_options(write: Any, options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        Dataset.from_csv(write(GOOD), **options)


def test_missing_files_and_folders(tmp_path: Path):
    with pytest.raises(InputError, match=r"there is no file .*nowhere.csv"):
        Dataset.from_csv(tmp_path / "nowhere.csv", target="y")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        Dataset.from_csv(tmp_path, target="y")
    with pytest.raises(InputError, match="path must be the path of a CSV file"):
        Dataset.from_csv(None, target="y")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is not a CSV file: embedded null byte"):
        Dataset.from_csv("a\0b", target="y")


def test_one_class_and_few_rows_are_said_as_for_arrays(write: Any):
    with pytest.raises(InputError, match="one class only, 'red'"):
        Dataset.from_csv(write("a,y\n" + "1,red\n" * 9), target="y")
    with pytest.raises(InputError, match="2 rows are too few"):
        Dataset.from_csv(write("a,y\n1,red\n2,blue\n"), target="y")


def test_nobody_is_told_to_drop_the_target(write: Any):
    with pytest.raises(InputError, match=r"column 'colour' holds text, 'blue'; turn the column into numbers$"):
        Dataset.from_csv(write(GOOD), target="colour", task="regression")
