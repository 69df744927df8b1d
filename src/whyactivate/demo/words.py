"""Every sentence the demo says, each a small function of the numbers it is about.

None of them knows how the run is supposed to end: each has a branch for every way it can end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whyactivate.affine.analysis import Verdict
from whyactivate.datasets import Task
from whyactivate.demo.phrases import listing, number, share, spread, two_numbers
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
    from whyactivate.floor import Floor
    from whyactivate.proof import Proof

LOSS_NAME = {Task.REGRESSION: "mean squared error", Task.CLASSIFICATION: "cross-entropy"}

CLEAR = 2.0
"""A difference in accuracy is called clear from this many standard errors of the lower one on."""


def label(network: TrainedNetwork) -> str:
    """The network's name in a table: "none" where there is no activation."""
    return "none" if network.activation == "identity" else network.title


def _with_loss(networks: Sequence[TrainedNetwork]) -> str:
    return listing([f"{network.title} ({number(network.loss)})" for network in networks])


def _with_test_loss(networks: Sequence[TrainedNetwork]) -> str:
    return listing([f"{network.title} ({number(network.test_loss)})" for network in networks])


def say_floor(contest: Contest) -> str:
    """What no affine model can do on this training set."""
    floor, rows, loss = contest.floor, len(contest.data.train_x), LOSS_NAME[contest.data.task]
    if floor.loss > 0:
        return (
            f"On these {rows} training samples no affine model, so no activation-free network of any depth, "
            f"has a {loss} below {number(floor.loss)}: that is the linear floor."
        )
    if contest.data.task is Task.REGRESSION:
        return (
            f"An affine map meets all {rows} training samples as far as float64 can tell, so the linear floor of the "
            f"{loss} is 0: only fresh samples can tell models apart here."
        )
    sure = "" if floor.separable else " as far as float64 can tell"
    return (
        f"Flat boundaries separate the classes of all {rows} training samples{sure}, so the linear floor of the "
        f"{loss} is 0, approached and never reached: only fresh samples can tell models apart here."
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
        f"Without activations training ended at {number(loss)}, {_above(loss, floor)} above the floor: "
        "it has not come all the way down, and further down than the floor it cannot go."
    )


def say_activated(contest: Contest) -> str:
    """Which activations took the training loss below the floor."""
    if contest.floor.loss <= 0:
        return "No network can go below a floor of 0, with an activation or without."
    below = [network for network in contest.activated if network.below(contest.floor)]
    above = [network for network in contest.activated if not network.below(contest.floor)]
    if not below:
        return (
            f"No activation took the training loss below the floor here: {_with_loss(above)}. "
            "An activation makes it possible, not certain."
        )
    if above:
        return (
            f"Below the floor: {_with_loss(below)}. Not below it in this run: {_with_loss(above)}. "
            "An activation makes it possible, not certain."
        )
    who = "The activation" if len(below) == 1 else "Every activation"
    return f"{who} took it below the floor, where no affine map can follow: {_with_loss(below)}."


def say_network(network: TrainedNetwork, floor: Floor) -> str:
    """Where one network ended, seen from the floor."""
    loss = number(network.loss)
    if floor.loss <= 0:
        return f"This network ended at {loss}."
    if network.below(floor):
        return f"This network ended at {loss}, below the floor: it is no affine map."
    return f"This network ended at {loss}, {_above(network.loss, floor.loss)} above the floor."


def _above(loss: float, floor: float) -> str:
    """By how much of the floor a loss is above it: 0.51 %, 14 %, 1,200 %."""
    percent = 100 * max(0.0, loss / floor - 1)
    return f"{percent:.2g} %" if percent < 10 else f"{percent:,.0f} %" if percent < 1e5 else f"{percent:.1e} %"


def say_memorised(part: ArticlePart) -> str:
    """What going below the floor is worth on data that holds nothing to learn."""
    zero = part.zero_test_loss
    below = [network for network in part.contest.activated if network.below(part.contest.floor)]
    worse = [network for network in below if network.test_loss > zero]
    lucky = [network for network in below if network.test_loss <= zero]
    if not below:
        return (
            "This data is noise, y does not depend on X. Nothing went below the floor, "
            "so nothing was memorised that an affine map could not hold."
        )
    start = (
        "This data is noise, y does not depend on X: the best prediction for a fresh sample is 0, "
        f"with a test loss of {number(zero)}."
    )
    if not lucky:
        losses = spread([network.test_loss for network in worse])
        return (
            f"{start} Whatever went below the floor does worse than that on fresh samples ({losses}): "
            "it memorised, it did not learn."
        )
    chance = f"{_with_test_loss(lucky)} came out no worse than that on this test set, which on noise is chance."
    if not worse:
        return f"{start} {chance} Going below the floor on noise is memorisation, not learning."
    return f"{start} Below the floor and worse than that: {_with_test_loss(worse)}. That is memorisation. {chance}"


def say_collapse(part: CollapsePart | ClassesPart) -> str:
    """How many layers and parameters became how many."""
    before, after = part.collapse.parameters_before, part.collapse.parameters_after
    layers = len(part.collapse.steps)
    if after < before:
        return (
            f"Without activations the {layers} layers multiply out to one: "
            f"{after:,} parameters instead of {before:,}, and the same function."
        )
    return (
        f"Without activations the {layers} layers multiply out to one, the same function, which takes {after:,} "
        f"parameters: no fewer than the {before:,} of the layers, so here the shorter form does not pay."
    )


def say_regression(part: CollapsePart) -> str:
    """How far the one layer is from linear regression on the same data."""
    return (
        f"Its {part.collapse.parameters_after} numbers differ from those of linear regression on the same samples "
        f"by {number(part.from_floor)} at most."
    )


def say_statement(proof: Proof) -> str:
    """What a proof states; beside a bound, the largest error that was measured."""
    measured = proof.details.get("in the box: worst measured")
    beside = f" The largest error measured there is {measured:.3g}." if isinstance(measured, float) else ""
    return f"{proof.statement}{beside}"


def say_proof(proof: Proof) -> str:
    """One proof: its kind, its verdict, and what it states."""
    return f"{proof.kind}: {'holds' if proof.holds else 'DOES NOT HOLD'}. {say_statement(proof)}"


def say_refutation(part: RefutationPart) -> str:
    """Whether the network with an activation is affine, with the numbers that settle it."""
    found = part.analysis.counterexample
    if part.analysis.verdict is Verdict.AFFINE:
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
        f"The trained {part.title} network is not affine. At the mix {first}·a + {second}·b of two inputs an affine "
        f"map gives the same mix of its outputs, which would be {there}; this network gives {here}, "
        f"at least {number(found.gap)} away ({how})."
    )


def say_accuracy(contest: Contest) -> str:
    """Whether an activation put more of the test set in the right class than affine models did.

    Raises:
        ValueError: the contest is a regression, which has no classes.
    """
    floor, none = contest.floor.test_accuracy, contest.none.test_accuracy
    best = max(contest.activated, key=lambda network: network.test_accuracy or 0.0)
    if floor is None or none is None or best.test_accuracy is None:
        raise ValueError(f"{contest.data.name} has no classes, so there is no accuracy to speak of")
    start = (
        f"On fresh samples the affine model of the linear floor is right for {share(floor)}, the network without "
        f"activations for {share(none)}, the best with an activation, {best.title}, for {share(best.test_accuracy)}"
    )
    flat, rows = max(floor, none), len(contest.data.test_x)
    more = round((best.test_accuracy - flat) * rows)
    if more <= 0:
        return f"{start}: on this data flat boundaries do {'as well' if more == 0 else 'better'}."
    if more > CLEAR * (rows * flat * (1 - flat)) ** 0.5:
        return f"{start}: the pattern is not flat."
    samples = "sample" if more == 1 else "samples"
    return f"{start}: {more} {samples} of {rows} more than without, too few to be sure that it is more than chance."


def say_same_class(part: ClassesPart) -> str:
    """Whether the collapsed layer names the same class as the network on every test sample."""
    rows, differ, layers = len(part.contest.data.test_x), part.disagreements, len(part.collapse.steps)
    apart = f"their scores are at most {number(part.score_gap)} apart" if part.score_gap else "their scores are equal"
    if not differ:
        return f"The one layer names the same class as the {layers} layers on all {rows} test samples; {apart}."
    margin = number(max(abs(each.margin) for each in differ))
    where = listing([str(each.row) for each in differ[:5]]) + (", …" if len(differ) > 5 else "")
    return (
        f"The one layer names the same class as the {layers} layers on {rows - len(differ)} of {rows} test samples; "
        f"{apart}. On the others (row {where}) the network's scores of the two classes are at most {margin} apart."
    )


def say_verdict(checks: Sequence[Check]) -> str:
    """How many of the checks held, and which did not."""
    failed = [check.name for check in checks if not check.holds]
    if not failed:
        return f"All {len(checks)} checks held."
    return f"{len(failed)} of {len(checks)} checks did not hold: {listing(failed)}."
