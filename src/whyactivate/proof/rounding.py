"""How far one step of a network, evaluated in floating point, may be from the map it stands for.

A sum of n products, each rounded or fused into an addition, is off by at most n u S in every order of summation,
where S is the sum of the terms' absolute values: no power of n, no condition on n (after Jeannerod & Rump,
"Improved error bounds for inner products in floating-point arithmetic", 2013). By induction over the tree of
additions:

A node rounds a + b, where a and b stem from n1 and n2 terms with absolute sums S1 and S2, and are off by at most n1
u S1 and n2 u S2. Its own rounding d is at most u/(1+u) |a + b|. Where a is a float, d is also at most |b|, for a
itself is a candidate for the result. If (1+u) S2 < u S1, the latter gives d <= S2 (1 + n2 u) <= n2 u S1; the same
with a and b exchanged. If neither sum is that much smaller, the former gives d <= u (n2 S1 + n1 S2). In each case
the node is off by at most (n1 + n2) u (S1 + S2).

Where it is known that the whole sum is at most Y in size, much less than S, half of this is enough. The exact value of
a node is a sum over some of the terms, so it lies between the sum of the negative and the sum of the positive terms,
and is at most M = (S + Y)/2 in size. A tree of K terms has K - 1 nodes; each rounds a number that is at most M plus
the error so far, and that error is at most K u S: in all, with the products' own roundings,
u S + (K - 1) u (M + K u S). This is what a bound in any order can gain from knowing that terms cancel.

A fused product is a term b that is no float, but has no error either: if it is the much larger one, the first bound
of d is at most u S1 + (n1 + 1) u S2, which is enough. A bias is a float without error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import FLOAT_FORMATS
from whyactivate.errors import InputError

SURE_ENOUGH = 8.0
"""The λ of the probabilistic bound: one sum exceeds it with probability at most 2K exp(-λ²/2), 3e-14 K."""

LocalError = Callable[[Tensor], Tensor]
"""Magnitudes |h| of a step's input, float64 `(in,)`, to an entrywise bound of the step's own rounding, `(out,)`."""


def inflate(computed: Tensor, terms: int) -> Tensor:
    """An upper bound of a nonnegative quantity of which `computed` is the float64 evaluation.

    Valid for sums of up to `terms` products or numbers in any order (relative error at most terms * 2^-53, Jeannerod &
    Rump 2013), then a few factors; underflow is covered.
    """
    return computed * (1 + (terms + 8) * 2.0**-52) + (terms + 8) * 2.0**-1022


def matmul_up(left: Tensor, right: Tensor) -> Tensor:
    """An upper bound of the product of two nonnegative float64 matrices."""
    return inflate(left @ right, left.shape[-1])


def linear_rounding(
    absolute: Tensor, underflow: Tensor, terms: int, dtype: torch.dtype, total: Tensor | None = None
) -> Tensor:
    """A bound of the rounding of a sum of products: K u `absolute`, or less, and what underflow can do.

    `absolute` is the sum of the terms' absolute values, `total` (where it is known) a bound of the size of their sum;
    K is the number of terms, a bias included (see the top of this file). In half precisions one more covers the
    conversion of a sum accumulated in float32; sums that round to the half precision after every operation are covered
    as well. inf where a partial sum may overflow.
    """
    layout = FLOAT_FORMATS[dtype]
    unit = layout.unit_roundoff
    count = terms + 1 if dtype.itemsize == 2 else terms
    growth = count * unit
    bound = inflate(growth * absolute + (1 + growth) * underflow, 4)
    if total is not None:
        largest_sum = inflate((absolute + torch.minimum(total, absolute)) / 2 + bound, 2)
        bound = torch.minimum(bound, inflate(unit * absolute + (count - 1) * unit * largest_sum + underflow, 4))
    largest = inflate(absolute + bound + underflow, 4)
    return torch.where(largest <= torch.finfo(dtype).max, bound, torch.inf)


@dataclass(frozen=True)
class LinearRounding:
    """Bounds the rounding of h -> Wh + b as PyTorch evaluates it, whatever the order of summation.

    Covers fused multiply-adds, float32 accumulation of half precisions or none, underflow (gradual or flushed to zero,
    for subnormal operands too; float16 always underflows gradually), and says inf where a partial sum may overflow.

    Attributes:
        weight: shape `(out, in)`, in the dtype in which the step is evaluated.
        bias: shape `(out,)`, or None.
        in_float32: for half precisions, whether sums are taken to be accumulated in float32 and rounded at the end,
            once, or twice where the bias is added afterwards; else nothing is assumed.
    """

    weight: Tensor
    bias: Tensor | None = None
    in_float32: bool = False
    _absolute: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.weight.dtype not in FLOAT_FORMATS:
            raise InputError(f"expected a weight in one of {[str(d) for d in FLOAT_FORMATS]}, got {self.weight.dtype}")
        object.__setattr__(self, "_absolute", self.weight.detach().cpu().double().abs())

    def __call__(self, magnitude: Tensor, total: Tensor | None = None) -> Tensor:
        """An entrywise bound, float64 `(out,)`, for every input that is entrywise at most `magnitude` in size.

        It is smaller where Wh + b is known to be at most `total` in size, entrywise, for those inputs.
        """
        terms, absolute, underflow = self._sums(magnitude)
        bound = linear_rounding(absolute, underflow, terms, self.weight.dtype, total)
        if not (self.in_float32 and self.weight.dtype.itemsize == 2):
            return bound
        unit = FLOAT_FORMATS[self.weight.dtype].unit_roundoff
        in_sum = inflate(terms * FLOAT_FORMATS[torch.float32].unit_roundoff * absolute + underflow, 2)
        largest = absolute if total is None else torch.minimum(absolute, inflate(total + self._added(), 1))
        at_end = inflate(in_sum + unit * (1 + unit) * (2 * (largest + in_sum)) + underflow, 6)
        return torch.where(bound.isfinite(), torch.minimum(bound, at_end), bound)

    def _added(self) -> Tensor:
        """|b|, zeros where there is none."""
        bias = self.bias
        return (
            torch.zeros(len(self.weight), dtype=torch.float64) if bias is None else bias.detach().cpu().double().abs()
        )

    def probable(self, magnitude: Tensor) -> Tensor:
        """A bound that holds with probability 1 - 2K exp(-λ²/2) per entry if roundings are independent, of mean zero.

        The K u of the certain bound becomes exp(λ √K u + K u²) - 1 (Higham & Mary, "A new approach to probabilistic
        rounding error analysis", SIAM J. Sci. Comput. 2019). Roundings are neither: this is a model, not a proof.
        """
        terms, absolute, underflow = self._sums(magnitude)
        unit = FLOAT_FORMATS[self.weight.dtype].unit_roundoff
        count = terms + 1 if self.weight.dtype.itemsize == 2 else terms
        growth = math.expm1(min(SURE_ENOUGH * math.sqrt(count) * unit + count * unit**2, 700.0))
        return inflate(growth * absolute + underflow, 2)

    def _sums(self, magnitude: Tensor) -> tuple[int, Tensor, Tensor]:
        """The number of terms, their sizes added up, and what underflow can do."""
        terms = self.weight.shape[1] + (self.bias is not None)
        absolute = matmul_up(self._absolute, magnitude)
        if self.bias is not None:
            absolute = inflate(absolute + self._added(), 1)
        layout = FLOAT_FORMATS[self.weight.dtype]
        if self.weight.dtype == torch.float16:
            underflow = torch.full_like(absolute, (terms + 2) * layout.smallest_subnormal)
        else:
            # A subnormal operand taken for zero costs its partner times the smallest normal number.
            partners = inflate(self._absolute.sum(1) + magnitude.sum(), terms)
            underflow = inflate((partners + 2 * terms + 2) * layout.smallest_normal, 2)
        return terms, absolute, underflow


@dataclass(frozen=True)
class RoundedStep:
    """One affine step h -> Wh + b of real numbers, and how far its floating-point evaluation may be off.

    Attributes:
        weight: float64, shape `(out, in)`.
        weight_error: bounds |weight - W| entrywise.
        bias: float64, shape `(out,)`, zeros where nothing is added.
        bias_error: bounds |bias - b| entrywise.
        local_error: bounds the step's own rounding from the magnitudes of its input; inf where the step may overflow.
    """

    weight: Tensor
    weight_error: Tensor
    bias: Tensor
    bias_error: Tensor
    local_error: LocalError

    def rounding(self, magnitude: Tensor, total: Tensor) -> Tensor:
        """`local_error`, sharper where it can use that the step's exact result is at most `total` in size."""
        if isinstance(self.local_error, LinearRounding):
            return self.local_error(magnitude, total)
        return self.local_error(magnitude)

    def probable_rounding(self, magnitude: Tensor) -> Tensor | None:
        """`LinearRounding.probable`; None for a step of another kind."""
        return self.local_error.probable(magnitude) if isinstance(self.local_error, LinearRounding) else None

    @classmethod
    def from_exact(cls, weight: ExactArray, bias: ExactArray | None, local_error: LocalError) -> RoundedStep:
        """The step with this exact matrix `(out, in)` and bias `(out,)`."""
        added = bias if bias is not None else ExactArray.zeros(1, weight.shape[:1])
        near, near_bias = weight.to_float64()[0], added.to_float64()[0]
        return cls(near, weight.error_of(near), near_bias, added.error_of(near_bias), local_error)

    @classmethod
    def linear(cls, weight: Tensor, bias: Tensor | None = None) -> RoundedStep:
        """A plain `nn.Linear`, evaluated in the dtype of its weight."""
        added = None if bias is None else ExactArray.from_tensor(bias)
        return cls.from_exact(ExactArray.from_tensor(weight), added, LinearRounding(weight, bias))
