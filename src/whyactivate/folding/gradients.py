"""Where the code of a module keeps gradients from being passed on: a layer across such a place would pass them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import TorchFunctionMode

_DETACHING = frozenset({Tensor.detach, Tensor.detach_, torch.detach, attrgetter("data.__get__")(Tensor)})


class GradientWatch(TorchFunctionMode):
    """Tells of results at which gradients end.

    Args:
        is_on: says whether the modules run.
        cut: told of each result, and whether it is that of an operation of which no gradients are recorded (under
            torch.no_grad, or in a function with gradients of its own) and not merely detached.
    """

    def __init__(self, is_on: Callable[[], bool], cut: Callable[[Any, bool], None]) -> None:
        super().__init__()
        self._is_on, self._cut, self._recorded = is_on, cut, torch.is_grad_enabled()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        quiet = self._recorded and not torch.is_grad_enabled()
        if (quiet or func in _DETACHING) and self._is_on():
            self._cut(result, quiet)
        return result
