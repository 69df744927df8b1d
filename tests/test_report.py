"""The report: one file that needs nothing but itself, says what the run found, and can be read by all."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browser.laboratory import CHROMIUM
from demo_run import quick_parts, quick_result
from whyactivate.demo import Disagreement
from whyactivate.demo.story import paragraphs, table_of
from whyactivate.errors import InputError
from whyactivate.plots import Drawing, draw_part
from whyactivate.report import render_report, write_report
from whyactivate.report.inline import inline_svg

pytestmark = pytest.mark.xdist_group("demo")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """The page's elements, ids and text; fails where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@cache
def drawings() -> tuple[Drawing, ...]:
    return tuple(drawing for part in quick_parts() if (drawing := draw_part(part, "seed 0")))


@cache
def html() -> str:
    return render_report(quick_result(), drawings())


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def test_the_page_says_what_the_run_found() -> None:
    said = words(Page(html()))
    for part in quick_parts():
        for paragraph in paragraphs(part):
            assert " ".join(paragraph.split()) in said
        table = table_of(part)
        for row in table.rows if table else ():
            assert " ".join(cell for cell in row if cell) in said
    for check in quick_result().checks:
        assert f"{check.claim} yes {check.found}" in said
    for proof in quick_result().collapse.proofs:
        assert f"Proof, {proof.kind}: holds" in said
        assert " ".join(proof.statement.split()) in said.replace("\u2011", "-")


def test_the_page_asks_nobody_for_anything() -> None:
    page = Page(html())
    assert page.all("script") == page.all("link") == page.all("img") == page.all("iframe") == []
    addresses = re.findall(r"""(?:href|src|xlink:href)=["']([^"']*)""", html()) + re.findall(r"url\(([^)]*)\)", html())
    assert addresses
    assert {address.split(":")[0][0] if address.startswith("#") else address[:10] for address in addresses} <= {
        "#", "data:image",
    }  # fmt: skip
    assert "@import" not in html()


def test_links_lead_somewhere_and_ids_are_unique() -> None:
    page = Page(html())
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for key in ("href", "xlink:href", "aria-labelledby"):
            target = attributes.get(key)
            if target is not None and not target.startswith("data:"):
                assert target.removeprefix("#") in ids
    for target in re.findall(r"url\(#([^)]*)\)", html()):
        assert target in ids


def test_the_page_is_for_all_readers() -> None:
    page = Page(html())
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == len(page.all("main")) == 1
    figures = page.all("svg")
    assert len(figures) == len(drawings()) == 4
    for attributes, drawing in zip(figures, drawings(), strict=True):
        assert attributes["role"] == "img"
        assert attributes["aria-label"] == drawing.alt
    assert all("scope" in attributes for attributes in page.all("th"))
    for _, attributes in page.elements:
        if attributes.get("role") == "region":
            assert attributes["aria-label"]
            assert attributes["tabindex"] == "0"
    assert "prefers-color-scheme: dark" in html()
    assert "@media print" in html()


def luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_and_lines_stand_out_in_light_and_in_dark(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", html(), flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    for text in ("ink", "muted", "good", "bad", "blue"):
        for ground in ("paper", "tint"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line in ("blue", "vermilion", "green", "purple"):
        assert contrast(colours[line], colours["paper"]) >= 3, line
    for fill in ("blue-fill", "vermilion-fill"):
        assert contrast(colours["ink"], colours[fill]) >= 4.5, fill


def test_figures_follow_the_page_from_light_to_dark() -> None:
    svg = inline_svg(drawings()[0].svg, "some", 'with "quotes" & <more>')
    assert svg.startswith("<svg ")
    assert 'aria-label="with &quot;quotes&quot; &amp; &lt;more&gt;"' in svg
    assert re.search(r"(?:fill|stroke): #", svg) is None
    assert "var(--ink, #1b1b1f)" in svg
    assert "<metadata>" not in svg
    assert 'id="some-figure_1"' in svg


def test_a_check_that_did_not_hold_is_said_first_and_last() -> None:
    result = quick_result()
    broken = replace(result, digits=replace(result.digits, disagreements=(Disagreement(1, 2, 3, 1e-9),)))
    said = words(Page(render_report(broken)))
    assert f"1 of {len(result.checks)} checks did not hold: digits.same_class." in said
    assert "on every test sample no " in said
    assert 'class="verdict bad"' in render_report(broken)


def test_without_figures_the_words_stay(tmp_path: Path) -> None:
    path = write_report(quick_result(), tmp_path / "report.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.all("figure") == []
    assert "All " in words(page)


def test_what_is_no_run_and_what_is_no_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="made of a DemoResult, as run_demo gives it, but NoneType came"):
        write_report(None, tmp_path / "report.html")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="path must be the path of the report to write, but None"):
        write_report(quick_result(), None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"cannot write .*: no such file or directory"):
        write_report(quick_result(), tmp_path / "nowhere" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_a_run_is_taken_for_markup() -> None:
    result = quick_result()
    proof = replace(result.collapse.proofs[0], statement="<script>alert(1)</script> & more")
    text = render_report(replace(result, collapse=replace(result.collapse, proofs=(proof,))))
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text


def test_the_same_run_gives_the_same_page() -> None:
    assert html() == render_report(quick_result(), tuple(d for p in quick_parts() if (d := draw_part(p, "seed 0"))))


def test_no_number_of_a_proof_is_torn_at_the_end_of_a_line() -> None:
    said = words(Page(html()))
    bounds = re.findall(r"is within \d\.\d\de(.)\d\d of Wx \+ b", said)
    assert bounds
    assert set(bounds) == {"\u2011"}


def test_figures_stay_legible_on_a_telephone(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    path = tmp_path / "report.html"
    path.write_text(html(), encoding="utf-8")
    with playwright.sync_playwright() as opened:
        page = opened.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]).new_page(
            viewport={"width": 390, "height": 800}
        )
        page.goto(path.as_uri())
        widths = page.evaluate("[...document.querySelectorAll('figure svg')].map(svg => svg.clientWidth)")
        assert min(widths) >= 400, "letters of 9.5 points in 6.4 inches are then as large as the smallest of the page"
        assert page.evaluate("document.documentElement.scrollWidth") == 390
