from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import whyactivate as wa
from proof.networks import Architecture, Step, architectures, exact_steps, layer_by_layer
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError, InputError
from whyactivate.proof.exact import prove_exact
from whyactivate.proof.modular import check_modular

ARTICLE = Architecture((10, 18, 18, 4, 1), (True,) * 4, torch.float32, 0)


@settings(max_examples=30)
@given(architectures(), st.data())
def test_the_right_result_passes_and_a_changed_one_never_does(architecture: Architecture, data) -> None:
    """A false claim passes with probability below 2^-45; with so few examples, never."""
    steps = exact_steps(architecture.network())
    evaluate, claimed = layer_by_layer(steps), ExactAffine.multiply_out(steps)
    assert check_modular(evaluate, steps, claimed, rounds=1).agrees
    assert check_modular(evaluate, steps, None, rounds=1).agrees
    part = data.draw(st.sampled_from(["weight", "bias"]))
    values = getattr(claimed, part).to_fractions()[0]
    place = tuple(data.draw(st.integers(0, n - 1)) for n in values.shape)
    values[place] += data.draw(st.sampled_from([1, Fraction(-1, 2**900), Fraction(1, 3), 2**700]))
    forged = replace(claimed, **{part: ExactArray.from_fractions(values)})
    check = check_modular(evaluate, steps, forged, rounds=1)
    assert not check.agrees
    assert f"output {place[0]} differs" in check.problems[0]


def test_the_error_probability_falls_with_every_round() -> None:
    steps = exact_steps(ARTICLE.network())
    claimed = ExactAffine.multiply_out(steps)
    one, three = (check_modular(layer_by_layer(steps), steps, claimed, rounds=rounds) for rounds in (1, 3))
    assert -61 < one.log2_error < -45
    assert three.log2_error == pytest.approx(3 * one.log2_error)
    assert len(set(three.primes)) == 3
    assert f"2^{math.ceil(three.log2_error)}" in str(three)
    with pytest.raises(InputError, match="rounds must be a whole number of at least 1"):
        check_modular(layer_by_layer(steps), steps, claimed, rounds=0)


def test_a_seed_replays_the_draws_and_none_draws_anew() -> None:
    steps = exact_steps(ARTICLE.network())
    claimed = ExactAffine.multiply_out(steps)
    first, second = (check_modular(layer_by_layer(steps), steps, claimed) for _ in range(2))
    assert first.primes != second.primes
    assert check_modular(layer_by_layer(steps), steps, claimed, seed=first.seed).primes == first.primes
    with pytest.raises(InputError, match="hexadecimal"):
        check_modular(layer_by_layer(steps), steps, claimed, seed="of course")


def test_who_knows_the_seed_can_forge_so_seeds_are_for_replay_only() -> None:
    steps = exact_steps(ARTICLE.network())
    claimed = ExactAffine.multiply_out(steps)
    known = check_modular(layer_by_layer(steps), steps, claimed, rounds=1)
    forged = replace(claimed, bias=claimed.bias + known.primes[0])
    assert check_modular(layer_by_layer(steps), steps, forged, rounds=1, seed=known.seed).agrees
    assert not check_modular(layer_by_layer(steps), steps, forged, rounds=1).agrees


def test_convolutions_residuals_and_normalisation_are_covered() -> None:
    generator = torch.Generator().manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(48, 4)

        def forward(self, x):
            h = self.norm(self.conv(x))
            h[:, 0] = h[:, 1] * 0.5 + 2
            return self.head((h + x.mean((1, 2, 3), keepdim=True)).flatten(1))

    net = Net().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    collapse = wa.collapse_linear(net, torch.zeros(1, 2, 4, 4))
    proof = collapse.prove("exact", points_budget=0)
    assert proof.details["route 2"] == "modulo random primes"
    assert proof.holds, proof
    (taken,) = proof.details["taken as computed"]
    assert "in norm: its coefficients are taken as computed" in taken
    held = collapse.prove("exact", points_budget=0, rounds=5)
    assert held.details["modular check: rounds"] == 5


def test_sixty_four_layers_of_256_go_through_the_modular_check() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Linear(256, 256, device="meta").to_empty(device="cpu") for _ in range(64)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(torch.randn(256, 256, generator=generator) / 16)
            layer.bias.copy_(torch.randn(256, generator=generator))
    steps = [Step(ExactArray.from_tensor(layer.weight), ExactArray.from_tensor(layer.bias)) for layer in layers]

    def never(product: ExactAffine) -> ExactAffine:
        raise AssertionError("nothing is multiplied out")

    proof = prove_exact(steps, layer_by_layer(steps), never, rounds=1)
    assert proof.holds
    assert "No exact result is held" in proof.steps[0]
    wrong = [*steps]
    with torch.no_grad():
        layers[40].weight[3, 5] = torch.nextafter(layers[40].weight[3, 5], torch.tensor(9.0))
    wrong[40] = Step(ExactArray.from_tensor(layers[40].weight), steps[40].exact_bias)
    assert not check_modular(layer_by_layer(steps), wrong, None, rounds=1).agrees


def test_a_program_that_compares_is_evaluated_at_points_or_refused() -> None:
    class Cancels(nn.Module):
        def forward(self, x):
            return x.relu() - (-x).relu()

    collapse = wa.collapse_linear(Cancels(), torch.zeros(1, 3))
    proof = collapse.prove("exact", points_budget=0)
    assert proof.holds
    assert proof.details["route 2"] == "n + 1 points"
    steps = collapse.steps
    with pytest.raises(CannotProveError, match="cannot be checked modulo a prime"):
        prove_exact(steps, collapse._evaluate, lambda product: product, memory_limit=0)
