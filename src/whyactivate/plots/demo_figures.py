"""The demo's figures: each with a name, a caption, and the words for who cannot see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whyactivate.demo import ArticlePart, ClassesPart, Part, RefutationPart
from whyactivate.demo.words import label, listing, number, say_none, say_refutation, share
from whyactivate.plots.curves import plot_line, plot_losses
from whyactivate.plots.maps import plot_boundaries, plot_weight_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure that is ready to be saved or put into a page.

    Attributes:
        name: the file name without its ending, "loss-curves".
        figure: the matplotlib figure.
        caption: what it shows, in a sentence.
        alt: the same content in words, for who cannot see it.
    """

    name: str
    figure: Figure
    caption: str
    alt: str


def draw_part(part: Part, footnote: str = "") -> Drawing | None:
    """The figure of one part of the demo, or None where the part has none."""
    if isinstance(part, ArticlePart):
        return _losses(part, footnote)
    if isinstance(part, RefutationPart):
        return _line(part, footnote)
    if isinstance(part, ClassesPart) and part.maps:
        return _boundaries(part, footnote)
    if isinstance(part, ClassesPart) and part.contest.data.image_shape is not None:
        return _weights(part, part.contest.data.image_shape, footnote)
    return None


def _losses(part: ArticlePart, footnote: str) -> Drawing:
    contest = part.contest
    ends = listing(
        [
            f"{label(network)} from {number(network.history.train_loss[0])} to {number(network.loss)} "
            f"(test {number(network.test_loss)})"
            for network in contest.networks
        ]
    )
    return Drawing(
        "loss-curves",
        plot_losses(contest, zero=(part.zero_loss, part.zero_test_loss), footnote=footnote),
        "Loss over the whole training set (above) and over fresh samples (below) after each epoch; "
        "the grey band is the linear floor.",
        f"Line chart of the training loss over {contest.none.history.epochs} epochs, by activation: {ends}. "
        f"The linear floor is a horizontal line at {number(contest.floor.loss)}, always predicting 0 one at "
        f"{number(part.zero_loss)}. {say_none(contest)}",
    )


def _line(part: RefutationPart, footnote: str) -> Drawing | None:
    if part.line is None:
        return None
    return Drawing(
        "counterexample",
        plot_line(part.line, title=f"The trained {part.title} network on a line of inputs", footnote=footnote),
        "An affine map is straight along every straight line of inputs; this network leaves the line "
        "through its own values at a and b.",
        f"The network's output along a line of inputs bends away from the straight line through its values at a and b. "
        f"{say_refutation(part)}",
    )


def _boundaries(part: ClassesPart, footnote: str) -> Drawing:
    data = part.contest.data
    scores = listing([f"{shown.title}: {share(shown.test_accuracy)} of the test samples" for shown in part.maps])
    return Drawing(
        f"{data.name}-boundaries",
        plot_boundaries(data, part.maps, footnote=footnote),
        "Where each trained network draws the line between the two classes, over the test samples. "
        "Without activations it can only be a straight line.",
        f"Two maps of the plane with the test samples of {listing(data.classes)} and each network's decision boundary. "
        f"Right answers, {scores}. Without activations the boundary is a straight line.",
    )


def _weights(part: ClassesPart, image_shape: tuple[int, int], footnote: str) -> Drawing:
    data = part.contest.data
    height, width = image_shape
    none = part.contest.none.test_accuracy or 0.0
    return Drawing(
        f"{data.name}-weights",
        plot_weight_images(part.collapse.weight, image_shape, data.classes, footnote=footnote),
        f"The one layer that the activation-free network is: {len(data.classes)} images of {height} × {width} weights, one per class. "
        "Ink on a yellow pixel speaks for the class, ink on a blue one against it.",
        f"{len(data.classes)} small images, one per class from {data.classes[0]} to {data.classes[-1]}: the rows of the "
        f"collapsed weight matrix. This one layer puts {share(none)} of the test samples in the right class.",
    )
