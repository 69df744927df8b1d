"""From a module to what can be folded in it, and where the folded layers go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from whyactivate.affine._torch_compat import global_hooks, only_checks_sizes, short_name, storage_key
from whyactivate.affine.analysis import AffineRun
from whyactivate.affine.recording import Example, Recordings, record_all
from whyactivate.affine.tape import Node, Tape
from whyactivate.folding.calls import Call, Recorded, record_calls
from whyactivate.folding.emitting import emit_region
from whyactivate.folding.layers import describe
from whyactivate.folding.plan import Cost, Plan, PlannedRun
from whyactivate.folding.planning import Piece, Planner
from whyactivate.folding.program import Key, Program, differ, key_of
from whyactivate.folding.regions import Region
from whyactivate.folding.replacing import Calls, CannotPlace, Replacement, replace_calls

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Folding:
    """A plan, with the layers and regions that carry it out."""

    plan: Plan
    replacements: tuple[Replacement, ...] = ()
    regions: tuple[Region, ...] = ()


def find_folding(module: nn.Module, example: Example) -> Folding:
    """What can be folded in the module, in the mode that it is in."""
    name = type(module).__name__
    recordings = record_all(module, example)
    obstacle = _obstacle(recordings)
    if obstacle is not None:
        return Folding(Plan(name, (), obstacle))
    rows, more = (tape.inputs[0].geometry.size[0] for tape in (recordings.pairs[0], recordings.several[0]))
    try:
        recorded, other = record_calls(module, example, rows), record_calls(module, example, more)
    except Exception as error:
        return Folding(Plan(name, (), f"a copy of it does not run ({type(error).__name__}: {error})"))
    obstacle = (
        _differs(recorded, recordings.pairs[0])
        or next((words for tape in recordings.several if (words := _differs(other, tape)) is not None), None)
        or differ(recorded, other)
    )
    if obstacle is not None:
        return Folding(Plan(name, (), obstacle))
    alone = recordings.single is None or _operations(recordings.single) == _operations(recorded.tape, recorded.nodes)
    hooked = frozenset(path for path, part in module.named_modules() if _has_hooks(part))
    return _Search(name, Program(recorded, other, rows), Calls(recorded, hooked), regions=alone).run()


def _has_hooks(part: nn.Module) -> bool:
    hooks = [hook for kind in _HOOKS for hook in getattr(part, kind, {}).values()]
    return not all(map(only_checks_sizes, hooks))


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
            return f"it changes itself while it runs ({', '.join(tape.state)})"
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


class _Search:
    def __init__(self, name: str, program: Program, calls: Calls, *, regions: bool) -> None:
        self.name, self.program, self.calls = name, program, calls
        self.regions = regions  # False where one row runs another program than several, which a graph cannot hold
        self.frozen: dict[int, str] = {}
        self.fences: dict[int, object] = {}
        for node in program.nodes:
            path = node.location.module
            call = calls.innermost.get(node.index)
            inside = call.path if call else ""
            if path != inside:
                self.frozen[node.index] = f"{path} is a module whose calls cannot be followed"
            elif path in calls.hooked:
                self.frozen[node.index] = f"{path or self.name} has a hook"
            self.fences[node.index] = tuple(id(c) for c in _upwards(call) if c.path in calls.hooked)

    def run(self) -> Folding:
        """Plan, place, and plan again without what could not be placed."""
        while True:
            planner = Planner(self.program, self.frozen, self.fences)
            pieces = [piece for piece in planner.chosen() if self._pays(piece, planner)]
            try:
                replacements, regions = self._place(pieces, planner)
            except _Blocked as blocked:
                self.frozen.update(blocked.nodes)
                continue
            return Folding(Plan(self.name, self._runs(planner, pieces, regions)), replacements, regions)

    def _pays(self, piece: Piece, planner: Planner) -> bool:
        nodes = [node for node in self.program.nodes if node.index in piece.nodes]
        return len(nodes) > 1 and any(node.index in planner.layers for node in nodes)

    # -- placing ----------------------------------------------------------------------------------------------

    def _place(self, pieces: list[Piece], planner: Planner) -> tuple[tuple[Replacement, ...], tuple[Region, ...]]:
        replacements: list[Replacement] = []
        apart: dict[str, tuple[Call, list[Piece]]] = {}
        for piece in pieces:
            try:
                replacements.append(replace_calls(piece, self.program, self.calls, planner.readings))
            except CannotPlace as reason:
                call = self._once(self.calls.enclosing(piece.nodes)) if self.regions else None
                if call is None:
                    raise self._blocked(piece, planner, reason) from reason
                apart.setdefault(call.path, (call, []))[1].append(piece)
        for path in sorted(apart, key=len):  # a region that must be opened for an outer one is part of that
            if path not in apart:
                continue
            nodes = frozenset[int]().union(*(piece.nodes for piece in apart[path][1]))
            for inner in [other for other in apart if other != path]:
                if _is_above(path, inner) and nodes & {*apart[inner][0].nodes}:
                    apart[path][1].extend(apart.pop(inner)[1])
        regions: list[Region] = []
        for call, inside in apart.values():
            regions.append(self._region(call, inside, planner))
        regions.sort(key=lambda region: -len(region.path.split(".")) if region.path else 0)  # inner ones first
        return tuple(replacements), tuple(regions)

    def _region(self, call: Call, pieces: list[Piece], planner: Planner) -> Region:
        try:
            return emit_region(call, pieces, self.program, self.calls)
        except CannotPlace as reason:
            for piece in pieces:
                if len(pieces) > 1:  # which of them is it?
                    try:
                        emit_region(call, [piece], self.program, self.calls)
                        continue
                    except CannotPlace as own:
                        raise self._blocked(piece, planner, own) from own
            raise self._blocked(pieces[-1], planner, reason) from reason

    def _once(self, call: Call | None) -> Call | None:
        """The call, or the nearest around it, of a module that is called once, has no hooks and is plain Python."""
        while call is not None and (self.calls.counts[call.path] > 1 or call.path in self.calls.hooked):
            call = call.parent
        return call

    def _blocked(self, piece: Piece, planner: Planner, reason: CannotPlace) -> _Blocked:
        sums = {index for index in piece.nodes if len(planner.readings[index].operands) > 1}
        told = reason.nodes & piece.nodes
        nodes = told if told and told < piece.nodes else sums or {max(piece.nodes)}
        return _Blocked({index: str(reason) for index in nodes})

    # -- words ------------------------------------------------------------------------------------------------

    def _runs(self, planner: Planner, folded: list[Piece], regions: tuple[Region, ...]) -> tuple[PlannedRun, ...]:
        made = {piece.key: piece for piece in planner.chosen()}
        counted: set[Key] = set()
        runs: list[PlannedRun] = []
        for key in self.program.tensors:
            if key not in planner.forced or key not in made:
                continue
            pieces = self._pieces_behind(key, made, planner, counted)
            nodes = [node for node in self.program.nodes if any(node.index in piece.nodes for piece in pieces)]
            if not any(node.index in planner.layers for node in nodes):
                continue
            inside = [piece for piece in pieces if piece in folded]
            reason = self._reason(nodes, pieces, inside, planner) or self._stopped(key)
            if not inside and len(nodes) < 2 and reason is None:
                reason = "it is one layer already"
            runs.append(
                PlannedRun(
                    run=AffineRun(self._modules(nodes), self._end(key)),
                    before=_cost([planner.node_price(node) for node in nodes]),
                    after=_cost([price for piece in pieces for price in self._prices(piece, inside, planner)]),
                    becomes=tuple(self._becomes(piece) for piece in inside),
                    reason=reason,
                    notes=self._notes(inside, regions),
                )
            )
        return tuple(runs)

    def _pieces_behind(self, key: Key, made: dict[Key, Piece], planner: Planner, counted: set[Key]) -> list[Piece]:
        found: dict[Key, Piece] = {}
        waiting = [key]
        while waiting:
            one = waiting.pop()
            if one in made and one not in counted:
                counted.add(one)
                found[one] = made[one]
                waiting += [term.key for term in made[one].terms if term.key not in planner.forced]
        return sorted(found.values(), key=lambda piece: max(piece.nodes))

    def _prices(self, piece: Piece, folded: list[Piece], planner: Planner) -> list[tuple[float, int]]:
        if piece in folded:
            return [piece.price]
        return [planner.node_price(node) for node in self.program.nodes if node.index in piece.nodes]

    def _modules(self, nodes: list[Node]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node.location.module for node in nodes if any(True for _ in node.constants())))

    def _end(self, key: Key) -> str:
        readers = self.program.tensors[key].readers
        return "output" if key in self.program.outputs or not readers else short_name(readers[0].op)

    def _becomes(self, piece: Piece) -> str:
        parts = [describe(term.map, term.geometry, term.axis) for term in piece.terms]
        return " + ".join(parts)

    def _reason(self, nodes: list[Node], pieces: list[Piece], inside: list[Piece], planner: Planner) -> str | None:
        home = {index: piece for piece in pieces for index in piece.nodes}
        for node in nodes:
            makers = [self.program.tensors[key_of(value)].node for value in node.values()]
            apart = [maker for maker in makers if maker is not None and home.get(maker.index) is not home[node.index]]
            for maker in apart:
                if maker.index in self.frozen:
                    return self.frozen[maker.index]
            if node.index in planner.reasons and (apart or home[node.index] not in inside):
                return planner.reasons[node.index]
        rest = [piece for piece in pieces if piece not in inside]
        if len(rest) > (0 if inside else 1):
            if any(len(piece.terms) > 1 for piece in rest):
                return "what is added up comes from different places"
            return "one layer in their place would take more multiply-adds"
        return None

    def _stopped(self, key: Key) -> str | None:
        """Why the operation that ends a run must stay as it is, where it might have been folded."""
        readers = self.program.tensors[key].readers
        return next((self.frozen[node.index] for node in readers if node.index in self.frozen), None)

    def _notes(self, inside: list[Piece], regions: tuple[Region, ...]) -> tuple[str, ...]:
        """Forwards that become graphs; weights that are computed in the module, and are held fixed in the copy."""
        graphs = tuple(
            f"the forward of {region.path or self.name} becomes a graph (a torch.fx.GraphModule)"
            for region in regions
            if any(piece in region.pieces for piece in inside)
        )
        known = {
            storage_key(tensor)
            for tensor in [*self.calls.recorded.module.parameters(), *self.calls.recorded.module.buffers()]
        }
        frozen = {
            node.location.module
            for piece in inside
            for node in self.program.nodes
            if node.index in piece.nodes
            for constant in node.constants()
            if not _is_number(constant.tensor) and storage_key(constant.tensor) not in known
        }
        return graphs + tuple(
            f"a weight of {path or self.name} is computed from its parameters in each call; the copy holds the result"
            for path in sorted(frozen)
        )


class _Blocked(Exception):
    def __init__(self, nodes: dict[int, str]) -> None:
        super().__init__()
        self.nodes = nodes


def _is_number(tensor: Tensor) -> bool:
    """Whether a tensor may be a Python number that an operation took: those come as float64 or int64."""
    return tensor.ndim == 0 and tensor.dtype in (torch.float64, torch.int64, torch.bool)


def _upwards(call: Call | None) -> Iterator[Call]:
    while call is not None:
        yield call
        call = call.parent


def _is_above(path: str, inner: str) -> bool:
    return path == "" or inner.startswith(f"{path}.")


def _cost(prices: list[tuple[float, int]]) -> Cost:
    return Cost(round(sum(price[0] for price in prices)), sum(price[1] for price in prices))
