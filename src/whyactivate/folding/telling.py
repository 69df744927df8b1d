"""Says what becomes of each affine run, what that saves, and why the rest is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import only_checks_sizes, storage_key
from whyactivate.affine.analysis import AffineRun
from whyactivate.affine.blame import plain_name
from whyactivate.affine.depth import names_of_weights, weights_of
from whyactivate.affine.tape import Node
from whyactivate.folding.layers import describe
from whyactivate.folding.maps import Dense, Diagonal
from whyactivate.folding.pieces import Piece, are_side_by_side, in_its_place
from whyactivate.folding.plan import Cost, PlannedRun
from whyactivate.folding.planning import Planner
from whyactivate.folding.program import Key, Program, key_of
from whyactivate.folding.regions import Region
from whyactivate.folding.replacing import Calls, Replacement
from whyactivate.folding.tables import Table


@dataclass(frozen=True)
class LookedUp:
    """A piece that acts on the rows of a table: `key` is what it gives.

    `replacement` is None where table and piece stay two; `words` say why, or what one table saves.
    """

    key: Key
    table: Table
    replacement: Replacement | None
    words: str


@dataclass
class Teller:
    """Puts what a planner chose into words.

    Attributes:
        name: of the module's class.
        program: the tape that was recorded.
        calls: the calls that were recorded.
        planner: what it chose.
        frozen: operations that had to stay as they are, with the reason.
        looked_up: the pieces that act on the rows of a table.
        placed: the layers that take the place of modules, by what they give.
    """

    name: str
    program: Program
    calls: Calls
    planner: Planner
    frozen: Mapping[int, str]
    looked_up: Mapping[Key, LookedUp]
    placed: Mapping[Key, Replacement]
    _priced_before: set[int] = field(default_factory=set[int], init=False)
    _priced_after: set[int] = field(default_factory=set[int], init=False)

    @cached_property
    def names(self) -> dict[int, str]:
        """What to call layers, by the memory of their weights."""
        return names_of_weights(self.calls.recorded.module)

    def runs(self, folded: list[Piece], regions: tuple[Region, ...]) -> tuple[PlannedRun, ...]:
        """The runs that hold weights, in program order.

        Args:
            folded: the pieces that become one layer.
            regions: the forwards that become graphs.
        """
        made = {piece.key: piece for piece in self.planner.chosen()}
        counted: set[Key] = set()
        found: list[tuple[int, PlannedRun]] = []
        for key in self.program.tensors:
            if key not in self.planner.forced or key not in made:
                continue
            pieces = self._pieces_behind(key, made, counted)
            nodes = [node for node in self.program.nodes if any(node.index in piece.nodes for piece in pieces)]
            if any(map(self._holds_weights, nodes)):
                found.append((nodes[-1].index, self._run(key, nodes, pieces, folded, regions)))
        for node in self.program.nodes:
            if node.index not in self.planner.readings and node.reason is None and weights_of(node) is not None:
                found.append((node.index, self._left_alone(node)))
        return tuple(run for _, run in sorted(found, key=lambda pair: pair[0]))

    def _run(
        self, key: Key, nodes: list[Node], pieces: list[Piece], folded: list[Piece], regions: tuple[Region, ...]
    ) -> PlannedRun:
        tables = [self.looked_up[piece.key] for piece in pieces if piece.key in self.looked_up]
        merged = {one.key for one in tables if one.replacement is not None}
        inside = [piece for piece in pieces if piece in folded or piece.key in merged]
        reason = self._reason(nodes, pieces, inside) or self._stopped(key)
        reason = " and ".join(one.words for one in tables if one.replacement is None) or reason
        weighted = [node for node in nodes if self._holds_weights(node)]
        if not inside and len(weighted) == 1 and not tables and reason not in self.frozen.values():
            reason = f"it is one layer already{self._goes_on(key)}"
        modules = (*(one.table.path for one in tables), *self._modules(nodes))
        look_ups = [(0.0, 1)] * len(tables)
        before = self._once(nodes, self._priced_before)
        after = [price for p in pieces if p.key not in merged for price in self._prices(p, inside)]
        return PlannedRun(
            run=AffineRun(tuple(dict.fromkeys(modules)), self._end(key)),
            before=_cost(before + look_ups),
            after=_cost(after + look_ups),
            becomes=tuple(map(self._becomes, inside)),
            reason=reason or (None if inside else "one layer in its place would cost as much"),
            notes=(*self._notes(inside, regions), *(one.words for one in tables if one.replacement is not None)),
        )

    def _left_alone(self, node: Node) -> PlannedRun:
        """A layer that is not looked into."""
        cost = _cost([self.planner.node_price(node)])
        outputs = [key_of(output) for output in node.outputs if output is not None]
        end = self._end(outputs[0]) if outputs else "output"
        return PlannedRun(AffineRun(self._modules([node]), end), cost, cost, (), self.planner.reasons[node.index])

    def _holds_weights(self, node: Node) -> bool:
        """Whether it is a layer, or scales or shifts by stored numbers of each feature."""
        reading = self.planner.readings.get(node.index)
        operands = reading.operands if reading is not None else ()
        return weights_of(node) is not None or any(isinstance(one.map, (Diagonal, Dense)) for one in operands)

    def _pieces_behind(self, key: Key, made: dict[Key, Piece], counted: set[Key]) -> list[Piece]:
        found: dict[Key, Piece] = {}
        waiting = [key]
        while waiting:
            one = waiting.pop()
            if one in made and one not in counted:
                counted.add(one)
                found[one] = made[one]
                waiting += [term.key for term in made[one].terms if term.key not in self.planner.forced]
        return sorted(found.values(), key=lambda piece: max(piece.nodes))

    def _prices(self, piece: Piece, folded: list[Piece]) -> list[tuple[float, int]]:
        if piece in folded:
            return [piece.price, *(one.extra for one in (self.placed.get(piece.key),) if one)]
        return self._once([node for node in self.program.nodes if node.index in piece.nodes], self._priced_after)

    def _once(self, nodes: list[Node], priced: set[int]) -> list[tuple[float, int]]:
        """What the operations cost that were not priced before, as part of another run."""
        fresh = [node for node in nodes if node.index not in priced]
        priced |= {node.index for node in fresh}
        return [self.planner.node_price(node) for node in fresh]

    def _modules(self, nodes: list[Node]) -> tuple[str, ...]:
        """Whose weights the operations read; where no module's forward does, the names of the parameters' owners."""
        found: dict[str, None] = {}
        names = self.names
        for node in nodes:
            stored = [constant.tensor for constant in node.constants() if not _is_number(constant.tensor)]
            if stored:
                named = (names.get(storage_key(tensor), "") for tensor in stored)
                found[node.location.module or next(filter(None, named), "")] = None
        return tuple(found)

    def _end(self, key: Key) -> str:
        readers = self.program.tensors[key].readers
        return "output" if key in self.program.outputs or not readers else plain_name(readers[0])

    def _becomes(self, piece: Piece) -> str:
        if piece.key in self.placed:
            return self.placed[piece.key].layer.words
        terms = map(in_its_place, piece.terms)
        parts = [describe(term.map, term.geometry, term.axis) for term in terms]
        return (" and " if are_side_by_side(piece.terms) else " + ").join(parts)

    def _is_cat(self, index: int) -> bool:
        return self.program.node(index).op is torch.ops.aten.cat.default

    def _reason(self, nodes: list[Node], pieces: list[Piece], inside: list[Piece]) -> str | None:
        home = {index: piece for piece in pieces for index in piece.nodes}
        for node in nodes:
            makers = [self.program.tensors[key_of(value)].node for value in node.values()]
            apart = [maker for maker in makers if maker is not None and home.get(maker.index) is not home[node.index]]
            for maker in apart:
                if maker.index in self.frozen:
                    return self.frozen[maker.index]
            if node.index in self.planner.reasons and (apart or home[node.index] not in inside):
                return self.planner.reasons[node.index]
        if self.planner.layers.isdisjoint(home):
            return "it only scales and shifts, and there is no layer in it to take that in"
        rest = [piece for piece in pieces if piece not in inside]
        if len(rest) > (0 if inside else 1):
            several = [piece for piece in rest if len(piece.terms) > 1]
            if several and all(any(map(self._is_cat, piece.nodes)) for piece in several):
                return "it puts tensors that come from different places one behind the other"
            if several:
                return "it adds up tensors that come from different places, as a residual connection does"
            return "one layer in their place would take more multiply-adds"
        return None

    def _stopped(self, key: Key) -> str | None:
        """Why the operation that ends a run must stay as it is, where it might have been folded."""
        readers = self.program.tensors[key].readers
        return next((self.frozen[node.index] for node in readers if node.index in self.frozen), None)

    def _goes_on(self, key: Key) -> str:
        """What to add where the operations that read a tensor are affine, too, but are not folded."""
        readers = [node for node in self.program.tensors[key].readers if node.index not in self.planner.readings]
        if not readers or any(node.reason is not None for node in readers):
            return ""
        reasons = dict.fromkeys(self.planner.reasons[node.index] for node in readers)
        return f"; what comes after it is affine, too, but stays, because {' and '.join(reasons)}"

    def _notes(self, inside: list[Piece], regions: tuple[Region, ...]) -> tuple[str, ...]:
        """Forwards that become graphs; weights that are computed in the module, and are held fixed in the copy."""
        graphs = tuple(
            f"the forward of {region.path or self.name} becomes a graph (a torch.fx.GraphModule)"
            + (f", which takes no other sizes than these: {', '.join(region.sizes)}" if region.sizes else "")
            for region in regions
            if any(piece in region.pieces for piece in inside)
        )
        exported = [
            region.path or self.name
            for region in regions
            if any(map(only_checks_sizes, vars(self.calls.modules[region.path])["_forward_pre_hooks"].values()))
            and any(piece in region.pieces for piece in inside)
        ]
        graphs += tuple(f"the copy of {name} does not check the sizes of its inputs as it does" for name in exported)
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


def _is_number(tensor: Tensor) -> bool:
    """Whether a tensor may be a Python number that an operation took: those come as float64 or int64."""
    return tensor.ndim == 0 and tensor.dtype in (torch.float64, torch.int64, torch.bool)


def _cost(prices: list[tuple[float, int]]) -> Cost:
    return Cost(round(sum(price[0] for price in prices)), sum(price[1] for price in prices))
