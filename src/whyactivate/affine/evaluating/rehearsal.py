"""Carries out the operations of a program in float64 on many rows at once, where each of them treats rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import largest_among
from whyactivate.affine.evaluating.lifetimes import last_reads
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.tape import Argument, Constant, Node, Tape, Value

_MOST_WAITING = 1_000_000
"""How many numbers may wait for being looked at together."""


def rehearse(tape: Tape, inputs: Sequence[Tensor]) -> tuple[list[Tensor], float] | None:
    """What PyTorch's own operations give for rows of inputs, float64, shapes `[rows, *row]`.

    The program must be for one row, and `acts_on_each_row` must hold for it: its operations then take any number of
    rows. The result is for tests: rounded, and without any bound.

    Returns:
        the outputs, and the largest number on the way, without its sign; None where a number is not finite, or a
        constant so large that it would not be in the dtype in which the module computes.
    """
    memory = {value.storage: rows.double() for value, rows in zip(tape.inputs, inputs, strict=True)}
    outputs = [output for output in tape.outputs if isinstance(output, Value)]
    freed = last_reads(tape)
    with torch.inference_mode():
        held, waiting, sizes = [*memory.values()], 0, list[float]()
        for node in tape.needed():
            output = node.outputs[0]
            if output is None or not is_real(output.geometry.dtype):
                return None
            operands = _operands(node, output.geometry.dtype, memory)
            if operands is None:
                return None
            found = node.op(**operands)
            result = memory[output.storage] = found if isinstance(found, Tensor) else found[0]
            held.append(result)
            for storage in freed[node.index]:
                memory.pop(storage, None)
            waiting += result.numel()
            if waiting > _MOST_WAITING:
                sizes.append(largest_among(held))
                held, waiting = [], 0
        if held:
            sizes.append(largest_among(held))
        if not all(map(math.isfinite, sizes)):
            return None
        return [_seen(output, memory) for output in outputs], max(sizes, default=0.0)


def _seen(value: Value, memory: Mapping[int, Tensor]) -> Tensor:
    """The rows of a value in its own shape: what is written as rows of one shape may be read as rows of another."""
    rows = memory[value.storage]
    return rows.reshape(len(rows), *value.geometry.size[1:])


def _operands(node: Node, dtype: torch.dtype, memory: Mapping[int, Tensor]) -> dict[str, Argument] | None:
    """What to call the operation with; None where an operand may be rounded to something that is not finite."""
    found: dict[str, Any] = {}
    for name, argument in node.arguments.items():
        if isinstance(argument, Value):
            found[name] = _seen(argument, memory)
        elif isinstance(argument, Constant):
            tensor = argument.read()
            if tensor.dtype != dtype:
                return None
            found[name] = tensor.double()
        elif isinstance(argument, float) and not (math.isfinite(argument) and abs(argument) <= torch.finfo(dtype).max):
            return None
        else:
            found[name] = argument
    return found
