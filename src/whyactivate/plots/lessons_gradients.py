"""Gradients from the last layer to the first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from whyactivate.lessons.lesson import digits, title_of
from whyactivate.plots.style import BLUE, MUTED, PAPER, label_ends, new_figure, stroke_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whyactivate.lessons import Gradients, ModuleGradients


def draw_gradients(lesson: Gradients) -> Figure:
    """Per kind of initial weights, the gradient of every layer beside that of the last."""
    depth = max(run.depth for run in lesson.runs)
    inits = list(dict.fromkeys(run.init for run in lesson.runs))
    names = {"default": "PyTorch's default", "xavier": "Xavier", "he": "He"}
    figure = new_figure(2.1 * len(inits) + 0.9)
    panels = cast("Sequence[Axes]", figure.subplots(len(inits), 1, sharex=True, squeeze=False)[:, 0])
    for axes, init in zip(panels, inits, strict=True):
        ends: list[tuple[str, float, float, str]] = []
        axes.set_yscale("log")
        for position, run in enumerate(r for r in lesson.runs if r.depth == depth and r.init == init):
            stroke = stroke_of(run.activation, position)
            if not (math.isfinite(run.ratio) and run.ratio > 0):
                continue  # no logarithm of it to draw; the words tell it
            relative = [norm / run.norms[-1] for norm in run.norms]
            axes.plot(
                range(1, depth + 1),
                relative,
                color=stroke.colour,
                linestyle=stroke.dashes,
                marker=stroke.marker,
                markevery=(position, 5),
                markeredgecolor=PAPER,
                markeredgewidth=0.6,
            )
            ends.append((f"{title_of(run.activation)} {digits(run.ratio)}", 1, relative[0], stroke.colour))
        axes.set_xlim(depth, 1)
        axes.grid(axis="y")
        axes.set_title(f"{names[init]} initial weights")
        axes.set_ylabel("gradient norm /\nlast layer's")
        if ends:
            label_ends(axes, ends, room=6.5)
    panels[-1].set_xlabel("layer (the gradient travels from the last to the first)")
    panels[-1].set_xticks(sorted({depth, *range(5, depth, 5), 1}, reverse=True))
    return figure


def draw_module_gradients(lesson: ModuleGradients) -> Figure:
    """The gradient norm of every weight of a module."""
    figure = new_figure(0.26 * len(lesson.layers) + 1.5)
    axes = figure.subplots()
    norms = [layer.norm for layer in lesson.layers]
    places = range(len(norms))
    least = min(n for n in [*norms, 1.0] if n > 0) / 2
    axes.hlines([p for p in places if norms[p]], least, [n for n in norms if n], color=MUTED, linewidth=1)
    for place, norm in zip(places, norms, strict=True):
        if norm == 0:  # a logarithm has no place for it
            axes.text(0.01, place, "0", transform=axes.get_yaxis_transform(), va="center")
    axes.plot(norms, places, "o", color=BLUE, markersize=7, markeredgecolor=PAPER)
    if any(norms):
        axes.set_xscale("log")
    axes.set_yticks(list(places), [layer.name for layer in lesson.layers])
    axes.set_ylim(len(norms) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.set_xlabel("norm of the weight's gradient (no unit)")
    axes.set_title("Gradient of every weight, first to last")
    return figure
