"""What every figure has to do: nothing cut off, no words over words, and nothing told by colour alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

SEEN = {
    "by everybody": np.eye(3),
    # Viénot, Brettel & Mollon 1999, in linear RGB.
    "without red cones": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "without green cones": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
    "in grey": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}
LEAST = 20.0
"""The distance in CIELAB from which on two lines are taken to be told apart; 2.3 is what can just be noticed."""


def lab(colour: Any, sight: np.ndarray) -> np.ndarray:
    """A colour in CIELAB (D65), as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ (sight @ linear).clip(0, 1) / (to_xyz @ np.ones(3))
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: Any, other: Any, sight: str) -> float:
    """How far apart two colours are, as seen so."""
    return float(np.linalg.norm(lab(one, SEEN[sight]) - lab(other, SEEN[sight])))


def looks(line: Line2D) -> tuple[object, ...]:
    """All but the colour: dashes, marker, filled or not, and whether it is a broad band."""
    dashes = line._dash_pattern if line.get_linestyle() != "None" else "none"
    return str(dashes), line.get_marker(), line.get_fillstyle(), line.get_linewidth() > 3


def told_by_colour_alone(figure: Figure) -> list[str]:
    """Pairs of lines in one panel that look alike to somebody, though their colours say that they are not."""
    alike: list[str] = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if line.get_transform() == axes.transData and len(line.get_xdata())]
        kinds = {(line.get_color(), looks(line)) for line in lines}
        for (one, form), (other, shape) in itertools.combinations(sorted(kinds, key=str), 2):
            if form == shape:
                alike += [f"{one} and {other} {how}" for how in SEEN if distance(one, other, how) < LEAST]
    return alike


def texts_of(figure: Figure) -> Iterator[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels; slanted ones are left out, for their boxes say little.

    Its letters are as wide as in an SVG, where no letter is fitted to pixels.
    """
    with mpl.rc_context({"text.hinting": "none"}):
        yield from boxes_of(figure)


def boxes_of(figure: Figure) -> Iterator[tuple[str, Any]]:
    """The same, with letters as wide as matplotlib is set to draw them."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = [axis for axes in figure.axes if axes.axison for axis in (axes.xaxis, axes.yaxis)]
    ticks = [tick for axis in drawn for tick in axis._update_ticks()]
    labels = {label for tick in ticks for label in (tick.label1, tick.label2)}
    others = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.majorTicks, *axis.minorTicks)
        for label in (tick.label1, tick.label2)
    }
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        shown = text.get_visible() and text.get_text().strip() and text not in others - labels
        if shown and text.get_rotation() in (0, 90):
            yield text.get_text(), text.get_window_extent(canvas.get_renderer())


def untidy(figure: Figure) -> list[str]:
    """Texts that leave the figure, and texts that lie over one another."""
    shown = list(texts_of(figure))
    width, height = figure.bbox.width, figure.bbox.height
    found = [
        f"{text!r} is cut off"
        for text, box in shown
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    for (one, a), (other, b) in itertools.combinations(shown, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > 2 and high > 0.35 * min(a.height, b.height):
            found.append(f"{one!r} lies over {other!r}")
    return found
