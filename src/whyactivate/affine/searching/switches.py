"""Where the operations of a program are close to the places at which they stop being affine."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from whyactivate.affine.evaluating.replay import ExactConstants, Memory, Replay
from whyactivate.affine.rules import find_rule
from whyactivate.affine.tape import Constant, Node, Tape, Value
from whyactivate.arithmetic.enclosures import EnclosureArray

aten = torch.ops.aten

_MOST_PER_NODE = 256
_MOST_COMPARED = 16
_EQUALITIES = (aten.eq.Scalar, aten.eq.Tensor, aten.ne.Scalar, aten.ne.Tensor)
_BETWEEN_TWO = (aten.maximum.default, aten.minimum.default)


class Switches:
    """Evaluates a program in float64 at many points: its outputs, and how far each operand is from a kink.

    A switch is one entry of an operand of an operation that is not affine, less one of the operation's kinks (0 where
    none are known). All numbers are rounded: they show where to look, and prove nothing.
    """

    def __init__(self, tape: Tape, constants: ExactConstants) -> None:
        self._tape = tape
        self._replay = Replay(tape, constants=constants.enclosed, masked=True)
        self._shapes = [value.geometry.size for value in tape.inputs]
        self.size = sum(prod(shape) for shape in self._shapes)

    def split(self, point: Tensor) -> list[Tensor]:
        """The inputs of the program that a vector of all their numbers stands for."""
        parts = point.split([prod(shape) for shape in self._shapes])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and switches, each shape `[points, …]`, at vectors of shape `[points, size]`."""
        count = len(points)
        memory: Memory = {}
        parts = points.split([prod(shape) for shape in self._shapes], dim=1)
        for value, part in zip(self._tape.inputs, parts, strict=True):
            memory[value.storage] = EnclosureArray.from_points(part)
        switches: list[Tensor] = [points.new_zeros(count, 0)]
        for node in self._tape.needed():
            if node.reason is not None:
                switches += self._of_node(node, memory, count)
            self._replay.run([node], memory)
        outputs = [
            self._replay.read(value, memory).at_points(count).to_float64().reshape(count, -1)
            for value in self._tape.outputs
        ]
        return torch.cat(outputs, dim=1), torch.cat(switches, dim=1)

    def _of_node(self, node: Node, memory: Memory, count: int) -> list[Tensor]:
        operand, other = node.arguments.get("self"), node.arguments.get("other")
        if not isinstance(operand, (Value, Constant)):
            return []
        numbers = self._numbers(operand, memory, count)
        if node.op in _BETWEEN_TWO and isinstance(other, (Value, Constant)):
            kinks: Sequence[Tensor] = [self._numbers(other, memory, count)]
        else:
            kinks = [place[None] for place in _kinks(node)] or [torch.zeros(1, dtype=torch.float64, device="cpu")]
        return [_thinned(_difference(numbers, kink).reshape(count, -1)) for kink in kinks]

    def _numbers(self, operand: Value | Constant, memory: Memory, count: int) -> Tensor:
        return self._replay.read(operand, memory).at_points(count).to_float64()


def compared_with(tape: Tape) -> list[float]:
    """The numbers of which the operations of a program ask whether something is equal to them."""
    found: dict[float, None] = {}
    for node in tape.needed():
        operand, other = node.arguments.get("self"), node.arguments.get("other")
        if node.op in _EQUALITIES and isinstance(operand, Value):
            numbers = other.read() if isinstance(other, Constant) else other
            if isinstance(numbers, (int, float, Tensor)):
                as_taken = torch.as_tensor(numbers).to(operand.geometry.dtype).double().flatten()[:_MOST_COMPARED]
                found |= dict.fromkeys(as_taken[as_taken.isfinite()].tolist())
    return [*found][:_MOST_COMPARED]


def _kinks(node: Node) -> list[Tensor]:
    rule = find_rule(node.op)
    places = [node.arguments.get(kink) if isinstance(kink, str) else kink for kink in rule.kinks] if rule else []
    found = [place.read().double() if isinstance(place, Constant) else place for place in places]
    return [torch.as_tensor(p, dtype=torch.float64) for p in found if isinstance(p, (int, float, Tensor))]


def _difference(numbers: Tensor, kink: Tensor) -> Tensor:
    """Their difference point by point: what lies behind the first axis, that of the points, broadcasts."""
    ndim = max(numbers.ndim, kink.ndim)
    wide = [one.reshape(len(one), *[1] * (ndim - one.ndim), *one.shape[1:]) for one in (numbers, kink)]
    return wide[0] - wide[1]


def _thinned(switches: Tensor) -> Tensor:
    step = -(-switches.shape[1] // _MOST_PER_NODE)
    return switches[:, :: max(1, step)]
