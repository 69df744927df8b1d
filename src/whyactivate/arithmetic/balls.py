"""BallArray: numbers enclosed in balls, for functions whose values no fraction can hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Real
from typing import Any, Self, TypeGuard, TypeVar

import numpy as np
import torch
from flint import arb, arb_series, ctx, fmpq
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import on_one_scale
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.fixed_functions import Series, apply_series
from whyactivate.arithmetic.fixed_point import FixedPoint
from whyactivate.arithmetic.fixed_products import convolve, multiply_matrices
from whyactivate.arithmetic.planes import LONGEST_SUM
from whyactivate.arithmetic.points import Cells, Mask, PointsArray, align, objects
from whyactivate.arithmetic.rational import Scalar
from whyactivate.errors import InputError

DEFAULT_BITS = 128
_MANY_PRODUCTS = 1 << 14
"""From so many products on, those of matrices with more than the default precision are carried out in fixed point."""
_working_bits: ContextVar[int] = ContextVar("working_bits", default=DEFAULT_BITS)


@contextmanager
def working_precision(bits: int) -> Generator[None]:
    """Within it, balls made without saying how precise are made for `bits`, many of them in fixed point.

    That is much faster, but the numbers of one array then share a unit, and small ones are known less precisely.
    """
    token = _working_bits.set(bits)
    try:
        yield
    finally:
        _working_bits.reset(token)


@dataclass(frozen=True, slots=True, eq=False)
class BallArray(PointsArray):
    """An array of balls (python-flint's `arb`), each of which is proved to contain the true number.

    Shapes and indexing as in `PointsArray`. Every operation rounds outward at `bits` of working precision, and
    leaves flint's global precision as it found it. A value outside a function's domain, or a division by a ball
    that contains 0, gives a ball that is not finite and decides nothing.

    A comparison tells whether it *certainly* holds: where neither `a < b` nor `a >= b` is true, the balls do not
    decide. Source: Johansson, "Arb: efficient arbitrary-precision midpoint-radius interval arithmetic" (2017).

    Attributes:
        held: shape `[points, *shape]`: objects of `arb`, or records of numbers in fixed point.
        bits: working precision; of two operands the larger counts. At any but the default one, large products and what
            is computed from them by sums, products and extremes are held in fixed point, see `FixedPoint`.
        low: the position of the lowest digit of numbers in fixed point.
    """

    held: Cells
    bits: int = DEFAULT_BITS
    low: int = 0
    _known: dict[str, Cells] = field(default_factory=dict[str, Cells], init=False, repr=False)

    # -- making -----------------------------------------------------------------------------------------------

    @classmethod
    def from_exact(cls, exact: ExactArray, bits: int | None = None) -> Self:
        """Enclosures of exact numbers; of radius 0 where `bits` suffice."""
        bits = bits or _working_bits.get()
        if bits != DEFAULT_BITS and exact.is_wide and (fixed := FixedPoint.from_exact(exact)) is not None:
            return cls.from_fixed(fixed, bits)
        unit = fmpq(exact.unit.numerator, exact.unit.denominator)
        with ctx.workprec(bits):
            scale = arb(unit)
            return cls(_map(lambda i: arb(i) * scale, exact.ints), bits)

    @classmethod
    def from_fixed(cls, fixed: FixedPoint, bits: int) -> Self:
        """Balls that are held in fixed point."""
        return cls(fixed.to_cells(fixed.digits.low, fixed.digits.count), bits, fixed.digits.low)

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor, bits: int | None = None) -> Self:
        """The tensor's values as a constant; errors as `ExactArray.from_tensor`."""
        return cls.from_exact(ExactArray.from_tensor(tensor), bits)

    @classmethod
    def from_points(cls, tensor: torch.Tensor, bits: int | None = None) -> Self:
        """The tensor's values, its first axis being the points."""
        return cls.from_exact(ExactArray.from_points(tensor), bits)

    @classmethod
    def from_fraction(cls, value: Scalar, bits: int | None = None) -> Self:
        """One number as a 0-dimensional constant."""
        return cls.from_exact(ExactArray.from_fraction(value), bits)

    @classmethod
    def zeros(cls, points: int, shape: Sequence[int], bits: int | None = None) -> Self:
        """Zeros of shape `[points, *shape]`."""
        return cls(np.full((points, *shape), arb(0), dtype=object), bits or _working_bits.get())

    # -- arithmetic -------------------------------------------------------------------------------------------

    def __add__(self, other: Self | ExactArray | Scalar) -> Self:
        return self._binary(other, np.add, FixedPoint.plus)

    __radd__ = __add__

    def __neg__(self) -> Self:
        if self.is_fixed:
            return self.from_fixed(-self._fixed(self), self.bits)
        return type(self)(_map(lambda x: x.neg(exact=True), self.balls), self.bits)

    def __sub__(self, other: Self | ExactArray | Scalar) -> Self:
        return self + -_exact(other)

    def __rsub__(self, other: ExactArray | Scalar) -> Self:
        return -self + other

    def __mul__(self, other: Self | ExactArray | Scalar) -> Self:
        return self._binary(other, np.multiply, FixedPoint.times)

    __rmul__ = __mul__

    def __truediv__(self, other: Self | ExactArray | Scalar) -> Self:
        divisor = self._coerced(other)
        if self.is_fixed:
            return self * divisor.apply(lambda x: 1 / x)
        return self._binary(divisor, np.true_divide)

    def __rtruediv__(self, other: ExactArray | Scalar) -> Self:
        return self._coerced(other) / self

    def __matmul__(self, other: Self | ExactArray) -> Self:
        """Matrix product over the last two logical axes; leading axes broadcast, 1-D operands as in torch."""
        return self._product(self, other)

    def __rmatmul__(self, other: ExactArray) -> Self:
        return self._product(other, self)

    def convolve(self, weight: Self | ExactArray, transposed: bool, groups: int, **how: Sequence[int]) -> Self | None:
        """The convolution of `(batch, channels, *size)` with a constant weight, laid out as in torch, in fixed point.

        None where fixed point does not apply: at the default precision, or with filters of too many places. `how` gives
        stride, padding, dilation and output_padding per axis.
        """
        if self.bits == DEFAULT_BITS or weight.points > 1 or math.prod(weight.shape[2:]) > LONGEST_SUM:
            return None
        input, filters = self._fixed(self), self._fixed(weight)
        return self.from_fixed(convolve(input, filters, transposed, groups, how, self.bits), self.bits)

    def sum(self, dims: int | Sequence[int] | None = None, keepdim: bool = False) -> Self:
        """Sums over logical axes; over all of them where none is given."""
        if self.is_fixed:
            return self.from_fixed(self._fixed(self).sum(self._axes(dims), keepdim, self.bits), self.bits)
        with ctx.workprec(self.bits):
            balls = np.add.reduce(self.balls, axis=self._axes(dims), keepdims=keepdim, initial=arb(0))
        return type(self)(objects(balls), self.bits)

    # -- functions --------------------------------------------------------------------------------------------

    def apply(self, function: Callable[[arb], arb]) -> Self:
        """A function of flint's balls, of every entry."""
        with ctx.workprec(self.bits):
            return type(self)(_map(function, self.balls), self.bits)

    def _analytic(self, function: Callable[[arb], arb], series: Series) -> Self:
        """A function that is analytic on the whole real line, of every entry; many in fixed point by polynomials."""
        fixed = apply_series(self._fixed(self), series, self.bits) if self.is_fixed else None
        return self.apply(function) if fixed is None else self.from_fixed(fixed, self.bits)

    def __abs__(self) -> Self:
        return self.from_fixed(abs(self._fixed(self)), self.bits) if self.is_fixed else self.apply(abs)

    def around_zero(self) -> Self:
        """Balls with centre 0 that contain these."""
        return self.apply(lambda x: arb(0, x.abs_upper()))

    def exp(self) -> Self:
        """e^x."""
        return self._analytic(lambda x: x.exp(), arb_series.exp)

    def log(self) -> Self:
        """The natural logarithm; not finite where the ball reaches 0 or below."""
        return self.apply(lambda x: x.log())

    def log1p(self) -> Self:
        """log(1 + x), sharp near 0."""
        return self.apply(lambda x: x.log1p())

    def expm1(self) -> Self:
        """e^x - 1, sharp near 0."""
        return self._analytic(lambda x: x.expm1(), lambda x: x.exp() - 1)

    def sqrt(self) -> Self:
        """The square root; not finite where the ball reaches below 0."""
        return self.apply(lambda x: x.sqrt())

    def tanh(self) -> Self:
        """The hyperbolic tangent."""
        return self._analytic(lambda x: x.tanh(), lambda x: 1 - 2 / (1 + (2 * x).exp()))

    def erf(self) -> Self:
        """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
        return self._analytic(lambda x: x.erf(), arb_series.erf)

    def sigmoid(self) -> Self:
        """1 / (1 + e^-x), in the form that does not overflow."""
        return self._analytic(_sigmoid, lambda x: 1 / (1 + (-x).exp()))

    def softplus(self) -> Self:
        """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
        return self._analytic(_softplus, lambda x: (1 + x.exp()).log())

    def floor(self) -> Self:
        """The largest whole number not above."""
        return self.apply(lambda x: x.floor())

    def as_whole(self) -> Self:
        """The same numbers, of which it is known that they are whole: a ball around one of them is that one."""
        return self.apply(lambda x: x if (whole := x.unique_fmpz()) is None else arb(whole))

    def sin(self) -> Self:
        """The sine."""
        return self._analytic(lambda x: x.sin(), arb_series.sin)

    def cos(self) -> Self:
        """The cosine."""
        return self._analytic(lambda x: x.cos(), arb_series.cos)

    def maximum(self, other: Self | ExactArray | Scalar) -> Self:
        """The larger of the two, entry by entry; an enclosure also where the order is not decided."""
        return self._binary(other, np.frompyfunc(lambda x, y: x.max(y), 2, 1), FixedPoint.maximum)

    def minimum(self, other: Self | ExactArray | Scalar) -> Self:
        """The smaller of the two, entry by entry; an enclosure also where the order is not decided."""
        if self.is_fixed:
            return -(-self).maximum(-_exact(other))
        return self._binary(other, np.frompyfunc(lambda x, y: x.min(y), 2, 1))

    @classmethod
    def where(cls, yes_mask: Mask, no_mask: Mask, yes: Self, no: Self) -> Self:
        """`yes` where `yes_mask` certainly holds, `no` where `no_mask` does, and a ball around both elsewhere.

        As in `BallArray.where(x > 0, x <= 0, x, x.expm1())`.
        """
        bits = max(yes.bits, no.bits)

        def choose(first: bool, second: bool, x: arb, y: arb) -> arb:
            return x if first else y if second else x.union(y)

        with ctx.workprec(bits):
            return cls(objects(np.frompyfunc(choose, 4, 1)(*align(yes_mask, no_mask, yes.balls, no.balls))), bits)

    # -- comparing: does it certainly hold? -------------------------------------------------------------------

    def __lt__(self, other: Self | ExactArray | Scalar) -> Mask:
        return self._certainly(other, lambda x, y: x < y)

    def __le__(self, other: Self | ExactArray | Scalar) -> Mask:
        return self._certainly(other, lambda x, y: x <= y)

    def __gt__(self, other: Self | ExactArray | Scalar) -> Mask:
        return self._certainly(other, lambda x, y: x > y)

    def __ge__(self, other: Self | ExactArray | Scalar) -> Mask:
        return self._certainly(other, lambda x, y: x >= y)

    def __eq__(self, other: object) -> Mask:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Certainly equal: both are the same exact number."""
        if not self._takes(other):
            return NotImplemented
        return self._certainly(other, lambda x, y: x == y)

    def __ne__(self, other: object) -> Mask:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Certainly different: the balls are disjoint."""
        if not self._takes(other):
            return NotImplemented
        return self.disjoint(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def disjoint(self, other: Self | ExactArray | Scalar) -> Mask:
        """True where both balls are finite and have no number in common."""
        return self._certainly(other, lambda x, y: x.is_finite() and y.is_finite() and not x.overlaps(y))

    def contains(self, other: ExactArray | Scalar) -> Mask:
        """True where the exact number lies in the ball; decided exactly."""
        exact = other if isinstance(other, ExactArray) else ExactArray.from_fraction(other)
        balls, numbers = align(self.balls, exact.to_fractions())
        return objects(np.frompyfunc(_holds, 2, 1)(balls, numbers)).astype(bool)

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        """What is held, shape `[points, *shape]`."""
        return self.held

    @property
    def is_fixed(self) -> bool:
        """True where the numbers are held in fixed point."""
        return self.held.dtype.names is not None

    @property
    def balls(self) -> Cells:
        """The balls as objects of `arb`, shape `[points, *shape]`."""
        if not self.is_fixed:
            return self.held
        if "balls" not in self._known:
            self._known["balls"] = self._fixed(self).to_balls(self.bits)
        return self._known["balls"]

    def is_finite(self) -> Mask:
        """True where the ball is bounded; elsewhere it says nothing."""
        if self.is_fixed:
            return np.isfinite(self.held["radius"])
        return _map(lambda x: x.is_finite(), self.balls).astype(bool)

    def lower(self) -> torch.Tensor:
        """The largest float64 known not to exceed the true number, shape `[points, *shape]`; -inf where none is."""
        return self._ends(lambda x: -_float_up((-x).upper()))

    def upper(self) -> torch.Tensor:
        """A float64 not below the true number, shape `[points, *shape]`; inf where none is known."""
        return self._ends(lambda x: _float_up(x.upper()))

    def to_float64(self) -> torch.Tensor:
        """The midpoints, rounded to float64: for looking at, they prove nothing."""
        return self._ends(lambda x: float(x.mid()))

    def to_words(self) -> NDArray[np.object_]:
        """Each ball in decimal, as in `[0.4621171572 +/- 2.6e-11]`."""
        return _map(lambda x: x.str(10), self.balls)

    def __str__(self) -> str:
        held = "constant" if self.points == 1 else f"{self.points} points"
        return f"BallArray of shape {self.shape}, {held}, at {self.bits} bits"

    __repr__ = __str__

    # -- inside -----------------------------------------------------------------------------------------------

    def _with_cells(self, cells: Cells) -> Self:
        return type(self)(cells, self.bits, self.low)

    def _zero_cell(self) -> Any:
        return 0 if self.is_fixed else arb(0)

    def _alike(self, others: Sequence[Self]) -> list[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        arrays = (self, *others)
        bits = max(a.bits for a in arrays)
        if not any(a.is_fixed for a in arrays):
            return [type(self)(a.held, bits) for a in arrays]
        fixed = [*map(self._fixed, arrays)]
        digits = on_one_scale([one.digits for one in fixed])
        return [self.from_fixed(FixedPoint(own, one.radius), bits) for own, one in zip(digits, fixed, strict=True)]

    def _takes(self, value: object) -> TypeGuard[Self | ExactArray | Scalar]:
        return isinstance(value, (BallArray, ExactArray, Real))

    def _coerced(self, other: Self | ExactArray | Scalar) -> Self:
        given = _exact(other)
        return given if isinstance(given, BallArray) else self.from_exact(given, self.bits)

    def _product(self, first: Self | ExactArray, second: Self | ExactArray) -> Self:
        left: Self | ExactArray = first if first.ndim > 1 else first.reshape(1, -1)
        right: Self | ExactArray = second if second.ndim > 1 else second.reshape(-1, 1)
        if left.shape[-1] != right.shape[-2]:
            raise InputError(f"cannot multiply shapes {first.shape} and {second.shape}")
        bits = max(one.bits for one in (first, second) if isinstance(one, BallArray))
        a, b = align(left.cells, right.cells)
        leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        if bits != DEFAULT_BITS and math.prod((*leading, *a.shape[-2:], b.shape[-1])) >= _MANY_PRODUCTS:
            product = self.from_fixed(multiply_matrices(self._fixed(left), self._fixed(right), bits), bits)
        elif left.shape[-1]:
            a, b = align(self._coerced(left).balls, self._coerced(right).balls)
            with ctx.workprec(bits):
                product = type(self)(np.matmul(a, b), bits)
        else:
            product = self.zeros(leading[0], (*leading[1:], a.shape[-2], b.shape[-1]), bits)
        if first.ndim == 1:
            product = product[..., 0, :]
        return product[..., 0] if second.ndim == 1 else product

    def _fixed(self, numbers: Self | ExactArray) -> FixedPoint:
        if isinstance(numbers, BallArray) and numbers.is_fixed:
            return FixedPoint.from_cells(numbers.held, numbers.low)
        exact = FixedPoint.from_exact(numbers) if isinstance(numbers, ExactArray) else None
        return exact or FixedPoint.from_balls(self._coerced(numbers).balls, self.bits)

    def _binary(
        self,
        other: Self | ExactArray | Scalar,
        function: Callable[[Cells, Cells], Any],
        in_fixed_point: Callable[[FixedPoint, FixedPoint, int], FixedPoint] | None = None,
    ) -> Self:
        given = _exact(other)
        bits = max(self.bits, given.bits) if isinstance(given, BallArray) else self.bits
        if in_fixed_point is not None and (self.is_fixed or (isinstance(given, BallArray) and given.is_fixed)):
            axes = max(self.ndim, given.ndim) + 1
            a, b = (self._fixed(one).with_axes(axes) for one in (self, given))
            return self.from_fixed(in_fixed_point(a, b, bits), bits)
        operand = self._coerced(given)
        a, b = align(self.balls, operand.balls)
        with ctx.workprec(bits):
            return type(self)(objects(function(a, b)), bits)

    def _certainly(self, other: Self | ExactArray | Scalar, test: Callable[[arb, arb], bool]) -> Mask:
        operand = self._coerced(other)
        with ctx.workprec(max(self.bits, operand.bits)):
            return objects(np.frompyfunc(test, 2, 1)(*align(self.balls, operand.balls))).astype(bool)

    def _ends(self, end: Callable[[arb], float]) -> torch.Tensor:
        with ctx.workprec(self.bits):
            values = [end(x) for x in self.balls.ravel().tolist()]
        return torch.tensor(values, dtype=torch.float64, device="cpu").reshape(self.balls.shape)


_Balls = TypeVar("_Balls", bound=BallArray)


def _exact(numbers: _Balls | ExactArray | Scalar) -> _Balls | ExactArray:
    """Arrays as they are, and a number as an exact one."""
    return numbers if isinstance(numbers, (BallArray, ExactArray)) else ExactArray.from_fraction(numbers)


def _map(function: Callable[[Any], Any], cells: Cells) -> Cells:
    """`function` of every cell, the shape kept (0 entries included)."""
    return objects(np.frompyfunc(function, 1, 1)(cells))


def _sigmoid(x: arb) -> arb:
    return 1 / (1 + (-x).exp()) if x >= 0 else x.exp() / (1 + x.exp())


def _softplus(x: arb) -> arb:
    return x.max(arb(0)) + (-abs(x)).exp().log1p()


def _holds(ball: arb, number: Fraction) -> bool:
    if not ball.is_finite():
        return True
    return abs(_dyadic(ball.mid()) - number) <= _dyadic(ball.rad())


def _dyadic(number: arb) -> Fraction:
    significand, exponent = number.man_exp()
    return int(significand) * Fraction(2) ** int(exponent)


def _float_up(number: arb) -> float:
    """A float64 not below an upper end."""
    if number.is_nan():
        return math.inf
    near = float(number)
    return near if number <= arb(near) else math.nextafter(near, math.inf)
