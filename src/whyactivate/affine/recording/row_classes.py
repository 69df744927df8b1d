"""Numbers of rows for which a module's code does the same, and one of each kind that is not tried yet.

One run is heard for two or three numbers of rows. What is asked and taken there, told for every number of rows, splits
them into classes: within one, all answers are the same, and so is what runs. Then the next class is listened to.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from whyactivate.affine.recording.forms import Column, Leaf, UnknownError, column, is_fixed
from whyactivate.affine.recording.listening import Event, Heard, Place

MOST_ROWS = 4096
"""Up to how many rows classes are told."""


@dataclass(frozen=True, slots=True)
class Classes:
    """What was found.

    Attributes:
        to_try: a number of rows of each class of which none was tried.
        raised: the numbers of rows at which a run came to no end while it was listened to, and where.
        open: what the module does of which it is not known for which other numbers of rows it makes a difference, if
            anything.
    """

    to_try: list[int]
    raised: dict[int, Event]
    open: Event | None


@dataclass(frozen=True, slots=True)
class _Class:
    """Numbers of rows, in order, and what came of the events by which they were told from others."""

    rows: Column
    known: list[Event]


@dataclass(frozen=True, slots=True)
class _Column:
    """An event, and what comes of it for each number of rows of a class; None where that cannot be told."""

    event: Event
    values: Column | None


def find_classes(
    listen: Callable[[int], Heard], tried: Set[int], is_cheap: Callable[[int], bool], most: int
) -> Classes:
    """The classes of numbers of rows.

    Args:
        listen: runs the module on so many rows.
        tried: the numbers of rows that are tried in any case, two among them.
        is_cheap: whether so many can be.
        most: how many others are tried at most.
    """
    return _Search(listen, set(tried), is_cheap, most).find()


class _Search:
    def __init__(
        self, listen: Callable[[int], Heard], tried: set[int], is_cheap: Callable[[int], bool], most: int
    ) -> None:
        self._listen, self._tried, self._ask_cost, self._most = listen, tried, is_cheap, most
        self._cheap, self._dear = 0, MOST_ROWS + 1
        self._to_try: list[int] = []
        self._seen: set[tuple[Place, bool | None]] = set()  # the answers that were given where something is tried
        self._waiting: list[tuple[int, _Class]] = [(2, _Class(np.arange(2, MOST_ROWS + 1), []))]

    def find(self) -> Classes:
        """All of them, the smallest numbers first."""
        raised: dict[int, Event] = {}
        unknown: list[Event] = []
        beyond: list[_Class] = []
        while self._waiting:
            _, one = heapq.heappop(self._waiting)
            rows = self._told_by(one.rows)
            if not self._try(int(rows[0])):
                if self._is_cheap(int(rows[0])):
                    beyond.append(one)
                continue
            if len(rows) == 1:
                continue
            runs, columns = self._hear(rows)
            here = runs[0]
            if here.raised:
                if here.rows == 2:  # as it does not where nobody listens
                    return Classes(self._to_try, raised, here.raised)
                raised[here.rows] = here.raised
            told = [column for column in columns if column.values is not None]
            alike, classes = _split(rows, told)
            for others in classes:
                heapq.heappush(
                    self._waiting, (int(others.min()), _Class(np.sort(others), _at(told, rows == others[0])))
                )
            if len(alike) > 1:
                unknown += [column.event for column in columns if column.values is None]
            for run in runs:
                self._look_at(run, unknown)
        # Where every answer was given for some number, another mixture of answers is like another turn of a loop.
        seen = self._seen
        left = [one for one in unknown if one.answer is None or (one.place, not one.answer) not in seen]
        left += [one for kind in beyond for one in kind.known if (one.place, one.answer) not in seen]
        return Classes(self._to_try, raised, next(iter(left), None))

    def _told_by(self, rows: Column) -> Column:
        """The rows of a class with one in front that is tried, if there is any."""
        known = next((one for one in sorted(self._tried) if one in rows), None)
        return rows if known is None else np.concatenate(([known], rows[rows != known]))

    def _is_cheap(self, rows: int) -> bool:
        """Whether so many rows can be tried, as fewer can if these can."""
        if self._cheap < rows < self._dear:
            if self._ask_cost(rows):
                self._cheap = rows
            else:
                self._dear = rows
        return rows <= self._cheap

    def _try(self, rows: int) -> bool:
        if rows not in self._tried:
            if len(self._to_try) == self._most or not self._is_cheap(rows):
                return False
            self._to_try.append(rows)
            self._tried.add(rows)
        return True

    def _look_at(self, run: Heard, unknown: Sequence[Event]) -> None:
        """Take note of its answers; try so many rows if an open question has another one there."""
        others = {(event.place, not event.answer) for event in unknown if event.answer is not None} - self._seen
        answers = {(event.place, event.answer) for event in run.events if event.answer is not None}
        if run.rows in self._tried or (not others.isdisjoint(answers) and self._try(run.rows)):
            self._seen |= answers

    def _hear(self, rows: Column) -> tuple[list[Heard], list[_Column]]:
        """Runs on some of the rows, and the events of the first with what comes of them for all of the rows.

        Two runs tell how sizes grow with the rows, more tell whether they do so evenly.
        """
        runs = [self._listen(int(one)) for one in rows[:2]]
        columns: list[_Column] = []
        for factor in (1, 4, 16):
            far = rows[rows >= factor * rows[0]]
            if columns and len(far) and self._is_cheap(int(far[0])):
                runs.append(self._listen(int(far[0])))
            leaves = {
                leaf: {run.rows: run.leaves[leaf] for run in runs if leaf in run.leaves} for leaf in runs[0].leaves
            }
            moving = [event for event in runs[0].events if not is_fixed(event.form, leaves)]
            columns = [_Column(event, _values(event, leaves, rows)) for event in moving]
            if not columns or (factor > 1 and all(column.values is not None for column in columns)):
                break
        return runs, columns


def _at(columns: Sequence[_Column], where: Column) -> list[Event]:
    """The events as they are for another number of rows."""
    found: list[Event] = []
    for one in columns:
        assert one.values is not None
        answer = None if one.event.answer is None else bool(one.values[where][0])
        found.append(replace(one.event, answer=answer))
    return found


def _values(event: Event, leaves: Mapping[Leaf, Mapping[int, int | float]], rows: Column) -> Column | None:
    try:
        values = column(event.form, leaves, rows)
    except UnknownError:
        return None
    return values if event.answer is None or bool(values[0]) == event.answer else None


def _split(rows: Column, columns: Sequence[_Column]) -> tuple[Column, list[Column]]:
    """The numbers of rows for which everything is as for the first of them, and the others, by what is."""
    if not columns:
        return rows, []
    table = np.stack([np.asarray(one.values, dtype=float) for one in columns])
    _, places = np.unique(table, axis=1, return_inverse=True)
    places = places.reshape(-1)
    first, *others = [rows[places == place] for place in dict.fromkeys(places.tolist())]
    return first, others
