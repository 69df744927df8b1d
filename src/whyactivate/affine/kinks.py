"""Pairs of inputs on both sides of a kink, for functions that are affine almost everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from whyactivate.affine.replay import ExactConstants, Memory, Replay
from whyactivate.affine.rules import find_rule
from whyactivate.affine.tape import Node, Tape, Value
from whyactivate.arithmetic.enclosures import EnclosureArray

_ENTRIES = 4
_HALF_WIDTHS = (1.0, 2.0**-8)


def pairs_around_kinks(
    tape: Tape, constants: ExactConstants, start: list[Tensor], direction: list[Tensor]
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Inputs a, b on the line start + t·direction, half-way between which an operand of the program meets a kink.

    Where the program is affine along the line up to that operation, two values of the operand tell where it
    meets the kink; behind other kinks the place is a guess.
    """
    for t in _crossings(tape, constants, start, direction):
        for half in _HALF_WIDTHS:
            lower = [x + (t - half) * d for x, d in zip(start, direction, strict=True)]
            upper = [x + (t + half) * d for x, d in zip(start, direction, strict=True)]
            if all(bool(torch.isfinite(x).all()) for x in (*lower, *upper)):
                yield lower, upper


def _crossings(tape: Tape, constants: ExactConstants, start: list[Tensor], direction: list[Tensor]) -> Iterator[float]:
    replay = Replay(tape, constants=constants.enclosed)
    memory: Memory = {}
    for value, x, d in zip(tape.inputs, start, direction, strict=True):
        memory[value.storage] = EnclosureArray.from_points(torch.stack([x, x + d])).flatten()
    for node in tape.needed():
        operand = node.arguments.get("self")
        if node.reason is not None and isinstance(operand, Value):
            numbers = replay.read(operand, memory)
            if numbers.points > 1:
                at_start, at_end = numbers.flatten().to_float64()
                for kink in _kinks(node):
                    when = (kink - at_start) / (at_end - at_start)
                    when = when[torch.isfinite(when)]
                    yield from when[when.abs().argsort()[:_ENTRIES]].tolist()
        replay.run([node], memory)


def _kinks(node: Node) -> list[float]:
    rule = find_rule(node.op)
    places = [node.arguments.get(kink) if isinstance(kink, str) else kink for kink in rule.kinks] if rule else []
    return [float(place) for place in places if isinstance(place, (int, float))]
