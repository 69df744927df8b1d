"""Where a function of PyTorch cuts a tensor, and so compares its size with something without asking for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.recording.asking import plain
from whyactivate.affine.trees import leaves_of

Cut = tuple[str, tuple[Any, ...]]
"""What is asked (a comparison, or a division with a remainder), and about which numbers."""

_PIECES = frozenset({
    torch.hsplit,
    torch.vsplit,
    torch.dsplit,
    Tensor.hsplit,
    Tensor.vsplit,
    Tensor.dsplit,
    Tensor.split_with_sizes,
    torch.split_with_sizes,
})  # fmt: skip

_PARTS = frozenset({
    torch.unbind,
    Tensor.unbind,
    torch.chunk,
    torch.split,
    torch.tensor_split,
    torch.unsafe_chunk,
    torch.unsafe_split,
    Tensor.chunk,
    Tensor.split,
    Tensor.tensor_split,
    Tensor.unsafe_chunk,
    Tensor.unsafe_split,
    Tensor.unfold,
})  # fmt: skip


def cuts(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Cut]:
    """What a call asks about the sizes of a tensor: `x[:100]` is x as long as there are no more rows."""
    if not args or not isinstance(args[0], Tensor):
        return
    if func is Tensor.__getitem__:
        yield from _slices(args[0], args[1])
    elif func in _PARTS:
        first = 1 if func in (Tensor.unfold, Tensor.unbind, torch.unbind) else 2
        axis = kwargs.get("dim", kwargs.get("dimension", args[first] if len(args) > first else 0))
        parts = [plain(leaf) for leaf in leaves_of([args[1:], dict(kwargs)]) if isinstance(leaf, int)]
        yield "cut", (args[0].shape[plain(axis)], *parts)
    elif func in _PIECES:
        yield "cut", tuple(args[0].shape)
    elif func is Tensor.__iter__:
        yield "cut", (args[0].shape[0],)


def _slices(tensor: Tensor, index: Any) -> Iterator[Cut]:
    items: list[Any] = list(index) if isinstance(index, tuple) else [index]  # pyright: ignore[reportUnknownArgumentType]
    axes = [_axes_of(item) for item in items]
    free = tensor.ndim - sum(axes)
    axis = 0
    for item, taken in zip(items, axes, strict=True):
        if isinstance(item, slice):
            size = tensor.shape[axis]
            for end in (item.start, item.stop):
                fixed = type(end) is int
                if isinstance(end, int) and not (fixed and abs(end) <= 1):  # a batch has one row at least
                    yield "comparison", (size, abs(plain(end)))
            if item.step not in (None, 1):
                yield "cut", (size,)
        axis += free if item is Ellipsis else taken


def _axes_of(item: Any) -> int:
    """How many axes of the tensor a part of an index is for."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return max(item.ndim, 1) if isinstance(item, Tensor) and item.dtype is torch.bool else 1
