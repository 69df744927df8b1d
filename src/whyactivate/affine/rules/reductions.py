"""Products, norms and spreads along axes: affine in nothing, but they can be evaluated."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from whyactivate.affine.rules.axes import apart, put_along, together
from whyactivate.affine.rules.extremes import largest, smallest
from whyactivate.affine.rules.masks import greater
from whyactivate.affine.rules.rule import CannotEvaluate, Label
from whyactivate.affine.rules.table import nonlinear

aten = torch.ops.aten

_SMOOTH: dict[str, Any] = {"label": Label.SMOOTH}


def _product(rows: Any) -> Any:
    result = rows.sum(-1) * 0 + 1
    for place in range(rows.shape[-1]):
        result = result * rows[..., place]
    return result


def _count(arguments: Any) -> int:
    shape = arguments["self"].geometry.size if hasattr(arguments["self"], "geometry") else ()
    dim = arguments.get("dim")
    return max(1, shape[dim] if isinstance(dim, int) and shape else prod(shape))


@nonlinear(aten.prod.default, aten.prod.dim_int, label=Label.RATIONAL, power=_count)
def product(self: Any, call: Any) -> Any:
    dim, keepdim = call.arguments.get("dim"), call.arguments.get("keepdim", False)
    return apart(self, _product(together(self, dim)), dim, keepdim)


@nonlinear(aten.cumprod.default, label=Label.RATIONAL, power=_count)
def cumprod(self: Any, dim: int) -> Any:
    rows = together(self, dim)
    return put_along(self, [_product(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)


_HIGHEST_NORM = 16


def norm_of(rows: Any, order: Any) -> Any:
    """The norm of the vectors along the last axis."""
    if order in (float("inf"), float("-inf")):
        return largest(abs(rows)) if order > 0 else smallest(abs(rows))
    if order == 0:
        return (greater(rows, 0) + greater(0, rows)).sum(-1)
    if order == 1:
        return abs(rows).sum(-1)
    if order == 2:
        return (rows * rows).sum(-1).sqrt()
    if order == int(order) and 2 < order <= _HIGHEST_NORM:
        powers = size = abs(rows)
        for _ in range(int(order) - 1):
            powers = powers * size
        return (powers.sum(-1).log() / order).exp()
    raise CannotEvaluate(f"the norm of order {order} has no formula here")


@nonlinear(aten.linalg_vector_norm.default, **_SMOOTH)
def vector_norm(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return apart(self, norm_of(together(self, dim), call.arguments["ord"]), dim, keepdim)


@nonlinear(aten.norm.ScalarOpt_dim, aten.norm.Scalar, **_SMOOTH)
def norm(self: Any, call: Any) -> Any:
    dim, keepdim, order = (call.arguments.get(name) for name in ("dim", "keepdim", "p"))
    return apart(self, norm_of(together(self, dim), 2 if order is None else order), dim, bool(keepdim))


@nonlinear(aten._cdist_forward.default, **_SMOOTH)
def cdist(x1: Any, x2: Any, p: float) -> Any:
    apart_by = x1.reshape(*x1.shape[:-1], 1, x1.shape[-1]) - x2.reshape(*x2.shape[:-2], 1, *x2.shape[-2:])
    return norm_of(apart_by, p)


@nonlinear(aten.dist.default, **_SMOOTH)
def dist(self: Any, other: Any, call: Any) -> Any:
    return norm_of((self - other).flatten(), call.arguments["p"])


def moments(rows: Any) -> tuple[Any, Any]:
    """Mean and mean squared deviation along the last axis, which is kept."""
    mean = rows.sum(-1, True) / rows.shape[-1]
    return mean, ((rows - mean) * (rows - mean)).sum(-1, True) / rows.shape[-1]


def _variance(self: Any, dim: Any, correction: Any, keepdim: bool) -> tuple[Any, Any]:
    rows = together(self, dim)
    count = rows.shape[-1]
    correction = 1 if correction is None else correction
    if count - correction <= 0:
        raise CannotEvaluate("a variance of too few numbers")
    mean, spread = moments(rows)
    variance = spread[..., 0] * count / (count - correction)
    return apart(self, variance, dim, keepdim), apart(self, mean[..., 0], dim, keepdim)


@nonlinear(aten.var.correction, label=Label.RATIONAL, power=2)
def var(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return _variance(self, dim, call.arguments["correction"], keepdim)[0]


@nonlinear(aten.std.correction, **_SMOOTH)
def std(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return _variance(self, dim, call.arguments["correction"], keepdim)[0].sqrt()


@nonlinear(aten.var_mean.correction, label=Label.RATIONAL, power=2)
def var_mean(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    return _variance(self, dim, call.arguments["correction"], keepdim)


@nonlinear(aten.std_mean.correction, **_SMOOTH)
def std_mean(self: Any, dim: Any, keepdim: bool, call: Any) -> Any:
    variance, mean = _variance(self, dim, call.arguments["correction"], keepdim)
    return variance.sqrt(), mean
