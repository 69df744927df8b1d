"""The recorded program as tensors, each made once: which operation makes it, and which read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from whyactivate.affine.tape import Argument, Constant, Geometry, Node, Value
from whyactivate.folding.calls import Recorded
from whyactivate.folding.sizes import told_apart

aten = torch.ops.aten

_SUMS = (aten.sum.dim_IntList, aten.mean.dim)

Key = tuple[int, int]
"""A tensor: the number of its storage, and which version of it."""


def key_of(value: Value) -> Key:
    """The tensor that a value shows, whatever the view."""
    return value.storage, value.version


@dataclass
class Made:
    """One tensor of the program.

    Attributes:
        geometry: as the operation that makes it gives it.
        node: that operation; None for an input.
        readers: the operations that read it.
        whole: False where the operation wrote only part of the memory.
    """

    key: Key
    geometry: Geometry
    node: Node | None
    readers: list[Node] = field(default_factory=list)
    whole: bool = True


class Program:
    """The tensors of a recording that its output needs, in order.

    Attributes:
        rows: the batch size.
        dependent: operations whose constants or plain numbers are others at another batch size.
        sized: the modules whose own code does with the batch size what two recordings cannot tell, with what that is.
    """

    def __init__(self, recorded: Recorded, other: Recorded, rows: int) -> None:
        self.recorded, self.other, self.rows = recorded, other, rows
        tape = recorded.tape
        live = {value.storage for value in tape.outputs if isinstance(value, Value)}
        kept: list[Node] = []
        for node in reversed(recorded.nodes):
            if any(output is not None and output.storage in live for output in node.outputs):
                kept.append(node)
                live.update(value.storage for value in node.values())
        self.nodes = tuple(reversed(kept))
        self._by_index = {node.index: node for node in self.nodes}
        self.needed = {*self._by_index}
        self.twin = {a.index: b for a, b in zip(recorded.nodes, other.nodes, strict=True)}
        self.dependent = {node.index for node in self.nodes if not _same_plain(node, self.twin[node.index])}
        self.tensors: dict[Key, Made] = {}
        for value in tape.inputs:
            self.tensors[key_of(value)] = Made(key_of(value), value.geometry, None)
        for node in self.nodes:
            for value in node.values():
                if key_of(value) in self.tensors:
                    self.tensors[key_of(value)].readers.append(node)
            for output in node.outputs:
                if output is not None:
                    whole = output.geometry.numel == tape.storages[output.storage].numel
                    self.tensors[key_of(output)] = Made(key_of(output), output.geometry, node, whole=whole)
        self.sized = told_apart(recorded.asked, other.asked)
        self.outputs = {key_of(value) for value in tape.outputs if isinstance(value, Value)}

    def node(self, index: int) -> Node:
        """The operation of that number."""
        return self._by_index[index]

    def stacking_before(self, node: Node) -> Node | None:
        """The operation that stacks tensors along the axis over which `node` sums; None where there is none."""
        arguments: dict[str, Any] = dict(node.arguments)
        value = arguments.get("self")
        if node.op not in _SUMS or not isinstance(value, Value) or key_of(value) not in self.tensors:
            return None
        made = self.tensors[key_of(value)]
        if made.node is None or made.node.op is not aten.stack.default:
            return None
        count, axis = len(made.geometry.size), made.node.arguments["dim"]
        plain = not arguments["keepdim"] and arguments["dtype"] is None and value.geometry == made.geometry
        alone = len(made.readers) == 1 and made.key not in self.outputs
        along = isinstance(axis, int) and [a % count for a in arguments["dim"] or ()] == [axis % count]
        return made.node if plain and alone and along else None

    def overwritten_before(self, key: Key, index: int) -> bool:
        """True where a tensor's memory holds something else by the time of operation `index`."""
        return any(
            made.node is not None and made.node.index < index
            for (storage, version), made in self.tensors.items()
            if storage == key[0] and version > key[1]
        )


def differ(one: Recorded, other: Recorded) -> str | None:
    """How the programs for two batch sizes differ other than in sizes, in words; None where they do not."""
    if len(one.nodes) != len(other.nodes) or any(
        a.op is not b.op for a, b in zip(one.nodes, other.nodes, strict=False)
    ):
        return "other operations run at another batch size"
    if [call.path for call in one.calls] != [call.path for call in other.calls]:
        return "other modules are called at another batch size"
    for a, b in zip(one.nodes, other.nodes, strict=True):
        if [key_of(v) for v in a.values()] != [key_of(v) for v in b.values()]:
            return f"{a.op} reads other numbers at another batch size"
    return None


def _same_plain(one: Node, other: Node) -> bool:
    return all(_alike(argument, other.arguments.get(name)) for name, argument in one.arguments.items())


def _alike(a: Argument, b: Argument) -> bool:
    if isinstance(a, Value) and isinstance(b, Value):
        return True
    if isinstance(a, Constant) and isinstance(b, Constant):
        return a.tensor.shape == b.tensor.shape and a.tensor.dtype == b.tensor.dtype
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        first: list[Any] = list(a)
        second: list[Any] = list(b)
        return len(first) == len(second) and all(_alike(x, y) for x, y in zip(first, second, strict=True))
    return type(a) is type(b) and a == b


# -- views ------------------------------------------------------------------------------------------------------


def axis_in_view(view: Geometry, base: Geometry, axis: int) -> int | None:
    """Where the features of `base` (its axis `axis`) lie in a view of it that keeps all other entries in order."""
    if view.offset != base.offset or view.numel != base.numel:
        return None
    size, stride, rest = base.size[axis], base.stride[axis], others_joined(base, axis)
    for candidate in _from_the_right(len(view.size)):
        same = view.size[candidate] == size and (size == 1 or view.stride[candidate] == stride)
        if same and others_joined(view, candidate) == rest:
            return candidate
    return None


def axis_behind(view: Geometry, base: Geometry, axis: int) -> int | None:
    """The axis of `base` whose features lie along the axis of a view that keeps all other entries in order."""
    candidates = _from_the_right(len(base.size))
    return next((i for i in candidates if axis_in_view(view, base, i) == axis), None)


def feature_key(geometry: Geometry, axis: int) -> tuple[Any, ...]:
    """The same for two views that hold the same features at the same points, in the same order."""
    size = geometry.size[axis]
    return geometry.offset, size, geometry.stride[axis] if size > 1 else 0, others_joined(geometry, axis)


def _from_the_right(count: int) -> Iterator[int]:
    return iter(range(count - 1, -1, -1))


def others_joined(geometry: Geometry, axis: int) -> tuple[tuple[int, int], ...]:
    """Size and stride of the other axes, neighbours joined where they follow each other."""
    joined: list[tuple[int, int]] = []
    for i, (size, stride) in enumerate(zip(geometry.size, geometry.stride, strict=True)):
        if i == axis or size == 1:
            continue
        if joined and joined[-1][1] == size * stride:
            joined[-1] = (joined[-1][0] * size, stride)
        else:
            joined.append((size, stride))
    return tuple(joined)
