"""A figure's SVG made fit to stand inside a page: one role, one name, its own ids, the page's colours."""

from __future__ import annotations

import re
from html import escape

from whyactivate.plots import COLOUR_ROLES


def inline_svg(svg: str, name: str, alt: str) -> str:
    """The `<svg>` element alone, for a page that may hold several.

    Ids get the figure's name before them, so that no two figures share one; colours become the page's
    variables (`--ink`, `--blue`, …), so that the figure follows the page from light to dark; the size
    becomes a ratio; and screen readers are given `alt` instead of the shapes.

    Args:
        svg: a whole SVG document as matplotlib writes it.
        name: a name for the figure, unique on the page.
        alt: what the figure shows, in words.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    for colour, role in COLOUR_ROLES.items():
        body = re.sub(rf"(fill|stroke|stop-color): {colour}\b", rf"\1: var(--{role}, {colour})", body)
    start, rest = body.split(">", 1)
    start = re.sub(r'\s(width|height|version)="[^"]*"', "", start)
    return f'{start} role="img" aria-label="{escape(alt, quote=True)}">{rest}'.rstrip()
