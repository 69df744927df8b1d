"""Which modules were called with what: a second recording, of a copy whose modules report their arguments.

A tape holds operations, not calls of modules. So hooks on a copy hand every floating tensor that goes into or
comes out of a module to an operation that nobody else uses (a threshold at `_SIGN`) with a number of its own;
its result is dropped, and on the tape it tells which value the tensor was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine._torch_compat import DispatchMode, short_name, storage_key, without_functions
from whyactivate.affine.recording import Example
from whyactivate.affine.recording.asking import plain
from whyactivate.affine.recording.size_watch import Asked, SizeWatch
from whyactivate.affine.recording.tracker import record
from whyactivate.affine.rules import find_rule
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.tape import Node, Tape, Value
from whyactivate.affine.trees import leaves_of, map_leaves, tensors_in
from whyactivate.folding.copies import copied
from whyactivate.folding.gradients import GradientWatch
from whyactivate.folding.peeking import Peeks

_SIGN = 0.7390851332151607
_mark = torch.ops.aten.threshold.default


@dataclass(frozen=True)
class Fixed:
    """A tensor that does not depend on the input, or cannot be told on the tape."""

    tensor: Tensor


@dataclass
class Call:
    """One call of a module: what went in and what came out, with Values in the place of tensors.

    Attributes:
        path: where the module is; empty for the whole.
        args: a tree of `Value`, `Fixed` and plain values.
        kwargs: the same.
        result: the same.
        first: the mark (place on the tape) at which it began; None where no mark shows it.
        last: the mark at which it ended.
    """

    path: str
    args: Any
    kwargs: Any
    result: Any = None
    first: int | None = None
    last: int | None = None
    nodes: tuple[int, ...] = ()
    parent: Call | None = field(default=None, repr=False)

    @property
    def argument(self) -> Value | None:
        """The one tensor that went in, where nothing else did."""
        alone = len(self.args) == 1 and not self.kwargs and isinstance(self.args[0], Value)
        return self.args[0] if alone else None


@dataclass(frozen=True)
class Recorded:
    """A tape without the marks, the calls in the order in which they began, and the copy that ran.

    `readers` gives, for the memory of each parameter and buffer, the modules whose own code reads it; `asked` what
    the code of modules asked about the sizes of tensors; `peeked`, for the paths of modules of which the code of
    others reads an attribute, the first of these. `detached` holds the tensors that the module's code cuts gradients
    off from or looks at the gradients of, `quiet` those that operations gave of which no gradients were recorded, as
    (storage, version); `cutting` the paths of the modules whose code does so.
    """

    module: nn.Module
    tape: Tape
    nodes: tuple[Node, ...]
    calls: tuple[Call, ...]
    readers: Mapping[int, set[str]]
    asked: tuple[Asked, ...]
    looked: frozenset[str]
    peeked: Mapping[str, str]
    detached: frozenset[tuple[int, int]]
    quiet: frozenset[tuple[int, int]]
    cutting: frozenset[str]


@dataclass(frozen=True)
class _Mark:
    number: int
    tensor: Tensor


class Caught(Exception):
    """The module at `path` raised, and the code around it caught that."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} raises, and the code around it catches that: it may not do so at another batch size")


class _Reporter:
    """The hooks of one recording."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names
        self.calls: list[Call] = []
        self.open: list[Call] = []
        self.count = 0
        self.followed: set[int] = set()
        """The memory that holds what depends on the input."""
        self.cuts: dict[int, bool] = {}
        """The marks at which gradients end, and whether they are results of operations that pass none on."""
        self.cutting: set[str] = set()

    def before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        call = Call(self.names[id(module)], self._marked(list(args)), self._marked(dict(kwargs)))
        call.parent = self.open[-1] if self.open else None
        if not self.calls:
            given = [tensor for tensor in tensors_in([args, kwargs]) if is_real(tensor.dtype) or tensor.is_complex()]
            with without_functions():
                self.followed.update(map(storage_key, given))
        self.calls.append(call)
        self.open.append(call)

    def after(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        call = self.open.pop()
        if call.path != self.names[id(module)]:
            raise Caught(call.path)
        call.result = self._marked(result)

    def follows(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on the input."""
        with without_functions():
            return storage_key(tensor) in self.followed

    def cut(self, result: Any, quiet: bool) -> None:
        """Gradients end or are looked at: a tensor is detached or hooked, or given without gradients (`quiet`)."""
        with without_functions():
            followed = [tensor for tensor in tensors_in(result) if storage_key(tensor) in self.followed]
        for tensor in followed:
            self.cuts[self._mark(tensor).number] = quiet
            self.cutting |= {call.path for call in (self.open if quiet else self.open[-1:])}

    def _marked(self, tree: Any) -> Any:
        return map_leaves(lambda leaf: self._mark(leaf) if isinstance(leaf, Tensor) else leaf, tree)

    def _mark(self, tensor: Tensor) -> _Mark:
        self.count += 1
        if tensor.is_floating_point():
            with torch.no_grad(), without_functions():
                _mark(tensor, _SIGN, self.count)
        return _Mark(self.count, tensor)


class _Watch(DispatchMode):
    """Notes in which module's call a parameter or buffer is read, be it for numbers that depend on the input or not.

    `computed` is told of each operation on numbers that do not: the sizes that go into it, and those of its results.
    """

    def __init__(self, module: nn.Module, reporter: _Reporter, computed: Callable[[Any, Any], None]) -> None:
        super().__init__()
        self.reporter, self.computed = reporter, computed
        self.readers: dict[int, set[str]] = {
            storage_key(tensor): set() for tensor in [*module.parameters(), *module.buffers()]
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = [args, kwargs or {}]
        keys = [*map(storage_key, tensors_in(operands))]
        for key in keys:
            if key in self.readers and self.reporter.open:
                self.readers[key].add(self.reporter.open[-1].path)
        result = func(*args, **(kwargs or {}))
        rule, made = find_rule(func), {*map(storage_key, tensors_in(result))}
        followed = self.reporter.followed
        if followed.isdisjoint(keys) or (rule is not None and rule.constant_result):
            followed -= made  # memory may be used again
            if short_name(func).startswith("new_"):
                operands[0] = args[1:]  # of their tensor they take nothing but its kind
            self.computed(_sizes_in(operands), _sizes_in(result))
        else:
            followed |= made
        return result


def _sizes_in(tree: Any) -> tuple[Any, ...]:
    """The shapes of tensors and the whole numbers among the operands of an operation."""
    leaves = leaves_of(tree)
    return tuple(tuple(x.shape) if isinstance(x, Tensor) else x for x in leaves if isinstance(x, (Tensor, int)))


def record_calls(module: nn.Module, example: Example, rows: int, turned: int | None = None) -> Recorded:
    """The program for so many rows, with the calls of the module's parts; a copy of the module is run.

    Where `turned` is given, the question about sizes of that number gets the other answer.

    Raises:
        Caught: a part of the module raises, and the module catches that.
        Exception: the module cannot be copied, or raises.
    """
    marked = copied(module)
    reporter = _Reporter({id(part): name for name, part in marked.named_modules()})
    peeks = Peeks(lambda: bool(reporter.open))
    for part in marked.modules():
        if not isinstance(part, torch.jit.ScriptModule):
            part.register_forward_pre_hook(reporter.before, with_kwargs=True)
            part.register_forward_hook(reporter.after, with_kwargs=True, prepend=True)
    for name, part in marked.named_modules():
        if name:
            peeks.watch(part, name)
    changed = example.with_rows(rows)
    sizes = SizeWatch(lambda: reporter.open[-1].path if reporter.open else None, turned, reporter.follows)
    with (
        _Watch(marked, reporter, partial(sizes.note, "made")) as watch,
        sizes,
        GradientWatch(lambda: bool(reporter.open), reporter.cut),
    ):
        tape = record(marked, changed.args, changed.kwargs)
    if reporter.open and tape.refusal is None:
        raise Caught(reporter.open[-1].path)
    nodes, cuts = _read(tape, reporter)
    return Recorded(
        marked,
        tape,
        nodes,
        tuple(reporter.calls),
        watch.readers,
        tuple(sizes.asked),
        _who_looked(sizes, marked),
        peeks.found,
        frozenset(key for key, quiet in cuts if not quiet),
        frozenset(key for key, quiet in cuts if quiet),
        frozenset(reporter.cutting),
    )


def _who_looked(sizes: SizeWatch, module: nn.Module) -> frozenset[str]:
    """Whose code looked at sizes, or, but for the checks in PyTorch's own layers, at the number of axes."""
    own = {path for path, part in module.named_modules() if type(part).__module__.startswith("torch.nn.")}
    return frozenset(sizes.looked | sizes.counted - own)


def _read(tape: Tape, reporter: _Reporter) -> tuple[tuple[Node, ...], set[tuple[tuple[int, int], bool]]]:
    """The operations without the marks, and where gradients end; marks tell what the calls were given and gave."""
    marks: dict[int, tuple[Value, int]] = {}
    nodes: list[Node] = []
    for node in tape.nodes:
        value = node.arguments.get("self")
        if node.op is _mark and node.arguments.get("threshold") == _SIGN and isinstance(value, Value):
            number: Any = node.arguments["value"]
            marks[int(number)] = (value, node.index)
        else:
            nodes.append(node)
    for call in reporter.calls:
        places: list[int] = []

        def told(leaf: Any, places: list[int] = places) -> Any:
            if not isinstance(leaf, _Mark):
                return plain(leaf)
            if leaf.number not in marks:
                return Fixed(leaf.tensor)
            places.append(marks[leaf.number][1])
            return marks[leaf.number][0]

        call.args, call.kwargs = map_leaves(told, call.args), map_leaves(told, call.kwargs)
        entered = len(places)
        call.result = map_leaves(told, call.result)
        if entered and (entered < len(places) or call.result is None):
            call.first, call.last = min(places), max(places)
        if call.first is not None and call.last is not None and call.result is not None:
            call.nodes = tuple(node.index for node in nodes if call.first < node.index < call.last)
    cut = {(marks[number][0], quiet) for number, quiet in reporter.cuts.items() if number in marks}
    return tuple(nodes), {((value.storage, value.version), quiet) for value, quiet in cut}
