"""What the pages of the site use while it is built; MkDocs loads this file as a hook."""

from __future__ import annotations

import contextlib
import functools
import html
import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from whyactivate.claims import Evidence


PAGE_WIDTH = "78"
"""Characters in a line of what a command prints; the next would be torn off on a page."""


def on_config(config: Any) -> None:
    """Lets the code on a page say `from page_tools import …`."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.append(folder)


def show_figure(figure: Figure, name: str, *, alt: str, caption: str) -> str:
    """The figure as HTML, in the colours of the page and with words in the language of its caption.

    Args:
        figure: what a function of `whyactivate.plots` returned.
        name: unlike the names of the other figures on the page.
        alt: what it shows, in words, for those who cannot see it.
        caption: what it shows, in a sentence.
    """
    from figure_words import ORIGINAL, in_language, language_of

    from whyactivate.plots import svg_of
    from whyactivate.report.inline import inline_svg

    language = language_of(caption)
    if language != ORIGINAL:
        figure = in_language(figure, language)
    drawing = inline_svg(svg_of(figure), name, alt)
    caption = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure class="figure" data-search-exclude><div class="figure-view">{drawing}</div>{caption}</figure>'


def run_command(command: str, **files: str) -> str:
    """The command and what it writes, with its exit code where that is not 0.

    Args:
        command: as typed after `$`; it starts with `whyactivate`.
        files: Python modules in the folder in which it runs: name without `.py`, and text.
    """
    import torch
    from typer.testing import CliRunner

    from whyactivate.cli import app
    from whyactivate.cli.exits import OUR_FAULT

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, text in files.items():
            Path(f"{name}.py").write_text(text, encoding="utf-8")
        torch.manual_seed(0)  # the networks of the page get the same weights in each build
        result = CliRunner(env={"COLUMNS": PAGE_WIDTH}).invoke(app, shlex.split(command)[1:])
        sys.path[:] = [path for path in sys.path if path != folder]
        for name in files:
            sys.modules.pop(name, None)
    if result.exit_code == OUR_FAULT:
        raise RuntimeError(result.output)
    end = f"exit code {result.exit_code}\n" if result.exit_code else ""
    return f"$ {command}\n{result.output.replace(f'{folder}/', '')}{end}"


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@functools.cache
def _evidence(number: int) -> Evidence:
    """What came of checking a claim; once per build, whatever the language."""
    from whyactivate.claims import find_claim

    return find_claim(number).check()


@functools.cache
def _translation(language: str) -> dict[str, Any]:
    """`docs/<language>/claims.json`; empty where there is none.

    It may hold `labels` (see `_LABELS`) and `claims`: by number `statement`, `precise`, `source`, `points` (in order),
    `caption`, and `found`, in which `{name}` stands for a number of the evidence. What it leaves out stays English.
    """
    path = Path(__file__).parent / language / "claims.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


_LABELS = {
    "true": "True as stated.",
    "imprecise": "Imprecise.",
    "wrong": "Wrong as stated.",
    "ours": "Asked here; the article does not say it.",
    "source": "Source:",
    "ran": "Checked while this page was built:",
    "cited": "Nothing was run: this rests on its source.",
    "holds": "holds",
    "fails": "does NOT hold",
}
_SIGNS = {"true": "✓", "imprecise": "≈", "wrong": "✗"}


def show_claims(first: int, last: int, *, figures: Iterable[int] = (), language: str = "en") -> str:
    """The claims of the article from one number to another, each with what came of checking it in this build.

    Args:
        first: number of the first.
        last: and of the last.
        figures: which of them show their figure.
        language: of the page; texts that `docs/<language>/claims.json` does not hold stay English, marked as such.

    Raises:
        AssertionError: a check disagrees with its verdict; the page must not be built then.
    """
    return "\n\n".join(_show_claim(number, number in set(figures), language) for number in range(first, last + 1))


class _Listed(list[Any]):
    """A format string takes `{a:and}` for a list in words, with that word between them."""

    def __format__(self, word: str) -> str:
        return f" {word} ".join(map(str, self))


class _ByNumber(dict[str, Any]):
    """A format string takes `{a[16]}` for a number, where evidence, which is JSON, has a text."""

    def __missing__(self, key: object) -> Any:
        if isinstance(key, int):
            return self[str(key)]
        raise KeyError(key)

    @classmethod
    def inside(cls, numbers: Mapping[str, Any]) -> _ByNumber:
        """The numbers, in a form for `str.format_map`."""
        told = {name: cls.inside(value) if isinstance(value, dict) else value for name, value in numbers.items()}
        return cls({name: _Listed(value) if isinstance(value, list) else value for name, value in told.items()})


def _show_claim(number: int, drawn: bool, language: str) -> str:
    from whyactivate.claims import find_claim

    claim, evidence, own = find_claim(number), _evidence(number), _translation(language)
    assert evidence.agrees is not False, f"the check of claim {number} disagrees with its verdict"
    words: dict[str, Any] = own.get("claims", {}).get(str(number), {})
    labels = {**_LABELS, **own.get("labels", {})}

    def say(name: str, text: str) -> str:
        return _escape(words[name]) if name in words else _foreign(_escape(text), language)

    title = claim.statement
    if "_" not in title.split(" ", 1)[0].strip(","):
        title = title[0].upper() + title[1:]
    title = re.sub(r"\.(?=(?:</bdi>)?$)", "", say("statement", title))
    lines = [
        f"### {number}. {title} {{ #claim-{number} }}",
        f"**{_SIGNS[claim.verdict]} {labels[claim.verdict]}** {say('precise', claim.precise)}",
        *([labels["ours"]] if claim.ours else []),
        f"<small>{labels['source']} {say('source', claim.source)}</small>",
    ]
    if not evidence.ran:
        return "\n\n".join([*lines, f"*{labels['cited']}*"])
    found = _tell_found(evidence, words)
    lines.append(f"**{labels['ran']}** {_escape(found) if 'found' in words else _foreign(_escape(found), language)}")
    points = dict(enumerate(words.get("points", ())))
    lines.append("\n".join(
        f"- {labels['holds' if point.holds else 'fails']}: "
        + (_escape(points[place]) if place in points else _foreign(_escape(point.words), language))
        for place, point in enumerate(evidence.points)
    ))  # fmt: skip
    if drawn and evidence.lesson is not None:
        lesson = evidence.lesson
        caption = words.get("caption") or getattr(lesson, "heading", lesson.title)
        alt = re.sub("[\u2066\u2069]", "", found) if "found" in words else lesson.explain()
        lines.append(show_figure(evidence.plot(), f"claim-{number}", alt=alt, caption=caption))
    return "\n\n".join(lines)


def _tell_found(evidence: Evidence, words: Mapping[str, str]) -> str:
    """What was found, in the words of the translation where it has some."""
    found = words["found"].format_map(_ByNumber.inside(evidence.numbers)) if "found" in words else evidence.found
    found = re.sub(r"(?<=\d)e-(?=\d)", "e−", found)  # a hyphen is where a line may end
    # An isolate keeps the sign on the left of its number where words run from right to left.
    signed = "\u2066−\\1\u2069" if "found" in words else "−\\1"
    return re.sub(r"(?<![\w.\u2066])-(inf|\d+(?:\.\d+)?(?:e[−+]?\d+)?)", signed, found)


def _escape(text: str) -> str:
    """Plain text as Markdown; what is isolated from left to right, a formula, is not broken at the end of a line."""
    text = re.sub("\u2066[^\u2069]{1,30}\u2069", lambda found: found[0].replace(" ", "\u00a0"), text)
    return re.sub(r"([*_`|\[\]])", r"\\\1", html.escape(text, quote=False))


def _foreign(text: str, language: str) -> str:
    """English text on a page in another language."""
    return text if language == "en" else f'<bdi lang="en" dir="ltr">{text}</bdi>'
