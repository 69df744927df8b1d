"""Copies of modules."""

from __future__ import annotations

import copy
import warnings
from typing import TypeVar

import torch
from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def copied(module: _Module) -> _Module:
    """A copy that shares nothing with the module. PyTorch warns of itself where it copies an exported program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return copy.deepcopy(module)


def in_float64(module: _Module) -> _Module:
    """A copy in float64, its complex numbers in complex128."""
    wide = copied(module).double()  # which leaves complex numbers as they are
    for tensor in [*wide.parameters(), *wide.buffers()]:
        if tensor.is_complex():
            tensor.data = tensor.data.to(torch.complex128)
    return wide
