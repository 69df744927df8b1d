"""Cuts an affine program into steps from one vector to the next, and gives the matrix of each, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from whyactivate.affine._torch_compat import short_name
from whyactivate.affine.cancelling.piecewise import find_affine_form
from whyactivate.affine.evaluating.replay import ExactConstants, Memory, Part, Replay
from whyactivate.affine.evaluating.rounding import StepRounding
from whyactivate.affine.rules import find_rule
from whyactivate.affine.tape import Constant, Node, Tape, Value
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError, WhyActivateError

MEMORY_LIMIT = 4 * 2**30
"""Bytes that the exact matrix of a single step may take."""
_BYTES_PER_INTEGER = 64
MEMORY_LIMIT_OF_WEIGHTS = 16 * 2**30
"""Bytes that all steps whose matrices are stored ones may take together."""
_BYTES_PER_WEIGHT = 80
"""As measured: the number, its float64 and its digits, and what a comparison of two such takes for a while."""


class TooLargeError(WhyActivateError):
    """A dense matrix would not fit; the message gives its size."""


@dataclass(frozen=True, slots=True)
class AffineStep:
    """One step of the program: v ↦ weight·v + bias, without rounding.

    Attributes:
        name: path of the layer, or the operation where no layer has a part in it.
        exact_weight: constant of shape `(out, in)`.
        exact_bias: constant of shape `(out,)`; None where nothing is added.
        stored: weight `(out, in)` and bias `(out,)` or None, where PyTorch computes the step as one product with them.
        rounding: bounds how far PyTorch's evaluation of the step may be off.
        algebraic: True where a coefficient came out of a square root and is taken as computed.
    """

    name: str
    exact_weight: ExactArray
    exact_bias: ExactArray | None
    stored: tuple[Tensor, Tensor | None] | None
    rounding: Callable[[Tensor], Tensor]
    algebraic: bool = False


def multiply_steps(tape: Tape, constants: ExactConstants) -> tuple[AffineStep, ...]:
    """The steps whose composition is the program: from its one input, flattened, to its one output, flattened.

    The program is cut wherever all that later operations read lies in one piece of memory. Within a step
    the linear part and the constant part are pushed through separately. A program that is affine only because
    what is not affine in it cancels is one step.

    Raises:
        TooLargeError: the matrix of a step would take more memory than `MEMORY_LIMIT`, or all weights together more
            than `MEMORY_LIMIT_OF_WEIGHTS`.
    """
    require_room_for(sum(constant.tensor.numel() for node in tape.needed() for constant in node.constants()))
    if tape.roots_of_outputs() - {0}:
        return (_whole_program(tape, constants),)
    (start,), (end,) = tape.inputs, tape.outputs
    linear, whole = Replay(tape, Part.LINEAR, constants), Replay(tape, Part.WHOLE, constants)

    def push(replay: Replay, nodes: Sequence[Node], entry: int, exit: int | None, vectors: ExactArray) -> ExactArray:
        memory: Memory = {entry: vectors}
        replay.run(nodes, memory)
        result = replay.read(end, memory).flatten() if exit is None else memory[exit]
        assert isinstance(result, ExactArray)
        return result

    steps: list[AffineStep] = []
    entry = start.storage
    for nodes, exit in _segments(tape):
        size = tape.storages[entry].numel
        if steps and not nodes and isinstance(end, Value) and end.geometry.covers(size):
            break  # the output is what the last step gave, as it lies there
        weight = None if exit is None else _read_off(nodes, entry, tape, constants)
        read_off = weight is not None
        if weight is None:
            _check_memory(size, nodes, tape)
            columns = _identity_points(size) if size else ExactArray.zeros(1, (0,))
            weight = _from_points(push(linear, nodes, entry, exit, columns).at_points(size))
        added = push(whole, nodes, entry, exit, ExactArray.zeros(1, (size,)))
        if nodes or not _is_identity(weight) or not steps:
            steps.append(
                AffineStep(
                    name=_name(nodes, [step.name for step in steps]),
                    exact_weight=weight,
                    exact_bias=added if added.ints.any() else None,
                    stored=_stored(nodes[0], weight) if read_off else None,
                    rounding=StepRounding(
                        tape, nodes, entry, end if exit is None else exit, weight.shape[0], constants
                    ),
                    algebraic=any((rule := find_rule(node.op)) is not None and rule.is_algebraic for node in nodes),
                )
            )
        entry = entry if exit is None else exit
    return tuple(steps)


def require_room_for(weights: int) -> None:
    """Refuses more weights than can be held exactly.

    Raises:
        TooLargeError: they would take more memory than `MEMORY_LIMIT_OF_WEIGHTS`.
    """
    needed = weights * _BYTES_PER_WEIGHT
    if needed > MEMORY_LIMIT_OF_WEIGHTS:
        raise TooLargeError(
            f"exact arithmetic on {weights:,} weights takes about {needed / 2**30:,.1f} GiB, beyond the limit of "
            f"{MEMORY_LIMIT_OF_WEIGHTS / 2**30:g} GiB"
        )


def _whole_program(tape: Tape, constants: ExactConstants) -> AffineStep:
    """The program as one step, by its canonical form; no bound of its rounding is known."""
    form = find_affine_form(tape, constants)
    rules = [find_rule(node.op) for node in tape.needed()]

    def unbounded(magnitude: Tensor) -> Tensor:
        raise CannotProveError("no bound: how rounding acts where kinks or products cancel is not known")

    return AffineStep(
        name=_name(tape.needed(), ()),
        exact_weight=form.weight,
        exact_bias=form.bias if form.bias.ints.any() else None,
        stored=None,
        rounding=unbounded,
        algebraic=any(rule is not None and rule.is_algebraic for rule in rules),
    )


def _segments(tape: Tape) -> Iterator[tuple[tuple[Node, ...], int | None]]:
    """Parts of the program, each with the storage that holds its result; None for the last, up to the output."""
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
    if len(list(node.values())) > 1:  # the input is among the addends, too
        return None
    if not value.geometry.covers(tape.storages[entry].numel) or prod(value.geometry.size[:-1]) != 1:
        return None
    if any(node.arguments.get(scale, 1) != 1 for scale in ("alpha", "beta")):
        return None
    if not output.geometry.covers(tape.storages[output.storage].numel):
        return None
    numbers = constants.of(constant, output.geometry.dtype)
    return numbers if transposed else numbers.swap(0, 1)


def _stored(node: Node, weight: ExactArray) -> tuple[Tensor, Tensor | None] | None:
    """Weight and bias as they lie in memory, in the dtype of the result; None where they are kept otherwise."""
    rule = find_rule(node.op)
    output = node.outputs[0]
    if rule is None or rule.row_product is None or output is None:
        return None
    _, name, transposed = rule.row_product
    matrix = node.arguments[name]
    added = [node.arguments.get(addend) for addend in rule.constant_terms(node.arguments)]
    tensors = [item.read() for item in (matrix, *added) if isinstance(item, Constant)]
    if any(tensor.dtype != output.geometry.dtype for tensor in tensors) or len(tensors) > 2:
        return None
    if len(tensors) == 2 and tensors[1].numel() != weight.shape[0]:
        return None
    return tensors[0] if transposed else tensors[0].T, tensors[1].flatten() if len(tensors) == 2 else None


def _check_memory(size: int, nodes: Sequence[Node], tape: Tape) -> None:
    cells = size * (size + sum(tape.storages[out.storage].numel for node in nodes for out in node.outputs if out))
    needed = cells * _BYTES_PER_INTEGER
    if needed > MEMORY_LIMIT:
        raise TooLargeError(
            f"the exact matrix of the step at {_name(nodes, ())!r} would need about {needed / 2**30:.1f} GiB "
            f"({size} inputs); the limit is {MEMORY_LIMIT / 2**30:g} GiB"
        )


def _identity_points(size: int) -> ExactArray:
    """The basis vectors, one per point."""
    return ExactArray.identity(size).axis_to_points()


def _from_points(columns: ExactArray) -> ExactArray:
    """The matrix whose k-th column is the array at its k-th point."""
    return columns.points_to_axis().transpose()


def _is_identity(weight: ExactArray) -> bool:
    return weight.shape[0] == weight.shape[1] and weight.equals(ExactArray.identity(weight.shape[0]))


def _name(nodes: Sequence[Node], taken: Sequence[str]) -> str:
    """The layers with weights in the step, or the operations where it has none; numbered where used again."""
    weighted = [node for node in nodes if any(True for _ in node.constants()) and node.location.module]
    words = [node.location.module for node in weighted] or [short_name(node.op) for node in nodes]
    name = " + ".join(dict.fromkeys(words)) or "rearrangement"
    if name not in taken:
        return name
    return f"{name} (call {sum(one == name or one.startswith(f'{name} (call') for one in taken) + 1})"
