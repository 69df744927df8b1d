"""`History`: what training did."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import Any, Literal

from whyactivate.datasets import Task
from whyactivate.training.config import TrainConfig

Stopped = Literal["finished", "early", "interrupted", "diverged"]


@dataclass(frozen=True, slots=True)
class History:
    """What training did, epoch by epoch.

    Index e of a sequence is the state after e epochs, so index 0 is before any training. Each loss and
    accuracy is over the whole training or test part, in evaluation mode.

    Attributes:
        config: how it was trained.
        task: what was predicted.
        train_loss: mean squared error, or cross-entropy in nats, over the training part.
        test_loss: the same over the test part.
        train_accuracy: share of training rows classified correctly; empty for regression.
        test_accuracy: the same over the test part.
        last_batch_loss: what the article prints: the loss of the last mini-batch of each epoch, before
            its step. One per epoch, so index 0 is the first epoch.
        stopped: "finished", "early" (out of patience), "interrupted" (Ctrl-C) or "diverged" (the history
            that a `DivergedError` carries).
    """

    config: TrainConfig
    task: Task
    train_loss: tuple[float, ...]
    test_loss: tuple[float, ...]
    train_accuracy: tuple[float, ...] = ()
    test_accuracy: tuple[float, ...] = ()
    last_batch_loss: tuple[float, ...] = ()
    stopped: Stopped = "finished"

    @property
    def epochs(self) -> int:
        """How many epochs were trained to their end."""
        return len(self.train_loss) - 1

    @property
    def best_epoch(self) -> int:
        """The first epoch with the lowest test loss; 0 is before training."""
        return min(range(len(self.test_loss)), key=self.test_loss.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        """Everything, in plain values that `json` can write."""
        rest = {"task": str(self.task), "epochs": self.epochs, "best_epoch": self.best_epoch}
        return asdict(self) | rest

    def __repr__(self) -> str:
        return f"<History: {self._title()}>"

    def __str__(self) -> str:
        return "\n".join([self._title(), *(f"  {name:<15}{a:.4g} → {b:.4g}" for name, a, b in self._rows())])

    def _title(self) -> str:
        ends = {
            "finished": "",
            "early": ", stopped early",
            "interrupted": ", interrupted",
            "diverged": ", then diverged",
        }
        plural = "" if self.epochs == 1 else "s"
        return f"{self.epochs} epoch{plural} of {self.config.optimizer}{ends[self.stopped]}"

    def _rows(self) -> list[tuple[str, float, float]]:
        """Each quantity before and after training."""
        named = {
            "train loss": self.train_loss,
            "test loss": self.test_loss,
            "train accuracy": self.train_accuracy,
            "test accuracy": self.test_accuracy,
        }
        return [(name, values[0], values[-1]) for name, values in named.items() if values]

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{a:.4g}</td><td>{b:.4g}</td></tr>" for name, a, b in self._rows())
        head = "<tr><th></th><th>before</th><th>after</th></tr>"
        return f"<table><caption>{html.escape(self._title())}</caption>{head}{rows}</table>"
