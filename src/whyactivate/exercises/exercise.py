"""`Exercise` and `Graded`: a task with its grader, and what became of an answer."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from whyactivate._checks import check_whole
from whyactivate._told import Told
from whyactivate.errors import InputError


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that an answer has to do.

    Attributes:
        words: what it has to do, or, where it does not, what it does instead, with the first counterexample found.
        holds: whether it does.
    """

    words: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Graded:
    """What became of an answer.

    Attributes:
        exercise: the name of the exercise.
        points: what holds and what does not, in the order in which it was looked at. Where one does not hold, what
            comes after it may not have been looked at.
    """

    exercise: str
    points: tuple[Point, ...]

    @property
    def passed(self) -> bool:
        """True where all of it holds."""
        return all(point.holds for point in self.points)

    def __bool__(self) -> bool:
        return self.passed

    @property
    def _title(self) -> str:
        return f"{self.exercise}: {'right' if self.passed else 'not yet'}"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON-able values."""
        points = [{"holds": point.holds, "words": point.words} for point in self.points]
        return {"exercise": self.exercise, "passed": self.passed, "points": points}

    def __str__(self) -> str:
        return "\n".join([self._title, *(f"  {_mark(point)}: {point.words}" for point in self.points)])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{_mark(point)}: {html.escape(point.words)}</li>" for point in self.points)
        return f"<p><b>{html.escape(self._title)}</b></p><ul>{items}</ul>"


class Refused(Exception):
    """An answer that cannot be looked at further, with the reason: a point that does not hold."""


@dataclass(frozen=True, slots=True, repr=False)
class Exercise(Told):
    """A task, hints, and a grader that accepts every right answer.

    Attributes:
        name: as in `check(name, answer)`.
        title: in a few words.
        task: what is asked, and what an answer looks like.
        hints: from the gentlest on.
        grade: gives the points of an answer, and raises `Refused` where it cannot go on.
    """

    name: str
    title: str
    task: str
    hints: tuple[str, ...]
    grade: Callable[[Any], list[Point]]

    def hint(self, number: int = 1) -> str:
        """One hint.

        Raises:
            InputError: there is no hint of that number.
        """
        number = check_whole("hint", number, 1)
        if number > len(self.hints):
            raise InputError(f"{self.name} has {len(self.hints)} hints; hint {number} was asked for")
        return self.hints[number - 1]

    def check(self, answer: object) -> Graded:
        """What holds of an answer and what does not."""
        try:
            points = self.grade(answer)
        except Refused as refused:
            points = [Point(str(refused), False)]
        except OverflowError:
            points = [Point("a number in the answer is too large to compute with", False)]
        except SystemExit:
            points = [Point("the code of the answer ends the program (SystemExit) where it should return", False)]
        return Graded(self.name, tuple(points))

    def __str__(self) -> str:
        return f"{self.name}: {self.title}\n\n{self.task}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.title)}</b> ({html.escape(self.name)})</p><p>{html.escape(self.task)}</p>"


def _mark(point: Point) -> str:
    return "holds" if point.holds else "does not hold"
