"""Proves, operation by operation, that a program for several rows is the one for one row, used on each.

Two programs are walked along side by side. Where both call the same operation with the same constants, the operation
is one of those that treat rows alone, and each operand holds its rows one after the other, so does the result. What is
not covered here proves nothing, and is compared by carrying both programs out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from whyactivate.affine._torch_compat import place
from whyactivate.affine.tape import Argument, Constant, Geometry, Node, Tape, Value

aten = torch.ops.aten

_Arguments = Mapping[str, Argument]


class RowPrograms:
    """Tells of which programs for several rows it is proved that they are `single`, the one for one row, on each."""

    def __init__(self, single: Tape) -> None:
        self._single = single
        self._found: dict[int, tuple[Tape, bool]] = {}

    def includes(self, tape: Tape) -> bool:
        """True where the program `tape` is proved to be the one for one row, used on each of its rows."""
        known = self._found.get(id(tape))
        if known is None:
            rows = tape.inputs[0].geometry.size[0] if tape.inputs and tape.inputs[0].geometry.size else 0
            known = self._found[id(tape)] = tape, acts_on_each_row(self._single, tape, rows)
        return known[1]


def acts_on_each_row(single: Tape, tape: Tape, rows: int) -> bool:
    """True where the program `tape` for so many rows is proved to be `single`, the one for one row, used on each."""
    nodes, others = single.needed(), tape.needed()
    ends, other_ends = (*single.inputs, *single.outputs), (*tape.inputs, *tape.outputs)
    if len(nodes) != len(others) or len(ends) != len(other_ends) or len(single.inputs) != len(tape.inputs):
        return False
    walk = _Walk(single, tape, rows)
    return all(map(walk.are_rows, ends, other_ends)) and all(map(walk.is_same, nodes, others))


class _Walk:
    """Both programs, side by side."""

    def __init__(self, single: Tape, tape: Tape, rows: int) -> None:
        self._storages, self._other_storages, self._rows = single.storages, tape.storages, rows
        self._known: dict[tuple[int, int], tuple[int, int] | None] = {}  # by identity: programs use each geometry often

    def is_same(self, one: Node, other: Node) -> bool:
        """Whether two nodes are one operation that treats rows alone, on the same constants and corresponding rows."""
        may_act = _BY_ROWS.get(one.op)
        if may_act is None or one.op is not other.op or len(one.arguments) != len(other.arguments):
            return False
        for name, argument in one.arguments.items():
            same = other.arguments.get(name)
            if isinstance(argument, Value):
                if not self.are_rows(argument, same):
                    return False
            elif isinstance(argument, Constant):
                if not (isinstance(same, Constant) and _is_one_place(argument, same)):
                    return False
            elif type(argument) is not type(same) or argument != same:
                return False
        first, *more = one.outputs
        return (
            len(one.outputs) == len(other.outputs)
            and first is not None
            and self.are_rows(first, other.outputs[0])
            and not any(more)
            and not any(other.outputs[1:])
            and may_act(one.arguments, len(first.geometry.size))
        )

    def are_rows(self, one: Value | Constant | None, other: Argument) -> bool:
        """Whether one value is all of its memory and one row, and the other is that memory with so many such rows."""
        if not (isinstance(one, Value) and isinstance(other, Value)):
            return False
        if one.storage != other.storage or one.version != other.version:
            return False
        pair = id(one.geometry), id(other.geometry)
        if pair not in self._known:
            self._known[pair] = self._count(one.geometry, other.geometry)
        counts = self._known[pair]
        return (
            counts is not None
            and self._storages[one.storage].numel == counts[0]
            and self._other_storages[other.storage].numel == counts[1]
        )

    def _count(self, a: Geometry, b: Geometry) -> tuple[int, int] | None:
        """How many numbers one row and all rows hold; None where they are no rows that follow each other."""
        if (
            a.dtype is b.dtype
            and a.size[:1] == (1,)
            and b.size[:1] == (self._rows,)
            and a.size[1:] == b.size[1:]
            and a.offset == b.offset == 0
            and a.is_contiguous
            and b.is_contiguous
        ):
            return a.numel, b.numel
        return None


def _is_one_place(a: Constant, b: Constant) -> bool:
    """Whether two constants are the same unchanged numbers, by the memory in which they lie."""
    x, y = a.tensor, b.tensor
    return x is y or (place(x) == place(y) and a.version == b.version and x.is_neg() == y.is_neg())


def _entrywise(arguments: _Arguments, axes: int) -> bool:
    """The first axis of each operand that depends on the input counts rows; a constant is alike for all of them."""
    return all(
        len(argument.geometry.size) == axes
        if isinstance(argument, Value)
        else not isinstance(argument, Constant) or _is_for_all_rows(argument, axes)
        for argument in arguments.values()
    )


def _is_for_all_rows(constant: Any, axes: int) -> bool:
    if not isinstance(constant, Constant):
        return False
    shape = constant.tensor.shape
    return len(shape) < axes or (len(shape) == axes and shape[0] == 1)


def _rows_times_matrix(rows: str, matrix: str) -> Callable[[_Arguments, int], bool]:
    def holds(arguments: _Arguments, axes: int) -> bool:
        added = arguments.get("self")
        return (
            isinstance(arguments[rows], Value)
            and isinstance(arguments[matrix], Constant)
            and (isinstance(added, Value) or _is_for_all_rows(added, axes))
        )

    return holds


def _channels(arguments: _Arguments, axes: int) -> bool:
    """A batch in which only the input depends on the input, and has an axis of channels after that of rows."""
    others = (argument for name, argument in arguments.items() if name != "input")
    return not any(isinstance(argument, (Value, list)) and _holds_value(argument) for argument in others) and axes > 1


def _holds_value(argument: Any) -> bool:
    return isinstance(argument, Value) or any(isinstance(item, Value) for item in argument)


def _stored_statistics(arguments: _Arguments, axes: int) -> bool:
    return not arguments.get("training") and _channels(arguments, axes)


def _convolved(arguments: _Arguments, axes: int) -> bool:
    """Not an input without an axis of rows, whose first axis counts channels."""
    weight: Any = arguments["weight"]
    return isinstance(weight, Constant) and weight.tensor.ndim == axes and _channels(arguments, axes)


_ENTRYWISE = (
    aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.rsub.Tensor, aten.rsub.Scalar,
    aten.neg.default, aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar, aten.addcmul.default,
    aten.clone.default, aten.relu.default, aten.leaky_relu.default, aten.hardtanh.default, aten.abs.default,
    aten.tanh.default, aten.sigmoid.default, aten.gelu.default, aten.silu.default, aten.elu.default,
    aten.softplus.default, aten.exp.default, aten.square.default,
)  # fmt: skip

_BY_ROWS: dict[Any, Callable[[_Arguments, int], bool]] = {
    **dict.fromkeys(_ENTRYWISE, _entrywise),
    aten.addmm.default: _rows_times_matrix("mat1", "mat2"),
    aten.mm.default: _rows_times_matrix("self", "mat2"),
    aten.native_batch_norm.default: _stored_statistics,
    aten._native_batch_norm_legit_no_training.default: _stored_statistics,
    aten.convolution.default: _convolved,
}
"""The operations that treat rows alone, and for which operands they do."""
