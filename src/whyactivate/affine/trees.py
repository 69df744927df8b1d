"""Tensors inside tuples, lists, dicts and dataclasses: found, and replaced."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in a tree of tuples, lists, dicts and dataclasses, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    return [leaf for leaf in leaves_of(tree) if isinstance(leaf, Tensor)]


def tensors_among(operands: Iterable[Any]) -> list[Tensor]:
    """The tensors among the operands of an operation, which hold them in lists at most."""
    found: list[Tensor] = []
    for operand in operands:
        if isinstance(operand, Tensor):
            found.append(operand)
        elif isinstance(operand, (list, tuple)):
            found += tensors_among(cast("list[Any]", operand))
    return found


PLAIN_KINDS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout)
"""Kinds of leaves that hold nothing that could change."""


def fresh_argument(argument: Any) -> Any:
    """A leaf as an argument of the module's own, so that what it does to it is not done to the caller's."""
    if isinstance(argument, Tensor):
        return like(argument.detach().clone(memory_format=torch.contiguous_format), argument)
    if isinstance(argument, PLAIN_KINDS):
        return argument
    try:
        return copy.deepcopy(argument)
    except Exception:  # whatever cannot be copied is handed over as it is
        return argument


def fresh_as_it_lies(argument: Any) -> Any:
    """The same, where a tensor's numbers lie in memory as they do in the argument."""
    if not isinstance(argument, Tensor) or (argument.is_contiguous() and not argument.storage_offset()):
        return fresh_argument(argument)
    return like(copy.deepcopy(argument.detach()), argument)


def like(numbers: Tensor, model: Tensor) -> Tensor:
    """The numbers as a tensor of the kind that `model` is: a parameter, the result of a computation, with attributes.

    Args:
        numbers: a fresh tensor.
        model: what a module may ask for whether it needs gradients, for its kind, and for attributes of its own.
    """
    if isinstance(model, nn.Parameter) and type(numbers) is Tensor:
        numbers = nn.Parameter(numbers, requires_grad=model.requires_grad)
    else:
        numbers = numbers.requires_grad_(model.requires_grad)
    if not model.is_leaf:
        with torch.enable_grad():
            numbers = numbers.clone()
    if attributes := getattr(model, "__dict__", None):
        vars(numbers).update(attributes)
    return numbers


def lying_as(numbers: Tensor, model: Tensor) -> Tensor:
    """The same numbers with the strides and the offset of `model`, where that keeps them apart."""
    extent = sum((size - 1) * step for size, step in zip(numbers.shape, model.stride(), strict=True))
    if model.layout != torch.strided or not numbers.numel() or (model.is_contiguous() and not model.storage_offset()):
        return numbers
    lying = numbers.new_zeros(model.storage_offset() + extent + 1)
    try:
        lying = lying.as_strided(numbers.shape, model.stride(), model.storage_offset()).copy_(numbers)
    except RuntimeError:  # several entries in one place, as `expand` makes them
        return numbers
    return lying if torch.equal(lying, numbers) else numbers


def leaves_of(tree: Any) -> list[Any]:
    """Whatever in a tree is not a tuple, list, dict or dataclass, in order."""
    parts = None if isinstance(tree, Tensor) else _parts(tree)
    return [tree] if parts is None else [leaf for part in parts for leaf in leaves_of(part)]


def tensors_beside(tree: Any) -> list[Tensor]:
    """The tensors in attributes of a tree's tensors and containers, and among its keys, that are none of its leaves."""
    parts = [] if isinstance(tree, Tensor) else _parts(tree) or []
    keys = [*cast("dict[Any, Any]", tree)] if isinstance(tree, dict) else []
    is_shown = isinstance(tree, (Tensor, tuple, list, dict)) and hasattr(tree, "__dict__")
    held = [*keys, *(vars(tree).values() if is_shown else ())]
    own = [one for one in held if isinstance(one, Tensor) and not any(one is part for part in parts)]
    return own + [tensor for part in parts for tensor in tensors_beside(part)]


def map_leaves(change: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with each leaf changed; containers are new, and of the types that they were. Dataclasses are leaves."""
    if isinstance(tree, dict):
        changed: Any = copy.copy(cast("dict[Any, Any]", tree))
        for key, item in cast("dict[Any, Any]", tree).items():
            changed[key] = map_leaves(change, item)
        return changed
    if isinstance(tree, list):
        changed = copy.copy(cast("list[Any]", tree))
        changed[:] = [map_leaves(change, item) for item in cast("list[Any]", tree)]
        return changed
    if isinstance(tree, tuple):
        items = [map_leaves(change, item) for item in cast("tuple[Any, ...]", tree)]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return change(tree)


def _parts(tree: Any) -> list[Any] | None:
    if isinstance(tree, (list, tuple)):
        return list(cast("list[Any]", tree))
    if isinstance(tree, dict):
        return list(cast("dict[Any, Any]", tree).values())
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [getattr(tree, field.name) for field in dataclasses.fields(tree)]
    return None
