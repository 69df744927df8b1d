"""ModularArray: numbers modulo a large prime, in which sums and products of stored numbers are cheap and exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import Any, ClassVar, Self, TypeGuard

import numpy as np
import torch
from flint import fmpz
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import DIGIT_BITS, Digits
from whyactivate.arithmetic.exact import ExactArray, Scalar
from whyactivate.arithmetic.points import Cells, PointsArray, align
from whyactivate.errors import InputError

PRIME_BITS = 62
"""Primes are drawn from 2^61 to 2^62."""
LEAST_PRIMES = 2**55
"""There are more primes from 2^61 to 2^62 than this: x/ln x < π(x) < 1.25506 x/ln x (Rosser & Schoenfeld 1962)."""
_HALF = 31


Bytes = Callable[[int], bytes]
"""So many random bytes, as `secrets.token_bytes` gives them."""


def draw_prime(source: Bytes) -> int:
    """A prime of 62 bits, each as likely as any other."""
    while True:
        drawn = int.from_bytes(source(8), "little") % (1 << (PRIME_BITS - 1))
        candidate = drawn | 1 | 1 << (PRIME_BITS - 1)
        if fmpz(candidate).is_prime():
            return candidate


@cache
def residues_modulo(prime: int) -> type[ModularArray]:
    """The arrays of residues modulo this prime, which must have 62 bits.

    Raises:
        InputError: it has not, or is not prime.
    """
    if prime.bit_length() != PRIME_BITS or not fmpz(prime).is_prime():
        raise InputError(f"expected a prime of {PRIME_BITS} bits, got {prime}")
    return type("ModularArray", (ModularArray,), {"prime": prime, "__slots__": (), "__doc__": ModularArray.__doc__})


@dataclass(frozen=True, slots=True, eq=False)
class ModularArray(PointsArray):
    """Rational numbers modulo a prime p, with the interface of `ExactArray` as far as sums and products go.

    A dyadic number has a residue modulo every odd prime, for 2 has an inverse there. Equal numbers have equal
    residues; different ones almost never do when p is drawn at random. Nothing here is ordered, so that operations
    which compare have no value. Classes with a prime come from `residues_modulo`.

    Attributes:
        residues: int64, from 0 to p - 1, shape `[points, *shape]`.
    """

    prime: ClassVar[int] = 0
    residues: NDArray[np.int64]

    # -- making -----------------------------------------------------------------------------------------------

    @classmethod
    def from_exact(cls, exact: ExactArray) -> Self:
        """The residues of exact numbers.

        Raises:
            ZeroDivisionError: the prime divides a denominator.
        """
        if exact.is_wide and (digits := exact.find_digits()) is not None:
            return cls._from_digits(digits)
        unit = exact.unit.numerator * cls._inverse(exact.unit.denominator)
        residues = np.empty(exact.ints.size, dtype=np.int64)
        residues[:] = [i * unit % cls.prime for i in exact.ints.ravel().tolist()]
        return cls(residues.reshape(exact.ints.shape))

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor) -> Self:
        """The residues of a tensor's values, a constant; errors as `ExactArray.from_tensor`."""
        return cls.from_exact(ExactArray.from_tensor(tensor))

    @classmethod
    def from_fraction(cls, value: Scalar) -> Self:
        """One number as a 0-dimensional constant."""
        return cls.from_exact(ExactArray.from_fraction(value))

    @classmethod
    def zeros(cls, points: int, shape: Sequence[int]) -> Self:
        """Zeros of shape `[points, *shape]`."""
        return cls(np.zeros((points, *shape), dtype=np.int64))

    @classmethod
    def draw(cls, shape: Sequence[int], source: Bytes) -> Self:
        """A constant of independent residues, each as likely as any other."""
        wanted = math.prod(shape)
        found = np.zeros(0, dtype=np.int64)
        while len(found) < wanted:  # half of all numbers of 62 bits, or more, are below the prime
            drawn = np.frombuffer(source(16 * (wanted + 8)), dtype=np.int64) & ((1 << PRIME_BITS) - 1)
            found = np.concatenate([found, drawn[drawn < cls.prime]])
        return cls(found[:wanted].reshape(1, *shape))

    @classmethod
    def _from_digits(cls, digits: Digits) -> Self:
        """By Horner's rule from the leading digit down."""
        total = np.zeros(digits.shape, dtype=np.int64)
        for plane in digits.planes[::-1]:
            total = cls._plus(cls._times_small(total, 1 << DIGIT_BITS), plane.astype(np.int64) % cls.prime)
        power = pow(2, DIGIT_BITS * digits.low, cls.prime)
        return cls(cls._times(total, np.int64(power)))

    # -- arithmetic -------------------------------------------------------------------------------------------

    def __add__(self, other: Self | ExactArray | Scalar) -> Self:
        if not self._takes(other):
            return NotImplemented
        a, b = align(self.residues, self._coerced(other).residues)
        return type(self)(self._plus(a, b))

    __radd__ = __add__

    def __neg__(self) -> Self:
        return type(self)(np.where(self.residues == 0, 0, self.prime - self.residues))

    def __sub__(self, other: Self | ExactArray | Scalar) -> Self:
        if not self._takes(other):
            return NotImplemented
        return self + -self._coerced(other)

    def __rsub__(self, other: ExactArray | Scalar) -> Self:
        return -self + other

    def __mul__(self, other: Self | ExactArray | Scalar) -> Self:
        if not self._takes(other):
            return NotImplemented
        if isinstance(other, Real) and other == 1:
            return self
        a, b = align(self.residues, self._coerced(other).residues)
        return type(self)(self._times(a, b))

    __rmul__ = __mul__

    def __truediv__(self, other: Self | ExactArray | Scalar) -> Self:
        """The quotient, entry by entry.

        Raises:
            ZeroDivisionError: a divisor is 0, or the prime divides it.
        """
        if not self._takes(other):
            return NotImplemented
        divisor = self._coerced(other).residues
        inverses = np.array([self._inverse(int(i)) for i in divisor.ravel()], dtype=np.int64)
        a, b = align(self.residues, inverses.reshape(divisor.shape))
        return type(self)(self._times(a, b))

    def __matmul__(self, other: Self | ExactArray) -> Self:
        """Matrix product over the last two logical axes; leading axes broadcast, 1-D operands as in torch."""
        return self._product(self, other)

    def __rmatmul__(self, other: ExactArray) -> Self:
        return self._product(other, self)

    def sum(self, dims: int | Sequence[int] | None = None, keepdim: bool = False) -> Self:
        """Sums over logical axes; over all of them where none is given."""
        axes = self._axes(dims)
        low = (self.residues & ((1 << _HALF) - 1)).sum(axis=axes, keepdims=keepdim) % self.prime
        high = (self.residues >> _HALF).sum(axis=axes, keepdims=keepdim) % self.prime
        return type(self)(self._plus(self._times(np.asarray(high), np.int64(1 << _HALF)), np.asarray(low)))

    def equals(self, other: Self) -> bool:
        """True where shapes agree and every residue is the same."""
        return self.residues.shape == other.residues.shape and bool((self.residues == other.residues).all())

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        """The residues, shape `[points, *shape]`."""
        return self.residues

    def __str__(self) -> str:
        return f"ModularArray of shape {self.shape}, modulo {self.prime}"

    __repr__ = __str__

    # -- inside -----------------------------------------------------------------------------------------------

    def _with_cells(self, cells: Cells) -> Self:
        return type(self)(cells)

    def _zero_cell(self) -> int:
        return 0

    def _alike(self, others: Sequence[Self]) -> list[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return [self, *others]

    def _takes(self, value: object) -> TypeGuard[Self | ExactArray | Scalar]:
        return isinstance(value, (type(self), ExactArray, Real))

    def _coerced(self, other: Self | ExactArray | Scalar) -> Self:
        if isinstance(other, type(self)):
            return other
        if isinstance(other, ExactArray):
            return self.from_exact(other)
        assert not isinstance(other, ModularArray), "residues modulo different primes have nothing in common"
        return self.from_fraction(other)

    @classmethod
    def _product(cls, left: Self | ExactArray, right: Self | ExactArray) -> Self:
        """Integers instead of residues are multiplied, without rounding; the product is reduced in the end."""
        product = cls._as_integers(left) @ cls._as_integers(right)
        return cls.from_exact(product)

    @classmethod
    def _as_integers(cls, numbers: Self | ExactArray) -> ExactArray:
        if isinstance(numbers, ExactArray):
            if numbers.find_digits() is not None:
                return numbers
            numbers = cls.from_exact(numbers)
        rest, half = numbers.residues, 1 << (DIGIT_BITS - 1)
        planes: list[NDArray[np.int64]] = []
        for _ in range(3):
            planes.append(((rest + half) & ((1 << DIGIT_BITS) - 1)) - half)
            rest = (rest - planes[-1]) >> DIGIT_BITS
        return ExactArray(Digits(np.stack(planes).astype(np.float64), 0).to_cells())

    @classmethod
    def _inverse(cls, number: int) -> int:
        if number % cls.prime == 0:
            raise ZeroDivisionError(f"{number} has no inverse modulo {cls.prime}")
        return pow(number, -1, cls.prime)

    @classmethod
    def _plus(cls, a: Any, b: Any) -> NDArray[np.int64]:
        total = a + b
        return np.where(total >= cls.prime, total - cls.prime, total)

    @classmethod
    def _times(cls, a: NDArray[np.int64], b: Any) -> NDArray[np.int64]:
        high = cls._times_small(a, b >> _HALF)
        return cls._plus(cls._times_small(high, 1 << _HALF), cls._times_small(a, b & ((1 << _HALF) - 1)))

    @classmethod
    def _times_small(cls, a: NDArray[np.int64], b: Any) -> NDArray[np.int64]:
        """`a` times numbers up to 2^31: the quotient by p is right to 1 in float64, the rest fits into 64 bits."""
        quotient = (a.astype(np.float64) * b / cls.prime).astype(np.int64)
        with np.errstate(over="ignore"):
            rest = a * b - quotient * cls.prime
        rest = np.where(rest < 0, rest + cls.prime, rest)
        return np.where(rest >= cls.prime, rest - cls.prime, rest)
