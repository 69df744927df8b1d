"""What a module may not do while it is recorded, and how everything it changed is put back."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine._torch_compat import TorchFunctionMode


class Refusal(BaseException):
    """Stops a recording; not an `Exception`, so that a module's own `except Exception` does not swallow it."""


# Each of these hands numbers to Python, to another library or to a file, where they cannot be followed.
_LEAKS = {
    getattr(Tensor, name): name
    for name in (
        "numpy", "tolist", "item", "data_ptr", "storage", "untyped_storage", "_typed_storage", "share_memory_",
        "apply_", "map_", "map2_", "set_", "resize_", "resize_as_",
        "__array__", "__array_wrap__", "__float__", "__bool__", "__int__", "__index__", "__complex__", "__contains__",
        "__dlpack__", "__deepcopy__", "__reduce__", "__reduce_ex__", "__repr__", "__format__",
    )
    if hasattr(Tensor, name)
}  # fmt: skip
_LEAKS[Tensor.data.__set__] = "assignment to .data"  # pyright: ignore[reportAttributeAccessIssue]


class LeakGuard(TorchFunctionMode):
    """Refuses whatever would carry a number that depends on the input out of sight.

    Args:
        depends: says whether a tensor depends on the input.
        refuse: called with the reason; expected to raise.
    """

    def __init__(self, depends: Callable[[Tensor], bool], refuse: Callable[[str], None]) -> None:
        super().__init__()
        self._depends, self._refuse = depends, refuse

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        leak = _LEAKS.get(func)
        if leak is not None and any(isinstance(arg, Tensor) and self._depends(arg) for arg in args):
            self._refuse(
                f"it takes numbers that depend on the input out of PyTorch's sight ({leak}); "
                "what happens to them there cannot be followed"
            )
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def same_randomness() -> Generator[None]:
    """Leave the random state of PyTorch, NumPy and Python as it was."""
    python_state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python_state)
            if numpy is not None:
                numpy.random.set_state(numpy_state)


class ModuleState:
    """The attributes of a module and its parts, with the dicts and lists among them, compared and put back."""

    def __init__(self, module: nn.Module) -> None:
        self._before = [
            (name, part, dict(vars(part)), {key: _items(value) for key, value in vars(part).items()})
            for name, part in module.named_modules()
        ]

    def restore(self) -> list[str]:
        """Put every attribute back; the result names those that had changed."""
        changed: list[str] = []
        for name, part, attributes, contents in self._before:
            now = vars(part)
            differing = {key for key in attributes.keys() | now.keys() if attributes.get(key) is not now.get(key)}
            for key, items in contents.items():
                container = attributes[key]
                if _identities(_items(container)) != _identities(items):
                    differing.add(key)
                    container.clear()
                    container.update(items) if isinstance(container, dict) else container.extend(items)
            if differing:
                now.clear()
                now.update(attributes)
                changed += [f"{name}.{key}".lstrip(".") for key in sorted(differing)]
        return changed


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.items())
    return list(value) if isinstance(value, list) else []


def _identities(items: list[Any]) -> list[Any]:
    return [tuple(map(id, item)) if isinstance(item, tuple) else id(item) for item in items]
