"""Folds by replacing submodules, where calls of modules and a folded piece coincide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import torch
from torch import nn

from whyactivate.affine._torch_compat import storage_key
from whyactivate.affine.tape import Node, Value
from whyactivate.folding.calls import Call, Recorded
from whyactivate.folding.layers import Layer, layer_for
from whyactivate.folding.maps import CannotFold, Kernel
from whyactivate.folding.pieces import Piece, Price, Term, copying
from whyactivate.folding.program import Program, axis_in_view, key_of
from whyactivate.folding.reading import Reading
from whyactivate.folding.sizes import branches_at
from whyactivate.folding.tables import Table

PRODUCTS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d
)  # fmt: skip
"""The layers that a folded one may take the place of."""
_PLAIN = frozenset(kind.forward for kind in PRODUCTS)

_MOST_BRANCHES = 8
"""For how many questions about sizes it is tried what the other answer leads to."""


class CannotPlace(Exception):
    """A piece cannot be put into the module here; the message says why, `nodes` which operations are at fault."""

    def __init__(self, reason: str, nodes: frozenset[int] = frozenset()) -> None:
        super().__init__(reason)
        self.nodes = nodes


@dataclass(frozen=True)
class Replacement:
    """The layer takes the place of the module at `path`; those at `dropped` become nn.Identity.

    `extra` is what that costs beside the piece.
    """

    piece: Piece
    path: str
    dropped: tuple[str, ...]
    layer: Layer
    extra: Price = (0.0, 0)


class Calls:
    """The calls of a recording, by operation and by path.

    `hooked` holds the paths of modules with hooks, `scripts` those of scripted modules, whose branches cannot be seen;
    `leads_elsewhere` tells for the number of a question about sizes whether another answer leads to another program.
    """

    def __init__(
        self,
        recorded: Recorded,
        hooked: frozenset[str],
        scripts: tuple[str, ...],
        leads_elsewhere: Callable[[int], bool],
    ) -> None:
        self.recorded, self.hooked, self.scripts = recorded, hooked, scripts
        self.leads_elsewhere = cache(leads_elsewhere)
        self.modules = dict(recorded.module.named_modules())
        self.names = {id(part): path for path, part in self.modules.items()}
        self.counts = Counter(call.path for call in recorded.calls)
        self.innermost: dict[int, Call] = {}
        for call in recorded.calls:  # a call inside another one begins later
            for index in call.nodes:
                self.innermost[index] = call

    def enclosing(self, nodes: frozenset[int]) -> Call | None:
        """The smallest call in which all the operations run."""
        call = self.innermost.get(min(nodes))
        while call is not None and not nodes <= {*call.nodes}:
            call = call.parent
        return call

    def is_one_layer(self, nodes: frozenset[int]) -> bool:
        """True where the operations are part of one call of a layer of PyTorch's own."""
        calls = {id(call): call for call in map(self.innermost.get, nodes)}
        return len(calls) == 1 and all(c and type(self.modules[c.path]).forward in _PLAIN for c in calls.values())

    def scripts_between(self, whole: str, paths: Sequence[str]) -> list[str]:
        """The scripted modules that may run from the first to the last of some calls, within that of `whole`."""
        start = f"{whole}." if whole else ""
        inside = [path for path in self.scripts if path == whole or path.startswith(start)]
        if type(self.modules[whole]) is not nn.Sequential or len(paths) < 2:
            return inside
        order = [name for name, _ in self.modules[whole].named_children()]
        places = [order.index(path.removeprefix(start).partition(".")[0]) for path in paths]
        between = {f"{start}{name}" for name in order[min(places) : max(places) + 1]}
        return [path for path in inside if any(f"{path}.".startswith(f"{name}.") for name in between)]

    def check_unseen(self, path: str, nodes: frozenset[int]) -> None:
        """Make sure that nobody looks at the module other than by calling it.

        Raises:
            CannotPlace: other code reads an attribute of it.
        """
        if path in self.recorded.peeked:
            raise CannotPlace(f"{path}.{self.recorded.peeked[path]} is read by the code of another module", nodes)

    def is_read(self, part: nn.Module, path: str) -> bool:
        """True where a tensor of the module's own is read by its code, or by code of a module that does not own it."""
        for tensor in [*part.parameters(recurse=False), *part.buffers(recurse=False)]:
            key = storage_key(tensor)
            for reader in self.recorded.readers[key]:
                owner = self.modules[reader]
                own = [*owner.parameters(recurse=False), *owner.buffers(recurse=False)]
                if reader == path or key not in map(storage_key, own):
                    return True
        return False

    def reads_from_outside(self, path: str) -> bool:
        """True where a parameter or buffer of the module is read by the code of a module that does not own it."""
        part = self.modules[path]
        for tensor in [*part.parameters(), *part.buffers()]:
            key = storage_key(tensor)
            for reader in self.recorded.readers[key]:
                owner = self.modules[reader]
                own = {storage_key(t) for t in [*owner.parameters(recurse=False), *owner.buffers(recurse=False)]}
                if reader != path and not reader.startswith(f"{path}.") and key not in own:
                    return True
        return False


def replace_calls(piece: Piece, program: Program, calls: Calls, readings: dict[int, Reading]) -> Replacement:
    """How to put the piece where the modules are whose calls it consists of.

    Raises:
        CannotPlace: calls and operations do not coincide.
    """
    chain = [node for node in program.nodes if node.index in piece.nodes]
    if len(piece.terms) != 1:
        raise CannotPlace("it joins several paths, which no submodule does by itself")
    links = _links(piece, chain, program)
    copy = _copy_before(piece, chain, program, calls)
    used = _calls_of(chain, piece, program, calls, copy)
    _check_between(used, piece, program, calls)
    check_memory(piece, program, copy)
    for call, nodes in used:
        if any(_born_elsewhere(node, {*call.nodes}, program) for node in nodes):
            raise CannotPlace("it writes into the memory of another tensor", frozenset(node.index for node in nodes))
    sizes = [(_in(call).geometry.size, _out(call).geometry.size) for call, _ in used]
    reasons: list[str] = []
    own_kind = [isinstance(calls.modules[call.path], PRODUCTS) for call, _ in used]
    for place in sorted(range(len(used)), key=lambda i: (not own_kind[i], i)):
        call, nodes = used[place]
        entry = copy.outputs[0] if copy is not None and place == 0 else _in(call)
        assert entry is not None
        try:
            axis = _axis_of_entry(entry, nodes, readings)
            layer = layer_for(piece.terms[0].map, piece.shift, entry.geometry, axis, calls_device(calls, call))
        except CannotFold as reason:
            reasons.append(str(reason))
            continue
        found = piece.terms[0].map
        out = piece.geometry.size if isinstance(found, Kernel) else _with_features(entry, axis, piece)
        kept = all(into == result for into, result in (*sizes[:place], *sizes[place + 1 :]))
        faithful = kept and out == sizes[place][1]
        direct = all(into == result for into, result in sizes[:place]) and out == sizes[-1][1]
        direct = direct and all(_out(a) == _in(b) for (a, _), (b, _) in pairwise(used[place:]))
        if faithful or direct:
            others = tuple(other.path for i, (other, _) in enumerate(used) if i != place)
            at = replace(piece.terms[0], geometry=_in(call).geometry, axis=axis)
            extra = _extra(piece, at, copy, program.rows)
            return Replacement(piece, call.path, others, layer, extra)
        reasons.append("the shapes between the layers would be others")
    raise CannotPlace(reasons[0] if reasons else "no module in it can hold the layer", frozenset(links))


def _extra(piece: Piece, at: Term, copy: Node | None, rows: int) -> Price:
    """What a layer costs beside its piece for what it is given `at` its place, which need not be how the piece sees it.

    `copy` is the copy in order of what enters it, priced by itself, where the layer makes that, or needs none.
    """
    cells, shifted = piece.geometry.numel / rows, piece.shift is not None
    here, there = (copying(term, cells, shifted=shifted) for term in (at, piece.terms[0]))
    return here[0] - there[0], here[1] - there[1] - (1 if copy is not None else 0)


def replace_table(piece: Piece, program: Program, calls: Calls, table: Table) -> Replacement:
    """How to put a table there that holds what the piece makes of its rows.

    Raises:
        CannotPlace: calls and operations do not coincide, or the piece acts on more than single rows.
    """
    chain = [node for node in program.nodes if node.index in piece.nodes]
    _links(piece, chain, program)
    used = _calls_of(chain, piece, program, calls)
    _check_between(used, piece, program, calls)
    (term,) = piece.terms
    layer = table.after(term.map, piece.shift)
    rows = program.tensors[term.key].geometry
    last = (term.axis == len(term.geometry.size) - 1, piece.axis == len(piece.geometry.size) - 1)
    same = all(_out(call).geometry.size[:-1] == rows.size[:-1] for call, _ in used)
    if layer is None or not all(last) or not same or _in(used[0][0]).geometry != rows:
        raise CannotPlace("it does not act on each row that is looked up, alone", piece.nodes)
    calls.check_unseen(table.path, piece.nodes)
    if calls.recorded.readers[storage_key(calls.modules[table.path].weight)]:  # pyright: ignore[reportArgumentType]
        raise CannotPlace(f"the table of {table.path} is used elsewhere, too", piece.nodes)
    if term.key in program.recorded.detached:
        raise CannotPlace("gradients end at what is looked up", piece.nodes)
    if len(program.tensors[term.key].readers) != 1 or term.key in program.outputs:
        raise CannotPlace("what is looked up is used elsewhere, too", piece.nodes)
    return Replacement(piece, table.path, tuple(call.path for call, _ in used), layer)


def calls_device(calls: Calls, call: Call) -> torch.device:
    """The device on which a call's numbers lie."""
    tensors = [*calls.modules[call.path].parameters(), *calls.recorded.module.parameters()]
    return tensors[0].device if tensors else calls.recorded.tape.given[0].device


def _links(piece: Piece, chain: list[Node], program: Program) -> list[int]:
    key = piece.terms[0].key
    for node in chain:
        if [key_of(value) for value in node.values()] != [key] or node.outputs[0] is None:
            raise CannotPlace("it joins several paths, which no submodule does by itself", frozenset({node.index}))
        key = key_of(node.outputs[0])
        if key != piece.key and len(program.tensors[key].readers) != 1:
            raise CannotPlace("a value inside it is used elsewhere, too", frozenset({node.index}))
    return [node.index for node in chain]


def _copy_before(piece: Piece, chain: list[Node], program: Program, calls: Calls) -> Node | None:
    """The copy with which the chain's first call begins, where its input does not lie in order."""
    made = program.tensors[piece.terms[0].key]
    call = calls.innermost.get(chain[0].index)
    node = made.node
    if node is None or node.op is not torch.ops.aten.clone.default or calls.innermost.get(node.index) is not call:
        return None
    return node if made.readers == [chain[0]] and [*node.values()] == [call.argument if call else None] else None


def _calls_of(
    chain: list[Node], piece: Piece, program: Program, calls: Calls, copy: Node | None = None
) -> list[tuple[Call, list[Node]]]:
    """The calls that the chain consists of, each with its operations."""
    used: list[tuple[Call, list[Node]]] = []
    key = key_of(next(copy.values())) if copy is not None else piece.terms[0].key
    for node in chain:
        call = calls.innermost.get(node.index)
        if call is None or not call.path:
            raise CannotPlace("an operation of it runs outside any submodule", frozenset({node.index}))
        if used and used[-1][0] is call:
            used[-1][1].append(node)
        else:
            used.append((call, [node]))
    for call, nodes in used:
        indices = frozenset(node.index for node in nodes)
        if calls.counts[call.path] != 1:
            raise CannotPlace(f"{call.path} is called {calls.counts[call.path]} times", indices)
        calls.check_unseen(call.path, indices)
        whole = indices | {copy.index} if copy is not None and call is used[0][0] else indices
        if frozenset(call.nodes) & program.needed != whole:
            raise CannotPlace(f"{call.path} does more than that", indices)
        last = nodes[-1].outputs[0]
        argument = call.argument
        if argument is None or not isinstance(call.result, Value) or last is None:
            raise CannotPlace(f"{call.path} does not take and give one tensor", indices)
        if key_of(argument) != key or key_of(call.result) != key_of(last):
            raise CannotPlace(f"{call.path} does not pass on what it computes", indices)
        if calls.reads_from_outside(call.path):
            raise CannotPlace(f"the weights of {call.path} are used elsewhere, too", indices)
        key = key_of(last)
    return used


def _check_between(used: list[tuple[Call, list[Node]]], piece: Piece, program: Program, calls: Calls) -> None:
    """Make sure that the code that runs the calls, and passes on what they give, does so at every batch size."""
    whole = calls.enclosing(piece.nodes)
    while whole is not None and len(used) == 1 and whole.path != used[0][0].path:
        whole = whole.parent
    for script in calls.scripts_between(whole.path if whole else "", [call.path for call, _ in used]):
        raise CannotPlace(f"{script} is scripted, and what it does between its layers cannot be seen", piece.nodes)
    results = {key_of(value) for _, nodes in used for node in nodes for value in node.outputs if value is not None}
    quiet = results & program.recorded.quiet
    if (results - {piece.key}) & program.recorded.detached or (quiet and quiet != results):
        raise CannotPlace("gradients end or are looked at within it (by detach, torch.no_grad or a hook)", piece.nodes)
    running = {call.path for call, _ in used}
    for call, _ in used:
        around = call
        while around is not whole and around.parent is not None:
            around = around.parent
            running.add(around.path)
    for path in running:
        if path in program.sized:
            raise CannotPlace(
                f"{path or 'the forward of the whole'} {program.sized[path]}, and one layer would be what it is for "
                "one size",
                piece.nodes,
            )
    branches = branches_at(program.recorded.asked, program.other.asked, running)
    if len(branches) > _MOST_BRANCHES or any(map(calls.leads_elsewhere, branches)):
        path = program.recorded.asked[branches[0]].path or "the forward of the whole"
        raise CannotPlace(f"{path} does something else for inputs of other sizes", piece.nodes)


def check_memory(piece: Piece, program: Program, copy: Node | None = None) -> None:
    """Make sure that what the piece reads, or what is copied for it, is still there when its last operation runs."""
    keys = [term.key for term in piece.terms] + [key_of(value) for value in (copy.values() if copy else ())]
    for key in keys:
        if program.overwritten_before(key, max(piece.nodes)):
            raise CannotPlace("what enters it is overwritten in place", piece.nodes)


def _born_elsewhere(node: Node, here: set[int], program: Program) -> bool:
    output = node.outputs[0]
    if output is None or output.version == 0:
        return False
    first = program.tensors.get((output.storage, 0))
    return first is None or first.node is None or first.node.index not in here


def _axis_of_entry(entry: Value, nodes: list[Node], readings: dict[int, Reading]) -> int:
    """Where the features that the call's first layer acts on lie in what the call is given."""
    operands = [readings[node.index].operands[0] for node in nodes]
    first = next((i for i, operand in enumerate(operands) if operand.axis is not None), None)
    if first is None:
        raise CannotFold("nothing tells which axis holds the features")
    axis = operands[first].axis
    for i in range(first, -1, -1):  # back through what acts entry by entry
        before = nodes[i - 1].outputs[0] if i else entry
        own = operands[i].value.geometry
        assert before is not None
        if axis is not None and own != before.geometry:
            axis = axis_in_view(before.geometry, own, axis)
    if axis is None:
        raise CannotFold("the module rearranges its input")
    return axis


def _with_features(entry: Value, axis: int, piece: Piece) -> tuple[int, ...]:
    size = list(entry.geometry.size)
    size[axis] = piece.geometry.size[piece.axis] if piece.axis is not None else size[axis]
    return tuple(size)


def _in(call: Call) -> Value:
    assert isinstance(call.argument, Value)
    return call.argument


def _out(call: Call) -> Value:
    assert isinstance(call.result, Value)
    return call.result
