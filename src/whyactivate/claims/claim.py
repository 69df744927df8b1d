"""`Claim`: one statement of the article, what is true instead, and the experiment that says so."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from textwrap import fill
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from whyactivate.errors import InputError
from whyactivate.lessons.lesson import Lesson, digits, plain
from whyactivate.training.surroundings import single_thread

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Verdict(StrEnum):
    """What becomes of a statement as it stands."""

    TRUE = "true"
    """True as stated."""
    IMPRECISE = "imprecise"
    """There is something to it; `Claim.precise` says what."""
    WRONG = "wrong"
    """Wrong as stated."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that must hold if the verdict is right, and whether it was found to hold."""

    words: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """One named series of a sketch."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Sketch(Lesson):
    """The figure of a small experiment: lines, or one bar per name.

    Attributes:
        heading: above the figure.
        x_label: what runs along the horizontal axis, with units; for bars, what their lengths are.
        y_label: the same for the vertical axis; bars do not use it.
        curves: the lines.
        bars: name to value.
        log: whether the horizontal axis is logarithmic.
        log_y: whether the vertical one is.
        small: what fixes the numbers, for the small print.
    """

    title: ClassVar[str] = "A small experiment"

    heading: str
    x_label: str
    y_label: str = ""
    curves: tuple[Curve, ...] = ()
    bars: Mapping[str, float] = field(default_factory=dict[str, float])
    log: bool = False
    log_y: bool = False
    small: str = ""

    @property
    def settings(self) -> str:
        """What fixes the numbers."""
        return self.small

    def explain(self) -> str:
        """The numbers, in words."""
        told = [f"{name} {digits(value)}" for name, value in self.bars.items()]
        told += [
            f"{curve.name} from {digits(curve.y[0])} at {digits(curve.x[0])} to {digits(curve.y[-1])} at "
            f"{digits(curve.x[-1])}"
            for curve in self.curves
        ]
        return f"{self.heading} ({self.x_label}): {', '.join(told)}"


@dataclass(frozen=True)
class Finding:
    """What an experiment came to.

    Attributes:
        found: what was found, in words made of the numbers.
        points: what must hold if the claim's verdict is right.
        numbers: the numbers behind it.
        lesson: the lesson or sketch that draws it.
        note: where the measurement corrects what used to be said.
    """

    found: str
    points: tuple[Point, ...]
    numbers: Mapping[str, object] = field(default_factory=dict[str, object])
    lesson: Lesson | None = None
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """What came of checking one claim.

    Attributes:
        claim: its id.
        ran: False where the claim rests on a source and nothing was run.
        agrees: whether all that must hold for the verdict does; None where nothing was run.
        found: what was found, in words.
        points: what had to hold, one by one.
        numbers: the numbers behind it.
        lesson: what `plot` draws; None where there is nothing to draw.
        note: where the measurement corrects what used to be said.
        seconds: how long it took.
    """

    claim: int
    ran: bool
    agrees: bool | None
    found: str
    points: tuple[Point, ...] = ()
    numbers: Mapping[str, object] = field(default_factory=dict[str, object])
    lesson: Lesson | None = field(default=None, repr=False)
    note: str = ""
    seconds: float = 0.0

    def plot(self, footnote: str | None = None) -> Figure:
        """The figure of the experiment.

        Raises:
            InputError: nothing was run, or it has no figure.
        """
        if self.lesson is None:
            raise InputError(
                f"claim {self.claim} has no figure: {'nothing to draw' if self.ran else 'nothing was run'}"
            )
        return self.lesson.plot(footnote)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the figure, as plain data for JSON."""
        return {
            "ran": self.ran,
            "agrees": self.agrees,
            "found": self.found,
            "points": [{"words": point.words, "holds": point.holds} for point in self.points],
            "numbers": plain(dict(self.numbers)),
            "note": self.note,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Claim:
    """One statement of the article, and what holds.

    Attributes:
        id: 1 to 35.
        statement: what the article says, in our words.
        verdict: true, imprecise, or wrong as stated.
        precise: what is true.
        source: where that is from, or how it is shown.
        ours: True where the article does not say it.
        experiment: what settles it; None where a source does, for no experiment here can.
    """

    id: int
    statement: str
    verdict: Verdict
    precise: str
    source: str
    ours: bool = False
    experiment: Callable[[], Finding] | None = field(default=None, repr=False)

    @property
    def cited(self) -> bool:
        """True where the claim rests on a source and `check` runs nothing."""
        return self.experiment is None

    def check(self) -> Evidence:
        """Runs the experiment or the proof; what it finds could have come out otherwise."""
        if self.experiment is None:
            return Evidence(self.id, False, None, f"Nothing was run: this rests on its source, {self.source}.")
        begun = perf_counter()
        with single_thread():
            finding = self.experiment()
        return Evidence(
            self.id,
            True,
            all(point.holds for point in finding.points),
            finding.found,
            finding.points,
            finding.numbers,
            finding.lesson,
            finding.note,
            perf_counter() - begun,
        )

    def to_dict(self) -> dict[str, Any]:
        """What is claimed, as plain data for JSON."""
        return {
            "id": self.id,
            "statement": self.statement,
            "verdict": str(self.verdict),
            "precise": self.precise,
            "source": self.source,
            "cited": self.cited,
            "ours": self.ours,
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """What is said, what becomes of it, what is true, and where that is from."""
        who = "Asked here, not in the article" if self.ours else "The article says"
        return (
            f"{self.id}. {who}: {self.statement}",
            f"As stated: {self.verdict}.",
            self.precise,
            f"Source: {self.source}.",
        )

    def __str__(self) -> str:
        return "\n".join(fill(line, 110, subsequent_indent="  ") for line in self.lines)

    def _repr_html_(self) -> str:
        return (
            f"<p><b>{self.id}. {html.escape(self.statement)}</b><br><i>{self.verdict}</i>. {html.escape(self.precise)}"
            f"<br><small>{html.escape(self.source)}</small></p>"
        )
