"""Training: the settings, the article's loop, and the history that it leaves."""

from __future__ import annotations

from whyactivate.training.config import TrainConfig
from whyactivate.training.history import History
from whyactivate.training.loop import train

__all__ = ["History", "TrainConfig", "train"]
