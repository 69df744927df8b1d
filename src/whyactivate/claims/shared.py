"""What several experiments look at is computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from time import perf_counter

from whyactivate.datasets import load_dataset
from whyactivate.lessons import (
    Approximation,
    Gradients,
    Memorisation,
    Saturation,
    approximation,
    gradients,
    memorisation,
    saturation,
)
from whyactivate.lessons.batched import Stack, Trained, train_stack

ARTICLE_NAMES = ("relu", "sigmoid", "tanh", "leaky_relu")
"""The activations that the article shows."""


def train_relu(name: str, layers: list[int], seeds: range, *, epochs: int, rate: float) -> Trained:
    """Networks of ReLUs, one per seed, trained on a data set by name."""
    data = load_dataset(name)
    stack = Stack.start(layers, "relu", seeds)
    parts = (data.train_x, data.train_y), (data.test_x, data.test_y)
    return train_stack(stack, *parts, epochs=epochs, batch_size=50, rate=rate)


def race(rivals: Mapping[str, Callable[[], object]], rounds: int = 12) -> dict[str, float]:
    """The fastest time of each, in seconds: taking turns, so that a busy machine is busy for all of them."""
    best = dict.fromkeys(rivals, math.inf)
    for _ in range(rounds):
        for name, call in rivals.items():
            begun = perf_counter()
            call()
            best[name] = min(best[name], perf_counter() - begun)
    return best


@cache
def article_runs() -> Memorisation:
    """The article's experiment over several seeds, and the same on a pattern."""
    return memorisation()


@cache
def deep_gradients() -> Gradients:
    """Gradients through twenty layers."""
    return gradients(depths=(20,))


@cache
def ends() -> Saturation:
    """Where sigmoid and tanh reach their ends."""
    return saturation()


@cache
def curves() -> Approximation:
    """What ReLU, sigmoid and polynomials can approximate."""
    return approximation()


def forget() -> None:
    """Everything is computed anew the next time."""
    for each in (article_runs, deep_gradients, ends, curves):
        each.cache_clear()
