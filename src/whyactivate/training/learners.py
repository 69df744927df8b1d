"""`Learner`: what `train` needs from whoever takes the steps; autograd can, for any model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.datasets import Dataset, Task
from whyactivate.errors import InputError
from whyactivate.training.config import TrainConfig
from whyactivate.training.optimisers import make_optimiser

_ROWS_AT_ONCE = 8192


class Learner(Protocol):
    """Takes the steps of an epoch and measures the model. Between epochs the model holds the weights."""

    def train_epoch(self) -> float:
        """Trains one epoch; returns the loss of the last mini-batch before its step."""
        ...

    def measure(self) -> dict[str, float]:
        """Loss (and accuracy) over the whole training and test parts."""
        ...

    def weights_are_finite(self) -> bool:
        """Whether every weight is."""
        ...

    def state(self) -> list[Tensor]:
        """Copies of everything that training may change."""
        ...

    def go_back(self, state: list[Tensor]) -> None:
        """Gives the model the state of before."""
        ...

    def look_again(self) -> None:
        """Takes over what somebody did to the model's weights between epochs."""
        ...


class ByAutograd:
    """Runs the model's own forward, and lets PyTorch find the slopes."""

    def __init__(self, model: nn.Module, data: Dataset, config: TrainConfig, device: torch.device) -> None:
        self.model, self.config = model, config
        dtype = next(parameter.dtype for parameter in model.parameters() if parameter.requires_grad)
        self.numbers = data.task is Task.REGRESSION
        self.train_x, self.test_x = (x.to(device, dtype) for x in (data.train_x, data.test_x))
        self.train_y, self.test_y = (
            y.to(device, dtype if self.numbers else torch.int64) for y in (data.train_y, data.test_y)
        )
        self.loss = F.mse_loss if self.numbers else F.cross_entropy
        self.order = torch.Generator().manual_seed(config.seed)
        self.optimiser = make_optimiser(
            config.optimizer, list(model.parameters()), config.learning_rate, config.momentum
        )

    def train_epoch(self) -> float:
        """Trains one epoch; returns the loss of the last mini-batch before its step."""
        self.model.train()
        last = torch.tensor(math.nan)
        for x, y in self._batches():
            self.optimiser.clear()
            last = self._backward(x, y)
            self.optimiser.step()
        return last.item()

    def _batches(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The rows of one epoch."""
        x, y = self.train_x, self.train_y
        if self.config.shuffle:
            order = torch.randperm(len(x), generator=self.order).to(x.device)
            x, y = x[order], y[order]
        return zip(x.split(self.config.batch_size), y.split(self.config.batch_size), strict=True)

    def _backward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch in training mode; its gradients are then in place."""
        try:
            loss = self.loss(self.model(x), y)
            loss.backward()
        except (ValueError, RuntimeError, TypeError) as error:
            raise cannot_train(len(x), error) from error
        return loss

    def measure(self) -> dict[str, float]:
        """Loss (and accuracy) over the whole training and test parts."""
        self.model.eval()
        return self._measure("train", self.train_x, self.train_y) | self._measure("test", self.test_x, self.test_y)

    def _measure(self, part: str, x: Tensor, y: Tensor) -> dict[str, float]:
        total, right = 0.0, 0
        with torch.no_grad():
            for rows, wanted in zip(x.split(_ROWS_AT_ONCE), y.split(_ROWS_AT_ONCE), strict=True):
                result = self.model(rows)
                total += self.loss(result, wanted).item() * len(rows)
                if not self.numbers:
                    right += int((result.argmax(dim=1) == wanted).sum())
        accuracy = {} if self.numbers else {f"{part}_accuracy": right / len(x)}
        return {f"{part}_loss": total / len(x)} | accuracy

    def weights_are_finite(self) -> bool:
        """Whether every weight is."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())

    def state(self) -> list[Tensor]:
        """Copies of all weights and buffers."""
        return [tensor.detach().clone() for tensor in self._tensors()]

    def go_back(self, state: list[Tensor]) -> None:
        """Gives the model its weights and buffers of before."""
        with torch.no_grad():
            for tensor, value in zip(self._tensors(), state, strict=True):
                tensor.copy_(value)

    def _tensors(self) -> list[Tensor]:
        return [*self.model.parameters(), *self.model.buffers()]

    def look_again(self) -> None:
        """Nothing to do: the model's own weights are trained."""


def cannot_train(rows: int, error: Exception) -> InputError:
    """What to say where a batch fails."""
    return InputError(f"the model cannot be trained on a batch of {rows} rows: {error}")
