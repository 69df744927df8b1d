"""Does the module treat each row of a batch alone, and all alike?"""

from __future__ import annotations

import numpy as np

from whyactivate.affine.recording import PAIR, Recordings
from whyactivate.affine.replay import ExactConstants, Numbers, Part, Replay
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.exact import ExactArray


def mixes_rows(recordings: Recordings, constants: ExactConstants, seed: int = 0) -> str | None:
    """How the program for two rows differs from that for one row, twice; None where it does not.

    The comparison is exact, on a random direction with entries of 30 bits: two different linear maps agree
    on it with a probability below one in a billion. Both programs must be affine.
    """
    single, pair = recordings.single, recordings.pairs[0]
    assert single is not None
    if len(single.outputs) != len(pair.outputs):
        return "another number of outputs for two rows than for one"
    if not all(out.shape and out.shape[0] == PAIR for out in pair.returned):
        return "the output does not have one entry per row of the batch"
    if any(a.numel() * PAIR != b.numel() for a, b in zip(single.returned, pair.returned, strict=True)):
        return "two rows do not give twice the output of one row"

    generator = np.random.default_rng(seed)
    directions = [_random(generator, value.geometry.size) for value in single.inputs]
    zeros = [ExactArray.zeros(1, direction.shape) for direction in directions]

    alone = Replay(single, part=Part.LINEAR, constants=constants).outputs(directions)
    for row in range(PAIR):
        rows = [[zero, zero] for zero in zeros]
        for parts, direction in zip(rows, directions, strict=True):
            parts[row] = direction
        together = Replay(pair, part=Part.LINEAR, constants=constants).outputs(
            [ExactArray.concatenate(parts, 0) for parts in rows]
        )
        for output, reference in zip(together, alone, strict=True):
            assert isinstance(reference, ExactArray)
            if not _row(output, 1 - row).equals(_row(output, 1 - row) * 0):
                return f"row {row} of the batch changes the result of row {1 - row}"
            if not _row(output, row).equals(reference.flatten()):
                return f"row {row} of a batch of {PAIR} is weighted otherwise than a row alone"
    return _compare_constants(single, pair, zeros, constants)


def _compare_constants(single: Tape, pair: Tape, zeros: list[ExactArray], constants: ExactConstants) -> str | None:
    alone = Replay(single, constants=constants).outputs(zeros)
    together = Replay(pair, constants=constants).outputs([ExactArray.concatenate([zero] * PAIR, 0) for zero in zeros])
    for output, reference in zip(together, alone, strict=True):
        assert isinstance(reference, ExactArray)
        for row in range(PAIR):
            if not _row(output, row).equals(reference.flatten()):
                return f"row {row} of a batch of {PAIR} has another constant added than a row alone"
    return None


def _row(output: Numbers, row: int) -> ExactArray:
    assert isinstance(output, ExactArray)
    return output[row].flatten()


def _random(generator: np.random.Generator, shape: tuple[int, ...]) -> ExactArray:
    drawn = generator.integers(1, 1 << 30, size=(1, *shape))
    return ExactArray(drawn.astype(object))
