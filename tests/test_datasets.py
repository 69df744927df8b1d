from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from whyactivate.datasets import DATASETS, Dataset, Task, load_dataset
from whyactivate.errors import InputError, UnknownNameError

REAL = {
    "digits": (1797, 64, 10),
    "breast_cancer": (569, 30, 2),
    "wine": (178, 13, 3),
    "diabetes": (442, 10, 1),
}
TOYS = {"affine": (10, 1), "xor": (2, 2), "moons": (2, 2), "circles": (2, 2), "spirals": (2, 2), "sine": (1, 1)}


def some_x(rows: int = 40, features: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 5.0, (rows, features))


def some_y(rows: int = 40, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 7.0, rows)


def all_rows(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat([data.train_x, data.test_x]), torch.cat([data.train_y, data.test_y])


class TestArticle:
    @pytest.mark.parametrize("seed", [0, 1, 42])
    def test_draws_what_the_tutorial_draws(self, seed: int):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            x = torch.randn(100, 10)
            y = torch.randn(100, 1)
            test_x = torch.randn(1000, 10)
            test_y = torch.randn(1000, 1)
        data = load_dataset("article", seed=seed)
        assert torch.equal(data.train_x, x)
        assert torch.equal(data.train_y, y)
        assert torch.equal(data.test_x, test_x)
        assert torch.equal(data.test_y, test_y)
        assert (data.target_mean, data.target_scale, data.standardised) == (0.0, 1.0, False)

    def test_holds_out_fresh_noise(self):
        data = load_dataset("article", seed=0)
        assert data.test_x.shape == (1000, 10)
        assert data.test_y.shape == (1000, 1)
        assert not torch.isin(data.test_y, data.train_y).any()
        assert abs(data.test_y.mean()) < 0.1
        assert abs(data.test_y.var() - 1) < 0.15


class TestLoadDataset:
    @pytest.mark.parametrize("name", DATASETS)
    def test_every_name_loads(self, name: str):
        data = load_dataset(name, seed=1)
        again = load_dataset(name, seed=1)
        for part in ("train_x", "train_y", "test_x", "test_y"):
            assert torch.equal(getattr(data, part), getattr(again, part))
        assert (data.name, data.sentence) == (name, DATASETS[name])
        assert data.train_x.dtype == data.test_x.dtype == torch.float32
        assert data.features == len(data.feature_names) == len(data.mean) == len(data.scale)
        if data.task is Task.CLASSIFICATION:
            assert data.outputs == len(data.classes) == len(data.train_y.unique()) == len(data.test_y.unique())

    @pytest.mark.parametrize("name", DATASETS)
    def test_other_seeds_give_other_rows(self, name: str):
        assert not torch.equal(load_dataset(name, seed=0).train_x, load_dataset(name, seed=1).train_x)

    @pytest.mark.parametrize("name", REAL)
    def test_real_sets_are_whole_and_split_in_quarters(self, name: str):
        rows, features, outputs = REAL[name]
        data = load_dataset(name)
        assert (len(data.train_x) + len(data.test_x), data.features, data.outputs) == (rows, features, outputs)
        assert len(data.test_x) == math.ceil(rows / 4)

    @pytest.mark.parametrize("name", TOYS)
    def test_toys_have_their_shape(self, name: str):
        data = load_dataset(name)
        assert (data.features, data.outputs) == TOYS[name]

    @pytest.mark.parametrize("name", [name for name in DATASETS if name != "article"])
    def test_the_training_part_alone_is_standardised(self, name: str):
        data = load_dataset(name)
        constant = data.train_x.std(dim=0) == 0
        torch.testing.assert_close(data.train_x.mean(dim=0), torch.zeros(data.features), atol=1e-5, rtol=0)
        spread = data.train_x[:, ~constant].var(dim=0, correction=0)
        torch.testing.assert_close(spread, torch.ones_like(spread), atol=1e-4, rtol=0)
        assert data.test_x.mean(dim=0).abs().max() > 1e-3
        if data.task is Task.REGRESSION:
            assert abs(data.train_y.mean()) < 1e-5
            assert abs(data.train_y.var(correction=0) - 1) < 1e-4

    def test_digits_keep_constant_pixels_and_their_pictures(self):
        data = load_dataset("digits")
        constant = data.train_x.std(dim=0) == 0
        assert constant.any()
        assert (data.scale[constant] == 1).all()
        assert data.image_shape == (8, 8)
        pixels = data.train_x.double() * data.scale + data.mean
        torch.testing.assert_close(pixels, pixels.round(), atol=1e-5, rtol=0)
        assert (pixels.round().min(), pixels.round().max()) == (0, 16)

    def test_diabetes_comes_in_its_own_units(self):
        data = load_dataset("diabetes")
        _, y = all_rows(data)
        original = y.double() * data.target_scale + data.target_mean
        assert (original.min().round(), original.max().round()) == (25, 346)
        assert data.feature_names[:3] == ("age", "sex", "bmi")

    @pytest.mark.parametrize("name", ["xor", "moons", "circles", "spirals", "digits", "breast_cancer", "wine"])
    def test_classes_keep_their_shares(self, name: str):
        data = load_dataset(name)
        train, test = (torch.bincount(y) / len(y) for y in (data.train_y, data.test_y))
        assert (train - test).abs().max() < 0.02

    def test_the_classes_of_xor_are_on_the_diagonals(self):
        data = load_dataset("xor")
        x, y = all_rows(data)
        original = x * data.scale + data.mean
        assert ((original.prod(dim=1) < 0).long() == y).float().mean() > 0.98

    def test_the_classes_of_circles_are_parted_by_the_radius(self):
        data = load_dataset("circles")
        x, y = all_rows(data)
        radius = (x * data.scale + data.mean).norm(dim=1)
        assert radius[y == 0].mean() - radius[y == 1].mean() > 0.4
        assert data.classes == ("outer", "inner")

    def test_the_upper_moon_is_the_upper_one(self):
        data = load_dataset("moons")
        x, y = all_rows(data)
        assert x[y == 0, 1].mean() > x[y == 1, 1].mean()
        assert data.classes == ("upper moon", "lower moon")

    def test_the_sine_is_one(self):
        data = load_dataset("sine")
        x, y = all_rows(data)
        truth = torch.sin(x.double() * data.scale + data.mean)
        error = y.double() * data.target_scale + data.target_mean - truth
        assert 0.08 < error.std() < 0.12
        assert abs(error.mean()) < 0.03

    def test_the_affine_set_is_affine_but_for_noise(self):
        data = load_dataset("affine")
        x, y = (part.double() for part in all_rows(data))
        ones = torch.ones(len(x), 1, dtype=torch.float64)
        fit = torch.linalg.lstsq(torch.hstack([x, ones]), y).solution
        error = (torch.hstack([x, ones]) @ fit - y) * data.target_scale
        assert 0.4 < error.std() < 0.6

    @pytest.mark.parametrize(("name", "key"), [("Breast-Cancer", "breast_cancer"), (" moons ", "moons")])
    def test_names_are_read_kindly(self, name: str, key: str):
        assert load_dataset(name).name == key

    @pytest.mark.parametrize(
        ("name", "nearest"),
        [("moon", "moons"), ("digit", "digits"), (7, None), (None, None), (["moons"], None)],
    )
    def test_unknown_names_suggest_the_nearest(self, name: object, nearest: str | None):
        with pytest.raises(UnknownNameError, match="unknown data set") as caught:
            load_dataset(name)  # type: ignore[arg-type]
        assert caught.value.nearest == nearest
        assert ("Did you mean" in str(caught.value)) == (nearest is not None)

    @pytest.mark.parametrize("seed", [-1, 0.5, True, "1", 2**32])
    def test_bad_seeds_are_refused(self, seed: object):
        with pytest.raises(InputError, match="seed must be a whole number"):
            load_dataset("article", seed=seed)  # type: ignore[arg-type]

    def test_random_states_stay(self):
        numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        for name in ("article", "moons", "spirals", "wine"):
            load_dataset(name)
        assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
        assert torch.equal(torch_before, torch.get_rng_state())

    def test_the_first_import_of_scikit_learn_draws_nothing_from_random(self):
        code = """
import random, sys, whyactivate
random.seed(0)
whyactivate.load_dataset("moons")
assert "rich" in sys.modules, "nothing drew, so nothing is tested"
drawn = random.random()
random.seed(0)
assert drawn == random.random()
"""
        subprocess.run([sys.executable, "-c", code], check=True)


class TestFromArrays:
    def test_regression(self):
        x, y = some_x(), some_y()
        data = Dataset.from_arrays(x, y, name="mine", seed=3)
        assert (data.task, data.outputs, data.classes) == (Task.REGRESSION, 1, ())
        assert data.train_x.shape == (30, 3)
        assert data.test_x.shape == (10, 3)
        assert data.train_y.shape == (30, 1)
        assert str(data) == "mine: 30 training and 10 test rows, 3 features, regression, standardised"

    @given(
        x=arrays(
            np.float64,
            st.tuples(st.integers(8, 30), st.integers(1, 4)),
            elements=st.floats(-1e6, 1e6).map(lambda v: round(v, 2)),
        ),
        seed=st.integers(0, 100),
    )
    def test_every_row_lands_in_one_part_and_can_be_read_back(self, x: np.ndarray, seed: int):
        y = np.arange(len(x)) + 0.5
        data = Dataset.from_arrays(x, y, seed=seed)
        rows, targets = (part.double() for part in all_rows(data))
        order = (targets[:, 0] * data.target_scale + data.target_mean - 0.5).round().long()
        assert sorted(order.tolist()) == list(range(len(x)))
        back = rows * data.scale + data.mean
        size = np.abs(x).max() + 1
        torch.testing.assert_close(back, torch.from_numpy(x[order]), rtol=0, atol=float(size) * 1e-6)

    def test_statistics_are_those_of_the_training_part(self):
        x, y = some_x(), some_y()
        raw = Dataset.from_arrays(x, y, standardise=False, seed=1)
        data = Dataset.from_arrays(x, y, seed=1)
        torch.testing.assert_close(data.mean, raw.train_x.double().mean(dim=0), rtol=1e-6, atol=0)
        torch.testing.assert_close(data.scale, raw.train_x.double().std(dim=0, correction=0), rtol=1e-6, atol=0)
        assert math.isclose(data.target_mean, raw.train_y.double().mean(), rel_tol=1e-6)
        assert not raw.standardised

    def test_what_the_test_rows_hold_does_not_matter(self):
        x, y = some_x(), some_y()
        before = Dataset.from_arrays(x, y, seed=2)
        held_out = Dataset.from_arrays(np.arange(40.0)[:, None], y, seed=2, standardise=False).test_x[:, 0].long()
        x[held_out] *= 1000
        y[held_out] -= 1e5
        after = Dataset.from_arrays(x, y, seed=2)
        assert torch.equal(before.train_x, after.train_x)
        assert torch.equal(before.train_y, after.train_y)
        assert not torch.equal(before.test_x, after.test_x)

    def test_constant_columns_become_zero(self):
        x = some_x()
        x[:, 1] = 0.1
        data = Dataset.from_arrays(x, some_y())
        assert (data.train_x[:, 1] == 0).all()
        assert data.scale[1] == 1

    def test_a_constant_target_is_allowed(self):
        data = Dataset.from_arrays(some_x(), np.full(40, 2.5))
        assert (data.train_y == 0).all()

    @pytest.mark.parametrize(
        ("labels", "classes"),
        [
            (["cat", "dog", "ant", "cat"], ("ant", "cat", "dog")),
            ([True, False, False, True], ("False", "True")),
            ([10, 9, 10, 2], ("2", "9", "10")),
            ([1.0, 0.0, 2.0, 1.0], ("0", "1", "2")),
            ([np.str_("b"), np.str_("a")], ("a", "b")),
            ([b"b", b"a"], ("a", "b")),
            ([-1, 1], ("-1", "1")),
        ],
    )
    def test_labels_of_many_kinds(self, labels: list[Any], classes: tuple[str, ...]):
        y = (labels * 40)[:40]
        data = Dataset.from_arrays(some_x(), y)
        assert (data.task, data.classes) == (Task.CLASSIFICATION, classes)
        assert data.train_y.dtype == torch.int64
        names = [data.classes[i] for i in all_rows(data)[1].tolist()]
        texts = {label: classes[rank] for rank, label in enumerate(sorted(set(labels)))}
        assert sorted(names) == sorted(texts[label] for label in y)

    def test_labels_stay_with_their_rows(self):
        x = some_x()
        y = np.where(x[:, 0] > 3, "high", "low")
        data = Dataset.from_arrays(x, y, standardise=False)
        for rows, numbers in ((data.train_x, data.train_y), (data.test_x, data.test_y)):
            assert [data.classes[i] for i in numbers.tolist()] == ["high" if v > 3 else "low" for v in rows[:, 0]]

    @pytest.mark.parametrize(
        ("y", "task"),
        [
            (np.arange(40) % 10, Task.CLASSIFICATION),
            (np.arange(40) % 20 + 0.5, Task.REGRESSION),
            (np.arange(40), Task.REGRESSION),
            (np.array([1, 2.5] * 20, dtype=object), Task.REGRESSION),
        ],
    )
    def test_the_task_is_guessed(self, y: np.ndarray, task: Task):
        assert Dataset.from_arrays(some_x(), y).task is task

    def test_the_task_can_be_said(self):
        y = np.arange(40) % 4
        assert Dataset.from_arrays(some_x(), y, task="regression").task is Task.REGRESSION
        assert Dataset.from_arrays(some_x(), y.astype(float), task=Task.CLASSIFICATION).outputs == 4

    def test_class_names_can_be_given(self):
        data = Dataset.from_arrays(some_x(), [0, 1] * 20, classes=["no", "yes"])
        assert data.classes == ("no", "yes")

    @pytest.mark.parametrize(
        "make",
        [
            lambda a: a.tolist(),
            lambda a: torch.tensor(a),
            lambda a: torch.tensor(a).to_sparse(),
            lambda a: sparse.csr_matrix(a),
            lambda a: torch.tensor(a).bfloat16(),
            lambda a: a.astype(np.float16),
            lambda a: a.astype(object),
            lambda a: pd.DataFrame(a),
            lambda a: np.asfortranarray(a),
            lambda a: a.astype(np.longdouble),
            lambda a: torch.tensor(a, requires_grad=True),
        ],
    )
    def test_x_of_many_kinds(self, make: Any):
        x = np.round(some_x() * 4) / 4
        x = np.clip(x, -8, 8)
        data = Dataset.from_arrays(make(x), some_y(), standardise=False)
        expected = Dataset.from_arrays(x, some_y(), standardise=False)
        assert torch.equal(data.train_x, expected.train_x)

    def test_names_come_from_a_data_frame(self):
        frame = pd.DataFrame(some_x(), columns=["a", "b", "c"])
        data = Dataset.from_arrays(frame, pd.Series(some_y(), name="price"))
        assert (data.feature_names, data.target_name) == (("a", "b", "c"), "price")
        assert Dataset.from_arrays(some_x(), some_y()).feature_names == ("x0", "x1", "x2")

    def test_what_came_is_not_changed(self):
        x, y = some_x(), some_y()
        kept_x, kept_y = x.copy(), y.copy()
        data = Dataset.from_arrays(x, y, standardise=False)
        data.train_x.zero_()
        assert np.array_equal(x, kept_x)
        assert np.array_equal(y, kept_y)

    def test_test_fraction(self):
        assert len(Dataset.from_arrays(some_x(), some_y(), test_fraction=0.5).test_x) == 20


def with_value(value: Any, row: int = 3, column: int = 1) -> np.ndarray:
    x = some_x().astype(object if not isinstance(value, float) else float)
    x[row, column] = value
    return x


GOOD_Y = some_y()


class TestFromArraysRefuses:
    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (with_value(math.nan), r"x holds a missing value \(nan\) in row 3, column 1 \(counting from 0\)"),
            (with_value(math.inf), "x holds infinity in row 3, column 1"),
            (with_value(-math.inf), "x holds infinity in row 3"),
            (with_value(None), r"x holds a missing value \(nan\) in row 3, column 1"),
            (with_value(pd.NA), r"x holds a missing value \(nan\) in row 3, column 1"),
            (with_value("red"), "x, column 1 holds text, 'red' in row 3"),
            (with_value([1]), "x, column 1 holds list in row 3"),
            ([[1.0, 2.0], [3.0, "a"]] * 20, "x, column 1 holds text, 'a' in row 1"),
            (some_x().astype(str), "x, column 0 holds text"),
            (some_x() + 0j, "holds complex128"),
            (np.full((40, 2), np.datetime64("2020-01-01")), "datetime64"),
            (some_x()[:, 0], r"shape \(40,\) came; for one feature use x.reshape"),
            (some_x()[None], r"shape \(1, 40, 3\) came"),
            (np.zeros((0, 3)), "x is empty"),
            (np.zeros((40, 0)), "x is empty"),
            ([[1, 2], [3]], "not a table of equally long rows"),
            (5, "x must be an array"),
            (None, "x must be an array"),
            ("abc", "x must be an array"),
            ([], "shape"),
            (some_x(39), "x has 39 rows and y has 40"),
            (np.ma.masked_greater(some_x(), 3), "masked"),
            (np.full((40, 1), 1e300) * np.arange(-20, 20)[:, None], "too large"),
            (torch.ones(40, 3, device="meta"), "x must hold plain numbers, but a tensor of .* on meta came"),
            (torch.nested.nested_tensor([torch.ones(3)] * 40, layout=torch.jagged), "x must hold plain numbers"),
            (torch.zeros(40, 3, dtype=torch.complex64).conj(), "holds complex64"),
        ],
    )
    def test_bad_x(self, x: object, message: str):
        with pytest.raises(InputError, match=message):
            Dataset.from_arrays(x, GOOD_Y)

    def test_the_column_is_named_where_it_has_a_name(self):
        frame = pd.DataFrame(some_x(), columns=["a", "b", "c"])
        frame.loc[5, "c"] = math.nan
        frame.loc[6, "c"] = math.nan
        with pytest.raises(InputError, match=r"row 5, column 2 \('c'\), and 1 more such values"):
            Dataset.from_arrays(frame, GOOD_Y)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.where(np.arange(40) == 7, math.nan, GOOD_Y), r"y holds a missing value \(nan\) in row 7"),
            (np.where(np.arange(40) == 7, math.inf, GOOD_Y), "y holds infinity in row 7"),
            ([1, None, 2.5] + [0.5] * 37, r"y holds a missing value \(nan\) in row 1"),
            (["a", None] + ["b"] * 38, "y has no label in row 1"),
            (["a", ""] + ["b"] * 38, "y has no label in row 1"),
            (["a", math.nan] + ["b"] * 38, "y has no label in row 1"),
            (["a"] * 40, "one class only, 'a'"),
            ([1] * 40, "one class only, '1'.*task='regression'"),
            (["a"] * 39 + ["b"], "class 'b' has 1 row"),
            (np.zeros((40, 2)), r"one value per row.*shape \(40, 2\) came"),
            (GOOD_Y[:39], "x has 40 rows and y has 39"),
            (3.0, "y must be an array"),
            (GOOD_Y * 1j, "complex"),
        ],
    )
    def test_bad_y(self, y: object, message: str):
        with pytest.raises(InputError, match=message):
            Dataset.from_arrays(some_x(), y)

    def test_fractions_as_classes(self):
        with pytest.raises(InputError, match="which is no class"):
            Dataset.from_arrays(some_x(), GOOD_Y, task="classification")

    def test_text_as_numbers(self):
        with pytest.raises(InputError, match="y holds text, 'a' in row 0"):
            Dataset.from_arrays(some_x(), ["a", "b"] * 20, task="regression")

    @pytest.mark.parametrize("rows", [1, 2, 3])
    def test_too_few_rows(self, rows: int):
        with pytest.raises(InputError, match=f"{rows} rows are too few"):
            Dataset.from_arrays(some_x(rows), some_y(rows))

    def test_too_few_rows_for_the_classes(self):
        with pytest.raises(InputError, match="leaves 9 to train on and 3 to test on, too few for 6 classes"):
            Dataset.from_arrays(some_x(12), list("abcdef") * 2)

    @pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, "a", None, math.nan, True])
    def test_bad_fractions(self, fraction: object):
        with pytest.raises(InputError, match="test_fraction must be a number above 0 and below 1"):
            Dataset.from_arrays(some_x(), GOOD_Y, test_fraction=fraction)  # type: ignore[arg-type]

    def test_a_fraction_that_leaves_nothing(self):
        with pytest.raises(InputError, match="leaves 0 to train on and 40"):
            Dataset.from_arrays(some_x(), GOOD_Y, test_fraction=0.999)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"task": "clasification"}, "Did you mean 'classification'"),
            ({"task": 3}, "unknown task 3"),
            ({"feature_names": ["a", "b"]}, "2 feature names for 3 columns"),
            ({"feature_names": "abc"}, "must be a list of names"),
            ({"feature_names": 3}, "feature_names must be a list of names, but 3"),
            ({"classes": 3}, "classes must be a list of names, but 3"),
            ({"classes": "abc"}, "classes must be a list of names, but 'abc'"),
            ({"classes": ["a", "b", "a"]}, "every class needs its own name"),
            ({"classes": ["a", "b", "c"], "task": "regression"}, "regression has no classes"),
            ({"feature_names": ["a", "a", "b"]}, "2 columns of x are named 'a'"),
            ({"seed": -1}, "seed"),
            ({"classes": ["a", "b"]}, "y must hold every class number from 0 to 1"),
            ({"standardise": "no"}, "standardise must be True or False"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], message: str):
        with pytest.raises(InputError, match=message):
            Dataset.from_arrays(some_x(), np.arange(40) % 3, **options)

    def test_values_beyond_float32(self):
        with pytest.raises(InputError, match="x holds values too large for float32"):
            Dataset.from_arrays(some_x() * 1e39, GOOD_Y, standardise=False)
        with pytest.raises(InputError, match="y holds values too large for float32"):
            Dataset.from_arrays(some_x(), GOOD_Y * 1e39, standardise=False)
        assert Dataset.from_arrays(some_x() * 1e39, GOOD_Y * 1e39).train_x.abs().max() < 10

    def test_a_test_row_far_from_a_column_that_hardly_varies(self):
        x = np.arange(40.0)[:, None] * 1e-60
        held_out = Dataset.from_arrays(np.arange(40.0)[:, None], GOOD_Y, standardise=False).test_x[0, 0].long()
        x[held_out] = 1.0
        with pytest.raises(InputError, match="once standardised, too far from the training rows"):
            Dataset.from_arrays(x, GOOD_Y)


class TestDataset:
    def make(self, **changes: Any) -> Dataset:
        parts: dict[str, Any] = {
            "name": "d",
            "train_x": torch.zeros(3, 2),
            "train_y": torch.zeros(3, 1),
            "test_x": torch.zeros(2, 2),
            "test_y": torch.zeros(2, 1),
            "task": Task.REGRESSION,
        }
        return Dataset(**(parts | changes))

    def test_fills_in_what_follows(self):
        data = self.make(task="regression")
        assert data.task is Task.REGRESSION
        assert data.feature_names == ("x0", "x1")
        assert data.mean.tolist() == [0, 0]
        assert data.scale.tolist() == [1, 1]
        assert not data.standardised

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"train_x": torch.zeros(3, 2).int()}, "train_x must be float32 .*torch.int32"),
            ({"train_x": torch.zeros(3)}, "train_x must be"),
            ({"train_x": np.zeros((3, 2))}, "train_x must be .*ndarray came"),
            ({"test_x": torch.zeros(2, 3)}, "train_x has 2 columns and test_x 3"),
            ({"test_x": torch.zeros(0, 2)}, "test_x must be"),
            ({"train_y": torch.zeros(3)}, r"train_y must be torch.float32 of shape \(3, 1\)"),
            ({"train_y": torch.full((3, 1), math.nan)}, "nan or infinity"),
            ({"task": "guess"}, "task must be"),
            ({"task": "classification"}, "at least two classes"),
            ({"task": "classification", "classes": ("a", "b")}, "train_y must be torch.int64"),
            ({"feature_names": ("a",)}, "1 feature_names for 2 columns"),
            ({"feature_names": 3}, "feature_names must be a list of names"),
            ({"mean": torch.zeros(5)}, r"mean must have shape \(2,\), one per column of x; \(5,\) came"),
            ({"mean": 3}, "mean must be a tensor"),
            ({"scale": torch.tensor([1.0, 0.0])}, "scale finite and above 0"),
            ({"target_scale": 0.0}, "target_scale must be a number above 0"),
            ({"target_mean": math.nan}, "target_mean must be"),
            ({"image_shape": (3, 2)}, r"an image of shape \(3, 2\) does not have 2 pixels"),
            ({"image_shape": 2}, "an image of shape 2"),
            ({"name": None}, "name must be text, but None came"),
            ({"train_x": torch.zeros(3, 2, device="meta")}, "meta device, which holds no values"),
        ],
    )
    def test_refuses_what_cannot_be_trained_on(self, changes: dict[str, Any], message: str):
        with pytest.raises(InputError, match=message):
            self.make(**changes)

    def test_refuses_numbers_of_no_class(self):
        y = torch.tensor([0, 1, 2])
        with pytest.raises(InputError, match="class numbers from 0 to 1"):
            self.make(task="classification", classes=("a", "b"), train_y=y, test_y=y[:2])

    def test_shows_itself_in_a_notebook_without_markup_from_names(self):
        assert "<b>a&lt;b</b>: 3 training" in self.make(name="a<b")._repr_html_()
