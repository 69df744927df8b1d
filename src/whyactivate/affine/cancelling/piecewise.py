"""Proves programs affine in which something nonlinear happens but cancels, as in relu(x) - relu(-x)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from whyactivate.affine.cancelling.canonical import CanonicalProgram
from whyactivate.affine.cancelling.polynomials import TooManyTermsError
from whyactivate.affine.evaluating.replay import ExactConstants
from whyactivate.affine.recording import Recordings
from whyactivate.affine.rules import CannotEvaluate
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Whether all that is not affine in a module's programs cancels.

    Attributes:
        obstacle: why that is not proved, in words; None where it is.
        mixing: how a batch is treated otherwise than row by row; None where it is not.
    """

    obstacle: str | None
    mixing: str | None = None


def find_affine_form(tape: Tape, constants: ExactConstants) -> ExactAffine:
    """The affine map that the program is, from all its inputs, flattened and joined, to all its outputs.

    The program is carried out once, on the unknown input itself: every number on the way is a polynomial in the
    entries of the input and in kinks max(t - τ, 0), rewritten by identities until equal functions look equal. All
    of it is exact. Where something other than an affine function is left, that proves nothing.

    Raises:
        CannotEvaluate: no affine map came out; the message says why.
    """
    return CanonicalProgram(tape, constants).affine_map()


def prove_cancellation(recordings: Recordings, constants: ExactConstants) -> Cancellation:
    """Whether all recorded programs are affine because what is not affine in them cancels, and act row by row."""
    single = recordings.single
    assert single is not None
    try:
        alone = find_affine_form(single, constants)
    except CannotEvaluate as reason:
        return Cancellation(f"no proof that what is not affine cancels: {reason}")
    mixing: str | None = None
    for tape in (recordings.pairs[0], *recordings.several):
        rows = tape.inputs[0].geometry.size[0]
        try:
            together = find_affine_form(tape, constants)
        except TooManyTermsError as reason:
            return Cancellation(f"for {rows} rows, {reason}; give an example of fewer rows")
        except CannotEvaluate as reason:
            return Cancellation(f"it is affine for one row, but not known to be for {rows}: {reason}")
        mixing = mixing or _mixing(single, alone, tape, together, rows)
    return Cancellation(None, mixing)


def _mixing(single: Tape, alone: ExactAffine, tape: Tape, together: ExactAffine, rows: int) -> str | None:
    """How a program for several rows differs from that for one row, used on each; None where it does not."""
    if len(tape.outputs) != len(single.outputs):
        return f"another number of outputs for {rows} rows than for one"
    if not all(output.shape and output.shape[0] == rows for output in tape.returned):
        return "the output does not have one entry per row of the batch"
    taken = [(prod(value.geometry.size), prod(one.geometry.size)) for value, one in _both(tape, single)]
    given = [(output.numel(), one.numel()) for output, one in zip(tape.returned, single.returned, strict=True)]
    if any(whole != rows * one for whole, one in given):
        return f"{rows} rows do not give {rows} times the output of one row"
    columns = [_places(taken, row, rows) for row in range(rows)]
    lines = [_places(given, row, rows) for row in range(rows)]
    for row in range(rows):
        own = together.weight[np.ix_(lines[row], columns[row])]
        elsewhere = np.setdiff1d(np.arange(together.inputs), columns[row])
        if together.weight[np.ix_(lines[row], elsewhere)].ints.any():
            return f"other rows of a batch of {rows} change the result of row {row}"
        if not own.equals(alone.weight) or not _bias(together, lines[row]).equals(alone.bias):
            return f"row {row} of a batch of {rows} is treated otherwise than a row alone"
    return None


def _both(tape: Tape, single: Tape):
    return zip(tape.inputs, single.inputs, strict=True)


def _places(sizes: list[tuple[int, int]], row: int, rows: int) -> np.ndarray:
    """Where the numbers of one row lie among all; a part without an axis of rows belongs to every row."""
    places: list[np.ndarray] = []
    start = 0
    for whole, one in sizes:
        first = start + row * one if whole == rows * one else start
        places.append(np.arange(first, first + one))
        start += whole
    return np.concatenate(places)


def _bias(form: ExactAffine, lines: np.ndarray) -> ExactArray:
    return form.bias[lines]
