"""Data to train on: the article's noise, toy sets, real sets, and your own arrays and files."""

from __future__ import annotations

from whyactivate.datasets.dataset import Dataset, Task
from whyactivate.datasets.load import DATASETS, load_dataset

__all__ = ["DATASETS", "Dataset", "Task", "load_dataset"]
