"""Deep networks, whose float64 enclosures overlap: balls of more bits decide; and networks too large for any."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.evaluating import effort
from whyactivate.affine.evaluating.replay import ExactConstants
from whyactivate.affine.recording import Example, record_all
from whyactivate.affine.searching import counterexample
from whyactivate.affine.searching.counterexample import find_counterexample
from whyactivate.affine.tape import Tape


def deep(width: int, depth: int, activation: type[nn.Module], gain: float) -> nn.Module:
    """A network that keeps its numbers at one size from layer to layer, and spreads what is close together."""
    torch.manual_seed(0)
    network = nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(width, width), activation())))
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain)
    return network.eval()


def program_of(network: nn.Module, width: int) -> Tape:
    single = record_all(network, Example.of(torch.randn(2, width))).single
    assert single is not None
    return single


def check_that_balls_decide(
    network: nn.Module, width: int, too_few: int, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = program_of(network, width)
    monkeypatch.setattr(counterexample, "_MIXES", counterexample._MIXES[:1])
    monkeypatch.setattr(counterexample, "_SCALES", (1.0,))
    monkeypatch.setattr(counterexample, "count_wide_tries", lambda tape, bits: 1)
    monkeypatch.setattr(counterexample, "_WIDE_BITS", (too_few,))
    assert find_counterexample(program, ExactConstants()) is None
    monkeypatch.setattr(counterexample, "_WIDE_BITS", (bits,))
    found = find_counterexample(program, ExactConstants())
    assert found is not None
    assert found.arithmetic == "balls"
    at_mix, mix_of = value_at_mix(network, found), mix_of_values(network, found)
    assert abs(at_mix - found.at_mix) < 1e-6
    assert abs(mix_of - found.mix_of) < 1e-6
    assert 0 < found.gap <= abs(at_mix - mix_of) + 1e-6


def entry(network: nn.Module, x: Tensor, index: int) -> float:
    with torch.no_grad():
        return float(network.double()(x).flatten()[index])


def value_at_mix(network: nn.Module, found: wa.Counterexample) -> float:
    first, second = map(float, found.weights)
    return entry(network, first * found.a[0] + second * found.b[0], found.output_index)


def mix_of_values(network: nn.Module, found: wa.Counterexample) -> float:
    values = [Fraction(entry(network, x, found.output_index)) for x in (found.a[0], found.b[0])]
    return float(sum(weight * value for weight, value in zip(found.weights, values, strict=True)))


def test_a_deep_tanh_network_is_refuted_in_balls(monkeypatch: pytest.MonkeyPatch) -> None:
    check_that_balls_decide(deep(48, 32, nn.Tanh, 1.5), 48, 53, 256, monkeypatch)


@pytest.mark.slow
def test_a_network_of_a_hundred_relu_layers_is_refuted_in_balls_of_hundreds_of_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_that_balls_decide(deep(100, 110, nn.ReLU, 1.42), 100, 176, 528, monkeypatch)


@pytest.mark.slow
def test_a_network_that_forgets_its_input_is_refuted_in_balls_of_the_most_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*(layer for _ in range(300) for layer in (nn.Linear(64, 64), nn.ReLU())))
    assert max(counterexample._WIDE_BITS) == 1584
    check_that_balls_decide(network, 64, 528, 1584, monkeypatch)


def test_an_analysis_says_that_balls_decided() -> None:
    network = deep(48, 24, nn.Tanh, 1.5)
    analysis = wa.analyze(network, torch.randn(2, 48))
    assert analysis.verdict == "not_affine"
    assert analysis.counterexample is not None
    assert analysis.counterexample.arithmetic == "balls"


class NormalisedBlock(nn.Module):
    """A part of a transformer: what it adds to the stream is normalised first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


def test_intervals_of_a_normalised_stream_stay_narrow_far_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*(NormalisedBlock(32) for _ in range(12)), nn.LayerNorm(32), nn.Linear(32, 4)).eval()
    program = program_of(network, 32)
    monkeypatch.setattr(counterexample, "count_wide_tries", lambda tape, bits: 0)
    found = find_counterexample(program, ExactConstants())
    assert found is not None
    assert found.arithmetic == "enclosed"
    assert abs(value_at_mix(network, found) - mix_of_values(network, found)) > found.gap / 2 > 0
    monkeypatch.setattr(counterexample, "_SCALES_OF_LARGE", (1.0,))
    assert find_counterexample(program, ExactConstants()) is None


def test_precisions_that_cannot_do_are_told_from_where_the_intervals_became_infinite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    program = program_of(nn.Sequential(*(NormalisedBlock(32) for _ in range(60))).eval(), 32)
    monkeypatch.setattr(counterexample, "_SCALES_OF_LARGE", (1.0,))
    monkeypatch.setattr(counterexample, "_WIDE_BITS", (88, 176))
    monkeypatch.setattr(counterexample, "count_wide_tries", lambda tape, bits: 1)
    tried: list[str] = []
    answer = counterexample._Question.answer
    monkeypatch.setattr(counterexample._Question, "answer", lambda self, how: tried.append(how) or answer(self, how))
    assert find_counterexample(program, ExactConstants()) is None
    assert tried == ["enclosed"]


def image_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    ).eval()  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "words"),
    [("_MOST_EVALUATED", "additions and multiplications"), ("_MOST_NUMBERS", "numbers held at once")],
)
def test_a_program_beyond_all_limits_is_undecided_with_the_reason_and_at_once(
    limit: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, limit, 1_000)
    network, x = image_network(), torch.randn(1, 3, 224, 224)
    start = time.process_time()
    analysis = wa.analyze(network, x)
    assert time.process_time() - start < 10
    assert analysis.verdict == "undecided"
    assert words in analysis.blame[0].reason
    assert "is too large" in analysis.blame[0].reason
    assert "analyse the parts" in analysis.advice
    assert any("relu" in blame.op for blame in analysis.blame)


def test_limits_are_for_what_must_be_evaluated_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "_MOST_EVALUATED", 1)
    monkeypatch.setattr(effort, "_MOST_EXACT", -1)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)).eval()
    assert wa.analyze(module, torch.randn(2, 3, 20, 20)).verdict == "affine"


def test_images_of_224_pixels_are_answered() -> None:
    analysis = wa.analyze(image_network(), torch.randn(1, 3, 224, 224))
    assert analysis.verdict == "not_affine"
