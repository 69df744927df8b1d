"""A comparison in words: its title, its table, and sentences that claim no more than the intervals allow."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whyactivate.activations import ACTIVATIONS
from whyactivate.comparison.member import Place
from whyactivate.comparison.statistics import FEWEST, Estimate
from whyactivate.comparison.summary import Summary
from whyactivate.datasets import Task

if TYPE_CHECKING:
    from whyactivate.comparison.result import ComparisonResult


_GAP = "  "
"""Between two columns."""


def title(result: ComparisonResult) -> str:
    """What was compared, in a line."""
    done, planned = len(result.members), len(result.places) * len(result.seeds)
    names = len({place.activation for place in result.places})
    count = f"{planned} network{'' if planned == 1 else 's'}"
    if done != planned:
        count = f"{done} of {count} (stopped before the rest)"
    what = f"{names} activation{'' if names == 1 else 's'}, {len(result.seeds)} seed"
    return f"{result.data}: {count}, {what}{'' if len(result.seeds) == 1 else 's'}"


def name_of(activation: str) -> str:
    """The activation as people write it."""
    if activation == "identity":
        return "no activation"
    return ACTIVATIONS[activation].title if activation in ACTIVATIONS else activation


def name_widths(hidden: tuple[int, ...]) -> str:
    """18-18-4; "none" for a single affine layer."""
    return "-".join(map(str, hidden)) or "none"


def name_place(place: Place, places: Sequence[Place]) -> str:
    """The activation and whatever else is not the same in all places."""
    extra = [
        text
        for differs, text in (
            (len({p.hidden for p in places}) > 1, f"hidden {name_widths(place.hidden)}"),
            (len({p.init for p in places}) > 1, f"init {place.init}"),
            (len({p.learning_rate for p in places}) > 1, f"rate {place.learning_rate:g}"),
        )
        if differs
    ]
    return ", ".join([name_of(place.activation), *extra])


def interval(estimate: Estimate | None, *, signed: bool = False) -> str:
    """The value and its interval, as in 0.31 [0.29, 0.34]; a loss that is infinite has diverged."""
    if estimate is None or math.isnan(estimate.value):
        return ""
    text = "diverged" if estimate.value == math.inf and not signed else _loss(estimate.value, signed=signed)
    return text + _ends(estimate, _loss)


def _percent(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{_hundredths(estimate.value)} %{_ends(estimate, _hundredths)}"


def _epochs(summary: Summary) -> str:
    if not summary.at_floor:
        return "never"
    epochs = summary.epochs_to_floor
    if math.isinf(epochs.value):
        return f"{summary.at_floor} of {summary.count} seeds"
    return _short(epochs.value) + _ends(epochs, _short)


def _ends(estimate: Estimate, write: Callable[[float], str]) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" [{write(estimate.low)}, {write(estimate.high)}]"


def _loss(value: float, *, signed: bool = False) -> str:
    """Three significant digits, the last ones shown even where they are 0, so that columns line up."""
    if 1e-3 <= abs(value) < 100:
        return f"{value:{'+' if signed else ''}#.3g}".replace("-", "−")
    return _short(value, signed=signed)


def _short(value: float, *, signed: bool = False) -> str:
    text = f"{value:{'+' if signed else ''}.3g}"
    return text.replace("inf", "∞").replace("-", "−")


def _hundredths(share: float) -> str:
    return f"{100 * share:.1f}"


def table(result: ComparisonResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Column names and one row per place, then one for the linear floor."""
    classes = result.task is Task.CLASSIFICATION
    pairs = any(summary.test_difference is not None for summary in result.summaries)
    columns = ["", "train loss", "test loss", *(["test right"] if classes else []), "epochs to floor", "below it"]
    columns += ["test loss − none", "lower"] if pairs else []
    rows: list[tuple[str, ...]] = []
    for summary in result.summaries:
        row = [name_place(summary.place, result.places), interval(summary.train_loss), interval(summary.test_loss)]
        row += [_percent(summary.test_accuracy)] if classes else []
        row += [_epochs(summary), f"{summary.below_floor} of {summary.count}"]
        if pairs:
            difference = summary.test_difference
            row.append(interval(difference, signed=True))
            row.append("" if difference is None else f"{summary.test_better} of {difference.count}")
        rows.append(tuple(row))
    if result.summaries:
        first = result.summaries[0]
        floor = ["linear floor", _loss(first.floor), _loss(first.floor_test)]
        rows.append((*floor, *[""] * (len(columns) - len(floor))))
    return tuple(columns), rows


def split(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[tuple[str, ...]]]:
    """The table cut into tables of at most so many characters, each with the first column and a row of names.

    A column that is too wide by itself still gets a table.
    """
    widths = [max(len(row[i]) for row in (columns, *rows)) + len(_GAP) for i in range(len(columns))]
    parts: list[list[int]] = []
    for i in range(1, len(columns)):
        if not parts or sum(widths[j] for j in (0, *parts[-1], i)) > width + len(_GAP):
            parts.append([])
        parts[-1].append(i)
    return [[tuple(row[i] for i in (0, *part)) for row in (columns, *rows)] for part in parts]


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines of text; one that would hold its name alone is left out."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        _GAP.join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
        if any(row[1:])
    ]


def page(result: ComparisonResult, width: int = 78) -> str:
    """Title, tables and sentences, in lines of at most so many characters where the names of the places allow it."""
    lines = [title(result), ""]
    for part in split(*table(result), width):
        lines += [*align(part), ""]
    for sentence in sentences(result):
        lines += textwrap.wrap(sentence, width, subsequent_indent="  ")
    return "\n".join(lines)


def leaders(summaries: Sequence[Summary], quantity: str) -> list[Summary]:
    """The summary with the lowest median, then all whose intervals overlap with its."""
    if not summaries:
        return []
    ordered = sorted(summaries, key=lambda summary: getattr(summary, quantity).value)
    best: Estimate = getattr(ordered[0], quantity)
    return [ordered[0], *(s for s in ordered[1:] if best.overlaps(getattr(s, quantity)))]


def sentences(result: ComparisonResult, to_go_on: str = ": pass this result as resume=") -> list[str]:
    """What the numbers say, and what they do not; `to_go_on` says how to train the rest."""
    if not result.summaries:
        return ["No network was trained to its end."]
    said = [_say_intervals(result)]
    groups: dict[tuple[object, ...], list[Summary]] = {}
    for summary in result.summaries:
        groups.setdefault(summary.place.rest, []).append(summary)
    if len(groups) == 1:
        (summaries,) = groups.values()
        if len(summaries) > 1:
            said += [_say_lowest(summaries, "train_loss", "training"), _say_lowest(summaries, "test_loss", "test")]
    said += _say_none(result.summaries)
    diverged = sum(summary.diverged for summary in result.summaries)
    if diverged:
        said.append(f"{diverged} diverged: they count as infinite losses; a pair of two such losses is left out.")
    if result.missing:
        left = "1 network is" if result.missing == 1 else f"{result.missing} networks are"
        said.append(f"{left} still to be trained{to_go_on}.")
    return said


def _say_intervals(result: ComparisonResult) -> str:
    if max(summary.count for summary in result.summaries) < FEWEST:
        return f"Medians; with fewer than {FEWEST} seeds there are no intervals, and nothing can be told apart."
    text = "Medians with 95 % intervals, each by itself"
    if any(summary.test_difference is not None for summary in result.summaries):
        text += "; so are the differences to no activation, seed by seed"
    return text + "."


def _say_lowest(summaries: Sequence[Summary], quantity: str, part: str) -> str:
    first, *others = leaders(summaries, quantity)
    if math.isinf(getattr(first, quantity).value):
        return f"The median {part} loss is finite for none of them."
    lowest = f"Lowest median {part} loss: {name_of(first.place.activation)}"
    if not others:
        return f"{lowest}; its interval overlaps with no other."
    names = [name_of(summary.place.activation) for summary in others]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    known = all(getattr(summary, quantity).low is not None for summary in (first, *others))
    return f"{lowest}, which cannot be told apart from {listed}{': their intervals overlap' if known else ''}."


def _say_none(summaries: Sequence[Summary]) -> list[str]:
    none = [summary for summary in summaries if summary.place.activation == "identity"]
    if not none:
        return []
    below, count = sum(s.below_floor for s in none), sum(s.count for s in none)
    if not below:
        none_of = "the one network did not go" if count == 1 else f"none of {count} networks went"
        return [f"Without activations, {none_of} below the linear floor: none can."]
    networks = f"{below} of {count} network{'' if count == 1 else 's'}"
    return [f"Without activations {networks} ended below the linear floor, by more than rounding."]
