"""Functions of many balls in fixed point: they contain the true values, and are as narrow as flint's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from flint import arb, arb_series, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from whyactivate.arithmetic import balls as balls_module
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.fixed_functions import MANY, apply_series
from whyactivate.arithmetic.fixed_point import FixedPoint

FUNCTIONS = {
    "exp": arb.exp,
    "expm1": arb.expm1,
    "tanh": arb.tanh,
    "erf": arb.erf,
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "softplus": lambda x: (1 + x.exp()).log(),
    "sin": arb.sin,
    "cos": arb.cos,
}
BITS = (88, 352)


def in_fixed_point(seed: int, scale: float, bits: int) -> FixedPoint:
    """Many numbers of more digits than a float has, some of them 0, all of them known exactly."""
    generator = torch.Generator().manual_seed(seed)
    floats = torch.randn(3, MANY, generator=generator, dtype=torch.float64) * scale
    floats = torch.where(torch.rand(floats.shape, generator=generator) < 0.1, 0.0, floats)
    numbers = FixedPoint.from_exact(ExactArray.from_points(floats))
    factor = FixedPoint.from_exact(ExactArray.from_points(torch.tensor([[1 + 2.0**-30]], dtype=torch.float64)))
    assert numbers is not None
    assert factor is not None
    return numbers.times(factor, 2 * bits)


def balls(numbers: FixedPoint, bits: int) -> BallArray:
    return BallArray.from_fixed(numbers, bits)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bits", BITS)
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-9, 0.3, 1.0]))
def test_the_values_are_contained_and_narrow(name: str, bits: int, seed: int, scale: float) -> None:
    numbers = balls(in_fixed_point(seed, scale, bits), bits)
    values = getattr(numbers, name)()
    assert values.is_fixed  # or it was not polynomials that gave them
    sample = np.arange(0, numbers.size, 97)
    with ctx.workprec(2 * bits):
        truth = [FUNCTIONS[name](x) for x in numbers.balls[1, sample]]
        found = values.balls[1, sample].tolist()
        assert all(ball.contains(true) for ball, true in zip(found, truth, strict=True))
        largest = float(abs(values.to_float64()).max())
        assert max(float(ball.rad()) for ball in found) <= 2.0 ** (8 - bits) * max(1.0, largest)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_values_at_both_ends_of_uncertain_numbers_are_contained(name: str) -> None:
    bits = 88
    exact = in_fixed_point(1, 1.0, bits)
    radius = np.full(exact.shape, 2.0**-30)
    values = getattr(balls(FixedPoint(exact.digits, radius), bits), name)()
    assert values.is_fixed
    with ctx.workprec(2 * bits):
        for x, ball in zip(exact.to_balls(bits)[0, ::97].tolist(), values.balls[0, ::97].tolist(), strict=True):
            for end in (x - arb(2.0**-30), x + arb(2.0**-30)):
                assert ball.contains(FUNCTIONS[name](end))


def no_values(series: arb_series) -> arb_series:
    raise AssertionError("asked for a polynomial")


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.map(lambda a: a[:, :, :10]),  # few
        lambda one: FixedPoint(one.digits, one.radius + 1.0),  # hardly known
        lambda one: FixedPoint(one.digits, np.where(np.arange(one.radius.size).reshape(one.shape), one.radius, np.inf)),
        lambda one: one.times(FixedPoint.from_balls(np.array([[arb(2**30)]], dtype=object), 88), 88),  # far apart
    ],
)
def test_other_numbers_are_left_to_flint(change: Callable[[FixedPoint], FixedPoint]) -> None:
    assert apply_series(change(in_fixed_point(2, 1.0, 88)), no_values, 88) is None


def test_zeros_alone_have_a_value() -> None:
    zeros = in_fixed_point(3, 1.0, 88).map(np.zeros_like)
    values = apply_series(zeros, arb_series.exp, 88)
    assert values is not None
    assert abs(values.approximately() - 1).max() <= 2.0**-50
    assert values.radius.max() < 2.0**-80


def test_a_function_that_is_not_analytic_there_gives_nothing_known() -> None:
    numbers = in_fixed_point(4, 1.0, 88)
    values = apply_series(numbers, arb_series.log, 88)
    assert values is not None
    near_or_below_zero = numbers.approximately() <= 0
    assert not np.isfinite(values.radius[near_or_below_zero]).any()


def test_flint_is_left_as_it_was() -> None:
    before = ctx.cap, ctx.prec
    apply_series(in_fixed_point(5, 1.0, 88), arb_series.exp, 88)
    assert (ctx.cap, ctx.prec) == before


def test_polynomials_give_what_flint_gives_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = balls(in_fixed_point(6, 1.0, 132), 132)
    values = numbers.erf()
    monkeypatch.setattr(balls_module, "apply_series", lambda *args: None)
    one_by_one = numbers.erf()
    assert values.is_fixed
    assert not one_by_one.is_fixed
    assert not values.disjoint(one_by_one).any()
