"""What a module's own code does with the sizes of tensors that two recordings at two batch sizes cannot tell.

A graph holds what was recorded at two batch sizes, with whole numbers written as a·B + c. That is right for sums and
products of sizes; a comparison, a remainder or a look-up may come out differently at a third batch size. So while a
program is recorded, sizes are numbers that report such questions (see `asking`); PyTorch's functions get plain ones.
So is what len() gives (see `lengths`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import TorchFunctionMode, without_functions
from whyactivate.affine.trees import leaves_of, tensors_in
from whyactivate.folding.asking import Shape, Size, plain, plain_in
from whyactivate.folding.cuts import cuts
from whyactivate.folding.lengths import plain_length, told_of_lengths


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
        if one.what == "made" and one.numbers[-1] != other.numbers[-1]:
            continue  # a tensor with the rows among its axes, which a graph does not hold
        found.setdefault(one.path, _WORDS[one.what])
    return found


_WORDS = {
    "comparison": "compares the number of rows with something",
    "truth": "asks whether a number that grows with the rows is 0",
    "product": "multiplies the number of rows by itself",
    "cut": "cuts the rows into parts",
    "division": "divides the number of rows with a remainder",
    "number": "does more with the number of rows than add and multiply",
    "layout": "asks how the rows lie in memory",
    "error": "tries what raises for some numbers of rows",
    "made": "computes numbers from the number of rows in a tensor",
    "len": "asks for the length of a tensor in a way of its own, and what it does with that cannot be followed",
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
        follows: whether a tensor depends on the input.

    Attributes:
        asked: the questions so far.
        looked: the paths of modules whose code looked at a size at all, or did what goes by one.
        counted: the paths of those whose code looked at the number of axes.
    """

    def __init__(self, where: Callable[[], str | None], turned: int | None, follows: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self._follows = follows
        self.asked: list[Asked] = []
        self.looked: set[str] = set()
        self.counted: set[str] = set()
        self._where, self._turned, self._on = where, turned, False
        self._lengths = told_of_lengths(self._length)

    def __enter__(self) -> SizeWatch:
        self._on = True
        self._lengths.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._on = False
        self._lengths.__exit__(None, None, None)
        super().__exit__(*error)

    def _length(self, thing: Any) -> Any:
        """What len() gives: of a tensor, in a module's code, a size that reports."""
        path = self._where() if isinstance(thing, Tensor) else None
        if path is None or _is_ours(sys._getframe(2)):  # pyright: ignore[reportPrivateUsage]
            return plain_length(thing)
        self.looked.add(path)
        with without_functions():
            return Size(self, plain_length(thing))

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
        given, named = args, dict(kwargs or {})
        args, kwargs = tuple[Any, ...](plain_in(given)), dict[str, Any](plain_in(named))
        if _is_asked_by_us():
            return func(*args, **kwargs)
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.note("error", *(size for tensor in tensors_in([args, kwargs]) for size in tensor.shape))
            raise
        for what, numbers in cuts(func, given, named):
            self.note(what, *numbers)
        asks = func in _SIZES or func in _RANKS or func is Tensor.__len__
        shapes = _goes_by_sizes(func, given) and any(map(self._follows, tensors_in([given, named])))
        path = self._where() if asks or shapes else None
        if path is not None:
            (self.counted if func in _RANKS else self.looked).add(path)
        if func is Tensor.__len__:
            self.note("len", result)
        elif func in _COPIES:
            self.note("made", *(leaf for leaf in leaves_of([args, kwargs]) if type(leaf) is int), tuple(result.shape))
        elif func in _LAYOUTS:
            self.note("layout", *(size for tensor in tensors_in([args, kwargs]) for size in tensor.shape))
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


def _goes_by_sizes(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether a function may leave a tensor as it is for one size, and not for another: `x[:, :512]`."""
    if func is not Tensor.__getitem__:
        return getattr(func, "__name__", "") in _SHAPING
    items: list[Any] = list(args[1]) if isinstance(args[1], tuple) else [args[1]]  # pyright: ignore[reportUnknownArgumentType]
    return any(type(item) is slice and not item.start is item.stop is item.step is None for item in items)


_SHAPING = frozenset({
    "as_strided", "broadcast_tensors", "broadcast_to", "chunk", "dsplit", "expand", "expand_as", "hsplit", "narrow",
    "reshape", "reshape_as", "split", "split_with_sizes", "squeeze", "squeeze_", "tensor_split", "unflatten",
    "unfold", "view", "view_as", "vsplit",
})  # fmt: skip


def _is_asked_by_us() -> bool:
    """Whether it is the code that records a module, and not that of the module, that asks for a size."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame.f_code.co_name == "__torch_function__" and frame.f_back is not None:
        frame = frame.f_back  # other modes pass on what was asked
    return _is_ours(frame)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


_OURS = tuple(str(Path(__file__).parents[1] / part) + os.sep for part in ("affine", "folding"))

_SIZES = frozenset({
    Tensor.size,
    Tensor.numel,
    Tensor.nelement,
    Tensor.stride,
    Tensor.storage_offset,
    torch.numel,
    *attrgetter("shape.__get__", "nbytes.__get__")(Tensor),
})  # fmt: skip


_COPIES = frozenset({torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor})

_LAYOUTS = frozenset({Tensor.is_contiguous, Tensor.is_same_size, torch.is_same_size, Tensor.is_set_to})

_RANKS = frozenset({Tensor.dim, Tensor.ndimension, attrgetter("ndim.__get__")(Tensor)})
