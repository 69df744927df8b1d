"""Cuts an affine program into steps from one vector to the next, and gives the matrix of each, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from whyactivate.affine._torch_compat import short_name
from whyactivate.affine.replay import ExactConstants, Numbers, Replay
from whyactivate.affine.rules import find_rule
from whyactivate.affine.tape import Constant, Node, Tape, Value
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import WhyActivateError

MEMORY_LIMIT = 4 * 2**30
"""Bytes that the exact matrix of a single step may take."""
_BYTES_PER_INTEGER = 64


class TooLargeError(WhyActivateError):
    """A dense matrix would not fit; the message gives its size."""


@dataclass(frozen=True, slots=True)
class AffineStep:
    """One step of the program: v ↦ weight·v + bias, without rounding.

    Attributes:
        name: path of the layer, or the operation where no layer has a part in it.
        exact_weight: constant of shape `(out, in)`.
        exact_bias: constant of shape `(out,)`; None where nothing is added.
        algebraic: True where a coefficient came out of a square root and is taken as computed.
    """

    name: str
    exact_weight: ExactArray
    exact_bias: ExactArray | None
    algebraic: bool = False


def multiply_steps(tape: Tape, constants: ExactConstants) -> tuple[AffineStep, ...]:
    """The steps whose composition is the program: from its one input, flattened, to its one output, flattened.

    The program is cut wherever all that later operations read lies in one piece of memory. Within a step
    the linear part and the constant part are pushed through separately.

    Raises:
        TooLargeError: the matrix of a step would take more memory than `MEMORY_LIMIT`.
    """
    (start,), (end,) = tape.inputs, tape.outputs
    replay_linear = Replay(tape, linear=True, constants=constants)
    replay = Replay(tape, constants=constants)
    if isinstance(end, Constant):
        value = constants.of(end).flatten()
        return (AffineStep("output", ExactArray.zeros(1, (value.size, start.geometry.numel)), value),)

    steps: list[AffineStep] = []
    entry = start.storage
    for nodes, exit_storage in _segments(tape):
        size = tape.storages[entry].numel
        last = exit_storage is None
        weight = None if last else _read_off(nodes, entry, tape, constants)
        if weight is None:
            _check_memory(size, nodes, tape)
            memory: dict[int, Numbers] = {entry: _identity_points(size)}
            replay_linear.run(nodes, memory)
            columns = replay_linear.read(end, memory).flatten() if exit_storage is None else memory[exit_storage]
            assert isinstance(columns, ExactArray)
            weight = _from_points(columns.at_points(size))
        memory = {entry: ExactArray.zeros(1, (size,))}
        replay.run(nodes, memory)
        added = replay.read(end, memory).flatten() if exit_storage is None else memory[exit_storage]
        assert isinstance(added, ExactArray)
        if not (last and not nodes and _is_identity(weight)):
            steps.append(
                AffineStep(
                    _name(nodes, [step.name for step in steps]),
                    weight,
                    added if added.ints.any() else None,
                    any((rule := find_rule(node.op)) is not None and rule.is_algebraic for node in nodes),
                )
            )
        entry = exit_storage if exit_storage is not None else entry
    if not steps:
        steps.append(AffineStep("identity", ExactArray.identity(start.geometry.numel), None))
    return tuple(steps)


def _segments(tape: Tape) -> Iterator[tuple[tuple[Node, ...], int | None]]:
    """Parts of the program, each with the storage that holds its result; None for the last, which ends at the output."""
    nodes = tape.needed()
    born = {value.storage: -1 for value in tape.inputs}
    for i, node in enumerate(nodes):
        for output in node.outputs:
            if output is not None:
                born.setdefault(output.storage, i)
    begin = 0
    for i, (node, later) in enumerate(zip(nodes, _live_after(tape, nodes), strict=True)):
        live = {storage for storage in later if born[storage] <= i}
        output = node.outputs[0]
        if output is not None and live == {output.storage}:
            yield nodes[begin : i + 1], output.storage
            begin = i + 1
    yield nodes[begin:], None


def _live_after(tape: Tape, nodes: Sequence[Node]) -> list[frozenset[int]]:
    """For each node, the storages whose contents after it matter to later operations or to the output."""
    live = {value.storage for value in tape.outputs if isinstance(value, Value)}
    after: list[frozenset[int]] = []
    for node in reversed(nodes):
        after.append(frozenset(live))
        for output in node.outputs:
            if output is not None and output.geometry.numel == tape.storages[output.storage].numel:
                live.discard(output.storage)
        live.update(value.storage for value in node.values())
    return after[::-1]


def _read_off(nodes: Sequence[Node], entry: int, tape: Tape, constants: ExactConstants) -> ExactArray | None:
    """The matrix of a step that is one product of a row with a stored matrix; None for any other step."""
    if len(nodes) != 1:
        return None
    (node,) = nodes
    rule = find_rule(node.op)
    output = node.outputs[0]
    if rule is None or rule.row_product is None or output is None:
        return None
    row, matrix, transposed = rule.row_product
    value, constant = node.arguments.get(row), node.arguments.get(matrix)
    if not isinstance(value, Value) or not isinstance(constant, Constant) or value.storage != entry:
        return None
    whole = tape.storages[entry].numel
    if value.geometry.numel != whole or prod(value.geometry.size[:-1]) != 1 or not value.geometry.is_contiguous:
        return None
    if any(node.arguments.get(scale, 1) != 1 for scale in ("alpha", "beta")):
        return None
    if output.geometry.numel != tape.storages[output.storage].numel or not output.geometry.is_contiguous:
        return None
    numbers = constants.of(constant, output.geometry.dtype)
    return numbers if transposed else numbers.swap(0, 1)


def _check_memory(size: int, nodes: Sequence[Node], tape: Tape) -> None:
    cells = size * (size + sum(tape.storages[out.storage].numel for node in nodes for out in node.outputs if out))
    needed = cells * _BYTES_PER_INTEGER
    if needed > MEMORY_LIMIT:
        raise TooLargeError(
            f"the exact matrix of the step at {_name(nodes, ())!r} would need about {needed / 2**30:.1f} GiB "
            f"({size} inputs); the limit is {MEMORY_LIMIT / 2**30:.0f} GiB. Collapse a smaller part of the module."
        )


def _identity_points(size: int) -> ExactArray:
    """The basis vectors, one per point."""
    return ExactArray(ExactArray.identity(size).ints[0])


def _from_points(columns: ExactArray) -> ExactArray:
    """The matrix whose k-th column is the array at its k-th point."""
    return ExactArray(columns.ints.T[None], columns.unit)


def _is_identity(weight: ExactArray) -> bool:
    return weight.shape[0] == weight.shape[1] and weight.equals(ExactArray.identity(weight.shape[0]))


def _name(nodes: Sequence[Node], taken: Sequence[str]) -> str:
    """The layers with weights in the step, or the operations where it has none; numbered where used again."""
    weighted = [node for node in nodes if any(True for _ in node.constants()) and node.location.module]
    words = [node.location.module for node in weighted] or [short_name(node.op) for node in nodes]
    name = " + ".join(dict.fromkeys(words)) or "output"
    if name not in taken:
        return name
    return f"{name} (call {sum(one == name or one.startswith(f'{name} (call') for one in taken) + 1})"
