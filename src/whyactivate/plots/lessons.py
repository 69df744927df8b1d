"""One figure per lesson; what is drawn is in the result already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from whyactivate import __version__
from whyactivate.claims import Sketch
from whyactivate.errors import InputError
from whyactivate.lessons import (
    Approximation,
    Centring,
    DeadUnits,
    FloatNetworks,
    Gradients,
    Lesson,
    Memorisation,
    ModuleGradients,
    ModuleSaturation,
    ModuleUnits,
    Regions,
    Saturation,
    TrainingPath,
    WhereNonlinearity,
    Xor,
)
from whyactivate.lessons.lesson import digits, title_of
from whyactivate.plots.lessons_regions import draw_regions
from whyactivate.plots.lessons_sketch import draw_sketch
from whyactivate.plots.lessons_units import draw_dead_units, draw_module_units
from whyactivate.plots.lessons_verdicts import draw_where
from whyactivate.plots.style import BLUE, GREEN, INK, MUTED, PAPER, VERMILION, finish, new_figure, stroke_of, style
from whyactivate.plots.style import label_ends as name_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = ("-", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
_COLOURS = (INK, BLUE, VERMILION, GREEN)
_MARKERS = ("s", "o", "D", "^")


def draw_lesson(lesson: Lesson, footnote: str | None = None) -> Figure:
    """The figure of a lesson's result.

    Args:
        lesson: the result.
        footnote: small print; the version and what fixes the numbers where None.

    Raises:
        InputError: there is no figure for it.
    """
    draw = _FIGURES.get(type(lesson))
    if draw is None:
        raise InputError(f"there is no figure for {type(lesson).__name__}")
    settings = f", {lesson.settings}" if lesson.settings else ""
    with style():
        return finish(draw(lesson), f"whyactivate {__version__}{settings}" if footnote is None else footnote)


def _saturation(lesson: Saturation) -> Figure:
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
        name_ends(axes, ends, room=10)
    shown = [end for end in lesson.ends if end.high_from is not None and end.high_from <= lesson.z[-1]]
    for end in shown:
        colour = stroke_of(end.activation).colour
        above.plot([end.high_from or 0.0], [end.high], "v", color=colour, markeredgecolor=PAPER, markersize=8, zorder=4)
        above.annotate(
            str(end.dtype).removeprefix("torch."),
            (end.high_from or 0.0, end.high),
            xytext=(0, -9),
            textcoords="offset points",
            ha="right",
            va="top",
            rotation=50,
            fontsize=8,
        )
    above.set_ylabel("φ(z)")
    below.set_ylabel("φ′(z)")
    below.set_xlabel("pre-activation z (a triangle: from there on exactly 1 in that number format)")
    return figure


def _gradients(lesson: Gradients) -> Figure:
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
        _name_ends_log(axes, ends, room=6.5)
    panels[-1].set_xlabel("layer (the gradient travels from the last to the first)")
    panels[-1].set_xticks([depth, *range(depth - depth % 5, 1, -5), 1])
    return figure


def _name_ends_log(axes: Axes, ends: Sequence[tuple[str, float, float, str]], room: float) -> None:
    """`label_ends` for a logarithmic axis: names at the right edge, pushed apart in the axis's own terms."""
    axes.figure.canvas.draw_idle()
    to_axes = axes.transAxes.inverted()
    placed = sorted(
        (to_axes.transform(axes.transData.transform((x, y)))[1], text, colour) for text, x, y, colour in ends
    )
    step = 1 / room
    places: list[float] = []
    for height, _, _ in placed:
        places.append(max(height, places[-1] + step) if places else height)
    if places[-1] > 1:
        for index in reversed(range(len(places))):
            places[index] = min(places[index], 1.0 if index == len(places) - 1 else places[index + 1] - step)
    for (height, text, colour), place in zip(placed, places, strict=True):
        axes.plot(
            (1, 1.012, 1.035, 1.045),
            (height, height, place, place),
            transform=axes.transAxes,
            color=colour,
            linewidth=1,
            clip_on=False,
        )
        axes.text(1.052, place, text, transform=axes.transAxes, va="center")


def _module_gradients(lesson: ModuleGradients) -> Figure:
    figure = new_figure(0.26 * len(lesson.layers) + 1.5)
    axes = figure.subplots()
    norms = [layer.norm for layer in lesson.layers]
    places = range(len(norms))
    axes.hlines(places, min(n for n in [*norms, 1.0] if n > 0) / 2, norms, color=MUTED, linewidth=1)
    axes.plot(norms, places, "o", color=BLUE, markersize=7, markeredgecolor=PAPER)
    axes.set_xscale("log")
    axes.set_yticks(list(places), [layer.name for layer in lesson.layers])
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlabel("norm of the weight's gradient (no unit)")
    axes.set_title("Gradient of every weight, first to last")
    return figure


def _module_saturation(lesson: ModuleSaturation) -> Figure:
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
    axes.set_yticks(list(places), [call.name for call in lesson.calls])
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlabel("share of the values (%)")
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure


def _centring(lesson: Centring) -> Figure:
    figure = new_figure(4.4)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [3, 2]})
    names = list(lesson.outputs)
    places = range(len(names))
    for number, mean in enumerate(lesson.means):
        values = [lesson.outputs[name][number] for name in names]
        label = f"N({mean:g}, 1)".replace("-", "−")
        colour = _COLOURS[(number + 1) % len(_COLOURS)]
        left.plot(values, places, _MARKERS[number % 4], color=colour, markersize=7, markeredgecolor=PAPER, label=label)
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


def _memorisation(lesson: Memorisation) -> Figure:
    figure = new_figure(6.2)
    for axes, trial, title in zip(
        figure.subplots(2, 1),
        (lesson.noise, lesson.pattern),
        ("The article's noise", "A pattern: two waves of a sine"),
        strict=True,
    ):
        floor = fmean(trial.floor)
        ends: list[tuple[str, float, float, str]] = []
        for position, run in enumerate(trial.runs):
            stroke = stroke_of(run.activation, position)
            axes.plot(
                range(len(run.curve)),
                run.curve,
                color=stroke.colour,
                linestyle=stroke.dashes,
                marker=stroke.marker,
                markevery=(position * len(run.curve) // 40, max(1, len(run.curve) // 6)),
                markeredgecolor=PAPER,
                markeredgewidth=0.6,
            )
            name = f"{title_of(run.activation)} {run.mean:.2f}, test {run.test_mean:.2f}"
            ends.append((name, len(run.curve) - 1, run.curve[-1], stroke.colour))
        right = len(trial.runs[0].curve) - 1
        axes.axhline(floor, color=MUTED, linewidth=5, alpha=0.35, zorder=1)
        ends.append((f"linear floor {floor:.2f}, test {fmean(trial.floor_test):.2f}", right, floor, MUTED))
        axes.set_xlim(0, right)
        axes.set_ylim(0, max(trial.zero_train) * 1.15)
        axes.grid(axis="y")
        axes.set_title(f"{title}: predicting 0 gives {fmean(trial.zero_test):.2f} on fresh data")
        axes.set_ylabel("training error (MSE)")
        axes.set_xlabel("epochs of training")
        name_ends(axes, ends, room=11)
    return figure


def _approximation(lesson: Approximation) -> Figure:
    figure = new_figure(6.4)
    above, below = figure.subplots(2, 1)
    x, wanted, relu, steps = lesson.curve
    shown = lesson.relu[min(1, len(lesson.relu) - 1)].units
    above.plot(x, wanted, color=INK, linewidth=4, alpha=0.25)
    above.plot(x, relu, color=BLUE)
    above.plot(x, steps, color=VERMILION, linestyle=_DASHES[1])
    above.set_xlim(x[0], x[-1])
    above.grid()
    above.set_title(f"{lesson.function}, and {shown} hidden units written down by hand")
    above.set_xlabel("x")
    above.set_ylabel("output")
    name_ends(
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
    for fits, colour, dashes, marker in ((lesson.relu, BLUE, "-", "o"), (lesson.sigmoid, VERMILION, _DASHES[1], "D")):
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
    _name_ends_log(below, ends, room=10)
    return figure


def _xor(lesson: Xor) -> Figure:
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


def _training_path(lesson: TrainingPath) -> Figure:
    figure = new_figure(1.75 * len(lesson.paths) + 0.9)
    panels = cast("Sequence[Axes]", figure.subplots(len(lesson.paths), 1, sharex=True, squeeze=False)[:, 0])
    for axes, path in zip(panels, lesson.paths, strict=True):
        ends: list[tuple[str, float, float, str]] = []
        for mode, strength in enumerate(lesson.strengths):
            values = [row[mode] for row in path.modes]
            colour = _COLOURS[(mode + 1) % len(_COLOURS)]
            axes.axhline(strength, color=MUTED, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
            axes.plot(path.steps, values, color=colour, linestyle=_DASHES[mode % 4])
            half = path.half[mode]
            if half is not None:
                axes.plot([half], [strength / 2], "o", color=colour, markeredgecolor=PAPER, markersize=7, zorder=4)
            ends.append((f"mode of strength {strength:g}", path.steps[-1], values[-1], colour))
        axes.set_xlim(0, path.steps[-1])
        axes.set_ylim(0, max(lesson.strengths) * 1.1)
        axes.set_title("One layer" if path.depth == 1 else f"{path.depth} layers, no activation between them")
        axes.set_ylabel("strength")
        name_ends(axes, ends, room=8)
    panels[-1].set_xlabel("steps of gradient descent (a dot: half its strength)")
    return figure


def _float_networks(lesson: FloatNetworks) -> Figure:
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
    name_ends(
        axes,
        [
            ("as a function of\nreal numbers", ends[1], ends[1] - 0.25, INK),
            ("as computed", ends[1], lesson.output[-1], BLUE),
        ],
        room=7,
    )
    return figure


_FIGURES: dict[type[Lesson], Callable[[Any], Figure]] = {
    Saturation: _saturation,
    ModuleSaturation: _module_saturation,
    Gradients: _gradients,
    ModuleGradients: _module_gradients,
    DeadUnits: draw_dead_units,
    ModuleUnits: draw_module_units,
    Centring: _centring,
    Memorisation: _memorisation,
    Regions: draw_regions,
    Approximation: _approximation,
    Xor: _xor,
    TrainingPath: _training_path,
    FloatNetworks: _float_networks,
    WhereNonlinearity: draw_where,
    Sketch: draw_sketch,
}
