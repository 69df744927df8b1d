"""Decision boundaries in the plane, and the rows of a weight matrix as images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from whyactivate._checks import check_some, check_whole, show_value
from whyactivate.errors import InputError
from whyactivate.plots.expected import check_kind
from whyactivate.plots.style import (
    CLASS_COLOURS,
    CLASS_FILLS,
    CLASS_MARKERS,
    DIVERGING,
    INK,
    MUTED,
    PAPER,
    finish,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from whyactivate.datasets import Dataset
    from whyactivate.demo.results import DecisionMap


def plot_boundaries(data: Dataset, maps: Sequence[DecisionMap], *, footnote: str = "") -> Figure:
    """Where each network draws the line between two classes, over the test samples.

    Raises:
        InputError: data is no data set, its features are not two or its classes not two, or there is no map.
    """
    check_kind("data", data, "Dataset", "as load_dataset gives it")
    if data.features != 2 or len(data.classes) != 2:
        raise InputError(
            f"data must have two features and two classes; {data.name} has {data.features} and {len(data.classes)}"
        )
    for number, each in enumerate(check_some("maps", maps)):
        check_kind(f"maps[{number}]", each, "DecisionMap", "as the classes in run_demo's result have it")
    with style():
        figure = new_figure(3.9)
        for position, (axes, shown) in enumerate(
            zip(figure.subplots(1, len(maps), sharey=True, squeeze=False)[0], maps, strict=True)
        ):
            low, high = float(shown.score.min()), float(shown.score.max())
            axes.contourf(
                shown.x, shown.y, shown.score, levels=[min(low, 0) - 1, 0, max(high, 0) + 1], colors=list(CLASS_FILLS)
            )
            axes.contour(shown.x, shown.y, shown.score, levels=[0], colors=[INK], linewidths=1.8)
            for number, name in enumerate(data.classes):
                x = data.test_x[data.test_y == number].numpy()
                axes.scatter(
                    x[:, 0],
                    x[:, 1],
                    s=22,
                    marker=CLASS_MARKERS[number],
                    color=CLASS_COLOURS[number],
                    edgecolors=PAPER,
                    linewidths=0.5,
                    label=name,
                )
            axes.set_title(f"{shown.title}: {100 * shown.test_accuracy:.1f} % right")
            axes.set_xlabel(f"{data.feature_names[0]} (standardised)")
            axes.set_aspect("equal")
            axes.set_xlim(shown.x[0], shown.x[-1])
            axes.set_ylim(shown.y[0], shown.y[-1])
            if position == 0:
                axes.set_ylabel(f"{data.feature_names[1]} (standardised)")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles,
            [f"test sample, {name}" for name in names],
            loc="outside upper left",
            ncols=2,
            frameon=False,
            handletextpad=0.1,
        )
        return finish(figure, footnote, passes=2)


def plot_weight_images(
    weight: Tensor, image_shape: tuple[int, int], names: Sequence[str], *, footnote: str = ""
) -> Figure:
    """Each row of the weight as a small image: yellow pixels speak for its class, blue ones against.

    Args:
        weight: (classes, pixels).
        image_shape: height and width of an image.
        names: the name of each class.
        footnote: small print, such as the seed and the version.

    Raises:
        InputError: the three do not fit together.
    """
    names = check_some("names", names)
    check_kind("weight", weight, "Tensor", "one row for each class")
    height, width = (check_whole(f"image_shape[{i}]", side, 1) for i, side in enumerate(_two(image_shape)))
    image_shape = height, width
    if tuple(weight.shape) != (len(names), height * width):
        raise InputError(
            f"weight must have the shape {(len(names), height * width)} for {len(names)} names and images of {height} "
            f"by {width} pixels, but {tuple(weight.shape)} came"
        )
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    gap, title = 0.12 * width, 0.28 * height
    with style():
        figure = new_figure(0.4 + 5.4 / columns * rows * (height + title) / (width + gap))
        axes = figure.subplots()
        axes.set_axis_off()
        largest = float(weight.abs().max())
        for position, name in enumerate(names):
            down, right = divmod(position, columns)
            left, top = right * (width + gap), down * (height + title) + title
            axes.imshow(
                weight[position].reshape(image_shape).numpy(),
                extent=(left, left + width, top + height, top),
                cmap=DIVERGING,
                vmin=-largest,
                vmax=largest,
                interpolation="none",
            )
            axes.text(left + width / 2, top - 0.06 * height, name, ha="center", va="bottom", fontweight="bold")
        axes.set_xlim(0, columns * (width + gap) - gap)
        axes.set_ylim(rows * (height + title), 0)
        bar = figure.colorbar(axes.images[0], ax=axes, shrink=0.92, pad=0.02)
        bar.set_label("weight (score per standard\ndeviation of the pixel)")
        bar.outline.set_edgecolor(MUTED)
        return finish(figure, footnote)


def _two(sides: object) -> Sequence[object]:
    if not isinstance(sides, Sequence) or isinstance(sides, str) or len(sides) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise InputError(f"image_shape must be a height and a width, but {show_value(sides)} came")
    return cast("Sequence[object]", sides)
