"""Large products of balls: midpoints in fixed point on float64 hardware, radii bounded in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from flint import arb, ctx, fmpz
from numpy.typing import NDArray

from whyactivate.arithmetic.digits import Digits
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.planes import BASE, LONGEST_SUM
from whyactivate.arithmetic.points import Cells

Floats = NDArray[np.float64]

_GENEROUS = 1 + 2.0**-20
"""Covers the roundings in a sum of up to 2^30 products of floats, in whatever order, and much more."""
_TINY = 2.0**-1000
"""Covers what underflows, gradually or to zero; a radius or a size is never so small."""
_LARGEST = 900
"""Balls beyond 2^900 are taken for unknown numbers, so that float64 holds radii and sizes."""
_UNKNOWN = arb("nan")


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Numbers in intervals midpoint ± radius, whose midpoints are whole multiples of one unit.

    A product's midpoints are then exact: see `Digits`. What is cut off below the unit, and what was uncertain before,
    goes into the radius, and the radii of a product come from products of sizes and radii in float64, rounded upward.

    Attributes:
        digits: the midpoints.
        size: floats not below the midpoints' absolute values, of the same shape.
        radius: floats not below the radii, of the same shape; infinite where nothing is known.
    """

    digits: Digits
    size: Floats
    radius: Floats

    @classmethod
    def from_balls(cls, balls: Cells, bits: int) -> Self:
        """Balls, cut off `bits` below the leading bit of the largest."""
        parts = [_parts(ball) for ball in balls.ravel().tolist()]
        tops = [significand.bit_length() + exponent for significand, exponent, _ in parts if significand]
        unit = max(tops, default=0) - bits
        ints = [s << e - unit if e >= unit else s >> unit - e for s, e, _ in parts]
        middle = _object_array(ints).reshape(balls.shape)
        cut = np.array([math.ldexp(1.0, unit) + _TINY if s and e < unit else 0.0 for s, e, _ in parts])
        radius = (cut + np.array([r for _, _, r in parts])).reshape(balls.shape) * _GENEROUS
        size = np.ldexp(np.abs(middle).astype(np.float64), unit) * _GENEROUS + _TINY
        return cls(Digits.from_ints(middle, unit), size, radius)

    @classmethod
    def from_exact(cls, exact: ExactArray) -> Self | None:
        """Exact numbers; None where they have no digits to a power of two, or one lies beyond float64's range."""
        digits = exact.find_digits()
        if digits is None or (digits.low + digits.count) * math.log2(BASE) > _LARGEST:
            return None
        size = np.abs(exact.to_float64().numpy()) * _GENEROUS + _TINY
        return cls(digits, size, np.zeros(size.shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of numbers."""
        return self.size.shape

    def map(self, move: Callable[[Floats], Floats]) -> Self:
        """The same numbers in other places; `move` is given arrays that have one more axis in front."""
        planes = move(self.digits.planes)
        return type(self)(Digits(planes, self.digits.low), move(self.size[None])[0], move(self.radius[None])[0])

    def at(self, place: int) -> Self:
        """The numbers at one place of the first axis."""
        return self.map(lambda a: a[:, place])


def multiply_matrices(left: FixedPoint, right: FixedPoint, bits: int) -> Cells:
    """Balls that hold the products of `[K, *batch, m, k]` and `[K', *batch', k, n]`, the leading axes broadcast."""
    axes = max(len(left.shape), len(right.shape))
    left, right = (_with_axes(one, axes) for one in (left, right))
    (*_, k), n = left.shape, right.shape[-1]
    if math.prod(right.shape[:-2]) == 1:
        rows = left.map(lambda a: a.reshape(len(a), math.prod(a.shape[1:-1]), k))
        columns = right.map(lambda a: a.reshape(len(a), k, n))
        return _multiply_two(rows, columns, bits).reshape(*left.shape[:-1], n)
    if math.prod(left.shape[:-2]) == 1:
        first, second = (one.map(lambda a: a.swapaxes(-1, -2)) for one in (right, left))
        return multiply_matrices(first, second, bits).swapaxes(-1, -2)
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    count = math.prod(batch)

    def in_a_row(array: Floats) -> Floats:
        size = array.shape[-2:]
        return np.broadcast_to(array, (len(array), *batch, *size)).reshape(len(array), count, *size)

    lefts, rights = left.map(in_a_row), right.map(in_a_row)
    products = [_multiply_two(lefts.at(i), rights.at(i), bits) for i in range(count)]
    return np.stack(products).reshape(*batch, left.shape[-2], n)


def convolve(
    input: FixedPoint, weight: FixedPoint, transposed: bool, groups: int, how: dict[str, Sequence[int]], bits: int
) -> Cells:
    """Balls that hold the convolution of `[points, batch, channels, *size]` with `[1, out, in / groups, *kernel]`.

    `how` gives stride, padding, dilation and output_padding per axis, as in torch. One filter must have at most
    `LONGEST_SUM` places.
    """
    points, batch = input.shape[:2]
    inputs = input.map(lambda a: a.reshape(len(a), points * batch, *a.shape[3:]))
    weights = weight.map(lambda a: a[:, 0])
    axis = 0 if transposed else 1
    share = inputs.shape[1] // groups
    step = LONGEST_SUM // math.prod(weights.shape[2:])

    def product(a: Floats, b: Floats) -> Floats:
        result: torch.Tensor = torch.ops.aten.convolution.default(
            torch.from_numpy(np.array(a, order="C")),
            torch.from_numpy(np.array(b, order="C")),
            None,
            *(list(how[name]) for name in ("stride", "padding", "dilation")),
            transposed,
            list(how["output_padding"]),
            groups,
        )
        return result.numpy()

    def some(array: Floats, axis: int, start: int) -> Floats:
        """The channels from `start` on of each group, few enough for exact sums."""
        if step >= share:
            return array
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        grouped = array.reshape(*before, array.shape[axis] // share, share, *after)
        few = grouped[(*(slice(None),) * (axis + 1), slice(start, start + step))]
        return few.reshape(*before, math.prod(few.shape[axis : axis + 2]), *after)

    radius = _bound(inputs, weights, product, share * math.prod(weights.shape[2:]))
    left, right = inputs.digits, weights.digits
    total = np.zeros((left.count + right.count + 1, *radius.shape))
    for start in range(0, share, step):
        for i, plane in enumerate(left.planes):
            for j, filters in enumerate(right.planes):
                _accumulate(product(some(plane, 1, start), some(filters, axis, start)), total[i + j : i + j + 2])
    digits = Digits.from_planes(total, left.low + right.low)
    return _to_balls(digits, radius, bits).reshape(points, batch, *radius.shape[1:])


def _multiply_two(left: FixedPoint, right: FixedPoint, bits: int) -> Cells:
    radius = _bound(left, right, np.matmul, left.shape[-1])
    return _to_balls(left.digits.matmul(right.digits), radius, bits)


def _bound(left: FixedPoint, right: FixedPoint, product: Callable[[Floats, Floats], Floats], terms: int) -> Floats:
    """Radii of sums of products; infinite or NaN where nothing is known."""
    with np.errstate(all="ignore"):
        radius = product(left.radius, right.size + right.radius)
        if not left.radius.any() and not right.radius.any():
            return radius
        if right.radius.any():
            radius = radius + product(left.size, right.radius)
        return radius * _GENEROUS + (terms + 1) * _TINY


def _accumulate(products: Floats, total: Floats) -> None:
    """Adds integers within 2^53 to two neighbouring planes of digits."""
    high = np.rint(products * (1 / BASE))
    total[1] += high
    total[0] += products - high * BASE


def _parts(ball: arb) -> tuple[int, int, float]:
    """Significand, exponent and radius."""
    if not ball.is_finite():
        return 0, 0, math.inf
    significand, exponent = map(int, ball.mid().man_exp())
    radius = 0.0 if ball.is_exact() else float(ball.rad()) * _GENEROUS + _TINY
    if significand.bit_length() + exponent > _LARGEST or radius > 2.0**_LARGEST:
        return 0, 0, math.inf
    return significand, exponent, radius


def _to_balls(digits: Digits, radius: Floats, bits: int) -> Cells:
    ints, exponent = digits.to_ints()
    with ctx.workprec(bits):
        unit = arb(fmpz(1) << exponent) if exponent >= 0 else 1 / arb(fmpz(1) << -exponent)
        balls = [
            _UNKNOWN if not math.isfinite(r) else arb(i) * unit + arb(0, r) if r else arb(i) * unit
            for i, r in zip(ints.ravel().tolist(), radius.ravel().tolist(), strict=True)
        ]
    return _object_array(balls).reshape(radius.shape)


def _object_array(items: Sequence[Any]) -> Cells:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _with_axes(numbers: FixedPoint, axes: int) -> FixedPoint:
    """1-axes inserted after that of the points, until there are `axes`."""

    def grown(array: Floats) -> Floats:
        return array.reshape(*array.shape[:2], *(1,) * (axes + 1 - array.ndim), *array.shape[2:])

    return numbers.map(grown)
