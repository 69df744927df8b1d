"""The article's statements: every check agrees with its verdict, and would not if the activations were others."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner, Result

import whyactivate as wa
from figure_checks import told_by_colour_alone, untidy
from whyactivate.activations import ACTIVATIONS
from whyactivate.claims import CLAIMS, Claim, Curve, Evidence, Point, Sketch, Verdict, check_claims, find_claim
from whyactivate.claims import lookup as lookup_module
from whyactivate.claims.shared import forget
from whyactivate.cli import app
from whyactivate.errors import InputError

pytestmark = pytest.mark.xdist_group("claims")  # each is checked once, not once per worker

DOCS = Path(__file__).parents[1] / "docs"
CITED = {9, 24, 32, 33}


@cache
def evidence(number: int) -> Evidence:
    return CLAIMS[number].check()


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(each) for each in arguments])


@contextmanager
def changed(name: str, **attributes: object) -> Iterator[None]:
    """The activation of that name with other attributes, for as long as the block lasts."""
    activation = ACTIVATIONS[name]
    kept = {key: getattr(activation, key) for key in attributes}
    forget()
    try:
        for key, value in attributes.items():
            object.__setattr__(activation, key, value)
        yield
    finally:
        for key, value in kept.items():
            object.__setattr__(activation, key, value)
        forget()


class TestTable:
    def test_there_are_35_each_complete(self):
        assert list(CLAIMS) == list(range(1, 36))
        for claim in CLAIMS.values():
            assert claim.statement.endswith(".") or claim.statement.endswith(("?", ")."))
            assert len(claim.precise) > 40
            assert claim.source

    def test_verdicts_are_those_of_the_article_as_it_stands(self):
        true = {6, 11, 16, 22, 23, 30}
        wrong = {5, 7, 8, 10, 13, 24, 25, 27, 29, 33, 34}
        found = {verdict: {n for n, claim in CLAIMS.items() if claim.verdict is verdict} for verdict in Verdict}
        assert found[Verdict.TRUE] == true
        assert found[Verdict.WRONG] == wrong
        assert {n for n, claim in CLAIMS.items() if claim.ours} == {25}

    def test_those_that_rest_on_a_source_say_that_nothing_was_run(self):
        assert {n for n, claim in CLAIMS.items() if claim.cited} == CITED
        for number in CITED:
            found = CLAIMS[number].check()
            assert (found.ran, found.agrees, found.points) == (False, None, ())
            assert "Nothing was run" in found.found
            assert CLAIMS[number].source in found.found
            with pytest.raises(InputError, match="nothing was run"):
                found.plot()

    def test_a_number_that_is_none_is_refused(self):
        assert find_claim(13) is CLAIMS[13]
        with pytest.raises(InputError, match="from 1 to 35"):
            find_claim(36)
        with pytest.raises(InputError):
            find_claim(True)

    @pytest.mark.parametrize(("numbers", "words"), [([99], "there is no claim 99"), (13, r"as in \[13\], but 13")])
    def test_numbers_of_no_claims_are_refused_at_once(self, numbers, words):
        with pytest.raises(wa.InputError, match=words):
            check_claims(numbers)

    def test_it_is_found_from_the_package(self):
        assert wa.claims.CLAIMS is CLAIMS
        assert wa.lessons.xor().network_error == 0


@pytest.mark.parametrize("number", sorted(set(CLAIMS) - CITED))
def test_the_check_agrees_with_its_verdict(number):
    found = evidence(number)
    assert found.ran
    assert found.agrees, [point.words for point in found.points if not point.holds]
    assert found.points
    json.dumps(found.to_dict(), allow_nan=True)


@pytest.mark.parametrize("number", sorted(set(CLAIMS) - CITED))
def test_its_figure_can_be_read_in_grey_and_by_everybody(number):
    figure = evidence(number).plot()
    assert figure._supxlabel.get_text().startswith(f"whyactivate {wa.__version__}")
    assert untidy(figure) == []
    assert told_by_colour_alone(figure) == []


def test_no_two_figures_are_the_same_but_where_two_claims_rest_on_one_lesson():
    kinds = [type(evidence(n).lesson).__name__ for n in sorted(set(CLAIMS) - CITED)]
    headings = [evidence(n).lesson.heading for n in set(CLAIMS) - CITED if isinstance(evidence(n).lesson, Sketch)]
    assert len(set(headings)) == len(headings)
    assert {kind for kind in kinds if kinds.count(kind) > 1} == {"Sketch", "TrainingPath"}


def test_the_seeds_on_which_an_activation_stays_above_the_floor_are_named():
    found = evidence(28)
    assert "seed 7" in found.note
    assert "seed 42" in found.note


def flat(z: Tensor) -> Tensor:
    return torch.sigmoid(z / 2)


def shifted(z: Tensor) -> Tensor:
    return torch.tanh(z - 1)


NUMBER = re.compile(r"(?<![\w.])[−-]?\d[\d,]*(?:\.\d+)?(?:e[−+-]?\d+)?")


def numbers_in(text: str) -> list[tuple[float, float]]:
    """The numbers in a text, each with how far rounding may have taken it."""
    found: list[tuple[float, float]] = []
    for told in NUMBER.findall(re.sub(r"(?<=\d),(?=\d{3})", "", text).replace("−", "-").replace(",", " ")):
        digits, _e, power = told.partition("e")
        places = len(digits.partition(".")[2])
        found.append((float(told), 0.51 * 10.0 ** (int(power or 0) - places)))
    return found


def left_out(text: str, translation: str) -> list[float]:
    """The numbers of a text that its translation does not show, as far as both are rounded."""
    shown = numbers_in(translation)
    return [a for a, near in numbers_in(text) if not any(abs(a - b) <= max(near, far) for b, far in shown)]


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS.values() if not claim.cited], ids=lambda claim: claim.id)
def test_the_page_in_persian_shows_every_number_that_is_shown_in_english(claim, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS))
    tools = importlib.import_module("page_tools")
    words = json.loads((DOCS / "fa" / "claims.json").read_text(encoding="utf-8"))["claims"][str(claim.id)]
    told = tools._tell_found(evidence(claim.id), words)
    assert left_out(evidence(claim.id).found, told) == []


def test_a_caption_says_more_than_the_title_above_its_figure():
    page = (DOCS / "en" / "article.md").read_text(encoding="utf-8")
    drawn = [int(n) for listed in re.findall(r"figures=\[([\d, ]+)\]", page) for n in listed.split(",")]
    for language in ("en", "fa"):
        words = json.loads((DOCS / language / "claims.json").read_text(encoding="utf-8"))["claims"]
        sketches = [n for n in drawn if isinstance(evidence(n).lesson, Sketch)]
        assert len(sketches) > 5
        assert [n for n in sketches if "caption" not in words[str(n)]] == []


def test_a_number_that_is_left_out_is_found():
    assert left_out("a loss of 0.834 in 7 of 1,000 runs, −2 and 3e−07", "7 از 1000، ⁦−2⁩، 2.97e−07 و 0.8337") == []
    assert left_out("a loss of 0.834 and −2 and 1.39e−16", "0.83 و 2 و 1.5e−16") == [-2.0, 1.39e-16]


def disagreeing(numbers: set[int]) -> set[int]:
    return {claim.id for claim, found in check_claims(sorted(numbers)) if not found.agrees}


class TestOtherActivations:
    """With another formula the claims about it fail, and those about others do not."""

    QUICK = (1, 4, *range(10, 21), 23, 25, 26, 27, 34, 35)
    """Claims whose check takes no training of many networks."""

    @pytest.mark.parametrize(
        ("name", "function", "numbers"),
        [
            ("sigmoid", flat, {11, 12, 13, 16}),
            ("tanh", shifted, {16, 17}),
            ("relu", lambda z: z, {10, 15, 35}),
            ("relu", torch.abs, {10, 15, 35}),
            ("leaky_relu", lambda z: torch.where(z > 0, z, torch.full_like(z, -0.01)), {18}),
        ],
        ids=["a sigmoid half as steep", "a tanh that is not centred", "no relu", "abs for relu", "one small value"],
    )
    def test_with_another_function_its_claims_fail_and_no_others(
        self, name: str, function: Callable[[Tensor], Tensor], numbers: set[int]
    ):
        with changed(name, function=function):
            assert disagreeing(set(self.QUICK)) == numbers

    @pytest.mark.slow
    def test_without_a_relu_nothing_is_below_the_floor(self):
        with changed("relu", function=lambda z: z):
            assert disagreeing({5, 27, 28}) == {5, 28}

    def test_the_formula_of_sigmoid(self):
        formula = ACTIVATIONS["sigmoid"].formula
        assert formula is not None
        with changed("sigmoid", formula=lambda z: formula(z) ** 2):
            assert disagreeing({11, 14, 16}) == {11, 14, 16}

    @pytest.mark.parametrize(("name", "number"), [("relu", 15), ("leaky_relu", 18), ("tanh", 16)])
    def test_the_formulas_of_the_others(self, name: str, number: int):
        formula = ACTIVATIONS[name].formula
        assert formula is not None
        with changed(name, formula=lambda z: formula(z) + z**2 / 1000):
            assert disagreeing({10, 14, 15, 16, 18, 19, 23}) == {number}

    def test_a_wrong_derivative(self):
        with changed("leaky_relu", derivative=torch.ones_like):
            assert disagreeing({18}) == {18}


def test_one_point_that_fails_is_a_disagreement():
    claim = CLAIMS[27]
    finding = claim.experiment()
    wrong = replace(finding, points=(*finding.points, Point("never", False)))
    assert replace(claim, experiment=lambda: wrong).check().agrees is False


class TestCommand:
    @pytest.fixture
    def few(self, monkeypatch: pytest.MonkeyPatch) -> dict[int, Claim]:
        chosen = {n: CLAIMS[n] for n in (13, 24, 27)}
        monkeypatch.setattr(lookup_module, "CLAIMS", chosen)
        return chosen

    def test_the_table(self, few):
        result = run("claims")
        assert result.exit_code == 0, result.output
        assert "2 of 2 checks agree" in result.stdout
        assert "with nothing run: 1." in result.stdout
        assert "13. 0.99993320 and" in result.stdout
        assert "cited, nothing run" in result.stdout

    def test_json(self, few):
        result = run("claims", "--json")
        found = json.loads(result.stdout)["claims"]
        assert [each["id"] for each in found] == [13, 24, 27]
        assert [each["evidence"]["agrees"] for each in found] == [True, None, True]

    def test_one_in_full_with_its_figure(self, tmp_path: Path):
        result = run("claims", 27, "--out", tmp_path)
        assert result.exit_code == 0, result.output
        assert CLAIMS[27].precise in " ".join(result.stdout.split())
        assert sorted(path.name for path in tmp_path.iterdir()) == ["claim-27.png", "claim-27.svg"]

    def test_one_that_rests_on_a_source_has_no_figure(self, tmp_path: Path):
        result = run("claims", 33, "--out", tmp_path / "none")
        assert result.exit_code == 0
        assert "Nothing was run" in result.stdout
        assert "No figure: where nothing was measured" in result.stdout
        assert not (tmp_path / "none").exists()

    def test_a_disagreement_is_exit_code_1_and_named(self, few, monkeypatch: pytest.MonkeyPatch):
        finding = CLAIMS[27].experiment()
        wrong = replace(finding, points=(Point("there are five layers", False),))
        few[27] = replace(CLAIMS[27], experiment=lambda: wrong)
        result = run("claims")
        assert result.exit_code == 1
        assert "there are five layers" in result.stdout
        assert "DISAGREES" in result.stdout
        assert run("claims", 27, "--no-plots").exit_code == 1

    def test_bad_numbers_are_exit_code_2(self):
        assert run("claims", 36).exit_code == 2
        assert run("claims", "x").exit_code == 2


def test_a_sketch_tells_its_bars_and_the_ends_of_its_curves():
    assert "a 1.000" in Sketch("h", "x", bars={"a": 1.0}).explain()
    rising = Sketch("h", "x", curves=(Curve("b", (0.0, 2.0), (1.0, 3.0)),))
    assert "b from 1.000 at 0 to 3.000 at 2.000" in rising.explain()
