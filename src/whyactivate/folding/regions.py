"""A region of a module as a torch.fx graph: what it needs, and the module that is built of it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from whyactivate.affine._torch_compat import names_not_saved
from whyactivate.folding.layers import Filling, Layer
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.pieces import Piece
from whyactivate.folding.replacing import Calls


@dataclass(frozen=True)
class Vector:
    """A new tensor that the graph reads: its numbers, its shape, its own dtype and device."""

    numbers: Lazy
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


@dataclass
class Region:
    """A module's region as a graph, and what it needs.

    Attributes:
        path: of the module that the graph takes the place of.
        pieces: what is folded in it.
        layers: what is folded, by the names that the graph has for it.
        vectors: the constants in it, likewise.
        constants: tensors that were made on the way, by name.
        modules: submodules of the original that the graph calls.
        parameters: tensors of the original that the graph reads.
        unused: submodules and tensors of the original that nobody used, and that stay.
        sizes: what the graph must be given, in words; empty where inputs may have any size.
    """

    path: str
    pieces: tuple[Piece, ...]
    graph: fx.Graph
    layers: dict[str, Layer] = field(default_factory=dict)
    vectors: dict[str, Vector] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)
    unused: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()


def left_over(module: nn.Module, opened: Set[str], calls: Calls) -> tuple[str, ...]:
    """The submodules that were not called and the tensors that were not read, the outermost of them.

    Args:
        module: whose forward becomes a graph.
        opened: the submodules whose forwards are part of the graph.
        calls: all calls, with who read what.
    """
    found: list[str] = []

    def visit(path: str, part: nn.Module) -> None:
        if not calls.is_read(part, calls.names[id(part)]):
            own = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
            found.extend(f"{path}.{name}" if path else name for name, _ in own)
        for name, child in part.named_children():
            inner = f"{path}.{name}" if path else name
            below = [(calls.names[id(one)], one) for one in child.modules()]
            if calls.counts[calls.names[id(child)]]:
                if inner in opened:
                    visit(inner, child)
            elif any(calls.counts[name] or calls.is_read(one, name) for name, one in below):
                visit(inner, child)
            else:
                found.append(inner)

    visit("", module)
    return tuple(found)


def build(region: Region, target: nn.Module, filling: Filling) -> fx.GraphModule:
    """The region as a module, with the submodules of `target`, the module that it takes the place of."""
    parts: dict[str, Any] = {name: target.get_submodule(name) for name in region.modules}
    for name in region.parameters:
        parts[name] = _attribute(target, name)
    trained = any(parameter.requires_grad for parameter in target.parameters())
    for name, layer in region.layers.items():
        parts[name] = layer.make(filling).train(target.training).requires_grad_(trained)
    for name, vector in region.vectors.items():
        filled = filling.fill("scale", lambda v=vector: v.numbers.value, vector.shape, vector.dtype, vector.device)
        parts[name] = nn.Buffer(filled)
    for name, tensor in region.constants.items():
        parts[name] = nn.Buffer(tensor.clone())
    holder = nn.Module()
    for name, part in sorted(parts.items()):
        _put(holder, name, part)
    made = fx.GraphModule(holder, region.graph, class_name=type(target).__name__)
    for name in region.unused:  # a graph keeps only what it uses
        parts[name] = _attribute(target, name)
        _put(made, name, parts[name])
    for name in (*region.parameters, *region.unused):
        path, _, last = name.rpartition(".")
        if last in names_not_saved(target.get_submodule(path)):
            names_not_saved(made.get_submodule(path)).add(last)
    kept = {id(child) for part in parts.values() if isinstance(part, nn.Module) for child in part.modules()}
    for part in made.modules():
        if id(part) not in kept:
            part.training = target.training
    return made


def _attribute(module: nn.Module, path: str) -> Any:
    *parents, name = path.split(".")
    return getattr(module.get_submodule(".".join(parents)), name)


def _put(holder: nn.Module, path: str, part: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(holder, parent):
            holder.add_module(parent, nn.Module())
        holder = getattr(holder, parent)
    if isinstance(part, nn.Module):
        holder.add_module(name, part)
    elif isinstance(part, nn.Parameter):
        holder.register_parameter(name, part)
    else:
        holder.register_buffer(name, part)


def put_all(module: nn.Module, parts: Mapping[str, nn.Module]) -> nn.Module:
    """The module with other modules at some paths, wherever the old ones are registered."""
    olds = {id(module.get_submodule(path)): part for path, part in parts.items()}
    if id(module) in olds:
        return olds[id(module)]
    for path, part in list(module.named_modules(remove_duplicate=False)):
        if id(part) in olds:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, olds[id(part)])
    return module
