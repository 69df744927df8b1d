"""What a forward may ask of libraries and still be a function of its input.

Most of the standard library can tell one call from another: by a clock, a count, a file, a table that it keeps. So each
of its modules is taken to do so, but for those named here, whose answers follow from what they are given. Other
libraries are trusted, PyTorch and NumPy but for what is named here.
"""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

CLOCK = "reads the clock (`{}`), so what it does may depend on when it runs"
DICE = "uses chance (`{}`): two calls with one input may differ"
FILE = "reads or writes files (`{}`), and they may hold something else at the next call"
_ELSE = "uses `{}`, whose answer need not follow from the input alone"
_WORDS = {
    **dict.fromkeys(("time", "datetime"), CLOCK),
    **dict.fromkeys(("random", "secrets", "uuid"), DICE),
    **dict.fromkeys(("io", "tempfile", "pathlib", "shutil", "glob"), FILE),
}


def _those(names: str) -> frozenset[str]:
    return frozenset(names.split())


_ALL_BUT: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        _those(
            "array ast base64 binascii bisect cmath collections collections_abc colorsys contextlib copy "
            "dataclasses difflib encodings enum fractions heapq html ipaddress itertools json keyword math "
            "numbers operator pprint re reprlib statistics string struct textwrap types typing unicodedata "
            "weakrefset"
        ),
        frozenset(),
    ),
    "abc": _those("_get_dump get_cache_token register"),
    "builtins": _those(
        "__import__ __subclasses__ breakpoint compile eval exec globals hash id input open MemoryError RecursionError"
    ),
    "contextvars": _those("Context copy_context run"),
    "codecs": _those("register register_error unregister"),
    "datetime": _those("now today utcnow"),
    "functools": _those("register"),
    "io": _those("open open_code FileIO"),
    "numpy": _those(
        "RandomState SeedSequence _rand datetime64 default_rng empty empty_like fromfile genfromtxt get_state load "
        "loadtxt memmap save savetxt savez set_state tofile"
    ),
    "random": _those("Random SystemRandom getstate setstate"),
    "torch": _those(
        "add_safe_globals autocast_decrement_nesting autocast_increment_nesting BFloat16Storage BoolStorage "
        "ByteStorage call_boxed CharStorage CompilationUnit custom_op data_ptr default_generator define "
        "DoubleStorage elapsed_time emit_itt emit_nvtx extract FloatStorage from_file get_kernel get_rng_state "
        "_get_sequence_nr get_state HalfStorage impl initial_seed IntStorage Library load load_url LongStorage "
        "max_memory_allocated max_memory_reserved mem_get_info memory_allocated memory_reserved memory_stats "
        "no_dispatch _op_dk _pop_mode profile _push_mode redispatch redispatch_boxed register_constant "
        "register_dataclass register_fake register_kernel _register_pytree_node register_pytree_node save script "
        "seed _sequence_nr set_default_validate_args set_dir set_fusion_strategy set_num_interop_threads "
        "set_printoptions _set_thread_name set_vital set_warn_always ShortStorage Stat Timer TypedStorage "
        "unset_fake_temporarily UntypedStorage"
    ),
    "traceback": _those("extract_stack format_stack print_stack walk_stack"),
    "sre": _those("SRE_Scanner"),
    "weakref": _those("finalize getweakrefcount getweakrefs"),
}
"""Where everything may be used but what stands here."""
_NOTHING_BUT: dict[str, frozenset[str]] = {
    "argparse": _those("Namespace __contains__ __eq__ __init__ __repr__"),
    "gc": _those("disable enable isenabled"),
    "importlib": _those("_find_and_load _handle_fromlist"),
    "inspect": _those(
        "Parameter Signature bind bind_partial getfullargspec isclass isfunction ismethod parameters signature"
    ),
    "logging": _those(
        "CRITICAL DEBUG ERROR INFO WARNING Logger LoggerAdapter critical debug error exception getEffectiveLevel "
        "getLogger info isEnabledFor log warning FileHandler Filter Formatter Handler LogRecord Manager NullHandler "
        "PercentStyle PlaceHolder RootLogger StreamHandler"
    ),
    "os": _those(
        "PathLike environ fspath getenv name sep __contains__ __delitem__ __getitem__ __iter__ __len__ __setitem__"
    ),
    "pathlib": _those("Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath"),
    "sys": _those(
        "byteorder float_info getrecursionlimit maxsize platform setrecursionlimit stderr stdout version version_info"
    ),
    "thread": _those("RLock __enter__ __exit__ acquire allocate_lock local lock release"),
    "threading": _those("Condition Lock RLock Semaphore __enter__ __exit__ __init__ acquire local release"),
    "warnings": _those("__enter__ __exit__ __init__ _showwarnmsg catch_warnings filterwarnings simplefilter warn"),
    **dict.fromkeys(
        ("posixpath", "ntpath"), _those("basename commonpath dirname isabs join normcase normpath sep split splitext")
    ),
}
"""Where nothing may be used but what stands here: it is harmless, or kept and compared (`guards`, `state`)."""
_INSIDE_TORCH = "torch._C"
"""What is private there gives numbers and addresses away, and sets switches, that nobody sees."""
_HARMLESS_IN_TORCH = _those("_get_accelerator _get_tracing_state _log_api_usage_once")
_OTHER_NAMES = {"posix": "os", "nt": "os"}


def objection_to_use(home: str | None, name: str = "", *, by_its_name: bool = False) -> str | None:
    """What is wrong with using `home.name`, or a module as a whole where no name is given; None where nothing is.

    Args:
        home: the full name of a module, whether of the standard library or not.
        name: of something in it, or of a method of something in it.
        by_its_name: whether code asks the module itself for it; then what is private is its own tables and counters.
    """
    package = (home or "").partition(".")[0]
    stem = _OTHER_NAMES.get(package, package.lstrip("_"))
    full = f"{stem}{(home or '')[len(package) :]}.{name}"
    if stem in _ALL_BUT:
        is_fine = name not in _ALL_BUT[stem]
    else:
        is_fine = package not in sys.stdlib_module_names or name in _NOTHING_BUT.get(stem, ())
    if by_its_name and (package in sys.stdlib_module_names or home == _INSIDE_TORCH):
        is_fine = is_fine and (name.startswith("__") or not name.startswith("_") or name in _HARMLESS_IN_TORCH)
    return None if is_fine else _WORDS.get(stem, _ELSE).format(full.removeprefix("builtins.").strip("."))


def objection_to_call(value: Any, caller: types.CodeType) -> str | None:
    """The same for what some code uses: a `__hash__` may ask for the hash of its parts, or for its own identity."""
    is_own_hash = caller.co_name == "__hash__" and (value is hash or value is id)
    return None if is_own_hash else objection_to_value(value)


def objection_to_value(value: Any) -> str | None:
    """The same for a function, a method, a class or a module that code has at hand under whatever name."""
    if isinstance(value, types.ModuleType):
        return objection_to_use(value.__name__)
    if isinstance(value, types.MethodType):
        return objection_to_value(value.__func__)
    owner = getattr(value, "__self__", None)
    is_method = isinstance(value, types.BuiltinFunctionType) and getattr(value, "__module__", None) is None
    if is_method and owner is not None and not isinstance(owner, types.ModuleType):
        return objection_to_use(_home_of_method(owner, value.__name__), value.__name__)
    if isinstance(value, (types.BuiltinFunctionType, types.FunctionType, type)):
        return objection_to_use(value.__module__, value.__name__, by_its_name=value.__module__ == _INSIDE_TORCH)
    if isinstance(value, (types.MethodDescriptorType, types.ClassMethodDescriptorType)):
        return objection_to_use(value.__objclass__.__module__, value.__name__)
    return None


def _home_of_method(owner: Any, name: str) -> str:
    kinds = (*(inspect.getmro(owner) if isinstance(owner, type) else ()), *inspect.getmro(type(owner)))
    return next((kind.__module__ for kind in kinds if name in vars(kind)), type(owner).__module__)
