"""The tape: what one run of a module did to the numbers that depend on its input.

A tape is written once, by the tracker, and read by everything else: verdict, blame, steps, proofs.
It holds only operations that touch the input. Memory is followed per storage, so a view is a
geometry and not an operation, and a write in place is a new version of its storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import OpOverload, find_operation, version
from whyactivate.errors import InputError

_Leaf = TypeVar("_Leaf")

Argument = object
"""What a node was called with: a `Value`, a `Constant`, a plain Python value, or a list of these."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the elements of a tensor lie in its storage, counted in elements of `dtype`."""

    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def numel(self) -> int:
        """The number of elements."""
        count = 1
        for extent in self.size:
            count *= extent
        return count

    @property
    def is_contiguous(self) -> bool:
        """True where the elements follow each other in row-major order from the offset on."""
        expected = 1
        for extent, step in zip(reversed(self.size), reversed(self.stride), strict=True):
            if extent != 1 and step != expected:
                return False
            expected *= extent
        return True

    def covers(self, numel: int) -> bool:
        """True where the elements are all of a storage of so many, in the order in which they lie there."""
        return self.offset == 0 and self.numel == numel and self.is_contiguous


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that depends on the input: one version of one storage, seen through one geometry."""

    storage: int
    version: int
    geometry: Geometry
    roots: frozenset[int]


@dataclass(eq=False, slots=True)
class Constant:
    """A tensor that does not depend on the input, by reference.

    Where the module itself goes on to overwrite the tensor, the tracker swaps in a copy made just before.
    """

    tensor: Tensor
    version: int

    def read(self) -> Tensor:
        """The tensor as it was in the recorded run.

        Raises:
            InputError: the tensor has been changed since.
        """
        if version(self.tensor) != self.version:
            raise InputError(
                "a weight or buffer of the module was changed after the module was analysed; "
                "analyse it again to get an answer about the new values"
            )
        return self.tensor.detach()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy counts its own versions.
        return _constant, (self.read(),)


def _constant(tensor: Tensor) -> Constant:
    return Constant(tensor, version(tensor))


@dataclass(frozen=True, slots=True)
class Location:
    """Where an operation was asked for: the module's path, and the nearest line of code outside PyTorch.

    In a traced program that says where its operations came from, as exported ones do, these are the places in the
    module that was traced; `ran_in` is then the path of the module whose code ran.
    """

    module: str = ""
    kind: str = ""
    call: int = 0
    file: str | None = None
    line: int | None = None
    text: str = ""
    ran_in: str | None = None

    @property
    def caller(self) -> str:
        """The path of the module whose code ran."""
        return self.module if self.ran_in is None else self.ran_in

    @property
    def source(self) -> str:
        """`file:line`, or an empty text where no code outside PyTorch took part."""
        return f"{self.file}:{self.line}" if self.file else ""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation on numbers that depend on the input.

    `op` is the functional form of what was called, whatever its spelling (`add_`, `out=`). `outputs` holds a
    Value for each result, None for results that do not depend on the input. `reason` is None where the
    table knows the operation as affine in these operands; otherwise it says why not, and the outputs are
    the root `root`.
    """

    index: int
    op: OpOverload
    arguments: Mapping[str, Argument]
    outputs: tuple[Value | None, ...]
    location: Location
    reason: str | None = None
    root: int | None = None

    def values(self) -> Iterator[Value]:
        """The operands that depend on the input."""
        return iter(_among(self.arguments.values(), Value))

    def constants(self) -> Iterator[Constant]:
        """The tensor operands that do not depend on the input."""
        return iter(_among(self.arguments.values(), Constant))

    def __reduce__(self) -> tuple[Any, ...]:
        # PyTorch's operations cannot be copied or pickled; their names can.
        others = (self.arguments, self.outputs, self.location, self.reason, self.root)
        return _node, (self.index, self.op.name(), *others)


def _node(index: int, name: str, *others: Any) -> Node:
    return Node(index, find_operation(name), *others)


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of memory that came to depend on the input, with what it held before that."""

    numel: int
    dtype: torch.dtype
    initial: Constant | None


_MOST_NAMES = 3


@dataclass(frozen=True)
class Tape:
    """The recorded program, from `inputs` to `outputs`.

    `outputs` has one entry per tensor that the module returned, a Constant where it does not depend on
    the input; `given` and `returned` are the numbers of this very run. `refusal` says what the tracker
    would not follow; where it is not None the tape is not the whole program. `state` names what the
    module changed about itself. Complex numbers stand on it as pairs of reals, along a last axis of two;
    `complex_inputs` and `complex_outputs` tell for each input and output whether it is such pairs;
    `complex_constants` are the complex tensors of which parts stand on it. `reads` counts how often numbers of tensors
    were seen to be read by Python; `asks_sizes` is True where anything was done that tells the size of a tensor.
    """

    inputs: tuple[Value, ...]
    given: tuple[Tensor, ...]
    outputs: tuple[Value | Constant, ...]
    returned: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    storages: Mapping[int, Storage]
    refusal: str | None = None
    refused_at: Location = field(default_factory=Location)
    state: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complex_inputs: tuple[bool, ...] = ()
    complex_outputs: tuple[bool, ...] = ()
    complex_constants: tuple[Constant, ...] = ()
    reads: int = 0
    asks_sizes: bool = False

    @property
    def changed(self) -> str:
        """The names in `state`, the first few of many."""
        first, more = ", ".join(self.state[:_MOST_NAMES]), len(self.state) - _MOST_NAMES
        return f"{first} and {more} more" if more > 0 else first

    def needed(self) -> tuple[Node, ...]:
        """The nodes on which an output may depend, in order."""
        return self._needed

    @cached_property
    def _needed(self) -> tuple[Node, ...]:
        live = {value.storage for value in self.outputs if isinstance(value, Value)}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            for output in node.outputs:
                if output is not None and output.storage in live:
                    kept.append(node)
                    live.update([value.storage for value in node.values()])
                    break
        return tuple(reversed(kept))

    def shares_program_of(self, other: Tape) -> bool:
        """True where nodes, memory and outputs are the very objects of another tape, which was given another input."""
        return self.nodes is other.nodes and self.storages is other.storages and self.outputs is other.outputs

    def for_other_rows(
        self,
        *,
        inputs: tuple[Value, ...],
        outputs: tuple[Value | Constant, ...],
        nodes: tuple[Node, ...],
        storages: Mapping[int, Storage],
    ) -> Tape:
        """The tape of the same operations on a batch of another size, one node for each of this one."""
        tape = replace(self, inputs=inputs, outputs=outputs, nodes=nodes, storages=storages)
        # What depends on what is the same for both, and takes long to find.
        vars(tape)["_needed"] = tuple(nodes[node.index] for node in self._needed)
        vars(tape)["_roots_of_outputs"] = self._roots_of_outputs
        return tape

    def only(self, outputs: Sequence[int]) -> Tape:
        """The tape with some of its outputs alone."""
        told = self.complex_outputs
        return replace(
            self,
            outputs=tuple(self.outputs[one] for one in outputs),
            returned=tuple(self.returned[one] for one in outputs),
            complex_outputs=tuple(told[one] for one in outputs) if told else (),
        )

    def given_another(self, given: tuple[Tensor, ...], returned: tuple[Tensor, ...], state: tuple[str, ...]) -> Tape:
        """The tape of the same program, run on another input."""
        tape = replace(self, given=given, returned=returned, state=state)
        vars(tape)["_needed"] = self._needed
        vars(tape)["_roots_of_outputs"] = self._roots_of_outputs
        return tape

    def check_unchanged(self) -> None:
        """Make sure that the weights and buffers in use are still those that were recorded.

        Raises:
            InputError: one has been changed since.
        """
        for node in self.needed():
            for constant in node.constants():
                constant.read()
        for constant in self.complex_constants:
            constant.read()

    def roots_of_outputs(self) -> frozenset[int]:
        """Every root on which an output depends, directly or through other roots; 0 is the input."""
        return self._roots_of_outputs

    @cached_property
    def _roots_of_outputs(self) -> frozenset[int]:
        found: set[int] = set()
        frontier = {root for value in self.outputs if isinstance(value, Value) for root in value.roots}
        behind = {
            node.root: {root for value in node.values() for root in value.roots}
            for node in self.nodes
            if node.root is not None
        }
        while frontier:
            root = frontier.pop()
            if root not in found:
                found.add(root)
                frontier |= behind.get(root, set())
        return frozenset(found)


def _among(arguments: Iterable[Argument], kind: type[_Leaf]) -> list[_Leaf]:
    found: list[_Leaf] = []
    for argument in arguments:
        if isinstance(argument, kind):
            found.append(argument)
        elif isinstance(argument, (list, tuple)):
            found += _among(cast("list[Argument]", argument), kind)
    return found
