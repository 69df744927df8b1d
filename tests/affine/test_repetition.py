"""Runs that keep to the script of an earlier recording, and runs that do not."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modules import CallWithParts
from whyactivate.affine.recording import Example, difference, record_all
from whyactivate.affine.recording.repetition import repeat
from whyactivate.affine.recording.scripts import Script
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracker import record
from whyactivate.affine.tape import Constant, Tape, Value


def twice(function: Callable[..., Any], rows: int = 2) -> tuple[Tape, Tape | None, Tape]:
    """A recording of two rows, what it tells of another run, and a recording of that; `turn` tells the runs apart."""
    module, script = CallWithParts(function), Script(2)
    one = record(module, (torch.ones(2, 3),), {}, state=State(module), script=script)
    module.turn = 1
    x = torch.linspace(-2, 3, 3 * rows).view(rows, 3)
    told = repeat(module, (x,), {}, rows, script, State(module))
    return one, told, record(module, (x,), {}, state=State(module))


KEPT: dict[str, Callable[..., Any]] = {
    "layers": lambda m, x: m.norm(m.layer(x).relu()) * m.column + 1,
    "views": lambda m, x: m.layer(x).view(-1)[1:].reshape(-1, 1).t()[0] * 2,
    "in place": lambda m, x: m.layer(x).relu_().add_(1).mul_(m.column),
    "into a part": lambda m, x: write_into(x * 2, slice(None), 1),
    "a result of a tuple": lambda m, x: torch.cat(x.split([1, 2], 1)[::-1], 1) / 3,
    "a tensor from numbers": lambda m, x: x * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor(0.5),
    "constants from constants": lambda m, x: x @ (m.layer.weight.t() * 2 + torch.eye(3)),
    "without a graph": lambda m, x: detached(m, x),
}
ONLY_AT_ITS_SIZE: dict[str, Callable[..., Any]] = {
    "a filled tensor": lambda m, x: write_into(torch.zeros(x.shape), slice(1, None), x[:, 1:]),
    "nothing there with two rows": lambda m, x: write_into(x.clone(), slice(2, None), 1, axis=0),
}


def write_into(y: Tensor, where: slice, what: Any, axis: int = 1) -> Tensor:
    place = y[where] if axis == 0 else y[:, where]
    place += what
    return y


def detached(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        return m.layer(x.detach()).tanh()


@pytest.mark.parametrize("name", KEPT | ONLY_AT_ITS_SIZE)
def test_what_is_met_again_shares_its_nodes(name: str) -> None:
    function = (KEPT | ONLY_AT_ITS_SIZE)[name]
    one, told, other = twice(function)
    assert told is not None
    assert told.nodes is one.nodes
    assert told.shares_program_of(one)
    assert difference(one, told) is None
    assert torch.equal(told.given[0], other.given[0])
    assert torch.equal(told.returned[0], other.returned[0])


def same_values(a: Any, b: Any) -> bool:
    if isinstance(a, Value):
        return a == b
    if isinstance(a, Constant):
        return isinstance(b, Constant) and torch.equal(a.tensor, b.tensor)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_values, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("rows", [1, 3, 5])
@pytest.mark.parametrize("name", KEPT)
def test_the_tape_of_another_batch_size_is_told_as_it_is_recorded(name: str, rows: int) -> None:
    _, told, other = twice(KEPT[name], rows)
    if told is None:  # one row may take other operations: its memory is contiguous in other ways
        assert name == "views"
        return
    assert len(told.nodes) == len(other.nodes)
    for a, b in zip(told.nodes, other.nodes, strict=True):
        assert (a.op, a.index, a.reason, a.root) == (b.op, b.index, b.reason, b.root)
        assert a.outputs == b.outputs
        assert a.arguments.keys() == b.arguments.keys()
        assert all(same_values(argument, b.arguments[key]) for key, argument in a.arguments.items())
    assert told.inputs == other.inputs
    assert all(map(same_values, told.outputs, other.outputs))
    assert told.storages == other.storages
    assert torch.equal(told.returned[0], other.returned[0])


@pytest.mark.parametrize("name", ONLY_AT_ITS_SIZE)
def test_where_sizes_change_the_program_it_is_not_told(name: str) -> None:
    assert twice(ONLY_AT_ITS_SIZE[name], 3)[1] is None


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, x: x * m.turn, "'other'"),
        (lambda m, x: x[:, 1:] * 2 if m.turn else x[:, :-1] * 2, "'self'"),
        (lambda m, x: m.layer(x) if m.turn else m.layer(x) + 1, "operations"),
        (lambda m, x: m.layer(x) + 1 if m.turn else m.layer(x), "operations"),
        (lambda m, x: x * torch.full((3,), float(m.turn)), "'other'"),
        (lambda m, x: x * torch.tensor([float(m.turn)]), "'other'"),
        (lambda m, x: x + (m.layer.bias if m.turn else m.norm.bias), "'other'"),
        (lambda m, x: (x + 1, x * 2)[m.turn] * 2, "operand 'self'"),
        (lambda m, x: (x + 1, x * 2)[m.turn], "output"),
        (lambda m, x: x.relu() if m.turn else x.tanh(), "relu"),
        (lambda m, x: torch.cat([x, x * 2][:: -1 if m.turn else 1]), "'tensors'"),
        (lambda m, x: x.clamp(max=m.turn), "'max'"),
    ],
)
def test_what_is_not_met_again_is_told(function: Callable[..., Any], words: str) -> None:
    one, told, other = twice(function)
    assert told is None
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

    one, told, other = twice(forward)
    assert told is None
    assert difference(one, other) is not None


NO_SCRIPT: dict[str, Callable[..., Any]] = {
    "random numbers": lambda m, x: x + torch.rand(3),
    "unwritten memory": lambda m, x: torch.empty(3).copy_(x[0]),
    "a Python number from a tensor": lambda m, x: x * m.column.item(),
    "memory given away": lambda m, x: x * float(m.column.numpy()[0, 0]),
    "a tensor laid over another": lambda m, x: x * moved(m),
    "a buffer that is written": lambda m, x: x * m.column.add_(1),
    "a large tensor of unknown origin": lambda m, x: x * LARGE[:3],
}
LARGE = torch.ones(1 << 17)


def moved(m: Any) -> Tensor:
    own = torch.ones(1)
    own.data = m.norm.bias
    return own


@pytest.mark.parametrize("name", NO_SCRIPT)
def test_what_operations_do_not_tell_is_recorded_each_time(name: str) -> None:
    _, told, other = twice(NO_SCRIPT[name])
    assert told is None
    assert other.nodes or other.refusal


def leak(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    if m.turn:
        try:
            m.held = y.numpy()
        except BaseException:
            m.held = None
    return y * 3


def test_a_leak_in_a_later_run_ends_it_even_where_the_module_swallows_that() -> None:
    one, told, other = twice(leak)
    assert told is None
    assert one.refusal is None
    assert other.refusal is not None


@pytest.mark.parametrize("over", [False, True])
def test_a_stranger_over_memory_that_depends_on_the_input_is_not_met_again(over: bool) -> None:
    apart = torch.zeros(2, 3)

    def forward(m: Any, x: Tensor) -> Tensor:
        y = x * 0  # the same numbers each time, and yet memory that depends on the input
        with torch._C.DisableTorchFunction():
            address = (y if m.turn and over else apart).data_ptr()
            stranger = torch.frombuffer((ctypes.c_float * 3).from_address(address), dtype=torch.float32)
        return y + stranger

    module, script = CallWithParts(forward), Script(2)
    blind = State(nn.Identity())  # one that has no objection to what is called here
    record(module, (torch.ones(2, 3),), {}, state=blind, script=script)
    module.turn = 1
    assert script.tape is not None
    told = repeat(module, (torch.ones(2, 3),), {}, 2, script, blind)
    assert (told is None) is over


class Alternating(nn.Module):
    """Another function at every second call, remembered where nobody looks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        TURNS[0] += 1
        return self.layer(x) if TURNS[0] % 2 else self.layer(x).relu()


TURNS = [0]


def test_a_run_that_left_the_script_is_not_forgotten_when_the_next_keeps_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "restore", lambda self, depends: [])
    recordings = record_all(Alternating(), Example.of(torch.randn(2, 3)))
    assert recordings.disagreement == "it did something else when it was run again"
    assert not recordings.is_complete


def test_a_module_that_keeps_to_the_script_is_recorded_on_four_inputs() -> None:
    recordings = record_all(CallWithParts(lambda m, x: m.layer(x)), Example.of(torch.randn(2, 3)))
    assert recordings.is_complete
    assert [len(tapes) for tapes in (recordings.singles, recordings.pairs, recordings.several)] == [1, 2, 1]


def test_what_does_not_keep_to_the_script_is_run_on_more_inputs() -> None:
    module = CallWithParts(lambda m, x: torch.zeros(len(x), 3).copy_(x) * 2)
    recordings = record_all(module, Example.of(torch.randn(2, 3)))
    assert recordings.is_complete
    assert [len(tapes) for tapes in (recordings.singles, recordings.pairs, recordings.several)] == [2, 3, 1]
