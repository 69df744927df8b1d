"""Chooses what is folded, finds a place for each of its layers, and leaves alone what has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from whyactivate.folding.building import Rehearsal
from whyactivate.folding.calls import Call
from whyactivate.folding.emitting import emit_region
from whyactivate.folding.pieces import Piece
from whyactivate.folding.plan import PlannedRun
from whyactivate.folding.planning import Planner
from whyactivate.folding.program import Program, key_of
from whyactivate.folding.regions import Region
from whyactivate.folding.replacing import Calls, CannotPlace, Replacement, replace_calls, replace_table
from whyactivate.folding.tables import Table
from whyactivate.folding.telling import LookedUp, Teller

_Placed = tuple[tuple[Replacement, ...], tuple[Region, ...]]


class Search:
    """What is to be folded in a program.

    Args:
        name: of the module's class.
        program: what was recorded.
        calls: which modules were called.
        rehearsal: tries what was found.
        no_graph: why nothing may become a graph, in words; None where it may.
        kept: operations that must stay as they are, with the reason.
        tables: the tables whose rows are the program's inputs.
    """

    def __init__(
        self,
        name: str,
        program: Program,
        calls: Calls,
        rehearsal: Rehearsal,
        no_graph: str | None,
        kept: Mapping[int, str],
        tables: Sequence[Table] = (),
    ) -> None:
        self.name, self.program, self.calls = name, program, calls
        self.rehearsal, self.no_graph = rehearsal, no_graph
        self.tables = {key_of(value): table for value, table in zip(program.recorded.tape.inputs, tables, strict=False)}
        self.frozen = dict(kept)
        self.fences: dict[int, object] = {}
        for node in program.nodes:
            path = node.location.caller
            call = calls.innermost.get(node.index)
            inside = call.path if call else ""
            if path != inside:
                self.frozen[node.index] = f"{path} is a module whose calls cannot be followed"
            elif path in calls.hooked:
                self.frozen[node.index] = f"{path or self.name} has a hook"
            self.fences[node.index] = tuple(id(c) for c in _upwards(call) if c.path in calls.hooked)

    def run(self) -> tuple[tuple[PlannedRun, ...], tuple[Replacement, ...], tuple[Region, ...]]:
        """Plan, place, and plan again without what could not be placed."""
        while True:
            planner = Planner(self.program, self.frozen, self.fences)
            looked_up = [
                self._look_up(piece, planner) for piece in planner.chosen() if self._reads_table(piece, planner)
            ]
            merged = {one.key for one in looked_up if one.replacement is not None}
            pieces = [piece for piece in planner.chosen() if piece.key not in merged and self._pays(piece, planner)]
            try:
                replacements, regions = self._place(pieces, planner)
                replacements += tuple(one.replacement for one in looked_up if one.replacement is not None)
                self._rehearse(replacements, regions)
            except _Blocked as blocked:
                self.frozen.update(blocked.nodes)
                continue
            found = {one.key: one for one in looked_up}
            placed = {one.piece.key: one for one in replacements}
            teller = Teller(self.name, self.program, self.calls, planner, self.frozen, found, placed)
            return teller.runs(pieces, regions), replacements, regions

    def _reads_table(self, piece: Piece, planner: Planner) -> bool:
        return piece.terms[0].key in self.tables and bool(piece.nodes & planner.layers)

    def _look_up(self, piece: Piece, planner: Planner) -> LookedUp:
        """Whether table and piece are one table, and whether that is smaller."""
        table = self.tables[piece.terms[0].key]
        try:
            made = replace_table(piece, self.program, self.calls, table)
        except CannotPlace as reason:
            return LookedUp(piece.key, table, None, str(reason))
        nodes = [node for node in self.program.nodes if node.index in piece.nodes]
        layers = sum(constant.tensor.numel() for node in nodes for constant in node.constants())
        held, width = table.rows * table.width, piece.geometry.size[-1]
        after = f"{table.rows:,} × {width:,} = {table.rows * width:,} numbers"
        words = f"{after} where the table of {table.path} holds {held:,} and the layers after it {layers:,}"
        if table.rows * width > held + layers:
            return LookedUp(piece.key, table, None, f"one table would hold {words}")
        return LookedUp(piece.key, table, made, f"one table holds {words}")

    def _pays(self, piece: Piece, planner: Planner) -> bool:
        several = len(piece.nodes) > 1 and not self.calls.is_one_layer(piece.nodes)
        return several and not planner.layers.isdisjoint(piece.nodes)

    def _rehearse(self, replacements: tuple[Replacement, ...], regions: tuple[Region, ...]) -> None:
        objection = self.rehearsal.objection(replacements, regions) if replacements or regions else None
        if objection is None:
            return
        alone: list[tuple[_Placed, tuple[Piece, ...]]] = [(((one,), ()), (one.piece,)) for one in replacements]
        alone += [(((), (region,)), region.pieces) for region in regions]
        found: dict[int, str] = {}
        for placed, pieces in alone:
            own = self.rehearsal.objection(*placed)
            if own is not None:
                found |= {index: own for piece in pieces for index in piece.nodes}
        raise _Blocked(found or {index: objection for _, pieces in alone for p in pieces for index in p.nodes})

    # -- placing ----------------------------------------------------------------------------------------------

    def _place(self, pieces: list[Piece], planner: Planner) -> _Placed:
        replacements: list[Replacement] = []
        apart: dict[str, tuple[Call, list[Piece]]] = {}
        for piece in pieces:
            try:
                replacements.append(replace_calls(piece, self.program, self.calls, planner.readings))
            except CannotPlace as reason:
                call = self._once(self.calls.enclosing(piece.nodes))
                if call is None or self.no_graph is not None:
                    told = reason if self.no_graph is None else CannotPlace(f"{reason}; {self.no_graph}", reason.nodes)
                    raise self._blocked(piece, planner, told) from reason
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
        readings = {index: planner.readings[index] for index in piece.nodes if index in planner.readings}
        sums = {index for index, reading in readings.items() if len(reading.operands) > 1}
        told = reason.nodes & piece.nodes
        nodes = told if told and told < piece.nodes else sums or {max(piece.nodes)}
        return _Blocked({index: str(reason) for index in nodes})


class _Blocked(Exception):
    def __init__(self, nodes: dict[int, str]) -> None:
        super().__init__()
        self.nodes = nodes


def _upwards(call: Call | None) -> Iterator[Call]:
    while call is not None:
        yield call
        call = call.parent


def _is_above(path: str, inner: str) -> bool:
    return path == "" or inner.startswith(f"{path}.")
