"""Rows that operations treat alone, and recordings that meet again what an earlier one met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whyactivate.affine.recording import Example, difference, record_all
from whyactivate.affine.rehearsal import rehearse
from whyactivate.affine.rowwise import acts_on_each_row
from whyactivate.affine.state import State
from whyactivate.affine.steps import Guide
from whyactivate.affine.tape import Tape
from whyactivate.affine.tracker import record


class Call(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.conv = nn.Conv1d(3, 3, 1)
        self.register_buffer("column", torch.tensor([[2.0]]))
        self.turn = 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def programs(function: Callable[..., Any], shape: tuple[int, ...] = (3,)) -> tuple[Tape, Tape]:
    recordings = record_all(Call(function), Example.of(torch.randn(2, *shape)))
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


def _record_twice(function: Callable[..., Any]) -> tuple[Tape, Tape]:
    """Two recordings of a module that may look at `turn`, which is not the same in both."""
    module, guide = Call(function), Guide()
    one = record(module, (torch.ones(2, 3),), {}, state=State(module), guide=guide)
    module.turn = 1
    return one, record(module, (torch.full((2, 3), -2.0),), {}, state=State(module), guide=guide)


def test_what_is_met_again_shares_its_nodes() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.norm(m.layer(x).relu()).view(-1)[1:] + 1

    one, other = _record_twice(forward)
    assert len(one.nodes) == 4
    assert all(a is b for a, b in zip(one.nodes, other.nodes, strict=True))
    assert other.shares_program_of(one)
    assert difference(one, other) is None
    assert torch.equal(other.returned[0], Call(forward)(torch.full((2, 3), -2.0)))
    assert torch.equal(one.returned[0], Call(forward)(torch.ones(2, 3)))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, x: x * m.turn, "'other'"),
        (lambda m, x: x[:, 1:] * 2 if m.turn else x[:, :-1] * 2, "'self'"),
        (lambda m, x: m.layer(x) if m.turn else m.layer(x) + 1, "operations"),
        (lambda m, x: x * torch.full((3,), float(m.turn)), "'other'"),
        (lambda m, x: x + (m.layer.bias if m.turn else m.norm.bias), "'other'"),
        (lambda m, x: (x + 1, x * 2)[m.turn] * 2, "operand 'self'"),
        (lambda m, x: x.relu() if m.turn else x.tanh(), "relu"),
        (lambda m, x: torch.cat([x, x * 2][:: -1 if m.turn else 1]), "'tensors'"),
    ],
)
def test_what_is_not_met_again_is_told(function: Callable[..., Any], words: str) -> None:
    one, other = _record_twice(function)
    assert not other.shares_program_of(one)
    assert words in str(difference(one, other))


def test_a_weight_that_was_written_in_between_is_not_met_again() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x = x * m.column
        if m.turn:
            m.column.add_(1)
        x = x * m.column
        if m.turn:
            m.column.sub_(1)
        return x

    one, other = _record_twice(forward)
    assert one.nodes[0] is other.nodes[0]
    assert one.nodes[1] is not other.nodes[1]
    assert difference(one, other) is not None
