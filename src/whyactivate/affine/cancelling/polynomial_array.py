"""Arrays of polynomials, on which the formulas of the rules work as they do on numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np
from flint import fmpq

from whyactivate.affine.cancelling.polynomials import Forms, Polynomial
from whyactivate.affine.rules.rule import CannotEvaluate
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.points import Cells, PointsArray, align
from whyactivate.arithmetic.rational import Scalar


@dataclass(frozen=True, slots=True, eq=False)
class PolynomialArray(PointsArray):
    """An array of polynomials, held at one point: the unknown input.

    Attributes:
        polynomials: object array of `Polynomial`, shape `[1, *shape]`.
        forms: what they are polynomials of.
    """

    polynomials: Cells
    forms: Forms

    @classmethod
    def from_exact(cls, exact: ExactArray, forms: Forms) -> Self:
        """Numbers as constant polynomials."""
        unit = to_fmpq(exact.unit)
        cells = np.empty(exact.ints.size, dtype=object)
        cells[:] = [forms.constant(fmpq(int(i)) * unit) for i in exact.ints.ravel().tolist()]
        return cls(cells.reshape(exact.ints.shape), forms)

    def flat_list(self) -> list[Polynomial]:
        """The polynomials, row by row."""
        return self.polynomials.ravel().tolist()

    def __add__(self, other: Self | Scalar) -> Self:
        a, b = align(self.polynomials, self._coerced(other).polynomials)
        return self._with_cells(np.add(a, b))

    __radd__ = __add__

    def __neg__(self) -> Self:
        return self * -1

    def __sub__(self, other: Self | Scalar) -> Self:
        return self + -self._coerced(other)

    def __rsub__(self, other: Scalar) -> Self:
        return -self + other

    def __mul__(self, other: Self | Scalar) -> Self:
        a, b = align(self.polynomials, self._coerced(other).polynomials)
        return self._with_cells(np.multiply(a, b))

    __rmul__ = __mul__

    def __truediv__(self, other: Self | Scalar) -> Self:
        """The quotient by numbers.

        Raises:
            CannotEvaluate: a divisor depends on the input or is 0.
        """
        divisor = self._coerced(other)
        inverse = np.empty(divisor.polynomials.size, dtype=object)
        for place, p in enumerate(divisor.flat_list()):
            if not p.is_constant or not p.terms:
                raise CannotEvaluate("a quotient has no canonical form here")
            inverse[place] = self.forms.constant(1 / p.terms[()])
        return self * self._with_cells(inverse.reshape(divisor.polynomials.shape))

    def __matmul__(self, other: Self) -> Self:
        left = self if self.ndim > 1 else self.reshape(1, -1)
        right = other if other.ndim > 1 else other.reshape(-1, 1)
        a, b = align(left.polynomials, right.polynomials)
        if not left.shape[-1]:
            raise CannotEvaluate("an empty product")
        product = np.matmul(a, b)
        product = product[..., 0, :] if self.ndim == 1 else product
        return self._with_cells(product[..., 0] if other.ndim == 1 else product)

    def sum(self, dims: int | Sequence[int] | None = None, keepdim: bool = False) -> Self:
        """Sums over logical axes; over all of them where none is given."""
        axes = self._axes(dims)
        if any(self.polynomials.shape[axis] == 0 for axis in axes):
            raise CannotEvaluate("an empty sum")
        summed: Any = np.add.reduce(self.polynomials, axis=axes, keepdims=keepdim)
        return self._with_cells(summed)

    def __abs__(self) -> Self:
        return self._positive_part() * 2 - self

    def maximum(self, other: Self | Scalar) -> Self:
        """The larger of the two, entry by entry."""
        second = self._coerced(other)
        return second + (self - second)._positive_part()

    def minimum(self, other: Self | Scalar) -> Self:
        """The smaller of the two, entry by entry."""
        return self - (self - self._coerced(other))._positive_part()

    def _positive_part(self) -> Self:
        cells = np.empty(self.polynomials.size, dtype=object)
        cells[:] = [p.positive_part() for p in self.flat_list()]
        return self._with_cells(cells.reshape(self.polynomials.shape))

    def __eq__(self, other: object) -> Any:
        raise CannotEvaluate("whether two polynomials agree at an input depends on the input")

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @property
    def cells(self) -> Cells:
        """The polynomials, shape `[1, *shape]`."""
        return self.polynomials

    def _with_cells(self, cells: Cells) -> Self:
        return type(self)(cells, self.forms)

    def _zero_cell(self) -> Polynomial:
        return self.forms.constant(fmpq(0))

    def _alike(self, others: Sequence[Self]) -> list[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return [self, *others]

    def _coerced(self, other: Self | Scalar) -> Self:
        if isinstance(other, PolynomialArray):
            return other
        return type(self).from_exact(ExactArray.from_fraction(other), self.forms)


def to_fmpq(value: Fraction) -> fmpq:
    """A fraction in FLINT's form."""
    return fmpq(value.numerator, value.denominator)


def to_fraction(value: fmpq) -> Fraction:
    """A fraction in Python's form."""
    return Fraction(int(value.p), int(value.q))
