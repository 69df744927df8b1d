"""The demo: what it finds, that its words follow from the numbers, and that its checks can fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from demo_run import MESSAGES, article, classes, contest, network, quick_parts, quick_result
from whyactivate import __version__
from whyactivate.affine.analysis import Verdict
from whyactivate.demo import (
    ArticlePart,
    CollapsePart,
    Contest,
    Disagreement,
    Part,
    RefutationPart,
    TrainedNetwork,
    demo_parts,
    join_parts,
    run_demo,
    words,
)
from whyactivate.demo.checks import checks_of
from whyactivate.demo.contests import FULL, QUICK
from whyactivate.demo.phrases import listing, number, share, spread, two_numbers
from whyactivate.demo.results import counterexample_to_dict
from whyactivate.demo.story import contest_table, heading, paragraphs, table_of
from whyactivate.errors import InputError
from whyactivate.models import SimpleModel

pytestmark = pytest.mark.xdist_group("demo")


# What a run finds


def test_every_check_holds_on_a_quick_run() -> None:
    result = quick_result()
    assert [str(check) for check in result.checks if not check.holds] == []
    assert result.holds
    assert (result.version, result.seed, result.quick) == (__version__, 0, True)
    assert len({check.name for check in result.checks}) == len(result.checks)


def test_without_activations_the_article_ends_on_the_floor_and_relu_below() -> None:
    contest = quick_result().article.contest
    assert contest.floor.loss <= contest.none.loss <= 1.005 * contest.floor.loss
    assert contest.network("relu").loss < 0.5 * contest.floor.loss
    assert quick_result().article.zero_test_loss < contest.network("relu").test_loss


def test_same_initial_weights_for_all() -> None:
    for part in (quick_result().article.contest, quick_result().digits.contest):
        starts = [network.history.train_loss for network in part.networks]
        assert all(len(start) == part.none.history.config.epochs + 1 for start in starts)
    none, relu = SimpleModel(None, 0), SimpleModel("relu", 0)
    assert all(torch.equal(a, b) for a, b in zip(none.parameters(), relu.parameters(), strict=True))


def test_the_article_is_trained_as_the_article_does() -> None:
    config = quick_result().article.contest.none.history.config
    assert (config.epochs, config.batch_size, config.learning_rate, config.optimizer) == (150, 10, 0.001, "adam")
    assert not config.shuffle
    assert FULL.activations == ("identity", "relu", "sigmoid", "tanh", "leaky_relu")
    assert FULL.article == QUICK.article


def test_collapse_is_621_to_11_with_four_proofs() -> None:
    part = quick_result().collapse
    assert (part.collapse.parameters_before, part.collapse.parameters_after) == (621, 11)
    assert [proof.kind for proof in part.proofs] == ["theorem", "symbolic", "exact", "numeric"]
    data, floor = quick_result().article.contest.data, quick_result().article.contest.floor
    radius = part.proofs[3].details["radius"]
    assert isinstance(radius, float)
    assert bool((data.train_x.abs() <= radius).all() and (data.test_x.abs() <= radius).all())
    apart = [(part.collapse.weight - floor.weight).abs().max(), (part.collapse.bias - floor.bias).abs().max()]
    assert part.from_floor == float(max(apart))
    table = table_of(part)
    assert table is not None
    assert [row[0] for row in table.rows] == [*(f"x{index}" for index in range(1, 11)), "bias"]
    assert float(table.rows[-1][1]) == pytest.approx(float(part.collapse.bias), abs=1e-6)
    assert float(table.rows[2][2]) == pytest.approx(float(floor.weight[0, 2]), abs=1e-6)


def test_counterexample_is_seen_in_the_network_too() -> None:
    part = quick_result().refutation
    found = part.analysis.counterexample
    assert found is not None
    assert part.line is not None
    model = quick_result().article.contest.network("relu").model
    first, second = (float(weight) for weight in found.weights)
    assert first + second == 1
    with torch.no_grad():
        at = [model(point.float().reshape(1, -1)).item() for point in (*found.a, *found.b)]
        mix = model((first * found.a[0] + second * found.b[0]).float().reshape(1, -1)).item()
    assert mix == pytest.approx(found.at_mix, abs=1e-4)
    assert first * at[0] + second * at[1] == pytest.approx(found.mix_of, abs=1e-4)
    assert part.line.at == pytest.approx((*at, mix))
    assert part.line.mix == second


def test_the_layer_names_the_same_digit_on_every_test_image() -> None:
    part = quick_result().digits
    data = part.contest.data
    with torch.no_grad():
        same = part.contest.none.model(data.test_x).argmax(1) == part.collapse.layer(data.test_x).argmax(1)
    assert bool(same.all())
    assert part.disagreements == ()
    assert 0 < part.score_gap < 1e-3


def test_maps_show_what_the_networks_say() -> None:
    part = quick_result().moons
    assert [shown.title for shown in part.maps] == ["No activation", "ReLU"]
    shown, model = part.maps[1], part.contest.network("relu").model
    with torch.no_grad():
        scores = model(torch.tensor([[shown.x[7], shown.y[150]]]).float())[0]
    assert shown.score[150, 7] == pytest.approx(float(scores[1] - scores[0]), abs=1e-4)
    straight = part.maps[0].score
    assert abs(straight[1:-1, 1:-1] - (straight[:-2, :-2] + straight[2:, 2:]) / 2).max() < 1e-4


def test_result_is_json_and_prints() -> None:
    result = quick_result()
    again = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert again["holds"] is True
    assert again["article"]["floor"]["loss"] == result.article.contest.floor.loss
    assert again["collapse"]["parameters_after"] == 11
    assert again["refutation"]["counterexample"]["gap"] > 0
    assert again["digits"]["same_class"] == len(result.digits.contest.data.test_x)
    assert str(result).splitlines()[0] == f"whyactivate {__version__}, seed 0. All {len(result.checks)} checks held."


def test_progress_goes_up_to_the_end() -> None:
    quick_parts()
    done = [message[1] for message in MESSAGES]
    assert done == sorted(done)
    assert MESSAGES[-1][1] == MESSAGES[-1][2] == QUICK.epochs
    assert any("no activation" in message[0] for message in MESSAGES)


def test_the_same_seed_gives_the_same_and_nothing_global_moves() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = next(demo_parts(0, quick=True))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.to_dict() == quick_parts()[0].to_dict()


def test_bad_seeds_and_wrong_parts_are_refused() -> None:
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match="seed"):
            next(demo_parts(seed, quick=True))
    with pytest.raises(InputError, match="quick must be True or False, but 1 "):
        run_demo(quick=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="progress must be a function"):
        run_demo(progress=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="five parts"):
        join_parts(quick_parts()[:3], 0, quick=True)


def test_ctrl_c_stops_the_run() -> None:
    def press(_what: str, done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(demo_parts(0, quick=True, progress=press))


# Its words follow from the numbers

NONE, LOW = {"identity": 0.8004}, {"identity": 0.8004, "relu": 0.1, "tanh": 0.2}
TWO = "ReLU (0.1000) and Tanh (0.2000)."


@pytest.mark.parametrize(
    ("say", "floor", "losses", "expected"),
    [
        (
            words.say_floor,
            0.8,
            LOW,
            "no activation-free network of any depth, has a mean squared error below 0.8000",
        ),
        (words.say_floor, 0.0, LOW, "An affine map meets all 8 training samples as far as float64 can tell"),
        (words.say_none, 0.8, LOW, "came down to 0.8004 and stopped there, on the floor"),
        (words.say_none, 0.7, LOW, "ended at 0.8004, 14 % above the floor: it has not come all the way down"),
        (words.say_none, 0.9, LOW, "below the floor of 0.9000. No affine map can do that"),
        (words.say_none, 0.0, LOW, "Without activations training ended at 0.8004."),
        (
            words.say_activated,
            0.8,
            LOW,
            f"took it below the floor, where no affine map can follow: {TWO}",
        ),
        (words.say_activated, 0.8, NONE | {"relu": 0.1}, "The activation took it below the floor"),
        (words.say_activated, 0.15, LOW, "Below the floor: ReLU (0.1000). Not below it in this run: Tanh (0.2000)."),
        (words.say_activated, 0.05, LOW, f"No activation took the training loss below the floor here: {TWO}"),
        (words.say_activated, 0.0, LOW, "No network can go below a floor of 0"),
    ],
)
def test_losses_in_words(say: Callable[[Contest], str], floor: float, losses: dict[str, float], expected: str) -> None:
    assert expected in say(contest(floor, losses, separable=None))


@pytest.mark.parametrize(("separable", "sure"), [(True, ""), (None, " as far as float64 can tell")])
def test_separable_for_sure(separable: bool | None, sure: str) -> None:
    said = words.say_floor(contest(0.0, LOW, accuracies={}, separable=separable))
    assert f"separate the classes of all 8 training samples{sure}, so the linear floor" in said


@pytest.mark.parametrize(
    ("loss", "floor", "expected"),
    [
        (0.1, 0.8, "below the floor: it is no affine map"),
        (0.804, 0.8, "ended at 0.8040, 0.5 % above the floor"),
        (0.9, 0.8, "ended at 0.9000, 12 % above the floor"),
        (9.6, 0.8, "ended at 9.6000, 1,100 % above the floor"),
        (9.6, 1e-9, "ended at 9.6000, 9.6e+11 % above the floor"),
        (0.9, 0.0, "at 0.9000."),
    ],
)
def test_one_network_in_words(loss: float, floor: float, expected: str) -> None:
    assert expected in words.say_network(network("relu", loss, 1.0, None), contest(floor, LOW).floor)


def test_a_hair_below_the_floor_is_rounding() -> None:
    almost = contest(0.8, {"identity": 0.8 * (1 - 1e-6), "relu": 0.1})
    assert not almost.none.below(almost.floor)
    assert "on the floor" in words.say_none(almost)
    unsure = replace(almost.floor, gap=0.75)
    assert not almost.network("relu").below(unsure)


@pytest.mark.parametrize(
    ("relu", "tanh", "expected", "not_said"),
    [
        (1.8, 1.2, "than that on fresh samples (1.2000 to 1.8000): it memorised, it did not learn", "chance"),
        (
            1.8,
            0.9,
            "worse than that: ReLU (1.8000). That is memorisation. Tanh (0.9000) came out no worse",
            "learn",
        ),
        (0.8, 0.9, "ReLU (0.8000) and Tanh (0.9000) came out no worse than that on this test set", "worse than that:"),
    ],
)
def test_memorisation_in_words(relu: float, tanh: float, expected: str, not_said: str) -> None:
    said = words.say_memorised(article(0.8, LOW, {"relu": relu, "tanh": tanh}))
    assert expected in said
    assert not_said not in said


def test_nothing_below_the_floor_is_nothing_memorised() -> None:
    assert "Nothing went below the floor" in words.say_memorised(article(0.05, LOW, {}))


@pytest.mark.parametrize(
    ("accuracy", "rows", "expected"),
    [
        (1.0, 100, "for 100.0 %: the pattern is not flat"),
        (0.85, 100, "5 samples of 100 more than without, too few to be sure"),
        (0.81, 100, "1 sample of 100 more"),
        (0.8, 100, "flat boundaries do as well"),
        (0.7, 100, "flat boundaries do better"),
    ],
)
def test_accuracy_in_words(accuracy: float, rows: int, expected: str) -> None:
    some = contest(0.3, {"identity": 0.3, "relu": 0.1}, accuracies={"identity": 0.8, "relu": accuracy}, rows=rows)
    assert expected in words.say_accuracy(some)


def test_accuracy_is_about_classes() -> None:
    with pytest.raises(ValueError, match="no classes"):
        words.say_accuracy(contest(0.8, LOW))


def test_collapse_in_words() -> None:
    assert words.say_collapse(classes(widths=(2, 9, 2))).endswith("6 parameters instead of 47, and the same function.")
    assert "no fewer than the 3 of the layers" in words.say_collapse(classes(widths=(2, 1)))


def test_classes_in_words() -> None:
    assert "on all 8 test samples; their scores are at most 1.00e-07 apart" in words.say_same_class(classes())
    assert "their scores are equal" in words.say_same_class(classes(gap=0.0))
    tie = Disagreement(row=5, network_class=0, layer_class=1, margin=2e-8)
    said = words.say_same_class(classes((tie,)))
    assert "on 7 of 8 test samples" in said
    assert "(row 5) the network's scores of the two classes are at most 2.00e-08 apart" in said
    assert ", …" in words.say_same_class(classes((tie,) * 6))


def test_refutation_in_words() -> None:
    part = quick_result().refutation
    found = part.analysis.counterexample
    assert found is not None
    said = words.say_refutation(part)
    assert said.startswith("The trained ReLU network is not affine.")
    assert f"at least {number(found.gap)} away (computed without rounding)" in said
    balls = replace(found, arithmetic="balls", at_mix=1.00001, mix_of=1.0, weights=(Fraction(-1), Fraction(2)))
    said = words.say_refutation(replace(part, analysis=replace(part.analysis, counterexample=balls)))
    assert "At the mix -1·a + 2·b" in said
    assert "would be 1; this network gives 1.00001" in said
    assert "(enclosed in intervals that do not meet)" in said
    affine = replace(part.analysis, verdict=Verdict.AFFINE, counterexample=None)
    assert "affine after all" in words.say_refutation(replace(part, analysis=affine))
    undecided = replace(part.analysis, verdict=Verdict.UNDECIDED, counterexample=None)
    assert "is undecided" in words.say_refutation(replace(part, analysis=undecided))


def test_proofs_and_verdict_in_words() -> None:
    part = quick_result().collapse
    assert words.say_proof(part.proofs[2]).startswith("exact: holds. ")
    assert words.say_proof(replace(part.proofs[2], holds=False)).startswith("exact: DOES NOT HOLD. ")
    assert "measured" not in words.say_proof(part.proofs[2])
    assert f"measured there is {part.proofs[3].details['in the box: worst measured']:.3g}." in words.say_proof(
        part.proofs[3]
    )
    assert str(part.collapse.parameters_after) in words.say_regression(part)
    assert number(part.from_floor) in words.say_regression(part)
    checks = quick_result().checks
    assert words.say_verdict(checks) == f"All {len(checks)} checks held."
    broken = (replace(checks[0], holds=False), replace(checks[1], holds=False), *checks[2:])
    names = f"{checks[0].name} and {checks[1].name}"
    assert words.say_verdict(broken) == f"2 of {len(checks)} checks did not hold: {names}."


def test_phrases() -> None:
    assert [number(value) for value in (0, 0.64781, 12.345678, 3.1e-9, 123456.7, -0.5)] == [
        "0", "0.6478", "12.346", "3.10e-09", "1.23e+05", "-0.5000",
    ]  # fmt: skip
    assert share(0.975) == "97.5 %"
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert (spread([1.0]), spread([1.0, 2.0])) == ("1.0000", "1.0000 to 2.0000")
    assert two_numbers(1.0, 1.0000001) == ("1", "1.0000001")
    assert two_numbers(2.0, 2.0) == ("2.0", "2.0")


def test_every_part_has_a_heading_and_says_something() -> None:
    for part in quick_parts():
        assert heading(part)
        assert all(text.endswith(".") for text in paragraphs(part))
    tables = [table_of(part) for part in quick_parts()]
    assert all(table is not None for table in tables)
    for table in tables:
        assert table is None or all(len(row) == len(table.columns) for row in table.rows)
    unsettled = replace(quick_result().refutation, line=None)
    unsettled = replace(unsettled, analysis=replace(unsettled.analysis, counterexample=None))
    assert table_of(unsettled) is None


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.NOT_AFFINE, "The network with ReLU is not one layer"),
        (Verdict.AFFINE, "The network with ReLU is one layer too"),
        (Verdict.UNDECIDED, "Is the network with ReLU one layer?"),
    ],
)
def test_headings_follow_the_verdict(verdict: Verdict, expected: str) -> None:
    part = quick_result().refutation
    assert heading(replace(part, analysis=replace(part.analysis, verdict=verdict))) == expected


def test_tables_say_below_the_floor_only_where_it_is() -> None:
    rows = {row[0]: row for row in contest_table(contest(0.15, LOW)).rows}
    assert (rows["none"][-1], rows["ReLU"][-1], rows["Tanh"][-1]) == ("no", "yes", "no")
    assert rows["linear floor"][1] == "0.1500"
    assert {row[-1] for row in contest_table(contest(0.0, LOW)).rows} == {"cannot", ""}


# Its checks can fail


def broken_article(losses: dict[str, float]) -> Part:
    return article(0.8, losses, {})


def change(part: int, **changes: object) -> Callable[[], Part]:
    return lambda: replace(quick_parts()[part], **changes)  # type: ignore[type-var]


def without_counterexample() -> Part:
    part = quick_result().refutation
    return replace(part, analysis=replace(part.analysis, verdict=Verdict.UNDECIDED, counterexample=None))


def with_failing_proof(kind: str) -> Callable[[], Part]:
    def build() -> Part:
        part = quick_result().collapse
        return replace(part, proofs=tuple(replace(p, holds=p.holds and p.kind != kind) for p in part.proofs))

    return build


def of_other_network() -> Part:
    return replace(quick_result().collapse, collapse=quick_result().moons.collapse)


def no_activation_below() -> Part:
    moons = quick_result().moons
    return replace(moons, contest=replace(moons.contest, networks=(moons.contest.none, network("relu", 0.9, 1, 0.8))))


@pytest.mark.parametrize(
    ("build", "failing"),
    [
        (lambda: broken_article({"identity": 0.7, "relu": 0.1}), ["article.none_not_below_floor"]),
        (lambda: broken_article({"identity": 0.81, "relu": 0.1}), ["article.none_on_floor"]),
        (lambda: broken_article({"identity": 0.8, "relu": 0.81, "tanh": 0.9}), ["article.activation_below_floor"]),
        (lambda: broken_article({"identity": 0.8, "relu": 0.81, "tanh": 0.2}), []),
        (of_other_network, ["collapse.parameters"]),
        *(
            (with_failing_proof(kind), [f"collapse.proof.{kind}"])
            for kind in ("theorem", "symbolic", "exact", "numeric")
        ),
        (without_counterexample, ["refutation.relu_not_affine"]),
        (no_activation_below, ["moons.activation_below_floor"]),
        (change(4, disagreements=(Disagreement(1, 2, 3, 1e-9),)), ["digits.same_class"]),
    ],
)
def test_each_check_can_fail(build: Callable[[], Part], failing: list[str]) -> None:
    assert [check.name for check in checks_of(build()) if not check.holds] == failing


def test_the_check_says_who_went_below_the_floor() -> None:
    checks = checks_of(article(0.8, {"identity": 0.8, "relu": 0.81, "tanh": 0.2}, {}))
    assert checks[-1].found == "Tanh did, ReLU did not"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_on_the_articles_data_every_activation_goes_below_the_floor(seed: int) -> None:
    part = next(demo_parts(seed))
    assert isinstance(part, ArticlePart)
    assert [net.activation for net in part.contest.networks if net.below(part.contest.floor)] == [
        "relu", "sigmoid", "tanh", "leaky_relu",
    ]  # fmt: skip
    assert part.contest.none.loss <= 1.005 * part.contest.floor.loss
    assert all(net.test_loss > part.zero_test_loss for net in part.contest.activated)


def test_a_failed_check_fails_the_run() -> None:
    result = quick_result()
    broken = replace(result, digits=replace(result.digits, disagreements=(Disagreement(1, 2, 3, 1e-9),)))
    assert not broken.holds
    assert "1 of" in str(broken)
    assert "DOES NOT HOLD: On digits" in str(broken)
    assert broken.to_dict()["holds"] is False


def test_types_of_the_parts() -> None:
    result = quick_result()
    assert isinstance(result.collapse, CollapsePart)
    assert isinstance(result.refutation, RefutationPart)
    assert isinstance(result.article.contest.none, TrainedNetwork)
    assert result.parts == quick_parts()
    assert counterexample_to_dict(None) is None
