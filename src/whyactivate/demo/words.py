"""Every sentence the demo says, each a small function of the numbers it is about.

None of them knows how the run is supposed to end: each has a branch for every way it can end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whyactivate.affine.analysis import Verdict
from whyactivate.datasets import Task
from whyactivate.demo.results import (
    ON_FLOOR_MARGIN,
    ArticlePart,
    Check,
    ClassesPart,
    CollapsePart,
    Contest,
    RefutationPart,
    TrainedNetwork,
)

if TYPE_CHECKING:
    from whyactivate.proof import Proof

_LOSS_NAME = {Task.REGRESSION: "mean squared error", Task.CLASSIFICATION: "cross-entropy"}


def number(value: float) -> str:
    """The number with as many digits as a reader can use: 0.7985, 12.3, 3.1e-09."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e5:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"


def share(value: float) -> str:
    """The share as a percentage: 97.5 %."""
    return f"{100 * value:.1f} %"


def two_numbers(first: float, second: float) -> tuple[str, str]:
    """Both numbers with as few digits, but at least four, as tell them apart."""
    for digits in range(4, 18):
        texts = f"{first:.{digits}g}", f"{second:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(first), repr(second)


def listing(names: Sequence[str]) -> str:
    """The names as a phrase: "ReLU, Tanh and Sigmoid"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def label(network: TrainedNetwork) -> str:
    """The network's name in a table: "none" where there is no activation."""
    return "none" if network.activation == "identity" else network.title


def _distance(loss: float, floor: float) -> str:
    return f"{100 * (loss / floor - 1):.2g} % above"


def say_floor(contest: Contest) -> str:
    """What no affine model can do on this training set."""
    loss, rows = _LOSS_NAME[contest.data.task], len(contest.data.train_x)
    floor = contest.floor
    if floor.separable:
        return (
            f"Flat boundaries can separate the classes of all {rows} training samples, so the linear floor of the "
            f"{loss} is 0, approached and never reached: on this data, only fresh samples can tell models apart."
        )
    return (
        f"On these {rows} training samples no affine model, so no activation-free network of any depth, "
        f"has a {loss} below {number(floor.loss)}: that is the linear floor."
    )


def say_none(contest: Contest) -> str:
    """Where the activation-free network ended, seen from the floor."""
    loss, floor = contest.none.loss, contest.floor.loss
    if contest.none.below(contest.floor):
        return (
            f"Without activations training ended at {number(loss)}, below the floor of {number(floor)}. "
            "No affine map can do that: the program or its arithmetic is at fault."
        )
    if floor <= 0:
        return f"Without activations training ended at {number(loss)}."
    if loss <= floor * (1 + ON_FLOOR_MARGIN):
        return f"Without activations training came down to {number(loss)} and stopped there, on the floor."
    return (
        f"Without activations training ended at {number(loss)}, {_distance(loss, floor)} the floor: "
        "it has not come all the way down, and further down than the floor it cannot go."
    )


def say_activated(contest: Contest) -> str:
    """Which activations took the training loss below the floor."""
    floor = contest.floor
    if floor.loss <= 0:
        return "No network can go below a floor of 0, with an activation or without."
    below = [network for network in contest.activated if network.below(floor)]
    above = [network for network in contest.activated if not network.below(floor)]
    if not below:
        return (
            f"No activation took the training loss below the floor here (the lowest is "
            f"{number(min(network.loss for network in above))}). An activation makes it possible; training need not get there."
        )
    went = listing([f"{network.title} ({number(network.loss)})" for network in below])
    if not above:
        who = "The network with" if len(below) == 1 else "Every network with an activation went below the floor:"
        went = f"{went} went below the floor" if len(below) == 1 else went
        return f"{who} {went}. No affine map can follow there, however deep it is written."
    stayed = listing([f"{network.title} ({number(network.loss)})" for network in above])
    return f"Below the floor: {went}. Not below it in this run: {stayed}. An activation makes it possible, not certain."


def say_memorised(part: ArticlePart) -> str:
    """What going below the floor is worth on data that holds nothing to learn."""
    contest, zero = part.contest, part.zero_test_loss
    below = [network for network in contest.activated if network.below(contest.floor)]
    if not below:
        return (
            "This data is noise: y does not depend on X. Nothing went below the floor, "
            "so nothing was memorised that an affine map could not hold."
        )
    worse = [network for network in below if network.test_loss > zero]
    lucky = [network for network in below if network.test_loss <= zero]
    start = f"This data is noise: y does not depend on X, and the best prediction for a fresh sample is 0 (test loss {number(zero)})."
    if not lucky:
        losses = [network.test_loss for network in worse]
        spread = number(losses[0]) if len(losses) == 1 else f"{number(min(losses))} to {number(max(losses))}"
        return f"{start} Whatever went below the floor does worse than that on fresh samples ({spread}): it memorised, it did not learn."
    no_worse = listing([f"{network.title} ({number(network.test_loss)})" for network in lucky])
    chance = f"{no_worse} came out no worse than that on this test set, which on noise is chance"
    if not worse:
        return f"{start} {chance}. Going below the floor on noise is memorisation, not learning."
    also = listing([f"{network.title} ({number(network.test_loss)})" for network in worse])
    return f"{start} Below the floor, and worse than that on fresh samples: {also}. That is memorisation. {chance}."


def say_collapse(part: CollapsePart | ClassesPart) -> str:
    """How many layers and parameters became how many."""
    collapse = part.collapse
    before, after = collapse.parameters_before, collapse.parameters_after
    layers = len(collapse.steps)
    if after < before:
        return f"Its {layers} layers multiply out to one: {before:,} parameters describe an affine map that {after:,} describe as well."
    return (
        f"Its {layers} layers multiply out to one, which takes {after:,} parameters, no fewer than the {before:,} of the layers: "
        "the map is the same, the shorter form does not pay here."
    )


def say_proof(proof: Proof) -> str:
    """One proof: its kind, its verdict, and what it states."""
    return f"{proof.kind}: {'holds' if proof.holds else 'DOES NOT HOLD'}. {proof.statement}"


def say_refutation(part: RefutationPart) -> str:
    """Whether the network with an activation is affine, with the inputs that settle it."""
    found, verdict = part.analysis.counterexample, part.analysis.verdict
    if verdict is Verdict.AFFINE:
        return f"The trained {part.title} network is affine after all: in this run no {part.title} bends it."
    if found is None:
        return (
            f"Whether the trained {part.title} network is affine is undecided: "
            "no pair of inputs was found that settles it."
        )
    first, second = found.weights
    here, there = two_numbers(found.at_mix, found.mix_of)
    how = "computed without rounding" if found.arithmetic == "exact" else "enclosed in intervals that do not meet"
    return (
        f"The trained {part.title} network is not affine. At the mix {first}·a + {second}·b of two inputs an affine map "
        f"gives the same mix of its outputs, which would be {there}; this network gives {here}, "
        f"at least {number(found.gap)} away ({how})."
    )


def say_accuracy(contest: Contest) -> str:
    """Whether an activation put more of the test set in the right class than affine models did."""
    floor = contest.floor.test_accuracy
    none = contest.none.test_accuracy
    best = max(contest.activated, key=lambda network: network.test_accuracy or 0.0)
    if floor is None or none is None or best.test_accuracy is None:
        raise ValueError("say_accuracy is about classes; this contest is a regression")
    start = (
        f"On fresh samples the affine model with the smallest training loss is right for {share(floor)}, "
        f"the network without activations for {share(none)}"
    )
    bar = max(floor, none)
    if best.test_accuracy > bar:
        return f"{start}, the one with {best.title} for {share(best.test_accuracy)}: here there is a pattern to learn that is not flat."
    if best.test_accuracy == bar:
        return f"{start}, and the best activation, {best.title}, for just as many: on this data flat boundaries do as well."
    return f"{start}, and the best activation, {best.title}, for {share(best.test_accuracy)}: on this data flat boundaries do better."


def say_same_class(part: ClassesPart) -> str:
    """Whether the collapsed layer names the same class as the network on every test sample."""
    rows, differ = len(part.contest.data.test_x), part.disagreements
    apart = f"their scores are at most {number(part.score_gap)} apart" if part.score_gap else "their scores are equal"
    if not differ:
        return f"The one layer names the same class as the {len(part.collapse.steps)} layers on all {rows} test samples; {apart}."
    margin = number(max(abs(each.margin) for each in differ))
    where = listing([str(each.row) for each in differ[:5]]) + (", …" if len(differ) > 5 else "")
    return (
        f"The one layer names the same class on {rows - len(differ)} of {rows} test samples; {apart}. "
        f"On the others (row {where}) the two leading scores of the network are at most {margin} apart."
    )


def say_verdict(checks: Sequence[Check]) -> str:
    """How many of the checks held, and which did not."""
    failed = [check for check in checks if not check.holds]
    if not failed:
        return f"All {len(checks)} checks held."
    names = listing([check.name for check in failed])
    return f"{len(failed)} of {len(checks)} checks did not hold: {names}."
