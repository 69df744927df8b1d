"""Records a module several times: three inputs, two batch sizes; and says whether the recordings agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine._torch_compat import storage_key
from whyactivate.affine.tape import Argument, Constant, Storage, Tape, Value
from whyactivate.affine.tracker import record
from whyactivate.errors import InputError

PAIR = 2
"""How many rows the recordings have that tell whether rows mix."""


@dataclass(frozen=True, slots=True)
class Recordings:
    """The tapes of one module.

    Attributes:
        single: its program for a batch of one row; None where it does not run on one row.
        pairs: its program for a batch of two rows, recorded on three inputs.
        disagreement: how recordings of one batch size differ, or why one is missing; None where all is well.
    """

    single: Tape | None
    pairs: tuple[Tape, ...]
    disagreement: str | None

    @property
    def tapes(self) -> tuple[Tape, ...]:
        """All of them."""
        return (*([self.single] if self.single else []), *self.pairs)


@dataclass(frozen=True)
class Example:
    """An example input, taken apart into the arguments of forward.

    Tensors whose first axis is as long as that of the first floating one are taken to have one entry per row.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, example_input: Any) -> Example:
        """The example that the user gave: a tensor, a tuple of arguments, or a dict of keywords.

        Raises:
            InputError: no floating tensor with at least one row in it, or a number that is not finite.
        """
        if isinstance(example_input, Mapping):
            example = cls((), dict(example_input))
        elif isinstance(example_input, tuple):
            example = cls(tuple(example_input), {})
        else:
            example = cls((example_input,), {})
        floating = [tensor for tensor in example._tensors() if tensor.is_floating_point()]
        if not floating:
            came = [str(tensor.dtype) for tensor in example._tensors()] or [type(example_input).__name__]
            raise InputError(
                "example_input must hold at least one floating tensor, batch dimension first: affinity is a "
                f"question about real inputs. What came: {', '.join(came)}. For integer inputs (an embedding), "
                "analyse the part of the module that comes after them."
            )
        first = floating[0]
        if first.ndim == 0 or first.shape[0] == 0:
            raise InputError(
                f"example_input must have the batch dimension first and at least one row; its shape is "
                f"{tuple(first.shape)}. For one row x, pass x[None]."
            )
        for tensor in example._tensors():
            if tensor.is_meta:
                raise InputError("example_input is on the meta device, without numbers; pass an ordinary tensor")
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise InputError("example_input holds NaN or infinity; pass finite numbers")
        return example

    @property
    def rows(self) -> int:
        """The batch size of the example."""
        return next(tensor for tensor in self._tensors() if tensor.is_floating_point()).shape[0]

    def with_rows(self, rows: int, generator: torch.Generator | None = None) -> Example:
        """The example with another batch size: its own rows repeated, or random ones where a generator is given."""
        own = self.rows

        def change(item: Any) -> Any:
            if isinstance(item, (list, tuple)):
                return type(item)(map(change, item))
            if isinstance(item, dict):
                return {key: change(value) for key, value in item.items()}
            if not isinstance(item, Tensor) or item.ndim == 0 or item.shape[0] != own:
                return item
            if generator is None or not item.is_floating_point():
                return item.detach()[torch.arange(rows, device=item.device) % own]
            drawn = torch.randn((rows, *item.shape[1:]), generator=generator, dtype=torch.float64)
            return drawn.to(item.dtype).to(item.device)

        return Example(tuple(map(change, self.args)), {key: change(value) for key, value in self.kwargs.items()})

    def _tensors(self) -> list[Tensor]:
        found: list[Tensor] = []

        def collect(item: Any) -> None:
            if isinstance(item, Tensor):
                found.append(item)
            elif isinstance(item, (list, tuple)):
                for part in item:
                    collect(part)
            elif isinstance(item, dict):
                for part in item.values():
                    collect(part)

        collect(list(self.args))
        collect(dict(self.kwargs))
        return found


def record_all(module: nn.Module, example: Example) -> Recordings:
    """Record a module on two inputs of one row, and on three inputs of two rows.

    Raises:
        InputError: the module's forward raises on the example itself.
    """
    generator = torch.Generator().manual_seed(0)
    pairs: list[Tape] = []
    singles: list[Tape] = []
    try:
        for drawn in (None, generator, generator):
            pairs.append(_record(module, example.with_rows(PAIR, drawn), locate=drawn is None))
        for drawn in (None, generator):
            singles.append(_record(module, example.with_rows(1, drawn), locate=drawn is None))
    except Exception as error:
        rows = 1 if pairs else PAIR
        if example.rows == rows:
            raise _forward_raised(module, example, error) from error
        try:
            _record(module, example, locate=False)
        except Exception as own:
            raise _forward_raised(module, example, own) from own
        missing = f"it does not run on a batch of {rows} row(s): {type(error).__name__}: {error}"
        return Recordings(None, tuple(pairs), missing)
    disagreement = difference(*singles)
    for tape in pairs[1:]:
        disagreement = disagreement or difference(pairs[0], tape)
    return Recordings(singles[0], tuple(pairs), disagreement)


def _record(module: nn.Module, example: Example, *, locate: bool) -> Tape:
    return record(module, example.args, example.kwargs, locate=locate)


def _forward_raised(module: nn.Module, example: Example, error: Exception) -> InputError:
    return InputError(
        f"{type(module).__name__}'s forward raised {type(error).__name__} on a batch of {example.rows} row(s) like the "
        f"example input: {error}"
    )


def difference(one: Tape, other: Tape) -> str | None:
    """How two recordings of one program differ, in words; None where they are the same program."""
    if len(one.nodes) != len(other.nodes):
        return f"{len(one.nodes)} operations on one input, {len(other.nodes)} on another"
    for a, b in zip(one.nodes, other.nodes, strict=True):
        if a.op is not b.op:
            return f"operation {a.index} is {a.op} on one input and {b.op} on another"
        for name, argument in a.arguments.items():
            if not _same(argument, b.arguments.get(name)):
                return f"operand {name!r} of {a.op} (operation {a.index}) is not the same on two inputs"
    if len(one.outputs) != len(other.outputs) or not all(
        _same(a, b) for a, b in zip(one.outputs, other.outputs, strict=True)
    ):
        return "an output that was not seen to depend on the input changes with the input"
    if not all(_same_storage(one.storages[key], other.storages.get(key)) for key in one.storages):
        return "memory does not hold the same numbers on two inputs"
    return None


def _same(a: Argument, b: Argument) -> bool:
    if isinstance(a, Value) and isinstance(b, Value):
        return a.storage == b.storage and a.version == b.version and a.geometry == b.geometry
    if isinstance(a, Constant) and isinstance(b, Constant):
        return _same_tensor(a, b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


def _same_tensor(a: Constant, b: Constant) -> bool:
    x, y = a.tensor, b.tensor
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if storage_key(x) == storage_key(y) and a.version == b.version and x.storage_offset() == y.storage_offset():
        return x.stride() == y.stride()
    if x.is_floating_point():
        x, y = x.double(), y.double()
    if x.is_floating_point() or x.is_complex():
        return torch.equal(torch.nan_to_num(x, nan=1.5), torch.nan_to_num(y, nan=1.5)) and torch.equal(x != x, y != y)
    return torch.equal(x, y)


def _same_storage(a: Storage, b: Storage | None) -> bool:
    if b is None or a.numel != b.numel or a.dtype != b.dtype or (a.initial is None) != (b.initial is None):
        return False
    return a.initial is None or b.initial is None or _same_tensor(a.initial, b.initial)
