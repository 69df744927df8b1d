"""A figure on a Persian page has Persian words, and the figure itself stays as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from matplotlib.text import Text

from whyactivate.lessons import dead_units
from whyactivate.plots import svg_of
from whyactivate.plots.style import finish, new_figure, style

sys.path.append(str(Path(__file__).parents[2] / "docs"))
figure_words = pytest.importorskip("figure_words")
page_tools = pytest.importorskip("page_tools")


def drawn(title: str, ticks: tuple[str, ...] = ("no activation", "ReLU", "0.5")):
    """A figure with these words."""
    with style():
        figure = new_figure(2)
        axes = figure.subplots()
        axes.plot([0, 1, 2])
        axes.set_yticks(range(len(ticks)), ticks)
        axes.set_title(title)
        return finish(figure, "whyactivate 0.1.0, seed 3")


def words_of(figure) -> list[str]:
    """What can be read in it, without the marks that cannot be seen."""
    found = [text.get_text().replace("\u200f", "") for text in figure.findobj(Text)]
    return [text for text in found if text]


def test_titles_names_on_axes_and_the_small_print_are_translated():
    words = words_of(figure_words.in_language(drawn("Test loss"), "fa"))
    assert {"زیان آزمون", "بدون تابع فعال‌سازی", "ReLU", "0.5", "whyactivate 0.1.0، بذر 3"} <= set(words)


def test_a_phrase_may_stand_inside_another():
    assert figure_words.translate("linear floor 0.83, test 1.07", "fa") == "\u200fکف خطی 0.83، آزمون 1.07"
    assert figure_words.translate("ReLU 0.06, test 1.97", "fa") == "\u200fReLU 0.06، آزمون 1.97"


def test_a_text_that_nobody_translated_is_an_error_that_quotes_it():
    with pytest.raises(LookupError, match=r"has no 'Something new 3', a text of a figure \(Something, new\)"):
        figure_words.in_language(drawn("Something new 3"), "fa")
    with pytest.raises(LookupError, match="every second"):
        figure_words.in_language(drawn("Test loss", ("every second", "b")), "fa")


def test_the_figure_itself_stays_as_it_is():
    figure = drawn("Test loss")
    before = svg_of(figure)
    figure_words.in_language(figure, "fa")
    assert svg_of(figure) == before


def test_a_figure_speaks_the_language_of_its_caption():
    figure = dead_units(["relu"], [0.1], epochs=1).plot()
    english, other, persian = (
        page_tools.show_figure(figure, "one", alt="a", caption=caption) for caption in ("Units.", "Marks.", "نورون‌ها.")
    )
    assert english == other.replace("Marks.", "Units.")
    assert english != persian.replace("نورون‌ها.", "Units.")
