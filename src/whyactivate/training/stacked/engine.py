"""`Engine`: the epochs of a stack of perceptrons. What to do with the numbers is for others to say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whyactivate.activations import Activation
from whyactivate.datasets import Dataset
from whyactivate.training.config import TrainConfig
from whyactivate.training.stacked.activate import Array
from whyactivate.training.stacked.losses import loss_of
from whyactivate.training.stacked.optimise import StackedOptimiser, make_stacked
from whyactivate.training.stacked.rows import Batches, Orders, Part
from whyactivate.training.stacked.stack import Company, Pass, Stack

_ROWS_AT_ONCE = 100
"""Rows on their way through the stack when whole parts are measured: the same whatever the number of members."""


class Engine:
    """Trains M perceptrons side by side, and measures them; a member's numbers do not depend on its company.

    Args:
        widths: from input to output.
        config: what all members have in common; its seed and learning rate are not used.
        activations: one per member, neighbours where they are the same.
        seeds: one per member: the order of the rows.
        rates: one learning rate per member.
        data: data sets of one shape.
        which: for each member, the index of its data set.
        weights: (members, parameters) at the start.
    """

    def __init__(
        self,
        widths: Sequence[int],
        config: TrainConfig,
        activations: Sequence[Activation],
        seeds: Sequence[int],
        rates: Sequence[float],
        data: Sequence[Dataset],
        which: Sequence[int],
        weights: Array,
    ) -> None:
        self.widths, self.config, self.activations = tuple(widths), config, list(activations)
        self.loss = loss_of(data[0].task)
        kind, sets = weights.dtype.type, np.array(which)
        self.train_part, self.test_part = (Part(data, sets, part, kind) for part in ("train", "test"))
        self.orders = Orders(seeds, self.train_part.rows) if config.shuffle else None
        self._build(np.array(weights))
        self.optimiser: StackedOptimiser = make_stacked(
            config.optimizer, self.stack.flat, self.stack.slope, np.array(rates, dtype=np.float64), config.momentum
        )

    @property
    def weights(self) -> Array:
        """(members, parameters), the very array that is trained."""
        return self.stack.flat

    def _build(self, flat: Array) -> None:
        """Everything whose shape depends on how many members there are."""
        self.stack = Stack(np.ascontiguousarray(flat), self.widths, self._companies())
        batch = min(self.config.batch_size, self.train_part.rows)
        self.batches = Batches(self.train_part, batch, gather=self.orders is not None)
        self.passes: dict[int, Pass] = {}

    def _companies(self) -> list[Company]:
        """The activations of the members as runs of neighbours."""
        found: list[Company] = []
        for place, activation in enumerate(self.activations):
            if found and found[-1].activation is activation:
                found[-1] = Company(activation, found[-1].first, place + 1)
            else:
                found.append(Company(activation, place, place + 1))
        return found

    def _room_for(self, rows: int) -> Pass:
        """The buffers for batches of this many rows."""
        if rows not in self.passes:
            self.passes[rows] = Pass(self.stack, rows)
        return self.passes[rows]

    def train_epoch(self) -> None:
        """One step per batch."""
        if self.orders is not None:
            self.batches.shuffle(self.orders.draw())
        for x, y in self.batches.views:
            room = self._room_for(x.shape[2])
            self.loss.start_backward(room.forward(x), y, room.delta)
            room.backward(x)
            self.optimiser.step()

    def last_batch_loss(self) -> Array:
        """The loss of each member on the last batch before its step; to be asked for right after `train_epoch`."""
        x, y = self.batches.views[-1]
        return self.loss.total(self._room_for(x.shape[2]).output, y)[0] / x.shape[2]

    def measure(self, part: Part) -> tuple[Array, Array]:
        """Loss and accuracy of each member over a whole part."""
        loss, right = np.zeros(self.stack.members), np.zeros(self.stack.members)
        for x, y in part.pieces(_ROWS_AT_ONCE):
            more, hits = self.loss.total(self._room_for(x.shape[2]).forward(x), y)
            loss += more
            right += hits
        return loss / part.rows, right / part.rows

    def are_finite(self) -> Array:
        """Which members have finite weights."""
        if np.isfinite(self.stack.flat.sum()):  # nearly always, and much cheaper than to look at each weight
            return np.ones(self.stack.members, dtype=bool)
        return np.array(np.isfinite(self.stack.flat).all(axis=1))

    def keep(self, rows: Array) -> None:
        """Goes on with the members in `rows` only."""
        self.activations = [self.activations[int(row)] for row in rows]
        self.train_part, self.test_part = self.train_part.select(rows), self.test_part.select(rows)
        if self.orders is not None:
            self.orders.select(rows)
        self._build(self.stack.flat[rows])
        self.optimiser = self.optimiser.keep(rows, self.stack.flat, self.stack.slope)
