"""Linear maps along one axis of a tensor, kept in their structure: a scale, a diagonal, a matrix, a convolution.

Each knows its shape at once and its numbers (float64) when asked. `after` composes two of them and `add` adds
two branches; both raise `CannotFold`, with the reason, where the result is not a map of these kinds, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product as grid

import torch
from torch import Tensor

from whyactivate.folding.lazy import Lazy


class CannotFold(Exception):
    """Two operations are not one layer; the message says why."""


@dataclass(frozen=True)
class Scale:
    """x ↦ factor·x, on whatever axis."""

    factor: float


@dataclass(frozen=True)
class Diagonal:
    """x ↦ entries·x along the axis, entry by entry."""

    size: int
    entries: Lazy


@dataclass(frozen=True)
class Dense:
    """x ↦ W·x along the axis, where W is the product of the factors, the last to act first."""

    out: int
    into: int
    factors: tuple[Lazy, ...]

    def matrix(self) -> Tensor:
        """W, shape `(out, into)`, multiplied out in the cheapest order."""
        values = [factor.value for factor in self.factors]
        return torch.linalg.multi_dot(values) if len(values) > 1 else values[0]


@dataclass(frozen=True)
class Kernel:
    """A convolution (cross-correlation, as PyTorch has it) of 1 to 3 spatial axes, zero-padded, without its bias.

    `weight` has the shape `(out, into / groups, *size)`.
    """

    out: int
    into: int
    groups: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    weight: Lazy

    @property
    def is_padded(self) -> bool:
        """True where zeros take part."""
        return any(self.padding)


Map = Scale | Diagonal | Dense | Kernel
Shift = None | float | Lazy
"""What is added along the axis: nothing, one number, or a vector."""


def after(outer: Map, inner: Map) -> Map:
    """The one map that does `inner`, then `outer`.

    Raises:
        CannotFold: it is none of these kinds.
    """
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
        return _convolved(as_kernel(outer, len(inner.size)), inner)
    if isinstance(inner, Diagonal):
        scale = inner.entries
        return _with(outer, scale.join(outer.weight, lambda s, w: w * _per_input(s, w, outer.groups)))
    if isinstance(inner, Dense):
        return _convolved(outer, as_kernel(inner, len(outer.size)))
    return _convolved(outer, inner)


def add(one: Map, other: Map, axes: int) -> Map:
    """The one map whose value is the sum of both; `axes` counts the axes after that of the features.

    Raises:
        CannotFold: it is none of these kinds.
    """
    if isinstance(one, Kernel) or isinstance(other, Kernel):
        return _overlaid(as_kernel(one, axes, like=other), as_kernel(other, axes, like=one))
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
        CannotFold: not the same amount everywhere: zeros that pad the inner values are not shifted.
    """
    if shift is None:
        return None
    if isinstance(outer, Scale):
        return shift.then(lambda b: b * outer.factor) if isinstance(shift, Lazy) else shift * outer.factor
    if isinstance(outer, Diagonal):
        return as_vector(shift, outer.size).join(outer.entries, torch.mul)
    if isinstance(outer, Dense):
        vector = as_vector(shift, outer.into)
        return Lazy(lambda: _apply_all(outer.factors, vector.value))
    if outer.is_padded:
        if not as_vector(shift, outer.into).value.any():
            return None
        raise CannotFold("what is added before the convolution is not added to the zeros that pad its input")
    vector = as_vector(shift, outer.into)
    return Lazy(lambda: _per_group_sum(outer, vector.value))


def add_shifts(one: Shift, other: Shift) -> Shift:
    """The sum of two shifts."""
    if one is None or other is None:
        return one if other is None else other
    if isinstance(one, Lazy):
        return one.join(other, torch.add) if isinstance(other, Lazy) else _raised(one, other)
    return _raised(other, one) if isinstance(other, Lazy) else one + other


def _raised(shift: Lazy, number: float) -> Lazy:
    return shift.then(lambda b: b + number)


def as_vector(shift: float | Lazy, size: int) -> Lazy:
    """A shift, one number per feature."""
    return shift if isinstance(shift, Lazy) else Lazy(lambda: torch.full((size,), shift, dtype=torch.float64))


def as_kernel(inner: Map, axes: int, like: Map | None = None) -> Kernel:
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


# -- compositions -----------------------------------------------------------------------------------------------


def _scaled(inner: Map, factor: float) -> Map:
    if factor == 1:
        return inner
    if isinstance(inner, Scale):
        return Scale(inner.factor * factor)
    if isinstance(inner, Diagonal):
        return Diagonal(inner.size, inner.entries.then(lambda s: s * factor))
    if isinstance(inner, Dense):
        return Dense(inner.out, inner.into, (inner.factors[0].then(lambda w: w * factor), *inner.factors[1:]))
    return _with(inner, inner.weight.then(lambda w: w * factor))


def _rows_scaled(outer: Diagonal, inner: Diagonal | Dense | Kernel) -> Map:
    if isinstance(inner, Diagonal):
        return Diagonal(inner.size, outer.entries.join(inner.entries, torch.mul))
    if isinstance(inner, Dense):
        first = outer.entries.join(inner.factors[0], lambda s, w: s[:, None] * w)
        return Dense(inner.out, inner.into, (first, *inner.factors[1:]))
    return _with(inner, outer.entries.join(inner.weight, lambda s, w: s.reshape(-1, *(1,) * (w.ndim - 1)) * w))


def _convolved(outer: Kernel, inner: Kernel) -> Kernel:
    """Offsets add up: the inner kernel is laid down at every offset of the outer one."""
    if len(outer.size) != len(inner.size):
        raise CannotFold("the convolutions have different numbers of axes")
    if outer.is_padded and any(n != 1 or s != 1 or p for n, s, p in zip(inner.size, inner.stride, inner.padding)):  # noqa: B905
        raise CannotFold("the zeros that pad the second convolution's input are not what the first would give there")
    axes = range(len(outer.size))
    step = [inner.stride[i] * outer.dilation[i] for i in axes]
    reach = [(outer.size[i] - 1) * step[i] + (inner.size[i] - 1) * inner.dilation[i] for i in axes]
    unit = [
        math.gcd(step[i] if outer.size[i] > 1 else 0, inner.dilation[i] if inner.size[i] > 1 else 0) or 1 for i in axes
    ]
    size = tuple(reach[i] // unit[i] + 1 for i in axes)
    groups = math.gcd(outer.groups, inner.groups)

    def compute() -> Tensor:
        second, first = _regrouped(outer, groups), _regrouped(inner, groups)
        result = torch.zeros(groups, outer.out // groups, inner.into // groups, *size, dtype=torch.float64)
        for at in grid(*(range(n) for n in outer.size)):
            term = torch.einsum("goc,gci...->goi...", second[(..., *at)], first)
            where = tuple(
                slice(
                    at[i] * step[i] // unit[i],
                    at[i] * step[i] // unit[i] + (inner.size[i] - 1) * inner.dilation[i] // unit[i] + 1,
                    max(inner.dilation[i] // unit[i], 1),
                )
                for i in axes
            )
            result[(slice(None), slice(None), slice(None), *where)] += term
        return result.flatten(0, 1)

    return Kernel(
        outer.out,
        inner.into,
        groups,
        size,
        tuple(outer.stride[i] * inner.stride[i] for i in axes),
        tuple(inner.padding[i] + outer.padding[i] for i in axes),
        tuple(unit),
        Lazy(compute),
    )


def _overlaid(one: Kernel, other: Kernel) -> Kernel:
    """Kernels on a common grid of offsets, the smaller laid into the larger where their centres agree."""
    if one.stride != other.stride or len(one.size) != len(other.size):
        raise CannotFold("the branches do not have the same stride")
    large, small = (one, other) if math.prod(one.size) >= math.prod(other.size) else (other, one)
    corner: list[int] = []
    for i in range(len(large.size)):
        if large.dilation[i] != small.dilation[i] and small.size[i] != 1 and large.size[i] != 1:
            raise CannotFold("the branches do not have the same dilation")
        dilation = large.dilation[i] if large.size[i] > 1 else 1
        place, rest = divmod(large.padding[i] - small.padding[i], dilation)
        if rest or place < 0 or place + small.size[i] > large.size[i]:
            raise CannotFold("one branch's kernel does not fit into the other's")
        corner.append(place)
    groups = math.gcd(one.groups, other.groups)

    def compute() -> Tensor:
        result = _regrouped(large, groups).clone()
        where = tuple(slice(place, place + n) for place, n in zip(corner, small.size, strict=True))
        result[(slice(None), slice(None), slice(None), *where)] += _regrouped(small, groups)
        return result.flatten(0, 1)

    return Kernel(large.out, large.into, groups, large.size, large.stride, large.padding, large.dilation, Lazy(compute))


def _regrouped(kernel: Kernel, groups: int) -> Tensor:
    """The weight as `(groups, out / groups, into / groups, *size)`, with zeros where groups were kept apart."""
    weight = kernel.weight.value
    ratio = kernel.groups // groups
    out, into = kernel.out // kernel.groups, kernel.into // kernel.groups
    apart = weight.reshape(groups, ratio, out, into, *kernel.size)
    result = torch.zeros(groups, ratio, out, ratio, into, *kernel.size, dtype=torch.float64)
    for k in range(ratio):
        result[:, k, :, k] = apart[:, k]
    return result.reshape(groups, ratio * out, ratio * into, *kernel.size)


def _with(kernel: Kernel, weight: Lazy) -> Kernel:
    return Kernel(
        kernel.out, kernel.into, kernel.groups, kernel.size, kernel.stride, kernel.padding, kernel.dilation, weight
    )


def _per_input(scale: Tensor, weight: Tensor, groups: int) -> Tensor:
    """A factor per input channel, in the shape of a grouped weight."""
    out, into = weight.shape[:2]
    spread = scale.reshape(groups, 1, into).expand(groups, out // groups, into)
    return spread.reshape(out, into, *(1,) * (weight.ndim - 2))


def _per_group_sum(kernel: Kernel, vector: Tensor) -> Tensor:
    weight = kernel.weight.value
    return (weight * _per_input(vector, weight, kernel.groups)).flatten(1).sum(1)


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
