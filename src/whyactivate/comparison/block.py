"""One block: members of one shape, trained together, each as `train` would have trained it alone."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import ThreadpoolController

from whyactivate.activations import Activation
from whyactivate.comparison.activate import Array
from whyactivate.comparison.losses import loss_of
from whyactivate.comparison.optimise import StackedOptimiser, make_stacked
from whyactivate.comparison.rows import Batches, Orders, Part
from whyactivate.comparison.stack import Company, Pass, Stack
from whyactivate.datasets import Dataset
from whyactivate.errors import InputError
from whyactivate.training import TrainConfig
from whyactivate.training.history import Stopped
from whyactivate.training.surroundings import single_thread

NEAR_FLOOR = 1.01
"""A training loss up to this multiple of the linear floor is at the floor: within one percent of it."""

_ROWS_AT_ONCE = 100
"""Rows on their way through the stack when whole parts are measured: the same whatever the number of members."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one member is trained, apart from what the block has in common."""

    activation: Activation
    seed: int
    learning_rate: float
    data: int
    floor: float


@dataclass(frozen=True, slots=True)
class Ending:
    """Where one member ended; the fields mean what they mean in `Member`."""

    stopped: Stopped
    epochs: int
    train_loss: float
    test_loss: float
    train_accuracy: float | None
    test_accuracy: float | None
    epochs_to_floor: int | None
    weights: Array


@dataclass
class Block:
    """What one block trains.

    Attributes:
        widths: from input to output.
        config: what all members have in common; its seed and learning rate are not used.
        recipes: one per member, neighbours where they have one activation.
        weights: (members, parameters) at the start.
        data: the data sets that the recipes point to, all of one shape.
        test_always: measure the test part after every epoch, and not only at the end.
    """

    widths: tuple[int, ...]
    config: TrainConfig
    recipes: Sequence[Recipe]
    weights: Array
    data: Sequence[Dataset]
    test_always: bool = False

    def train(self, done: Callable[[int, Ending], object], tick: Callable[[int], object] | None = None) -> None:
        """Trains to the end, and says so of each member as soon as it has ended.

        Args:
            done: called with the member's place in `recipes` and its ending.
            tick: called after each epoch with its number.

        Raises:
            InputError: a member's loss is not finite before any training.
        """
        with _CALM.kept():
            unclear = _Training(self).run(done, tick)
        if unclear:
            # Finite on the training part to the end, yet not on the test part: look after which epoch that began.
            again = replace(
                self, recipes=[self.recipes[i] for i in unclear], weights=self.weights[unclear], test_always=True
            )
            again.train(lambda place, ending: done(unclear[place], ending))


class _Calm:
    """One thread for tiny products, for as long as any block trains; then as many as before.

    Blocks may train in several threads at once, so the first to come changes the numbers and the last to go
    brings them back.
    """

    def __init__(self) -> None:
        self.lock, self.users, self.stack = threading.Lock(), 0, contextlib.ExitStack()

    @functools.cached_property
    def found(self) -> ThreadpoolController:
        """NumPy's library, looked for once."""
        return ThreadpoolController()

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        with self.lock:
            if not self.users:
                self.stack.enter_context(self.found.limit(limits=1, user_api="blas"))
                self.stack.enter_context(single_thread())
            self.users += 1
        try:
            # No warnings where a member's numbers overflow: it has diverged, and ends.
            with np.errstate(all="ignore"):
                yield
        finally:
            with self.lock:
                self.users -= 1
                if not self.users:
                    self.stack.close()


_CALM = _Calm()


class _Training:
    """One call of `Block.train`. Arrays along the members shrink when members end."""

    def __init__(self, block: Block) -> None:
        self.block, config = block, block.config
        self.loss = loss_of(block.data[0].task)
        self.classes = block.data[0].outputs if block.data[0].classes else 0
        which = np.array([recipe.data for recipe in block.recipes])
        kind = block.weights.dtype.type
        self.train_part, self.test_part = (Part(block.data, which, part, kind) for part in ("train", "test"))
        self.orders = Orders([r.seed for r in block.recipes], self.train_part.rows) if config.shuffle else None
        self.test_always = block.test_always or config.patience is not None
        self.ids = np.arange(len(block.recipes))
        self.unclear: list[int] = []
        self.floors = np.array([recipe.floor for recipe in block.recipes]) * NEAR_FLOOR
        self.at_floor = np.full(len(self.ids), -1)
        self.best, self.best_epoch = np.full(len(self.ids), np.inf), np.zeros(len(self.ids), dtype=int)
        self.build(np.array(block.weights))
        rates = np.array([recipe.learning_rate for recipe in block.recipes])
        self.optimiser: StackedOptimiser = make_stacked(
            config.optimizer, self.stack.flat, self.stack.slope, rates, config.momentum
        )

    def build(self, flat: Array) -> None:
        """Everything whose shape depends on how many members there are."""
        self.stack = Stack(np.ascontiguousarray(flat), self.block.widths, self.companies())
        self.kept = self.stack.flat.copy()
        batch = min(self.block.config.batch_size, self.train_part.rows)
        self.batches = Batches(self.train_part, batch, gather=self.orders is not None)
        self.passes: dict[int, Pass] = {}

    def companies(self) -> list[Company]:
        """The activations of the members that are left, as runs of neighbours."""
        found: list[Company] = []
        for place, member in enumerate(self.ids):
            activation = self.block.recipes[int(member)].activation
            if found and found[-1].activation is activation:
                found[-1] = Company(activation, found[-1].first, place + 1)
            else:
                found.append(Company(activation, place, place + 1))
        return found

    def room_for(self, rows: int) -> Pass:
        """The buffers for batches of this many rows."""
        if rows not in self.passes:
            self.passes[rows] = Pass(self.stack, rows)
        return self.passes[rows]

    def run(self, done: Callable[[int, Ending], object], tick: Callable[[int], object] | None) -> list[int]:
        """Trains all members and returns those whose ending is not clear without every epoch's test loss."""
        config = self.block.config
        self.before = self.measure(self.train_part)
        self.check_start()
        self.tested = self.measure(self.test_part)
        self.note_best(0)
        for epoch in range(1, config.epochs + 1):
            self.train_epoch()
            now = self.measure(self.train_part)
            bad = ~self.are_finite(now[0])
            tested = self.measure(self.test_part) if self.test_always or bad.any() else None
            if tested is not None:
                bad |= ~np.isfinite(tested[0])
            if bad.any():
                self.end_diverged(bad, epoch - 1, done)
                now = now[0][~bad], now[1][~bad]
                tested = None if tested is None else (tested[0][~bad], tested[1][~bad])
            self.before = now
            if not len(self.ids):
                return self.unclear
            np.copyto(self.kept, self.stack.flat)
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
        self.tested = self.tested if self.test_always else self.measure(self.test_part)
        self.end(np.ones(len(self.ids), dtype=bool), "finished", config.epochs, done)
        return self.unclear

    def train_epoch(self) -> None:
        """One step per batch."""
        if self.orders is not None:
            self.batches.shuffle(self.orders.draw())
        for x, y in self.batches.views:
            room = self.room_for(x.shape[2])
            self.loss.start_backward(room.forward(x), y, room.delta)
            room.backward(x)
            self.optimiser.step()

    def measure(self, part: Part) -> tuple[Array, Array]:
        """Loss and accuracy of each member over a whole part."""
        loss, right = np.zeros(len(self.ids)), np.zeros(len(self.ids))
        for x, y in part.pieces(_ROWS_AT_ONCE):
            more, hits = self.loss.total(self.room_for(x.shape[2]).forward(x), y)
            loss += more
            right += hits
        return loss / part.rows, right / part.rows

    def are_finite(self, losses: Array) -> Array:
        """Which members have a finite loss and finite weights."""
        if np.isfinite(self.stack.flat.sum()):  # nearly always, and much cheaper than to look at each weight
            return np.isfinite(losses)
        return np.isfinite(losses) & np.isfinite(self.stack.flat).all(axis=1)

    def check_start(self) -> None:
        """Refuses members that start with a loss that is not finite."""
        bad = ~self.are_finite(self.before[0])
        if bad.any():
            place = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"before any training the train loss of member {place + 1} is {self.before[0][place]}: look at the data"
            )
        self.at_floor[self.before[0] <= self.floors] = 0

    def note_best(self, epoch: int) -> None:
        """Takes note of new lowest test losses."""
        better = self.tested[0] < self.best
        self.best[better], self.best_epoch[better] = self.tested[0][better], epoch

    def end_diverged(self, bad: Array, epoch: int, done: Callable[[int, Ending], object]) -> None:
        """Ends members at the weights of the last epoch at which all was finite, and measures them there."""
        self.stack.flat[bad] = self.kept[bad]
        tested = self.measure(self.test_part)
        self.tested = tested
        self.end(bad, "diverged", epoch, done)

    def end(self, which: Array, stopped: Stopped, epoch: int, done: Callable[[int, Ending], object]) -> None:
        """Reports the members in the mask and goes on without them."""
        (train, right), (test, test_right) = self.before, self.tested
        for place in np.flatnonzero(which):
            if not (self.test_always or np.isfinite(test[place])):
                self.unclear.append(int(self.ids[place]))
                continue
            done(
                int(self.ids[place]),
                Ending(
                    stopped, epoch, float(train[place]), float(test[place]),
                    float(right[place]) if self.classes else None, float(test_right[place]) if self.classes else None,
                    int(self.at_floor[place]) if self.at_floor[place] >= 0 else None, self.stack.flat[place].copy(),
                ),
            )  # fmt: skip
        if not which.all():
            self.go_on_with(np.flatnonzero(~which))
        else:
            self.ids = self.ids[:0]

    def go_on_with(self, rows: Array) -> None:
        """Leaves all but these members behind."""
        self.ids, self.floors, self.at_floor = self.ids[rows], self.floors[rows], self.at_floor[rows]
        self.best, self.best_epoch = self.best[rows], self.best_epoch[rows]
        self.before, self.tested = ((a[rows], b[rows]) for a, b in (self.before, self.tested))
        self.train_part, self.test_part = self.train_part.select(rows), self.test_part.select(rows)
        if self.orders is not None:
            self.orders.select(rows)
        self.build(self.stack.flat[rows])
        self.optimiser = self.optimiser.keep(rows, self.stack.flat, self.stack.slope)
