"""More deceptive modules: what is kept with the help of libraries, and what is asked of clocks, files and chance."""

from __future__ import annotations

import collections
import csv
import ctypes
import datetime
import enum
import functools
import itertools
import logging
import math
import mmap
import operator
import os
import pathlib
import random
import re
import secrets
import tempfile
import time
import types
import uuid
import weakref
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import sympy
import torch
from deceptive_modules import NO_FUNCTION, Parts, group, module
from torch import nn

group("kept with the help of others")


class _Plain:
    pass


class _Listed(enum.Enum):
    CALLS = []  # noqa: RUF012


def _cached() -> Callable[[], int]:
    count = functools.lru_cache(maxsize=None)(lambda key: key)
    return lambda: count(object()) and count.cache_info().currsize


def _list_in_a_cache() -> Callable[[], int]:
    calls = functools.lru_cache(maxsize=8)(list)
    calls()
    return lambda: calls().append(1) or len(calls())


def _list_in_an_unbounded_cache() -> Callable[[], int]:
    calls = functools.cache(list)
    calls()
    return lambda: calls().append(1) or len(calls())


def _iterator(numbers: Any) -> Callable[[], int]:
    return lambda: next(numbers)


def _code_that_changes() -> Callable[[], int]:
    def number() -> int:
        return 0

    def count() -> int:
        now = number()
        number.__code__ = number.__code__.replace(co_consts=(None, now + 1))
        return now

    return count


def _defaults_that_change() -> Callable[[], int]:
    def number(now: int = 0) -> int:
        return now

    def count() -> int:
        number.__defaults__ = (number() + 1,)
        return number()

    return count


def _keyword_defaults_that_change() -> Callable[[], int]:
    def number(*, now: int = 0) -> int:
        return now

    def count() -> int:
        number.__kwdefaults__ = {"now": number() + 1}
        return number()

    return count


def _attribute_of(owner: Any, name: str) -> Callable[[], int]:
    def count() -> int:
        owner.whyactivate_calls = getattr(owner, "whyactivate_calls", 0) + 1
        return owner.whyactivate_calls

    assert name == "whyactivate_calls"
    return count


def _module_of_the_standard_library() -> Callable[[], int]:
    def count() -> int:
        math.whyactivate_calls = getattr(math, "whyactivate_calls", 0) + 1
        return math.whyactivate_calls

    return count


def _class_of_torch() -> Callable[[], int]:
    def count() -> int:
        nn.Linear.whyactivate_calls = getattr(nn.Linear, "whyactivate_calls", 0) + 1
        return nn.Linear.whyactivate_calls

    return count


def _submodule_of_torch() -> Callable[[], int]:
    def count() -> int:
        setattr(torch.nn.functional, "whyactivate_calls", getattr(torch.nn.functional, "whyactivate_calls", 0) + 1)  # noqa: B010
        return torch.nn.functional.whyactivate_calls

    return count


def _number_of_ctypes() -> Callable[[], int]:
    number = ctypes.c_int(0)

    def count() -> int:
        number.value += 1
        return number.value

    return count


def _first_cell(memory: Any) -> Callable[[], int]:
    def count() -> int:
        memory[0] += 1
        return memory[0]

    return count


def _chain_of_maps() -> Callable[[], int]:
    numbers = collections.ChainMap({"calls": 0})

    def count() -> int:
        numbers["calls"] += 1
        return numbers["calls"]

    return count


def _arguments_of_an_error() -> Callable[[], int]:
    error = ValueError([])
    return lambda: error.args[0].append(1) or len(error.args[0])


def _notes_of_an_error() -> Callable[[], int]:
    error = ValueError()
    return lambda: error.add_note("call") or len(error.__notes__)


def _methods_of_a_list() -> Callable[[], int]:
    append, size = (calls := []).append, calls.__len__
    return lambda: append(1) or size()


def _member_of_an_enum() -> Callable[[], int]:
    return lambda: _Listed.CALLS.value.append(1) or len(_Listed.CALLS.value)


def _steps_of_a_schedule() -> Callable[[], int]:
    layer = nn.Linear(4, 4)
    schedule = torch.optim.lr_scheduler.StepLR(torch.optim.SGD(layer.parameters(), lr=0.1), 50)
    return lambda: schedule.step() or schedule.last_epoch


def _data_of_a_loader() -> Callable[[], int]:
    data = torch.utils.data.TensorDataset(torch.arange(1000))
    rows = iter(torch.utils.data.DataLoader(data))
    return lambda: int(next(rows)[0])


def _death_of_an_object() -> Callable[[], int]:
    dead: list[int] = []

    class Mortal:
        def __del__(self) -> None:
            dead.append(1)

    return lambda: Mortal() and len(dead)


def _death_that_is_told() -> Callable[[], int]:
    dead: list[int] = []

    def count() -> int:
        weakref.finalize(_Plain(), dead.append, 1)
        return len(dead)

    return count


class _Number(int):
    pass


class _Pair(tuple):
    pass


class _Mapping(dict):
    pass


class _Hidden:
    __slots__ = ("__calls",)

    def __init__(self) -> None:
        self.__calls = 0

    def count(self) -> int:
        self.__calls += 1
        return self.__calls


class _Half:
    __slots__ = ("__dict__", "calls")

    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> int:
        self.calls += 1
        return self.calls


class _Kind(type):
    made: list[int] = []  # noqa: RUF012

    def __call__(cls) -> int:
        cls.made.append(1)
        return len(cls.made)


class _Made(metaclass=_Kind):
    pass


def _annotated() -> None:
    pass


def _counts_in_annotations() -> int:
    _annotated.__annotations__["calls"] = _annotated.__annotations__.get("calls", 0) + 1
    return _annotated.__annotations__["calls"]


def _calls_of(owner: Any) -> Callable[[], int]:
    """Counts in an attribute of its own."""
    owner.calls = 0

    def count() -> int:
        owner.calls += 1
        return owner.calls

    return count


def _cell_of(numbers: Any, place: Any, start: int = 0) -> Callable[[], int]:
    """Counts in an entry of something that can be written into."""

    def count() -> int:
        numbers[place] = numbers[place] + 1
        return int(numbers[place]) - start

    return count


def _counts_when_called() -> Callable[[], int]:
    calls: list[int] = []

    def count(*_: Any) -> int:
        calls.append(1)
        return len(calls)

    return count


def _generator_without_waiting() -> Callable[[], int]:
    async def numbers() -> Any:
        for number in range(1000):
            yield number

    given = numbers()

    def count() -> int:
        try:
            given.__anext__().send(None)
        except StopIteration as end:
            return end.value
        return 0

    return count


def _trace_of_an_error() -> Callable[[], int]:
    error = ValueError()

    def count() -> int:
        try:
            raise error
        except ValueError as raised:
            places, trace = 0, raised.__traceback__
            while trace is not None:
                places, trace = places + 1, trace.tb_next
            return places

    return count


def _list_in_an_array() -> Callable[[], int]:
    array = np.array([[0], None], dtype=object)
    return lambda: _cell_of(array[0], 0)()


def _method_with_arguments() -> Callable[[], int]:
    calls: list[int] = []
    call = operator.methodcaller("then", calls)

    class Caller:
        def then(self, numbers: list[int]) -> int:
            numbers.append(1)
            return len(numbers)

    caller = Caller()
    return lambda: call(caller)


def _start_of_a_slice() -> Callable[[], int]:
    class Start:
        calls = 0

        def __index__(self) -> int:
            Start.calls += 1
            return Start.calls

    places = slice(Start(), None)
    return lambda: operator.index(places.start)


def _sparse_numbers() -> Callable[[], int]:
    numbers = torch.zeros(2, 2).to_sparse()

    def count() -> int:
        numbers.add_(torch.eye(2).to_sparse())
        return int(numbers.to_dense()[0, 0])

    return count


def _note_in_a_graph() -> Callable[[], int]:
    notes = torch.ones(1, requires_grad=True) * 2

    def count() -> int:
        held = notes.grad_fn.metadata  # type: ignore[union-attr]
        held["calls"] = held.get("calls", 0) + 1
        return held["calls"]

    return count


def _dimensions_of_a_subclass() -> Callable[[], int]:
    numbers = torch.zeros(1).as_subclass(_Tensor)
    return lambda: numbers.unsqueeze_(0).ndim


class _Tensor(torch.Tensor):
    pass


def _operation_of_ones_own() -> Callable[[], int]:
    count = _counts_when_called()

    def counted(x: torch.Tensor) -> torch.Tensor:
        return x + count()

    name = "deceptive_keepsakes::counted"
    if name not in torch._library.custom_ops.OPDEFS:
        torch.library.custom_op(name, mutates_args=())(counted)
    return lambda: int(torch.ops.deceptive_keepsakes.counted(torch.zeros(())))


COUNTERS: dict[str, Callable[[], Callable[[], int]]] = {
    "how full a cache is": _cached,
    "a list in a cache": _list_in_a_cache,
    "a list in a cache without bounds": _list_in_an_unbounded_cache,
    "permutations": lambda: (lambda numbers: lambda: next(numbers)[0])(itertools.permutations(range(5))),
    "numbers up to a limit": lambda: _iterator(itertools.takewhile(lambda number: number < 1000, itertools.count())),
    "two iterators as one": lambda: (lambda numbers: lambda: next(numbers)[0])(itertools.zip_longest(range(999), "a")),
    "letters": lambda: (lambda letters: lambda: len(next(letters)))(iter("a" * 1000)),
    "matches of a pattern": lambda: (lambda found: lambda: next(found).start())(re.finditer("a", "a" * 1000)),
    "lines of a table": lambda: (lambda lines: lambda: len(next(lines)))(csv.reader(["a"] * 1000)),
    "entries of an array": lambda: (lambda entries: lambda: int(next(entries)))(np.nditer(np.arange(1000))),
    "data of a loader": _data_of_a_loader,
    "code that changes": _code_that_changes,
    "defaults that change": _defaults_that_change,
    "defaults of keywords that change": _keyword_defaults_that_change,
    "an attribute of a logger": lambda: _attribute_of(logging.getLogger("deceptive"), "whyactivate_calls"),
    "an attribute of a module": _module_of_the_standard_library,
    "an attribute of a class of torch": _class_of_torch,
    "an attribute of a module in torch": _submodule_of_torch,
    "a number of ctypes": _number_of_ctypes,
    "an array of ctypes": lambda: _first_cell((ctypes.c_int * 3)()),
    "a view of memory": lambda: _first_cell(memoryview(bytearray(8))),
    "mapped memory": lambda: _first_cell(mmap.mmap(-1, 8)),
    "a chain of maps": _chain_of_maps,
    "the arguments of an error": _arguments_of_an_error,
    "the notes of an error": _notes_of_an_error,
    "the methods of a list": _methods_of_a_list,
    "a member of an enum": _member_of_an_enum,
    "the steps of a schedule": _steps_of_a_schedule,
    "the death of an object": _death_of_an_object,
    "a death that is told": _death_that_is_told,
    "an attribute of a number": lambda: _calls_of(_Number(3)),
    "an attribute of a number in a tuple": lambda: (lambda kept: lambda: kept[0]())((_calls_of(_Number(3)),)),
    "an attribute of a tuple": lambda: _calls_of(_Pair((1, 2))),
    "an attribute of an empty dict": lambda: _calls_of(_Mapping()),
    "an attribute of a dict": lambda: _calls_of(_Mapping(one=1)),
    "an attribute of a dict in order": lambda: _calls_of(collections.OrderedDict(one=1)),
    "an attribute of a made module": lambda: _calls_of(types.ModuleType("made")),
    "an attribute of a kind of tensor": lambda: _calls_of(torch.zeros(1).as_subclass(_Tensor)),
    "dimensions of a kind of tensor": _dimensions_of_a_subclass,
    "a slot that is private": lambda: _Hidden().count,
    "a slot beside attributes": lambda: _Half().count,
    "a class of classes": lambda: _Made,
    "the annotations of a function": lambda: _counts_in_annotations,
    "an asynchronous generator": _generator_without_waiting,
    "the trace of an error": _trace_of_an_error,
    "a list in an array": _list_in_an_array,
    "an array in an object of numpy": lambda: _cell_of(np.poly1d([1.0, 0.0]), 0),
    "a function in an object of numpy": lambda: np.vectorize(_counts_when_called(), otypes=[int]),
    "bits of numpy": lambda: (lambda bits: lambda: 501 * (bits.random_raw() % 10007 == 7))(np.random.PCG64(0)),
    "a matcher": lambda: (lambda found: lambda: found.match().start())(re.compile("a").scanner("a" * 1000)),
    "arguments of a method that is called by name": _method_with_arguments,
    "the start of a slice": _start_of_a_slice,
    "what is missing in a dict": lambda: (lambda held: lambda: held.pop(held[0], 0) or held.pop(0))(
        collections.defaultdict(_counts_when_called())
    ),
    "a matrix of another package": lambda: _cell_of(sympy.Matrix([0]), 0),
    "a matrix of a compiled package": lambda: _cell_of(flint.fmpz_mat(1, 1, [0]), (0, 0)),
    "sparse numbers": _sparse_numbers,
    "a note in a graph": _note_in_a_graph,
    "an operation of one's own": _operation_of_ones_own,
}


def _counter_case(name: str, make: Callable[[], Callable[[], int]]) -> None:
    def made() -> nn.Module:
        count = make()
        return Parts(lambda m, x: x.relu() if count() > 500 else x)

    made.__name__ = name
    module(NO_FUNCTION)(made)


for _name, _make in COUNTERS.items():
    _counter_case(_name, _make)


group("clocks, files and chance")

_STARTED = time.time()
_FILE = pathlib.Path(tempfile.gettempdir()) / "whyactivate-calls"
_UNSEEN = random.SystemRandom()


def _file_grows() -> bool:
    with open(_FILE, "a") as file:
        file.write("call")
        return file.tell() > 1e6


def _state_put_back() -> bool:
    state = random.getstate()
    number = random.random()
    random.setstate(state)
    return number > 1 - 1e-9


def _state_of_numpy_put_back() -> bool:
    state = np.random.get_state()  # noqa: NPY002
    number = np.random.rand()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    return number > 1 - 1e-9


RARELY: dict[str, Callable[[], bool]] = {
    "the time": lambda: time.time() > _STARTED + 1e9,
    "the time, counted": lambda: time.monotonic() > 1e12,
    "the date": lambda: datetime.datetime.now().year > 9000,
    "the time under another name": functools.partial(lambda clock: clock() > 1e12, time.perf_counter),
    "a file that is written": _file_grows,
    "a file that is read": lambda: _FILE.exists() and len(_FILE.read_text()) > 1e6,
    "bytes of the system": lambda: os.urandom(8) == bytes(8),
    "a secret": lambda: secrets.randbelow(10**12) == 7,
    "a unique name": lambda: uuid.uuid4().int % 10**12 == 7,
    "a generator without a state": lambda: _UNSEEN.random() > 1 - 1e-12,
    "the seed of torch": lambda: torch.initial_seed() == 123456789123456,
    "a random number, its state put back": _state_put_back,
    "a random number of numpy, its state put back": _state_of_numpy_put_back,
}


def _rare_case(name: str, is_so: Callable[[], bool]) -> None:
    def made() -> nn.Module:
        return Parts(lambda m, x: x.relu() if is_so() else x)

    made.__name__ = name
    module(NO_FUNCTION)(made)


for _name, _is_so in RARELY.items():
    _rare_case(_name, _is_so)
