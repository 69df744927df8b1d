"""What has to hold in a run of the demo, each by name; the exit code of the command is made of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whyactivate.affine.analysis import Verdict
from whyactivate.demo.phrases import listing, number
from whyactivate.demo.results import (
    ON_FLOOR_MARGIN,
    ArticlePart,
    Check,
    ClassesPart,
    CollapsePart,
    Contest,
    Part,
    RefutationPart,
)

if TYPE_CHECKING:
    from whyactivate.proof import Proof

ARTICLE_PARAMETERS = (621, 11)
"""Parameters of the article's network, 10 -> 18 -> 18 -> 4 -> 1, and of one layer 10 -> 1."""


def checks_of(part: Part) -> tuple[Check, ...]:
    """Everything that has to hold in this part of the run."""
    if isinstance(part, ArticlePart):
        return _article(part)
    if isinstance(part, CollapsePart):
        return _collapse(part)
    if isinstance(part, RefutationPart):
        return _refutation(part)
    return _classes(part)


def _article(part: ArticlePart) -> tuple[Check, ...]:
    contest = part.contest
    none, floor = contest.none, contest.floor
    return (
        _not_below(contest),
        Check(
            "article.none_on_floor",
            "Without activations the training loss ends within 0.5 % of the linear floor",
            none.loss <= floor.loss * (1 + ON_FLOOR_MARGIN),
            f"{number(none.loss)} against {number(floor.loss)}",
        ),
        _some_below(contest),
    )


def _not_below(contest: Contest) -> Check:
    return Check(
        f"{contest.data.name}.none_not_below_floor",
        f"On {contest.data.name}, the network without activations does not go below the linear floor",
        not contest.none.below(contest.floor),
        f"{number(contest.none.loss)} against {number(contest.floor.loss)}",
    )


def _some_below(contest: Contest) -> Check:
    """Not every activation: that one makes it possible is claimed, that training gets there is not."""
    names = [network.title for network in contest.activated if network.below(contest.floor)]
    others = [network.title for network in contest.activated if not network.below(contest.floor)]
    found = f"{listing(names)} did" if names else "none did"
    return Check(
        f"{contest.data.name}.activation_below_floor",
        f"On {contest.data.name}, an activation takes the training loss below the linear floor",
        bool(names),
        f"{found}, {listing(others)} did not" if names and others else found,
    )


def _collapse(part: CollapsePart) -> tuple[Check, ...]:
    before, after = part.collapse.parameters_before, part.collapse.parameters_after
    return (
        Check(
            "collapse.parameters",
            "The article's network without activations, 621 parameters, is one layer of 11",
            (before, after) == ARTICLE_PARAMETERS,
            f"{before} to {after}",
        ),
        *(_proof("collapse", proof) for proof in part.proofs),
    )


def _proof(where: str, proof: Proof) -> Check:
    found = "it holds" if proof.holds else "it does not hold"
    of = "the article's network" if where == "collapse" else f"the {where} network"
    claim = f"The {proof.kind} proof that {of} collapses holds"
    return Check(f"{where}.proof.{proof.kind}", claim, proof.holds, found)


def _refutation(part: RefutationPart) -> tuple[Check, ...]:
    found = part.analysis.counterexample
    return (
        Check(
            f"refutation.{part.activation}_not_affine",
            f"Two inputs and a mix of them show that the trained {part.title} network is not affine",
            part.analysis.verdict is Verdict.NOT_AFFINE and found is not None and found.gap > 0,
            "no counterexample" if found is None else f"a gap of at least {number(found.gap)}",
        ),
    )


def _classes(part: ClassesPart) -> tuple[Check, ...]:
    contest = part.contest
    name, rows, differ = contest.data.name, len(contest.data.test_x), len(part.disagreements)
    checks = [_not_below(contest)]
    if contest.floor.loss > 0:
        checks.append(_some_below(contest))
    same = Check(
        f"{name}.same_class",
        f"On {name}, the one layer names the same class as the network on every test sample",
        differ == 0,
        f"{rows - differ} of {rows}",
    )
    return (*checks, same, *(_proof(name, proof) for proof in part.proofs))
