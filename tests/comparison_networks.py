"""What several tests of comparisons use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

import whyactivate as wa
from whyactivate.comparison import Member
from whyactivate.training.stacked.weights import layers_of, row_of


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
    return row_of(layers_of(model)), history


def check_equals_train(
    members: Sequence[Member], data: wa.Dataset, config: wa.TrainConfig, dtype: torch.dtype = torch.float32
) -> None:
    """Weights, losses and endings are those of `train`, to the last bit."""
    for member in members:
        weights, history = train_alone(member, data, config, dtype)
        assert member.weights is not None
        assert weights.dtype == member.weights.dtype
        assert np.array_equal(weights, member.weights), member
        assert (member.stopped, member.epochs) == (history.stopped, history.epochs)
        assert (member.train_loss, member.test_loss) == (history.train_loss[-1], history.test_loss[-1])
        if history.train_accuracy:
            ends = history.train_accuracy[-1], history.test_accuracy[-1]
            assert (member.train_accuracy, member.test_accuracy) == ends
