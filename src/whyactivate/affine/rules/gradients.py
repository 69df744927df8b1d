"""Derivatives that a forward computes by itself: affine in the gradient that comes in."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.rule import shape_of
from whyactivate.affine.rules.table import affine
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
