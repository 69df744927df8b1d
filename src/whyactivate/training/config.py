"""`TrainConfig`: how to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from whyactivate._checks import check_number, check_seed, check_truth, check_whole
from whyactivate.errors import InputError, UnknownNameError
from whyactivate.training.optimisers import OPTIMISERS

LARGEST_RATE = 1e30
"""Far beyond use, and still a float32 after Adam's first correction."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How to train; the defaults are the article's settings, except that rows are shuffled.

    Attributes:
        epochs: passes over the training part.
        batch_size: rows per step; the last batch of an epoch may be smaller.
        learning_rate: size of a step.
        optimizer: "adam" (Kingma & Ba 2015) or "sgd".
        momentum: of SGD; Adam does not use it.
        shuffle: draw a new order of the rows for each epoch; False keeps their order, as the article does.
        seed: fixes the orders, and what Dropout and its like draw.
        patience: stop early after this many epochs without a new lowest test loss; None never does.
            The test loss then has a say in the result, so it flatters a little.
        device: where to train, as in "cpu" or "cuda"; the model is brought back afterwards.

    Raises:
        InputError: a value cannot be used.
        UnknownNameError: there is no such optimizer.
    """

    epochs: int = 150
    batch_size: int = 10
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    shuffle: bool = True
    seed: int = 0
    patience: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMISERS:
            raise UnknownNameError("optimizer", self.optimizer, OPTIMISERS)
        check_truth("shuffle", self.shuffle)
        clean = {
            "epochs": check_whole("epochs", self.epochs, 1),
            "batch_size": check_whole("batch_size", self.batch_size, 1),
            "learning_rate": check_number("learning_rate", self.learning_rate, 0, LARGEST_RATE),
            "momentum": check_number("momentum", self.momentum, 0, 1, low_allowed=True),
            "seed": check_seed(self.seed),
            "patience": None if self.patience is None else check_whole("patience", self.patience, 1),
            "device": _check_device(self.device),
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)


def _check_device(device: object) -> str:
    """The name of a device that PyTorch knows; whether this machine has it is seen when training starts."""
    message = f"device must be a name such as 'cpu' or 'cuda:0', but {device!r} came"
    if not isinstance(device, (str, torch.device)):
        raise InputError(message)
    try:
        return str(torch.device(device))
    except RuntimeError as error:
        raise InputError(message) from error
