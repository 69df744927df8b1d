"""Matrices of integers as float64 planes of digits: their products, and the carrying that makes digits of sums."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64] | None
"""Places of rows; None for all."""

DIGIT_BITS = 22
"""Numbers are written to the base 2^22."""
BASE = 2.0**DIGIT_BITS
LONGEST_SUM = 2**11
"""A sum of so many products of two digits stays within 2^53, where float64 holds every integer."""
Known = dict[tuple[object, ...], Rows]
"""Where planes are not 0, see `Digits.few`."""
_SAMPLED_ROWS = 8
_WORTH_A_LOOK = 2**12


def multiply_planes(left: Floats, right: Floats, few_of_right: Known) -> Floats:
    """The sums of products of planes, shape `(digits, m, n)`, whose entries may be no digits yet; copies `left`."""
    (count, m, k), n = left.shape, right.shape[2]
    rows = torch.from_numpy(np.array(left, order="C").reshape(count * m, k))
    total = np.zeros((count + len(right) + 1, m, n))
    room = 2.0**53 - 2.0**32 * (1 + len(right) * (1 + k // LONGEST_SUM))  # for carries, and for products cut in two
    for j, plane in enumerate(right):
        used = _filled_rows(j, plane, few_of_right)
        a, b = (rows, _as_tensor(plane)) if used is None else (rows[:, used], torch.from_numpy(plane[used]))
        for start in range(0, len(b), LONGEST_SUM):
            part = b[start : start + LONGEST_SUM]
            factor = a[:, start : start + LONGEST_SUM]
            largest = len(part) * 2.0 ** (2 * DIGIT_BITS - 2)
            if largest <= room:
                room -= largest
                torch.from_numpy(total[j : j + count].reshape(count * m, n)).addmm_(factor, part)
            else:
                products = torch.mm(factor, part).numpy().reshape(count, m, n)
                high = np.rint(products * (1 / BASE))
                total[j + 1 : j + 1 + count] += high
                products -= high * BASE
                total[j : j + count] += products
    return total


def _filled_rows(j: int, plane: Floats, known: Known) -> Rows:
    """The rows of a matrix's plane that are not all zero; None where they are more than a few.

    The numbers of a layer have about the same size: the last digit, and the first, are mostly 0 for all but a few.
    """
    by_rows = plane.strides[0] >= plane.strides[1]
    place = (j, by_rows, plane.shape)
    if place not in known:
        rows, columns = plane.shape
        sample = plane if by_rows else plane.T
        used: Rows = None
        if (j,) in known:
            entries = known[j,]
            used = None if entries is None else np.unique(entries // columns if by_rows else entries % rows)
        elif plane.size >= _WORTH_A_LOOK and not sample[:: max(1, len(sample) // _SAMPLED_ROWS)].any():
            used = np.flatnonzero(plane.any(axis=1))
        known[place] = used if used is not None and 4 * len(used) < rows else None
    return known[place]


def _as_tensor(matrix: Floats) -> torch.Tensor:
    """The matrix without a copy, where torch can read it."""
    return torch.from_numpy(matrix if matrix.flags.writeable and min(matrix.strides) > 0 else matrix.copy())


def carry_over(total: Floats, low: int) -> tuple[Floats, int]:
    """Digits in range, and the position of the lowest, from integers up to 2^53 - 2^32 in size at these positions."""
    carry, part = np.zeros(total.shape[1:]), np.empty(total.shape[1:])
    top: list[Floats] = []

    def cut(plane: Floats) -> None:
        plane += carry
        np.multiply(plane, 1 / BASE, out=carry)
        np.rint(carry, out=carry)
        np.multiply(carry, BASE, out=part)
        plane -= part

    for k in range(len(total)):
        cut(total[k, ...])
    while carry.any():
        top.append(np.zeros_like(carry))
        cut(top[-1])
    return trim(np.concatenate([total, np.stack(top)]) if top else total, low)


def trim(planes: Floats, low: int) -> tuple[Floats, int]:
    """The digits without those at either end that are 0 everywhere, and the position of the lowest."""
    first, last = 0, len(planes)
    while first < last and not planes[first].any():
        first += 1
    if first == last:
        return np.zeros((0, *planes.shape[1:])), 0
    while not planes[last - 1].any():
        last -= 1
    return planes[first:last], low + first
