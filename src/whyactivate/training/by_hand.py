"""`ByHand`: a plain perceptron as a stack of one, so that alone and among hundreds it comes to the same weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from whyactivate.datasets import Dataset
from whyactivate.training.config import TrainConfig
from whyactivate.training.learners import cannot_train
from whyactivate.training.plain import Plain
from whyactivate.training.stacked.calm import CALM
from whyactivate.training.stacked.engine import Engine
from whyactivate.training.stacked.weights import put_row, row_of


class ByHand:
    """Trains a plain perceptron with the hand-written backward pass; a `Learner`."""

    def __init__(self, plain: Plain, data: Dataset, config: TrainConfig) -> None:
        self.layers = plain.layers
        widths = (plain.layers[0].in_features, *(layer.out_features for layer in plain.layers))
        self.batch, self.classes = min(config.batch_size, len(data.train_x)), bool(data.classes)
        self.engine = Engine(
            widths, config, [plain.activation], [config.seed], [config.learning_rate], [data], [0],
            row_of(self.layers)[None],
        )  # fmt: skip
        self._show_slopes()

    def _show_slopes(self) -> None:
        """Lets whoever looks between epochs see the last gradients where PyTorch has them."""
        for layer, slopes in zip(self.layers, self.engine.stack.slopes, strict=True):
            found = torch.from_numpy(slopes[0])
            layer.weight.grad, layer.bias.grad = found[:, :-1], found[:, -1]

    def train_epoch(self) -> float:
        """Trains one epoch; returns the loss of the last mini-batch before its step."""
        with CALM.kept():
            try:
                self.engine.train_epoch()
            except (ValueError, RuntimeError, TypeError) as error:
                raise cannot_train(self.batch, error) from error
            last = float(self.engine.last_batch_loss()[0])
        put_row(self.layers, self.engine.weights[0])
        return last

    def measure(self) -> dict[str, float]:
        """Loss (and accuracy) over the whole training and test parts."""
        found: dict[str, float] = {}
        with CALM.kept():
            for name, part in (("train", self.engine.train_part), ("test", self.engine.test_part)):
                loss, right = self.engine.measure(part)
                found[f"{name}_loss"] = float(loss[0])
                if self.classes:
                    found[f"{name}_accuracy"] = float(right[0])
        return found

    def weights_are_finite(self) -> bool:
        """Whether every weight is."""
        return bool(self.engine.are_finite()[0])

    def state(self) -> list[Tensor]:
        """A copy of all weights."""
        return [torch.from_numpy(self.engine.weights[0].copy())]

    def go_back(self, state: list[Tensor]) -> None:
        """Gives the model its weights of before."""
        put_row(self.layers, state[0].numpy())

    def look_again(self) -> None:
        """Takes over what somebody did to the model's weights between epochs."""
        np.copyto(self.engine.weights[0], row_of(self.layers))
