"""`Activation`: one function of a pre-activation, and what is known about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    import sympy as sp


@dataclass(frozen=True, slots=True)
class Range:
    """The values that an activation takes over the real numbers: an interval.

    Attributes:
        low: infimum.
        high: supremum.
        low_reached: whether the infimum is a value.
        high_reached: whether the supremum is a value.
    """

    low: float
    high: float
    low_reached: bool = False
    high_reached: bool = False

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.low_reached else value > self.low
        below = value <= self.high if self.high_reached else value < self.high
        return above and below

    def __str__(self) -> str:
        opening, closing = "[" if self.low_reached else "(", "]" if self.high_reached else ")"
        return f"{opening}{_end(self.low)}, {_end(self.high)}{closing}"


@dataclass(frozen=True, slots=True, repr=False)
class Activation:
    """A function applied to each pre-activation by itself, with what is known about it.

    Facts that nobody stated (as for a callable of the user's) are None.

    Attributes:
        name: the key in `ACTIVATIONS`.
        title: the name that people write.
        sentence: what it does, in one sentence.
        function: PyTorch callable, any shape to the same shape.
        formula: SymPy expression to SymPy expression, over the real numbers.
        derivative: PyTorch callable, written by hand; at a kink it gives what PyTorch's autograd gives.
        kinks: the points without a derivative.
        range: the values taken over the real numbers.
        slopes: limits of the derivative at minus and at plus infinity.
        zero_centred: odd, so that inputs symmetric about 0 give outputs that average 0.
        piecewise_affine: affine on each of finitely many intervals.
        make_module: builds the `nn.Module` that applies it.
    """

    name: str
    title: str
    sentence: str
    function: Callable[[Tensor], Tensor]
    make_module: Callable[[], nn.Module]
    formula: Callable[[sp.Expr], sp.Expr] | None = None
    derivative: Callable[[Tensor], Tensor] | None = None
    kinks: tuple[float, ...] | None = None
    range: Range | None = None
    slopes: tuple[float, float] | None = None
    zero_centred: bool | None = None
    piecewise_affine: bool | None = None

    @property
    def saturates(self) -> bool | None:
        """Whether it is bounded and flattens at both ends (Krizhevsky, Sutskever & Hinton 2012)."""
        return None if self.slopes is None else self.slopes == (0.0, 0.0)

    def __call__(self, z: Tensor) -> Tensor:
        """The activation of z, any shape."""
        return self.function(z)

    def module(self) -> nn.Module:
        """A new `nn.Module` that applies the activation."""
        return self.make_module()

    def __repr__(self) -> str:
        return f"<Activation {self.name}>"

    def __str__(self) -> str:
        return f"{self.title}: {self.sentence}"


def _end(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")
