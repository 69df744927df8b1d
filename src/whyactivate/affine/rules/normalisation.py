"""Batch normalisation with stored statistics: affine in its input, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from whyactivate.affine.rules.rule import CannotEvaluate, Label, constant_tensor
from whyactivate.affine.rules.table import affine
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


@affine(
    aten.native_batch_norm.default,
    aten._native_batch_norm_legit_no_training.default,
    form=_FORM,
    label=Label.ALGEBRAIC,
    when=_uses_stored_statistics,
    roundings=10,  # the coefficient is itself computed in the module's dtype: a sum, a root, a quotient, products
    note=_NOTE,
)
def batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, eps: float) -> Any:
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
