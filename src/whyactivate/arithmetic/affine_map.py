"""ExactAffine: the map x -> Wx + b with exact entries, and the product that collapses many into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from whyactivate.arithmetic.chain import multiply_chain
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import InputError


class ExactStep(Protocol):
    """What one affine step of a network must offer: h -> exact_weight h + exact_bias."""

    @property
    def exact_weight(self) -> ExactArray:
        """The matrix, a constant of shape `(out, in)`."""
        ...

    @property
    def exact_bias(self) -> ExactArray | None:
        """The bias, a constant of shape `(out,)`, or None."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ExactAffine:
    """The affine map x -> weight x + bias over the rational numbers.

    Attributes:
        weight: constant of shape `(out, in)`.
        bias: constant of shape `(out,)`.
    """

    weight: ExactArray
    bias: ExactArray

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise InputError(
                f"expected a weight of shape (out, in) and a bias of shape (out,), got {self.weight.shape} and "
                f"{self.bias.shape}"
            )
        if self.weight.points != 1 or self.bias.points != 1:
            raise InputError("an affine map has one weight and one bias: both must be constants (one point)")

    @classmethod
    def multiply_out(cls, steps: Sequence[ExactStep]) -> ExactAffine:
        """The single map that equals the steps one after another, the first in the list acting first.

        The weight is W_n … W_1, multiplied in the cheapest order; the bias follows b <- W_k b + b_k.

        Raises:
            InputError: no steps, or widths that do not meet.
        """
        if not steps:
            raise InputError("nothing to multiply out: expected at least one step")
        check_widths(steps)
        bias = ExactArray.zeros(1, (steps[0].exact_weight.shape[1],))
        for step in steps:
            bias = step.exact_weight @ bias
            if step.exact_bias is not None:
                bias = bias + step.exact_bias
        return cls(multiply_chain([step.exact_weight for step in reversed(steps)]), bias)

    @property
    def inputs(self) -> int:
        """How many numbers the map takes."""
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        """How many numbers the map gives."""
        return self.weight.shape[0]

    def __call__(self, points: ExactArray) -> ExactArray:
        """The map at every point; logical shape `(in,)` to `(out,)`, or `(…, in)` to `(…, out)`."""
        return points @ self.weight.swap(0, 1) + self.bias

    def equals(self, other: ExactAffine) -> bool:
        """True where every entry is the same number."""
        return self.weight.equals(other.weight) and self.bias.equals(other.bias)

    def first_difference(self, other: ExactAffine) -> str | None:
        """The first entry that differs, in words (`"weight[0, 3]: 1/2 against 1/4"`); None where there is none."""
        for name in ("weight", "bias"):
            mine: ExactArray = getattr(self, name)
            theirs: ExactArray = getattr(other, name)
            place = mine.first_difference(theirs)
            if place is not None:
                values = [a.to_fractions()[place] for a in (mine, theirs)]
                return f"{name}{list(place[1:])}: {values[0]} against {values[1]}"
        return None

    def __str__(self) -> str:
        bits = max(self.weight.bits, self.bias.bits)
        kind = "dyadic" if self.weight.is_dyadic and self.bias.is_dyadic else "rational"
        return f"exact affine map from {self.inputs} to {self.outputs} numbers, {kind}, integers of up to {bits} bits"

    __repr__ = __str__


def check_widths(steps: Sequence[ExactStep]) -> None:
    """Raises InputError where a step takes another number of inputs than the step before it gives."""
    for k in range(1, len(steps)):
        gives, takes = steps[k - 1].exact_weight.shape[0], steps[k].exact_weight.shape[1]
        if gives != takes:
            raise InputError(f"step {k} gives {gives} numbers, but step {k + 1} takes {takes}")
