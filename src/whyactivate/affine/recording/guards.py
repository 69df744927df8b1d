"""What a module may not do while it is recorded, and how the surroundings that it changed are put back."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import random
import sys
import threading
import types
from collections.abc import Callable, Generator, Mapping
from operator import eq
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.recording.size_functions import tells_sizes
from whyactivate.affine.trees import tensors_in


class Refusal(BaseException):
    """Stops a recording; not an `Exception`, so that a module's own `except Exception` does not swallow it."""


def _methods(*names: str) -> dict[Any, str]:
    return {getattr(Tensor, name): name for name in names if hasattr(Tensor, name)}


# Each of these hands numbers to Python, to another library or to a file, where they cannot be followed.
_READS = _methods(
    "tolist", "item", "apply_", "map_", "map2_",
    "__float__", "__bool__", "__int__", "__index__", "__complex__", "__contains__", "__deepcopy__", "__repr__",
    "__format__",
)  # fmt: skip
# Each of these gives away the memory itself: what lies there can be read and changed out of sight from then on.
_LENDS = _methods(
    "numpy", "data_ptr", "storage", "untyped_storage", "_typed_storage", "share_memory_", "resize_", "resize_as_",
    "__array__", "__array_wrap__", "__dlpack__", "__reduce__", "__reduce_ex__",
)  # fmt: skip
# Each of these makes a tensor out of Python numbers, tensors of one number among them.
_COLLECTS = {
    torch.tensor: "torch.tensor",
    torch.as_tensor: "torch.as_tensor",
    torch.asarray: "torch.asarray",
    torch.scalar_tensor: "torch.scalar_tensor",
    **_methods("new_tensor", "new", "set_"),
    Tensor.data.__set__: "assignment to .data",  # pyright: ignore[reportAttributeAccessIssue]
}
_VERSION: Any = Tensor._version.__get__  # pyright: ignore
READERS = frozenset({*_READS.values(), *_LENDS.values()})
"""The names of the methods that do so."""
# Each of these reads whole numbers (lengths, places, a shape) in memory, by no operation that would be seen.
_COUNTS = {form: name for name in compat.READING_WHOLE_NUMBERS for form in compat.forms_of(name)}
COLLECTORS = frozenset(name.removeprefix("torch.") for name in _COLLECTS.values())
"""The names of what does so with numbers of tensors, in functions."""
_COPIES = frozenset({torch.tensor, Tensor.new_tensor})
_MOVES = frozenset(func for func, name in _COLLECTS.items() if name in ("set_", "assignment to .data"))
_LEAKS = {**_READS, **_LENDS, **_COLLECTS, **_COUNTS}


class LeakGuard(compat.TorchFunctionMode):
    """Refuses whatever would carry a number that depends on the input out of sight.

    Args:
        depends: says whether a tensor depends on the input.
        refuse: called with the reason; expected to raise.
        lend: called with each other tensor whose memory is given away.
        own: called with each tensor that is made here from Python numbers.

    Attributes:
        moves_memory: whether a tensor was laid over other memory.
        reads: how often numbers were read or memory was given away.
        asks_sizes: whether anything was done that tells the size of a tensor.
    """

    def __init__(
        self,
        depends: Callable[[Tensor], bool],
        refuse: Callable[[str], None],
        lend: Callable[[Tensor], None],
        own: Callable[[Tensor], None],
    ) -> None:
        super().__init__()
        self._depends, self._refuse, self._lend, self._own = depends, refuse, lend, own
        self.moves_memory = False
        self.reads = 0
        self.asks_sizes = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        leak = _LEAKS.get(func)
        if func == _VERSION:
            self._refuse("it reads how often PyTorch saw the memory of a tensor written (`_version`)")
        if leak is not None:
            self.moves_memory |= func in _MOVES
            self.reads += func not in _COUNTS
            tensors = tensors_in([args, dict(kwargs)])
            if func in _COUNTS:
                counts = [one for one in tensors if not (one.is_floating_point() or one.is_complex())]
                tensors = counts if len(tensors) > 1 else []
            for tensor in tensors:
                if self._depends(compat.unwrapped(tensor)):
                    self._refuse(
                        f"it takes numbers that depend on the input out of PyTorch's sight ({leak}); "
                        "what happens to them there cannot be followed"
                    )
                if func in _LENDS:
                    self._lend(tensor)
        if types and compat.subclasses_have_a_say() and any(compat.has_own_functions(kind) for kind in types):
            return NotImplemented  # the subclass's own code runs next, and this guard sees it
        self.asks_sizes = self.asks_sizes or tells_sizes(func) or _is_given_code(func, args, kwargs)
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.asks_sizes = True  # or whether it raised does
            raise
        if leak is not None and func in _COPIES:
            self._own(result)
        return result


def _is_given_code(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function of PyTorch's own Python is given something to call: what that does is not seen from here."""
    return isinstance(func, types.FunctionType) and any(map(callable, (*args, *kwargs.values())))


ONE_AT_A_TIME = threading.RLock()
"""Held while a module runs: random states and settings belong to the whole program, and are put back afterwards."""


@contextlib.contextmanager
def same_surroundings(note: Callable[[str], None]) -> Generator[None]:
    """Leave random states and PyTorch's global settings as they were; what had changed is noted in words."""
    with ONE_AT_A_TIME, compat.same_modes(note):
        plain = (*compat.global_settings(), *_settings_of_python())
        settings = [*_random_states(), *((words, read, write, eq) for words, read, write in plain)]
        kept = [(words, read(), read, write, same) for words, read, write, same in settings]
        try:
            yield
        finally:
            for words, before, read, write, same in kept:
                if not same(before, read()):
                    write(before)
                    note(words)


@contextlib.contextmanager
def watched(guard: LeakGuard, mode: compat.DispatchMode, note: Callable[[str], None]) -> Generator[contextvars.Context]:
    """Watch what is run in the context that is given: `note` is told what it does to its surroundings."""
    context = contextvars.copy_context()
    before = dict(context)
    with same_surroundings(note), watched_threads(note), compat.eager(), guard, mode:
        yield context
    if any(compat.is_changed(variable, before.get(variable, variable), value) for variable, value in context.items()):
        note("it changes a context variable, and so remembers something")


_Setting = tuple[str, Callable[[], Any], Callable[[Any], Any], Callable[[Any, Any], bool]]


def _random_states() -> list[_Setting]:
    words = "it draws random numbers (from {}): two calls with one input may differ"
    found: list[_Setting] = [
        (words.format("torch"), torch.get_rng_state, torch.set_rng_state, torch.equal),
        (words.format("Python's random"), random.getstate, random.setstate, eq),
    ]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        read, write = numpy.random.get_state, numpy.random.set_state
        found.append((words.format("numpy.random"), read, write, lambda a, b: a[2:] == b[2:] and (a[1] == b[1]).all()))
    return found


_SMALLEST = 2.0**-1074


def _settings_of_python() -> list[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Settings of the whole process that a forward may change: words for the change, how to read and to set each."""
    words = "it changes {} for the whole program"
    return [
        (words.format("the trace function"), sys.gettrace, sys.settrace),
        (words.format("the profile function"), sys.getprofile, sys.setprofile),
        (words.format("the recursion limit"), sys.getrecursionlimit, sys.setrecursionlimit),
        (words.format("garbage collection"), gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        (words.format("how small numbers are computed"), lambda: _SMALLEST * 1.0 == 0.0, torch.set_flush_denormal),
    ]


@contextlib.contextmanager
def watched_threads(note: Callable[[str], None]) -> Generator[None]:
    """Note it where a thread is started meanwhile: what runs there is not seen."""
    before = threading.getprofile()

    def started(*event: Any) -> None:
        sys.setprofile(before)
        note("another thread is started, and what it does cannot be followed")

    threading.setprofile(started)
    try:
        yield
    finally:
        threading.setprofile(before)  # pyright: ignore[reportArgumentType]
