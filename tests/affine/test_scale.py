"""Large programs are evaluated in float64 enclosures: shown on small ones that are taken for large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.evaluating import effort
from whyactivate.affine.evaluating.agreement import find_mismatch
from whyactivate.affine.evaluating.replay import ExactConstants, Replay, needs_balls
from whyactivate.affine.recording import Example, record_all
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "_MOST_EXACT", -1)
    monkeypatch.setattr(effort, "_MOST_IN_BALLS", -1)
    torch.manual_seed(0)


class Call(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2),
    )  # fmt: skip


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: wa.MLP([4, 5, 2], activation="relu"), (2, 4)),
        (lambda: wa.MLP([4, 5, 2], activation="tanh"), (2, 4)),
        (cnn, (1, 3, 8, 8)),
        (Recurrent, (1, 4, 3)),
        (encoder, (1, 3, 8)),
    ],
)
def test_a_counterexample_within_enclosures_holds_without_rounding(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    analysis = wa.analyze(make().eval(), torch.randn(shape))
    assert analysis.verdict == "not_affine"
    found, tape = analysis.counterexample, analysis.tape
    assert found is not None
    assert tape is not None
    assert found.arithmetic == "enclosed"
    assert "disjoint intervals" in str(found)

    first, second = found.weights
    (a,), (b,) = found.a, found.b
    exact_a, exact_b = ExactArray.from_tensor(a), ExactArray.from_tensor(b)
    points = ExactArray.stack_points([exact_a, exact_b, exact_a * first + exact_b * second])
    replay = Replay(tape, constants=ExactConstants())
    (output,) = replay.outputs([BallArray.from_exact(points) if needs_balls(tape) else points])
    flat = output.flatten()
    gap = abs(flat.at(2) - (flat.at(0) * first + flat.at(1) * second))[found.output_index]
    assert (gap >= ExactArray.from_fraction(found.gap)).all()


def test_affine_networks_are_affine_and_rows_are_told_to_be_tested() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    analysis = wa.analyze(module.eval(), torch.randn(3, 3, 8, 8))
    assert analysis.verdict == "affine"
    assert analysis.per_example
    assert "within float64 enclosures" in analysis.tested


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, x: m.layer(x - x.mean(0)), "other rows of a batch"),
        (lambda m, x: m.layer(x.flip(0)), "other rows of a batch"),
        (lambda m, x: m.layer(x) + 2.0**-30 * x.sum(0), "other rows of a batch"),
        (lambda m, x: m.layer(x) + torch.arange(x.shape[0])[:, None], "otherwise than a row alone"),
    ],
)
def test_rows_that_mix_are_seen_within_enclosures(function: Callable[..., Any], words: str) -> None:
    analysis = wa.analyze(Call(function), torch.randn(4, 3))
    assert analysis.verdict == "affine"
    assert not analysis.per_example
    assert any(words in note for note in analysis.notes)


def test_outputs_that_are_not_the_programs_are_seen_in_floats() -> None:
    recordings = record_all(Call(lambda m, x: m.layer(x).tanh()), Example.of(torch.randn(2, 3)))
    assert find_mismatch(recordings, ExactConstants()) is None
    first, second, *more = recordings.pairs
    wrong = replace(second, returned=tuple(tensor + 0.1 for tensor in second.returned))
    found = find_mismatch(replace(recordings, pairs=(first, wrong, *more)), ExactConstants())
    assert "not that of the recorded operations" in str(found)
    found = find_mismatch(replace(recordings, unwatched=wrong.returned), ExactConstants())
    assert "when its operations are not being recorded" in str(found)
    found = find_mismatch(replace(recordings, unwatched=()), ExactConstants())
    assert "when its operations are not being recorded" in str(found)


def barely_bent(m: Call, x: Tensor) -> Tensor:
    """A kink so small that float64 enclosures cannot see it."""
    return (x + x.relu() * 2.0**-60) * 2.0


def test_where_enclosures_meet_balls_of_more_bits_decide() -> None:
    analysis = wa.analyze(Call(barely_bent), torch.randn(2, 3, dtype=torch.float64))
    assert analysis.verdict == "not_affine"
    assert analysis.counterexample is not None
    assert analysis.counterexample.arithmetic == "balls"


def test_enclosures_that_meet_decide_nothing_where_balls_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "_MOST_IN_WIDE_BALLS", 0)
    analysis = wa.analyze(Call(barely_bent), torch.randn(2, 3, dtype=torch.float64))
    assert analysis.verdict == "undecided"
    assert analysis.counterexample is None
    assert "too large for exact arithmetic" in analysis.tested


def test_work_is_counted_in_terms_and_searches_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = wa.analyze(nn.Linear(7, 5), torch.randn(2, 7)).tape
    assert tape is not None
    assert effort.count_work(tape) == pytest.approx(35, rel=1)
    monkeypatch.setattr(effort, "_MOST_SEARCHED", 3 * effort.count_work(tape))
    assert effort.count_tries(tape, balls=False) == 3
    monkeypatch.setattr(effort, "_MOST_EXACT", 10**6)
    assert effort.is_small(tape, balls=False)
    assert effort.count_tries(tape, balls=False) is None
