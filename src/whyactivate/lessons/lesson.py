"""`Lesson`: what every lesson's result can do: explain itself in words, and draw itself."""

from __future__ import annotations

import html
import math
from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from fractions import Fraction
from importlib import import_module
from textwrap import fill
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Lesson(ABC):
    """The result of a lesson: numbers, with words and a figure that are made of nothing but these numbers."""

    title: ClassVar[str]

    @abstractmethod
    def explain(self) -> str:
        """What the numbers say, in one paragraph."""

    @property
    def settings(self) -> str:
        """What the numbers depend on (seeds, sizes), for the small print of the figure."""
        return ""

    def plot(self, footnote: str | None = None) -> Figure:
        """The lesson as a `matplotlib.figure.Figure`, known to no global state.

        Args:
            footnote: small print; the version and the settings where None.
        """
        # By name, for figures are a later chapter that reads results, and this one must not depend on it.
        return cast("Figure", import_module("whyactivate.plots.lessons").draw_lesson(self, footnote))

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain data for JSON, and the words."""
        return {"lesson": type(self).__name__, "explain": self.explain(), **cast("dict[str, Any]", plain(self))}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.title}>"

    def __str__(self) -> str:
        return f"{self.title}\n{fill(self.explain(), 110, initial_indent='  ', subsequent_indent='  ')}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.title)}</b><br>{html.escape(self.explain())}</p>"


def plain(value: object) -> object:
    """Results as lists, dicts, numbers and texts; whatever is none of these as its words."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in cast("dict[object, object]", value).items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value) if each.repr}
    return str(value)


def listing(words: list[str]) -> str:
    """Words with commas and an "and": a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def digits(value: float) -> str:
    """A number to about three digits, with a true minus sign."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}".replace("-", "−").replace("−0", "0")
    return (f"{value:.3f}" if 1e-2 <= abs(value) < 1e4 else f"{value:.3g}").replace("-", "−")


def title_of(activation: str) -> str:
    """What to call an activation in a sentence."""
    from whyactivate.activations import ACTIVATIONS

    return (
        "no activation"
        if activation == "identity"
        else ACTIVATIONS[activation].title
        if activation in ACTIVATIONS
        else activation
    )
