"""What code asks of the world around it: who watches, what time it is, what a file holds, what chance gives.

A forward that does so is no function of its input, or may be another one when nobody watches. It is told from the names
in the code and from the functions that they stand for, not from what a run happens to do.
"""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import os
import random
import secrets
import time
import types
import uuid

_MOST_REMEMBERED = 4096
"""Of how many functions it is remembered what is in their code."""

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
_CLOCKS = frozenset(
    {
        "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "process_time_ns",
        "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns", "utcnow",
    }
)  # fmt: skip
_CHANCE = frozenset(
    {
        "urandom", "getrandom", "SystemRandom", "token_bytes", "token_hex", "token_urlsafe", "randbelow", "uuid1",
        "uuid4", "initial_seed",
    }
)  # fmt: skip
_FILES = frozenset(
    {
        "fdopen", "read_text", "read_bytes", "write_text", "write_bytes", "mkstemp", "mkdtemp", "NamedTemporaryFile",
        "TemporaryFile", "urlopen", "memmap",
    }
)  # fmt: skip
_CLOCK = "reads the clock (`{}`), so what it does may depend on when it runs"
_DICE = "uses chance (`{}`): two calls with one input may differ"
_FILE = "reads or writes files (`{}`), and they may hold something else at the next call"
_REASONS: tuple[tuple[frozenset[str], str], ...] = (
    (_OUT_OF_SIGHT, "uses {}, which works out of sight"),
    (_ASKS_WHO_WATCHES, "uses {}, and so may do something else when nobody watches"),
    (_CLOCKS, _CLOCK),
    (_CHANCE, _DICE),
    (_FILES, _FILE),
)
_OWNED = (
    ("time", "time", _CLOCK),
    ("datetime", "now", _CLOCK),
    ("datetime", "today", _CLOCK),
    ("date", "today", _CLOCK),
    ("random", "setstate", _DICE),
    ("random", "set_state", _DICE),
)
"""What is told by the name of its owner, too: `time.time`, but not the `time` of anything else."""
_FUNCTIONS = {
    **dict.fromkeys((time.time, time.time_ns, time.perf_counter, time.monotonic, time.process_time), _CLOCK),
    **dict.fromkeys((os.urandom, uuid.uuid4, uuid.uuid1, secrets.randbelow, secrets.token_bytes), _DICE),
    open: _FILE,
}


def objection_to_code(code: types.CodeType, names: frozenset[str], space: dict[str, object]) -> str | None:
    """What a function does that its input does not decide, as in "uses Thread, which …"; None where nothing is seen.

    Args:
        code: of the function.
        names: the names in it.
        space: its globals.
    """
    for known, words in _REASONS:
        for name in sorted(names & known):
            return words.format(name)
    for owner, name, words in _OWNED:
        if names.issuperset((owner, name)) and _asks_for(code, owner, name):
            return words.format(f"{owner}.{name}")
    if (space.get("stack") is inspect.stack and "stack" in names) or _asks_for(code, "inspect", "stack"):
        return "uses currentframe, and so may do something else when nobody watches"
    if "open" in names and "open" not in space and _calls_global(code, "open"):
        return _FILE.format("open")
    return None


def objection_to_value(value: object) -> str | None:
    """The same for a function of Python's own that code has at hand under whatever name."""
    if isinstance(value, random.SystemRandom):
        return _DICE.format("SystemRandom")
    kinds = (types.BuiltinFunctionType, types.FunctionType)
    words = _FUNCTIONS.get(value) if isinstance(value, kinds) else None
    return None if words is None else words.format(getattr(value, "__name__", value))


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def names_in(code: types.CodeType) -> frozenset[str]:
    """The names that code may look up: of globals, of attributes, and in texts (for getattr and kin)."""
    texts = (one for one in code.co_consts if isinstance(one, str) and one.isidentifier())
    return frozenset(code.co_names).union(texts, *map(names_in, _inner(code)))


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def stored_names_in(code: types.CodeType) -> frozenset[str]:
    """The names of attributes that code may set: those that it assigns to, and texts where it uses setattr or kin."""
    found = [one.argval for one in dis.get_instructions(code) if one.opname in ("STORE_ATTR", "DELETE_ATTR")]
    if not {"setattr", "__setattr__", "delattr", "__dict__", "vars"}.isdisjoint(code.co_names):
        found += [one for one in code.co_consts if isinstance(one, str) and one.isidentifier()]
    return frozenset(found).union(*map(stored_names_in, _inner(code)))


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _asks_for(code: types.CodeType, owner: str, name: str) -> bool:
    """Whether code looks up `owner.name`; a `name` of another owner does not count."""
    if not {owner, name} <= names_in(code):
        return False
    pairs = itertools.pairwise(dis.get_instructions(code))
    return any(a.argval == owner and b.argval == name for a, b in pairs) or any(
        _asks_for(inner, owner, name) for inner in _inner(code)
    )


def _calls_global(code: types.CodeType, name: str) -> bool:
    loads = any(one.opname == "LOAD_GLOBAL" and one.argval == name for one in dis.get_instructions(code))
    return loads or any(_calls_global(inner, name) for inner in _inner(code))


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
