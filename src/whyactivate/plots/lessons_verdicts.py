"""Where the nonlinearity lives: a table of networks, what was taken out, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate.affine import Verdict
from whyactivate.lessons.lesson import listing
from whyactivate.plots.style import BLUE, INK, ORANGE, RULE, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whyactivate.lessons import WhereNonlinearity

_LOOKS = {Verdict.AFFINE: (BLUE, "s"), Verdict.NOT_AFFINE: (VERMILION, "X"), Verdict.UNDECIDED: (ORANGE, "D")}


def draw_where(lesson: WhereNonlinearity) -> Figure:
    """One line per variant: its verdict, and the operations that are not affine."""
    rows = len(lesson.variants)
    networks = list(dict.fromkeys(variant.network for variant in lesson.variants))
    figure = new_figure(0.3 * (rows + len(networks)) + 0.9)
    axes = figure.subplots()
    axes.set_axis_off()
    place = 0.0
    for network in networks:
        _write(axes, 0, place, network[0].upper() + network[1:], weight="bold")
        place += 1
        for variant in lesson.of(network):
            colour, marker = _LOOKS[variant.verdict]
            axes.plot([0.025], [place], marker, color=colour, markersize=7)
            _write(axes, 0.05, place, f"without {', '.join(variant.without)}" if variant.without else "whole")
            left = listing(variant.breakers_in_words) if variant.breakers else ""
            degree = f" (a polynomial of degree {variant.degree})" if (variant.degree or 0) > 1 else ""
            _write(axes, 0.495, place, variant.says + (f": {left}{degree}" if left else ""))
            axes.plot((0, 1), (place + 0.5, place + 0.5), color=RULE, linewidth=0.6)
            place += 1
    axes.set_xlim(0, 1)
    axes.set_ylim(place - 0.3, -0.6)
    return figure


def _write(axes: Axes, x: float, y: float, text: str, weight: str = "normal") -> None:
    axes.text(x, y, text, va="center", fontsize=8.5, fontweight=weight, color=INK).set_in_layout(False)
