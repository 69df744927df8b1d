"""Memorisation and learning: who goes below the linear floor, on noise and on data with a pattern."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from whyactivate._checks import check_seed, check_some, check_whole
from whyactivate.activations import get_activation
from whyactivate.datasets import Dataset, load_dataset
from whyactivate.errors import InputError
from whyactivate.floor import linear_floor
from whyactivate.lessons.batched import Stack, Trained, train_stack
from whyactivate.lessons.lesson import Lesson, digits, listing, title_of
from whyactivate.training.surroundings import single_thread

Named = str | Callable[[Tensor], Tensor]
SEEDS = (0, 1, 2, 3, 4, 7, 42)
ARTICLE = (10, 18, 18, 4, 1)


@dataclass(frozen=True)
class Runs:
    """The same network with one activation, once per seed; losses are mean squared errors.

    Attributes:
        activation: its name.
        train_loss: in the end, one per seed.
        test_loss: the same over the test set.
        curve: training loss after each epoch, mean over the seeds, before training first.
        last_batch: per seed, what the article prints: the loss of the last mini-batch of each epoch.
        train_curves: per seed, the training loss after each epoch, before training first.
    """

    activation: str
    train_loss: tuple[float, ...]
    test_loss: tuple[float, ...]
    curve: tuple[float, ...]
    last_batch: tuple[tuple[float, ...], ...] = field(repr=False)
    train_curves: tuple[tuple[float, ...], ...] = field(repr=False)

    @property
    def mean(self) -> float:
        """Mean training loss in the end."""
        return statistics.fmean(self.train_loss)

    @property
    def test_mean(self) -> float:
        """Mean test loss in the end."""
        return statistics.fmean(self.test_loss)


@dataclass(frozen=True)
class Trial:
    """Several activations on one kind of data.

    Attributes:
        data: its name.
        floor: per seed, the smallest training loss of any affine model.
        floor_test: per seed, the test loss of that model.
        zero_train: per seed, the training loss of always predicting 0.
        zero_test: per seed, the test loss of that.
        runs: one per activation.
    """

    data: str
    floor: tuple[float, ...]
    floor_test: tuple[float, ...]
    zero_train: tuple[float, ...]
    zero_test: tuple[float, ...]
    runs: tuple[Runs, ...]

    def run(self, activation: str) -> Runs:
        """The runs of that activation."""
        return next(run for run in self.runs if run.activation == activation)

    def below(self, activation: str) -> tuple[bool, ...]:
        """Per seed, whether the training loss ended below the floor."""
        return tuple(
            loss < floor * (1 - 1e-6) for loss, floor in zip(self.run(activation).train_loss, self.floor, strict=True)
        )


@dataclass(frozen=True, repr=False)
class Memorisation(Lesson):
    """The article's experiment on its noise, and the same on data with a pattern, against the linear floor.

    Attributes:
        seeds: of data, weights and order.
        noise: the article's data and settings.
        pattern: two waves of a sine.
    """

    title: ClassVar[str] = "Below the linear floor: memorisation on noise, learning on a pattern"

    seeds: tuple[int, ...]
    noise: Trial
    pattern: Trial

    @property
    def settings(self) -> str:
        """What fixes the numbers."""
        return f"mean of seeds {', '.join(map(str, self.seeds))}"

    def explain(self) -> str:
        """What the numbers say."""
        floor, none = statistics.fmean(self.noise.floor), self.noise.run("identity")
        parts = [
            f"On the article's noise the linear floor is {digits(floor)} (mean of {len(self.seeds)} seeds) and the "
            f"network "
            f"without activations ends at {digits(none.mean)}; it goes below the floor on "
            f"{sum(self.noise.below('identity'))} seeds."
        ]
        for run in self.noise.runs:
            if run.activation == "identity":
                continue
            below = self.noise.below(run.activation)
            above = [str(seed) for seed, went in zip(self.seeds, below, strict=True) if not went]
            but = f" (not with seed {listing(above)})" if above else ""
            parts.append(
                f"{title_of(run.activation)} ends at {digits(run.mean)}, below it on {sum(below)} of {len(below)}{but}."
            )
        zero = statistics.fmean(self.noise.zero_test)
        better = [title_of(run.activation) for run in self.noise.runs if run.test_mean < zero]
        tests = [run.test_mean for run in self.noise.runs]
        parts.append(
            f"On fresh noise always predicting 0 has an error of {digits(zero)}, the networks {digits(min(tests))} to "
            f"{digits(max(tests))}: "
            + (f"better only {listing(better)}." if better else "none is better, so what they learned was memorised.")
        )
        floor_test = statistics.fmean(self.pattern.floor_test)
        best = min(self.pattern.runs, key=lambda run: run.test_mean)
        parts.append(
            f"On {self.pattern.data} the affine model has a test error of {digits(floor_test)} and "
            f"{title_of(best.activation)} "
            f"one of {digits(best.test_mean)} on data it never saw: "
            + (
                "going below the floor there is learning."
                if best.test_mean < floor_test and best.mean < statistics.fmean(self.pattern.floor) * (1 - 1e-6)
                else "no learning here either."
            )
        )
        return " ".join(parts)


@single_thread()
def memorisation(
    activations: Sequence[Named] = ("identity", "relu", "sigmoid", "tanh", "leaky_relu"),
    seeds: Sequence[int] = SEEDS,
    *,
    epochs: int = 150,
) -> Memorisation:
    """Trains the article's network with each activation on noise, and alike on a pattern, against the linear floor.

    Args:
        activations: names or callables; "identity" must be among them.
        seeds: each fixes its data and its initial weights.
        epochs: on the noise.

    Raises:
        UnknownNameError: there is no such activation.
        InputError: "identity" is missing, or no seed is given.
    """
    chosen = tuple(check_seed(seed) for seed in check_some("seeds", seeds))
    epochs = check_whole("epochs", epochs, 1)
    if "identity" not in [get_activation(each).name for each in check_some("activations", activations)]:
        raise InputError("the activation 'identity', to compare with, must be among the activations")
    noise = [load_dataset("article", seed) for seed in chosen]
    pattern = [load_dataset("sine", seed) for seed in chosen]
    return Memorisation(
        chosen,
        run_trial("article", noise, activations, chosen, ARTICLE, epochs=epochs, batch_size=10, rate=1e-3),
        run_trial("sine", pattern, activations, chosen, (1, 32, 32, 1), epochs=60, batch_size=50, rate=1e-2),
    )


def run_trial(
    name: str,
    data: Sequence[Dataset],
    activations: Sequence[Named],
    seeds: Sequence[int],
    layers: Sequence[int],
    *,
    epochs: int,
    batch_size: int,
    rate: float,
) -> Trial:
    """One network per activation and seed on the data of that seed, all seeds at once, and each data set's floor."""
    floors = [linear_floor(each) for each in data]
    train, test = (
        (torch.stack([getattr(d, f"{p}_x") for d in data]), torch.stack([getattr(d, f"{p}_y") for d in data]))
        for p in ("train", "test")
    )
    runs: list[Runs] = []
    for activation in activations:
        stack = Stack.start(layers, activation, seeds)
        done = train_stack(stack, train, test, epochs=epochs, batch_size=batch_size, rate=rate)
        runs.append(_runs(stack.activation.name, done))
    zeros = [tuple(y.square().mean(dim=(1, 2)).tolist()) for y in (train[1], test[1])]
    return Trial(
        name, tuple(f.loss for f in floors), tuple(f.test_loss for f in floors), zeros[0], zeros[1], tuple(runs)
    )


def _runs(name: str, done: Trained) -> Runs:
    return Runs(
        name,
        tuple(done.train_loss[-1].tolist()),
        tuple(done.test_loss.tolist()),
        tuple(done.train_loss.mean(dim=1).tolist()),
        tuple(tuple(row) for row in done.last_batch_loss.T.tolist()),
        tuple(tuple(row) for row in done.train_loss.T.tolist()),
    )
