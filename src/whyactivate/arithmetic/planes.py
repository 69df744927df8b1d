"""Matrices of integers as float64 planes of digits: their products, and the carrying that makes digits of sums."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Entries = NDArray[np.int64] | None
"""Places of single numbers, as counted in memory; None for many."""

DIGIT_BITS = 22
"""Numbers are written to the base 2^22."""
BASE = 2.0**DIGIT_BITS
LONGEST_SUM = 2**11
"""A sum of so many products of two digits stays within 2^53, where float64 holds every integer."""
FEW = 64
"""Entries are few where there is at most one in so many: then each is multiplied by itself."""
Known = dict[int, Entries]
"""By plane, where it is not 0; see `Digits.few`."""
_SAMPLED_ROWS = 8
_WORTH_A_LOOK = 2**12
_PRODUCTS_AT_ONCE = 2**20


def multiply_planes(left: Floats, right: Floats, few_of_right: Known) -> Floats:
    """The sums of products of planes, shape `(digits, m, n)`, whose entries may be no digits yet; copies `left`."""
    (count, m, k), n = left.shape, right.shape[2]
    rows = np.array(left, order="C").reshape(count * m, k)
    total = np.zeros((count + len(right) + 1, m, n))
    room = 2.0**53 - 2.0**32 * (1 + len(right) * (1 + k // LONGEST_SUM))  # for carries, and for products cut in two
    for j, plane in enumerate(right):
        sums = total[j : j + count].reshape(count * m, n)
        few = _places_of_few(j, plane, few_of_right)
        if few is not None:
            if not len(few[0]):
                continue
            largest = np.bincount(few[1]).max() * 2.0 ** (2 * DIGIT_BITS - 2)
            if largest <= room:
                room -= largest
                _add_few(rows, plane, *few, sums)
                continue
        by, factor = _as_tensor(plane), torch.from_numpy(rows)
        for start in range(0, k, LONGEST_SUM):
            part, ours = by[start : start + LONGEST_SUM], factor[:, start : start + LONGEST_SUM]
            largest = len(part) * 2.0 ** (2 * DIGIT_BITS - 2)
            if largest <= room:
                room -= largest
                torch.from_numpy(sums).addmm_(ours, part)
            else:
                products = torch.mm(ours, part).numpy().reshape(count, m, n)
                high = np.rint(products * (1 / BASE))
                total[j + 1 : j + 1 + count] += high
                products -= high * BASE
                total[j : j + count] += products
    return total


def _places_of_few(j: int, plane: Floats, known: Known) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Rows and columns of the entries of a matrix's plane that are not 0, column by column; None where they are many.

    The numbers of a layer have about the same size: the last digit, and the first, are mostly 0 for all but a few.
    """
    by_rows = plane.strides[0] >= plane.strides[1]
    in_memory = plane if by_rows else plane.T
    if j not in known:
        known[j] = None
        if plane.size >= _WORTH_A_LOOK and not in_memory[:: max(1, len(in_memory) // _SAMPLED_ROWS)].any():
            found = np.flatnonzero(in_memory)
            known[j] = found if FEW * len(found) <= plane.size else None
    entries = known[j]
    if entries is None:
        return None
    outer, inner = np.divmod(entries, in_memory.shape[1])
    if not by_rows:
        return inner, outer
    order = np.argsort(inner, kind="stable")
    return outer[order], inner[order]


def _add_few(left: Floats, plane: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64], sums: Floats) -> None:
    """Adds `left @ plane` to the sums, entry by entry of the plane; the entries come column by column."""
    step = max(1, _PRODUCTS_AT_ONCE // len(left))
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        first = np.flatnonzero(np.diff(column, prepend=-1))
        sums[:, column[first]] += np.add.reduceat(left[:, row] * plane[row, column], first, axis=1)


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
