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


class Flat:
    """The parameters that require a gradient, and their gradients as views of one flat tensor."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        first = self.parameters[0]
        size = sum(parameter.numel() for parameter in self.parameters)
        self.gradient = torch.zeros(size, dtype=first.dtype, device=first.device)
        for parameter, view in zip(self.parameters, self.views(self.gradient), strict=True):
            parameter.grad = view

    def views(self, flat: Tensor) -> list[Tensor]:
        """The part of a flat tensor that belongs to each parameter, in its shape."""
        parts = flat.split([parameter.numel() for parameter in self.parameters])
        return [part.view(parameter.shape) for part, parameter in zip(parts, self.parameters, strict=True)]


class Adam:
    """Adam (Kingma & Ba 2015), with PyTorch's defaults: betas (0.9, 0.999), epsilon 1e-8."""

    def __init__(self, flat: Flat, learning_rate: float) -> None:
        self.flat, self.learning_rate, self.steps = flat, learning_rate, 0
        self.mean, self.square, self.spread = (torch.zeros_like(flat.gradient) for _ in range(3))
        self.moves = list(zip(flat.parameters, flat.views(self.mean), flat.views(self.spread), strict=True))

    def clear(self) -> None:
        """Sets every gradient to 0."""
        self.flat.gradient.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Moves every parameter once."""
        self.steps += 1
        gradient = self.flat.gradient
        self.mean.lerp_(gradient, 1 - 0.9)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
        torch.sqrt(self.square, out=self.spread).div_(math.sqrt(1 - 0.999**self.steps)).add_(1e-8)
        rate = self.learning_rate / (1 - 0.9**self.steps)
        for parameter, mean, spread in self.moves:
            parameter.addcdiv_(mean, spread, value=-rate)


class SGD:
    """Gradient descent with momentum as PyTorch defines it: v ← μv + g, then a step of −ηv (no dampening)."""

    def __init__(self, flat: Flat, learning_rate: float, momentum: float) -> None:
        self.flat, self.learning_rate, self.momentum = flat, learning_rate, momentum
        self.velocity = torch.zeros_like(flat.gradient)
        self.moves = list(zip(flat.parameters, flat.views(self.velocity), strict=True))

    def clear(self) -> None:
        """Sets every gradient to 0."""
        self.flat.gradient.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Moves every parameter once."""
        self.velocity.mul_(self.momentum).add_(self.flat.gradient)
        for parameter, velocity in self.moves:
            parameter.add_(velocity, alpha=-self.learning_rate)


def make_optimiser(name: str, parameters: Sequence[nn.Parameter], learning_rate: float, momentum: float) -> Optimiser:
    """The optimiser of that name over the parameters that require a gradient."""
    flat = Flat(parameters)
    return Adam(flat, learning_rate) if name == "adam" else SGD(flat, learning_rate, momentum)
