"""A comparison as a figure: every network a dot, medians with intervals, and the linear floor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from whyactivate import __version__
from whyactivate.plots.expected import check_kind
from whyactivate.plots.style import INK, MUTED, PAPER, finish, new_figure, stroke_of, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whyactivate.comparison import ComparisonResult

_WIDE_RANGE = 30
_ROOM = 16  # in points, between a title and its axes: the floor is named there
_HEIGHT, _HEIGHT_OF_TWO = 0.27, 0.36  # in inches, of a line of dots with a name of one line or of two
_SWELL = 0.006  # in inches, for each sign of a name: hinted letters are wider at some resolutions than at others
_LABELS = 9.5  # in points: a relative size would follow the settings of whoever saves the figure


def plot_comparison(result: ComparisonResult, *, footnote: str | None = None) -> Figure:
    """Training loss (above) and test loss (below), one line of dots for each place of the grid.

    A dot is a network, the diamond is the median of its line, the bar the 95 % interval of that median. The grey rule
    is the linear floor; where every seed has its own data, the rule is the median of the floors, and the grey ground
    reaches from the lowest to the highest. Networks that diverged have no dot, and are counted in the name of their
    line; where they leave an interval without an upper end, its bar ends in an arrow.

    Args:
        result: at least one network must be trained.
        footnote: small print; the version, the epochs and the seeds where None.

    Raises:
        InputError: result is something else.
    """
    check_kind("result", result, "ComparisonResult", "as compare gives it")
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = len(result.summaries)
    height = _HEIGHT if len({summary.place.rest for summary in result.summaries}) < 2 else _HEIGHT_OF_TWO
    with style():
        figure = new_figure(2.2 + 2 * height * max(lines, 2))
        above, below = figure.subplots(2, 1)
        loss = "mean squared error" if result.task == "regression" else "cross-entropy"
        longest = _draw(above, result, "train_loss")
        above.set_title(f"Training loss, {len(result.seeds)} seeds on {result.data}", pad=_ROOM)
        _draw(below, result, "test_loss")
        below.set_title("Test loss", pad=_ROOM)
        below.set_xlabel(loss)
        layout = figure.get_layout_engine()
        if isinstance(layout, ConstrainedLayoutEngine):
            layout.set(w_pad=0.05 + _SWELL * longest)
        return finish(figure, _small(result) if footnote is None else footnote, passes=2)


def _small(result: ComparisonResult) -> str:
    seeds = sorted(result.seeds)
    together = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    told = f"seeds {seeds[0]} to {seeds[-1]}" if together else f"seed{'s' * (len(seeds) > 1)} {_listed(seeds)}"
    return f"whyactivate {__version__}, {result.config.epochs} epochs, {told}"


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds[:8])) + (" …" if len(seeds) > 8 else "")


def describe_comparison(result: ComparisonResult) -> str:
    """What the figure shows, in words, for those who cannot see it.

    Raises:
        InputError: result is something else.
    """
    check_kind("result", result, "ComparisonResult", "as compare gives it")
    columns, rows = result.table()
    lines = [f"{row[0]}: training {row[1]}, test {row[2]}" for row in rows]
    return (
        f"Dots for {len(result.members)} networks on {result.data}. {columns[1]} and {columns[2]}: {'; '.join(lines)}."
    )


def _draw(axes: Axes, result: ComparisonResult, quantity: str) -> int:
    """Draws one of the two losses, and returns how many signs the longest name has."""
    floors = [member.floor if quantity == "train_loss" else member.floor_test for member in result.members]
    values = [getattr(m, quantity) for m in result.members if m.stopped != "diverged"]
    shown = [value for value in (*values, *floors) if value > 0]
    if shown and max(shown) > _WIDE_RANGE * min(shown):
        axes.set_xscale("log")
    names: list[str] = []
    endless: list[tuple[float, int]] = []
    for position, (summary, (name, *_)) in enumerate(zip(result.summaries, result.table()[1], strict=False)):
        counted = f"{name} ({summary.diverged} diverged)" if summary.diverged else name
        names.append(counted.replace(", ", "\n", 1))
        colour = stroke_of(summary.place.activation, position).colour
        mine = [m for m in result.members if m.place == summary.place and m.stopped != "diverged"]
        heights = [position - 0.28 + 0.5 * (k % 5) / 4 for k in range(len(mine))]
        axes.plot([getattr(m, quantity) for m in mine], heights, ".", color=colour, alpha=0.4, markersize=4, zorder=2)
        estimate = summary.train_loss if quantity == "train_loss" else summary.test_loss
        if estimate.low is not None and estimate.high is not None and math.isfinite(estimate.low):
            if math.isfinite(estimate.high):
                axes.plot((estimate.low, estimate.high), (position, position), color=INK, linewidth=2.2, zorder=3)
            else:
                endless.append((estimate.low, position))
        if math.isfinite(estimate.value):
            axes.plot(
                estimate.value, position, "D", color=colour, markersize=6, markeredgecolor=PAPER, zorder=4
            )  # fmt: skip
    if floors:
        ordered = sorted(floors)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        if ordered[0] < ordered[-1]:
            axes.axvspan(ordered[0], ordered[-1], color=MUTED, alpha=0.12, linewidth=0, zorder=0)
        axes.axvline(middle, color=MUTED, linewidth=2.2, alpha=0.8, zorder=1)
        what = "linear floor" if quantity == "train_loss" else "affine model at the floor"
        axes.annotate(
            f"{what} {middle:.3g}", (middle, 1), xycoords=("data", "axes fraction"), xytext=(3, 2),
            textcoords="offset points", color=MUTED, fontsize=8, ha="left", va="bottom",
        )  # fmt: skip
    right = axes.get_xlim()[1]
    for low, position in endless:
        axes.plot((low, right), (position, position), color=INK, linewidth=2.2, zorder=3)
        axes.plot(right, position, ">", color=INK, markersize=6, clip_on=False, zorder=3)
    if endless:
        axes.set_xlim(right=right)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=_LABELS)
    return max((len(line) for name in names for line in name.split("\n")), default=0)
