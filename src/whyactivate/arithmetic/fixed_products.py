"""Products of matrices and convolutions of numbers in fixed point, on float64 hardware."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import Digits
from whyactivate.arithmetic.fixed_point import FixedPoint, Floats
from whyactivate.arithmetic.planes import BASE, LONGEST_SUM


def multiply_matrices(left: FixedPoint, right: FixedPoint, bits: int) -> FixedPoint:
    """The products of `[K, *batch, m, k]` and `[K', *batch', k, n]`, the leading axes broadcast."""
    axes = max(len(left.shape), len(right.shape))
    left, right = (one.with_axes(axes) for one in (left, right))
    (*_, k), n = left.shape, right.shape[-1]
    if math.prod(right.shape[:-2]) == 1:
        rows = left.map(lambda a: a.reshape(len(a), math.prod(a.shape[1:-1]), k))
        columns = right.map(lambda a: a.reshape(len(a), k, n))
        return _multiply_two(rows, columns, bits).map(lambda a: a.reshape(len(a), *left.shape[:-1], n))
    if math.prod(left.shape[:-2]) == 1:
        first, second = (one.map(lambda a: a.swapaxes(-1, -2)) for one in (right, left))
        return multiply_matrices(first, second, bits).map(lambda a: a.swapaxes(-1, -2))
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    count = math.prod(batch)

    def in_a_row(array: Floats) -> Floats:
        size = array.shape[-2:]
        return np.broadcast_to(array, (len(array), *batch, *size)).reshape(len(array), count, *size)

    lefts, rights = left.map(in_a_row), right.map(in_a_row)
    products = [_multiply_two(lefts.at(i), rights.at(i), bits) for i in range(count)]
    return FixedPoint.stack(products).map(lambda a: a.reshape(len(a), *batch, left.shape[-2], n))


def convolve(
    input: FixedPoint, weight: FixedPoint, transposed: bool, groups: int, how: dict[str, Sequence[int]], bits: int
) -> FixedPoint:
    """The convolution of `[points, batch, channels, *size]` with `[1, out, in / groups, *kernel]`.

    `how` gives stride, padding, dilation and output_padding per axis, as in torch. One filter must have at most
    `LONGEST_SUM` places.
    """
    points, batch = input.shape[:2]
    inputs = input.map(lambda a: a.reshape(len(a), points * batch, *a.shape[3:]))
    weights = weight.map(lambda a: a[:, 0])
    axis = 0 if transposed else 1
    share = inputs.shape[1] // groups
    step = LONGEST_SUM // math.prod(weights.shape[2:])

    def product(a: Floats, b: Floats) -> Floats:
        result: torch.Tensor = torch.ops.aten.convolution.default(
            torch.from_numpy(np.array(a, order="C")),
            torch.from_numpy(np.array(b, order="C")),
            None,
            *(list(how[name]) for name in ("stride", "padding", "dilation")),
            transposed,
            list(how["output_padding"]),
            groups,
        )
        return result.numpy()

    def some(array: Floats, axis: int, start: int) -> Floats:
        """The channels from `start` on of each group, few enough for exact sums."""
        if step >= share:
            return array
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        grouped = array.reshape(*before, array.shape[axis] // share, share, *after)
        few = grouped[(*(slice(None),) * (axis + 1), slice(start, start + step))]
        return few.reshape(*before, math.prod(few.shape[axis : axis + 2]), *after)

    radius = inputs.bound_product(weights, product, share * math.prod(weights.shape[2:]))
    left, right = inputs.digits, weights.digits
    total = np.zeros((left.count + right.count + 1, *radius.shape))
    for j, plane in enumerate(right.planes):
        used = _used_filters(plane) if groups == 1 and not transposed else slice(None)
        filters, sums = plane[used], total[:, :, used]
        for start in range(0, share, step):
            some_filters = some(filters, axis, start)
            for i, numbers in enumerate(left.planes):
                _accumulate(product(some(numbers, 1, start), some_filters), sums[i + j : i + j + 2])
        if not isinstance(used, slice):
            total[:, :, used] = sums
    result = FixedPoint.cut(Digits.from_planes(total, left.low + right.low), radius, bits)
    return result.map(lambda a: a.reshape(len(a), points, batch, *a.shape[2:]))


def _multiply_two(left: FixedPoint, right: FixedPoint, bits: int) -> FixedPoint:
    radius = left.bound_product(right, np.matmul, left.shape[-1])
    return FixedPoint.cut(left.digits.matmul(right.digits), radius, bits)


def _used_filters(plane: Floats) -> NDArray[np.intp] | slice:
    """The filters that are not all zero, where they are few: numbers of about one size differ in their first digits."""
    used = np.flatnonzero(plane.reshape(len(plane), -1).any(axis=1))
    return used if 2 * len(used) < len(plane) else slice(None)


def _accumulate(products: Floats, total: Floats) -> None:
    """Adds integers within 2^53 to two neighbouring planes of digits."""
    high = np.rint(products * (1 / BASE))
    total[1] += high
    total[0] += products - high * BASE
