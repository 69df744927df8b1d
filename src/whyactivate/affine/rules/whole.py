"""Whole numbers: casts to them, and operations that are on them what they are on real numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from whyactivate.affine.rules.masks import greater, towards_zero, unequal
from whyactivate.affine.rules.rule import CannotEvaluate, NoValue, is_real
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import INTEGER_DTYPES

aten = torch.ops.aten

KEEP_WHOLE = frozenset({
    aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.rsub.Tensor, aten.rsub.Scalar,
    aten.mul.Tensor, aten.mul.Scalar, aten.neg.default, aten.abs.default, aten.sign.default, aten.relu.default,
    aten.remainder.Tensor, aten.remainder.Scalar, aten.fmod.Tensor, aten.fmod.Scalar, aten.floor_divide.default,
    aten.floor_divide.Scalar, aten.div.Tensor_mode, aten.div.Scalar_mode, aten.maximum.default, aten.minimum.default,
    aten.clamp.default, aten.clamp.Tensor, aten.clamp_min.default, aten.clamp_max.default, aten.amax.default,
    aten.amin.default, aten.max.default, aten.min.default, aten.max.dim, aten.min.dim, aten.sum.dim_IntList,
    aten.cumsum.default, aten.where.self, aten.masked_fill.Scalar, aten.masked_fill.Tensor, aten.clone.default,
    aten.cat.default, aten.stack.default, aten.gather.default, aten.index_select.default, aten.index.Tensor,
    aten.flip.default, aten.roll.default, aten.repeat.default,
})  # fmt: skip
"""Operations whose formulas also hold for whole numbers, as long as the results fit into the dtype."""


def in_dtype(array: Any, dtype: torch.dtype, was: torch.dtype | None = None) -> Any:
    """The numbers as a cast to `dtype` makes them: whole ones are cut off, truth is held as 1 and 0.

    `was` is the dtype before: numbers that were whole are so, though intervals around them may not say it.

    Raises:
        NoValue: a number is too large for whole numbers of the dtype, so that PyTorch promises nothing.
        CannotEvaluate: the dtype holds neither whole numbers nor real ones.
    """
    if is_real(dtype) or dtype.is_complex:
        return array
    if dtype not in INTEGER_DTYPES:
        raise CannotEvaluate(f"a cast to {dtype} has no formula here")
    were_whole = was in INTEGER_DTYPES
    if dtype == torch.bool:
        return greater(abs(array), Fraction(1, 2)) if were_whole else unequal(array, 0)
    whole, info = array if were_whole else towards_zero(array), torch.iinfo(dtype)
    half = Fraction(1, 2)
    fits = (whole >= info.min - half) & (whole <= info.max + half)
    if isinstance(array, ExactArray):
        if fits.all():
            return whole
        raise NoValue(f"a number is too large for {dtype}")
    unknown = type(array).from_fraction(1) / 0
    return type(array).where(fits, ~fits, whole.as_whole(), unknown)
