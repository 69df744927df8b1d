"""Hears what a module's code makes of the number of rows while it runs: what it asks, and where it takes the number."""

from __future__ import annotations

import collections
import dis
import functools
import itertools
import linecache
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine._torch_compat import TorchFunctionMode, eager, without_functions
from whyactivate.affine.recording.counts import Count, Ratio, form_of, is_counted, plain_number
from whyactivate.affine.recording.forms import Form, Leaf
from whyactivate.affine.recording.guards import same_surroundings
from whyactivate.affine.recording.lengths import plain_length, told_of_lengths
from whyactivate.affine.recording.size_functions import CHUNKS, EVEN_SPLITS, PARTS, SIZES, SPLITS
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracked_names import Counting, as_python_knows_it, tracked_names
from whyactivate.affine.tape import Location
from whyactivate.affine.trees import fresh_as_it_lies, map_leaves, tensors_in

Place = tuple[CodeType, int]
"""An instruction."""


@dataclass(frozen=True, slots=True)
class Event:
    """A question about sizes, or a use that is made of one.

    Attributes:
        place: the instruction that asked.
        form: what was asked, or the number that was taken, as a form.
        answer: what was answered; None where the number itself was taken.
        what: what was done with it; empty for a question.
        line: where that stands.
    """

    place: Place
    form: Form
    answer: bool | None
    what: str
    line: Location

    @property
    def words(self) -> str:
        """What it leaves open."""
        what = _WORDS.get(self.what, f"takes the number of rows out of sight ({self.what})")
        return f"its code {what}, and for which numbers of rows that makes a difference is not known"


_TEXTS = ("str", "repr", "format")
_WORDS = {
    **dict.fromkeys(_TEXTS, "makes a text of the number of rows"),
    "": "asks about the number of rows",
    "hash": "looks something up by the number of rows",
    "index": "counts off places by the number of rows, or hands it to what is not followed",
    "raised": "cannot be run with sizes that tell what is asked of them",
    "error": "goes on after an error that may be one of sizes",
    "read": "reads numbers that follow from the number of rows off a tensor",
}


@dataclass(slots=True)
class Heard:
    """What was heard of one run.

    Attributes:
        rows: how many there were.
        events: the questions and uses, in order.
        leaves: what each size was.
        raised: where the run came to no end; None where it came to one.
    """

    rows: int
    events: list[Event] = field(default_factory=list["Event"])
    leaves: dict[Leaf, int | float] = field(default_factory=dict[Leaf, "int | float"])
    raised: Event | None = None


def listen(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], rows: int, state: State) -> Heard:
    """What `module(*args, **kwargs)` makes of the number of rows, up to where it raises."""
    heard = _heard(module, args, kwargs, rows, state, state.namespaces())
    # PyTorch takes Python's own `float` for a dtype, and nothing else that stands for it.
    return heard if heard.raised is None else _heard(module, args, kwargs, rows, state, [])


def _heard(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    rows: int,
    state: State,
    spaces: Sequence[dict[str, Any]],
) -> Heard:
    listener = _Listener(rows, state.is_own)
    args, kwargs = map_leaves(fresh_as_it_lies, list(args)), map_leaves(fresh_as_it_lies, dict(kwargs))
    names = tracked_names(spaces, listener)
    try:
        with same_surroundings(lambda words: None), eager(), listener, names:
            module(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        listener.raise_at(error)
    finally:
        state.restore(lambda tensor: False)
    return listener.heard


class _Listener(TorchFunctionMode):
    """Hands out sizes that report what is made of them."""

    def __init__(self, rows: int, is_own: Callable[[str | None], bool]) -> None:
        super().__init__()
        self.heard = Heard(rows)
        self._is_own = is_own
        self._turns: collections.Counter[tuple[Any, ...]] = collections.Counter()
        self._lengths = told_of_lengths(self.length)
        self._made: dict[int, tuple[Tensor, int]] = {}  # tensors made of sizes alone, and how they were

    def __enter__(self) -> _Listener:
        self._lengths.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._lengths.__exit__(None, None, None)
        super().__exit__(*error)

    # -- what is heard ----------------------------------------------------------------------------------------

    def question(self, form: Form, answer: bool) -> None:
        """A question with two answers."""
        frame = _asking_frame()
        self.heard.events.append(Event(_place(frame), form, answer, "", _line(frame)))

    def taken(self, form: Form, what: str) -> None:
        """The number itself is put to a use in which it cannot be followed; only the module's own code counts."""
        frame = _asking_frame()
        if what == "index" and _is_only_a_place(frame):
            return
        caller = frame
        while _is_of_python(caller) and caller.f_back is not None:
            if _package(caller) in _TELLS_PEOPLE:
                return
            caller = caller.f_back
        if self._is_own(caller.f_globals.get("__name__")):
            self.heard.events.append(Event(_place(caller), form, None, what, _line(caller)))

    def raise_at(self, error: BaseException) -> None:
        """The run came to no end; a text that was made on the way went into the error, and decides nothing."""
        heard, at = self.heard, error.__traceback__
        while at is not None and at.tb_next is not None and not _is_ours(at.tb_next.tb_frame):
            at = at.tb_next
        frame = at.tb_frame if at is not None else sys._getframe()  # pyright: ignore[reportPrivateUsage]
        heard.raised = Event(_place(frame), None, None, "raised", _line(frame))
        heard.events = [event for event in heard.events if event.what not in _TEXTS]

    def leaf(self, value: Any, *which: Any) -> Leaf:
        """A size that is asked for here."""
        place = (*_place(_asking_frame()), *which)
        self._turns[place] += 1
        leaf = Leaf((*place, self._turns[place]))
        self.heard.leaves[leaf] = value
        return leaf

    def size(self, value: Any, *which: Any) -> Any:
        """A size as a number that reports."""
        with without_functions():
            if type(value) is int:
                return Count(self, value, self.leaf(value, *which))
            return Ratio(self, value, self.leaf(value, *which)) if type(value) is float else value

    def length(self, thing: Any) -> Any:
        """What len() gives: a number that reports, of tensors in any code, and of containers in the module's own."""
        frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
        is_own = isinstance(thing, _CONTAINERS) and self._is_own(frame.f_globals.get("__name__"))
        return (
            plain_length(thing) if _is_ours(frame) or not (is_own or isinstance(thing, Tensor)) else self.count(thing)
        )

    def count(self, things: Any) -> Any:
        """How long something is, as a number that reports."""
        if type(things) is Counting:
            return things.counted_length()
        if type(things) in (_Parts, _Rows) and is_counted(known := things.length()):
            return known
        with without_functions():
            return self.size(plain_length(things))

    def is_rows(self, things: Any) -> bool:
        """Whether something is made of the rows of a tensor or of its parts, or counts them."""
        return isinstance(things, Tensor) or type(things) in (_Parts, _Rows, Counting)

    def parts(self, things: Any) -> Any:
        """What something is made of; of rows, without a word."""
        if type(things) in (_Parts, _Rows):
            return things.quietly()
        with without_functions():
            return things.unbind() if isinstance(things, Tensor) else things

    def listed(self, parts: Any, things: Any) -> Any:
        """A list or tuple of the rows of a tensor, or of its parts, as one that reports; any other as it is."""
        if not self.is_rows(things):
            return parts
        return (_Rows if isinstance(parts, list) else _Parts).of(parts, self.count(things), self)

    def repeated(self, things: Any, times: Any) -> Any:
        """A sequence, so many times in a row."""
        if isinstance(things, (list, tuple)):
            kind = _Rows if isinstance(things, list) else _Parts
            return kind.of(things * times.value, times * plain_length(things), self)
        self.taken(times.form, "index")
        return things * times.value

    def pair(self, rows: Any) -> None:
        """Rows are told apart in a way that is not followed."""
        if is_counted(counted := self.count(rows)):
            self.taken(counted.form, "index")

    # -- what PyTorch's functions are called with --------------------------------------------------------------

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, named = args, dict(kwargs or {})
        args, kwargs = tuple[Any, ...](_plain_in(given)), dict[str, Any](_plain_in(named))
        self._before(func, given, named, args)
        try:
            result = func(*args, **kwargs)
        except Exception as error:  # one of sizes tells them
            self.taken(self.leaf(hash(str(error)), "error"), "error")
            raise
        asking = _asking_frame()
        if func in SIZES and _hands_on(asking):
            return result
        if func in SIZES or (func is Tensor.__len__ and "__len__" in asking.f_code.co_names):
            if isinstance(result, tuple):
                return _Shape(self.size(one, axis) for axis, one in enumerate(result))
            return self.size(result)
        if func in PARTS:
            return _Parts.of(result, self._number_of_parts(func, given, named, args), self)
        with without_functions():
            return result if self._compare(func, args) else self._remember(func, given, named, result)

    def _before(self, func: Any, given: tuple[Any, ...], named: Mapping[str, Any], args: tuple[Any, ...]) -> None:
        if not args or not isinstance(args[0], Tensor):
            return
        if func is Tensor.__getitem__ and args[0].ndim:
            self._cut(args[0], given[1])
        elif func in SPLITS and len(given) > 1 and isinstance(given[1], int):
            axis = plain_number(named.get("dim", given[2] if len(given) > 2 else 0))
            self.compare(args[0].shape[axis], given[1])
        elif func is Tensor.__iter__ and args[0].ndim:
            self.unpacked(args[0].shape[0])
        elif func in _READS and (made := [one for one in map(self._digest, args) if one is not None]):
            self.taken(self.leaf(hash(tuple(made)), "read"), "read")

    def _compare(self, func: Any, args: tuple[Any, ...]) -> bool:
        """Ask what a tensor of one number that is made of sizes is compared with; False where there is none."""
        if func not in _COMPARISONS or len(args) != 2 or self._digest(args[0]) is None:
            return False
        if not all(isinstance(one, (int, float)) or self._digest(one) is not None for one in args):
            return False
        if any(isinstance(one, Tensor) and one.numel() != 1 for one in args):
            return False
        numbers = [one.item() if isinstance(one, Tensor) else one for one in args]
        forms = (self.leaf(one, axis) for axis, one in enumerate(numbers))
        self.question((_COMPARISONS[func], *forms), bool(func(*args)))
        return True

    def _digest(self, thing: Any) -> int | None:
        """How a tensor was made of sizes alone; None where it was not."""
        made = self._made.get(id(thing))
        return None if made is None else made[1]

    def _number_of_parts(self, func: Any, given: tuple[Any, ...], named: dict[str, Any], args: tuple[Any, ...]) -> Any:
        """How many parts a tensor is cut into; None where that does not go by its size alone."""
        places = {**dict(enumerate(given)), **named}
        axis = places.get("dim", places.get(1 if "unbind" in func.__name__ else 2, 0))
        size = self.size(args[0].shape[plain_number(axis)], "of")
        by = places.get(1, places.get("split_size", places.get("chunks")))
        if "unbind" in func.__name__:
            return size
        if func in EVEN_SPLITS and isinstance(by, int):
            return -(-size // by)
        if func in CHUNKS and isinstance(by, int):
            return -(-size // -(-size // by))
        return None

    def _cut(self, tensor: Tensor, index: Any) -> None:
        items: list[Any] = list(index) if type(index) is tuple else [index]
        if any(isinstance(item, (Tensor, list)) or item is None or isinstance(item, bool) for item in items):
            items = items[:1]
        axis = 0
        for item in items:
            if item is Ellipsis:
                axis = tensor.ndim - (len(items) - items.index(item) - 1)
                continue
            ends = (item.start, item.stop) if isinstance(item, slice) else (item,)
            for end in ends:
                if isinstance(end, int) and not (type(end) is int and -1 <= end <= 1) and axis < tensor.ndim:
                    self.compare(tensor.shape[axis], abs(end))
            if isinstance(item, slice) and type(item.step) is int and item.step > 1 and axis < tensor.ndim:
                self.compare(tensor.shape[axis], item.step)
            axis += 1

    def compare(self, size: Any, other: Any) -> None:
        """Ask whether a size is larger than another number, as PyTorch does without a word."""
        own = form_of(size) if is_counted(size) else self.leaf(size, "cut")
        self.question(("gt", own, form_of(other)), bool(plain_number(size) > plain_number(other)))

    def unpacked(self, size: Any) -> None:
        """Something with so many parts is taken apart: into as many as stand in the code, perhaps."""
        frame = _asking_frame()
        code = frame.f_code.co_code
        opcode, argument = dis.opname[code[frame.f_lasti]], code[frame.f_lasti + 1]
        if opcode == "UNPACK_SEQUENCE":
            own = form_of(size) if is_counted(size) else self.leaf(size, "parts")
            self.question(("eq", own, argument), plain_number(size) == argument)
        elif opcode == "UNPACK_EX":
            self.compare(size, (argument & 255) - 1)
        elif (
            opcode == "CALL_FUNCTION_EX"
            or (opcode == "CALL" and not _calls_pytorch(frame))
            or (opcode == "LIST_EXTEND" and _after(frame) != "PRECALL")
        ):
            self.taken(form_of(size) if is_counted(size) else self.leaf(size, "parts"), "index")

    def _remember(self, func: Any, given: tuple[Any, ...], named: dict[str, Any], result: Any) -> Any:
        """Keep it in mind where a tensor is made of sizes alone."""
        name = getattr(func, "__name__", "")
        operands = tensors_in([given, named])
        if name.endswith("_like") or name.startswith("new_"):
            operands = []
            like: Any = tuple(given[0].shape)
        else:
            like = None
        counted = [self._digest(one) for one in operands]
        if func is Tensor.item and counted and counted[0] is not None:
            return self.size(result, "item")
        sized = like is not None or any(map(is_counted, _leaves([given, named]))) or operands
        if not sized or not isinstance(result, Tensor) or None in counted:
            if func is Tensor.__setitem__ or (name.endswith("_") and operands):
                self._made.pop(id(given[0]), None)
            return result
        leaves = tuple(leaf for leaf in _leaves([_plain_in(given), _plain_in(named)]) if not isinstance(leaf, Tensor))
        self._made[id(result)] = result, hash((name, like, str(leaves), *counted))
        return result


class _Shape(tuple[Any, ...]):
    """A torch.Size, of which one cannot derive, of numbers that report."""

    __slots__ = ()
    __class__ = property(lambda self: torch.Size)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def numel(self) -> Any:
        """The product of the sizes."""
        product: Any = 1
        for size in self:
            product = product * size
        return product

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Shape(found) if isinstance(index, slice) else found

    def __add__(self, other: tuple[Any, ...]) -> Any:
        return _Shape((*self, *other))

    def __radd__(self, other: tuple[Any, ...]) -> Any:
        return _Shape((*other, *self))

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.Size, (tuple(map(int, self)),)


class _Reporting:
    """Parts of a tensor, which report where their number makes a difference."""

    counted: Any
    listener: _Listener

    @classmethod
    def of(cls, parts: Iterable[Any], counted: Any, listener: _Listener) -> Any:
        """These parts.

        Args:
            parts: the parts.
            counted: their number, which knows where it came from; None where that is not known.
            listener: who is told.
        """
        made: Any = cls(parts)  # pyright: ignore[reportCallIssue]
        made.counted, made.listener = counted, listener
        return made

    def __getitem__(self, index: Any) -> Any:
        ends = (index.start, index.stop) if isinstance(index, slice) else (index,)
        for end in ends:
            if isinstance(end, int) and not (type(end) is int and -1 <= end <= 1):
                self.listener.compare(self.length(), abs(end))
        found: Any = super().__getitem__(_plain_in(index))  # pyright: ignore
        return type(self).of(found, None, self.listener) if isinstance(index, slice) else found

    def __iter__(self) -> Any:
        self.listener.unpacked(self.length())
        found = self.quietly()
        if not all(thing is None or isinstance(thing, Tensor) for thing in found) and not any(map(is_counted, found)):
            self.listener.pair(self)
        return iter(found)

    def quietly(self) -> list[Any]:
        """The parts, without a word."""
        return [*super().__iter__()]  # pyright: ignore

    def length(self) -> Any:
        return plain_length(self) if self.counted is None else self.counted


def _telling(name: str) -> Any:
    def method(self: Any, *others: Any) -> Any:
        self.listener.pair(self)
        return getattr(super(_Reporting, self), name)(*others)

    return method


for _name in (*(f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge", "contains", "hash")), "index", "count"):
    setattr(_Reporting, _name, _telling(_name))


class _Parts(_Reporting, tuple[Any, ...]):
    """In a tuple."""

    __class__ = property(lambda self: tuple)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]


class _Rows(_Reporting, list[Any]):
    """In a list, which is followed until it is changed."""

    __class__ = property(lambda self: list)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def length(self) -> Any:
        own = self.counted
        return own if own is not None and plain_number(own) == plain_length(self) else plain_length(self)


def _plain_in(tree: Any) -> Any:
    """The arguments of a function, with plain numbers and types of Python's own in lists, tuples, dicts and slices."""
    kind = type(tree)
    if kind is _Shape or kind is torch.Size:
        return torch.Size(map(plain_number, tree))
    if kind is Counting:
        return [*map(plain_number, tree)]
    if kind is list or kind is tuple:
        return kind(map(_plain_in, tree))
    if kind is dict:
        return {key: _plain_in(item) for key, item in tree.items()}
    if kind is slice:
        return slice(plain_number(tree.start), plain_number(tree.stop), plain_number(tree.step))
    return as_python_knows_it(plain_number(tree))


def _leaves(tree: Any) -> Iterable[Any]:
    if isinstance(tree, (list, tuple)):
        for item in tree:
            yield from _leaves(item)
    elif isinstance(tree, dict):
        yield from _leaves([*tree.values()])
    elif isinstance(tree, slice):
        yield from (tree.start, tree.stop, tree.step)
    else:
        yield tree


# -- frames -----------------------------------------------------------------------------------------------------------


def _asking_frame() -> FrameType:
    """The innermost frame that is neither of this listening nor of what PyTorch wraps around its operations."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame.f_code.co_filename.startswith(_OURS + _WRAPPERS) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _place(frame: FrameType) -> Place:
    return frame.f_code, frame.f_lasti


def _line(frame: FrameType) -> Location:
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Location(file=file, line=line, text=linecache.getline(file, line).strip())


def _after(frame: FrameType) -> str:
    """The instruction after the one that is carried out."""
    return next((step.opname for step in _steps_of(frame.f_code) if step.offset > frame.f_lasti), "")


def _calls_pytorch(frame: FrameType) -> bool:
    """Whether it is one of PyTorch's functions that is called, by a name in the code such as `torch.stack`."""
    steps = [*itertools.takewhile(lambda step: step.offset <= frame.f_lasti, _steps_of(frame.f_code))]
    missing = (steps.pop().arg or 0) + 2
    if steps[-1].opname == "PRECALL":
        steps.pop()
    while steps and missing > 0:
        step = steps[-1]
        if step.opname.startswith(("JUMP", "POP_JUMP")):
            return False
        missing -= dis.stack_effect(step.opcode, step.arg, jump=False)
        steps.pop()
    called = [*_steps_of(frame.f_code)[len(steps) :]]
    if not called or called[0].opname != "LOAD_GLOBAL":
        return False
    found = frame.f_globals.get(called[0].argval)
    for step in itertools.takewhile(lambda step: step.opname in ("LOAD_ATTR", "LOAD_METHOD"), called[1:]):
        found = getattr(found, step.argval, None)
    return str(getattr(found, "__module__", None) or "torch" * (type(found) is _BUILT_IN)).startswith("torch")


_BUILT_IN = type(torch.stack)


def _is_only_a_place(frame: FrameType) -> bool:
    """Whether a whole number is asked for to store something, or to pick one of several tensors."""
    steps = [*itertools.takewhile(lambda step: step.offset <= frame.f_lasti, _steps_of(frame.f_code))]
    if steps[-1].opname != "BINARY_SUBSCR":
        return steps[-1].opname == "STORE_SUBSCR"
    if len(steps) < 3 or steps[-3].opname != "LOAD_FAST" or not steps[-2].opname.startswith("LOAD_"):
        return False
    things = frame.f_locals.get(steps[-3].argval)
    return isinstance(things, (list, tuple)) and all(isinstance(thing, Tensor) for thing in things)


@functools.lru_cache(maxsize=1024)
def _steps_of(code: CodeType) -> tuple[dis.Instruction, ...]:
    return tuple(dis.get_instructions(code))


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def _hands_on(frame: FrameType) -> bool:
    """Whether code is PyTorch's that hands sizes on to compiled code, which takes plain numbers only."""
    return str(frame.f_globals.get("__name__", "")).startswith(("torch._functorch", "torch.func"))


def _is_of_python(frame: FrameType) -> bool:
    return _package(frame) in _PYTHONS


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


_TELLS_PEOPLE = frozenset({"logging", "warnings"})
_PYTHONS = frozenset(sys.stdlib_module_names - {"__main__"}) | {"numpy"}
_OURS = tuple(str(Path(__file__).parents[2] / part) + os.sep for part in ("affine", "folding"))

_WRAPPERS = tuple(compat.TORCH_FOLDER + file for file in ("overrides.py", "_tensor.py", "functional.py"))

_CONTAINERS = (list, tuple, set, frozenset, dict, range)

_COMPARISONS = {
    form: name
    for name in ("lt", "le", "gt", "ge", "eq", "ne")
    for form in (getattr(torch, name), getattr(Tensor, name), getattr(Tensor, f"__{name}__"))
}
_READS = frozenset({
    Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__, Tensor.__contains__, Tensor.tolist,
    Tensor.numpy, Tensor.__array__, torch.equal, Tensor.equal, torch.allclose, Tensor.allclose, torch.is_nonzero,
    Tensor.is_nonzero, Tensor.__repr__, Tensor.__format__, Tensor.__complex__,
})  # fmt: skip
