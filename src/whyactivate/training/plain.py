"""Which models are plain perceptrons, so that `train` can use the engine that `compare` uses for many."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from whyactivate.activations import ACTIVATIONS, Activation, get_activation
from whyactivate.activations.modules import Elementwise
from whyactivate.models import MLP, SimpleModel
from whyactivate.training.stacked.weights import layers_of


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain perceptron: its affine layers, and the one activation between them."""

    layers: tuple[nn.Linear, ...]
    activation: Activation


def read_plain(model: nn.Module) -> Plain | None:
    """The layers and the activation of a plain perceptron, or None where the model's own forward must run.

    Plain is a `SimpleModel` or `MLP` on the CPU as this library builds it: every layer with a bias, every weight
    trained, nothing shared, no hook that waits for a call, and an activation of the table, an activation module of
    PyTorch without weights, or an elementwise function.
    """
    if type(model) not in (SimpleModel, MLP) or torch.is_autocast_enabled("cpu"):
        return None
    layers = layers_of(cast("SimpleModel | MLP", model))
    children = list(model.children())
    if len(children) != len(layers) + 1 or not all(type(layer) is nn.Linear for layer in layers):
        return None
    parameters = list(model.parameters())
    right_shapes = all(a.out_features == b.in_features for a, b in pairwise(layers))
    if not right_shapes or len(parameters) != 2 * len(layers) or not all(map(_is_simple, parameters)):
        return None
    if _GLOBAL_HOOKS() or any(_has_attachments(module) for module in model.modules()):
        return None
    activation = _read_activation(children[-1])
    return None if activation is None else Plain(layers, activation)


def probe(function: Callable[[Tensor], Tensor]) -> tuple[float, ...]:
    """What the function makes of a few numbers."""
    return tuple(function(_few_numbers()).detach().ravel().tolist())


def acts_elementwise(function: Callable[[Tensor], Tensor]) -> bool:
    """Whether the function maps each number by itself and without chance, as far as a few numbers can show."""
    z = _few_numbers()
    with torch.random.fork_rng(devices=[]):
        whole, again = function(z.clone()), function(z.clone())
        alone = torch.stack([function(v.reshape(1, 1, 1)).reshape(()) for v in z.clone().ravel()]).reshape(z.shape)
    return torch.equal(whole, again) and torch.allclose(whole, alone, rtol=1e-5, atol=1e-6)


def _few_numbers() -> Tensor:
    return torch.linspace(-2.0, 2.0, 12).reshape(1, 3, 4)


def _read_activation(module: nn.Module) -> Activation | None:
    for known in ACTIVATIONS.values():
        twin = known.module()
        if type(twin) is type(module) and repr(twin) == repr(module) and _same_buffers(twin, module):
            return known
    if type(module) is Elementwise:
        own = module.function
    elif type(module).__module__ == nn.ReLU.__module__ and not [*module.parameters(), *module.children()]:
        # In training mode: a module that draws, as RReLU does, is no function.
        own = copy.deepcopy(module).train()
    else:
        return None
    try:
        return get_activation(own) if acts_elementwise(own) else None
    except Exception:  # what is wrong with it is for its own call to say
        return None


def _same_buffers(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.buffers(), second.buffers(), strict=True)
    return all(torch.equal(a.to(b.dtype), b) for a, b in pairs)


def _is_simple(parameter: nn.Parameter) -> bool:
    hooks: tuple[object, ...] = tuple(getattr(parameter, name, None) for name in _TENSOR_HOOKS)
    return (
        type(parameter) is nn.Parameter
        and parameter.requires_grad
        and parameter.device.type == "cpu"
        and parameter.layout == torch.strided
        and not any(hooks)
    )


def _has_attachments(module: nn.Module) -> bool:
    """Whether somebody gave this very module a forward of its own, or hooks (PyTorch files them under numbers)."""
    held = vars(module)
    values = [cast("dict[Any, Any]", value) for value in held.values() if isinstance(value, dict)]
    return "forward" in held or any(isinstance(key, int) for value in values for key in value)


_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def _GLOBAL_HOOKS() -> bool:
    return bool(cast("Callable[[], object]", getattr(nn.modules.module, "_has_any_global_hook", bool))())
