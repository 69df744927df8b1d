"""The functions of PyTorch by which a program gets at the sizes of its tensors."""

from __future__ import annotations

import functools
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

SIZES = frozenset({
    Tensor.size,
    Tensor.numel,
    Tensor.nelement,
    Tensor.stride,
    Tensor.storage_offset,
    torch.numel,
    *attrgetter("shape.__get__", "nbytes.__get__")(Tensor),
})  # fmt: skip
"""Each of these tells a size."""
SPLITS = frozenset({
    torch.chunk, torch.split, torch.tensor_split, torch.unsafe_chunk, torch.unsafe_split,
    Tensor.chunk, Tensor.split, Tensor.tensor_split, Tensor.unsafe_chunk, Tensor.unsafe_split,
})  # fmt: skip
EVEN_SPLITS = frozenset({torch.split, Tensor.split, torch.unsafe_split, Tensor.unsafe_split})
CHUNKS = frozenset({torch.chunk, Tensor.chunk, torch.unsafe_chunk, Tensor.unsafe_chunk})
PARTS = SPLITS | {
    torch.unbind, Tensor.unbind, torch.hsplit, torch.vsplit, torch.dsplit, Tensor.hsplit, Tensor.vsplit, Tensor.dsplit,
    torch.split_with_sizes, Tensor.split_with_sizes,
}  # fmt: skip
"""Each of these gives parts, of which there are as many as a size says."""
_TELLING = SIZES | PARTS | {Tensor.__len__, Tensor.__iter__, Tensor.__reversed__, Tensor.__getitem__, Tensor.unfold}


@functools.lru_cache(maxsize=1024)
def tells_sizes(function: Any) -> bool:
    """Whether a function tells the size of a tensor, cuts it by its size, or makes another one of the same size."""
    name = getattr(function, "__name__", "")
    return function in _TELLING or name.startswith("new_") or name.endswith("_like")
