from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proof.networks import Architecture, Step, architectures, exact_steps, largest_ulp, layer_by_layer
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import InputError
from whyactivate.proof.exact import Rounding, prove_exact

ARTICLE = Architecture((10, 18, 18, 4, 1), (True,) * 4, torch.float32, 0)


@settings(max_examples=200)
@given(architectures())
def test_every_activation_free_network_is_one_layer(architecture: Architecture) -> None:
    steps = exact_steps(architecture.network())
    proof = prove_exact(steps, layer_by_layer(steps), ExactAffine.multiply_out(steps))
    assert proof.holds
    assert proof.kind == "exact"
    assert proof.details["dyadic"]
    json.dumps(proof.to_dict())


@settings(max_examples=30)
@given(architectures(max_depth=4, max_width=4))
def test_the_claim_agrees_with_plain_fractions(architecture: Architecture) -> None:
    """The product and the bias by `fractions.Fraction` and nested loops, which share no code with the library."""
    network = architecture.network()
    weight = [[Fraction(int(i == j)) for j in range(architecture.widths[0])] for i in range(architecture.widths[0])]
    bias = [Fraction(0)] * architecture.widths[0]
    for layer in network:
        rows = [[Fraction(w) for w in row] for row in layer.weight.detach().double().tolist()]
        added = [0] * len(rows) if layer.bias is None else [Fraction(b) for b in layer.bias.detach().double().tolist()]
        bias = [sum(w * b for w, b in zip(row, bias, strict=True)) + c for row, c in zip(rows, added, strict=True)]
        weight = [
            [sum(w * v[j] for w, v in zip(row, weight, strict=True)) for j in range(architecture.widths[0])]
            for row in rows
        ]
    steps = exact_steps(network)
    claimed = ExactAffine(ExactArray.from_fractions(weight), ExactArray.from_fractions(bias))
    assert prove_exact(steps, layer_by_layer(steps), claimed).holds


@settings(max_examples=60)
@given(architectures(), st.data())
def test_any_changed_value_of_the_claim_is_found_and_named(architecture: Architecture, data) -> None:
    steps = exact_steps(architecture.network())
    claimed = ExactAffine.multiply_out(steps)
    part = data.draw(st.sampled_from(["weight", "bias"]))
    array: ExactArray = getattr(claimed, part)
    place = tuple(data.draw(st.integers(0, n - 1)) for n in array.shape)
    change = data.draw(st.sampled_from([1, -1, Fraction(1, 3), Fraction(1, 2**3000), Fraction(2) ** 200]))
    values = array.to_fractions()[0]
    values[place] += change
    forged = replace(claimed, **{part: ExactArray.from_fractions(values)})
    for budget in (10**9, 0):
        proof = prove_exact(steps, layer_by_layer(steps), forged, points_budget=budget)
        assert not proof.holds
        problems = proof.details["problems"]
        assert len(problems) >= 2, "both routes find it"
        assert f"{part}{list(place)}" in problems[0]
        assert (f"{part}{list(place)}" if budget else f"output {place[0]} differs") in problems[1]
        assert "disagrees" in proof.steps[-1]
        json.dumps(proof.to_dict())


@pytest.mark.parametrize("budget", [10**9, 0])
def test_a_network_that_is_not_its_steps_is_found(budget: int) -> None:
    steps = exact_steps(ARTICLE.network())
    claimed = ExactAffine.multiply_out(steps)
    right = layer_by_layer(steps)
    for wrong in (
        lambda points: right(points) + Fraction(1, 2**2000),
        lambda points: right(points * 2),
        lambda points: right(points * points * 2),
        lambda points: right(points) + points[:1] * Fraction(1, 2**2000),
    ):
        proof = prove_exact(steps, wrong, claimed, points_budget=budget)
        assert not proof.holds
        assert "network" in proof.details["problems"][0]


def test_a_wrong_step_is_found_by_the_product() -> None:
    steps = exact_steps(ARTICLE.network())
    claimed = ExactAffine.multiply_out(steps)
    wrong = [*steps[:-1], Step(steps[-1].exact_weight * 2, steps[-1].exact_bias)]
    proof = prove_exact(wrong, layer_by_layer(steps), claimed)
    assert not proof.holds
    assert [problem.split(",")[0] for problem in proof.details["problems"]] == ["route 1"]


def test_the_route_is_named() -> None:
    steps = exact_steps(ARTICLE.network())
    claimed = ExactAffine.multiply_out(steps)
    cheap = prove_exact(steps, layer_by_layer(steps), claimed)
    assert cheap.details["route 2"] == "n + 1 points"
    assert "11 values" in cheap.steps[2]
    dear = prove_exact(steps, layer_by_layer(steps), claimed, points_budget=0)
    assert dear.holds
    assert dear.details["route 2"] == "modulo random primes"
    assert dear.details["modular check: compared"] == "the exact result against the recorded program"
    assert dear.details["modular check: error probability at most"] in dear.steps[2]


def test_without_a_claim_the_product_is_the_claim() -> None:
    steps = exact_steps(ARTICLE.network())
    given: list[ExactAffine] = []

    def hold(product: ExactAffine) -> ExactAffine:
        given.append(product)
        return product

    assert prove_exact(steps, layer_by_layer(steps), hold).holds
    assert given[0].equals(ExactAffine.multiply_out(steps))


@pytest.mark.parametrize("limit", ["work_limit", "memory_limit"])
def test_beyond_the_limits_two_evaluations_are_compared_and_it_says_so(limit: str) -> None:
    steps = exact_steps(ARTICLE.network())

    def never(product: ExactAffine) -> ExactAffine:
        raise AssertionError("nothing is multiplied out")

    proof = prove_exact(steps, layer_by_layer(steps), never, **{limit: 10})
    assert proof.holds
    assert "No exact result is held" in proof.steps[0]
    assert "from the output side" in proof.details["modular check: compared"]
    assert "up to the stated probability" in proof.statement
    wrong = [*steps[:-1], Step(steps[-1].exact_weight, steps[-1].exact_bias + Fraction(1, 2**900))]
    found = prove_exact(wrong, layer_by_layer(steps), never, **{limit: 10})
    assert not found.holds
    assert "differs modulo" in found.details["problems"][0]


def test_full_range_floats() -> None:
    """Subnormals, the largest numbers, negative zero and everything between, in one network."""
    weights = torch.tensor([[2.0**-149, -0.0, 3.4e38], [1.0, -(2.0**127), 2.0**-126]], dtype=torch.float32)
    steps = [
        Step(ExactArray.from_tensor(weights), ExactArray.from_tensor(torch.tensor([2.0**-149, -3.0]))),
        Step(ExactArray.from_tensor(weights.T), None),
    ]
    assert prove_exact(steps, layer_by_layer(steps), ExactAffine.multiply_out(steps)).holds


@settings(max_examples=50)
@given(architectures(), st.data())
def test_roundings_are_held_to_their_bounds(architecture: Architecture, data) -> None:
    steps = exact_steps(architecture.network())
    claimed = ExactAffine.multiply_out(steps)
    weight, bias = claimed.weight.to_float64()[0], claimed.bias.to_float64()[0]
    small, small_bias = (a.to_tensor(architecture.dtype)[0] for a in (claimed.weight, claimed.bias))
    roundings = [
        Rounding(".weight and .bias", weight, bias, claimed.weight.error_of(weight), claimed.bias.error_of(bias)),
        Rounding(".layer", small, small_bias, largest_ulp(small) / 2, largest_ulp(small_bias) / 2),
    ]
    proof = prove_exact(steps, layer_by_layer(steps), claimed, roundings)
    assert proof.holds
    assert proof.details[".layer: largest error"] <= proof.details[".layer: largest bound"]
    assert ".weight and .bias: the exact map, rounded" in proof.steps[3]

    row = data.draw(st.integers(0, len(small) - 1))
    off = small.clone()
    for _ in range(4):
        off[row, 0] = torch.nextafter(off[row, 0], torch.tensor(math.inf, dtype=off.dtype))
    wrong = replace(roundings[1], weight=off)
    proof = prove_exact(steps, layer_by_layer(steps), claimed, [roundings[0], wrong])
    assert not proof.holds
    assert f".layer: weight[{row}, 0]" in proof.details["problems"][0]


def test_shapes_that_do_not_meet_are_refused() -> None:
    steps = exact_steps(ARTICLE.network())
    claimed = ExactAffine.multiply_out(steps)
    with pytest.raises(InputError, match="the steps map 18 to 1 numbers, the claim 10 to 1"):
        prove_exact(steps[1:], layer_by_layer(steps), claimed)
    with pytest.raises(InputError, match=r"shape \(2,\), the claim \(1,\)"):
        prove_exact(steps, lambda points: points[:2], claimed)
    rounding = Rounding("x", torch.zeros(1, 10), torch.zeros(1), torch.zeros(10), torch.zeros(1))
    with pytest.raises(InputError, match="a bound of shape"):
        prove_exact(steps, layer_by_layer(steps), claimed, [rounding])


def test_a_network_without_outputs_of_the_input_is_constant() -> None:
    constant = Step(ExactArray.zeros(1, (2, 3)), ExactArray.from_fractions(np.array([1, 2])))
    proof = prove_exact([constant], layer_by_layer([constant]), ExactAffine.multiply_out([constant]))
    assert proof.holds
