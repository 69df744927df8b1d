"""ExactArray against plain `fractions.Fraction` arithmetic, entry by entry."""

from __future__ import annotations

import math
import operator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import FLOAT_FORMATS, round_to
from whyactivate.errors import InputError

DTYPES = list(FLOAT_FORMATS)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
few_fractions = st.fractions(min_value=-50, max_value=50, max_denominator=40)


def fraction_array(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Arrays of small fractions, zeros and repetitions among them; drawn as a seed, which is quick."""

    def draw(seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        numerators = random.integers(-50, 51, math.prod(shape)) * random.integers(0, 2, math.prod(shape))
        values = np.empty(math.prod(shape), dtype=object)
        denominators = random.integers(1, 8, len(values))
        values[:] = [Fraction(int(n), int(d)) for n, d in zip(numerators, denominators, strict=True)]
        return values.reshape(shape)

    return st.integers(0, 2**32).map(draw)


def exact(points: np.ndarray) -> ExactArray:
    """Fractions of shape [points, *shape] as an ExactArray, one point at a time."""
    return ExactArray.stack_points([ExactArray.from_fractions(p) for p in points])


def agree(array: ExactArray, fractions: np.ndarray) -> bool:
    held = array.to_fractions()
    return held.shape == fractions.shape and all(a == b for a, b in zip(held.ravel(), fractions.ravel(), strict=True))


# -- reading floats ---------------------------------------------------------------------------------------------


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=finite))
def test_float64_is_read_exactly(values: np.ndarray) -> None:
    array = ExactArray.from_tensor(torch.tensor(values))
    assert array.points == 1
    assert array.shape == values.shape
    assert all(a == Fraction(float(v)) for a, v in zip(array.to_fractions().ravel(), values.ravel(), strict=True))
    assert array.is_dyadic


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_every_half_precision_number_is_read_exactly(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    every = every[every.isfinite()]
    held = ExactArray.from_tensor(every).to_fractions()[0]
    assert all(a == Fraction(v) for a, v in zip(held, every.double().tolist(), strict=True))


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_float32_bit_patterns_are_read_exactly(patterns: list[int]) -> None:
    values = torch.tensor(np.array(patterns, dtype=np.uint32).view(np.float32))
    values = values[values.isfinite()]
    held = ExactArray.from_tensor(values).to_fractions()[0]
    assert [Fraction(v) for v in values.double().tolist()] == list(held)


def test_subnormals_survive_a_processor_that_flushes_them() -> None:
    tiny = torch.tensor([2**-149, -0.0, 2.0**127], dtype=torch.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        held = ExactArray.from_tensor(tiny).to_fractions()[0]
    finally:
        torch.set_flush_denormal(False)
    assert list(held) == [Fraction(1, 2**149), 0, 2**127]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int64], ids=str)
def test_integers_are_read(dtype: torch.dtype) -> None:
    values = torch.tensor([0, 1, 1, 0]).to(dtype)
    assert agree(ExactArray.from_tensor(values), np.array([[0, 1, 1, 0]], dtype=object))
    assert agree(ExactArray.from_tensor(torch.tensor(-(2**63))), np.array([-(2**63)], dtype=object))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_non_finite_entries_are_named(bad: float, dtype: torch.dtype) -> None:
    values = torch.zeros(2, 3, dtype=dtype)
    values[1, 2] = bad
    with pytest.raises(InputError, match=rf"entry \[1, 2\] is {bad}"):
        ExactArray.from_tensor(values)
    with pytest.raises(InputError, match="finite"):
        ExactArray.from_fraction(bad)


def test_complex_is_refused() -> None:
    with pytest.raises(InputError, match="complex64"):
        ExactArray.from_tensor(torch.zeros(2, dtype=torch.complex64))


# -- arithmetic -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [operator.add, operator.sub, operator.mul, np.maximum, np.minimum], ids=str)
@given(a=fraction_array((3, 2, 4)), b=fraction_array((1, 4)))
def test_entrywise_arithmetic_broadcasts_points_and_aligns_from_the_right(function, a, b) -> None:
    ours = {np.maximum: ExactArray.maximum, np.minimum: ExactArray.minimum}.get(function, function)
    assert agree(ours(exact(a), exact(b)), function(a, b[:, None]))
    assert agree(ours(exact(b), exact(a)), function(b[:, None], a))


@given(a=fraction_array((2, 3)), scalar=few_fractions | st.integers(-9, 9) | st.sampled_from([0.5, -0.1]))
def test_scalars(a, scalar) -> None:
    value = Fraction(scalar)
    array = exact(a)
    assert agree(array + scalar, a + value)
    assert agree(scalar + array, a + value)
    assert agree(array - scalar, a - value)
    assert agree(scalar - array, value - a)
    assert agree(array * scalar, a * value)
    assert agree(scalar * array, a * value)
    assert agree(-array, -a)
    assert agree(abs(array), np.abs(a))
    if value:
        assert agree(array / scalar, a / value)


@given(a=fraction_array((3, 2, 2)), b=fraction_array((1, 2)))
def test_division_by_arrays(a, b) -> None:
    if (b == 0).any():
        with pytest.raises(ZeroDivisionError, match="entry"):
            exact(a) / exact(b)
    else:
        assert agree(exact(a) / exact(b), a / b[:, None])


shapes = st.sampled_from(
    [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 2, 3), (3, 2)),
        ((2, 3), (4, 3, 2)),
        ((2, 1, 2, 3), (3, 3, 1)),
        ((2, 0), (0, 3)),
        ((2, 2, 3), (2, 3, 2)),
        ((3,), (2, 3, 2)),
    ]
)


@given(shapes, st.sampled_from([(1, 1), (1, 3), (3, 1), (3, 3)]), st.data())
def test_matmul_is_torch_matmul_at_every_point(pair, points, data) -> None:
    a, b = (data.draw(fraction_array((k, *shape))) for k, shape in zip(points, pair, strict=True))
    product = exact(a) @ exact(b)
    expected = np.stack([np.matmul(a[i % len(a)], b[i % len(b)]) for i in range(max(points))])
    torch_shape = torch.matmul(torch.zeros(a.shape[1:]), torch.zeros(b.shape[1:])).shape
    assert product.shape == tuple(torch_shape)
    assert agree(product, expected)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(DTYPES))
def test_large_matmul_goes_through_flint_and_is_exact(seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(20, 30, generator=generator).to(dtype)
    b = torch.randn(30, 25, generator=generator).to(dtype)
    product = ExactArray.from_tensor(a) @ ExactArray.from_tensor(b)
    rows = [[Fraction(v) for v in row] for row in a.double().tolist()]
    columns = [[Fraction(v) for v in column] for column in b.double().T.tolist()]
    expected = [[sum(map(operator.mul, row, column)) for column in columns] for row in rows]
    assert agree(product, np.array([expected], dtype=object))


def test_matmul_refuses_widths_that_do_not_meet() -> None:
    with pytest.raises(InputError, match="3 columns meet 2 rows"):
        ExactArray.zeros(1, (2, 3)) @ ExactArray.zeros(1, (2, 3))


@given(fraction_array((2, 3, 4)))
def test_sums(a) -> None:
    array = exact(a)
    assert agree(array.sum(), a.sum(axis=(1, 2)))
    assert agree(array.sum(0), a.sum(axis=1))
    assert agree(array.sum((-1,), keepdim=True), a.sum(axis=2, keepdims=True))
    assert agree(ExactArray.zeros(2, (0, 3)).sum(0), np.zeros((2, 3), dtype=object))


@given(fraction_array((2, 3)), fraction_array((1, 3)))
def test_comparisons_are_bool_arrays(a, b) -> None:
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        assert (compare(exact(a), exact(b)) == compare(a, b).astype(bool)).all()
        assert (compare(exact(a), 1) == compare(a, 1).astype(bool)).all()
    assert (exact(a).sign() == np.sign(a)).all()
    mask = (a > b).astype(bool)
    assert agree(ExactArray.where(mask, exact(a), exact(b)), np.where(mask, a, b))
    assert exact(a).equals(exact(a))
    first = exact(a).first_difference(exact(b).at_points(2))
    assert first == next(iter(zip(*(i.tolist() for i in np.nonzero(a != b)), strict=True)), None)


# -- shapes, views, writes --------------------------------------------------------------------------------------


@given(fraction_array((2, 3, 4)))
def test_shape_operations(a) -> None:
    array = exact(a)
    assert agree(array.reshape(2, -1), a.reshape(2, 2, 6))
    assert agree(array.reshape((4, 3)), a.reshape(2, 4, 3))
    assert agree(array.transpose(), a.transpose(0, 2, 1))
    assert agree(array.transpose(-1, 0), a.transpose(0, 2, 1))
    assert agree(array.swap(0, 1), a.swapaxes(1, 2))
    assert agree(array.flatten(), a.reshape(2, 12))
    assert agree(array.expand(5, 3, 4), np.broadcast_to(a[:, None], (2, 5, 3, 4)))
    assert agree(array.expand(5, -1, -1), np.broadcast_to(a[:, None], (2, 5, 3, 4)))
    assert agree(array[1, ::2], a[:, 1, ::2])
    assert agree(array.at(1), a[1:2])
    assert agree(array.at(-1), a[1:])
    assert agree(array.at(slice(0, 1)), a[:1])
    assert agree(array.points_to_axis(), a[None])
    assert agree(array.points_to_axis().axis_to_points(), a)
    assert agree(ExactArray.concatenate([array, array / 3], -1), np.concatenate([a, a / 3], axis=2))
    assert agree(ExactArray.concatenate([array, exact(a[:1])], 0), np.concatenate([a, a[[0, 0]]], axis=1))
    assert agree(ExactArray.stack([array, array / 3], 1), np.stack([a, a / 3], axis=2))
    with pytest.raises(InputError, match="reshape"):
        array.reshape(5)
    with pytest.raises(InputError, match="axis 2"):
        array.sum(2)


@given(fraction_array((2, 6)), hnp.arrays(np.int64, (2, 3), elements=st.integers(-1, 5)))
def test_gather_flat(a, index) -> None:
    array = exact(a).reshape(2, 3)
    expected = np.where(index < 0, Fraction(0), a[:, index])
    assert agree(array.gather_flat(index), expected)
    with pytest.raises(InputError, match="6 entries"):
        array.gather_flat(index * 0 + 6)


@given(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=3))
def test_strided_reads_and_writes_as_torch_does(offset, geometry) -> None:
    size, stride = [n for n, _ in geometry], [s for _, s in geometry]
    buffer = torch.arange(40, dtype=torch.float64)
    array = ExactArray.from_tensor(buffer)
    view = torch.as_strided(buffer, size, stride, offset)
    assert torch.equal(array.strided(offset, size, stride).to_float64()[0], view)
    written = buffer.clone()
    written[view.flatten().long()] = -7  # the buffer holds its own positions
    ours = array.with_strided_written(offset, size, stride, ExactArray.from_fraction(-7))
    assert torch.equal(ours.to_float64()[0], written)
    assert torch.equal(array.to_float64()[0], buffer), "the old buffer stays as it was"


def test_a_view_outside_its_buffer_is_refused() -> None:
    with pytest.raises(InputError, match="buffer of 4"):
        ExactArray.zeros(1, (4,)).strided(2, (3,), (1,))


def test_writing_points_into_a_constant_gives_points() -> None:
    buffer = ExactArray.zeros(1, (3,))
    value = ExactArray.from_points(torch.tensor([[1.0], [2.0]]))
    assert buffer.with_strided_written(1, (1,), (1,), value).to_float64().tolist() == [[0, 1, 0], [0, 2, 0]]


# -- rounding ---------------------------------------------------------------------------------------------------


def neighbours(value: Fraction, dtype: torch.dtype) -> list[torch.Tensor]:
    near = torch.tensor(float(value), dtype=torch.float64).to(dtype)
    infinity = torch.tensor(math.inf, dtype=dtype)
    return [torch.nextafter(near, -infinity), near, torch.nextafter(near, infinity)]


def nearest(value: Fraction, dtype: torch.dtype) -> float:
    """The nearest number of the dtype, ties to the even significand, found by looking at the neighbours."""
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    return min(
        neighbours(value, dtype),
        key=lambda t: (abs(Fraction(t.double().item()) - value), int(t.view(bits)) & 1),
    ).item()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_to_tensor_rounds_once_to_nearest_even(dtype: torch.dtype, data) -> None:
    lowest, highest = (-30, 14) if dtype == torch.float16 else (-160, 120)
    value = Fraction(data.draw(st.integers(-(2**70), 2**70)), 2**70) * Fraction(2) ** data.draw(
        st.integers(lowest, highest)
    )
    low, _, high = (Fraction(t.double().item()) for t in neighbours(value, dtype))
    nudge = Fraction(data.draw(st.sampled_from([-1, 0, 1])), 2**2000)
    for number in (value, (low + nearest_fraction(value, dtype)) / 2 + nudge, (low + high) / 2 + nudge):
        assert ExactArray.from_fraction(number).to_tensor(dtype).item() == nearest(number, dtype)


def nearest_fraction(value: Fraction, dtype: torch.dtype) -> Fraction:
    return Fraction(nearest(value, dtype))


@given(fraction_array((2, 3)))
def test_float64_readings(a) -> None:
    array = exact(a)
    assert array.to_float64().tolist() == [[float(f) for f in row] for row in a]
    up = array.to_float64_up()
    below = torch.nextafter(up, torch.full_like(up, -math.inf))
    for entry, value in np.ndenumerate(a):
        assert Fraction(below[entry].item()) < value <= Fraction(up[entry].item())


def test_float64_overflow_is_named() -> None:
    array = ExactArray.from_fractions([1, Fraction(2) ** 1030])
    with pytest.raises(InputError, match=r"\[0, 1\] is about 2\^103.*to_fractions"):
        array.to_float64()
    with pytest.raises(InputError, match="beyond the largest torch"):
        ExactArray.from_fraction(70000).to_tensor(torch.float16)


@given(fraction_array((1, 3)), st.sampled_from(DTYPES))
def test_error_of_is_the_error_rounded_up(a, dtype) -> None:
    array = exact(a)
    tensor = array.to_float64()[0].to(dtype)
    bound = array.error_of(tensor)
    assert bound.shape == tensor.shape
    for i, value in enumerate(a[0]):
        error = abs(Fraction(tensor[i].double().item()) - value)
        low = math.nextafter(bound[i].item(), -math.inf)
        assert Fraction(low) < error <= Fraction(bound[i].item())
    assert torch.equal(array.error_of(tensor[None]), bound[None])
    with pytest.raises(InputError, match="expected shape"):
        array.error_of(tensor[:2])


def test_error_of_many_floats_is_that_of_each() -> None:
    """Many numbers are held as floats, and those that are the same in both are not worked out."""
    tensor = torch.randn(600, generator=torch.Generator().manual_seed(0))
    tensor[:2] = torch.tensor([0.0, 2.0**-149])
    array = ExactArray.from_tensor(tensor)
    assert not array.error_of(tensor.double()).any()
    other = tensor.double()
    other[:2] += torch.tensor([2.0**-1074, -(2.0**-149)], dtype=torch.float64)
    error = array.error_of(other)
    assert error[:2].tolist() == [2.0**-1074, 2.0**-149]
    assert not error[2:].any()


@given(hnp.arrays(np.float64, (4,), elements=st.floats(-6e4, 6e4)))
def test_round_to_agrees_with_torch_where_torch_rounds_once(values) -> None:
    tensor = torch.tensor(values)
    assert torch.equal(round_to(tensor, torch.float32), tensor.to(torch.float32))
    single = tensor.to(torch.float32)
    assert torch.equal(round_to(single, torch.bfloat16), single.to(torch.bfloat16))


def test_round_to_the_dtype_itself_changes_nothing() -> None:
    values = torch.tensor([1.5, -0.0, math.pi, 1 + 2**-52, -1 - 2**-52, 2**-1074], dtype=torch.float64)
    assert torch.equal(round_to(values, torch.float64), values)
    with pytest.raises(InputError, match="cannot round to"):
        round_to(values, torch.int64)


# -- staying small ----------------------------------------------------------------------------------------------


def test_integers_stay_small() -> None:
    array = ExactArray.from_tensor(torch.full((3,), 0.5, dtype=torch.float64))
    assert array.bits == 1
    assert ((array / 3) * 3).is_dyadic
    assert not (array / 3).is_dyadic
    for _ in range(50):
        array = array * 2 - array
    assert array.bits == 1
    assert "2^-1" in str(array)
    assert (array * 0).unit == 1


# -- affine maps ------------------------------------------------------------------------------------------------


def test_multiply_out_is_the_composition() -> None:
    generator = torch.Generator().manual_seed(0)

    class Step:
        def __init__(self, out: int, inputs: int, bias: bool) -> None:
            self.exact_weight = ExactArray.from_tensor(torch.randn(out, inputs, generator=generator))
            self.exact_bias = ExactArray.from_tensor(torch.randn(out, generator=generator)) if bias else None

    steps = [Step(5, 2, True), Step(3, 5, False), Step(4, 3, True)]
    collapsed = ExactAffine.multiply_out(steps)
    points = ExactArray.from_points(torch.randn(6, 2, generator=generator))
    by_hand = points
    for step in steps:
        by_hand = by_hand @ step.exact_weight.transpose()
        if step.exact_bias is not None:
            by_hand = by_hand + step.exact_bias
    assert collapsed(points).equals(by_hand)
    assert ExactAffine.gather_from_output(steps).equals(collapsed)
    assert collapsed.inputs == 2
    assert collapsed.outputs == 4
    assert "from 2 to 4" in str(collapsed)
    with pytest.raises(InputError, match="step 1 gives 5 numbers, but step 2 takes 3"):
        ExactAffine.multiply_out([steps[0], steps[2]])
    with pytest.raises(InputError, match="at least one step"):
        ExactAffine.multiply_out([])
    with pytest.raises(InputError, match="shape"):
        ExactAffine(collapsed.bias, collapsed.bias)


def test_first_difference_names_the_entry() -> None:
    one = ExactAffine(ExactArray.from_fractions([[1, 2]]), ExactArray.from_fractions([3]))
    other = ExactAffine(ExactArray.from_fractions([[1, Fraction(1, 2)]]), ExactArray.from_fractions([3]))
    difference = one.first_difference(other)
    assert difference is not None
    assert difference.where == "weight[0, 1]"
    assert (difference.mine, difference.theirs) == (2, Fraction(1, 2))
    assert str(difference) == "weight[0, 1]: 2 against 0.5, a gap of about 2^0"
    assert one.first_difference(one) is None
    huge = ExactAffine(one.weight, one.bias * Fraction(2) ** 20000)
    assert "2^20001 or so" in str(huge.first_difference(one)), "no digits that Python would refuse to print"
    assert not one.equals(other)


def test_a_batch_of_matrices_and_its_transposes_are_multiplied_each_by_its_own_digits() -> None:
    """One small number gives the batch digits that only one row has, and its transposes ones that one column has."""
    batch = torch.ones(2, 24, 24, dtype=torch.float64)
    batch[0, 3, 7] += 2.0**-30
    vector = ExactArray.from_tensor(torch.arange(1.0, 25.0))
    matrices = ExactArray.from_tensor(batch)
    plain = sum(range(1, 25))
    for array, place, factor in ((matrices, (0, 3), 8), (matrices.swap(1, 2), (0, 7), 4)):
        product = (array @ vector).to_fractions()[0]
        assert product[place] == plain + factor * Fraction(1, 2**30)
        assert (product == plain).sum() == product.size - 1
