from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from torch.nn import functional as F

from whyactivate.datasets import Dataset, Task, load_dataset
from whyactivate.errors import InputError
from whyactivate.floor import Floor, cross_entropy, linear_floor
from whyactivate.floor.separation import check_separates
from whyactivate.models import MLP, SimpleModel
from whyactivate.training import TrainConfig, train

WHOLE = st.integers(-5, 5).map(float)


def regression(x: Any, y: Any) -> Dataset:
    x, y = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
    return Dataset("numbers", x, y, x, y, Task.REGRESSION)


def classification(x: Any, y: Any, classes: int | None = None) -> Dataset:
    x, y = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.int64)
    x = x.reshape(len(y), -1)
    names = tuple(f"class {i}" for i in range(classes or int(y.max()) + 1))
    return Dataset("classes", x, y, x, y, Task.CLASSIFICATION, names)


def loss_of(data: Dataset, weight: torch.Tensor, bias: torch.Tensor) -> float:
    scores = F.linear(data.train_x.double(), weight.double(), bias.double())
    if data.task is Task.REGRESSION:
        return F.mse_loss(scores, data.train_y.double()).item()
    return F.cross_entropy(scores, data.train_y).item()


def exact_least_squares(x: np.ndarray, y: np.ndarray) -> Fraction:
    """The least mean squared error, by Gaussian elimination on the normal equations in rational numbers."""
    rows = [[Fraction(1), *(Fraction(float(v)) for v in row)] for row in x]
    targets = [Fraction(float(v)) for v in y.ravel()]
    columns = range(len(rows[0]))
    system = [
        [sum(r[i] * r[j] for r in rows) for j in columns] + [sum(r[i] * t for r, t in zip(rows, targets, strict=True))]
        for i in columns
    ]
    pivots: list[int] = []
    for j in columns:
        at = next((i for i in range(len(pivots), len(system)) if system[i][j] != 0), None)
        if at is None:
            continue
        top = len(pivots)
        system[top], system[at] = system[at], system[top]
        system[top] = [v / system[top][j] for v in system[top]]
        for i in range(len(system)):
            if i != top:
                system[i] = [a - system[i][j] * b for a, b in zip(system[i], system[top], strict=True)]
        pivots.append(j)
    solution = [Fraction(0)] * len(rows[0])
    for i, j in enumerate(pivots):
        solution[j] = system[i][-1]
    errors = [sum(a * b for a, b in zip(r, solution, strict=True)) - t for r, t in zip(rows, targets, strict=True)]
    return sum(e * e for e in errors) / len(errors)


def slowly_minimised(data: Dataset) -> float:
    """The least cross-entropy that a general-purpose minimiser finds."""
    x, y, classes = data.train_x.double(), data.train_y, data.outputs

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        c = torch.from_numpy(flat.reshape(classes, -1)).requires_grad_()
        loss = F.cross_entropy(F.linear(x, c[:, 1:], c[:, 0]), y)
        (slope,) = torch.autograd.grad(loss, c)
        return loss.item(), slope.numpy().ravel()

    start = np.zeros(classes * (x.shape[1] + 1))
    return minimize(
        value, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    ).fun


class TestLeastSquares:
    @settings(max_examples=60)
    @given(data=st.data(), rows=st.integers(2, 9), columns=st.integers(1, 4))
    def test_equals_rational_arithmetic_whatever_the_rank(self, data: st.DataObject, rows: int, columns: int):
        x = data.draw(arrays(np.float64, (rows, columns), elements=WHOLE))
        y = data.draw(arrays(np.float64, rows, elements=WHOLE))
        floor = linear_floor(regression(x, y))
        exact = float(exact_least_squares(x, y))
        assert floor.loss == pytest.approx(exact, rel=1e-12, abs=1e-25)
        assert floor.fitted_loss == pytest.approx(exact, rel=1e-10, abs=1e-20)
        assert floor.gap <= 1e-25
        ones = np.hstack([np.ones((rows, 1)), x])
        assert floor.rank == np.linalg.matrix_rank(ones) - 1

    @settings(max_examples=50)
    @given(
        x=arrays(np.float64, (12, 3), elements=WHOLE),
        y=arrays(np.float64, 12, elements=WHOLE),
        move=arrays(np.float64, 4, elements=st.floats(-10, 10)),
    )
    def test_no_other_affine_model_is_below(self, x: np.ndarray, y: np.ndarray, move: np.ndarray):
        data = regression(x, y)
        floor = linear_floor(data)
        moved = torch.from_numpy(move)
        assert loss_of(data, floor.weight + moved[1:], floor.bias + moved[0]) >= floor.loss * (1 - 1e-12) - 1e-24

    def test_xor_is_exactly_a_quarter(self):
        floor = linear_floor(regression([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]))
        assert floor.loss == 0.25
        torch.testing.assert_close(floor.weight, torch.zeros(1, 2, dtype=torch.float64), rtol=0, atol=1e-15)
        assert floor.bias.item() == pytest.approx(0.5)

    def test_finds_a_planted_map(self):
        x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).round(decimals=3)
        floor = linear_floor(regression(x, (x.double() @ torch.tensor([[2.0], [-1.0], [0.5]]).double() + 4).float()))
        torch.testing.assert_close(floor.weight, torch.tensor([[2.0, -1.0, 0.5]]).double(), rtol=0, atol=1e-6)
        assert floor.bias.item() == pytest.approx(4, abs=1e-6)
        assert floor.loss < 1e-13

    def test_columns_of_very_different_sizes(self):
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(40, 3, generator=generator)
        y = torch.randn(40, 1, generator=generator)
        plain = linear_floor(regression(x, y))
        scaled = linear_floor(regression(x * torch.tensor([2.0**60, 2.0**-60, 1.0]), y))
        assert scaled.loss == pytest.approx(plain.loss, rel=1e-12)
        assert scaled.fitted_loss == pytest.approx(plain.loss, rel=1e-10)

    def test_a_far_away_mean_does_no_harm(self):
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(40, 2, generator=generator).mul(64).round().div(64)
        y = torch.randn(40, 1, generator=generator)
        far = linear_floor(regression(x + 8192, y))
        assert far.loss == pytest.approx(linear_floor(regression(x, y)).loss, rel=1e-10)

    def test_dependent_and_constant_columns(self):
        generator = torch.Generator().manual_seed(2)
        x = torch.randn(30, 2, generator=generator)
        y = torch.randn(30, 1, generator=generator)
        wide = torch.cat([x, 2 * x[:, :1], torch.full((30, 1), 0.1), torch.zeros(30, 1)], dim=1)
        floor = linear_floor(regression(wide, y))
        assert floor.rank == 2
        assert floor.loss == pytest.approx(linear_floor(regression(x, y)).loss, rel=1e-12)
        assert (floor.weight[0, 3:] == 0).all()
        assert "only 2 of 5 are independent" in floor.note

    def test_more_columns_than_rows_fits_everything(self):
        generator = torch.Generator().manual_seed(3)
        floor = linear_floor(
            regression(torch.randn(5, 20, generator=generator), torch.randn(5, 1, generator=generator))
        )
        assert floor.loss < 1e-25
        assert floor.rank == 4

    @pytest.mark.parametrize("x", [torch.zeros(3, 2), torch.ones(1, 2)])
    def test_columns_that_say_nothing_leave_the_mean(self, x: torch.Tensor):
        y = torch.arange(float(len(x)))
        floor = linear_floor(regression(x, y))
        assert floor.rank == 0
        assert floor.bias.item() == y.mean()
        assert floor.loss == pytest.approx(y.var(correction=0).item())

    def test_says_what_it_is(self):
        floor = linear_floor(load_dataset("diabetes"))
        assert (floor.task, floor.attained, floor.separable) == (Task.REGRESSION, True, None)
        assert (floor.accuracy, floor.test_accuracy) == (None, None)
        assert floor.weight.dtype == floor.bias.dtype == torch.float64
        assert floor.weight.shape == (1, 10)
        assert floor.bias.shape == (1,)
        assert floor.gradient_norm < 1e-14


class TestTrainedNetworksStayAbove:
    @pytest.mark.parametrize("seed", range(3))
    def test_on_the_articles_data_and_arrive(self, seed: int):
        data = load_dataset("article", seed=seed)
        floor = linear_floor(data)
        history = train(SimpleModel(None, seed=seed), data, TrainConfig(seed=seed))
        assert min(history.train_loss) >= floor.loss * (1 - 1e-6)
        assert history.train_loss[-1] <= floor.loss * 1.005

    @pytest.mark.parametrize("layers", [[2, 2], [2, 8, 2], [2, 16, 16, 16, 2]])
    def test_on_classes_and_arrive(self, layers: list[int]):
        data = load_dataset("moons")
        floor = linear_floor(data)
        config = TrainConfig(epochs=60, batch_size=300, learning_rate=0.05)
        history = train(MLP(layers, None), data, config)
        assert min(history.train_loss) >= floor.loss * (1 - 1e-6)
        assert min(history.train_loss) <= floor.loss * 1.005

    def test_an_activation_goes_below(self):
        data = load_dataset("moons")
        history = train(MLP([2, 16, 16, 2], "relu"), data, TrainConfig(epochs=20, batch_size=30, learning_rate=0.02))
        assert history.train_loss[-1] < 0.5 * linear_floor(data).loss


class TestCrossEntropy:
    def test_a_limit_that_no_weights_reach_is_told_from_zero(self):
        floor = linear_floor(classification([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0, 0, 1, 1, 1, 2, 2, 2, 2]))
        assert (floor.separable, floor.attained) == (False, False)

    @settings(max_examples=40)
    @given(seed=st.integers(0, 10_000), classes=st.integers(2, 4), columns=st.integers(1, 3))
    def test_equals_a_general_minimiser_where_classes_overlap(self, seed: int, classes: int, columns: int):
        random = np.random.default_rng(seed)
        x = random.normal(size=(40, columns))
        y = np.arange(40) % classes
        data = classification(np.vstack([x, x[:4]]), np.concatenate([y, (y[:4] + 1) % classes]))
        floor = linear_floor(data)
        assume(floor.attained)
        assert floor.loss == pytest.approx(slowly_minimised(data), abs=1e-7)
        assert floor.fitted_loss == pytest.approx(floor.loss, abs=1e-12)
        assert floor.gradient_norm < 1e-9
        assert floor.gap < 1e-10
        assert floor.separable is False

    @settings(max_examples=40)
    @given(
        x=arrays(np.float64, (10, 2), elements=WHOLE),
        y=arrays(np.int64, 10, elements=st.integers(0, 2)),
        other=arrays(np.float64, (3, 3), elements=st.floats(-30, 30)),
    )
    def test_no_affine_classifier_is_below(self, x: np.ndarray, y: np.ndarray, other: np.ndarray):
        data = classification(x, y, classes=3)
        floor = linear_floor(data)
        c = torch.from_numpy(other)
        assert loss_of(data, c[:, :2], c[:, 2]) >= floor.loss - 1e-9
        assert loss_of(data, floor.weight + c[:, :2], floor.bias + c[:, 2]) >= floor.loss - 1e-9
        assert slowly_minimised(data) >= floor.loss - 1e-9
        assert loss_of(data, floor.weight, floor.bias) == pytest.approx(floor.fitted_loss, abs=1e-12)
        if floor.attained:
            assert floor.fitted_loss == pytest.approx(floor.loss, abs=1e-9)
        elif not floor.separable:
            assert floor.fitted_loss == pytest.approx(floor.loss, abs=1e-5)

    @settings(max_examples=80)
    @given(
        groups=st.lists(st.lists(st.integers(-20, 20), min_size=1, max_size=4), min_size=2, max_size=4),
    )
    def test_on_a_line_separable_means_intervals_that_do_not_meet(self, groups: list[list[int]]):
        x = [float(v) for group in groups for v in group]
        y = [k for k, group in enumerate(groups) for _ in group]
        apart = all(max(a) < min(b) or max(b) < min(a) for i, a in enumerate(groups) for b in groups[i + 1 :])
        floor = linear_floor(classification(x, y))
        # None is the honest answer where the margins are too thin for the linear programme.
        assert floor.separable in ((True,) if apart else (False, None))
        assert (floor.loss == 0) is apart
        if apart:
            assert (floor.accuracy, floor.attained) == (1.0, False)
            assert "linearly separable" in floor.note

    @settings(max_examples=40)
    @given(seed=st.integers(0, 10_000), width=st.sampled_from([1.0, 1e-2, 1e-4]), columns=st.integers(1, 5))
    def test_a_gap_of_any_width_is_found(self, seed: int, width: float, columns: int):
        random = np.random.default_rng(seed)
        x = random.normal(size=(60, columns))
        side = x @ random.normal(size=columns)
        x = x[np.abs(side) > width].astype(np.float32)
        y = (side[np.abs(side) > width] > 0).astype(np.int64)
        assume(0 < y.sum() < len(y))
        floor = linear_floor(classification(x, y))
        assert floor.separable is True
        assert floor.loss == 0
        assert floor.accuracy == 1

    def test_one_wrong_row_closes_the_gap(self):
        x = [*range(-10, 0), *range(1, 11), 30.0]
        y = [0] * 10 + [1] * 10 + [0]
        floor = linear_floor(classification(x, y))
        assert (floor.separable, floor.attained) == (False, True)
        assert floor.loss == pytest.approx(slowly_minimised(classification(x, y)), abs=1e-8)

    def test_classes_that_touch_in_one_point(self):
        floor = linear_floor(classification([-2, -1, 0, 0, 1, 2], [0, 0, 0, 1, 1, 1]))
        assert floor.loss == pytest.approx(2 * math.log(2) / 6, rel=1e-12)
        assert (floor.separable, floor.attained) == (False, False)
        assert floor.fitted_loss == pytest.approx(floor.loss, abs=1e-5)
        assert floor.fitted_loss >= floor.loss
        assert "partly separable: 4 of the pairs" in floor.note
        assert "linear programme" in floor.method

    def test_one_class_apart_and_two_mixed(self):
        random = np.random.default_rng(0)
        mixed, labels = random.normal(size=(40, 2)), np.arange(40) % 2
        apart = random.normal(size=(10, 2)) + 50
        data = classification(np.vstack([mixed, apart]), np.concatenate([labels, np.full(10, 2)]))
        floor = linear_floor(data)
        alone = linear_floor(classification(mixed, labels))
        assert floor.loss == pytest.approx(alone.loss * 40 / 50, rel=1e-9)
        assert (floor.separable, floor.attained) == (False, False)

    def test_a_class_without_rows_costs_nothing_in_the_limit(self):
        x, y = [0, 1, 2, 3], [0, 1, 0, 1]
        floor = linear_floor(classification(x, y, classes=3))
        assert floor.loss == pytest.approx(linear_floor(classification(x, y)).loss, rel=1e-9)
        assert floor.attained is False

    def test_equal_rows_of_two_classes(self):
        floor = linear_floor(classification(np.zeros((4, 2)), [0, 1, 1, 1]))
        entropy = -(math.log(1 / 4) / 4 + 3 * math.log(3 / 4) / 4)
        assert floor.loss == pytest.approx(entropy, rel=1e-12)
        assert (floor.rank, floor.accuracy) == (0, 0.75)

    def test_a_programme_too_large_is_left_and_said(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(cross_entropy, "_LARGEST_PROGRAMME", 0)
        floor = linear_floor(classification([-2, -1, 0, 0, 1, 2], [0, 0, 0, 1, 1, 1]))
        assert floor.attained is None
        assert floor.separable is False
        assert "was not decided" in floor.note
        assert floor.loss - floor.gap - 1e-14 <= 2 * math.log(2) / 6 <= floor.loss

    def test_separable_needs_the_confirmation_of_exact_arithmetic(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("whyactivate.floor.floor.check_separates", lambda *_: False)
        floor = linear_floor(classification([-1, 1], [0, 1]))
        assert (floor.loss, floor.separable) == (0.0, None)
        assert "separable up to rounding" in floor.note

    def test_sizes_of_columns_do_not_matter(self):
        random = np.random.default_rng(3)
        x, y = random.normal(size=(30, 2)), np.arange(30) % 2
        plain = linear_floor(classification(x, y))
        scaled = linear_floor(classification(x * [2.0**40, 2.0**-40], y))
        assert scaled.loss == pytest.approx(plain.loss, rel=1e-9)
        assert scaled.fitted_loss == pytest.approx(plain.loss, rel=1e-9)

    @pytest.mark.parametrize(
        ("name", "separable"), [("digits", True), ("wine", True), ("xor", False), ("moons", False)]
    )
    def test_known_sets(self, name: str, separable: bool):
        floor = linear_floor(load_dataset(name))
        assert floor.separable is separable
        assert floor.attained is not separable
        assert (floor.accuracy == 1) is separable
        assert floor.method == "Newton's method"
        if name == "digits":
            assert floor.weight.shape == (10, 64)
            assert floor.test_accuracy > 0.93
        if name == "xor":
            assert floor.loss == pytest.approx(math.log(2), abs=0.02)

    def test_is_repeatable(self):
        first, second = (linear_floor(load_dataset("moons", seed=4)) for _ in range(2))
        assert torch.equal(first.weight, second.weight)
        assert first.loss == second.loss


class TestCheckSeparates:
    @pytest.mark.parametrize(
        ("weight", "bias", "x", "right"),
        [
            ([[-1.0], [1.0]], [0.0, 0.0], [[-1.0], [1.0]], True),
            ([[-1.0], [1.0]], [0.0, 0.0], [[-1.0], [0.0]], False),
            ([[1.0], [-1.0]], [0.0, 0.0], [[-1.0], [1.0]], False),
            # 0.1 + 0.2 − 0.3 is 0 in decimal, above 0 for the floats meant by these digits
            ([[0.0, 0.0, 0.0], [1.0, 1.0, -1.0]], [0.0, 0.0], [[-1, 0, 0], [0.1, 0.2, 0.3]], True),
            ([[0.0, 0.0], [1.0, 1e-30]], [0.0, -1.0], [[0.5, 0.0], [1.0, 1.0]], True),
            ([[0.0, 0.0], [1.0, -1e-30]], [0.0, -1.0], [[0.5, 0.0], [1.0, 1.0]], False),
        ],
    )
    def test_is_exact(self, weight: Any, bias: Any, x: Any, right: bool):
        arguments = (np.array(weight), np.array(bias), np.array(x, dtype=np.float64), np.array([0, 1]))
        assert check_separates(*arguments) is right


class TestFloor:
    @pytest.mark.parametrize("wrong", ["moons", None, torch.zeros(3, 2), Dataset])
    def test_refuses_what_is_no_data_set(self, wrong: object):
        with pytest.raises(InputError, match="linear_floor needs a Dataset"):
            linear_floor(wrong)  # type: ignore[arg-type]

    def test_prints_its_story(self):
        text = str(linear_floor(load_dataset("article")))
        assert text.splitlines()[0].startswith("linear floor of article: mean squared error 0.6478")
        assert repr(linear_floor(load_dataset("article"))) == "<Floor of article: mean squared error 0.647814>"
        text = str(linear_floor(load_dataset("wine")))
        assert "cross-entropy 0 (not reached)" in text
        assert "its accuracy: 100.00% on training data" in text
        assert "linearly separable" in linear_floor(load_dataset("wine"))._repr_html_()

    def test_leaves_the_data_and_the_surroundings_alone(self):
        data = load_dataset("moons")
        before, state = data.train_x.clone(), torch.get_rng_state()
        with torch.inference_mode():
            floor = linear_floor(data)
        assert isinstance(floor, Floor)
        assert not floor.weight.requires_grad
        assert torch.equal(before, data.train_x)
        assert torch.equal(state, torch.get_rng_state())
