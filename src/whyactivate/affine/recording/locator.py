"""Finds where an operation was asked for: the module's path and call, and the line of user code."""

from __future__ import annotations

import contextlib
import functools
import linecache
from pathlib import Path
from types import CodeType, FrameType

from torch import nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.tape import Location

_OWN_FOLDERS = tuple(str(Path(__file__).parents[2] / part) for part in ("affine", "folding", "activations"))
_NOT_USERS = (compat.TORCH_FOLDER, *_OWN_FOLDERS, contextlib.__file__, functools.__file__, "<frozen")


class Locator:
    """Reads places off the call stack of one run.

    Args:
        module: the module that runs.
        outermost: the code of the function in which the run happens, where the search stops.
        active: False where nobody will ask; it takes time.
    """

    def __init__(self, module: nn.Module, outermost: CodeType, active: bool) -> None:
        self._names = {id(part): name for name, part in module.named_modules()} if active else {}
        self._outermost, self._active = outermost, active
        self._calls: dict[str, list[FrameType]] = {}

    def locate(self) -> Location:
        """The place of the operation that the stack is in."""
        if not self._active:
            return _NOWHERE
        module = kind = ""
        call = 0
        found: FrameType | None = None
        named = False
        traced: compat.Traced | None = None
        frame: FrameType | None = compat.caller_frame()
        while frame is not None and frame.f_code is not self._outermost:
            code = frame.f_code
            if not named and code is compat.MODULE_CALL_CODE:
                part = frame.f_locals["self"]
                if id(part) in self._names:
                    module, kind, named = self._names[id(part)], type(part).__name__, True
                    call = self._call_number(module, frame)
            elif found is None and not code.co_filename.startswith(_NOT_USERS):
                found = frame
                if code.co_filename.startswith(compat.GENERATED):
                    traced = compat.traced_from(frame)
            frame = frame.f_back
        if traced is not None:
            path = f"{module}.{traced.module}".strip(".")
            return Location(path, traced.kind, call, *(traced.at or (None, None, "")), ran_in=module)
        if found is None:
            return Location(module, kind, call)
        file, line = found.f_code.co_filename, found.f_lineno
        return Location(module, kind, call, file, line, linecache.getline(file, line).strip())

    def forget(self) -> None:
        """Let go of the frames that are kept to count calls."""
        self._calls.clear()

    def _call_number(self, module: str, frame: FrameType) -> int:
        """Which call of the module this is, counted from 0; frames are kept so that none is mistaken for another."""
        frames = self._calls.setdefault(module, [])
        for number, known in enumerate(frames):
            if known is frame:
                return number
        frames.append(frame)
        return len(frames) - 1


_NOWHERE = Location()
