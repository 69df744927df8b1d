"""Watches a run for calls of what its input does not decide, under whatever name the module's code got at it."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.recording.guards import COLLECTORS, READERS
from whyactivate.affine.recording.standard_library import objection_to_call, objection_to_use
from whyactivate.affine.recording.surroundings import names_in
from whyactivate.affine.tape import Location


@dataclass(slots=True)
class Calls:
    """What was seen of runs.

    Attributes:
        notes: what the module's own code called that may answer otherwise at the next call, and where.
        ran: its code that ran, with the namespaces in which that looks up names.
        changed: what had changed after a run.
        reads: how often it asked a tensor for its numbers or its memory, in the last run.
    """

    notes: list[tuple[str, Location]] = field(default_factory=list)
    ran: dict[CodeType, dict[str, Any]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    reads: int = 0


_COMPILED = torch.compile.__code__
_PRINTED = Tensor.__repr__.__code__
READ_UNSEEN = (
    "it reads numbers of tensors where that is not seen: in a hook, a backward or another function that PyTorch calls"
)
"""What is wrong with that, in words."""
_ERROR_OF_BACKWARD = "it goes on after an error of a backward, which may tell how often PyTorch saw memory written"


@contextlib.contextmanager
def watched_calls(is_own: Callable[[str | None], bool], calls: Calls) -> Generator[None]:
    """Add to `calls` what the module's own code does meanwhile.

    Where a profiler is at work already, nothing is watched: it could not be resumed.

    Args:
        is_own: says of a module, by its name, whether what its code calls counts.
        calls: what was seen so far.
    """
    calls.reads = 0
    if sys.getprofile() is not None:
        yield
        return
    sys.setprofile(_Listener(is_own, calls).hear)
    try:
        yield
    finally:
        sys.setprofile(None)


class _Listener:
    def __init__(self, is_own: Callable[[str | None], bool], calls: Calls) -> None:
        self._is_own, self._calls = is_own, calls
        self._known: dict[CodeType, bool] = {}
        self._backwards = 0  # how many are under way

    def hear(self, frame: FrameType, event: str, called: Any) -> None:
        """Note one event, as Python tells it to a profiler."""
        if event == "call":
            self._hear_function(frame)
        elif event == "c_call":
            self._backwards += called.__name__ == compat.BACKWARD
            if self._counts(frame):
                self._calls.reads += called.__name__ in READERS and isinstance(called.__self__, Tensor)
                self._object_to(objection_to_call(called, frame.f_code), frame)
        elif event != "return" and called.__name__ == compat.BACKWARD:
            self._backwards -= 1
            if event == "c_exception":
                self._calls.notes.append((_ERROR_OF_BACKWARD, _place(frame)))

    def _hear_function(self, frame: FrameType) -> None:
        if self._counts(frame):
            self._calls.ran[frame.f_code] = frame.f_globals
            if self._backwards and not names_in(frame.f_code).isdisjoint(READERS | COLLECTORS):
                self._calls.notes.append((READ_UNSEEN, _place(frame)))
        elif frame.f_code is _PRINTED:  # an error of PyTorch's, too, may show what a call was given
            self._calls.reads += 1
        elif (caller := frame.f_back) is not None and self._counts(caller):
            if frame.f_code is _COMPILED and self._is_own(
                getattr(frame.f_locals.get("backend"), "__module__", "torch")
            ):
                self._object_to("compiles by code of its own, which may make anything of what it is given", caller)
            home, name = frame.f_globals.get("__name__"), frame.f_code.co_name
            self._calls.reads += name in READERS and home == Tensor.__module__ + "._tensor"
            self._object_to(objection_to_use(home, name), caller)

    def _counts(self, frame: FrameType) -> bool:
        own = self._known.get(frame.f_code)
        if own is None:
            own = self._known[frame.f_code] = self._is_own(frame.f_globals.get("__name__"))
        return own

    def _object_to(self, objection: str | None, caller: FrameType) -> None:
        if objection is not None:
            self._calls.notes.append((f"{caller.f_code.co_name} {objection}", _place(caller)))


def _place(frame: FrameType) -> Location:
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Location(file=file, line=line, text=linecache.getline(file, line).strip())
