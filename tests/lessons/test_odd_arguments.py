"""Lessons with arguments that nobody hopes for: an error that says what was expected, or words that stay true."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.errors import CannotProveError, InputError
from whyactivate.lessons import (
    Lesson,
    affine_map_at,
    approximation,
    centring,
    dead_units,
    dead_units_of,
    float_networks,
    gradients,
    gradients_of,
    memorisation,
    regions_along,
    regions_in,
    saturation,
    saturation_of,
    training_path,
)
from whyactivate.lessons.dead_units import Life, ModuleUnits, UnitCall

NETWORK = wa.MLP([2, 3, 1], "relu", seed=0)


def not_finite() -> nn.Module:
    network = wa.MLP([2, 3, 1], "relu", seed=0)
    with torch.no_grad():
        network.layers[0].weight.fill_(math.nan)
    return network


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: saturation(()), "activations is empty"),
        (lambda: saturation("sigmoid"), "activations must be a list, but 'sigmoid'"),
        (lambda: saturation(dtypes=(torch.int32,)), "torch.int32 came"),
        (lambda: saturation(places=(math.nan,)), "places must be a number"),
        (lambda: gradients(()), "activations is empty"),
        (lambda: gradients(depths=()), "depths is empty"),
        (lambda: gradients(inits=()), "inits is empty"),
        (lambda: centring(means=()), "means is empty"),
        (lambda: centring(()), "activations is empty"),
        (lambda: dead_units(learning_rates=()), "learning_rates is empty"),
        (lambda: dead_units(bias=math.nan), "bias must be a number"),
        (lambda: float_networks(tiny=0), "tiny must be a number above 1.4e-45 and below 1"),
        (lambda: training_path(depths=()), "depths is empty"),
        (lambda: training_path(depths=(1,), rate=10, steps=50), "the loss grew from"),
        (lambda: memorisation(seeds=3), "seeds must be a list"),
        (lambda: memorisation(("relu",)), "'identity'"),
        (lambda: memorisation(epochs=0), "epochs must be a whole number of at least 1"),
        (lambda: approximation(math.sin), "torch.sin, not math.sin"),
        (lambda: approximation(torch.log, -1, 1), "a finite number for each"),
        (lambda: approximation(lambda x: x.sum()), "a finite number for each"),
        (lambda: approximation(units=(8, 4)), "rising"),
        (lambda: regions_in(NETWORK, (-1, 1)), r"\(-1, 1\) came"),
        (lambda: regions_in(NETWORK, ((-1, math.inf), (0, 1))), "inf came"),
        (lambda: regions_in(torch.relu), "expected an nn.Module"),
        (lambda: regions_along(NETWORK, [0.0, 0.0], [1.0, 1.0]), "start must be a tensor"),
        (lambda: dead_units_of(NETWORK, torch.zeros(2)), r"for one row pass x\[None\]"),
        (lambda: dead_units_of(NETWORK, torch.zeros(0, 2)), "hold no numbers"),
        (lambda: gradients_of(NETWORK, [[1.0, 2.0]]), "must hold a tensor with one row per example"),
        (lambda: gradients_of(NETWORK, {}), "must hold a tensor with one row per example"),
        (lambda: dead_units_of(NETWORK, torch.full((3, 2), math.nan)), "reads NaN"),
        (lambda: gradients_of(not_finite(), torch.ones(3, 2)), "reads NaN"),
        (lambda: dead_units_of(NETWORK, torch.ones(3, 2), unit_axis=7), "unit_axis is 7"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_was_expected(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_weights_that_are_not_finite_have_no_regions() -> None:
    with pytest.raises(CannotProveError, match="not finite"):
        regions_in(not_finite())
    with pytest.raises(CannotProveError, match="not finite"):
        affine_map_at(not_finite(), torch.zeros(2))


def drawn(lesson: Lesson) -> str:
    """Its words; that it can be drawn is looked at on the way."""
    lesson.plot()
    return lesson.explain()


def test_each_end_of_sigmoid_is_told_with_what_logit_gives_there() -> None:
    words = drawn(saturation(("tanh",), places=(-800.0, 800.0)))
    assert "logit gives -inf for z = -800" in words
    assert "logit gives inf for z = 800" in words


def nothing(z: Tensor) -> Tensor:
    return 0 * z


def test_gradients_that_are_0_or_not_finite_are_called_so() -> None:
    assert "0 times that of the last" in drawn(gradients((nothing, "relu"), ("he",), (3,), seeds=2))
    lesson = gradients((torch.exp, "relu"), ("he",), (20,), seeds=2)
    assert math.isnan(lesson.run("exp", "he").ratio)
    assert "no longer finite with He + exp" in drawn(lesson)
    assert "keeps it best" not in drawn(gradients(("relu",), ("he",), (2,), seeds=1, width=2, rows=1))


def test_where_no_gradient_arrives_there_is_no_ratio_to_tell() -> None:
    words = drawn(gradients_of(nn.Linear(2, 2, bias=False), torch.zeros(3, 2)))
    assert "is 0, that of the last (weight) 0" in words
    assert "nan" not in words


def test_a_single_activation_is_not_beside_itself() -> None:
    assert "; behind" not in drawn(centring(("relu",), means=(2,)))


def test_a_bias_that_silences_nothing_is_not_said_to() -> None:
    lesson = dead_units(("relu",), (0.01,), epochs=1, bias=50.0)
    assert lesson.silenced == 0
    assert "z ≤ 0 on 0.0 % of the data" in drawn(lesson)


def test_a_strongest_mode_that_was_there_from_the_start_was_not_sooner_by_a_number() -> None:
    lesson = training_path(depths=(1, 2), start=5.0, steps=50, bottleneck=(2, 1))
    assert lesson.path(2).half[0] == 0
    assert "sooner" not in drawn(lesson)


def test_memorisation_without_activations_is_not_called_learning() -> None:
    words = drawn(memorisation(("identity",), (0,), epochs=1))
    assert "going below the floor there is learning" not in words


def test_where_the_interpolant_is_exact_no_order_is_made_of_rounding() -> None:
    lesson = approximation(torch.abs, -1.0, 1.0, units=(2, 4))
    assert math.isnan(lesson.order)
    assert "to the power" not in drawn(lesson)


def test_one_region_is_one() -> None:
    found = regions_in(NETWORK, ((50.0, 51.0), (50.0, 51.0)))
    assert "into 1 cell (no two" in found.explain()
    assert found.plot().axes[0].get_title("left").startswith("1 linear region (")
    assert regions_along(nn.Linear(2, 1), torch.zeros(2), torch.ones(2)).plot().axes[0].get_title("left").startswith(
        "1 affine piece along"
    )  # fmt: skip


def test_gradients_of_0_are_written_down_where_a_logarithm_has_no_place_for_them() -> None:
    deep = wa.MLP([2] + [4] * 60 + [1], "sigmoid", seed=0)
    lesson = gradients_of(deep, torch.ones(3, 2))
    written = [text.get_text() for text in lesson.plot().axes[0].texts]
    assert written.count("0") == sum(layer.norm == 0 for layer in lesson.layers) > 0


def test_a_mark_of_saturation_looks_like_its_line_and_is_named_once() -> None:
    above = saturation(("sigmoid", "tanh", "hardtanh")).plot().axes[0]
    (line,) = (line for line in above.lines if len(line.get_xdata()) == 401 and line.get_ydata()[221] == 1)
    (mark,) = (line for line in above.lines if list(line.get_xdata()) == [1.0])
    assert mark.get_color() == line.get_color()
    assert [text.get_text() for text in above.texts].count("4 formats") == 1


class TestSettingsOfActivations:
    """An activation with settings of its own is judged by these, not by the usual ones."""

    X = torch.linspace(-4, 4, 81)[:, None]

    def units(self, part: nn.Module) -> ModuleUnits:
        return dead_units_of(nn.Sequential(nn.Identity(), part), self.X)

    def test_a_hardtanh_with_other_ends(self) -> None:
        part = nn.Sequential(nn.Identity(), nn.Hardtanh(-2.0, 3.0))
        (call,) = saturation_of(part, self.X).calls
        beyond = ((self.X <= -2) | (self.X >= 3)).double().mean().item()
        assert call.at_end == pytest.approx(beyond)
        assert call.flat == pytest.approx(beyond)

    def test_a_leaky_relu_without_a_leak_kills(self) -> None:
        low = torch.linspace(-4, -1, 11)[:, None]
        assert dead_units_of(nn.Sequential(nn.LeakyReLU(0.0)), low).count(Life.DEAD) == 1
        assert dead_units_of(nn.Sequential(nn.LeakyReLU(0.01)), low).count(Life.DEAD) == 0

    @pytest.mark.parametrize(
        "part", [nn.ReLU(inplace=True), nn.Threshold(0.0, 0.0), nn.Hardsigmoid(), nn.ReLU6(), nn.Softplus(5.0)]
    )
    def test_slopes_are_those_of_autograd(self, part: nn.Module) -> None:
        x = self.X.clone().requires_grad_()
        part(x.clone()).sum().backward()
        assert x.grad is not None
        (found,) = gradients_of(nn.Sequential(nn.Linear(1, 1), part, nn.Linear(1, 1)), self.X).slopes
        assert found[0].startswith("1: ")
        (call,) = self.units(part).calls
        assert call.stuck == (pytest.approx((x.grad == 0).double().mean().item()),)

    def test_a_clamp_is_a_relu_by_another_name(self) -> None:
        class Clamped(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.clamp(min=0)

        (call,) = dead_units_of(Clamped(), -self.X.abs() - 1).calls
        assert (call.name, call.lives) == ("the module itself: clamp", (Life.DEAD,))

    def test_a_sigmoid_that_is_mostly_below_a_half_is_not_asleep(self) -> None:
        for part, life in ((nn.Sigmoid(), Life.ALIVE), (nn.Tanh(), Life.ALIVE), (nn.LeakyReLU(), Life.SLEEPY)):
            low = torch.linspace(-4, -1, 11)[:, None]
            assert dead_units_of(nn.Sequential(part), low).calls[0].lives == (life,)


def test_words_follow_from_the_numbers() -> None:
    call: Any = UnitCall("here: relu", "relu", (1.0, 0.95, 0.2), (1.0, 0.95, 0.2))
    lesson = ModuleUnits("Net", 20, (call,))
    assert "1 is dead on these 20 rows" in lesson.explain()
    assert "1 sleepy" in lesson.explain()
    other = replace(lesson, rows=7, calls=(replace(call, stuck=(0.0, 0.0, 0.0)),))
    assert "0 are dead on these 7 rows" in other.explain()
    assert "1 more have z ≤ 0 on every row and still pass a gradient" in other.explain()


def test_a_forward_may_take_keywords():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, scale, *, x):
            return torch.sigmoid(self.layer(x) * scale)

    module, x = Scaled(), torch.randn(5, 2)
    given = {"scale": 2.0, "x": x}
    for lesson in (saturation_of(module, given), dead_units_of(module, given), gradients_of(module, given)):
        assert lesson.rows == 5
    assert x.grad is None
