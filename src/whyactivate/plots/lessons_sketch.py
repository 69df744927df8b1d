"""The figure of a small experiment: a few lines with their names, or one bar per name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate.lessons.lesson import digits, title_of
from whyactivate.plots.style import BLUE, label_ends, new_figure, stroke_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from whyactivate.claims import Sketch

_ORDER = ("relu", "leaky_relu", "tanh", "sigmoid")


def draw_sketch(lesson: Sketch) -> Figure:
    """Lines where there are curves, else bars."""
    return _lines(lesson) if lesson.curves else _bars(lesson)


def _lines(lesson: Sketch) -> Figure:
    figure = new_figure(3.9)
    axes = figure.subplots()
    first: tuple[float, ...] = lesson.curves[0].x
    if lesson.log:
        axes.set_xscale("log")
        axes.set_xticks(first, [f"{x:g}" for x in first])
        axes.minorticks_off()
    ends: list[tuple[str, float, float, str]] = []
    for position, curve in enumerate(lesson.curves):
        stroke = stroke_of(curve.name if curve.name in _ORDER else _ORDER[position % len(_ORDER)])
        few = len(curve.x) <= 20
        axes.plot(
            curve.x,
            curve.y,
            color=stroke.colour,
            linestyle="none" if few and len(lesson.curves) == 1 and len(curve.x) > 3 else stroke.dashes,
            marker=stroke.marker if few else "",
            linewidth=1.2 if len(curve.x) > 500 else 1.8,
        )
        if len(lesson.curves) > 1:
            ends.append((title_of(curve.name), curve.x[-1], curve.y[-1], stroke.colour))
    axes.grid(axis="y")
    if not (len(lesson.curves) == 1 and len(first) <= 20):
        axes.set_xlim(min(first), max(first))
    axes.set_title(lesson.heading)
    axes.set_xlabel(lesson.x_label)
    axes.set_ylabel(lesson.y_label)
    if ends:
        label_ends(axes, ends, room=9)
    return figure


def _bars(lesson: Sketch) -> Figure:
    figure = new_figure(0.38 * len(lesson.bars) + 1.4)
    axes = figure.subplots()
    places = range(len(lesson.bars))
    values = list(lesson.bars.values())
    axes.barh(places, values, color=BLUE, height=0.6)
    for place, value in zip(places, values, strict=True):
        text = f"{value:g}" if value == int(value) else digits(value)
        axes.annotate(text, (value, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(list(places), [title_of(name) for name in lesson.bars])
    axes.set_xlim(0, max([*values, 1e-9]) * 1.15)
    axes.invert_yaxis()
    axes.set_title(lesson.heading)
    axes.set_xlabel(lesson.x_label)
    return figure
