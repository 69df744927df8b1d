"""Watches a run for calls of what its input does not decide, under whatever name the module's code got at it."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Callable, Generator
from types import CodeType, FrameType
from typing import Any

from whyactivate.affine.recording.standard_library import objection_to_call, objection_to_use
from whyactivate.affine.tape import Location


@contextlib.contextmanager
def watched_calls(
    is_library: Callable[[str | None], bool], note: Callable[[tuple[str, Location]], None]
) -> Generator[None]:
    """Tell `note` what code outside libraries calls meanwhile that may answer otherwise at the next call.

    Where a profiler is at work already, nothing is watched: it could not be resumed.

    Args:
        is_library: says of a module, by its name, whether it is one.
        note: told the reason, and where the call is.
    """
    known: dict[CodeType, bool] = {}

    def is_own(frame: FrameType) -> bool:
        own = known.get(frame.f_code)
        if own is None:
            own = known[frame.f_code] = not is_library(frame.f_globals.get("__name__"))
        return own

    def look(frame: FrameType, event: str, called: Any) -> None:
        caller = frame if event == "c_call" else frame.f_back
        if event not in ("call", "c_call") or caller is None or not is_own(caller):
            return
        if event == "c_call":
            objection = objection_to_call(called, frame.f_code)
        elif not is_own(frame):
            objection = objection_to_use(frame.f_globals.get("__name__"), frame.f_code.co_name)
        else:
            return
        if objection is not None:
            note((f"{caller.f_code.co_name} {objection}", _place(caller)))

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
