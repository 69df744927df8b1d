"""Compositions and sums of structured maps are those of the layers that they stand for."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from folding.blocks import rows
from whyactivate.folding.composing import add, after, as_kernel, shift_after
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import CannotFold, Dense, Diagonal, Kernel, Scale

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def apply(found, x, shift=None):
    if isinstance(found, Scale):
        return found.factor * x + (0 if shift is None else shift)
    kernel = as_kernel(found, x.ndim - 2)
    bias = None if shift is None else shift.value
    return CONVOLUTIONS[x.ndim - 2](
        x, kernel.weight.value, bias, kernel.stride, kernel.padding, kernel.dilation, kernel.groups
    )


@st.composite
def maps(draw, channels, axes, padded):
    """A map of `channels` channels to some."""
    kind = draw(st.sampled_from(["scale", "diagonal", "dense", "kernel", "kernel", "kernel"]))
    if kind == "scale":
        return Scale(draw(st.sampled_from([-2.0, 0.5, 3.0]))), channels
    if kind == "diagonal":
        return Diagonal(channels, Lazy.of(rows(channels))), channels
    out = draw(st.sampled_from([2, 4, 6]))
    if kind == "dense":
        return Dense(out, channels, (Lazy.of(rows(out, channels)),)), out
    groups = draw(st.sampled_from([g for g in (1, 2, 4) if channels % g == 0 and out % g == 0]))
    numbers = [tuple(draw(st.integers(1, top)) for _ in range(axes)) for top in (3, 2, 2)]
    size, stride, dilation = numbers
    padding = tuple(draw(st.integers(0, 2)) for _ in range(axes)) if padded else (0,) * axes
    weight = Lazy.of(rows(out, channels // groups, *size))
    return Kernel(out, channels, groups, size, stride, padding, dilation, weight), out


@settings(max_examples=60)
@given(st.data())
def test_a_composition_is_what_its_parts_do_one_after_the_other(data):
    axes = data.draw(st.integers(1, 2))
    first, middle = data.draw(maps(4, axes, padded=True))
    second, out = data.draw(maps(middle, axes, padded=data.draw(st.booleans())))
    x = rows(2, 4, *(15, 16)[:axes])
    try:
        whole = after(second, first)
    except CannotFold:
        assert isinstance(second, Kernel)
        assert second.is_padded
        return
    expected = apply(second, apply(first, x))
    torch.testing.assert_close(apply(whole, x), expected, rtol=1e-12, atol=1e-11)
    assert expected.shape[1] == out


@settings(max_examples=40)
@given(st.data())
def test_a_shift_goes_through_a_map(data):
    inner, out = data.draw(maps(4, 1, padded=False))
    shift = rows(4)
    moved = shift_after(inner, Lazy.of(shift))
    x = rows(2, 4, 9)
    expected = apply(inner, x + shift[:, None])
    bias = moved.value if out == 4 or not isinstance(inner, Scale) else moved
    torch.testing.assert_close(apply(inner, x) + bias[:, None], expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60)
@given(st.data())
def test_a_sum_of_branches_is_the_sum_of_what_they_give(data):
    axes = data.draw(st.integers(1, 2))
    one, two = data.draw(maps(4, axes, padded=True))[0], data.draw(maps(4, axes, padded=True))[0]
    x = rows(2, 4, *(15, 16)[:axes])
    try:
        whole = add(one, two, axes)
    except CannotFold:
        return
    a, b = apply(one, x), apply(two, x)
    if a.shape != b.shape:  # the planner adds only what PyTorch would add
        return
    torch.testing.assert_close(apply(whole, x), a + b, rtol=1e-12, atol=1e-12)


def test_a_branch_lies_where_the_centres_agree():
    big = Kernel(1, 1, 1, (5,), (1,), (2,), (1,), Lazy.of(torch.zeros(1, 1, 5).double()))
    small = Kernel(1, 1, 1, (3,), (1,), (1,), (1,), Lazy.of(torch.tensor([[[1.0, 2.0, 3.0]]]).double()))
    assert add(big, small, 1).weight.value.tolist() == [[[0, 1, 2, 3, 0]]]
    assert add(Scale(7.0), small, 1).weight.value.tolist() == [[[1, 9, 3]]]


@pytest.mark.parametrize(
    ("forms", "whole"),
    [  # size, padding, dilation
        ([(3, 2, 2), (3, 1, 1)], (5, 2, 1)),
        ([(3, 4, 4), (3, 2, 2), (1, 0, 1)], (5, 4, 2)),
        ([(2, 3, 6), (3, 2, 2)], (7, 3, 1)),
        ([(2, 1, 1), (4, 2, 1)], (4, 2, 1)),
        ([(1, 0, 1), (2, 1, 2)], (3, 1, 1)),
    ],
)
def test_branches_of_other_dilations_lie_on_a_common_grid(forms, whole):
    kernels = [Kernel(2, 2, 1, (n,), (1,), (p,), (d,), Lazy.of(rows(2, 2, n))) for n, p, d in forms]
    total, x = kernels[0], rows(2, 2, 15)
    for kernel in kernels[1:]:
        total = add(total, kernel, 1)
    assert (total.size[0], total.padding[0], total.dilation[0]) == whole
    torch.testing.assert_close(apply(total, x), sum(apply(kernel, x) for kernel in kernels), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        ({"stride": 2}, {}, "stride"),
        ({"padding": 0}, {"padding": 2}, "does not fit"),
    ],
)
def test_branches_that_do_not_match_stay_apart(one, two, why):
    def kernel(stride=1, padding=1):
        return Kernel(1, 1, 1, (3,), (stride,), (padding,), (1,), Lazy.of(torch.ones(1, 1, 3)))

    with pytest.raises(CannotFold, match=why):
        add(kernel(**one), kernel(**two), 1)


def test_a_chain_is_multiplied_in_the_cheapest_order():
    sizes = [300, 300, 300, 1]
    chain = Dense(sizes[1], sizes[0], (Lazy.of(rows(sizes[1], sizes[0])),))
    for into, out in pairwise(sizes[1:]):
        chain = after(Dense(out, into, (Lazy.of(rows(out, into)),)), chain)
    assert [tuple(factor.value.shape) for factor in chain.factors] == [(1, 300), (300, 300), (300, 300)]
    expected = chain.factors[0].value @ chain.factors[1].value @ chain.factors[2].value
    torch.testing.assert_close(chain.matrix(), expected, rtol=1e-11, atol=1e-9)
