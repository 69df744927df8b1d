"""What one run of a module leaves behind: nodes, geometry, constants, places, refusals."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modules import Call
from whyactivate.affine import Verdict, analyze, recording
from whyactivate.affine.recording import difference
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracker import record
from whyactivate.affine.tape import Constant, Geometry, Tape, Value
from whyactivate.errors import InputError

X = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])


def tape_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Tape:
    return record(Call(function), args or (X,), kwargs)


def ops(tape: Tape) -> list[str]:
    return [str(node.op).removeprefix("aten.") for node in tape.nodes]


# -- geometry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensor", "contiguous"),
    [
        (torch.zeros(2, 3), True),
        (torch.zeros(2, 3).t(), False),
        (torch.zeros(4, 3)[1:], True),
        (torch.zeros(4, 3)[:, 1:], False),
        (torch.zeros(2, 1, 3).transpose(0, 1), True),
        (torch.zeros(3, 1).expand(3, 2), False),
        (torch.zeros(()), True),
        (torch.zeros(1, 5)[:, ::2], False),
    ],
)
def test_geometry_knows_what_is_contiguous(tensor: Tensor, contiguous: bool) -> None:
    geometry = Geometry(tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)
    assert geometry.numel == tensor.numel()
    assert geometry.is_contiguous is contiguous
    assert geometry.is_contiguous is tensor.is_contiguous()


def test_a_view_is_geometry_and_no_node() -> None:
    tape = tape_of(lambda x: x.t()[1:, :1].unsqueeze(0))
    assert tape.nodes == ()
    (output,) = tape.outputs
    assert isinstance(output, Value)
    assert output.storage == tape.inputs[0].storage
    view = X.t()[1:, :1].unsqueeze(0)
    assert output.geometry == Geometry(1, (1, 2, 1), view.stride(), torch.float32)


def test_a_write_in_place_is_a_new_version_of_the_same_memory() -> None:
    def forward(x: Tensor) -> Tensor:
        y = x.clone()
        y[:, 0] += 1
        y.mul_(2)
        return y

    tape = tape_of(forward)
    assert ops(tape) == ["clone.default", "add.Tensor", "mul.Tensor"] or ops(tape)[-1] == "mul.Tensor"
    written = [node.outputs[0] for node in tape.nodes]
    assert len({value.storage for value in written if value}) == 1
    versions = [value.version for value in written if value]
    assert versions == sorted(set(versions))
    assert tape.outputs[0] == written[-1]


def test_the_input_is_a_copy_of_what_was_given() -> None:
    given = X.t()[:, :1]
    tape = tape_of(lambda x: x.add_(1), given)
    assert torch.equal(X, torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]]))
    assert tape.inputs[0].geometry == Geometry(0, (3, 1), (1, 1), torch.float32)
    assert torch.equal(tape.given[0], given)
    assert torch.equal(tape.returned[0], given + 1)


def test_only_what_touches_the_input_is_written_down() -> None:
    layer = nn.Linear(3, 2)

    def forward(x: Tensor) -> Tensor:
        scale = (layer.weight**2).sum().sqrt() + torch.eye(3).trace()
        return layer(x) * scale

    tape = tape_of(forward)
    assert ops(tape) == ["addmm.default", "mul.Tensor"]
    constants = [list(node.constants()) for node in tape.nodes]
    assert [len(found) for found in constants] == [2, 1]
    weight = next(c for c in constants[0] if c.tensor.ndim == 2)
    assert weight.tensor.data_ptr() == layer.weight.data_ptr(), "weights are held by reference"


def test_arguments_go_by_the_names_of_the_schema() -> None:
    tape = tape_of(lambda x: torch.add(x, torch.ones(3), alpha=2))
    (node,) = tape.nodes
    assert set(node.arguments) == {"self", "other", "alpha"}
    assert isinstance(node.arguments["self"], Value)
    assert isinstance(node.arguments["other"], Constant)
    assert node.arguments["alpha"] == 2


def test_integers_and_plain_arguments_are_held_fixed() -> None:
    tape = tape_of(lambda x, index, flag: x[:, index] if flag else x, X, torch.tensor([2, 0]), True)
    assert len(tape.inputs) == 1
    assert [type(a).__name__ for a in tape.nodes[0].arguments["indices"]] == ["NoneType", "Constant"]


def test_inputs_may_lie_in_nested_containers() -> None:
    tape = tape_of(lambda pair, *, extra: {"sum": pair[0] + pair[1]["b"], "more": [extra]}, (X, {"b": X}), extra=X)
    assert len(tape.inputs) == 3
    assert len(tape.outputs) == 2


# -- what an output depends on ----------------------------------------------------------------------------------------


def test_needed_leaves_out_what_no_output_shows() -> None:
    def forward(x: Tensor) -> Tensor:
        torch.relu(x)
        kept = x * 2
        _ = kept + torch.tanh(x)
        return kept - 1

    tape = tape_of(forward)
    assert [str(node.op) for node in tape.needed()] == ["aten.mul.Tensor", "aten.sub.Tensor"]
    assert tape.roots_of_outputs() == {0}


def test_roots_are_followed_through_one_another() -> None:
    tape = tape_of(lambda x: torch.relu(torch.tanh(x) * 2) + x)
    roots = [node.root for node in tape.nodes if node.root is not None]
    assert len(roots) == 2
    assert tape.roots_of_outputs() == {0, *roots}
    assert [node.reason is not None for node in tape.nodes] == [True, False, True, False]


def test_an_output_that_does_not_depend_on_the_input_is_a_constant() -> None:
    tape = tape_of(lambda x: (x, torch.ones(2), x.new_zeros(2)))
    assert [type(output) for output in tape.outputs] == [Value, Constant, Constant]


def test_memory_that_was_constant_comes_to_depend_on_the_input() -> None:
    def forward(x: Tensor) -> Tensor:
        buffer = torch.arange(6.0).reshape(2, 3)
        buffer[0] = x[1]
        return buffer

    tape = tape_of(forward)
    (output,) = tape.outputs
    assert isinstance(output, Value)
    initial = tape.storages[output.storage].initial
    assert initial is not None
    assert initial.read().tolist() == [0, 1, 2, 3, 4, 5]


def test_memory_of_the_module_is_put_back() -> None:
    class Scratch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scratch", torch.arange(3.0))

        def forward(self, x: Tensor) -> Tensor:
            self.scratch.copy_(x[0])
            return self.scratch * 2

    module = Scratch()
    tape = record(module, [X], {})
    assert module.scratch.tolist() == [0, 1, 2]
    assert tape.state, "the module changed itself"
    assert analyze(module, X).verdict is Verdict.UNDECIDED


def test_a_constant_that_was_changed_since_cannot_be_read() -> None:
    weight = torch.ones(3)
    constant = Constant(weight, weight._version)
    assert constant.read().tolist() == [1, 1, 1]
    weight.add_(1)
    with pytest.raises(InputError, match="analyse it again"):
        constant.read()


def test_a_tape_says_whether_its_constants_are_unchanged() -> None:
    layer = nn.Linear(3, 2)
    tape = record(layer, [X], {})
    tape.check_unchanged()
    with torch.no_grad():
        layer.bias.zero_()
    with pytest.raises(InputError, match="changed"):
        tape.check_unchanged()


# -- places -----------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return torch.relu(y)


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.last = nn.Sequential(nn.Linear(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[1](self.blocks[0](x))
        x = self.blocks[0](x)
        return self.last(x)


def test_every_node_knows_its_module_its_call_and_its_line() -> None:
    tape = record(Tower(), [X], {})
    first = Block.forward.__code__.co_firstlineno
    last = Tower.forward.__code__.co_firstlineno + 3
    found = [(n.location.module, n.location.kind, n.location.call, n.location.line) for n in tape.nodes]
    assert found == [
        ("blocks.0.fc", "Linear", 0, first + 1),
        ("blocks.0", "Block", 0, first + 2),
        ("blocks.1.fc", "Linear", 0, first + 1),
        ("blocks.1", "Block", 0, first + 2),
        ("blocks.0.fc", "Linear", 1, first + 1),
        ("blocks.0", "Block", 1, first + 2),
        ("last.0", "Linear", 0, last),
    ]
    assert tape.nodes[1].location.text == "return torch.relu(y)"
    assert tape.nodes[1].location.source == f"{__file__}:{first + 2}"


def test_code_without_a_file_has_no_line() -> None:
    tape = record(nn.Sequential(nn.ReLU()), [X], {})
    assert tape.nodes[0].location.module == "0"
    assert tape.nodes[0].location.source == ""


def test_a_hook_is_found_where_it_was_written() -> None:
    layer = nn.Linear(3, 2)
    hook = lambda module, args, out: out.tanh()  # noqa: E731
    layer.register_forward_hook(hook)
    tape = record(layer, [X], {})
    assert tape.nodes[-1].location.line == hook.__code__.co_firstlineno


def test_places_are_left_out_where_nobody_asks() -> None:
    tape = record(Tower(), [X], {}, locate=False)
    assert {node.location.module for node in tape.nodes} == {""}
    assert ops(tape) == ops(record(Tower(), [X], {}))


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x * float(x.sum()), "number"),
        (lambda x: x if x.sum() > 0 else -x, "bool"),
        (lambda x: x * torch.tensor(x.tolist()).sum(), "tolist"),
        (lambda x: torch.from_numpy(x.numpy() * 2), "numpy"),
        (lambda x: x[x > 0], "shape"),
        (lambda x: torch.nonzero(x), "shape"),
        (lambda x: x.unique(), "shape"),
        (lambda x: torch.masked_select(x, x > 0), "shape"),
        (lambda x: x + torch.rand(3), "random"),
        (lambda x: x.to_sparse().to_dense(), "shape|sparse|memory"),
        (lambda x: x.view(torch.int32).float(), "read as|element type|no rule"),
        (lambda x: torch.complex(x, x).angle(), "no formula here for what aten.angle.default does to complex"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_words(function: Callable[[Tensor], Tensor], words: str) -> None:
    analysis = analyze(Call(function), X)
    assert analysis.verdict is Verdict.UNDECIDED
    assert analysis.blame
    text = " ".join(blame.reason for blame in analysis.blame)
    assert any(word in text for word in words.split("|")), text


def test_a_constant_mask_or_index_is_no_refusal() -> None:
    mask = torch.tensor([True, False, True])
    for function in (lambda x: x[:, mask], lambda x: x[:, [2, 0]], lambda x: x[torch.arange(len(x)), 1:2].flatten(1)):
        assert analyze(Call(function), X).verdict is Verdict.AFFINE


def test_a_refusal_cannot_be_swallowed() -> None:
    def forward(x: Tensor) -> Tensor:
        try:
            return x * float(x.sum())
        except BaseException:
            return x

    tape = tape_of(forward)
    assert tape.refusal is not None
    assert tape.refused_at.text == "return x * float(x.sum())"


def test_a_refusal_says_where() -> None:
    class Reads(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * float(x.sum())

    analysis = analyze(nn.Sequential(nn.Linear(3, 3), Reads()), X)
    assert len(analysis.blame) == 1
    (blame,) = analysis.blame
    assert blame.module == "1"
    assert blame.line == "return x * float(x.sum())"
    assert blame.source == f"{__file__}:{Reads.forward.__code__.co_firstlineno + 1}"


@pytest.mark.parametrize("make", [torch.empty_like, lambda x: x.new_empty(9, 3), lambda x: torch.empty(9, 3)])
def test_memory_that_nobody_wrote_is_noticed(make: Callable[[Tensor], Tensor]) -> None:
    def unwritten(x: Tensor) -> Tensor:
        return x + make(x)[: len(x)]

    def half_written(x: Tensor) -> Tensor:
        y = make(x)[: len(x)]
        y[:, :2] = x[:, :2]
        return y

    def written(x: Tensor) -> Tensor:
        y = make(x)[: len(x)]
        y[:, :2] = x[:, :2]
        y[:, 2] = 1
        return y

    assert analyze(Call(unwritten), X).verdict is Verdict.UNDECIDED
    assert analyze(Call(half_written), X).verdict is Verdict.UNDECIDED
    assert analyze(Call(written), X).verdict is Verdict.AFFINE


def test_what_forward_raises_is_raised() -> None:
    def forward(x: Tensor) -> Tensor:
        raise KeyError("of the module's own")

    with pytest.raises(KeyError, match="own"):
        tape_of(forward)
    with pytest.raises(InputError, match="KeyError"):
        analyze(Call(forward), X)


# -- two recordings ---------------------------------------------------------------------------------------------------


def test_two_recordings_of_one_program_do_not_differ() -> None:
    module = Tower()
    assert difference(record(module, [X], {}), record(module, [-X], {}, locate=False)) is None


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (lambda x: x * 2, lambda x: x * 2 + 1, "1 operations on one input, 2 on another"),
        (lambda x: x * 2, lambda x: x + 2, "aten.mul.Tensor on one input and aten.add.Tensor on another"),
        (lambda x: x * 2, lambda x: x * 3, "operand 'other' of aten.mul.Tensor"),
        (lambda x: x * torch.tensor(2.0), lambda x: x * torch.tensor(3.0), "operand 'other'"),
        (lambda x: x[:1] * 2, lambda x: x[1:] * 2, "operand 'self'"),
        (lambda x: torch.cat([x, x * 2]), lambda x: torch.cat([x * 2, x]), "operand 'tensors'"),
        (lambda x: (x * 2, torch.ones(1)), lambda x: (x * 2, torch.zeros(1)), "an output that was not seen to depend"),
        (lambda x: _half(torch.ones(6), x), lambda x: _half(torch.zeros(6), x), "operand 'self' of aten.copy.default"),
    ],
)
def test_two_programs_differ_in_words(one: Callable[..., Any], other: Callable[..., Any], words: str) -> None:
    assert words in (difference(tape_of(one), tape_of(other)) or "")


def _half(buffer: Tensor, x: Tensor) -> Tensor:
    buffer[:3] = x[0]
    return buffer


# -- surroundings -----------------------------------------------------------------------------------------------------


def test_a_run_leaves_random_states_modes_and_defaults_alone() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002

    def forward(x: Tensor) -> Tensor:
        torch.rand(3)
        random.random()
        np.random.rand()  # noqa: NPY002
        return x * 2

    module = Call(forward).train()
    record(module, [X], {})
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert states[2] == np.random.get_state()[1].tolist()  # noqa: NPY002
    assert module.training
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()


def test_gradients_of_the_caller_stay() -> None:
    layer = nn.Linear(3, 2)
    layer(X).sum().backward()
    before = layer.weight.grad
    assert before is not None
    kept = before.clone()
    record(layer, [X], {})
    assert layer.weight.grad is before
    assert torch.equal(before, kept)


@pytest.mark.parametrize(
    ("thresholds", "meanwhile"), [((700, 10, 10), 100_000), ((0, 10, 10), 0), ((500_000, 3, 4), 500_000)]
)
def test_garbage_is_collected_rarely_and_then_as_before(
    thresholds: tuple[int, int, int], meanwhile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def forward(x: Tensor) -> Tensor:
        if x.shape[1] == 2:
            raise ValueError("two columns")
        return x

    def look(*given: Any) -> State:
        seen.append(gc.get_threshold()[0])
        return State(*given)

    monkeypatch.setattr(recording, "State", look)
    before = gc.get_threshold()
    try:
        gc.set_threshold(*thresholds)
        assert analyze(Call(forward), X).verdict is Verdict.AFFINE
        assert gc.get_threshold() == thresholds
        with pytest.raises(InputError, match="two columns"):
            analyze(Call(forward), torch.ones(3, 2))
        assert gc.get_threshold() == thresholds
        assert seen == [meanwhile] * 2
    finally:
        gc.set_threshold(*before)
