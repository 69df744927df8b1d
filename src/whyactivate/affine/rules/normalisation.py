"""Normalisation: affine in its input where the statistics are stored, row by row; otherwise in nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from whyactivate.affine.rules.reductions import moments
from whyactivate.affine.rules.rule import CannotEvaluate, Label, computed, constant_tensor
from whyactivate.affine.rules.table import affine, nonlinear
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

_FORM = "input*weight + running_mean*weight + bias"
_NOTE = "batch normalisation's coefficient weight / sqrt(variance + eps) is taken as float64 computes it"


def _uses_stored_statistics(arguments: Mapping[str, Argument]) -> str | None:
    if arguments.get("training") or constant_tensor(arguments.get("running_mean")) is None:
        return (
            "batch normalisation is in training mode: it divides by the statistics of the batch itself; "
            "call module.eval() first"
        )
    return None


def _uses_the_batch(arguments: Mapping[str, Argument]) -> bool:
    return _uses_stored_statistics(arguments) is not None


@affine(
    aten.native_batch_norm.default,
    aten._native_batch_norm_legit_no_training.default,
    form=_FORM,
    label=Label.ALGEBRAIC,
    when=_uses_stored_statistics,
    always=True,
    smooth_when=_uses_the_batch,
    roundings=10,  # the coefficient is itself computed in the module's dtype: a sum, a root, a quotient, products
    note=_NOTE,
)
def batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, eps: float, call: Any) -> Any:
    if _uses_the_batch(call.arguments):
        return _of_the_batch(input, weight, bias, eps)
    variance = running_var.to_float64()[0].numpy() + eps
    if not (variance > 0).all():
        raise CannotEvaluate("batch normalisation has a stored variance that is not positive")
    # NumPy rounds roots and quotients correctly, on every machine; PyTorch's vectorised root may be a bit off.
    scale: Any = ExactArray.from_tensor(torch.from_numpy(1 / np.sqrt(variance)))
    if weight is not None:
        scale = scale * weight
    broadcast = (-1, *(1 for _ in input.shape[2:]))
    result = (input - running_mean.reshape(*broadcast)) * scale.reshape(*broadcast)
    return result if bias is None else result + bias.reshape(*broadcast)


def _of_the_batch(input: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Each channel, normalised by its own mean and variance over the batch."""
    rows = input.swap(0, 1)
    flat, _, _ = _normalised(rows.reshape(rows.shape[0], -1), eps)
    return _scaled(flat.reshape(rows.shape).swap(0, 1), weight, bias)


def _normalised(rows: Any, eps: float) -> tuple[Any, Any, Any]:
    """The vectors along the last axis, with mean 0 and variance 1; their means, and what they were multiplied by."""
    mean, spread = moments(rows)
    scale = 1 / (spread + eps).sqrt()
    return (rows - mean) * scale, mean, scale


def _scaled(array: Any, weight: Any, bias: Any) -> Any:
    """Each channel, which the second axis counts, times its weight, plus its bias."""
    broadcast = (-1, *(1 for _ in array.shape[2:]))
    if weight is not None:
        array = array * weight.reshape(*broadcast)
    return array if bias is None else array + bias.reshape(*broadcast)


@nonlinear(aten.native_layer_norm.default, label=Label.SMOOTH)
def layer_norm(input: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float, call: Any) -> Any:
    leading = input.shape[: input.ndim - len(normalized_shape)]
    rows, *rest = _normalised(input.reshape(*leading, prod(normalized_shape)), computed(eps, call.dtype("input")))
    result = rows.reshape(input.shape)
    if weight is not None:
        result = result * weight
    if bias is not None:
        result = result + bias
    ones = [1 for _ in normalized_shape]
    return result, *(one.reshape(*leading, *ones) for one in rest)


@nonlinear(aten.native_group_norm.default, label=Label.SMOOTH)
def group_norm(input: Any, weight: Any, bias: Any, N: int, group: int, eps: float) -> Any:
    rows, mean, scale = _normalised(input.reshape(N, group, input.size // (N * group)), eps)
    return _scaled(rows.reshape(input.shape), weight, bias), mean.reshape(N, group), scale.reshape(N, group)


@nonlinear(aten._fused_rms_norm.default, label=Label.SMOOTH)
def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any, eps: float | None, call: Any) -> Any:
    leading = input.shape[: input.ndim - len(normalized_shape)]
    rows = input.reshape(*leading, prod(normalized_shape))
    least = torch.finfo(call.dtype("input")).eps if eps is None else computed(eps, call.dtype("input"))
    root = ((rows * rows).sum(-1, True) / rows.shape[-1] + least).sqrt()
    result = (rows / root).reshape(input.shape)
    return result if weight is None else result * weight
