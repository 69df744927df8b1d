"""`Summary`: what several seeds say about one place of the grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from whyactivate.comparison.member import Member, Place
from whyactivate.comparison.statistics import Estimate, estimate_difference, estimate_median

_BELOW = 1 - 1e-4
"""A training loss counts as below the floor where it is below this multiple of it: more than rounding."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the seeds with their intervals, and the differences to no activation.

    Networks that diverged count with an infinite loss and an accuracy of 0, also in the differences: whoever diverged
    alone is infinitely worse. Where both of a pair diverged, the pair is left out.

    Attributes:
        place: activation, hidden widths, init and learning rate.
        count: how many networks.
        diverged: how many of them diverged.
        train_loss: over the whole training part.
        test_loss: over the whole test part.
        train_accuracy: None for regression.
        test_accuracy: None for regression.
        epochs_to_floor: epochs until the training loss was within one percent of the linear floor; infinite for
            networks that never came there.
        at_floor: how many networks came there.
        below_floor: how many ended below the floor, where no affine model can be.
        train_difference: the median of training loss minus that of no activation with the same seed, data and all
            else; None where nothing was trained to be compared with.
        test_difference: the same for the test loss.
        test_better: in how many of these pairs the test loss was lower than without activations.
        floor: the linear floor (its median, where every seed has its own data).
        floor_test: test loss of the affine model at the floor.
    """

    place: Place
    count: int
    diverged: int
    train_loss: Estimate
    test_loss: Estimate
    train_accuracy: Estimate | None
    test_accuracy: Estimate | None
    epochs_to_floor: Estimate
    at_floor: int
    below_floor: int
    train_difference: Estimate | None
    test_difference: Estimate | None
    test_better: int
    floor: float
    floor_test: float

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain values; infinite numbers become None."""
        return _plain(asdict(self))


def summarise(members: Sequence[Member], places: Iterable[Place]) -> tuple[Summary, ...]:
    """One summary for each place that has members."""
    by_place: dict[Place, list[Member]] = {place: [] for place in places}
    for member in members:
        by_place[member.place].append(member)
    none = {place.rest: found for place, found in by_place.items() if place.activation == "identity"}
    return tuple(_summary(p, found, none.get(p.rest, [])) for p, found in by_place.items() if found)


def _summary(place: Place, members: Sequence[Member], none: Sequence[Member]) -> Summary:
    classes = members[0].train_accuracy is not None
    pairs = [] if place.activation == "identity" else _pairs(members, none)
    reached = [member.epochs_to_floor for member in members if member.epochs_to_floor is not None]
    waited = [math.inf if m.epochs_to_floor is None else float(m.epochs_to_floor) for m in members]
    return Summary(
        place=place,
        count=len(members),
        diverged=sum(member.stopped == "diverged" for member in members),
        train_loss=estimate_median([loss(member, "train_loss") for member in members]),
        test_loss=estimate_median([loss(member, "test_loss") for member in members]),
        train_accuracy=estimate_median([accuracy(m, "train_accuracy") for m in members]) if classes else None,
        test_accuracy=estimate_median([accuracy(m, "test_accuracy") for m in members]) if classes else None,
        epochs_to_floor=estimate_median(waited),
        at_floor=len(reached),
        below_floor=sum(m.stopped != "diverged" and m.train_loss < _BELOW * m.floor for m in members),
        train_difference=estimate_difference(*_columns(pairs, "train_loss")) if pairs else None,
        test_difference=estimate_difference(*_columns(pairs, "test_loss")) if pairs else None,
        test_better=sum(loss(mine, "test_loss") < loss(other, "test_loss") for mine, other in pairs),
        floor=estimate_median([member.floor for member in members]).value,
        floor_test=estimate_median([member.floor_test for member in members]).value,
    )


def loss(member: Member, name: str) -> float:
    """The loss as it counts: infinite for a network that diverged."""
    return math.inf if member.stopped == "diverged" else float(getattr(member, name))


def accuracy(member: Member, name: str) -> float:
    """The accuracy as it counts: 0 for a network that diverged."""
    return 0.0 if member.stopped == "diverged" else float(getattr(member, name))


def _pairs(members: Sequence[Member], none: Sequence[Member]) -> list[tuple[Member, Member]]:
    """Networks with the same seed, of which at least one came to its end."""
    by_seed = {member.seed: member for member in none}
    pairs = [(member, by_seed[member.seed]) for member in members if member.seed in by_seed]
    return [(mine, other) for mine, other in pairs if {mine.stopped, other.stopped} != {"diverged"}]


def _columns(pairs: Sequence[tuple[Member, Member]], name: str) -> tuple[list[float], list[float]]:
    return [loss(mine, name) for mine, _ in pairs], [loss(other, name) for _, other in pairs]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
