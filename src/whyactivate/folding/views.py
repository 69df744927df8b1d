"""How one view of a tensor is made out of another: by permutation and reshape, by slices, or by an index."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from whyactivate.affine.tape import Geometry

Steps = tuple[tuple[int, ...] | None, tuple[int, ...], tuple[int, ...] | None]
"""A permutation, a shape, and a permutation."""


def steps(base: Geometry, view: Geometry) -> Steps | None:
    """A permutation, a reshape and a permutation that make the view; None where these do not."""
    if base.offset != view.offset or base.numel != view.numel:
        return None
    orders: list[tuple[int, ...] | None] = [None]
    falling = tuple(sorted(range(len(base.size)), key=lambda i: -base.stride[i]))
    if falling != tuple(range(len(base.size))):
        orders.append(falling)
    turns: list[tuple[int, ...] | None] = [None]
    if len(view.size) <= 6:
        ranked = tuple(sorted(range(len(view.size)), key=lambda i: (-view.stride[i], i)))
        if ranked != tuple(range(len(view.size))):
            turns.append(tuple(ranked.index(i) for i in range(len(view.size))))
    for before, after in itertools.product(orders, turns):
        tensor = torch.empty_strided(base.size, base.stride, device="meta")
        if before is not None:
            tensor = tensor.permute(before)
        shape = tuple(view.size)
        if after is not None:
            inverse = [after.index(i) for i in range(len(after))]
            shape = tuple(view.size[i] for i in inverse)
        try:
            tensor = tensor.view(shape)
        except RuntimeError:
            continue
        if after is not None:
            tensor = tensor.permute(after)
        if all(n == 1 or a == b for n, a, b in zip(view.size, tensor.stride(), view.stride, strict=True)):
            return before, shape, after
    return None


def cut(base: Geometry, view: Geometry) -> tuple[int, int, int] | None:
    """The axis, start and length of a slice."""
    if len(base.size) != len(view.size) or base.stride != view.stride:
        return None
    axes = [i for i in range(len(base.size)) if base.size[i] != view.size[i]]
    if len(axes) != 1:
        return None
    start, rest = divmod(view.offset - base.offset, base.stride[axes[0]])
    return (axes[0], start, view.size[axes[0]]) if rest == 0 else None


def picked(base: Geometry, view: Geometry) -> tuple[int, int] | None:
    """The axis and the index of what a select gives."""
    for axis in range(len(base.size)):
        left = (*base.size[:axis], *base.size[axis + 1 :])
        strides = (*base.stride[:axis], *base.stride[axis + 1 :])
        if left == view.size and strides == view.stride:
            index, rest = divmod(view.offset - base.offset, base.stride[axis])
            if rest == 0 and 0 <= index < base.size[axis]:
                return axis, index
    return None


@dataclass(frozen=True)
class Block:
    """A reshape to `shape`, slices (axis, start, length), one `entry` of an axis behind these, and a permutation.

    `order` says where the axes of the view lie then, `spread` to which size they are repeated; `entry` is None where
    there is no such axis, `spread` where nothing is repeated.
    """

    shape: tuple[int, ...]
    slices: tuple[tuple[int, int, int], ...]
    entry: int | None
    order: tuple[int, ...]
    spread: tuple[int, ...] | None

    def is_like(self, other: Block) -> bool:
        """Whether both are the same but for sizes."""
        places = [[one[:2] for one in block.slices] for block in (self, other)]
        whole = [(block.entry, block.order, block.spread is None) for block in (self, other)]
        return whole[0] == whole[1] and places[0] == places[1]


def block(base: Geometry, view: Geometry) -> Block | None:
    """How a view is a block of a tensor that lies in order, such as the queries among queries, keys and values."""
    kept = sorted(range(len(view.size)), key=lambda i: (-view.stride[i], i))
    span, rest = base.numel, view.offset - base.offset
    shape: list[int] = []
    slices: list[tuple[int, int, int]] = []
    for i in kept:
        size, stride = view.size[i], view.stride[i]
        if not stride:
            shape.append(1)
            continue
        if span % stride:
            return None
        start, rest = divmod(rest, stride)
        if start < 0 or start + size > span // stride:
            return None
        if size != span // stride:
            slices.append((len(shape), start, size))
        shape.append(span // stride)
        span = stride
    if not base.is_contiguous or rest >= span:
        return None
    inner = (span,) if span > 1 else ()
    order, spread = tuple(map(kept.index, range(len(kept)))), view.size if 0 in view.stride else None
    return Block((*shape, *inner), tuple(slices), rest if inner else None, order, spread)
