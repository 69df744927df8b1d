"""From a module to what can be folded in it: records it, and says why nothing can be folded where that is so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from whyactivate.affine._torch_compat import global_hooks, only_checks_sizes, short_name
from whyactivate.affine.recording import Example, Recordings, record_all
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracker import record
from whyactivate.affine.tape import Node, Tape
from whyactivate.affine.trees import leaves_of
from whyactivate.errors import InputError
from whyactivate.folding.building import Rehearsal, leads_elsewhere
from whyactivate.folding.calls import Caught, Recorded, record_calls
from whyactivate.folding.copies import example_in_float64, in_float64
from whyactivate.folding.plan import Plan
from whyactivate.folding.program import Program, differ
from whyactivate.folding.regions import Region
from whyactivate.folding.replacing import Calls, Replacement
from whyactivate.folding.searching import Search
from whyactivate.folding.tables import Table, WholeNumbers, find_tables

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Folding:
    """A plan, with the layers and regions that carry it out, and the example on which to try the copy.

    `reads_dtype` tells whether forward computes with other plain numbers in float64 (the eps of a dtype, say).
    """

    plan: Plan
    replacements: tuple[Replacement, ...] = ()
    regions: tuple[Region, ...] = ()
    example: Example | None = None
    reads_dtype: Callable[[], bool] = lambda: False


def find_folding(module: nn.Module, example: Example, kept: Mapping[int, str]) -> Folding:
    """What can be folded in the module, in the mode that it is in; `kept` are operations that stay, with the reason."""
    if not isinstance(example, WholeNumbers):
        return _find(module, module, example, example, (), kept)
    try:
        tables = find_tables(module, example)
    except Exception as error:
        name = type(module).__name__
        raise InputError(
            f"{name}'s forward raised {type(error).__name__} on a batch like the example input: {error}"
        ) from error
    if isinstance(tables, str):
        return Folding(Plan(type(module).__name__, (), tables))
    return _find(module, tables.module, tables.example, tables.numbers, tables.all, kept)


def _find(
    original: nn.Module,
    module: nn.Module,
    example: Example,
    numbers: Example,
    tables: Sequence[Table],
    kept: Mapping[int, str],
) -> Folding:
    """What can be folded in `original`, which takes `numbers`; `module` and `example` are what is recorded."""
    name = type(original).__name__
    recordings = record_all(module, example)
    obstacle = _obstacle(recordings)
    if obstacle is not None:
        return Folding(Plan(name, (), obstacle))
    rows, more = (tape.inputs[0].geometry.size[0] for tape in (recordings.pairs[0], recordings.several[0]))
    try:
        recorded, other = record_calls(module, example, rows), record_calls(module, example, more)
    except Caught as caught:
        return Folding(Plan(name, (), str(caught)))
    except Exception as error:
        return Folding(Plan(name, (), f"a copy of it does not run ({type(error).__name__}: {error})"))
    obstacle = (
        _differs(recorded, recordings.pairs[0])
        or next((words for tape in recordings.several if (words := _differs(other, tape)) is not None), None)
        or differ(recorded, other)
    )
    if obstacle is not None:
        return Folding(Plan(name, (), obstacle))
    state = State(original)
    if state.leads_to(torch.jit.ScriptFunction):
        return Folding(
            Plan(
                name,
                (),
                "it leads to a scripted function, of which it cannot be seen what it does at other batch sizes",
            )
        )
    rehearsal = Rehearsal(original, numbers, state, None if tables else recorded)
    if rehearsal.obstacle is not None:
        return Folding(Plan(name, (), rehearsal.obstacle))
    hooked = frozenset(path for path, part in original.named_modules() if _has_hooks(part))
    scripts = tuple(path for path, part in original.named_modules() if isinstance(part, torch.jit.ScriptModule))
    calls = Calls(recorded, hooked, scripts, partial(leads_elsewhere, module, example, recorded))
    no_graph = _no_graph(recordings, recorded)
    search = Search(name, Program(recorded, other, rows), calls, rehearsal, no_graph, kept, tables)
    runs, replacements, regions = search.run()
    return Folding(Plan(name, runs), replacements, regions, numbers, partial(_reads_dtype, module, example, recorded))


def _reads_dtype(module: nn.Module, example: Example, recorded: Recorded) -> bool:
    inputs = example_in_float64(example.with_rows(recorded.tape.inputs[0].geometry.size[0]))
    try:
        tape = record(in_float64(module), inputs.args, inputs.kwargs)
    except Exception:  # then nothing is compared in float64
        return False
    return len(tape.nodes) != len(recorded.nodes) or any(map(_other_numbers, recorded.nodes, tape.nodes))


def _other_numbers(one: Node, other: Node) -> bool:
    """Whether plain numbers that an operation takes are others than those of another."""
    return any(a != b for a, b in zip(_plain_numbers(one), _plain_numbers(other), strict=False) if a is not None)


def _plain_numbers(node: Node) -> list[float | None]:
    """The plain numbers that an operation takes, some of which come as tensors in float64; None for other tensors."""
    plain = [leaf for leaf in leaves_of(list(node.arguments.values())) if isinstance(leaf, float)]
    tensors = [constant.read() for constant in node.constants()]
    return [*plain, *(float(t) if t.ndim == 0 and t.dtype == torch.float64 else None for t in tensors)]


def _has_hooks(part: nn.Module) -> bool:
    hooks = [hook for kind in _HOOKS for hook in getattr(part, kind, {}).values()]
    return not all(map(only_checks_sizes, hooks))


def _no_graph(recordings: Recordings, recorded: Recorded) -> str | None:
    """Why no part of the module may become a graph, in words; None where it may."""
    single = recordings.single
    if single is not None and _operations(single) != _operations(recorded.tape, recorded.nodes):
        return "one row runs another program than several, which a graph cannot hold"
    return None


def _obstacle(recordings: Recordings) -> str | None:
    """Why the recordings do not tell enough."""
    if any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")):
        return "autocast is on around it, and would be part of what is folded; fold it outside of autocast"
    if any(global_hooks()):
        return "there are global hooks, which run around every module"
    for tape in recordings.tapes:
        if tape.refusal is not None:
            return tape.refusal
        if tape.state:
            return f"it changes itself while it runs ({tape.changed}); if it fills a cache, run it once before"
    for words, _ in recordings.undecided_by_input:
        return words
    if not recordings.pairs or not recordings.several:
        return recordings.missing or "it does not run on batches of several rows"
    if recordings.disagreement is not None:
        return f"it does not run the same program on every input: {recordings.disagreement}"
    return None


def _differs(recorded: Recorded, tape: Tape) -> str | None:
    if recorded.tape.refusal is not None:
        return recorded.tape.refusal
    same = len(recorded.nodes) == len(tape.nodes) and all(
        a.op is b.op for a, b in zip(recorded.nodes, tape.nodes, strict=True)
    )
    return None if same else "a copy of it runs other operations, or it runs others at another batch size"


def _operations(tape: Tape, nodes: Sequence[Node] | None = None) -> list[object]:
    """The operations of a program, but for copies: whether one is made may depend on the number of rows."""
    return [
        node.op for node in (tape.nodes if nodes is None else nodes) if short_name(node.op) not in ("clone", "copy")
    ]
