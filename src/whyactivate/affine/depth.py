"""How deep a program is as written, and how deep it is: layers with no activation between them are one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from whyactivate.affine._torch_compat import is_uninitialised, short_name, storage_key
from whyactivate.affine.tape import Constant, Node, Tape, Value

aten = torch.ops.aten

_PRODUCTS: Mapping[object, str] = {
    aten.mm.default: "mat2",
    aten.addmm.default: "mat2",
    aten.bmm.default: "mat2",
    aten.baddbmm.default: "batch2",
    aten.mv.default: "self",
    aten.addmv.default: "mat",
    aten.linear.default: "weight",
    aten.convolution.default: "weight",
}
"""The operations that a layer is, each with the operand that holds its weights."""
_RECURRENT = frozenset({"mkldnn_rnn_layer", "lstm", "gru", "rnn_tanh", "rnn_relu"})
"""Recurrent layers that run as one operation, with activations of their own."""


@dataclass(frozen=True, slots=True)
class Depth:
    """The number of layers on the longest way from the input to an output.

    A layer is a product with stored weights: a dense matrix or a convolution; or a recurrent layer.

    Attributes:
        written: as the code has it.
        effective: with every chain of layers that nothing but affine operations connect counted once.
        chains: these chains, as paths of layers, in program order; each is at least two layers.
    """

    written: int
    effective: int
    chains: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        layers = "1 layer" if self.written == 1 else f"{self.written} layers"
        lines = [f"{layers} deep as written, {self.effective} in effect"]
        lines += [f"  one layer: {' · '.join(chain)} (no activation between them)" for chain in self.chains]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Way:
    """The longest way to a value: layers on it, and the last chain of them since the value that they are affine in."""

    written: int
    effective: int
    layers: tuple[str, ...]
    source: int


def count_depth(tape: Tape, module: nn.Module) -> Depth:
    """The depth of a recorded program, as written and effective.

    Two layers count as one where all that enters the second is an affine function of what enters the first.
    """
    names = names_of_weights(module)
    reached = {value.storage: _Way(0, 0, (), -1) for value in tape.inputs}
    chains: dict[tuple[str, ...], None] = {}
    for node in tape.needed():
        ways = [reached[value.storage] for value in node.values() if value.storage in reached]
        written = max((way.written for way in ways), default=0)
        effective = max((way.effective for way in ways), default=0)
        sources = {way.source for way in ways}
        layers: tuple[str, ...] = ()
        source = node.index  # whatever comes next is a function of what this operation gives
        if node.reason is None and len(sources) == 1:
            (source,) = sources
            layers = max((way.layers for way in ways), key=len)
        weights = weights_of(node)
        if short_name(node.op) in _RECURRENT:
            written, effective = written + 1, effective + 1
        elif weights is not None:
            written, effective = written + 1, effective + (not layers)
            chains.pop(layers, None)
            layers = (*layers, names.get(storage_key(weights.tensor), node.location.module) or f"layer {written}")
            if len(layers) > 1:
                chains[layers] = None
        for output in node.outputs:
            if output is not None:
                reached[output.storage] = _Way(written, effective, layers, source)
    ends = [value.storage for value in tape.outputs if isinstance(value, Value)]
    return Depth(
        max((reached[end].written for end in ends), default=0),
        max((reached[end].effective for end in ends), default=0),
        tuple(chains),
    )


def weights_of(node: Node) -> Constant | None:
    """The stored weights of a layer; None where the operation is none."""
    operand = node.arguments.get(_PRODUCTS.get(node.op, ""))
    return operand if isinstance(operand, Constant) else None


def names_of_weights(module: nn.Module) -> dict[int, str]:
    """What to call each layer, by the memory that its weights lie in: its path, or that of a bare parameter."""

    def owners() -> Iterator[tuple[int, str]]:
        for name, tensor in (*module.named_buffers(), *module.named_parameters()):
            if not is_uninitialised(tensor):
                path, _, last = name.rpartition(".")
                yield storage_key(tensor), path if "weight" in last and path else name

    return dict(owners())
