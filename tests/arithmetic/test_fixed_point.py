"""Products of balls in fixed point: each contains the true number, and is as narrow as the precision promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from whyactivate.affine.rules.convolution import convolution
from whyactivate.arithmetic import balls as balls_module
from whyactivate.arithmetic.balls import DEFAULT_BITS, BallArray, working_precision
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.fixed_point import FixedPoint
from whyactivate.arithmetic.fixed_products import convolve, multiply_matrices
from whyactivate.arithmetic.planes import LONGEST_SUM
from whyactivate.errors import InputError

BITS = 256
SEEDS = st.integers(0, 2**32)
SCALES = st.sampled_from([2.0**-1060, 1e-300, 1e-120, 1e-9, 1.0, 1e5, 1e120, 1e300])


def random_floats(seed: int, scale: float, *shape: int) -> torch.Tensor:
    """Numbers of many sizes, some of them zero."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    numbers *= 10.0 ** torch.randint(-3, 4, shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < 0.1, 0.0, numbers)


def near(seed: int, scale: float, points: int, *shape: int) -> tuple[BallArray, ExactArray]:
    """Balls of all widths, some of them exact, and numbers in them: the ends of the balls, or in between."""
    middle = ExactArray.from_points(random_floats(seed, scale, points, *shape)) * (ExactArray.from_fraction(1 + 2**70))
    width = ExactArray.from_points(random_floats(seed + 1, scale * 2.0 ** -(seed % 60), points, *shape).abs())
    generator = torch.Generator().manual_seed(seed)
    inside = ExactArray.from_points(torch.randint(-1, 2, (points, *shape), generator=generator))
    balls = BallArray.from_exact(middle, BITS)
    with ctx.workprec(BITS):
        grown = np.frompyfunc(lambda ball, r: ball + arb(0, arb(r)), 2, 1)(balls.balls, width.to_float64().numpy())
    return BallArray(grown, BITS), middle + width * inside


def fixed(balls: BallArray) -> FixedPoint:
    return FixedPoint.from_balls(balls.balls, BITS)


def held(numbers: FixedPoint | np.ndarray) -> BallArray:
    return BallArray.from_fixed(numbers, BITS) if isinstance(numbers, FixedPoint) else BallArray(numbers, BITS)


@settings(max_examples=25)
@given(seed=SEEDS, scale=SCALES, other_scale=SCALES)
def test_products_of_matrices_contain_the_exact_one(seed: int, scale: float, other_scale: float) -> None:
    (x, a), (y, b) = near(seed, scale, 3, 2, 4), near(seed + 3, other_scale, 1, 4, 5)
    (z, c), (v, d) = near(seed + 6, scale, 3, 2, 1, 2, 4), near(seed + 9, other_scale, 3, 4, 2)
    for one, other, product in (
        (x, y, a @ b),
        (y.swap(0, 1), x.swap(0, 1), b.swap(0, 1) @ a.swap(0, 1)),
        (x, v, a @ d),
        (z, v, c @ d),
        (z, y, c @ b),
    ):
        found = held(multiply_matrices(fixed(one), fixed(other), BITS))
        assert found.shape == product.shape
        assert found.points == product.points
        assert found.contains(product).all()
    weight = FixedPoint.from_exact(b)
    if weight is not None:
        assert held(multiply_matrices(fixed(x), weight, BITS)).contains(a @ b).all()


@settings(max_examples=25)
@given(seed=SEEDS, scale=st.sampled_from([1e-9, 1.0, 1e5]))
def test_products_are_as_narrow_as_promised(seed: int, scale: float) -> None:
    a, b = (random_floats(seed + i, scale, 1, 6, 6) for i in range(2))
    x, y = (BallArray.from_exact(ExactArray.from_points(one), BITS) / 3 for one in (a, b))
    found = held(multiply_matrices(fixed(x), fixed(y), BITS))
    width = float(np.max([float(ball.rad()) for ball in found.balls.ravel()]))
    assert 0 < width <= 2.0 ** (10 - BITS) * float(a.abs().max() * b.abs().max())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@settings(max_examples=15)
@given(seed=SEEDS, scale=st.sampled_from([1e-200, 1.0, 1e5]))
def test_convolutions_contain_the_exact_one(transposed: bool, groups: int, seed: int, scale: float) -> None:
    channels = 4 if transposed else 2 * groups
    (x, a), (y, w) = near(seed, scale, 2, 1, channels, 5), near(seed + 3, 1.0, 1, 4, 2, 3)
    how = {"stride": [2], "padding": [1], "dilation": [1], "output_padding": [0]}
    expected = convolution(a, w, None, [2], [1], [1], transposed, [0], groups)
    found = x.convolve(y, transposed, groups, **how)
    assert found is not None
    assert found.shape == expected.shape
    assert found.points == 2
    assert found.contains(expected).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_filters_longer_than_an_exact_sum_are_added_up_in_parts(transposed: bool) -> None:
    channels, places = 5, LONGEST_SUM // 2
    numbers = torch.full((1, 2 * channels, places), 2**21 - 1)
    numbers[:, ::channels, 0] -= 1  # an odd sum, in all its bits
    x = ExactArray.from_tensor(numbers)
    shape = (2 * channels, 1, places) if transposed else (2, channels, places)
    w = ExactArray.from_tensor(torch.full(shape, 2**21 - 1))
    how = {"stride": [1], "padding": [places - 1 if transposed else 0], "dilation": [1], "output_padding": [0]}
    first, second = FixedPoint.from_exact(x), FixedPoint.from_exact(w)
    assert first is not None
    assert second is not None
    found = held(convolve(first, second, transposed, 2, how, BITS))
    assert found.shape == (1, 2, 1)
    assert (found == (channels * places * (2**21 - 1) - 1) * (2**21 - 1)).all()


def test_uncertain_numbers_times_uncertain_numbers() -> None:
    unsure = held(np.array([[[arb(0, 1)]]], dtype=object))
    product = held(multiply_matrices(fixed(unsure), fixed(unsure), BITS))
    assert product.contains(1).all()
    assert product.contains(-1).all()
    assert not product.contains(2).any()


def test_large_products_at_high_precision_take_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def counted(left: FixedPoint, right: FixedPoint, bits: int) -> object:
        taken.append(bits)
        return multiply_matrices(left, right, bits)

    monkeypatch.setattr(balls_module, "multiply_matrices", counted)
    weight = ExactArray.from_tensor(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))
    rows = ExactArray.from_points(torch.randn(3, 4, 64, generator=torch.Generator().manual_seed(1)))
    for bits, expected in ((DEFAULT_BITS, []), (BITS, [BITS])):
        third = BallArray.from_exact(rows, bits) / 3
        product = third @ weight
        assert product.bits == bits
        assert product.contains((rows @ weight) / 3).all()
        assert taken == expected
    assert (weight @ third[0]).contains((weight @ rows[0]) / 3).all()


def test_what_is_not_known_stays_unknown() -> None:
    x = BallArray.from_exact(ExactArray.from_tensor(torch.tensor([[1.0, 0.0], [2.0, 3.0]])), BITS)
    unknown = x / x  # 0 / 0 in one entry
    found = held(multiply_matrices(fixed(unknown), fixed(x), BITS))
    assert found.is_finite()[0].tolist() == [[False, False], [True, True]]
    far = BallArray.from_exact(ExactArray.from_fraction(2).reshape(1, 1) * 2**2000, BITS)
    assert not held(multiply_matrices(fixed(far), fixed(far), BITS)).is_finite().any()
    zeros = BallArray.zeros(1, (2, 2), BITS)
    assert (held(multiply_matrices(fixed(zeros), fixed(x), BITS)) == 0).all()
    thirds = FixedPoint.from_exact(ExactArray.from_fraction(1) / 3)
    assert thirds is None
    assert FixedPoint.from_exact(ExactArray.from_fraction(2**2000)) is None


def test_shapes_that_do_not_fit_are_refused() -> None:
    x = BallArray.zeros(1, (2, 3), BITS)
    with pytest.raises(InputError, match="cannot multiply shapes"):
        x @ x


def test_a_working_precision_holds_as_long_as_it_is_asked_for() -> None:
    with working_precision(BITS):
        assert BallArray.from_fraction(2).bits == BallArray.zeros(1, ()).bits == BITS
        assert BallArray.from_fraction(2, 99).bits == 99
        third = BallArray.from_fraction(1) / 3
    assert BallArray.from_fraction(2).bits == DEFAULT_BITS
    assert float(third.balls.ravel()[0].rad()) < math.ldexp(1, 1 - BITS)


OPERATIONS = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "maximum": lambda x, y: x.maximum(y),
    "minimum": lambda x, y: x.minimum(y),
    "ramp": lambda x, y: x.maximum(0) + y.minimum(0),
    "size": lambda x, y: abs(x) - abs(y),
    "total": lambda x, y: (x + y).sum(-1),
    "negative": lambda x, y: -(x + -y),
}


@settings(max_examples=5)
@given(seed=SEEDS, scale=SCALES, other_scale=SCALES)
def test_entry_by_entry_fixed_point_contains_the_exact_numbers(seed: int, scale: float, other_scale: float) -> None:
    (x, a), (y, b) = near(seed, scale, 3, 4, 5), near(seed + 3, other_scale, 1, 5)
    for bits in (88, BITS):
        one, other = (BallArray.from_fixed(FixedPoint.from_balls(balls.balls, bits), bits) for balls in (x, y))
        for name, operation in OPERATIONS.items():
            expected = operation(a, b)
            for found in (operation(one, other), operation(one, b)):
                assert found.is_fixed, name
                assert found.shape == expected.shape, name
                assert found.contains(expected).all(), name
        assert (one / 3).contains(a / 3).all()
        moved = BallArray.stack([one[..., ::2], one.transpose()[:3, :4].swap(0, 1)[..., :3]])
        assert moved.is_fixed
        assert moved.contains(ExactArray.stack([a[..., ::2], a.transpose()[:3, :4].swap(0, 1)[..., :3]])).all()


def test_only_what_lies_below_the_bits_is_cut_off() -> None:
    third = BallArray.from_fraction(1, 300) / 3
    coarse = BallArray.from_fixed(FixedPoint.from_balls(third.balls, 300), 88) + 0
    assert coarse.contains(ExactArray.from_fraction(1) / 3).all()
    assert float(coarse.upper() - coarse.lower()) > 0
    assert float(coarse.held["radius"][0]) < 2.0**-88


def test_the_larger_of_two_intervals_is_no_wider_than_the_winner_where_one_wins() -> None:
    wide, narrow = (BallArray(np.array([ball], dtype=object), BITS) for ball in (arb(-5, 1), arb(3, 0)))
    one, other = (BallArray.from_fixed(fixed(ball), BITS) for ball in (wide, narrow))
    assert (one.maximum(other) == 3).all()
    assert (one.minimum(other) < -3.99).all()
    unsure = one.maximum(-4)
    assert unsure.contains(-4).all()
    assert not unsure.contains(-6.5).any()


def test_numbers_beyond_all_size_are_unknown_in_fixed_point_too() -> None:
    far = BallArray.from_fixed(fixed(BallArray.from_fraction(2**600, BITS).reshape(1)), BITS)
    assert far.is_finite().all()
    assert not (far * far).is_finite().any()
    assert not (far * far - far * far).is_finite().any()
    assert not (far * far).maximum(0).is_finite().any()
    third = (BallArray.from_fraction(2**600, 88) / 3).reshape(1)  # of its square, even what is cut off is too large
    long = BallArray.from_fixed(FixedPoint.from_balls(third.balls, 88), 88)
    assert not (long * long).is_finite().any()
    zeros = BallArray.from_fixed(fixed(BallArray.zeros(1, (2,), BITS)), BITS)
    assert (zeros + zeros == 0).all()
    assert (zeros.maximum(1) == 1).all()


def test_weights_of_few_low_digits_count_in_full() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 2, 3, generator=generator, dtype=torch.float64)
    weight[3, 1, 2] = 2.0**-70  # the only one with digits so low
    x, w = (ExactArray.from_tensor(one) for one in (torch.randn(1, 2, 9, generator=generator).repeat(64, 1, 1), weight))
    how = {"stride": [1], "padding": [0], "dilation": [1], "output_padding": [0]}
    found = BallArray.from_exact(x, BITS).convolve(w, False, 1, **how)
    assert found is not None
    assert found.is_fixed
    assert (found == convolution(x, w, None, [1], [0], [1], False, [0], 1)).all()
