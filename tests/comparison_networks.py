"""What several tests of comparisons use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

import whyactivate as wa
from whyactivate.comparison import Member
from whyactivate.training.stacked.weights import row_of


def tiny(seed: int = 0, rows: int = 13, features: int = 3, classes: int = 0, test_rows: int = 7) -> wa.Dataset:
    """A data set of random numbers, whose rows no usual batch size divides."""
    draw = torch.Generator().manual_seed(seed)
    x, test_x = (torch.randn(n, features, generator=draw) for n in (rows, test_rows))
    if classes:
        y, test_y = (torch.randint(classes, (n,), generator=draw) for n in (rows, test_rows))
        return wa.Dataset("tiny", x, y, test_x, test_y, wa.Task.CLASSIFICATION, tuple(map(str, range(classes))))
    y, test_y = (torch.randn(n, 1, generator=draw) for n in (rows, test_rows))
    return wa.Dataset("tiny", x, y, test_x, test_y, wa.Task.REGRESSION)


def train_alone(
    member: Member, data: wa.Dataset, config: wa.TrainConfig, dtype: torch.dtype
) -> tuple[np.ndarray, wa.History]:
    """The weights and the history that `train` gives for a member."""
    place = member.place
    widths = (data.features, *place.hidden, data.outputs)
    model = wa.MLP(widths, place.activation, init=place.init, seed=member.seed, dtype=dtype)
    config = replace(config, seed=member.seed, learning_rate=place.learning_rate)
    try:
        history = wa.train(model, data, config)
    except wa.DivergedError as error:
        history = error.history
    return row_of(model), history


def largest_differences(
    members: Sequence[Member], data: wa.Dataset, config: wa.TrainConfig, dtype: torch.dtype
) -> list[float]:
    """How far each member's weights are from those of `train`; everything else is compared here."""
    found: list[float] = []
    for member in members:
        weights, history = train_alone(member, data, config, dtype)
        assert member.weights is not None
        assert weights.dtype == member.weights.dtype
        assert (member.stopped, member.epochs) == (history.stopped, history.epochs)
        found.append(float(np.abs(weights - member.weights).max()))
        if found[-1] < 1e-5:
            near = {"rel": 1e-4, "abs": 1e-6}
            assert member.train_loss == pytest.approx(history.train_loss[-1], **near)
            assert member.test_loss == pytest.approx(history.test_loss[-1], **near)
            if history.train_accuracy:
                assert member.train_accuracy == history.train_accuracy[-1]
                assert member.test_accuracy == history.test_accuracy[-1]
    return found
