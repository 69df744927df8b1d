"""One block: members of one shape, trained together, each as `train` would have trained it alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyactivate.activations import Activation
from whyactivate.comparison.member import Member, Place
from whyactivate.datasets import Dataset
from whyactivate.errors import InputError
from whyactivate.training import TrainConfig
from whyactivate.training.history import Stopped
from whyactivate.training.stacked.activate import Array
from whyactivate.training.stacked.calm import CALM
from whyactivate.training.stacked.engine import Engine

NEAR_FLOOR = 1.01
"""A training loss up to this multiple of the linear floor is at the floor: within one percent of it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data set with its linear floor."""

    data: Dataset
    floor: float
    floor_test: float

    def __reduce__(self) -> tuple[Any, ...]:
        """Goes to other processes as arrays: for a tensor PyTorch would hold a file open, and files run out."""
        values = {each.name: getattr(self.data, each.name) for each in fields(self.data)}
        plain = {name: v.detach().cpu().numpy() if isinstance(v, Tensor) else v for name, v in values.items()}
        return _unpack, (plain, self.floor, self.floor_test)


def _unpack(plain: dict[str, Any], floor: float, floor_test: float) -> Source:
    values: dict[str, Any] = {n: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for n, v in plain.items()}
    return Source(Dataset(**values), floor, floor_test)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One member before its training: where it stands in the grid, its activation, and the index of its data."""

    place: Place
    seed: int
    activation: Activation
    source: int


@dataclass
class Block:
    """What one block trains.

    Attributes:
        widths: from input to output.
        config: what all members have in common; its seed and learning rate are not used.
        recipes: one per member, neighbours where they have one activation.
        weights: (members, parameters) at the start.
        sources: the data sets that the recipes point to, all of one shape.
        keep_weights: give the final weights to the members.
        test_always: measure the test part after every epoch, and not only at the end.
    """

    widths: tuple[int, ...]
    config: TrainConfig
    recipes: Sequence[Recipe]
    weights: Array
    sources: Sequence[Source]
    keep_weights: bool = False
    test_always: bool = False

    def train(self, done: Callable[[Member], object], tick: Callable[[int], object] | None = None) -> None:
        """Trains to the end, and says so of each member as soon as it has ended.

        Args:
            done: called with each member.
            tick: called after each epoch with its number.

        Raises:
            InputError: a member's loss is not finite before any training.
        """
        with CALM.kept():
            unclear = _Training(self).run(done, tick)
        if unclear:
            # Finite on the training part to the end, yet not on the test part: look after which epoch that began.
            recipes = [self.recipes[i] for i in unclear]
            replace(self, recipes=recipes, weights=self.weights[unclear], test_always=True).train(done)


class _Training:
    """One call of `Block.train`. Arrays along the members shrink when members end."""

    def __init__(self, block: Block) -> None:
        self.block, config, recipes = block, block.config, block.recipes
        data = [source.data for source in block.sources]
        self.engine = Engine(
            block.widths, config, [r.activation for r in recipes], [r.seed for r in recipes],
            [r.place.learning_rate for r in recipes], data, [r.source for r in recipes], block.weights,
        )  # fmt: skip
        self.kept = self.engine.weights.copy()
        self.classes = bool(data[0].classes)
        self.test_always = block.test_always or config.patience is not None
        self.ids = np.arange(len(recipes))
        self.unclear: list[int] = []
        self.floors = np.array([block.sources[r.source].floor for r in recipes]) * NEAR_FLOOR
        self.at_floor = np.full(len(self.ids), -1)
        self.best, self.best_epoch = np.full(len(self.ids), np.inf), np.zeros(len(self.ids), dtype=int)

    def run(self, done: Callable[[Member], object], tick: Callable[[int], object] | None) -> list[int]:
        """Trains all members and returns those whose ending is not clear without every epoch's test loss."""
        config, engine = self.block.config, self.engine
        self.before = engine.measure(engine.train_part)
        self.check_start()
        self.tested = engine.measure(engine.test_part)
        self.note_best(0)
        for epoch in range(1, config.epochs + 1):
            engine.train_epoch()
            now = engine.measure(engine.train_part)
            bad = ~(np.isfinite(now[0]) & engine.are_finite())
            tested = engine.measure(engine.test_part) if self.test_always or bad.any() else None
            if tested is not None:
                bad |= ~np.isfinite(tested[0])
            if bad.any():
                self.end_diverged(bad, epoch - 1, done)
                now = now[0][~bad], now[1][~bad]
                tested = None if tested is None else (tested[0][~bad], tested[1][~bad])
            self.before = now
            if not len(self.ids):
                return self.unclear
            np.copyto(self.kept, engine.weights)
            self.at_floor[(self.at_floor < 0) & (now[0] <= self.floors)] = epoch
            if tested is not None:
                self.tested = tested
            if config.patience is not None:
                self.note_best(epoch)
                late = epoch - self.best_epoch >= config.patience
                if late.any():
                    self.end(late, "early", epoch, done)
                if not len(self.ids):
                    return self.unclear
            if tick is not None:
                tick(epoch)
        self.tested = self.tested if self.test_always else engine.measure(engine.test_part)
        self.end(np.ones(len(self.ids), dtype=bool), "finished", config.epochs, done)
        return self.unclear

    def check_start(self) -> None:
        """Refuses members that start with a loss that is not finite."""
        bad = ~(np.isfinite(self.before[0]) & self.engine.are_finite())
        if bad.any():
            number = int(np.flatnonzero(bad)[0])
            place, seed = self.block.recipes[number].place, self.block.recipes[number].seed
            raise InputError(
                f"before any training the train loss is {self.before[0][number]} with activation {place.activation!r}, "
                f"hidden widths {place.hidden}, init {place.init!r} and seed {seed}: look at the data, and at how far "
                "the activation goes"
            )
        self.at_floor[self.before[0] <= self.floors] = 0

    def note_best(self, epoch: int) -> None:
        """Takes note of new lowest test losses."""
        better = self.tested[0] < self.best
        self.best[better], self.best_epoch[better] = self.tested[0][better], epoch

    def end_diverged(self, bad: Array, epoch: int, done: Callable[[Member], object]) -> None:
        """Ends members at the weights of the last epoch at which all was finite, and measures them there."""
        self.engine.weights[bad] = self.kept[bad]
        self.tested = self.engine.measure(self.engine.test_part)
        self.end(bad, "diverged", epoch, done)

    def end(self, which: Array, stopped: Stopped, epoch: int, done: Callable[[Member], object]) -> None:
        """Reports the members in the mask and goes on without them."""
        for place in np.flatnonzero(which):
            if self.test_always or np.isfinite(self.tested[0][place]):
                done(self.member(int(place), stopped, epoch))
            else:
                self.unclear.append(int(self.ids[place]))
        if not which.all():
            self.go_on_with(np.flatnonzero(~which))
        else:
            self.ids = self.ids[:0]

    def member(self, place: int, stopped: Stopped, epoch: int) -> Member:
        """The member at this place of the arrays, as it is now."""
        (train, right), (test, test_right) = self.before, self.tested
        recipe = self.block.recipes[int(self.ids[place])]
        source = self.block.sources[recipe.source]
        return Member(
            recipe.place, recipe.seed, stopped, epoch, float(train[place]), float(test[place]),
            float(right[place]) if self.classes else None, float(test_right[place]) if self.classes else None,
            int(self.at_floor[place]) if self.at_floor[place] >= 0 else None, source.floor, source.floor_test,
            self.engine.weights[place].copy() if self.block.keep_weights else None,
        )  # fmt: skip

    def go_on_with(self, rows: Array) -> None:
        """Leaves all but these members behind."""
        self.ids, self.floors, self.at_floor = self.ids[rows], self.floors[rows], self.at_floor[rows]
        self.best, self.best_epoch = self.best[rows], self.best_epoch[rows]
        self.before, self.tested = ((a[rows], b[rows]) for a, b in (self.before, self.tested))
        self.engine.keep(rows)
        self.kept = self.engine.weights.copy()
