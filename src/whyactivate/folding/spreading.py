"""Features that a view spreads over several axes, as `flatten` and `unflatten` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from whyactivate.affine.tape import Geometry
from whyactivate.folding.lazy import Lazy


def axes_of(wide: Geometry, flat: Geometry, axis: int) -> range | None:
    """The axes of `wide` that lie one behind the other along one axis of `flat`, all others being the same."""
    if wide.offset != flat.offset or wide.numel != flat.numel:
        return None
    others = _without_ones(flat, but=(axis,))
    for first in range(len(wide.size)):
        for last in range(first + 1, len(wide.size)):
            axes = range(first, last + 1)
            if prod(wide.size[first : last + 1]) != flat.size[axis] or wide.stride[last] != flat.stride[axis]:
                continue
            in_a_row = all(wide.stride[i] == wide.stride[i + 1] * wide.size[i + 1] for i in axes[:-1])
            if in_a_row and _without_ones(wide, but=axes) == others:
                return axes
    return None


def flattened(wide: Geometry, axes: range, like: Geometry, axis: int) -> Geometry:
    """The same memory with `axes` as the one axis that `like` has for them, and axes of one entry where `like` has."""
    size, stride = list(like.size), list(like.stride)
    others = iter(_without_ones(wide, but=axes))
    for i, n in enumerate(like.size):
        if i == axis:
            size[i], stride[i] = prod(wide.size[axes[0] : axes[-1] + 1]), wide.stride[axes[-1]]
        elif n != 1:
            size[i], stride[i] = next(others)
    return replace(like, offset=wide.offset, size=tuple(size), stride=tuple(stride))


def spread(numbers: Lazy, sizes: Sequence[int], place: int) -> Lazy:
    """One number for each entry of some axes, in order, where they differ along one of the axes."""
    shape = [size if i == place else 1 for i, size in enumerate(sizes)]
    return numbers.then(lambda vector: vector.reshape(shape).expand(*sizes).flatten())


def _without_ones(geometry: Geometry, but: Sequence[int]) -> list[tuple[int, int]]:
    """Size and stride of the axes of more than one entry."""
    pairs = enumerate(zip(geometry.size, geometry.stride, strict=True))
    return [pair for i, pair in pairs if i not in but and pair[0] != 1]
