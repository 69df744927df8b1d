"""Evaluates a tape in exact or ball arithmetic: the whole program, or its linear part alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch

from whyactivate.affine._torch_compat import number_operands, storage_key
from whyactivate.affine.rules import Label, Rule, find_rule
from whyactivate.affine.rules.rule import CannotEvaluate
from whyactivate.affine.tape import Argument, Constant, Geometry, Node, Storage, Tape, Value
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray

Numbers = ExactArray | BallArray


class ExactConstants:
    """Weights and buffers as exact numbers, each converted once however many tapes refer to it."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[torch.Tensor, ExactArray]] = {}

    def of(self, constant: Constant, dtype: torch.dtype | None = None) -> ExactArray:
        """The numbers of a constant, rounded to `dtype` where that is the narrower one."""
        tensor = constant.read()
        key = (storage_key(tensor), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype, dtype)
        if key not in self._known:
            narrowed = tensor
            if dtype is not None and tensor.is_floating_point() and tensor.element_size() > dtype.itemsize:
                narrowed = tensor.to(dtype)
            self._known[key] = (tensor, ExactArray.from_tensor(narrowed))  # the tensor keeps its address taken
        return self._known[key][1]


@dataclass(frozen=True)
class Replay:
    """Runs the nodes of a tape on other inputs, as operations on real numbers.

    With `linear` set, only the linear part is run: every addend that does not depend on the input, and
    what memory held before, counts as zero. `constants` may be shared between replays of one module.
    """

    tape: Tape
    linear: bool = False
    constants: ExactConstants = field(default_factory=ExactConstants)
    _memory: dict[int, Numbers] = field(default_factory=dict, init=False, repr=False)

    def outputs(self, inputs: Sequence[Numbers]) -> list[Numbers]:
        """The tape's outputs where its inputs are `inputs`, each in the shape that the module gives it.

        Raises:
            CannotEvaluate: an operation on the way has no formula here.
        """
        memory = self._memory
        memory.clear()
        for value, numbers in zip(self.tape.inputs, inputs, strict=True):
            memory[value.storage] = numbers.flatten()
        self.run(self.tape.needed(), memory)
        return [self.read(output, memory) for output in self.tape.outputs]

    def largest(self) -> float:
        """The largest magnitude among the numbers of the last run, roughly."""
        return max(
            (float(numbers.to_float64().abs().max()) for numbers in self._memory.values() if numbers.size), default=0.0
        )

    def run(self, nodes: Sequence[Node], memory: dict[int, Numbers]) -> None:
        """Carry out `nodes` on `memory`, which maps each storage to its numbers in one row."""
        for node in nodes:
            results = self._evaluate(node, memory)
            for output, result in zip(node.outputs, results, strict=False):
                if output is not None:
                    self._write(output, result, memory)

    def _evaluate(self, node: Node, memory: Mapping[int, Numbers]) -> Sequence[Numbers]:
        rule = find_rule(node.op)
        if rule is None or rule.formula is None:
            raise CannotEvaluate(f"{node.op} has no formula here")
        if self.linear and node.reason is not None:
            raise CannotEvaluate(f"{node.op} has no linear part: {node.reason}")
        zeros = rule.constant_terms(node.arguments) if self.linear else frozenset[str]()
        dtype = _dtype_of_numbers(node, rule)
        numeric = number_operands(node.op)
        operands: dict[str, Any] = {}
        for name in rule.parameters:
            argument = node.arguments.get(name)
            if name in rule.passive and isinstance(argument, (Value, Constant)):
                operands[name] = ExactArray.zeros(1, _shape(argument))
            else:
                operand = self._operand(argument, dtype if name in numeric else None, memory)
                operands[name] = _zero_like(operand) if name in zeros else operand
        result = rule.formula(**operands)
        return result if isinstance(result, tuple) else (result,)

    def _operand(self, argument: Argument, dtype: torch.dtype | None, memory: Mapping[int, Numbers]) -> Any:
        if isinstance(argument, Value):
            return self.read(argument, memory)
        if isinstance(argument, Constant):
            return self.constants.of(argument, dtype)
        if isinstance(argument, list) and any(isinstance(item, (Value, Constant)) for item in argument):
            return [self._operand(item, dtype, memory) for item in argument]
        if dtype is not None and isinstance(argument, (int, float)) and not isinstance(argument, bool):
            return Fraction(torch.tensor(argument, dtype=dtype).double().item())
        return argument

    def read(self, output: Value | Constant, memory: Mapping[int, Numbers]) -> Numbers:
        """The numbers of a value as `memory` holds them."""
        if isinstance(output, Constant):
            numbers = self.constants.of(output)
            return _zero_like(numbers) if self.linear else numbers
        flat, geometry = memory[output.storage], output.geometry
        if _is_whole(geometry, self.tape.storages[output.storage]):
            return flat.reshape(geometry.size)
        return flat.strided(geometry.offset, geometry.size, geometry.stride)

    def _write(self, output: Value, result: Numbers, memory: dict[int, Numbers]) -> None:
        storage, geometry = self.tape.storages[output.storage], output.geometry
        result = result.expand(geometry.size)
        if _is_whole(geometry, storage):
            memory[output.storage] = result.flatten()
            return
        flat = memory.get(output.storage)
        if flat is None:
            flat = self._initial(storage)
        where = (geometry.offset, geometry.size, geometry.stride)
        if isinstance(flat, ExactArray) and isinstance(result, ExactArray):
            memory[output.storage] = flat.with_strided_written(*where, result)
        else:
            memory[output.storage] = _balls(flat).with_strided_written(*where, _balls(result))

    def _initial(self, storage: Storage) -> ExactArray:
        if storage.initial is None or self.linear:
            return ExactArray.zeros(1, (storage.numel,))
        # Cells that were never written hold NaN; the verdict has made sure that nobody reads them.
        return ExactArray.from_tensor(torch.nan_to_num(storage.initial.read(), nan=0.0, posinf=0.0, neginf=0.0))


def needs_balls(tape: Tape) -> bool:
    """True where the program has an operation on its way whose values are not rational."""
    for node in tape.needed():
        rule = find_rule(node.op)
        if rule is not None and (
            rule.label is Label.SMOOTH or (node.reason is not None and node.op is torch.ops.aten.div.Tensor)
        ):
            return True
    return False


def _dtype_of_numbers(node: Node, rule: Rule) -> torch.dtype | None:
    """The dtype in which an operation takes plain numbers and wider constants."""
    output = next((output for output in node.outputs if output is not None), None)
    if output is None:
        return None
    dtype = output.geometry.dtype
    half = dtype in (torch.float16, torch.bfloat16)
    return torch.float32 if half and not rule.stores else dtype


def _balls(numbers: Numbers) -> BallArray:
    return numbers if isinstance(numbers, BallArray) else BallArray.from_exact(numbers)


def _is_whole(geometry: Geometry, storage: Storage) -> bool:
    return geometry.offset == 0 and geometry.numel == storage.numel and geometry.is_contiguous


def _shape(argument: Value | Constant) -> tuple[int, ...]:
    return argument.geometry.size if isinstance(argument, Value) else tuple(argument.tensor.shape)


def _zero_like(operand: Any) -> Any:
    if isinstance(operand, list):
        return [_zero_like(item) for item in operand]
    if isinstance(operand, (ExactArray, BallArray)):
        return ExactArray.zeros(1, operand.shape)
    return operand if operand is None else 0
