"""One quick run of the demo for all tests that need one, and made-up parts for the ways a run can end."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import nn

from whyactivate.activations import ACTIVATIONS
from whyactivate.collapse import collapse_linear
from whyactivate.datasets import Dataset, Task
from whyactivate.demo import (
    ArticlePart,
    ClassesPart,
    Contest,
    DemoResult,
    Disagreement,
    Part,
    TrainedNetwork,
    demo_parts,
    join_parts,
)
from whyactivate.floor import Floor, linear_floor
from whyactivate.models import MLP
from whyactivate.training import History, TrainConfig

MESSAGES: list[tuple[str, int, int]] = []


@cache
def quick_parts() -> tuple[Part, ...]:
    """The parts of one quick run with seed 0; what it said on the way is in MESSAGES."""
    return tuple(demo_parts(0, quick=True, progress=lambda *message: MESSAGES.append(message)))


@cache
def quick_result() -> DemoResult:
    return join_parts(quick_parts(), 0, quick=True)


@cache
def small_data(task: Task, rows: int = 8) -> Dataset:
    x = torch.linspace(-1, 1, 2 * rows).reshape(rows, 2)
    if task is Task.REGRESSION:
        return Dataset("article", x, x[:, :1] ** 2, x, x[:, :1] ** 2, task)
    y = (torch.arange(rows) % 3 > 0).long()
    return Dataset("moons", x, y, x, y, task, classes=("upper", "lower"))


def network(activation: str, loss: float, test: float, accuracy: float | None) -> TrainedNetwork:
    task = Task.REGRESSION if accuracy is None else Task.CLASSIFICATION
    accuracies = () if accuracy is None else (0.5, accuracy)
    history = History(TrainConfig(), task, (1.0, loss), (1.0, test), accuracies, accuracies)
    return TrainedNetwork(activation, ACTIVATIONS[activation].title, nn.Identity(), history)


def contest(
    floor: float,
    losses: dict[str, float],
    tests: dict[str, float] | None = None,
    accuracies: dict[str, float] | None = None,
    floor_accuracy: float = 0.8,
    rows: int = 8,
    separable: bool | None = False,
) -> Contest:
    """A contest that ended with these numbers."""
    task = Task.REGRESSION if accuracies is None else Task.CLASSIFICATION
    data = small_data(task, rows)
    found: Floor = replace(
        linear_floor(data), loss=floor, gap=0.0, separable=separable,
        test_accuracy=None if accuracies is None else floor_accuracy,
    )  # fmt: skip
    networks = tuple(
        network(name, loss, (tests or {}).get(name, 1.0), None if accuracies is None else accuracies.get(name, 0.8))
        for name, loss in losses.items()
    )
    return Contest(data, (2, 3, data.outputs), found, networks)


def article(floor: float, losses: dict[str, float], tests: dict[str, float], zero: float = 1.0) -> ArticlePart:
    return ArticlePart(contest(floor, losses, tests), zero, zero)


def classes(
    differ: tuple[Disagreement, ...] = (), gap: float = 1e-7, widths: tuple[int, ...] = (2, 5, 2)
) -> ClassesPart:
    some = contest(0.3, {"identity": 0.31, "relu": 0.1}, accuracies={"identity": 0.8, "relu": 0.9})
    return ClassesPart(some, collapse_linear(MLP(widths, activation=None)), (), differ, gap, ())
