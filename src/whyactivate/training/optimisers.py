"""Adam and SGD with momentum, equal to PyTorch's own to the last bits of a float.

They are written out because `torch.optim` costs a learner more time than the training itself: its
first optimizer imports PyTorch's compiler (seconds), and on networks this small each of its steps takes
longer than the forward pass. Here all gradients lie in one flat tensor, so that a step is a few operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

OPTIMISERS = ("adam", "sgd")


class Optimiser(Protocol):
    """Moves parameters along their gradients."""

    def clear(self) -> None:
        """Sets every gradient to 0."""
        ...

    def step(self) -> None:
        """Moves every parameter once."""
        ...


class FlatGradients:
    """One flat tensor in which the `.grad` of each parameter is a view."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        first = self.parameters[0]
        size = sum(parameter.numel() for parameter in self.parameters)
        self.gradient = torch.zeros(size, dtype=first.dtype, device=first.device)
        self.change = torch.zeros_like(self.gradient)
        self.changes = self._views(self.change)
        for parameter, view in zip(self.parameters, self._views(self.gradient), strict=True):
            parameter.grad = view

    def clear(self) -> None:
        """Sets every gradient to 0."""
        self.gradient.zero_()

    def apply(self, rate: float) -> None:
        """Subtracts `rate` times the change from the parameters."""
        with torch.no_grad():
            for parameter, change in zip(self.parameters, self.changes, strict=True):
                parameter.sub_(change, alpha=rate)

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([parameter.numel() for parameter in self.parameters])
        return [part.view(parameter.shape) for part, parameter in zip(parts, self.parameters, strict=True)]


class Adam:
    """Adam (Kingma & Ba 2015), with PyTorch's defaults: betas (0.9, 0.999), epsilon 1e-8."""

    def __init__(self, flat: FlatGradients, learning_rate: float) -> None:
        self.flat, self.learning_rate = flat, learning_rate
        self.mean = torch.zeros_like(flat.gradient)
        self.square = torch.zeros_like(flat.gradient)
        self.steps = 0

    def clear(self) -> None:
        """Sets every gradient to 0."""
        self.flat.clear()

    def step(self) -> None:
        """Moves every parameter once."""
        self.steps += 1
        gradient = self.flat.gradient
        self.mean.lerp_(gradient, 1 - 0.9)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
        spread = torch.sqrt(self.square).div_(math.sqrt(1 - 0.999**self.steps)).add_(1e-8)
        torch.div(self.mean, spread, out=self.flat.change)
        self.flat.apply(self.learning_rate / (1 - 0.9**self.steps))


class SGD:
    """Gradient descent with momentum as PyTorch defines it: v ← μv + g, then a step of −ηv (no dampening)."""

    def __init__(self, flat: FlatGradients, learning_rate: float, momentum: float) -> None:
        self.flat, self.learning_rate, self.momentum = flat, learning_rate, momentum

    def clear(self) -> None:
        """Sets every gradient to 0."""
        self.flat.clear()

    def step(self) -> None:
        """Moves every parameter once."""
        self.flat.change.mul_(self.momentum).add_(self.flat.gradient)
        self.flat.apply(self.learning_rate)


def make_optimiser(name: str, parameters: Sequence[nn.Parameter], learning_rate: float, momentum: float) -> Optimiser:
    """The optimiser of that name over the parameters that require a gradient."""
    flat = FlatGradients(parameters)
    return Adam(flat, learning_rate) if name == "adam" else SGD(flat, learning_rate, momentum)
