"""Code on a page and on its translation is run once, each with its own words; what is not known is run in its place."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[2] / "docs"))
page_runner = pytest.importorskip("page_runner")
page_languages = pytest.importorskip("page_languages")

ORIGINAL = """
```python exec="true" session="s"
import page_runner
page_runner.ran.append(1)
numbers = [3]
```

```python exec="true" session="s"
numbers.append(4)
print("loss", numbers)
```

```python exec="true" session="s"
print(len(numbers))
```
"""
TRANSLATION = ORIGINAL.replace('"loss"', '"زیان"')


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Runs the blocks of the pages with these texts, one page after the other."""
    monkeypatch.setattr(page_runner, "_outputs", {})
    monkeypatch.setattr(page_runner, "ran", [], raising=False)

    def run(**texts: str) -> dict[str, list[str]]:
        for language, text in texts.items():
            (tmp_path / language).mkdir(exist_ok=True)
            (tmp_path / language / "page.md").write_text(text, encoding="utf-8")
        printed = {}
        for language, text in texts.items():
            file = SimpleNamespace(src_uri=f"{language}/page.md", abs_src_path=str(tmp_path / language / "page.md"))
            page_runner.on_page_markdown(text, SimpleNamespace(file=file))
            blocks = page_runner.blocks_of(text)
            printed[language] = [page_runner.run_block(code, session) for session in blocks for code in blocks[session]]
        return printed

    return run


def test_a_translation_has_its_words_and_the_same_numbers(build):
    printed = build(en=ORIGINAL, fa=TRANSLATION)
    assert printed == {"en": ["", "loss [3, 4]\n", "2\n"], "fa": ["", "زیان [3, 4]\n", "2\n"]}
    assert page_runner.ran == [1]


def test_what_uses_other_words_is_run_with_them(build):
    original = ORIGINAL.replace("numbers = [3]", 'numbers = [3]; name = "loss"').replace('"loss", ', "name, ")
    printed = build(en=original, fa=original.replace('"loss"', '"زیان"'))
    assert (printed["en"][1], printed["fa"][1]) == ("loss [3, 4]\n", "زیان [3, 4]\n")


def test_a_translation_that_differs_is_run_by_itself(build):
    printed = build(en=ORIGINAL, fa=ORIGINAL.replace("numbers = [3]", "numbers = [3, 3]"))
    assert printed["fa"] == ["", "loss [3, 3, 4]\n", "3\n"]


def test_the_original_is_the_same_with_a_translation_and_without(build):
    assert build(en=ORIGINAL)["en"] == build(en=ORIGINAL.replace("[3]", "[3] "), fa=TRANSLATION)["en"]


def test_an_error_says_where(build):
    with pytest.raises(page_runner.markdown_exec.ExecutionError, match="session s; n2"):
        build(en=ORIGINAL.replace('print("loss", numbers)', "1 / 0"))


def test_what_is_printed_fits_its_column_and_its_trees_stay_trees():
    table = f"{'units':>10}{'pieces':>70}\n"
    assert page_runner.wrapped(table + "\n  a   b\n") == table + "\n  a   b\n"
    lines = page_runner.wrapped(f"plan\n    because {'multiply-adds in 2 kernels ' * 9}\n  next\n").splitlines()
    assert lines[0] == "plan"
    assert lines[1].startswith("    because ")
    assert lines[-1] == "  next"
    assert len(lines) > 4
    assert all(line.startswith(" " * 6) and line[6] != " " for line in lines[2:-1])
    assert all(len(line) <= page_runner.COLUMN for line in lines)
    assert " ".join(" ".join(lines).split()) == f"plan because {'multiply-adds in 2 kernels ' * 9}next"
    assert page_runner.wrapped("x" * 100 + "\n") == "x" * 100 + "\n"  # a word is never broken


def test_only_what_is_printed_for_reading_is_wrapped(monkeypatch):
    monkeypatch.setattr(page_runner, "_sessions", {})
    monkeypatch.setattr(page_runner, "_translated", {})
    monkeypatch.setattr(page_runner.markdown_exec, "base_format", lambda **options: options["run"](options["code"]))
    code = "print('word ' * 30)"
    assert page_runner.format_block(code=code, md=None).count("\n") == 1
    assert page_runner.format_block(code=code, md=None, result="text").count("\n") == 2


def test_headings_of_a_translation_have_the_anchors_of_the_original(tmp_path):
    texts = {"en": "# One `two`\n\n```python\n# no heading\n```\n\n## Why?\n", "fa": "# یک `دو`\n\n## چرا؟\n"}
    for language, text in texts.items():
        (tmp_path / language).mkdir()
        (tmp_path / language / "page.md").write_text(text, encoding="utf-8")
    file = SimpleNamespace(src_uri="fa/page.md", abs_src_path=str(tmp_path / "fa" / "page.md"))
    made = page_languages.on_page_markdown(texts["fa"], SimpleNamespace(file=file))
    assert made == "# یک `دو` { #one-two }\n\n## چرا؟ { #why }"


def shown(html: str, language: str) -> str:
    config = SimpleNamespace(mdx_configs={"toc": {"permalink_title": "Link"}})
    page = SimpleNamespace(file=SimpleNamespace(src_uri=f"{language}/a.md"))
    return page_languages.on_page_content(html, page, config)


def test_a_translation_names_the_marks_of_its_headings():
    html = '<a title="Link">¶</a>'
    assert shown(html, "en") == html
    assert shown(html, "fa") == html.replace("Link", page_languages.ANCHOR["fa"])


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ('<span class="arithmatex">\\(x &lt; 1\\)</span>', '<span class="arithmatex">\\(x &lt; 1\\)</span>'),
        ("<code>--allow head</code>", '<code class="short">--allow head</code>'),
        ('<a href="#b"><code>run</code></a>', '<a href="#b"><code class="short">run</code></a>'),
        (f"<code>{'a-b ' * 8}</code>", f"<code>{'a-b ' * 8}</code>"),
    ],
)
def test_a_mark_stays_on_the_line_of_what_it_follows_and_a_short_name_is_whole(part, kept):
    for language in ("en", "fa"):
        said = shown(f"a ({part}), b {part} c, {part}.", language)
        assert said == f'a <span class="whole">({kept}),</span> b {kept} c, <span class="whole">{kept}.</span>'


def test_blocks_of_code_stay_as_they_are():
    for block in ("<pre><code>x = 1</code></pre>", "<pre><span></span><code>x = 1\n</code></pre>"):
        assert shown(block, "en") == block
