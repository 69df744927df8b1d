"""The part of a program on images or sequences that one place of its output depends on, as a program of its own.

What convolutions, poolings and what acts entry by entry give at one place depends on a window of the input. Where
that lies inside, no padding takes part, and the same operations on the window alone give the same numbers there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyactivate.affine.rules.pooling import per_axis
from whyactivate.affine.tape import Argument, Constant, Geometry, Node, Storage, Tape, Value

aten = torch.ops.aten

Span = tuple[int, int]
"""Places along an axis: the first, and the one behind the last."""

_BY_CHANNEL = frozenset({aten.native_batch_norm.default, aten._native_batch_norm_legit_no_training.default})
_BY_ENTRY = frozenset({aten.hardswish.default, aten._prelu_kernel.default})
"""Operations on each entry that PyTorch does not tag so."""
_POOLS = frozenset({aten.max_pool2d_with_indices.default, aten.avg_pool2d.default})
_UPSAMPLES = frozenset({aten.upsample_nearest1d.default, aten.upsample_nearest2d.default})


class _CannotCrop(Exception):
    """The window does not lie inside, or an operation is not known here."""


@dataclass(frozen=True)
class Crop:
    """A program on windows of the inputs that gives one place of the first output of `whole` that is not affine.

    Attributes:
        tape: the program.
        whole: the one that it is a part of.
        windows: where the inputs of the one lie in those of the other.
        place: the place along the last axes of that output.
    """

    tape: Tape
    whole: Tape
    windows: tuple[tuple[slice, ...], ...]
    place: tuple[int, ...]

    def widened(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Inputs of the whole program that hold these windows, and 0 elsewhere."""
        found: list[Tensor] = []
        for given, window, numbers in zip(self.whole.given, self.windows, inputs, strict=True):
            wide = torch.zeros(given.shape, dtype=numbers.dtype, device="cpu")
            wide[window] = numbers
            found.append(wide)
        return tuple(found)

    def index_in_whole(self, index: int) -> int:
        """Where an entry of the crop's output lies among those of the flattened output of the whole."""
        output = _output_of(self.whole)
        assert output is not None
        size = output.geometry.size
        leading = np.unravel_index(index, size[: len(size) - len(self.place)])
        return int(np.ravel_multi_index((*leading, *self.place), size))

    @property
    def output(self) -> int:
        """Which of the outputs of the whole it is cropped from."""
        output = _output_of(self.whole)
        assert output is not None
        return self.whole.outputs.index(output)


def crop(tape: Tape) -> Crop | None:
    """The program of the place in the middle; None where it takes the whole input, or cannot be told apart."""
    output = _output_of(tape)
    if output is None or any(tape.complex_inputs) or len(output.geometry.size) < 3:
        return None
    place = tuple(size // 2 for size in output.geometry.size[2:])
    try:
        return _Cropper(tape, output, place).crop()
    except _CannotCrop:
        return None


def _output_of(tape: Tape) -> Value | None:
    return next((one for one in tape.outputs if isinstance(one, Value) and one.roots - {0}), None)


@dataclass
class _Held:
    """Which places of a tensor are asked for, and from which on the crop holds how many."""

    geometry: Geometry
    asked: list[Span]
    first: tuple[int, ...] = ()
    count: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[int, ...]:
        """The size of the whole tensor."""
        return self.geometry.size

    def take(self, spans: Sequence[Span]) -> None:
        """Hold these places."""
        self.first, self.count = tuple(a for a, _ in spans), tuple(b - a for a, b in spans)


class _Cropper:
    def __init__(self, tape: Tape, output: Value, place: tuple[int, ...]) -> None:
        self._tape, self._output, self._place = tape, output, place
        self._axes = len(place)
        self._held: dict[tuple[int, int], _Held] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._storages: dict[int, Storage] = {}

    def crop(self) -> Crop:
        """The crop.

        Raises:
            _CannotCrop: there is none.
        """
        self._ask(self._output, [(p, p + 1) for p in self._place])
        changes = [(node, *self._change(node)) for node in reversed(self._tape.needed()) if self._is_asked(node)]
        windows: list[tuple[slice, ...]] = []
        for value in self._tape.inputs:
            held = self._held.get((value.storage, value.version))
            if held is None:
                raise _CannotCrop
            held.take(held.asked)
            windows.append((slice(None), slice(None), *(slice(a, b) for a, b in held.asked)))
        if not all(held.first for held in self._held.values()):
            raise _CannotCrop  # a side result of an operation
        whole = tuple(slice(p, p + 1) for p in self._place)
        tape = Tape(
            inputs=tuple(map(self._made, self._tape.inputs)),
            given=tuple(x[window] for x, window in zip(self._tape.given, windows, strict=True)),
            outputs=(self._read(self._output, [(p, p + 1) for p in self._place]),),
            returned=(self._tape.returned[self._tape.outputs.index(self._output)][..., *whole],),
            nodes=tuple(self._node(number, *change) for number, change in enumerate(reversed(changes))),
            storages=self._storages,
        )
        return Crop(tape, self._tape, tuple(windows), self._place)

    # -- backwards: which places are asked for -----------------------------------------------------------------------

    def _ask(self, value: Value, spans: Sequence[Span]) -> None:
        size = value.geometry.size
        whole = value.geometry.offset == 0 and value.geometry.numel == self._tape.storages[value.storage].numel
        if len(size) != self._axes + 2 or not whole:
            raise _CannotCrop
        if any(a < 0 or b > n for (a, b), n in zip(spans, size[2:], strict=True)):
            raise _CannotCrop
        held = self._held.setdefault((value.storage, value.version), _Held(value.geometry, list(spans)))
        if held.geometry != value.geometry or held.first:
            raise _CannotCrop
        held.asked = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(held.asked, spans, strict=True)]

    def _is_asked(self, node: Node) -> bool:
        output = node.outputs[0]
        return output is not None and (output.storage, output.version) in self._held

    def _change(self, node: Node) -> tuple[list[Span], Mapping[str, Argument]]:
        """Which places of its inputs the node reads, and the operands that are others in the crop."""
        output = node.outputs[0]
        assert output is not None
        held = self._held[output.storage, output.version]
        if output.geometry != held.geometry:
            raise _CannotCrop  # it writes a part of the tensor
        spans, changed = self._spans(node, held)
        for value in node.values():
            self._ask(value, spans)
        return spans, changed

    def _spans(self, node: Node, held: _Held) -> tuple[list[Span], Mapping[str, Argument]]:
        args: Any = node.arguments
        asked, axes = held.asked, self._axes
        held.take(asked)
        if node.op == aten.convolution.default and isinstance(args["input"], Value):
            kernel = args["weight"].tensor.shape[2:] if isinstance(args["weight"], Constant) else ()
            if len(kernel) != axes or isinstance(args["bias"], Value):
                raise _CannotCrop
            stride, padding, dilation = (per_axis(args[name], axes) for name in ("stride", "padding", "dilation"))
            if args["transposed"]:
                return self._transposed(held, kernel, stride, padding, dilation)
            return _windows(asked, kernel, stride, padding, dilation), {"padding": [0] * axes}
        if node.op in _POOLS and axes == 2:
            kernel = per_axis(args["kernel_size"], 2)
            stride = per_axis(args["stride"], 2) if args["stride"] else kernel
            spans = _windows(asked, kernel, stride, per_axis(args["padding"], 2), per_axis(args.get("dilation", 1), 2))
            return spans, {"padding": [0, 0], "ceil_mode": False}
        if node.op in _UPSAMPLES:
            return self._upsampled(node, held)
        if node.op == aten.cat.default and args["dim"] in (1, -1 - axes):
            if not all(isinstance(item, Value) for item in args["tensors"]):
                raise _CannotCrop
            return asked, {}
        if torch.Tag.pointwise in node.op.tags or node.op in _BY_ENTRY or node.op in _BY_CHANNEL:
            return self._entries(node, held)
        raise _CannotCrop

    def _entries(self, node: Node, held: _Held) -> tuple[list[Span], Mapping[str, Argument]]:
        shapes = [tuple(constant.tensor.shape) for constant in node.constants()]
        if node.op not in _BY_CHANNEL and any(prod(shape[-self._axes :]) != 1 for shape in shapes):
            raise _CannotCrop
        if any(value.geometry.size != held.size for value in node.values()) or node.arguments.get("training"):
            raise _CannotCrop
        return held.asked, {}

    def _transposed(
        self, held: _Held, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
    ) -> tuple[list[Span], Mapping[str, Argument]]:
        """Each place of the input adds to the places from `stride` times its own, less the padding, on."""
        how = list(zip(held.asked, kernel, stride, padding, dilation, strict=True))
        spans = [(-((d * (k - 1) - p - a) // s), (b - 1 + p) // s + 1) for (a, b), k, s, p, d in how]
        reach = zip(spans, how, strict=True)
        held.take([(i * s - p, (j - 1) * s - p + d * (k - 1) + 1) for (i, j), (_, k, s, p, d) in reach])
        return spans, {"padding": [0] * self._axes, "output_padding": [0] * self._axes}

    def _upsampled(self, node: Node, held: _Held) -> tuple[list[Span], Mapping[str, Argument]]:
        source = next(node.values()).geometry.size
        factors = [big // small for big, small in zip(held.size[2:], source[2:], strict=True)]
        scales = [scale for name, scale in node.arguments.items() if name.startswith("scales") and scale is not None]
        if [n * f for n, f in zip(source[2:], factors, strict=True)] != list(held.size[2:]) or (
            scales and scales != factors
        ):
            raise _CannotCrop
        spans = [(a // f, -(-b // f)) for (a, b), f in zip(held.asked, factors, strict=True)]
        held.take([(a * f, b * f) for (a, b), f in zip(spans, factors, strict=True)])
        return spans, {"output_size": list(held.count)}

    # -- forwards: the program -----------------------------------------------------------------------------------------

    def _number(self, value: Value) -> int:
        return self._numbers.setdefault((value.storage, value.version), len(self._numbers))

    def _made(self, value: Value) -> Value:
        """A tensor of the crop, in memory of its own."""
        held = self._held[value.storage, value.version]
        size = (*held.size[:2], *held.count)
        number, dtype = self._number(value), value.geometry.dtype
        self._storages[number] = Storage(prod(size), dtype, None)
        return Value(number, 0, Geometry(0, size, _strides(size), dtype), value.roots)

    def _read(self, value: Value, spans: Sequence[Span]) -> Value:
        """The places of a tensor that somebody reads."""
        held = self._held[value.storage, value.version]
        strides = _strides((*held.size[:2], *held.count))
        offset = sum((a - f) * s for (a, _), f, s in zip(spans, held.first, strides[2:], strict=True))
        size = (*held.size[:2], *(b - a for a, b in spans))
        return Value(self._number(value), 0, Geometry(offset, size, strides, value.geometry.dtype), value.roots)

    def _node(self, number: int, node: Node, spans: Sequence[Span], changed: Mapping[str, Argument]) -> Node:
        def shown(argument: Argument) -> Argument:
            if isinstance(argument, Value):
                return self._read(argument, spans)
            return [shown(item) for item in list[Any](argument)] if isinstance(argument, list) else argument

        arguments = {name: shown(argument) for name, argument in node.arguments.items()} | dict(changed)
        output = node.outputs[0]
        assert output is not None
        outputs = (self._made(output), *(None for _ in node.outputs[1:]))
        return replace(node, index=number, arguments=arguments, outputs=outputs)


def _windows(
    asked: Sequence[Span],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[Span]:
    """Which places the windows of the places that are asked for cover."""
    how = zip(asked, kernel, stride, padding, dilation, strict=True)
    return [(a * s - p, (b - 1) * s - p + d * (k - 1) + 1) for (a, b), k, s, p, d in how]


def _strides(size: Sequence[int]) -> tuple[int, ...]:
    return tuple(prod(size[axis + 1 :]) for axis in range(len(size)))
