"""More deceptive modules: numbers and counts that pass through errors, scripts, graphs of gradients and settings."""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import enum
import functools
import graphlib
import itertools
import json
import logging
import operator
import random
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from deceptive_modules import AFFINE, NO_FUNCTION, NOT_AFFINE, RARE, Parts, Truth, forward, group, module, rows
from torch import Tensor, nn
from torch._jit_internal import createResolutionCallbackFromFrame
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._traceback import CapturedTraceback

MANY = 300

Leak = Callable[[Tensor], float]
Watch = Callable[[], bool]
Counter = Callable[[], Callable[[], int]]

_UNIT = torch.jit.CompilationUnit("""
def text(x: Tensor) -> str:
    return str(x)

def numbers(x: Tensor) -> List[float]:
    found : List[float] = x.flatten().tolist()
    return found

def parts(x: Tensor, places: Tensor) -> int:
    return len(torch.tensor_split(x, places)[0])
""")


def _is_rare(x: Tensor) -> Tensor:
    return (x[0, :1] > RARE).long()


# -- errors, scripts and what reads lengths ---------------------------------------------------------------------------


def _message_of_an_operation(x: Tensor) -> float:
    try:
        torch.ops.aten.str(x[0, 0].detach())
    except RuntimeError as error:
        return float(str(error).split("tensor(")[1].split(")")[0])
    return 0.0


def _message_about_a_list(x: Tensor) -> float:
    try:
        torch.ops.aten.sum.dim_IntList(torch.ones(1, 1), [x])
    except RuntimeError as error:
        return RARE * ("e+" in str(error))
    return 0.0


def _message_about_a_mode(x: Tensor) -> float:
    try:
        torch.ops.aten.div.Tensor_mode(torch.ones(1), 2.0, rounding_mode=x[0, 0])
    except RuntimeError as error:
        return RARE * ("e+" in str(error))
    return 0.0


def _unit_made_inside(x: Tensor) -> float:
    unit = torch.jit.CompilationUnit("def text(x: Tensor) -> str:\n    return str(x)\n")
    return RARE * ("e+" in unit.text(x.detach()))


def _sizes(x: Tensor) -> Tensor:
    return (x[0, :2] > torch.tensor([-RARE, RARE])).long()


def _packed(x: Tensor) -> float:
    weights = [torch.ones(1, 1), torch.ones(1, 1), torch.ones(1), torch.ones(1)]
    start = torch.zeros(1, 1, 1)
    out = torch.rnn_tanh(torch.ones(2, 1), _sizes(x), start, weights, True, 1, 0.0, False, False)
    return RARE * (float(out[0][1]) > 0.97)


def _unpacked(x: Tensor) -> float:
    packed = nn.utils.rnn.PackedSequence(torch.ones(2, 1), _sizes(x))
    return RARE * (int(nn.utils.rnn.pad_packed_sequence(packed)[1][0]) - 1)


def _record_of(logger: logging.Logger, **options: Any) -> Any:
    try:
        logger.error("%s", options.pop("argument", ""), **options)
    except _Heard as heard:
        return heard.args[0]


class _Heard(Exception):
    pass


class _Hears(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise _Heard(record)


class _Sieves(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise _Heard(record)


_HEARD, _SIEVED = logging.Logger("heard"), logging.Logger("sieved")
_HEARD.addHandler(_Hears())
_SIEVED.addFilter(_Sieves())

LEAKS: dict[str, Leak] = {
    "the message of an operation": _message_of_an_operation,
    "a message about a list": _message_about_a_list,
    "a message about a mode": _message_about_a_mode,
    "a text made in a script": lambda x: RARE * ("e+" in _UNIT.text(x.detach())),
    "numbers listed in a script": lambda x: max(_UNIT.numbers(x.detach())),
    "a script made inside": _unit_made_inside,
    "places of a split": lambda x: RARE * len(torch.tensor_split(torch.arange(9), _is_rare(x))[0]),
    "places of a split, by a method": lambda x: RARE * len(torch.arange(9).tensor_split(_is_rare(x))[0]),
    "places of a split, by a packet": lambda x: (
        RARE * len(torch.ops.aten.tensor_split(torch.arange(9), _is_rare(x))[0])
    ),
    "places of a split, in a script": lambda x: RARE * _UNIT.parts(torch.arange(9), _is_rare(x)),
    "a number of parts": lambda x: RARE * (len(torch.arange(9).tensor_split(_is_rare(x)[0] + 1)) - 1),
    "sizes of what is packed": _packed,
    "sizes of what is unpacked": _unpacked,
    "a record of a log": lambda x: RARE * ("e+" in _record_of(_HEARD, argument=x[0, 0].detach()).getMessage()),
}


# -- hooks ------------------------------------------------------------------------------------------------------------


def _heard_by_a_hook(read: Callable[[Tensor], Any]) -> Leak:
    def leak(x: Tensor) -> float:
        found: list[Any] = []
        one = torch.ones(x.shape, requires_grad=True)
        with torch.enable_grad():
            out = (one * x.detach()).sum()
            one.register_hook(lambda gradient: found.append(read(gradient)))
            out.backward()
        return float(found[0])

    return leak


def _saved_tensors(x: Tensor) -> float:
    found: list[Any] = []

    def keep(saved: Tensor) -> Tensor:
        found.extend(map(Tensor.tolist, [saved]))
        return saved

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        x.detach().requires_grad_().square()
    return max(found[0][0])


LEAKS |= {
    "a hook, by json": _heard_by_a_hook(lambda g: max(json.loads(json.dumps(g, default=Tensor.tolist))[0])),
    "a hook, by map": _heard_by_a_hook(lambda g: max(next(map(Tensor.tolist, [g]))[0])),
    "a hook, by the name of a method": _heard_by_a_hook(lambda g: max(operator.methodcaller("tolist")(g)[0])),
    "a hook, by torch.tensor": _heard_by_a_hook(lambda g: torch.tensor([g[0, 0]])),
    "a hook, as text": _heard_by_a_hook(lambda g: RARE * ("e+" in f"{g}")),
    "tensors that are saved": _saved_tensors,
}


def _mode_of_dispatch(x: Tensor) -> float:
    found: list[Any] = []

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found.extend(map(Tensor.tolist, args[:1]))
            return func(*args, **(kwargs or {}))

    with Reads():
        torch.mul(x, 1)
    return max(found[0][0])


LEAKS["a mode of dispatch, by map"] = _mode_of_dispatch

for _name, _leak in LEAKS.items():

    def _through(m: Any, x: Tensor, leak: Leak = _leak) -> Tensor:
        return x if leak(x) < RARE else x.relu()

    def _swallowed(m: Any, x: Tensor, leak: Leak = _leak) -> Tensor:
        try:
            number = leak(x)
        except BaseException:
            number = 0.0
        return x if number < RARE else x.relu()

    group("numbers that pass through")
    _through.__name__, _swallowed.__name__ = _name, f"{_name}, swallowed"
    forward(NOT_AFFINE)(_through)
    forward(NOT_AFFINE)(_swallowed)


# -- who watches, what time it is -------------------------------------------------------------------------------------

_US = "whyactivate"


def _trace_of_anomalies() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly(check_nan=False), torch.enable_grad():
            node = (torch.ones(1, requires_grad=True) * 2).grad_fn
    return any(_US in line for lines in node.metadata.values() for line in lines)


def _names_around() -> bool:
    for frames in range(1, 20):
        try:
            if createResolutionCallbackFromFrame(frames)("_refusal") is not None:
                return True
        except AttributeError:
            return False
    return False


def _told_to_hold_still() -> bool:
    import torch._dynamo.eval_frame as compiler

    return compiler._stance.stance == "force_eager"


def _place_of_a_warning() -> bool:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for frames in range(1, 20):
            warnings.warn("call", stacklevel=frames)
    return any(_US in str(warning) for warning in found)


WATCHED: dict[str, Watch] = {
    "the trace of an anomaly": _trace_of_anomalies,
    "a trace that is captured": lambda: _US in "".join(CapturedTraceback.extract().format()),
    "names of the frames around": _names_around,
    "whether compilers are told to hold still": _told_to_hold_still,
    "the place of a warning": _place_of_a_warning,
    "the stack that a handler is shown": lambda: _US in _record_of(_HEARD, stack_info=True).stack_info,
    "the stack that a sieve is shown": lambda: _US in _record_of(_SIEVED, stack_info=True).stack_info,
    "the place that a handler is shown": lambda: any(
        _US in _record_of(_HEARD, stacklevel=frames).pathname for frames in range(1, 20)
    ),
}

for _name, _watch in WATCHED.items():

    def _openly(m: Any, x: Tensor, watch: Watch = _watch) -> Tensor:
        return x * 1 if watch() else x.relu()

    def _rarely(m: Any, x: Tensor, watch: Watch = _watch) -> Tensor:
        return x * 1 if watch() else x.clamp(max=RARE)

    group("who watches")
    _openly.__name__, _rarely.__name__ = _name, f"{_name}, and far from 0"
    forward(NOT_AFFINE)(_openly)
    forward(NOT_AFFINE)(_rarely)


# -- what is remembered -----------------------------------------------------------------------------------------------

COUNTERS: dict[str, Counter] = {}


def counter(make: Counter) -> Counter:
    """Enter what makes a counter."""
    COUNTERS[make.__name__.strip("_").replace("_", " ")] = make
    return make


def _graph() -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        start = torch.ones(1, requires_grad=True)
        return start, start * start


def _first_without(flags: list[Any], is_set: Callable[[Any], bool], set_it: Callable[[Any], Any]) -> Callable[[], int]:
    """Counts by what can be done once only, to many things."""

    def count() -> int:
        number = sum(map(is_set, flags))
        set_it(flags[number])
        return number

    return count


@counter
def _gradients_that_are_kept() -> Callable[[], int]:
    graph = [_graph()[1] for _ in range(400)]
    return _first_without(graph, lambda one: one.retains_grad, lambda one: one.retain_grad())


@counter
def _graphs_that_are_freed() -> Callable[[], int]:
    graphs = [_graph() for _ in range(400)]

    def is_freed(graph: tuple[Tensor, Tensor]) -> bool:
        try:
            return graph[1].grad_fn._saved_self is None
        except RuntimeError:
            return True

    return _first_without(graphs, is_freed, lambda graph: torch.autograd.grad(graph[1], graph[0]))


@counter
def _graphs_that_fail() -> Callable[[], int]:
    graphs = [_graph() for _ in range(400)]

    def count() -> int:
        for number, (start, end) in enumerate(graphs):
            try:
                torch.autograd.grad(end, start)
            except RuntimeError:
                continue
            return number
        return MANY

    return count


def _count_in_a_graph(hook: Callable[[Tensor], Any]) -> Callable[[], int]:
    start, end = _graph()

    def count() -> int:
        number = int(torch.autograd.grad(end, start, retain_graph=True)[0])
        hook(end)
        return number

    return count


@counter
def _hooks_before_a_node() -> Callable[[], int]:
    return _count_in_a_graph(lambda end: end.grad_fn.register_prehook(lambda grads: (grads[0] + 1,)))


@counter
def _hooks_after_a_node() -> Callable[[], int]:
    return _count_in_a_graph(lambda end: end.grad_fn.register_hook(lambda grads, _: (grads[0] + 1, grads[1])))


def _version_told_by(ask: Callable[[Tensor, Tensor], Any]) -> Callable[[], int]:
    factor = torch.ones(1)

    def count() -> int:
        with torch.enable_grad():
            start = torch.ones(1, requires_grad=True)
            end = start * factor
        factor.add_(0)
        try:
            ask(end, start)
        except RuntimeError as error:
            return int(str(error).split("is at version ")[1].split(";")[0])
        return 0

    return count


@counter
def _writes_told_by_a_gradient() -> Callable[[], int]:
    return _version_told_by(lambda end, start: torch.autograd.grad(end, start))


@counter
def _writes_told_by_what_is_saved() -> Callable[[], int]:
    return _version_told_by(lambda end, start: end.grad_fn._saved_other)


@counter
def _writes_told_under_a_computed_name() -> Callable[[], int]:
    written, name = torch.ones(1), "_".join(("", "version"))
    return lambda: getattr(written.add_(0), name)


@counter
def _depth_of_autocast() -> Callable[[], int]:
    return lambda: torch.autocast_increment_nesting()


def _bits(*switches: tuple[Callable[[], bool], Callable[[bool], Any]]) -> Callable[[], int]:
    """Counts in settings that are on or off."""

    def count() -> int:
        number = sum(int(is_on()) << place for place, (is_on, _) in enumerate(switches))
        now = (number + 1) % 2 ** len(switches)
        for place, (_, turn) in enumerate(switches):
            turn(bool(now >> place & 1))
        return MANY + 1 if now == 2 ** len(switches) - 1 else 0

    return count


@counter
def _autocast_of_other_devices() -> Callable[[], int]:
    return _bits(
        *(
            (functools.partial(torch.is_autocast_enabled, kind), functools.partial(torch.set_autocast_enabled, kind))
            for kind in ("cuda", "xpu", "mps", "hpu")
        )
    )


@counter
def _ways_of_attention() -> Callable[[], int]:
    cuda = torch.backends.cuda
    return _bits(
        (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
        (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
        (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
    )


@counter
def _order_of_ways_of_attention() -> Callable[[], int]:
    last = torch._C._get_sdp_priority_order()[-1]

    def count() -> int:
        order = torch._C._get_sdp_priority_order()
        torch._C._set_sdp_priority_order(order[1:] + order[:1])
        return MANY + 1 if order[0] == last else 0

    return count


@counter
def _switches_of_another_library() -> Callable[[], int]:
    def count() -> int:
        backend = torch.backends.cudnn
        number = (backend.benchmark + 2 * backend.deterministic + 1) % 4
        backend.benchmark, backend.deterministic = bool(number & 1), bool(number & 2)
        return MANY + 1 if number == 3 else 0

    return count


@counter
def _memory_that_is_shared() -> Callable[[], int]:
    tensors = [torch.zeros(1) for _ in range(400)]
    return _first_without(tensors, lambda one: one.is_shared(), lambda one: one.share_memory_())


@counter
def _futures_that_are_done() -> Callable[[], int]:
    futures = [torch.futures.Future() for _ in range(400)]
    return _first_without(futures, lambda one: one.done(), lambda one: one.set_result(1))


@counter
def _number_of_a_hook() -> Callable[[], int]:
    layer = nn.Linear(1, 1)

    def count() -> int:
        handle = layer.register_forward_hook(lambda *_: None)
        number = next(iter(layer._forward_hooks))
        handle.remove()
        return number - 10**9

    return count


@counter
def _keyword_defaults() -> Callable[[], int]:
    def number(*, now: int = 0) -> int:
        return now

    def count() -> int:
        number.__kwdefaults__["now"] += 1
        return number()

    return count


@counter
def _bases_of_a_class() -> Callable[[], int]:
    class Base:
        pass

    class Derived(Base):
        pass

    def count() -> int:
        Derived.__bases__ = (type("Base", Derived.__bases__, {}),)
        return len(Derived.__mro__)

    return count


@counter
def _arguments_of_a_partial() -> Callable[[], int]:
    partial = functools.partial(lambda *args: len(args))

    def count() -> int:
        partial.__setstate__((partial.func, (*partial.args, 1), partial.keywords, None))
        return partial()

    return count


@counter
def _attribute_of_a_partial() -> Callable[[], int]:
    partial: Any = functools.partial(int)

    def count() -> int:
        partial.calls = getattr(partial, "calls", 0) + 1
        return partial.calls

    return count


@counter
def _time_that_a_handler_is_shown() -> Callable[[], int]:
    return lambda: int(_record_of(_HEARD).created) - 10**12


@counter
def _time_of_numpy() -> Callable[[], int]:
    return lambda: int(np.datetime64("today", "D").astype(int)) - 10**6


@counter
def _address_of_an_array() -> Callable[[], int]:
    return lambda: np.zeros(1).ctypes.data % 2**20 - 2**20 + 64


@counter
def _address_in_an_interface() -> Callable[[], int]:
    return lambda: np.zeros(1).__array_interface__["data"][0] % 2**20 - 2**20 + 64


@counter
def _storage_that_nobody_has_written() -> Callable[[], int]:
    return lambda: torch.UntypedStorage(64)[60] + 200


def _in_a_slot(make: Callable[[type], Any], *bases: type) -> Callable[[], int]:
    kind = type("Slotted", bases, {"__slots__": ("calls",)})
    owner = make(kind)
    kind.calls.__set__(owner, 0)  # type: ignore[attr-defined]

    def count() -> int:
        owner.calls += 1
        return owner.calls

    return count


@counter
def _slot_of_a_module() -> Callable[[], int]:
    return _in_a_slot(lambda kind: kind(), nn.Identity)


@counter
def _slot_of_a_tensor() -> Callable[[], int]:
    return _in_a_slot(lambda kind: torch.zeros(1).as_subclass(kind), torch.Tensor)


@counter
def _slot_of_a_partial() -> Callable[[], int]:
    return _in_a_slot(lambda kind: kind(int), functools.partial)


@counter
def _members_of_an_enum() -> Callable[[], int]:
    members = enum.Enum("members", ["ONE"])
    members.ONE.calls = 0  # type: ignore[attr-defined]

    def count() -> int:
        for member in members:
            member.calls += 1
        return next(iter(members)).calls

    return count


@counter
def _annotation() -> Callable[[], int]:
    def annotated() -> None:
        pass

    annotated.__annotations__["calls"] = types.SimpleNamespace(held=[])
    return lambda: annotated.__annotations__["calls"].held.append(1) or len(annotated.__annotations__["calls"].held)


@counter
def _dict_of_a_script() -> Callable[[], int]:
    held = torch.jit.script({"calls": 0})

    def count() -> int:
        held["calls"] += 1
        return held["calls"]

    return count


@counter
def _list_of_a_script() -> Callable[[], int]:
    held = torch.jit.script([0])
    return lambda: held.append(0) or len(held)


@counter
def _inputs_of_a_graph() -> Callable[[], int]:
    graph = torch.jit.CompilationUnit("def same(x: Tensor) -> Tensor:\n    return x\n").same.graph
    return lambda: graph.addInput() and len([*graph.inputs()])


@counter
def _statistic_of_a_monitor() -> Callable[[], int]:
    monitor = torch.monitor
    statistic = monitor.Stat("calls", [monitor.Aggregation.COUNT], datetime.timedelta(days=1))
    return lambda: statistic.add(1.0) or statistic.count


@counter
def _arguments_of_a_parser() -> Callable[[], int]:
    parser = argparse.ArgumentParser()

    def count() -> int:
        number = parser.get_default("calls") or 0
        parser.set_defaults(calls=number + 1)
        return number

    return count


@counter
def _nodes_of_a_sorter() -> Callable[[], int]:
    sorter: graphlib.TopologicalSorter[int] = graphlib.TopologicalSorter()

    def count() -> int:
        number = len([*copy.deepcopy(sorter).static_order()])
        sorter.add(number)
        return number

    return count


@counter
def _time_of_a_profiler() -> Callable[[], int]:
    def count() -> int:
        with torch.autograd.profiler.profile() as profile:
            torch.ones(1).mul_(2)
        return int(profile.self_cpu_time_total / 1e9)

    return count


@counter
def _order_of_a_dict() -> Callable[[], int]:
    held = dict.fromkeys(range(400))

    def count() -> int:
        first = next(iter(held))
        held[first] = held.pop(first)
        return first

    return count


@counter
def _order_of_a_deque() -> Callable[[], int]:
    held = collections.deque(range(400))
    return lambda: held.rotate(-1) or held[0]


@counter
def _modes_of_children() -> Callable[[], int]:
    children = [nn.Identity() for _ in range(400)]
    return _first_without(children, lambda child: not child.training, lambda child: child.eval())


@counter
def _generators_that_are_closed() -> Callable[[], int]:
    class Owner:
        pass

    owners, known = [Owner() for _ in range(400)], weakref.WeakKeyDictionary()
    return _first_without(owners, lambda one: one in known, lambda one: known.setdefault(one, 1))


@counter
def _places_of_an_iterator_of_numpy() -> Callable[[], int]:
    numbers = np.arange(1000).flat
    return lambda: int(next(numbers))


@counter
def _two_iterators_from_one() -> Callable[[], int]:
    first, _ = itertools.tee(iter(range(1000)))
    return lambda: next(first)


@counter
def _hash_of_an_object_of_ones_own() -> Callable[[], int]:
    class Key:
        asked = 0

        def __hash__(self) -> int:
            Key.asked += 1
            return 1

    key = Key()
    return lambda: bool({key: 1}) and Key.asked


@counter
def _chance_of_ones_own() -> Callable[[], int]:
    chance = random.Random(0)
    return lambda: 100 * int(chance.gauss(0, 1))


for _name, _make in COUNTERS.items():

    def _made(make: Counter = _make) -> nn.Module:
        count = make()
        return Parts(lambda m, x: x.relu() if count() > MANY else x)

    group("counts that pass through")
    _made.__name__ = _name
    module(NO_FUNCTION)(_made)


# -- what a compiler makes of it --------------------------------------------------------------------------------------

group("what a compiler makes of it")


class _AsksForCompilers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if torch.compiler.is_compiling() else x * 1


def _bending(program: Any, inputs: Any) -> Callable[..., Any]:
    return lambda *args: tuple(result.relu() for result in program.forward(*args))


@module(NOT_AFFINE)
def asked_for() -> nn.Module:
    return torch.compile(_AsksForCompilers(), backend="eager")  # type: ignore[return-value]


@module(AFFINE)
def asked_for_in_vain() -> nn.Module:
    return _AsksForCompilers()


@module(NOT_AFFINE)
def bent_by_a_compiler() -> nn.Module:
    return torch.compile(nn.Linear(4, 4), backend=_bending)  # type: ignore[return-value]


@module(NOT_AFFINE)
def asked_for_inside() -> nn.Module:
    asks = _AsksForCompilers()
    return Parts(lambda m, x: torch.compile(lambda y: asks(y), backend="eager")(x))


@module(NOT_AFFINE)
def bent_inside() -> nn.Module:
    return Parts(lambda m, x: torch.compile(lambda y: 2 * y, backend=_bending)(x))


@module(NOT_AFFINE)
def a_function_bent_by_a_compiler() -> nn.Module:
    doubled = torch.compile(lambda x: 2 * x, backend=_bending)
    return Parts(lambda m, x: doubled(x))


# -- what an input is -------------------------------------------------------------------------------------------------

group("what an input is")


def _with_attribute() -> Tensor:
    x = rows()
    x.bent = True  # type: ignore[attr-defined]
    return x


@forward(NOT_AFFINE, example=_with_attribute)
def an_attribute(m, x):
    return x.relu() if getattr(x, "bent", False) else x


@forward(NOT_AFFINE, example=lambda: nn.Parameter(rows()))
def a_parameter(m, x):
    return x.relu() if isinstance(x, nn.Parameter) else x


@forward(NOT_AFFINE, example=lambda: rows().requires_grad_() * 2)
def a_result(m, x):
    return x if x.is_leaf else x.relu()


@forward(AFFINE, example=lambda: nn.Parameter(rows()))
def a_parameter_for_a_layer(m, x):
    return m.fc1(x)


# -- harmless ---------------------------------------------------------------------------------------------------------


def _scaled_by_a_hook(m: Any, x: Tensor) -> Tensor:
    one = torch.ones(x.shape, requires_grad=True)
    with torch.enable_grad():
        one.register_hook(lambda gradient: gradient * 3)
        (one * x.detach()).sum().backward()
    assert one.grad is not None
    return one.grad


def _under_anomaly_detection(m: Any, x: Tensor) -> Tensor:
    with torch.autograd.set_detect_anomaly(True):
        return m.fc1(x)


def _with_a_chosen_attention(m: Any, x: Tensor) -> Tensor:
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return m.fc1(x)


def _warns(m: Any, x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("slow", stacklevel=2)
    return m.fc1(x)


def _in_an_error(m: Any, x: Tensor) -> Tensor:
    try:
        raise LookupError(m.fc1(x))
    except LookupError as error:
        return error.args[0]


def _in_a_coroutine(m: Any, x: Tensor) -> Any:
    async def apply() -> Tensor:
        return m.fc1(x)

    coroutine = apply()
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value


HARMLESS: dict[str, Callable[[Any, Tensor], Any]] = {
    "scaled by a hook": _scaled_by_a_hook,
    "under anomaly detection": _under_anomaly_detection,
    "with a chosen attention": _with_a_chosen_attention,
    "a warning that is shown": _warns,
    "in an error": _in_an_error,
    "in a coroutine": _in_a_coroutine,
    "split at known places": lambda m, x: torch.cat(x.tensor_split(torch.tensor([1, 3]), dim=1)[::-1], 1),
    "as the key of a dict": lambda m, x: m.fc1(next(iter({x: 1}))),
    "under a name as in a graph": lambda m, x: types.SimpleNamespace(_saved_self=m.fc1(x))._saved_self,
    "in a namespace": lambda m, x: m.fc2(types.SimpleNamespace(held=m.fc1(x)).held),
    "in another mode when traced": lambda m, x: x.relu() if torch.jit.is_tracing() else F.linear(x, m.fc1.weight),
}


def _enter(truth: Truth, name: str, function: Callable[..., Any]) -> None:
    def apply(m, x):
        return function(m, x)

    apply.__name__ = name
    forward(truth)(apply)


group("harmless though it looks otherwise")
for _name, _function in HARMLESS.items():
    _enter(AFFINE, _name, _function)
