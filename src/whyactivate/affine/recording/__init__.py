"""Records a module several times: several inputs, several batch sizes; and says whether the recordings agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine._torch_compat import is_compiling_possible, is_foreign, is_uninitialised, storage_key
from whyactivate.affine.garbage import rarely_collected
from whyactivate.affine.pairs import as_pairs, real_dtype
from whyactivate.affine.recording.calls import READ_UNSEEN, Calls
from whyactivate.affine.recording.guards import ONE_AT_A_TIME
from whyactivate.affine.recording.listening import Event, Heard, listen
from whyactivate.affine.recording.repetition import repeat
from whyactivate.affine.recording.row_classes import MOST_ROWS, find_classes
from whyactivate.affine.recording.scripts import Script
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracker import record, run_unwatched
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.tape import Argument, Constant, Location, Storage, Tape, Value
from whyactivate.affine.trees import leaves_of, like, lying_as, map_leaves, tensors_in
from whyactivate.errors import InputError

FEW = range(2, 9)
"""Batch sizes at which it is always looked at whether rows mix."""
_MOST_SIZES, _MOST_NUMBERS = 8, 2**20
"""Of the batch sizes that code names: how many are tried, and of how many numbers at most."""
_MOST_ON_THE_WAY = 2**22
"""Of those at which an answer about sizes changes: of how many numbers on the way at most."""
_STRAYED = "it did something else when it was run again"
_FAR = 2.0**10
"""How large the numbers of some of the inputs are, so that what happens only far from 0 may be met."""


@dataclass(frozen=True, slots=True)
class Recordings:
    """The tapes of one module; only some of them where one is refused.

    Attributes:
        singles: its program for a batch of one row, recorded on two inputs; empty where it does not run on one row.
        pairs: its program for a batch of two rows, recorded on three inputs.
        several: its program for a few rows and, where that is more, for as many as the example has.
        missing: why a recording is missing, None where all are there.
        disagreement: how recordings of one batch size differ, None where they do not.
        unwatched: what the module returns for the second of `pairs` when it is not being recorded, and the input
            lies in memory as the example does.
        undecided_by_input: what it called then that may answer otherwise at the next call, and where.
        rows: how many rows the example has.
        open: what the code does with the number of rows for which that makes a difference at numbers of rows that were
            not tried, as far as is known; None where it does nothing of that kind.
    """

    singles: tuple[Tape, ...]
    pairs: tuple[Tape, ...]
    several: tuple[Tape, ...]
    missing: str | None
    disagreement: str | None
    unwatched: tuple[Tensor, ...] = ()
    undecided_by_input: tuple[tuple[str, Location], ...] = ()
    rows: int = 1
    open: Event | None = None

    @property
    def single(self) -> Tape | None:
        """The program for one row; None where the module does not run on one row."""
        return self.singles[0] if self.singles else None

    @property
    def is_complete(self) -> bool:
        """True where all that the module does could be followed to its outputs, and is the same on every input."""
        followed = all(tape.refusal is None and not tape.state and tape.outputs for tape in self.tapes)
        agreed = self.missing is None and self.disagreement is None
        return followed and agreed and not self.undecided_by_input

    @property
    def tapes(self) -> tuple[Tape, ...]:
        """All of them."""
        return (*self.singles, *self.pairs, *self.several)

    def only(self, outputs: Sequence[int]) -> Recordings:
        """The recordings with some of the module's outputs alone."""
        singles, pairs, several = (
            tuple(tape.only(outputs) for tape in tapes) for tapes in (self.singles, self.pairs, self.several)
        )
        unwatched = tuple(self.unwatched[one] for one in outputs) if self.unwatched else ()
        return replace(self, singles=singles, pairs=pairs, several=several, unwatched=unwatched)


@dataclass(frozen=True)
class Example:
    """An example input, taken apart into the arguments of forward.

    Tensors whose first axis is as long as that of the first floating one are taken to have one entry per row. Complex
    tensors count as floating: a complex number is two real ones.
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
        floating = [tensor for tensor in example._tensors() if _is_input(tensor)]
        if not floating:
            came = [str(tensor.dtype) for tensor in example._tensors()]
            advice = (
                "For integer inputs (an embedding), analyse the part of the module that comes after them."
                if came
                else "Numbers in lists and arrays become one by torch.as_tensor."
            )
            raise InputError(
                "example_input must hold at least one floating tensor, batch dimension first: affinity is a question "
                f"about real inputs. What came: {', '.join(came) or type(example_input).__name__}. {advice}"
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
            if tensor.layout != torch.strided or tensor.is_quantized or is_foreign(type(tensor)):
                kind = f"{type(tensor).__name__}, {tensor.layout}, {tensor.dtype}"
                raise InputError(f"example_input must hold plain dense tensors; what came: {kind}")
            if _is_input(tensor) and not is_real(real_dtype(tensor.dtype)):
                raise InputError(f"example_input is {tensor.dtype}; pass float16, bfloat16, float32 or float64")
            if _is_input(tensor) and not bool(torch.isfinite(as_pairs(tensor.detach())).all()):
                raise InputError("example_input holds NaN or infinity; pass finite numbers")
        return example

    @property
    def rows(self) -> int:
        """The batch size of the example."""
        return next(tensor for tensor in self._tensors() if _is_input(tensor)).shape[0]

    @property
    def holds_integers(self) -> bool:
        """True where a tensor of it is not floating, and so is held fixed."""
        return not all(_is_input(tensor) for tensor in self._tensors())

    def with_rows(self, rows: int, generator: torch.Generator | None = None, scale: float = 1.0) -> Example:
        """The example with another batch size: its own rows repeated, or random ones where a generator is given."""
        own = self.rows

        def change(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            has_rows = item.ndim > 0 and item.shape[0] == own
            if _is_input(item) and generator is not None:
                shape = (rows, *item.shape[1:]) if has_rows else item.shape
                dtype = torch.complex128 if item.is_complex() else torch.float64
                drawn = torch.randn(shape, generator=generator, dtype=dtype, device="cpu") * scale
                changed = drawn.to(item.dtype).to(item.device)
            elif has_rows:
                changed = item.detach()[torch.arange(rows, device=item.device) % own]
            else:
                return item
            return like(changed, item)

        return Example(tuple(map_leaves(change, list(self.args))), map_leaves(change, dict(self.kwargs)))

    def sizes_to_try(self, named: Iterable[int]) -> list[int]:
        """The smallest of some batch sizes, as far as they are cheap."""
        numbers = sum(tensor.numel() for tensor in self._tensors()) / self.rows
        return [rows for rows in sorted(named) if rows * numbers < _MOST_NUMBERS][:_MOST_SIZES]

    def given(self, rows: Tensor) -> Example:
        """These rows as the one floating tensor, and everything else as in the example, for as many rows."""

        def change(item: Any) -> Any:
            return rows if isinstance(item, Tensor) and _is_input(item) else item

        other = self.with_rows(rows.shape[0])
        return Example(tuple(map_leaves(change, list(other.args))), map_leaves(change, dict(other.kwargs)))

    def lying_as(self, model: Example) -> Example:
        """The same numbers, in memory that is laid out as that of an example of the same form."""
        found: list[Any] = []
        map_leaves(found.append, [list(model.args), dict(model.kwargs)])
        models = iter(found)

        def lay(item: Any) -> Any:
            model = next(models)
            return like(lying_as(item.detach(), model), item) if isinstance(item, Tensor) else item

        return Example(tuple(map_leaves(lay, list(self.args))), map_leaves(lay, dict(self.kwargs)))

    def _tensors(self) -> list[Tensor]:
        return tensors_in(map_leaves(lambda leaf: leaf if isinstance(leaf, Tensor) else None, [self.args, self.kwargs]))


def _is_input(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def check_module(module: object, asked: str) -> None:
    """Make sure that `asked` was given a module with numbers in it.

    Raises:
        InputError: no `nn.Module`, or a parameter or buffer of it has no shape or no numbers.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"{asked} needs an nn.Module; what came is of type {type(module).__name__}")
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_uninitialised(tensor):
            raise InputError(f"{name} has no shape yet (a lazy module); run the module once, then call {asked}")
        if tensor.is_meta:
            raise InputError(f"{name} is on the meta device, without numbers; load its weights first")
        if type(tensor).__name__ == "FakeTensor":
            raise InputError(f"{name} is a fake tensor, without numbers; load its weights first")


def record_all(module: nn.Module, example: Example) -> Recordings:
    """Record a module on inputs of one row, of two rows, and on larger batches, near and far from 0.

    Raises:
        InputError: the module's forward raises on the example itself.
    """
    could_compile = is_compiling_possible()
    with ONE_AT_A_TIME, rarely_collected():
        recordings = _record_all(module, example)
        if is_compiling_possible() and not could_compile:  # it compiles something itself, which hides what it does
            recordings = _record_all(module, example)
    return recordings


def _record_all(module: nn.Module, example: Example) -> Recordings:
    generator = torch.Generator("cpu").manual_seed(0)
    few = example.rows if example.rows > 2 and example.rows in FEW else 3
    near = example.with_rows(2, generator)
    inputs = [example.with_rows(2), near, example.with_rows(1), example.with_rows(few, generator, _FAR)]
    if example.rows > few:
        inputs.append(example)
    state = State(module, leaves_of([example.args, dict(example.kwargs)]))
    takes = _Takes(module, example, state)
    if all(map(takes.take, inputs)):
        named = [example.with_rows(rows, generator) for rows in takes.sizes_to_try()]
        if all(takes.take(one, may_raise=True) for one in named) and takes.is_off_script:
            all(map(takes.take, (example.with_rows(2, generator, _FAR), example.with_rows(1, generator, -_FAR))))
    return takes.recordings(near)


class _Takes:
    """The recordings of one module, one after the other.

    The first is made with a script, by which later ones are told as far as they keep to it. What does not keep to it
    is recorded anew, with no regard to the first.
    """

    def __init__(self, module: nn.Module, example: Example, state: State) -> None:
        self._module, self._example, self._state = module, example, state
        self._tapes: dict[int, list[Tape]] = {}
        self._script = Script(2)
        self._missing: str | None = None
        self._disagreement: str | None = None
        self.is_off_script = False
        self._open: Event | None = None
        self._raised: dict[int, Event] = {}

    def take(self, one: Example, *, may_raise: bool = False) -> bool:
        """Record one more; False where nothing more can be known.

        Args:
            one: the input.
            may_raise: whether forward may refuse that many rows.

        Raises:
            InputError: forward raises on an input as large as the example.
        """
        module = self._module
        try:
            tape = self._record(one)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if may_raise:
                return True
            if one.rows == self._example.rows:
                raise InputError(
                    f"{type(module).__name__}'s forward raised {type(error).__name__} on a batch of {one.rows} row(s) "
                    f"like the example input: {error}"
                ) from error
            self._missing = f"it does not run on a batch of {one.rows} row(s): {type(error).__name__}: {error}"
            self.is_off_script = True
            return True
        self._open = self._open or self._raised.get(one.rows)  # what came after that was not heard
        self._tapes.setdefault(one.rows, []).append(tape)
        return tape.refusal is None and not tape.state

    def sizes_to_try(self) -> list[int]:
        """Other batch sizes for which the module's code may make a difference, as far as they are cheap."""
        module, example, tried = self._module, self._example, self._tapes.keys()
        named = [rows for rows in example.sizes_to_try(self._state.sizes - tried) if rows <= 64 or self._is_cheap(rows)]
        asked = any(tape.asks_sizes for tapes in self._tapes.values() for tape in tapes)
        if not (asked and self._state.asks_for_sizes):
            return named

        def heard(rows: int) -> Heard:
            one = example.with_rows(rows)
            return listen(module, one.args, one.kwargs, rows, self._state)

        classes = find_classes(heard, tried | set(named), self._is_cheap, _MOST_SIZES)
        self._open, self._raised = classes.open, classes.raised
        return sorted({*named, *classes.to_try})

    def _is_cheap(self, rows: int) -> bool:
        """Whether a run with so many rows makes few enough numbers, going by how many those so far made."""
        made = {size: _numbers_on_the_way(tapes[0]) for size, tapes in [*self._tapes.items()][:3]}
        return rows <= MOST_ROWS and _extrapolated(made, rows) <= _MOST_ON_THE_WAY

    def _record(self, one: Example) -> Tape:
        found = self._tapes.get(one.rows, [])
        number = sum(map(len, self._tapes.values()))
        if number:
            told = repeat(self._module, one.args, one.kwargs, one.rows, self._script, self._state)
            if told is not None:
                return told
            self.is_off_script = True
        before, script = self._script, Script(one.rows) if one.rows == self._script.rows else None
        tape = record(
            self._module, one.args, one.kwargs, locate=not found, state=self._state, filler=number, script=script
        )
        if found and tape.refusal is None:
            self._disagreement = self._disagreement or difference(found[0], tape)
        if script is not None:
            self._script = script
            if before.is_same_as(script):
                self._disagreement = self._disagreement or _STRAYED
        return tape

    def recordings(self, near: Example) -> Recordings:
        """All of them, with what the module returns for one of the inputs when nobody watches."""
        pairs, singles = self._tapes.pop(2, []), self._tapes.pop(1, [])
        several = [tape for found in self._tapes.values() for tape in found]
        unwatched: tuple[Tensor, ...] = ()
        calls = Calls()
        if self._missing is None and all(
            tape.refusal is None and not tape.state for tape in (*singles, *pairs, *several)
        ):
            lying = near.lying_as(self._example)
            unwatched = run_unwatched(self._module, lying.args, lying.kwargs, self._state, calls)
            if self._state.follow(calls.ran):
                unwatched = run_unwatched(self._module, lying.args, lying.kwargs, self._state, calls)
            if calls.reads > pairs[0].reads:
                calls.notes.append((READ_UNSEEN, Location()))
            if calls.changed:
                changed = ", ".join(dict.fromkeys(calls.changed))
                calls.notes.append((f"the module changes itself while it runs ({changed})", Location()))
        return Recordings(
            tuple(singles),
            tuple(pairs),
            tuple(several),
            self._missing,
            self._disagreement,
            unwatched,
            tuple(dict.fromkeys(calls.notes)),
            self._example.rows,
            self._open,
        )


def _numbers_on_the_way(tape: Tape) -> int:
    return sum(storage.numel for storage in tape.storages.values())


def _extrapolated(values: Mapping[int, int], at: int) -> Fraction:
    """The polynomial through some values, elsewhere."""
    return sum(
        (
            Fraction(value) * prod(Fraction(at - other, place - other) for other in values if other != place)
            for place, value in values.items()
        ),
        Fraction(0),
    )


def difference(one: Tape, other: Tape) -> str | None:
    """How two recordings of one program differ, in words; None where they are the same program."""
    if one.nodes is other.nodes:
        return None
    if len(one.nodes) != len(other.nodes):
        return f"{len(one.nodes)} operations on one input, {len(other.nodes)} on another"
    for a, b in zip(one.nodes, other.nodes, strict=True):
        if a is b:
            continue
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
    try:
        return a is b or (type(a) is type(b) and bool(a == b))
    except Exception:  # packed weights of quantised layers, say: what cannot be compared may differ
        return False


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
    if a is b:
        return True
    if b is None or a.numel != b.numel or a.dtype != b.dtype or (a.initial is None) != (b.initial is None):
        return False
    return a.initial is None or b.initial is None or _same_tensor(a.initial, b.initial)
