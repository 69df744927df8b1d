"""What a newcomer does on the first page: play, see the line and the floor, collapse, bend it with one ReLU."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from browser.laboratory import needs_chromium
from browser.waiting import wait_until
from docs.built import site_group

pytestmark = [needs_chromium, pytest.mark.slow]


@dataclass(frozen=True)
class Words:
    """What the page says, where the test must read it."""

    path: str
    play: str
    pause: str
    collapse: str
    layer: str
    straight: str
    floor: str
    below: str
    same: str
    differs: str
    bend: str


ENGLISH = Words(
    "", "Play", "Pause", "Collapse", "Activation after layer 1", "one straight line", "That is the linear floor",
    "below the linear floor", "The same, within", "Not the same. At", "no other matrix will do",
)  # fmt: skip
PERSIAN = Words(
    "fa/", "آغاز", "مکث", "فروکاستن", "تابع فعال‌سازی پس از لایهٔ 1", "یک خط راست", "این همان کف خطی",
    "از هیچ مدل آفینی برنمی‌آید", "یکی‌اند، با اختلافی نه بیش از", "یکی نیستند. در", "هیچ ماتریس دیگری هم نمی‌شود",
)  # fmt: skip

# The boundary in the picture: how far the network's black line is from the straight line through its ends, in pixels.
BEND = """
canvas => {
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const places = [];
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const [r, g, b] = pixels.slice(4 * (y * width + x), 4 * (y * width + x) + 3);
      if (r < 60 && g < 60 && b < 60) places.push([x, y]);
    }
  }
  // Least squares on whichever axis the line crosses least steeply.
  const spread = (k) => Math.max(...places.map((p) => p[k])) - Math.min(...places.map((p) => p[k]));
  const [u, v] = spread(0) > spread(1) ? [0, 1] : [1, 0];
  const total = (k) => places.reduce((sum, p) => sum + p[k], 0);
  const [mu, mv] = [total(u) / places.length, total(v) / places.length];
  const along = (k) => places.reduce((sum, p) => sum + (p[u] - mu) * p[k], 0);
  const slope = along(v) / along(u);
  return Math.max(...places.map((p) => Math.abs(p[v] - mv - slope * (p[u] - mu)))) / width;
}
"""


@pytest.mark.parametrize(
    "words",
    [pytest.param(ENGLISH, marks=site_group(0), id="en"), pytest.param(PERSIAN, marks=site_group(1), id="fa")],
)
def test_a_newcomer_sees_why(open_page, words):
    visit = open_page(words.path, color_scheme="light", reduced_motion="no-preference")
    page = visit.page
    laboratory = page.locator(".lab")
    page.locator("[data-lab]").scroll_into_view_if_needed()
    press = {name: laboratory.locator(f"[data-do={name}]") for name in ("play", "collapse")}
    press["play"].wait_for()
    assert [press["play"].inner_text(), press["collapse"].inner_text()] == [words.play, words.collapse]
    summary, panel = laboratory.locator(".lab-summary"), laboratory.locator(".lab-panel")

    def number(name: str) -> float:
        return float(laboratory.locator(f"[data-value={name}]").inner_text().replace("−", "-"))

    def train_until(ready: str) -> None:
        # The network trains on until the press of Pause is heard, and a step of training can raise the loss again.
        read = f"() => {{ const {{ loss, floor }} = window.read(); return {ready}; }}"
        for _ in range(20):
            press["play"].click()
            assert press["play"].inner_text() == words.pause
            wait_until(page, read)
            press["play"].click()
            if page.evaluate(read):
                return
        raise AssertionError(f"{ready} never held while the network was paused: {summary.inner_text()}")

    page.evaluate(
        """() => { window.read = () => Object.fromEntries(["loss", "floor"].map((name) =>
             [name, Number(document.querySelector(`[data-value=${name}]`).textContent)])) }"""
    )

    # No activation, on moons: a straight line, and the floor.
    train_until("loss < 1.004 * floor")
    assert words.straight in summary.inner_text()
    assert words.floor in summary.inner_text()
    assert number("loss") >= number("floor")
    floor_hidden = laboratory.locator(".lab-ticks input").first
    floor_hidden.uncheck()
    assert laboratory.locator("canvas").evaluate(BEND) < 0.02
    floor_hidden.check()

    # Collapse: the one matrix, and that it is the network.
    press["collapse"].click()
    wait_until(page, "document.querySelectorAll('.lab-verdict').length > 1")
    assert laboratory.locator(".lab-matrix").count() == 3
    assert laboratory.locator(".lab-matrix").last.locator("td").count() == 3
    said = re.sub("[\u2066\u2069]", "", panel.inner_text())
    assert words.same in said
    assert re.search(r"\de−1\d", said), said

    # ReLU in one layer: the boundary bends, and Collapse refuses and says where.
    laboratory.get_by_label(words.layer, exact=True).select_option("relu")
    assert panel.is_hidden()
    train_until("loss < 0.5 * floor")
    assert words.below in summary.inner_text()
    floor_hidden.uncheck()
    assert laboratory.locator("canvas").evaluate(BEND) > 0.05
    press["collapse"].click()
    wait_until(page, "document.querySelectorAll('.lab-verdict').length > 2")
    said = panel.inner_text()
    assert words.differs in said
    assert words.bend in said
    assert re.search(r"\u2066\([−\d.]+,\s[−\d.]+\)\u2069", said), said
    assert laboratory.locator(".lab-orange").count() == 1
    assert visit.complaints == []
