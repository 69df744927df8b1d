"""Do the recorded program and the module give the same outputs? A test, with a coarse tolerance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from whyactivate.affine.effort import is_small
from whyactivate.affine.recording import Recordings
from whyactivate.affine.replay import ExactConstants, Numbers, Replay, needs_balls
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray

_Outputs = Sequence[tuple[Tensor, ...]]
"""What a module returned: its output tensors, for each of several inputs."""

_OUT_OF_SIGHT = (
    "the module's output is not that of the recorded operations: something that was not seen "
    "(another thread, a library outside PyTorch) takes part, or rounding drowns the result"
)
_SHY = "the module gives another output when its operations are not being recorded"


def find_mismatch(recordings: Recordings, constants: ExactConstants) -> str | None:
    """Where the recorded program and the module give visibly different outputs on the recorded inputs, in words.

    This is a test: it notices what happened out of sight (another thread, say), not a small difference. Inputs far
    from 0 are left out: what overflows there says nothing.
    """
    pairs, singles = recordings.pairs[:2], recordings.singles[:1]
    watched = [tape.returned for tape in pairs]
    return (
        _compare(pairs, {_OUT_OF_SIGHT: watched, _SHY: [watched[0], recordings.unwatched]}, constants)
        or _compare(singles, {_OUT_OF_SIGHT: [tape.returned for tape in singles]}, constants)
    )  # fmt: skip


def _compare(tapes: Sequence[Tape], claims: dict[str, _Outputs], constants: ExactConstants) -> str | None:
    """The words of the first claim about the outputs that the program, on the inputs of its recordings, refutes."""
    tape = tapes[0]
    for words, outputs in claims.items():
        if any([output.shape for output in found] != [output.shape for output in tape.returned] for found in outputs):
            return words
    Replay(tape, constants=constants.enclosed).require_formulas()
    points = [torch.stack([one.given[i] for one in tapes]) for i in range(len(tape.given))]
    rough = _Evaluation(tape, Replay(tape, constants=constants.enclosed), [*map(EnclosureArray.from_points, points)])
    open_claims = {words: outputs for words, outputs in claims.items() if not rough.agrees(outputs)}
    balls = needs_balls(tape)
    if not is_small(tape, balls) or (rough.is_known and not open_claims):
        return next(iter(open_claims), None)
    exact = [*map(ExactArray.from_points, points)]
    inputs: list[Numbers] = [BallArray.from_exact(one) for one in exact] if balls else [*exact]
    fine = _Evaluation(tape, Replay(tape, constants=constants), inputs)
    return next((words for words, outputs in claims.items() if not fine.agrees(outputs)), None)


class _Evaluation:
    """The program's outputs at several inputs, and how far off a module's may be.

    Of enclosures the midpoints are compared: they are what float64 computes, and good enough for a test.
    """

    def __init__(self, tape: Tape, replay: Replay, inputs: Sequence[Numbers]) -> None:
        count = self._count = inputs[0].points
        memory = replay.memory(inputs)
        held = [numbers.at_points(count).to_float64().reshape(count, -1) for numbers in memory.values() if numbers.size]
        smallest = torch.full((count, 1), 1e-300, dtype=torch.float64, device="cpu")
        largest = torch.cat([smallest, *held], dim=1).abs().amax(dim=1)
        coarsest = max((torch.finfo(s.dtype).eps for s in tape.storages.values() if is_real(s.dtype)), default=0.0)
        self._tolerance = (coarsest**0.5 * largest)[:, None]
        computed = [replay.read(output, memory).at_points(count) for output in tape.outputs]
        self.is_known = all(bool(one.is_finite().all()) for one in computed if isinstance(one, EnclosureArray))
        self._values = [one.to_float64().reshape(count, -1) for one in computed]

    def agrees(self, outputs: _Outputs) -> bool:
        """Whether these outputs are the program's within the tolerance."""
        return all(bool((one <= self._tolerance).all()) for one in self._distances(outputs))

    def _distances(self, outputs: _Outputs) -> list[Tensor]:
        return [
            (value - torch.stack([found[position].double() for found in outputs]).reshape(self._count, -1)).abs()
            for position, value in enumerate(self._values)
        ]
