"""A reader types a word, in any of the ways in which people write it, and finds the page."""

from __future__ import annotations

import re

import pytest

from browser.laboratory import needs_chromium
from browser.waiting import wait_until
from docs.built import site_group

pytestmark = [needs_chromium, pytest.mark.slow, site_group(1)]


def results(open_page, path: str, *queries: str) -> list[list[str]]:
    """The addresses found for each query, typed on that page."""
    visit = open_page(path)
    page = visit.page
    field = page.locator("[data-md-component=search-query]")
    field.click()
    idle = page.evaluate(
        "JSON.parse(document.getElementById('__config').textContent).translations['search.result.placeholder']"
    )
    meta = "document.querySelector('.md-search-result__meta').textContent.trim()"
    found = []
    for query in queries:
        for text, waited in (("", f"idle => {meta} === idle"), (query, f"idle => /[0-9]|No|نشد/.test({meta})")):
            field.fill(text)
            field.press("End")  # the theme looks when a key comes up
            wait_until(page, waited, arg=idle)
        found.append([link.get_attribute("href") for link in page.locator(".md-search-result__link").all()])
    assert visit.complaints == []
    return found


@pytest.mark.parametrize(
    "queries",
    [
        ("فعال‌سازی", "فعالسازی", "فعال سازی", "فعال‌سازي"),
        ("شبکهٔ عصبی", "شبكه عصبي", "شبکه عصبی", "شبکۀ عصبی"),
        ("آزمایشگاه", "ازمايشگاه"),
        ("لایه‌ها", "لايه ها", "لایهها"),
        ("لایهٔ پنهان", "لایه‌ی پنهان", "لايۀ پنهان", "لایه مخفی"),
        ("مرز تصمیم", "مَرز تَصمیم", "مـرز تصمیم"),
        ("سیگموئید", "سیگمویید", "سیگموید"),
        ("۶۲۱ پارامتر", "621 پارامتر", "٦٢١ پارامتر"),
        ("پس‌انتشار", "پس انتشار", "پسانتشار"),
    ],
    ids=lambda queries: queries[0],
)
def test_every_way_of_writing_a_persian_word_finds_its_pages(open_page, queries):
    found = results(open_page, "fa/", *queries)
    for query, links in zip(queries, found, strict=True):
        assert len(links) >= 1, query
        assert all("/fa/" in link for link in links), query
        assert {link.split("?")[0] for link in found[0][:1]} <= {link.split("?")[0] for link in links}, query


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("تابع فعال سازی چیست", "reference/activations/"),
        ("چرا شبکه عصبی به تابع فعالسازی نیاز دارد", ""),
        ("محو شدن گرادیان", "teaching/"),
        ("بیش برازش", "glossary/"),
        ("كف خطي", "reference/training/"),
        ("نورون مرده", "reference/lessons/"),
        ("قضيۀ تقريب جهاني", "teaching/"),
        ("خطای گرد کردن", "glossary/"),
        ("غیرخطی", "reference/lessons/"),
        ("گواهی", "how-to/check-a-certificate-by-hand/"),
        ("دسته ای کردن", "explanations/how-the-batching-works/"),
        ("مدل خودم را وارسی کنم", "tutorials/check-your-own-model/"),
    ],
)
def test_what_a_reader_asks_is_answered_on_the_right_page(open_page, query, page):
    (links,) = results(open_page, "fa/", query)
    pages = list(dict.fromkeys(re.split(r"[?#]", link.partition("/fa/")[2])[0] for link in links))
    assert page in pages[:5]


def test_english_finds_english_and_nonsense_finds_nothing(open_page):
    floor, nonsense = results(open_page, "", "linear floor", "qwzx")
    assert len(floor) >= 1
    assert not any("/fa/" in link for link in floor)
    assert nonsense == []
