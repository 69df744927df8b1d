"""Watches the activations inside any module while it runs: on a copy, so that the module itself stays as it is."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from whyactivate.ablation.calls import ACTIVATION_FUNCTIONS
from whyactivate.activations import ACTIVATIONS, Activation
from whyactivate.errors import InputError
from whyactivate.lessons.gates import HiddenError, is_recurrent, open_gates

_SEEN = (ACTIVATION_FUNCTIONS | set(ACTIVATIONS)) - {"identity", "sin", "cos", "abs", "erf"}
"""What counts as an activation here; the four left out are as often used for other things."""

_FAR = 1e4
_STILL = 1e-3


@dataclass
class Call:
    """One call of an activation.

    Attributes:
        activation: the name of its function.
        function: what it computes, with the settings of this call.
        module: path of the module in which it was called; empty for the module itself.
        z: the pre-activations; where the run was for gradients they collect their gradient.
        output: the result.
        number: which call of this activation in this module it is.
        part: which gate it is, inside a fused recurrent layer; empty elsewhere.
    """

    activation: str
    function: Callable[[Tensor], Tensor]
    module: str
    z: Tensor
    output: Tensor
    number: int = 1
    part: str = ""

    def slopes(self, z: Tensor | None = None) -> Tensor:
        """The derivative at the pre-activations (or at others), by automatic differentiation."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = (self.z if z is None else z).detach().clone().requires_grad_()
            total = self.function(leaf).sum()
            return torch.autograd.grad(total, leaf)[0] if total.requires_grad else torch.zeros_like(leaf)

    def leans(self) -> bool:
        """Whether it is flatter to the left of 0 than to the right, as ReLU and its kin are and sigmoid is not."""
        left, right = (float(self.slopes(torch.full_like(self.z, at)).abs().mean()) for at in (-3.0, 3.0))
        return left < right / 2

    def ends(self) -> tuple[float, float] | None:
        """The values far to the left and far to the right, where it stands still on both sides; None elsewhere."""
        if self.activation in ("prelu", "rrelu"):
            return None  # one has a slope per unit, the other draws it: neither stands still
        most = torch.finfo(self.z.dtype).max
        with torch.no_grad():
            places = torch.tensor([-most, -_FAR, -_FAR / 2, _FAR / 2, _FAR, most], dtype=self.z.dtype)
            low, *middle, high = self.function(places.to(self.z.device)).double().tolist()
        moved = max(abs(middle[0] - middle[1]), abs(middle[2] - middle[3]))
        return (low, high) if moved <= _STILL and math.isfinite(low) and math.isfinite(high) else None

    @property
    def name(self) -> str:
        """Where and what, as in "blocks.0.act: relu", with the number of the call where there are several."""
        again = f" (call {self.number})" if self.number > 1 else ""
        gate = f" ({self.part})" if self.part else ""
        return f"{self.module or 'the module itself'}: {self.activation}{gate}{again}"


@dataclass
class Watched:
    """One run of a copy of a module: its result, the activations called, the copy, and what could not be seen."""

    copy: nn.Module
    rows: int
    result: Any
    calls: list[Call] = field(default_factory=list[Call])
    hidden: tuple[str, ...] = ()


Inputs: TypeAlias = Tensor | tuple[Any, ...] | dict[str, Any]
"""What a forward takes, rows first: a tensor, a tuple of several arguments, or a dict of keywords."""


@torch.inference_mode(False)
def watch(module: nn.Module, inputs: Inputs, *, gradients: bool = False) -> Watched:
    """Runs a copy of the module once and notes every activation that is called on the way.

    Seen are PyTorch's activations, as modules or as functions (also `x.clamp`), and the gates of `nn.LSTM`, `nn.GRU`,
    `nn.RNN` and their cells: these are recomputed from the layer's own weights and held against its output. What
    cannot be seen (the inside of a scripted module, the softmax of a fused attention) is named in `hidden`.

    Args:
        module: any module; it is copied, and stays as it is.
        inputs: what its forward takes: a tensor, a tuple of several arguments, or a dict of keywords.
        gradients: keep the graph, and the gradients of all pre-activations.

    Raises:
        InputError: not a module, it cannot be copied, its forward raises, or an activation reads NaN or no rows.
    """
    if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"expected an nn.Module; what came is of type {type(module).__name__}")
    try:
        twin = copy.deepcopy(module)
    except Exception as error:
        raise InputError(f"{type(module).__name__} cannot be copied ({error}), so it cannot be watched") from error
    keywords = inputs if isinstance(inputs, dict) else {}
    arguments = () if isinstance(inputs, dict) else inputs if isinstance(inputs, tuple) else (inputs,)
    first = next((x for x in (*arguments, *keywords.values()) if isinstance(x, Tensor) and x.ndim), None)
    if first is None:
        raise InputError("the inputs must hold a tensor with one row per example")
    if first.numel() == 0:
        raise InputError(f"the inputs hold no numbers: their shape is {tuple(first.shape)}")
    arguments = tuple(_own(x) for x in arguments)
    keywords = {name: _own(x) for name, x in keywords.items()}
    path: list[str] = []
    watcher = _Watcher(path, gradients)
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad(), _paths(twin, path, watcher):
        try:
            with watcher:
                result = cast(object, twin(*arguments, **keywords))
        except Exception as error:
            raise InputError(f"{type(module).__name__} failed on this input: {error}") from error
    hidden = [
        f"{name or 'the module itself'}: a scripted module shows nothing of its inside; pass the one it was made from"
        for name in _scripted(twin)
    ]
    calls = _with_gates(watcher, hidden)
    for call in calls:
        if call.z.ndim < 2:
            raise InputError(
                f"{call.name} reads a tensor of shape {tuple(call.z.shape)}, and rows, then units were expected; for "
                "one row pass x[None]"
            )
        if bool(call.z.isnan().any()):
            raise InputError(f"{call.name} reads NaN; finite inputs and weights are needed")
    return Watched(twin, len(first), result, calls, tuple(dict.fromkeys(hidden + watcher.hidden)))


def _own(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def watch_activations(module: nn.Module, inputs: Inputs) -> Watched:
    """The same as `watch`, where there must be an activation to see.

    Raises:
        InputError: as for `watch`; or no activation was seen.
    """
    watched = watch(module, inputs)
    if not watched.calls:
        where = "; ".join(watched.hidden) or "it calls none of PyTorch's functions that are activations"
        raise InputError(f"no activation was seen in {type(module).__name__}: {where}")
    return watched


@contextmanager
def _paths(module: nn.Module, path: list[str], watcher: _Watcher) -> Generator[None]:
    """Keeps `path` at the names of the modules that are running, and the runs of recurrent layers."""

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: path.append(name)

    def leave(*_: object) -> None:
        path.pop()

    def keep(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        watcher.fused.append((len(watcher.calls), path[-1], part, args, kwargs, output))

    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            continue
        if is_recurrent(part):
            part.register_forward_hook(keep, with_kwargs=True)
        part.register_forward_pre_hook(enter(name), prepend=True)
        part.register_forward_hook(leave, always_call=True)
    yield


def _with_gates(watcher: _Watcher, hidden: list[str]) -> list[Call]:
    """The calls with the gates of recurrent layers where these ran; a layer that stays shut is added to `hidden`."""
    calls: list[Call] = []
    done = 0
    runs: Counter[str] = Counter()
    for place, path, part, args, kwargs, output in watcher.fused:
        calls += watcher.calls[done:place]
        done = place
        runs[path] += 1
        try:
            gates = open_gates(part, args, kwargs, output)
        except HiddenError as reason:
            hidden.append(f"{path or 'the module itself'}: the gates of {type(part).__name__} stay hidden; {reason}")
            continue
        calls += [
            Call(gate.activation, getattr(torch, gate.activation), path, gate.z, gate.output, runs[path], gate.part)
            for gate in gates
        ]
    return calls + watcher.calls[done:]


def _scripted(module: nn.Module) -> list[str]:
    """The names of the scripted modules inside that are no part of another one."""
    names = [name for name, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule)]
    return [name for name in names if not name or not {"", name.rpartition(".")[0]} & set(names)]


_SOFTMAX = "its softmax acts on a row of scores, not on each number alone, so there are no units to look at"
_ATTENTION = {"scaled_dot_product_attention": _SOFTMAX, "multi_head_attention_forward": _SOFTMAX}


class _Watcher(TorchFunctionMode):
    """Notes each call of a function that is an activation."""

    def __init__(self, path: list[str], gradients: bool) -> None:
        super().__init__()
        self.path, self.gradients = path, gradients
        self.calls: list[Call] = []
        self.fused: list[tuple[int, str, nn.Module, tuple[Any, ...], dict[str, Any], Any]] = []
        self.hidden: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", "")).lower().removesuffix("_")
        given = args[0] if args else kwargs.get("input")
        if name in _ATTENTION:
            where = self.path[-1] if self.path else ""
            self.hidden.append(f"{where or 'the module itself'}: {_ATTENTION[name]}")
        if name not in _SEEN or not isinstance(given, Tensor) or not given.is_floating_point():
            return func(*args, **kwargs)
        if name == "gelu" and kwargs.get("approximate", args[1] if len(args) > 1 else "none") == "tanh":
            name = "gelu_tanh"
        if self.gradients:
            kept = given if given.requires_grad else given.requires_grad_()
            if not kept.is_leaf:
                kept.retain_grad()
            # An activation in place would overwrite what it read; it gets a copy to write into.
            args, kwargs = _replaced(args, kwargs, kept.clone())
            z = kept
        else:
            z = given.detach().clone()
        output = func(*args, **kwargs)
        where = self.path[-1] if self.path else ""
        before = sum((call.activation, call.module) == (name, where) for call in self.calls)
        self.calls.append(Call(name.strip("_"), _again(func, args, kwargs), where, z, output, before + 1))
        return output


def _again(func: Any, args: Any, kwargs: Any) -> Callable[[Tensor], Tensor]:
    """The function with the settings of this call, of another operand; what works in place gets a copy."""
    rest = {key: value for key, value in kwargs.items() if key != "out"}

    def again(x: Tensor) -> Tensor:
        own_args, own_kwargs = _replaced(args, rest, x.clone())
        return func(*own_args, **own_kwargs)

    return again


def _replaced(args: Any, kwargs: Any, first: Tensor) -> tuple[Any, Any]:
    return ((first, *args[1:]), kwargs) if args else (args, {**kwargs, "input": first})


def units_last(values: Tensor, unit_axis: int | None) -> Tensor:
    """`(everything else, units)`: the axis of units is 1 for images (4 axes and more), else the last."""
    axis = unit_axis if unit_axis is not None else 1 if values.ndim >= 4 else -1
    if not -values.ndim <= axis < values.ndim:
        raise InputError(f"unit_axis is {axis}, but an activation reads a tensor of shape {tuple(values.shape)}")
    return values.movedim(axis, -1).reshape(-1, values.shape[axis])


def slope(activation: Activation, z: Tensor) -> Tensor:
    """The derivative of an activation at z: as written by hand where it is, else by automatic differentiation."""
    if activation.derivative is not None:
        return activation.derivative(z)
    with torch.enable_grad():
        leaf = z.detach().clone().requires_grad_()
        total = activation(leaf).sum()
        return torch.autograd.grad(total, leaf)[0] if total.requires_grad else torch.zeros_like(z)
