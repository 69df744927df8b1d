"""A part of the run as a heading, tables and sentences, for whoever shows it: the terminal or the page."""

from __future__ import annotations

from dataclasses import dataclass

from whyactivate.affine.analysis import Verdict
from whyactivate.datasets import Task
from whyactivate.demo.phrases import number, share
from whyactivate.demo.results import ArticlePart, ClassesPart, CollapsePart, Contest, Part, RefutationPart
from whyactivate.demo.words import (
    LOSS_NAME,
    label,
    say_accuracy,
    say_activated,
    say_collapse,
    say_floor,
    say_memorised,
    say_none,
    say_refutation,
    say_regression,
    say_same_class,
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; the first column names the row.

    Attributes:
        caption: what it shows.
        columns: the heads of the columns.
        rows: the cells.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def heading(part: Part) -> str:
    """The part's title."""
    if isinstance(part, ArticlePart):
        return f"The article's network, {widths(part.contest)}, on the article's noise"
    if isinstance(part, CollapsePart):
        return "The network without activations is one layer"
    if isinstance(part, RefutationPart):
        verdict = part.analysis.verdict
        if verdict is Verdict.UNDECIDED:
            return f"Is the network with {part.title} one layer?"
        return f"The network with {part.title} is {'one layer too' if verdict is Verdict.AFFINE else 'not one layer'}"
    return f"The same on {part.contest.data.name}, {'a real data set' if part.contest.data.image_shape else 'a toy'}"


def widths(contest: Contest) -> str:
    """The networks' widths: 10 → 18 → 18 → 4 → 1."""
    return " → ".join(map(str, contest.layers))


def paragraphs(part: Part) -> tuple[str, ...]:
    """What the numbers of this part say, in order."""
    if isinstance(part, ArticlePart):
        contest = part.contest
        return (" ".join((say_floor(contest), say_none(contest), say_activated(contest))), say_memorised(part))
    if isinstance(part, CollapsePart):
        return (f"{say_collapse(part)} {say_regression(part)}",)
    if isinstance(part, RefutationPart):
        return (say_refutation(part),)
    contest = part.contest
    return (
        contest.data.sentence,
        " ".join((say_floor(contest), say_none(contest), say_activated(contest))),
        say_accuracy(contest),
        f"{say_collapse(part)} {say_same_class(part)}",
    )


def table_of(part: Part) -> Table | None:
    """The part's table of trained networks or of numbers, where it has one."""
    if isinstance(part, ArticlePart):
        table = contest_table(part.contest)
        zero = ("predicting 0", number(part.zero_loss), number(part.zero_test_loss), "")
        return Table(table.caption, table.columns, (*table.rows, zero))
    if isinstance(part, ClassesPart):
        return contest_table(part.contest)
    return _coefficients_table(part) if isinstance(part, CollapsePart) else _inputs_table(part)


def contest_table(contest: Contest) -> Table:
    """Each network's losses (and accuracies) over whole parts of the data, and the linear floor's."""
    floor = contest.floor
    regression = contest.data.task is Task.REGRESSION
    rows = [
        (
            label(network),
            number(network.loss),
            number(network.test_loss),
            *_shares(network.accuracy, network.test_accuracy),
            _yes_no(network.below(floor)) if floor.loss > 0 else "cannot",
        )
        for network in contest.networks
    ]
    rows.append(
        ("linear floor", number(floor.loss), number(floor.test_loss), *_shares(floor.accuracy, floor.test_accuracy), "")
    )
    accuracies = () if regression else ("train right", "test right")
    return Table(
        f"{contest.data.name}: {LOSS_NAME[contest.data.task]} over all {len(contest.data.train_x)} training and "
        f"{len(contest.data.test_x)} test samples",
        ("activation", "train loss", "test loss", *accuracies, "below the floor?"),
        tuple(rows),
    )


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _shares(*values: float | None) -> tuple[str, ...]:
    return tuple(share(value) for value in values if value is not None)


def _coefficients_table(part: CollapsePart) -> Table:
    layer, regression = part.collapse, part.floor
    names = [*(f"x{index}" for index in range(1, layer.weight.shape[1] + 1)), "bias"]
    numbers = zip(
        names,
        (*layer.weight[0].tolist(), float(layer.bias[0])),
        (*regression.weight[0].tolist(), float(regression.bias[0])),
        strict=True,
    )
    return Table(
        "All that is left of the network, beside linear regression",
        ("input", "the one layer", "linear regression"),
        tuple((name, f"{ours:.6f}", f"{theirs:.6f}") for name, ours, theirs in numbers),
    )


def _inputs_table(part: RefutationPart) -> Table | None:
    found = part.analysis.counterexample
    if found is None:
        return None
    a, b = found.a[0].flatten(), found.b[0].flatten()
    first, second = (float(weight) for weight in found.weights)
    mix = first * a + second * b
    rows = [
        (f"x{index}", *(f"{float(value):.12g}" for value in values))
        for index, values in enumerate(zip(a, b, mix, strict=True), 1)
    ]
    return Table(
        "The two inputs and their mix", ("input", "a", "b", f"{found.weights[0]}·a + {found.weights[1]}·b"), tuple(rows)
    )
