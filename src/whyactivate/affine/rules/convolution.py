"""Convolutions: affine in the input or in the weight, and in the bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, cast

import numpy as np
import torch

from whyactivate.affine.rules.places import Index, sum_into
from whyactivate.affine.rules.rule import shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten


def _per_axis(values: Sequence[int], axes: int) -> list[int]:
    return list(values) * axes if len(values) == 1 else list(values)


def _terms(arguments: Mapping[str, Argument]) -> int:
    """One product and one addition per term, and a few more for the bias and a cast."""
    weight = shape_of(arguments["weight"])
    return prod(weight[2:]) * max(weight[0], weight[1]) + 4


def windows(size: Sequence[int], kernel: Sequence[int], **how: Sequence[int]) -> tuple[Index, list[int]]:
    """Which places each window covers: an index of shape (kernel places, windows), -1 in the padding; windows per axis.

    `how` gives stride, padding, dilation and, where it is not what fits, the number of windows, per axis.
    """
    axes = len(size)
    stride, padding, dilation = (how[name] for name in ("stride", "padding", "dilation"))
    fits = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    ]
    count = list(how.get("count", fits))
    index: Any = np.zeros((1,) * (2 * axes), dtype=np.int64)
    outside: Any = np.zeros((1,) * (2 * axes), dtype=bool)
    for axis in range(axes):
        along = (
            np.arange(kernel[axis])[:, None] * dilation[axis]
            + np.arange(count[axis])[None] * stride[axis]
            - padding[axis]
        )
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = along.shape
        along = along.reshape(shape)
        index = index * size[axis] + along
        outside = outside | (along < 0) | (along >= size[axis])
    places = np.where(outside, -1, index)
    return places.reshape(prod(kernel), prod(count)), count


def _gathered(rows: Any, places: Index) -> Any:
    """Entries of the last axis at `places`, 0 where the place is -1."""
    leading, width = rows.shape[:-1], rows.shape[-1]
    start = (np.arange(prod(leading)) * width).reshape(*leading, *(1 for _ in places.shape))
    return rows.gather_flat(np.where(places < 0, -1, places + start))


@affine(aten.convolution.default, form="input*weight + bias", roundings=_terms)
@affine(aten._convolution.default, form="input*weight + bias", roundings=_terms)
@affine(aten._convolution.deprecated, form="input*weight + bias", roundings=_terms)
def convolution(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: Any, output_padding: Any,
    groups: Any,
) -> Any:  # fmt: skip
    axes = weight.ndim - 2
    how = [_per_axis(values, axes) for values in (stride, padding, dilation, output_padding)]
    batched = input if input.ndim == weight.ndim else input.reshape(1, *input.shape)
    result: Any = None
    named = dict(zip(("stride", "padding", "dilation", "output_padding"), how, strict=True))
    kinds = EnclosureArray if isinstance(batched, EnclosureArray) else (BallArray, ExactArray)
    if isinstance(batched, (EnclosureArray, BallArray)) and isinstance(weight, kinds) and weight.points == 1:
        result = batched.convolve(cast(Any, weight), transposed, groups, **named)
    if result is None:
        compute: Any = _transposed if transposed else _plain
        result = compute(batched, weight, *how, groups)
    if input.ndim < weight.ndim:
        result = result.reshape(*result.shape[1:])
    return result if bias is None else result + bias.reshape(-1, *(1 for _ in range(axes)))


def _plain(
    input: Any, weight: Any, stride: list[int], padding: list[int], dilation: list[int], _: list[int], groups: int
) -> Any:
    batch, channels, *size = input.shape
    out, _, *kernel = weight.shape
    places, count = windows(size, kernel, stride=stride, padding=padding, dilation=dilation)
    rows = input.reshape(batch, groups, channels // groups, prod(size))
    patches = _gathered(rows, places).reshape(batch, groups, channels // groups * prod(kernel), prod(count))
    filters = weight.reshape(groups, out // groups, channels // groups * prod(kernel))
    return _times(filters, patches).reshape(batch, out, *count)


def _transposed(
    input: Any, weight: Any, stride: list[int], padding: list[int], dilation: list[int], more: list[int], groups: int
) -> Any:
    """Every input place adds its multiple of the filter to the window that a plain convolution would read for it."""
    batch, channels, *size = input.shape
    _, share, *kernel = weight.shape
    wide = [
        (n - 1) * s - 2 * p + d * (k - 1) + o + 1
        for n, s, p, d, k, o in zip(size, stride, padding, dilation, kernel, more, strict=True)
    ]
    places, _ = windows(wide, kernel, stride=stride, padding=padding, dilation=dilation, count=size)
    rows = input.reshape(batch, groups, channels // groups, prod(size))
    filters = weight.reshape(groups, channels // groups, share * prod(kernel)).swap(-1, -2)
    parts = _times(filters, rows).reshape(batch * groups * share, prod(kernel) * prod(size))
    inside = places.ravel() >= 0
    return _summed(parts[:, inside], places.ravel()[inside], prod(wide)).reshape(batch, groups * share, *wide)


def _times(filters: Any, columns: Any) -> Any:
    """`(groups, m, k) @ (batch, groups, k, n)`, one product per group."""
    groups = filters.shape[0]
    if groups == 1:
        return filters[0] @ columns
    parts = [filters[group] @ columns[:, group] for group in range(groups)]
    return _stacked(parts)


def _stacked(parts: list[Any]) -> Any:
    return type(parts[0]).stack(parts, 1)


def _summed(rows: Any, index: Index, size: int) -> Any:
    """Row by row, the sums of the entries with each index."""
    count, width = rows.shape
    everywhere = (np.arange(count)[:, None] * size + index[None]).ravel()
    return sum_into(count * size, everywhere, rows.reshape(count * width))
