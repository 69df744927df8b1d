"""The figure of a small experiment: a few lines with their names, or one bar per name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate.lessons.lesson import digits, title_of
from whyactivate.plots.style import BLUE, MUTED, label_ends, new_figure, stroke_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from whyactivate.claims import Sketch

_ORDER = ("relu", "leaky_relu", "tanh", "sigmoid")


def draw_sketch(lesson: Sketch) -> Figure:
    """Lines where there are curves, else bars."""
    return _lines(lesson) if lesson.curves else _bars(lesson)


def _lines(lesson: Sketch) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(3.9)
    axes = figure.subplots()
    curves = list(lesson.curves)
    first = curves[0].x
    if lesson.log:
        axes.set_xscale("log")
        axes.set_xticks(first, [f"{x:g}" for x in first])
        axes.minorticks_off()
    ends: list[tuple[str, float, float, str]] = []
    free = [name for name in _ORDER if all(curve.name != name for curve in curves)]
    for position, curve in enumerate(curves):
        stroke = stroke_of(curve.name if curve.name in _ORDER else free[position % len(free)])
        few = len(curve.x) <= 20
        axes.plot(
            curve.x,
            curve.y,
            color=stroke.colour,
            linestyle="none" if few and len(curves) == 1 and len(curve.x) > 3 else stroke.dashes,
            marker=stroke.marker if few else "",
            linewidth=1.2 if len(curve.x) > 500 else 1.8,
        )
        if len(curves) > 1:
            ends.append((title_of(curve.name), *max(zip(curve.x, curve.y, strict=True)), stroke.colour))
    axes.grid(axis="y")
    if lesson.log_y:
        axes.set_yscale("log")
    if not (len(curves) == 1 and len(first) <= 20):
        axes.set_xlim(min(first), max(first))
    axes.set_title(lesson.heading)
    axes.set_xlabel(lesson.x_label)
    axes.set_ylabel(lesson.y_label)
    if _counts(first):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if ends:
        label_ends(axes, ends, room=9)
    return figure


def _counts(x: tuple[float, ...]) -> bool:
    """Whether these are the numbers of some things."""
    return len(x) > 3 and x == tuple(float(i + 1) for i in range(len(x)))


def _bars(lesson: Sketch) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(0.38 * len(lesson.bars) + 1.4)
    axes = figure.subplots()
    places = range(len(lesson.bars))
    values = list(lesson.bars.values())
    axes.barh(places, values, color=BLUE, height=0.6)
    for place, value in zip(places, values, strict=True):
        text = f"{value:.3g}".replace("-", "−") if abs(value) >= 10 or value == int(value) else digits(value)
        side, away = ("left", 4) if value >= 0 else ("right", -4)
        axes.annotate(text, (value, place), xytext=(away, 0), textcoords="offset points", va="center", ha=side)
    axes.set_yticks(list(places), [title_of(name) for name in lesson.bars])
    low, high = min(0.0, *values), max(0.0, *values) or 1e-9
    room = 0.15 * (high - low)
    axes.set_xlim(low - room if low < 0 else 0, high + room)
    if low < 0:
        axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.invert_yaxis()
    if all(value == int(value) for value in values):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(lesson.heading)
    axes.set_xlabel(lesson.x_label)
    return figure
