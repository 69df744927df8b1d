"""The local bounds against simulated evaluations that round as badly as they may."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proof.networks import DTYPES
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import FLOAT_FORMATS
from whyactivate.errors import CannotProveError, InputError
from whyactivate.proof.propagation import Box, Enclosure, Points, propagate
from whyactivate.proof.rounding import LinearRounding, RoundedStep, inflate, matmul_up


def nearest(value: Fraction, dtype: torch.dtype, flush: bool) -> Fraction:
    """One rounding to nearest; subnormal results become zero where `flush`."""
    rounded = ExactArray.from_fraction(value).to_tensor(dtype).double().item()
    return Fraction(0) if flush and abs(rounded) < FLOAT_FORMATS[dtype].smallest_normal else Fraction(rounded)


def any_order(terms: list[Fraction], products: list[bool], fused: bool, dtype, flush: bool, random) -> Fraction:
    """The float sum of the terms along a random tree; products are rounded first, or fused into the sum above them."""
    nodes = [
        (value, True) if product and fused else (nearest(value, dtype, flush) if product else value, False)
        for value, product in zip(terms, products, strict=True)
    ]
    while len(nodes) > 1:
        i, j = random.choice(len(nodes), 2, replace=False)
        (a, a_exact), (b, b_exact) = nodes[i], nodes[j]
        if a_exact and b_exact:  # at most one operand of a fused operation is an unrounded product
            a = nearest(a, dtype, flush)
        nodes = [node for k, node in enumerate(nodes) if k not in (i, j)] + [(nearest(a + b, dtype, flush), False)]
    value, unrounded = nodes[0]
    return nearest(value, dtype, flush) if unrounded else value


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    terms=st.integers(1, 24),
    dtype=st.sampled_from(DTYPES),
    fused=st.booleans(),
    flush=st.booleans(),
    has_bias=st.booleans(),
    scale=st.sampled_from(["one", "mixed", "tiny"]),
)
def test_no_order_of_summation_exceeds_the_bound(seed, terms, dtype, fused, flush, has_bias, scale) -> None:
    flush = flush and dtype != torch.float16
    random = np.random.default_rng(seed)
    tiny = FLOAT_FORMATS[dtype].smallest_normal
    spread = {"one": np.ones(terms), "mixed": 2.0 ** random.integers(-12, 4, terms), "tiny": np.full(terms, tiny * 4)}
    draw = random.standard_normal(terms) * spread[scale]
    h = torch.tensor(draw, dtype=torch.float64).to(dtype)
    weight = torch.tensor(random.standard_normal((1, terms)), dtype=torch.float64).to(dtype)
    bias = torch.tensor(random.standard_normal(1) * spread[scale].max(), dtype=torch.float64).to(dtype)

    def read(tensor: torch.Tensor) -> list[Fraction]:
        values = [Fraction(v) for v in tensor.double().flatten().tolist()]
        return [Fraction(0) if flush and abs(v) < tiny else v for v in values]

    products = [w * v for w, v in zip(read(weight), read(h), strict=True)]
    true = ExactArray.from_tensor(weight[0]) @ ExactArray.from_tensor(h)
    exact = (true + ExactArray.from_tensor(bias[0]) if has_bias else true).to_fractions()[0]
    computed = any_order(
        products + (read(bias) if has_bias else []), [True] * terms + [False] * has_bias, fused, dtype, flush, random
    )
    step = LinearRounding(weight, bias if has_bias else None)
    bound = step(h.double().abs()).item()
    assert abs(computed - exact) <= Fraction(bound)
    sharper = step(h.double().abs(), inflate(torch.tensor([abs(float(exact))], dtype=torch.float64), 1)).item()
    assert abs(computed - exact) <= Fraction(sharper)
    assert sharper <= bound


def test_terms_that_cancel_halve_the_bound() -> None:
    weight = torch.ones(1, 64)
    ones, nothing = torch.ones(64, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert LinearRounding(weight)(ones, nothing).item() == pytest.approx(2**-24 * (64 + 63 * 32), rel=1e-4)
    wide = torch.ones(1, 256, dtype=torch.bfloat16)
    ones = torch.ones(256, dtype=torch.float64)
    assert LinearRounding(wide)(ones, nothing).item() == LinearRounding(wide)(ones).item(), "256 u is not small"


def test_the_probabilistic_bound_grows_with_the_root_of_the_number_of_terms() -> None:
    ones = torch.ones(10_000, dtype=torch.float64)
    step = LinearRounding(torch.ones(1, 10_000))
    assert step.probable(ones).item() == pytest.approx(8 * 100 * 2**-24 * 10_000, rel=1e-3)
    assert step.probable(ones).item() < step(ones).item() / 10


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 3, 64, 1000])
def test_torch_does_not_exceed_the_bound(dtype: torch.dtype, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    for scale in (1.0, 2.0**-10, FLOAT_FORMATS[dtype].smallest_normal * 16):
        x = (torch.randn(200, n, generator=generator, dtype=torch.float64) * scale).to(dtype)
        weight = torch.randn(7, n, generator=generator, dtype=torch.float64).to(dtype)
        bias = (torch.randn(7, generator=generator, dtype=torch.float64) * scale).to(dtype)
        exact = ExactArray.from_points(x) @ ExactArray.from_tensor(weight.T) + ExactArray.from_tensor(bias)
        error = exact.error_of(torch.nn.functional.linear(x, weight, bias))
        assert bool((error <= LinearRounding(weight, bias)(x.double().abs().amax(0))).all())


def test_the_bound_is_linear_in_the_number_of_terms() -> None:
    """n u, not (1 + u)^n - 1: bfloat16 has a useful bound at n = 1024."""
    weight = torch.ones(1, 1024, dtype=torch.bfloat16)
    bound = LinearRounding(weight)(torch.ones(1024, dtype=torch.float64)).item()
    assert bound == pytest.approx(1025 * 2**-8 * 1024, rel=1e-9)


def test_overflow_has_no_bound() -> None:
    weight = torch.full((1, 2), 200.0, dtype=torch.float16)
    assert LinearRounding(weight)(torch.full((2,), 100.0, dtype=torch.float64)).isfinite().all()
    assert LinearRounding(weight)(torch.full((2,), 200.0, dtype=torch.float64)).isinf().all()
    with pytest.raises(CannotProveError, match=r"over max\|x\| <= 200: step 2 of 2 may overflow"):
        propagate([RoundedStep.linear(torch.eye(2).half()), RoundedStep.linear(weight)], [Box(2, 200.0)])
    with pytest.raises(InputError, match="float16"):
        LinearRounding(torch.zeros(1, 2, dtype=torch.int64))


@given(seed=st.integers(0, 2**32), n=st.integers(0, 30))
def test_upward_products_are_upper_bounds(seed: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(*shape, dtype=torch.float64, generator=generator) for shape in ((3, n), (n, 4)))
    up = matmul_up(a, b)
    exact = ExactArray.from_tensor(a) @ ExactArray.from_tensor(b)
    assert (ExactArray.from_tensor(up) >= exact).all()
    assert bool((up <= exact.to_float64()[0] * (1 + 1e-13) + 1e-300).all())
    assert (ExactArray.from_tensor(inflate(a, 1)) >= ExactArray.from_tensor(a)).all()


@given(seed=st.integers(0, 2**32), n=st.integers(1, 12))
def test_enclosures_contain_the_exact_product(seed: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real = [
        ExactArray.from_tensor(torch.randn(*shape, dtype=torch.float64, generator=generator)) / 3
        for shape in ((3, n), (n, 4), (4, 2))
    ]
    first, second, third = (Enclosure(r.to_float64()[0], r.error_of(r.to_float64()[0])) for r in real)
    product = first @ second @ third
    assert bool(((real[0] @ real[1] @ real[2]).error_of(product.value) <= product.error).all())
    assert product.error.max().item() < 1e-13


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), depth=st.integers(1, 5), width=st.integers(1, 8))
def test_carried_errors_cover_errors_put_in_by_hand(seed: int, depth: int, width: int) -> None:
    """Each step is off by exactly what it claims, with random signs; the output stays within the bound, and near it."""
    generator = torch.Generator().manual_seed(seed)
    local = [torch.rand(width, dtype=torch.float64, generator=generator) for _ in range(depth)]
    weights = [torch.randn(width, width, dtype=torch.float64, generator=generator) for _ in range(depth)]
    steps = [
        RoundedStep.from_exact(ExactArray.from_tensor(w), None, lambda _, e=e: e)
        for w, e in zip(weights, local, strict=True)
    ]
    x = torch.rand(1, width, dtype=torch.float64, generator=generator)
    result = propagate(steps, [Points(x), Box(width, 1.0)])
    worst = torch.zeros(width, dtype=torch.float64)
    for k, error in enumerate(local):
        tail = torch.eye(width, dtype=torch.float64)
        for w in weights[k + 1 :]:
            tail = w @ tail
        signs = tail.sign()[0]
        worst[0] += (tail @ (signs * error))[0].abs()
    for bound in result.errors:
        assert bound[0].item() >= worst[0].item() * (1 - 1e-12)
        assert bound[0].item() <= worst[0].item() * (1 + 1e-9) + 1e-12
    assert bool((result.naive[0] >= result.errors[0] * (1 - 1e-9)).all())


@pytest.mark.parametrize("scale", [0, Fraction(1, 3)], ids=["zero weight", "thirds"])
def test_the_collapsed_map_is_enclosed_though_no_entry_is_a_float(scale) -> None:
    weight = ExactArray.from_fractions([[1, 2], [-1, 5]]) * scale
    biases = [ExactArray.from_fractions(b) for b in ([Fraction(1, 3), 10**9], [Fraction(1, 7), Fraction(1, 9)])]
    steps = [RoundedStep.from_exact(weight, bias, lambda _: torch.zeros(2, dtype=torch.float64)) for bias in biases]
    affine = propagate(steps, [Box(2, 1.0)]).affine
    assert bool(((weight @ weight).error_of(affine.value[:, :2]) <= affine.error[:, :2]).all())
    assert bool(((weight @ biases[0] + biases[1]).error_of(affine.value[:, 2]) <= affine.error[:, 2]).all())


def test_magnitudes_that_reach_a_step_are_those_of_the_collapsed_map() -> None:
    seen: list[torch.Tensor] = []

    def local(size: torch.Tensor) -> torch.Tensor:
        seen.append(size)
        return torch.zeros(1, dtype=torch.float64)

    difference = RoundedStep.from_exact(ExactArray.from_fractions([[1, -1]]), None, local)
    double = RoundedStep.from_exact(
        ExactArray.from_fractions([[1], [1]]), ExactArray.from_fractions([3, 3]), lambda _: torch.zeros(2).double()
    )
    propagate([double, difference, double, difference], [Box(1, 5.0), Points(torch.tensor([[2.0]]).double())])
    assert [size.tolist() for size in seen] == [
        pytest.approx([8, 8]),
        pytest.approx([5, 5]),
        pytest.approx([3, 3]),
        pytest.approx([3, 3]),
    ]


def test_magnitudes_include_the_rounding_made_before() -> None:
    seen: list[float] = []

    def local(size: torch.Tensor) -> torch.Tensor:
        seen.append(size.item())
        return torch.full((1,), 100.0, dtype=torch.float64)

    step = RoundedStep.from_exact(ExactArray.from_fractions([[-3]]), None, local)
    propagate([step, step, step], [Box(1, 1.0)])
    assert seen == pytest.approx([1, 3 + 100, 9 + 300 + 100])
