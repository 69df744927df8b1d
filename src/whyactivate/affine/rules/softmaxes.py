"""Softmaxes and logarithms of sums of exponentials along axes, of what is not left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from whyactivate.affine.rules.axes import along, apart, marks_together, put_along, together, with_others
from whyactivate.affine.rules.extremes import largest
from whyactivate.affine.rules.rule import Label
from whyactivate.affine.rules.table import nonlinear
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

_SMOOTH: dict[str, Any] = {"label": Label.SMOOTH}


def softmax_of(rows: Any, left_out: torch.Tensor | None = None) -> Any:
    """The softmax along the last axis, of what is not left out; that gets 0."""
    if left_out is not None:
        return _softmax_of_some(rows, left_out.expand(rows.shape))
    powers = (rows - largest(rows).reshape(*rows.shape[:-1], 1)).exp()
    return powers / powers.sum(-1, True)


def _softmax_of_some(rows: Any, left_out: torch.Tensor) -> Any:
    scores = with_others(rows, left_out)
    counts = ExactArray.from_tensor((~left_out).double().contiguous())
    powers = (scores - largest(scores).reshape(*rows.shape[:-1], 1)).exp() * counts
    return powers / powers.sum(-1, True)


def log_sum_exp(rows: Any, left_out: torch.Tensor | None = None) -> Any:
    """The logarithm of the sum of exponentials along the last axis, of what is not left out."""
    rows = rows if left_out is None else with_others(rows, left_out)
    top = largest(rows)
    powers = (rows - top.reshape(*rows.shape[:-1], 1)).exp()
    if left_out is not None:
        powers = powers * ExactArray.from_tensor((~left_out).double().contiguous())
    return top + powers.sum(-1).log()


def _log_softmax_of(rows: Any) -> Any:
    return rows - log_sum_exp(rows).reshape(*rows.shape[:-1], 1)


@nonlinear(aten._softmax.default, aten._safe_softmax.default, **_SMOOTH)
def softmax(self: Any, dim: int, call: Any) -> Any:
    if call.left_out is None or not self.ndim:
        return along(self, dim, softmax_of)
    left_out = call.left_out.expand(self.shape).swapaxes(dim, -1)
    return softmax_of(self.swap(dim, -1), left_out).swap(dim, -1)


@nonlinear(aten._log_softmax.default, **_SMOOTH)
def log_softmax(self: Any, dim: int) -> Any:
    return along(self, dim, _log_softmax_of)


@nonlinear(aten.logsumexp.default, **_SMOOTH)
def logsumexp(self: Any, dim: Sequence[int], keepdim: bool, call: Any) -> Any:
    left_out = None if call.left_out is None or not self.ndim else marks_together(self, dim, call.left_out)
    return apart(self, log_sum_exp(together(self, dim), left_out), dim, keepdim)


@nonlinear(aten.logcumsumexp.default, **_SMOOTH)
def logcumsumexp(self: Any, dim: int) -> Any:
    rows = together(self, dim)
    return put_along(self, [log_sum_exp(rows[..., : end + 1]) for end in range(rows.shape[-1])], dim)
