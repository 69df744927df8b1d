"""The laboratory as a reader uses it: play, step, collapse, other data, another language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from browser.laboratory import LAB, needs_chromium, run_in_browser

in_browser = [needs_chromium, pytest.mark.slow]
BODY = "<main><div data-lab></div></main>"

# Called before the page's own script runs to its end: what a reader does, and what is there to read.
HELPERS = """
import "./lab/start.js";
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (ready) => { for (let n = 0; n < 200 && !ready(); n++) await wait(50); };
const find = (selector) => document.querySelector(selector);
const press = (name) => find(`[data-do=${name}]`).click();
const value = (name) => find(`[data-value=${name}]`)?.textContent;
const number = (name) => Number(value(name).replaceAll("−", "-"));
const field = (label) => document.getElementById([...document.querySelectorAll(".lab label")]
  .find((element) => element.textContent === label)?.htmlFor);
const set = (label, to) => { const one = field(label); one.value = to; one.dispatchEvent(new Event("change")); };
const summary = () => find(".lab-summary").textContent;
const text = () => find(".lab").innerText;
const query = () => Object.fromEntries(new URLSearchParams(location.search));
await until(() => find("[data-do=play]"));
"""


def visit(folder: Path, script: str, query: str = "", language: str = "en"):
    return run_in_browser(folder, HELPERS + script, body=BODY, query=query, language=language)


def test_what_the_laboratory_weighs():
    sizes = {path.name: path.stat().st_size for path in LAB.iterdir()}
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) < 90_000
    assert sizes["start.js"] < 1_000  # the only part that every page fetches


def test_it_speaks_to_no_other_host_and_runs_no_text_as_code():
    for path in LAB.iterdir():
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|\beval\(|new Function|innerHTML|document\.write", source), path.name


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    return visit(
        tmp_path_factory.mktemp("lab"),
        """
        const seen = { start: summary(), steps: [] };
        press("single");
        seen.single = { steps: number("steps"), query: query() };
        press("play");
        seen.playing = find("[data-do=play]").textContent;
        await until(() => number("loss") < 1.005 * number("floor"));
        press("play");
        Object.assign(seen, { loss: number("loss"), floor: number("floor"), atFloor: summary() });
        seen.query = query();
        seen.trained = number("steps");
        press("collapse");
        await until(() => find(".lab-verdict"));
        seen.matrices = document.querySelectorAll(".lab-matrix").length;
        seen.same = summary();
        seen.panel = find(".lab-panel").innerText;
        set("Activation after layer 1", "relu");
        seen.restarted = number("steps");
        seen.panelGone = find(".lab-panel").hidden;
        press("play");
        await until(() => number("loss") < 0.5 * number("floor"));
        press("play");
        seen.below = summary();
        press("collapse");
        await until(() => find(".lab-panel").innerText.includes("Not the same"));
        seen.differs = find(".lab-panel").innerText;
        seen.legend = find(".lab-legend").innerText;
        press("reset");
        seen.reset = number("steps");
        window.result = seen;
        """,
    )


class TestANewcomer:
    """Moons without activations: play, the floor, collapse; then ReLU in one layer."""

    pytestmark = in_browser

    def test_makes_one_step_at_a_time(self, newcomer):
        assert "At step 0 the loss" in newcomer["start"]
        assert newcomer["single"] == {"steps": 1, "query": {"steps": "1"}}

    def test_comes_down_to_the_floor_and_not_below(self, newcomer):
        assert newcomer["playing"] == "Pause"
        assert newcomer["floor"] <= newcomer["loss"] <= 1.005 * newcomer["floor"]
        assert "That is the linear floor" in newcomer["atFloor"]
        assert "straight line" in newcomer["atFloor"]
        assert newcomer["query"] == {"steps": str(newcomer["trained"])}

    def test_reads_the_one_matrix(self, newcomer):
        assert newcomer["matrices"] == 3
        assert "105 parameters are 3" in newcomer["panel"]
        distance = re.search(r"The same, within \u2066([\d.]+)e−(\d+)\u2069", newcomer["same"])
        assert distance, newcomer["same"]
        assert int(distance[2]) >= 10

    def test_goes_below_the_floor_with_relu_in_one_layer(self, newcomer):
        assert newcomer["restarted"] == 0
        assert newcomer["panelGone"]
        assert "below the linear floor" in newcomer["below"]

    def test_is_shown_where_matrix_and_network_differ(self, newcomer):
        assert re.search(r"At \u2066\(.+,\s.+\)\u2069 the network says .+, the one matrix says", newcomer["differs"])
        assert "And no other matrix will do" in newcomer["differs"]
        assert "where they differ" in newcomer["legend"]
        assert newcomer["reset"] == 0


class TestOthers:
    """Everything else that a reader may choose."""

    pytestmark = in_browser

    def test_a_url_is_the_same_run(self, tmp_path):
        script = """
        await until(() => value("steps") === "30" && find("[data-do=play]").textContent === "Play");
        const first = [value("loss"), query()];
        press("reset");
        for (let n = 0; n < 30; n++) press("single");
        window.result = [first, [value("loss"), query()]];
        """
        query = "?data=spiral&seed=3&layers=tanh-relu-identity&width=5&rate=0.1&regions=1&steps=30"
        first, again = visit(tmp_path, script, query)
        assert first == again
        assert first[1] == dict(pair.split("=") for pair in query[1:].split("&"))

    def test_whatever_is_chosen_no_number_is_lost(self, tmp_path):
        script = """
        const bad = [];
        const look = (what) => { if (/NaN|undefined|null|∞|\\{/.test(text())) bad.push([what, text()]); };
        for (const name of [...field("Data set").options].map((option) => option.value)) {
          set("Data set", name);
          look(name);
          press("single");
          press("collapse");
          look(name);
        }
        set("Data set", "sine");
        set("Optimiser", "sgd");
        set("Learning rate", "10");
        for (let n = 0; n < 200; n++) press("single");
        look("wild");
        const wild = [summary(), find("[data-do=play]").disabled];
        set("Learning rate", "0.01");
        set("First weights", "zeros");
        press("single");
        press("collapse");
        look("zeros");
        set("Data set", "formula1d");
        set("Target f(x)", "alert(1)");
        const refused = find("[role=alert]").textContent;
        look("refused");
        set("Target f(x)", "log(x)");
        press("single");
        look("log");
        set("Target f(x)", "exp(6*x)");
        for (let n = 0; n < 3; n++) press("single");
        const steep = [value("steps"), summary()];
        window.result = { bad, wild, refused, steep, loss: value("loss") };
        """
        seen = visit(tmp_path, script)
        assert seen["bad"] == []
        assert "diverged" in seen["wild"][0]
        assert seen["wild"][1]
        assert seen["refused"] == "This cannot be read from sign 1 on."
        assert float(seen["loss"]) > 0
        # A loss that is large from the start is none that grew.
        assert seen["steep"][0] == "3"
        assert "diverged" not in seen["steep"][1]

    def test_points_come_by_click_and_by_keyboard(self, tmp_path):
        script = """
        set("Data set", "points");
        const canvas = find("canvas");
        const empty = [summary(), find("[data-do=play]").disabled, canvas.tabIndex];
        const pixels = () => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].join();
        const bare = pixels();
        canvas.focus();
        const crossed = pixels();
        canvas.blur();
        const again = pixels();
        const box = canvas.getBoundingClientRect();
        const click = (x, y) => canvas.dispatchEvent(new MouseEvent("click",
          { clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
        const key = (name) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
        click(0.25, 0.25);
        const one = summary();
        click(0.25, 0.5);
        const alike = summary();
        key("Delete");
        set("New points are of class", "1");
        click(0.75, 0.75);
        for (let n = 0; n < 4; n++) key("ArrowUp");
        const cross = summary();
        key("Enter");
        const three = query().points;
        key("Delete");
        const drawn = [crossed !== bare, again === bare];
        window.result = { empty, one, alike, cross, drawn, three, two: query().points,
          summary: summary() };
        """
        seen = visit(tmp_path, script)
        assert "add at least two" in seen["empty"][0]
        assert seen["empty"][1:] == [True, 0]
        assert seen["drawn"] == [True, True]  # the cross is there while the picture has the keyboard, and no longer
        assert seen["one"].startswith("Points so far: 1.")
        assert "Points: 2." in seen["alike"]
        assert "All points are of one class" in seen["alike"]
        assert re.fullmatch(r"The cross is at 1\.2\d*, −0\.\d+\.", seen["cross"])
        points = [[float(v) for v in point.split("_")] for point in seen["three"].split("~")]
        for point, wanted in zip(points, [[-1.2, 1.2, 0], [1.2, -1.2, 1], [1.2, -0.6, 1]], strict=True):
            assert point == pytest.approx(wanted, abs=0.03)
        assert seen["two"] == seen["three"].rpartition("~")[0]
        assert "separates these classes" in seen["summary"]

    def test_every_word_is_there_in_both_languages_and_a_nonsense_url_is_the_default(self, tmp_path):
        script = """
        const { WORDS } = await import("./lab/words.js");
        const holes = (text) => [...text.matchAll(/\\{\\w+\\}/g)].map(String).sort().join();
        const { en, fa } = WORDS;
        window.result = {
          keys: [Object.keys(en), Object.keys(fa)],
          holes: Object.keys(en).filter((key) =>
            [...new Set(holes(en[key]).split(","))].join() !== [...new Set(holes(fa[key]).split(","))].join()),
          arabic: Object.values(fa).filter((text) => /[\\u064a\\u0643]/.test(text)),
          page: text(),
          summary: summary(),
          query: query(),
        };
        """
        query = "?data=%00&seed=-1&formula=%3Cscript%3E&points=a_b_c~9_9_1&width=1e9"
        query += "&layers=constructor&rate=NaN&steps=x&init=__proto__"
        seen = visit(tmp_path, script, query, language="fa")
        assert sorted(seen["keys"][0]) == sorted(seen["keys"][1])
        assert seen["holes"] == []
        assert seen["arabic"] == []
        assert "فروکاستن" in seen["page"]
        assert "Play" not in seen["page"]
        assert "پس از 0 گام" in seen["summary"]
        assert seen["query"] == {"formula": "<script>"}
