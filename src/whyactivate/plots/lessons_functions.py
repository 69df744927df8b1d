"""Functions that networks are, beside those that they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from whyactivate.plots.style import BLUE, DASHES, INK, MUTED, VERMILION, label_ends, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from whyactivate.lessons import Approximation, FloatNetworks, Xor


def draw_approximation(lesson: Approximation) -> Figure:
    """A function with its networks written down by hand, and how their error falls with the units."""
    figure = new_figure(6.4)
    above, below = figure.subplots(2, 1)
    x, wanted, relu, steps = lesson.curve
    shown = lesson.relu[min(1, len(lesson.relu) - 1)].units
    above.plot(x, wanted, color=INK, linewidth=4, alpha=0.25)
    above.plot(x, relu, color=BLUE)
    above.plot(x, steps, color=VERMILION, linestyle=DASHES[1])
    above.set_xlim(x[0], x[-1])
    above.grid()
    above.set_title(f"{lesson.function}, and {shown} hidden units written down by hand")
    above.set_xlabel("x")
    above.set_ylabel("output")
    label_ends(
        above,
        [
            (lesson.function, x[-1], wanted[-1], MUTED),
            ("ReLU", x[-1], relu[-1], BLUE),
            ("sigmoid", x[-1], steps[-1], VERMILION),
        ],
        room=9,
    )
    below.set_xscale("log", base=2)
    below.set_yscale("log")
    for fits, colour, dashes, marker in ((lesson.relu, BLUE, "-", "o"), (lesson.sigmoid, VERMILION, DASHES[1], "D")):
        below.plot(
            [fit.units for fit in fits], [fit.error for fit in fits], color=colour, linestyle=dashes, marker=marker
        )
    bounds = [lesson.bound(fit) for fit in lesson.relu]
    ends = [
        (f"sigmoid: order {lesson.sigmoid_order:.1f}", lesson.sigmoid[-1].units, lesson.sigmoid[-1].error, VERMILION),
        (f"ReLU: order {lesson.order:.1f}", lesson.relu[-1].units, lesson.relu[-1].error, BLUE),
    ]
    if all(bound is not None for bound in bounds):
        below.plot(
            [fit.units for fit in lesson.relu],
            cast("list[float]", bounds),
            color=MUTED,
            linewidth=6,
            alpha=0.3,
            zorder=1,
        )
        below.set_title("Largest error (grey: the bound h²/8 · max|f″|)")
    else:
        below.set_title("Largest error")
    below.set_xticks([fit.units for fit in lesson.relu], [str(fit.units) for fit in lesson.relu])
    below.set_xlim(lesson.relu[0].units / 1.1, lesson.relu[-1].units)
    below.grid(axis="y")
    below.set_xlabel("hidden units")
    below.set_ylabel("largest |error|")
    label_ends(below, ends, room=10)
    return figure


def draw_xor(lesson: Xor) -> Figure:
    """What is wanted at the four corners, what two ReLU units give, and what the best affine map gives."""
    figure = new_figure(3.4)
    axes = figure.subplots()
    names = ["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"]
    places = range(len(names))
    axes.plot(
        places, lesson.targets, "s", color=INK, markersize=13, fillstyle="none", markeredgewidth=1.6, label="wanted"
    )
    axes.plot(places, [float(v) for v in lesson.network], "o", color=BLUE, markersize=7, label="two ReLU units")
    axes.plot(places, [float(v) for v in lesson.fitted], "D", color=VERMILION, markersize=7, label="best affine fit")
    for place, wanted, fitted in zip(places, lesson.targets, lesson.fitted, strict=True):
        axes.plot(
            (place, place), (wanted, float(fitted)), color=VERMILION, linewidth=1, linestyle=(0, (2, 2)), zorder=1
        )
    axes.set_xticks(list(places), names)
    axes.set_xlim(-0.4, 3.4)
    axes.set_yticks([0, 0.5, 1], ["0", "1/2", "1"])
    axes.grid(axis="y")
    axes.set_xlabel("input (x₁, x₂)")
    axes.set_ylabel("output")
    axes.set_title(f"XOR: affine error {lesson.affine_error}, network error {lesson.network_error}")
    figure.legend(loc="outside upper left", ncols=3, frameon=False, handletextpad=0.3)
    return figure


def draw_float_networks(lesson: FloatNetworks) -> Figure:
    """What the float network gives along a line, beside the real function."""
    figure = new_figure(3.9)
    axes = figure.subplots()
    ends = (lesson.line[0], lesson.line[-1])
    axes.plot(ends, ends, color=INK, linestyle=(0, (4, 2)), linewidth=1.4)
    axes.plot(lesson.line, lesson.output, color=BLUE, linewidth=2)
    axes.grid()
    axes.set_xlim(*ends)
    axes.set_title(f"Multiplied by {lesson.tiny:.0e} and back, in float32".replace("e-", "e−"))
    axes.set_xlabel("input (no unit)")
    axes.set_ylabel("output")
    label_ends(
        axes,
        [
            ("as a function of\nreal numbers", ends[1], ends[1], INK),
            ("as computed", ends[1], lesson.output[-1], BLUE),
        ],
        room=7,
    )
    return figure
