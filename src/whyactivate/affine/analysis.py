"""What an analysis says: verdict, blame, runs, counterexample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from torch import Tensor

from whyactivate._told import Told
from whyactivate.affine.advice import advise
from whyactivate.affine.recording import Recordings
from whyactivate.affine.tape import Tape

_MOST_LINES = 12
"""How many blames, and how many runs, are printed."""

_FEWER_ROWS = "give an example of fewer rows"


class Verdict(StrEnum):
    """Whether a module is an affine map of its input, as a function of real numbers."""

    AFFINE = "affine"
    """Proved of the recorded program."""
    NOT_AFFINE = "not_affine"
    """A counterexample is in hand, verified in exact or interval arithmetic."""
    UNDECIDED = "undecided"
    """Neither: the blame says what stands in the way."""


@dataclass(frozen=True, slots=True)
class Blame:
    """One operation that keeps the module from being one affine map.

    Attributes:
        op: the operation, as in `aten.relu.default`; empty where the module was refused before any operation.
        module: path of the module in which it runs, as in `encoder.layers.3.mlp`; empty for the module itself.
        source: `file:line` of the nearest code outside PyTorch; empty where there is none.
        line: the text of that line.
        reason: what it does, in words.
    """

    op: str
    module: str
    source: str
    line: str
    reason: str

    def __str__(self) -> str:
        place = " at ".join(part for part in (f"in {self.module}" if self.module else "", self.source) if part)
        code = f"\n    {self.line}" if self.line else ""
        return f"{self.reason}{f' ({place})' if place else ''}{code}"


@dataclass(frozen=True, slots=True)
class AffineRun:
    """A maximal part of the program that is affine between two operations that are not.

    Attributes:
        modules: paths of the modules with weights in it, in the order in which they run.
        ends_at: the operation that ends it, or "output".
    """

    modules: tuple[str, ...]
    ends_at: str

    def __str__(self) -> str:
        return f"{' · '.join(name or '(its own weights)' for name in self.modules)} → {self.ends_at}"


@dataclass(frozen=True, slots=True, eq=False)
class Counterexample:
    """Two inputs and two weights with sum 1 at which f(λa + μb) and λf(a) + μf(b) differ, verified.

    No affine map lets them differ. Verified means: the recorded program was evaluated at the three points
    without rounding ("exact"), or enclosed in intervals that do not meet ("balls", or "enclosed" by float64).

    Attributes:
        a: the first input, float64 (complex128 for a complex input), with a batch axis of one row; one tensor per
            input of the module.
        b: the second, likewise.
        weights: λ and μ.
        output_index: which entry of the (flattened) output differs; of a complex output, real and imaginary parts
            count in turn.
        output: which of the tensors that the module returns that is, in order: 0 where there is one.
        at_mix: f(λa + μb) there, nearest float64.
        mix_of: λf(a) + μf(b) there, nearest float64.
        gap: a proved lower bound of their distance.
        arithmetic: "exact", "balls" or "enclosed".
    """

    a: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    weights: tuple[Fraction, Fraction]
    output_index: int
    at_mix: float
    mix_of: float
    gap: float
    arithmetic: str
    output: int = 0

    def __str__(self) -> str:
        first, second = self.weights
        of = f" of tensor {self.output}" if self.output else ""
        how = "computed without rounding" if self.arithmetic == "exact" else "enclosed in disjoint intervals"
        return (
            f"f({first}·a + {second}·b) = {self.at_mix:.9g}, but {first}·f(a) + {second}·f(b) = {self.mix_of:.9g} "
            f"(output {self.output_index}{of}; {how}, at least {self.gap:.3g} apart)"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Analysis(Told):
    """Whether a module is affine, what stands in the way, and what that was concluded from.

    Attributes:
        module: the name of the module's class.
        verdict: affine, not affine, or undecided.
        per_example: False where one row of a batch changes the result of another, or rows are treated differently.
        blame: the operations that stand in the way, in program order; empty for an affine module.
        runs: the maximal affine runs, in program order.
        counterexample: None unless verified; present exactly where the verdict is not affine.
        notes: what was taken for granted on the way.
        proved: what is proved, in words.
        tested: what was tested, in words.
    """

    module: str
    verdict: Verdict
    per_example: bool
    blame: tuple[Blame, ...]
    runs: tuple[AffineRun, ...]
    counterexample: Counterexample | None
    notes: tuple[str, ...]
    proved: str
    tested: str
    recordings: Recordings | None = field(repr=False, default=None)

    @property
    def tape(self) -> Tape | None:
        """The recorded program for one row; None where the module could not be recorded."""
        return self.recordings.single if self.recordings else None

    @property
    def advice(self) -> str:
        """What would settle the question, where the verdict is undecided; empty elsewhere."""
        if self.verdict is not Verdict.UNDECIDED or not self.blame:
            return ""
        if any(_FEWER_ROWS in note for note in self.notes):
            return _FEWER_ROWS
        return advise(self.blame[0].reason, refused=not self.tested)

    def __str__(self) -> str:
        lines = [f"{self.module}: {self.verdict.replace('_', ' ')}"]
        if self.verdict is Verdict.AFFINE and not self.per_example:
            lines[0] += ", but not row by row"
        lines += [f"  {text}" for text in (self.proved, self.tested) if text]
        if self.counterexample:
            lines.append(f"  counterexample: {self.counterexample}")
        lines += _listed("because", self.blame)
        if self.advice:
            lines.append(f"  to settle it: {self.advice}")
        if len(self.runs) > 1 and self.verdict is not Verdict.AFFINE:
            lines += _listed("affine run:", self.runs)
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _listed(label: str, items: Sequence[object]) -> list[str]:
    """A line for each item, equal ones once; the first few of many."""
    counts = Counter(str(item) for item in items)
    lines: list[str] = []
    for text, count in counts.items():
        first, *code = text.split("\n", 1)
        lines.append("\n".join([f"  {label} {first}{f' ({count} times)' if count > 1 else ''}", *code]))
    left = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], f"  {label} … and {left} more"] if left > 0 else lines
