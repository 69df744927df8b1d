"""The built site asks no other host for anything, its links lead somewhere, and its figures have names."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs.built import ROOT, folder_of, site_group

CSS_URL = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")
CODE = re.compile(r'<div class="language-(\w+)\b[^"]* highlight"><pre>(.*?)</pre>', re.DOTALL)
COLUMN = 80  # characters in a line of a block of code on a screen of 1280 px
DRAWN = ("g", "path", "clippath", "lineargradient", "image")  # parts of figures, whose words have letters of their own
FETCHED_LINKS = {"stylesheet", "icon", "preload", "preconnect", "prefetch", "dns-prefetch", "manifest", "modulepreload"}

pytestmark = [pytest.mark.slow, site_group()]


@dataclass
class Html(HTMLParser):
    """What a page fetches, where it leads, the names it can be entered at, and its drawings."""

    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    drawn: set[str] = field(default_factory=set)
    figures: list[dict[str, str | None]] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    headings: int = 0
    language: str | None = None

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.drawn |= {values.get("id")} if tag in DRAWN else set()
        self.fetched += [url for pair in CSS_URL.findall(values.get("style") or "") for url in pair if url]
        self.counts[tag] += 1
        if tag == "meta":
            self.meta[values.get("property") or values.get("name") or ""] = values.get("content") or ""
        if tag == "html":
            self.language = values.get("lang")
        elif tag == "h1":
            self.headings += 1
        elif tag == "a":
            self.links += [values["href"]] if values.get("href") else []
        elif tag == "link":
            self.fetched += [values["href"]] if FETCHED_LINKS & set((values.get("rel") or "").split()) else []
        elif tag == "svg" and "viewbox" in values and "aria-label" in values:
            self.figures.append(values)
        else:
            named = [values.get(name) for name in ("src", "data", "poster", "xlink:href")]
            sizes = [part.split()[0] for part in (values.get("srcset") or "").split(",") if part.strip()]
            self.fetched += [url for url in [*named, *sizes] if url and not url.startswith("#")]

    @classmethod
    def read(cls, path: Path) -> Html:
        page = cls()
        text = path.read_text(encoding="utf-8")
        page.feed(text)
        for style in re.findall(r"<style[^>]*>(.*?)</style>", text, re.S):
            page.fetched += [url for pair in CSS_URL.findall(style) for url in pair if url]
        return page


@pytest.fixture(scope="session")
def pages(site) -> dict[Path, Html]:
    pages = {path: Html.read(path) for path in site.rglob("*.html")}
    assert len(pages) > 10
    return pages


def test_nothing_is_fetched_from_another_host(site, pages):
    fetched = {(str(path.relative_to(site)), url) for path, page in pages.items() for url in page.fetched}
    for sheet in site.rglob("*.css"):
        fetched |= {
            (str(sheet.relative_to(site)), url) for pair in CSS_URL.findall(sheet.read_text()) for url in pair if url
        }
    assert len(fetched) > 100
    assert [(where, url) for where, url in sorted(fetched) if urlsplit(url).netloc] == []


def test_whatever_is_fetched_is_there(site, pages):
    missing = [
        (str(path.relative_to(site)), url)
        for path, page in pages.items()
        for url in page.fetched
        if not url.startswith("data:") and not target(site, path, url).is_file()
    ]
    assert missing == []


def test_links_inside_the_site_lead_somewhere(site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            aim = target(site, path, link)
            names = pages[aim].ids if aim in pages else [parts.fragment]
            if not aim.is_file() or (parts.fragment and unquote(parts.fragment) not in names):
                broken.append((str(path.relative_to(site)), link))
    assert broken == []


def test_every_page_has_a_language_one_title_and_no_name_twice(site, pages):
    for path, page in pages.items():
        where = str(path.relative_to(site))
        assert page.language == ("fa" if where.startswith("fa/") else "en"), where
        assert page.headings == 1, where
        assert sorted({name for name in page.ids if page.ids.count(name) > 1}) == [], where


def test_no_markup_is_shown_as_text(site):
    for page in sorted(site.rglob("*.html")):
        html = page.read_text(encoding="utf-8")
        text = re.sub(r"<(pre|code|script)\b.*?</\1>", "", html, flags=re.DOTALL)
        assert "```" not in text, page
        contents = re.findall(r'<span class="md-ellipsis">(.*?)</span>', html, flags=re.DOTALL)
        assert not [one for one in contents if "\\(" in one], page


def test_no_line_of_code_is_cut_at_the_edge_of_the_column(site):
    """Signatures in the reference and commands included; what code prints may be longer, for it wraps."""
    pages = {page: lines_of_code(page.read_text(encoding="utf-8")) for page in sorted(site.rglob("*.html"))}
    assert sum(map(len, pages.values())) > 4000
    assert [(str(page), line) for page, lines in pages.items() for line in lines if len(line) > COLUMN] == []


def test_lines_of_code_are_those_that_a_reader_would_type():
    block = '<div class="language-{} highlight"><pre><span></span><code>{}\n</code></pre></div>'.format
    python = block("python", "<span>a</span> <span>&lt;</span> b\n\nc") + block("python doc-signature", "f(x)")
    printed = block("text", "$ whyactivate demo\nas it is") + block("console", "$ make \\\n    docs")
    assert lines_of_code(python) == ["a < b", "", "c", "f(x)"]
    assert lines_of_code(printed) == ["$ whyactivate demo", "$ make \\", "    docs"]


def test_figures_have_names(pages):
    figures = [figure for page in pages.values() for figure in page.figures]
    assert len(figures) >= 3
    assert all(figure.get("role") == "img" and len(figure["aria-label"]) > 20 for figure in figures)


def test_a_link_to_a_page_says_what_it_is_and_has_a_picture(site, pages):
    for path, page in pages.items():
        where = str(path.relative_to(site))
        assert page.meta["twitter:card"] == "summary_large_image", where
        assert all(page.meta[f"og:{name}"].strip() for name in ("title", "description", "image:alt")), where
        picture = f"social.{page.language}.png"
        assert page.meta["og:image"].endswith(picture), where
        assert (site / "assets" / picture).is_file()


def test_the_sitemap_has_every_page_in_both_languages(site, pages):
    sitemap = (site / "sitemap.xml").read_text(encoding="utf-8")
    listed = re.findall(r"<loc>(.*?)</loc>", sitemap)
    assert len(listed) == len(set(listed)) == len(pages) - 1  # the page of wrong addresses is none
    assert sitemap.count('hreflang="fa"') == sitemap.count('hreflang="en"') == len(listed)
    assert sum("fa/" in address for address in listed) == len(listed) / 2


def test_a_translation_is_in_its_language(site):
    """But for sources, which are named as they are, and what the library says of itself."""
    claims = json.loads((ROOT / "docs" / "fa" / "claims.json").read_text(encoding="utf-8"))["claims"]
    article = (site / "fa" / "article" / "index.html").read_text(encoding="utf-8")
    assert article.count('<bdi lang="en"') == sum("source" not in claim for claim in claims.values())
    for path in (site / "fa").rglob("*.html"):
        assert "Link to this section" not in path.read_text(encoding="utf-8"), path


def test_a_translation_shows_what_the_original_shows(site, pages):
    compared = 0
    for path, page in pages.items():
        twin = pages.get(site / "fa" / path.relative_to(site))
        if twin is None:
            continue
        where = str(path.relative_to(site))
        compared += 1
        assert len(twin.figures) == len(page.figures), where
        for tag in ("table", "tr", "pre", "details", "h2", "h3"):
            assert twin.counts[tag] == page.counts[tag], (where, tag)
        anchors = [
            [name for name in one.ids if not name.startswith("__") and name not in one.drawn] for one in (page, twin)
        ]
        assert anchors[1] == anchors[0], where
    assert compared > 20


def lines_of_code(html: str) -> list[str]:
    """The lines of code on a page, and of what is printed the commands."""
    found = []
    for language, block in CODE.findall(html):
        lines = unescape(re.sub(r"<[^>]+>", "", block)).splitlines()
        found += [line for line in lines if language != "text" or line.startswith("$ ")]
    return found


def target(site: Path, page: Path, link: str) -> Path:
    """The file that a link on a page leads to."""
    path = unquote(urlsplit(link).path)
    if path.startswith("/"):
        aim = site / path.removeprefix(folder_of(site)).lstrip("/")
    else:
        aim = page.parent / path if path else page
    return aim.resolve() / "index.html" if aim.is_dir() else aim.resolve()
