"""Finds the cheapest way to compute each tensor that must exist: which operations become one layer, where to cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product as pairs
from math import prod

import torch

from whyactivate.affine.depth import weights_of
from whyactivate.affine.tape import Geometry, Node, Value
from whyactivate.folding.composing import add_shifts, after, plain, shift_after
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import (
    CannotFold,
    Dense,
    Diagonal,
    Kernel,
    Map,
    Placed,
    Placement,
    Scale,
    Shift,
    Transposed,
)
from whyactivate.folding.pieces import (
    Piece,
    Price,
    Term,
    are_side_by_side,
    copying,
    in_its_place,
    merged,
    seen_flat,
    spread_map,
    summed,
)
from whyactivate.folding.program import (
    Key,
    Made,
    Program,
    axis_behind,
    axis_in_view,
    key_of,
)
from whyactivate.folding.reading import Operand, Reading, read
from whyactivate.folding.spreading import axes_of, flattened, spread

aten = torch.ops.aten

_MOST_CANDIDATES = 24
"""How many ways to compute one tensor are kept in mind."""
_MOST_COMBINED = 1024
"""How many combinations of ways to compute the operands of one operation are tried."""
_MOST_SHARED = 16
"""For how many shared tensors it is tried whether computing them more than once pays."""

_OUTPUTS_FIRST = (aten.linear.default, aten.mv.default, aten.addmv.default)
"""Products whose weights are stored as `(out, into)`."""

_AVERAGES = (aten.avg_pool2d.default, aten.avg_pool3d.default)


class Planner:
    """The pieces of a program.

    Args:
        program: what was recorded.
        frozen: operations that must stay as they are, with the reason.
        fences: for each operation, what its neighbours must share to be folded with it.

    Attributes:
        readings: the map that each operation is, for those that are one.
        reasons: why an operation is none, or is not folded with the one before it.
        layers: the operations that are products with weights.
        forced: the tensors that must exist: the ends of the runs.
    """

    def __init__(self, program: Program, frozen: Mapping[int, str], fences: Mapping[int, object]) -> None:
        self.program, self.frozen, self.fences = program, frozen, fences
        self.reasons: dict[int, str] = {}
        self.readings: dict[int, Reading] = {}
        self._sums: dict[int, Node] = {}
        for node in program.nodes:
            try:
                self.readings[node.index] = self._read(node)
            except CannotFold as reason:
                self.reasons[node.index] = str(reason)
        for index in self._sums:
            self.reasons.pop(index)
        self.layers = {index for index in self.readings if self._is_layer(program.node(index))}
        self.forced = self._forced()
        self.best: dict[Key, Piece] = {}
        self._candidates: dict[Key, list[Piece]] = {}
        self._given: set[Key] = set()
        shared = self._shared()
        self._given = self.forced | {*shared}
        self._plan({*program.tensors})
        for key in shared[:_MOST_SHARED]:  # is it cheaper to compute it again and again, as part of what reads it?
            self._try(key, self._given - {key})
        for key in self._repeated()[:_MOST_SHARED]:  # or the other way round?
            self._try(key, self._given | {key})

    def price(self) -> Price:
        """Of all pieces together."""
        return summed([piece.price for piece in self.chosen()])

    def chosen(self) -> list[Piece]:
        """The pieces that are to be computed, in order."""
        wanted = [key for key in self.program.tensors if key in self.forced]
        found: dict[Key, Piece] = {}
        while wanted:
            key = wanted.pop()
            if key in self.best and key not in found:
                found[key] = self.best[key]
                wanted += [term.key for term in self.best[key].terms]
        order = {key: i for i, key in enumerate(self.program.tensors)}
        return sorted(found.values(), key=lambda piece: order[piece.key])

    def node_price(self, node: Node) -> Price:
        """What one operation costs as it stands; operations of other kinds count as one kernel."""
        reading = self.readings.get(node.index)
        output = next((output for output in node.outputs if output is not None), None)
        if output is None:
            return 0.0, 1
        cells = output.geometry.numel / self.program.rows
        if reading is None:
            return self._product(node, cells), 1
        first = reading.operands[0]
        if node.op is aten.clone.default or isinstance(first.map, Placement):
            return 0.0, 1  # it copies
        if isinstance(first.map, Scale):
            return cells * max(len(reading.operands) - 1, 1), 1  # each number is added, scaled, or both
        return self._work(first.map, cells, first.value.geometry)[0], 1

    def _product(self, node: Node, cells: float) -> float:
        """The multiply-adds of an operation that no map is known for."""
        weights = weights_of(node)
        if weights is None:
            return 0.0
        shape = weights.tensor.shape
        if node.op is not aten.convolution.default:
            return cells * shape[-1 if node.op in _OUTPUTS_FIRST else -2]
        source = node.arguments["input"]
        if node.arguments["transposed"] and isinstance(source, Value):
            cells = source.geometry.numel / self.program.rows
        return cells * prod(shape[1:])

    # -- what is there ----------------------------------------------------------------------------------------

    def _read(self, node: Node) -> Reading:
        stack = self.program.stacking_before(node)
        if stack is not None and self.fences.get(stack.index) != self.fences.get(node.index):
            stack = None
        for one in (node,) if stack is None else (stack, node):
            self._check_readable(one)
        reading = read(node, stack)
        if stack is not None:
            self._sums[stack.index] = node
        return reading

    def _check_readable(self, node: Node) -> None:
        if node.index in self.frozen:
            raise CannotFold(self.frozen[node.index])
        if node.index in self.program.dependent:
            raise CannotFold("it does something else at another batch size")
        for output in node.outputs:
            made = self.program.tensors.get(key_of(output)) if output is not None else None
            if made is not None and not made.whole:
                raise CannotFold("it writes into a part of a tensor")
        if any(key_of(value) not in self.program.tensors for value in node.values()):
            raise CannotFold("it reads what nobody is seen to write")

    def _is_layer(self, node: Node) -> bool:
        """Whether it is a product with weights."""
        found = self.readings[node.index].operands[0].map
        product = isinstance(found, (Dense, Kernel)) and not isinstance(found, Placement)
        return (product and node.op not in _AVERAGES) or node.op is aten.convolution.default

    def _forced(self) -> set[Key]:
        """The tensors that must exist: outputs, and what operations read that are left alone."""
        forced = {key for key in self.program.outputs if key in self.program.tensors}
        for node in self.program.nodes:
            if node.index not in self.readings and node.index not in self._sums:
                forced |= {key_of(value) for value in node.values()}
        for key, made in self.program.tensors.items():
            fence = self.fences.get(made.node.index) if made.node else None
            if made.node and any(self.fences.get(reader.index) != fence for reader in made.readers):
                forced.add(key)
        return forced

    def _shared(self) -> list[Key]:
        """The tensors on which several others depend that never come together again."""
        order = [*self.program.tensors]
        place = {key: i for i, key in enumerate(order)}
        end = len(order)
        meets: dict[int, int] = {end: end}

        def meet(a: int, b: int) -> int:
            while a != b:
                if a < b:
                    a = meets[a]
                else:
                    b = meets[b]
            return a

        shared: list[Key] = []
        for key in reversed(order):
            made = self.program.tensors[key]
            if key in self.forced:
                meets[place[key]] = end
                continue
            nexts = {
                place[key_of(output)] if reader.index in self.readings else end
                for reader in (self._sums.get(reader.index, reader) for reader in made.readers)
                for output in reader.outputs[:1]
                if output is not None
            } or {end}
            joined, *others = nexts
            for other in others:
                joined = meet(joined, other)
            meets[place[key]] = joined
            if joined == end and made.node is not None and made.node.index in self.readings and len(made.readers) > 1:
                shared.append(key)
        return shared

    def _repeated(self) -> list[Key]:
        """The tensors that are computed more than once, as parts of several pieces."""
        times = Counter(index for piece in self.chosen() for index in piece.nodes)
        return [
            key
            for key, made in self.program.tensors.items()
            if made.node is not None and times[made.node.index] > 1 and key not in self._given
        ]

    def _try(self, key: Key, given: set[Key]) -> None:
        """Plan what depends on a tensor with other tensors given, and keep that if it is cheaper."""
        before, kept = self.price(), (self.best, self._candidates, self._given)
        self.best, self._candidates, self._given = {**self.best}, {**self._candidates}, given
        self._plan({key})
        if self.price() >= before:
            self.best, self._candidates, self._given = kept

    # -- candidates -------------------------------------------------------------------------------------------

    def _plan(self, stale: set[Key]) -> None:
        """Find the ways to compute these tensors, and those that lead there through tensors that need not exist."""
        for key, made in self.program.tensors.items():
            reading = self.readings.get(made.node.index) if made.node is not None else None
            if reading is None:
                self._candidates[key] = []
                continue
            if key not in stale and stale.isdisjoint(key_of(operand.value) for operand in reading.operands):
                continue
            ways = self._ways(made, reading)
            self.best[key] = ways[0]
            self._candidates[key] = [] if key in self._given else ways[:_MOST_CANDIDATES]
            if key not in self._given:
                stale = stale | {key}

    def _ways(self, made: Made, reading: Reading) -> list[Piece]:
        """The pieces that compute a tensor, the cheapest first; one of them is the operation as it stands."""
        assert made.node is not None
        options: list[list[Piece]] = []
        for operand in reading.operands:
            leaf = self._leaf(operand.value)
            options.append([self._applied(operand, made, leaf)])
            for inner in self._candidates.get(key_of(operand.value), []):
                try:
                    options[-1].append(self._applied(operand, made, inner))
                except CannotFold as reason:
                    self.reasons.setdefault(made.node.index, str(reason))
        ways: dict[tuple[object, ...], Piece] = {}
        found: list[Piece] = [*self._before_unflattening(made, reading)]
        for parts in _combinations(options):
            for apart in (False, True) if isinstance(reading.operands[0].map, Placement) else (False,):
                try:
                    found.append(self._joined(parts, made, reading, apart=apart))
                except CannotFold as reason:
                    self.reasons.setdefault(made.node.index, str(reason))
        for piece in found:
            same = tuple(sorted((term.key, str(term.geometry)) for term in piece.terms))
            if same not in ways or piece.total < ways[same].total:
                ways[same] = piece
        return sorted(ways.values(), key=lambda piece: (piece.total, len(piece.nodes)))

    def _before_unflattening(self, made: Made, reading: Reading) -> Iterator[Piece]:
        """Pieces that scale or shift features where a view has not yet spread them, for what does so behind it."""
        operand, *others = reading.operands
        view, layout = operand.value.geometry, (made.geometry.size, made.geometry.stride)
        alone = reading.elementwise and isinstance(operand.map, (Scale, Diagonal)) and not others
        if not alone or layout != (view.size, view.stride):
            return
        for inner in self._candidates.get(key_of(operand.value), []):
            axis, seen = inner.axis, inner.geometry
            axes = axes_of(view, seen, axis) if axis is not None and view != seen else None
            if axis is None or axes is None or reading.axis not in (None, *axes):
                continue
            sizes, place = [view.size[i] for i in axes], axes.index(reading.axis or axes[0])
            flat = Operand(replace(operand.value, geometry=seen), spread_map(operand.map, sizes, place), axis)
            shift = spread(reading.shift, sizes, place) if isinstance(reading.shift, Lazy) else reading.shift
            whole = replace(made, geometry=flattened(made.geometry, axes, seen, axis))
            yield self._joined((self._applied(flat, whole, inner),), whole, Reading((flat,), shift, axis))

    def _leaf(self, value: Value) -> Piece:
        term = Term(key_of(value), value.geometry, Scale(1.0))
        return Piece(key_of(value), value.geometry, (term,), None, None, frozenset(), (0.0, 0))

    def _applied(self, operand: Operand, made: Made, inner: Piece) -> Piece:
        """A piece for the operand's tensor, taken through the operand's map."""
        view, at = operand.value.geometry, operand.axis
        if inner.axis is not None and at is not None and axis_in_view(view, inner.geometry, inner.axis) is None:
            inner = seen_flat(inner, view, at)
        axis, moved = inner.axis, view != inner.geometry
        if inner.axis is not None:
            axis = inner.axis if not moved else axis_in_view(view, inner.geometry, inner.axis)
            if axis is None:
                raise CannotFold("the features are rearranged in between")
        if axis is not None and operand.axis is not None and axis != operand.axis:
            raise CannotFold(
                f"it acts along axis {operand.axis}, but the layer before gives its features along axis {axis}"
            )
        if axis is None:
            axis = operand.axis
        terms: list[Term] = []
        for term in inner.terms:
            term = replace(term, map=plain(term.map)) if moved else term
            seen = term
            if moved and isinstance(term.map, Kernel):
                raise CannotFold("the convolution's result is rearranged in between")
            if moved and isinstance(term.map, Scale):
                same = (term.geometry.size, term.geometry.stride) == (inner.geometry.size, inner.geometry.stride)
                own = None if same or at is None else axis_behind(view, inner.geometry, at)
                if not same and (own is None or term.geometry.size != inner.geometry.size):
                    raise CannotFold("the numbers are rearranged in between")
                offset = term.geometry.offset + view.offset - inner.geometry.offset
                moved_along = replace(term, geometry=replace(view, offset=offset), axis=axis)
                seen = moved_along if same else replace(term, axis=own)  # it was copied into another order
            if seen.axis is None:
                seen = replace(seen, axis=axis)
            if isinstance(operand.map, Kernel) and moved:
                raise CannotFold("the convolution's input is rearranged in between")
            if isinstance(operand.map, Kernel) and seen.axis != 1:
                raise CannotFold("the layer before does not give its features as channels")
            terms.append(replace(seen, map=after(operand.map, seen.map)))
        shift = shift_after(operand.map, inner.shift)
        return replace(inner, terms=tuple(terms), shift=shift, axis=axis, geometry=made.geometry)

    def _joined(self, parts: tuple[Piece, ...], made: Made, reading: Reading, *, apart: bool = False) -> Piece:
        """The sum of the parts; where they give features side by side and are to stay `apart`, each by itself."""
        assert made.node is not None
        axes = {part.axis for part in parts if part.axis is not None}
        axes |= {reading.axis} if reading.axis is not None else set()
        if len(axes) > 1:
            raise CannotFold("the branches have their features along different axes")
        axis = next(iter(axes), None)
        shift: Shift = reading.shift
        for part in parts:
            shift = add_shifts(shift, part.shift)
        found = [replace(t, axis=axis) if t.axis is None else t for part in parts for t in part.terms]
        if not ((apart or len(parts) == 1) and are_side_by_side(found)):
            found = merged(found, len(made.geometry.size) - 2 if axis == 1 else 0)
        stacked = {index for index, total in self._sums.items() if total is made.node}
        nodes = frozenset({made.node.index, *stacked}).union(*(part.nodes for part in parts))
        if self.layers.isdisjoint(nodes):  # which is not carried out
            price = summed([self.node_price(self.program.node(index)) for index in nodes])
        else:
            cells = made.geometry.numel / self.program.rows
            price = self.node_price(made.node) if len(nodes) == 1 else self._price(found, shift, cells)
        behind: dict[Key, Price] = {}
        for key in {term.key for term in found} - self._given:
            if key in self.best:
                behind |= {**self.best[key].behind, key: self.best[key].price}
        return Piece(made.key, made.geometry, tuple(found), shift, axis, nodes, price, behind)

    def _price(self, terms: Sequence[Term], shift: Shift, cells: float) -> Price:
        if are_side_by_side(terms):
            parts = [(in_its_place(term), term.map.placement) for term in terms if isinstance(term.map, Placed)]
            return summed([(0.0, 1), *(self._price([one], shift, cells * at.into / at.out) for one, at in parts)])
        prices = [self._work(term.map, cells, term.geometry) for term in terms]
        layers = sorted((term for term in terms if isinstance(term.map, (Dense, Kernel))), key=lambda term: term.key)
        prices += [copying(term, cells, shifted=shift is not None and term is layers[0]) for term in layers]
        work = sum(price[0] for price in prices) + (len(terms) - 1) * cells
        kernels = sum(price[1] for price in prices) + len(terms) - 1
        if shift is not None and all(isinstance(term.map, Scale) for term in terms):
            return work + cells, kernels + 1
        return work, kernels

    def _work(self, map: Map, cells: float, source: Geometry) -> Price:
        """What a map costs that gives so many numbers per row, from a tensor of that geometry."""
        map = plain(map)
        if isinstance(map, Scale):
            return (0.0, 0) if map.factor == 1 else (cells, 1)
        if isinstance(map, Diagonal):
            return cells, 1
        if isinstance(map, Dense):
            return cells * map.into, 1
        if isinstance(map, Transposed):
            return source.numel / self.program.rows * (map.out // map.groups) * prod(map.size), 1
        return cells * (map.into // map.groups) * prod(map.size), 1


def _combinations(options: list[list[Piece]]) -> Iterable[tuple[Piece, ...]]:
    """One way for each operand: all combinations, or where they are too many, for all operands the same choice."""
    if prod(map(len, options)) <= _MOST_COMBINED:
        return pairs(*options)
    return (tuple(ways[min(i, len(ways) - 1)] for ways in options) for i in range(max(map(len, options))))
