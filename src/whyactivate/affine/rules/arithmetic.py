"""Sums, products, copies: affine in each addend, and in one factor at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyactivate.affine.rules.places import along_axis
from whyactivate.affine.rules.rule import Label, depends, is_real, shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.rules.whole import in_dtype
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten


def _divides(name: str) -> Callable[[Mapping[str, Argument]], bool]:
    return lambda arguments: depends(arguments[name])


@affine(aten.add.Tensor, aten.add.Scalar, form="self + other", roundings=2)
def add(self: Any, other: Any, alpha: Any) -> Any:
    return self + other * alpha


@affine(aten.sub.Tensor, aten.sub.Scalar, form="self + other", roundings=2)
def sub(self: Any, other: Any, alpha: Any) -> Any:
    return self - other * alpha


@affine(aten.rsub.Tensor, aten.rsub.Scalar, form="self + other", roundings=2)
def rsub(self: Any, other: Any, alpha: Any) -> Any:
    return other - self * alpha


@affine(aten.neg.default, form="self")
def neg(self: Any) -> Any:
    return -self


@affine(aten.mul.Tensor, aten.mul.Scalar, form="self*other", roundings=1, wide=frozenset({"other"}))
def mul(self: Any, other: Any) -> Any:
    return self * other


@affine(
    aten.div.Tensor,
    aten.div.Scalar,
    form="self",
    roundings=2,
    wide=frozenset({"other"}),
    smooth_when=_divides("other"),
)
def div(self: Any, other: Any) -> Any:
    return self / other


@affine(
    aten.addcdiv.default, form="self + tensor1", roundings=4, wide=frozenset({"value"}),
    smooth_when=_divides("tensor2"),
)  # fmt: skip
def addcdiv(self: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
    return self + tensor1 / tensor2 * value


@affine(aten.addcmul.default, form="self + tensor1*tensor2", roundings=3, wide=frozenset({"value"}))
def addcmul(self: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
    return self + tensor1 * tensor2 * value


@affine(
    aten.lerp.Scalar,
    aten.lerp.Tensor,
    form="self*weight + end*weight + self",
    roundings=4,
    wide=frozenset({"weight"}),
)
def lerp(self: Any, end: Any, weight: Any) -> Any:
    return self + (end - self) * weight


_LARGEST_POWER = 64


def _exponent_is_one(arguments: Mapping[str, Argument]) -> str | None:
    return None if arguments["exponent"] == 1 else f"pow raises to the power {arguments['exponent']}"


def _exponent(arguments: Mapping[str, Argument]) -> int:
    exponent: Any = arguments["exponent"]
    return int(exponent) if isinstance(exponent, (int, float)) and 1 <= exponent <= _LARGEST_POWER else 1


def _is_no_polynomial(arguments: Mapping[str, Argument]) -> bool:
    exponent: Any = arguments["exponent"]
    return exponent != int(exponent) or not 0 <= exponent <= _LARGEST_POWER


@affine(
    aten.pow.Tensor_Scalar, form="self", when=_exponent_is_one, always=True, power=_exponent,
    smooth_when=_is_no_polynomial,
)  # fmt: skip
def power(self: Any, exponent: Any) -> Any:
    whole = int(exponent)
    if whole == exponent and abs(whole) <= _LARGEST_POWER:
        result = self * 0 + 1
        for _ in range(abs(whole)):
            result = result * self
        return result if whole >= 0 else 1 / result
    if exponent in (0.5, -0.5):
        return self.sqrt() if exponent > 0 else 1 / self.sqrt()
    return (self.log() * exponent).exp()


def _axes(dim: Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim)) if not dim or not ndim else tuple(d % ndim for d in dim)


def _target_is_real(arguments: Mapping[str, Argument]) -> str | None:
    dtype: Any = arguments.get("dtype")
    return None if dtype is None or is_real(dtype) else f"a cast to {dtype} is not affine"


def _count(arguments: Mapping[str, Argument]) -> int:
    """All additions of a full sum, a division and a cast: enough for a partial sum as well."""
    return prod(shape_of(arguments["self"])) + 2


@affine(aten.sum.dim_IntList, aten.nansum.default, form="self", when=_target_is_real, roundings=_count)
def sum_dims(self: Any, dim: Sequence[int] | None, keepdim: bool) -> Any:
    return self.sum(_axes(dim, self.ndim), keepdim)


@affine(aten.sum.default, form="self", when=_target_is_real, roundings=_count)
def sum_all(self: Any) -> Any:
    return self.sum()


@affine(aten.mean.dim, form="self", when=_target_is_real, roundings=_count)
def mean_dims(self: Any, dim: Sequence[int] | None, keepdim: bool) -> Any:
    axes = _axes(dim, self.ndim)
    count = 1
    for axis in axes:
        count *= self.shape[axis]
    return self.sum(axes, keepdim) / count


@affine(aten.mean.default, form="self", when=_target_is_real, roundings=_count)
def mean_all(self: Any) -> Any:
    return self.sum() / self.size


@affine(
    aten._to_copy.default,
    form="self",
    when=_target_is_real,
    always=True,
    roundings=1,
    gives_whole=True,
    note="a cast between floating dtypes counts as the identity on the reals",
)
def to_copy(self: Any, call: Any) -> Any:
    dtype = call.arguments.get("dtype")
    return self if dtype is None else in_dtype(self, dtype, call.dtype("self"))


@affine(aten.clone.default, aten.lift_fresh_copy.default, form="self")
def clone(self: Any) -> Any:
    return self


@affine(aten.copy.default, form="src", passive=frozenset({"self"}), roundings=1, gives_whole=True)
def copy(self: Any, src: Any, call: Any) -> Any:
    return in_dtype(src.expand(self.shape), call.dtype("self"), call.dtype("src"))


@affine(aten.fill.Tensor, aten.fill.Scalar, form="value", passive=frozenset({"self"}), roundings=1)
def fill(self: Any, value: Any) -> Any:
    return self + value


@affine(aten.zero.default, form="self")
def zero(self: Any) -> Any:
    return self * 0


def _length(arguments: Mapping[str, Argument]) -> int:
    shape, dim = shape_of(arguments["self"]), arguments["dim"]
    return (shape[dim] if shape and isinstance(dim, int) else 1) + 2


@affine(aten.cumsum.default, form="self", when=_target_is_real, roundings=_length)
def cumsum(self: Any, dim: int) -> Any:
    if not self.ndim:
        return self
    return along_axis(self, dim, ExactArray.from_tensor(torch.ones([self.shape[dim]] * 2, device="cpu").tril()))


@affine(aten.trace.default, form="self", roundings=_count)
def trace(self: Any) -> Any:
    rows, columns = self.shape
    return self.flatten().gather_flat(np.arange(min(rows, columns)) * (columns + 1)).sum()


@affine(
    aten.nan_to_num.default,
    form="self",
    note="nan_to_num is the identity on real numbers",
)
def nan_to_num(self: Any) -> Any:
    return self


@affine(
    aten.deg2rad.default, aten.rad2deg.default, form="self", label=Label.KERNEL, roundings=2,
    note="the coefficient between degrees and radians is taken as the number that PyTorch computed",
)  # fmt: skip
def degrees(self: Any, call: Any) -> Any:
    return self * ExactArray.from_tensor(call.op(torch.ones((), dtype=call.dtype("self"), device="cpu")))


_MEAN, _SUM = 1, 2


@affine(
    aten.nll_loss_forward.default, aten.nll_loss2d_forward.default, form="self", selectors=frozenset({"target"}),
    roundings=_count, constant_outputs=frozenset({1}),
)  # fmt: skip
def nll_loss(self: Any, target: Tensor, weight: Any, reduction: int, ignore_index: int) -> Any:
    last = self if self.ndim == 1 else self.transpose(0, *range(2, self.ndim), 1)
    classes, flat = last.shape[-1], target.flatten()
    places = torch.where(flat == ignore_index, -1, torch.arange(flat.numel(), device="cpu") * classes + flat)
    picked = -last.flatten().gather_flat(places.numpy())
    each: Any = ExactArray.from_tensor(torch.ones(classes, device="cpu")) if weight is None else weight
    weights = each.gather_flat(torch.where(flat == ignore_index, -1, flat).numpy())
    losses = picked * weights
    if reduction in (_MEAN, _SUM):
        return losses.sum() / weights.sum() if reduction == _MEAN else losses.sum()
    return losses.reshape(tuple(target.shape))
