"""What taking activations out of a module does: `Ablation`, and one `Without` for each choice."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from whyactivate._told import Told
from whyactivate.ablation.calls import ActivationCall
from whyactivate.affine import Verdict
from whyactivate.training import TrainConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Retrained:
    """The losses after training on from the module's weights, with one order of the rows.

    Attributes:
        seed: of that order.
        train: the loss over the training set; None where training diverged.
        test: the same over the test set.
    """

    seed: int
    train: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of a network on a data set: mean squared error, or cross-entropy in nats.

    Attributes:
        train: over the training set, with the weights as they are.
        test: over the test set, likewise.
        retrained: after training on from there, one per seed.
        note: which did not end, and why; empty elsewhere.
    """

    train: float
    test: float
    retrained: tuple[Retrained, ...]
    note: str = ""

    @property
    def retrained_train(self) -> float | None:
        """The median training loss after retraining, of the seeds with which it ended; None where it never did."""
        return _median([run.train for run in self.retrained])

    @property
    def retrained_test(self) -> float | None:
        """The median test loss after retraining, likewise."""
        return _median([run.test for run in self.retrained])

    @property
    def lines(self) -> tuple[str, ...]:
        """Before and after, in words."""
        ended = [run.train for run in self.retrained if run.train is not None]
        spread = f"{_number(min(ended))} to {_number(max(ended))} over {len(ended)} seeds, " if len(ended) > 1 else ""
        return (
            f"loss {_number(self.train)} (test {_number(self.test)})",
            f"retrained {_number(self.retrained_train)} ({spread}test {_number(self.retrained_test)})",
            *([self.note] if self.note else []),
        )


@dataclass(frozen=True, slots=True)
class Without:
    """A module without some of its activations.

    Attributes:
        taken_out: the calls of activations that are left out; none for the module as it is.
        verdict: of what is left.
        written: how many layers deep it is, as written.
        effective: how many in effect.
        one_layer: the chains of layers that are one.
        newly_one_layer: those of them that are not in the module as it is.
        parameters: of the folded copy; None where it could not be folded.
        surplus: the module's own parameters minus those; None likewise.
        remains: what keeps it from being one affine map, in words.
        complete: False where part of what it does could not be followed.
        losses: with data only; None also where the losses are not finite.
        note: what else is to be known; empty where nothing is.
    """

    taken_out: tuple[ActivationCall, ...]
    verdict: Verdict
    written: int
    effective: int
    one_layer: tuple[tuple[str, ...], ...]
    newly_one_layer: tuple[tuple[str, ...], ...]
    parameters: int | None
    surplus: int | None
    remains: tuple[str, ...]
    complete: bool
    losses: Losses | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON-able values."""
        losses = self.losses
        return {
            "taken_out": [str(call) for call in self.taken_out],
            "verdict": str(self.verdict),
            "depth": {"written": self.written, "effective": self.effective},
            "one_layer": [list(chain) for chain in self.one_layer],
            "newly_one_layer": [list(chain) for chain in self.newly_one_layer],
            "parameters_folded": self.parameters,
            "parameters_surplus": self.surplus,
            "remains": list(self.remains),
            "complete": self.complete,
            "losses": None if losses is None else {
                "train": losses.train, "test": losses.test, "retrained_train": losses.retrained_train,
                "retrained_test": losses.retrained_test, "note": losses.note,
                "retrained": [{"seed": run.seed, "train": run.train, "test": run.test} for run in losses.retrained],
            },
            "note": self.note,
        }  # fmt: skip

    @property
    def lines(self) -> tuple[str, ...]:
        """What it comes to, a line for each fact."""
        found = [f"{' · '.join(chain)} are one layer" for chain in self.newly_one_layer]
        if not found:
            found = ["no two more layers become one" if self.taken_out else "no two layers are one"]
            if self.one_layer and not self.taken_out:
                found = [f"{' · '.join(chain)} are one layer already" for chain in self.one_layer]
        found[-1] += f": {self.effective} of {self.written} layers in effect, {self.verdict.replace('_', ' ')}"
        if self.surplus is not None:
            word = "are" if self.surplus != 1 else "is"
            found.append(f"{self.surplus:,} parameters {word} surplus: folded, it has {self.parameters:,}")
        if self.losses is not None:
            found += self.losses.lines
        found += [self.note] if self.note else []
        return tuple(found)


@dataclass(frozen=True, slots=True, repr=False)
class Ablation(Told):
    """What each activation of a module adds: what is left as each is taken out in turn, and all of them.

    Attributes:
        module: the name of its class.
        parameters: how many numbers its parameters hold.
        whole: the module as it is.
        singles: without one call of an activation, for each, in the order in which they run.
        none_left: without all of them; the module as it is where there are none that can be taken out.
        stays: what stands in the way of one affine map even then: it is no activation, or it cannot be taken out.
        data: the name of the data set; empty where none was given.
        floor: the smallest training loss that any affine model reaches on it; None without data.
        config: how the networks were retrained; None without data.
        seeds: of the orders of rows with which they were; the same for each of them.
    """

    module: str
    parameters: int
    whole: Without
    singles: tuple[Without, ...]
    none_left: Without
    stays: tuple[str, ...]
    data: str = ""
    floor: float | None = None
    config: TrainConfig | None = None
    seeds: tuple[int, ...] = ()

    def cost(self, without: Without) -> tuple[float, ...]:
        """By how much its training loss is above that of the module as it is, both retrained, seed by seed.

        Without data, and for seeds with which either diverged, there is nothing to tell.
        """
        if without.losses is None or self.whole.losses is None:
            return ()
        pairs = zip(without.losses.retrained, self.whole.losses.retrained, strict=True)
        return tuple(
            own.train - whole.train for own, whole in pairs if own.train is not None and whole.train is not None
        )

    def plot(self, footnote: str | None = None) -> Figure:
        """The losses before and after retraining, with the linear floor; without data, the layers in effect.

        Args:
            footnote: small print; the version and how it was retrained where None.
        """
        # By name, for figures are a later chapter that reads results, and this one must not depend on it.
        return cast("Figure", import_module("whyactivate.plots.ablation").plot_ablation(self, footnote))

    @property
    def activations(self) -> tuple[ActivationCall, ...]:
        """The calls of activations that can be taken out, in the order in which they run."""
        return tuple(call for single in self.singles for call in single.taken_out)

    @property
    def complete(self) -> bool:
        """False where part of what the module does could not be followed."""
        return all(each.complete for each in (self.whole, *self.singles, self.none_left))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON-able values."""
        return {
            "module": self.module,
            "parameters": self.parameters,
            "whole": self.whole.to_dict(),
            "singles": [each.to_dict() for each in self.singles],
            "none_left": self.none_left.to_dict(),
            "stays": list(self.stays),
            "complete": self.complete,
            "data": self.data or None,
            "floor": self.floor,
            "epochs": self.config.epochs if self.config else None,
            "seeds": list(self.seeds),
        }

    def __str__(self) -> str:
        count = len(self.singles)
        lines = [f"{self.module}: {self.parameters:,} parameters, {count} activation{'s' if count != 1 else ''}"]
        lines += ["  as it is", *(f"    {line}" for line in self.whole.lines)]
        for single in self.singles:
            lines += [f"  without {single.taken_out[0]}", *self._told(single)]
        if count > 1:
            lines += ["  without all of them", *self._told(self.none_left)]
        if not count:
            lines.append("  No activation was found that can be taken out.")
        lines += [f"  stays: {words}" for words in self.stays]
        if self.floor is not None:
            lines.append(
                f"  linear floor of {self.data}: {_number(self.floor)}; no affine model has a smaller train loss"
            )
        if not self.complete:
            lines.append("  Part of what it does could not be followed; there may be more than is said here.")
        return "\n".join(lines)

    def _told(self, without: Without) -> list[str]:
        found, cost = list(without.lines), sorted(self.cost(without))
        if cost:
            ends = dict.fromkeys(f"{value:+.3g}".replace("-", "−") for value in (cost[0], cost[-1]))
            found.append(f"beside the module as it is, retrained alike: {' to '.join(ends)}")
        return [f"    {line}" for line in found]


def _median(values: list[float | None]) -> float | None:
    ended = [value for value in values if value is not None]
    return median(ended) if ended else None


def _number(value: float | None) -> str:
    return "did not end" if value is None else f"{value:.4g}"
