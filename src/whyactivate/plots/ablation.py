"""What taking activations out does, as a figure: losses before and after retraining, or the layers in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate import __version__
from whyactivate.plots.expected import check_kind
from whyactivate.plots.style import BLUE, INK, MUTED, PAPER, finish, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whyactivate.ablation import Ablation, Losses, Without

_WIDE_RANGE = 30
_LONGEST = 34


def plot_ablation(ablation: Ablation, footnote: str | None = None) -> Figure:
    """One row per network: the module as it is, without each activation, and without all of them.

    Args:
        ablation: what came of `ablate`.
        footnote: small print; the version and how it was retrained where None.

    Raises:
        InputError: ablation is something else.
    """
    check_kind("ablation", ablation, "Ablation", "as ablate gives it")
    rows = [("as it is", ablation.whole)]
    rows += [(_short(f"without {single.taken_out[0]}"), single) for single in ablation.singles]
    if len(ablation.singles) > 1:
        rows.append(("without all of them", ablation.none_left))
    with style():
        figure = new_figure(0.42 * len(rows) + (2.0 if ablation.data else 1.5))
        axes = figure.subplots()
        (_losses if ablation.data else _layers)(figure, axes, ablation, [each for _, each in rows])
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        return finish(figure, _small(ablation) if footnote is None else footnote, passes=2)


def _losses(figure: Figure, axes: Axes, ablation: Ablation, rows: list[Without]) -> None:
    values = [] if ablation.floor is None else [ablation.floor]
    for place, losses in enumerate(each.losses for each in rows):
        if losses is not None:
            values += _row(axes, place, losses)
    if values and min(values) > 0 and max(values) > _WIDE_RANGE * min(values):
        axes.set_xscale("log")
    axes.plot([], [], "s", color=INK, fillstyle="none", label="not retrained")
    axes.plot([], [], "D", color=BLUE, markeredgecolor=PAPER, label="retrained (dots: each order of rows)")
    if ablation.floor is not None:
        axes.axvline(
            ablation.floor, color=MUTED, linewidth=4, alpha=0.4, zorder=1, label=f"linear floor {ablation.floor:.3g}"
        )
    figure.legend(loc="outside upper left", ncols=3, frameon=False, handletextpad=0.4)
    axes.set_xlabel(f"training loss on {ablation.data}")


def _row(axes: Axes, place: int, losses: Losses) -> list[float]:
    """Draws one network's losses and returns them."""
    ended = [run.train for run in losses.retrained if run.train is not None]
    middle = losses.retrained_train
    if middle is not None:
        axes.plot((losses.train, middle), (place, place), color=MUTED, linewidth=1, zorder=1.5)
        axes.plot(ended, [place + 0.22] * len(ended), ".", color=BLUE, markersize=5, zorder=2)
        axes.plot([middle], [place], "D", color=BLUE, markeredgecolor=PAPER, markersize=8, zorder=3)
    axes.plot([losses.train], [place], "s", color=INK, fillstyle="none", markersize=8, markeredgewidth=1.4, zorder=2.5)
    return [losses.train, *ended]


def _layers(_: Figure, axes: Axes, ablation: Ablation, rows: list[Without]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.barh(range(len(rows)), [each.effective for each in rows], color=BLUE, height=0.55)
    for place, each in enumerate(rows):
        surplus = "" if each.surplus is None else f", {each.surplus} parameters surplus"
        text = f"{each.effective} of {each.written}{surplus}"
        axes.annotate(text, (each.effective, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, max(1, ablation.whole.written) * 1.9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layers in effect")


def _small(ablation: Ablation) -> str:
    parts = [f"whyactivate {__version__}", f"{ablation.module}, {ablation.parameters} parameters"]
    if ablation.config is not None:
        parts.append(f"{ablation.config.epochs} epochs, seeds {', '.join(map(str, ablation.seeds))}")
    return ", ".join(parts)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
