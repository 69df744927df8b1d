"""Composes linear maps and adds branches; where the result is no map of these kinds, exactly, it says why."""

from __future__ import annotations

import torch
from torch import Tensor

from whyactivate.folding import kernels
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import (
    CannotFold,
    Dense,
    Diagonal,
    Kernel,
    Map,
    Placed,
    Placement,
    Scale,
    Shift,
    Transposed,
    as_vector,
)


def after(outer: Map, inner: Map) -> Map:
    """The one map that does `inner`, then `outer`.

    Raises:
        CannotFold: it is none of these kinds.
    """
    if isinstance(outer, Placed):
        outer = plain(outer)
    if isinstance(inner, Placed):
        if isinstance(outer, (Scale, Diagonal)):
            return Placed(plain(after(_part(outer, inner.placement), inner.map)), inner.placement)
        inner = plain(inner)
    if isinstance(outer, Placement):
        return Placed(inner, outer)
    if isinstance(outer, Scale):
        return _scaled(inner, outer.factor)
    if isinstance(inner, Scale):
        return _scaled(outer, inner.factor)
    if isinstance(outer, Diagonal):
        return _rows_scaled(outer, inner)
    if isinstance(outer, Dense):
        if isinstance(inner, Diagonal):
            return Dense(outer.out, outer.into, (*outer.factors, inner.entries.then(torch.diag)))
        if isinstance(inner, Dense):
            return Dense(outer.out, inner.into, outer.factors + inner.factors)
        if isinstance(inner, Transposed):
            return kernels.mixed_after(outer, inner)
        return kernels.convolved(as_kernel(outer, len(inner.size)), inner)
    if isinstance(inner, Diagonal):
        return kernels.inputs_scaled(outer, inner.entries)
    if isinstance(outer, Transposed):
        if isinstance(inner, Dense):
            return kernels.mixed_before(outer, inner)
        raise CannotFold("a convolution and a transposed one after it are not one convolution")
    if isinstance(inner, Transposed):
        raise CannotFold("a transposed convolution and a convolution after it are not one convolution")
    if isinstance(inner, Dense):
        return kernels.convolved(outer, as_kernel(inner, len(outer.size)))
    return kernels.convolved(outer, inner)


def plain(found: Map) -> Scale | Diagonal | Dense | Kernel:
    """The map, as one that gives all features where it gave a few in their place."""
    if not isinstance(found, Placed):
        return found
    place = found.placement
    return plain(after(Dense(place.out, place.into, place.factors), found.map))


def add(one: Map, other: Map, axes: int) -> Map:
    """The one map whose value is the sum of both; `axes` counts the axes after that of the features.

    Raises:
        CannotFold: it is none of these kinds.
    """
    one, other = plain(one), plain(other)
    if isinstance(one, Transposed) or isinstance(other, Transposed):
        return kernels.summed(one, other)
    if isinstance(one, Kernel) or isinstance(other, Kernel):
        return kernels.overlaid(as_kernel(one, axes, like=other), as_kernel(other, axes, like=one))
    if isinstance(one, Scale) and isinstance(other, Scale):
        return Scale(one.factor + other.factor)
    if isinstance(one, Dense) or isinstance(other, Dense):
        a, b = _as_dense(one, other), _as_dense(other, one)
        return Dense(a.out, a.into, (Lazy(lambda: a.matrix() + b.matrix()),))
    size = one.size if isinstance(one, Diagonal) else _size(other)
    a, b = _entries(one, size), _entries(other, size)
    return Diagonal(size, a.join(b, torch.add))


def shift_after(outer: Map, shift: Shift) -> Shift:
    """What a shift of the inner values becomes.

    Raises:
        CannotFold: not the same amount everywhere: zeros that pad the inner values are not shifted, and a transposed
            convolution adds up more of them in some places than in others.
    """
    if shift is None:
        return None
    outer = plain(outer)
    if isinstance(outer, Scale):
        return shift.then(lambda b: b * outer.factor) if isinstance(shift, Lazy) else shift * outer.factor
    if isinstance(outer, Diagonal):
        return as_vector(shift, outer.size).join(outer.entries, torch.mul)
    if isinstance(outer, Dense):
        vector = as_vector(shift, outer.into)
        return Lazy(lambda: _apply_all(outer.factors, vector.value))
    vector = as_vector(shift, outer.into)
    if isinstance(outer, Transposed) or outer.is_padded:
        if not vector.value.any():
            return None
        if isinstance(outer, Transposed):
            raise CannotFold(
                "what is added before the transposed convolution reaches some of its outputs through more of the "
                "kernel than others"
            )
        raise CannotFold("what is added before the convolution is not added to the zeros that pad its input")
    return Lazy(lambda: kernels.per_group_sum(outer, vector.value))


def add_shifts(one: Shift, other: Shift) -> Shift:
    """The sum of two shifts."""
    if one is None or other is None:
        return one if other is None else other
    if isinstance(one, Lazy):
        return one.join(other, torch.add) if isinstance(other, Lazy) else _raised(one, other)
    return _raised(other, one) if isinstance(other, Lazy) else one + other


def as_kernel(
    inner: Scale | Diagonal | Dense | Kernel, axes: int, like: Scale | Diagonal | Dense | Kernel | None = None
) -> Kernel:
    """A map of the features at each point as a convolution with a 1×…×1 kernel; a convolution as it is.

    Raises:
        CannotFold: there is no convolution of so many axes.
    """
    if isinstance(inner, Kernel):
        return inner
    if not 1 <= axes <= 3:
        raise CannotFold("it does not act on channels of 1 to 3 spatial axes")
    ones = (1,) * axes
    if isinstance(inner, Dense):
        weight = Lazy(lambda: inner.matrix().reshape(inner.out, inner.into, *ones))
        return Kernel(inner.out, inner.into, 1, ones, ones, (0,) * axes, ones, weight)
    size = inner.size if isinstance(inner, Diagonal) else _size(like)
    weight = _entries(inner, size).then(lambda s: s.reshape(-1, 1, *ones))
    return Kernel(size, size, size, ones, ones, (0,) * axes, ones, weight)


def _part(outer: Scale | Diagonal, place: Placement) -> Scale | Diagonal:
    """What a scale does to the features in their place."""
    if isinstance(outer, Scale):
        return outer
    return Diagonal(place.into, outer.entries.then(lambda s: s[place.start : place.start + place.into]))


def _scaled(inner: Scale | Diagonal | Dense | Kernel, factor: float) -> Map:
    if factor == 1:
        return inner
    if isinstance(inner, Scale):
        return Scale(inner.factor * factor)
    if isinstance(inner, Diagonal):
        return Diagonal(inner.size, inner.entries.then(lambda s: s * factor))
    if isinstance(inner, Dense):
        return Dense(inner.out, inner.into, (inner.factors[0].then(lambda w: w * factor), *inner.factors[1:]))
    return kernels.with_weight(inner, inner.weight.then(lambda w: w * factor))


def _rows_scaled(outer: Diagonal, inner: Diagonal | Dense | Kernel) -> Map:
    if isinstance(inner, Diagonal):
        return Diagonal(inner.size, outer.entries.join(inner.entries, torch.mul))
    if isinstance(inner, Dense):
        first = outer.entries.join(inner.factors[0], lambda s, w: s[:, None] * w)
        return Dense(inner.out, inner.into, (first, *inner.factors[1:]))
    return kernels.outputs_scaled(inner, outer.entries)


def _raised(shift: Lazy, number: float) -> Lazy:
    return shift.then(lambda b: b + number)


def _apply_all(factors: tuple[Lazy, ...], vector: Tensor) -> Tensor:
    for factor in reversed(factors):
        vector = factor.value @ vector
    return vector


def _as_dense(one: Map, like: Map) -> Dense:
    if isinstance(one, Dense):
        return one
    size = _size(one if isinstance(one, Diagonal) else like)
    return Dense(size, size, (_entries(one, size).then(torch.diag),))


def _entries(one: Map, size: int) -> Lazy:
    if isinstance(one, Diagonal):
        return one.entries
    assert isinstance(one, Scale)
    return Lazy(lambda: torch.full((size,), one.factor, dtype=torch.float64))


def _size(one: Map | None) -> int:
    if isinstance(one, Diagonal):
        return one.size
    if isinstance(one, (Dense, Kernel)) and one.out == one.into:
        return one.out
    raise CannotFold("the branches do not have the same number of features")
