"""Saturation and centring: what squashing does to numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate.lessons.lesson import title_of
from whyactivate.plots.style import BLUE, COLOURS, INK, MARKERS, MUTED, PAPER, label_ends, new_figure, stroke_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from whyactivate.lessons import Centring, ModuleSaturation, Saturation


def draw_saturation(lesson: Saturation) -> Figure:
    """Values above, slopes below, with the places from which the value is exactly at its end."""
    figure = new_figure(5.6)
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, curves, title in (
        (above, lesson.values, "Value: flat at both ends"),
        (below, lesson.slopes, "Slope: what a gradient is multiplied by"),
    ):
        ends: list[tuple[str, float, float, str]] = []
        for position, (name, values) in enumerate(curves.items()):
            stroke = stroke_of(name, position)
            axes.plot(lesson.z, values, color=stroke.colour, linestyle=stroke.dashes)
            ends.append((title_of(name), lesson.z[-1], values[-1], stroke.colour))
        axes.set_xlim(lesson.z[0], lesson.z[-1])
        axes.grid()
        axes.set_title(title)
        label_ends(axes, ends, room=10)
    shown = [end for end in lesson.ends if end.high_from is not None and end.high_from <= lesson.z[-1]]
    places: dict[tuple[str, float, float], list[str]] = {}
    for end in shown:
        place = (end.activation, end.high_from or 0.0, end.high)
        places.setdefault(place, []).append(str(end.dtype).removeprefix("torch."))
    order = list(lesson.values)
    for (name, z, high), formats in places.items():
        mark = stroke_of(name, order.index(name))
        above.plot([z], [high], mark.marker, color=mark.colour, markeredgecolor=PAPER, markersize=8, zorder=4)
        above.annotate(
            formats[0] if len(formats) == 1 else f"{len(formats)} formats",
            (z, high),
            xytext=(0, -9),
            textcoords="offset points",
            ha="right",
            va="top",
            rotation=50,
            fontsize=8,
        )
    above.set_ylabel("φ(z)")
    below.set_ylabel("φ′(z)")
    below.set_xlabel("pre-activation z (a mark: from there on exactly 1 in that number format)")
    return figure


def draw_module_saturation(lesson: ModuleSaturation) -> Figure:
    """Per activation of a module, the share of flat values and of those at an end."""
    figure = new_figure(0.42 * max(1, len(lesson.calls)) + 1.6)
    axes = figure.subplots()
    places = range(len(lesson.calls))
    axes.barh(
        places,
        [100 * call.flat for call in lesson.calls],
        color=BLUE,
        height=0.6,
        label="slope below 1 % of the largest",
    )
    axes.barh(
        places,
        [100 * call.at_end for call in lesson.calls],
        color=INK,
        height=0.25,
        label="exactly at an end of the range",
    )
    for place, call in zip(places, lesson.calls, strict=True):
        told = f"{100 * call.flat:.1f} % ({100 * call.at_end:.1f} %)"
        axes.annotate(told, (100 * call.flat, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(list(places), [call.name for call in lesson.calls])
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlim(0, 125)
    axes.set_ylim(len(lesson.calls) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.set_xlabel("share of the values (%)")
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure


def draw_centring(lesson: Centring) -> Figure:
    """Average outputs by input, and what that does to the next layer's inputs."""
    figure = new_figure(4.4)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [3, 2]})
    names = list(lesson.outputs)
    places = range(len(names))
    for number, mean in enumerate(lesson.means):
        values = [lesson.outputs[name][number] for name in names]
        label = f"N({mean:g}, 1)".replace("-", "−")
        colour = COLOURS[(number + 1) % len(COLOURS)]
        left.plot(values, places, MARKERS[number % 4], color=colour, markersize=7, markeredgecolor=PAPER, label=label)
    left.axvline(0, color=MUTED, linewidth=1)
    left.set_yticks(list(places), [title_of(name) for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    left.grid(axis="x")
    left.set_xlabel("average output")
    left.set_title("Average output by input")
    left.legend(title="inputs from", frameon=False, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=3)
    shares = [100 * lesson.next_layer(name).leading for name in names]
    right.barh(places, shares, color=BLUE, height=0.55)
    for place, share in zip(places, shares, strict=True):
        right.annotate(f"{share:.0f} %", (share, place), xytext=(3, 0), textcoords="offset points", va="center")
    right.set_yticks([])
    right.set_ylim(left.get_ylim())
    right.set_xlim(0, 115)
    right.set_title("The next layer's inputs")
    right.set_xlabel("share of one direction in\ntheir second moments (%)")
    return figure
