"""Dead, sleepy and alive units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate.lessons.dead_units import SLEEPY, Life
from whyactivate.lessons.lesson import title_of
from whyactivate.plots.style import BLUE, INK, MUTED, ORANGE, PAPER, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whyactivate.lessons.dead_units import DeadUnits, ModuleUnits, UnitCall

_LOOKS = {Life.DEAD: (INK, "X"), Life.SLEEPY: (ORANGE, "D"), Life.ALIVE: (BLUE, "o")}


def draw_module_units(lesson: ModuleUnits) -> Figure:
    """Per activation, every unit at the share of the data on which its z is not positive."""
    figure = new_figure(0.62 * len(lesson.calls) + 1.5)
    axes = figure.subplots()
    for place, call in enumerate(lesson.calls):
        _draw(axes, call, place)
    _finish(figure, axes, [call.name for call in lesson.calls])
    return figure


def draw_dead_units(lesson: DeadUnits) -> Figure:
    """The same for networks that were trained in different ways, all their units in one row each."""
    figure = new_figure(0.62 * len(lesson.runs) + 1.5)
    axes = figure.subplots()
    for place, run in enumerate(lesson.runs):
        before = 0
        for call in run.units.calls:
            _draw(axes, call, place, before)
            before += len(call.lives)
        dead = run.units.count(Life.DEAD)
        axes.annotate(
            f"{dead} dead",
            (1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=VERMILION if dead else MUTED,
            fontweight="bold" if dead else "normal",
        )
    _finish(figure, axes, [f"{title_of(run.activation)},\nlearning rate {run.learning_rate:g}" for run in lesson.runs])
    return figure


def _draw(axes: Axes, call: UnitCall, place: int, before: int = 0) -> None:
    """Units as marks in a row, spread out so that none hides another; `before` are in the row already."""
    alone = before + len(call.lives) == 1
    for number, (share, life) in enumerate(zip(call.negative, call.lives, strict=True), before):
        colour, marker = _LOOKS[life]
        height = place if alone else place + 0.6 * ((number * 0.618034) % 1 - 0.5)
        axes.plot(
            [100 * share], [height], marker, color=colour, markeredgecolor=PAPER, markeredgewidth=0.4, markersize=6
        )


def _finish(figure: Figure, axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-2, 102)
    axes.axvline(100 * SLEEPY, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    axes.grid(axis="x")
    axes.set_xlabel("share of the data with z ≤ 0 (%), one mark per unit")
    words = {
        Life.DEAD: "dead: slope 0 on all data",
        Life.SLEEPY: f"sleepy: z ≤ 0 on {100 * SLEEPY:.0f} % or more",
        Life.ALIVE: "alive",
    }
    for life, (colour, marker) in _LOOKS.items():
        axes.plot([], [], marker, color=colour, markersize=6, label=words[life])
    figure.legend(loc="outside upper left", ncols=3, frameon=False, handletextpad=0.2)
