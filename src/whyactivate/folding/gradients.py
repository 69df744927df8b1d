"""Where the code of a module ends gradients or looks at them: a layer across such a place would pass on others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import TorchFunctionMode

_DETACHING = frozenset({Tensor.detach, Tensor.detach_, torch.detach, attrgetter("data.__get__")(Tensor)})

_HOOKING = frozenset({
    Tensor.register_hook,
    Tensor.register_post_accumulate_grad_hook,
    Tensor.retain_grad,
    attrgetter("grad_fn.__get__")(Tensor),
})  # fmt: skip

_ASKING = attrgetter("requires_grad.__get__")(Tensor)


class GradientWatch(TorchFunctionMode):
    """Tells of tensors at which gradients end or may be looked at.

    Args:
        is_on: says whether the modules run.
        cut: told of each of them, and whether it is the result of an operation of which no gradients are recorded
            (under torch.no_grad, or in a function with gradients of its own), and not merely detached or given a hook.
    """

    def __init__(self, is_on: Callable[[], bool], cut: Callable[[Any, bool], None]) -> None:
        super().__init__()
        self._is_on, self._cut, self._recorded = is_on, cut, torch.is_grad_enabled()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        quiet = self._recorded and not torch.is_grad_enabled()
        if self._is_on():
            if quiet or func in _DETACHING:
                self._cut(result, quiet)
            elif func in _HOOKING or (func == _ASKING and not result and not _is_asked_by_libraries()):
                self._cut(args[0], False)  # where the example has no gradients, a hook may be for those that have
        return result


def _is_asked_by_libraries() -> bool:
    """Whether it is code of PyTorch or of this library that asks for gradients."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame.f_code.co_name == "__torch_function__" and frame.f_back is not None:
        frame = frame.f_back  # other modes pass on what was asked
    return frame.f_code.co_filename.startswith(_LIBRARIES)


_LIBRARIES = tuple(str(Path(path)) + os.sep for path in (Path(__file__).parents[1], *torch.__path__))
