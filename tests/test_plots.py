"""Figures: they show the run's numbers, the same run gives the same file, and no global state moves."""

from __future__ import annotations

import pickle
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib.image import imread

import whyactivate as wa
from demo_run import classes, contest, quick_parts, quick_result
from whyactivate.datasets import load_dataset
from whyactivate.demo.phrases import number
from whyactivate.errors import InputError
from whyactivate.plots import (
    COLOUR_ROLES,
    describe_comparison,
    draw_part,
    figure_name,
    plot_ablation,
    plot_boundaries,
    plot_comparison,
    plot_line,
    plot_losses,
    plot_weight_images,
    save_figure,
    svg_of,
)
from whyactivate.plots.lessons import draw_lesson
from whyactivate.plots.style import new_figure, stroke_of

pytestmark = pytest.mark.xdist_group("demo")

NAMES = ["loss-curves", None, "counterexample", "moons-boundaries", "digits-weights"]


def test_each_part_has_its_figure() -> None:
    assert [figure_name(part) for part in quick_parts()] == NAMES
    drawings = [draw_part(part, "seed 0") for part in quick_parts()]
    assert [drawing and drawing.name for drawing in drawings] == NAMES
    unsettled = replace(quick_result().refutation, line=None)
    assert draw_part(unsettled) is None
    assert draw_part(classes()) is None


def test_figures_are_saved_as_svg_and_png(tmp_path: Path) -> None:
    drawing = draw_part(quick_result().refutation, "whyactivate, seed 0")
    assert drawing is not None
    vector, raster = drawing.save(tmp_path)
    assert (vector.name, raster.name) == ("counterexample.svg", "counterexample.png")
    root = ElementTree.fromstring(vector.read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    height, width, _ = imread(raster).shape
    assert (width, height) == (1024, 592)


def test_the_same_run_gives_the_same_file_without_a_date(tmp_path: Path) -> None:
    texts = [svg_of(plot_line(line, title="t")) for line in (quick_result().refutation.line,) * 2 if line]
    assert texts[0] == texts[1]
    assert "dc:date" not in texts[0]
    line = quick_result().refutation.line
    assert line is not None
    paths = [save_figure(plot_line(line, title="t"), tmp_path, name)[1] for name in ("one", "two")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_notebook_shows_a_figure_without_being_told_to() -> None:
    figure = wa.lessons.xor().plot()
    shown, _ = DisplayFormatter().format(figure)
    assert shown["image/png"].startswith(b"\x89PNG")
    again = pickle.loads(pickle.dumps(figure))
    assert svg_of(again) == svg_of(figure)


def test_no_global_state_moves() -> None:
    before = dict(mpl.rcParams)
    draw_part(quick_result().moons, "x")
    assert dict(mpl.rcParams) == before
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def test_loss_figure_draws_every_curve_and_the_floor() -> None:
    part = quick_result().article
    figure = plot_losses(part.contest, zero=(part.zero_loss, part.zero_test_loss), footnote="seed 0")
    above, below = figure.axes
    curves = [line.get_ydata() for line in above.lines if len(line.get_xdata()) == 151]
    assert [list(curve) for curve in curves] == [list(net.history.train_loss) for net in part.contest.networks]
    tests = [line.get_ydata() for line in below.lines if len(line.get_xdata()) == 151]
    assert [list(curve) for curve in tests] == [list(net.history.test_loss) for net in part.contest.networks]
    levels = [line.get_ydata()[0] for line in above.lines if len(line.get_xdata()) == 2]
    assert part.contest.floor.loss in levels
    assert part.zero_loss in levels
    texts = [text.get_text() for text in above.texts]
    assert f"linear floor {part.contest.floor.loss:.3f}" in texts
    assert f"no activation {part.contest.none.loss:.3f}" in texts
    assert above.get_ylabel() == "mean squared error"
    assert below.get_xlabel() == "epochs of training"
    assert [text.get_text() for text in figure.texts] == ["seed 0"]


def test_labels_do_not_overlap() -> None:
    part = quick_result().article
    crowded = replace(part.contest, networks=part.contest.networks * 3)
    figure = plot_losses(crowded)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_classes_are_measured_in_cross_entropy() -> None:
    some = contest(0.3, {"identity": 0.4, "relu": 0.2}, accuracies={"identity": 0.8, "relu": 0.9})
    assert plot_losses(some).axes[0].get_ylabel() == "cross-entropy"


def test_boundaries_show_both_networks_and_every_test_sample() -> None:
    part = quick_result().moons
    figure = plot_boundaries(part.contest.data, part.maps)
    assert [axes.get_title("left") for axes in figure.axes] == [
        f"{shown.title}: {100 * shown.test_accuracy:.1f} % right" for shown in part.maps
    ]
    for axes in figure.axes:
        points = [
            len(each.get_offsets()) for each in axes.collections if hasattr(each, "get_sizes") and len(each.get_sizes())
        ]
        assert sum(points) == len(part.contest.data.test_x)
        assert "standardised" in axes.get_xlabel()


def test_weight_images_are_the_rows_of_the_matrix() -> None:
    part = quick_result().digits
    figure = plot_weight_images(part.collapse.weight, (8, 8), part.contest.data.classes)
    axes = figure.axes[0]
    assert len(axes.images) == 10
    for row, image in zip(part.collapse.weight, axes.images, strict=True):
        assert np.array_equal(np.asarray(image.get_array()), row.reshape(8, 8).numpy())
    largest = float(part.collapse.weight.abs().max())
    assert {image.get_clim() for image in axes.images} == {(-largest, largest)}
    assert [text.get_text() for text in axes.texts] == list(part.contest.data.classes)


def test_lines_differ_without_colour_too() -> None:
    names = ["identity", "relu", "sigmoid", "tanh", "leaky_relu", "gelu", "silu", "elu", "mish"]
    strokes = [stroke_of(name, position) for position, name in enumerate(names)]
    assert len({stroke.marker for stroke in strokes}) == len(names)
    assert len({str(stroke.dashes) for stroke in strokes[:5]}) >= 4


def test_the_words_for_who_cannot_see_carry_the_numbers() -> None:
    result = quick_result()
    drawings = {drawing.name: drawing for part in result.parts if (drawing := draw_part(part))}
    assert number(result.article.contest.floor.loss) in drawings["loss-curves"].alt
    assert number(result.article.contest.none.loss) in drawings["loss-curves"].alt
    assert "is not affine" in drawings["counterexample"].alt
    assert "No activation" in drawings["moons-boundaries"].alt
    assert drawings["digits-weights"].alt.startswith("10 small images")
    assert all(drawing.caption.endswith(".") for drawing in drawings.values())


def test_every_colour_in_the_figures_has_a_role() -> None:
    drawing = draw_part(quick_result().article, "seed 0")
    assert drawing is not None
    used = set(re.findall(r"#[0-9a-f]{6}", drawing.svg))
    assert used <= set(COLOUR_ROLES)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot_losses(3), r"contest must be a Contest, as a part of .* has it, but 3 \(int\) came"),
        (lambda: plot_line("a", title="t"), r"line must be a Line, .*, but 'a' \(str\) came"),
        (lambda: plot_comparison([]), r"result must be a ComparisonResult, as compare gives it, but \[\]"),
        (lambda: describe_comparison(None), "result must be a ComparisonResult, .* but None"),
        (lambda: plot_ablation({}), "ablation must be an Ablation, as ablate gives it, but {}"),
        (lambda: plot_boundaries("moons", []), "data must be a Dataset, as load_dataset gives it, but 'moons'"),
        (lambda: plot_boundaries(load_dataset("article"), []), "two features and two classes; article has 10 and 0"),
        (lambda: plot_boundaries(load_dataset("moons"), []), "maps is empty"),
        (lambda: plot_boundaries(load_dataset("moons"), [3]), r"maps\[0\] must be a DecisionMap, .* but 3"),
        (lambda: plot_weight_images(3, (8, 8), ["a"]), "weight must be a Tensor, one row for each class, but 3"),
        (lambda: plot_weight_images(torch.zeros(2, 64), (8, 8), []), "names is empty"),
        (lambda: plot_weight_images(torch.zeros(2, 64), 8, ["a", "b"]), "image_shape must be a height and a width"),
        (lambda: plot_weight_images(torch.zeros(2, 64), (8, 0), ["a", "b"]), r"image_shape\[1\] must be a whole"),
        (lambda: plot_weight_images(torch.zeros(2, 64), (8, 9), ["a", "b"]), r"shape \(2, 72\) .* but \(2, 64\) came"),
        (lambda: svg_of("figure"), "figure must be a Figure, as the functions of whyactivate.plots give it"),
        (lambda: save_figure(None, Path(), "name"), "figure must be a Figure, .* but None"),
        (lambda: save_figure(new_figure(2.0), Path("nowhere/at/all"), "name"), "folder must be a folder that is there"),
        (lambda: draw_part(3), "part must be a part of run_demo's result, but 3"),
        (lambda: draw_lesson(3), r"lesson must be the result of a lesson, such as .*, but 3 \(int\) came"),
    ],
)  # fmt: skip
def test_what_no_figure_can_be_drawn_of_is_told(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw()
