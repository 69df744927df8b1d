"""Products of stacks of matrices of integers, held as digits or as Python ints."""

from __future__ import annotations

import math

import numpy as np

from whyactivate.arithmetic.digits import Digits
from whyactivate.arithmetic.integer_product import integer_matmul
from whyactivate.arithmetic.points import Cells, align

MOST_PLANE_PRODUCTS = 1024
"""Up to how many products of digits a product of two numbers may take; beyond, FLINT multiplies integers."""


def align_digits(digits: Digits, axes: int) -> Digits:
    """1-axes inserted after the points axis until there are so many logical axes."""
    points, *shape = digits.shape
    missing = axes - len(shape)
    return Digits(digits.planes.reshape(digits.count, points, *(1,) * missing, *shape), digits.low, digits.few)


def multiply_matrices(left: Digits, right: Digits) -> Digits | None:
    """`[points, *batch, m, k] @ [points', k, n]`, where the left has a batch or rows or neither; None for other shapes.

    None also where that takes more than `MOST_PLANE_PRODUCTS`.
    """
    rows, matrix = len(left.shape) - 1, len(right.shape) - 1
    if rows < 1 or matrix != 2 or left.shape[-1] != right.shape[-2] or left.count * right.count > MOST_PLANE_PRODUCTS:
        return None
    if rows == 1:
        product = multiply_digits(Digits(left.planes[:, :, None], left.low), right)
        return Digits(product.planes[:, :, 0], product.low)
    return multiply_digits(left, align_digits(right, rows))


def multiply_digits(left: Digits, right: Digits) -> Digits:
    """`[points, *batch, m, k] @ [points', *batch', k, n]`, axes aligned."""
    if math.prod(right.shape[:-2]) == 1:
        rows = left.planes.reshape(left.count, math.prod(left.shape[:-1]), left.shape[-1])
        matrix = right.planes.reshape(right.count, *right.shape[-2:])
        known = left.few if math.prod(left.shape[:-2]) == 1 else {}  # a batch may lie in memory in any order
        product = Digits(rows, left.low, known).matmul(Digits(matrix, right.low, right.few))
        return Digits(product.planes.reshape(product.count, *left.shape[:-1], right.shape[-1]), product.low)
    if math.prod(left.shape[:-2]) == 1:
        swapped = [Digits(one.planes.swapaxes(-1, -2), one.low, one.few) for one in (right, left)]
        product = multiply_digits(*swapped)
        return Digits(product.planes.swapaxes(-1, -2), product.low)
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    a, b = (np.broadcast_to(one.planes, (one.count, *batch, *one.shape[-2:])) for one in (left, right))
    shape = (*batch, left.shape[-2], right.shape[-1])
    total, low = np.zeros((left.count + right.count + 2, *shape)), left.low + right.low
    for place in np.ndindex(*batch):
        product = Digits(a[(slice(None), *place)], left.low).matmul(Digits(b[(slice(None), *place)], right.low))
        start = product.low - low if product.count else 0
        total[(slice(start, start + product.count), *place)] = product.planes
    return Digits.from_planes(total, low)


def multiply_ints(left: Cells, right: Cells) -> Cells:
    """`[K, *batch, m, k] @ [K', *batch', k, n]`, the points and batch axes broadcast."""
    left, right = align(left, right)
    if math.prod(right.shape[:-2]) == 1:
        rows = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])
        return integer_matmul(rows, right.reshape(right.shape[-2:])).reshape(*left.shape[:-1], right.shape[-1])
    if math.prod(left.shape[:-2]) == 1:
        return multiply_ints(right.swapaxes(-1, -2), left.swapaxes(-1, -2)).swapaxes(-1, -2)
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    a = np.broadcast_to(left, batch + left.shape[-2:])
    b = np.broadcast_to(right, batch + right.shape[-2:])
    result = np.empty((*batch, a.shape[-2], b.shape[-1]), dtype=object)
    for place in np.ndindex(*batch):
        result[place] = integer_matmul(a[place], b[place])
    return result
