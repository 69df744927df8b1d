"""Emits one module's region as a torch.fx graph: submodules that did not fold are called, folded pieces are layers.

The region was recorded at two batch sizes; a whole number that is not the same in both becomes a·B + c, where B is
read off an input's shape when the graph runs.
"""

from __future__ import annotations

import inspect
import itertools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from whyactivate.affine._torch_compat import check_in_graph, positional_names, storage_key
from whyactivate.affine.tape import Constant, Geometry, Node, Value
from whyactivate.folding.calls import Call, Fixed
from whyactivate.folding.layers import Layer, layer_for
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import CannotFold, Dense, Diagonal, Kernel, Scale, as_vector
from whyactivate.folding.planning import Piece, Term
from whyactivate.folding.program import Key, Program, feature_key, key_of
from whyactivate.folding.replacing import PRODUCTS, Calls, CannotPlace, calls_device, check_memory

aten = torch.ops.aten


@dataclass
class Region:
    """A module's region as a graph, and what it needs.

    Attributes:
        path: of the module that the graph takes the place of.
        layers: new layers by name in the graph; constants: new tensors by name.
        modules: submodules of the original that the graph calls; unused: those that nobody called.
        parameters: tensors of the original that the graph reads.
    """

    path: str
    pieces: tuple[Piece, ...]
    graph: fx.Graph
    layers: dict[str, Layer] = field(default_factory=dict)
    vectors: dict[str, tuple[Lazy, tuple[int, ...], torch.dtype, torch.device]] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    unused: tuple[str, ...] = ()
    parameters: set[str] = field(default_factory=set)
    names: dict[Key, list[str]] = field(default_factory=dict)


def emit_region(call: Call, pieces: Sequence[Piece], program: Program, calls: Calls) -> Region:
    """The graph of the module's one call, with the pieces in it folded.

    Raises:
        CannotPlace: something in the region cannot be written as a graph.
    """
    try:
        return _Emitter(call, pieces, program, calls).emit()
    except CannotFold as reason:
        raise CannotPlace(str(reason)) from reason


@dataclass(frozen=True)
class _Bound:
    node: fx.Node
    here: Geometry
    there: Geometry


class _Emitter:
    def __init__(self, call: Call, pieces: Sequence[Piece], program: Program, calls: Calls) -> None:
        self.call, self.program, self.calls = call, program, calls
        self.module = calls.modules[call.path]
        self.pieces = {max(piece.nodes): piece for piece in pieces}
        self.folded = frozenset[int]().union(*(piece.nodes for piece in pieces))
        self.region = Region(call.path, tuple(pieces), fx.Graph())
        self.graph = self.region.graph
        self.bound: dict[Key, _Bound] = {}
        self.twins = dict(zip(map(id, program.recorded.calls), program.other.calls, strict=True))
        self.inside = {*call.nodes}
        self.opened = {""}
        self.batch: tuple[fx.Node, int, int] | None = None
        self.slope = self._rows(program.other) - program.rows
        tensors = [*self.module.named_parameters(), *self.module.named_buffers()]
        self.named = {_place(tensor): name for name, tensor in reversed(tensors)}

    @staticmethod
    def _rows(recorded: Any) -> int:
        return recorded.tape.inputs[0].geometry.size[0]

    def emit(self) -> Region:
        for piece in self.pieces.values():
            check_memory(piece, self.program)
        self._inputs()
        self._body(self.call)
        result = self._tree(self.call.result, self.twins[id(self.call)].result)
        self.graph.output(result)
        for node in reversed(list(self.graph.nodes)):
            unused = not node.users and node.target is not check_in_graph
            if unused and node.op in ("call_function", "call_method", "get_attr"):
                self.graph.erase_node(node)
        self.graph.lint()
        self.region.unused = self._unused()
        for name in self.region.layers:
            if any(f"{other}.".startswith(f"{name}.") for other in self.region.parameters | self.region.modules):
                raise CannotPlace(f"{name} is used beside what is folded", self.folded)
        return self.region

    def _unused(self) -> tuple[str, ...]:
        """The submodules that were not called and are no part of what is folded: the outermost of them."""
        prefix = f"{self.call.path}." if self.call.path else ""
        called = {path[len(prefix) :] for path in self.calls.counts if path.startswith(prefix)}
        found: list[str] = []
        for name, part in self.module.named_modules():
            below = {f"{name}.{inner}" if inner else name for inner, _ in part.named_modules()}
            above = {name.rsplit(".", i)[0] for i in range(name.count(".") + 1)}
            if name and not below & called and not (above & called) - self.opened and not above & {*found}:
                found.append(name)
        return tuple(found)

    # -- what goes in -----------------------------------------------------------------------------------------

    def _inputs(self) -> None:
        twin = self.twins[id(self.call)]
        try:
            signature = inspect.signature(self.module.forward)
            given = signature.bind(*self.call.args, **self.call.kwargs).arguments
            other = signature.bind(*twin.args, **twin.kwargs).arguments
        except (TypeError, ValueError) as error:
            raise CannotPlace(f"the signature of {self.call.path or 'the module'} is not known: {error}") from error
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                if name in given:
                    raise CannotPlace(f"{self.call.path or 'the module'} takes {name} by keyword only")
                continue
            stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            default: Any = () if stars or parameter.default is parameter.empty else (parameter.default,)
            node = self.graph.placeholder(stars + name, None, *default)
            nothing: Any = {"*": (), "**": {}}.get(stars, parameter.default)
            label = f"{name} of {self.call.path or 'the module'}"
            self._bind_tree(node, given.get(name, nothing), other.get(name, nothing), label)

    def _bind_tree(self, node: fx.Node, here: Any, there: Any, given: str = "") -> None:
        """Bind the tensors in what a graph node stands for; where it is `given` to the graph, check all else."""
        if isinstance(here, Value):
            self.bound[key_of(here)] = _Bound(node, here.geometry, there.geometry)
            self._note_batch(node, here.geometry, there.geometry)
        elif isinstance(here, (list, tuple)) and here:
            for i, (a, b) in enumerate(zip(list(here), list(there), strict=True)):
                self._bind_tree(self.graph.call_function(operator.getitem, (node, i)), a, b, given)
        elif isinstance(here, dict) and here:
            for key, item in dict(here).items():
                self._bind_tree(self.graph.call_function(operator.getitem, (node, key)), item, there[key], given)
        elif given:
            self._check_given(node, here, there, given)

    def _check_given(self, node: fx.Node, here: Any, there: Any, given: str) -> None:
        """The graph was recorded for this value, and says so where it is called with another."""
        if not isinstance(here, (type(None), bool, int, float, str, tuple, list, dict)):
            raise CannotPlace(f"{given} is a {type(here).__name__} that does not depend on the input")
        if type(here) is not type(there) or here != there:
            raise CannotPlace(f"{given} is another at another batch size")
        same = self.graph.call_function(operator.is_ if here is None else operator.eq, (node, here))
        words = f"this folded copy was made for {given} = {here!r}; fold the original again for another value"
        self.graph.call_function(check_in_graph, (same, words))

    def _note_batch(self, node: fx.Node, here: Geometry, there: Geometry) -> None:
        for axis, (a, b) in enumerate(zip(here.size, there.size, strict=True)):
            if self.batch is None and a != b and (b - a) % self.slope == 0:
                slope = (b - a) // self.slope
                start = a - slope * self.program.rows
                if start == 0:
                    size = self.graph.call_function(aten.sym_size.int, (node, axis))
                    rows = size if slope == 1 else self.graph.call_function(operator.floordiv, (size, slope))
                    self.batch = (rows, slope, start)

    # -- what happens -----------------------------------------------------------------------------------------

    def _body(self, call: Call) -> None:
        children = [c for c in self.program.recorded.calls if c.parent is call and c.first is not None]
        taken = {index for child in children for index in child.nodes}
        own = [node for node in self.program.nodes if node.index in call.nodes and node.index not in taken]
        events: list[tuple[int, Call | Node]] = [(child.first or 0, child) for child in children]
        events += [(node.index, node) for node in own]
        for _, event in sorted(events, key=lambda pair: pair[0]):
            if isinstance(event, Node):
                self._node(event)
            elif self.folded & {*event.nodes}:
                if event.path in self.calls.hooked:
                    raise CannotPlace(f"{event.path} has hooks", self.folded & {*event.nodes})
                self.opened.add(event.path[len(self.call.path) + 1 :] if self.call.path else event.path)
                self._body(event)
            else:
                self._call(event)

    def _call(self, call: Call) -> None:
        twin = self.twins[id(call)]
        prefix = f"{self.call.path}." if self.call.path else ""
        if not call.path.startswith(prefix):
            raise CannotPlace(f"{call.path} is called by a module that it is no part of")
        name = call.path[len(prefix) :]
        try:
            args, kwargs = self._tree(call.args, twin.args), self._tree(call.kwargs, twin.kwargs)
        except _Unknown:
            if {*call.nodes} & self.program.needed:
                raise
            return  # its result is of no use
        node = self.graph.call_module(name, tuple(args), kwargs)
        self.region.modules.add(name)
        self._bind_tree(node, call.result, twin.result)

    def _node(self, node: Node) -> None:
        if node.index in self.pieces:
            self._piece(self.pieces[node.index], node)
            return
        if node.index in self.folded:
            return
        twin = self.program.twin[node.index]
        self._check_birth(node)
        named = {name: self._tree(item, twin.arguments[name]) for name, item in node.arguments.items()}
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
                self.bound[key_of(here)] = _Bound(part, here.geometry, there.geometry)

    def _check_birth(self, node: Node) -> None:
        """A write into memory that came from outside would be missed there."""
        for output in node.outputs:
            if output is not None and output.version > 0:
                first = self.program.tensors.get((output.storage, 0))
                if first is None or first.node is None or first.node.index not in self.inside:
                    raise CannotPlace("it writes into the memory of what it is given", frozenset({node.index}))

    def _tree(self, here: Any, there: Any) -> Any:
        """An argument as the graph has it."""
        if isinstance(here, Value):
            return self._seen(here, there)
        if isinstance(here, (Constant, Fixed)):
            return self._constant(here.tensor, there.tensor)
        if isinstance(here, (list, tuple)):
            items = [self._tree(a, b) for a, b in zip(list(here), list(there), strict=True)]
            return items if isinstance(here, list) else tuple(items)
        if isinstance(here, dict):
            return {key: self._tree(item, there[key]) for key, item in dict(here).items()}
        if isinstance(here, int) and not isinstance(here, bool):
            return self._whole(here, there)
        if type(here) is not type(there) or here != there:
            raise CannotPlace(f"{here!r} is {there!r} at another batch size")
        return here

    def _whole(self, here: int, there: int) -> Any:
        if here == there:
            return here
        slope, rest = divmod(there - here, self.slope)
        if rest or self.batch is None:
            raise CannotPlace(f"{here} is {there} at another batch size, and that is no multiple of it")
        rows = self.batch[0]
        start = here - slope * self.program.rows
        scaled = rows if slope == 1 else self.graph.call_function(operator.mul, (rows, slope))
        return scaled if start == 0 else self.graph.call_function(operator.add, (scaled, start))

    def _constant(self, here: Tensor, there: Tensor) -> fx.Node:
        name = self.named.get(_place(here))
        if name is not None:
            self.region.parameters.add(name)
            return self.graph.get_attr(name)
        turned = self.named.get(_place(here.t())) if here.ndim == 2 else None
        if turned is not None:
            self.region.parameters.add(turned)
            return self.graph.call_function(aten.t.default, (self.graph.get_attr(turned),))
        if here.shape != there.shape or not torch.equal(here, there):
            raise CannotPlace("a tensor that is made on the way is another at another batch size")
        name = f"_constant_{len(self.region.constants)}"
        self.region.constants[name] = here.detach().clone()
        return self.graph.get_attr(name)

    # -- folded pieces ----------------------------------------------------------------------------------------

    def _piece(self, piece: Piece, last: Node) -> None:
        twin = self.program.twin[last.index]
        output, other = last.outputs[0], twin.outputs[0]
        assert output is not None
        assert other is not None
        self._check_birth(last)
        total: fx.Node | None = None
        pending = piece.shift
        # The shift goes to the first layer that has a bias; a scale takes it where there is no such layer.
        ordered = sorted(piece.terms, key=lambda term: (not isinstance(term.map, (Dense, Kernel)), term.key))
        for term in ordered:
            node = self._term(piece, term, pending, other.geometry)
            if not isinstance(term.map, Scale):
                pending = None
            total = node if total is None else self.graph.call_function(aten.add.Tensor, (total, node))
        assert total is not None
        if pending is not None and not isinstance(pending, Lazy):
            total = self.graph.call_function(aten.add.Tensor, (total, pending))
        elif isinstance(pending, Lazy):
            vector = self._vector(piece, pending, len(output.geometry.size))
            total = self.graph.call_function(aten.add.Tensor, (total, vector))
        self.bound[key_of(output)] = _Bound(total, output.geometry, other.geometry)

    def _term(self, piece: Piece, term: Term, shift: Any, twin: Geometry) -> fx.Node:
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
        self.region.names.setdefault(piece.key, []).append(name)
        node = self.graph.call_module(name, (source,))
        if like or isinstance(term.map, Kernel):
            return node
        if axis != len(view.size) - 1 or piece.axis != len(piece.geometry.size) - 1:
            raise CannotPlace("its features lie along another axis at the end than at the beginning", piece.nodes)
        shape = [self._whole(a, b) for a, b in zip(piece.geometry.size, twin.size, strict=True)]
        return self.graph.call_method("reshape", (node, shape))

    def _source(self, piece: Piece, term: Term) -> tuple[fx.Node, Geometry, int]:
        """The tensor that a term acts on, with the features where the result has them, if there is such a view."""
        views = [
            (here, there)
            for node in self.program.nodes
            for here, there in zip(node.values(), self.program.twin[node.index].values(), strict=True)
            if key_of(here) == term.key
        ]
        bound = self.bound.get(term.key)
        if bound is None:
            raise _Unknown("a value of it comes from outside the module's arguments")
        found = [(bound.here, bound.there), *((here.geometry, there.geometry) for here, there in views)]
        if term.axis is not None and piece.axis is not None and not isinstance(term.map, Kernel):
            wanted = feature_key(term.geometry, term.axis)
            for here, there in found:
                if len(here.size) != len(piece.geometry.size) or feature_key(here, piece.axis) != wanted:
                    continue
                if _others(here, piece.axis) == _others(piece.geometry, piece.axis):
                    return self._shown(bound, here, there), here, piece.axis
        for here, there in found:
            if here == term.geometry:
                return self._shown(bound, here, there), here, term.axis or 0
        raise CannotPlace("what enters it is rearranged in between", piece.nodes)

    def _vector(self, piece: Piece, numbers: Lazy, axes: int) -> fx.Node:
        assert piece.axis is not None
        shape = tuple(-1 if i == piece.axis else 1 for i in range(axes))
        name = f"_folded_{len(self.region.vectors)}"
        device = calls_device(self.calls, self.call)
        self.region.vectors[name] = (numbers, shape, piece.geometry.dtype, device)
        return self.graph.get_attr(name)

    def _name(self, piece: Piece) -> str:
        """The name of the first folded layer of that kind, within the module, or one of its own."""
        prefix = f"{self.call.path}." if self.call.path else ""
        for index in sorted(piece.nodes):
            call = self.calls.innermost.get(index)
            if call is None or not call.path.startswith(prefix) or call is self.call:
                continue
            name = call.path[len(prefix) :]
            layer = isinstance(self.calls.modules[call.path], PRODUCTS)
            free = name not in self.region.layers and not self.calls.reads_from_outside(call.path)
            if layer and free and self.calls.counts[call.path] == 1:
                return name
        return f"folded_{len(self.region.layers)}"

    # -- views ------------------------------------------------------------------------------------------------

    def _seen(self, here: Value, there: Value) -> fx.Node:
        bound = self.bound.get(key_of(here))
        if bound is None:
            raise _Unknown("a value of it comes from outside the module's arguments")
        return self._shown(bound, here.geometry, there.geometry)

    def _shown(self, bound: _Bound, here: Geometry, there: Geometry) -> fx.Node:
        same = (bound.here, bound.there) == (here, there)
        return bound.node if same else self._view(bound, here, there)

    def _view(self, bound: _Bound, here: Geometry, there: Geometry) -> fx.Node:
        steps = _steps(bound.here, here)
        if steps is not None and _steps(bound.there, there) is not None:
            before, _, after = steps
            other = _steps(bound.there, there)
            assert other is not None
            if before == other[0] and after == other[2]:
                node = bound.node
                if before is not None:
                    node = self.graph.call_function(aten.permute.default, (node, list(before)))
                shape = [self._whole(a, b) for a, b in zip(steps[1], other[1], strict=True)]
                node = self.graph.call_method("reshape", (node, shape))
                return node if after is None else self.graph.call_function(aten.permute.default, (node, list(after)))
        cut = _cut(bound.here, here)
        if cut is not None and cut == _cut(bound.there, there):
            axis, start, length = cut
            return self.graph.call_method("narrow", (bound.node, axis, start, length))
        picked = _picked(bound.here, here)
        if picked is not None and picked == _picked(bound.there, there):
            return self.graph.call_function(aten.select.int, (bound.node, *picked))
        raise CannotPlace("a view in it is neither a reshape, nor a permutation, nor a slice")


class _Unknown(CannotPlace):
    pass


_Steps = tuple[tuple[int, ...] | None, tuple[int, ...], tuple[int, ...] | None]


def _others(geometry: Geometry, axis: int) -> tuple[int, ...]:
    return (*geometry.size[:axis], *geometry.size[axis + 1 :])


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return storage_key(tensor), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _steps(base: Geometry, view: Geometry) -> _Steps | None:
    """A permutation, a reshape and a permutation that make the view; None where these do not."""
    if base.offset != view.offset or base.numel != view.numel:
        return None
    orders: list[tuple[int, ...] | None] = [None]
    falling = tuple(sorted(range(len(base.size)), key=lambda i: -base.stride[i]))
    if falling != tuple(range(len(base.size))):
        orders.append(falling)
    turns: list[tuple[int, ...] | None] = [None]
    if len(view.size) <= 6:
        ranked = tuple(sorted(range(len(view.size)), key=lambda i: (-view.stride[i], i)))
        if ranked != tuple(range(len(view.size))):
            turns.append(tuple(ranked.index(i) for i in range(len(view.size))))
    for before, after in itertools.product(orders, turns):
        tensor = torch.empty_strided(base.size, base.stride, device="meta")
        if before is not None:
            tensor = tensor.permute(before)
        shape = tuple(view.size)
        if after is not None:
            inverse = [after.index(i) for i in range(len(after))]
            shape = tuple(view.size[i] for i in inverse)
        try:
            tensor = tensor.view(shape)
        except RuntimeError:
            continue
        if after is not None:
            tensor = tensor.permute(after)
        if all(n == 1 or a == b for n, a, b in zip(view.size, tensor.stride(), view.stride, strict=True)):
            return before, shape, after
    return None


def _cut(base: Geometry, view: Geometry) -> tuple[int, int, int] | None:
    """The axis, start and length of a slice."""
    if len(base.size) != len(view.size) or base.stride != view.stride:
        return None
    axes = [i for i in range(len(base.size)) if base.size[i] != view.size[i]]
    if len(axes) != 1:
        return None
    start, rest = divmod(view.offset - base.offset, base.stride[axes[0]])
    return (axes[0], start, view.size[axes[0]]) if rest == 0 else None


def _picked(base: Geometry, view: Geometry) -> tuple[int, int] | None:
    """The axis and the index of what a select gives."""
    for axis in range(len(base.size)):
        left = (*base.size[:axis], *base.size[axis + 1 :])
        strides = (*base.stride[:axis], *base.stride[axis + 1 :])
        if left == view.size and strides == view.stride:
            index, rest = divmod(view.offset - base.offset, base.stride[axis])
            if rest == 0 and 0 <= index < base.size[axis]:
                return axis, index
    return None


def build(region: Region, target: nn.Module, dtype: torch.dtype | None = None) -> fx.GraphModule:
    """The region as a module, with the submodules of `target`, the module that it takes the place of."""
    parts: dict[str, Any] = {name: target.get_submodule(name) for name in region.modules}
    for name in region.parameters:
        parts[name] = _attribute(target, name)
    trained = any(parameter.requires_grad for parameter in target.parameters())
    for name, layer in region.layers.items():
        parts[name] = layer.make(dtype).train(target.training).requires_grad_(trained)
    for name, (numbers, shape, own, device) in region.vectors.items():
        parts[name] = nn.Buffer(numbers.value.reshape(shape).to(dtype or own).to(device).clone())
    for name, tensor in region.constants.items():
        parts[name] = nn.Buffer(tensor.clone())
    holder = nn.Module()
    for name, part in sorted(parts.items()):
        _put(holder, name, part)
    made = fx.GraphModule(holder, region.graph, class_name=type(target).__name__)
    parts |= {name: target.get_submodule(name) for name in region.unused}
    for name in region.unused:  # a graph keeps only what it uses
        _put(made, name, parts[name])
    kept = {id(child) for part in parts.values() if isinstance(part, nn.Module) for child in part.modules()}
    for part in made.modules():
        if id(part) not in kept:
            part.training = target.training
    return made


def _attribute(module: nn.Module, path: str) -> Any:
    *parents, name = path.split(".")
    return getattr(module.get_submodule(".".join(parents)), name)


def _put(holder: nn.Module, path: str, part: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(holder, parent):
            holder.add_module(parent, nn.Module())
        holder = getattr(holder, parent)
    if isinstance(part, nn.Module):
        holder.add_module(name, part)
    elif isinstance(part, nn.Parameter):
        holder.register_parameter(name, part)
    else:
        holder.register_buffer(name, part)


def put_all(module: nn.Module, parts: Mapping[str, nn.Module]) -> nn.Module:
    """The module with other modules at some paths, wherever the old ones are registered."""
    olds = {id(module.get_submodule(path)): part for path, part in parts.items()}
    if id(module) in olds:
        return olds[id(module)]
    for path, part in list(module.named_modules(remove_duplicate=False)):
        if id(part) in olds:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, olds[id(part)])
    return module
