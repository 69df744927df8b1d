"""Linear maps along one axis of a tensor, kept in their structure: a scale, a diagonal, a matrix, a convolution.

Each knows its shape at once and its numbers (float64) when asked.
"""

from __future__ import annotations

from dataclasses import dataclass

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
class Placement(Dense):
    """x ↦ x in its place among more features, from `start` on; the others are 0."""

    start: int


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


@dataclass(frozen=True)
class Transposed(Kernel):
    """A transposed convolution, without its bias; `weight` has the shape `(into, out / groups, *size)`."""

    output_padding: tuple[int, ...]


@dataclass(frozen=True)
class Placed:
    """A map, then its result in its place among more features."""

    map: Scale | Diagonal | Dense | Kernel
    placement: Placement


Map = Scale | Diagonal | Dense | Kernel | Placed
Shift = None | float | Lazy
"""What is added along the axis: nothing, one number, or a vector."""


def as_vector(shift: float | Lazy, size: int) -> Lazy:
    """A shift, one number per feature."""
    return shift if isinstance(shift, Lazy) else Lazy(lambda: torch.full((size,), shift, dtype=torch.float64))
