"""Convolutions composed with what is before and after them, and laid over each other."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product as grid

import torch
from torch import Tensor

from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import CannotFold, Dense, Kernel, Map, Transposed


def convolved(outer: Kernel, inner: Kernel) -> Kernel:
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


def overlaid(one: Kernel, other: Kernel) -> Kernel:
    """Kernels on a common grid of offsets, as large as both need where they lie over each other."""
    if one.stride != other.stride or len(one.size) != len(other.size):
        raise CannotFold("the branches do not have the same stride")
    both, axes = (one, other), range(len(one.size))
    before = [max(kernel.padding[i] for kernel in both) for i in axes]
    behind = [max(_behind(kernel, i) for kernel in both) for i in axes]
    for i in axes:  # else it would give more or fewer points than the branches
        if all(before[i] - behind[i] != kernel.padding[i] - _behind(kernel, i) for kernel in both):
            raise CannotFold("one branch's kernel does not fit into the other's")
    unit = [
        math.gcd(one.padding[i] - other.padding[i], *(k.dilation[i] for k in both if k.size[i] > 1)) or 1 for i in axes
    ]
    size = tuple((before[i] + behind[i]) // unit[i] + 1 for i in axes)
    groups = math.gcd(one.groups, other.groups)

    def compute() -> Tensor:
        result = torch.zeros(groups, one.out // groups, one.into // groups, *size, dtype=torch.float64)
        for kernel in both:
            start = [(before[i] - kernel.padding[i]) // unit[i] for i in axes]
            step = [kernel.dilation[i] // unit[i] if kernel.size[i] > 1 else 1 for i in axes]
            where = tuple(slice(start[i], start[i] + (kernel.size[i] - 1) * step[i] + 1, step[i]) for i in axes)
            result[(slice(None), slice(None), slice(None), *where)] += _regrouped(kernel, groups)
        return result.flatten(0, 1)

    return Kernel(one.out, one.into, groups, size, one.stride, tuple(before), tuple(unit), Lazy(compute))


def _behind(kernel: Kernel, axis: int) -> int:
    """How far the kernel reaches behind the point at which it begins to be laid down without padding."""
    return (kernel.size[axis] - 1) * kernel.dilation[axis] - kernel.padding[axis]


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


def with_weight(kernel: Kernel, weight: Lazy) -> Kernel:
    """The same with other numbers."""
    return replace(kernel, weight=weight)


def outputs_scaled(kernel: Kernel, scale: Lazy) -> Kernel:
    """The kernel, then a factor for each channel of its result."""
    if isinstance(kernel, Transposed):
        return with_weight(kernel, scale.join(kernel.weight, lambda s, w: w * _across(s, w, kernel.groups)))
    return with_weight(kernel, scale.join(kernel.weight, lambda s, w: w * _along(s, w)))


def inputs_scaled(kernel: Kernel, scale: Lazy) -> Kernel:
    """A factor for each channel, then the kernel."""
    if isinstance(kernel, Transposed):
        return with_weight(kernel, scale.join(kernel.weight, lambda s, w: w * _along(s, w)))
    return with_weight(kernel, scale.join(kernel.weight, lambda s, w: w * _across(s, w, kernel.groups)))


def per_group_sum(kernel: Kernel, vector: Tensor) -> Tensor:
    """What an unpadded convolution makes of a vector that is the same everywhere."""
    weight = kernel.weight.value
    return (weight * _across(vector, weight, kernel.groups)).flatten(1).sum(1)


# -- transposed convolutions --------------------------------------------------------------------------------------


def mixed_after(outer: Dense, inner: Transposed) -> Transposed:
    """A transposed convolution, then a matrix at each point of its result."""

    def compute() -> Tensor:
        return torch.einsum("po,io...->ip...", outer.matrix(), _ungrouped(inner))

    return replace(inner, out=outer.out, groups=1, weight=Lazy(compute))


def mixed_before(outer: Transposed, inner: Dense) -> Transposed:
    """A matrix at each point, then a transposed convolution."""

    def compute() -> Tensor:
        return torch.einsum("ip,io...->po...", inner.matrix(), _ungrouped(outer))

    return replace(outer, into=inner.into, groups=1, weight=Lazy(compute))


def summed(one: Map, other: Map) -> Transposed:
    """Two transposed convolutions of the same form, added up.

    Raises:
        CannotFold: they are not of the same form.
    """
    if not isinstance(one, Transposed) or not isinstance(other, Transposed):
        raise CannotFold("a branch is a transposed convolution, and another is not")
    if any(getattr(one, name) != getattr(other, name) for name in _FORM):
        raise CannotFold("the branches are transposed convolutions of different forms")
    if one.groups == other.groups:
        return replace(one, weight=one.weight.join(other.weight, torch.add))
    return replace(one, groups=1, weight=Lazy(lambda: _ungrouped(one) + _ungrouped(other)))


_FORM = ("size", "stride", "padding", "dilation", "output_padding")


def _ungrouped(kernel: Transposed) -> Tensor:
    """The weight as `(into, out, *size)`, with zeros where groups were kept apart."""
    weight, into, out = kernel.weight.value, kernel.into // kernel.groups, kernel.out // kernel.groups
    result = torch.zeros(kernel.into, kernel.out, *kernel.size, dtype=torch.float64)
    for group in range(kernel.groups):
        rows = slice(group * into, (group + 1) * into)
        result[rows, group * out : (group + 1) * out] = weight[rows]
    return result


def _along(scale: Tensor, weight: Tensor) -> Tensor:
    """A factor per channel of the weight's first axis, in its shape."""
    return scale.reshape(-1, *(1,) * (weight.ndim - 1))


def _across(scale: Tensor, weight: Tensor, groups: int) -> Tensor:
    """A factor per channel of the weight's second axis, which has those of one group, in its shape."""
    one, two = weight.shape[:2]
    spread = scale.reshape(groups, 1, two).expand(groups, one // groups, two)
    return spread.reshape(one, two, *(1,) * (weight.ndim - 2))
