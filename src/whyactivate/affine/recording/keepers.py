"""Keepers: each holds what one object remembers, and can put it back and tell what had changed."""

from __future__ import annotations

import array
import collections
import ctypes
import functools
import io
import os
import pickle
import random
import re
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine import _torch_compat as compat

Depends = Callable[[Tensor], bool]
"""Says whether a tensor depends on the input."""
Keeper = Callable[[Depends], Iterable[str]]
"""Puts something back, and names what had changed."""

_LOCKS = (type(threading.Lock()), type(threading.RLock()))
MISSING = object()
"""Stands for what is not there."""
_CONTAINERS = (
    dict, list, set, collections.deque, bytearray, array.array, collections.UserDict, collections.UserList,
    weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet,
)  # fmt: skip
_PIECE = 2**20
"""Bytes that are compared at a time."""
_LARGEST_ARRAY = 2**28
"""Bytes of a NumPy array up to which it is kept; larger ones are data sets, not memories."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes, tuple, torch.dtype, torch.device)


def keeper_of(value: Any, path: str) -> Keeper | None:
    """A keeper for a tensor, a container or a random generator, not for what it leads to; None for anything else."""
    numpy: Any = sys.modules.get("numpy")
    if isinstance(value, Tensor):
        return _keeper_of_tensor(value, path)
    if isinstance(value, _CONTAINERS) or value is os.environ:
        return _keeper_of_container(value, path)
    if isinstance(value, types.CellType):
        return _keeper_of_cell(value, path)
    if isinstance(value, threading.local):
        return keeper_of_attributes(value, path)
    if isinstance(value, _LOCKS):
        return _keeper_of_parts(path, lambda: re.sub(r"owner=\d+", "", repr(value)), lambda state: value.release())
    if isinstance(value, torch.Generator):
        return _keeper_of_parts(path, value.get_state, value.set_state, torch.equal)
    if isinstance(value, (io.StringIO, io.BytesIO)):
        return _keeper_of_parts(path, lambda: (value.getvalue(), value.tell()), functools.partial(_rewrite, value))
    if numpy is not None and isinstance(value, numpy.ndarray) and value.nbytes <= _LARGEST_ARRAY:
        return _keeper_of_array(value, path)
    if numpy is not None and isinstance(value, (numpy.random.Generator, numpy.random.BitGenerator)):
        bits: Any = getattr(value, "bit_generator", value)
        return _keeper_of_parts(path, lambda: bits.state, lambda state: setattr(bits, "state", state), _same_pickle)
    if numpy is not None and isinstance(value, numpy.random.RandomState):
        return _keeper_of_parts(path, value.get_state, value.set_state, _same_pickle)
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return _keeper_of_parts(path, value.getstate, value.setstate)
    return None


def keeper_of_bytes(tensor: Tensor, path: str) -> Keeper:
    """A keeper for the numbers in a tensor's memory."""
    if compat.storage_key(tensor) == compat.NO_MEMORY or tensor.is_meta:
        return lambda depends: ()
    if tensor.device.type == "cpu":
        return _keeper_of_host_memory(tensor.untyped_storage(), path)
    live = compat.raw_bytes(tensor)
    copy = live.clone()

    def put_back(depends: Depends) -> tuple[str, ...]:
        if torch.equal(live, copy):
            return ()
        live.copy_(copy)
        return (path,)

    return put_back


def _keeper_of_host_memory(storage: torch.UntypedStorage, path: str) -> Keeper:
    """The same for memory that Python can reach, where comparing bytes is several times faster."""
    start, size = storage.data_ptr(), storage.nbytes()
    pieces = [(at, ctypes.string_at(start + at, min(_PIECE, size - at))) for at in range(0, size, _PIECE)]
    names = (path,)

    def put_back(depends: Depends) -> tuple[str, ...]:
        is_as_large = storage.nbytes() == size
        start = storage.data_ptr()
        if is_as_large and all(ctypes.string_at(start + at, len(piece)) == piece for at, piece in pieces):
            return ()
        if not is_as_large:
            storage.resize_(size)
        for at, piece in pieces:
            ctypes.memmove(storage.data_ptr() + at, piece, len(piece))
        return names

    return put_back


def keeper_of_names(space: dict[str, Any], names: Iterable[str], path: str) -> Keeper:
    """A keeper for some entries of a namespace, present or not."""
    before = {name: space.get(name, MISSING) for name in names}

    def put_back(depends: Depends) -> Iterator[str]:
        for name, value in before.items():
            now = space.get(name, MISSING)
            if now is value:
                continue
            if value is MISSING:
                del space[name]
            else:
                space[name] = value
            if not is_same(value, now, depends):
                yield f"{path}{name}"

    return put_back


def keeper_of_attributes(value: Any, path: str) -> Keeper:
    """A keeper for the attributes of an object."""
    before = dict(vars(value))

    def put_back(depends: Depends) -> Sequence[str]:
        now = vars(value)
        if _untouched(now, before):
            return ()
        changed = [
            f"{path}.{name}".lstrip(".")
            for name in sorted(before.keys() | now.keys())
            if not is_same(before.get(name, MISSING), now.get(name, MISSING), depends)
        ]
        now.clear()
        now.update(before)
        return changed

    return put_back


def _untouched(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> bool:
    """The same keys and the same objects, in the same order."""
    if len(now) != len(before):
        return False
    if not before:
        return True
    return all(map(is_, now.values(), before.values())) and all(map(is_, now.keys(), before.keys()))


def slot_names(value: Any) -> list[str]:
    """The names of an object's slots."""
    found: list[str] = []
    for kind in type(value).__mro__:
        slots: Any = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            is_mangled = name.startswith("__") and not name.endswith("__")
            found.append(f"_{kind.__name__.lstrip('_')}{name}" if is_mangled else name)
    return [name for name in found if not name.startswith("__")]


def keeper_of_slots(value: Any, path: str) -> Keeper:
    """A keeper for what an object holds in slots rather than in a dict."""
    before = {name: getattr(value, name, MISSING) for name in slot_names(value)}

    def put_back(depends: Depends) -> Iterator[str]:
        for name, held in before.items():
            now = getattr(value, name, MISSING)
            if now is not held and put_attribute_back(value, name, held, now, depends):
                yield f"{path}.{name}"

    return put_back


def keeper_of_raised(error: BaseException, path: str) -> Keeper:
    """A keeper for what an error notes each time it is raised."""
    before = error.__traceback__, error.__cause__, error.__context__

    def put_back(depends: Depends) -> tuple[str, ...]:
        now = error.__traceback__, error.__cause__, error.__context__
        if all(map(is_, now, before)):
            return ()
        error.__traceback__, error.__cause__, error.__context__ = before
        return (path,)

    return put_back


def put_attribute_back(owner: Any, name: str, before: Any, now: Any, depends: Depends) -> bool:
    """Give an attribute back what it held; whether that was something else."""
    if before is MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, before)
    return not is_same(before, now, depends)


def keeper_of_class(cls: type, path: str) -> Keeper:
    """A keeper for what stands in a class, and for the classes that it builds on."""
    before, bases = dict(vars(cls)), cls.__bases__

    def put_back(depends: Depends) -> Iterator[str]:
        now = dict(vars(cls))
        if cls.__bases__ != bases:
            cls.__bases__ = bases
            yield f"{path}.__bases__"
        for name in (before.keys() | now.keys()) - {"__slotnames__"}:  # copy's own cache
            value = before.get(name, MISSING)
            if now.get(name, MISSING) is value:
                continue
            if value is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, value)
            if not is_same(value, now.get(name, MISSING), depends):
                yield f"{path}.{name}"

    return put_back


def _keeper_of_container(container: object, path: str) -> Keeper:
    value: Any = container
    held = _held(value)
    is_dict = type(value) is dict
    entries: dict[Any, Any] = dict(held) if is_dict else {}

    def put_back(depends: Depends) -> tuple[str, ...]:
        if is_dict and _untouched(value, entries):
            return ()
        now = _held(value)
        if [*map(_identity, now)] == [*map(_identity, held)]:
            return ()
        if hasattr(value, "clear"):
            value.clear()
        else:
            del value[:]
        (value.extend if hasattr(value, "extend") else value.update)(held)
        if len(now) == len(held) and all(is_same(a, b, depends) for a, b in zip(held, now, strict=True)):
            return ()
        return (path,)

    return put_back


def _held(value: Any) -> list[Any]:
    return list(value.items()) if isinstance(value, MutableMapping) else list(value)


def _identity(item: Any) -> Any:
    return (*map(id, item),) if isinstance(item, tuple) else id(item)


def _keeper_of_cell(cell: types.CellType, path: str) -> Keeper | None:
    try:
        before = cell.cell_contents
    except ValueError:  # not filled yet
        return None

    def put_back(depends: Depends) -> Iterator[str]:
        now = cell.cell_contents
        cell.cell_contents = before
        if not is_same(before, now, depends):
            yield path

    return put_back


def _keeper_of_parts(
    path: str, read: Callable[[], Any], write: Callable[[Any], Any], same: Callable[[Any, Any], bool] | None = None
) -> Keeper:
    before = read()

    def put_back(depends: Depends) -> Iterator[str]:
        if not (same(before, read()) if same else before == read()):
            write(before)
            yield path

    return put_back


def _rewrite(file: io.StringIO | io.BytesIO, kept: tuple[Any, int]) -> None:
    file.seek(0)
    file.truncate()
    file.write(kept[0])
    file.seek(kept[1])


def _same_pickle(a: Any, b: Any) -> bool:
    return pickle.dumps(a) == pickle.dumps(b)


def _keeper_of_array(array: Any, path: str) -> Keeper:
    before = array.copy()

    def put_back(depends: Depends) -> Iterator[str]:
        if array.shape != before.shape or array.tobytes() != before.tobytes():
            array.resize(before.shape, refcheck=False)
            array[...] = before
            yield path

    return put_back


def _keeper_of_tensor(tensor: Tensor, path: str) -> Keeper | None:
    """Shape, memory and place in the autograd graph; the numbers themselves are kept when they are written over."""
    if tensor.layout != torch.strided:
        return _keeper_of_sparse(tensor, path)
    if compat.is_foreign(type(tensor)) or compat.is_uninitialised(tensor):
        return None
    with compat.without_functions():
        alias, needs_grad, leaf = tensor.detach(), tensor.requires_grad, tensor.is_leaf
        dtype = tensor.dtype
        grad = tensor.grad if leaf else None
        attributes, hooks = dict(vars(tensor)), compat.hooks_of(tensor)

    def put_back(depends: Depends) -> tuple[str, ...]:
        moved = tensor.dtype is not dtype or not tensor.is_set_to(alias)
        if moved:
            tensor.data = alias
        if leaf:
            if not tensor.is_leaf:
                tensor.detach_()
                moved = True
            if tensor.requires_grad != needs_grad:
                tensor.requires_grad_(needs_grad)
                moved = True
            if tensor.grad is not grad:
                tensor.grad = grad
                moved = True
        if not _untouched(vars(tensor), attributes):
            vars(tensor).clear()
            vars(tensor).update(attributes)
            moved = True
        if compat.hooks_of(tensor) != hooks:
            compat.set_hooks(tensor, hooks)
            moved = True
        return (path,) if moved else ()

    def put_back_plainly(depends: Depends) -> tuple[str, ...]:
        with compat.without_functions():
            return put_back(depends)

    return put_back_plainly if compat.has_own_functions(type(tensor)) else put_back


def _keeper_of_sparse(tensor: Tensor, path: str) -> Keeper:
    """A keeper for the numbers of a tensor whose memory is not laid out in strides."""
    version, copy = compat.version(tensor), tensor.detach().clone()

    def put_back(depends: Depends) -> tuple[str, ...]:
        if compat.version(tensor) == version:
            return ()
        with torch.no_grad():
            tensor.copy_(copy)
        return (path,)

    return put_back


def is_same(before: Any, now: Any, depends: Depends) -> bool:
    """The same object, or one that nobody could tell from it; what depends on the input never is."""
    if before is now or (before is MISSING and compat.is_looked_up(now)):
        return True
    if isinstance(before, Tensor) and isinstance(now, Tensor):
        return not depends(now) and compat.same_numbers(before, now)
    if isinstance(before, tuple) and isinstance(now, tuple):
        return len(before) == len(now) and all(is_same(a, b, depends) for a, b in zip(before, now, strict=True))
    return type(before) is type(now) and isinstance(before, _PLAIN) and bool(before == now)
