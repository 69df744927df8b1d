"""How one view of a tensor is made out of another: by permutation and reshape, by a slice, or by an index."""

from __future__ import annotations

import itertools

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
