"""EnclosureArray: every interval contains the true number, checked with exact fractions and, for functions, balls."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import InputError

FUNCTIONS = ("exp", "expm1", "tanh", "erf", "sigmoid", "softplus")
POSITIVE_FUNCTIONS = ("log", "log1p", "sqrt")
SEEDS = st.integers(0, 2**32)
SCALES = st.sampled_from([2.0**-1060, 1e-300, 1e-160, 1e-9, 1.0, 3.0, 1e5, 1e150])


def random_floats(seed: int, scale: float, *shape: int) -> torch.Tensor:
    """Numbers of many sizes, some of them zero."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    numbers *= 10.0 ** torch.randint(-3, 4, shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < 0.1, 0.0, numbers)


def near(seed: int, scale: float, points: int, *shape: int) -> tuple[EnclosureArray, ExactArray]:
    """Intervals of all widths, and exact numbers in them."""
    middle = random_floats(seed, scale, points, *shape)
    width = random_floats(seed + 1, scale * 2.0 ** -(seed % 60), points, *shape).abs()
    inside = random_floats(seed + 2, 0.3, points, *shape).clamp(-1, 1)
    exact_middle, exact_width = ExactArray.from_points(middle), ExactArray.from_points(width)
    wide = EnclosureArray.from_points(middle) + EnclosureArray.from_points(width) * unit_interval()
    return wide, exact_middle + exact_width * ExactArray.from_points(inside)


def unit_interval() -> EnclosureArray:
    """[-1, 1]."""
    return EnclosureArray.from_fraction(0).tanh() * 0 + EnclosureArray(np.array([1j]))


@given(seed=SEEDS, scale=SCALES, other_scale=SCALES)
def test_arithmetic_encloses_the_exact_result(seed: int, scale: float, other_scale: float) -> None:
    (x, a), (y, b), (z, w) = near(seed, scale, 3, 2, 4), near(seed + 3, other_scale, 1, 4), near(seed + 6, 1.0, 1, 4, 5)
    assert x.contains(a).all()
    cases: list[tuple[EnclosureArray, ExactArray]] = [
        (x + y, a + b),
        (x - y, a - b),
        (x * y, a * b),
        (x + b, a + b),
        (a - y, a - b),
        (a * y, a * b),
        (x @ z, a @ w),
        (a @ z, a @ w),
        (x @ y, a @ b),
        (y @ z, b @ w),
        (x @ x.swap(0, 1), a @ a.swap(0, 1)),
        (x.sum(), a.sum()),
        (x.sum(0, keepdim=True), a.sum(0, keepdim=True)),
        (-x, -a),
        (abs(x), abs(a)),
        (x.maximum(y), a.maximum(b)),
        (x.minimum(0), a.minimum(0)),
        (1 - x * 3, 1 - a * 3),
        (x / 3, a / 3),
        (x * Fraction(1, 3), a * Fraction(1, 3)),
    ]
    if (b.ints != 0).all():
        cases += [(x / y, a / b), (x / b, a / b), (1 / y, 1 / b)]
    for found, expected in cases:
        assert found.shape == expected.shape
        assert found.points == expected.points
        assert found.contains(expected).all()


@pytest.mark.parametrize("transposed", [False, True])
@given(seed=SEEDS, scale=SCALES)
def test_convolutions_enclose_the_exact_result(transposed: bool, seed: int, scale: float) -> None:
    (x, a), (y, w) = near(seed, scale, 2, 1, 2, 5), near(seed + 3, 1.0, 1, 2, 2, 3)
    how = {"stride": [2], "padding": [1], "dilation": [1], "output_padding": [0]}
    found = x.convolve(y, transposed, 1, **how)
    rows: list[ExactArray] = []
    if transposed:
        wide = [
            sum(
                (a[0, i, k] * w[i, o, j] for i in range(2) for k in range(5) for j in range(3) if 2 * k + j - 1 == at),
                ExactArray.zeros(2, ()),
            )
            for o in range(2)
            for at in range(9)
        ]
        rows = [ExactArray.stack(wide[9 * o : 9 * o + 9]) for o in range(2)]
    else:
        padded = ExactArray.concatenate([ExactArray.zeros(1, (2, 1)), a[0], ExactArray.zeros(1, (2, 1))], 1)
        rows = [ExactArray.stack([(padded[:, at : at + 3] * w[o]).sum() for at in (0, 2, 4)]) for o in range(2)]
    expected = ExactArray.stack(rows)
    assert found.shape == (1, *expected.shape)
    assert found.points == 2
    assert found[0].contains(expected).all()


@pytest.mark.parametrize("name", [*FUNCTIONS, *POSITIVE_FUNCTIONS])
@given(seed=SEEDS, scale=st.sampled_from([1e-8, 1.0, 10.0, 300.0]))
def test_functions_enclose_the_true_value(name: str, seed: int, scale: float) -> None:
    wide, exact = near(seed, scale, 2, 3)
    if name in POSITIVE_FUNCTIONS:
        wide, exact = abs(wide), abs(exact)
    truth = getattr(BallArray.from_exact(exact, 300), name)()
    found = getattr(wide, name)()
    assert bool((found.lower() <= truth.upper()).all())
    assert bool((found.upper() >= truth.lower()).all())


@pytest.mark.parametrize("name", FUNCTIONS)
@given(seed=SEEDS, scale=st.sampled_from([1e-8, 1.0, 10.0]))
def test_enclosures_are_narrow(name: str, seed: int, scale: float) -> None:
    x = torch.randn(1, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale
    found = getattr(EnclosureArray.from_points(x), name)()
    assert bool((found.radius() <= 1e-13 * found.to_float64().abs() + 1e-300).all())
    product = EnclosureArray.from_points(x) @ EnclosureArray.from_points(x)
    assert bool((product.radius() <= 1e-14 * (x @ x.T) + 1e-300).all())


@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_is_as_narrow_as_its_sums_are_short(transposed: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 9, generator=generator, dtype=torch.float64)
    # Two groups, each with 3 channels in; many more out, which no sum runs over.
    weight = torch.randn(*((6, 40) if transposed else (80, 3)), 4, generator=generator, dtype=torch.float64)
    how = {"stride": [1], "padding": [0], "dilation": [1], "output_padding": [0]}
    plain = torch.conv_transpose1d if transposed else torch.conv1d
    sizes = plain(x.abs(), weight.abs(), groups=2)
    found = EnclosureArray.from_points(x[:, None]).convolve(EnclosureArray.from_tensor(weight), transposed, 2, **how)
    assert bool((found.radius()[:, 0] <= 1.01 * (3 * 4 + 4) * 2.0**-52 * sizes).all())


@pytest.mark.parametrize(("name", "low", "high"), [
    ("exp", -700, 700), ("log", 1e-300, 1e9), ("log1p", -0.999, 1e9), ("expm1", -40, 700), ("tanh", -30, 30),
    ("erf", -6, 6), ("sin", -1e6, 1e6), ("cos", -1e6, 1e6),
])  # fmt: skip
def test_functions_are_computed_far_better_than_is_taken_for_granted(name: str, low: float, high: float) -> None:
    draw = np.random.default_rng(0)
    x = np.concatenate([draw.uniform(low, high, 2000), np.clip(np.exp(draw.uniform(-40, 1, 2000)), low, high)])
    computed = torch.special.erf(torch.from_numpy(x)).numpy() if name == "erf" else getattr(np, name)(x)
    with ctx.workprec(200):
        for at, value in zip(x.tolist(), computed.tolist(), strict=True):
            true = getattr(arb(at), name)()
            assert abs(arb(value) - true) <= abs(true) * 2.0**-50, at


def test_a_quotient_that_is_whole_is_exact() -> None:
    a, b = (
        EnclosureArray.from_tensor(torch.tensor(numbers))
        for numbers in ([0.0, 6.0, -6.0, 7.0, 1.5], [4.0, 3.0, 3.0, 2.0, 0.25])
    )
    exact = (a / b == EnclosureArray.from_tensor(torch.tensor([0.0, 2.0, -2.0, 3.5, 6.0]))).tolist()
    assert exact == [[True, True, True, False, True]]


def test_what_is_exact_stays_exact() -> None:
    x = EnclosureArray.from_tensor(torch.tensor([2.0, -1.5, 0.0]))
    assert (x == x).all()
    assert (x.maximum(0).minimum(2) == ExactArray.from_tensor(torch.tensor([2.0, 0.0, 0.0]))).all()
    assert x.radius().tolist() == [[0, 0, 0]]
    assert (EnclosureArray.from_fraction(0.1) == EnclosureArray.from_fraction(Fraction(0.1))).all()
    assert not (EnclosureArray.from_fraction(Fraction(1, 3)) == Fraction(1, 3)).any()
    assert EnclosureArray.from_fraction(Fraction(1, 3)).contains(Fraction(1, 3)).all()


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool]
)
def test_tensors_of_every_real_dtype_are_read(dtype: torch.dtype) -> None:
    tensor = (torch.randn(7, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    assert EnclosureArray.from_tensor(tensor).contains(ExactArray.from_tensor(tensor)).all()


def test_large_integers_and_numbers_beyond_float64() -> None:
    large = torch.tensor([2**62 + 1, -(2**61) + 3])
    assert EnclosureArray.from_tensor(large).contains(ExactArray.from_tensor(large)).all()
    assert not EnclosureArray.from_fraction(Fraction(10) ** 400).is_finite().any()
    assert not EnclosureArray.from_tensor(torch.tensor([torch.inf, torch.nan])).is_finite().any()
    with pytest.raises(InputError, match="complex"):
        EnclosureArray.from_tensor(torch.zeros(1, dtype=torch.complex64))


@pytest.mark.parametrize(
    "beyond",
    [
        lambda x: x * x,
        lambda x: x.exp(),
        lambda x: (-x).log(),
        lambda x: (-x).sqrt(),
        lambda x: 1 / (x - x.maximum(0)),
        lambda x: x.reshape(1, 1) @ x.reshape(1, 1),
        lambda x: (x * x).sum() - (x * x).sum(),
        lambda x: (x * x) * 0,
    ],
)
def test_beyond_the_domain_nothing_is_decided(beyond: Callable[[EnclosureArray], EnclosureArray]) -> None:
    found = beyond(EnclosureArray.from_tensor(torch.tensor([1e200], dtype=torch.float64)))
    assert not found.is_finite().any()
    assert not found.disjoint(0).any()
    assert not ((found < 1e308) | (found > -1e308)).any()
    assert found.contains(Fraction(7)).all()


def test_bounded_functions_of_an_unbounded_number_are_bounded() -> None:
    unknown = EnclosureArray.from_tensor(torch.tensor([torch.inf]))
    assert unknown.tanh().upper().item() == pytest.approx(1)
    assert unknown.sigmoid().lower().item() == pytest.approx(0, abs=1e-9)
    assert unknown.erf().lower().item() == pytest.approx(-1)


def test_comparisons_say_what_is_certain() -> None:
    third = EnclosureArray.from_fraction(1) / 3
    again = EnclosureArray.from_fraction(2) / 6
    for undecided in (third == again, third != again, third < again, third >= again, third.disjoint(again)):
        assert not undecided.any()
    for certain in (third < Fraction(1, 2), third > 0, third.disjoint(Fraction(1, 2)), third != 1, third <= 1):
        assert certain.all()
    assert (EnclosureArray.from_fraction(2) >= 2).all()


def test_where_takes_both_branches_where_the_order_is_open() -> None:
    zero_or_so = EnclosureArray.from_fraction(1) / 3 - Fraction(1, 3)
    x = EnclosureArray.concatenate([EnclosureArray.from_tensor(torch.tensor([2.0, -2.0])), zero_or_so.reshape(1)])
    chosen = EnclosureArray.where(x > 0, x <= 0, x * 0 + 1, x * 0 - 1)
    assert (chosen[:2] > Fraction(9, 10))[0].tolist() == [True, False]
    assert chosen[1].upper().item() == pytest.approx(-1)
    assert chosen[2].contains(1).all()
    assert chosen[2].contains(-1).all()


@pytest.mark.parametrize("kind", [EnclosureArray, BallArray])
def test_an_interval_around_one_whole_number_is_that_number(kind: Any) -> None:
    near = kind.from_fraction(Fraction(1, 3)) * 3 + 4
    wide = near + (near - near) * 2**140
    assert (near.as_whole() == 5).all()
    assert not (near == 5).any()
    assert wide.as_whole().contains(5).all()
    assert not (wide.as_whole() == 5).any()


def test_balls_are_enclosed() -> None:
    third = BallArray.from_fraction(1) / 3
    assert EnclosureArray.from_balls(third).contains(Fraction(1, 3)).all()
    assert (EnclosureArray.from_fraction(1) * third).contains(Fraction(1, 3)).all()


def test_shapes_views_and_writes_are_shared_with_exact_arrays() -> None:
    numbers = random_floats(5, 1.0, 2, 6)
    exact, enclosed = ExactArray.from_points(numbers), EnclosureArray.from_points(numbers)
    assert EnclosureArray.from_exact(exact).contains(exact).all()
    index = np.array([[0, -1], [5, 2]])

    def check(same: Callable[[Any], Any]) -> None:
        assert same(enclosed).contains(same(exact)).all()
        assert same(enclosed).radius().count_nonzero() == 0

    check(lambda a: a.reshape(2, 3).transpose())
    check(lambda a: a.gather_flat(index))
    check(lambda a: a.strided(1, (2, 2), (3, 1)))
    check(lambda a: a.with_strided_written(0, (2,), (2,), a[4:]))
    check(lambda a: type(a).stack([a, -a], 1))
    check(lambda a: a.expand(3, 6)[1:])
    check(lambda a: a.at(1).at_points(4))
    assert (EnclosureArray.zeros(2, (3,)) == 0).all()
    assert "(6,)" in str(enclosed)


def test_processors_that_flush_subnormal_numbers_are_covered() -> None:
    small = torch.tensor([1e-310, -3e-320], dtype=torch.float64)
    single = torch.tensor([1e-40], dtype=torch.float32)
    halves = [torch.tensor([2.0**-540], dtype=torch.float64), torch.tensor([2.0**-500], dtype=torch.float64)]
    exact_product = ExactArray.from_tensor(halves[0]) * ExactArray.from_tensor(halves[1])
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormal numbers")
    try:
        flushed = EnclosureArray.from_tensor(small)
        read = EnclosureArray.from_tensor(single)
        product = EnclosureArray.from_tensor(halves[0]) * EnclosureArray.from_tensor(halves[1])
        matrix = EnclosureArray.from_tensor(halves[0]) @ EnclosureArray.from_tensor(halves[1])
        large = flushed * 1e300
    finally:
        torch.set_flush_denormal(False)
    assert flushed.contains(ExactArray.from_tensor(small)).all()
    assert read.contains(ExactArray.from_tensor(single)).all()
    assert product.contains(exact_product).all()
    assert matrix.contains(exact_product.reshape(())).all()
    assert large.contains(ExactArray.from_tensor(small) * ExactArray.from_fraction(1e300)).all()


def test_operators_are_enclosed_from_either_side() -> None:
    x, exact = EnclosureArray.from_fraction(3), ExactArray.from_fraction(5)
    for operation in (operator.add, operator.sub, operator.mul, operator.truediv):
        for other in (exact, 5, 5.0, Fraction(5)):
            assert operation(other, x).contains(operation(Fraction(5), Fraction(3))).all()
            assert operation(x, other).contains(operation(Fraction(3), Fraction(5))).all()
