"""From recordings to a verdict: affine, not affine, or undecided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from whyactivate.affine._torch_compat import OpOverload, storage_key
from whyactivate.affine.analysis import Analysis, Blame, Counterexample, Verdict
from whyactivate.affine.blame import find_blame, find_runs
from whyactivate.affine.cancelling.piecewise import Cancellation, prove_cancellation
from whyactivate.affine.evaluating.agreement import UNDEFINED, find_mismatch
from whyactivate.affine.evaluating.effort import is_small
from whyactivate.affine.evaluating.replay import ExactConstants, Numbers, Replay, needs_balls
from whyactivate.affine.evaluating.rows import RowCheck, check_rows
from whyactivate.affine.evaluating.rowwise import RowPrograms
from whyactivate.affine.garbage import rarely_collected
from whyactivate.affine.recording import Recordings
from whyactivate.affine.recording.finite import find_non_finite
from whyactivate.affine.rules import CannotEvaluate, depends, find_rule
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.searching.counterexample import find_counterexample, find_rare_counterexample
from whyactivate.affine.tape import Constant, Location, Node, Tape, Value
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.floats import INTEGER_DTYPES
from whyactivate.errors import InputError

aten = torch.ops.aten

_TESTED = (
    "tested: the module is that program: the same operations on several inputs of one row and of two rows, "
    "and its outputs are the program's"
)
_WHERE_FINITE = ", where they are finite: on some ordinary inputs they are not (NaN, or infinity)"
_TESTED_ROWS = "; how rows are treated was compared on random rows within float64 enclosures, not exactly"
_ONLY_ENCLOSED = "that could be verified in enclosures (the program is too large for exact arithmetic)"
_CANCELS = (
    "proved: every kink and every product of the recorded program cancels: in canonical form, carried out exactly on "
    "the unknown input, its output is W·x + b"
)


@rarely_collected()
def decide(module: nn.Module, recordings: Recordings) -> Analysis:
    """The analysis that the recordings of a module allow."""
    names = _names(module)
    constants = ExactConstants()
    notes = tuple(dict.fromkeys(note for tape in recordings.tapes for note in tape.notes))

    def conclude(
        verdict: Verdict,
        *,
        per_example: bool = True,
        reason: str | Blame | None = None,
        counterexample: Counterexample | None = None,
        proved: str = "",
        tested: str = "",
        more: tuple[str, ...] = (),
    ) -> Analysis:
        blame = () if verdict is Verdict.AFFINE else _blame(recordings)
        if isinstance(reason, Blame):
            blame = (reason, *(one for one in blame if one != reason))
        elif reason is not None:
            placed = [one for one in blame if one.reason == reason] or [_placed(reason)]
            blame = (*placed, *(one for one in blame if one.reason != reason))
        return Analysis(
            module=type(module).__name__,
            verdict=verdict,
            per_example=per_example,
            blame=blame,
            runs=find_runs(recordings.tapes[0]) if recordings.tapes else (),
            counterexample=counterexample,
            notes=(*notes, *more),
            proved=proved,
            tested=tested,
            recordings=recordings,
        )

    obstacle = _obstacle(recordings, names)
    if obstacle is not None:
        return conclude(Verdict.UNDECIDED, reason=obstacle)

    single = recordings.single
    assert single is not None  # or there would have been an obstacle
    at_fault = any(tape.roots_of_outputs() - {0} for tape in recordings.tapes)
    never = next(filter(None, map(_why_never_affine, recordings.tapes)), None)
    try:
        told = _told(single, constants) if never is not None else range(len(single.outputs))
        if not told:
            return conclude(Verdict.UNDECIDED, reason=never)
        judged = recordings if len(told) == len(single.outputs) else recordings.only(told)
        single = judged.single
        assert single is not None
        alone = RowPrograms(single)
        mismatch = find_mismatch(judged, constants, alone)
        never = never or mismatch
        if mismatch not in (None, UNDEFINED):
            return conclude(Verdict.UNDECIDED, reason=mismatch)
        counterexample = find_counterexample(single, constants) if single.roots_of_outputs() - {0} else None
        if counterexample is None and never is not None:
            counterexample = find_rare_counterexample(single, constants) if single.roots_of_outputs() - {0} else None
            if counterexample is None:
                return conclude(Verdict.UNDECIDED, reason=never)
        unproved = at_fault and counterexample is None
        cancellation = prove_cancellation(recordings, constants) if unproved else Cancellation(None)
        if cancellation.obstacle is not None and single.roots_of_outputs() - {0}:
            counterexample = find_rare_counterexample(single, constants)
        rows = RowCheck(None) if at_fault else check_rows(recordings, constants, alone=alone)
    except (CannotEvaluate, InputError) as missing:
        at = missing.location if isinstance(missing, CannotEvaluate) else None
        reason = _placed(f"the program cannot be evaluated without rounding: {missing}", at)
        return conclude(Verdict.UNDECIDED, reason=reason)

    is_affine = cancellation.obstacle is None if unproved else not at_fault
    if is_affine and recordings.open is not None:
        return conclude(Verdict.UNDECIDED, reason=_placed(recordings.open.words, recordings.open.line))
    if unproved and cancellation.obstacle is None:
        return conclude(
            Verdict.AFFINE,
            per_example=cancellation.mixing is None,
            proved=_CANCELS,
            tested=_TESTED,
            more=(cancellation.mixing,) if cancellation.mixing else (),
        )
    if at_fault:
        if (other := _affine_sizes(recordings)) and counterexample is not None:
            reason = f"it is not affine on one row, but on {other}: the number of rows decides which operations run"
            return conclude(Verdict.UNDECIDED, reason=reason)
        if counterexample is None:
            how = "" if is_small(single, needs_balls(single)) else f" {_ONLY_ENCLOSED}"
            return conclude(
                Verdict.UNDECIDED,
                tested=f"no counterexample was found among random inputs and around kinks{how}; that proves nothing",
                more=(cancellation.obstacle,) if cancellation.obstacle else (),
            )
        return conclude(
            Verdict.NOT_AFFINE,
            counterexample=replace(counterexample, output=told[counterexample.output]),
            proved="proved: the recorded program is not affine, by the counterexample",
            tested=_TESTED + (_WHERE_FINITE if mismatch == UNDEFINED else ""),
        )

    return conclude(
        Verdict.AFFINE,
        per_example=rows.mixing is None,
        proved="proved: every operation of the recorded program is affine in what depends on the input",
        tested=_TESTED if rows.exact else _TESTED + _TESTED_ROWS,
        more=(rows.mixing,) if rows.mixing else (),
    )


def _affine_sizes(recordings: Recordings) -> str:
    """On how many rows a module that is not affine on one row runs nothing but affine operations; empty if on none.

    Empty as well where the module runs others on as many rows as the example has: that is what was asked about.
    """
    affine = {_rows_of(tape): not tape.roots_of_outputs() - {0} for tape in recordings.tapes}
    if not affine.get(recordings.rows, True):
        return ""
    return " and ".join(f"{rows} rows" for rows in sorted(affine) if affine[rows])


def _rows_of(tape: Tape) -> int:
    return tape.inputs[0].geometry.size[0]


def _blame(recordings: Recordings) -> tuple[Blame, ...]:
    return next((blame for tape in recordings.tapes if (blame := find_blame(tape))), ())


def _placed(reason: str, location: Location | None = None) -> Blame:
    at = location or Location()
    return Blame("", at.module, at.source, at.text, reason)


def _obstacle(recordings: Recordings, names: Mapping[int, str]) -> str | Blame | None:
    """What keeps the recordings from being the whole truth about the module, in words."""
    if recordings.missing is not None:
        return recordings.missing
    sound: dict[object, Constant] = {}
    read: list[Tape] = []
    for tape in recordings.tapes:
        if tape.refusal is not None:
            return tape.refusal
        if tape.state:
            return f"the module changes itself while it runs ({tape.changed}), so it is not a function"
        is_known = any(map(tape.shares_program_of, read))
        read.append(tape)
        if not is_known and (unused := _unused_but_telling(tape)) is not None:
            return unused
        if not tape.outputs:
            return "the module returned nothing that holds a tensor"
        for returned in tape.returned:
            if not (is_real(returned.dtype) or returned.dtype in INTEGER_DTYPES):
                return f"an output is {returned.dtype}, not real numbers"
        if not is_known and (bad := find_non_finite(tape, names, sound)) is not None:
            return _placed(*bad)
    for words, place in recordings.undecided_by_input:
        return _placed(words, place)
    if recordings.disagreement is not None:
        return f"the module does not run the same program on every input: {recordings.disagreement}"
    return None


def _why_never_affine(tape: Tape) -> str | Blame | None:
    """What keeps a module from being called affine, though not from being called not affine; None if nothing does."""
    for output, returned in zip(tape.outputs, tape.returned, strict=True):
        if isinstance(output, Value) and not is_real(returned.dtype):
            return f"an output is {returned.dtype}, not real numbers"
    return _unused_but_telling(tape, ())


def _told(single: Tape, constants: ExactConstants) -> Sequence[int]:
    """Which outputs can be evaluated here; of those in whole numbers not all can."""
    places = range(len(single.outputs))
    return [place for place in places if is_real(single.returned[place].dtype) or _has_value(single, place, constants)]


def _has_value(tape: Tape, place: int, constants: ExactConstants) -> bool:
    """True where one output can be evaluated, in float64 enclosures."""
    given: list[Numbers] = [EnclosureArray.from_points(tensor[None]) for tensor in tape.given]
    try:
        Replay(tape.only([place]), constants=constants.enclosed, masked=True).outputs(given)
    except CannotEvaluate:
        return False
    return True


_CHECKS = (aten._linalg_check_errors.default,)
"""Operations that only raise, where a matrix is singular, say: what is then no function value is no counterexample."""


def _unused_but_telling(tape: Tape, besides: Sequence[OpOverload] = _CHECKS) -> Blame | None:
    """An operation without influence on the output that may still raise, or keep what it was given, in words."""
    needed = {node.index for node in tape.needed()}
    if len(needed) == len(tape.nodes):
        return None
    for node in tape.nodes:
        if node.index in needed or node.op in besides or _is_silent(node):
            continue
        return _placed(
            f"{node.op} gets numbers that depend on the input; its result is not used, but it may raise or keep them, "
            "and so decide what runs",
            node.location,
        )
    return None


def _is_silent(node: Node) -> bool:
    """True where an operation gives numbers, whatever it is given: it neither raises nor keeps anything.

    Whole numbers may be divided by zero, an index may be out of range, a matrix singular.
    """
    rule = find_rule(node.op)
    if rule is None or any(depends(node.arguments.get(name)) for name in rule.selectors):
        return False
    first = next((output.geometry.dtype for output in node.outputs if output is not None), None)
    sound = first is None or rule.gives_whole or is_real(first) or first == torch.bool
    return sound and not node.arguments.get("check_errors")


def _names(module: nn.Module) -> dict[int, str]:
    named = [*module.named_parameters(), *module.named_buffers()]
    return {storage_key(tensor): name for name, tensor in reversed(named)}
