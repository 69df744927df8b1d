"""Emits one module's region as a torch.fx graph: submodules that did not fold are called, folded pieces are layers."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from keyword import iskeyword
from math import prod
from typing import Any

import torch
from torch import fx

from whyactivate.affine._torch_compat import check_in_graph, positional_names, storage_key
from whyactivate.affine.tape import Geometry, Node, Value
from whyactivate.affine.trees import map_leaves
from whyactivate.folding.anysize import fits_any_size
from whyactivate.folding.calls import Call
from whyactivate.folding.layers import layer_for
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import CannotFold, Dense, Diagonal, Kernel, Placed, Scale, Shift, as_vector
from whyactivate.folding.pieces import Piece, Term, are_side_by_side, in_its_place
from whyactivate.folding.program import Program, feature_key, key_of
from whyactivate.folding.regions import Region, Vector, left_over
from whyactivate.folding.replacing import PRODUCTS, Calls, CannotPlace, calls_device, check_memory
from whyactivate.folding.scope import Bound, Scope, Unknown
from whyactivate.folding.spreading import axes_of, flattened

aten = torch.ops.aten


def emit_region(call: Call, pieces: Sequence[Piece], program: Program, calls: Calls) -> Region:
    """The graph of the module's one call, with the pieces in it folded.

    Raises:
        CannotPlace: something in the region cannot be written as a graph.
    """
    try:
        return _Emitter(call, pieces, program, calls).emit()
    except CannotFold as reason:
        raise CannotPlace(str(reason)) from reason


class _Emitter(Scope):
    def __init__(self, call: Call, pieces: Sequence[Piece], program: Program, calls: Calls) -> None:
        self.module = calls.modules[call.path]
        super().__init__(self.module, program)
        self.call, self.calls = call, calls
        self.name = call.path or "the module"
        self.prefix = f"{call.path}." if call.path else ""
        self.pieces = {max(piece.nodes): piece for piece in pieces}
        self.folded = frozenset[int]().union(*(piece.nodes for piece in pieces))
        self.region = Region(call.path, tuple(pieces), self.graph)
        self.twins = dict(zip(map(id, program.recorded.calls), program.other.calls, strict=True))
        self.inside = {*call.nodes}
        self.opened = {""}
        self.told_sizes = False
        self.taken = {name for name, _ in (*self.module.named_modules(), *self.module.named_parameters())}
        self.taken |= {name for name, _ in self.module.named_buffers()}

    def emit(self) -> Region:
        for piece in self.pieces.values():
            check_memory(piece, self.program)
        for script in self.calls.scripts_between(self.call.path, ()):
            raise CannotPlace(f"{script} is scripted, and what it does in between cannot be seen", self.folded)
        self._inputs()
        self._body(self.call)
        result = self.tree(self.call.result, self.twins[id(self.call)].result)
        self.graph.output(result)
        self._tidy()
        self._leave_sizes_open()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr") and any(map(iskeyword, str(node.target).split("."))):
                raise CannotPlace(f"{node.target} is called as a word of Python's own, which a graph cannot hold")
        self.graph.lint()
        region = self.region
        region.constants, region.parameters = self.constants, self.parameters
        region.sizes = tuple(self.sizes) if self.checks else ()
        region.unused = left_over(self.module, self.opened, self.calls)
        return region

    def _leave_sizes_open(self) -> None:
        """Drop the checks of sizes where nothing depends on them."""
        looked = {f"{self.prefix}{name}".removesuffix(".") for name in self.opened} & self.program.recorded.looked
        given = {*self.checks, *self.open}
        made = any(tensor.numel() > 1 for tensor in self.constants.values())
        if not (looked or made or self.told_sizes) and fits_any_size(self.graph, but=given):
            for node in reversed(self.checks):
                self.graph.erase_node(node)
            self.checks.clear()

    def _tidy(self) -> None:
        """Drop what nobody reads, and give new layers names of their own where the old ones are still in use."""
        for node in reversed(list(self.graph.nodes)):
            unused = not node.users and node.target is not check_in_graph
            if unused and node.op in ("call_function", "call_method", "get_attr"):
                self.graph.erase_node(node)
        read = {str(node.target) for node in self.graph.nodes if node.op == "get_attr"}
        self.parameters &= read
        for name in list(self.region.layers):
            if any(f"{other}.".startswith(f"{name}.") for other in self.parameters | self.region.modules):
                new = self._free("folded_")
                self.region.layers[new] = self.region.layers.pop(name)
                for node in self.graph.nodes:
                    if node.op == "call_module" and node.target == name:
                        node.target = new

    # -- what goes in -----------------------------------------------------------------------------------------

    def _inputs(self) -> None:
        twin = self.twins[id(self.call)]
        try:
            signature = inspect.signature(self.module.forward)
            given = signature.bind(*self.call.args, **self.call.kwargs).arguments
            other = signature.bind(*twin.args, **twin.kwargs).arguments
        except (TypeError, ValueError) as error:
            raise CannotPlace(f"the signature of {self.name} is not known: {error}") from error
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                if name in given:
                    raise CannotPlace(f"{self.name} takes {name} by keyword only")
                continue
            stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            default: Any = () if stars or parameter.default is parameter.empty else (parameter.default,)
            node = self.graph.placeholder(stars + name, None, *default)
            nothing: Any = {"*": (), "**": {}}.get(stars, parameter.default)
            self.bind_tree(node, given.get(name, nothing), other.get(name, nothing), f"{name} of {self.name}")

    # -- what happens -----------------------------------------------------------------------------------------

    def _body(self, call: Call) -> None:
        if call.path in self.program.sized:
            raise CannotPlace(
                f"{call.path or 'the forward of the whole'} {self.program.sized[call.path]}, and a graph would hold "
                "what it does for one size",
                self.folded & {*call.nodes},
            )
        if call.path in self.program.recorded.cutting:
            raise CannotPlace(
                f"{call.path or 'the forward of the whole'} ends gradients or looks at them (by detach, torch.no_grad, "
                "a hook or a function with gradients of its own), which a graph would not",
                self.folded & {*call.nodes},
            )
        children = [c for c in self.program.recorded.calls if c.parent is call and c.first is not None]
        taken = {index for child in children for index in child.nodes}
        own = [node for node in self.program.nodes if node.index in call.nodes and node.index not in taken]
        events: list[tuple[int, Call | Node]] = [(child.first or 0, child) for child in children]
        events += [(node.index, node) for node in own]
        for _, event in sorted(events, key=lambda pair: pair[0]):
            if isinstance(event, Node):
                if event.location.caller != call.path:
                    raise CannotPlace(
                        f"{event.location.caller} is a module whose calls cannot be followed", frozenset({event.index})
                    )
                self._node(event)
            elif self.folded & {*event.nodes}:
                self._check_inside(event)
                if event.path in self.calls.hooked:
                    raise CannotPlace(f"{event.path} has hooks", self.folded & {*event.nodes})
                self.opened.add(event.path.removeprefix(self.prefix))
                self._body(event)
            else:
                self._call(event)

    def _check_inside(self, call: Call) -> None:
        if not call.path.startswith(self.prefix):
            where = f"{call.path} is called by a module that it is no part of, or is part of another one, too"
            raise CannotPlace(where, self.folded & {*call.nodes})

    def _call(self, call: Call) -> None:
        twin = self.twins[id(call)]
        self._check_inside(call)
        map_leaves(self._note_number, call.result)
        try:
            args, kwargs = self.tree(call.args, twin.args), self.tree(call.kwargs, twin.kwargs)
        except Unknown:
            if {*call.nodes} & self.program.needed:
                raise
            return  # its result is of no use
        name = call.path.removeprefix(self.prefix)
        node = self.graph.call_module(name, tuple(args), kwargs)
        self.region.modules.add(name)
        self.bind_tree(node, call.result, twin.result)

    def _note_number(self, leaf: Any) -> None:
        self.told_sizes |= type(leaf) is int  # the length of a sequence, say

    def _node(self, node: Node) -> None:
        if node.index in self.pieces:
            self._piece(self.pieces[node.index], node)
            return
        if node.index in self.folded:
            return
        twin = self.program.twin[node.index]
        self._check_birth(node)
        named = {name: self.tree(item, twin.arguments[name]) for name, item in node.arguments.items()}
        positional: list[Any] = []
        for name in positional_names(node.op):
            if name not in named:
                break
            positional.append(named.pop(name))
        result = self.graph.call_function(node.op, tuple(positional), named)
        several = len(node.outputs) > 1
        for i, (here, there) in enumerate(zip(node.outputs, twin.outputs, strict=True)):
            if here is not None and there is not None:
                if not self.program.tensors[key_of(here)].whole:
                    raise CannotPlace("it writes into a part of a tensor", frozenset({node.index}))
                part = self.graph.call_function(operator.getitem, (result, i)) if several else result
                self.bind(here, part, there.geometry)

    def _check_birth(self, node: Node) -> None:
        """A write into memory that came from outside would be missed there."""
        for output in node.outputs:
            if output is not None and output.version > 0:
                first = self.program.tensors.get((output.storage, 0))
                if first is None or first.node is None or first.node.index not in self.inside:
                    raise CannotPlace("it writes into the memory of what it is given", frozenset({node.index}))

    # -- folded pieces ----------------------------------------------------------------------------------------

    def _piece(self, piece: Piece, last: Node) -> None:
        twin = self.program.twin[last.index]
        output, other = last.outputs[0], twin.outputs[0]
        assert output is not None
        assert other is not None
        self._check_birth(last)
        whole = self._on_all_axes(piece)
        if whole is not None:
            self.bound[key_of(output)] = whole
            return
        there = _as_in(piece, output.geometry, other.geometry)
        total = (self._side_by_side if are_side_by_side(piece.terms) else self._total)(piece, there)
        self.bound[key_of(output)] = Bound(total, piece.geometry, there)

    def _side_by_side(self, piece: Piece, there: Geometry) -> fx.Node:
        """What the terms give, one behind the other."""
        assert piece.axis is not None
        parts: dict[int, fx.Node] = {}
        for term in piece.terms:
            assert isinstance(term.map, Placed)
            start, size = term.map.placement.start, term.map.placement.into
            shift = piece.shift
            if isinstance(shift, Lazy):
                shift = shift.then(lambda vector, start=start, size=size: vector[start : start + size])
            here, twin = (_with_size(one, piece.axis, size) for one in (piece.geometry, there))
            parts[start] = self._total(replace(piece, geometry=here, terms=(in_its_place(term),), shift=shift), twin)
        return self.graph.call_function(aten.cat.default, ([parts[start] for start in sorted(parts)], piece.axis))

    def _total(self, piece: Piece, there: Geometry) -> fx.Node:
        """The sum of what the terms give, shifted."""
        total: fx.Node | None = None
        pending = piece.shift
        # The shift goes to the first layer that has a bias; a scale takes it where there is no such layer.
        ordered = sorted(piece.terms, key=lambda term: (not isinstance(term.map, (Dense, Kernel)), term.key))
        for term in ordered:
            node = self._term(piece, term, pending, there)
            if not isinstance(term.map, Scale):
                pending = None
            total = node if total is None else self.graph.call_function(aten.add.Tensor, (total, node))
        assert total is not None
        if pending is not None and not isinstance(pending, Lazy):
            total = self.graph.call_function(aten.add.Tensor, (total, pending))
        elif isinstance(pending, Lazy):
            vector = self._vector(piece, pending, len(piece.geometry.size))
            total = self.graph.call_function(aten.add.Tensor, (total, vector))
        return total

    def _on_all_axes(self, piece: Piece) -> Bound | None:
        """The layer on the last axis of a tensor of several, where the program flattens the others and puts them back.

        So the graph holds none of their sizes.
        """
        term, *others = piece.terms
        given = self.known(term.key)
        seen, made = term.geometry, piece.geometry
        last = (term.axis == len(seen.size) - 1, piece.axis == len(made.size) - 1)
        in_order = all(one.is_contiguous for one in (given.here, given.there, seen, made))
        if others or not isinstance(term.map, Dense) or not all(last) or not in_order:
            return None
        same = (seen.offset, seen.numel, seen.size[-1]) == (given.here.offset, given.here.numel, given.here.size[-1])
        if not same or made.numel * seen.size[-1] != seen.numel * made.size[-1] or len(given.here.size) < 3:
            return None
        device, axis = calls_device(self.calls, self.call), len(given.here.size) - 1
        layer, name = layer_for(term.map, piece.shift, given.here, axis, device), self._name(piece)
        self.region.layers[name] = layer
        node = self.graph.call_module(name, (given.node,))
        return Bound(node, *(_with_last(one, made) for one in (given.here, given.there)))

    def _term(self, piece: Piece, term: Term, shift: Shift, twin: Geometry) -> fx.Node:
        source, view, axis = self._source(piece, term)
        if isinstance(term.map, Scale):
            if view.size != piece.geometry.size:
                raise CannotPlace("what enters it is rearranged in between", piece.nodes)
            factor = term.map.factor
            return source if factor == 1 else self.graph.call_function(aten.mul.Tensor, (source, factor))
        assert piece.axis is not None
        like = _others(view, axis) == _others(piece.geometry, piece.axis) and axis == piece.axis
        if isinstance(term.map, Diagonal):
            if not like:
                raise CannotPlace("what enters it is rearranged in between", piece.nodes)
            axes = len(view.size)
            scale = self._vector(piece, term.map.entries, axes)
            if shift is None:
                return self.graph.call_function(aten.mul.Tensor, (source, scale))
            added = self._vector(piece, as_vector(shift, term.map.size), axes)
            return self.graph.call_function(aten.addcmul.default, (added, source, scale))
        layer = layer_for(term.map, shift, view, axis, calls_device(self.calls, self.call))
        name = self._name(piece)
        self.region.layers[name] = layer
        node = self.graph.call_module(name, (source,))
        if like or isinstance(term.map, Kernel):
            return node
        if axis != len(view.size) - 1 or piece.axis != len(piece.geometry.size) - 1:
            raise CannotPlace("its features lie along another axis at the end than at the beginning", piece.nodes)
        shape = [self.whole(a, b) for a, b in zip(piece.geometry.size, twin.size, strict=True)]
        return self.graph.call_method("reshape", (node, shape))

    def _source(self, piece: Piece, term: Term) -> tuple[fx.Node, Geometry, int]:
        """The tensor that a term acts on, with the features where the result has them, if there is such a view."""
        views = [(here, there) for here, there in self._operands() if key_of(here) == term.key]
        bound = self.known(term.key)
        found = [(bound.here, bound.there), *((here.geometry, there.geometry) for here, there in views)]
        if term.axis is not None and piece.axis is not None and not isinstance(term.map, Kernel):
            wanted = feature_key(term.geometry, term.axis)
            for here, there in found:
                if len(here.size) != len(piece.geometry.size) or feature_key(here, piece.axis) != wanted:
                    continue
                if _others(here, piece.axis) == _others(piece.geometry, piece.axis):
                    return self.shown(bound, here, there), here, piece.axis
        found += [(here.geometry, there.geometry) for here, there in self._operands()]
        for here, there in found:
            if here == term.geometry:
                return self.shown(bound, here, there), here, term.axis or 0
        raise CannotPlace("what enters it is rearranged in between", piece.nodes)

    def _operands(self) -> Iterator[tuple[Value, Value]]:
        """What the operations read, at both batch sizes."""
        for node in self.program.nodes:
            yield from zip(node.values(), self.program.twin[node.index].values(), strict=True)

    def _vector(self, piece: Piece, numbers: Lazy, axes: int) -> fx.Node:
        assert piece.axis is not None
        shape = tuple(piece.geometry.size[i] if i == piece.axis else 1 for i in range(axes))
        name = self._free("_folded_")
        device = calls_device(self.calls, self.call)
        self.region.vectors[name] = Vector(numbers, shape, piece.geometry.dtype, device)
        return self.graph.get_attr(name)

    def _name(self, piece: Piece) -> str:
        """The name of the first folded layer, within the module, or one of its own."""
        owners: dict[int, str] = {}
        for path, part in self.module.named_modules():
            for key in (storage_key(tensor) for tensor in part.parameters(recurse=False)):
                owners.setdefault(key, path)
        for index in sorted(piece.nodes):
            call = self.calls.innermost.get(index)
            if call is not None and call is not self.call and call.path.startswith(self.prefix):
                name, kind = call.path.removeprefix(self.prefix), type(self.calls.modules[call.path])
                if issubclass(kind, PRODUCTS) and name not in self.region.layers and self.calls.counts[call.path] == 1:
                    return name
            for constant in self.program.node(index).constants():
                name = owners.get(storage_key(constant.tensor), "")
                uncalled = name and not self.calls.counts[self.prefix + name]
                if uncalled and constant.tensor.ndim > 1 and name not in self.region.layers:
                    return name
        return self._free("folded_")

    def _free(self, start: str) -> str:
        number = 0
        while f"{start}{number}" in self.taken:
            number += 1
        self.taken.add(f"{start}{number}")
        return f"{start}{number}"


def _as_in(piece: Piece, output: Geometry, there: Geometry) -> Geometry:
    """What the piece gives, as it lies in memory at the other batch size."""
    axes = axes_of(output, piece.geometry, piece.axis) if piece.axis is not None and piece.geometry != output else None
    return there if axes is None else flattened(there, axes, piece.geometry, piece.axis or 0)


def _with_last(geometry: Geometry, flat: Geometry) -> Geometry:
    """A geometry in order with as many entries on its last axis as another."""
    found = _with_size(geometry, len(geometry.size) - 1, flat.size[-1])
    return replace(found, offset=flat.offset, dtype=flat.dtype)


def _with_size(geometry: Geometry, axis: int, count: int) -> Geometry:
    """A geometry in order with so many entries on an axis."""
    size = (*geometry.size[:axis], count, *geometry.size[axis + 1 :])
    stride = tuple(prod(size[i + 1 :]) for i in range(len(size)))
    return Geometry(geometry.offset, size, stride, geometry.dtype)


def _others(geometry: Geometry, axis: int) -> tuple[int, ...]:
    return (*geometry.size[:axis], *geometry.size[axis + 1 :])
