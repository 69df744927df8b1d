"""ModularArray: numbers modulo large primes, in which sums and products of stored numbers are cheap and exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from numbers import Real
from typing import Any, ClassVar, Self, TypeGuard

import numpy as np
import torch
from flint import fmpz
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import DIGIT_BITS, Digits
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.matrix_products import multiply_matrices
from whyactivate.arithmetic.points import Cells, PointsArray, align
from whyactivate.arithmetic.rational import Scalar
from whyactivate.errors import InputError

PRIME_BITS = 62
"""Primes are drawn from 2^61 to 2^62."""
LEAST_PRIMES = 2**55
"""There are more primes from 2^61 to 2^62 than this: x/ln x < π(x) < 1.25506 x/ln x (Rosser & Schoenfeld 1962)."""
_HALF = 31
_PLANES_AT_ONCE = 2**9


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
def residues_modulo(*primes: int) -> type[ModularArray]:
    """The arrays of residues modulo these primes, which must have 62 bits.

    Raises:
        InputError: one has not, or is not prime.
    """
    for prime in primes:
        if prime.bit_length() != PRIME_BITS or not fmpz(prime).is_prime():
            raise InputError(f"expected a prime of {PRIME_BITS} bits, got {prime}")
    return type("ModularArray", (ModularArray,), {"primes": primes, "__slots__": (), "__doc__": ModularArray.__doc__})


@dataclass(frozen=True, slots=True, eq=False)
class ModularArray(PointsArray):
    """Rational numbers modulo primes p, with the interface of `ExactArray` as far as sums and products go.

    A dyadic number has a residue modulo every odd prime, for 2 has an inverse there. Equal numbers have equal
    residues; different ones almost never do when p is drawn at random. Nothing here is ordered, so that operations
    which compare have no value. There is one point per prime, so that several primes cost little more than one.
    Classes with primes come from `residues_modulo`.

    Attributes:
        residues: int64, from 0 to p - 1, shape `[primes, *shape]`.
    """

    primes: ClassVar[tuple[int, ...]] = ()
    residues: NDArray[np.int64]

    # -- making -----------------------------------------------------------------------------------------------

    @classmethod
    def from_exact(cls, exact: ExactArray) -> Self:
        """The residues of exact numbers: of a constant modulo each prime, or of each point modulo its own.

        Raises:
            ZeroDivisionError: a prime divides a denominator.
        """
        if exact.is_wide and (digits := exact.find_digits()) is not None:
            return cls._from_digits(digits)
        residues = np.empty((len(cls.primes), math.prod(exact.shape)), dtype=np.int64)
        rows = exact.ints.reshape(exact.points, -1).tolist()
        for place, prime in enumerate(cls.primes):
            unit = exact.unit.numerator * _inverse(exact.unit.denominator, prime)
            residues[place] = [i * unit % prime for i in rows[place if len(rows) > 1 else 0]]
        return cls(residues.reshape(-1, *exact.shape))

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
        """Zeros of logical shape `shape`, as many points as there are primes."""
        return cls(np.zeros((len(cls.primes), *shape), dtype=np.int64))

    @classmethod
    def draw(cls, shape: Sequence[int], source: Bytes) -> Self:
        """A constant of independent residues, each as likely as any other."""
        wanted = math.prod(shape)
        rows: list[NDArray[np.int64]] = []
        for prime in cls.primes:
            found = np.zeros(0, dtype=np.int64)
            while len(found) < wanted:  # half of all numbers of 62 bits, or more, are below the prime
                drawn = np.frombuffer(source(16 * (wanted + 8)), dtype=np.int64) & ((1 << PRIME_BITS) - 1)
                found = np.concatenate([found, drawn[drawn < prime]])
            rows.append(found[:wanted])
        return cls(np.stack(rows).reshape(-1, *shape))

    @classmethod
    def _from_digits(cls, digits: Digits) -> Self:
        """The sum of digit times power of 2^22, the powers reduced and cut into three digits themselves."""
        total = np.zeros((len(cls.primes), *digits.shape[1:]), dtype=np.int64)
        for start in range(0, digits.count, _PLANES_AT_ONCE):
            planes = digits.planes[start : start + _PLANES_AT_ONCE]
            sums = np.empty((3, *total.shape))
            for place, prime in enumerate(cls.primes):
                own = planes[:, place if digits.shape[0] > 1 else 0].reshape(len(planes), -1)
                np.matmul(_cut_powers(prime, digits.low + start, len(planes)), own, out=sums[:, place].reshape(3, -1))
            moduli, part = cls._moduli(total), np.zeros_like(total)
            for plane in sums[::-1].astype(np.int64):  # each below 2^53 in size
                part = cls._plus(cls._times_small(part, 1 << DIGIT_BITS), np.where(plane < 0, plane + moduli, plane))
            total = cls._plus(total, part)
        return cls(total)

    # -- arithmetic -------------------------------------------------------------------------------------------

    def __add__(self, other: Self | ExactArray | Scalar) -> Self:
        if not self._takes(other):
            return NotImplemented
        a, b = align(self.residues, self._coerced(other).residues)
        return type(self)(self._plus(a, b))

    __radd__ = __add__

    def __neg__(self) -> Self:
        return type(self)(np.where(self.residues == 0, 0, self._moduli(self.residues) - self.residues))

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
            ZeroDivisionError: a divisor is 0, or its prime divides it.
        """
        if not self._takes(other):
            return NotImplemented
        divisor = self._coerced(other).residues
        pairs = [(int(i), prime) for row, prime in zip(divisor, self.primes, strict=True) for i in row.ravel()]
        inverses = np.array([_inverse(i, prime) for i, prime in pairs], dtype=np.int64)
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
        low = (self.residues & ((1 << _HALF) - 1)).sum(axis=axes, keepdims=keepdim)
        high = (self.residues >> _HALF).sum(axis=axes, keepdims=keepdim)
        moduli = self._moduli(low)
        return type(self)(self._plus(self._times(high % moduli, np.int64(1 << _HALF)), low % moduli))

    def equals(self, other: Self) -> bool:
        """True where shapes agree and every residue is the same."""
        return self.residues.shape == other.residues.shape and bool((self.residues == other.residues).all())

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        """The residues, shape `[points, *shape]`."""
        return self.residues

    def __str__(self) -> str:
        return f"ModularArray of shape {self.shape}, modulo {', '.join(map(str, self.primes))}"

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
        a, b = cls._as_digits(left), cls._as_digits(right)
        product = multiply_matrices(a, b)
        if product is None:
            return cls.from_exact(ExactArray.from_digits(a) @ ExactArray.from_digits(b))
        return cls._from_digits(product)

    @classmethod
    def _as_digits(cls, numbers: Self | ExactArray) -> Digits:
        if isinstance(numbers, ExactArray):
            if (digits := numbers.find_digits()) is not None:
                return digits
            numbers = cls.from_exact(numbers)
        rest, half = numbers.residues, 1 << (DIGIT_BITS - 1)
        planes: list[NDArray[np.int64]] = []
        for _ in range(3):
            planes.append(((rest + half) & ((1 << DIGIT_BITS) - 1)) - half)
            rest = (rest - planes[-1]) >> DIGIT_BITS
        return Digits(np.stack(planes).astype(np.float64), 0)

    @classmethod
    def _moduli(cls, cells: NDArray[Any]) -> NDArray[np.int64]:
        """The primes, each at its point, with as many axes as the cells have."""
        return np.array(cls.primes, dtype=np.int64).reshape(-1, *(1,) * (cells.ndim - 1))

    @classmethod
    def _plus(cls, a: Any, b: Any) -> NDArray[np.int64]:
        total = a + b
        moduli = cls._moduli(total)
        return np.where(total >= moduli, total - moduli, total)

    @classmethod
    def _times(cls, a: NDArray[np.int64], b: Any) -> NDArray[np.int64]:
        high = cls._times_small(a, b >> _HALF)
        return cls._plus(cls._times_small(high, 1 << _HALF), cls._times_small(a, b & ((1 << _HALF) - 1)))

    @classmethod
    def _times_small(cls, a: NDArray[np.int64], b: Any) -> NDArray[np.int64]:
        """`a` times numbers up to 2^31: the quotient by p is right to 1 in float64, the rest fits into 64 bits."""
        moduli = cls._moduli(a)
        quotient = (a.astype(np.float64) * b / moduli).astype(np.int64)
        with np.errstate(over="ignore"):
            rest = a * b - quotient * moduli
        rest = np.where(rest < 0, rest + moduli, rest)
        return np.where(rest >= moduli, rest - moduli, rest)


@lru_cache(maxsize=256)
def _cut_powers(prime: int, low: int, count: int) -> NDArray[np.float64]:
    """2^(22 k) modulo the prime for k from `low` on, each as three digits to the base 2^22: shape `(3, count)`."""
    powers = [pow(2, DIGIT_BITS * (low + k), prime) for k in range(count)]
    return np.array(
        [[power >> DIGIT_BITS * part & ((1 << DIGIT_BITS) - 1) for power in powers] for part in range(3)],
        dtype=np.float64,
    )


def _inverse(number: int, prime: int) -> int:
    if number % prime == 0:
        raise ZeroDivisionError(f"{number} has no inverse modulo {prime}")
    return pow(number, -1, prime)
