"""Evaluates a tape without rounding or in enclosures: the whole program, or its linear part alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from whyactivate.affine._torch_compat import number_operands, place
from whyactivate.affine.evaluating.lifetimes import last_reads
from whyactivate.affine.rules import Rule, find_rule
from whyactivate.affine.rules.left_out import LeftOut, find_left_out
from whyactivate.affine.rules.rule import CannotEvaluate, NoValue, depends, is_real
from whyactivate.affine.rules.whole import KEEP_WHOLE, in_dtype
from whyactivate.affine.tape import Argument, Constant, Node, Storage, Tape, Value
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import INTEGER_DTYPES
from whyactivate.arithmetic.modular import ModularArray
from whyactivate.arithmetic.points import PointsArray

Numbers = ExactArray | BallArray | EnclosureArray
_Held = TypeVar("_Held", ExactArray, EnclosureArray)


class Constants(Generic[_Held]):
    """Weights and buffers in one arithmetic, each converted once however many tapes refer to it."""

    def __init__(self, arithmetic: type[_Held]) -> None:
        self.arithmetic = arithmetic
        self._known: dict[tuple[object, ...], tuple[torch.Tensor, _Held]] = {}

    def of(self, constant: Constant, dtype: torch.dtype | None = None) -> _Held:
        """The numbers of a constant, rounded to `dtype` where one is given.

        Raises:
            CannotEvaluate: a number is too large for the dtype.
        """
        tensor = constant.read()
        key = (*place(tensor), dtype)
        if key not in self._known:
            rounded = tensor if dtype is None else tensor.to(dtype)
            if not bool(torch.isfinite(rounded).all()):
                raise CannotEvaluate(f"a constant is not finite in {rounded.dtype}")
            self._known[key] = (tensor, self.arithmetic.from_tensor(rounded))  # the tensor keeps its address taken
        return self._known[key][1]


class ExactConstants(Constants[ExactArray]):
    """Weights and buffers as exact numbers."""

    def __init__(self) -> None:
        super().__init__(ExactArray)

    @cached_property
    def enclosed(self) -> Constants[EnclosureArray]:
        """The same weights and buffers for replays in float64 enclosures."""
        return Constants(EnclosureArray)


class Part(StrEnum):
    """What of a program to replay.

    WHOLE: all of it. LINEAR: with every addend that does not depend on the input, and what memory held before,
    counted as zero. MAGNITUDE: with each such addend as a ball around zero, so that on inputs that are balls
    around zero nothing cancels and the radius bounds the sum of the absolute values of all terms.
    """

    WHOLE = "whole"
    LINEAR = "linear"
    MAGNITUDE = "magnitude"


Memory = dict[int, Numbers]
"""The numbers in each storage, in one row."""


@dataclass(frozen=True)
class Replay:
    """Runs the nodes of a tape on other inputs, as operations on real numbers.

    `constants` may be shared between replays of one module; they say in which arithmetic weights are held. Where
    exact numbers meet enclosures, the result is an enclosure. Where `masked` is set, scores that a mask has made minus
    infinity are left out of the softmaxes; elsewhere such a program has no value.
    """

    tape: Tape
    part: Part = Part.WHOLE
    constants: Constants[ExactArray] | Constants[EnclosureArray] = field(default_factory=ExactConstants)
    masked: bool = field(default=False, kw_only=True)

    @cached_property
    def _left_out(self) -> LeftOut:
        return find_left_out(self.tape) if self.masked else LeftOut()

    @cached_property
    def _read(self) -> frozenset[int]:
        """The storages of which anything reads what they hold."""
        values = [value for node in self.tape.needed() for value in node.values()]
        return frozenset(value.storage for value in (*values, *self.tape.outputs) if isinstance(value, Value))

    def _wanted(self, node: Node) -> Container[int]:
        """Which results of a node anything reads; of a single one that goes without saying."""
        if len(node.outputs) == 1:
            return (0,)
        return [place for place, one in enumerate(node.outputs) if one is not None and one.storage in self._read]

    def outputs(self, inputs: Sequence[Numbers], watch: Callable[[Numbers], None] | None = None) -> list[Numbers]:
        """The tape's outputs where its inputs are `inputs`, each in the shape that the module gives it.

        What lies between is forgotten as soon as nothing reads it any more; `watch` is shown all of it.

        Raises:
            CannotEvaluate: an operation on the way has no formula here.
        """
        memory: Memory = {}
        for value, numbers in zip(self.tape.inputs, inputs, strict=True):
            memory[value.storage] = numbers.flatten()
            if watch is not None:
                watch(numbers)
        freed = last_reads(self.tape)
        for node in self.tape.needed():
            self.run([node], memory, watch)
            for storage in freed[node.index]:
                memory.pop(storage, None)  # what has no formula was never there
        return [self.read(output, memory) for output in self.tape.outputs]

    def require_formulas(self) -> None:
        """Raises CannotEvaluate where an operation on the way has no formula, before any work is done."""
        for node in self.tape.needed():
            with _placed_at(node):
                self._rule(node)

    def run(self, nodes: Sequence[Node], memory: Memory, watch: Callable[[Numbers], None] | None = None) -> None:
        """Carry out `nodes` on `memory`; `watch` is shown each result."""
        for node in nodes:
            with _placed_at(node):
                results = self.evaluate(node, memory)
            for output, result in zip(node.outputs, results, strict=False):
                if output is not None:
                    self.write(output, result, memory)
                    if watch is not None:
                        watch(result)

    def _rule(self, node: Node) -> Rule:
        rule = find_rule(node.op)
        if rule is None or rule.formula is None:
            raise CannotEvaluate(f"{node.op} has no formula here")
        first = next((output for output in node.outputs if output is not None), None)
        if first is not None and not (is_real(first.geometry.dtype) or rule.gives_whole or node.op in KEEP_WHOLE):
            raise CannotEvaluate(f"{node.op} gives numbers that are not real ones")
        if self.part is not Part.WHOLE and node.reason is not None:
            raise CannotEvaluate(f"{node.op} has no linear part: {node.reason}")
        return rule

    def evaluate(self, node: Node, memory: Mapping[int, Numbers]) -> Sequence[Numbers]:
        """The results of one node on `memory`, which stays as it is."""
        return [
            result if output is None else in_dtype(result, output.geometry.dtype, output.geometry.dtype)
            for output, result in zip(node.outputs, self._evaluate(node, memory), strict=False)
        ]

    def _evaluate(self, node: Node, memory: Mapping[int, Numbers]) -> Sequence[Numbers]:
        rule = self._rule(node)
        added = rule.constant_terms(node.arguments) if self.part is not Part.WHOLE else frozenset[str]()
        numeric, dtype = number_operands(node.op), _dtype_of(node)
        operands: dict[str, Any] = {}
        places: dict[str, Argument] = {}
        arguments = self._left_out.arguments(node)
        for name in rule.parameters:
            argument = arguments.get(name)
            if name in rule.passive and isinstance(argument, (Value, Constant)):
                operands[name] = self.constants.arithmetic.zeros(1, _shape(argument))
            elif name in rule.selectors and not (name in rule.masks and isinstance(argument, Value)):
                if depends(argument):
                    places[name] = argument
                else:
                    operands[name] = _tensors(argument)
            else:
                own = _WIDER.get(dtype, dtype) if name in rule.wide else dtype
                is_number = name in numeric and not (name in rule.unbounded and argument in _INFINITE)
                operand = self._operand(argument, own if is_number else None, memory)
                operands[name] = self._addend(operand) if name in added else operand
        in_balls = any(isinstance(operand, BallArray) for operand in operands.values())
        if rule.needs_enclosures(node.arguments) or (rule.form is None and in_balls):
            operands = {name: self._enclosed(o) if isinstance(o, ExactArray) else o for name, o in operands.items()}
        scores = self._left_out.scores.get(node.index)
        if not places:
            return rule.value_at(operands, node.arguments, scores, self._wanted(node))
        return self._point_by_point(rule, node, operands, places, memory)

    def _point_by_point(
        self,
        rule: Rule,
        node: Node,
        operands: Mapping[str, Any],
        places: Mapping[str, Argument],
        memory: Mapping[int, Numbers],
    ) -> Sequence[Numbers]:
        """The results of a node whose places depend on the input: points with the same places are taken together."""
        count = max(self.read(value, memory).points for value in node.values())
        alike: dict[tuple[bytes, ...], list[int]] = {}
        indices = {value: _as_whole(self.read(value, memory).at_points(count)) for value in _values_in(places)}
        for point in range(count):
            alike.setdefault(tuple(index[point].numpy().tobytes() for index in indices.values()), []).append(point)

        def at(operand: Any, points: list[int]) -> Any:
            if isinstance(operand, list):
                return [at(item, points) for item in operand]
            return operand.at_points(count).at(points) if isinstance(operand, PointsArray) else operand

        def tensors(argument: Argument, point: int) -> Any:
            if isinstance(argument, Value):
                return indices[argument][point].to(argument.geometry.dtype)
            return [tensors(item, point) for item in argument] if isinstance(argument, list) else _tensors(argument)

        results: list[Sequence[Numbers]] = []
        for points in alike.values():
            own = {name: at(operand, points) for name, operand in operands.items()}
            chosen = {name: tensors(argument, points[0]) for name, argument in places.items()}
            found = rule.value_at({**own, **chosen}, node.arguments)
            results.append([part.at_points(len(points)) for part in found])
        order = np.argsort([point for points in alike.values() for point in points]).tolist()
        return [type(parts[0]).stack_points(parts).at(order) for parts in zip(*results, strict=True)]

    def _enclosed(self, numbers: ExactArray) -> Numbers:
        """Exact numbers as operands of a function that has no exact values."""
        exact = self.constants.arithmetic is ExactArray
        return BallArray.from_exact(numbers) if exact else EnclosureArray.from_exact(numbers)

    def _addend(self, operand: Any) -> Any:
        """A constant addend as it counts in this part of the program."""
        if isinstance(operand, list):
            return [self._addend(item) for item in operand]
        if operand is None:
            return None
        held = isinstance(operand, (ExactArray, BallArray, EnclosureArray))
        numbers = operand if held else ExactArray.from_fraction(operand)
        return ExactArray.zeros(1, numbers.shape) if self.part is Part.LINEAR else around_zero(numbers)

    def _operand(self, argument: Argument, dtype: torch.dtype | None, memory: Mapping[int, Numbers]) -> Any:
        if isinstance(argument, Value):
            return self.read(argument, memory)
        if isinstance(argument, Constant):
            return self.constants.of(argument, dtype)
        if isinstance(argument, list) and any(isinstance(item, (Value, Constant)) for item in argument):
            items = [self._operand(item, dtype, memory) for item in argument]
            if self.part is Part.WHOLE:
                return items
            return [one if depends(item) else self._addend(one) for item, one in zip(argument, items, strict=True)]
        if dtype is not None and isinstance(argument, (int, float)) and not isinstance(argument, bool):
            return _rounded(argument, dtype)
        return argument

    def read(self, output: Value | Constant, memory: Mapping[int, Numbers]) -> Numbers:
        """The numbers of a value as `memory` holds them."""
        if isinstance(output, Constant):
            numbers = self.constants.of(output)
            return numbers if self.part is Part.WHOLE else self._addend(numbers)
        if output.storage not in memory:
            raise NoValue("a side result of an operation has no formula, or no value that PyTorch fixes")
        flat, geometry = memory[output.storage], output.geometry
        if geometry.covers(self.tape.storages[output.storage].numel):
            return flat if flat.shape == geometry.size else flat.reshape(geometry.size)
        return flat.strided(geometry.offset, geometry.size, geometry.stride)

    def write(self, output: Value, result: Numbers, memory: Memory) -> None:
        """Put a result where the node puts it."""
        storage, geometry = self.tape.storages[output.storage], output.geometry
        if result.shape != geometry.size:
            result = result.expand(geometry.size)
        if geometry.covers(storage.numel):
            memory[output.storage] = result if result.ndim == 1 else result.flatten()
            return
        flat = memory.get(output.storage)
        if flat is None:
            flat = self._initial(storage)
        flat, result = _in_one_arithmetic(flat, result)
        memory[output.storage] = flat.with_strided_written(geometry.offset, geometry.size, geometry.stride, result)

    def _initial(self, storage: Storage) -> Numbers:
        if storage.initial is None:
            return self.constants.arithmetic.zeros(1, (storage.numel,))
        # Cells that were never written hold NaN; the verdict has made sure that nobody reads them.
        held = torch.nan_to_num(storage.initial.read(), nan=0.0, posinf=0.0, neginf=0.0)
        numbers = self.constants.arithmetic.from_tensor(held)
        return numbers if self.part is Part.WHOLE else self._addend(numbers)


_MOST_EXACT_DEGREE = 64


def needs_balls(tape: Tape) -> bool:
    """True where balls must do.

    Values on the way are not rational, or polynomials so high that exact ones have too many digits, or coefficients
    are enclosed together with others.
    """
    degrees: dict[int, int] = {}
    for node in tape.needed():
        rule = find_rule(node.op)
        if rule is None:
            continue
        degree = max((degrees.get(value.storage, 1) for value in node.values()), default=1)
        degree *= rule.degree(node.arguments)
        if rule.needs_enclosures(node.arguments) or rule.widens or degree > _MOST_EXACT_DEGREE:
            return True
        for output in node.outputs:
            if output is not None:
                degrees[output.storage] = max(degree, degrees.get(output.storage, 1))
    return False


_INFINITE = (math.inf, -math.inf)


@cache
def _rounded(number: float, dtype: torch.dtype) -> Fraction:
    """A Python number as an operation in `dtype` takes it."""
    rounded = torch.tensor(number, dtype=torch.float64, device="cpu").to(dtype).double().item()
    if not math.isfinite(rounded):
        raise CannotEvaluate(f"the number {number} is not finite in {dtype}")
    return Fraction(rounded)


_WIDER: dict[torch.dtype | None, torch.dtype] = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""In which dtype operations on half precision take their wide operands."""


def _dtype_of(node: Node) -> torch.dtype | None:
    """The dtype in which an operation takes its numbers."""
    output = next((output for output in node.outputs if output is not None), None)
    if output is None:
        return None
    dtype = output.geometry.dtype
    if not is_real(dtype):  # a comparison takes its numbers in the dtype of what it compares
        dtype = next((value.geometry.dtype for value in node.values() if is_real(value.geometry.dtype)), torch.float64)
    return dtype


def _values_in(places: Mapping[str, Argument]) -> list[Value]:
    """What says which numbers go where, and depends on the input."""
    found = [item for place in places.values() for item in (place if isinstance(place, list) else [place])]
    values = [item for item in found if isinstance(item, Value)]
    if any(value.geometry.dtype not in INTEGER_DTYPES for value in values):
        raise CannotEvaluate("what says which numbers go where depends on the input")
    return values


def _as_whole(numbers: Numbers) -> torch.Tensor:
    """An array that holds whole numbers, as a tensor of shape `[points, *shape]`."""
    first = numbers.to_float64() if isinstance(numbers, ExactArray) else numbers.lower().ceil()
    last = first if isinstance(numbers, ExactArray) else numbers.upper().floor()
    if not torch.equal(first, last):
        raise NoValue("an index or a mask depends on the input, and is not known for certain")
    return first.long()


def _tensors(argument: Argument) -> Any:
    """A selector that does not depend on the input, as the tensors, or the plain values, that it is."""
    if isinstance(argument, Constant):
        return argument.read()
    return [_tensors(item) for item in argument] if isinstance(argument, list) else argument


@contextmanager
def _placed_at(node: Node) -> Generator[None]:
    """Where an operation cannot be evaluated, the error says where it was asked for."""
    try:
        yield
    except CannotEvaluate as missing:
        missing.location = missing.location or node.location
        raise


def around_zero(numbers: Numbers) -> BallArray:
    """The smallest balls with centre 0 that hold exact numbers or balls."""
    assert not isinstance(numbers, EnclosureArray)
    return _balls(numbers).around_zero()


def _balls(numbers: ExactArray | BallArray) -> BallArray:
    return numbers if isinstance(numbers, BallArray) else BallArray.from_exact(numbers)


def _in_one_arithmetic(a: Any, b: Any) -> tuple[Any, Any]:
    """Two arrays as they are where they are of one kind, else both as residues or as enclosures."""
    if type(a) is type(b):
        return a, b
    for one, other in ((a, b), (b, a)):
        if isinstance(other, ModularArray) and isinstance(one, ExactArray):
            residues = other.from_exact(one)
            return (residues, other) if one is a else (other, residues)
    if isinstance(a, EnclosureArray) or isinstance(b, EnclosureArray):
        return EnclosureArray.enclosing(a), EnclosureArray.enclosing(b)
    return _balls(a), _balls(b)


def _shape(argument: Value | Constant) -> tuple[int, ...]:
    return argument.geometry.size if isinstance(argument, Value) else tuple(argument.tensor.shape)
