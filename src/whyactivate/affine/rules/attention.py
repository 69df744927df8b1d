"""Attention: products of values that depend on the input, weighted by softmaxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from whyactivate.affine.rules.places import in_one_arithmetic
from whyactivate.affine.rules.rule import CannotEvaluate, Label
from whyactivate.affine.rules.softmaxes import softmax_of
from whyactivate.affine.rules.table import nonlinear

aten = torch.ops.aten


@nonlinear(aten._scaled_dot_product_flash_attention_for_cpu.default, label=Label.SMOOTH)
def attention(
    query: Any, key: Any, value: Any, dropout_p: float, is_causal: bool, attn_mask: Any, scale: float | None, call: Any
) -> Any:
    if dropout_p:
        raise CannotEvaluate("attention with dropout draws random numbers")
    width = query.shape[-1]
    query, key, value = in_one_arithmetic([query, key, value])
    key, value = (_for_each_head(one, query.shape[-3]) for one in (key, value))
    factor = 1 / type(query).from_fraction(width).sqrt() if scale is None else scale
    scores = (query * factor) @ key.swap(-1, -2)
    if attn_mask is not None:
        scores = scores + attn_mask
    if not is_causal:
        return softmax_of(scores, call.left_out) @ value
    future = torch.from_numpy(~np.tri(*scores.shape[-2:], dtype=bool))
    return softmax_of(scores, future if call.left_out is None else future | call.left_out) @ value


def _for_each_head(numbers: Any, heads: int) -> Any:
    """Keys or values for as many heads as there are queries: where there are fewer, several heads share them."""
    *batch, own, rows, width = numbers.shape
    if own == heads:
        return numbers
    shared = numbers.reshape((*batch, own, 1, rows, width)).expand((*batch, own, heads // own, rows, width))
    return shared.reshape((*batch, heads, rows, width))
