"""Loss curves against the linear floor, and a network's output along a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whyactivate.plots.expected import check_kind
from whyactivate.plots.style import BLUE, INK, MUTED, PAPER, VERMILION, finish, label_ends, new_figure, stroke_of, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whyactivate.demo.results import Contest, Line, TrainedNetwork


def plot_losses(contest: Contest, *, zero: tuple[float, float] | None = None, footnote: str = "") -> Figure:
    """Loss over the training set (above) and over fresh samples (below), after each epoch.

    Args:
        contest: trained networks and the linear floor, which is drawn in.
        zero: training and test loss of always predicting 0, drawn in where given.
        footnote: small print, such as the seed and the version.

    Raises:
        InputError: contest is something else.
    """
    check_kind("contest", contest, "Contest", "as a part of run_demo's result has it")
    with style():
        figure = new_figure(6.6)
        above, below = figure.subplots(2, 1, sharex=True)
        loss = "mean squared error" if contest.data.task == "regression" else "cross-entropy"
        _draw(above, contest, [(net, net.history.train_loss) for net in contest.networks])
        above.set_title(f"Training set ({len(contest.data.train_x)} samples)")
        _draw(below, contest, [(net, net.history.test_loss) for net in contest.networks])
        below.set_title(f"Test set ({len(contest.data.test_x)} fresh samples)")
        for axes in (above, below):
            axes.set_ylabel(loss)
        above.set_ylim(bottom=0)
        _label(above, contest, "train_loss", _rules(above, contest.floor.loss, None if zero is None else zero[0]))
        _label(below, contest, "test_loss", _rules(below, None, None if zero is None else zero[1]))
        below.set_xlabel("epochs of training")
        return finish(figure, footnote)


def _draw(axes: Axes, contest: Contest, curves: Sequence[tuple[TrainedNetwork, Sequence[float]]]) -> None:
    for position, (network, values) in enumerate(curves):
        stroke = stroke_of(network.activation, position)
        axes.plot(
            range(len(values)),
            values,
            color=stroke.colour,
            linestyle=stroke.dashes,
            marker=stroke.marker,
            markevery=(position * len(values) // 40, max(1, len(values) // 6)),
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            linewidth=2.4 if network.activation == "identity" else 1.8,
            zorder=3 if network.activation == "identity" else 2.5,
        )
    axes.set_xlim(0, len(curves[0][1]) - 1)
    axes.grid(axis="y")


def _rules(axes: Axes, floor: float | None, zero: float | None) -> list[tuple[str, float, float, str]]:
    """Horizontal lines that no training moves, with the names to be written at their ends."""
    right = axes.get_xlim()[1]
    ends: list[tuple[str, float, float, str]] = []
    if floor is not None:
        axes.axhline(floor, color=MUTED, linewidth=5, alpha=0.35, zorder=1)
        ends.append((f"linear floor {floor:.3f}", right, floor, MUTED))
    if zero is not None:
        axes.axhline(zero, color=MUTED, linewidth=1.2, linestyle=(0, (2, 3)), zorder=1)
        ends.append((f"predicting 0: {zero:.3f}", right, zero, MUTED))
    return ends


def _label(axes: Axes, contest: Contest, which: str, rules: list[tuple[str, float, float, str]]) -> None:
    ends = list(rules)
    for position, network in enumerate(contest.networks):
        values: tuple[float, ...] = getattr(network.history, which)
        name = "no activation" if network.activation == "identity" else network.title
        colour = stroke_of(network.activation, position).colour
        ends.append((f"{name} {values[-1]:.3f}", len(values) - 1, values[-1], colour))
    label_ends(axes, ends, room=14)


def plot_line(line: Line, *, title: str, footnote: str = "") -> Figure:
    """A network's output along a straight line of inputs, beside what an affine map would give.

    Raises:
        InputError: line is something else.
    """
    check_kind("line", line, "Line", "as the refutation in run_demo's result has it")
    with style():
        figure = new_figure(3.7)
        axes = figure.subplots()
        at_a, at_b, at_mix = line.at
        start, stop = line.position[0], line.position[-1]
        chord = [at_a + t * (at_b - at_a) for t in (start, line.mix, stop)]
        axes.plot((start, stop), (chord[0], chord[2]), color=INK, linestyle=(0, (4, 2)), linewidth=1.4)
        axes.plot(line.position, line.output, color=BLUE, linewidth=2.2)
        axes.plot((line.mix, line.mix), (chord[1], at_mix), color=VERMILION, linewidth=2, zorder=3)
        axes.plot((0, 1), (at_a, at_b), "o", color=INK, markersize=6, markeredgecolor=PAPER, zorder=4)
        axes.plot((line.mix, line.mix), (chord[1], at_mix), "D", color=VERMILION, markeredgecolor=PAPER, zorder=4)
        axes.grid(axis="y")
        axes.set_xlim(start, stop)
        axes.set_title(title)
        axes.set_xlabel("position t on the line a + t·(b − a) through two inputs (no unit)")
        axes.set_ylabel("output")
        for t, y, text in ((0.0, at_a, "a"), (1.0, at_b, "b")):
            axes.annotate(text, (t, y), xytext=(0, 8), textcoords="offset points", ha="center", fontweight="bold")
        label_ends(
            axes,
            [
                ("the network", stop, line.output[-1], BLUE),
                ("an affine map through\nthe same two points", stop, chord[2], INK),
            ],
            room=6,
        )
        axes.annotate(
            "the gap",
            (line.mix, (chord[1] + at_mix) / 2),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
        )
        return finish(figure, footnote)
