"""Does the module treat each row of a batch alone, and all alike?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from whyactivate.affine.evaluating.effort import count_work, is_small, require_bearable
from whyactivate.affine.evaluating.replay import ExactConstants, Numbers, Replay
from whyactivate.affine.evaluating.rowwise import RowPrograms
from whyactivate.affine.recording import FEW, Recordings
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray

_MOST_WORK = 1_000_000_000
"""Work, as `count_work` counts it, up to which a batch as large as the example's own is compared in enclosures."""
_CLOSE = 2.0**-20
"""How far apart, relative to the largest, the midpoints of two enclosures that meet may be and count as the same."""


@dataclass(frozen=True, slots=True)
class RowCheck:
    """Whether the rows of a batch are treated each alone and all alike.

    Attributes:
        mixing: how the programs for several rows differ from that for one row, used on each; None where they do not.
        exact: whether that was proved, or compared without rounding, for a few rows at least; otherwise within float64
            enclosures.
    """

    mixing: str | None
    exact: bool = True


def check_rows(
    recordings: Recordings, constants: ExactConstants, seed: int = 0, alone: RowPrograms | None = None
) -> RowCheck:
    """Whether the programs for several rows are that for one row, used on each.

    Where that does not follow from the operations, they are compared on random rows with entries of 30 bits: without
    rounding, two different affine maps agree there
    with a probability below one in a billion; in enclosures, they may differ by what rounding may make of them. All
    programs must be affine.
    """
    single = recordings.single
    assert single is not None
    alone = alone or RowPrograms(single)
    generator = np.random.default_rng(seed)
    found: list[tuple[Tape, int]] = []  # those that must be compared
    for tape in (recordings.pairs[0], *recordings.several):
        rows = tape.inputs[0].geometry.size[0]
        if len(tape.outputs) != len(single.outputs):
            return RowCheck(f"another number of outputs for {rows} rows than for one")
        if not all(output.shape and output.shape[0] == rows for output in tape.returned):
            return RowCheck("the output does not have one entry per row of the batch")
        if any(one.numel() * rows != all_.numel() for one, all_ in zip(single.returned, tape.returned, strict=True)):
            return RowCheck(f"{rows} rows do not give {rows} times the output of one row")
        if alone.includes(tape):
            continue
        if rows in FEW or count_work(tape) <= _MOST_WORK:
            require_bearable(tape)
            found.append((tape, rows))
    small = is_small(single, balls=False)
    for exact in (True, False):
        batches = [
            (tape, rows) for tape, rows in found if (small and (rows in FEW or is_small(tape, balls=False))) is exact
        ]
        if batches and (reason := _Comparison(single, constants, exact, generator).difference(batches)) is not None:
            return RowCheck(reason, exact)
    return RowCheck(None, small or not any(rows in FEW for _, rows in found))


@dataclass(frozen=True)
class _Comparison:
    """Programs for several rows beside the one for one row."""

    single: Tape
    constants: ExactConstants
    exact: bool
    generator: np.random.Generator

    def difference(self, batches: Sequence[tuple[Tape, int]]) -> str | None:
        most = max((rows for _, rows in batches), default=1)
        alone = self._draw(most)
        expected = self._run(self.single, alone)
        for tape, rows in batches:
            found = self._run(tape, [_as_batch(points[:rows]) for points in alone])
            for row in range(rows):
                pairs = zip(found, expected, strict=True)
                if not all(_same(b[row].flatten(), a.at(row).flatten()) for b, a in pairs):
                    return self._explain(tape, rows, row, alone, found)
        return None

    def _explain(self, tape: Tape, rows: int, row: int, alone: Sequence[torch.Tensor], found: Sequence[Numbers]) -> str:
        others = self._draw(rows)
        for points, other in zip(alone, others, strict=True):
            other[row] = points[row]
        again = self._run(tape, [_as_batch(points) for points in others])
        if all(_same(b[row], c[row]) for b, c in zip(found, again, strict=True)):
            return f"row {row} of a batch of {rows} is treated otherwise than a row alone"
        return f"other rows of a batch of {rows} change the result of row {row}"

    def _draw(self, rows: int) -> list[torch.Tensor]:
        """Random rows, each one point of the program for one row."""
        shapes = [(rows, *value.geometry.size) for value in self.single.inputs]
        return [torch.from_numpy(self.generator.integers(1, 1 << 30, size=shape)) for shape in shapes]

    def _run(self, tape: Tape, inputs: Sequence[torch.Tensor]) -> list[Numbers]:
        arithmetic = ExactArray if self.exact else EnclosureArray
        constants = self.constants if self.exact else self.constants.enclosed
        outputs = Replay(tape, constants=constants).outputs([arithmetic.from_points(points) for points in inputs])
        return [output.at_points(len(inputs[0])) for output in outputs]


def _as_batch(points: torch.Tensor) -> torch.Tensor:
    """The points, each one row, as the rows of one batch."""
    count, rows, *row = points.shape
    return points.reshape(1, count * rows, *row)


def _same(a: Numbers, b: Numbers) -> bool:
    """The same numbers; in enclosures, numbers that rounding alone may keep apart."""
    if isinstance(a, ExactArray) and isinstance(b, ExactArray):
        return a.equals(b)
    one, other = EnclosureArray.enclosing(a), EnclosureArray.enclosing(b)
    if one.shape != other.shape or bool((one != other).any()):
        return False
    x, y = one.to_float64(), other.to_float64()
    return not x.numel() or bool(((x - y).abs() <= _CLOSE * x.abs().max()).all())
