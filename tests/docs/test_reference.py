"""The reference has every public name once, as the thing that it is, and its docstrings in a form that can be read."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import whyactivate as wa

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs"))
griffe = pytest.importorskip("griffe")
reference_entries = pytest.importorskip("reference_entries")
ENTRY = re.compile(r"^::: ([\w.]+)$", re.M)
SEVERAL = re.compile(r"^ {4}\w+(?:, \w+)+(?: \([^)]*\))?: ", re.M)
PUBLIC = [name for name in wa.__all__ if name not in wa._CHAPTERS]


@pytest.mark.parametrize("language", ["en", "fa"])
def test_every_public_name_is_on_one_page_and_in_the_overview(language):
    pages = sorted((ROOT / "docs" / language / "reference").glob("*.md"))
    entries = [entry for page in pages for entry in ENTRY.findall(page.read_text(encoding="utf-8"))]
    assert sorted(set(entries)) == sorted(entries)
    assert [name for name in PUBLIC if f"whyactivate.{name}" not in entries] == []
    overview = (ROOT / "docs" / language / "reference" / "index.md").read_text(encoding="utf-8")
    assert [name for name in PUBLIC if f"[`{name}`][whyactivate.{name}]" not in overview] == []
    assert [chapter for chapter in wa._CHAPTERS if f"`whyactivate.{chapter}`" not in overview] == []
    # The command line has a sentence of its own below the table.
    assert [page.name for page in pages if f"({page.name})" not in overview] == ["index.md"]


@pytest.mark.parametrize("chapter", [*wa._CHAPTERS, "activations"])
def test_every_name_of_a_chapter_is_in_the_reference(chapter):
    pages = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs" / "en").rglob("*.md"))]
    entries = {entry.rpartition(".")[2] for text in pages for entry in ENTRY.findall(text)}
    assert [name for name in import_module(f"whyactivate.{chapter}").__all__ if name not in entries] == []


def test_an_entry_is_no_module():
    """Where a function has the name of its file, the file is meant: with all that is in it, each name a second time."""
    for page in sorted((ROOT / "docs").glob("*/reference/*.md")):
        for entry in ENTRY.findall(page.read_text(encoding="utf-8")):
            place = ROOT / "src" / entry.replace(".", "/")
            assert place.name not in {file.stem for file in place.parent.glob("*")}, entry


def test_every_attribute_of_a_docstring_has_a_line_of_its_own():
    """In "low, high: the ends" the reference takes "high" for a type."""
    texts = [text for path in (ROOT / "src").rglob("*.py") for text in docstrings(path)]
    assert len(texts) > 500
    assert [found[0] for text in texts for found in SEVERAL.finditer(text)] == []


def test_attributes_that_share_a_line_are_found():
    assert SEVERAL.search("Ends.\n\nAttributes:\n    low, high: the ends.")
    assert not SEVERAL.search("Ends.\n\nAttributes:\n    low: one end, the other: not this.")


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def test_a_signature_is_shown_without_what_only_the_library_gives(tmp_path):
    text = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n    _y: int\n    z: int = 0\n"
    (tmp_path / "made.py").write_text(text, encoding="utf-8")
    for extensions, names in (
        ((), ["self", "x", "_y", "z"]),
        ((reference_entries.PublicParameters,), ["self", "x", "z"]),
    ):
        loaded = griffe.load_extensions("dataclasses", *extensions)
        made = griffe.load("made", search_paths=[tmp_path], extensions=loaded)
        assert [parameter.name for parameter in made["A"].parameters] == names


def test_no_blank_stands_before_a_bracket_that_closes():
    shown = "(<code>str</code>, default: <code>None</code> )"
    assert reference_entries.on_page_content(shown) == "(<code>str</code>, default: <code>None</code>)"
    assert reference_entries.on_page_content("f(a )") == "f(a )"
