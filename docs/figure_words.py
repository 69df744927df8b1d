"""The words of a figure in the language of a page; matplotlib joins Persian letters and orders them."""

from __future__ import annotations

import functools
import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORIGINAL = "en"
RIGHT_TO_LEFT = "\u200f"
"""A mark that cannot be seen. After a Latin name it lets the order of the words be that of the rest."""
ARABIC = re.compile("[\u0600-\u06ff]")
_SLOT = re.compile(r"\{\}")
_WORD = re.compile(r"[A-Za-z]{2,}")


def language_of(text: str) -> str:
    """The language that a text is written in, by its letters."""
    return "fa" if ARABIC.search(text) else ORIGINAL


def in_language(figure: Figure, language: str) -> Figure:
    """A copy of the figure with its words from `docs/<language>/figures.json`, laid out anew.

    Raises:
        LookupError: a text of the figure is not there.
    """
    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator

    copy: Figure = pickle.loads(pickle.dumps(figure))
    for axes in copy.axes:
        for axis in (axes.xaxis, axes.yaxis):
            names = [label.get_text() for label in axis.get_ticklabels()]
            if isinstance(axis.get_major_locator(), FixedLocator) and any(_WORD.search(name) for name in names):
                axis.set_ticks(axis.get_ticklocs(), [translate(name, language) for name in names])
    for text in copy.findobj(Text):
        if text.get_text() and not ARABIC.search(text.get_text()):
            text.set_text(translate(text.get_text(), language))
    return _laid_out(copy)


def _laid_out(figure: Figure) -> Figure:
    from whyactivate.plots.style import style

    figure.set_layout_engine("constrained")
    layout = figure.get_layout_engine()
    assert layout is not None
    with style():
        for _ in range(2):  # axes of a fixed shape show only then how much room is left around them
            layout.execute(figure)
    figure.set_layout_engine("none")
    return figure


def translate(text: str, language: str) -> str:
    """A text of a figure in that language; formulas, numbers and names stay.

    Raises:
        LookupError: `docs/<language>/figures.json` does not have it.
    """
    found = _translated(text, language)
    return RIGHT_TO_LEFT + found if ARABIC.search(found) else found


def _translated(text: str, language: str) -> str:
    words = _words(language)
    if text in words["phrases"]:
        return words["phrases"][text]
    for pattern, said in _patterns(language):
        slots = pattern.fullmatch(text)
        if slots:
            return said.format(*(_translated(slot, language) for slot in slots.groups()))
    if ", " in text:
        return f"،{RIGHT_TO_LEFT} ".join(_translated(part, language) for part in text.split(", "))
    left = [word for word in _WORD.findall(text) if word not in words["names"]]
    if left:
        raise LookupError(f"docs/{language}/figures.json has no {text!r}, a text of a figure ({', '.join(left)})")
    return text


@functools.cache
def _words(language: str) -> dict[str, Any]:
    return json.loads((Path(__file__).parent / language / "figures.json").read_text(encoding="utf-8"))


@functools.cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """The phrases with a slot, `{}`, for a number or another phrase, the longest first."""
    slotted = [(said, own) for said, own in _words(language)["phrases"].items() if "{}" in said]
    slotted.sort(key=lambda pair: -len(pair[0]))
    return [(re.compile("(.+)".join(map(re.escape, _SLOT.split(said))), re.S), own) for said, own in slotted]
