"""What the pages of the site use while it is built; MkDocs loads this file as a hook."""

from __future__ import annotations

import contextlib
import html
import shlex
import sys
import tempfile
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


def show_figure(figure: Figure, name: str, *, alt: str, caption: str) -> str:
    """The figure as HTML, in the colours of the page.

    Args:
        figure: what a function of `whyactivate.plots` returned.
        name: unlike the names of the other figures on the page.
        alt: what it shows, in words, for who cannot see it.
        caption: what it shows, in a sentence.
    """
    from whyactivate.plots import svg_of
    from whyactivate.report.inline import inline_svg

    drawing = inline_svg(svg_of(figure), name, alt)
    caption = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure class="figure" tabindex="0" data-search-exclude>{drawing}{caption}</figure>'


def run_command(command: str, **files: str) -> str:
    """The command and what it writes, with its exit code where that is not 0.

    Args:
        command: as typed after `$`; it starts with `whyactivate`.
        files: Python modules in the folder in which it runs: name without `.py`, and text.
    """
    import torch
    from typer.testing import CliRunner

    from whyactivate.cli import app

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, text in files.items():
            Path(f"{name}.py").write_text(text, encoding="utf-8")
        torch.manual_seed(0)  # the networks of the page get the same weights in each build
        result = CliRunner(env={"COLUMNS": "100"}).invoke(app, shlex.split(command)[1:])
        sys.path[:] = [path for path in sys.path if path != folder]
        for name in files:
            sys.modules.pop(name, None)
    end = f"exit code {result.exit_code}\n" if result.exit_code else ""
    return f"$ {command}\n{result.output.replace(f'{folder}/', '')}{end}"


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
