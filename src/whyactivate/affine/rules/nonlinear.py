"""Operations that are affine in nothing: how to evaluate them, so that a counterexample can be verified."""

from __future__ import annotations

import math
from typing import Any

import torch

from whyactivate.affine.rules.rule import Label
from whyactivate.affine.rules.table import nonlinear

aten = torch.ops.aten


# -- piecewise affine: exact ------------------------------------------------------------------------------------


@nonlinear(aten.relu.default, label=Label.PIECEWISE, kinks=(0.0,))
def relu(self: Any) -> Any:
    return self.maximum(0)


@nonlinear(aten.leaky_relu.default, label=Label.PIECEWISE, wide=frozenset({"negative_slope"}), kinks=(0.0,))
def leaky_relu(self: Any, negative_slope: Any) -> Any:
    return self.maximum(0) + self.minimum(0) * negative_slope


@nonlinear(aten._prelu_kernel.default, label=Label.PIECEWISE, kinks=(0.0,))
def prelu(self: Any, weight: Any) -> Any:
    return self.maximum(0) + self.minimum(0) * weight


@nonlinear(aten.hardtanh.default, label=Label.PIECEWISE, kinks=("min_val", "max_val"))
def hardtanh(self: Any, min_val: Any, max_val: Any) -> Any:
    return self.maximum(min_val).minimum(max_val)


@nonlinear(aten.clamp.default, aten.clamp.Tensor, label=Label.PIECEWISE, kinks=("min", "max"))
def clamp(self: Any, min: Any, max: Any) -> Any:
    raised = self if min is None else self.maximum(min)
    return raised if max is None else raised.minimum(max)


@nonlinear(aten.clamp_min.default, aten.clamp_min.Tensor, label=Label.PIECEWISE, kinks=("min",))
def clamp_min(self: Any, min: Any) -> Any:
    return self.maximum(min)


@nonlinear(aten.clamp_max.default, aten.clamp_max.Tensor, label=Label.PIECEWISE, kinks=("max",))
def clamp_max(self: Any, max: Any) -> Any:
    return self.minimum(max)


@nonlinear(aten.abs.default, label=Label.PIECEWISE, kinks=(0.0,))
def absolute(self: Any) -> Any:
    return abs(self)


@nonlinear(aten.maximum.default, label=Label.PIECEWISE)
def maximum(self: Any, other: Any) -> Any:
    return self.maximum(other)


@nonlinear(aten.minimum.default, label=Label.PIECEWISE)
def minimum(self: Any, other: Any) -> Any:
    return self.minimum(other)


@nonlinear(aten.hardswish.default, label=Label.PIECEWISE, kinks=(-3.0, 3.0), power=2)
def hardswish(self: Any) -> Any:
    return self * (self + 3).maximum(0).minimum(6) / 6


@nonlinear(aten.hardsigmoid.default, label=Label.PIECEWISE, kinks=(-3.0, 3.0))
def hardsigmoid(self: Any) -> Any:
    return (self + 3).maximum(0).minimum(6) / 6


# -- smooth: enclosed in balls ----------------------------------------------------------------------------------


@nonlinear(aten.exp.default, label=Label.SMOOTH)
def exp(self: Any) -> Any:
    return self.exp()


@nonlinear(aten.sigmoid.default, label=Label.SMOOTH)
def sigmoid(self: Any) -> Any:
    return self.sigmoid()


@nonlinear(aten.tanh.default, label=Label.SMOOTH)
def tanh(self: Any) -> Any:
    return self.tanh()


@nonlinear(aten.erf.default, label=Label.SMOOTH)
def erf(self: Any) -> Any:
    return self.erf()


@nonlinear(aten.silu.default, label=Label.SMOOTH)
def silu(self: Any) -> Any:
    return self * self.sigmoid()


@nonlinear(aten.gelu.default, label=Label.SMOOTH)
def gelu(self: Any, approximate: str) -> Any:
    half = self / 2
    if approximate == "tanh":
        inner = (self + self * self * self * 0.044715) * math.sqrt(2 / math.pi)
        return half * (inner.tanh() + 1)
    root_half = type(self).from_fraction(2).sqrt() / 2
    return half * ((self * root_half).erf() + 1)


@nonlinear(aten.elu.default, label=Label.SMOOTH, wide=frozenset({"alpha", "scale", "input_scale"}))
def elu(self: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    return (self.maximum(0) + (self.minimum(0) * input_scale).expm1() * alpha) * scale


@nonlinear(aten.softplus.default, label=Label.SMOOTH, wide=frozenset({"beta", "threshold"}))
def softplus(self: Any, beta: Any, threshold: Any) -> Any:
    scaled = self * beta
    return type(self).where(scaled > threshold, scaled <= threshold, self, scaled.softplus() / beta)


@nonlinear(aten.mish.default, label=Label.SMOOTH)
def mish(self: Any) -> Any:
    return self * self.softplus().tanh()


@nonlinear(aten.square.default, label=Label.RATIONAL, power=2)
def square(self: Any) -> Any:
    return self * self
