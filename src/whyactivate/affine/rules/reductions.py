"""Extremes, orders, products, spreads and softmaxes along axes: affine in nothing, but they can be evaluated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch

from whyactivate.affine.rules.convolution import windows
from whyactivate.affine.rules.masks import at_least, equal, greater, precedes, select
from whyactivate.affine.rules.pooling import adaptive_windows, per_axis, pooled_size
from whyactivate.affine.rules.rule import CannotEvaluate, Label
from whyactivate.affine.rules.table import nonlinear
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

_MOST_SORTED = 64
"""How many numbers are sorted at most: every pair is compared."""


def axes_of(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The axes that an operation reduces: all of them where none is named."""
    if isinstance(dim, int):
        return (dim % max(ndim, 1),)
    return tuple(range(ndim)) if not dim else tuple(d % max(ndim, 1) for d in dim)


def together(array: Any, dim: int | Sequence[int] | None) -> Any:
    """The axes to reduce, joined into one, which comes last."""
    axes = axes_of(dim, array.ndim)
    if not array.ndim:
        return array.reshape(1)
    kept = [axis for axis in range(array.ndim) if axis not in axes]
    moved = array.transpose(*kept, *axes)
    return moved.reshape(*(array.shape[axis] for axis in kept), prod(array.shape[axis] for axis in axes))


def apart(array: Any, result: Any, dim: int | Sequence[int] | None, keepdim: bool) -> Any:
    """The result of a reduction, its axes kept where that is wanted."""
    if not keepdim or not array.ndim:
        return result
    axes = axes_of(dim, array.ndim)
    return result.reshape(*(1 if axis in axes else extent for axis, extent in enumerate(array.shape)))


def along(self: Any, dim: int, function: Any) -> Any:
    """A function of vectors, of those along one axis."""
    return function(self.swap(dim, -1)).swap(dim, -1) if self.ndim else function(self.reshape(1)).reshape()


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


def _in_place(self: Any, entries: Sequence[Any], dim: int) -> Any:
    if not self.ndim:
        return entries[0]
    return type(entries[0]).stack(list(entries), dim % self.ndim)


_PIECEWISE: dict[str, Any] = {"label": Label.PIECEWISE}
_PLACES: dict[str, Any] = {"label": Label.PIECEWISE, "gives_whole": True}
_SMOOTH: dict[str, Any] = {"label": Label.SMOOTH}


@nonlinear(aten.amax.default, aten.max.default, **_PIECEWISE)
def amax(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    return apart(self, largest(_kept(self, dim, call.left_out)), dim, keepdim)


@nonlinear(aten.max.dim, **_PIECEWISE)
def max_dim(self: Any, dim: int, keepdim: bool, call: Any) -> Any:
    rows = _kept(self, dim, call.left_out)
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
    return tuple(_in_place(self, one[::-1] if descending else one, dim) for one in ascended)


@nonlinear(aten.topk.default, **_PIECEWISE)
def topk(self: Any, k: int, dim: int, largest: bool, sorted: bool, call: Any) -> Any:
    if not sorted:
        raise CannotEvaluate("topk gives its numbers in an order that is not fixed")
    ascended = _in_order(together(self, dim), call)
    return tuple(_in_place(self, (one[::-1] if largest else one)[:k], dim) for one in ascended)


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
    return _in_place(self, [largest(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)


@nonlinear(aten.cummin.default, **_PIECEWISE)
def cummin(self: Any, dim: int) -> Any:
    rows = together(self, dim)
    return _in_place(self, [smallest(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)


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


def _product(rows: Any) -> Any:
    result = rows.sum(-1) * 0 + 1
    for place in range(rows.shape[-1]):
        result = result * rows[..., place]
    return result


def _count(arguments: Any) -> int:
    shape = arguments["self"].geometry.size if hasattr(arguments["self"], "geometry") else ()
    dim = arguments.get("dim")
    return max(1, shape[dim] if isinstance(dim, int) and shape else prod(shape))


@nonlinear(aten.prod.default, aten.prod.dim_int, label=Label.RATIONAL, power=_count)
def product(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    return apart(self, _product(together(self, dim)), dim, keepdim)


@nonlinear(aten.cumprod.default, label=Label.RATIONAL, power=_count)
def cumprod(self: Any, dim: int) -> Any:
    rows = together(self, dim)
    return _in_place(self, [_product(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)


# -- exponentials -----------------------------------------------------------------------------------------------------


def softmax_of(rows: Any, left_out: torch.Tensor | None = None) -> Any:
    """The softmax along the last axis, of what is not left out; that gets 0."""
    if left_out is not None:
        return _softmax_of_some(rows, left_out.expand(rows.shape))
    powers = (rows - largest(rows).reshape(*rows.shape[:-1], 1)).exp()
    return powers / powers.sum(-1, True)


def _softmax_of_some(rows: Any, left_out: torch.Tensor) -> Any:
    scores = _with_others(rows, left_out)
    counts = ExactArray.from_tensor((~left_out).double().contiguous())
    powers = (scores - largest(scores).reshape(*rows.shape[:-1], 1)).exp() * counts
    return powers / powers.sum(-1, True)


def _with_others(rows: Any, left_out: torch.Tensor) -> Any:
    """The vectors along the last axis, with another entry of its vector in place of each that is left out."""
    width = rows.shape[-1]
    taken = torch.where(left_out, (~left_out).int().argmax(-1, keepdim=True), torch.arange(width, device="cpu"))
    start = torch.arange(rows.size // width, device="cpu").reshape(*rows.shape[:-1], 1) * width
    return rows.flatten().gather_flat((start + taken).numpy())


def _kept(self: Any, dim: int | Sequence[int] | None, left_out: torch.Tensor | None) -> Any:
    """The axes to reduce, joined into one that comes last, with others in place of what is left out."""
    rows = together(self, dim)
    return rows if left_out is None or not self.ndim else _with_others(rows, _marks_together(self, dim, left_out))


def _marks_together(self: Any, dim: int | Sequence[int] | None, left_out: torch.Tensor) -> torch.Tensor:
    """What is left out, in the order that `together` gives the numbers."""
    axes = axes_of(dim, self.ndim)
    kept = [axis for axis in range(self.ndim) if axis not in axes]
    return left_out.expand(self.shape).permute(*kept, *axes).reshape(together(self, dim).shape)


def log_sum_exp(rows: Any, left_out: torch.Tensor | None = None) -> Any:
    """The logarithm of the sum of exponentials along the last axis, of what is not left out."""
    rows = rows if left_out is None else _with_others(rows, left_out)
    top = largest(rows)
    powers = (rows - top.reshape(*rows.shape[:-1], 1)).exp()
    if left_out is not None:
        powers = powers * ExactArray.from_tensor((~left_out).double().contiguous())
    return top + powers.sum(-1).log()


def _log_softmax_of(rows: Any) -> Any:
    return rows - log_sum_exp(rows).reshape(*rows.shape[:-1], 1)


@nonlinear(aten._softmax.default, aten._safe_softmax.default, **_SMOOTH)
def softmax(self: Any, dim: int, call: Any) -> Any:
    if call.left_out is None or not self.ndim:
        return along(self, dim, softmax_of)
    left_out = call.left_out.expand(self.shape).swapaxes(dim, -1)
    return softmax_of(self.swap(dim, -1), left_out).swap(dim, -1)


@nonlinear(aten._log_softmax.default, **_SMOOTH)
def log_softmax(self: Any, dim: int) -> Any:
    return along(self, dim, _log_softmax_of)


@nonlinear(aten.logsumexp.default, **_SMOOTH)
def logsumexp(self: Any, dim: Sequence[int], keepdim: bool, call: Any) -> Any:
    left_out = None if call.left_out is None or not self.ndim else _marks_together(self, dim, call.left_out)
    return apart(self, log_sum_exp(together(self, dim), left_out), dim, keepdim)


@nonlinear(aten.logcumsumexp.default, **_SMOOTH)
def logcumsumexp(self: Any, dim: int) -> Any:
    rows = together(self, dim)
    return _in_place(self, [log_sum_exp(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)


# -- norms and spreads ------------------------------------------------------------------------------------------------


_HIGHEST_NORM = 16


def norm_of(rows: Any, order: Any) -> Any:
    """The norm of the vectors along the last axis."""
    if order in (float("inf"), float("-inf")):
        return largest(abs(rows)) if order > 0 else smallest(abs(rows))
    if order == 0:
        return (greater(rows, 0) + greater(0, rows)).sum(-1)
    if order == 1:
        return abs(rows).sum(-1)
    if order == 2:
        return (rows * rows).sum(-1).sqrt()
    if order == int(order) and 2 < order <= _HIGHEST_NORM:
        powers = size = abs(rows)
        for _ in range(int(order) - 1):
            powers = powers * size
        return (powers.sum(-1).log() / order).exp()
    raise CannotEvaluate(f"the norm of order {order} has no formula here")


@nonlinear(aten.linalg_vector_norm.default, **_SMOOTH)
def vector_norm(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return apart(self, norm_of(together(self, dim), call.arguments["ord"]), dim, keepdim)


@nonlinear(aten.norm.ScalarOpt_dim, aten.norm.Scalar, **_SMOOTH)
def norm(self: Any, call: Any) -> Any:
    dim, keepdim, order = (call.arguments.get(name) for name in ("dim", "keepdim", "p"))
    return apart(self, norm_of(together(self, dim), 2 if order is None else order), dim, bool(keepdim))


@nonlinear(aten._cdist_forward.default, **_SMOOTH)
def cdist(x1: Any, x2: Any, p: float) -> Any:
    apart_by = x1.reshape(*x1.shape[:-1], 1, x1.shape[-1]) - x2.reshape(*x2.shape[:-2], 1, *x2.shape[-2:])
    return norm_of(apart_by, p)


@nonlinear(aten.dist.default, **_SMOOTH)
def dist(self: Any, other: Any, call: Any) -> Any:
    return norm_of((self - other).flatten(), call.arguments["p"])


def moments(rows: Any) -> tuple[Any, Any]:
    """Mean and mean squared deviation along the last axis, which is kept."""
    mean = rows.sum(-1, True) / rows.shape[-1]
    return mean, ((rows - mean) * (rows - mean)).sum(-1, True) / rows.shape[-1]


def _variance(self: Any, dim: Any, correction: Any, keepdim: bool) -> tuple[Any, Any]:
    rows = together(self, dim)
    count = rows.shape[-1]
    correction = 1 if correction is None else correction
    if count - correction <= 0:
        raise CannotEvaluate("a variance of too few numbers")
    mean, spread = moments(rows)
    variance = spread[..., 0] * count / (count - correction)
    return apart(self, variance, dim, keepdim), apart(self, mean[..., 0], dim, keepdim)


@nonlinear(aten.var.correction, label=Label.RATIONAL, power=2)
def var(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return _variance(self, dim, call.arguments["correction"], keepdim)[0]


@nonlinear(aten.std.correction, **_SMOOTH)
def std(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return _variance(self, dim, call.arguments["correction"], keepdim)[0].sqrt()


@nonlinear(aten.var_mean.correction, label=Label.RATIONAL, power=2)
def var_mean(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return _variance(self, dim, call.arguments["correction"], keepdim)


@nonlinear(aten.std_mean.correction, **_SMOOTH)
def std_mean(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    variance, mean = _variance(self, dim, call.arguments["correction"], keepdim)
    return variance.sqrt(), mean


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
