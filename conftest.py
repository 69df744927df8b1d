"""Runs the Python of README.md and of every page of the site, block after block, as a reader would.

The blocks of one page share their names. Where a block is followed by a block marked `text`, that is
the output which the page promises, and it is compared: words exactly, numbers to four digits, since
another processor may round another way.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from pytest_markdown_docs._runners import DefaultRunner, register_runner
from pytest_markdown_docs.definitions import FenceTestDefinition
from pytest_markdown_docs.plugin import MarkdownTextFile

ROOT = Path(__file__).parent
sys.path.append(str(ROOT / "docs"))  # as the site's build does, so that a page can import page_tools
CLAIMS = ROOT / "docs" / "en" / "article.md"  # its blocks check every claim, as tests/test_claims.py does
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """README.md and the pages under docs/ are test files."""
    is_page = file_path == ROOT / "README.md" or (ROOT / "docs" in file_path.parents and file_path.suffix == ".md")
    return MarkdownTextFile.from_parent(parent, path=file_path) if is_page else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs a page, so that no block is run twice."""
    for item in items:
        if isinstance(item.parent, MarkdownTextFile):
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(ROOT))))
            if item.path == CLAIMS:
                item.add_marker(pytest.mark.slow)


@dataclass
class Page:
    """The names that the blocks so far have made, and the line up to which the page has run."""

    names: dict[str, Any] = field(default_factory=dict)
    line: int = 0


@register_runner(default=True)
class PageRunner(DefaultRunner):
    """Runs a block after every earlier block of its page, each once."""

    pages: dict[Path, Page] = {}  # noqa: RUF012

    def runtest(self, test: FenceTestDefinition, args: dict[str, Any], *, asyncio_runner: object = None) -> None:
        """Runs what the page has not run yet, up to this block."""
        page = self.pages.setdefault(test.source_path, Page(names=args))
        for line, code, promised in blocks_of(test.source_path):
            if page.line < line <= test.start_line:
                page.line = line
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(compile("\n" * line + code, str(test.source_path), "exec"), page.names)
                if promised is not None:
                    compare(printed.getvalue(), promised)


def blocks_of(page: Path) -> Iterator[tuple[int, str, str | None]]:
    """The Python blocks of a page: the line of the fence, the code, and the output promised right after it."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "fence" and token.info.split()[:1] == ["python"] and token.map:
            promised = following is not None and following.type == "fence" and following.info.strip() == "text"
            yield token.map[0] + 1, token.content, following.content if promised and following else None


def compare(printed: str, promised: str) -> None:
    """Fails unless the words are the same and the numbers agree to four digits."""
    assert NUMBER.sub("#", printed).strip() == NUMBER.sub("#", promised).strip()
    for got, expected in zip(NUMBER.findall(printed), NUMBER.findall(promised), strict=True):
        assert math.isclose(float(got), float(expected), rel_tol=1e-3), f"{got} where the page says {expected}"
