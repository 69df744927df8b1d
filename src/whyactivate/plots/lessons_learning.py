"""What training does, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, cast

from whyactivate.lessons.lesson import title_of
from whyactivate.plots.style import COLOURS, DASHES, MARKERS, MUTED, PAPER, label_ends, new_figure, stroke_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whyactivate.lessons import Memorisation, TrainingPath


def draw_memorisation(lesson: Memorisation) -> Figure:
    """Training error by epoch on noise and on a pattern, with the linear floor."""
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
        label_ends(axes, ends, room=11)
    return figure


def draw_training_path(lesson: TrainingPath) -> Figure:
    """The strength of every mode by step, one panel per depth."""
    figure = new_figure(1.75 * len(lesson.paths) + 0.9)
    panels = cast("Sequence[Axes]", figure.subplots(len(lesson.paths), 1, sharex=True, squeeze=False)[:, 0])
    for axes, path in zip(panels, lesson.paths, strict=True):
        ends: list[tuple[str, float, float, str]] = []
        for mode, strength in enumerate(lesson.strengths):
            values = [row[mode] for row in path.modes]
            colour = COLOURS[(mode + 1) % len(COLOURS)]
            axes.axhline(strength, color=MUTED, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
            axes.plot(path.steps, values, color=colour, linestyle=DASHES[mode % 4])
            half = path.half[mode]
            if half is not None:
                axes.plot(
                    [half],
                    [strength / 2],
                    MARKERS[(mode + 1) % 4],
                    color=colour,
                    markeredgecolor=PAPER,
                    markersize=7,
                    zorder=4,
                )
            ends.append((f"mode of strength {strength:g}", path.steps[-1], values[-1], colour))
        axes.set_xlim(0, path.steps[-1])
        axes.set_ylim(0, max(lesson.strengths) * 1.1)
        axes.set_title("One layer" if path.depth == 1 else f"{path.depth} layers, no activation between them")
        axes.set_ylabel("strength")
        label_ends(axes, ends, room=8)
    panels[-1].set_xlabel("steps of gradient descent (a mark: half its strength)")
    return figure
