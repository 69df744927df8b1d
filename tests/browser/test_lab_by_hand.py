"""The laboratory with the keyboard alone, with a finger on a phone, and where motion is not wanted."""

from __future__ import annotations

import pytest

from browser.laboratory import needs_chromium
from browser.waiting import wait_until
from docs.built import site_group

pytestmark = [needs_chromium, pytest.mark.slow, site_group()]

FOCUSED = "(document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent).trim()"


def open_laboratory(open_page, query: str = "", **settings):
    page = open_page(f"laboratory/{query}", **settings).page
    page.locator("[data-lab]").scroll_into_view_if_needed()
    page.locator(".lab-controls").wait_for()
    return page


def tab_to(page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            return
    raise AssertionError(f"Tab does not come to {name}")


def test_a_long_run_in_the_address_leaves_the_page_alive(open_page):
    page = open_laboratory(open_page, "?layers=tanh-tanh-tanh&width=12&steps=20000", reduced_motion="reduce")
    wait_until(page, "Number(document.querySelector('[data-value=steps]').textContent) > 0")
    page.locator("[data-do=play]").click()
    assert page.locator("[data-do=play]").inner_text() == "Play"
    assert 0 < int(page.locator("[data-value=steps]").inner_text()) < 20000


def test_the_keyboard_alone_does_it_all(open_page):
    page = open_laboratory(open_page)
    tab_to(page, "One step")
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert page.locator("[data-value=steps]").inner_text() == "2"
    tab_to(page, "Collapse")
    page.keyboard.press("Enter")
    page.locator(".lab-verdict").first.wait_for()
    tab_to(page, "Data set")
    page.keyboard.type("Your own f")
    tab_to(page, "Class 1 where this is above 0 (x, y)")
    page.keyboard.press("Control+A")
    page.keyboard.type("x*x + y*y - 1")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Seed"  # the fields were made anew, and the way goes on where it was
    tab_to(page, "Activation after layer 1")
    page.keyboard.type("ReL")
    assert page.evaluate(FOCUSED) == "Activation after layer 1"
    assert "formula=x*x" in page.url.replace("%2A", "*")
    assert "layers=relu-identity" in page.url


def test_a_finger_on_a_phone(open_page):
    page = open_laboratory(open_page, "?data=points", viewport={"width": 375, "height": 700}, has_touch=True)
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    canvas.tap(position={"x": 60, "y": 60})
    page.get_by_label("New points are of class").select_option("1")
    canvas.tap(position={"x": 200, "y": 200})
    assert page.url.count("_") == 4
    page.locator("[data-do=single]").tap()
    assert page.locator("[data-value=steps]").inner_text() == "1"
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
