"""ExactArray: numbers without rounding, as integers times one common fraction."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, Self, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import DIGIT_BITS, Digits, flushes_subnormals
from whyactivate.arithmetic.floats import FLOAT_FORMATS, decode, round_to
from whyactivate.arithmetic.integer_product import integer_matmul
from whyactivate.arithmetic.points import Cells, Mask, PointsArray, align, objects
from whyactivate.errors import InputError

Scalar = int | float | Fraction
"""Exact scalars; a float stands for the dyadic rational that it is."""

MANY = 512
"""Arrays of so many entries are held as the floats that they were made from, or as digits, where that is possible."""
MOST_PLANE_PRODUCTS = 1024
"""Up to how many products of digits a product of two numbers may take; beyond, FLINT multiplies integers."""
_ENTRIES_PER_BIT = 16
"""Ints meet a matrix as ints where it has at most so many entries for each of their bits (measured at 32² to 128²)."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactArray(PointsArray):
    """An array of rational numbers, every operation exact.

    Shapes are logical: the points axis in front is hidden (see `PointsArray`). Sums and products of
    floats are integers times a power of two; a division brings in other denominators and stays exact.
    Comparisons (`==`, `<`, …) return bool arrays of shape `[points, *shape]`.

    Small arrays are Python ints times a common fraction. Large ones stay the floats that they were made from, and sums
    and products of them are `Digits`; both turn into ints only where they are asked for, or an operation needs them.

    Attributes:
        held: shape `[points, *shape]`: Python ints, or floats (float32 or float64), or records of digits.
        scale: what each int counts in; for digits the power of two at the lowest, for floats 1.
    """

    held: Cells
    scale: Fraction = Fraction(1)
    _known: dict[str, Any] = field(default_factory=dict[str, Any], init=False, repr=False)

    # -- making -----------------------------------------------------------------------------------------------

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor) -> Self:
        """The tensor's values as a constant: any real floating dtype, integers, bool.

        Raises:
            InputError: complex or float8 dtype, or an infinite or NaN entry (it is named).
        """
        floats = cls._keeping_floats(tensor[None])
        return floats if floats is not None else cls._from_parts(*(part[None] for part in decode(tensor)))

    @classmethod
    def from_points(cls, tensor: torch.Tensor) -> Self:
        """The tensor's values, its first axis being the points: shape `[points, *shape]`.

        Raises:
            InputError: as in `from_tensor`.
        """
        floats = cls._keeping_floats(tensor)
        return floats if floats is not None else cls._from_parts(*decode(tensor))

    @classmethod
    def _keeping_floats(cls, tensor: torch.Tensor) -> Self | None:
        """A copy of a large tensor's floats; None for others, and where one is not finite."""
        if tensor.dtype in FLOAT_FORMATS and tensor.numel() >= MANY and not flushes_subnormals():
            wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
            floats = tensor.detach().to(device="cpu", dtype=wide, copy=True).resolve_neg().numpy()
            if math.isfinite(floats.max()) and math.isfinite(floats.min()):
                return cls(floats)
        return None

    @classmethod
    def from_digits(cls, digits: Digits) -> Self:
        """The numbers with these digits, shape `[points, *shape]`."""
        if not digits.count and math.prod(digits.shape) >= MANY:
            return cls(np.zeros(digits.shape, dtype=np.float32))
        if math.prod(digits.shape) >= MANY:
            return cls(digits.to_cells(), Fraction(2) ** (DIGIT_BITS * digits.low))
        ints, exponent = digits.to_ints()
        return cls(ints, Fraction(2) ** exponent)._reduced()

    @classmethod
    def _from_parts(cls, significand: NDArray[np.int64], exponent: NDArray[np.int64]) -> Self:
        used = significand != 0
        if not used.any():
            return cls(objects(significand))
        lowest = int(exponent[used].min())
        shift = np.where(used, exponent - lowest, 0)
        if shift.max() <= 62 - int(np.abs(significand).max()).bit_length():
            ints = objects(significand << shift)
        else:
            ints = objects(objects(significand) << objects(shift))
        return cls(ints, Fraction(2) ** lowest)._reduced()

    @classmethod
    def from_fraction(cls, value: Scalar) -> Self:
        """One number as a 0-dimensional constant."""
        return cls.from_fractions(np.array(_fraction(value), dtype=object))

    @classmethod
    def from_fractions(cls, values: Any) -> Self:
        """A constant from (nested) ints, floats or Fractions."""
        array = np.array(values, dtype=object)
        fractions = [_fraction(v) for v in array.ravel()]
        common = math.lcm(*(f.denominator for f in fractions))
        ints = np.empty(len(fractions), dtype=object)
        ints[:] = [f.numerator * (common // f.denominator) for f in fractions]
        return cls(ints.reshape(1, *array.shape), Fraction(1, common))._reduced()

    @classmethod
    def zeros(cls, points: int, shape: Sequence[int]) -> Self:
        """Zeros of shape `[points, *shape]`."""
        return cls(np.zeros((points, *shape), dtype=object if points * math.prod(shape) < MANY else np.float32))

    @classmethod
    def identity(cls, size: int) -> Self:
        """The identity matrix, a constant of shape `(size, size)`."""
        eye = np.eye(size, dtype=np.float32)[None]
        return cls(eye if eye.size >= MANY else objects(eye.astype(np.int64)))

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

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        """What is held, shape `[points, *shape]`."""
        return self.held

    @property
    def ints(self) -> Cells:
        """The numbers counted in `unit`: Python ints, shape `[points, *shape]`."""
        return self._counted()[0]

    @property
    def unit(self) -> Fraction:
        """The positive fraction of which every entry is counted as an integer multiple."""
        return self._counted()[1]

    @property
    def is_wide(self) -> bool:
        """True where floats or digits are held instead of Python ints."""
        return self.held.dtype != object

    @property
    def has_digits(self) -> bool:
        """True where digits are held."""
        return self.held.dtype.names is not None

    @property
    def _holds_floats(self) -> bool:
        return self.is_wide and not self.has_digits

    def find_digits(self) -> Digits | None:
        """The digits, shape `[points, *shape]`; None where an entry is no dyadic number, or they span too much."""
        if "digits" not in self._known:
            self._known["digits"] = self._converted_to_digits()
        return self._known["digits"]

    def to_digits(self) -> Digits:
        """As `find_digits`, where there are some.

        Raises:
            InputError: an entry is no dyadic number, or the numbers span too many binades.
        """
        digits = self.find_digits()
        if digits is None:
            raise InputError("these numbers have no digits to a power of two, or too many")
        return digits

    def _converted_to_digits(self) -> Digits | None:
        if self.has_digits:
            return Digits.from_cells(self.held, _log2(self.scale) // DIGIT_BITS)
        if self.is_wide and "swapped" in self._known:
            original, first, second = self._known["swapped"]
            digits = original.find_digits()
            return digits and Digits(digits.planes.swapaxes(first + 2, second + 2), digits.low, digits.few)
        if self.is_wide:
            return None if flushes_subnormals() else Digits.from_floats(self.held)
        if not _is_dyadic(self.scale):
            return None
        return Digits.from_ints(self.held * self.scale.numerator, 1 - self.scale.denominator.bit_length())

    def _counted(self) -> tuple[Cells, Fraction]:
        if not self.is_wide:
            return self.held, self.scale
        if "counted" not in self._known:
            if self.has_digits:
                ints, exponent = self.to_digits().to_ints()
                numbers = type(self)(ints, Fraction(2) ** exponent)._reduced()
            else:
                numbers = self._from_parts(*decode(torch.from_numpy(self.held.copy())))
            numbers.held.setflags(write=False)
            self._known["counted"] = numbers.held, numbers.scale
        return self._known["counted"]

    @property
    def is_dyadic(self) -> bool:
        """True where every entry is an integer times a power of two, as every finite float is."""
        return self.is_wide or _is_dyadic(self._reduced().scale)

    @property
    def bits(self) -> int:
        """The bit length of the largest integer held."""
        if self.is_wide and (digits := self.find_digits()) is not None:
            return digits.bits
        return max((abs(i).bit_length() for i in self.ints.ravel().tolist()), default=0)

    def to_fractions(self) -> NDArray[np.object_]:
        """The entries as `fractions.Fraction`, shape `[points, *shape]`."""
        result = np.empty(self.ints.size, dtype=object)
        result[:] = [i * self.unit for i in self.ints.ravel().tolist()]
        return result.reshape(self.ints.shape)

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

    # -- inside -----------------------------------------------------------------------------------------------

    def _with_cells(self, cells: Cells) -> Self:
        return type(self)(cells, self.scale)

    def _zero_cell(self) -> int:
        return 0

    def _alike(self, others: Sequence[Self]) -> list[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        arrays = (self, *others)
        if all(array._holds_floats for array in arrays):
            dtype = np.result_type(*(array.held for array in arrays))
            return [type(self)(array.held.astype(dtype, copy=False)) for array in arrays]
        unit = self.unit
        for array in others:
            unit = _common_unit(unit, array.unit)
        return [type(self)(a._ints_in(unit), unit) for a in arrays]

    def _takes(self, value: object) -> TypeGuard[Self | Scalar]:
        return isinstance(value, (ExactArray, Real))

    def _coerced(self, other: Self | Scalar) -> Self:
        return other if isinstance(other, ExactArray) else type(self)(*_number(other))

    def _ints_in(self, unit: Fraction) -> Cells:
        """The entries counted in a unit that divides this one."""
        factor = self.unit / unit
        return self.ints if factor == 1 else self.ints * factor.numerator

    def _with(self, other: Self | Scalar) -> tuple[Cells, Cells, Fraction]:
        """Both operands' integers in one unit, their axes aligned."""
        operand = self._coerced(other)
        unit = _common_unit(self.unit, operand.unit)
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
        return _align_digits(a, axes), _align_digits(b, axes)

    def _times_matrix(self, other: Self) -> Self:
        """`[points, *batch, m, k] @ [points', *batch', k, n]`."""
        if (self.is_wide or other.is_wide) and not (self._outgrows(other) or other._outgrows(self)):
            a, b = self.find_digits(), other.find_digits()
            if a is not None and b is not None and a.count * b.count <= MOST_PLANE_PRODUCTS:
                axes = max(self.ndim, other.ndim)
                return self.from_digits(_multiply_digits(_align_digits(a, axes), _align_digits(b, axes)))
        return type(self)(_matmul(self.ints, other.ints), self.unit * other.unit)._reduced()

    def _outgrows(self, other: Self) -> bool:
        """True for a few long ints times a small matrix of short numbers: digits of both would take longer to find."""
        return not self.is_wide and not other.has_digits and other.held.size <= _ENTRIES_PER_BIT * self.bits

    def _reduced(self) -> Self:
        """Ints with their greatest common divisor moved into the unit, so that they stay small."""
        divisor = abs(int(np.gcd.reduce(self.held, axis=None)))  # of one entry it is that entry, sign and all
        if divisor == 1:
            return self
        if divisor == 0:
            return type(self)(self.held)
        if divisor & (divisor - 1) == 0:
            return type(self)(self.held >> (divisor.bit_length() - 1), self.scale * divisor)
        return type(self)(self.held // divisor, self.scale * divisor)


@functools.lru_cache(maxsize=1024)
def _number(value: Scalar) -> tuple[Cells, Fraction]:
    number = ExactArray.from_fraction(value)
    return number.ints, number.unit


def _fraction(value: Scalar) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, Integral):
        return Fraction(int(value))
    if not math.isfinite(value):
        raise InputError(f"expected a finite number, got {value}")
    return Fraction(float(value))


def _is_dyadic(number: Fraction) -> bool:
    return number.denominator & (number.denominator - 1) == 0


def _log2(power: Fraction) -> int:
    """The exponent of a power of two."""
    return power.numerator.bit_length() - power.denominator.bit_length()


def _align_digits(digits: Digits, axes: int) -> Digits:
    """1-axes inserted after the points axis until there are so many logical axes."""
    points, *shape = digits.shape
    missing = axes - len(shape)
    return Digits(digits.planes.reshape(digits.count, points, *(1,) * missing, *shape), digits.low, digits.few)


def multiply_matrices(left: Digits, right: Digits) -> Digits | None:
    """`[points, *batch, m, k] @ [points', k, n]`, where the left has a batch or rows or neither; None for other shapes.

    None also where that takes more than `MOST_PLANE_PRODUCTS`.
    """
    rows, matrix = len(left.shape) - 1, len(right.shape) - 1
    if rows < 1 or matrix != 2 or left.shape[-1] != right.shape[-2] or left.count * right.count > MOST_PLANE_PRODUCTS:
        return None
    if rows == 1:
        product = _multiply_digits(Digits(left.planes[:, :, None], left.low), right)
        return Digits(product.planes[:, :, 0], product.low)
    return _multiply_digits(left, _align_digits(right, rows))


def _multiply_digits(left: Digits, right: Digits) -> Digits:
    """`[points, *batch, m, k] @ [points', *batch', k, n]`, axes aligned."""
    if math.prod(right.shape[:-2]) == 1:
        rows = left.planes.reshape(left.count, math.prod(left.shape[:-1]), left.shape[-1])
        matrix = right.planes.reshape(right.count, *right.shape[-2:])
        known = left.few if math.prod(left.shape[:-2]) == 1 else {}  # a batch may lie in memory in any order
        product = Digits(rows, left.low, known).matmul(Digits(matrix, right.low, right.few))
        return Digits(product.planes.reshape(product.count, *left.shape[:-1], right.shape[-1]), product.low)
    if math.prod(left.shape[:-2]) == 1:
        swapped = [Digits(one.planes.swapaxes(-1, -2), one.low, one.few) for one in (right, left)]
        product = _multiply_digits(*swapped)
        return Digits(product.planes.swapaxes(-1, -2), product.low)
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    a, b = (np.broadcast_to(one.planes, (one.count, *batch, *one.shape[-2:])) for one in (left, right))
    shape = (*batch, left.shape[-2], right.shape[-1])
    total, low = np.zeros((left.count + right.count + 2, *shape)), left.low + right.low
    for place in np.ndindex(*batch):
        product = Digits(a[(slice(None), *place)], left.low).matmul(Digits(b[(slice(None), *place)], right.low))
        start = product.low - low if product.count else 0
        total[(slice(start, start + product.count), *place)] = product.planes
    return Digits.from_planes(total, low)


def _common_unit(a: Fraction, b: Fraction) -> Fraction:
    """The largest fraction of which both are integer multiples."""
    if a == b:
        return a
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _matmul(left: Cells, right: Cells) -> Cells:
    """`[K, *batch, m, k] @ [K', *batch', k, n]`, the points and batch axes broadcast."""
    left, right = align(left, right)
    if math.prod(right.shape[:-2]) == 1:
        rows = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])
        return integer_matmul(rows, right.reshape(right.shape[-2:])).reshape(*left.shape[:-1], right.shape[-1])
    if math.prod(left.shape[:-2]) == 1:
        return _matmul(right.swapaxes(-1, -2), left.swapaxes(-1, -2)).swapaxes(-1, -2)
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    a = np.broadcast_to(left, batch + left.shape[-2:])
    b = np.broadcast_to(right, batch + right.shape[-2:])
    result = np.empty((*batch, a.shape[-2], b.shape[-1]), dtype=object)
    for place in np.ndindex(*batch):
        result[place] = integer_matmul(a[place], b[place])
    return result
