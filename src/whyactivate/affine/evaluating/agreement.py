"""Do the recorded program and the module give the same outputs? A test, with a coarse tolerance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from whyactivate.affine.evaluating.effort import is_small, require_bearable
from whyactivate.affine.evaluating.rehearsal import rehearse
from whyactivate.affine.evaluating.replay import ExactConstants, Numbers, Replay, needs_balls
from whyactivate.affine.evaluating.rowwise import RowPrograms
from whyactivate.affine.recording import Recordings
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray

_Outputs = Sequence[tuple[Tensor, ...]]
"""What a module returned: its output tensors, for each of several inputs."""

_MOST_COMPARED = 1 << 16
"""How many numbers are compared at once: few enough for what lies between to stay in the cache."""

_OUT_OF_SIGHT = (
    "the module's output is not that of the recorded operations: something that was not seen "
    "(another thread, a library outside PyTorch) takes part, or rounding drowns the result"
)
_TOO_WIDE = (
    "whether the module's output is that of the recorded operations is not known: the bounds of what they give are too "
    "wide, as where numbers are compared that are equal but for rounding"
)
UNDEFINED = (
    "the module's output is not finite (NaN, or infinity) on ordinary inputs: it is no function of all real "
    "numbers, or overflows"
)
_SHY = (
    "the module gives another output when its operations are not being recorded, or when its input lies in memory as "
    "the example does (strides, offset)"
)


def find_mismatch(recordings: Recordings, constants: ExactConstants, alone: RowPrograms | None = None) -> str | None:
    """Where the recorded program and the module give visibly different outputs, in words.

    `UNDEFINED` where some outputs of the module are not finite, and the others are those of the program.
    """
    assert recordings.single is not None
    returned = [output for tape in recordings.pairs[:2] for output in tape.returned]
    words = _find_mismatch(recordings, constants, alone or RowPrograms(recordings.single))
    return words if words or all(bool(torch.isfinite(output).all()) for output in returned) else UNDEFINED


def _find_mismatch(recordings: Recordings, constants: ExactConstants, alone: RowPrograms) -> str | None:
    """Where the recorded program and the module give visibly different outputs on the recorded inputs, in words.

    This is a test: it notices what happened out of sight (another thread, say), not a small difference. Inputs far
    from 0 are left out: what overflows there says nothing.
    """
    pairs, single = recordings.pairs[:2], recordings.single
    assert single is not None
    watched = [tape.returned for tape in pairs]
    claims = {_OUT_OF_SIGHT: watched, _SHY: [watched[0], recordings.unwatched]}
    for words, outputs in claims.items():
        if any([output.shape for output in found] != [output.shape for output in watched[0]] for found in outputs):
            return words
    given = _stacked([tape.given for tape in pairs])
    if alone.includes(pairs[0]):  # so all rows are inputs of one program
        points = _joined(given, single.given)
        together = {words: _joined(_stacked(outputs), single.returned) for words, outputs in claims.items()}
        if _is_plain(single, points, together):
            return None
        return _compare(single, points, together, constants)
    return (
        _compare(pairs[0], given, {words: _stacked(outputs) for words, outputs in claims.items()}, constants)
        or _compare(single, _stacked([single.given]), {_OUT_OF_SIGHT: _stacked([single.returned])}, constants)
    )  # fmt: skip


def _stacked(runs: _Outputs) -> list[Tensor]:
    """For each tensor that one run holds, those of all runs along a new first axis."""
    return [torch.stack(tensors) for tensors in zip(*runs, strict=True)]


def _joined(batches: Sequence[Tensor], row: Sequence[Tensor]) -> list[Tensor]:
    """Batches, shape `[runs, rows, *row]`, and one more row, shape `[1, *row]`: each row a run, `[runs', 1, *row]`."""
    return [
        torch.cat([batch.reshape(-1, 1, *batch.shape[2:]), one[None]]) for batch, one in zip(batches, row, strict=True)
    ]


def _is_plain(tape: Tape, points: Sequence[Tensor], claims: Mapping[str, Sequence[Tensor]]) -> bool:
    """Whether the recorded operations, carried out in float64, give all that is claimed within the tolerance."""
    rehearsed = rehearse(tape, [point.flatten(0, 1) for point in points])
    if rehearsed is None:
        return False
    tolerance = _coarseness(tape) * rehearsed[1]  # of all rows: a small one may drown in underflow alone
    return all(
        _is_near(result, found, tolerance)
        for outputs in claims.values()
        for result, found in zip(rehearsed[0], outputs, strict=True)
    )


def _is_near(result: Tensor, found: Tensor, tolerance: float) -> bool:
    """Whether no two numbers are further apart; a part after the other, so that there is no other copy of all."""
    parts = zip(result.reshape(-1).split(_MOST_COMPARED), found.reshape(-1).split(_MOST_COMPARED), strict=True)
    return all(bool(((one - other).abs_() <= tolerance).all()) for one, other in parts)


def _coarseness(tape: Tape) -> float:
    """How far off, relative to the largest number on the way, an output may be."""
    dtypes = {storage.dtype for storage in tape.storages.values()}
    return max((torch.finfo(dtype).eps for dtype in dtypes if is_real(dtype)), default=0.0) ** 0.5


def _compare(
    tape: Tape, points: Sequence[Tensor], claims: Mapping[str, Sequence[Tensor]], constants: ExactConstants
) -> str | None:
    """The words of the first claim about the outputs at these points that the program refutes."""
    Replay(tape, constants=constants.enclosed).require_formulas()
    require_bearable(tape)
    rough = _Evaluation(
        tape, Replay(tape, constants=constants.enclosed, masked=True), [*map(EnclosureArray.from_points, points)]
    )
    objection = rough.objection(claims)
    balls = needs_balls(tape)
    if not is_small(tape, balls) or (rough.is_known and objection is None):
        return objection
    exact = [*map(ExactArray.from_points, points)]
    inputs: list[Numbers] = [BallArray.from_exact(one) for one in exact] if balls else [*exact]
    fine = _Evaluation(tape, Replay(tape, constants=constants, masked=True), inputs)
    return fine.objection(claims)


class _Evaluation:
    """The program's outputs at several inputs, and how far off a module's may be.

    Of enclosures the midpoints are compared: they are what float64 computes, and good enough for a test, unless they
    are so wide that they refute nothing.
    """

    def __init__(self, tape: Tape, replay: Replay, inputs: Sequence[Numbers]) -> None:
        count = self._count = inputs[0].points
        self._largest = 1e-300
        computed = [output.at_points(count) for output in replay.outputs(inputs, self._see)]
        self._tolerance = _coarseness(tape) * self._largest
        self.is_known = all(bool(one.is_finite().all()) for one in computed if isinstance(one, EnclosureArray))
        self._values = [one.to_float64().reshape(count, -1) for one in computed]
        self._widths = [_width(one).reshape(count, -1) for one in computed]

    def _see(self, numbers: Numbers) -> None:
        """Note how large the numbers on the way become."""
        if numbers.size:
            self._largest = max(self._largest, float(numbers.to_float64().nan_to_num(0.0).abs().max()))

    def objection(self, claims: Mapping[str, Sequence[Tensor]]) -> str | None:
        """The words of the first claim whose outputs are not the program's within the tolerance; None where all are."""
        for words, outputs in claims.items():
            distances = self._distances(outputs)
            if all(bool((one <= self._tolerance).all()) for one in distances):
                continue
            is_refuted = any(
                bool((one > self._tolerance + width).any()) for one, width in zip(distances, self._widths, strict=True)
            )
            return words if is_refuted else _TOO_WIDE
        return None

    def _distances(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        found = [output.double().reshape(self._count, -1) for output in outputs]
        return [
            torch.where(one.isfinite(), (value - one).abs(), 0.0)
            for value, one in zip(self._values, found, strict=True)
        ]


def _width(numbers: Numbers) -> Tensor:
    """How far the true numbers may be from the midpoints; infinite where nothing is known."""
    if isinstance(numbers, ExactArray):
        return torch.zeros(numbers.points, *numbers.shape, dtype=torch.float64)
    return (numbers.upper() - numbers.lower()).nan_to_num(torch.inf)
