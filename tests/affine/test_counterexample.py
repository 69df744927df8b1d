"""Counterexamples are found for functions that are affine almost everywhere, and are what they say they are."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from modules import Call
from whyactivate.affine.evaluating.replay import ExactConstants, Replay
from whyactivate.affine.recording import Example, record_all
from whyactivate.affine.searching.rare import rare_pairs
from whyactivate.affine.searching.switches import Switches
from whyactivate.arithmetic.exact import ExactArray

Forward = Callable[["Parts", Tensor], Tensor]


class Parts(nn.Module):
    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.function = function
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.fc1, self.fc2, self.fc3 = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.deep = nn.ModuleList([nn.Linear(8, 8) for _ in range(6)])

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def one_of(count: int, place: int) -> Tensor:
    return torch.eye(count)[place]


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: x == 0.3,
        lambda m, x: (x == 0.3).float(),
        lambda m, x: x != torch.tensor(-7.0),
        lambda m, x: m.fc1(x) >= 0.3,
        lambda m, x: (x > 0).any(1),
        lambda m, x: (m.fc1(x), x > 1e6),
        lambda m, x: x.masked_fill(torch.arange(6) < 2, -torch.inf).logsumexp(1),
    ],
)
def test_what_is_true_or_false_and_a_sum_behind_a_mask_are_refuted(forward: Forward) -> None:
    analysis = wa.analyze(Parts(forward), torch.zeros(2, 6))
    assert analysis.verdict == "not_affine"
    assert analysis.counterexample is not None
    assert analysis.counterexample.gap > 0


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: x + x.norm(p=torch.inf, dim=1, keepdim=True),
        lambda m, x: x[:, :1] + torch.dist(x[0], torch.zeros(6), p=-torch.inf),
        lambda m, x: x ** torch.tensor(2),
        lambda m, x: x ** torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 3.0]),
        lambda m, x: x[:, :1] + torch.count_nonzero(x > 1e6, 1)[:, None],
    ],
    ids=["a norm", "a distance", "a square", "powers", "a count"],
)
def test_orders_and_powers_that_are_tensors_are_refuted(forward: Forward) -> None:
    assert wa.analyze(Parts(forward), rows()).verdict is wa.Verdict.NOT_AFFINE


@pytest.mark.parametrize("forward", [lambda m, x: x != x, lambda m, x: (m.fc1(x), x > torch.inf)])
def test_what_is_always_true_or_false_is_undecided(forward: Forward) -> None:
    analysis = wa.analyze(Parts(forward), torch.zeros(2, 6))
    assert analysis.verdict == "undecided"


def deep_and_always_on(m: Parts, x: Tensor) -> Tensor:
    z = m.fc1(x)
    for layer in m.deep:
        z = F.relu(layer(z) + 1e4)
    return m.fc3(z)


def one_unit_at_the_end(m: Parts, x: Tensor) -> Tensor:
    z = m.fc1(x)
    for layer in m.deep:
        z = layer(z)
    return m.fc3(m.fc1(x) + F.relu(m.fc3(z).sum(1, keepdim=True) - 300))


def six_gates(m: Parts, x: Tensor) -> Tensor:
    on = F.relu(x * torch.tensor([1.0, 1, 1, -1, 1, -1]) - 50)
    return x[:, :1] + on[:, 0:1] * on[:, 1:2] * on[:, 2:3] * on[:, 3:4] * on[:, 4:5] * on[:, 5:6]


RARELY_NOT_AFFINE: dict[str, Forward] = {
    "relu(x + 100)": lambda m, x: F.relu(x + 100),
    "x + relu(x - 50)": lambda m, x: x + F.relu(x - 50),
    "a wide hardtanh": lambda m, x: F.hardtanh(x, -1e4, 1e4),
    "x + 1e-9 x²": lambda m, x: x + 1e-9 * x**2,
    "x + 1e-30 x²": lambda m, x: x + 1e-30 * x * x,
    "relu(x - 1e30)": lambda m, x: F.relu(x - 1e30),
    "relu(x + 1e30)": lambda m, x: F.relu(x + 1e30),
    "x + relu(x - 1e12)": lambda m, x: x + F.relu(x - 1e12),
    "relu(1e-10 x - 1)": lambda m, x: x + F.relu(1e-10 * x - 1),
    "one of 8 hidden units": lambda m, x: m.fc3(m.fc1(x) + F.relu(m.fc1(x) - 77) * one_of(8, 3)),
    "one of 600 coordinates": lambda m, x: x.repeat(1, 100) + F.relu(x.repeat(1, 100) - 5e7) * one_of(600, 413),
    "a product of two rare gates": lambda m, x: x[:, :1] + F.relu(x[:, :1] - 50) * F.relu(x[:, 1:2] - 50),
    "a product of unlike gates": lambda m, x: x[:, :1] + F.relu(x[:, :1] - 5e5) * F.relu(-x[:, 1:2] - 50),
    "a product of six rare gates": six_gates,
    "a threshold on a maximum": lambda m, x: F.relu(torch.maximum(x[:, :2], x[:, 2:4]) - 1e5),
    "a threshold on a minimum of four": lambda m, x: (
        x[:, :1] + F.relu(torch.minimum(torch.minimum(x[:, :1], x[:, 1:2]), torch.minimum(x[:, 2:3], x[:, 3:4])) - 1e5)
    ),
    "a bump of width 1e-3": lambda m, x: x + F.relu(x - 3) - 2 * F.relu(x - 3.0005) + F.relu(x - 3.001),
    "a slab of width 2e-3 at 100": lambda m, x: x + F.relu(1 - 1000 * (x - 100).abs()),
    "a bump in two coordinates": lambda m, x: (
        x[:, :1] + F.relu(1 - 1000 * ((x[:, :1] - 100).abs() + (x[:, 1:2] + 37).abs()))
    ),
    "a bump in six coordinates": lambda m, x: (
        x[:, :1] + F.relu(1 - 1000 * (x - torch.tensor([100.0, -37, 5, 812, 0.25, -1e3])).abs().sum(1, keepdim=True))
    ),
    "a kink behind a kink": lambda m, x: x + F.relu(F.relu(x - 1000) - 1000),
    "a kink behind a hidden kink": lambda m, x: m.fc3(m.fc1(x) + F.relu(m.fc2(F.relu(m.fc1(x) - 1000)) - 1e5)),
    "one hidden direction": lambda m, x: m.fc3(m.fc1(x)) + F.relu(m.fc1(x)[:, :1] - 1e6),
    "six layers that are always on near 0": deep_and_always_on,
    "one unit behind six layers": one_unit_at_the_end,
    "relu(tanh(x) - 0.99999)": lambda m, x: x[:, :1] + F.relu(torch.tanh(x[:, :1]) - 0.99999),
    "a small sigmoid far out": lambda m, x: x + 1e-6 * torch.sigmoid(x - 1e3),
    "a small exponential": lambda m, x: x + 1e-20 * torch.exp(x),
    "a bell of width 1 at 1000": lambda m, x: x + torch.exp(-((x - 1000) ** 2)),
    "a bell of width 1e-3 at 1000": lambda m, x: x + torch.exp(-1e6 * (x - 1000) ** 2),
    "gates in a product behind layers": lambda m, x: m.fc3(
        m.fc1(x) * (1 + F.relu(m.fc1(x) - 1e4) * F.relu(-m.fc2(m.fc1(x)) - 1e4))
    ),
    "clamps at six heights": lambda m, x: torch.clamp(x, max=torch.tensor([1e3, 1e4, 1e5, 1e6, 1e7, 1e8])),
    "relu after conv1d": lambda m, x: F.relu(F.conv1d(x[:, None], torch.ones(1, 1, 3)) + 1e3),
    "the unit step at 1e6, times x": lambda m, x: x + F.relu(x - 1e6) - F.relu(x - 1e6 - 1),
}


def rows() -> Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", RARELY_NOT_AFFINE)
def test_a_function_that_is_affine_almost_everywhere_is_refuted(name: str) -> None:
    analysis = wa.analyze(Parts(RARELY_NOT_AFFINE[name]), rows())
    assert analysis.verdict == "not_affine", str(analysis)
    counterexample = analysis.counterexample
    assert counterexample is not None
    assert sum(counterexample.weights) == 1
    assert counterexample.gap > 0
    if counterexample.arithmetic != "exact":
        return
    assert analysis.tape is not None
    first, second = counterexample.weights
    a, b = (ExactArray.from_tensor(point[0]) for point in (counterexample.a, counterexample.b))
    points = ExactArray.stack_points([a, b, a * first + b * second])
    (output,) = Replay(analysis.tape).outputs([points])
    at_a, at_b, at_mix = output.flatten().to_fractions()[:, counterexample.output_index]
    gap: Fraction = abs(first * at_a + second * at_b - at_mix)
    assert gap >= Fraction(counterexample.gap)


STEPS: dict[str, Forward] = {
    "x + floor(x / 1e6)": lambda m, x: x + torch.floor(x / 1e6),
    "x + sign(x - 1e6)": lambda m, x: x + torch.sign(x - 1e6),
    "x + 1 beyond 1e6": lambda m, x: torch.where(x > 1e6, x + 1, x),
    "x + round(x / 1e6)": lambda m, x: x + torch.round(x / 1e6),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_far_from_0_are_refuted(name: str) -> None:
    assert wa.analyze(Parts(STEPS[name]), rows()).verdict == "not_affine"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_kinks_are_found_in_every_dtype(dtype: torch.dtype) -> None:
    module = Parts(lambda m, x: x + F.relu(x - 300))
    assert wa.analyze(module, rows().to(dtype)).verdict == "not_affine"


def test_kinks_in_one_of_two_inputs_are_found() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y + F.relu(1 - 100 * ((x - 400).abs() + (y + 70).abs()))

    counterexample = wa.analyze(Two(), (torch.zeros(1, 2), torch.zeros(1, 2))).counterexample
    assert counterexample is not None
    assert len(counterexample.a) == len(counterexample.b) == 2


def test_switches_tell_how_far_operands_are_from_their_kinks() -> None:
    def function(m: Parts, x: Tensor) -> Tensor:
        return F.hardtanh(x, -2, 3) + torch.maximum(x, 2 * x) + torch.clamp(x, max=torch.arange(6.0)) + torch.exp(x)

    tape = record_all(Parts(function), Example.of(rows())).single
    assert tape is not None
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs, switches = Switches(tape, ExactConstants()).at(x)
    expected = torch.cat([x + 2, x - 3, x - 2 * x, x - torch.arange(6.0), x], dim=1)
    torch.testing.assert_close(switches, expected)
    torch.testing.assert_close(outputs, function(Parts(function), x))


@pytest.mark.parametrize("other", [torch.tensor(-1.0), torch.ones(3, 1, 1, 6)], ids=["of no axis", "of more axes"])
def test_switches_broadcast_what_is_compared(other: Tensor) -> None:
    functions: list[Forward] = [
        lambda m, x: torch.maximum(x, other), lambda m, x: torch.minimum(x, other),
        lambda m, x: torch.clamp(x, max=other), lambda m, x: (x > other).float(),
    ]  # fmt: skip
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for function in functions:
        tape = record_all(Parts(function), Example.of(rows())).single
        assert tape is not None
        _, switches = Switches(tape, ExactConstants()).at(x)
        torch.testing.assert_close(switches, (x[:, None, None, None] - other.double()).reshape(4, -1))


def test_rare_pairs_are_the_same_every_time() -> None:
    tape = record_all(Parts(RARELY_NOT_AFFINE["a bump in two coordinates"]), Example.of(rows())).single
    assert tape is not None
    one, other = (list(islice(rare_pairs(tape, ExactConstants(), seed=4), 40)) for _ in range(2))
    assert len(one) == len(other) > 24  # some of them from the tours
    for (a, b), (c, d) in zip(one, other, strict=True):
        assert np.array_equal(a[0], c[0])
        assert np.array_equal(b[0], d[0])


def test_a_counterexample_tells_its_values_sharply_where_one_does() -> None:
    """At 0, the middle of opposite inputs, the determinant is not known well enough to say which side of 0 it is on."""
    module = Call(lambda x: torch.bucketize(torch.linalg.det(x.reshape(-1, 2, 2)), torch.tensor([-1.0, 0.0, 2.0])))
    found = wa.analyze(module, torch.randn(3, 4, generator=torch.Generator().manual_seed(0))).counterexample
    assert found is not None
    mix = float(found.weights[0]) * found.a[0] + float(found.weights[1]) * found.b[0]
    assert float(module(mix.float())) == found.at_mix


def test_a_counterexample_tells_which_of_several_tensors_it_is_about() -> None:
    module = Call(lambda x: (x, {"places": x.argmax(1), "mode": x.mode(1).indices}, torch.cat([x, x.relu()], 1)))
    found = wa.analyze(module, torch.randn(3, 4, generator=torch.Generator().manual_seed(0))).counterexample
    assert found is not None
    first, second = map(float, found.weights)
    (a,), (b,) = found.a, found.b
    outputs = [[one[0], *one[1].values(), one[2]] for one in map(module, (first * a + second * b, a, b))]
    at_mix, at_a, at_b = (float(one[found.output].flatten()[found.output_index]) for one in outputs)
    assert (at_mix, first * at_a + second * at_b) == (found.at_mix, found.mix_of)
    alone = wa.analyze(Call(lambda x: (x, x.mode(1).indices, x.relu())), a.float()).counterexample
    assert alone is not None
    assert alone.output == 2
    assert "of tensor 2" in str(alone)
