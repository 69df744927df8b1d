"""What a module can remember from one call to the next: looked up before it runs, compared and put back after.

A module's state may lie in its attributes, in containers and objects that they lead to, in its class, or in
the closures, defaults and globals of its code. Code is followed by the names that it uses; that of PyTorch, of
the standard library, and of installed packages is taken to keep nothing, but for what runs in packages that define a
part of the module.
"""

from __future__ import annotations

import collections
import enum
import functools
import gc
import itertools
import logging
import os
import sys
import sysconfig
import types
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.recording.borrowed import (
    CACHED_FUNCTION,
    keeper_of_borrowed,
    keeper_of_cache,
    keeper_of_code,
    keeper_of_new_loggers,
    keeper_of_partial,
    keeper_of_pickle,
    keeper_of_raw_memory,
    keeper_of_space,
    keeper_of_stored,
    results_in_cache,
)
from whyactivate.affine.recording.keepers import (
    Depends,
    Keeper,
    keeper_of,
    keeper_of_attributes,
    keeper_of_bytes,
    keeper_of_class,
    keeper_of_names,
    keeper_of_raised,
    keeper_of_slots,
    slot_names,
)
from whyactivate.affine.recording.sizes import asks_for_sizes, sizes_in
from whyactivate.affine.recording.standard_library import objection_to_value
from whyactivate.affine.recording.surroundings import (
    SETTERS,
    global_names_in,
    names_in,
    objection_to_code,
    stored_names_in,
)
from whyactivate.affine.recording.uses import imported_by, uses_of

_MOST_OBJECTS = 200_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout)
_PLAIN_KINDS = frozenset(_PLAIN)
_CONTAINERS = frozenset({dict, list, set, collections.OrderedDict})
_MOVING = (Iterator, AsyncIterator, Coroutine)
_BARE = frozenset({dict, list, set, tuple, frozenset, collections.deque, torch.Size})
"""Containers that have nothing but their contents."""
_PACKAGES = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages, those of another environment on the path among them."""
_TENSORS = frozenset({Tensor, nn.Parameter})
_SHOWN = (dict, list, set, tuple, collections.deque, Tensor)
"""What is looked at among the attributes of a library's objects."""
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
_LIBRARIES = frozenset(sys.stdlib_module_names) | {"builtins", "torch", "numpy", "whyactivate"}

_WORKERS = {
    "threading": "Thread",
    "concurrent.futures": "Executor",
    "multiprocessing.pool": "Pool",
    "multiprocessing.process": "BaseProcess",
    "queue": "Queue",
    "_queue": "SimpleQueue",
    "subprocess": "Popen",
    "torch.futures": "Future",
}
_ASKS_FOR_COMPILERS = frozenset({"is_compiling", "is_dynamo_compiling"})
_WALKS_GRAPHS = frozenset({"autograd", "backward", "grad_fn", "next_functions", "retain_grad", "retains_grad"})
"""The names by which code gets at a graph of gradients, and at what that remembers: hooks, what was freed."""


class State:
    """Everything that a module, with what it is called with, is seen to remember, as it was when this was made.

    Attributes:
        obstacle: why running the module would not tell what it does, in words; None where it may.
        sizes: numbers of rows for which its code may make a difference.
        asks_for_sizes: whether its code may ask for the sizes of tensors.
    """

    def __init__(self, module: nn.Module, arguments: Iterable[Any] = ()) -> None:
        self.obstacle: str | None = None
        self.sizes: set[int] = set()
        self._keepers: list[Keeper] = []
        self._empty: list[tuple[Any, str]] = []  # containers without contents, of which modules have many
        self._memory: set[int] = set()
        self._seen: dict[int, object] = {}  # keeps what was visited alive, so that no address is taken twice
        self._own = {_package(type(part).__module__) for part in module.modules()} - _LIBRARIES
        self.asks_for_sizes = any(map(_is_installed, self._own))  # of which not all code is looked at
        self._names = {"forward"}
        self._stored: set[str] = set()  # names of attributes that code may set
        self._spaces_of_code: dict[int, dict[str, Any]] = {}  # in which the module's own code looks up names
        self._libraries: list[tuple[Any, str]] = []  # their modules, classes and objects, on which it may
        self._logs = False  # whether code uses loggers
        self._compiled: str | None = None  # what is compiled
        self._graph: str | None = None  # a tensor that comes with its graph of gradients
        self._spaces: list[tuple[Mapping[str, Any], str, bool]] = []
        loaded = ((sys.modules.get(module), name) for module, name in _WORKERS.items())
        self._workers = tuple(getattr(module, name) for module, name in loaded if module is not None)
        self._waiting: collections.deque[tuple[Any, str]] = collections.deque()
        self._waiting.extend((part, name) for name, part in module.named_modules())
        self._waiting.append((nn.Parameter, "Parameter"))  # with Tensor, a class that every module has at hand
        self._waiting.extend((hooks, "a global hook") for hooks in compat.global_hooks())
        self._waiting.extend((argument, "an argument") for argument in arguments)
        other = compat.operation_given_other_code()
        self._object_to(other and f"{other} has been given other code (by torch.library), so its name tells nothing")
        while self._waiting:
            value, path = self._waiting.popleft()
            try:
                self._visit(value, path)
            except Exception as error:  # what an object of the caller's does when it is looked at is anybody's guess
                self._object_to(f"{path} cannot be looked into ({type(error).__name__}: {error})")
            if len(self._seen) > _MOST_OBJECTS:
                self._object_to("the module leads to too many objects to look for what it remembers")
                break
        if self._logs:  # every logger can be asked for by its name, and so be written into
            self._keepers.append(keeper_of_new_loggers())
            loggers = {"root": logging.root, **logging.root.manager.loggerDict}
            self._libraries += [(logger, name) for name, logger in loggers.items()]
        if self._graph is not None and (walks := sorted(self._names & _WALKS_GRAPHS)):
            self._object_to(
                f"{self._graph} keeps a graph of gradients from call to call, and code that uses `{walks[0]}` "
                "may leave hooks in it or free parts of it"
            )
        if self._compiled is not None and not self._names.isdisjoint(_ASKS_FOR_COMPILERS):
            self._object_to(
                f"{self._compiled} is compiled, and code asks whether it is; here it runs as it was written"
            )
        if self._stored:
            self._keepers += [keeper_of_stored(owner, self._stored, path) for owner, path in self._libraries]
        if not SETTERS.isdisjoint(self._names):
            self._keepers += [
                keeper_of_space(owner, path) for owner, path in self._libraries if hasattr(owner, "__dict__")
            ]

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

    def follow(self, ran: Mapping[types.CodeType, dict[str, Any]]) -> bool:
        """Keep what the names stand for in code of installed packages that ran; False where none did.

        Such a package is large, and most of what names in it lead to has no part in the module: only code is followed
        that runs, and from then on.
        """
        installed = {code: space for code, space in ran.items() if self.is_library(space.get("__name__"))}
        for code, space in installed.items():
            names, stored = names_in(code), stored_names_in(code)
            self._keepers.append(keeper_of_names(space, names, "global "))
            for name in sorted(names & space.keys()):
                value = space[name]
                if id(value) not in self._seen and type(value) in _CONTAINERS:
                    self._seen[id(value)] = value
                    self._keep(keeper_of(value, name))
                elif stored and isinstance(value, (type, types.FunctionType)):
                    self._keepers.append(keeper_of_stored(value, stored, name))
        return bool(installed)

    def namespaces(self) -> list[dict[str, Any]]:
        """Those in which the module's own code looks up names."""
        own = {id(vars(module)): vars(module) for module in [*sys.modules.values()] if _package_of(module) in self._own}
        return [*(self._spaces_of_code | own).values()]

    def leads_to(self, kind: type) -> bool:
        """True where something of that kind is among what the module leads to."""
        return any(isinstance(value, kind) for value in self._seen.values())

    # -- looking up -------------------------------------------------------------------------------------------

    def _visit(self, value: Any, path: str) -> None:
        if type(value) in _PLAIN_KINDS or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if type(value) in _TENSORS:
            self._keep(keeper_of(value, path))
            if attributes := vars(value):
                self._visit_named(attributes, path)
            if (node := value.grad_fn) is not None:
                self._visit_named({"grad_fn": node.metadata}, path)
                self._graph = self._graph or path
            return
        if type(value) in _CONTAINERS and not value:
            self._empty.append((value, path))
            return
        is_kept = self._keep(keeper_of(value, path))
        if isinstance(value, self._workers) or (isinstance(value, type) and issubclass(value, self._workers)):
            self._object_to(f"{path} hands work to where it is not seen ({type(value).__name__})")
        elif isinstance(value, nn.Module):
            self._visit_module(value, path)
        elif not is_kept and isinstance(value, _MOVING) and self.is_library(type(value).__module__):
            self._object_to(f"{path} moves on with every call and cannot be put back ({type(value).__name__})")
        elif isinstance(value, types.MappingProxyType):
            self._visit_all(gc.get_referents(value), path)
        elif isinstance(value, Mapping):
            self._visit_named(value, path)
            if type(value) not in _BARE:
                self._visit_all((getattr(value, "default_factory", None),), path)
                self._visit_object(value, path)
        elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            self._visit_all(value, path)
            if type(value) not in _BARE:
                self._visit_object(value, path)
        elif isinstance(value, Tensor):
            self._visit_named(vars(value), path)
            self._visit_slots(value, path)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value, path)
        elif isinstance(value, type):
            self._visit_class(value, path)
        elif isinstance(value, (torch.jit.ScriptFunction, torch.jit.CompilationUnit)):
            self._object_to(compat.hidden_in_script(value, is_module=False))
            self._compare_with(compat.compared_in_script(value, is_module=False))
        elif isinstance(value, types.ModuleType):
            objection = objection_to_value(value)
            self._object_to(objection and f"{path} {objection}")
            self._open(vars(value), path, owner=value)
        else:
            objection = None if is_kept else objection_to_value(type(value))
            self._object_to(objection and f"{path} {objection}")
            self._visit_object(value, path)
            if compat.is_array(value):
                self._visit_all(compat.objects_in(value), path)

    def _keep(self, keeper: Keeper | None) -> bool:
        if keeper is None:
            return False
        self._keepers.append(keeper)
        return True

    def _visit_module(self, module: nn.Module, path: str) -> None:
        self._keepers.append(keeper_of_attributes(module, path))
        for name, tensor in compat.own_tensors(module):
            key = compat.storage_key(tensor)
            if key not in self._memory:
                self._memory.add(key)
                self._keepers.append(keeper_of_bytes(tensor, _join(path, name)))
        self._visit_named(vars(module), path)
        self._visit_slots(module, path)
        self._visit_compiled(module, path)
        self._waiting.append((type(module), type(module).__name__))
        if isinstance(module, torch.jit.ScriptModule):
            self._object_to(compat.hidden_in_script(module, is_module=True))
            self._compare_with(compat.compared_in_script(module, is_module=True))

    def _compare_with(self, numbers: set[int]) -> None:
        self.sizes |= {number for one in numbers for number in (one, one + 1) if number > 0}

    def _visit_compiled(self, value: Any, path: str) -> None:
        """Something that a compiler may have turned into something else."""
        compiler = compat.compiler_of(value)
        if compiler is not None:
            self._compiled = self._compiled or path or "the module"
            if not self.is_library(getattr(compiler, "__module__", None)):
                self._object_to(f"{self._compiled} is compiled by code of its own, which may make anything of it")

    def _visit_slots(self, value: Any, path: str) -> None:
        if slots := {name: getattr(value, name, None) for name in slot_names(value)}:
            self._keepers.append(keeper_of_slots(value, path))
            self._open(slots, path)

    def _visit_function(self, function: types.FunctionType, path: str) -> None:
        self._visit_compiled(function, path)
        if self.is_library(function.__module__):
            objection = objection_to_value(function)
            self._object_to(objection and f"{path} {objection}")
            self._visit_closure(function, path)
            return
        if self.is_library(function.__globals__.get("__name__")):  # what a library has wrapped around it
            for name, item in vars(function).items():
                if name == "__wrapped__" or not name.startswith("_"):
                    self._name(item, f"{path}.{name}")
        else:
            for used, objection in uses_of(function):
                self._object_to(objection and f"{path} {objection}")
                self._use_of_library(used, path)
            self._visit_named(vars(function), path)
        self._spaces_of_code[id(function.__globals__)] = function.__globals__
        names = names_in(function.__code__)
        objection = objection_to_code(function.__code__, names, function.__globals__)
        self._object_to(objection and f"{path} {objection}")
        self._stored |= stored_names_in(function.__code__)
        self.sizes |= sizes_in(function.__code__)
        self.asks_for_sizes |= asks_for_sizes(function.__code__)
        self._keepers += [keeper_of_attributes(function, path), keeper_of_code(function, path)]
        self._visit_all(function.__defaults__ or (), path)
        self._waiting.append((function.__kwdefaults__, f"the keyword defaults of {path}"))
        self._keep(keeper_of(function.__annotations__, f"{path}.__annotations__"))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._waiting.append((cell, f"{name} in {path}"))
        looked_up = global_names_in(function.__code__)
        self._keepers.append(keeper_of_names(function.__globals__, looked_up, "global "))
        for name in sorted(looked_up):
            self._name(function.__globals__.get(name), name)
        for module in imported_by(function.__code__):
            self._name(module, module.__name__)
        if names & {"environ", "getenv"}:
            self._waiting.append((os.environ, "the environment"))
        self._use(names)

    def _visit_class(self, cls: type, path: str) -> None:
        for base in cls.__mro__:
            if base is not cls:
                self._waiting.append((base, base.__name__))
        if self.is_library(cls.__module__):
            self._open(vars(cls), path, owner=cls)
            return
        self._keepers.append(keeper_of_class(cls, path))
        if issubclass(cls, (logging.Filterer, logging.Filter, logging.Formatter, logging.LogRecord)):
            self._object_to(f"{path} is shown what goes to a log, with the time and the stack of the call")
        self._waiting.append((type(cls), type(cls).__name__))
        if issubclass(cls, enum.Enum):
            self._visit_all((part for member in cls for part in (member, member.value)), path)
        self._open(vars(cls), path)
        for name, item in tuple(vars(cls).items()):
            if name.startswith("__") and (name != "__init__" or not issubclass(cls, nn.Module)):
                self._visit_member(item, f"{path}.{name}")

    def _visit_object(self, value: Any, path: str) -> None:
        self._keep(keeper_of_raw_memory(value, path))
        if isinstance(value, functools.partial):
            self._keepers += [keeper_of_partial(value, path), keeper_of_attributes(value, path)]
            self._visit_named(vars(value), path)
            self._visit_slots(value, path)
            self._visit_all((value.func, value.args, value.keywords), path)
        elif isinstance(value, types.MethodType):
            self._visit_all((value.__func__, value.__self__), path)
        elif isinstance(value, types.CellType):
            for item in _contents(value):
                self._name(item, path)
        elif isinstance(value, types.SimpleNamespace) or not self.is_library(type(value).__module__):
            if isinstance(getattr(value, "__dict__", None), dict):
                self._keepers.append(keeper_of_attributes(value, path))
                self._open(vars(value), path)
            self._visit_slots(value, path)
            self._waiting.append((type(value), type(value).__name__))
        else:
            self._visit_borrowed(value, path)

    def _visit_borrowed(self, value: Any, path: str) -> None:
        """An object of a library: its attributes, the containers among them, and what it gives access to."""
        if type(value).__module__.startswith("whyactivate.folding."):
            return  # what notes the calls of a copy must remember them
        objection = objection_to_value(value)
        self._object_to(objection and f"{path} {objection}")
        if isinstance(value, CACHED_FUNCTION) and not (
            isinstance(value.__wrapped__, types.FunctionType) and self.is_library(value.__module__)
        ):
            self._keepers.append(keeper_of_cache(value, path))
            self._visit_all(results_in_cache(value), path)
        elif isinstance(value, (types.BuiltinFunctionType, types.MethodWrapperType)):
            self._visit_all([] if isinstance(value.__self__, types.ModuleType) else [value.__self__], path)
        attributes = getattr(value, "__dict__", None)
        if isinstance(value, BaseException):
            self._keepers += [keeper_of_attributes(value, path), keeper_of_raised(value, path)]
            self._visit_all(value.args, path)
        elif isinstance(attributes, dict) and not isinstance(value, CACHED_FUNCTION):
            self._keepers.append(keeper_of_borrowed(value, self._stored, path))
            self._use_of_library(value, path)
            self._open(attributes, path)
            shown = {name: item for name, item in attributes.items() if self._is_shown(item)}
            if not self._is_of_others(value):
                shown = {name: item for name, item in shown.items() if not (name[0] == "_" and type(item) in _SHOWN)}
            self._visit_named(shown, path)
        elif attributes is None:
            self._libraries.append((value, path))
            is_told = self._is_of_others(value) or compat.is_hidden(type(value))
            self._keep(keeper_of_pickle(value, path) if is_told else None)
            self._visit_all(self._shown_among(gc.get_referents(value), path), path)
        self._visit_member(value, path)

    def _shown_among(self, items: Iterable[Any], path: str) -> Iterator[Any]:
        """What to look at of what a library's object holds, by itself or in lists."""
        for item in items:
            if type(item) in (list, tuple) and id(item) not in self._seen:
                self._seen[id(item)] = item
                self._keep(keeper_of(item, path))
                yield from self._shown_among(item, path)
            elif self._is_shown(item):
                yield item

    def _is_shown(self, item: Any) -> bool:
        """Whether to look at what a library's object or function holds: numbers, and what is no library's."""
        if isinstance(item, (type, types.FunctionType)):
            return not self.is_library(item.__module__)
        if isinstance(item, types.ModuleType):
            return False
        is_own = not self.is_library(type(item).__module__) or isinstance(item, types.MethodType)
        return is_own or isinstance(item, _SHOWN) or compat.is_array(item) or self._is_of_others(item)

    def _is_of_others(self, value: Any) -> bool:
        """Whether something is an object of an installed package that is neither PyTorch nor Python's own."""
        package = _package(type(value).__module__)
        return package not in _LIBRARIES and _is_installed(package)

    def _visit_member(self, item: Any, path: str) -> None:
        """Something in a class: a value, a method, a property and whatever else of Python's own wraps functions."""
        if self.is_library(type(item).__module__):
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
            else:
                self._waiting.append((item, inside))

    def _visit_all(self, items: Iterable[Any], path: str) -> None:
        self._waiting += [(item, path) for item in items if type(item) not in _PLAIN_KINDS]

    def _use_of_library(self, value: Any, path: str) -> None:
        """Keep the attributes of something that belongs to the whole program, as far as code may set them."""
        if isinstance(value, (compat.OpOverload, compat.OpOverloadPacket)):
            self._visit_all((compat.definition_in_python(value),), path)
        if value is torch.compile:
            self._compiled = self._compiled or "what the module makes"
        if value is logging.getLogger or isinstance(value, logging.Logger):
            self._logs = True
        elif value is warnings.filterwarnings or value is warnings.simplefilter:
            self._keep(keeper_of(warnings.filters, "the filters of warnings"))
        elif not (type(value) in _PLAIN_KINDS or isinstance(value, (type, types.ModuleType))) and self.is_library(
            type(value).__module__
        ):
            self._libraries.append((value, str(getattr(value, "__name__", path))))

    def _name(self, value: Any, path: str) -> None:
        """Visit what a name in code stands for; what code asks of a library's modules and functions is told from it."""
        if isinstance(value, types.ModuleType) and id(value) not in self._seen:
            self._seen[id(value)] = value
            self._open(vars(value), path, owner=value)
        elif not (isinstance(value, _FUNCTIONS) and self.is_library(value.__module__)):
            self._waiting.append((value, path))
        elif isinstance(value, types.FunctionType) and id(value) not in self._seen:
            self._seen[id(value)] = value
            self._libraries.append((value, path))
            self._visit_closure(value, path)

    def _visit_closure(self, function: types.FunctionType, path: str) -> None:
        """What a library's function holds of others, as one that remembers results does."""
        held = itertools.chain.from_iterable(map(_contents, function.__closure__ or ()))
        self._visit_all(filter(self._is_shown, held), path)

    def _open(self, space: Mapping[str, Any], path: str, *, owner: Any = None) -> None:
        """Visit what code may reach in a namespace by the names that it uses, now and as more names turn up.

        In those of libraries, code is taken to keep nothing; but their modules and classes can be written into.
        """
        kind = owner.__name__ if isinstance(owner, types.ModuleType) else getattr(owner, "__module__", None)
        of_library = owner is not None and self.is_library(kind)
        if of_library or isinstance(owner, types.ModuleType):
            self._libraries.append((owner, path))
        self._spaces.append((space, path, of_library))
        self._look_up(self._names, space, path, of_library)

    def _use(self, names: frozenset[str]) -> None:
        fresh = names - self._names
        self._names |= fresh
        for space, path, of_library in tuple(self._spaces):
            self._look_up(fresh, space, path, of_library)

    def _look_up(self, names: Set[str], space: Mapping[str, Any], path: str, of_library: bool) -> None:
        for name in names & space.keys():
            if isinstance(space[name], types.ModuleType) and not of_library:
                self._name(space[name], _join(path, name))
            elif not of_library:
                self._visit_member(space[name], _join(path, name))
            elif isinstance(space[name], (types.ModuleType, types.FunctionType, type)):
                self._name(space[name], _join(path, name))
            elif type(space[name]) in _CONTAINERS and id(space[name]) not in self._seen:
                self._seen[id(space[name])] = space[name]
                self._keep(keeper_of(space[name], _join(path, name)))
            elif type(space[name]) in _PLAIN_KINDS and isinstance(space, dict):
                self._keepers.append(keeper_of_names(space, (name,), f"{path}."))

    def is_library(self, module: str | None) -> bool:
        """Whether a module, by its name, is taken to keep nothing of its own."""
        package = _package(module)
        return package in _LIBRARIES or _is_installed(package)

    def is_own(self, module: str | None) -> bool:
        """Whether a module, by its name, is part of a package that defines a part of the module, or no library."""
        return _package(module) in self._own or not self.is_library(module)

    def _object_to(self, reason: str | None) -> None:
        self.obstacle = self.obstacle or reason


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _package_of(module: Any) -> str:
    return _package(getattr(module, "__name__", None))


@functools.cache
def _is_installed(package: str) -> bool:
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    folders = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return file.startswith(folders) or not _PACKAGES.isdisjoint(Path(file).parts)


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not filled yet
        return ()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
