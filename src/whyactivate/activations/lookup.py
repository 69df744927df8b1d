"""`get_activation`: the activation that somebody means."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from whyactivate.activations.activation import Activation
from whyactivate.activations.modules import Elementwise
from whyactivate.activations.table import ACTIVATIONS
from whyactivate.errors import InputError, UnknownNameError


def get_activation(activation: str | Callable[[Tensor], Tensor] | None) -> Activation:
    """The activation for a name, for None (the identity), or for a callable of your own.

    Names are compared without case, spaces, hyphens and underscores: "Leaky ReLU" is leaky_relu.
    An `nn.Module` is copied for each network that uses it; a class of modules is built without arguments.

    Raises:
        UnknownNameError: the name is not in `ACTIVATIONS`; the nearest is suggested.
        InputError: the callable does not map a tensor to a tensor of the same shape.
    """
    if activation is None:
        return ACTIVATIONS["identity"]
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        known = _BY_PLAIN_NAME.get(_plain(activation))
        if known is None:
            raise UnknownNameError("activation", activation, ACTIVATIONS)
        return known
    if isinstance(activation, type) and issubclass(activation, nn.Module):
        return _from_module(_build(activation))
    if isinstance(activation, nn.Module):
        return _from_module(activation)
    if callable(activation):
        return _from_callable(activation)
    raise UnknownNameError("activation", activation, ACTIVATIONS)


def _build(kind: type[nn.Module]) -> nn.Module:
    try:
        return kind()
    except TypeError as error:
        raise InputError(f"{kind.__name__} cannot be built without arguments ({error}); pass an instance") from error


def _from_module(module: nn.Module) -> Activation:
    name = type(module).__name__
    if type(module).forward is nn.Module.forward:
        raise InputError(f"{name} has no forward, so it is no activation")
    return Activation(name, name, f"your own module {name}.", module, functools.partial(copy.deepcopy, module))


@torch.inference_mode(False)
@torch.enable_grad()
def _from_callable(function: Callable[[Tensor], Tensor]) -> Activation:
    inner = function.func if isinstance(function, functools.partial) else function
    name = str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
    leaf = torch.linspace(-1.0, 1.0, 6, dtype=torch.float32).reshape(2, 3).requires_grad_()
    with torch.random.fork_rng(devices=[]):
        try:
            result = cast(object, function(leaf * 1.0))
        except Exception as error:
            raise InputError(
                f"activation {name!r} failed on a tensor of shape (2, 3): {error}; it must take a tensor "
                "and give a tensor of the same shape"
            ) from error
    if not isinstance(result, Tensor) or (result.shape, result.dtype) != (leaf.shape, leaf.dtype):
        came = f"{result.dtype} of shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise InputError(f"activation {name!r} must keep shape and dtype: torch.float32 of shape (2, 3) became {came}")
    return Activation(name, name, f"your own function {name}.", function, lambda: Elementwise(function, name))


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


_BY_PLAIN_NAME = {_plain(a.name): a for a in ACTIVATIONS.values()} | {
    "none": ACTIVATIONS["identity"],
    "swish": ACTIVATIONS["silu"],
}
