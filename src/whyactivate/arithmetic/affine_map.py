"""ExactAffine: the map x -> Wx + b with exact entries, and the product that collapses many into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeVar, cast

from whyactivate.arithmetic.chain import multiply_chain
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.modular import ModularArray
from whyactivate.errors import InputError

P = TypeVar("P", ExactArray, ModularArray)
"""Points in either arithmetic."""


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


@dataclass(frozen=True, slots=True)
class _Composable:
    """An affine map that `@` composes with the one that acts before it."""

    weight: ExactArray
    bias: ExactArray | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.weight.shape

    def __matmul__(self, inner: _Composable) -> _Composable:
        weight = self.weight @ inner.weight
        if inner.bias is None:
            return _Composable(weight, self.bias)
        carried = self.weight @ inner.bias
        return _Composable(weight, carried if self.bias is None else carried + self.bias)


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry in which two affine maps differ.

    Attributes:
        name: "weight" or "bias".
        entry: its index.
        mine: the value in the one map.
        theirs: the value in the other.
    """

    name: str
    entry: tuple[int, ...]
    mine: Fraction
    theirs: Fraction

    @property
    def where(self) -> str:
        """As in `weight[0, 3]`."""
        return f"{self.name}{list(self.entry)}"

    def __str__(self) -> str:
        gap = abs(self.mine - self.theirs)
        exponent = gap.numerator.bit_length() - gap.denominator.bit_length()
        return f"{self.where}: {_decimal(self.mine)} against {_decimal(self.theirs)}, a gap of about 2^{exponent}"


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

        Neighbours are composed two at a time, in the cheapest order: (W, b) after (A, a) is (WA, Wa + b).

        Raises:
            InputError: no steps, or widths that do not meet.
        """
        check_widths(steps)
        maps = [_Composable(step.exact_weight, step.exact_bias) for step in reversed(steps)]
        composed = multiply_chain(maps)
        bias = composed.bias
        return cls(composed.weight, bias if bias is not None else ExactArray.zeros(1, composed.weight.shape[:1]))

    @property
    def inputs(self) -> int:
        """How many numbers the map takes."""
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        """How many numbers the map gives."""
        return self.weight.shape[0]

    def __call__(self, points: P) -> P:
        """The map at every point, exact or modular; logical shape `(in,)` to `(out,)`, or `(…, in)` to `(…, out)`."""
        values: Any = cast(Any, points) @ self.weight.swap(0, 1)
        return values + self.bias

    @classmethod
    def gather_from_output(cls, steps: Sequence[ExactStep]) -> ExactAffine:
        """The same map as `multiply_out` by another route: from the last step to the first.

        P holds W_n … W_(k+1), multiplied one matrix at a time; the bias is the sum of the P b_k.

        Raises:
            InputError: no steps, or widths that do not meet.
        """
        check_widths(steps)
        tail = ExactArray.identity(steps[-1].exact_weight.shape[0])
        bias = ExactArray.zeros(1, tail.shape[:1])
        for step in reversed(steps):
            if step.exact_bias is not None:
                bias = bias + tail @ step.exact_bias
            tail = tail @ step.exact_weight
        return cls(tail, bias)

    def equals(self, other: ExactAffine) -> bool:
        """True where every entry is the same number."""
        return self.weight.equals(other.weight) and self.bias.equals(other.bias)

    def first_difference(self, other: ExactAffine) -> Difference | None:
        """The first entry that differs, weight before bias; None where there is none.

        Raises:
            InputError: the shapes differ.
        """
        pairs = (("weight", self.weight, other.weight), ("bias", self.bias, other.bias))
        for name, mine, theirs in pairs:
            place = mine.first_difference(theirs)
            if place is not None:
                return Difference(name, place[1:], mine.to_fractions()[place], theirs.to_fractions()[place])
        return None

    def __str__(self) -> str:
        bits = max(self.weight.bits, self.bias.bits)
        kind = "dyadic" if self.weight.is_dyadic and self.bias.is_dyadic else "rational"
        return f"exact affine map from {self.inputs} to {self.outputs} numbers, {kind}, integers of up to {bits} bits"

    __repr__ = __str__


def check_widths(steps: Sequence[ExactStep]) -> None:
    """Raises InputError where there is no step, or one takes another number of inputs than the one before it gives."""
    if not steps:
        raise InputError("nothing to multiply out: expected at least one step")
    for k in range(1, len(steps)):
        gives, takes = steps[k - 1].exact_weight.shape[0], steps[k].exact_weight.shape[1]
        if gives != takes:
            raise InputError(f"step {k} gives {gives} numbers, but step {k + 1} takes {takes}")


def _decimal(value: Fraction) -> str:
    """A few digits of a fraction that may be too large or too small for a float."""
    try:
        short = float(value)
    except OverflowError:
        short = 0.0
    if short == 0 != value:
        return f"{'-' if value < 0 else ''}2^{value.numerator.bit_length() - value.denominator.bit_length()} or so"
    return f"{short:.6g}"
