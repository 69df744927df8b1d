"""The demo's figures: each with a name, a caption, and the words for those who cannot see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from whyactivate._checks import show_value
from whyactivate.demo import ArticlePart, ClassesPart, CollapsePart, Part, RefutationPart
from whyactivate.demo.phrases import listing, number, share
from whyactivate.demo.words import label, say_none, say_refutation
from whyactivate.errors import InputError
from whyactivate.plots.curves import plot_line, plot_losses
from whyactivate.plots.maps import plot_boundaries, plot_weight_images
from whyactivate.plots.style import save_figure, svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure that is ready to be saved or put into a page.

    Attributes:
        name: the file name without its ending, "loss-curves".
        figure: the matplotlib figure.
        caption: what it shows, in a sentence.
        alt: the same content in words, for those who cannot see it.
    """

    name: str
    figure: Figure
    caption: str
    alt: str

    @cached_property
    def svg(self) -> str:
        """The figure as SVG text."""
        return svg_of(self.figure)

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Writes the figure as SVG and as PNG into the folder and returns both paths."""
        return save_figure(self.figure, folder, self.name, svg=self.svg)


def figure_name(part: Part) -> str | None:
    """The name of the part's figure, or None where the part has none.

    Raises:
        InputError: part is something else.
    """
    if not isinstance(part, (ArticlePart, CollapsePart, RefutationPart, ClassesPart)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"part must be a part of run_demo's result, but {show_value(part)} came")
    if isinstance(part, ArticlePart):
        return "loss-curves"
    if isinstance(part, RefutationPart):
        return None if part.line is None else "counterexample"
    if isinstance(part, ClassesPart) and part.maps:
        return f"{part.contest.data.name}-boundaries"
    if isinstance(part, ClassesPart) and part.contest.data.image_shape is not None:
        return f"{part.contest.data.name}-weights"
    return None


def draw_part(part: Part, footnote: str = "") -> Drawing | None:
    """The figure of one part of the demo, or None where the part has none."""
    name = figure_name(part)
    if name is None or isinstance(part, CollapsePart):
        return None
    if isinstance(part, ArticlePart):
        return _losses(part, name, footnote)
    if isinstance(part, RefutationPart):
        return _line(part, name, footnote)
    return _boundaries(part, name, footnote) if part.maps else _weights(part, name, footnote)


def _losses(part: ArticlePart, name: str, footnote: str) -> Drawing:
    contest = part.contest
    ends = listing(
        [
            f"{label(network)} from {number(network.history.train_loss[0])} to {number(network.loss)} "
            f"(test {number(network.test_loss)})"
            for network in contest.networks
        ]
    )
    return Drawing(
        name,
        plot_losses(contest, zero=(part.zero_loss, part.zero_test_loss), footnote=footnote),
        "Loss over the whole training set (above) and over fresh samples (below) after each epoch; "
        "the grey band is the linear floor.",
        f"Line chart of the training loss over {contest.none.history.epochs} epochs, by activation: {ends}. "
        f"The linear floor is a horizontal line at {number(contest.floor.loss)}, always predicting 0 one at "
        f"{number(part.zero_loss)}. {say_none(contest)}",
    )


def _line(part: RefutationPart, name: str, footnote: str) -> Drawing | None:
    if part.line is None:
        return None
    return Drawing(
        name,
        plot_line(part.line, title=f"The trained {part.title} network on a line of inputs", footnote=footnote),
        "An affine map is straight along every straight line of inputs; this network leaves the line "
        "through its own values at a and b.",
        f"The network's output along a line of inputs bends away from the straight line through its values at a and b. "
        f"{say_refutation(part)}",
    )


def _boundaries(part: ClassesPart, name: str, footnote: str) -> Drawing:
    data = part.contest.data
    scores = listing([f"{shown.title}: {share(shown.test_accuracy)} of the test samples" for shown in part.maps])
    return Drawing(
        name,
        plot_boundaries(data, part.maps, footnote=footnote),
        "Where each trained network draws the line between the two classes, over the test samples. "
        "Without activations it can only be a straight line.",
        f"Two maps of the plane with the test samples of {listing(data.classes)} and each network's decision boundary. "
        f"Right answers, {scores}. Without activations the boundary is a straight line.",
    )


def _weights(part: ClassesPart, name: str, footnote: str) -> Drawing | None:
    data = part.contest.data
    if data.image_shape is None:
        return None
    height, width = data.image_shape
    none = part.contest.none.test_accuracy or 0.0
    return Drawing(
        name,
        plot_weight_images(part.collapse.weight, data.image_shape, data.classes, footnote=footnote),
        f"The one layer that the activation-free network is: {len(data.classes)} images of {height} × {width} "
        "weights, one per class. Ink on a yellow pixel speaks for the class, ink on a blue one against it.",
        f"{len(data.classes)} small images, one per class from {data.classes[0]} to {data.classes[-1]}: the rows "
        f"of the collapsed weight matrix. This one layer puts {share(none)} of the test samples in the right class.",
    )
