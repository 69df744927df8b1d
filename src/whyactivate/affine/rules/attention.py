"""Attention: products of values that depend on the input, weighted by softmaxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from whyactivate.affine.rules.places import in_one_arithmetic
from whyactivate.affine.rules.reductions import softmax_of
from whyactivate.affine.rules.rule import CannotEvaluate, Label
from whyactivate.affine.rules.table import nonlinear
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten


@nonlinear(aten._scaled_dot_product_flash_attention_for_cpu.default, label=Label.SMOOTH)
def attention(
    query: Any, key: Any, value: Any, dropout_p: float, is_causal: bool, attn_mask: Any, scale: float | None
) -> Any:
    if dropout_p:
        raise CannotEvaluate("attention with dropout draws random numbers")
    width = query.shape[-1]
    query, key, value = in_one_arithmetic([query, key, value])
    factor = 1 / type(query).from_fraction(width).sqrt() if scale is None else scale
    scores = (query * factor) @ key.swap(-1, -2)
    if attn_mask is not None:
        scores = scores + attn_mask
    if not is_causal:
        return softmax_of(scores) @ value
    rows, columns = scores.shape[-2:]
    seen = np.tri(rows, columns, dtype=np.int64)
    shifted = scores - _largest_seen(scores)
    powers = shifted.exp() * ExactArray.from_tensor(torch.from_numpy(seen))
    return (powers / powers.sum(-1, True)) @ value


def _largest_seen(scores: Any) -> Any:
    """For each row, the largest of the scores up to the diagonal."""
    best = [scores[..., :1, 0]]
    for row in range(1, scores.shape[-2]):
        seen = scores[..., row : row + 1, : row + 1]
        top = seen[..., 0]
        for column in range(1, seen.shape[-1]):
            top = top.maximum(seen[..., column])
        best.append(top)
    return type(scores).concatenate(best, -1).reshape(*scores.shape[:-1], 1)
