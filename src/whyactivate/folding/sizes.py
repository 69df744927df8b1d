"""What a module's own code does with the sizes of tensors that two recordings at two batch sizes cannot tell.

A graph holds what was recorded at two batch sizes, with whole numbers written as a·B + c. That is right for sums and
products of sizes; a comparison, a remainder or a look-up may come out differently at a third batch size. So while a
program is recorded, sizes are whole numbers that report such questions.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import TorchFunctionMode
from whyactivate.folding.cuts import cuts


@dataclass(frozen=True)
class Asked:
    """A question about sizes: the module whose code asked, what it asked, and about which numbers."""

    path: str
    what: str
    numbers: tuple[Any, ...]


def told_apart(here: tuple[Asked, ...], there: tuple[Asked, ...]) -> dict[str, str]:
    """The modules whose questions may have other answers at other batch sizes, with what they do, in words.

    The arguments are the questions at two batch sizes. Numbers that are the same at both do not grow with the batch;
    and where two numbers are compared that are equally far apart at both, they are so at every batch size.
    """
    found: dict[str, str] = {}
    same_questions = [(one.path, one.what) for one in here] == [(one.path, one.what) for one in there]
    if not same_questions:
        return {one.path: "asks other questions about sizes at another batch size" for one in (*here, *there)}
    for one, other in zip(here, there, strict=True):
        if one.numbers == other.numbers:
            continue
        if one.what == "product" and any(a == b for a, b in zip(one.numbers, other.numbers, strict=True)):
            continue
        if one.what == "comparison" and _distance(one) == _distance(other) is not None:
            continue
        found.setdefault(one.path, _WORDS[one.what])
    return found


_WORDS = {
    "comparison": "compares the number of rows with something",
    "truth": "asks whether a number that grows with the rows is 0",
    "product": "multiplies the number of rows by itself",
    "cut": "cuts the rows into parts",
    "division": "divides the number of rows with a remainder",
    "number": "does more with the number of rows than add and multiply",
    "len": "asks for len() of a tensor, and what it does with that cannot be followed (size(0) can be)",
}


def branches_at(asked: tuple[Asked, ...], other: tuple[Asked, ...], paths: Set[str]) -> list[int]:
    """The numbers of the questions with two answers that modules asked about sizes that do not grow with the batch.

    Of those that one module asks about the same numbers, the first.
    """
    found: dict[Asked, int] = {}
    for number, (one, two) in enumerate(zip(asked, other, strict=True)):
        if one.what in ("comparison", "truth") and one.path in paths and one.numbers == two.numbers:
            found.setdefault(one, number)
    return [*found.values()]


def _distance(asked: Asked) -> Any:
    a, b = asked.numbers
    return a - b if isinstance(a, int) and isinstance(b, int) else None


class SizeWatch(TorchFunctionMode):
    """Hands out sizes that report what is asked about them.

    Args:
        where: the path of the module whose code runs; None where none does.
        turned: the number of a question to which the answer is to be the other one; None for none.

    Attributes:
        asked: the questions so far.
        looked: the paths of modules whose code looked at a size at all.
        counted: the paths of those whose code looked at the number of axes.
    """

    def __init__(self, where: Callable[[], str | None], turned: int | None = None) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.looked: set[str] = set()
        self.counted: set[str] = set()
        self._where, self._turned, self._on = where, turned, False

    def __enter__(self) -> SizeWatch:
        self._on = True
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._on = False
        super().__exit__(*error)

    def note(self, what: str, *numbers: Any) -> None:
        """Somebody asks."""
        path = self._where() if self._on else None
        if path is not None:
            self.asked.append(Asked(path, what, tuple(map(plain, numbers))))

    def answer(self, result: bool) -> bool:
        """The answer to the question that was asked last: what it is, or the other one where that is wanted."""
        return result is not (self._on and self._turned == len(self.asked) - 1)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if _is_asked_by_us():
            return result
        for what, numbers in cuts(func, args, kwargs or {}):
            self.note(what, *numbers)
        path = self._where() if func in _SIZES or func in _RANKS or func is Tensor.__len__ else None
        if path is not None:
            (self.counted if func in _RANKS else self.looked).add(path)
        if func is Tensor.__len__:
            self.note("len", result)
        elif func in _SIZES:
            return self._watched(result)
        return result

    def _watched(self, result: Any) -> Any:
        if isinstance(result, torch.Size):
            return Shape(Size(self, n) for n in result)
        if isinstance(result, tuple):
            numbers: tuple[int, ...] = result
            return tuple(Size(self, n) for n in numbers)
        return Size(self, result) if type(result) is int else result


def _is_asked_by_us() -> bool:
    """Whether it is the code that records a module, and not that of the module, that asks for a size."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame.f_code.co_name == "__torch_function__" and frame.f_back is not None:
        frame = frame.f_back  # other modes pass on what was asked
    return frame.f_code.co_filename.startswith(_OURS)


_OURS = tuple(str(Path(__file__).parents[1] / part) + os.sep for part in ("affine", "folding"))

_SIZES = frozenset({
    Tensor.size,
    Tensor.numel,
    Tensor.nelement,
    Tensor.stride,
    torch.numel,
    *attrgetter("shape.__get__", "nbytes.__get__")(Tensor),
})  # fmt: skip


_RANKS = frozenset({Tensor.dim, Tensor.ndimension, attrgetter("ndim.__get__")(Tensor)})


class Size(int):
    """A whole number that reports to its watch what is done with it, but for sums and products with fixed numbers."""

    watch: SizeWatch

    def __new__(cls, watch: SizeWatch, value: int) -> Size:
        """The number, and to whom it reports."""
        made = super().__new__(cls, value)
        made.watch = watch
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a plain number."""
        return int, (int.__int__(self),)

    def __deepcopy__(self, memo: Any) -> int:
        """A copy is a plain number."""
        return int.__int__(self)


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
    return int.__int__(leaf) if isinstance(leaf, Size) else leaf


def _with_report(name: str, what: str) -> Callable[..., Any]:
    own = getattr(int, name)

    def method(self: Size, *others: Any) -> Any:
        a, *rest = map(plain, (self, *others))
        result = own(a, *rest)
        if result is NotImplemented:
            if rest and isinstance(rest[0], float):
                self.watch.note("number", a, rest[0])
            return result
        exact = what == "division" and type(rest[0]) is int and _is_exact(name, a, rest[0])
        if what == "product":
            if isinstance(others[0], Size):
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


_ENDS = ("__hash__", "__int__", "__round__")
for _names, _what in (
    ("add radd sub rsub neg pos", ""),
    ("mul rmul", "product"),
    ("lt le gt ge eq ne", "comparison"),
    ("bool", "truth"),
    ("floordiv rfloordiv mod rmod divmod rdivmod truediv rtruediv", "division"),
    (
        "pow rpow and rand or ror xor rxor lshift rlshift rshift rrshift invert abs hash int float str repr "
        "format round trunc floor ceil",
        "number",
    ),
):
    for _name in _names.split():
        setattr(Size, f"__{_name}__", _with_report(f"__{_name}__", _what))
