"""Average pooling and its kin: sums over windows, divided by how many numbers each window counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyactivate.affine.rules.convolution import windows
from whyactivate.affine.rules.places import along_axis, sum_into
from whyactivate.affine.rules.rule import CannotEvaluate, shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten


def per_axis(values: int | Sequence[int], axes: int) -> list[int]:
    """One number for every axis, where one number may stand for all."""
    given = [values] if isinstance(values, int) else list(values)
    return given * axes if len(given) == 1 else given


def pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows a pooling puts along an axis; the last one starts inside the input or its left padding."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (reach + (stride - 1 if ceil_mode else 0)) // stride + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def _window(arguments: Mapping[str, Argument]) -> int:
    kernel: Any = arguments["kernel_size"]
    return prod(per_axis(kernel, 3)) + 4  # in two dimensions somewhat more than needed, where one number stands for all


@affine(aten.avg_pool2d.default, aten.avg_pool3d.default, form="self", roundings=_window)
def avg_pool(
    self: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
    divisor_override: int | None, call: Any,
) -> Any:  # fmt: skip
    axes = 2 if "avg_pool2d" in str(call.op) else 3
    kernel, pad = per_axis(kernel_size, axes), per_axis(padding, axes)
    step = per_axis(stride, axes) if stride else kernel
    first = self.ndim - axes
    result, counts = self, np.ones((1,) * axes, dtype=np.int64)
    for axis in range(axes):
        size, k, s, p = self.shape[first + axis], kernel[axis], step[axis], pad[axis]
        start = np.arange(pooled_size(size, k, s, p, 1, ceil_mode)) * s - p
        end = np.minimum(start + k, size + p)
        covered = _covered(np.maximum(start, 0), np.minimum(end, size), size)
        counted = end - start if count_include_pad else covered.sum(1)
        result = along_axis(result, first + axis, ExactArray.from_tensor(torch.from_numpy(covered)))
        counts = counts * counted.reshape([-1 if other == axis else 1 for other in range(axes)])
    return result / (divisor_override or ExactArray.from_tensor(torch.from_numpy(counts)))


def _covered(start: Any, end: Any, size: int) -> Any:
    """For each window, the row that has 1 at its places."""
    places = np.arange(size)[None]
    return ((places >= start[:, None]) & (places < end[:, None])).astype(np.int64)


def adaptive_windows(size: int, count: int) -> tuple[Any, Any]:
    """Where the windows of an adaptive pooling start and end along an axis."""
    turn = np.arange(count)
    return turn * size // count, -((turn + 1) * -size // count)


def _all(arguments: Mapping[str, Argument]) -> int:
    output_size: Any = arguments["output_size"]
    return prod(shape_of(arguments["self"])[-len(output_size) :]) + 4


@affine(aten._adaptive_avg_pool2d.default, aten._adaptive_avg_pool3d.default, form="self", roundings=_all)
def adaptive_avg_pool(self: Any, output_size: Sequence[int]) -> Any:
    result, first = self, self.ndim - len(output_size)
    for axis, count in enumerate(output_size):
        size = self.shape[first + axis]
        covered = _covered(*adaptive_windows(size, count), size)
        shares = [[Fraction(int(one), int(row.sum())) for one in row] for row in covered]
        result = along_axis(result, first + axis, ExactArray.from_fractions(np.array(shares, dtype=object)))
    return result


@affine(aten.im2col.default, form="self")
def im2col(self: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    how = {"dilation": per_axis(dilation, 2), "padding": per_axis(padding, 2), "stride": per_axis(stride, 2)}
    *leading, height, width = self.shape
    places, _ = windows((height, width), per_axis(kernel_size, 2), **how)
    rows = self.reshape(prod(leading), height * width)
    start = (np.arange(prod(leading)) * height * width)[:, None, None]
    patches = rows.gather_flat(np.where(places < 0, -1, places + start))
    return patches.reshape(*leading[:-1], leading[-1] * places.shape[0], places.shape[1])


def _places(arguments: Mapping[str, Argument]) -> int:
    kernel: Any = arguments["kernel_size"]
    return prod(per_axis(kernel, 2))


@affine(aten.col2im.default, form="self", roundings=_places)
def col2im(self: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    how = {"dilation": per_axis(dilation, 2), "padding": per_axis(padding, 2), "stride": per_axis(stride, 2)}
    size, kernel = per_axis(output_size, 2), per_axis(kernel_size, 2)
    places, _ = windows(size, kernel, **how)
    *leading, columns, _ = self.shape
    planes = prod(leading) * columns // prod(kernel)
    inside = places.ravel() >= 0
    rows = self.reshape(planes, places.size)[:, inside]
    index = np.arange(planes)[:, None] * prod(size) + places.ravel()[inside][None]
    summed = sum_into(planes * prod(size), index, rows.flatten())
    return summed.reshape(*leading, columns // prod(kernel), *size)


@affine(aten.max_unpool2d.default, aten.max_unpool3d.default, form="self", selectors=frozenset({"indices"}))
def max_unpool(self: Any, indices: Tensor, output_size: Sequence[int]) -> Any:
    axes = len(output_size)
    leading, size = self.shape[:-axes], prod(output_size)
    planes = prod(leading)
    flat = indices.reshape(planes, -1).numpy()
    where = np.full((planes, size), -1, dtype=np.int64)
    for plane in range(planes):
        if len(set(flat[plane].tolist())) < flat.shape[1]:
            raise CannotEvaluate("max_unpool writes to one place more than once, in an order that is not fixed")
        where[plane, flat[plane]] = np.arange(flat.shape[1]) + plane * flat.shape[1]
    return self.gather_flat(where).reshape(*leading, *output_size)
