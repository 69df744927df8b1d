"""Numbers that are computed when they are first asked for, so that plans can be made from shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor


class Lazy:
    """A float64 tensor on the CPU, computed once, on first use."""

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute = compute

    @classmethod
    def of(cls, tensor: Tensor) -> Lazy:
        """The numbers of a tensor, whatever its dtype and device."""
        return cls(lambda: tensor.detach().to(device="cpu", dtype=torch.float64))

    @cached_property
    def value(self) -> Tensor:
        """The tensor."""
        return self._compute()

    def then(self, change: Callable[[Tensor], Tensor]) -> Lazy:
        """What `change` makes of it."""
        return Lazy(lambda: change(self.value))

    def join(self, other: Lazy, combine: Callable[[Tensor, Tensor], Tensor]) -> Lazy:
        """What `combine` makes of it and another."""
        return Lazy(lambda: combine(self.value, other.value))
