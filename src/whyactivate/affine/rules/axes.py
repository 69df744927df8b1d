"""The axes that a reduction goes along: joined into one that comes last, without what is left out, and put back."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch


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


def put_along(self: Any, entries: Sequence[Any], dim: int) -> Any:
    """The entries one behind the other, along the axis of an array that they come from."""
    if not self.ndim:
        return entries[0]
    return type(entries[0]).stack(list(entries), dim % self.ndim)


def along(self: Any, dim: int, function: Any) -> Any:
    """What a function of the vectors along the last axis makes of those along another."""
    return function(self.swap(dim, -1)).swap(dim, -1) if self.ndim else function(self.reshape(1)).reshape()


def together_without(self: Any, dim: int | Sequence[int] | None, left_out: torch.Tensor | None) -> Any:
    """The axes to reduce, joined into one that comes last, with others in place of what is left out."""
    rows = together(self, dim)
    return rows if left_out is None or not self.ndim else with_others(rows, marks_together(self, dim, left_out))


def marks_together(self: Any, dim: int | Sequence[int] | None, left_out: torch.Tensor) -> torch.Tensor:
    """What is left out, in the order that `together` gives the numbers."""
    axes = axes_of(dim, self.ndim)
    kept = [axis for axis in range(self.ndim) if axis not in axes]
    return left_out.expand(self.shape).permute(*kept, *axes).reshape(together(self, dim).shape)


def with_others(rows: Any, left_out: torch.Tensor) -> Any:
    """The vectors along the last axis, with another entry of its vector in place of each that is left out."""
    width = rows.shape[-1]
    taken = torch.where(left_out, (~left_out).int().argmax(-1, keepdim=True), torch.arange(width, device="cpu"))
    start = torch.arange(rows.size // width, device="cpu").reshape(*rows.shape[:-1], 1) * width
    return rows.flatten().gather_flat((start + taken).numpy())
