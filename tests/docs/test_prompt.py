"""The blocks of the README and of the tutorials can be pasted into a plain Python prompt, which reads line by line."""

from __future__ import annotations

import sys
from code import InteractiveConsole
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*/tutorials/*.md"))]


class Prompt(InteractiveConsole):
    """Reads and runs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def runcode(self, code: object) -> None:
        pass

    def showsyntaxerror(self, filename: str | None = None, **_: object) -> None:
        self.refused.append(str(sys.exc_info()[1]))


def shown_blocks(page: Path) -> list[str]:
    """The blocks of Python that a reader of the page sees."""
    blocks, lines = [], iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("```python"):
            block = list(iter(lambda: next(lines), "```"))
            if "exec=" not in line or "source=" in line:
                blocks.append("\n".join(block))
    return blocks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_prompt_takes_every_block(page: Path):
    blocks = shown_blocks(page)
    assert len(blocks) > 2
    for block in blocks:
        prompt = Prompt()
        for line in [*block.split("\n"), ""]:
            prompt.push(line)
        assert prompt.refused == [], block


@pytest.mark.parametrize("block", ["for i in ():\n    i\nprint()", "class A:\n    a = 1\n\n    b = 2"])
def test_what_a_prompt_does_not_take_is_seen(block: str):
    prompt = Prompt()
    for line in [*block.split("\n"), ""]:
        prompt.push(line)
    assert prompt.refused
