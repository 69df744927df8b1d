"""ExactArray: arithmetic, comparisons and correct rounding of numbers without rounding."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Self, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import Digits, flushes_subnormals
from whyactivate.arithmetic.floats import round_to
from whyactivate.arithmetic.matrix_products import MOST_PLANE_PRODUCTS, align_digits, multiply_digits, multiply_ints
from whyactivate.arithmetic.points import Cells, Mask, PointsArray, align, objects
from whyactivate.arithmetic.rational import RationalArray, Scalar, common_unit
from whyactivate.errors import InputError

_ENTRIES_PER_BIT = 16
"""Ints meet a matrix as ints where it has at most so many entries for each of their bits (measured at 32² to 128²)."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactArray(RationalArray):
    """An array of rational numbers, every operation exact.

    Shapes are logical: the points axis in front is hidden (see `PointsArray`). Sums and products of
    floats are integers times a power of two; a division brings in other denominators and stays exact.
    Comparisons (`==`, `<`, …) return bool arrays of shape `[points, *shape]`.
    """

    # -- arithmetic -------------------------------------------------------------------------------------------

    def __add__(self, other: Self | Scalar) -> Self:
        if not self._takes(other):
            return NotImplemented
        if pair := self._digits_with(other):
            return self.from_digits(pair[0] + pair[1])
        a, b, unit = self._with(other)
        return type(self)(a + b, unit)._reduced()

    __radd__ = __add__

    def __neg__(self) -> Self:
        if self.has_digits:
            return self.from_digits(-self.to_digits())
        return type(self)(-self.held, self.scale)

    def __sub__(self, other: Self | Scalar) -> Self:
        if not self._takes(other):
            return NotImplemented
        if pair := self._digits_with(other):
            return self.from_digits(pair[0] + -pair[1])
        a, b, unit = self._with(other)
        return type(self)(a - b, unit)._reduced()

    def __rsub__(self, other: Scalar) -> Self:
        return -self + other

    def __mul__(self, other: Self | Scalar) -> Self:
        if not self._takes(other):
            return NotImplemented
        if isinstance(other, Real) and other == 1:
            return self
        factor = self._coerced(other)
        a, b = align(self.ints, factor.ints)
        return type(self)(a * b, self.unit * factor.unit)._reduced()

    __rmul__ = __mul__

    def __truediv__(self, other: Self | Scalar) -> Self:
        """Entrywise quotient, exact: over the least common multiple of the divisors.

        Raises:
            ZeroDivisionError: a divisor is zero; its entry is named.
        """
        if not self._takes(other):
            return NotImplemented
        divisor = self._coerced(other)
        if (divisor.ints == 0).any():
            entry = [int(i) for i in np.argwhere(divisor.ints == 0)[0]]
            raise ZeroDivisionError(f"the divisor is zero at [point, *entry] = {entry}")
        common = math.lcm(*divisor.ints.ravel().tolist())
        a, b = align(self.ints, common // divisor.ints)
        return type(self)(a * b, self.unit / (divisor.unit * common))._reduced()

    def __rtruediv__(self, other: Scalar) -> Self:
        return self.from_fraction(other) / self

    def __matmul__(self, other: PointsArray) -> Self:
        """Matrix product over the last two logical axes; leading axes broadcast, 1-D operands as in torch."""
        if not isinstance(other, type(self)):
            return NotImplemented
        if self.ndim == 0 or other.ndim == 0:
            raise InputError(f"@ needs at least one axis on both sides; got shapes {self.shape} and {other.shape}")
        left = self if self.ndim > 1 else self.reshape(1, -1)
        right = other if other.ndim > 1 else other.reshape(-1, 1)
        if left.shape[-1] != right.shape[-2]:
            raise InputError(
                f"cannot multiply shapes {self.shape} and {other.shape}: {left.shape[-1]} columns meet "
                f"{right.shape[-2]} rows"
            )
        product = left._times_matrix(right)
        cells = product.held
        if self.ndim == 1:
            cells = cells[..., 0, :]
        if other.ndim == 1:
            cells = cells[..., 0]
        return product._with_cells(cells)

    def __abs__(self) -> Self:
        if self.has_digits:
            return self.from_digits(self.to_digits().times_sign(self.sign()))
        return type(self)(np.abs(self.held), self.scale)

    def sum(self, dims: int | Sequence[int] | None = None, keepdim: bool = False) -> Self:
        """Sums over logical axes; over all of them where none is given."""
        if self.is_wide and (digits := self.find_digits()) is not None:
            return self.from_digits(digits.sum(self._axes(dims), keepdim))
        ints = np.add.reduce(self.ints, axis=self._axes(dims), keepdims=keepdim)
        return type(self)(objects(ints), self.unit)._reduced()

    def swap(self, first: int, second: int) -> Self:
        """Two logical axes exchanged; digits, once known, are not worked out anew."""
        swapped = self._with_cells(self.held.swapaxes(self._axis(first) + 1, self._axis(second) + 1))
        swapped._known["swapped"] = self, self._axis(first), self._axis(second)
        return swapped

    # -- comparing --------------------------------------------------------------------------------------------

    def sign(self) -> NDArray[np.int8]:
        """-1, 0 or 1 per entry, shape `[points, *shape]`."""
        if self.has_digits:
            return self.to_digits().sign()
        return (self.held > 0).astype(np.int8) - (self.held < 0).astype(np.int8)

    def __eq__(self, other: object) -> Mask:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self._takes(other):
            return NotImplemented
        if pair := self._digits_with(other):
            return (pair[0] + -pair[1]).sign() == 0
        a, b, _ = self._with(other)
        return (a == b).astype(bool)

    def __ne__(self, other: object) -> Mask:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self._takes(other):
            return NotImplemented
        return ~(self == other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __lt__(self, other: Self | Scalar) -> Mask:
        if not self._takes(other):
            return NotImplemented
        if pair := self._digits_with(other):
            return (pair[0] + -pair[1]).sign() < 0
        a, b, _ = self._with(other)
        return (a < b).astype(bool)

    def __le__(self, other: Self | Scalar) -> Mask:
        if not self._takes(other):
            return NotImplemented
        if pair := self._digits_with(other):
            return (pair[0] + -pair[1]).sign() <= 0
        a, b, _ = self._with(other)
        return (a <= b).astype(bool)

    def __gt__(self, other: Self | Scalar) -> Mask:
        if not self._takes(other):
            return NotImplemented
        return ~(self <= other)

    def __ge__(self, other: Self | Scalar) -> Mask:
        if not self._takes(other):
            return NotImplemented
        return ~(self < other)

    def maximum(self, other: Self | Scalar) -> Self:
        """The larger of the two, entry by entry."""
        a, b, unit = self._with(other)
        return type(self)(np.maximum(a, b), unit)

    def minimum(self, other: Self | Scalar) -> Self:
        """The smaller of the two, entry by entry."""
        a, b, unit = self._with(other)
        return type(self)(np.minimum(a, b), unit)

    @classmethod
    def where(cls, mask: Mask, yes: Self | Scalar, no: Self | Scalar) -> Self:
        """`yes` where the mask, of shape `[points, *shape]`, is true, and `no` elsewhere."""
        first = yes if isinstance(yes, ExactArray) else cls.from_fraction(yes)
        a, b, unit = first._with(no)
        condition, x, y = align(mask, a, b)
        return cls(objects(np.where(condition, x, y)), unit)

    def equals(self, other: Self) -> bool:
        """True where shapes agree and every entry is the same number."""
        return self.shape == other.shape and bool((self == other).all())

    def first_difference(self, other: Self) -> tuple[int, ...] | None:
        """`(point, *entry)` of the first entry that differs; None where there is none.

        Raises:
            InputError: the shapes differ.
        """
        if self.shape != other.shape:
            raise InputError(f"cannot compare shapes {self.shape} and {other.shape}")
        places = np.argwhere(self != other)
        return tuple(int(i) for i in places[0]) if len(places) else None

    # -- rounding -----------------------------------------------------------------------------------------------

    def to_float64(self) -> torch.Tensor:
        """The nearest float64 of every entry (ties to even), shape `[points, *shape]`.

        Raises:
            InputError: an entry lies beyond the largest float64; it is named.
        """
        if self._holds_floats:
            return torch.from_numpy(self.held.astype(np.float64))
        if self.has_digits and (found := self.to_digits().nearest()) is not None:
            return torch.from_numpy(found[0])
        # Python rounds int / int correctly, subnormal results included.
        numerator, denominator = self.unit.numerator, self.unit.denominator
        try:
            values = [i * numerator / denominator for i in self.ints.ravel().tolist()]
        except OverflowError:
            largest = np.unravel_index(int(np.abs(self.ints).argmax()), self.ints.shape)
            entry = [int(i) for i in largest]
            about = self.bits + numerator.bit_length() - denominator.bit_length()
            raise InputError(
                f"the exact value at [point, *entry] = {entry} is about 2^{about}, beyond the largest float64 "
                "(below 2^1024); read it with to_fractions()"
            ) from None
        return torch.tensor(values, dtype=torch.float64, device="cpu").reshape(self.ints.shape)

    def to_float64_up(self) -> torch.Tensor:
        """The smallest float64 not below each entry, shape `[points, *shape]`."""
        if self.has_digits and (found := self.to_digits().nearest()) is not None:
            return torch.from_numpy(np.where(found[1] > 0, np.nextafter(found[0], np.inf), found[0]))
        near = self.to_float64()
        below = torch.from_numpy(type(self).from_points(near) < self)
        return torch.where(below, torch.nextafter(near, torch.full_like(near, math.inf)), near)

    def to_tensor(self, dtype: torch.dtype) -> torch.Tensor:
        """The nearest number of a floating dtype to every entry (ties to even), shape `[points, *shape]`.

        One rounding from the exact value, never two: float64 on the way is rounded to odd, which cannot move a tie
        (Boldo & Melquiond 2008).

        Raises:
            InputError: the dtype is not a floating one, or an entry rounds beyond its largest number; it is named.
        """
        near = self.to_float64()
        if dtype == torch.float64:
            return near
        exact_near = type(self).from_points(near)
        above, below = torch.from_numpy(exact_near > self), torch.from_numpy(exact_near < self)
        even = (near.view(torch.int64) & 1) == 0
        infinity = torch.full_like(near, math.inf)
        odd = torch.where(even & below, torch.nextafter(near, infinity), near)
        odd = torch.where(even & above, torch.nextafter(near, -infinity), odd)
        return round_to(odd, dtype)

    def error_of(self, tensor: torch.Tensor) -> torch.Tensor:
        """Upper bounds, float64, of |tensor - exact|, in the tensor's shape.

        The tensor has the shape `[points, *shape]`, or `shape` where this is a constant; any floating dtype.
        Each bound is the error itself, rounded up.
        """
        constant = tensor.ndim == self.ndim
        given = self.from_tensor(tensor) if constant else self.from_points(tensor)
        if given.shape != self.shape or (constant and self.points != 1):
            raise InputError(f"expected shape {self.shape} or {self.held.shape}, got {tuple(tensor.shape)}")
        bound = given._distance_up(self)
        return bound[0] if constant else bound

    def __str__(self) -> str:
        held = "constant" if self.points == 1 else f"{self.points} points"
        unit = self._unit_words()
        return f"ExactArray of shape {self.shape}, {held}, integers of up to {self.bits} bits times {unit}"

    __repr__ = __str__

    def _unit_words(self) -> str:
        num, den = self.unit.numerator, self.unit.denominator
        if num == 1 and den & (den - 1) == 0:
            return f"2^-{den.bit_length() - 1}"
        if den == 1 and num & (num - 1) == 0:
            return f"2^{num.bit_length() - 1}"
        return str(self.unit)

    def _distance_up(self, other: Self) -> torch.Tensor:
        """|self - other| as float64, rounded up."""
        if self._is_same_in_floats(other):
            return torch.zeros(self.held.shape, dtype=torch.float64, device="cpu")
        if pair := self._digits_with(other):
            found = (pair[0] + -pair[1]).nearest()
            if found is not None:
                size, beyond = np.abs(found[0]), found[1] * np.sign(found[0]) > 0
                return torch.from_numpy(np.where(beyond, np.nextafter(size, np.inf), size))
        return abs(self - other).to_float64_up()

    def _is_same_in_floats(self, other: Self) -> bool:
        """True where both hold floats, as a matrix and its copy in float64 do, and the same ones."""
        if not (self._holds_floats and other._holds_floats) or flushes_subnormals():
            return False
        return np.array_equal(self.held, other.held)

    # -- operands -----------------------------------------------------------------------------------------------

    def _takes(self, value: object) -> TypeGuard[Self | Scalar]:
        return isinstance(value, (ExactArray, Real))

    def _coerced(self, other: Self | Scalar) -> Self:
        return other if isinstance(other, ExactArray) else type(self)(*_number(other))

    def _with(self, other: Self | Scalar) -> tuple[Cells, Cells, Fraction]:
        """Both operands' integers in one unit, their axes aligned."""
        operand = self._coerced(other)
        unit = common_unit(self.unit, operand.unit)
        a, b = align(self._ints_in(unit), operand._ints_in(unit))
        return a, b, unit

    def _digits_with(self, other: Self | Scalar) -> tuple[Digits, Digits] | None:
        """Both operands' digits, axes aligned; None where neither is wide, or one has none."""
        operand = self._coerced(other)
        if not (self.is_wide or operand.is_wide):
            return None
        a, b = self.find_digits(), operand.find_digits()
        if a is None or b is None:
            return None
        axes = max(self.ndim, operand.ndim)
        return align_digits(a, axes), align_digits(b, axes)

    def _times_matrix(self, other: Self) -> Self:
        """`[points, *batch, m, k] @ [points', *batch', k, n]`."""
        if (self.is_wide or other.is_wide) and not (self._outgrows(other) or other._outgrows(self)):
            a, b = self.find_digits(), other.find_digits()
            if a is not None and b is not None and a.count * b.count <= MOST_PLANE_PRODUCTS:
                axes = max(self.ndim, other.ndim)
                return self.from_digits(multiply_digits(align_digits(a, axes), align_digits(b, axes)))
        return type(self)(multiply_ints(self.ints, other.ints), self.unit * other.unit)._reduced()

    def _outgrows(self, other: Self) -> bool:
        """True for a few long ints times a small matrix of short numbers: digits of both would take longer to find."""
        return not self.is_wide and not other.has_digits and other.held.size <= _ENTRIES_PER_BIT * self.bits


@functools.lru_cache(maxsize=1024)
def _number(value: Scalar) -> tuple[Cells, Fraction]:
    number = ExactArray.from_fraction(value)
    return number.ints, number.unit
