"""Copies of modules."""

from __future__ import annotations

import copy
import warnings
from typing import TypeVar

from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def copied(module: _Module) -> _Module:
    """A copy that shares nothing with the module. PyTorch warns of itself where it copies an exported program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return copy.deepcopy(module)
