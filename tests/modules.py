"""Functions as modules, for tests that say what a forward does in a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Call(nn.Module):
    """A function of the inputs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class CallWithParts(nn.Module):
    """A function of the module, which has layers, a buffer and a counter, and of one input with three columns."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.conv = nn.Conv1d(3, 3, 1)
        self.register_buffer("column", torch.tensor([[2.0]]))
        self.turn = 0
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)
