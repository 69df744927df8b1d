"""Adam and SGD with momentum on all members at once: a few operations on one array, whatever their number.

The same rules as in `whyactivate.training.optimisers`, with constants taken out of the loops: Adam's running
means are kept without their factors 1 − β, and its two corrections go into the rate and into epsilon.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from whyactivate.training.stacked.activate import Array

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class StackedOptimiser(Protocol):
    """Moves the weights of all members along their slopes."""

    def step(self) -> None:
        """Moves every weight once."""
        ...

    def keep(self, rows: Array, flat: Array, slope: Array) -> StackedOptimiser:
        """The same, for the members in `rows` only, whose weights and slopes now lie elsewhere."""
        ...


class StackedAdam:
    """Adam (Kingma & Ba 2015): with m ← β₁m + g and s ← β₂s + g², a step of −c·m / (√s + ε′).

    Args:
        flat: (M, parameters) weights.
        slope: the same shape.
        rate: (M, 1) learning rates in float64, or one for all.
    """

    def __init__(self, flat: Array, slope: Array, rate: Array | float) -> None:
        self.flat, self.slope, self.rate, self.steps = flat, slope, rate, 0
        self.mean, self.square, self.room = (np.zeros_like(flat) for _ in range(3))

    def step(self) -> None:
        """Moves every weight once."""
        self.steps += 1
        spread = math.sqrt((1 - BETA2**self.steps) / (1 - BETA2))
        rate = _as(self.flat, self.rate * ((1 - BETA1) / (1 - BETA1**self.steps) * spread))
        slope, mean, square, room = self.slope, self.mean, self.square, self.room
        np.multiply(mean, BETA1, out=mean)
        np.add(mean, slope, out=mean)
        np.multiply(slope, slope, out=room)
        np.multiply(square, BETA2, out=square)
        np.add(square, room, out=square)
        np.sqrt(square, out=room)
        np.add(room, EPSILON * spread, out=room)
        np.divide(mean, room, out=room)
        np.multiply(room, rate, out=room)
        np.subtract(self.flat, room, out=self.flat)

    def keep(self, rows: Array, flat: Array, slope: Array) -> StackedAdam:
        """The same, for the members in `rows` only."""
        fewer = StackedAdam(flat, slope, self.rate[rows] if isinstance(self.rate, np.ndarray) else self.rate)
        fewer.steps, fewer.mean, fewer.square = self.steps, self.mean[rows], self.square[rows]
        return fewer


class StackedSGD:
    """Gradient descent with momentum as PyTorch defines it: v ← μv + g, then a step of −ηv."""

    def __init__(self, flat: Array, slope: Array, rate: Array | float, momentum: float) -> None:
        self.flat, self.slope, self.rate, self.momentum = flat, slope, rate, momentum
        self.velocity, self.room = np.zeros_like(flat), np.zeros_like(flat)

    def step(self) -> None:
        """Moves every weight once."""
        np.multiply(self.velocity, self.momentum, out=self.velocity)
        np.add(self.velocity, self.slope, out=self.velocity)
        np.multiply(self.velocity, _as(self.flat, self.rate), out=self.room)
        np.subtract(self.flat, self.room, out=self.flat)

    def keep(self, rows: Array, flat: Array, slope: Array) -> StackedSGD:
        """The same, for the members in `rows` only."""
        rate = self.rate[rows] if isinstance(self.rate, np.ndarray) else self.rate
        fewer = StackedSGD(flat, slope, rate, self.momentum)
        fewer.velocity = self.velocity[rows]
        return fewer


def _as(flat: Array, rate: Array | float) -> Array | float:
    """Rates rounded once to the number type of the weights, as NumPy rounds a plain float."""
    return rate.astype(flat.dtype) if isinstance(rate, np.ndarray) else rate


def make_stacked(name: str, flat: Array, slope: Array, rates: Array, momentum: float) -> StackedOptimiser:
    """The optimiser of that name; `rates` holds one learning rate per member."""
    alike = bool((rates == rates[0]).all())
    rate: Array | float = float(rates[0]) if alike else rates[:, None]
    return StackedAdam(flat, slope, rate) if name == "adam" else StackedSGD(flat, slope, rate, momentum)
