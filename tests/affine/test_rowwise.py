"""Rows that operations treat alone, and recordings that meet again what an earlier one met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from modules import CallWithParts
from whyactivate.affine.evaluating.rehearsal import rehearse
from whyactivate.affine.evaluating.rowwise import acts_on_each_row
from whyactivate.affine.recording import Example, record_all
from whyactivate.affine.tape import Tape


def programs(function: Callable[..., Any], shape: tuple[int, ...] = (3,)) -> tuple[Tape, Tape]:
    recordings = record_all(CallWithParts(function), Example.of(torch.randn(2, *shape)))
    assert recordings.single is not None
    return recordings.single, recordings.pairs[0]


ALONE: list[tuple[Callable[..., Any], tuple[int, ...]]] = [
    (lambda m, x: m.layer(x), (3,)),
    (lambda m, x: x @ m.layer.weight, (3,)),
    (lambda m, x: m.norm(m.layer(x).relu()) * m.column, (3,)),
    (lambda m, x: m.conv(x) - x / 2.0, (3, 4)),
    (lambda m, x: torch.addmm(x, x, m.layer.weight, beta=2), (3,)),
    (lambda m, x: m.layer(x)[:, None], (3,)),
]
NOT_KNOWN: list[tuple[Callable[..., Any], tuple[int, ...]]] = [
    (lambda m, x: x - x.mean(0), (3,)),
    (lambda m, x: m.layer(x) + torch.arange(x.shape[0])[:, None], (3,)),
    (lambda m, x: m.layer(x) * len(x), (3,)),
    (lambda m, x: m.layer(x) if len(x) == 1 else x @ m.layer.weight.T + m.layer.bias, (3,)),
    (lambda m, x: x.flip(0), (3,)),
    (lambda m, x: x + x.view(-1)[: x.shape[1]], (3,)),
    (lambda m, x: m.layer.weight[:, :1] @ x[:1] + x[0], (3,)),
]


@pytest.mark.parametrize(("function", "shape"), ALONE)
def test_operations_on_rows_alone_are_known_and_agree_with_the_module(
    function: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    single, pair = programs(function, shape)
    assert acts_on_each_row(single, pair, 2)
    assert not acts_on_each_row(single, pair, 3)
    rehearsed = rehearse(single, list(pair.given))
    assert rehearsed is not None
    (output,), largest = rehearsed
    torch.testing.assert_close(output.float(), pair.returned[0])
    assert (largest >= output.flatten(1).abs().amax(1)).all()


@pytest.mark.parametrize(("function", "shape"), NOT_KNOWN)
def test_what_may_mix_rows_is_not_taken_for_rows_alone(function: Callable[..., Any], shape: tuple[int, ...]) -> None:
    single, pair = programs(function, shape)
    assert not acts_on_each_row(single, pair, 2)


def test_other_weights_are_another_program() -> None:
    one, _ = programs(lambda m, x: m.layer(x))
    _, other = programs(lambda m, x: m.layer(x))
    assert not acts_on_each_row(one, other, 2)


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (lambda m, x: x * 1e39, 1.0),
        (lambda m, x: (x * 2.0) * 2.0, 1e308),
        (lambda m, x: x * m.column[0, 0].double(), 1.0),
    ],
)
def test_numbers_that_the_dtype_cannot_hold_are_not_rehearsed(function: Callable[..., Any], rows: float) -> None:
    single, _ = programs(function)
    assert rehearse(single, [torch.full((2, 3), rows, dtype=torch.float64)]) is None
