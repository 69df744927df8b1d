"""Modules for activations that PyTorch has none for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.activations.constants import PRELU_SLOPE


class Elementwise(nn.Module):
    """Applies a callable that has no `nn.Module` of its own."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str) -> None:
        super().__init__()
        self.function = function
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return self.function(x)

    def extra_repr(self) -> str:
        """What `print` shows between the brackets."""
        return self.name


class FixedPReLU(nn.Module):
    """PReLU whose slope for z ≤ 0 is a constant: it is not trained, and not in the state_dict."""

    def __init__(self, slope: float = PRELU_SLOPE) -> None:
        super().__init__()
        self.slope: Tensor  # declared here: torch.jit.script reads no annotations of the class
        self.register_buffer("slope", torch.tensor([slope]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.prelu(x, self.slope)

    def extra_repr(self) -> str:
        """What `print` shows between the brackets."""
        return f"slope={self.slope.item():g}"
