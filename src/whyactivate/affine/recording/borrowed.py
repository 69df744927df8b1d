"""Keepers of what a module holds from others: functions and their caches, objects and classes of libraries, raw memory.

A library is taken to keep nothing by itself; what a module's own code keeps with its help is looked for here.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import logging
import pickle
import types
from collections.abc import Iterator, Set
from typing import Any

from whyactivate.affine.recording.keepers import MISSING, Depends, Keeper, is_same, put_attribute_back

CACHED_FUNCTION: Any = type(functools.cache(int))
"""The type of what `functools.lru_cache` makes of a function."""


def keeper_of_code(function: types.FunctionType, path: str) -> Keeper:
    """A keeper for what a function runs, and for its defaults."""
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__

    def put_back(depends: Depends) -> tuple[str, ...]:
        if function.__code__ is code and function.__defaults__ is defaults and function.__kwdefaults__ is keywords:
            return ()
        function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, keywords
        return (path,)

    return put_back


def keeper_of_partial(value: Any, path: str) -> Keeper:
    """A keeper for what `functools.partial` calls, and with what."""
    function, args, keywords = value.func, value.args, value.keywords

    def put_back(depends: Depends) -> tuple[str, ...]:
        if value.func is function and value.args is args and value.keywords is keywords:
            return ()
        value.__setstate__((function, args, keywords, vars(value)))
        return (path,)

    return put_back


def keeper_of_cache(function: Any, path: str) -> Keeper:
    """A keeper for how much `functools.lru_cache` holds; what it came to hold can be taken from it all at once only."""
    before = function.cache_info().currsize

    def put_back(depends: Depends) -> Iterator[str]:
        if function.cache_info().currsize != before:
            if not before:
                function.cache_clear()
            yield f"the cache of {path}"

    return put_back


def results_in_cache(function: Any) -> list[Any]:
    """What `functools.lru_cache` holds for a function: in a dict, or on its own where the cache is bounded."""
    found: list[Any] = []
    for held in gc.get_referents(function):
        found += held.values() if type(held) is dict else [held]
    return [one for one in found if type(one).__name__ != "_lru_list_elem"]


def keeper_of_borrowed(value: Any, stored: Set[str], path: str) -> Keeper:
    """A keeper for the attributes of an object of a library.

    What the library itself adds, or fills in where there was None, are its caches.

    Args:
        value: the object.
        stored: the names of attributes that the module's own code may set; read when it has run.
        path: what to call it.
    """
    before = dict(vars(value))

    def put_back(depends: Depends) -> list[str]:
        now = vars(value)
        differing = [
            name for name in before.keys() | now.keys() if before.get(name, MISSING) is not now.get(name, MISSING)
        ]
        if not differing:
            return []
        changed = [
            f"{path}.{name}"
            for name in sorted(differing)
            if name in stored or before.get(name) is not None
            if not is_same(before.get(name, MISSING), now.get(name, MISSING), depends)
        ]
        now.clear()
        now.update(before)
        return changed

    return put_back


def keeper_of_stored(owner: Any, stored: Set[str], path: str) -> Keeper:
    """A keeper for the attributes of a library's module, class or object under the names that code may set."""

    def read(name: str) -> Any:
        if isinstance(owner, type):
            return vars(owner).get(name, MISSING)
        try:
            return getattr(owner, name, MISSING)
        except Exception:  # a property that cannot be asked for now
            return MISSING

    before = {name: read(name) for name in stored}

    def put_back(depends: Depends) -> Iterator[str]:
        for name, value in before.items():
            now = read(name)
            if now is not value and put_attribute_back(owner, name, value, now, depends):
                yield f"{path}.{name}"

    return put_back


def keeper_of_space(owner: Any, path: str) -> Keeper:
    """A keeper for all that stands in a library's module or class; what that loads or defines itself stays there."""
    before = dict(vars(owner))

    def put_back(depends: Depends) -> Iterator[str]:
        for name, now in [*vars(owner).items()]:
            value = before.get(name, MISSING)
            if now is value or isinstance(now, (types.ModuleType, types.FunctionType, type)):
                continue
            if put_attribute_back(owner, name, value, now, depends):
                yield f"{path}.{name}"

    return put_back


def keeper_of_new_loggers() -> Keeper:
    """A keeper for loggers that are asked for the first time; that they are there by then is no memory of anybody's."""
    loggers = logging.root.manager.loggerDict
    before, fresh = {*loggers}, vars(logging.Logger(""))
    own = {"name", "parent", "manager", "_cache"}

    def put_back(depends: Depends) -> Iterator[str]:
        for name in loggers.keys() - before:
            held = vars(loggers[name])
            if isinstance(loggers[name], logging.Logger) and any(
                held.get(key, MISSING) != fresh.get(key, MISSING) for key in (held.keys() | fresh.keys()) - own
            ):
                yield f"the logger {name}"

    return put_back


def keeper_of_raw_memory(value: Any, path: str) -> Keeper | None:
    """A keeper for memory that can be written: of ctypes, mmap, memoryview; None for anything else."""
    try:
        size = memoryview(value).nbytes
        before = _raw(value, size).raw
    except (TypeError, ValueError):  # no memory, or read-only
        return None

    def put_back(depends: Depends) -> Iterator[str]:
        live = _raw(value, size)
        if live.raw != before:
            live.raw = before
            yield path

    return put_back


def keeper_of_pickle(value: Any, path: str) -> Keeper | None:
    """A keeper for an object without attributes: it tells of a change, but undoes none. None where that is large."""
    before = _pickled(value)
    if len(before) > _LARGEST_PICKLE:
        return None
    return lambda depends: () if _pickled(value) == before else (path,)


_LARGEST_PICKLE = 2**16


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # what cannot be pickled may still be printed
        return repr(value).encode()


def _raw(value: Any, size: int) -> ctypes.Array[ctypes.c_char]:
    return (ctypes.c_char * size).from_buffer(value)
