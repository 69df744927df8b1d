"""Hears what a module's code asks about the sizes of tensors while it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import TorchFunctionMode, without_functions
from whyactivate.affine.recording.asking import Shape, Size, plain, plain_in
from whyactivate.affine.recording.cuts import cuts
from whyactivate.affine.recording.lengths import plain_length, told_of_lengths
from whyactivate.affine.trees import leaves_of, tensors_in


@dataclass(frozen=True)
class Asked:
    """A question about sizes: the module whose code asked, what it asked, and about which numbers."""

    path: str
    what: str
    numbers: tuple[Any, ...]


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


_OURS = tuple(str(Path(__file__).parents[2] / part) + os.sep for part in ("affine", "folding"))

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
