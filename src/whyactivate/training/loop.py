"""`train`: the article's loop, with the loss over whole parts of the data after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.datasets import Dataset, Task
from whyactivate.errors import DivergedError, InputError
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
    model holds the weights of that epoch.

    Args:
        model: takes (rows, data.features), gives (rows, data.outputs).
        data: what to train and test on.
        config: how; `TrainConfig()` where None.
        callback: called after each epoch with (epoch, epochs, metrics); the keys of metrics are
            train_loss, test_loss and, for classes, train_accuracy and test_accuracy.

    Raises:
        InputError: model and data do not fit, or this machine lacks the device; nothing was trained.
        DivergedError: a loss or a weight is no longer finite; `.history` goes up to the last epoch at
            which they were, and the model holds the weights of that epoch.
    """
    config = TrainConfig() if config is None else config
    _check_kinds(model, data, config)
    device = _check_device(config.device)
    multiply_adds = config.batch_size * sum(parameter.numel() for parameter in model.parameters())
    with surroundings_kept(model, device, config.seed, one_thread=multiply_adds < TINY_STEP):
        run = _Run(model, data, config, device)
        run.check_fit()
        return run.train(callback)


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
        self.train_x, self.test_x = (x.to(device, dtype) for x in (data.train_x, data.test_x))
        self.numbers = data.task is Task.REGRESSION
        to = (device, dtype) if self.numbers else (device,)
        self.train_y, self.test_y = (y.to(*to) for y in (data.train_y, data.test_y))
        self.loss = F.mse_loss if self.numbers else F.cross_entropy
        self.order = torch.Generator().manual_seed(config.seed)
        self.state = [*model.parameters(), *model.buffers()]
        self.epochs: list[_Epoch] = []
        self.kept: tuple[int, list[Tensor]] = (0, [])

    def check_fit(self) -> None:
        """Raises InputError unless the model takes these rows and gives what the task needs."""
        rows = self.train_x[:2]
        self.model.eval()
        with torch.no_grad():
            try:
                result = self.model(rows)
            except Exception as error:
                raise InputError(f"the model does not take x of shape (rows, {self.data.features}){self._hint()}: {error}") from error
        wanted = (len(rows), self.data.outputs)
        if not isinstance(result, Tensor) or tuple(result.shape) != wanted:
            came = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            need = f"{self.data.task} with {self.data.outputs} output{'' if self.data.outputs == 1 else 's'}"
            raise InputError(f"{self.data.name} needs {need}: from {wanted[0]} rows shape {wanted}, but {came} came")

    def _hint(self) -> str:
        first = next((module for module in self.model.modules() if isinstance(module, nn.Linear)), None)
        if first is None or first.in_features == self.data.features:
            return ""
        return f" (its first Linear takes {first.in_features} features, {self.data.name} has {self.data.features})"

    def train(self, callback: Callback | None) -> History:
        config = self.config
        optimiser = make_optimiser(config.optimizer, list(self.model.parameters()), config.learning_rate, config.momentum)
        self.close_epoch(math.nan)
        stopped: Stopped = "finished"
        try:
            for epoch in range(1, config.epochs + 1):
                self.model.train()
                last = torch.tensor(math.nan)
                for x, y in self.batches():
                    optimiser.clear()
                    last = self.loss(self.model(x), y)
                    last.backward()
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
        return self.history(stopped)

    def batches(self) -> zip[tuple[Tensor, Tensor]]:
        x, y = self.train_x, self.train_y
        if self.config.shuffle:
            order = torch.randperm(len(x), generator=self.order).to(x.device)
            x, y = x[order], y[order]
        return zip(x.split(self.config.batch_size), y.split(self.config.batch_size), strict=True)

    def close_epoch(self, last_batch_loss: float) -> None:
        """Measures the model, and keeps what it needs to come back to this point."""
        self.model.eval()
        metrics = self.measure("train", self.train_x, self.train_y) | self.measure("test", self.test_x, self.test_y)
        finite = all(math.isfinite(value) for value in metrics.values())
        if not finite or not all(bool(torch.isfinite(p).all()) for p in self.model.parameters()):
            self.give_up(metrics)
        self.epochs.append(_Epoch(metrics, last_batch_loss))
        # One assignment: Ctrl-C finds either the old state with the old count, or the new with the new.
        self.kept = (len(self.epochs), [tensor.detach().clone() for tensor in self.state])

    def measure(self, part: str, x: Tensor, y: Tensor) -> dict[str, float]:
        """Loss (and accuracy) over a whole part."""
        total, right = 0.0, 0.0
        with torch.no_grad():
            for rows, wanted in zip(x.split(_ROWS_AT_ONCE), y.split(_ROWS_AT_ONCE), strict=True):
                result = self.model(rows)
                total += self.loss(result, wanted).item() * len(rows)
                if not self.numbers:
                    right += (result.argmax(dim=1) == wanted).sum().item()
        accuracy = {} if self.numbers else {f"{part}_accuracy": right / len(x)}
        return {f"{part}_loss": total / len(x)} | accuracy

    def give_up(self, metrics: dict[str, float]) -> None:
        loss = metrics["train_loss"]
        if not self.epochs:
            raise InputError(f"before any training the loss is {loss}: the model's weights or outputs are not finite")
        epoch = len(self.epochs)
        self.go_back()
        raise DivergedError(
            f"training diverged in epoch {epoch}: the training loss went from {self.epochs[-1].metrics['train_loss']:.4g} "
            f"to {loss:.4g}. Lower the learning rate ({self.config.learning_rate:g}); "
            f"the model and .history are back at the end of epoch {epoch - 1}.",
            self.history("finished"),
        )

    def out_of_patience(self) -> bool:
        if self.config.patience is None:
            return False
        losses = [epoch.metrics["test_loss"] for epoch in self.epochs]
        return len(losses) - 1 - losses.index(min(losses)) >= self.config.patience

    def go_back(self) -> None:
        """Puts the weights and buffers of the last whole epoch back."""
        count, values = self.kept
        del self.epochs[count:]
        with torch.no_grad():
            for tensor, value in zip(self.state, values, strict=True):
                tensor.copy_(value)

    def history(self, stopped: Stopped) -> History:
        columns = {
            name: tuple(epoch.metrics[name] for epoch in self.epochs) for name in self.epochs[0].metrics
        }
        last = tuple(epoch.last_batch_loss for epoch in self.epochs[1:])
        return History(self.config, self.data.task, **columns, last_batch_loss=last, stopped=stopped)


def _check_kinds(model: object, data: object, config: object) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be an nn.Module, but {type(model).__name__} came")
    if not isinstance(data, Dataset):
        raise InputError(f"data must be a Dataset (load_dataset, Dataset.from_arrays), but {type(data).__name__} came")
    if not isinstance(config, TrainConfig):
        raise InputError(f"config must be a TrainConfig, but {type(config).__name__} came")
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if any(isinstance(parameter, nn.parameter.UninitializedTensorMixin) for parameter in model.parameters()):
        raise InputError("the model has lazy layers without weights yet: run it once on a batch first")
    if not trainable:
        raise InputError("the model has no parameter that requires a gradient, so there is nothing to train")
    dtypes = {parameter.dtype for parameter in trainable}
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        found = ", ".join(sorted(str(dtype) for dtype in dtypes))
        raise InputError(f"the model's weights must all be float32 or all float64 to be trained; {found} came")


def _check_device(name: str) -> torch.device:
    device = torch.device(name)
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"this machine cannot train on device {name!r}: {str(error).splitlines()[0]}") from error
    return device
