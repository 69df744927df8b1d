"""More deceptive modules: functions that bend in one place only, beyond a mask, or in one of several outputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from deceptive_modules import AFFINE, NO_FUNCTION, NOT_AFFINE, RARE, Truth, forward, group, rows
from torch import Tensor

Function = Callable[[Tensor], Tensor]

group("bent in one place")

_FUTURE = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
_BIAS = torch.zeros(4, 4).masked_fill(_FUTURE, -math.inf)
_LIBRARY = torch.library.Library("deceptive_functions", "FRAGMENT")
_LIBRARY.define("bent(Tensor x) -> Tensor")
_LIBRARY.impl("bent", lambda x: x - (x - RARE).relu(), "CompositeImplicitAutograd")


def _on(x: Tensor, column: int) -> Tensor:
    return (x[:, column : column + 1] - 50).relu()


def _scores(x: Tensor) -> Tensor:
    return x[:, :, None] * x[:, None, :]


def _heads(x: Tensor) -> Tensor:
    return x[:, None, :, None]


def _attention(x: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
    x = _heads(x)
    return F.scaled_dot_product_attention(x, x, x, attn_mask=mask, is_causal=is_causal)


def _filled_by_slices(x: Tensor) -> Tensor:
    scores = _scores(x)
    scores[:, :, 3] = -math.inf
    scores[:, 0, 1:] = -math.inf
    return scores.softmax(-1) @ x[:, :, None]


def _filled_by_index(x: Tensor) -> Tensor:
    scores = _scores(x)
    scores[:, _FUTURE] = -math.inf
    return scores.softmax(-1) @ x[:, :, None]


def _gap_between_rows(x: Tensor) -> Tensor:
    unwritten = torch.empty_strided((2, 2), (4, 1))
    return x * unwritten.as_strided((6,), (1,))[2:4].sum()


BENT: dict[str, Function] = {
    "clamped far out": lambda x: x.clamp(-1e20, 1e20),
    "rounded far out": lambda x: torch.where(x.abs() > 1e9, x.round(), x),
    "two coordinates together": lambda x: x + (torch.minimum(x[:, :1], x[:, 1:2]) - 50).relu(),
    "a product of two kinks": lambda x: x + _on(x, 0) * _on(x, 1),
    "a product of four kinks": lambda x: x + _on(x, 0) * _on(-x, 1) * _on(x, 2) * _on(-x, 3),
    "a thin band": lambda x: x + ((x > 1000) & (x < 1000.0001)).float(),
    "a thin tent": lambda x: x + (1 - (x - 1234.5).abs() * 1e4).relu(),
    "a ball": lambda x: x + (1 - ((x - 77) ** 2).sum(1, keepdim=True)).relu(),
    "a slab": lambda x: x + (1 - (x @ torch.tensor([1.0, 2.0, -3.0, 0.5]) - 1e4).abs()).relu()[:, None],
    "a far bump of all": lambda x: x + (-((x - 20) ** 2).sum(1, keepdim=True)).exp(),
    "a far logistic step": lambda x: x + (x - 1e4).sigmoid(),
    "kinks behind kinks": lambda x: x + (((x - 100).relu() - 100).relu() - 100).relu(),
    "there and back": lambda x: x + ((((x - 10).relu() - 10).relu() * -1 + 5).relu() - 4).relu(),
    "a kink behind tanh": lambda x: x + (x.tanh() - 0.999).relu(),
    "a kink behind softmax": lambda x: x + (x.softmax(1) - 0.999999).relu(),
    "a small gap of a square": lambda x: x + (-(x * x) + 2 * x - 0.99999).relu(),
    "ties of a sort": lambda x: x.sort(1).values.sum(1, keepdim=True) + x + x.sort(1).values[:, :1] * 1e-12,
    "fine steps": lambda x: (x * 1e6).round() / 1e6,
    "a point between columns": lambda x: x + (x[:, :1] == x[:, 1:2]).float(),
    "both ends of a comparison": lambda x: x + ((x <= 2) & (x >= 2)).float(),
    "a mask as factor": lambda x: x * (x > -1e12),
    "any of a row": lambda x: x + (x > RARE).any(1, keepdim=True),
    "clipped by its norm": lambda x: x * (1e8 / (x.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1),
    "one output of two": lambda x: (x, x - (x - RARE).relu()),
    "a custom operation made of others": lambda x: torch.ops.deceptive_functions.bent(x),
    "a convolution with itself": lambda x: F.conv1d(x[None], x[:, None, :2].contiguous(), groups=len(x))[0],
    "a mask of minus infinity": lambda x: _scores(x).masked_fill(_FUTURE, -math.inf).softmax(-1) @ x[:, :, None],
    "a mask that is added": lambda x: ((_scores(x) + _BIAS) / 2).softmax(-1) @ x[:, :, None],
    "a mask by where": lambda x: torch.where(_FUTURE, -math.inf, _scores(x)).softmax(-1) @ x[:, :, None],
    "a mask over the other axis": lambda x: _scores(x).masked_fill(_FUTURE.t(), -math.inf).softmax(1) @ x[:, :, None],
    "a mask by slices": _filled_by_slices,
    "a mask by index": _filled_by_index,
    "a masked maximum": lambda x: x.masked_fill(torch.tensor([False, False, True, True]), -math.inf).amax(1),
    "attention with a mask of numbers": lambda x: _attention(x, _BIAS),
    "attention with a mask of flags": lambda x: _attention(x, ~_FUTURE),
    "attention to what came before": lambda x: _attention(x, is_causal=True),
    "attention to nothing": lambda x: _attention(x, torch.tensor([[False] * 4, *[[True] * 4] * 3])),
    "a mask made of the input": lambda x: x.masked_fill(x > RARE, -math.inf).softmax(1),
    "a mask, turned round": lambda x: (-x.masked_fill(_FUTURE[0], -math.inf)).softmax(1),
}
STRAIGHT: dict[str, Function] = {
    "sorted and added up": lambda x: x.sort(1).values.sum(1, keepdim=True) + x,
    "all of the largest": lambda x: x.topk(4, 1).values.sum(1, keepdim=True),
    "a kink beyond tanh": lambda x: x + (x.tanh().sum(1, keepdim=True) - 4.5).relu(),
    "a kink below a square": lambda x: x + (-(x * x) - 1).relu(),
    "a slope that is rounded to one": lambda x: F.leaky_relu(x, 1 - 2**-30),
    "a square that is rounded away": lambda x: x + x * x * 1e-50,
    "one number in two ways": lambda x: x.relu() * 0.1 - x.relu() * torch.tensor(0.1) + x,
    "fifth powers": lambda x: (x + 1) ** 5 - (x - 1) ** 5 - 10 * x**4 - 20 * x**2 - 2 + x,
    "a divergence from constants": lambda x: F.kl_div(x, torch.ones(4) / 4, reduction="none"),
    "a GELU spelt out": lambda x: (
        F.gelu(x, approximate="tanh") - 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * x**3))) + x
    ),
    "a normalisation spelt out": lambda x: (
        F.layer_norm(x, (4,))
        - (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5)
        + x
    ),
}
NOWHERE: dict[str, Function] = {
    "all is masked": lambda x: x.masked_fill(torch.ones(4, dtype=torch.bool), -math.inf).softmax(1) + x,
    "a gap in unwritten memory": _gap_between_rows,
}


def _enter(truth: Truth, name: str, function: Function) -> None:
    def apply(m, x):
        return function(x)

    apply.__name__ = name
    forward(truth, tolerance=1e-6 if truth is AFFINE else 1e-9)(apply)


for _truth, _functions in ((NOT_AFFINE, BENT), (AFFINE, STRAIGHT), (NO_FUNCTION, NOWHERE)):
    for _name, _function in _functions.items():
        _enter(_truth, _name, _function)


@forward(NOT_AFFINE, example=lambda: rows(4, 4).t())
def how_its_input_lies(m, x):
    return x if x.is_contiguous() else x.relu()
