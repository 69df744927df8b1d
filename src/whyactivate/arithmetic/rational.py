"""RationalArray: how numbers without rounding are held: as integers times a fraction, as floats, or as digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import DIGIT_BITS, Digits, flushes_subnormals
from whyactivate.arithmetic.floats import FLOAT_FORMATS, decode
from whyactivate.arithmetic.points import Cells, PointsArray, objects
from whyactivate.errors import InputError

Scalar = int | float | Fraction
"""Exact scalars; a float stands for the dyadic rational that it is."""

MANY = 512
"""Arrays of so many entries are held as the floats that they were made from, or as digits, where that is possible."""


@dataclass(frozen=True, slots=True, eq=False)
class RationalArray(PointsArray):
    """An array of rational numbers, in whichever of three forms keeps them small.

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
            unit = common_unit(unit, array.unit)
        return [type(self)(a._ints_in(unit), unit) for a in arrays]

    def _ints_in(self, unit: Fraction) -> Cells:
        """The entries counted in a unit that divides this one."""
        factor = self.unit / unit
        return self.ints if factor == 1 else self.ints * factor.numerator

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


def common_unit(a: Fraction, b: Fraction) -> Fraction:
    """The largest fraction of which both are integer multiples."""
    if a == b:
        return a
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)
