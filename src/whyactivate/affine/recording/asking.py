"""Whole numbers that report what is asked of them: what Python, NumPy and others can only use by asking."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch


class Watch(Protocol):
    """Whoever is told."""

    def note(self, what: str, *numbers: Any) -> None:
        """Somebody asks."""
        ...

    def answer(self, result: bool) -> bool:
        """What is answered to the question that was asked last."""
        ...


class Size(torch.SymInt):
    """A whole number that reports to its watch what is done with it, but for sums and products with fixed numbers.

    It is no `int`, which Python's own code would read without asking, but says that it is one. PyTorch's functions
    take it for one of their symbols, and hand it to the watch before they look inside.
    """

    __class__ = property(lambda self: int)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, watch: Watch, value: int) -> None:
        super().__init__(None)
        self.watch, self.value = watch, value

    def __getattr__(self, name: str) -> Any:
        """What else a whole number has."""
        found = getattr(self.value, name)
        self.watch.note("number", self.value)
        return found

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """The number as NumPy takes it."""
        self.watch.note("number", self.value)
        return np.array(self.value)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a plain number."""
        return int, (self.value,)

    def __deepcopy__(self, memo: Any) -> int:
        """A copy is a plain number."""
        return self.value


class Shape(tuple[Any, ...]):
    """A torch.Size, of which one cannot derive, whose products report, too."""

    __slots__ = ()
    __class__ = property(lambda self: torch.Size)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def numel(self) -> int:
        """The product of the sizes."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        """A size, or a shape of some of them."""
        found = super().__getitem__(index)
        return Shape(found) if isinstance(index, slice) else found

    def __add__(self, other: tuple[Any, ...]) -> Any:
        """Both shapes, one after the other."""
        return Shape((*self, *other))

    def __radd__(self, other: tuple[Any, ...]) -> Any:
        """Both shapes, one after the other."""
        return Shape((*other, *self))

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a plain one."""
        return torch.Size, (tuple(map(plain, self)),)


def plain(leaf: Any) -> Any:
    """A size as a plain number; anything else as it is."""
    return leaf.value if type(leaf) is Size else leaf


def plain_in(tree: Any) -> Any:
    """The arguments of a function, sizes in lists, tuples, dicts and slices as plain numbers."""
    kind = type(tree)
    if kind is Shape or kind is torch.Size:
        return torch.Size(map(plain, tree))
    if kind is list or kind is tuple:
        return kind(map(plain_in, tree))
    if kind is dict:
        return {key: plain_in(item) for key, item in tree.items()}
    if kind is slice:
        return slice(plain(tree.start), plain(tree.stop), plain(tree.step))
    return plain(tree)


def _with_report(name: str, what: str) -> Callable[..., Any]:
    own = getattr(int, name)

    def method(self: Size, *others: Any) -> Any:
        a, *rest = map(plain, (self, *others))
        result = own(a, *rest)
        if result is NotImplemented:
            if rest and isinstance(rest[0], float):
                self.watch.note("number", a, rest[0])
                return getattr(float, name)(float(a), rest[0])
            return result
        exact = what == "division" and type(rest[0]) is int and _is_exact(name, a, rest[0])
        if what == "product":
            if type(others[0]) is Size:
                self.watch.note(what, a, *rest)
        elif what and not exact:
            self.watch.note(what, a, *rest)
        if type(result) is bool:
            return self.watch.answer(result)
        return Size(self.watch, result) if type(result) is int and name not in _ENDS else result

    return method


def _is_exact(name: str, a: int, b: int) -> bool:
    """True where a floor division leaves no remainder: then it is a product with a fraction."""
    return name == "__floordiv__" and b != 0 and a % b == 0


_ENDS = ("__hash__", "__int__", "__index__", "__round__")
for _names, _what in (
    ("add radd sub rsub neg pos", ""),
    ("mul rmul", "product"),
    ("lt le gt ge eq ne", "comparison"),
    ("bool", "truth"),
    ("floordiv rfloordiv mod rmod divmod rdivmod truediv rtruediv", "division"),
    (
        "pow rpow and rand or ror xor rxor lshift rlshift rshift rrshift invert abs hash int index float str repr "
        "format round trunc floor ceil",
        "number",
    ),
):
    for _name in _names.split():
        setattr(Size, f"__{_name}__", _with_report(f"__{_name}__", _what))
