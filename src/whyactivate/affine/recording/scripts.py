"""What one recording met, call by call, so that later runs need only see that they meet it again.

Whether a run goes by the script is told from the operations, in order, and from what each was called with: a result of
an earlier operation of the same run, a weight, a tensor of unknown origin with certain numbers in it, or a plain value.
Where all of that is as it was, so is the rest: which memory is written and read, and what depends on the input. That
holds for operations of PyTorch's own alone, which compute nothing but their results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.recording.memory import FollowedMemory
from whyactivate.affine.rules import find_rule
from whyactivate.affine.tape import Node, Tape
from whyactivate.affine.trees import tensors_among

Operand = tuple[int, Any]
"""A number from 0 on: the result with that number; else PLAIN, WEIGHT, STRANGER or SEVERAL, and what goes with it."""
PLAIN, WEIGHT, STRANGER, SEVERAL = -1, -2, -3, -4
_LARGEST_STRANGER = 1 << 16
"""How many numbers a tensor of unknown origin may hold that is compared by its numbers."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operation, with what it was called with and what it left on the tape, if anything."""

    op: compat.OpOverload
    positional: tuple[Operand, ...]
    named: dict[str, Operand]
    node: Node | None


@dataclass(slots=True)
class Script:
    """What a run met.

    Attributes:
        rows: the batch size.
        calls: the operations, in order.
        tape: what was recorded; None as long as the run goes on, and where it cannot be repeated by script.
        outputs: what forward returned.
        dependent: for each result whether its memory came to depend on the input; the inputs are the first results.
        weights: the weights that were used, with the number of writes into each, and where it lies.
        crosses: whether the tape of a batch of another size may be told from a run of that size.
    """

    rows: int
    calls: list[Call] = field(default_factory=list["Call"])
    tape: Tape | None = None
    outputs: tuple[Operand, ...] = ()
    dependent: list[bool] = field(default_factory=list[bool])
    weights: list[tuple[Tensor, int, tuple[Any, ...]]] = field(default_factory=list[Any])
    crosses: bool = True

    def is_same_as(self, other: Script) -> bool:
        """Whether both have come to their end with the same operations."""
        ends = self.tape is not None and other.tape is not None
        return ends and [call.op for call in self.calls] == [call.op for call in other.calls]


class ScriptWriter:
    """Writes the script of a run that is recorded.

    Args:
        script: an empty one.
        memory: the memory of the run.
        weights: the tensors that are known to be put back after each run.
    """

    def __init__(self, script: Script, memory: FollowedMemory, weights: Iterable[Tensor]) -> None:
        self._script, self._memory = script, memory
        self._weights = {id(tensor): tensor for tensor in weights}
        self._numbers: dict[int, int] = {}  # of results, by their identity
        self._results: list[Tensor] = []
        self._places: dict[tuple[Any, ...], int] = {}
        self._placed = 0
        self._strangers: dict[int, tuple[Tensor, Tensor]] = {}
        self._used: dict[int, Tensor] = {}
        self._fails = False

    def give(self, tensor: Tensor) -> None:
        """Note a tensor that the module is given, or that an operation gave."""
        self._fails |= tensor.is_complex()
        self._numbers[id(tensor)] = len(self._results)
        self._results.append(tensor)

    def spoil(self) -> None:
        """Note that something happened after which no later run can be told from the operations alone."""
        self._fails = True

    def add(self, facts: compat.Facts, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, node: Any) -> None:
        """Note an operation that has just been carried out."""
        if self._fails:
            return
        if not facts.is_repeatable or (facts.may_write and not self._writes_own(facts, args, kwargs, node)):
            self._fails = True
            return
        operands = tuple([self._named(operand) for operand in args])
        named = {name: self._named(operand) for name, operand in kwargs.items()} if kwargs else {}
        self._script.calls.append(Call(facts.op, operands, named, node))
        if isinstance(result, Tensor):
            self.give(result)
        else:
            for tensor in tensors_among([result]):
                self.give(tensor)
        if facts.gives_unwritten and any(tensor.numel() for tensor in tensors_among([result])):
            self._fails = True

    def end(self, tape: Tape, outputs: Iterable[Any]) -> None:
        """Note that the run has come to its end."""
        found = tuple(map(self._named, outputs))
        if self._fails:
            return
        script = self._script
        script.outputs, script.tape = found, tape
        script.dependent = [*map(self._memory.depends, self._results)]
        script.weights = [(tensor, compat.version(tensor), compat.place(tensor)) for tensor in self._used.values()]
        script.crosses &= all(storage.initial is None for storage in tape.storages.values())

    def _writes_own(self, facts: compat.Facts, args: tuple[Any, ...], kwargs: dict[str, Any], node: Any) -> bool:
        """Whether all that is written over lies in memory that was made in this run, and is nothing but numbers."""
        rule, operands = find_rule(facts.functional), facts.bind(args, kwargs)
        if facts.hidden_writes(operands) or (rule is not None and rule.is_view):
            return False
        if node is None:
            self._script.crosses = False
        return all(map(self._memory.is_own, tensors_among(operands[name] for name in facts.written)))

    def _named(self, operand: Any) -> Operand:
        if isinstance(operand, Tensor):
            number = self._numbers.get(id(operand))
            return self._met(operand) if number is None else (number, None)
        if isinstance(operand, (list, tuple)):
            return SEVERAL, tuple(map(self._named, cast("list[Any]", operand)))
        return PLAIN, operand

    def _met(self, tensor: Tensor) -> Operand:
        """A tensor that no operation gave, at least not this very object."""
        if tensor is self._weights.get(id(tensor)):
            self._used[id(tensor)] = tensor
            return WEIGHT, tensor
        if self._memory.is_own(tensor):
            for number in range(self._placed, len(self._results)):
                self._places[seen(self._results[number])] = number
            self._placed = len(self._results)
            number = self._places.get(seen(tensor))
            if number is not None and seen(self._results[number]) == seen(tensor):
                return number, None
        elif tensor.numel() <= _LARGEST_STRANGER and compat.is_plain(tensor):
            if id(tensor) not in self._strangers:  # the tensor is kept, so that no other gets its identity
                self._strangers[id(tensor)] = tensor, tensor.detach().clone()
            return STRANGER, self._strangers[id(tensor)][1]
        self._fails = True
        return PLAIN, None


def seen(tensor: Tensor) -> tuple[Any, ...]:
    """Where the numbers of a tensor lie, and how they are read."""
    return (*compat.place(tensor), tensor.is_neg(), tensor.is_conj())
