"""Mean squared error and cross-entropy over stacked outputs, and the slope that the backward pass starts from."""

from __future__ import annotations

from typing import Any

import numpy as np

from whyactivate.datasets import Task
from whyactivate.training.stacked.activate import Array


class SquaredError:
    """The mean over rows of (output − y)²; its slope in an output is 2(output − y)/rows."""

    def start_backward(self, output: Array, wanted: Array, delta: Array) -> None:
        """Writes the slope of the loss in each output into `delta`; all of shape (M, 1, rows)."""
        np.subtract(output, wanted, out=delta)
        np.multiply(delta, 2.0 / output.shape[2], out=delta)

    def total(self, output: Array, wanted: Array) -> tuple[Array, Array]:
        """The sum over rows for each member, and no right answers to count."""
        error = output - wanted
        return _sum(np.multiply(error, error, out=error)), np.zeros(len(output))


class CrossEntropy:
    """The mean over rows of −log softmax(output) at the right class; its slope is (softmax − onehot)/rows."""

    def start_backward(self, output: Array, wanted: Array, delta: Array) -> None:
        """Writes the slope of the loss in each output into `delta`; all of shape (M, classes, rows)."""
        np.subtract(output, output.max(axis=1, keepdims=True), out=delta)
        np.exp(delta, out=delta)
        np.divide(delta, delta.sum(axis=1, keepdims=True), out=delta)
        np.subtract(delta, wanted, out=delta)
        np.multiply(delta, 1.0 / output.shape[2], out=delta)

    def total(self, output: Array, wanted: Array) -> tuple[Array, Array]:
        """The sum over rows for each member, and how many rows have their largest output at the right class."""
        top = output.max(axis=1, keepdims=True)
        logs = np.log(np.exp(output - top).sum(axis=1, keepdims=True)) + top
        loss = _sum(logs - (output * wanted).sum(axis=1, keepdims=True))
        return loss, (output.argmax(axis=1) == wanted.argmax(axis=1)).sum(axis=1).astype(np.float64)


def _sum(values: Array) -> Array:
    """(M, 1, rows) to (M,): in float64, and for each member in the same order whatever their number."""
    return values[:, 0].astype(np.float64).sum(axis=1)


def loss_of(task: Task) -> SquaredError | CrossEntropy:
    """The loss that `train` uses for the task."""
    return SquaredError() if task is Task.REGRESSION else CrossEntropy()


def targets(y: Any, task: Task, classes: int, dtype: np.dtype[Any]) -> Array:
    """(rows, 1) numbers, or (rows, classes) with a 1 at the right class."""
    numbers = np.asarray(y)
    return numbers.astype(dtype) if task is Task.REGRESSION else np.eye(classes, dtype=dtype)[numbers]
