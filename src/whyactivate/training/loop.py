"""`train`: the article's loop, with the loss over whole parts of the data after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.datasets import Dataset, Task
from whyactivate.errors import DivergedError, InputError
from whyactivate.training.checks import check_arguments, check_device, check_fit
from whyactivate.training.config import TrainConfig
from whyactivate.training.history import History, Stopped
from whyactivate.training.optimisers import make_optimiser
from whyactivate.training.surroundings import TINY_STEP, surroundings_kept

Metrics = Mapping[str, float]
Callback = Callable[[int, int, Metrics], object]

_ROWS_AT_ONCE = 8192


def train(
    model: nn.Module, data: Dataset, config: TrainConfig | None = None, *, callback: Callback | None = None
) -> History:
    """Trains `model` in place and returns the losses after each epoch.

    Mean squared error for regression, cross-entropy for classification. Apart from the weights (and
    buffers such as BatchNorm's) nothing changes: the mode of every submodule, the gradients, the global
    random state, the device and the number of threads are afterwards what they were.

    On Ctrl-C the history up to the last whole epoch is returned, with `stopped="interrupted"`, and the
    model holds the weights of that epoch; so it does after any error in the middle of an epoch.

    Args:
        model: takes (rows, data.features), gives (rows, data.outputs); float32 or float64 weights.
        data: what to train and test on.
        config: how; `TrainConfig()` where None.
        callback: called after each epoch with (epoch, epochs, metrics); the keys of metrics are
            train_loss, test_loss and, for classes, train_accuracy and test_accuracy.

    Raises:
        InputError: model and data do not fit, or this machine lacks the device.
        DivergedError: a loss or a weight is no longer finite; `.history` goes up to the last epoch at
            which they were, and the model holds the weights of that epoch.
    """
    config = TrainConfig() if config is None else config
    check_arguments(model, data, config, callback)
    device = check_device(config.device)
    multiply_adds = config.batch_size * sum(parameter.numel() for parameter in model.parameters())
    with surroundings_kept(model, device, config.seed, one_thread=multiply_adds < TINY_STEP):
        return _Run(model, data, config, device).train(callback)


@dataclass(frozen=True, slots=True)
class _Epoch:
    """What is known after an epoch."""

    metrics: dict[str, float]
    last_batch_loss: float


class _Run:
    """One call of `train`."""

    def __init__(self, model: nn.Module, data: Dataset, config: TrainConfig, device: torch.device) -> None:
        self.model, self.data, self.config = model, data, config
        dtype = next(parameter.dtype for parameter in model.parameters() if parameter.requires_grad)
        self.numbers = data.task is Task.REGRESSION
        self.train_x, self.test_x = (x.to(device, dtype) for x in (data.train_x, data.test_x))
        self.train_y, self.test_y = (
            y.to(device, dtype if self.numbers else torch.int64) for y in (data.train_y, data.test_y)
        )
        self.loss = F.mse_loss if self.numbers else F.cross_entropy
        self.order = torch.Generator().manual_seed(config.seed)
        self.epochs: list[_Epoch] = []
        self.kept: tuple[int, list[Tensor]] = (0, [])

    def train(self, callback: Callback | None) -> History:
        config = self.config
        check_fit(self.model, self.data, self.train_x[:2])
        optimiser = make_optimiser(
            config.optimizer, list(self.model.parameters()), config.learning_rate, config.momentum
        )
        self.close_epoch(math.nan)
        stopped: Stopped = "finished"
        try:
            for epoch in range(1, config.epochs + 1):
                self.model.train()
                last = torch.tensor(math.nan)
                for x, y in self.batches():
                    optimiser.clear()
                    last = self.backward(x, y)
                    optimiser.step()
                self.close_epoch(last.item())
                if callback is not None:
                    callback(epoch, config.epochs, dict(self.epochs[-1].metrics))
                if self.out_of_patience():
                    stopped = "early"
                    break
        except KeyboardInterrupt:
            self.go_back()
            stopped = "interrupted"
        except BaseException:
            self.go_back()
            raise
        return self.history(stopped)

    def batches(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The rows of one epoch."""
        x, y = self.train_x, self.train_y
        if self.config.shuffle:
            order = torch.randperm(len(x), generator=self.order).to(x.device)
            x, y = x[order], y[order]
        return zip(x.split(self.config.batch_size), y.split(self.config.batch_size), strict=True)

    def backward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch in training mode; its gradients are then in place."""
        try:
            loss = self.loss(self.model(x), y)
            loss.backward()
        except (ValueError, RuntimeError, TypeError) as error:
            raise InputError(f"the model cannot be trained on a batch of {len(x)} rows: {error}") from error
        return loss

    def close_epoch(self, last_batch_loss: float) -> None:
        """Measures the model, and keeps what it needs to come back to this point."""
        self.model.eval()
        metrics = self.measure("train", self.train_x, self.train_y) | self.measure("test", self.test_x, self.test_y)
        self.check_finite(metrics)
        values = [tensor.detach().clone() for tensor in self.state()]
        self.epochs.append(_Epoch(metrics, last_batch_loss))
        # One assignment: Ctrl-C finds either the old values with the old count, or the new with the new.
        self.kept = (len(self.epochs), values)

    def measure(self, part: str, x: Tensor, y: Tensor) -> dict[str, float]:
        """Loss (and accuracy) over a whole part."""
        total, right = 0.0, 0
        with torch.no_grad():
            for rows, wanted in zip(x.split(_ROWS_AT_ONCE), y.split(_ROWS_AT_ONCE), strict=True):
                result = self.model(rows)
                total += self.loss(result, wanted).item() * len(rows)
                if not self.numbers:
                    right += int((result.argmax(dim=1) == wanted).sum())
        accuracy = {} if self.numbers else {f"{part}_accuracy": right / len(x)}
        return {f"{part}_loss": total / len(x)} | accuracy

    def check_finite(self, metrics: Metrics) -> None:
        """Raises where a loss or a weight is not finite."""
        bad = [
            f"the {name.replace('_', ' ')} is {value}" for name, value in metrics.items() if not math.isfinite(value)
        ]
        if not bad and all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            return
        what = bad[0] if bad else "a weight is not finite"
        if not self.epochs:
            raise InputError(f"before any training {what}: look at the model's initial weights and at the data")
        done = len(self.epochs) - 1
        raise DivergedError(
            f"training diverged: after epoch {done + 1}, {what}; it was {self.epochs[-1].metrics['train_loss']:.4g} on "
            f"the training part after epoch {done}. Try a learning rate below {self.config.learning_rate:g}. The model "
            f"and .history are back at the end of epoch {done}.",
            self.history("diverged"),
        )

    def out_of_patience(self) -> bool:
        """Whether the lowest test loss is too long ago."""
        if self.config.patience is None:
            return False
        losses = [epoch.metrics["test_loss"] for epoch in self.epochs]
        return len(losses) - 1 - losses.index(min(losses)) >= self.config.patience

    def state(self) -> list[Tensor]:
        """Everything that training may change."""
        return [*self.model.parameters(), *self.model.buffers()]

    def go_back(self) -> None:
        """Puts the weights and buffers of the last whole epoch back."""
        count, values = self.kept
        del self.epochs[count:]
        with torch.no_grad():
            for tensor, value in zip(self.state(), values, strict=True):
                tensor.copy_(value)

    def history(self, stopped: Stopped) -> History:
        """What is known so far."""
        columns = {name: tuple(epoch.metrics[name] for epoch in self.epochs) for name in self.epochs[0].metrics}
        last = tuple(epoch.last_batch_loss for epoch in self.epochs[1:])
        return History(self.config, self.data.task, **columns, last_batch_loss=last, stopped=stopped)
