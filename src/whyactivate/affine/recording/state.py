"""What a module can remember from one call to the next: looked up before it runs, compared and put back after.

A module's state may lie in its attributes, in containers and objects that they lead to, in its class, or in
the closures, defaults and globals of its code. Code is followed by the names that it uses; that of PyTorch, of
the standard library, and of installed packages that define no part of the module is taken to keep nothing.
"""

from __future__ import annotations

import collections
import dis
import functools
import inspect
import itertools
import os
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.recording.keepers import (
    Depends,
    Keeper,
    keeper_of,
    keeper_of_attributes,
    keeper_of_bytes,
    keeper_of_class,
    keeper_of_names,
    keeper_of_slots,
    slot_names,
)

_MOST_OBJECTS = 200_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout)
_PLAIN_KINDS = frozenset(_PLAIN)
_CONTAINERS = frozenset({dict, list, set, collections.OrderedDict})
_TENSORS = frozenset({Tensor, nn.Parameter})
_LIBRARIES = frozenset(sys.stdlib_module_names) | {"builtins", "torch", "numpy", "whyactivate"}

_OUT_OF_SIGHT = frozenset(
    {
        "Thread", "Timer", "start_new_thread", "ThreadPoolExecutor", "ProcessPoolExecutor", "ThreadPool", "to_thread",
        "run_in_executor", "Process", "Popen", "to_dlpack", "_to_dlpack", "DisableTorchFunction",
        "_DisableTorchDispatch", "_ExcludeDispatchKeyGuard", "_disable_current_modes", "_pop_mode_temporarily",
    }
)  # fmt: skip
_ASKS_WHO_WATCHES = frozenset(
    {
        "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic", "is_in_torch_dispatch_mode",
        "_get_current_function_mode", "_get_current_function_mode_stack", "_len_torch_function_stack",
        "_get_current_dispatch_mode", "_get_current_dispatch_mode_stack", "_len_torch_dispatch_stack",
        "_get_dispatch_mode", "_get_dispatch_stack_at", "_get_function_stack_at", "_is_torch_function_mode_enabled",
        "_is_torch_function_all_disabled", "_dispatch_tls_is_dispatch_key_included", "_dispatch_tls_local_include_set",
        "_getframe", "_getframemodulename", "_current_frames", "currentframe", "getouterframes", "tb_frame", "f_back",
        "findCaller", "extract_stack", "format_stack", "print_stack", "walk_stack", "getprofile", "gettrace",
        "setprofile", "settrace", "get_objects", "get_referrers", "getrefcount", "get_threshold",
    }
)  # fmt: skip
_WORKERS = {
    "threading": "Thread",
    "concurrent.futures": "Executor",
    "multiprocessing.pool": "Pool",
    "multiprocessing.process": "BaseProcess",
    "queue": "Queue",
    "_queue": "SimpleQueue",
    "subprocess": "Popen",
}
_ITERATORS = (
    types.GeneratorType, types.CoroutineType, map, filter, zip, enumerate, reversed, itertools.count, itertools.cycle,
    itertools.chain, itertools.repeat, itertools.accumulate, itertools.islice, type(iter([])), type(iter(())),
    type(iter(range(0))), type(iter({})), type(iter({1})),
)  # fmt: skip


class State:
    """Everything that a module, with what it is called with, is seen to remember, as it was when this was made.

    Attributes:
        obstacle: why running the module would not tell what it does, in words; None where it may.
    """

    def __init__(self, module: nn.Module, arguments: Iterable[Any] = ()) -> None:
        self.obstacle: str | None = None
        self._keepers: list[Keeper] = []
        self._empty: list[tuple[Any, str]] = []  # containers without contents, of which modules have many
        self._memory: set[int] = set()
        self._seen: dict[int, object] = {}  # keeps what was visited alive, so that no address is taken twice
        self._own = {_package(type(part).__module__) for part in module.modules()}
        self._names = {"forward"}
        self._spaces: list[tuple[Mapping[str, Any], str]] = []
        loaded = ((sys.modules.get(module), name) for module, name in _WORKERS.items())
        self._workers = tuple(getattr(module, name) for module, name in loaded if module is not None)
        self._waiting: collections.deque[tuple[Any, str]] = collections.deque()
        self._waiting.extend((part, name) for name, part in module.named_modules())
        self._waiting.extend((hooks, "a global hook") for hooks in compat.global_hooks())
        self._waiting.extend((argument, "an argument") for argument in arguments)
        while self._waiting:
            value, path = self._waiting.popleft()
            try:
                self._visit(value, path)
            except Exception as error:  # what an object of the caller's does when it is looked at is anybody's guess
                self._object_to(f"{path} cannot be looked into ({type(error).__name__}: {error})")
            if len(self._seen) > _MOST_OBJECTS:
                self._object_to("the module leads to too many objects to look for what it remembers")
                break

    def restore(self, depends: Depends) -> list[str]:
        """Put everything back; the result names what had changed."""
        changed: list[str] = []
        for keeper in self._keepers:
            try:
                if found := keeper(depends):
                    changed += found
            except Exception as error:  # the others must be put back all the same
                changed.append(f"something that cannot be put back, {type(error).__name__}: {error}")
        for container, path in self._empty:
            if container:
                container.clear()
                changed.append(path)
        return list(dict.fromkeys(changed))

    def leads_to(self, kind: type) -> bool:
        """True where something of that kind is among what the module leads to."""
        return any(isinstance(value, kind) for value in self._seen.values())

    # -- looking up -------------------------------------------------------------------------------------------

    def _visit(self, value: Any, path: str) -> None:
        if isinstance(value, _PLAIN) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if type(value) in _TENSORS:
            self._keep(keeper_of(value, path))
            if attributes := vars(value):
                self._visit_named(attributes, path)
            return
        if isinstance(value, (dict, list, set)) and not value:
            self._empty.append((value, path))
            return
        self._keep(keeper_of(value, path))
        if isinstance(value, self._workers) or (isinstance(value, type) and issubclass(value, self._workers)):
            self._object_to(f"{path} hands work to where it is not seen ({type(value).__name__})")
        elif isinstance(value, _ITERATORS):
            self._object_to(f"{path} moves on with every call and cannot be put back ({type(value).__name__})")
        elif isinstance(value, nn.Module):
            self._visit_module(value, path)
        elif isinstance(value, Mapping):
            self._visit_named(value, path)
        elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            self._visit_all(value, path)
        elif isinstance(value, Tensor):
            self._visit_named(vars(value), path)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value, path)
        elif isinstance(value, type):
            self._visit_class(value, path)
        elif isinstance(value, torch.jit.ScriptFunction):
            self._object_to(compat.hidden_in_script(value, is_module=False))
        elif isinstance(value, types.ModuleType):
            if not self._is_library(value.__name__):
                self._open(vars(value), path)
        else:
            self._visit_object(value, path)

    def _keep(self, keeper: Keeper | None) -> None:
        if keeper is not None:
            self._keepers.append(keeper)

    def _visit_module(self, module: nn.Module, path: str) -> None:
        self._keepers.append(keeper_of_attributes(module, path))
        for name, tensor in compat.own_tensors(module):
            key = compat.storage_key(tensor)
            if key not in self._memory:
                self._memory.add(key)
                self._keepers.append(keeper_of_bytes(tensor, _join(path, name)))
        self._visit_named(vars(module), path)
        self._waiting.append((type(module), type(module).__name__))
        if isinstance(module, torch.jit.ScriptModule):
            self._object_to(compat.hidden_in_script(module, is_module=True))

    def _visit_function(self, function: types.FunctionType, path: str) -> None:
        if self._is_library(function.__module__):
            return
        names = _names_in(function.__code__)
        for name in sorted(names & _OUT_OF_SIGHT):
            self._object_to(f"{path} uses {name}, which works out of sight")
        self._keepers.append(keeper_of_attributes(function, path))
        if function.__globals__.get("stack") is inspect.stack or _asks_for(function.__code__, "inspect", "stack"):
            names.add("currentframe")
        for name in sorted(names & _ASKS_WHO_WATCHES):
            self._object_to(f"{path} uses {name}, and so may do something else when nobody watches")
        self._visit_named(vars(function), path)
        self._visit_all(function.__defaults__ or (), path)
        self._visit_named(function.__kwdefaults__ or {}, path)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._waiting.append((cell, f"{name} in {path}"))
        self._keepers.append(keeper_of_names(function.__globals__, names, "global "))
        self._waiting += [(function.__globals__.get(name), name) for name in sorted(names)]
        if "environ" in names:
            self._waiting.append((os.environ, "the environment"))
        self._use(names)

    def _visit_class(self, cls: type, path: str) -> None:
        for base in cls.__mro__:
            if base is not cls:
                self._waiting.append((base, base.__name__))
        if self._is_library(cls.__module__):
            return
        self._keepers.append(keeper_of_class(cls, path))
        self._open(vars(cls), path)
        for name, item in tuple(vars(cls).items()):
            if name.startswith("__") and (name != "__init__" or not issubclass(cls, nn.Module)):
                self._visit_member(item, f"{path}.{name}")

    def _visit_object(self, value: Any, path: str) -> None:
        if isinstance(value, functools.partial):
            self._visit_all((value.func, value.args, value.keywords), path)
        elif isinstance(value, types.MethodType):
            self._visit_all((value.__func__, value.__self__), path)
        elif isinstance(value, types.CellType):
            self._visit_all(_contents(value), path)
        elif isinstance(value, types.SimpleNamespace) or not self._is_library(type(value).__module__):
            if isinstance(getattr(value, "__dict__", None), dict):
                self._keepers.append(keeper_of_attributes(value, path))
                self._open(vars(value), path)
            elif slots := {name: getattr(value, name, None) for name in slot_names(value)}:
                self._keepers.append(keeper_of_slots(value, path))
                self._open(slots, path)
            self._waiting.append((type(value), type(value).__name__))
        else:
            self._visit_member(value, path)

    def _visit_member(self, item: Any, path: str) -> None:
        """Something in a class: a value, a method, a property and whatever else of Python's own wraps functions."""
        if self._is_library(type(item).__module__):
            wrapped = (getattr(item, name, None) for name in ("fget", "fset", "func", "__func__", "__wrapped__"))
            self._waiting += [(function, path) for function in wrapped if isinstance(function, types.FunctionType)]
        if id(item) not in self._seen:
            self._waiting.append((item, path))

    def _visit_named(self, items: Mapping[Any, Any], path: str) -> None:
        seen = self._seen
        for name, item in tuple(items.items()):
            kind = type(item)
            if kind in _PLAIN_KINDS or (id(item) in seen and seen[id(item)] is item):
                continue
            inner = isinstance(name, str) and name not in ("_parameters", "_buffers", "_modules")
            inside = _join(path, name) if inner else path
            if kind in _CONTAINERS and not item:  # of which modules have many
                seen[id(item)] = item
                self._empty.append((item, inside))
            elif not isinstance(item, _PLAIN):
                self._waiting.append((item, inside))

    def _visit_all(self, items: Iterable[Any], path: str) -> None:
        self._waiting += [(item, path) for item in items if not isinstance(item, _PLAIN)]

    def _open(self, space: Mapping[str, Any], path: str) -> None:
        """Visit what code may reach in a namespace by the names that it uses, now and as more names turn up."""
        self._spaces.append((space, path))
        self._look_up(self._names, space, path)

    def _use(self, names: set[str]) -> None:
        fresh = names - self._names
        self._names |= fresh
        for space, path in tuple(self._spaces):
            self._look_up(fresh, space, path)

    def _look_up(self, names: set[str], space: Mapping[str, Any], path: str) -> None:
        for name in names & space.keys():
            self._visit_member(space[name], _join(path, name))

    def _is_library(self, module: str | None) -> bool:
        package = _package(module)
        return package in _LIBRARIES or (package not in self._own and _is_installed(package))

    def _object_to(self, reason: str | None) -> None:
        self.obstacle = self.obstacle or reason


def _names_in(code: types.CodeType) -> set[str]:
    """The names that code may look up: of globals, of attributes, and in texts (for getattr and kin)."""
    names = {*code.co_names}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            names.add(constant)
    return names


def _asks_for(code: types.CodeType, owner: str, name: str) -> bool:
    """Whether code looks up `owner.name`; a `name` of another owner does not count."""
    if not {owner, name} <= _names_in(code):
        return False
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return any(
        a.argval == owner and b.argval == name for a, b in itertools.pairwise(dis.get_instructions(code))
    ) or any(_asks_for(constant, owner, name) for constant in inner)


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


@functools.cache
def _is_installed(package: str) -> bool:
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return file.startswith((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not filled yet
        return ()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
