"""One look for every figure: colours, line styles, sizes, and how a figure is saved.

Colours are Okabe and Ito's (2008), which people with any colour vision can tell apart; each line also
has its own dashes and marker and is named where it ends, so that a grey print says the same.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from whyactivate.errors import InputError
from whyactivate.plots.expected import check_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1b1b1f", "#5d6169", "#d9dce1", "#ffffff"
BLUE, VERMILION, GREEN, PURPLE, ORANGE = "#0072b2", "#d55e00", "#009e73", "#b0568a", "#e69f00"
CLASS_COLOURS = (BLUE, VERMILION)
CLASS_FILLS = ("#d3e6f2", "#fbe3d3")
COLOUR_ROLES = {
    INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper", BLUE: "blue", VERMILION: "vermilion", GREEN: "green",
    PURPLE: "purple", ORANGE: "orange", CLASS_FILLS[0]: "blue-fill", CLASS_FILLS[1]: "vermilion-fill",
}  # fmt: skip
"""What each colour is for, so that a page can show the same figure on a dark ground."""
CLASS_MARKERS = ("o", "^")
DIVERGING = "cividis"
"""Blue, grey, yellow with steadily rising lightness: a grey print still tells minus from plus."""

WIDTH = 6.4
"""Width of every figure, in inches."""

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.hinting": "none",  # letters are then as wide for the layout as in the SVG
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": PAPER,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "path.simplify": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "whyactivate",
    "savefig.facecolor": PAPER,
}


@dataclass(frozen=True, slots=True)
class Stroke:
    """How one network's line is drawn."""

    colour: str
    dashes: Any
    marker: str


_STROKES = {
    "identity": Stroke(INK, "-", "s"),
    "relu": Stroke(BLUE, "-", "o"),
    "sigmoid": Stroke(PURPLE, (0, (1.2, 1.4)), "v"),
    "tanh": Stroke(GREEN, (0, (6, 1.5, 1.2, 1.5)), "^"),
    "leaky_relu": Stroke(VERMILION, (0, (4, 1.6)), "D"),
}
_OTHERS = (
    Stroke(ORANGE, "-", "P"),
    Stroke(BLUE, (0, (4, 1.6)), "X"),
    Stroke(GREEN, (0, (1.2, 1.4)), "*"),
    Stroke(PURPLE, (0, (6, 1.5, 1.2, 1.5)), "h"),
)

DASHES = ("-", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
COLOURS = (INK, BLUE, VERMILION, GREEN)
MARKERS = ("s", "o", "D", "^")
"""For what is no activation: dashes and markers differ wherever colours do."""


def stroke_of(activation: str, position: int = 0) -> Stroke:
    """The line style of an activation: its own where it has one, else one by position."""
    return _STROKES.get(activation) or _OTHERS[position % len(_OTHERS)]


@contextmanager
def style() -> Generator[None]:
    """The look, for as long as the block lasts; matplotlib's own settings come back after it."""
    import matplotlib as mpl

    with mpl.rc_context(cast("Any", _STYLE)):
        yield


def new_figure(height: float) -> Figure:
    """An empty figure of the common width, known to no global state."""
    from whyactivate.plots.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def finish(figure: Figure, footnote: str, passes: int = 1) -> Figure:
    """Writes the small print (seed, version) at the foot and lays the figure out, once and for all.

    Axes of a fixed shape need two passes: only then is it known how much room is left around them.
    """
    if footnote:
        figure.supxlabel(footnote, x=0.995, ha="right", fontsize=7.5, color=MUTED)
    layout = figure.get_layout_engine()
    if layout is not None:
        for _ in range(passes):
            layout.execute(figure)
        figure.set_layout_engine("none")
    return figure


def label_ends(axes: Axes, ends: Sequence[tuple[str, float, float, str]], room: float) -> None:
    """Names lines where they end, pushed apart where they would overlap.

    Args:
        axes: where; its limits and scales must be set already.
        ends: text, x and y of the line's end, colour of the leader.
        room: how many labels the height of the axes has room for.
    """
    _ = axes.viewLim  # finds the limits, where that is still to be done
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = sorted(((*to_axes.transform((x, y)), text, colour) for text, x, y, colour in ends), key=lambda end: end[1])
    step = 1 / room
    places: list[float] = []
    for _, height, _, _ in placed:
        places.append(max(height, places[-1] + step) if places else height)
    if places[-1] > 1:
        for index in reversed(range(len(places))):
            places[index] = min(places[index], 1.0 if index == len(places) - 1 else places[index + 1] - step)
    for (start, height, text, colour), place in zip(placed, places, strict=True):
        axes.plot(
            (start, start + 0.012, start + 0.035, start + 0.045),
            (height, height, place, place),
            transform=axes.transAxes,
            color=colour,
            linewidth=1.0,
            clip_on=False,
            scalex=False,
            scaley=False,
        )
        axes.text(start + 0.052, place, text, transform=axes.transAxes, va="center")


def svg_of(figure: Figure) -> str:
    """The figure as SVG text: the same figure gives the same text, with no date in it.

    Raises:
        InputError: figure is something else.
    """
    check_kind("figure", figure, "Figure", "as the functions of whyactivate.plots give it")
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def save_figure(figure: Figure, folder: Path, name: str, *, svg: str | None = None) -> tuple[Path, Path]:
    """Writes `name`.svg and `name`.png into the folder and returns both paths.

    Raises:
        InputError: figure is no figure, or folder no folder that is there.
    """
    check_kind("figure", figure, "Figure", "as the functions of whyactivate.plots give it")
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder must be a folder that is there, but {folder} came; make it first")
    vector, raster = folder / f"{name}.svg", folder / f"{name}.png"
    vector.write_text(svg_of(figure) if svg is None else svg, encoding="utf-8")
    with style():
        figure.savefig(raster, format="png", dpi=160)
    return vector, raster
