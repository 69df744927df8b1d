"""The Persian edition is the same book: the same pages, headings and code, written as Persian is written."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from docs.persian import CODE, FRONT, bare, faults, terms_of

DOCS = Path(__file__).parents[2] / "docs"
EN, FA = DOCS / "en", DOCS / "fa"
PAGES = sorted(str(page.relative_to(EN)) for page in EN.rglob("*.md"))
BOTH = [page for page in PAGES if (FA / page).exists()]
PERSIAN = sorted(FA.rglob("*.md"))
LINK = re.compile(r"\](\([^)\s]+\)|\[[^\]]+\])")
FORMULA = re.compile(r"\\\(.*?\\\)|\\\[.*?\\\]", re.S)
SPAN = re.compile(r"`[^`]+`")


def test_no_page_is_there_in_one_language_only():
    assert {str(page.relative_to(FA)) for page in PERSIAN} - set(PAGES) == set()
    assert set(PAGES) == set(BOTH)


@pytest.mark.parametrize("page", BOTH)
def test_headings_are_those_of_the_original(page):
    assert headings(FA / page) == headings(EN / page)


@pytest.mark.parametrize("page", BOTH)
def test_code_is_that_of_the_original_but_for_persian_words(page):
    original, translated = fences(EN / page), fences(FA / page)
    assert [info for info, _ in translated] == [info for info, _ in original]
    for (info, code), (_, twin) in zip(original, translated, strict=True):
        if info.startswith("python"):
            assert difference(ast.parse(code), ast.parse(twin)) is None, code
        else:
            assert comments_cut(twin) == comments_cut(code)


@pytest.mark.parametrize("page", BOTH)
def test_links_formulas_tables_and_lists_are_those_of_the_original(page):
    original, translated = (Shown.on(folder / page) for folder in (EN, FA))
    assert translated.links == original.links
    assert translated.rows == original.rows
    assert translated.items == original.items
    # A number may be a formula in the translation, or a name code, so that it reads from left to right.
    assert original.formulas - translated.formulas == Counter()
    assert original.code - translated.code == Counter()


@pytest.mark.parametrize("page", PERSIAN, ids=lambda page: str(page.relative_to(FA)))
def test_persian_is_written_as_persian_is(page):
    assert list(faults(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "page", [page for page in PERSIAN if page != FA / "glossary.md"], ids=lambda page: str(page.relative_to(FA))
)
def test_terms_come_with_the_english_word(page):
    terms = terms_of((FA / "glossary.md").read_text(encoding="utf-8"))
    assert len(terms) > 60
    assert list(bare(page.read_text(encoding="utf-8"), terms)) == []


def test_claims_in_persian_are_written_so_too():
    claims = json.loads((FA / "claims.json").read_text(encoding="utf-8"))
    texts = list(texts_in(claims))
    assert len(texts) > 100
    assert [fault for text in texts for fault in faults(text)] == []


def test_persian_words_in_code_and_settings_are_written_so_too():
    blocks = [code for page in PERSIAN for info, code in fences(page) if info.startswith("python")]
    hooks = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.py")]
    texts = [text for code in blocks + hooks for text in spoken(ast.parse(code))]
    assert len(texts) > 40
    for path, pattern in (
        ("assets/lab/words.js", r'"([^"]*)"'),
        ("theme/404.html", ">([^<]+)<"),
        ("../mkdocs.yml", ": (.*)"),
    ):
        written = (DOCS / path).read_text(encoding="utf-8").replace(r"\u2066", "\u2066").replace(r"\u2069", "\u2069")
        texts += filter(is_persian, re.findall(pattern, written))
    assert len(texts) > 150
    assert [fault for text in texts for fault in faults(text)] == []


def test_the_page_for_wrong_addresses_says_of_each_part_in_which_language_it_is():
    page = (DOCS / "theme" / "404.html").read_text(encoding="utf-8")
    parts = re.findall(r'<section lang="(\w+)" dir="(\w+)">(.*?)</section>', page, re.S)
    assert [part[:2] for part in parts] == [("en", "ltr"), ("fa", "rtl")]
    assert [is_persian(part[2]) for part in parts] == [False, True]
    around = re.sub(r"<section.*?</section>", "", page, flags=re.S)
    assert not is_persian(around)
    assert "<h" not in around.replace("<html", "")


def test_every_title_in_the_navigation_is_translated():
    # Only the part of mkdocs.yml that YAML reads without MkDocs.
    text = re.sub(r"!ENV \[.*?\]", "''", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load(text)
    i18n = next(plugin["i18n"] for plugin in config["plugins"] if isinstance(plugin, dict) and "i18n" in plugin)
    translations = i18n["languages"][1]["nav_translations"]
    titles = set(titles_of(config["nav"]))
    assert len(titles) > 20
    assert titles - set(translations) == set()


@pytest.mark.parametrize(
    "text",
    [
        "شبكه", "چرا?", "یکی, دو", '"شبکه"', "می شود", "میشود", "نمیکند", "لایه ها", "بزرگ تر", "لایه\u200c است",
        "لایه\u200cی پنهان", "چرا ؟", "یکی،دو", "وزن −1", "۱۰ نمونه و 20 لایه", "لایه ای", "لایهها", "این این",
        "تابع غیرخطی", "`nn.GRU`ی یکپارچه", "attributeها", "لایه\u200cهای عمیق", "گذر رو به جلو",
    ],
)  # fmt: skip
def test_faults_are_found(text):
    assert len(list(faults(f"# سرآغاز\n\n{text}\n"))) >= 1


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cشود، میان لایه\u200cها؛ چرا؟", "«شبکه» (network, layer)", "با Python 3.11 و ۱۰ نمونه",
        "\\(x, y\\) و `f(a, b)`",
        "شبکهٔ عصبی: لایه\u200cای بزرگ\u200cتر", "[مرجع](a/b.md?c)", "```python\nx = 'چرا?'\n```",
    ],
)  # fmt: skip
def test_what_is_right_is_no_fault(text):
    assert list(faults(f"# سرآغاز\n\n{text}\n")) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("کف خطی", ["کف خطی"]), ("کف خطی (linear floor)", []), ("کف\u200cها و کف خطی\u200cشان", []),
        ("`کف خطی`", []), ("## کف خطی", []), ("[کف خطی](a.md)", []), ("[کف](a.md) خطی و کف خطی", ["کف خطی"]),
        ("مدل آفین (affine)، نگاشت آفین", []), ("نگاشت آفین", ["نگاشت آفین"]),
    ],
)  # fmt: skip
def test_a_term_without_its_english_word_is_found(text, words):
    terms = {"کف خطی": "linear floor", "نگاشت آفین": "affine map"}
    assert list(bare(f"# سرآغاز\n\n{text}\n", terms)) == words


@pytest.mark.parametrize(
    ("twin", "same"),
    [
        ("show(f'خطا {a:.2f}', alt='شکل')", True),
        ("show(f'خطا {a:.3f}', alt='شکل')", False),
        ("show(f'loss {a:.2f}', alt='picture')", True),
        ("show(f'loss {b:.2f}', alt='picture')", False),
        ("show(f'loss {a:.2f}', alt='other')", False),
        ("show(f'خطا {a:.2f}', title='شکل')", False),
    ],
)
def test_words_may_differ_and_nothing_else(twin, same):
    original = ast.parse("show(f'loss {a:.2f}', alt='picture')")
    assert (difference(original, ast.parse(twin)) is None) == same


@dataclass
class Shown:
    """What a page shows besides its words."""

    links: Counter[str]
    formulas: Counter[str]
    code: Counter[str]
    rows: int
    items: int

    @classmethod
    def on(cls, page: Path) -> Shown:
        text = CODE.sub("", FRONT.sub("", page.read_text(encoding="utf-8")))
        found = [[re.sub(r"\s+", " ", one) for one in re.findall(pattern, text)] for pattern in (LINK, FORMULA, SPAN)]
        # A formula with words in it is said in other words.
        formulas = (one.replace(" ", "") for one in found[1] if r"\text" not in one)
        rows, items = (len(re.findall(pattern, text, re.M)) for pattern in (r"^\|", r"^ *(?:-|\d+\.) "))
        return cls(Counter(found[0]), Counter(formulas), Counter(found[2]), rows, items)


def test_a_figure_may_be_told_in_persian_and_by_a_text_only():
    original = ast.parse("show(found, alt=found.explain())")
    assert difference(original, ast.parse("show(found, alt=f'شکل {found.end}')")) is None
    assert difference(original, ast.parse("show(found, alt='picture')")) is not None
    assert difference(original, ast.parse("show(found, alt=tell('شکل'))")) is not None
    assert difference(original, ast.parse("show(other, alt='شکل')")) is not None


def headings(page: Path) -> list[str]:
    return [token.tag for token in tokens(page) if token.type == "heading_open"]


def fences(page: Path) -> list[tuple[str, str]]:
    return [(token.info, token.content) for token in tokens(page) if token.type == "fence"]


def tokens(page: Path):
    text = re.sub(r"\A---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r'^--8<-- "([^":]+)(?::(\d+):)?"$', included, text, flags=re.M)
    return MarkdownIt("commonmark").parse(re.sub(r"^( *)(\?\?\?\+?|!!!|===).*", "", text, flags=re.M))


def included(snippet: re.Match[str]) -> str:
    lines = (DOCS.parent / snippet[1]).read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[int(snippet[2] or 1) - 1 :])


def texts_in(value: dict | list | str) -> Iterator[str]:
    for part in value.values() if isinstance(value, dict) else value:
        yield from [part] if isinstance(part, str) else texts_in(part)


def titles_of(nav: list | dict | str) -> list[str]:
    if isinstance(nav, list):
        return [title for entry in nav for title in titles_of(entry)]
    if isinstance(nav, dict):
        return [*nav, *(title for below in nav.values() if isinstance(below, list) for title in titles_of(below))]
    return []


def comments_cut(code: str) -> str:
    return re.sub(r"(^|\s)#.*", "", code)


def spoken(code: ast.AST) -> Iterator[str]:
    """The texts in Persian, with a formula where a value is put in."""
    parts = {id(part) for text in ast.walk(code) if isinstance(text, ast.JoinedStr) for part in text.values}
    for node in ast.walk(code):
        if isinstance(node, ast.JoinedStr):
            values = (part.value if isinstance(part, ast.Constant) else "\\(x\\)" for part in node.values)
            text = "".join(map(str, values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            text = node.value
        else:
            continue
        if is_persian(text):
            yield text


def is_persian(text: str) -> bool:
    return bool(re.search("[\u0600-\u06ff]", text))


def difference(original: ast.AST, twin: ast.AST) -> str | None:
    """Where the translation's code does something else; a text may be replaced by one in Persian."""
    if isinstance(original, ast.Constant | ast.JoinedStr) and isinstance(twin, ast.Constant | ast.JoinedStr):
        words = [
            part.value for part in ast.walk(twin) if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        if is_persian("".join(words)) or words == ["fa"]:
            values = [
                sorted(ast.dump(part) for part in ast.walk(text) if isinstance(part, ast.FormattedValue))
                for text in (original, twin)
            ]
            return None if values[0] == values[1] else ast.unparse(twin)
    if isinstance(original, ast.keyword) and isinstance(twin, ast.keyword) and original.arg == twin.arg == "alt":
        # What the library says of a figure is English: the translation may say it in its own words.
        told = isinstance(original.value, ast.Call) and isinstance(twin.value, ast.Constant | ast.JoinedStr)
        if told and is_persian(ast.unparse(twin)):
            return None
    if type(original) is not type(twin):
        return ast.unparse(twin)
    for name in original._fields:
        mine, theirs = getattr(original, name), getattr(twin, name)
        pairs = zip(mine, theirs, strict=False) if isinstance(mine, list) else [(mine, theirs)]
        if isinstance(mine, list) and len(mine) != len(theirs):
            return ast.unparse(twin)
        for one, other in pairs:
            if isinstance(one, ast.AST) and isinstance(other, ast.AST):
                found = difference(one, other)
                if found is not None:
                    return found
            elif one != other:
                return ast.unparse(twin)
    return None
