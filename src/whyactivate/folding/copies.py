"""Copies of modules and of what they take."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from whyactivate.affine.recording import Example
from whyactivate.affine.trees import map_leaves

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


def example_in_float64(example: Example) -> Example:
    """The example in float64, its complex numbers in complex128."""

    def cast(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.is_complex():
            return leaf.to(torch.complex128)
        return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    return replace(
        example, args=tuple(map_leaves(cast, list(example.args))), kwargs=map_leaves(cast, dict(example.kwargs))
    )
