"""A run of the demo as one HTML page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, cast

from whyactivate._checks import check_path
from whyactivate.demo import CollapsePart, DemoResult
from whyactivate.demo.story import heading, paragraphs, table_of
from whyactivate.demo.words import say_statement, say_verdict
from whyactivate.errors import InputError
from whyactivate.plots import Drawing, figure_name
from whyactivate.report.inline import inline_svg

if TYPE_CHECKING:
    from jinja2 import Template

    from whyactivate.proof import Proof


def render_report(result: DemoResult, figures: Sequence[Drawing] = ()) -> str:
    """The page as text; the same run gives the same text.

    Args:
        result: the run.
        figures: those of `whyactivate.plots.draw_part`; the page does without any that is missing.

    Raises:
        InputError: `result` is something else.
    """
    if not isinstance(result, DemoResult):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"a report is made of a DemoResult, as run_demo gives it, but {type(result).__name__} came")
    by_name = {figure.name: figure for figure in figures}
    sections = [
        {
            "number": number,
            "heading": heading(part),
            "table": table_of(part),
            "paragraphs": paragraphs(part),
            "story": str(part.collapse) if isinstance(part, CollapsePart) else None,
            "proofs": part.proofs if isinstance(part, CollapsePart) else (),
            "figure": _figure(by_name.get(figure_name(part) or "")),
        }
        for number, part in enumerate(result.parts, 1)
    ]
    return _template().render(result=result, verdict=say_verdict(result.checks), sections=sections)


def write_report(result: DemoResult, path: str | Path, figures: Sequence[Drawing] = ()) -> Path:
    """Writes the page and returns its path.

    Raises:
        InputError: `result` is no run of the demo, or the file cannot be written.
    """
    path, page = check_path("the report to write", path), render_report(result, figures)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    return path


def _figure(figure: Drawing | None) -> dict[str, str] | None:
    if figure is None:
        return None
    return {"name": figure.name, "svg": inline_svg(figure.svg, figure.name, figure.alt), "caption": figure.caption}


def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    source = resources.files("whyactivate.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = _shown
    environment.filters["stated"] = _stated
    return environment.from_string(source)


def _stated(proof: Proof) -> str:
    """What a proof states; no line ends inside 4.05e-05."""
    return re.sub(r"(?<=\de)-(?=\d)", "\u2011", say_statement(proof))


def _shown(value: object) -> str:
    """A proof's number or name, short enough to read."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(each) for each in cast("list[object]", value)) or "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
