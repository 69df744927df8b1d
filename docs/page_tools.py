"""What the pages of the site use while it is built; MkDocs loads this file as a hook."""

from __future__ import annotations

import hashlib
import html
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def on_config(config: Any) -> None:
    """Lets the code on a page say `from page_tools import …`."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.append(folder)


def show_figure(figure: Figure, *, alt: str, caption: str) -> str:
    """The figure as HTML: an SVG with a name for screen readers, its ids unlike those of other figures."""
    from whyactivate.plots import svg_of

    drawing = svg_of(figure)
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>\s*", "", drawing, flags=re.S)
    prefix = f"f{hashlib.sha256(drawing.encode()).hexdigest()[:6]}-"
    drawing = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", drawing)
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)
    caption = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure class="figure" data-search-exclude>{drawing}{caption}</figure>'


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
