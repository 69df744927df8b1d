"""`Chunk`: a part of the grid that is trained in one go, here or in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from whyactivate.activations import get_activation
from whyactivate.comparison.block import Block, Recipe, Source
from whyactivate.comparison.grid import Choice
from whyactivate.comparison.member import ONE_FOR_ALL, Member, Place
from whyactivate.training import TrainConfig
from whyactivate.training.stacked.activate import Array
from whyactivate.training.stacked.stack import perceptron_size
from whyactivate.training.stacked.weights import draw_row

Key = tuple[Place, int]

_CACHE = 1_600_000
"""Bytes of weights, slopes and means that one chunk may have: about what a core's own cache holds."""

_MOST_ROWS = 100_000_000
"""Bytes of data that one chunk may hold."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Members of one shape, with all that is needed to train them.

    Attributes:
        keys: place and seed of each member.
        choices: the activations by name.
        sources: the data of each seed, or one for all.
        config: what all members have in common.
        double: float64 instead of float32.
        keep_weights: send the final weights back.
    """

    keys: tuple[Key, ...]
    choices: dict[str, Choice]
    sources: dict[int, Source]
    config: TrainConfig
    double: bool
    keep_weights: bool

    @property
    def work(self) -> float:
        """Roughly the multiplications that it takes."""
        place, seed = self.keys[0]
        data = self.source(seed).data
        weights = perceptron_size((data.features, *place.hidden, data.outputs))
        return float(len(self.keys)) * weights * len(data.train_x) * self.config.epochs

    def source(self, seed: int) -> Source:
        """The data for a seed."""
        return self.sources[self.shared(seed)]

    def shared(self, seed: int) -> int:
        """The seed, or what stands for all of them where they share their data."""
        return seed if seed in self.sources else ONE_FOR_ALL

    def train(self, done: Callable[[Member], object], tick: Callable[[float], object] | None = None) -> None:
        """Trains the members.

        Args:
            done: called with each member as soon as it is trained.
            tick: called after each epoch with the share of epochs that lie behind.
        """
        kinds = {name: get_activation(choice) for name, choice in self.choices.items()}
        names = list(self.choices)
        ordered = sorted(self.keys, key=lambda key: names.index(key[0].activation))
        used = sorted({self.shared(seed) for _, seed in ordered})
        recipes = [
            Recipe(place, seed, kinds[place.activation], used.index(self.shared(seed))) for place, seed in ordered
        ]
        first = self.source(ordered[0][1]).data
        widths = (first.features, *ordered[0][0].hidden, first.outputs)
        sources = [self.sources[seed] for seed in used]
        block = Block(widths, self.config, recipes, self.first_weights(widths, ordered), sources, self.keep_weights)
        epochs = self.config.epochs
        block.train(done, None if tick is None else lambda epoch: tick(epoch / epochs))

    def first_weights(self, widths: Sequence[int], keys: Sequence[Key]) -> Array:
        """(members, parameters): what `MLP` draws; the activation has no say in it."""
        dtype = torch.float64 if self.double else torch.float32
        drawn: dict[tuple[str, int], Array] = {}
        for place, seed in keys:
            if (place.init, seed) not in drawn:
                drawn[place.init, seed] = draw_row(widths, place.init, seed, dtype)
        return np.stack([drawn[place.init, seed] for place, seed in keys])

    def split(self, most: int | None) -> Iterator[Chunk]:
        """Chunks of one shape each, equally large, of at most so many members (None: what a cache holds)."""
        ordered = sorted(self.keys, key=lambda key: (key[0].hidden, key[1]))
        for hidden, group in groupby(ordered, key=lambda key: key[0].hidden):
            keys = list(group)
            size = self.best_size(hidden, keys[0][1]) if most is None else most
            count = -(-len(keys) // size)
            for number in range(count):
                part = keys[number * len(keys) // count : (number + 1) * len(keys) // count]
                seeds = {self.shared(seed) for _, seed in part}
                names = {place.activation for place, _ in part}
                yield Chunk(
                    tuple(part), {n: c for n, c in self.choices.items() if n in names},
                    {s: self.sources[s] for s in seeds}, self.config, self.double, self.keep_weights,
                )  # fmt: skip

    def best_size(self, hidden: Sequence[int], seed: int) -> int:
        """How many members of this shape are trained fastest together."""
        data = self.source(seed).data
        number = 8 if self.double else 4
        weights = perceptron_size((data.features, *hidden, data.outputs))
        rows = (len(data.train_x) * (data.features + 1) + len(data.test_x)) * number
        return max(1, min(_CACHE // (5 * number * weights), _MOST_ROWS // rows))


def train_chunk(chunk: Chunk) -> list[Member]:
    """What an executor runs: all members of a chunk."""
    members: list[Member] = []
    chunk.train(members.append)
    return members
