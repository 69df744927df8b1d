"""Helpers for formulas: where numbers go, and sums over fixed places, in whatever arithmetic the numbers are held.

What an operation moves where is read off by running it on the positions 1, 2, 3, …; a 0 in the result
is a place that nothing moves to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyactivate.affine._torch_compat import OpOverload
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.points import PointsArray

Index = NDArray[np.int64]

_DENSE = 0.25
"""Share of entries that are not 0 above which a matrix is multiplied as it is."""


def in_one_arithmetic(arrays: Sequence[Any]) -> list[Any]:
    """The arrays and numbers, all as arrays of one class: of the widest among them."""
    held = [array if isinstance(array, PointsArray) else ExactArray.from_fraction(array) for array in arrays]
    wide = next((type(array) for array in held if not isinstance(array, ExactArray)), None)
    if wide is None:
        return list(held)
    convert: Any = wide
    return [convert.from_exact(array) if isinstance(array, ExactArray) else array for array in held]


def chosen(choose: Callable[[list[Tensor]], Tensor], *arrays: Any, dtype: torch.dtype = torch.int64) -> Any:
    """The numbers of several arrays, placed as `choose` places their positions (counted on from one to the next)."""
    alike = in_one_arithmetic(arrays)
    positions: list[Tensor] = []
    count = 1
    for array in alike:
        positions.append(torch.arange(count, count + array.size, device="cpu", dtype=dtype).reshape(array.shape))
        count += array.size
    return joined(alike).gather_flat(choose(positions).long().numpy() - 1)


def joined(arrays: Sequence[Any]) -> Any:
    """All numbers of several arrays of one class, in one row."""
    return type(arrays[0]).concatenate([array.flatten() for array in arrays], 0)


def moved(op: OpOverload, self: Any, *args: Any) -> Any:
    """What an operation that only moves numbers makes of an array."""
    return chosen(lambda at: op(at[0], *args), self)


def moved_as_floats(op: OpOverload, self: Any, *args: Any) -> Any:
    """The same for an operation that takes no integers; float64 counts positions up to 2^53."""
    return chosen(lambda at: op(at[0], *args), self, dtype=torch.float64)


def moved_to_several(op: OpOverload, self: Any, *args: Any) -> tuple[Any, ...]:
    """The same for an operation with several results."""
    positions = torch.arange(self.size, device="cpu").reshape(self.shape)
    return tuple(self.flatten().gather_flat(part.numpy()) for part in op(positions, *args))


def sum_into(size: int, index: Index, values: Any) -> Any:
    """A row of `size` sums: entry k adds up all `values`, one row, whose index is k."""
    flat, count = index.ravel(), np.bincount(index.ravel(), minlength=size)
    most = int(count.max(initial=0))
    order = np.argsort(flat, kind="stable")
    turn = np.arange(flat.size) - np.repeat(np.cumsum(count) - count, count)
    places = np.full((size, most), -1, dtype=np.int64)
    places[flat[order], turn] = order
    return values.gather_flat(places).sum(-1)


def along_last(array: Any, matrix: Tensor) -> Any:
    """The vectors along the last axis, each multiplied by a sparse matrix of shape `(out, in)`."""
    most = max(int((matrix != 0).sum(1).max()), 1)
    order = matrix.abs().topk(most, dim=1).indices
    return (array[..., order.numpy()] * ExactArray.from_tensor(matrix.gather(1, order))).sum(-1)


def along_axis(array: Any, axis: int, matrix: ExactArray) -> Any:
    """The vectors along one axis, each multiplied by a matrix of shape `(out, in)`."""
    last = array.swap(axis, -1)
    used = matrix.ints[0] != 0
    most = int(used.sum(1).max(initial=0))
    if most > _DENSE * matrix.shape[1]:
        return (last @ matrix.swap(0, 1)).swap(axis, -1)
    order = np.argsort(~used, axis=1, kind="stable")[:, :most]
    weights = matrix.gather_flat(order + np.arange(matrix.shape[0])[:, None] * matrix.shape[1])
    return (last[..., order] * weights).sum(-1).swap(axis, -1)
