"""The page about the article is made of the claims and of what came of their checks."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from whyactivate.claims import CLAIMS, Evidence

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("page_tools")


def test_every_claim_has_its_place_on_the_page():
    text = (DOCS / "en" / "article.md").read_text(encoding="utf-8")
    spans = [range(int(a), int(b) + 1) for a, b in re.findall(r"show_claims\((\d+), (\d+)", text)]
    assert [number for span in spans for number in span] == list(CLAIMS)
    drawn = [int(n) for numbers in re.findall(r"figures=\[([\d, ]+)\]", text) for n in numbers.split(",")]
    assert drawn
    assert all(not CLAIMS[number].cited for number in drawn)


def test_a_claim_is_told_with_what_came_of_its_check(tools):
    told = tools.show_claims(27, 27, figures=[27])
    assert "{ #claim-27 }" in told
    assert "**✗ Wrong as stated.** The code is 10 → 18 → 18 → 4 → 1" in told
    assert "- holds: there are four affine layers" in told
    assert "<svg" in told
    assert "<svg" not in tools.show_claims(27, 27)


def test_one_that_rests_on_a_source_says_that_nothing_was_run(tools):
    told = tools.show_claims(32, 33)
    assert told.count("*Nothing was run: this rests on its source.*") == 2
    assert "Checked while" not in told


def test_a_check_that_disagrees_stops_the_build(tools, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tools, "_evidence", lambda number: Evidence(number, True, False, "it does not"))
    with pytest.raises(AssertionError, match="claim 27 disagrees"):
        tools.show_claims(27, 27)


def test_a_translation_takes_the_place_of_its_words_and_the_rest_stays_marked_english(
    tools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "xx").mkdir()
    words = {
        "labels": {"wrong": "Falsch.", "holds": "gilt"},
        "claims": {
            "27": {
                "statement": "zwei *und* eine.",
                "found": "{widths[1]} breit",
                "points": ["\u2066vier Schichten\u2069"],
            }
        },
    }
    (tmp_path / "xx" / "claims.json").write_text(json.dumps(words), encoding="utf-8")
    monkeypatch.setattr(tools, "__file__", str(tmp_path / "page_tools.py"))
    told = tools.show_claims(27, 27, language="xx")
    assert r"### 27. zwei \*und\* eine { #claim-27 }" in told
    assert '**✗ Falsch.** <bdi lang="en" dir="ltr">The code is' in told
    assert "18 breit" in told
    assert "- gilt: \u2066vier\u00a0Schichten\u2069\n" in told
    assert '- gilt: <bdi lang="en" dir="ltr">three are hidden' in told
