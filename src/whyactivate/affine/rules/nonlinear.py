"""Operations that are affine in nothing: how to evaluate them, so that a counterexample can be verified."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.masks import at_least, greater, select
from whyactivate.affine.rules.rule import Label, computed
from whyactivate.affine.rules.table import nonlinear
from whyactivate.affine.tape import Constant

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


@nonlinear(aten.maximum.default, aten.fmax.default, label=Label.PIECEWISE)
def maximum(self: Any, other: Any) -> Any:
    return self.maximum(other)


@nonlinear(aten.minimum.default, aten.fmin.default, label=Label.PIECEWISE)
def minimum(self: Any, other: Any) -> Any:
    return self.minimum(other)


@nonlinear(aten.hardswish.default, label=Label.PIECEWISE, kinks=(-3.0, 3.0), power=2)
def hardswish(self: Any) -> Any:
    return self * (self + 3).maximum(0).minimum(6) / 6


@nonlinear(aten.hardsigmoid.default, label=Label.PIECEWISE, kinks=(-3.0, 3.0))
def hardsigmoid(self: Any) -> Any:
    return (self + 3).maximum(0).minimum(6) / 6


@nonlinear(aten.softshrink.default, label=Label.PIECEWISE)
def softshrink(self: Any, lambd: Any) -> Any:
    return (self - lambd).maximum(0) + (self + lambd).minimum(0)


@nonlinear(aten.hardshrink.default, label=Label.PIECEWISE, kinks=("lambd",))
def hardshrink(self: Any, lambd: Any) -> Any:
    return self * (1 - at_least(self, -lambd) * at_least(lambd, self))


@nonlinear(aten.threshold.default, label=Label.PIECEWISE, kinks=("threshold",))
def threshold(self: Any, threshold: Any, value: Any) -> Any:
    return select(greater(self, threshold), self, value)


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
def gelu(self: Any, approximate: str, call: Any) -> Any:
    """With the coefficients that the kernel holds, so that a GELU spelt out with them is the same function."""
    half, dtype = self / 2, call.dtype("self")
    if approximate == "tanh":
        cubic, scale = computed(0.044715, dtype), computed(math.sqrt(2) * (2 / math.sqrt(math.pi)) * 0.5, dtype)
        return half * (((self + self * self * self * cubic) * scale).tanh() + 1)
    return half * ((self * computed(math.sqrt(0.5), dtype)).erf() + 1)


@nonlinear(aten.elu.default, label=Label.SMOOTH, wide=frozenset({"alpha", "scale", "input_scale"}))
def elu(self: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    return (self.maximum(0) + (self.minimum(0) * input_scale).expm1() * alpha) * scale


_DROWNS = 16.0
"""From here on log(1 + exp(x)) is x in float32, and a softplus that gives x is no other function there."""


@nonlinear(aten.softplus.default, label=Label.SMOOTH, wide=frozenset({"beta", "threshold"}))
def softplus(self: Any, beta: Any, threshold: Any) -> Any:
    scaled = self * beta
    return without_shortcut(scaled, threshold, self, scaled.softplus() / beta)


def without_shortcut(scaled: Any, threshold: Any, beyond: Any, smooth: Any) -> Any:
    """`smooth` up to the threshold, `beyond` above it, both where the threshold is there for speed alone.

    What is claimed must hold with such a shortcut and without it.
    """
    is_beyond = scaled > threshold
    if threshold >= _DROWNS:
        is_beyond = is_beyond & False
    return type(smooth).where(is_beyond, scaled <= threshold, beyond, smooth)


@nonlinear(aten.mish.default, label=Label.SMOOTH)
def mish(self: Any) -> Any:
    return self * self.softplus().tanh()


@nonlinear(aten.square.default, label=Label.RATIONAL, power=2)
def square(self: Any) -> Any:
    return self * self


@nonlinear(aten.log.default, label=Label.SMOOTH)
def log(self: Any) -> Any:
    return self.log()


@nonlinear(aten.log1p.default, label=Label.SMOOTH)
def log1p(self: Any) -> Any:
    return self.log1p()


@nonlinear(aten.expm1.default, label=Label.SMOOTH)
def expm1(self: Any) -> Any:
    return self.expm1()


@nonlinear(aten.log2.default, label=Label.SMOOTH)
def log2(self: Any) -> Any:
    return self.log() / _constant(self, 2).log()


@nonlinear(aten.log10.default, label=Label.SMOOTH)
def log10(self: Any) -> Any:
    return self.log() / _constant(self, 10).log()


@nonlinear(aten.exp2.default, label=Label.SMOOTH)
def exp2(self: Any) -> Any:
    return (self * _constant(self, 2).log()).exp()


@nonlinear(aten.sqrt.default, label=Label.SMOOTH)
def sqrt(self: Any) -> Any:
    return self.sqrt()


@nonlinear(aten.rsqrt.default, label=Label.SMOOTH)
def rsqrt(self: Any) -> Any:
    return 1 / self.sqrt()


@nonlinear(aten.reciprocal.default, label=Label.SMOOTH)
def reciprocal(self: Any) -> Any:
    return 1 / self


@nonlinear(aten.sin.default, label=Label.SMOOTH)
def sin(self: Any) -> Any:
    return self.sin()


@nonlinear(aten.cos.default, label=Label.SMOOTH)
def cos(self: Any) -> Any:
    return self.cos()


@nonlinear(aten.tan.default, label=Label.SMOOTH)
def tan(self: Any) -> Any:
    return self.sin() / self.cos()


@nonlinear(aten.sinh.default, label=Label.SMOOTH)
def sinh(self: Any) -> Any:
    return (self.expm1() - (-self).expm1()) / 2


@nonlinear(aten.cosh.default, label=Label.SMOOTH)
def cosh(self: Any) -> Any:
    return (self.exp() + (-self).exp()) / 2


@nonlinear(aten.erfc.default, label=Label.SMOOTH)
def erfc(self: Any) -> Any:
    return 1 - self.erf()


@nonlinear(aten.log_sigmoid_forward.default, label=Label.SMOOTH)
def log_sigmoid(self: Any) -> Any:
    return -(-self).softplus()


@nonlinear(aten.celu.default, label=Label.SMOOTH, wide=frozenset({"alpha"}))
def celu(self: Any, alpha: Any) -> Any:
    return self.maximum(0) + (self.minimum(0) / alpha).expm1() * alpha


@nonlinear(aten.glu.default, label=Label.SMOOTH)
def glu(self: Any, dim: int) -> Any:
    rows = self.swap(dim, -1)
    half = rows.shape[-1] // 2
    return (rows[..., :half] * rows[..., half:].sigmoid()).swap(dim, -1)


@nonlinear(aten.logaddexp.default, label=Label.SMOOTH)
def logaddexp(self: Any, other: Any) -> Any:
    return self.maximum(other) + (-abs(self - other)).exp().log1p()


@nonlinear(aten.logaddexp2.default, label=Label.SMOOTH)
def logaddexp2(self: Any, other: Any) -> Any:
    log2 = _constant(self, 2).log()
    return self.maximum(other) + (-abs(self - other) * log2).exp().log1p() / log2


@nonlinear(aten.hypot.default, label=Label.SMOOTH)
def hypot(self: Any, other: Any) -> Any:
    return (self * self + other * other).sqrt()


@nonlinear(aten.pow.Tensor_Tensor, aten.pow.Scalar, label=Label.SMOOTH)
def power(self: Any, exponent: Any, call: Any) -> Any:
    base = self if hasattr(self, "log") else _constant(exponent, self)
    powers = (base.log() * exponent).exp()
    given = call.arguments["exponent"]
    for whole in _small_whole_numbers(given.read()) if isinstance(given, Constant) else ():
        chosen = (given.read() == whole).expand(powers.shape).numpy()[None]
        powers = type(powers).where(chosen, ~chosen, _to_the(base, whole).expand(powers.shape), powers)
    return powers


_HIGHEST_POWER = 16


def _small_whole_numbers(exponents: Tensor) -> list[int]:
    """The exponents at which negative numbers have powers, too."""
    return [number for number in range(_HIGHEST_POWER + 1) if bool((exponents == number).any())]


def _to_the(base: Any, whole: int) -> Any:
    result = base * 0 + 1
    for _ in range(whole):
        result = result * base
    return result


@nonlinear(aten.xlogy.Tensor, aten.xlogy.Scalar_Self, label=Label.SMOOTH)
def xlogy(self: Any, other: Any) -> Any:
    return other.log() * self


@nonlinear(aten.special_xlog1py.default, aten.special_xlog1py.self_scalar, label=Label.SMOOTH)
def xlog1py(self: Any, other: Any) -> Any:
    return other.log1p() * self


def _constant(like: Any, number: Any) -> Any:
    """A number in the arithmetic of an array."""
    return type(like).from_fraction(number)


# -- losses -----------------------------------------------------------------------------------------------------------


def _reduced(losses: Any, reduction: int) -> Any:
    if reduction == 0:
        return losses
    return losses.sum() / losses.size if reduction == 1 else losses.sum()


@nonlinear(aten.mse_loss.default, label=Label.RATIONAL, power=2)
def mse_loss(self: Any, target: Any, reduction: int) -> Any:
    return _reduced((self - target) * (self - target), reduction)


@nonlinear(aten.huber_loss.default, label=Label.PIECEWISE, power=2)
def huber_loss(self: Any, target: Any, reduction: int, delta: float) -> Any:
    distance = abs(self - target)
    near = distance.minimum(delta)
    return _reduced(near * near / 2 + (distance - near) * delta, reduction)


@nonlinear(aten.smooth_l1_loss.default, label=Label.PIECEWISE, power=2)
def smooth_l1_loss(self: Any, target: Any, reduction: int, beta: float) -> Any:
    distance = abs(self - target)
    near = distance.minimum(beta)
    squared = near * near / (2 * beta) if beta else near
    return _reduced(squared + (distance - near), reduction)


@nonlinear(aten.soft_margin_loss.default, label=Label.SMOOTH)
def soft_margin_loss(self: Any, target: Any, reduction: int) -> Any:
    return _reduced((-(self * target)).softplus(), reduction)


@nonlinear(aten.binary_cross_entropy_with_logits.default, label=Label.SMOOTH)
def binary_cross_entropy_with_logits(self: Any, target: Any, weight: Any, pos_weight: Any, reduction: int) -> Any:
    ones = (-self).softplus() if pos_weight is None else (-self).softplus() * pos_weight
    losses = ones * target + self.softplus() * (1 - target)
    return _reduced(losses if weight is None else losses * weight, reduction)
