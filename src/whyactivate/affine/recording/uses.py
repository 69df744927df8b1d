"""What code asks of modules by the names that stand in it, such as `os.path.join`."""

from __future__ import annotations

import builtins
import dis
import functools
import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any

from whyactivate.affine._torch_compat import OpOverloadPacket
from whyactivate.affine.recording.standard_library import objection_to_call, objection_to_use

_MOST_REMEMBERED = 4096
_GLOBAL, _CLOSURE, _IMPORT = "global", "closure", "import"
_LOADS = {
    "LOAD_GLOBAL": _GLOBAL, "LOAD_NAME": _GLOBAL,
    "LOAD_DEREF": _CLOSURE, "LOAD_CLASSDEREF": _CLOSURE, "LOAD_FROM_DICT_OR_DEREF": _CLOSURE,
}  # fmt: skip
_OF_LIBRARIES = sys.stdlib_module_names | {"torch"}
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_IMPORTED = ("IMPORT_FROM", "STORE_FAST", "STORE_DEREF", "STORE_NAME", "STORE_GLOBAL")

_Use = tuple[str, str, tuple[str, ...]]
"""Where a name is looked up, the name, and the attributes that are asked of it in a row."""


def uses_of(function: types.FunctionType) -> Iterator[tuple[Any, str | None]]:
    """What the names in a function's code stand for, each with what is wrong with using it, where anything is."""
    closure = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for kind, name, attributes in _uses_in(function.__code__):
        if kind == _IMPORT:
            value: Any = sys.modules.get(name) or types.ModuleType(name)
        elif kind == _CLOSURE:
            value = _content(closure.get(name))
        else:
            value = function.__globals__.get(name, getattr(builtins, name, None))
        objection: str | None = None
        for attribute in attributes:
            if not _is_known(value):
                break
            if not isinstance(value, types.ModuleType):
                yield value, None
            owner, value = value, _attribute(value, attribute)
            if isinstance(owner, types.ModuleType) and not isinstance(value, types.ModuleType):
                objection = objection_to_use(owner.__name__, attribute, by_its_name=True)
        yield value, objection or objection_to_call(value, function.__code__)


def imported_by(code: types.CodeType) -> Iterator[types.ModuleType]:
    """The modules that a function imports when it runs, as far as they are there by now."""
    names = {name for kind, name, _ in _uses_in(code) if kind == _IMPORT}
    return (sys.modules[name] for name in sorted(names) if name in sys.modules)


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _uses_in(code: types.CodeType) -> tuple[_Use, ...]:
    found: dict[_Use, None] = {}
    imported: dict[str, str] = {}  # the modules that names of the function's own stand for
    steps = [*dis.get_instructions(code)]
    for at, step in enumerate(steps):
        after, name = steps[at + 1 :], step.argval
        if step.opname == "IMPORT_NAME":
            taken = [*itertools.takewhile(lambda one: one.opname in _IMPORTED, after)]
            if taken[:1] and taken[0].opname != "IMPORT_FROM":
                imported[taken[0].argval] = name.partition(".")[0]
            found |= {(_IMPORT, name, (one.argval,)): None for one in taken if one.opname == "IMPORT_FROM"}
        elif step.opname in _LOADS or (step.opname.startswith("LOAD_FAST") and name in imported):
            row = itertools.takewhile(lambda one: one.opname in _ATTRIBUTES, after)
            attributes = tuple(one.argval for one in row)
            use = (_IMPORT, imported[name]) if name in imported else (_LOADS[step.opname], name)
            found[*use, attributes] = None
    for kind, name, attributes in itertools.chain.from_iterable(map(_uses_in, inner_codes(code))):
        if kind == _CLOSURE and name in code.co_cellvars:
            if name in imported:
                found[_IMPORT, imported[name], attributes] = None
        else:
            found[kind, name, attributes] = None
    return tuple(found)


def inner_codes(code: types.CodeType) -> list[types.CodeType]:
    """The code of the functions and classes that are made in a function."""
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


def _is_known(owner: Any) -> bool:
    """Whether it is harmless to ask something for its attributes: modules, and classes and operations of libraries."""
    if isinstance(owner, type):
        return owner.__module__.partition(".")[0] in _OF_LIBRARIES
    return isinstance(owner, (types.ModuleType, OpOverloadPacket))


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception:  # a module may look for what is not there, and fail in its own way
        return None


def _content(cell: types.CellType | None) -> Any:
    try:
        return cell.cell_contents if cell is not None else None
    except ValueError:  # not filled yet
        return None
