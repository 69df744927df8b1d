"""What the values of a recorded program are called in a torch.fx graph, and how views and sizes are written there.

The program was recorded at two batch sizes; a whole number that is not the same in both becomes a·B + c, where B is
read off an input's shape when the graph runs.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from whyactivate.affine._torch_compat import check_in_graph, storage_key
from whyactivate.affine.tape import Constant, Geometry, Value
from whyactivate.folding.calls import Fixed
from whyactivate.folding.program import Key, Program, key_of
from whyactivate.folding.replacing import CannotPlace
from whyactivate.folding.views import Block, block, cut, picked, steps

aten = torch.ops.aten


class Unknown(CannotPlace):
    """A value comes from outside the graph."""


@dataclass(frozen=True)
class Bound:
    """A tensor as a node of the graph, with its geometry at both batch sizes."""

    node: fx.Node
    here: Geometry
    there: Geometry


class Scope:
    """The values that a graph has so far, and how to write others in terms of them.

    Args:
        module: the module whose forward becomes the graph.
        program: what was recorded, at two batch sizes.

    Attributes:
        graph: the graph.
        constants: tensors made on the way, by the names that the graph has for them.
        parameters: tensors of the module that the graph reads, by path.
        checks: what makes sure that the graph is given tensors of the sizes that it was recorded with.
        sizes: these sizes, in words.
        open: what is right for any sizes that it can be carried out for: some reshapes, the batch size itself, and
            the number of axes.
    """

    def __init__(self, module: nn.Module, program: Program) -> None:
        self.program, self.graph = program, fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self.parameters: set[str] = set()
        self.bound: dict[Key, Bound] = {}
        self.checks: list[fx.Node] = []
        self.sizes: list[str] = []
        self.open: set[fx.Node] = set()
        self._batch: fx.Node | None = None
        self._slope = program.other.tape.inputs[0].geometry.size[0] - program.rows
        tensors = [*module.named_parameters(), *module.named_buffers()]
        self._named = {_place(tensor): name for name, tensor in reversed(tensors)}

    def bind(self, value: Value, node: fx.Node, there: Geometry) -> None:
        """Say which node a value is."""
        self.bound[key_of(value)] = Bound(node, value.geometry, there)

    def bind_tree(self, node: fx.Node, here: Any, there: Any, given: str = "") -> None:
        """Bind the tensors in what a graph node stands for; where it is `given` to the graph, check all else."""
        if isinstance(here, Value):
            self.bind(here, node, there.geometry)
            self._note_batch(node, here.geometry, there.geometry)
            if given:
                self._check_sizes(node, here.geometry.size, there.geometry.size, given)
        elif isinstance(here, (list, tuple)) and here:
            for i, (a, b) in enumerate(zip(list(here), list(there), strict=True)):
                self.bind_tree(self.graph.call_function(operator.getitem, (node, i)), a, b, given)
        elif isinstance(here, dict) and here:
            for key, item in dict(here).items():
                self.bind_tree(self.graph.call_function(operator.getitem, (node, key)), item, there[key], given)
        elif given:
            self._check_given(node, here, there, given)

    def tree(self, here: Any, there: Any) -> Any:
        """An argument as the graph has it."""
        if isinstance(here, Value):
            return self.shown(self.known(key_of(here)), here.geometry, there.geometry)
        if isinstance(here, (Constant, Fixed)):
            return self._constant(here.tensor, there.tensor)
        if isinstance(here, (list, tuple)):
            items = [self.tree(a, b) for a, b in zip(list(here), list(there), strict=True)]
            return kind(*items) if hasattr(kind := _container(here), "_fields") else kind(items)
        if isinstance(here, dict):
            return _container(here)({key: self.tree(item, there[key]) for key, item in dict(here).items()})
        if isinstance(here, int) and not isinstance(here, bool):
            return self.whole(here, there)
        if type(here) is not type(there) or here != there:
            raise CannotPlace(f"{here!r} is {there!r} at another batch size")
        return here

    def whole(self, here: int, there: int) -> Any:
        """A whole number that may grow with the batch."""
        if here == there:
            return here
        slope, rest = divmod(there - here, self._slope)
        if rest or self._batch is None:
            raise CannotPlace(f"{here} is {there} at another batch size, and that is no multiple of it")
        start = here - slope * self.program.rows
        scaled = self._batch if slope == 1 else self.graph.call_function(operator.mul, (self._batch, slope))
        return scaled if start == 0 else self.graph.call_function(operator.add, (scaled, start))

    def known(self, key: Key) -> Bound:
        """The node of a tensor.

        Raises:
            Unknown: the graph has none.
        """
        if key not in self.bound:
            raise Unknown("a value of it comes from outside the module's arguments")
        return self.bound[key]

    def shown(self, bound: Bound, here: Geometry, there: Geometry) -> fx.Node:
        """The node for a view of a tensor."""
        if (bound.here, bound.there) == (here, there):
            return bound.node
        way, other = steps(bound.here, here), steps(bound.there, there)
        if way is not None and other is not None and (way[0], way[2]) == (other[0], other[2]):
            node = bound.node
            if way[0] is not None:
                node = self.graph.call_function(aten.permute.default, (node, list(way[0])))
            shape = [self.whole(a, b) for a, b in zip(way[1], other[1], strict=True)]
            sizes = [[one.size[i] for i in way[0] or range(len(one.size))] for one in (bound.here, bound.there)]
            if sizes != [[*way[1]], [*other[1]]] or 1 in here.size:  # else it only permutes
                node = self.graph.call_method("reshape", (node, shape))
            if (way[0], way[2]) == (None, None) and _is_row_by_row(bound.here, here) and shape[0] is self._batch:
                self.open.add(node)
            return node if way[2] is None else self.graph.call_function(aten.permute.default, (node, list(way[2])))
        slice_ = cut(bound.here, here)
        if slice_ is not None and slice_ == cut(bound.there, there):
            return self.graph.call_method("narrow", (bound.node, *slice_))
        place = picked(bound.here, here)
        if place is not None and place == picked(bound.there, there):
            return self.graph.call_function(aten.select.int, (bound.node, *place))
        part, twin = block(bound.here, here), block(bound.there, there)
        if part is not None and twin is not None and part.is_like(twin):
            return self._shown_block(bound.node, part, twin)
        raise CannotPlace("a view in it is neither a reshape, nor a permutation, nor a slice")

    def _shown_block(self, node: fx.Node, here: Block, there: Block) -> fx.Node:
        shape = [self.whole(a, b) for a, b in zip(here.shape, there.shape, strict=True)]
        node = self.graph.call_method("reshape", (node, shape))
        for (axis, start, a), (_, _, b) in zip(here.slices, there.slices, strict=True):
            node = self.graph.call_method("narrow", (node, axis, start, self.whole(a, b)))
        if here.entry is not None:
            node = self.graph.call_function(aten.select.int, (node, len(shape) - 1, here.entry))
        node = self.graph.call_function(aten.permute.default, (node, list(here.order)))
        if here.spread is None or there.spread is None:
            return node
        size = [self.whole(a, b) for a, b in zip(here.spread, there.spread, strict=True)]
        return self.graph.call_method("expand", (node, size))

    def _check_given(self, node: fx.Node, here: Any, there: Any, given: str) -> None:
        """The graph was recorded for this value, and says so where it is called with another."""
        if isinstance(here, Fixed) and here.tensor.dtype in (torch.int32, torch.int64):
            raise CannotPlace("its forward takes a tensor of whole numbers, and no graph is made of such a forward")
        if not isinstance(here, (type(None), bool, int, float, str, tuple, list, dict)):
            kind = "tensor" if isinstance(here, Fixed) else type(here).__name__
            raise CannotPlace(f"{given} is a {kind} that does not depend on the input")
        if type(here) is not type(there) or here != there:
            raise CannotPlace(f"{given} is another at another batch size")
        if str(node.target).startswith("*"):  # nothing, which torch.fx may hand on as []
            same = self.graph.call_function(operator.not_, (node,))
        else:
            same = self.graph.call_function(operator.is_ if here is None else operator.eq, (node, here))
        words = f"this folded copy was made for {given} = {here!r}; fold the original again for another value"
        self.graph.call_function(check_in_graph, (same, words))

    def _check_sizes(self, node: fx.Node, here: tuple[int, ...], there: tuple[int, ...], given: str) -> None:
        """Whether a tensor has the axes of the recorded one, and its sizes but for those that grow with the batch."""
        fixed = [(axis, a) for axis, (a, b) in enumerate(zip(here, there, strict=True)) if a == b]
        words = f"{given}: {' × '.join(str(a) if a == b else 'any' for a, b in zip(here, there, strict=True))}"
        told = f"this folded copy was made for {words} numbers; fold the original again for other sizes"
        axes = self.graph.call_method("dim", (node,))
        same = self.graph.call_function(operator.eq, (axes, len(here)))
        self.graph.call_function(check_in_graph, (same, told))
        self.open.add(axes)
        for axis, expected in fixed:
            number = self.graph.call_function(aten.sym_size.int, (node, axis))
            same = self.graph.call_function(operator.eq, (number, expected))
            self.checks += [number, same, self.graph.call_function(check_in_graph, (same, told))]
        self.sizes.append(words)

    def _note_batch(self, node: fx.Node, here: Geometry, there: Geometry) -> None:
        for axis, (a, b) in enumerate(zip(here.size, there.size, strict=True)):
            slope, rest = divmod(b - a, self._slope)
            if self._batch is None and slope and not rest and a == slope * self.program.rows:
                size = self.graph.call_method("size", (node, axis))
                self.open.add(size)
                self._batch = size if slope == 1 else self.graph.call_function(operator.floordiv, (size, slope))

    def _constant(self, here: Tensor, there: Tensor) -> fx.Node:
        name = self._named.get(_place(here))
        if name is not None:
            self.parameters.add(name)
            return self.graph.get_attr(name)
        turned = self._named.get(_place(here.t())) if here.ndim == 2 else None
        if turned is not None:
            self.parameters.add(turned)
            return self.graph.call_function(aten.t.default, (self.graph.get_attr(turned),))
        if here.shape != there.shape or not torch.equal(here, there):
            raise CannotPlace("a tensor that is made on the way is another at another batch size")
        name = f"_constant_{len(self.constants)}"
        self.constants[name] = here.detach().clone()
        return self.graph.get_attr(name)


def _container(tree: Any) -> Any:
    """The kind of a list, tuple or dict.

    Raises:
        CannotPlace: a graph cannot make one.
    """
    kind = type(tree)
    if kind not in (list, tuple, dict) and not hasattr(tree, "_fields"):
        raise CannotPlace(f"a {kind.__name__} is passed on, which a graph cannot make")
    return kind


def _is_row_by_row(here: Geometry, view: Geometry) -> bool:
    """Whether a view lays out the numbers of each row of a batch one after the other, as flatten(1) does."""
    return len(view.size) == 2 and len(here.size) > 1 and here.size[1] > 1 and here.size[0] == view.size[0]


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return storage_key(tensor), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
