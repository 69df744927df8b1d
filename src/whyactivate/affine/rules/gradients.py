"""Derivatives that a forward computes by itself: affine in the gradient that comes in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.masks import greater, select
from whyactivate.affine.rules.nonlinear import without_shortcut
from whyactivate.affine.rules.rule import Label, computed, depends, shape_of
from whyactivate.affine.rules.table import affine, nonlinear
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten


@affine(
    aten.native_dropout_backward.default, form="grad_output", selectors=frozenset({"mask"}), roundings=3,
    wide=frozenset({"scale"}),
)  # fmt: skip
def dropout_backward(grad_output: Any, mask: Tensor, scale: Any) -> Any:
    return grad_output * ExactArray.from_tensor(mask) * scale


def _count(arguments: Mapping[str, Argument]) -> int:
    return prod(shape_of(arguments["output"])) + 6


@affine(aten._softmax_backward_data.default, form="grad_output", roundings=_count)
def softmax_backward(grad_output: Any, output: Any, dim: int) -> Any:
    if not grad_output.ndim:
        return (grad_output - grad_output * output) * output
    return (grad_output - (grad_output * output).sum(dim, True)) * output


# -- of activations, as long as what went into them does not depend on the input --------------------------------------


def _cubic_in(name: str) -> Callable[[Mapping[str, Argument]], int]:
    return lambda arguments: 3 if depends(arguments[name]) else 1


@affine(aten.tanh_backward.default, form="grad_output", power=_cubic_in("output"), roundings=4)
def tanh_backward(grad_output: Any, output: Any) -> Any:
    return grad_output * (1 - output * output)


@affine(aten.sigmoid_backward.default, form="grad_output", power=_cubic_in("output"), roundings=4)
def sigmoid_backward(grad_output: Any, output: Any) -> Any:
    return grad_output * (1 - output) * output


@affine(aten.threshold_backward.default, form="grad_output", label=Label.PIECEWISE, kinks=("threshold",))
def threshold_backward(grad_output: Any, self: Any, threshold: Any) -> Any:
    return select(greater(self, threshold), grad_output, 0)


@affine(aten.hardtanh_backward.default, form="grad_output", label=Label.PIECEWISE, kinks=("min_val", "max_val"))
def hardtanh_backward(grad_output: Any, self: Any, min_val: Any, max_val: Any) -> Any:
    return select(greater(self, min_val) * greater(max_val, self), grad_output, 0)


@affine(
    aten.leaky_relu_backward.default, form="grad_output", label=Label.PIECEWISE, kinks=(0.0,), roundings=1,
    wide=frozenset({"negative_slope"}),
)  # fmt: skip
def leaky_relu_backward(grad_output: Any, self: Any, negative_slope: Any) -> Any:
    return select(greater(self, 0), grad_output, grad_output * negative_slope)


# -- of activations with exponentials: enclosed in balls --------------------------------------------------------------


@nonlinear(aten.silu_backward.default, label=Label.SMOOTH)
def silu_backward(grad_output: Any, self: Any) -> Any:
    share = self.sigmoid()
    return grad_output * share * (self * (1 - share) + 1)


@nonlinear(aten.gelu_backward.default, label=Label.SMOOTH)
def gelu_backward(grad_output: Any, self: Any, approximate: str, call: Any) -> Any:
    """With the coefficients that the kernel holds."""
    dtype = call.dtype("self")
    scale = computed(math.sqrt(2) * (2 / math.sqrt(math.pi)) * 0.5, dtype)
    if approximate == "tanh":
        cubic, squared = computed(0.044715, dtype), self * self
        bend = ((self + squared * self * cubic) * scale).tanh()
        steepness = (1 - bend * bend) * (squared * (3 * cubic) + 1) * scale
        return grad_output * ((bend + 1) + self * steepness) / 2
    share = ((self * computed(math.sqrt(0.5), dtype)).erf() + 1) / 2
    density = (self * self / -2).exp() * (scale / 2)
    return grad_output * (share + self * density)


@nonlinear(aten.softplus_backward.default, label=Label.SMOOTH, wide=frozenset({"beta", "threshold"}))
def softplus_backward(grad_output: Any, self: Any, beta: Any, threshold: Any) -> Any:
    scaled = self * beta
    return without_shortcut(scaled, threshold, grad_output, grad_output * scaled.sigmoid())


@nonlinear(aten.elu_backward.default, label=Label.SMOOTH, wide=frozenset({"alpha", "scale", "input_scale"}))
def elu_backward(
    grad_output: Any, alpha: Any, scale: Any, input_scale: Any, is_result: bool, self_or_result: Any
) -> Any:
    height = alpha * scale
    below = self_or_result + height if is_result else (self_or_result.minimum(0) * input_scale).exp() * height
    return grad_output * select(greater(self_or_result, 0), scale, below * input_scale)


@nonlinear(aten._log_softmax_backward_data.default, label=Label.SMOOTH)
def log_softmax_backward(grad_output: Any, output: Any, dim: int) -> Any:
    if not grad_output.ndim:
        return grad_output - output.exp() * grad_output
    return grad_output - output.exp() * grad_output.sum(dim, True)
