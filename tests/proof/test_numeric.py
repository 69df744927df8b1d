from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import nn

import whyactivate as wa
from proof.networks import DTYPES, Architecture, architectures, exact_steps, one_layer, rounded_steps
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError, InputError
from whyactivate.proof.accumulation import accumulates_in_float32
from whyactivate.proof.numeric import prove_numeric
from whyactivate.proof.result import Proof
from whyactivate.proof.search import search_worst

WIDTHS = (10, 18, 18, 4, 1)


def article(dtype: torch.dtype) -> Architecture:
    return Architecture(WIDTHS, (True,) * 4, dtype, 3)


def prove(network: nn.Sequential, run=None, claimed: ExactAffine | None = None, **options) -> Proof:
    exact = ExactAffine.multiply_out(exact_steps(network))
    layer = one_layer(exact, network[0].weight.dtype)
    return prove_numeric(rounded_steps(network), run or network, claimed or exact, layer, **options)


@settings(max_examples=25)
@given(architectures())
def test_no_network_exceeds_its_bound(architecture: Architecture) -> None:
    network = architecture.network()
    for radius in (1.0, 2.0**-20):
        proof = prove(network, radius=radius, seed=architecture.seed)
        assert proof.holds, proof
        assert proof.details["inputs tried"] > 1000
        for what in ("at x", "at x, to the layer"):
            assert proof.details[f"{what}: measured"] <= proof.details[f"{what}: bound"]
        for what in ("in the box", "in the box, to the layer"):
            assert proof.details[f"{what}: worst measured"] <= proof.details[f"{what}: bound"]
    json.dumps(proof.to_dict(), allow_nan=False)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scale", [2.0**-60, 1.0, 40.0])
def test_thousands_of_inputs_stay_within_the_bound(dtype: torch.dtype, scale: float) -> None:
    network = article(dtype).network()
    generator = torch.Generator().manual_seed(9)
    x = (torch.randn(5000, 10, generator=generator) * scale).to(dtype)
    proof = prove(network, x=x, radius=scale)
    assert proof.holds, proof
    assert proof.details["at x: measured"] <= proof.details["at x: bound"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_going_beyond_the_bound_is_noticed(dtype: torch.dtype) -> None:
    network = article(dtype).network()
    honest = prove(network)
    assert honest.holds
    beyond = max(honest.details["in the box: bound"], honest.details["in the box, to the layer: bound"]) * 1.01
    beyond += honest.details["in the box: worst measured"] + honest.details["in the box, to the layer: worst measured"]
    # Rounded to the dtype the addition loses at most a few units in the last place of the output.
    beyond += torch.finfo(dtype).eps * 8
    proof = prove(network, run=lambda x: (network(x).double() + beyond).to(dtype))
    assert not proof.holds
    assert "beyond the bound" in proof.details["problems"][0]
    assert "beyond the bound" in proof.steps[-1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda network, x: network(x.relu()),
        lambda network, x: network(x) * (1 + 2**-10),
        lambda network, x: network(x) + 1e-3 * (x[:, :1] > 0.9),
        lambda network, x: torch.where(x[:, :1] == 0, torch.nan, network(x)),
        lambda network, x: network(torch.tanh(x)),
    ],
    ids=["relu", "scaled", "step", "nan at 0", "tanh"],
)
def test_another_network_is_noticed(wrong) -> None:
    network = article(torch.float32).network()
    proof = prove(network, run=lambda x: wrong(network, x))
    assert not proof.holds
    json.dumps(proof.to_dict(), allow_nan=False)


def test_outputs_that_are_not_finite_are_noticed_even_where_the_network_is_zero() -> None:
    network = nn.Sequential(nn.Linear(2, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert prove(network).holds
    for bad in (torch.nan, torch.inf):
        proof = prove(network, run=lambda x, bad=bad: network(x) + bad)
        assert not proof.holds
        assert proof.details["in the box: worst measured"] == "not finite"


def test_a_claim_that_is_not_the_product_is_noticed_even_within_the_bound() -> None:
    network = article(torch.bfloat16).network()
    exact = ExactAffine.multiply_out(exact_steps(network))
    for claimed, name in (
        (ExactAffine(exact.weight * (1 + 2.0**-40), exact.bias), "weight[0, 0]"),
        (ExactAffine(exact.weight, exact.bias + 2.0**-40), "bias[0]"),
    ):
        proof = prove(network, claimed=claimed)
        assert not proof.holds
        assert proof.details["problems"] == [f"the claimed {name} is not the product of the steps"]


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_bad_layer_widens_its_own_bound_only(part: str) -> None:
    network = article(torch.float32).network()
    exact = ExactAffine.multiply_out(exact_steps(network))
    good, bad = one_layer(exact, torch.float32), one_layer(exact, torch.float32)
    with torch.no_grad():
        getattr(bad, part).add_(0.1)
    first, second = (prove_numeric(rounded_steps(network), network, exact, layer) for layer in (good, bad))
    assert first.holds
    assert second.holds
    assert second.details["in the box: bound"] == first.details["in the box: bound"]
    assert second.details["in the box, to the layer: bound"] > 0.1 > first.details["in the box, to the layer: bound"]


def test_the_collapse_makes_the_bound_sharp() -> None:
    deep = Architecture((16,) * 21, (True,) * 20, torch.float32, 0).network()
    details = prove(deep).details
    assert details["in the box: bound"] * 1000 < details["in the box: bound without the collapse"]


def test_underflow_is_covered() -> None:
    """Activation-free, yet visibly not affine: products below the smallest subnormal vanish."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        network[0].weight.fill_(2.0**-100)
        network[1].weight.fill_(2.0**100)
    tiny = torch.tensor([[2.0**-50]])
    assert network(tiny).item() == 0 != network(tiny * 2**10).item()
    proof = prove(network, x=tiny, radius=2.0**-40)
    assert proof.holds
    assert proof.details["at x: bound"] >= proof.details["at x: measured"] == 2.0**-50


@pytest.mark.parametrize(
    ("widths", "seed", "ratio"), [(WIDTHS, 0, 100), ((64, 32, 32, 10), 0, 300), ((64,) * 21, 0, 500)], ids=str
)
def test_the_bound_is_near_the_worst_error_found(widths: tuple[int, ...], seed: int, ratio: float) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))
    details = prove(network, effort=2).details
    assert details["in the box: bound"] <= ratio * details["in the box: worst measured"]
    assert details["in the box, to the layer: bound"] <= ratio * details["in the box, to the layer: worst measured"]
    assert details["in the box: bound if roundings were random (√n, no proof)"] <= details["in the box: bound"]


def test_bfloat16_with_256_terms_has_a_bound() -> None:
    network = Architecture((256, 256, 3), (True, True), torch.bfloat16, 0).network()
    details = prove(network).details
    assert 0 < details["in the box: worst measured"] <= details["in the box: bound"] < math.inf


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precisions_are_near_their_bound_where_sums_are_accumulated_in_float32(dtype: torch.dtype) -> None:
    network = Architecture((256, 256, 10), (True, True), dtype, 0).network()
    proof = prove(network)
    details = proof.details
    assert details["accumulation, by a probe"] == "float32"
    for way in ("in the box", "in the box, to the layer"):
        worst, bound = details[f"{way}: worst measured"], details[f"{way}: bound if so"]
        assert worst <= bound <= min(details[f"{way}: bound"], 100 * worst)
    assert any("accumulated in float32 here" in step for step in proof.steps)
    assert "accumulation, by a probe" not in prove(article(torch.float32).network()).details


def test_sums_rounded_in_between_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_two_parts(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        half = weight.shape[1] // 2
        total = x[:, :half] @ weight[:, :half].T + x[:, half:] @ weight[:, half:].T
        return total if bias is None else total + bias

    accumulates_in_float32.cache_clear()
    monkeypatch.setattr(torch.nn.functional, "linear", in_two_parts)
    try:
        for dtype in (torch.bfloat16, torch.float16):
            for size in ((10, 18), (18, 1), (256, 3), (600, 40)):
                assert not accumulates_in_float32(*size, dtype)
        details = prove(article(torch.bfloat16).network()).details
        assert details["accumulation, by a probe"] == "not float32 everywhere"
        assert "in the box: bound if so" not in details
    finally:
        accumulates_in_float32.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_millions_of_inputs_stay_within_the_bound(dtype: torch.dtype) -> None:
    """Random, at the corners, spread over thirty binades, tiny; measured in float64 for the three shorter dtypes."""
    network = article(dtype).network()
    exact = ExactAffine.multiply_out(exact_steps(network))
    layer = one_layer(exact, dtype)
    weight, bias = exact.weight.to_float64()[0], exact.bias.to_float64()[0]
    generator = torch.Generator().manual_seed(1)
    count, batches = (10_000, 8) if dtype == torch.float64 else (100_000, 12)
    for radius in (1.0, 2.0**-12 if dtype == torch.float16 else 2.0**-130):
        details = prove(network, radius=radius).details
        bounds = details["in the box: bound"], details["in the box, to the layer: bound"]
        if dtype.itemsize == 2:
            bounds = details["in the box: bound if so"], details["in the box, to the layer: bound if so"]
        for batch in range(batches):
            x = torch.rand(count, 10, generator=generator, dtype=torch.float64) * 2 - 1
            if batch % 3 == 1:
                x = x.sign() * torch.exp2(-30 * torch.rand(x.shape, generator=generator, dtype=torch.float64))
            if batch % 3 == 2:  # near the corner at which an output is largest
                x = torch.where(x.abs() < 0.2, -1.0, 1.0) * weight[batch % len(weight)].sign()
            inputs = (x * radius).to(dtype).clamp(-radius, radius)
            with torch.no_grad():
                outputs, by_layer = network(inputs), layer(inputs)
            if dtype == torch.float64:
                errors = exact(ExactArray.from_points(inputs)).error_of(outputs)
            else:
                there = inputs.double()
                errors = (outputs.double() - (there @ weight.T + bias)).abs()
                errors = errors - 2.0**-47 * (there.abs() @ weight.abs().T + bias.abs())
            assert errors.max() <= bounds[0]
            assert (outputs.double() - by_layer.double()).abs().max() * (1 - 2.0**-50) <= bounds[1]


def test_overflow_is_refused() -> None:
    network = article(torch.float16).network()
    with pytest.raises(CannotProveError, match="may overflow"):
        prove(network, radius=60000.0)


def test_lower_precision_products_are_refused() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(CannotProveError, match="highest"):
            prove(article(torch.float32).network())
        assert prove(article(torch.float64).network()).holds
    finally:
        torch.set_float32_matmul_precision(before)


def test_convolutions_that_are_no_sums_of_products_are_refused() -> None:
    """NNPACK's are off by more than any order of summation can be, for an input as small as eight by eight."""
    collapse = wa.collapse_linear(nn.Conv2d(1, 1, 3, padding=1), torch.zeros(2, 1, 8, 8))
    torch._C._set_mkldnn_enabled(False)
    try:
        with torch.backends.nnpack.flags(enabled=True):
            if torch.backends.nnpack.is_available():
                with pytest.raises(CannotProveError, match="transform images"):
                    collapse.prove("numeric")
            assert prove(article(torch.float32).network()).holds
        with torch.backends.nnpack.flags(enabled=False):
            assert collapse.prove("numeric").holds
    finally:
        torch._C._set_mkldnn_enabled(True)
    onednn: Any = torch.backends.mkldnn
    before = onednn.conv.fp32_precision
    onednn.conv.fp32_precision = "bf16"
    try:
        with pytest.raises(CannotProveError, match="convolve in float32"):
            collapse.prove("numeric")
        assert prove(article(torch.float32).network()).holds
    finally:
        onednn.conv.fp32_precision = before


def test_bad_inputs() -> None:
    network = article(torch.float32).network()
    for options in (
        {"radius": 0.0},
        {"radius": float("inf")},
        {"x": torch.zeros(3)},
        {"x": torch.zeros(0, 10)},
        {"x": torch.full((10,), torch.nan)},
    ):
        with pytest.raises(InputError, match=r"must be|expected"):
            prove(network, **options)


def test_nothing_global_changes_and_the_seed_decides() -> None:
    network = article(torch.float32).network()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second, third = (prove(network, seed=seed).to_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first == second != third


def test_the_search_finds_a_hidden_worst_corner() -> None:
    target = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    found = search_worst(
        lambda x: torch.stack([x.double() @ target, -(x.double() ** 2).sum(1)], 1),
        torch.zeros(1, 6, dtype=torch.float64),
        torch.float32,
        0.3,
        seed=0,
    )
    assert found.worst[0].item() == pytest.approx(1.8, rel=1e-6)
    assert found.worst[1].item() == 0
    assert bool((found.at.double().abs() <= 0.3).all())
    exact = ExactArray.from_points(found.at)
    assert exact.shape == (6,)
