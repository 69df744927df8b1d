"""A recorded program that is affine but for kinks, followed from a point into given directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from whyactivate.affine.evaluating.replay import ExactConstants, Memory, Part, Replay
from whyactivate.affine.recording import Example, record_all
from whyactivate.affine.rules import Label, find_rule
from whyactivate.affine.rules.rule import CannotEvaluate
from whyactivate.affine.tape import Node, Value
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError, InputError


@dataclass(frozen=True, slots=True)
class Spread:
    """What memory holds at o + Σ tᵢ·dᵢ, as an affine function of t: `start`, and `slopes`, one point per tᵢ."""

    start: Memory
    slopes: Memory


@dataclass(frozen=True)
class Kinks:
    """An operation that is affine between thresholds, for each unit by itself.

    Attributes:
        node: the operation.
        thresholds: where it changes, rising.
        slopes: of each piece, from the left: constants in the shape of the operand.
        offsets: of each piece, likewise.
    """

    node: Node
    operand: Value
    thresholds: tuple[Fraction, ...]
    slopes: tuple[ExactArray, ...]
    offsets: tuple[ExactArray, ...]

    @property
    def units(self) -> int:
        """How many numbers it acts on."""
        return self.operand.geometry.numel


class Program:
    """A module's recorded program for one row; every operation in it affine, or affine between kinks.

    Raises:
        CannotProveError: an operation is neither, or the module was not recorded as one program.
    """

    def __init__(self, module: nn.Module, row: Tensor) -> None:
        if not isinstance(row, Tensor) or not row.is_floating_point():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"expected one input row as a floating tensor without the batch axis; got {row!r}")
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"expected an nn.Module; what came is of type {type(module).__name__}")
        floating = [p.dtype for p in module.parameters() if p.is_floating_point()]
        row = row.to(floating[0]) if floating else row
        recordings = record_all(module, Example.of(row[None]))
        tape = recordings.single
        refusals = [one.refusal for one in recordings.tapes if one.refusal]
        trouble = refusals[0] if refusals else recordings.missing or recordings.disagreement
        if tape is None or trouble:
            trouble = trouble or "it decides on numbers that depend on the input, or does not run on one row"
            raise CannotProveError(f"{type(module).__name__} was not recorded as one program: {trouble}")
        if len(tape.inputs) != 1 or len(tape.outputs) != 1 or not isinstance(tape.outputs[0], Value):
            raise CannotProveError("regions are told for a module with one input and one output that depends on it")
        self.module, self.tape = module, tape
        self.constants = ExactConstants()
        self.whole = Replay(tape, Part.WHOLE, self.constants)
        self.linear = Replay(tape, Part.LINEAR, self.constants)
        self.nodes = tape.needed()
        self.kinks = {node.index: self._kinks(node) for node in self.nodes if node.reason is not None}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input row, the batch axis left out."""
        return tuple(self.tape.inputs[0].geometry.size[1:])

    def begin(self, origin: ExactArray, directions: ExactArray) -> Spread:
        """The program's memory before it runs: the input is the flat `origin` plus multiples of the `directions`."""
        storage = self.tape.inputs[0].storage
        return Spread({storage: origin}, {storage: directions})

    def advance(self, node: Node, spread: Spread) -> Spread:
        """Memory after an affine operation.

        Raises:
            CannotProveError: it cannot be carried out without rounding, as with weights that are not finite.
        """
        start, slopes = dict(spread.start), dict(spread.slopes)
        try:
            self.whole.run([node], start)
            self.linear.run([node], slopes)
        except CannotEvaluate as error:
            raise CannotProveError(f"{node.op}: {error}") from error
        return Spread(start, slopes)

    def operand(self, kinks: Kinks, spread: Spread) -> tuple[ExactArray, ExactArray]:
        """The pre-activations, flat: where t = 0 (one point) and their slopes (one point per tᵢ)."""
        start = self.whole.read(kinks.operand, spread.start).flatten()
        slopes = self.linear.read(kinks.operand, spread.slopes).flatten()
        return cast(ExactArray, start), cast(ExactArray, slopes)

    def bend(self, kinks: Kinks, pieces: Sequence[int], spread: Spread) -> Spread:
        """Memory after the operation, every unit on the piece named for it."""
        size = kinks.operand.geometry.size
        z, dz = (part.reshape(size) for part in self.operand(kinks, spread))
        chosen = np.array(pieces, dtype=np.int64).reshape(1, *size)
        slope, offset = kinks.slopes[0], kinks.offsets[0]
        for piece in range(1, len(kinks.slopes)):
            slope = ExactArray.where(chosen == piece, kinks.slopes[piece], slope)
            offset = ExactArray.where(chosen == piece, kinks.offsets[piece], offset)
        start, slopes = dict(spread.start), dict(spread.slopes)
        output = kinks.node.outputs[0]
        assert output is not None
        self.whole.write(output, z * slope + offset, start)
        self.linear.write(output, dz * slope, slopes)
        return Spread(start, slopes)

    def result(self, spread: Spread) -> tuple[ExactArray, ExactArray]:
        """The output, flat: where t = 0 and its slopes."""
        output = self.tape.outputs[0]
        start, slopes = self.whole.read(output, spread.start), self.linear.read(output, spread.slopes)
        return cast(ExactArray, start.flatten()), cast(ExactArray, slopes.flatten())

    def evaluate(self, row: ExactArray) -> list[Fraction]:
        """The recorded program at one exact flat input, operation by operation, without any regions."""
        result = self.whole.outputs([row.reshape(1, *self.shape)])[0].flatten()
        assert isinstance(result, ExactArray)
        return list(result.to_fractions()[0])

    def _kinks(self, node: Node) -> Kinks:
        rule = find_rule(node.op)
        operands = list(node.values())
        output = node.outputs[0]
        if rule is None or rule.label is not Label.PIECEWISE or rule.power != 1 or not rule.kinks or output is None:
            raise CannotProveError(f"{node.op} is not affine between kinks of one number each, so there are no regions")
        if len(operands) != 1 or node.arguments.get("self") is not operands[0]:
            raise CannotProveError(
                f"{node.op} compares numbers that all depend on the input, which is not followed here"
            )
        (operand,) = operands
        if output.geometry.size != operand.geometry.size:
            raise CannotProveError(f"{node.op} does not act on each number by itself here")
        thresholds: list[Fraction] = []
        for kink in rule.kinks:
            place = node.arguments.get(kink) if isinstance(kink, str) else kink
            if place is None:
                continue
            if not isinstance(place, (int, float)):
                raise CannotProveError(f"{node.op} has a threshold per unit, which is not followed here")
            half = output.geometry.dtype in (torch.float16, torch.bfloat16)
            dtype = torch.float32 if half and kink in rule.wide else output.geometry.dtype
            thresholds.append(Fraction(torch.tensor(place, dtype=torch.float64).to(dtype).double().item()))
        thresholds.sort()
        return self._pieces(node, operand, thresholds)

    def _pieces(self, node: Node, operand: Value, thresholds: list[Fraction]) -> Kinks:
        """Slope and offset of each piece, from values inside it; where two pieces meet they must agree.

        Raises:
            CannotProveError: the operation is not affine on a piece, or it jumps.
        """
        places = sorted(set(thresholds))
        ends = [(places[0] - 4, places[0]), *pairwise(places), (places[-1], places[-1] + 4)]
        slopes: list[ExactArray] = []
        offsets: list[ExactArray] = []
        for low, high in ends:
            step = (high - low) / 4
            left, middle, right = (self._constant(node, operand, low + k * step) for k in (1, 2, 3))
            if not (left + right).equals(middle * 2):
                raise CannotProveError(f"{node.op} is not affine between {float(low):g} and {float(high):g}")
            slopes.append((right - left) * (1 / (2 * step)))
            offsets.append(middle - slopes[-1] * (low + 2 * step))
        for number, place in enumerate(places):
            value = self._constant(node, operand, place)
            if any(not (slopes[k] * place + offsets[k]).equals(value) for k in (number, number + 1)):
                raise CannotProveError(f"{node.op} jumps at {float(place):g}; regions are told for continuous networks")
        return Kinks(node, operand, tuple(places), tuple(slopes), tuple(offsets))

    def _constant(self, node: Node, operand: Value, value: Fraction) -> ExactArray:
        """The operation where every pre-activation is `value`."""
        storage = self.tape.storages[operand.storage]
        filled = ExactArray.zeros(1, (storage.numel,)) + value
        try:
            result = self.whole.evaluate(node, {operand.storage: filled})[0]
        except CannotEvaluate as error:
            raise CannotProveError(f"{node.op}: {error}") from error
        return cast(ExactArray, result.expand(operand.geometry.size))


def exact_row(values: Tensor | Sequence[Fraction]) -> ExactArray:
    """One flat row of exact numbers."""
    if isinstance(values, Tensor):
        return ExactArray.from_tensor(values.detach().cpu().flatten())
    return ExactArray.from_fractions(list(values))
