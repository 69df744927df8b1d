"""`train`: the article's loop, with the loss over whole parts of the data after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from whyactivate.datasets import Dataset
from whyactivate.errors import DivergedError, InputError
from whyactivate.training.by_hand import ByHand
from whyactivate.training.checks import check_arguments, check_device, check_fit
from whyactivate.training.config import TrainConfig
from whyactivate.training.history import History, Stopped
from whyactivate.training.learners import ByAutograd, Learner
from whyactivate.training.plain import read_plain
from whyactivate.training.surroundings import TINY_STEP, surroundings_kept

Metrics = Mapping[str, float]
Callback = Callable[[int, int, Metrics], object]


def train(
    model: nn.Module, data: Dataset, config: TrainConfig | None = None, *, callback: Callback | None = None
) -> History:
    """Trains `model` in place and returns the losses after each epoch.

    Mean squared error for regression, cross-entropy for classification. A `SimpleModel` or `MLP` as this library
    builds it goes through the stacked engine of `compare`, on one thread; the slopes of any other model are left to
    PyTorch's autograd. Apart from the weights (and buffers such as BatchNorm's) nothing changes: the mode of every
    submodule, the gradients, the global random state, the device and the number of threads are afterwards what they
    were.

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
        rows = data.train_x[:2].to(device, next(p.dtype for p in model.parameters() if p.requires_grad))
        check_fit(model, data, rows)
        plain = read_plain(model)
        learner = ByAutograd(model, data, config, device) if plain is None else ByHand(plain, data, config)
        return _Run(learner, data, config).train(callback)


@dataclass(frozen=True, slots=True)
class _Epoch:
    """What is known after an epoch."""

    metrics: dict[str, float]
    last_batch_loss: float


class _Run:
    """One call of `train`."""

    def __init__(self, learner: Learner, data: Dataset, config: TrainConfig) -> None:
        self.learner, self.data, self.config = learner, data, config
        self.epochs: list[_Epoch] = []
        self.kept: tuple[int, list[Tensor]] = (0, [])

    def train(self, callback: Callback | None) -> History:
        config = self.config
        self.close_epoch(math.nan)
        stopped: Stopped = "finished"
        try:
            for epoch in range(1, config.epochs + 1):
                self.close_epoch(self.learner.train_epoch())
                if callback is not None:
                    callback(epoch, config.epochs, dict(self.epochs[-1].metrics))
                    self.learner.look_again()
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

    def close_epoch(self, last_batch_loss: float) -> None:
        """Measures the model, and keeps what it needs to come back to this point."""
        metrics = self.learner.measure()
        self.check_finite(metrics)
        values = self.learner.state()
        self.epochs.append(_Epoch(metrics, last_batch_loss))
        # One assignment: Ctrl-C finds either the old values with the old count, or the new with the new.
        self.kept = (len(self.epochs), values)

    def check_finite(self, metrics: Metrics) -> None:
        """Raises where a loss or a weight is not finite."""
        bad = [
            f"the {name.replace('_', ' ')} is {value}" for name, value in metrics.items() if not math.isfinite(value)
        ]
        if not bad and self.learner.weights_are_finite():
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

    def go_back(self) -> None:
        """Puts the model back to the last whole epoch."""
        count, values = self.kept
        del self.epochs[count:]
        self.learner.go_back(values)

    def history(self, stopped: Stopped) -> History:
        """What is known so far."""
        columns = {name: tuple(epoch.metrics[name] for epoch in self.epochs) for name in self.epochs[0].metrics}
        last = tuple(epoch.last_batch_loss for epoch in self.epochs[1:])
        return History(self.config, self.data.task, **columns, last_batch_loss=last, stopped=stopped)
