"""Scores that a mask makes minus infinity are left out as PyTorch leaves them out, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from modules import Call
from whyactivate.affine.evaluating.replay import ExactConstants, Replay
from whyactivate.affine.recording import Example, record_all
from whyactivate.affine.rules.left_out import find_left_out
from whyactivate.affine.rules.rule import CannotEvaluate
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray

FUTURE = torch.ones(4, 4, dtype=torch.bool).triu(1)
BIAS = torch.zeros(4, 4).masked_fill(FUTURE, -math.inf)


def scores(x: Tensor) -> Tensor:
    return x[:, :, None] * x[:, None, :] * 8


def attention(x: Tensor, **options: object) -> Tensor:
    x = x[:, None, :, None]
    return F.scaled_dot_product_attention(x, x, x, **options)  # type: ignore[arg-type]


def by_slices(x: Tensor) -> Tensor:
    found = scores(x)
    found[:, :, 3] = -math.inf
    found[:, FUTURE] = -math.inf
    return found.softmax(-1)


MASKED: dict[str, Callable[[Tensor], Tensor]] = {
    "filled": lambda x: scores(x).masked_fill(FUTURE, -math.inf).softmax(-1),
    "filled along another axis": lambda x: scores(x).masked_fill(FUTURE.t(), -math.inf).softmax(1),
    "added and scaled": lambda x: ((scores(x) + BIAS) / 2).softmax(-1),
    "chosen": lambda x: torch.where(FUTURE, -math.inf, scores(x)).softmax(-1),
    "in parts": by_slices,
    "largest": lambda x: (scores(x) + BIAS).amax((1, 2)),
    "summed": lambda x: (scores(x) + BIAS).logsumexp(-1),
    "summed over several axes": lambda x: (scores(x) + BIAS).permute(1, 0, 2).logsumexp((2, 0), keepdim=True),
    "attention": lambda x: attention(x, attn_mask=BIAS),
    "causal attention": lambda x: attention(x, is_causal=True),
}
ELSEWHERE: dict[str, Callable[[Tensor], Tensor]] = {
    "all of a row": lambda x: (scores(x) + BIAS - BIAS.t()).softmax(-1),
    "another function": lambda x: (scores(x) + BIAS).sigmoid() + scores(x).softmax(-1),
    "turned round": lambda x: (-(scores(x) + BIAS)).softmax(-1),
    "the output as well": lambda x: (scores(x) + BIAS, (scores(x) + BIAS).softmax(-1))[0] + x.softmax(-1)[:, None],
    "a mask that depends on the input": lambda x: x.masked_fill(x > 0, -math.inf).softmax(-1),
}


@pytest.mark.parametrize("name", MASKED)
def test_what_is_left_out_is_what_pytorch_leaves_out(name: str) -> None:
    x = torch.randn(1, 4, generator=torch.Generator().manual_seed(3))
    tape = record_all(Call(MASKED[name]), Example.of(x)).single
    assert tape is not None
    point = [BallArray.from_exact(ExactArray.from_tensor(x[None].double()).reshape(1, 4))]
    (found,) = Replay(tape, constants=ExactConstants(), masked=True).outputs(point)
    expected = MASKED[name](x)
    assert torch.allclose(found.to_float64().reshape(expected.shape).float(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_nothing_is_left_out_where_minus_infinity_goes_elsewhere(name: str) -> None:
    tape = record_all(Call(ELSEWHERE[name]), Example.of(torch.randn(2, 4))).single
    assert tape is not None
    assert not find_left_out(tape).filled


def test_a_masked_program_has_a_value_only_where_that_is_asked_for() -> None:
    tape = record_all(Call(MASKED["filled"]), Example.of(torch.randn(2, 4))).single
    assert tape is not None
    with pytest.raises(CannotEvaluate, match="not finite"):
        Replay(tape).outputs([BallArray.from_exact(ExactArray.from_tensor(torch.ones(1, 4)).reshape(1, 4))])
