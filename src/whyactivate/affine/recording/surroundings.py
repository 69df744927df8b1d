"""What code asks of the world around it: who watches, what time it is, what a file holds, what chance gives.

A forward that does so is no function of its input, or may be another one when nobody watches. It is told from the names
in the code and from the functions that they stand for, not from what a run happens to do.
"""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import types

from whyactivate.affine.recording.guards import COLLECTORS, READERS
from whyactivate.affine.recording.standard_library import CLOCK, DICE, FILE
from whyactivate.affine.recording.uses import inner_codes

_MOST_REMEMBERED = 4096
"""Of how many functions it is remembered what is in their code."""

SETTERS = frozenset({"setattr", "__setattr__", "delattr", "__dict__", "vars"})
"""The names of what sets attributes under names that need not stand in the code."""
_OUT_OF_SIGHT = frozenset(
    {
        "Thread", "Timer", "start_new_thread", "ThreadPoolExecutor", "ProcessPoolExecutor", "ThreadPool", "to_thread",
        "run_in_executor", "Process", "Popen", "to_dlpack", "_to_dlpack", "DisableTorchFunction",
        "_DisableTorchDispatch", "_ExcludeDispatchKeyGuard", "_disable_current_modes", "_pop_mode_temporarily",
        "_pop_mode", "_push_mode", "no_dispatch", "redispatch", "redispatch_boxed", "unset_fake_temporarily",
        "share_memory_", "__array_interface__", "ctypes",
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
        "setprofile", "settrace", "get_objects", "get_referrers", "getrefcount", "get_threshold", "traceback_",
        "CapturedTraceback", "gather_traceback", "createResolutionCallbackFromFrame", "_stance", "_lazy_seed_tracker",
    }
)  # fmt: skip
_LOOKS_UP = frozenset(
    {"__annotations__", "__globals__", "__builtins__", "f_globals", "f_builtins", "f_locals", "gi_frame", "cr_frame"}
)
_GIVES_GLOBALS = frozenset(
    {
        "globals", "locals", "vars", "eval", "exec", "compile", "modules", "__dict__", "__import__", "import_module",
        "getmodule", "find_class",
    }
)  # fmt: skip
"""The names of what gets at globals under names that need not be looked up by the code itself."""
_ABOUT_GLOBALS = ("_GLOBAL", "_GLOBALS", "_NAME")
"""How the names of steps end that load, store or delete one."""
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
_COUNTED = frozenset({"_version", "_sequence_nr", "_get_sequence_nr", "next_id"})
_CALLED_UNSEEN = frozenset({"__torch_dispatch__", "saved_tensors_hooks"})
"""The names of what PyTorch calls when Python's part of an operation is over."""
_SAVED = ("_saved_", "_raw_saved_")
"""What the names of tensors in a graph of gradients begin with."""
_REASONS: tuple[tuple[frozenset[str], str], ...] = (
    (_OUT_OF_SIGHT, "uses {}, which works out of sight"),
    (_ASKS_WHO_WATCHES, "uses {}, and so may do something else when nobody watches"),
    (frozenset({"loggerDict", "getChildren"}), "counts loggers (`{}`), which belong to the whole program"),
    (_LOOKS_UP, "uses `{}`, by which it gets at names that do not stand in its code"),
    (_COUNTED, "reads `{}`, which PyTorch counts from call to call"),
    (_CLOCKS, CLOCK),
    (_CHANCE, DICE),
    (_FILES, FILE),
)
_OWNED = (
    ("time", "time", CLOCK),
    ("datetime", "now", CLOCK),
    ("datetime", "today", CLOCK),
    ("date", "today", CLOCK),
    ("random", "setstate", DICE),
    ("random", "set_state", DICE),
)
"""What is told by the name of its owner, too: `time.time`, but not the `time` of anything else."""


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
    if any(name == "id" or name.endswith("_hooks") for name in names) and any(
        name.startswith("register_") and name.endswith("hook") for name in names
    ):
        return "reads the `id` of a hook, which PyTorch counts from call to call"
    if not names.isdisjoint(("grad_fn", "next_functions")):
        for name in sorted(names):
            if name.startswith(_SAVED):
                return f"reads `{name}`, and an error there tells how often PyTorch saw its memory written"
    if names.issuperset(("grad_fn", "metadata")):
        return "reads the `metadata` of a graph of gradients, which may hold the stack of calls"
    if not _CALLED_UNSEEN.isdisjoint({code.co_name, *names}) and not names.isdisjoint(READERS | COLLECTORS):
        return "reads numbers of tensors where that is not seen: in what it hooks to operations, or to what they save"
    if "catch_warnings" in names and "record" in _keywords_in(code) | names:
        return "records warnings, which tell who called"
    if (space.get("stack") is inspect.stack and "stack" in names) or _asks_for(code, "inspect", "stack"):
        return "uses currentframe, and so may do something else when nobody watches"
    return None


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def names_in(code: types.CodeType) -> frozenset[str]:
    """The names that code may look up: of globals, of attributes, and in texts (for getattr and kin)."""
    texts = (one for one in code.co_consts if isinstance(one, str) and one.isidentifier())
    return frozenset(code.co_names).union(texts, *map(names_in, inner_codes(code)))


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def global_names_in(code: types.CodeType) -> frozenset[str]:
    """The names that code may look up among its globals: attributes may have the same names as other things there."""
    names = names_in(code)
    if not names.isdisjoint(_GIVES_GLOBALS):
        return names
    found = (one.argval for one in dis.get_instructions(code) if one.opname.endswith(_ABOUT_GLOBALS))
    return frozenset(found).union(*map(global_names_in, inner_codes(code)))


def _keywords_in(code: types.CodeType) -> frozenset[str]:
    """The names by which a function's own calls pass arguments, among other texts in tuples."""
    found = (one for constant in code.co_consts if isinstance(constant, tuple) for one in constant)
    return frozenset(one for one in found if isinstance(one, str)).union(*map(_keywords_in, inner_codes(code)))


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def stored_names_in(code: types.CodeType) -> frozenset[str]:
    """The names of attributes that code may set: those that it assigns to, and texts where it uses setattr or kin."""
    found = [one.argval for one in dis.get_instructions(code) if one.opname in ("STORE_ATTR", "DELETE_ATTR")]
    if not SETTERS.isdisjoint(code.co_names):
        found += [one for one in code.co_consts if isinstance(one, str) and one.isidentifier()]
    return frozenset(found).union(*map(stored_names_in, inner_codes(code)))


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _asks_for(code: types.CodeType, owner: str, name: str) -> bool:
    """Whether code looks up `owner.name`; a `name` of another owner does not count."""
    if not {owner, name} <= names_in(code):
        return False
    pairs = itertools.pairwise(dis.get_instructions(code))
    return any(a.argval == owner and b.argval == name for a, b in pairs) or any(
        _asks_for(inner, owner, name) for inner in inner_codes(code)
    )
