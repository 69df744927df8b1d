"""Linear regions: polygons in a plane slice, or pieces along a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate.plots.style import BLUE, DIVERGING, INK, MUTED, PAPER, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from whyactivate.lessons.regions import Regions


def draw_regions(lesson: Regions) -> Figure:
    """The exact polygons, each in the shade of the network's output at its centre; or the output along a segment."""
    return _plane(lesson) if lesson.dimensions == 2 else _segment(lesson)


def _plane(lesson: Regions) -> Figure:
    from matplotlib.collections import PolyCollection

    figure = new_figure(5.3)
    axes = figure.subplots()
    corners = [[(float(x), float(y)) for x, y in cell.corners] for cell in lesson.cells]
    heights = [float(cell(*cell.centre)[0]) for cell in lesson.cells]
    shapes = PolyCollection(corners, array=heights, cmap=DIVERGING)
    if len(set(heights)) == 1:
        shapes.set_clim(heights[0] - 1, heights[0] + 1)
    axes.add_collection(shapes)
    # A light line on a dark one: either is lost on some of the shades.
    for colour, width in ((INK, 1.7), (PAPER, 0.7)):
        axes.add_collection(PolyCollection(corners, facecolors="none", edgecolors=colour, linewidths=width))
    (left, right), (low, high) = lesson.extent
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    count = len(lesson.regions)
    axes.set_title(f"{_counted(count, 'linear region')} (at most {_counted(lesson.bound, 'cell')})")
    what = "input" if lesson.is_whole_plane else "coordinate of the slice"
    axes.set_xlabel(f"first {what}")
    axes.set_ylabel(f"second {what}")
    bar = figure.colorbar(shapes, ax=axes, shrink=0.85)
    bar.set_label("output at the region's centre")
    bar.outline.set_edgecolor(MUTED)
    return figure


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _segment(lesson: Regions) -> Figure:
    figure = new_figure(3.7)
    axes = figure.subplots()
    ends = sorted({corner[0] for cell in lesson.cells for corner in cell.corners})
    values = {corner[0]: float(cell(*corner)[0]) for cell in lesson.cells for corner in cell.corners}
    one_input = lesson.origin.numel() == 1
    x = [lesson.input_at(float(t)).item() if one_input else float(t) for t in ends]
    y = [values[t] for t in ends]
    axes.plot(x, y, color=BLUE)
    axes.plot(x[1:-1], y[1:-1], "o", color=INK, markeredgecolor=PAPER, markersize=5)
    axes.set_xlim(min(x), max(x))
    axes.grid(axis="y")
    pieces = _counted(len(lesson.regions), "affine piece")
    axes.set_title(f"{pieces} along the segment (at most {lesson.bound})")
    place = "input" if one_input else "position on the segment"
    axes.set_xlabel(f"{place} (a dot: a unit crosses its kink)")
    axes.set_ylabel("output")
    return figure
