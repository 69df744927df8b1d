"""Lessons: the numbers are right, the words follow from them, the figures draw, and no module is changed."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from itertools import combinations

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_checks import SEEN, distance, told_by_colour_alone, untidy
from whyactivate import MLP, InputError, SimpleModel, TrainConfig, UnknownNameError, Verdict, load_dataset, train
from whyactivate.lessons import (
    Lesson,
    Life,
    approximation,
    centring,
    dead_units,
    dead_units_of,
    float_networks,
    gradients,
    gradients_of,
    memorisation,
    regions_in,
    saturation,
    saturation_of,
    training_path,
    where_nonlinearity,
    xor,
)
from whyactivate.lessons.approximation import barrier
from whyactivate.lessons.batched import Stack, train_stack
from whyactivate.lessons.lesson import digits, listing
from whyactivate.lessons.observe import watch
from whyactivate.plots.style import GREEN, VERMILION, stroke_of, svg_of

pytestmark = pytest.mark.xdist_group("lessons")  # each is made once, not once per worker

QUICK = {
    "saturation": saturation,
    "gradients": lambda: gradients(("identity", "relu", "sigmoid"), depths=(8,), seeds=4),
    "dead_units": lambda: dead_units(learning_rates=(0.1,), epochs=2),
    "centring": centring,
    "regions": lambda: regions_in(MLP([2, 4, 1]), 2.0),
    "approximation": lambda: approximation(units=(4, 8, 16)),
    "xor": xor,
    "training_path": lambda: training_path(steps=600),
    "float_networks": lambda: float_networks(pairs=100),
    "where_nonlinearity": where_nonlinearity,
    "memorisation": lambda: memorisation(("identity", "relu"), (0, 1), epochs=5),
    "gradients_of": lambda: gradients_of(MLP([3, 8, 8, 1], "tanh"), torch.ones(4, 3)),
    "saturation_of": lambda: saturation_of(MLP([3, 8, 8, 1], "tanh"), torch.ones(4, 3)),
    "dead_units_of": lambda: dead_units_of(MLP([3, 8, 8, 1], "relu"), torch.ones(4, 3)),
}


@pytest.fixture(scope="module")
def made() -> dict[str, Lesson]:
    return {name: make() for name, make in QUICK.items()}


@pytest.mark.parametrize("name", QUICK)
def test_a_lesson_is_frozen_and_tells_itself(made, name):
    lesson = made[name]
    words = lesson.explain()
    assert "\n" not in words
    assert len(words) > 80
    assert lesson.title in str(lesson)
    assert json.loads(json.dumps(lesson.to_dict()))["explain"] == words
    assert "<b>" in lesson._repr_html_()
    with pytest.raises(FrozenInstanceError):
        lesson.seed = 1


@pytest.mark.parametrize("name", QUICK)
def test_a_figure_is_drawn_with_version_and_settings(made, name):
    lesson = made[name]
    figure = lesson.plot()
    small = figure._supxlabel.get_text()
    assert small.startswith("whyactivate 0.")
    assert small.endswith(lesson.settings)
    assert svg_of(figure).startswith("<?xml")
    assert lesson.plot("mine")._supxlabel.get_text() == "mine"


@pytest.mark.parametrize("name", QUICK)
def test_a_figure_can_be_read_in_grey_and_by_everybody(made, name):
    figure = made[name].plot()
    assert untidy(figure) == []
    assert told_by_colour_alone(figure) == []


class TestFigureChecks:
    """The checks themselves notice what they are for."""

    def test_lines_that_differ_in_colour_alone(self):
        axes = Figure().subplots()
        axes.plot([0, 1], color=VERMILION)
        axes.plot([1, 0], color=GREEN)
        assert told_by_colour_alone(axes.figure) == [f"{GREEN} and {VERMILION} in grey"]
        axes.lines[1].set_linestyle("--")
        assert told_by_colour_alone(axes.figure) == []

    @pytest.mark.parametrize("how", ["without red cones", "without green cones"])
    def test_red_and_green_are_alike_to_some(self, how):
        assert distance("#d04040", "#708020", how) < distance("#d04040", "#708020", "by everybody") / 2

    def test_words_that_leave_the_figure_or_lie_over_others(self):
        axes = Figure(figsize=(3, 2)).subplots()
        axes.set_title("a title that is much longer than the figure is wide")
        axes.text(0.5, 0.5, "one")
        axes.text(0.5, 0.5, "other")
        found = untidy(axes.figure)
        assert any("is cut off" in words for words in found)
        assert "'one' lies over 'other'" in found

    def test_every_activation_has_a_line_of_its_own(self):
        strokes = [stroke_of(name) for name in ("identity", "relu", "sigmoid", "tanh", "leaky_relu")]
        for one, other in combinations(strokes, 2):
            assert one.marker != other.marker
            assert one.dashes != other.dashes or all(distance(one.colour, other.colour, how) > 20 for how in SEEN)


class TestSaturation:
    def test_from_there_on_it_is_exactly_at_its_end_and_just_before_it_is_not(self):
        found = saturation()
        for end in found.ends:
            function = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[end.activation]
            at = torch.full((64,), end.high_from, dtype=end.dtype)
            before = torch.nextafter(at, torch.zeros_like(at))
            assert bool((function(at) == 1).all())
            assert bool((function(before) < 1).all())
            if end.low_until is not None:
                low = torch.full((64,), end.low_until, dtype=end.dtype)
                assert bool((function(low) == end.low).all())

    def test_what_is_lost_is_told(self):
        found = saturation(places=(7.0, 55.0))
        assert "inf" in found.explain()
        assert "inf" not in saturation(places=(7.0,)).explain()

    def test_an_unbounded_activation_is_refused(self):
        with pytest.raises(InputError, match="bounded"):
            saturation(("relu",))

    def test_the_share_of_flat_values_in_a_module(self):
        module = nn.Sequential(nn.Linear(1, 2), nn.Tanh())
        with torch.no_grad():
            module[0].weight.copy_(torch.tensor([[0.0], [0.0]]))
            module[0].bias.copy_(torch.tensor([0.0, 50.0]))
        (call,) = saturation_of(module, torch.zeros(10, 1)).calls
        assert (call.units, call.flat, call.at_end, call.flat_units) == (2, 0.5, 0.5, 1)
        assert saturation_of(nn.Sequential(nn.Linear(1, 2), nn.ReLU()), torch.zeros(3, 1)).calls == ()


class TestGradients:
    def test_the_product_of_jacobians_is_what_autograd_gives(self):
        assert gradients(("relu", "sigmoid", "gelu"), depths=(6,), seeds=2).disagreement < 1e-12

    def test_a_wrong_derivative_is_noticed(self, monkeypatch):
        from whyactivate.lessons import batched

        monkeypatch.setattr(batched, "slope", lambda activation, z: torch.ones_like(z))
        assert gradients(("sigmoid",), depths=(6,), seeds=2).disagreement > 0.1

    def test_a_modules_gradients_are_those_of_autograd(self):
        model = MLP([3, 8, 8, 1], "tanh")
        x, y = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))[:, :, :]
        y = y[:, :1]
        found = gradients_of(model, x, y)
        F.mse_loss(model(x), y).backward()
        for layer, own in zip(found.layers, model.layers, strict=True):
            assert layer.norm == pytest.approx(float(own.weight.grad.norm()), rel=1e-5)
        assert found.ratio == pytest.approx(found.layers[0].norm / found.layers[-1].norm)

    def test_a_loss_of_ones_own_and_inputs_of_several_kinds(self):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(2, 2)

            def forward(self, a, b):
                return {"out": F.relu(self.layer(a) + b, inplace=True)}

        inputs = (torch.ones(3, 2), torch.ones(3, 2))
        found = gradients_of(Two(), inputs, loss=lambda out: out["out"].sum())
        assert [layer.name for layer in found.layers] == ["layer.weight"]
        with pytest.raises(InputError, match="loss="):
            gradients_of(Two(), inputs)

    def test_where_nothing_arrives_the_ratio_is_zero(self):
        found = gradients((torch.zeros_like, "identity"), ("default",), (3,), seeds=2)
        assert found.runs[0].ratio == 0.0
        assert "is 0 times" in found.explain()

    def test_unknown_names_are_refused(self):
        with pytest.raises(UnknownNameError):
            gradients(("rleu",))
        with pytest.raises(UnknownNameError):
            gradients(inits=("hee",))


class TestDeadUnits:
    def test_dead_sleepy_and_alive(self):
        module = nn.Sequential(nn.Linear(1, 3), nn.ReLU())
        with torch.no_grad():
            module[0].weight.copy_(torch.tensor([[0.0], [1.0], [1.0]]))
            module[0].bias.copy_(torch.tensor([-1.0, -8.5, 0.0]))
        rows = torch.arange(10.0)[:, None]
        (call,) = dead_units_of(module, rows).calls
        assert call.lives == (Life.DEAD, Life.SLEEPY, Life.ALIVE)
        assert call.negative == (1.0, 0.9, 0.1)

    def test_leaky_units_are_never_dead(self):
        module = nn.Sequential(nn.Linear(1, 2), nn.LeakyReLU())
        with torch.no_grad():
            module[0].bias.fill_(-50.0)
        found = dead_units_of(module, torch.zeros(4, 1))
        assert found.count(Life.DEAD) == 0
        assert "still pass a gradient" in found.explain()

    def test_units_of_images_are_channels(self):
        module = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU())
        assert dead_units_of(module, torch.zeros(2, 1, 6, 6)).units == 5

    def test_functions_count_as_modules_do_and_shared_ones_count_each_time(self):
        class Plain(nn.Module):
            def forward(self, x):
                return torch.relu(x).tanh() + F.gelu(x)

        watched = watch(nn.Sequential(Plain(), nn.ReLU(inplace=True)), torch.ones(2, 3))
        assert [(call.module, call.activation) for call in watched.calls] == [
            ("0", "relu"),
            ("0", "tanh"),
            ("0", "gelu"),
            ("1", "relu"),
        ]
        names = [call.name for call in dead_units_of(SimpleModel(), torch.ones(2, 10)).calls]
        assert names[1] == "activation: relu (call 2)"

    def test_nothing_to_see_is_an_error(self):
        with pytest.raises(InputError, match="no activation"):
            dead_units_of(nn.Linear(2, 2), torch.ones(2, 2))
        with pytest.raises(InputError, match="failed"):
            dead_units_of(nn.Linear(2, 2), torch.ones(2, 3))


@pytest.mark.parametrize("look", [dead_units_of, saturation_of, gradients_of])
def test_the_module_and_the_random_state_stay_as_they_are(look):
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.ReLU(inplace=True), nn.Linear(4, 1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    x = torch.ones(4, 3)
    look(module, x)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert module.training
    assert torch.equal(x, torch.ones(4, 3))


def test_gradients_are_there_whatever_mode_the_caller_is_in():
    module, x = MLP([3, 4, 1], "tanh"), torch.ones(4, 3)
    expected = gradients_of(module, x).layers
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert gradients_of(module, torch.ones(4, 3)).layers == expected


class TestCentring:
    def test_means_are_those_of_the_integrals(self):
        found = centring(("relu", "tanh", "identity"), (0.0, 1.0))
        assert found.mean("relu", 0.0) == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-5)
        assert found.mean("tanh", 0.0) == 0.0
        assert found.mean("identity", 1.0) == pytest.approx(1.0)
        assert found.next_layer("relu").same_sign == 1.0


class TestApproximation:
    def test_the_error_keeps_the_bound_and_its_order(self):
        found = approximation()
        assert found.order == pytest.approx(2, abs=0.02)
        assert all(fit.error <= found.bound(fit) + 1e-12 for fit in found.relu)
        assert all(each.degree == each.allowed for each in found.degrees)
        assert "kept by all" in found.explain()
        assert "NOT kept" in replace(found, curvature=0.1).explain()

    def test_the_barrier_is_a_lower_bound(self):
        # 1/8 + x² misses |x| by 1/8 at 0, 1/2 and 1 with changing signs: the best of degree 2 and 3.
        assert Fraction(1, 10) < barrier(2).distance <= Fraction(1, 8)
        assert barrier(0).distance == Fraction(1, 2)


class TestTrainingPath:
    def test_deep_ones_learn_in_stages_and_all_end_at_one_map(self):
        found = training_path()
        assert found.path(1).spread < 1.1
        assert found.path(2).spread > 3
        assert all(path.distance < 1e-3 for path in found.paths)
        assert found.formula_gap < 0.05
        assert found.rank == min(found.bottleneck)

    def test_smaller_steps_come_nearer_to_the_formula(self):
        coarse = training_path(depths=(2,), steps=400, rate=0.01).formula_gap
        fine = training_path(depths=(2,), steps=1600, rate=0.0025).formula_gap
        assert fine < coarse / 3


class TestWhereNonlinearity:
    def test_what_is_left_as_each_is_taken_out(self, made):
        found = made["where_nonlinearity"]
        for network in ("CNN", "LSTM", "transformer block"):
            whole, *_, bare = found.of(network)
            assert bare.verdict is Verdict.AFFINE
            assert whole.verdict is not Verdict.AFFINE
        block = found.find("transformer block", "GELU")
        assert block.verdict is not Verdict.AFFINE
        assert {"softmax", "native_layer_norm"} & {name.strip("_") for name in block.breakers}
        attention = found.find("transformer block", "GELU", "LayerNorm", "softmax")
        assert attention.verdict is Verdict.NOT_AFFINE
        assert attention.degree == 3
        assert found.find("LSTM", "tanh", "sigmoid").degree == 9


class TestFloatNetworks:
    def test_the_gap_is_within_what_is_proved(self, made):
        found = made["float_networks"]
        assert 0 < found.gap < 2 * found.bound
        assert found.distinct < len(found.line) / 4
        assert "counts numbers that small as 0" in replace(found, flushed=True).explain()


class TestStack:
    def test_training_a_stack_is_training_each(self):
        data = load_dataset("article", 3)
        stack = Stack.start([10, 18, 18, 4, 1], "tanh", [2, 3])
        parts = (data.train_x, data.train_y), (data.test_x, data.test_y)
        done = train_stack(stack, *parts, epochs=5, batch_size=10, rate=1e-3)
        history = train(SimpleModel("tanh", seed=3), data, TrainConfig(epochs=5, shuffle=False))
        assert done.train_loss[:, 1].tolist() == pytest.approx(history.train_loss, rel=1e-4)
        assert done.last_batch_loss[:, 1].tolist() == pytest.approx(history.last_batch_loss, rel=1e-4)


class TestMemorisation:
    def test_words_name_the_seeds_that_stayed_above(self, made):
        found = made["memorisation"]
        run = found.noise.run("relu")
        above = replace(run, train_loss=(found.noise.floor[0] * 2, found.noise.floor[1] / 2))
        changed = replace(found, noise=replace(found.noise, runs=(found.noise.runs[0], above)))
        assert "(not with seed 0)" in changed.explain()
        assert "1 of 2" in changed.explain()


def test_words():
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing([]) == "none"
    assert digits(0.0) == "0"
    assert digits(-1234.5) == "−1234.500"
    assert digits(1e-9) == "1e−09"
