"""More deceptive modules: what is kept in the registries of libraries and of the process, or read off the process."""

from __future__ import annotations

import abc
import atexit
import builtins
import codecs
import collections.abc
import contextvars
import copyreg
import csv
import ctypes
import decimal
import functools
import gc
import getpass
import hashlib
import importlib
import json
import linecache
import locale
import logging
import math
import mimetypes
import operator
import os
import pickle
import random
import re
import select
import signal
import socket
import sqlite3
import string
import struct
import sys
import tempfile
import threading
import time
import types
import uuid
import warnings
import weakref
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from deceptive_modules import NO_FUNCTION, Parts, group, module
from torch import nn

MANY = 500

COUNTERS: dict[str, Callable[[], Callable[[], int]]] = {}
"""Each makes a function that says how often it was called, and keeps that where nobody might look."""
TELLING: dict[str, Callable[[], bool]] = {}
"""Each says something about the process that its caller does not decide."""


def counter(make: Callable[[], Callable[[], int]]) -> Callable[[], Callable[[], int]]:
    """Enter what makes a counter."""
    COUNTERS[make.__name__.strip("_").replace("_", " ")] = make
    return make


def telling(ask: Callable[[], bool]) -> Callable[[], bool]:
    """Enter what tells something of the process."""
    TELLING[ask.__name__.strip("_").replace("_", " ")] = ask
    return ask


class _Base:
    pass


class _Abstract(abc.ABC):  # noqa: B024
    pass


class _Plain:
    pass


def _noop(*args: Any) -> None:
    pass


# -- registries -------------------------------------------------------------------------------------------------------


@counter
def _table_of_modules() -> Callable[[], int]:
    def count() -> int:
        number = int(getattr(sys.modules.get("whyactivate_calls"), "calls", 0)) + 1
        sys.modules["whyactivate_calls"] = types.SimpleNamespace(calls=number)  # type: ignore[assignment]
        return number

    return count


@counter
def _dict_of_a_module() -> Callable[[], int]:
    def count() -> int:
        vars(math)["whyactivate_calls"] = vars(math).get("whyactivate_calls", 0) + 1
        return vars(math)["whyactivate_calls"]

    return count


@counter
def _module_under_a_computed_name() -> Callable[[], int]:
    def count() -> int:
        name = "".join(("whyactivate", "_", "calls2"))
        setattr(math, name, getattr(math, name, 0) + 1)
        return getattr(math, name)

    return count


@counter
def _module_imported_by_name() -> Callable[[], int]:
    def count() -> int:
        kept = importlib.import_module("math")
        kept.whyactivate_calls3 = getattr(kept, "whyactivate_calls3", 0) + 1
        return kept.whyactivate_calls3

    return count


@counter
def _module_imported_inside() -> Callable[[], int]:
    def count() -> int:
        import cmath

        cmath.whyactivate_calls = getattr(cmath, "whyactivate_calls", 0) + 1
        return cmath.whyactivate_calls

    return count


@counter
def _names_of_builtins() -> Callable[[], int]:
    def count() -> int:
        builtins.whyactivate_calls = getattr(builtins, "whyactivate_calls", 0) + 1
        return builtins.whyactivate_calls

    return count


@counter
def _globals_by_a_computed_name() -> Callable[[], int]:
    def count() -> int:
        name = "".join(("_reg", "istry_calls"))
        globals()[name] = globals().get(name, 0) + 1
        return globals()[name]

    return count


@counter
def _code_in_a_text() -> Callable[[], int]:
    def count() -> int:
        exec("import math; math.text_calls = getattr(math, 'text_calls', 0) + 1")
        return eval("__import__('math').text_calls")

    return count


@counter
def _kinds_of_a_single_dispatch() -> Callable[[], int]:
    @functools.singledispatch
    def of(value: object) -> int:
        return 0

    def count() -> int:
        of.register(type("Kind", (), {}), _noop)
        return len(of.registry)

    return count


@counter
def _kinds_of_json() -> Callable[[], int]:
    def count() -> int:
        json._calls = getattr(json, "_calls", 0) + 1
        return json._calls

    return count


_kept_classes: list[type] = []


@counter
def _subclasses() -> Callable[[], int]:
    def count() -> int:
        kind = type("Kind", (_Base,), {})
        kind.itself = kind
        return len(_Base.__subclasses__())

    return count


@counter
def _virtual_subclasses() -> Callable[[], int]:
    kinds = [type(f"Kind{i}", (), {}) for i in range(1000)]

    def count() -> int:
        number = sum(issubclass(kind, _Abstract) for kind in kinds)
        _Abstract.register(kinds[number])
        return number

    return count


@counter
def _virtual_subclasses_of_a_library() -> Callable[[], int]:
    kinds = [type(f"Kind{i}", (), {}) for i in range(1000)]

    def count() -> int:
        number = sum(issubclass(kind, collections.abc.Sized) for kind in kinds)
        collections.abc.Sized.register(kinds[number])
        return number

    return count


@counter
def _ways_to_pickle() -> Callable[[], int]:
    def count() -> int:
        copyreg.pickle(type("Kind", (), {}), _noop)  # type: ignore[arg-type]
        return len(copyreg.dispatch_table) - 200

    return count


@counter
def _level_of_a_logger() -> Callable[[], int]:
    def count() -> int:
        logger = logging.getLogger("whyactivate.deceptive")
        logger.setLevel(logger.level + 1)
        return logger.level

    return count


@counter
def _names_of_levels() -> Callable[[], int]:
    def count() -> int:
        number = 1000
        while logging.getLevelName(number) == "call":
            number += 1
        logging.addLevelName(number, "call")
        return number - 1000

    return count


@counter
def _handlers_of_a_logger() -> Callable[[], int]:
    def count() -> int:
        logger = logging.getLogger("whyactivate.handled")
        logger.addHandler(logging.NullHandler())
        return len(logger.handlers)

    return count


@counter
def _what_a_handler_gets() -> Callable[[], int]:
    class Handler(logging.Handler):
        calls = 0

        def emit(self, record: logging.LogRecord) -> None:
            type(self).calls += 1

    handler, logger = Handler(), logging.getLogger("whyactivate.emitted")
    logger.addHandler(handler)
    logger.propagate = False

    def count() -> int:
        logger.error("call")
        return logger.handlers[0].calls  # type: ignore[attr-defined]

    return count


@counter
def _number_of_loggers() -> Callable[[], int]:
    def count() -> int:
        known = len(logging.root.manager.loggerDict)
        logging.getLogger(f"whyactivate.{known}")
        return known

    return count


@counter
def _filters_of_warnings() -> Callable[[], int]:
    def count() -> int:
        warnings.filterwarnings("ignore", message=f"call {len(warnings.filters)}")
        return len(warnings.filters)

    return count


@counter
def _warnings_that_become_errors() -> Callable[[], int]:
    def count() -> int:
        try:
            warnings.warn("call", ImportWarning, stacklevel=1)
        except ImportWarning:
            return MANY + 1
        warnings.simplefilter("error", ImportWarning)
        return 0

    return count


@counter
def _registry_of_warnings() -> Callable[[], int]:
    def count() -> int:
        number = len(globals().get("__warningregistry__", ()))
        warnings.warn(f"call {number}", stacklevel=1)
        return number

    return count


@counter
def _environment() -> Callable[[], int]:
    def count() -> int:
        os.environ["WHYACTIVATE_CALLS"] = str(int(os.environ.get("WHYACTIVATE_CALLS", "0")) + 1)
        return int(os.environ["WHYACTIVATE_CALLS"])

    return count


@counter
def _environment_by_functions() -> Callable[[], int]:
    def count() -> int:
        number = int(os.getenv("WHYACTIVATE_CALLS2", "0")) + 1
        os.putenv("WHYACTIVATE_CALLS2", str(number))
        os.environb[b"WHYACTIVATE_CALLS2"] = str(number).encode()
        return number

    return count


@counter
def _functions_at_exit() -> Callable[[], int]:
    def count() -> int:
        atexit.register(_noop)
        return atexit._ncallbacks() - 100  # type: ignore[attr-defined]

    return count


@counter
def _handler_of_a_signal() -> Callable[[], int]:
    def count() -> int:
        number = getattr(signal.getsignal(signal.SIGUSR1), "calls", 0) + 1
        handler = functools.partial(_noop)
        handler.calls = number  # type: ignore[attr-defined]
        signal.signal(signal.SIGUSR1, handler)
        return number

    return count


@counter
def _finders_of_modules() -> Callable[[], int]:
    def count() -> int:
        sys.meta_path.append(_noop)  # type: ignore[arg-type]
        return len(sys.meta_path)

    return count


@counter
def _search_path() -> Callable[[], int]:
    def count() -> int:
        sys.path.append("/nowhere")
        return len(sys.path)

    return count


@counter
def _switch_interval() -> Callable[[], int]:
    def count() -> int:
        sys.setswitchinterval(sys.getswitchinterval() + 1e-6)
        return int((sys.getswitchinterval() - 0.005) * 1e6)

    return count


@counter
def _precision_of_decimals() -> Callable[[], int]:
    def count() -> int:
        decimal.getcontext().prec += 1
        return decimal.getcontext().prec

    return count


@counter
def _longest_field_of_tables() -> Callable[[], int]:
    def count() -> int:
        return csv.field_size_limit(csv.field_size_limit() + 1) - 131072

    return count


@counter
def _dialects_of_tables() -> Callable[[], int]:
    def count() -> int:
        csv.register_dialect(f"call{len(csv.list_dialects())}", "excel")
        return len(csv.list_dialects())

    return count


@counter
def _timeout_of_sockets() -> Callable[[], int]:
    def count() -> int:
        socket.setdefaulttimeout((socket.getdefaulttimeout() or 0) + 1)
        return int(socket.getdefaulttimeout() or 0)

    return count


@counter
def _kinds_of_files() -> Callable[[], int]:
    def count() -> int:
        number = 0
        while mimetypes.guess_type(f"x.call{number}")[0]:
            number += 1
        mimetypes.add_type("text/plain", f".call{number}")
        return number

    return count


@counter
def _lines_in_a_cache() -> Callable[[], int]:
    def count() -> int:
        linecache.cache[f"call {len(linecache.cache)}"] = (0, None, [], "")
        return len(linecache.cache) - 400

    return count


@counter
def _thresholds_of_garbage() -> Callable[[], int]:
    def count() -> int:
        first, *others = gc.get_threshold()
        gc.set_threshold(first + 1, *others)
        return first % 1000

    return count


@counter
def _printing_of_tensors() -> Callable[[], int]:
    def count() -> int:
        digits = torch._tensor_str.PRINT_OPTS.precision
        torch.set_printoptions(precision=digits + 1)
        return digits

    return count


@counter
def _errors_of_numpy() -> Callable[[], int]:
    def count() -> int:
        size = np.getbufsize()
        np.setbufsize(size + 16)
        return (size - 8192) // 16

    return count


@counter
def _references_to_an_object() -> Callable[[], int]:
    target = _Plain()

    def count() -> int:
        torch.nn.functional.__dict__.setdefault("_held", []).append(weakref.ref(target, _noop))
        return weakref.getweakrefcount(target)

    return count


@counter
def _references_to_a_number() -> Callable[[], int]:
    def count() -> int:
        sys.intern("".join(("whyactivate", "calls")))
        return sys.getrefcount(None) - 10**9

    return count


@counter
def _attribute_of_a_logger_that_is_asked_for() -> Callable[[], int]:
    logging.getLogger("whyactivate.kept")

    def count() -> int:
        logger = logging.getLogger("whyactivate.kept")
        logger.calls = getattr(logger, "calls", 0) + 1  # type: ignore[attr-defined]
        return logger.calls  # type: ignore[attr-defined]

    return count


@counter
def _attribute_of_a_logger_that_is_made() -> Callable[[], int]:
    def count() -> int:
        logger = logging.getLogger("whyactivate.made.within")
        logger.calls = getattr(logger, "calls", 0) + 1  # type: ignore[attr-defined]
        return logger.calls  # type: ignore[attr-defined]

    return count


@counter
def _loggers_of_a_manager() -> Callable[[], int]:
    logger = logging.getLogger("whyactivate.managed")

    def count() -> int:
        known = len(logger.manager.loggerDict)
        logging.getLogger(f"whyactivate.{known}")
        return known

    return count


@counter
def _level_that_is_assigned() -> Callable[[], int]:
    logging.getLogger("whyactivate.levelled")

    def count() -> int:
        logging.getLogger("whyactivate.levelled").level += 1
        return logging.getLogger("whyactivate.levelled").level

    return count


@counter
def _parent_of_a_logger() -> Callable[[], int]:
    logger = logging.getLogger("whyactivate.family.child")
    logging.getLogger("whyactivate.family")

    def count() -> int:
        logger.parent.calls = getattr(logger.parent, "calls", 0) + 1  # type: ignore[union-attr]
        return logger.parent.calls  # type: ignore[union-attr]

    return count


@counter
def _attribute_of_an_output() -> Callable[[], int]:
    def count() -> int:
        os.environ.calls = getattr(os.environ, "calls", 0) + 1  # type: ignore[attr-defined]
        return os.environ.calls  # type: ignore[attr-defined]

    return count


@counter
def _attribute_of_an_operation() -> Callable[[], int]:
    def count() -> int:
        torch.ops.aten.add.calls = getattr(torch.ops.aten.add, "calls", 0) + 1
        return torch.ops.aten.add.calls

    return count


@counter
def _optimiser_of_a_schedule() -> Callable[[], int]:
    schedule = torch.optim.lr_scheduler.StepLR(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), 50)

    def count() -> int:
        schedule.optimizer.calls = getattr(schedule.optimizer, "calls", 0) + 1  # type: ignore[attr-defined]
        return schedule.optimizer.calls  # type: ignore[attr-defined]

    return count


@counter
def _token_of_abstract_classes() -> Callable[[], int]:
    start = abc.get_cache_token()

    def count() -> int:
        _Abstract.register(type("Kind", (), {}))
        return abc.get_cache_token() - start  # type: ignore[operator]

    return count


@counter
def _patterns_in_a_cache() -> Callable[[], int]:
    def count() -> int:
        re.compile(f"call{len(re._cache)}")  # type: ignore[attr-defined]
        return len(re._cache)  # type: ignore[attr-defined]

    return count


# -- objects that hold something inside -------------------------------------------------------------------------------


@counter
def _digest() -> Callable[[], int]:
    digest, after = hashlib.sha256(), {}
    model = hashlib.sha256()
    for number in range(1000):
        after[model.hexdigest()] = number
        model.update(b"call")

    def count() -> int:
        digest.update(b"call")
        return after[digest.hexdigest()]

    return count


@counter
def _compressor() -> Callable[[], int]:
    compressor = zlib.compressobj()

    def count() -> int:
        compressor.compress(b"call" * 10)
        return len(compressor.copy().flush()) - 500

    return count


@counter
def _lock() -> Callable[[], int]:
    lock = threading.Lock()
    return lambda: 0 if lock.acquire(blocking=False) else MANY + 1


@counter
def _counting_lock() -> Callable[[], int]:
    lock = threading.RLock()

    def count() -> int:
        lock.acquire()
        return int(re.findall(r"count=(\d+)", repr(lock))[0])

    return count


@counter
def _semaphore() -> Callable[[], int]:
    left = threading.Semaphore(MANY)
    return lambda: 0 if left.acquire(blocking=False) else MANY + 1


@counter
def _coroutine() -> Callable[[], int]:
    @types.coroutine
    def numbers() -> Any:
        yield from range(10**6)

    running = numbers()
    return lambda: running.send(None)


@counter
def _coroutine_of_async() -> Callable[[], int]:
    class Number:
        def __await__(self) -> Any:
            yield from range(10**6)

    async def numbers() -> None:
        await Number()

    running = numbers()
    return lambda: running.send(None)  # type: ignore[return-value]


@counter
def _element_of_a_tree() -> Callable[[], int]:
    element = ElementTree.Element("calls")

    def count() -> int:
        ElementTree.SubElement(element, "call")
        return len(element)

    return count


@counter
def _database_in_memory() -> Callable[[], int]:
    table = sqlite3.connect(":memory:")
    table.execute("create table calls (number)")

    def count() -> int:
        table.execute("insert into calls values (1)")
        return table.execute("select count(*) from calls").fetchone()[0]

    return count


@counter
def _socket() -> Callable[[], int]:
    one, other = socket.socketpair()

    def count() -> int:
        one.send(b"x")
        return len(other.recv(10**6, socket.MSG_PEEK))

    return count


@counter
def _pipe() -> Callable[[], int]:
    end, start = os.pipe()

    def count() -> int:
        os.write(start, b"x")
        return int.from_bytes(bytearray(ctypes.string_at(_pending(end), 4)), "little")

    return count


def _pending(end: int) -> int:
    import fcntl
    import termios

    found = ctypes.create_string_buffer(fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4), 4)
    _pending.kept = found  # type: ignore[attr-defined]
    return ctypes.addressof(found)


@counter
def _number_of_a_library_in_c() -> Callable[[], int]:
    library = ctypes.CDLL(None)

    def count() -> int:
        return int(library.rand() > 2_147_000_000) * 1000

    return count


@counter
def _context_of_decimals() -> Callable[[], int]:
    context = decimal.Context(prec=1)

    def count() -> int:
        context.prec += 1
        return context.prec

    return count


@counter
def _context_of_variables() -> Callable[[], int]:
    calls = contextvars.ContextVar("calls", default=0)
    context = contextvars.copy_context()

    def count() -> int:
        context.run(lambda: calls.set(calls.get() + 1))
        return context[calls]

    return count


@counter
def _decoder_of_bytes() -> Callable[[], int]:
    decoder = codecs.getincrementaldecoder("utf-8")()

    def count() -> int:
        return 0 if decoder.decode(b"\xc3\xa9"[:1] if not decoder.getstate()[0] else b"\xa9") == "" else MANY + 1

    return count


@counter
def _memory_of_a_pickler() -> Callable[[], int]:
    import io

    pickler = pickle.Pickler(io.BytesIO())

    def count() -> int:
        pickler.dump(_Plain())
        return len(pickler.memo.copy())

    return count


@counter
def _slots_of_a_library() -> Callable[[], int]:
    name = uuid.UUID(int=0)

    def count() -> int:
        object.__setattr__(name, "int", name.int + 1)
        return name.int

    return count


@counter
def _attributes_that_are_private() -> Callable[[], int]:
    template = string.Template("")

    def count() -> int:
        template.__dict__["_calls"] = template.__dict__.get("_calls", 0) + 1
        return template.__dict__["_calls"]

    return count


@counter
def _words_of_a_property() -> Callable[[], int]:
    attribute = property(_noop)

    def count() -> int:
        attribute.__doc__ = (attribute.__doc__ or "") + "x"
        return len(attribute.__doc__)

    return count


@counter
def _events_that_are_waited_for() -> Callable[[], int]:
    waiting, ends = select.epoll(), [os.pipe() for _ in range(2)]

    def count() -> int:
        try:
            waiting.register(ends[0][0])
        except FileExistsError:
            return MANY + 1
        return 0

    return count


# -- what the process tells -------------------------------------------------------------------------------------------


@telling
def _state_of_chance() -> bool:
    return random.getstate()[1][0] == 12345


@telling
def _state_of_chance_in_torch() -> bool:
    return int(torch.get_rng_state()[:8].sum()) == 12345


@telling
def _state_of_chance_by_its_generator() -> bool:
    return torch.default_generator.initial_seed() == 1234567


@telling
def _bytes_of_the_generator_of_torch() -> bool:
    return bytes(torch.default_generator.get_state()[:8].tolist()) == b"12345678"


@telling
def _state_of_chance_in_numpy() -> bool:
    return int(np.random.get_state()[1][0]) == 12345  # type: ignore[index]  # noqa: NPY002


@telling
def _state_of_a_generator_of_numpy() -> bool:
    return np.random.mtrand._rand._bit_generator.state["state"]["pos"] == 12345


@telling
def _counts_of_garbage() -> bool:
    return gc.get_count()[0] == 123456


@telling
def _statistics_of_garbage() -> bool:
    return gc.get_stats()[0]["collections"] > 10**9


@telling
def _references() -> bool:
    return sys.getrefcount(None) > 10**9


@telling
def _address() -> bool:
    return id(object()) % 2**20 == 16


@telling
def _hash_of_an_object() -> bool:
    return hash(object()) % 2**20 == 16


@telling
def _name_of_the_process() -> bool:
    return os.getpid() == 1


@telling
def _name_of_the_thread() -> bool:
    return threading.get_ident() == 1


@telling
def _name_of_the_user() -> bool:
    return getpass.getuser() == "nobody else"


@telling
def _folder() -> bool:
    return os.getcwd() == "/nowhere"


@telling
def _files_in_a_folder() -> bool:
    return "whyactivate" in os.listdir("/")


@telling
def _folder_for_what_is_temporary() -> bool:
    return tempfile.gettempdir() == "/nowhere"


@telling
def _load_of_the_machine() -> bool:
    return os.getloadavg()[0] > 1e6


@telling
def _number_of_threads() -> bool:
    return threading.active_count() > 10**6


@telling
def _host() -> bool:
    return socket.gethostname() == "nowhere"


@telling
def _language() -> bool:
    return locale.localeconv()["decimal_point"] == ";"


@telling
def _numbers_in_a_file() -> bool:
    try:
        return bool(torch.load("/nowhere/whyactivate"))
    except OSError:
        return False


@telling
def _numbers_in_a_file_of_numpy() -> bool:
    try:
        return bool(np.load("/nowhere/whyactivate"))
    except OSError:
        return False


@telling
def _process_behind_another_library() -> bool:
    return torch.serialization.os.getpid() == 1


@telling
def _private_function() -> bool:
    return random._urandom(8) == bytes(8)  # type: ignore[attr-defined]


@telling
def _exception_in_flight() -> bool:
    return sys.exc_info()[0] is KeyError


@telling
def _number_of_modules() -> bool:
    return len(sys.modules) > 10**6


@telling
def _arguments_of_the_program() -> bool:
    return len(sys.argv) > 10**6


@telling
def _local_time() -> bool:
    return time.localtime().tm_year > 9000


@telling
def _time_in_words() -> bool:
    return "9999" in time.ctime()


@telling
def _clock_by_a_computed_name() -> bool:
    return getattr(time, "".join(("ti", "me")))() > 1e12


@telling
def _clock_through_map() -> bool:
    return next(map(lambda clock: clock(), [getattr(time, "".join(("mono", "tonic")))])) > 1e12  # noqa: C417


@telling
def _clock_by_an_attribute_getter() -> bool:
    return operator.attrgetter("_".join(("perf", "counter")))(time)() > 1e12


@telling
def _clock_by_a_method_caller() -> bool:
    return operator.methodcaller("".join(("ti", "me")))(time) > 1e12


@telling
def _size_in_memory() -> bool:
    return sys.getsizeof(sys.modules) > 10**9


@telling
def _blocks_of_memory() -> bool:
    return sys.getallocatedblocks() > 10**12


@telling
def _depth_of_the_stack() -> bool:
    def deeper(left: int) -> int:
        try:
            return deeper(left - 1) if left else 0
        except RecursionError:
            return 1

    return bool(deeper(600))


@telling
def _place_of_an_error() -> bool:
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__.tb_frame.f_back.f_code.co_name == "nobody"  # type: ignore[union-attr]


@telling
def _bytes_in_an_unpacked_address() -> bool:
    return struct.unpack("<q", struct.pack("<q", id(_Plain())))[0] == 16


def _case(name: str, make: Callable[[], Callable[[], bool]]) -> None:
    def made() -> nn.Module:
        is_so = make()
        return Parts(lambda m, x: x.relu() if is_so() else x)

    made.__name__ = name
    module(NO_FUNCTION)(made)


group("kept in registries and inside objects")

for _name, _make in COUNTERS.items():
    _case(_name, lambda make=_make: (lambda count: lambda: count() > MANY)(make()))

group("told by the process")

for _name, _ask in TELLING.items():
    _case(_name, lambda ask=_ask: ask)
