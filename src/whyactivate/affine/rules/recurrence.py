"""Recurrent layers that PyTorch carries out as one operation."""

from __future__ import annotations

from typing import Any

import torch

from whyactivate.affine.rules.places import in_one_arithmetic
from whyactivate.affine.rules.rule import CannotEvaluate, Label
from whyactivate.affine.rules.table import nonlinear

aten = torch.ops.aten

_LSTM = 2
"""ATen's number for this kind of layer; its input has the steps first, whatever `batch_first` says."""


@nonlinear(aten.mkldnn_rnn_layer.default, label=Label.SMOOTH)
def recurrent_layer(
    input: Any, weight0: Any, weight1: Any, weight2: Any, weight3: Any, hx_: Any, cx_: Any, reverse: bool,
    batch_sizes: Any, mode: int, has_biases: bool,
) -> Any:  # fmt: skip
    if mode != _LSTM or batch_sizes:
        raise CannotEvaluate("this kind of recurrent layer has no formula here")
    steps = range(input.shape[0])
    hidden, cell = hx_.reshape(hx_.shape[-2:]), cx_.reshape(cx_.shape[-2:])
    outputs: list[Any] = []
    for step in reversed(steps) if reverse else steps:
        gates = input[step] @ weight0.swap(0, 1) + hidden @ weight1.swap(0, 1)
        if has_biases:
            gates = gates + weight2 + weight3
        size = gates.shape[-1] // 4
        enter, forget, new, out = (gates[..., k * size : (k + 1) * size] for k in range(4))
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        outputs.append(hidden)
    in_order = in_one_arithmetic(outputs[::-1] if reverse else outputs)
    return type(in_order[0]).stack(in_order), hidden.reshape(hx_.shape), cell.reshape(cx_.shape)
