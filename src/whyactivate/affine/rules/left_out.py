"""Which scores a softmax or a maximum leaves out: those that a mask has made minus infinity, as attention does.

Minus infinity is no real number. Where all that is made of it goes into a softmax, which gives it the weight 0, a
logarithm of a sum of exponentials, or a maximum, the program is one on real numbers all the same: the softmax, the
logarithm, or the maximum, of the other scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyactivate.affine._torch_compat import version
from whyactivate.affine.rules.rule import depends, is_real, shape_of
from whyactivate.affine.tape import Argument, Constant, Node, Tape, Value

aten = torch.ops.aten

_SOFTMAX = (aten._softmax.default, aten._safe_softmax.default)
_LARGEST = (aten.amax.default, aten.max.dim)
_ATTENTION = aten._scaled_dot_product_flash_attention_for_cpu.default
_SUM = aten.logsumexp.default
_LEAVE_OUT = frozenset({*_SOFTMAX, *_LARGEST, _SUM, _ATTENTION})
_FILLS = (aten.masked_fill.Scalar, aten.masked_fill.Tensor)
_SCALES = (aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar)
_COPIES = (aten.clone.default, aten._to_copy.default)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What the softmaxes of a program leave out.

    Attributes:
        scores: for the number of each softmax, or attention, whether each score is left out.
        filled: operands that hold minus infinity, by number of the operation and name, with 0 in its place.
    """

    scores: Mapping[int, Tensor] = field(default_factory=dict[int, Tensor])
    filled: Mapping[tuple[int, str], Argument] = field(default_factory=dict[tuple[int, str], Argument])

    def arguments(self, node: Node) -> Mapping[str, Argument]:
        """What an operation was called with, 0 in place of minus infinity."""
        if not self.filled:
            return node.arguments
        return {name: self.filled.get((node.index, name), argument) for name, argument in node.arguments.items()}


def find_left_out(tape: Tape) -> LeftOut:
    """What the softmaxes of a program leave out; nothing where minus infinity goes anywhere else."""
    if not any(node.op in _LEAVE_OUT for node in tape.needed()):
        return LeftOut()
    search = _Search(tape)
    try:
        for node in tape.needed():
            search.step(node)
        if any(isinstance(output, Value) and bool(search.marks(output).any()) for output in tape.outputs):
            return LeftOut()
    except _GoesElsewhere:
        return LeftOut()
    return LeftOut(search.scores, search.filled)


class _GoesElsewhere(Exception):
    """Minus infinity reaches another operation, or it is all that a softmax takes."""


class _Search:
    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._held: dict[int, Tensor] = {}  # for each storage, which cells are minus infinity
        self.scores: dict[int, Tensor] = {}
        self.filled: dict[tuple[int, str], Argument] = {}

    def step(self, node: Node) -> None:
        """Follow minus infinity through one operation."""
        result = self._result(node)
        for output in node.outputs:
            if output is None or (result is None and output.storage not in self._held):
                continue
            cells = self._cells(output)
            cells.copy_(torch.zeros_like(cells) if result is None else result.expand(output.geometry.size))

    def _result(self, node: Node) -> Tensor | None:
        """Which entries of the result are minus infinity; None where none is."""
        arguments = node.arguments
        marked = {name: marks for name, one in arguments.items() if (marks := self._marks(node, name, one)) is not None}
        if not marked:
            return None
        own = marked.get("self", torch.tensor(False))
        if node.op in _SOFTMAX or node.op in _LARGEST or node.op is _SUM:
            dim: Any = arguments["dim"]
            return self._leave_out(node, own, dim)
        if node.op is _ATTENTION and marked.keys() == {"attn_mask"}:
            query, key = arguments["query"], arguments["key"]
            assert isinstance(query, Value)
            assert isinstance(key, Value)
            shape = (*query.geometry.size[:-1], key.geometry.size[-2])
            return self._leave_out(node, marked["attn_mask"].expand(shape), -1)
        if node.op in _FILLS and isinstance(mask := arguments["mask"], Constant):
            return torch.where(mask.read(), marked.get("value", torch.tensor(False)), own)
        if node.op is aten.where.self and isinstance(condition := arguments["condition"], Constant):
            return torch.where(condition.read(), own, marked.get("other", torch.tensor(False)))
        if node.op is aten.add.Tensor and arguments["alpha"] == 1:
            return own | marked.get("other", torch.tensor(False))
        if node.op in (aten.fill.Scalar, aten.fill.Tensor):
            return marked.get("value")
        if node.op is aten.copy.default:
            return marked.get("src")
        if node.op is aten.index_put.default and not (arguments["accumulate"] or depends(arguments["indices"])):
            return self._put(node, own, marked.get("values", torch.tensor(False)))
        if node.op in _COPIES or (node.op in _SCALES and _is_positive(arguments["other"])):
            return own
        raise _GoesElsewhere

    def _put(self, node: Node, own: Tensor, values: Tensor) -> Tensor:
        indices: Any = node.arguments["indices"]
        places = [index.read() if isinstance(index, Constant) else index for index in indices]
        return aten.index_put.default(own.expand(shape_of(node.arguments["self"])), places, values)

    def _leave_out(self, node: Node, marks: Tensor, dim: Any) -> None:
        if bool(marks.all(dim if marks.ndim and dim != [] else None).any()):
            raise _GoesElsewhere
        self.scores[node.index] = marks

    def _marks(self, node: Node, name: str, argument: Argument) -> Tensor | None:
        """Which entries of an operand are minus infinity; None where none is."""
        if isinstance(argument, Value):
            marks = self.marks(argument)
            return marks if bool(marks.any()) else None
        if isinstance(argument, float) and argument == -np.inf:
            self.filled[node.index, name] = 0.0
            return torch.tensor(True)
        if isinstance(argument, Constant) and is_real(argument.tensor.dtype):
            tensor = argument.read()
            marks = torch.isneginf(tensor)
            if bool(marks.any()):
                filled = tensor.masked_fill(marks, 0.0)
                self.filled[node.index, name] = Constant(filled, version(filled))
                return marks
        return None

    def marks(self, value: Value) -> Tensor:
        """Which entries of a value are minus infinity."""
        if value.storage not in self._held:
            return torch.tensor(False)
        return self._cells(value)

    def _cells(self, value: Value) -> Tensor:
        geometry = value.geometry
        held = self._held.get(value.storage)
        if held is None:
            held = torch.zeros(self._tape.storages[value.storage].numel, dtype=torch.bool, device="cpu")
            self._held[value.storage] = held
        return held.as_strided(geometry.size, geometry.stride, geometry.offset)


def _is_positive(factor: Argument) -> bool:
    if isinstance(factor, Constant):
        return bool((factor.read() > 0).all()) and bool(torch.isfinite(factor.read()).all())
    return isinstance(factor, (int, float)) and 0 < factor < np.inf
