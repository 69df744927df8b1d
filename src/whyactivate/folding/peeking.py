"""Which attributes of a module are read by the code of others: what they would miss if another took its place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import nn

from whyactivate.affine._torch_compat import MODULE_CALL_CODE

_MACHINERY = MODULE_CALL_CODE.co_filename
_CALLING = frozenset({"_call_impl", "_wrapped_call_impl", "inner"})


class Peeks:
    """Notes who reads what of the modules that it watches.

    Args:
        is_on: says whether the modules run.

    Attributes:
        found: for each path, the first attribute that other code read.
    """

    def __init__(self, is_on: Callable[[], bool]) -> None:
        self.found: dict[str, str] = {}
        self._is_on = is_on
        self._paths: dict[int, str] = {}

    def watch(self, module: nn.Module, path: str) -> None:
        """Note what is read of a module from now on; its class becomes one of its own."""
        kind = type(module)

        def read(part: Any, name: str) -> Any:
            if not name.startswith("__") and self._is_on():
                self._note(part, name, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
            return kind.__getattribute__(part, name)

        self._paths[id(module)] = path
        if not isinstance(module, torch.jit.ScriptModule):
            own = {"__getattribute__": read, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
            module.__class__ = type(kind.__name__, (kind,), own)

    def _note(self, part: nn.Module, name: str, frame: FrameType) -> None:
        path = self._paths.get(id(part), "")
        if path in self.found or (frame.f_code.co_filename == _MACHINERY and frame.f_code.co_name in _CALLING):
            return
        if frame.f_locals.get("self") is not part:
            self.found[path] = name
