"""What the variables of canonical forms stand for, beside the entries of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flint import fmpq

if TYPE_CHECKING:
    from whyactivate.affine.cancelling.polynomials import Polynomial


@dataclass(frozen=True, slots=True)
class Kink:
    """The variable max(t - τ, 0), t being the direction of this number."""

    direction: int
    threshold: fmpq

    @property
    def bounds(self) -> tuple[fmpq | None, fmpq | None]:
        """Its least and its greatest value; None where there is none."""
        return fmpq(0), None


@dataclass(frozen=True, slots=True)
class Exponential:
    """The variable exp(p) for the polynomial p."""

    exponent: Polynomial

    @property
    def bounds(self) -> tuple[fmpq | None, fmpq | None]:
        """Bounds of its values; None where there is none."""
        return fmpq(0), None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The variable f(p) for a function of which little is known.

    Attributes:
        low: a lower bound of its values; None where there is none.
        high: an upper bound.
        square: its square, where that is a polynomial in other variables.
    """

    low: fmpq | None
    high: fmpq | None
    square: Polynomial | None = None

    @property
    def bounds(self) -> tuple[fmpq | None, fmpq | None]:
        """Bounds of its values; None where there is none."""
        return self.low, self.high


Variable = Kink | Unknown | Exponential
