"""EnclosureArray: numbers enclosed in float64 intervals, fast enough for networks of any size."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self, TypeGuard

import numpy as np
import torch
from flint import arb
from numpy.typing import NDArray

from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.digits import flushes_subnormals
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import FLOAT_FORMATS, decode
from whyactivate.arithmetic.points import Cells, Mask, PointsArray, align
from whyactivate.arithmetic.rational import Scalar
from whyactivate.errors import InputError

Floats = NDArray[np.float64]
Pairs = NDArray[np.complex128]

_ROUNDING = 2.0**-52
"""Twice float64's unit roundoff, so that second-order terms are covered."""
_GENEROUS = 1 + 2.0**-45
"""Covers the roundings made in computing a radius."""
_TINY = 2.0**-1018
"""Covers what underflows, gradually or to zero, and subnormal operands that are taken for zero."""
_FUNCTION_ERROR = 2.0**-46
"""How far NumPy's and PyTorch's float64 functions are taken to be off, relatively."""

_BITS_OF_BALLS = 64
"""With how many bits a function is computed in balls: a few more than float64 has."""

_quietly = np.errstate(all="ignore")


@dataclass(frozen=True, slots=True, eq=False)
class EnclosureArray(PointsArray):
    """An array of intervals midpoint ± radius, in float64, each of which contains the true number.

    Shapes and indexing as in `PointsArray`. Sums and products are bounded a priori, as for any IEEE arithmetic with
    sums in any order, and generously: γₙ doubled, and an absolute term for underflow, which also covers processors
    that flush subnormal numbers to zero. Functions (exp, tanh, erf, …) are taken to be right to a relative error of
    2^-46 as NumPy and PyTorch compute them; their documented errors are a few units in the last place of float64.
    Where a number overflows, or an interval reaches beyond a function's domain, the interval is the whole line and
    decides nothing; the midpoint is still what float64 computes.

    A comparison tells whether it *certainly* holds, as for a `BallArray`.
    Source: Rump, "Fast and parallel interval arithmetic" (BIT 39, 1999); Higham (2002), section 3.1.

    Attributes:
        pairs: complex array of shape `[points, *shape]`: midpoint + i·radius, so that both are moved as one.
    """

    pairs: Pairs

    # -- making -----------------------------------------------------------------------------------------------

    @classmethod
    def from_exact(cls, exact: ExactArray) -> Self:
        """Enclosures of exact numbers.

        Raises:
            InputError: an entry lies beyond the largest float64.
        """
        middle = exact.to_float64().numpy()
        if exact.is_dyadic and exact.bits <= 53:
            return cls._of_floats(middle)
        return cls._made(middle, np.abs(middle) * _ROUNDING)

    @classmethod
    def from_balls(cls, balls: BallArray) -> Self:
        """Enclosures of what the balls enclose."""
        return cls._between(balls.lower().numpy(), balls.upper().numpy())

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor) -> Self:
        """The tensor's values as a constant; NaN and infinity give the whole line.

        Raises:
            InputError: complex or float8 dtype.
        """
        return cls.from_points(tensor.detach()[None])

    @classmethod
    def from_points(cls, tensor: torch.Tensor) -> Self:
        """The tensor's values, its first axis being the points."""
        if tensor.dtype not in FLOAT_FORMATS or flushes_subnormals():
            significand, exponent = decode(tensor)
            middle = np.ldexp(significand.astype(np.float64), exponent)
            if np.abs(significand).max(initial=0) > 1 << 53:
                return cls._made(middle, np.abs(middle) * _ROUNDING)
            return cls._of_floats(middle)
        return cls._of_floats(tensor.detach().cpu().double().numpy())

    @classmethod
    def from_fraction(cls, value: Scalar) -> Self:
        """One number as a 0-dimensional constant."""
        try:
            middle = float(value)
        except OverflowError:
            middle = math.inf
        if not math.isfinite(middle) or value == middle:  # Python compares without rounding
            return cls._of_floats(np.array([middle]))
        return cls._made(np.array([middle]), np.array([abs(middle) * _ROUNDING]))

    @classmethod
    def zeros(cls, points: int, shape: Sequence[int]) -> Self:
        """Zeros of shape `[points, *shape]`."""
        return cls(np.zeros((points, *shape), dtype=np.complex128))

    # -- arithmetic -------------------------------------------------------------------------------------------

    @_quietly
    def __add__(self, other: Numbers) -> Self:
        if not self._takes(other):
            return NotImplemented
        a, b = self._with(other)
        middle = a.real + b.real
        return self._made(middle, a.imag + b.imag + np.abs(middle) * _ROUNDING)

    __radd__ = __add__

    def __neg__(self) -> Self:
        return type(self)(_paired(-self._middle, self._radius))

    def __sub__(self, other: Numbers) -> Self:
        if not self._takes(other):
            return NotImplemented
        return self + -other

    def __rsub__(self, other: Numbers) -> Self:
        if not self._takes(other):
            return NotImplemented
        return -self + other

    @_quietly
    def __mul__(self, other: Numbers) -> Self:
        if not self._takes(other):
            return NotImplemented
        if isinstance(other, Real) and other == 1:
            return type(self)(self.pairs)
        a, b = self._with(other)
        middle, size = a.real * b.real, np.abs(b.real)
        return self._made(middle, np.abs(a.real) * b.imag + a.imag * (size + b.imag) + np.abs(middle) * _ROUNDING)

    __rmul__ = __mul__

    @_quietly
    def __truediv__(self, other: Numbers) -> Self:
        """Entrywise quotient; the whole line where the divisor may be 0."""
        if not self._takes(other):
            return NotImplemented
        a, b = self._with(other)
        middle = a.real / b.real
        smallest = (np.abs(b.real) - b.imag * _GENEROUS) / _GENEROUS
        radius = (a.imag + np.abs(middle) * b.imag) / smallest + np.abs(middle) * _ROUNDING
        quotient = self._made(middle, np.where(smallest > _TINY, radius, math.inf))
        if a.imag.any() or b.imag.any():
            return quotient
        is_whole = (np.fmod(a.real, b.real) == 0) & (np.abs(middle) < 2.0**53)
        return type(self).where(is_whole, ~is_whole, self._of_floats(np.rint(middle)), quotient)

    def __rtruediv__(self, other: Numbers) -> Self:
        if not self._takes(other):
            return NotImplemented
        return self._coerced(other) / self

    @_quietly
    def __matmul__(self, other: Self | ExactArray | BallArray) -> Self:
        """Matrix product over the last two logical axes; leading axes broadcast, 1-D operands as in torch."""
        factor = self._coerced(other)
        left = self if self.ndim > 1 else self.reshape(1, -1)
        right = factor if factor.ndim > 1 else factor.reshape(-1, 1)
        if left.shape[-1] != right.shape[-2]:
            raise InputError(f"cannot multiply shapes {self.shape} and {factor.shape}")
        product = self._bilinear(left, right, _matmul, left.shape[-1]).pairs
        if self.ndim == 1:
            product = product[..., 0, :]
        if factor.ndim == 1:
            product = product[..., 0]
        return type(self)(product)

    def __rmatmul__(self, other: ExactArray | BallArray) -> Self:
        return self._coerced(other) @ self

    @_quietly
    def convolve(self, weight: Self, transposed: bool, groups: int, **how: Sequence[int]) -> Self:
        """The convolution of `(batch, channels, *size)` with a constant weight, laid out as in torch.

        `how` gives stride, padding, dilation and output_padding per axis. PyTorch's float64 convolution on the CPU
        sums products as they stand (no Winograd, no Fourier transform), so the bound for sums holds.
        """
        batch, *rest = self.shape
        names = ("stride", "padding", "dilation")

        def product(a: Floats, b: Floats) -> Floats:
            result: torch.Tensor = torch.ops.aten.convolution.default(
                _tensor(a).reshape(-1, *rest),
                _tensor(b)[0],
                None,
                *(list(how[name]) for name in names),
                transposed,
                list(how["output_padding"]),
                groups,
            )
            return result.numpy().reshape(self.points, batch, *result.shape[1:])

        channels = weight.shape[0] // groups if transposed else weight.shape[1]
        terms = math.prod(weight.shape[2:]) * channels
        return self._bilinear(self, weight, product, terms)

    @_quietly
    def sum(self, dims: int | Sequence[int] | None = None, keepdim: bool = False) -> Self:
        """Sums over logical axes; over all of them where none is given."""
        axes = self._axes(dims)
        terms = math.prod(self.cells.shape[axis] for axis in axes)
        middle = self._middle.sum(axis=axes, keepdims=keepdim)
        size = (self._radius + np.abs(self._middle) * _growth(terms)).sum(axis=axes, keepdims=keepdim)
        return self._made(middle, size * (1 + _growth(terms)) + terms * _TINY)

    # -- functions --------------------------------------------------------------------------------------------

    def apply(self, function: Callable[[arb], arb]) -> Self:
        """A function of flint's balls, of every entry: for those of which float64 libraries promise nothing."""
        return self.from_balls(BallArray(_balls(self.pairs), _BITS_OF_BALLS).apply(function))

    def __abs__(self) -> Self:
        return type(self)(_paired(np.abs(self._middle), self._radius))

    def exp(self) -> Self:
        """e^x."""
        return self._rising(np.exp)

    def log(self) -> Self:
        """The natural logarithm; the whole line where the interval reaches 0 or below."""
        return self._rising(np.log)

    def log1p(self) -> Self:
        """log(1 + x), sharp near 0."""
        return self._rising(np.log1p)

    def expm1(self) -> Self:
        """e^x - 1, sharp near 0."""
        return self._rising(np.expm1)

    def sqrt(self) -> Self:
        """The square root; the whole line where the interval reaches below 0."""
        return self._rising(np.sqrt, _ROUNDING)

    def tanh(self) -> Self:
        """The hyperbolic tangent."""
        return self._rising(np.tanh)

    def erf(self) -> Self:
        """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
        return self._rising(lambda x: torch.erf(torch.from_numpy(x)).numpy())

    def sigmoid(self) -> Self:
        """1 / (1 + e^-x)."""
        return self._rising(lambda x: 1 / (1 + np.exp(-x)))

    def softplus(self) -> Self:
        """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
        return self._rising(lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))

    def floor(self) -> Self:
        """The largest whole number not above."""
        return self._rising(np.floor, 0.0)

    def as_whole(self) -> Self:
        """The same numbers, of which it is known that they are whole: an interval around one of them is that one."""
        lower, upper = (function(end) for function, end in zip((np.ceil, np.floor), _ends(self.pairs), strict=True))
        single = lower == upper
        return type(self)(_paired(np.where(single, lower, self._middle), np.where(single, 0.0, self._radius)))

    def sin(self) -> Self:
        """The sine."""
        return self._swinging(np.sin)

    def cos(self) -> Self:
        """The cosine."""
        return self._swinging(np.cos)

    def maximum(self, other: Numbers) -> Self:
        """The larger of the two, entry by entry; an enclosure also where the order is not decided."""
        a, b = self._with(other)
        (lower_a, upper_a), (lower_b, upper_b) = _ends(a), _ends(b)
        return self._extreme(a, b, np.maximum, lower_a >= upper_b, lower_b >= upper_a)

    def minimum(self, other: Numbers) -> Self:
        """The smaller of the two, entry by entry; an enclosure also where the order is not decided."""
        a, b = self._with(other)
        (lower_a, upper_a), (lower_b, upper_b) = _ends(a), _ends(b)
        return self._extreme(a, b, np.minimum, upper_a <= lower_b, upper_b <= lower_a)

    @classmethod
    def where(cls, yes_mask: Mask, no_mask: Mask, yes: Self, no: Self) -> Self:
        """`yes` where `yes_mask` certainly holds, `no` where `no_mask` does, and an interval around both elsewhere."""
        first, second, a, b = align(yes_mask, no_mask, yes.pairs, no.pairs)
        (lower_a, upper_a), (lower_b, upper_b) = _ends(a), _ends(b)
        both = cls._between(np.minimum(lower_a, lower_b), np.maximum(upper_a, upper_b)).pairs
        return cls(np.where(first, a, np.where(second, b, both)))

    # -- comparing: does it certainly hold? -------------------------------------------------------------------

    def __lt__(self, other: Numbers) -> Mask:
        (_, a), (b, _) = map(_ends, self._with(other))
        return a < b

    def __le__(self, other: Numbers) -> Mask:
        (_, a), (b, _) = map(_ends, self._with(other))
        return a <= b

    def __gt__(self, other: Numbers) -> Mask:
        (a, _), (_, b) = map(_ends, self._with(other))
        return a > b

    def __ge__(self, other: Numbers) -> Mask:
        (a, _), (_, b) = map(_ends, self._with(other))
        return a >= b

    def __eq__(self, other: object) -> Mask:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Certainly equal: both are the same number."""
        if not self._takes(other):
            return NotImplemented
        a, b = self._with(other)
        return (a.real == b.real) & (a.imag == 0) & (b.imag == 0)

    def __ne__(self, other: object) -> Mask:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Certainly different: the intervals are disjoint."""
        return self.disjoint(other) if self._takes(other) else NotImplemented

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def disjoint(self, other: Numbers) -> Mask:
        """True where the intervals have no number in common."""
        return (self < other) | (self > other)

    def contains(self, other: ExactArray | Scalar) -> Mask:
        """True where the exact number lies in the interval; decided exactly."""
        exact = other if isinstance(other, ExactArray) else ExactArray.from_fraction(other)
        bounded = self.is_finite()
        middle, radius = (
            ExactArray.from_points(torch.from_numpy(np.where(bounded, part, 0.0)))
            for part in (self._middle, self._radius)
        )
        return ~bounded | (abs(exact - middle) <= radius)

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def cells(self) -> NDArray[Any]:
        """Midpoint + i·radius, shape `[points, *shape]`."""
        return self.pairs

    def is_finite(self) -> Mask:
        """True where the interval is bounded; elsewhere it says nothing."""
        return np.isfinite(self._radius)

    def lower(self) -> torch.Tensor:
        """A float64 not above the true number, shape `[points, *shape]`; -inf where none is known."""
        return torch.from_numpy(_ends(self.pairs)[0])

    def upper(self) -> torch.Tensor:
        """A float64 not below the true number, shape `[points, *shape]`; inf where none is known."""
        return torch.from_numpy(_ends(self.pairs)[1])

    def to_float64(self) -> torch.Tensor:
        """The midpoints, shape `[points, *shape]`: for looking at, they prove nothing."""
        return torch.from_numpy(self._middle.copy())

    def radius(self) -> torch.Tensor:
        """The radii, shape `[points, *shape]`; inf where nothing is known."""
        return torch.from_numpy(self._radius.copy())

    def __str__(self) -> str:
        held = "constant" if self.points == 1 else f"{self.points} points"
        return f"EnclosureArray of shape {self.shape}, {held}"

    __repr__ = __str__

    # -- inside -----------------------------------------------------------------------------------------------

    @property
    def _middle(self) -> Floats:
        return self.pairs.real

    @property
    def _radius(self) -> Floats:
        return self.pairs.imag

    @classmethod
    @_quietly
    def _made(cls, middle: Floats, radius: Floats) -> Self:
        """Around a computed midpoint and radius: a little wider, and the whole line where one of them is not finite."""
        wide = radius * _GENEROUS + _TINY
        sound = np.isfinite(middle)
        return cls(_paired(np.where(sound, middle, 0.0), np.where(sound & np.isfinite(wide), wide, math.inf)))

    @classmethod
    def _of_floats(cls, middle: Floats) -> Self:
        """Numbers that float64 holds exactly; subnormal ones get a radius, for some processors take them for zero."""
        small = np.abs(middle) < _TINY
        known = np.isfinite(middle)
        if not small.any() and known.all():
            return cls(middle.astype(np.complex128))
        if not flushes_subnormals():
            small &= middle != 0
        radius = np.where(known, np.where(small, _TINY, 0.0), math.inf)
        return cls(_paired(np.where(known, middle, 0.0), radius))

    @classmethod
    @_quietly
    def _between(cls, lower: Floats, upper: Floats) -> Self:
        """The smallest intervals, nearly, from a lower to an upper end."""
        middle = lower / 2 + upper / 2
        return cls._made(middle, np.maximum(upper - middle, middle - lower) + np.abs(middle) * _ROUNDING)

    def _with_cells(self, cells: NDArray[Any]) -> Self:
        return type(self)(cells)

    def _zero_cell(self) -> complex:
        return 0j

    def _alike(self, others: Sequence[Self]) -> list[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return [self, *others]

    def _takes(self, value: object) -> TypeGuard[Numbers]:
        return isinstance(value, (EnclosureArray, ExactArray, BallArray, Real))

    def _coerced(self, other: Numbers) -> Self:
        return self.enclosing(other)

    @classmethod
    def enclosing(cls, numbers: Numbers) -> Self:
        """Enclosures of numbers of any kind."""
        if isinstance(numbers, EnclosureArray):
            return cls(numbers.pairs)
        if isinstance(numbers, ExactArray):
            return cls.from_exact(numbers)
        return cls.from_balls(numbers) if isinstance(numbers, BallArray) else cls(_number(numbers))

    def _with(self, other: Numbers) -> list[Pairs]:
        return align(self.pairs, self._coerced(other).pairs)

    @_quietly
    def _rising(self, function: Callable[[Floats], Floats], error: float = _FUNCTION_ERROR) -> Self:
        """A function that nowhere falls, of every entry, computed to this relative error."""
        ends = _ends(self.pairs)
        lower, middle, upper = (function(np.ascontiguousarray(x)) for x in (ends[0], self._middle, ends[1]))
        spread = np.maximum(upper - middle, middle - lower)
        return self._made(middle, spread + np.maximum(np.abs(lower), np.abs(upper)) * (2 * error))

    @_quietly
    def _swinging(self, function: Callable[[Floats], Floats]) -> Self:
        """A function whose slope lies between -1 and 1, of every entry."""
        return self._made(function(self._middle), self._radius + _FUNCTION_ERROR)

    def _extreme(self, a: Pairs, b: Pairs, choose: Callable[..., Any], first: Mask, second: Mask) -> Self:
        """Maximum or minimum: `a` or `b` where one certainly wins, else no further off than the worse of them."""
        both = _paired(choose(a.real, b.real), np.maximum(a.imag, b.imag))
        return type(self)(np.where(first, a, np.where(second, b, both)))

    @classmethod
    def _bilinear(cls, left: Self, right: Self, product: Callable[[Floats, Floats], Floats], terms: int) -> Self:
        """A sum of at most `terms` products of an entry of one array and one of the other, as `product` computes it.

        The product of the absolute values bounds what rounding adds, in whatever order the sum is taken.
        """
        growth = _growth(terms)
        size_a, size_b = np.abs(left._middle), np.abs(right._middle)
        middle = product(left._middle, right._middle)
        radius = product(size_a, right._radius + size_b * growth)
        if left._radius.any():
            radius = radius + product(left._radius, size_b + right._radius)
        return cls._made(middle, radius * (1 + growth) + terms * _TINY)


Numbers = EnclosureArray | ExactArray | BallArray | Scalar
"""What an enclosure can be combined with."""


@functools.lru_cache(maxsize=1024)
def _number(value: Scalar) -> Pairs:
    return EnclosureArray.from_fraction(value).pairs


def _paired(middle: Floats, radius: Floats) -> Pairs:
    pairs = np.empty(np.broadcast_shapes(middle.shape, radius.shape), dtype=np.complex128)
    pairs.real = middle
    pairs.imag = radius
    return pairs


@_quietly
def _ends(pairs: Pairs) -> tuple[Floats, Floats]:
    """Lower and upper ends, rounded outward."""
    middle, radius = pairs.real, pairs.imag
    lower, upper = middle - radius, middle + radius
    slack = np.maximum(np.abs(lower), np.abs(upper)) * _ROUNDING + _TINY
    sharp = radius == 0
    return np.where(sharp, middle, lower - slack), np.where(sharp, middle, upper + slack)


def _balls(pairs: Pairs) -> Cells:
    """The intervals as objects of flint's; an unbounded one is the whole line."""
    ends = (part.ravel().tolist() for part in (pairs.real, pairs.imag))
    balls = np.empty(pairs.size, dtype=object)
    balls[:] = [arb(middle, radius) for middle, radius in zip(*ends, strict=True)]
    return balls.reshape(pairs.shape)


def _growth(terms: int) -> float:
    """Twice what rounding can add to a sum of products of `terms` terms, relative to the sum of their sizes."""
    return (terms + 4) * _ROUNDING


def _matmul(left: Floats, right: Floats) -> Floats:
    """`[K, *batch, m, k] @ [K', *batch', k, n]`, the points and batch axes broadcast."""
    left, right = align(left, right)
    if math.prod(right.shape[:-2]) == 1:
        rows = _tensor(left.reshape(math.prod(left.shape[:-1]), left.shape[-1]))
        product = rows @ _tensor(right.reshape(right.shape[-2:]))
        return product.numpy().reshape(*left.shape[:-1], right.shape[-1])
    if math.prod(left.shape[:-2]) == 1:
        return _matmul(right.swapaxes(-1, -2), left.swapaxes(-1, -2)).swapaxes(-1, -2)
    return (_tensor(left) @ _tensor(right)).numpy()


def _tensor(array: Floats) -> torch.Tensor:
    return torch.from_numpy(np.array(array, order="C"))
