"""Every page, in both languages and both schemes: anyone can use it, nothing breaks, no other host hears of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import axe_playwright_python
import pytest

from browser.laboratory import needs_chromium
from browser.waiting import wait_until
from docs.built import site_group

EN = Path(__file__).parents[2] / "docs" / "en"
SOURCES = sorted(str(page.relative_to(EN).with_suffix("")) for page in EN.rglob("*.md"))
PATHS = [path.removesuffix("index") + ("" if path.endswith("index") else "/") for path in SOURCES]
PAGES = [language + path for path in PATHS for language in ("", "fa/")]
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")

# Names in tables of which a part is on another line.
TORN = """[...document.querySelectorAll('td code')]
  .filter((one) => /^\\w+$/.test(one.textContent) && one.getClientRects().length > 1).map((one) => one.textContent)"""

# Headings whose sign of a link is on a line of its own, and marks on another line than the code or formula before them.
ALONE = """[...document.querySelectorAll('.md-content .headerlink')].filter((link) => {
    const words = document.createRange();
    words.setStart(link.parentElement, 0);
    words.setEndBefore(link);
    const last = [...words.getClientRects()].at(-1);
    return last && link.getClientRects()[0].top >= last.bottom;
  }).map((link) => link.parentElement.textContent)"""
TORN_OFF = """[...document.querySelectorAll('[dir=rtl] .md-content :is(:not(pre) > code, span.arithmatex)')]
  .filter((one) => {
    const before = one.previousSibling, after = one.nextSibling, mark = document.createRange();
    if (after?.nodeType === 3 && /^[،؛؟.:»)!]/.test(after.data)) mark.setStart(after, 0), mark.setEnd(after, 1);
    else if (before?.nodeType === 3 && /[(«]$/.test(before.data))
      mark.setStart(before, before.length - 1), mark.setEnd(before, before.length);
    else return false;
    const [box, sign] = [one.getBoundingClientRect(), mark.getBoundingClientRect()];
    return sign.top >= box.bottom || sign.bottom <= box.top;
  }).map((one) => one.textContent)"""

pytestmark = [needs_chromium, pytest.mark.slow]


def violations(page, *rules: str) -> list[str]:
    """What axe finds, each with the first elements that it is about; by all its rules, or by these."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = page.evaluate("options => axe.run(document, options).then((result) => result.violations)", options)
    return [f"{one['id']}: {[node['html'][:150] for node in one['nodes'][:3]]} ({len(one['nodes'])})" for one in found]


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=site_group(number)) for number, path in enumerate([*PAGES, "404.html"])]
)
def test_page(open_page, path):
    visit = open_page(path, color_scheme="light")
    page = visit.page
    assert page.locator("html").get_attribute("lang") == ("fa" if path.startswith("fa/") else "en")
    assert page.locator("body").get_attribute("dir") == ("rtl" if path.startswith("fa/") else "ltr")
    laboratory = page.locator("[data-lab]")
    if laboratory.count():
        laboratory.scroll_into_view_if_needed()
        page.locator(".lab-controls").wait_for()
    # No part of a page is wider than a phone, but for what scrolls by itself.
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(TORN) == []
    torn_off = [page.evaluate(ALONE), page.evaluate(TORN_OFF)]
    page.set_viewport_size({"width": 1280, "height": 900})
    torn_off += [page.evaluate(ALONE), page.evaluate(TORN_OFF)]
    assert torn_off == [[]] * 4
    page.evaluate(AXE)
    # A drawing is one image with a name, a formula is read as MathML: what they are painted with is not read at all,
    # and would take axe most of its time.
    page.evaluate("document.querySelectorAll('svg[role=img], .katex-html').forEach((one) => one.replaceChildren())")
    assert page.locator("body[data-md-color-scheme=default]").count() == 1
    assert violations(page) == []
    # By the page itself: a mouse would wait for frames, which a busy machine may not draw for a long time.
    page.locator("[data-md-component=palette] label:visible").evaluate("label => label.click()")
    page.locator("body[data-md-color-scheme=slate]").wait_for()
    # The other scheme has the same elements in other colours.
    assert violations(page, "color-contrast", "link-in-text-block") == []
    assert visit.complaints == []
    assert visit.elsewhere == []
    assert [(answer.status, answer.url) for answer in visit.answers if answer.status >= 400] == []


@pytest.mark.parametrize("path", [pytest.param("", marks=site_group(0)), pytest.param("fa/", marks=site_group(1))])
def test_what_the_first_page_weighs(open_page, path):
    visit = open_page(path)
    visit.page.locator("[data-lab]").scroll_into_view_if_needed()
    visit.page.locator(".lab-controls").wait_for()
    visit.page.wait_for_load_state("networkidle")
    weights = {}
    for answer in visit.answers:
        kind = answer.headers["content-type"]
        if not kind.startswith("image/"):
            body = answer.body()
            # As any host sends it: fonts are compressed already.
            weights[answer.url.rpartition("/")[2]] = len(body) if "font" in kind else len(gzip.compress(body, 6))
    assert len(weights) > 10
    # Persian comes in its own font, and only where it is read.
    assert ("Vazirmatn-NL.woff2" in weights) == path.startswith("fa")
    faces = "[...document.fonts].filter((face) => face.family.includes('Vazirmatn') && face.status === 'loaded').length"
    assert visit.page.evaluate(faces) == (1 if path.startswith("fa") else 0)
    assert sum(weights.values()) < 600_000, weights


@pytest.mark.parametrize("path", [pytest.param("", marks=site_group(0)), pytest.param("fa/", marks=site_group(1))])
def test_the_formula_of_the_answer_is_seen_whole_on_a_phone(open_page, path):
    page = open_page(path, viewport={"width": 360, "height": 700}).page
    formula = page.locator("div.arithmatex").first
    formula.locator(".katex").wait_for()
    wait_until(page, "document.fonts.ready.then(() => true)")
    wait_until(page, "one => one.scrollWidth <= one.clientWidth", arg=formula.element_handle())
