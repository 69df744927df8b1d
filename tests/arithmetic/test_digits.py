from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whyactivate.arithmetic import planes, rational
from whyactivate.arithmetic.digits import MOST_FROM_FLOATS, Digits
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import FLOAT_FORMATS
from whyactivate.arithmetic.planes import DIGIT_BITS, LONGEST_SUM
from whyactivate.errors import InputError

SMALL = {"allow_nan": False, "allow_infinity": False}


def floats(width: int):
    return st.floats(width=width, **SMALL)


@st.composite
def matrices(draw, rows: int, columns: int, width: int):
    entries = draw(st.lists(floats(width), min_size=rows * columns, max_size=rows * columns))
    return np.array(entries, dtype=f"float{width}").reshape(rows, columns)


def fractions_of(digits: Digits) -> list[Fraction]:
    ints, exponent = digits.to_ints()
    return [int(i) * Fraction(2) ** exponent for i in ints.ravel()]


def in_range(digits: Digits) -> bool:
    planes = digits.planes
    return bool((np.abs(planes) <= 2.0 ** (DIGIT_BITS - 1)).all() and (planes == np.rint(planes)).all())


@settings(max_examples=150)
@given(st.data(), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
def test_products_of_any_float32_matrices_agree_with_plain_fractions(data, m: int, k: int, n: int) -> None:
    """Subnormals, both zeros and the largest numbers included."""
    a, b = data.draw(matrices(m, k, 32)), data.draw(matrices(k, n, 32))
    left, right = Digits.from_floats(a), Digits.from_floats(b)
    assert fractions_of(left) == [Fraction(float(v)) for v in a.ravel()]
    product = left.matmul(right)
    assert in_range(left)
    assert in_range(product)
    plain = [
        sum(Fraction(float(a[i, s])) * Fraction(float(b[s, j])) for s in range(k)) for i in range(m) for j in range(n)
    ]
    assert fractions_of(product) == plain
    assert product.sign().ravel().tolist() == [(f > 0) - (f < 0) for f in plain]
    assert fractions_of(-product) == [-f for f in plain]
    assert fractions_of(product + product) == [2 * f for f in plain]
    assert (product + -product).count == 0
    if (found := product.nearest()) is not None:
        assert found[0].ravel().tolist() == [float(f) for f in plain]
        near = [Fraction(v) for v in found[0].ravel().tolist()]
        assert found[1].ravel().tolist() == [(f > v) - (f < v) for f, v in zip(plain, near, strict=True)]
    else:
        assert any(f != 0 and not 2.0**-960 <= abs(f) < 2**1000 for f in plain)


@settings(max_examples=100)
@given(st.lists(st.integers(-(2**200), 2**200), min_size=1, max_size=6), st.integers(-300, 300))
def test_ints_go_to_digits_and_back(numbers: list[int], exponent: int) -> None:
    digits = Digits.from_ints(np.array(numbers, dtype=object), exponent)
    exact_values = [n * Fraction(2) ** exponent for n in numbers]
    assert in_range(digits)
    assert fractions_of(digits) == exact_values
    assert fractions_of(digits.sum((0,), keepdims=True)) == [sum(exact_values)]
    common = math.gcd(*numbers)
    if common:
        assert digits.bits == max(abs(n // (common & -common)).bit_length() for n in numbers)


@pytest.mark.parametrize("half", [2**52 + 1, 2**53 + 1, 2**53 + 3])
@pytest.mark.parametrize("below", [-1, 0, 1])
def test_ties_are_broken_by_the_last_digit_however_far_below(half: int, below: int) -> None:
    number = np.array([(half << 300) * 2 + (1 << 300) + below, -((half << 300) + below)], dtype=object)
    for exponent in (-700, 0, 400):
        found = Digits.from_ints(number, exponent).nearest()
        assert found is not None
        assert found[0].tolist() == [float(int(n) * Fraction(2) ** exponent) for n in number]


def test_the_largest_digits_fill_the_longest_sum_without_error() -> None:
    k = LONGEST_SUM + 3
    largest = np.full((1, k), float(2 ** (DIGIT_BITS - 1)))
    product = Digits.from_floats(largest).matmul(Digits.from_floats(largest.T))
    assert fractions_of(product) == [k * Fraction(4) ** (DIGIT_BITS - 1)]


def test_numbers_that_span_too_much_are_left_to_integers() -> None:
    wide = np.array([2.0**1000, 2.0**-1074])
    assert Digits.from_floats(wide) is None
    assert Digits.from_floats(np.array([1.0, 2.0 ** -(DIGIT_BITS * MOST_FROM_FLOATS)])) is None
    assert Digits.from_floats(np.array([2.0**-1074])) is None


@pytest.fixture(params=[1, 10**9], ids=["digits", "ints"])
def representation(request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rational, "MANY", request.param)


@pytest.mark.usefixtures("representation")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_both_representations_compute_the_same(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    spread = torch.exp2(-40 * torch.rand(4, 6, dtype=torch.float64, generator=generator))
    tensor = (torch.randn(4, 6, dtype=torch.float64, generator=generator) * spread).to(dtype)
    tensor[1, 2], tensor[2, 3] = -0.0, torch.finfo(dtype).smallest_normal / 4
    other = torch.randn(6, 3, generator=generator).to(dtype)
    a, b = ExactArray.from_tensor(tensor), ExactArray.from_tensor(other)
    x = [[Fraction(v) for v in row] for row in tensor.double().tolist()]
    y = [[Fraction(v) for v in row] for row in other.double().tolist()]
    product = [[sum(x[i][k] * y[k][j] for k in range(6)) for j in range(3)] for i in range(4)]
    assert (a @ b).to_fractions()[0].tolist() == product
    assert (a[1] @ b).to_fractions()[0].tolist() == product[1]
    assert (a @ b[:, 2]).to_fractions()[0].tolist() == [row[2] for row in product]
    assert (a + a[0]).to_fractions()[0].tolist() == [[p + q for p, q in zip(row, x[0], strict=True)] for row in x]
    assert (a - 1).to_fractions()[0].tolist() == [[p - 1 for p in row] for row in x]
    assert (a * Fraction(2, 3)).to_fractions()[0].tolist() == [[p * Fraction(2, 3) for p in row] for row in x]
    assert a.sum(0).to_fractions()[0].tolist() == [sum(column) for column in zip(*x, strict=True)]
    assert abs(a @ b).to_fractions()[0].tolist() == [[abs(p) for p in row] for row in product]
    assert (a @ b).to_float64()[0].tolist() == [[float(p) for p in row] for row in product]
    assert ((a @ b) > 0).tolist() == [[[p > 0 for p in row] for row in product]]
    assert (a == a[:1]).tolist() == [[[p == q for p, q in zip(row, x[0], strict=True)] for row in x]]
    joined = ExactArray.concatenate([a, a @ b, ExactArray.from_fractions([[Fraction(1, 3)]] * 4)], dim=1)
    assert joined.to_fractions()[0].tolist() == [[*p, *q, Fraction(1, 3)] for p, q in zip(x, product, strict=True)]
    assert (a @ b).gather_flat(np.array([3, -1])).to_fractions()[0].tolist() == [product[1][0], 0]
    rounded = torch.tensor([[float(p) for p in row] for row in product], dtype=torch.float64).to(dtype)
    errors = (a @ b).error_of(rounded)
    for i in range(4):
        for j in range(3):
            true = abs(product[i][j] - Fraction(rounded[i, j].item()))
            assert Fraction(errors[i, j].item()) >= true
            assert Fraction(math.nextafter(errors[i, j].item(), 0)) < true or true == 0
    assert (a @ b).is_dyadic
    assert not (a / 3).is_dyadic
    assert (a @ b).bits == ExactArray.from_fractions(product).bits


@pytest.mark.usefixtures("representation")
def test_batches_of_matrices() -> None:
    generator = torch.Generator().manual_seed(4)
    a, b = torch.randn(2, 1, 3, 4, generator=generator), torch.randn(5, 4, 2, generator=generator)
    product = (ExactArray.from_tensor(a) @ ExactArray.from_tensor(b)).to_fractions()[0]
    for i, j in np.ndindex(2, 5):
        plain = (ExactArray.from_tensor(a[i, 0]) @ ExactArray.from_tensor(b[j])).to_fractions()[0]
        assert (product[i, j] == plain).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_named_in_a_large_tensor_too(bad: float) -> None:
    values = torch.zeros(40, 30)
    values[17, 5] = bad
    with pytest.raises(InputError, match=rf"entry \[17, 5\] is {bad}"):
        ExactArray.from_tensor(values)


def test_subnormals_are_right_where_the_processor_flushes_them() -> None:
    values = torch.full((40, 30), 2.0**-140)
    before = ExactArray.from_tensor(values)
    assert torch.set_flush_denormal(True)
    try:
        for numbers in (before, ExactArray.from_tensor(values)):
            assert (numbers.to_fractions() == Fraction(1, 2**140)).all()
            assert ((numbers @ numbers.swap(0, 1)).to_fractions() == Fraction(30, 2**280)).all()
    finally:
        torch.set_flush_denormal(False)


def test_large_tensors_are_copied() -> None:
    values = torch.ones(40, 30)
    numbers = ExactArray.from_tensor(values)
    values.zero_()
    assert (numbers.to_fractions() == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        numbers.ints[0, 0, 0] = 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_large_matrices_of_full_range_floats_multiply_exactly(dtype: torch.dtype) -> None:
    """Every binade of the dtype in one matrix; float64 spans too much for digits and goes through integers."""
    generator = torch.Generator().manual_seed(6)
    layout = FLOAT_FORMATS[dtype]
    highest = math.frexp(torch.finfo(dtype).max)[1] - 1
    exponents = torch.randint(layout.lowest_exponent, highest, (24, 40), generator=generator)
    signs = torch.randint(0, 2, exponents.shape, generator=generator) * 2 - 1
    weight = torch.ldexp(signs.double(), exponents).to(dtype)
    weight[0, 0], weight[1, 1], weight[2, 2] = 0.0, -0.0, torch.finfo(dtype).max
    other = weight.T.roll(1, 0)
    product = (ExactArray.from_tensor(weight) @ ExactArray.from_tensor(other)).to_fractions()[0]
    rows = [[Fraction(v) for v in row] for row in weight.double().tolist()]
    columns = [[Fraction(v) for v in column] for column in other.T.double().tolist()]
    for i, j in ((0, 0), (1, 1), (2, 2), (23, 5), (7, 23)):
        assert product[i, j] == sum(a * b for a, b in zip(rows[i], columns[j], strict=True))


@pytest.mark.parametrize("outliers", [0, 1, 3, 40])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("at_once", [2**20, 1])
def test_digits_that_few_numbers_have_are_multiplied_too(
    outliers: int, turned: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of a layer are about as large as each other; a few are much smaller, or larger, than the rest."""
    monkeypatch.setattr(planes, "_PRODUCTS_AT_ONCE", at_once)
    generator = np.random.default_rng(outliers)
    few, many = (generator.integers(-(2**20), 2**20, shape).astype(np.float64) for shape in ((3, 50), (50, 90)))
    for row in generator.permutation(50)[:outliers]:
        many[row, row % 9] *= 2.0 ** (-30 if row % 2 else 50)
    left, right = Digits.from_floats(few), Digits.from_floats(many)
    if turned:
        left, right = (Digits(np.ascontiguousarray(one.planes.swapaxes(1, 2)), one.low) for one in (right, left))
        few, many = many.T, few.T
    plain = [
        sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, column, strict=True)), Fraction(0))
        for row in few
        for column in many.T
    ]
    assert fractions_of(left.matmul(right)) == plain


def test_few_digits_in_one_column_fill_the_longest_sum_without_error() -> None:
    """One column of large digits among 64 of zeros is few; its sum is cut where float64 would round it."""
    k = LONGEST_SUM + 51
    column = np.zeros((k, 64))
    column[:, 5] = 2.0**21 - 1
    row = np.full((1, k), 2.0**21 - 1)
    product = Digits(row[None], 0).matmul(Digits(column[None], 0, {0: np.flatnonzero(column)}))
    assert fractions_of(product)[5] == k * (2**21 - 1) ** 2
