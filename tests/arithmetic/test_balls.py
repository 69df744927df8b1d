"""BallArray: every ball contains the true number, checked with exact fractions and, for functions, mpmath."""

from __future__ import annotations

import operator
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray

FUNCTIONS = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
}
POSITIVE_FUNCTIONS = {"log": mpmath.log, "log1p": mpmath.log1p, "sqrt": mpmath.sqrt}


def random_exact(seed: int, points: int, *shape: int) -> ExactArray:
    return ExactArray.from_points(torch.randn(points, *shape, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture(autouse=True)
def global_precision_stays():
    flint.ctx.prec = 61
    yield
    assert flint.ctx.prec == 61
    flint.ctx.prec = 53


@pytest.mark.parametrize("bits", [20, 53, 128])
@given(seed=st.integers(0, 2**32))
def test_arithmetic_encloses_the_exact_result(bits: int, seed: int) -> None:
    a, b, w = random_exact(seed, 3, 2, 4), random_exact(seed + 1, 1, 4), random_exact(seed + 2, 1, 4, 5)
    x, y, z = (BallArray.from_exact(e, bits) for e in (a, b, w))
    for function in (operator.add, operator.sub, operator.mul, operator.truediv):
        expected = function(a, b)
        for balls in (function(x, y), function(x, b), function(a, y)):
            assert balls.shape == expected.shape
            assert balls.points == 3
            assert balls.contains(expected).all()
    for balls, expected in (
        (x @ z, a @ w),
        (x @ w, a @ w),
        (a @ z, a @ w),
        (y @ z, b @ w),
        (x @ y, a @ b),
        (x.sum(), a.sum()),
        (x.sum(0, keepdim=True), a.sum(0, keepdim=True)),
        (-x, -a),
        (abs(x), abs(a)),
        (x.maximum(b), a.maximum(b)),
        (x.minimum(0), a.minimum(0)),
        (1 - x * 3, 1 - a * 3),
        (x / 3, a / 3),
    ):
        assert balls.shape == expected.shape
        assert balls.contains(expected).all()


@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-8, 1.0, 10.0, 100.0]))
@pytest.mark.parametrize("name", [*FUNCTIONS, *POSITIVE_FUNCTIONS])
def test_functions_enclose_the_true_value(name: str, seed: int, scale: float) -> None:
    exact = random_exact(seed, 2, 3) * scale
    if name in POSITIVE_FUNCTIONS:
        exact = abs(exact)
    balls = getattr(BallArray.from_exact(exact), name)()
    lower, upper = balls.lower(), balls.upper()
    assert bool((lower <= upper).all())
    with mpmath.workprec(3000 if name == "softplus" else 300):
        for entry, value in np.ndenumerate(exact.to_fractions()):
            truth = (FUNCTIONS | POSITIVE_FUNCTIONS)[name](mpmath.mpf(value.numerator) / value.denominator)
            assert lower[entry].item() <= truth <= upper[entry].item()
            assert abs(balls.to_float64()[entry].item() - truth) <= 1e-14 * abs(truth) + mpmath.mpf(2) ** -1074


def test_sigmoid_and_softplus_do_not_overflow() -> None:
    far = BallArray.from_tensor(torch.tensor([1e30, -1e30], dtype=torch.float64))
    assert far.sigmoid().upper()[0].tolist() == pytest.approx([1, 0])
    assert far.softplus().lower()[0].tolist() == pytest.approx([1e30, 0])


def test_comparisons_say_what_is_certain() -> None:
    third = BallArray.from_fraction(1, 53) / 3
    again = BallArray.from_fraction(2, 53) / 6
    assert not (third == again).any()
    assert not (third != again).any()
    assert not (third < again).any()
    assert not (third >= again).any()
    assert (third < Fraction(1, 2)).all()
    assert (third > 0).all()
    assert third.disjoint(Fraction(1, 2)).all()
    assert not third.disjoint(again).any()
    assert (BallArray.from_fraction(2) == 2).all()


def test_outside_the_domain_nothing_is_decided() -> None:
    outside = BallArray.from_fraction(-1).log()
    assert not outside.is_finite().any()
    assert not outside.disjoint(0).any()
    assert outside.lower().item() == -float("inf")
    assert outside.upper().item() == float("inf")
    infinite = BallArray(np.array([flint.arb.pos_inf()], dtype=object))
    assert not infinite.disjoint(0).any()
    by_zero = 1 / (BallArray.from_fraction(1) / 3 - Fraction(1, 3))
    assert not by_zero.disjoint(0).any()


def test_where_takes_both_branches_where_the_order_is_open() -> None:
    zero_or_so = BallArray.from_fraction(1) / 3 - Fraction(1, 3)
    x = BallArray.concatenate([BallArray.from_tensor(torch.tensor([2.0, -2.0])), zero_or_so.reshape(1)])
    chosen = BallArray.where(x > 0, x <= 0, x * 0 + 1, x * 0 - 1)
    assert chosen[:2].lower()[0].tolist() == chosen[:2].upper()[0].tolist() == [1, -1]
    assert chosen[2].contains(1).all()
    assert chosen[2].contains(-1).all()
    assert chosen[2].upper().item() == pytest.approx(1)


def test_shapes_views_and_writes_are_shared_with_exact_arrays() -> None:
    exact = random_exact(5, 2, 6)
    balls = BallArray.from_exact(exact)
    index = np.array([[0, -1], [5, 2]])
    for same in (
        lambda a: a.reshape(2, 3).transpose(),
        lambda a: a.gather_flat(index),
        lambda a: a.strided(1, (2, 2), (3, 1)),
        lambda a: a.with_strided_written(0, (2,), (2,), a[4:]),
        lambda a: type(a).stack([a, a * 2], 1),
        lambda a: a.expand(3, 6)[1:],
    ):
        assert same(balls).contains(same(exact)).all()
    assert (BallArray.zeros(2, (3,)) == 0).all()
    assert "6" in str(balls)
    assert "+/-" in (balls / 3).to_words()[0, 0]
