"""What a fused recurrent layer computes inside: its gates, recomputed step by step and held against its output.

Equations: Hochreiter & Schmidhuber 1997 and Gers et al. 2000 (LSTM), Cho et al. 2014 (GRU), Elman 1990 (RNN), in
the order of PyTorch's weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ROUNDINGS = 64
"""How many units of rounding per step and layer the recomputed output may be off by."""


class HiddenError(Exception):
    """The gates of a layer cannot be shown, with the reason."""


@dataclass
class Gate:
    """One activation inside a recurrent layer.

    Attributes:
        activation: its name, a key of `ACTIVATIONS`.
        part: which gate, of which layer and direction.
        z: its pre-activations, `(rows, steps, units)`; `(rows, units)` for a cell.
        output: what it gives.
    """

    activation: str
    part: str
    z: Tensor
    output: Tensor


_State = tuple[Tensor, ...]
_Seen = list[tuple[str, str, Tensor, Tensor]]


def is_recurrent(part: nn.Module) -> bool:
    """Whether it is one of PyTorch's fused recurrent layers or cells."""
    return isinstance(part, (nn.RNNBase, nn.RNNCellBase))


@torch.no_grad()
def open_gates(part: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> list[Gate]:
    """The activations inside a recurrent layer on these inputs, recomputed from its own weights.

    Raises:
        HiddenError: this input cannot be followed, or what was recomputed is not what the layer gave.
    """
    given = dict(zip(("input", "hx"), args, strict=False)) | dict(kwargs)
    x, hx = given["input"], given.get("hx")
    if not isinstance(x, Tensor):
        raise HiddenError(f"a {type(x).__name__} cannot be followed step by step; pass padded tensors instead")
    if isinstance(part, nn.RNNCellBase):
        found, gates = _run_cell(part, x, hx)
        made = output[0] if isinstance(output, tuple) else output
    else:
        found, gates = _run_layers(cast(nn.RNNBase, part), x, hx)
        made = output[0]
    steps = x.shape[-2] if x.ndim > 1 else 1
    size = max(1.0, float(made.detach().abs().max()))
    gap = float((found - made).abs().max())
    if not gap <= _ROUNDINGS * max(4, steps) * torch.finfo(made.dtype).eps * size:
        dropped = getattr(part, "dropout", 0) and part.training
        why = "its dropout is random: call .eval() first" if dropped else "it does not run PyTorch's own equations"
        raise HiddenError(f"recomputed step by step its output is off by {gap:.2g} ({why})")
    return gates


def _run_cell(cell: nn.RNNCellBase, x: Tensor, hx: Any) -> tuple[Tensor, list[Gate]]:
    flat = x if x.ndim == 2 else x[None]
    state = _start(cell, flat, cell.hidden_size, hx, lambda s: s if s.ndim == 2 else s[None])
    seen: _Seen = []
    state = _step(cell, "", flat, state, seen)
    return state[0].reshape(*x.shape[:-1], -1), [Gate(name, part, z, out) for name, part, z, out in seen]


def _run_layers(layer: nn.RNNBase, x: Tensor, hx: Any) -> tuple[Tensor, list[Gate]]:
    single = x.ndim == 2
    rows = x[None] if single else x if layer.batch_first else x.transpose(0, 1)  # (rows, steps, features)
    gates: list[Gate] = []
    directions = 2 if layer.bidirectional else 1
    for depth in range(layer.num_layers):
        outputs: list[Tensor] = []
        for direction in range(directions):
            number = depth * directions + direction

            def own(state: Tensor, number: int = number) -> Tensor:
                return state[number][None] if single else state[number]

            state = _start(layer, rows, layer.hidden_size, hx, own)
            suffix = f"_l{depth}" + ("_reverse" if direction else "")
            told = f", layer {depth}" + (" backwards" if direction else "") if directions * layer.num_layers > 1 else ""
            outs, mine = _run_direction(layer, suffix, rows.flip(1) if direction else rows, state)
            outputs.append(outs.flip(1) if direction else outs)
            for (name, part), (z, out) in mine.items():
                z, out = (v.flip(1) if direction else v for v in (z, out))
                gates.append(Gate(name, part + told, z, out))
        rows = torch.cat(outputs, -1)
    return rows[0] if single else rows if layer.batch_first else rows.transpose(0, 1), gates


def _run_direction(
    layer: nn.RNNBase, suffix: str, rows: Tensor, state: _State
) -> tuple[Tensor, dict[tuple[str, str], tuple[Tensor, Tensor]]]:
    outs: list[Tensor] = []
    steps: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for x in rows.unbind(1):
        seen: _Seen = []
        state = _step(layer, suffix, x, state, seen)
        outs.append(state[0])
        for name, part, z, out in seen:
            steps[name, part].append((z, out))
    stacked = {
        key: (torch.stack([z for z, _ in found], 1), torch.stack([out for _, out in found], 1))
        for key, found in steps.items()
    }
    return torch.stack(outs, 1), stacked


def _start(part: nn.Module, rows: Tensor, units: int, hx: Any, own: Callable[[Tensor], Tensor]) -> _State:
    """The state before the first step: (hidden, cell) for an LSTM, else (hidden,)."""
    lstm = isinstance(part, (nn.LSTM, nn.LSTMCell))
    if hx is not None:
        return tuple(own(state) for state in (hx if lstm else (hx,)))
    shown = getattr(part, "proj_size", 0) or units
    sizes = (shown, units) if lstm else (shown,)
    return tuple(rows.new_zeros(len(rows), size) for size in sizes)


def _step(part: nn.Module, suffix: str, x: Tensor, state: _State, seen: _Seen) -> _State:
    """The next state; what the activations read and gave is added to `seen`."""
    weights = {
        n: getattr(part, n + suffix, None) for n in ("weight_ih", "bias_ih", "weight_hh", "bias_hh", "weight_hr")
    }
    from_x = F.linear(x, cast(Tensor, weights["weight_ih"]), weights["bias_ih"])
    from_h = F.linear(state[0], cast(Tensor, weights["weight_hh"]), weights["bias_hh"])

    def act(name: str, gate: str, z: Tensor) -> Tensor:
        out = getattr(torch, name)(z)
        seen.append((name, gate, z, out))
        return out

    if isinstance(part, (nn.LSTM, nn.LSTMCell)):
        take, keep, new, show = (from_x + from_h).chunk(4, -1)
        cell = act("sigmoid", "forget gate", keep) * state[1]
        cell = cell + act("sigmoid", "input gate", take) * act("tanh", "candidate", new)
        hidden = act("sigmoid", "output gate", show) * act("tanh", "cell state", cell)
        projection = weights["weight_hr"]
        return (hidden if projection is None else F.linear(hidden, projection), cell)
    if isinstance(part, (nn.GRU, nn.GRUCell)):
        (x_reset, x_update, x_new), (h_reset, h_update, h_new) = from_x.chunk(3, -1), from_h.chunk(3, -1)
        reset = act("sigmoid", "reset gate", x_reset + h_reset)
        update = act("sigmoid", "update gate", x_update + h_update)
        new = act("tanh", "candidate", x_new + reset * h_new)
        return ((1 - update) * new + update * state[0],)
    return (act(str(cast(Any, part).nonlinearity), "hidden state", from_x + from_h),)
