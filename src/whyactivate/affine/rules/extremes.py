"""Extremes and orders along axes, and the places where they are: affine in nothing, but they can be evaluated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from whyactivate.affine.rules.axes import apart, put_along, together, together_without
from whyactivate.affine.rules.convolution import windows
from whyactivate.affine.rules.masks import at_least, equal, greater, precedes, select
from whyactivate.affine.rules.pooling import adaptive_windows, per_axis, pooled_size
from whyactivate.affine.rules.rule import CannotEvaluate, Label
from whyactivate.affine.rules.table import nonlinear
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

_MOST_SORTED = 64
"""How many numbers are sorted at most: every pair is compared."""
_PIECEWISE: dict[str, Any] = {"label": Label.PIECEWISE}
_PLACES: dict[str, Any] = {"label": Label.PIECEWISE, "gives_whole": True}


def largest(array: Any) -> Any:
    """The largest along the last axis."""
    while (size := array.shape[-1]) > 1:
        half = size // 2
        pairs = array[..., :half].maximum(array[..., half : 2 * half])
        array = type(array).concatenate([pairs, array[..., 2 * half :]], -1) if size % 2 else pairs
    return array[..., 0]


def smallest(array: Any) -> Any:
    """The smallest along the last axis."""
    return -largest(-array)


def ascending(array: Any) -> list[Any]:
    """The entries along the last axis, in order: place for place the extremes of neighbours, until all are in order."""
    size = array.shape[-1]
    if size > _MOST_SORTED:
        raise CannotEvaluate(f"{size} numbers are too many to be put in order here")
    entries = [array[..., place] for place in range(size)]
    for turn in range(size):
        for left in range(turn % 2, size - 1, 2):
            a, b = entries[left], entries[left + 1]
            entries[left], entries[left + 1] = a.minimum(b), a.maximum(b)
    return entries


def place_of_largest(array: Any) -> Any:
    """Where along the last axis the largest is; of several, the first."""
    best, place = array[..., 0], array[..., 0] * 0
    for at in range(1, array.shape[-1]):
        larger = greater(array[..., at], best)
        best, place = best.maximum(array[..., at]), select(larger, ExactArray.from_fraction(at), place)
    return place


def places_in_order(array: Any) -> list[Any]:
    """Where along the last axis the smallest is, the next, and so on.

    Raises:
        NoValue: two exact numbers are equal, so that either may come first.
    """
    entries = [array[..., place] for place in range(array.shape[-1])]
    ranks = [entry * 0 for entry in entries]
    for one, other in itertools.combinations(range(len(entries)), 2):
        larger = precedes(entries[other], entries[one])
        ranks[one], ranks[other] = ranks[one] + larger, ranks[other] + (1 - larger)
    return [_place_of(turn, ranks) for turn in range(len(ranks))]


def _place_of(turn: int, ranks: Sequence[Any]) -> Any:
    half, result = Fraction(1, 2), ranks[0] * 0
    for place, rank in enumerate(ranks):  # ranks are whole numbers, though intervals may not say so
        result = result + greater(rank, turn - half) * greater(turn + half, rank) * place
    return result


@nonlinear(aten.amax.default, aten.max.default, **_PIECEWISE)
def amax(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    return apart(self, largest(together_without(self, dim, call.left_out)), dim, keepdim)


@nonlinear(aten.max.dim, **_PIECEWISE)
def max_dim(self: Any, dim: int, keepdim: bool, call: Any) -> Any:
    rows = together_without(self, dim, call.left_out)
    results = [largest(rows), *([place_of_largest(rows)] if 1 in call.wanted else [])]
    return tuple(apart(self, result, dim, keepdim) for result in results)


@nonlinear(aten.amin.default, aten.min.default, **_PIECEWISE)
def amin(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    return apart(self, smallest(together(self, dim)), dim, keepdim)


@nonlinear(aten.min.dim, **_PIECEWISE)
def min_dim(self: Any, dim: int, keepdim: bool, call: Any) -> Any:
    rows = together(self, dim)
    results = [smallest(rows), *([place_of_largest(-rows)] if 1 in call.wanted else [])]
    return tuple(apart(self, result, dim, keepdim) for result in results)


@nonlinear(aten.argmax.default, **_PLACES)
def argmax(self: Any, dim: int | None, keepdim: bool) -> Any:
    return apart(self, place_of_largest(together(self, dim)), dim, keepdim)


@nonlinear(aten.argmin.default, **_PLACES)
def argmin(self: Any, dim: int | None, keepdim: bool) -> Any:
    return apart(self, place_of_largest(-together(self, dim)), dim, keepdim)


@nonlinear(aten.bucketize.Tensor, selectors=frozenset({"boundaries"}), **_PLACES)
def bucketize(self: Any, boundaries: torch.Tensor, right: bool) -> Any:
    return _bucket(self, boundaries, right)


@nonlinear(aten.searchsorted.Tensor, selectors=frozenset({"sorted_sequence", "sorter"}), **_PLACES)
def searchsorted(sorted_sequence: torch.Tensor, self: Any, right: bool, side: str | None, sorter: Any) -> Any:
    if sorted_sequence.ndim != 1 or sorter is not None:
        raise CannotEvaluate("only one sorted row is searched here")
    return _bucket(self, sorted_sequence, right or side == "right")


def _bucket(numbers: Any, boundaries: torch.Tensor, right: bool) -> Any:
    """How many boundaries are below each number, or not above it."""
    column, row = numbers.reshape(*numbers.shape, 1), ExactArray.from_tensor(boundaries)
    return (at_least(column, row) if right else greater(column, row)).sum(-1)


@nonlinear(aten.aminmax.default, **_PIECEWISE)
def aminmax(self: Any, dim: int | None, keepdim: bool) -> Any:
    rows = together(self, dim)
    return tuple(apart(self, extreme(rows), dim, keepdim) for extreme in (smallest, largest))


def _in_order(rows: Any, call: Any) -> list[list[Any]]:
    return [ascending(rows), *([places_in_order(rows)] if 1 in call.wanted else [])]


@nonlinear(aten.sort.default, aten.sort.stable, **_PLACES)
def sort(self: Any, dim: int, descending: bool, call: Any) -> Any:
    ascended = _in_order(together(self, dim), call)
    return tuple(put_along(self, one[::-1] if descending else one, dim) for one in ascended)


@nonlinear(aten.topk.default, **_PIECEWISE)
def topk(self: Any, k: int, dim: int, largest: bool, sorted: bool, call: Any) -> Any:
    if not sorted:
        raise CannotEvaluate("topk gives its numbers in an order that is not fixed")
    ascended = _in_order(together(self, dim), call)
    return tuple(put_along(self, (one[::-1] if largest else one)[:k], dim) for one in ascended)


@nonlinear(aten.kthvalue.default, **_PIECEWISE)
def kthvalue(self: Any, k: int, dim: int, keepdim: bool) -> Any:
    return apart(self, ascending(together(self, dim))[k - 1], dim, keepdim)


@nonlinear(aten.median.default, aten.median.dim, aten.nanmedian.default, aten.nanmedian.dim, **_PIECEWISE)
def median(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    entries = ascending(together(self, dim))
    return apart(self, entries[(len(entries) - 1) // 2], dim, keepdim)


@nonlinear(aten.cummax.default, **_PIECEWISE)
def cummax(self: Any, dim: int) -> Any:
    rows = together(self, dim)
    return put_along(self, [largest(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)


@nonlinear(aten.cummin.default, **_PIECEWISE)
def cummin(self: Any, dim: int) -> Any:
    rows = together(self, dim)
    return put_along(self, [smallest(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)


@nonlinear(aten.any.dim, aten.any.default, label=Label.PIECEWISE, gives_whole=True)
def any_(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    return apart(self, largest(1 - equal(together(self, dim), 0)), dim, keepdim)


@nonlinear(aten.count_nonzero.default, aten.count_nonzero.dim_IntList, label=Label.PIECEWISE, gives_whole=True)
def count_nonzero(self: Any, call: Any) -> Any:
    return (1 - equal(together(self, call.arguments.get("dim")), 0)).sum(-1)


@nonlinear(aten.all.dim, aten.all.default, label=Label.PIECEWISE, gives_whole=True)
def all_(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    return apart(self, smallest(1 - equal(together(self, dim), 0)), dim, keepdim)


# -- pooling ----------------------------------------------------------------------------------------------------------


@nonlinear(aten.max_pool2d_with_indices.default, aten.max_pool3d_with_indices.default, **_PIECEWISE)
def max_pool(self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, call: Any) -> Any:
    axes = 2 if "2d" in str(call.op) else 3
    kernel, pad, apart_by = (per_axis(one, axes) for one in (kernel_size, padding, dilation))
    step = per_axis(stride, axes) if stride else kernel
    size, leading = self.shape[-axes:], self.shape[:-axes]
    count = [pooled_size(*one, ceil_mode) for one in zip(size, kernel, step, pad, apart_by, strict=True)]
    places, _ = windows(size, kernel, stride=step, padding=pad, dilation=apart_by, count=count)
    some = places.max(axis=0)  # outside, a place is filled by one that the window covers as well
    return _largest_of(self, leading, np.where(places < 0, some, places), count)


def _largest_of(self: Any, leading: Sequence[int], places: Any, count: Sequence[int]) -> Any:
    rows = self.reshape(*leading, -1)[..., places.T]
    return largest(rows).reshape(*leading, *count)


@nonlinear(aten.adaptive_max_pool2d.default, aten.adaptive_max_pool3d.default, **_PIECEWISE)
def adaptive_max_pool(self: Any, output_size: Sequence[int]) -> Any:
    axes = len(output_size)
    size, leading = self.shape[-axes:], self.shape[:-axes]
    result = self
    for axis, (extent, count) in enumerate(zip(size, output_size, strict=True)):
        ends = zip(*adaptive_windows(extent, count), strict=True)
        lines = result.swap(len(leading) + axis, -1)
        best = [largest(lines[..., int(start) : int(end)]) for start, end in ends]
        result = type(self).stack(best, -1).swap(len(leading) + axis, -1)
    return result
