"""Does the module treat each row of a batch alone, and all alike?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whyactivate.affine.recording import FEW, Recordings
from whyactivate.affine.replay import ExactConstants, Replay
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.exact import ExactArray

_MOST_CELLS = 20_000
"""How many numbers a batch may pass through for the comparison, which is exact, not to take long."""


def mixes_rows(recordings: Recordings, constants: ExactConstants, seed: int = 0) -> str | None:
    """How the programs for several rows differ from that for one row, used on each; None where they do not.

    The comparison is exact, on random rows with entries of 30 bits: two different affine maps agree there with a
    probability below one in a billion. All programs must be affine.
    """
    single = recordings.single
    assert single is not None
    generator = np.random.default_rng(seed)
    for tape in (recordings.pairs[0], *recordings.several):
        rows = tape.inputs[0].geometry.size[0]
        if len(tape.outputs) != len(single.outputs):
            return f"another number of outputs for {rows} rows than for one"
        if not all(output.shape and output.shape[0] == rows for output in tape.returned):
            return "the output does not have one entry per row of the batch"
        if any(one.numel() * rows != all_.numel() for one, all_ in zip(single.returned, tape.returned, strict=True)):
            return f"{rows} rows do not give {rows} times the output of one row"
        cells = sum(storage.numel for storage in tape.storages.values())
        if (rows in FEW or cells <= _MOST_CELLS) and (
            reason := _compare(tape, single, rows, constants, generator)
        ) is not None:
            return reason
    return None


def _compare(
    tape: Tape, single: Tape, rows: int, constants: ExactConstants, generator: np.random.Generator
) -> str | None:
    alone = [_random(generator, (rows, *value.geometry.size)) for value in single.inputs]
    expected = _run(single, alone, constants)
    found = _run(tape, [_as_batch(points) for points in alone], constants)
    for row in range(rows):
        if all(b[row].flatten().equals(a.at(row).flatten()) for a, b in zip(expected, found, strict=True)):
            continue
        others = [_random(generator, (rows, *value.geometry.size)) for value in single.inputs]
        for points, other in zip(alone, others, strict=True):
            other.ints[row] = points.ints[row]
        again = _run(tape, [_as_batch(points) for points in others], constants)
        if all(b[row].equals(c[row]) for b, c in zip(found, again, strict=True)):
            return f"row {row} of a batch of {rows} is treated otherwise than a row alone"
        return f"other rows of a batch of {rows} change the result of row {row}"
    return None


def _run(tape: Tape, inputs: Sequence[ExactArray], constants: ExactConstants) -> list[ExactArray]:
    outputs = Replay(tape, constants=constants).outputs(inputs)
    points = inputs[0].points
    return [output.at_points(points) for output in outputs if isinstance(output, ExactArray)]


def _as_batch(points: ExactArray) -> ExactArray:
    """The points, each one row, as the rows of one batch."""
    rows, *row = points.shape
    return ExactArray(points.ints.reshape(1, points.points * rows, *row), points.unit)


def _random(generator: np.random.Generator, shape: tuple[int, ...]) -> ExactArray:
    return ExactArray(generator.integers(1, 1 << 30, size=shape).astype(object))
