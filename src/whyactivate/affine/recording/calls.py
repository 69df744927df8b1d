"""Watches a run for calls of what its input does not decide, under whatever name the module's code got at it."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from torch import Tensor

from whyactivate.affine.recording.guards import READERS
from whyactivate.affine.recording.standard_library import objection_to_call, objection_to_use
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


@contextlib.contextmanager
def watched_calls(is_own: Callable[[str | None], bool], calls: Calls) -> Generator[None]:
    """Add to `calls` what the module's own code does meanwhile.

    Where a profiler is at work already, nothing is watched: it could not be resumed.

    Args:
        is_own: says of a module, by its name, whether what its code calls counts.
        calls: what was seen so far.
    """
    known: dict[CodeType, bool] = {}
    calls.reads = 0

    def counts(frame: FrameType) -> bool:
        own = known.get(frame.f_code)
        if own is None:
            own = known[frame.f_code] = is_own(frame.f_globals.get("__name__"))
        return own

    def look(frame: FrameType, event: str, called: Any) -> None:
        if event == "call" and counts(frame):
            calls.ran[frame.f_code] = frame.f_globals
            return
        caller = frame if event == "c_call" else frame.f_back
        if event not in ("call", "c_call") or caller is None or not counts(caller):
            return
        if event == "c_call":
            objection = objection_to_call(called, frame.f_code)
            calls.reads += called.__name__ in READERS and isinstance(called.__self__, Tensor)
        else:
            home, name = frame.f_globals.get("__name__"), frame.f_code.co_name
            objection = objection_to_use(home, name)
            calls.reads += name in READERS and home == Tensor.__module__ + "._tensor"
        if objection is not None:
            calls.notes.append((f"{caller.f_code.co_name} {objection}", _place(caller)))

    if sys.getprofile() is not None:
        yield
        return
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


def _place(frame: FrameType) -> Location:
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Location(file=file, line=line, text=linecache.getline(file, line).strip())
