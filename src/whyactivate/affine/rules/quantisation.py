"""Numbers rounded to a few levels and read as floats again, as in training for quantised networks."""

from __future__ import annotations

from typing import Any

import torch

from whyactivate.affine.rules.masks import round_
from whyactivate.affine.rules.rule import CannotEvaluate, Label
from whyactivate.affine.rules.table import nonlinear
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

_PIECEWISE: dict[str, Any] = {"label": Label.PIECEWISE}


def _quantised(numbers: Any, scale: torch.Tensor, zero: torch.Tensor, quant_min: int, quant_max: int) -> Any:
    """With the inverse of the scale that the kernels multiply by."""
    steps, shift = ExactArray.from_tensor(1 / scale), ExactArray.from_tensor(zero)
    levels = (round_(numbers * steps) + shift).maximum(quant_min).minimum(quant_max)
    return (levels - shift) * ExactArray.from_tensor(scale)


@nonlinear(aten.fake_quantize_per_tensor_affine_cachemask.default, **_PIECEWISE)
def fake_quantize(self: Any, call: Any) -> Any:
    scale, zero, quant_min, quant_max = call.others("self")
    return _quantised(self, torch.tensor(scale), torch.tensor(zero), quant_min, quant_max)


@nonlinear(
    aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default,
    selectors=frozenset({"scale", "zero_point", "fake_quant_enabled"}),
    **_PIECEWISE,
)
def fake_quantize_with(
    self: Any, scale: Any, zero_point: Any, fake_quant_enabled: Any, quant_min: int, quant_max: int
) -> Any:
    if not bool(fake_quant_enabled):
        return self
    if scale.numel() != 1:
        raise CannotEvaluate("a scale for the whole tensor is one number")
    return _quantised(self, scale.reshape(()).float(), zero_point.reshape(()), quant_min, quant_max)


@nonlinear(
    aten.fake_quantize_per_channel_affine_cachemask.default, selectors=frozenset({"scale", "zero_point"}), **_PIECEWISE
)
def fake_quantize_channels(self: Any, scale: Any, zero_point: Any, axis: int, quant_min: int, quant_max: int) -> Any:
    shape = [-1 if place == axis % self.ndim else 1 for place in range(self.ndim)]
    return _quantised(self, scale.float().reshape(shape), zero_point.reshape(shape), quant_min, quant_max)
