"""Modules made to deceive, each with its truth: whether it is affine, as a function of real numbers, on any batch.

Most are a forward function of `(m, x)`, where `m` is the module (see `Parts`) and `x` holds rows of four
numbers. Where a nonlinearity hides behind a branch, the branch is taken only for numbers beyond `RARE`, so that
running the module on ordinary inputs shows nothing.
"""

# ruff: noqa: B006

from __future__ import annotations

import array
import asyncio
import collections
import concurrent.futures
import contextlib
import contextvars
import copy
import ctypes
import dataclasses
import enum
import functools
import io
import itertools
import math
import multiprocessing.pool
import os
import pickle
import queue
import random
import threading
import time
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.overrides import TorchFunctionMode
from torch.utils import _python_dispatch, checkpoint
from torch.utils.dlpack import to_dlpack

RARE = 1e7


class Truth(enum.StrEnum):
    """What a module is."""

    AFFINE = "an affine map of each row"
    MIXED = "an affine map of the batch, but not the same of each row alone"
    NOT_AFFINE = "not affine"
    NO_FUNCTION = "no function of its input: what it does depends on state, on chance or on unwritten memory"


AFFINE, MIXED, NOT_AFFINE, NO_FUNCTION = Truth


@dataclasses.dataclass(frozen=True)
class Case:
    """A deceptive module.

    Attributes:
        name: of the function that makes it, with its group in front.
        truth: what it is.
        make: makes it, the same every time.
        example: makes the example input.
        tolerance: how far its float64 copy may be from the collapsed layer, relative to the largest number; None
            where the float64 copy is another function (a cast inside it rounds, say).
        around: what must be in force while it is used.
    """

    name: str
    truth: Truth
    make: Callable[[], nn.Module]
    example: Callable[[], Any]
    tolerance: float | None = 1e-9
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


CASES: list[Case] = []
_group = ""


def rows(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random rows, the same every time."""
    drawn = torch.randn(shape or (4, 4), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return drawn.to(dtype)


def group(name: str) -> None:
    """Start a group of cases."""
    global _group
    _group = name


def module(truth: Truth, example: Callable[[], Any] = rows, **options: Any) -> Callable[[Any], Any]:
    """Enter a function that makes a module."""

    def enter(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        def seeded() -> nn.Module:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(3)
                return make()

        CASES.append(Case(f"{_group}: {make.__name__}", truth, seeded, example, **options))
        return make

    return enter


def forward(truth: Truth, example: Callable[[], Any] = rows, **options: Any) -> Callable[[Any], Any]:
    """Enter the forward function of a module with the usual parts."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        def make() -> nn.Module:
            return Parts(function)

        make.__name__ = function.__name__
        module(truth, example, **options)(make)
        return function

    return enter


class Parts(nn.Module):
    """Two layers, some buffers, and a function to use them."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("ones", torch.ones(4))
        self.register_buffer("counts", torch.zeros(4, 4, dtype=torch.long))
        self.register_buffer("flags", torch.tensor([True, False, True, False]))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


# =====================================================================================================================
group("hooks")


@module(NOT_AFFINE)
def forward_hook_returns_another_value() -> nn.Module:
    m = nn.Linear(4, 4)
    m.register_forward_hook(lambda module, args, out: out.relu())
    return m


@module(NOT_AFFINE)
def forward_hook_changes_the_output_in_place() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    m[0].register_forward_hook(lambda module, args, out: (out.data.relu_(), None)[1])
    return m


@module(NOT_AFFINE)
def pre_hook_on_a_child() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    m[1].register_forward_pre_hook(lambda module, args: (args[0].tanh(),))
    return m


@module(NOT_AFFINE)
def pre_hook_with_keywords() -> nn.Module:
    m = nn.Linear(4, 4)
    m.register_forward_pre_hook(lambda module, args, kwargs: ((args[0].abs(),), kwargs), with_kwargs=True)
    return m


@module(AFFINE)
def forward_hook_adds_a_constant() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    m[0].register_forward_hook(lambda module, args, out: out + 2.0)
    return m


@module(AFFINE)
def backward_hooks() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    m[0].register_full_backward_hook(lambda module, into, out: (into[0].relu(),))
    m[1].register_full_backward_pre_hook(lambda module, out: (out[0].tanh(),))
    return m


@contextlib.contextmanager
def _global_hook() -> Iterator[None]:
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, args, out: out.relu() if isinstance(module, nn.Linear) else None
    )
    try:
        yield
    finally:
        handle.remove()


@module(NOT_AFFINE, around=_global_hook)
def global_forward_hook() -> nn.Module:
    return nn.Linear(4, 4)


@forward(NO_FUNCTION)
def hook_registered_by_forward(m, x):
    m.fc1.register_forward_hook(lambda module, args, out: out.relu())
    return m.fc2(x) if len(m.fc1._forward_hooks) < 50 else m.fc1(x)


@module(NOT_AFFINE)
def hook_that_swallows_everything() -> nn.Module:
    def hook(module, args, out):
        with contextlib.suppress(BaseException):
            return out.relu() if out.sum().item() > RARE else out
        return out

    m = nn.Linear(4, 4)
    m.register_forward_hook(hook)
    return m


# =====================================================================================================================
group("forwards that are not what they seem")


@module(NOT_AFFINE)
def forward_of_the_instance() -> nn.Module:
    m = nn.Linear(4, 4)
    m.forward = lambda x: F.linear(x, m.weight).relu()
    return m


@module(NOT_AFFINE)
def call_overridden() -> nn.Module:
    class Called(nn.Linear):
        def __call__(self, x):
            return super().__call__(x).relu()

    return Called(4, 4)


@module(NOT_AFFINE)
def linear_with_tanh() -> nn.Module:
    class Linear(nn.Linear):
        def forward(self, x):
            return super().forward(x).tanh()

    return nn.Sequential(Linear(4, 4), nn.Linear(4, 2))


@module(NOT_AFFINE)
def batch_norm_with_relu() -> nn.Module:
    class BatchNorm1d(nn.BatchNorm1d):
        def forward(self, x):
            return super().forward(x).relu()

    return nn.Sequential(nn.Linear(4, 4), BatchNorm1d(4)).eval()


@module(NOT_AFFINE)
def identity_that_is_none() -> nn.Module:
    class Identity(nn.Identity):
        def forward(self, x):
            return F.gelu(x)

    return nn.Sequential(nn.Linear(4, 4), Identity())


@module(AFFINE)
def relu_that_is_the_identity() -> nn.Module:
    class ReLU(nn.ReLU):
        def forward(self, x):
            return x

    return nn.Sequential(nn.Linear(4, 4), ReLU(), nn.Linear(4, 2))


@module(NOT_AFFINE)
def class_changed_afterwards() -> nn.Module:
    m = nn.Identity()
    m.__class__ = nn.ReLU
    m.inplace = False
    return nn.Sequential(nn.Linear(4, 4), m)


@module(AFFINE, tolerance=1e-6)
def weight_is_a_property() -> nn.Module:
    class Positive(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight.relu(), self.bias.exp())

    return Positive(4, 4)


@module(NO_FUNCTION)
def replaces_its_own_forward() -> nn.Module:
    class Turncoat(nn.Linear):
        def forward(self, x):
            self.forward = lambda x: F.linear(x, self.weight).relu()
            return super().forward(x)

    return Turncoat(4, 4)


@module(NO_FUNCTION)
def replaces_the_forward_of_its_class() -> nn.Module:
    class Turncoat(nn.Linear):
        def forward(self, x):
            type(self).forward = lambda self, x: F.linear(x, self.weight).relu()
            return super().forward(x)

    return Turncoat(4, 4)


@module(NOT_AFFINE)
def attribute_that_computes() -> nn.Module:
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def __getattr__(self, name):
            return torch.relu if name == "identity" else super().__getattr__(name)

        def forward(self, x):
            return self.identity(self.fc(x))

    return Lazy()


# =====================================================================================================================
group("writes in place")


@forward(NOT_AFFINE)
def relu_on_a_column(m, x):
    y = m.fc1(x)
    y[:, 1].relu_()
    return y


@forward(NOT_AFFINE)
def clamp_on_a_flat_view(m, x):
    y = m.fc1(x)
    y.view(-1)[::2].clamp_(min=0)
    return m.fc2(y)


@forward(NOT_AFFINE)
def clamp_on_a_transposed_slice(m, x):
    y = m.fc1(x)
    y.t()[::2].clamp_(min=0)
    return y


@forward(NOT_AFFINE)
def relu_on_unbound_parts(m, x):
    y = m.fc1(x).detach()
    for part in y.unbind(1):
        F.relu_(part)
    return y


@forward(NOT_AFFINE)
def relu_on_a_strided_view(m, x):
    y = m.fc1(x)
    y.as_strided((x.shape[0], 2), (4, 2), 1).relu_()
    return y


@forward(NOT_AFFINE)
def relu_on_data(m, x):
    y = m.fc1(x)
    y.data.relu_()
    return y


@forward(NOT_AFFINE)
def relu_on_the_detached(m, x):
    y = m.fc1(x)
    y.detach()[:, 0].relu_()
    return y


@forward(NOT_AFFINE)
def data_assigned(m, x):
    y = m.fc1(x)
    y.data = y.detach().relu()
    return y


@forward(NOT_AFFINE)
def data_of_a_constant_assigned(m, x):
    y = torch.zeros(x.shape)
    y.data = (x > RARE).float()
    return x + y


@forward(NOT_AFFINE)
def set_over_other_memory(m, x):
    y = torch.zeros(x.shape)
    y.set_(source=m.fc1(x).detach().relu())
    return y


@forward(NOT_AFFINE)
def swapped_tensors(m, x):
    y, z = x * 2, x.relu()
    torch.utils.swap_tensors(y, z)
    return y


@forward(NOT_AFFINE)
def masked_assignment(m, x):
    y = m.fc1(x).detach()
    y[y < 0] = 0
    return y


@forward(NOT_AFFINE)
def comparison_in_place(m, x):
    y = x.clone()
    y.lt_(0)
    return x + y


@forward(NOT_AFFINE)
def product_with_itself_in_place(m, x):
    y = x.clone()
    y[:, 0].mul_(y[:, 1])
    return y


@forward(NOT_AFFINE)
def clamp_into_out(m, x):
    out = torch.empty_like(x)
    torch.clamp(x, min=0, out=out)
    return out


@forward(AFFINE)
def add_into_out(m, x):
    out = torch.empty(x.shape)
    with torch.no_grad():
        torch.add(x, 1.0, alpha=2, out=out)
    return out


@forward(AFFINE)
def sums_into_an_accumulator(m, x):
    total = torch.zeros(x.shape[0])
    for column in x.unbind(1):
        total += 2 * column
    return torch.stack([total, x[:, 0]], dim=1)


@forward(AFFINE)
def halves_exchanged_in_place(m, x):
    y = m.fc1(x).detach()
    left = y[:, :2].clone()
    y[:, :2] = y[:, 2:]
    y[:, 2:] = left
    return y


@forward(AFFINE)
def shape_changed_in_place(m, x):
    y = (x * 2).unsqueeze_(0).squeeze_(0)
    return y.t_().t_()


@forward(AFFINE)
def constant_overwritten_after_use(m, x):
    c = torch.full((4,), 2.0)
    y = x * c
    c.fill_(5.0)
    return y + c


@forward(AFFINE)
def part_of_a_constant_overwritten(m, x):
    table = torch.arange(8.0).repeat(x.shape[0], 1)
    table[:, :4] = x
    return table + table.flip(1)


@forward(NOT_AFFINE)
def part_of_a_constant_overwritten_and_squared(m, x):
    table = torch.arange(8.0).repeat(x.shape[0], 1)
    table[:, :4] = x
    return table * table.flip(1) + table**2


@forward(AFFINE)
def input_changed_in_place(m, x):
    x.mul_(2).add_(1)
    return x


@forward(NOT_AFFINE)
def input_rectified_in_place(m, x):
    m.fc1(x)
    F.relu_(x)
    return x


@forward(NO_FUNCTION)
def own_weight_updated(m, x):
    with torch.no_grad():
        m.fc1.weight.add_(x.mean())
    return m.fc1(x)


@forward(NOT_AFFINE)
def own_weight_updated_and_put_back(m, x):
    with torch.no_grad():
        m.fc1.weight.mul_(x.mean())
        y = m.fc1(x)
        m.fc1.weight.div_(x.mean())
    return y


@forward(AFFINE)
def write_to_a_base_seen_by_its_views(m, x):
    y = x.clone()
    first = y[:, 0]
    y.mul_(3)
    return torch.stack([first, y[:, 1]], 1)


@forward(NOT_AFFINE)
def overlapping_write(m, x):
    flat = torch.cat([x, x], 1)
    flat.as_strided((x.shape[0], 2, 2), (8, 1, 1)).copy_(x.view(-1, 2, 2).relu())
    return flat


@forward(NOT_AFFINE)
def memory_resized_by_out(m, x):
    out = x[:1, :1] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.clamp(x.detach(), min=0, out=out)
    return out


# =====================================================================================================================
group("numbers carried out of sight")


def _bent(x: Tensor, number: float) -> Tensor:
    """The identity for numbers below RARE, and no affine map beyond."""
    return x if number < RARE else x.relu()


LEAKS: dict[str, Callable[[Any], Any]] = {
    "item": lambda x: x[0, 0].item(),
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "bool": lambda x: RARE if x[0, 0] > RARE else 0.0,
    "tolist": lambda x: x.tolist()[0][0],
    "numpy": lambda x: x.detach().numpy()[0, 0],
    "asarray": lambda x: np.asarray(x.detach())[0, 0],
    "numpy_function": lambda x: np.add(x.detach(), 0.0).max(),
    "dlpack": lambda x: np.from_dlpack(x.detach()).max(),
    "repr": lambda x: float(repr(x[0, 0]).split("(")[1].split(",")[0].rstrip(")")),
    "str": lambda x: float(str(x[0, 0].detach())[7:-1]),
    "format": lambda x: float(f"{x[0, 0]}"),
    "pickle": lambda x: pickle.loads(pickle.dumps(x.detach()))[0, 0].item(),
    "deepcopy": lambda x: copy.deepcopy(x.detach())[0, 0].item(),
    "copy": lambda x: copy.copy(x.detach())[0, 0].item(),
    "storage": lambda x: RARE if 0x4C <= x.untyped_storage()[3] < 0x80 else 0.0,
    "typed_storage": lambda x: x.detach().contiguous()._typed_storage()[0],
    "address": lambda x: ctypes.c_float.from_address(x.data_ptr()).value,
    "memoryview": lambda x: memoryview(x.detach().numpy())[0, 0],
    "floor": lambda x: math.floor(x[0, 0]),
    "complex": lambda x: complex(x[0, 0]).real,
    "sorted": lambda x: RARE * sorted([(x[0, 0], 0.0), (torch.tensor(RARE), 1.0)])[0][1],
    "equal": lambda x: RARE if torch.equal(x > RARE, x > -RARE) else 0.0,
    "allclose": lambda x: 0.0 if torch.allclose(x, x * 0, atol=RARE) else RARE,
    "nonzero": lambda x: RARE * len(torch.nonzero(x > RARE)),
    "unique": lambda x: RARE * (len(torch.unique(x > RARE)) - 1),
    "masked_select": lambda x: RARE * x[x > RARE].numel(),
    "contains": lambda x: RARE if RARE in x.clamp(max=RARE) else 0.0,
    "range": lambda x: RARE * len(range((x > RARE).sum())),
    "qparams": lambda x: torch._choose_qparams_per_tensor(x.detach())[0] * 200,
    "is_nonzero": lambda x: RARE * torch.is_nonzero((x > RARE).any()),
    "reduce": lambda x: x.detach().__reduce_ex__(2)[1][0][0],
    "apply": lambda x: _apply(x),
}


def _apply(x: Tensor) -> float:
    seen: list[float] = []
    x.detach().clone().apply_(lambda value: seen.append(value) or value)
    return max(seen)


def _leak_case(name: str, leak: Callable[[Any], Any]) -> None:
    def through(m, x):
        return _bent(x, leak(x))

    def swallowed(m, x):
        try:
            number = leak(x)
        except BaseException:
            number = 0.0
        return _bent(x, number)

    through.__name__, swallowed.__name__ = f"through_{name}", f"through_{name}_swallowed"
    forward(NOT_AFFINE)(through)
    forward(NOT_AFFINE)(swallowed)


for _name, _leak in LEAKS.items():
    _leak_case(_name, _leak)


@forward(NOT_AFFINE)
def through_a_file(m, x):
    file = io.BytesIO()
    torch.save({"x": x.detach()}, file)
    file.seek(0)
    return _bent(x, torch.load(file)["x"].max().item())


@forward(NOT_AFFINE)
def through_torch_tensor(m, x):
    return x + (torch.tensor([[x[0, 0].detach(), 0.0, 0.0, 0.0]]) > RARE)


@forward(NOT_AFFINE)
def through_as_tensor(m, x):
    return x + (torch.as_tensor([x[0, 0].detach()]) > RARE)


@forward(NOT_AFFINE)
def through_new_tensor(m, x):
    return x + (m.ones.new_tensor([x[0, 0].detach()]) > RARE)


@forward(NOT_AFFINE)
def through_a_numpy_array_made_before(m, x):
    y = torch.zeros(x.shape)
    window = y.numpy()
    y.copy_(x)
    return _bent(x, float(window.max()))


@forward(NOT_AFFINE)
def through_a_storage_made_before(m, x):
    y = torch.zeros(1)
    window = y.untyped_storage()
    y.copy_(x[0, :1])
    return x if window[3] < 0x4C else x.relu()


@forward(NOT_AFFINE)
def through_a_numpy_array_of_ones_own(m, x):
    window = np.zeros(x.shape, dtype=np.float32)
    y = torch.from_numpy(window)
    y.copy_(x)
    number = float(window.max())
    y.zero_()
    return _bent(x, number)


@forward(NOT_AFFINE)
def through_a_bytearray(m, x):
    window = bytearray(4)
    torch.frombuffer(window, dtype=torch.float32).copy_(x[0, :1].detach())
    return x if window[3] < 0x4C else x.relu()


@forward(NOT_AFFINE)
def through_a_dlpack_capsule(m, x):
    return x + (torch.from_dlpack(to_dlpack(x.detach())) > RARE)


@forward(NOT_AFFINE)
def through_a_dlpack_alias(m, x):
    alias = torch.from_dlpack(x.detach())
    return x + (alias > RARE)


@forward(NOT_AFFINE)
def through_a_buffer_that_is_cleared(m, x):
    m.ones.copy_(x[0].detach())
    y = _bent(x, m.ones.numpy().max())
    m.ones.fill_(1.0)
    return y


@forward(NOT_AFFINE)
def through_validation(m, x):
    try:
        torch.distributions.Normal(0.0, 1.0, validate_args=True).log_prob(x / x.clamp(min=-RARE, max=RARE))
    except ValueError:
        return x.relu()
    return x


@forward(NOT_AFFINE)
def through_print(m, x):
    file = io.StringIO()
    print(x[0, 0].detach(), file=file)
    return x if "e+" not in file.getvalue() else x.relu()


@forward(AFFINE, tolerance=1e-6)
def numbers_of_constants_read(m, x):
    factor = float(m.ones.sum()) + m.ones.tolist()[0] + m.fc1.weight.detach().numpy()[0, 0]
    return x * factor


@forward(AFFINE, tolerance=1e-6)
def constants_from_numpy(m, x):
    return x * torch.from_numpy(np.full(4, 2.0, dtype=np.float32)) + torch.tensor([1.0, 2.0, 3.0, 4.0])


@forward(AFFINE)
def constant_from_a_list_written_over(m, x):
    y = torch.tensor([[0.0, 0.0, 0.0, 0.0]]).repeat(x.shape[0], 1)
    z = torch.tensor([1.0, 1.0])
    z[0] = 3.0
    y[:, 0] = x[:, 3]
    return y * z[0]


@forward(AFFINE)
def constant_changed_through_numpy_after_use(m, x):
    c = torch.ones(4)
    window = c.numpy()
    y = x * c
    window[:] = 3.0
    return y + x * c


# =====================================================================================================================
group("threads")


@forward(NOT_AFFINE)
def thread_adds_what_it_computes(m, x):
    found = []
    thread = threading.Thread(target=lambda: found.append((x > RARE).float()))
    thread.start()
    thread.join()
    return x + found[0]


@forward(NOT_AFFINE)
def thread_writes_in_place(m, x):
    y = x.clone()
    thread = threading.Thread(target=lambda: y.add_(y * y, alpha=1e-6))
    thread.start()
    thread.join()
    return y


@forward(NOT_AFFINE)
def executor_of_the_moment(m, x):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return x + pool.submit(lambda: (x > RARE).float()).result()


@module(NOT_AFFINE)
def executor_of_the_module() -> nn.Module:
    m = Parts(lambda m, x: x + m.pool.submit(lambda: (x > RARE).float()).result())
    m.pool = concurrent.futures.ThreadPoolExecutor(1)
    m.pool.submit(int).result()
    return m


@forward(NOT_AFFINE)
def pool_of_multiprocessing(m, x):
    with multiprocessing.pool.ThreadPool(1) as pool:
        return x + pool.apply(lambda: (x.detach() > RARE).float())


@module(NOT_AFFINE)
def worker_behind_a_queue() -> nn.Module:
    jobs: queue.SimpleQueue = queue.SimpleQueue()
    results: queue.SimpleQueue = queue.SimpleQueue()

    def work():
        while (x := jobs.get()) is not None:
            results.put((x > RARE).float())

    threading.Thread(target=work, daemon=True).start()

    def function(m, x):
        jobs.put(x)
        return x + results.get(timeout=5)

    return Parts(function)


@module(NOT_AFFINE)
def worker_that_polls() -> nn.Module:
    jobs: list[Tensor] = []

    def function(m, x):
        y = x.clone()
        jobs.append(y)
        while jobs:
            time.sleep(1e-5)
        return y

    m = Parts(function)
    alive = weakref.ref(m)

    def work():
        while alive() is not None:  # or it would take turns with every test that follows
            if jobs:
                jobs[0].relu_()
                jobs.clear()
            time.sleep(1e-5)

    threading.Thread(target=work, daemon=True).start()
    return m


@forward(NOT_AFFINE)
def thread_of_asyncio(m, x):
    return x + asyncio.run(asyncio.to_thread(lambda: (x > RARE).float()))


@forward(NOT_AFFINE)
def fork_of_torchscript(m, x):
    return x + torch.jit.wait(torch.jit.fork(lambda y: (y > RARE).float(), x))


# =====================================================================================================================
group("control flow")


@forward(NOT_AFFINE)
def branch_on_data(m, x):
    return x.relu() if x.sum() > RARE else x


@forward(NOT_AFFINE)
def loop_on_data(m, x):
    y = x
    while y.abs().max() > RARE:
        y = y / 2
    return y


@forward(AFFINE)
def branch_on_shape(m, x):
    return m.fc1(x) if x.shape[1] == 4 else x.relu()


@forward(NOT_AFFINE)
def nonlinear_for_one_row(m, x):
    return x.relu() if len(x) == 1 else x


@forward(NOT_AFFINE)
def nonlinear_for_two_rows(m, x):
    return x.relu() if len(x) == 2 else x


@forward(NOT_AFFINE)
def nonlinear_for_three_rows_or_more(m, x):
    return x.relu() if len(x) > 2 else x


@forward(NOT_AFFINE, example=lambda: rows(30, 4))
def nonlinear_for_the_rows_of_the_example(m, x):
    return x.relu() if len(x) == 30 else x


@forward(NOT_AFFINE)
def no_formula_for_one_row(m, x):
    return x.sort(1).values if len(x) == 1 else x.relu()


@forward(AFFINE)
def branch_on_dtype(m, x):
    return x * 2 if x.is_floating_point() else x.relu()


@forward(NOT_AFFINE, example=lambda: rows().requires_grad_())
def branch_on_requires_grad(m, x):
    return x.relu() if x.requires_grad else x


@module(AFFINE)
def branch_on_training() -> nn.Module:
    return Parts(lambda m, x: x.relu() if m.training else m.fc1(x)).eval()


@module(NOT_AFFINE)
def branch_on_training_in_training() -> nn.Module:
    return Parts(lambda m, x: x.relu() if m.training else m.fc1(x)).train()


@forward(NO_FUNCTION)
def branch_on_time(m, x):
    return x * time.perf_counter()


@forward(NO_FUNCTION)
def branch_on_identity(m, x):
    return x * (id(object()) % 1009 + time.time_ns() % 1000)


@forward(NOT_AFFINE)
def branch_on_cholesky(m, x):
    try:
        torch.linalg.cholesky(torch.eye(4) * (RARE - x.detach().abs().max()))
    except RuntimeError:
        return x.relu()
    return x


@forward(NOT_AFFINE)
def branch_on_an_assertion(m, x):
    try:
        torch._assert_async((x < RARE).all())
    except RuntimeError:
        return x.relu()
    return x


@forward(NOT_AFFINE)
def branch_on_an_index_out_of_range(m, x):
    try:
        m.ones.index_select(0, (x[0] / RARE).long().clamp(min=0))
    except IndexError:
        return x.relu()
    return x


@forward(NOT_AFFINE)
def branch_on_a_gather_out_of_range(m, x):
    try:
        m.ones.gather(0, (x[0] / RARE).long().clamp(min=0))
    except (RuntimeError, IndexError):
        return x.relu()
    return x


@forward(NOT_AFFINE)
def branch_on_integer_division(m, x):
    try:
        torch.ones(4, dtype=torch.long) // (1 - (x[0] > RARE).long())
    except (RuntimeError, ZeroDivisionError):
        return x.relu()
    return x


@forward(AFFINE)
def relu_beyond_what_is_reached_else_identity(m, x):
    """Both branches are the identity on what they get; the program that is recorded is not."""
    try:
        torch._assert_async((x.abs() < 50).all())
    except RuntimeError:
        return x
    return (x + 60).relu() - 60


@forward(NOT_AFFINE)
def torch_cond(m, x):
    return torch.ops.higher_order.cond(x.sum() > RARE, lambda y: y.relu(), lambda y: y.clone(), (x,))


@forward(NOT_AFFINE)
def branch_by_multiplication(m, x):
    return x + (x > RARE) * x


@forward(NOT_AFFINE)
def branch_by_where(m, x):
    return torch.where(x > 0, x, 0.5 * x)


@forward(AFFINE)
def where_by_a_constant(m, x):
    return torch.where(m.flags, x, -x)


# =====================================================================================================================
group("memory between calls")


@forward(NO_FUNCTION)
def counter_in_an_attribute(m, x):
    m.calls = getattr(m, "calls", 0) + 1
    return x.relu() if m.calls > 100 else x


@module(NO_FUNCTION)
def counter_in_a_nested_list() -> nn.Module:
    def function(m, x):
        m.state["calls"][0].append(1)
        return x.relu() if len(m.state["calls"][0]) > 100 else x

    m = Parts(function)
    m.state = {"calls": [[]]}
    return m


@module(NO_FUNCTION)
def counter_in_an_object() -> nn.Module:
    @dataclasses.dataclass
    class Memory:
        calls: int = 0

    def function(m, x):
        m.memory.calls += 1
        return x.relu() if m.memory.calls > 100 else x

    m = Parts(function)
    m.memory = Memory()
    return m


@module(NO_FUNCTION)
def counter_in_a_namespace_in_a_tuple() -> nn.Module:
    def function(m, x):
        m.memory[0].calls += 1
        return x.relu() if m.memory[0].calls > 100 else x

    m = Parts(function)
    m.memory = (types.SimpleNamespace(calls=0),)
    return m


@module(NO_FUNCTION)
def counter_in_a_set_and_a_deque() -> nn.Module:
    def function(m, x):
        m.seen.add(len(m.seen))
        m.last.append(len(m.last))
        return x.relu() if len(m.seen) + len(m.last) > 100 else x

    m = Parts(function)
    m.seen, m.last = {-1}, collections.deque([1])
    return m


@module(NO_FUNCTION)
def counter_in_a_closure() -> nn.Module:
    calls = 0

    def function(m, x):
        nonlocal calls
        calls += 1
        return x.relu() if calls > 100 else x

    return Parts(function)


@module(NO_FUNCTION)
def counter_in_a_list_in_a_closure() -> nn.Module:
    calls: list[int] = []

    def count() -> int:
        calls.append(1)
        return len(calls)

    return Parts(lambda m, x: x.relu() if count() > 100 else x)


CALLS = 0
SEEN: dict[str, list[int]] = {"calls": []}


@forward(NO_FUNCTION)
def counter_in_a_global(m, x):
    global CALLS
    CALLS += 1
    return x.relu() if CALLS > 100 else x


def _count_in_global_dict() -> int:
    SEEN["calls"].append(1)
    return len(SEEN["calls"])


@forward(NO_FUNCTION)
def counter_in_a_global_dict_of_a_helper(m, x):
    return x.relu() if _count_in_global_dict() > 100 else x


@forward(NO_FUNCTION)
def counter_made_as_a_global(m, x):
    globals()["NEVER_SEEN_BEFORE"] = globals().get("NEVER_SEEN_BEFORE", 0) + 1
    return x.relu() if globals()["NEVER_SEEN_BEFORE"] > 100 else x


@forward(NO_FUNCTION)
def counter_in_a_default_argument(m, x, seen=[]):
    seen.append(1)
    return x.relu() if len(seen) > 100 else x


@forward(NO_FUNCTION)
def counter_in_a_function_attribute(m, x):
    counter_in_a_function_attribute.calls = getattr(counter_in_a_function_attribute, "calls", 0) + 1
    return x.relu() if counter_in_a_function_attribute.calls > 100 else x


@module(NO_FUNCTION)
def counter_in_a_class_attribute() -> nn.Module:
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x):
            type(self).calls += 1
            return x.relu() if self.calls > 100 else x

    return Counting(4, 4)


@module(NO_FUNCTION)
def counter_in_a_base_class() -> nn.Module:
    class Base(nn.Module):
        calls = []  # noqa: RUF012

    class Counting(Base):
        def forward(self, x):
            self.calls.append(1)
            return x.relu() if len(self.calls) > 100 else x

    return Counting()


@module(NO_FUNCTION)
def counter_in_another_class() -> nn.Module:
    class Elsewhere:
        calls = 0

        @classmethod
        def count(cls) -> int:
            cls.calls += 1
            return cls.calls

    return Parts(lambda m, x: x.relu() if Elsewhere.count() > 100 else x)


@module(NO_FUNCTION)
def counter_in_a_plain_list_of_modules() -> nn.Module:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x.relu() if self.calls > 100 else x

    m = Parts(lambda m, x: m.parts[0](x))
    m.parts = [Counting()]
    return m


@module(NO_FUNCTION)
def counter_in_an_iterator() -> nn.Module:
    m = Parts(lambda m, x: x.relu() if next(m.calls) > 100 else x)
    m.calls = itertools.count()
    return m


@module(NO_FUNCTION)
def counter_in_a_generator() -> nn.Module:
    calls = (n for n in range(1000))
    return Parts(lambda m, x: x.relu() if next(calls) > 100 else x)


@module(NO_FUNCTION)
def counter_in_numpy() -> nn.Module:
    def function(m, x):
        m.calls += 1
        return x.relu() if m.calls[0] > 100 else x

    m = Parts(function)
    m.calls = np.zeros(1)
    return m


@module(NO_FUNCTION)
def counter_behind_partial() -> nn.Module:
    def function(calls, m, x):
        calls.append(1)
        return x.relu() if len(calls) > 100 else x

    return Parts(functools.partial(function, []))


@module(NO_FUNCTION)
def counter_in_a_context_variable() -> nn.Module:
    calls = contextvars.ContextVar("calls", default=0)

    def function(m, x):
        calls.set(calls.get() + 1)
        return x.relu() if calls.get() > 100 else x

    return Parts(function)


@forward(NO_FUNCTION)
def counter_in_the_environment(m, x):
    os.environ["WHYACTIVATE_CALLS"] = str(int(os.environ.get("WHYACTIVATE_CALLS", "0")) + 1)
    return x.relu() if int(os.environ["WHYACTIVATE_CALLS"]) > 100 else x


@module(NO_FUNCTION)
def counter_in_thread_local_data() -> nn.Module:
    local = threading.local()

    def function(m, x):
        local.calls = getattr(local, "calls", 0) + 1
        return x.relu() if local.calls > 100 else x

    return Parts(function)


@module(NO_FUNCTION)
def counter_in_slots() -> nn.Module:
    class Slots:
        __slots__ = ("calls", "other")

        def __init__(self):
            self.calls = 0

    slots = Slots()

    def function(m, x):
        slots.calls += 1
        return x.relu() if slots.calls > 100 else x

    return Parts(function)


COUNTING_CONTAINERS: dict[str, tuple[Callable[[], Any], Callable[[Any], int]]] = {
    "user_dict": (lambda: collections.UserDict(calls=0), lambda d: d.update(calls=d["calls"] + 1) or d["calls"]),
    "counter": (collections.Counter, lambda c: c.update(["call"]) or c["call"]),
    "array": (lambda: array.array("i", [0]), lambda a: a.append(1) or len(a)),
    "byte_array": (bytearray, lambda b: b.append(1) or len(b)),
    "text_file": (io.StringIO, lambda f: f.write("x") and len(f.getvalue())),
    "weak_dictionary": (weakref.WeakValueDictionary, lambda d: d.setdefault(len(d), Truth.AFFINE) and len(d)),
    "nested_tuples": (lambda: ((([],),),), lambda t: t[0][0][0].append(1) or len(t[0][0][0])),
}


def _container_case(name: str, make: Callable[[], Any], count: Callable[[Any], int]) -> None:
    def made() -> nn.Module:
        m = Parts(lambda m, x: x.relu() if count(m.memory) > 100 else x)
        m.memory = make()
        return m

    made.__name__ = f"counter_in_a_{name}"
    module(NO_FUNCTION)(made)


for _name, (_make, _count) in COUNTING_CONTAINERS.items():
    _container_case(_name, _make, _count)


@module(NO_FUNCTION)
def counter_in_scripted_code() -> nn.Module:
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x.relu() if self.calls > 100 else x

    return torch.jit.script(Counting())


@forward(NO_FUNCTION)
def counter_in_a_buffer(m, x):
    m.counts.add_(1)
    return x.relu() if m.counts[0, 0] > 100 else x


@forward(NO_FUNCTION)
def counter_in_a_buffer_through_numpy(m, x):
    m.counts.numpy()[0, 0] += 1
    return x.relu() if m.counts[0, 0] > 100 else x


@forward(NO_FUNCTION)
def shape_of_a_buffer(m, x):
    m.ones.unsqueeze_(0)
    return x.relu() if m.ones.ndim > 50 else x


@forward(NO_FUNCTION)
def data_of_a_buffer(m, x):
    m.ones.data = m.ones + 1
    return x.relu() if m.ones[0] > 100 else x


@forward(NO_FUNCTION)
def gradient_of_a_parameter(m, x):
    with torch.enable_grad():
        m.fc1.bias.sum().backward()
    return x.relu() if m.fc1.bias.grad[0] > 100 else x


@forward(NO_FUNCTION)
def attribute_of_a_parameter(m, x):
    m.fc1.weight.calls = getattr(m.fc1.weight, "calls", 0) + 1
    return x.relu() if m.fc1.weight.calls > 100 else x


@forward(NO_FUNCTION)
def parameter_frozen(m, x):
    frozen = not m.fc1.weight.requires_grad
    m.fc1.weight.requires_grad_(False)
    return x.relu() if frozen else x


@forward(NO_FUNCTION)
def mode_changed(m, x):
    training = m.training
    m.train(not training)
    return x if training else x.relu()


@forward(NO_FUNCTION)
def part_added(m, x):
    m.add_module(f"extra{len(m._modules)}", nn.Identity())
    return x if len(m._modules) < 100 else x.relu()


@forward(NO_FUNCTION)
def previous_input_kept(m, x):
    previous = getattr(m, "previous", None)
    m.previous = x[:1].detach()
    return x if previous is None else x + previous


@module(NO_FUNCTION)
def first_result_kept_in_a_closure() -> nn.Module:
    kept: list[Tensor] = []

    def function(m, x):
        if not kept:
            kept.append(x[:1].relu())
        return x + kept[0]

    return Parts(function)


@forward(NO_FUNCTION)
def default_dtype_changed(m, x):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    return x if before == torch.float32 else x.relu()


@forward(NO_FUNCTION)
def thread_count_changed(m, x):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    return x if threads < 50 else x.relu()


@forward(NO_FUNCTION)
def gradients_switched_off(m, x):
    enabled = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    return x if enabled else x.relu()


@forward(NO_FUNCTION)
def mode_of_torch_left_on(m, x):
    class Rectify(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    Rectify().__enter__()
    return x if len(torch.overrides._get_current_function_mode_stack()) < 50 else x.relu()


@forward(AFFINE)
def attribute_set_to_what_it_was(m, x):
    m.function = m.function
    m.scale = m.scale if hasattr(m, "scale") else None
    del m.scale
    return m.fc1(x)


@module(AFFINE)
def cache_that_is_full_already() -> nn.Module:
    kept = {4: torch.arange(4.0)}
    return Parts(lambda m, x: x + kept.setdefault(x.shape[1], torch.arange(4.0)))


# =====================================================================================================================
group("chance and unwritten memory")


@forward(NO_FUNCTION)
def python_random(m, x):
    return x * random.random()


@forward(NO_FUNCTION)
def numpy_random(m, x):
    return x * float(np.random.rand())  # noqa: NPY002


@forward(NO_FUNCTION)
def torch_random(m, x):
    return x + torch.rand(4)


@forward(NO_FUNCTION)
def random_branch(m, x):
    return x if random.random() < 0.999999 else x.relu()


@module(NO_FUNCTION)
def generator_of_torch() -> nn.Module:
    m = Parts(lambda m, x: x * torch.rand(4, generator=m.generator))
    m.generator = torch.Generator().manual_seed(1)
    return m


@module(NO_FUNCTION)
def generator_of_numpy() -> nn.Module:
    m = Parts(lambda m, x: x * float(m.generator.random()))
    m.generator = np.random.default_rng(1)
    return m


@module(NO_FUNCTION)
def generator_of_python() -> nn.Module:
    m = Parts(lambda m, x: x * m.generator.random())
    m.generator = random.Random(1)
    return m


@module(NO_FUNCTION)
def dropout_in_training() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))


@module(AFFINE)
def dropout_in_eval() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval()


@module(AFFINE)
def dropout_of_nothing() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.0))


@forward(NO_FUNCTION)
def empty_floats(m, x):
    return x * torch.empty(4)


@forward(NO_FUNCTION)
def empty_integers(m, x):
    return x * torch.empty(4, dtype=torch.long)


@forward(NO_FUNCTION)
def empty_bools(m, x):
    return x * torch.empty(4, dtype=torch.bool)


@forward(NO_FUNCTION)
def empty_like_the_input(m, x):
    return x + torch.empty_like(x)


@forward(NO_FUNCTION)
def new_and_legacy_constructors(m, x):
    return x + x.new(4) + torch.Tensor(4)


@forward(NO_FUNCTION)
def resized_constant(m, x):
    return x + torch.ones(1).resize_(4)


@forward(NO_FUNCTION)
def partly_written(m, x):
    y = torch.empty(x.shape[0], 6)
    y[:, :5] = F.pad(x, (0, 1))
    return y


@forward(AFFINE)
def wholly_written(m, x):
    y = torch.empty(x.shape[0], 6)
    y[:, :4] = x
    y[:, 4:] = x[:, :2]
    return y


# =====================================================================================================================
group("swallowed refusals")


@forward(NOT_AFFINE)
def bare_except(m, x):
    try:
        return x.relu() if x.sum() > RARE else x
    except:  # noqa: E722
        return x


@forward(NOT_AFFINE)
def return_in_finally(m, x):
    y = x
    try:
        y = x.relu() if bool(x.sum() > RARE) else x
    finally:
        return y  # noqa: B012


@forward(NOT_AFFINE)
def suppress(m, x):
    number = 0.0
    with contextlib.suppress(BaseException):
        number = x.max().item()
    return _bent(x, number)


@forward(NOT_AFFINE)
def another_error_instead(m, x):
    try:
        return _bent(x, x.max().item())
    except BaseException as error:
        raise ValueError("something else") from error


@forward(NOT_AFFINE)
def exit_of_a_context_manager(m, x):
    class Swallow:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return True

    with Swallow():
        return _bent(x, x.max().item())
    return x


@forward(NOT_AFFINE)
def error_of_a_recorder_swallowed(m, x):
    """An operation that a recorder may stumble over is tried first; the affine way is for those who fail."""
    try:
        return x + (x > RARE).to_sparse().to_dense() * x
    except Exception:
        return x


# =====================================================================================================================
group("integers, bools and bits")


@forward(NOT_AFFINE)
def integer_cast(m, x):
    return x.long().float()


@forward(NOT_AFFINE)
def integer_buffer(m, x):
    y = torch.zeros(x.shape, dtype=torch.long)
    y.copy_(x * 10)
    return y.float()


@forward(NOT_AFFINE)
def integer_buffer_of_the_module(m, x):
    m.counts[: len(x)].copy_(x[:, :4] / RARE)
    y = m.counts[: len(x)].float()
    m.counts.zero_()
    return x + y


@forward(NOT_AFFINE)
def bool_buffer(m, x):
    y = torch.zeros(x.shape, dtype=torch.bool)
    y[:] = x.relu()
    return y.float()


@forward(NOT_AFFINE)
def byte_slots_filled_one_by_one(m, x):
    y = torch.zeros(4, dtype=torch.uint8)
    for k in range(4):
        y[k] = x[0, k].detach() / RARE
    return x + y


@forward(NOT_AFFINE)
def sum_as_integers(m, x):
    return x.sum(1, dtype=torch.long).float()


@forward(AFFINE)
def constant_through_bool(m, x):
    return (-(x.bool().float())).relu()


@forward(AFFINE)
def constant_through_unsigned(m, x):
    return (-(x.abs().to(torch.uint8).float())).relu()


@forward(NOT_AFFINE)
def float8(m, x):
    return x.to(torch.float8_e4m3fn).float()


@forward(NOT_AFFINE)
def float8_buffer(m, x):
    y = torch.zeros(x.shape, dtype=torch.float8_e5m2)
    y.copy_(x)
    return y.float()


@forward(NOT_AFFINE)
def bits_of_floats(m, x):
    return (x.detach().view(torch.int32) & 0x7FFFFFFF).view(torch.float32)


@forward(NOT_AFFINE)
def bits_written_as_bytes(m, x):
    y = x.detach().clone()
    y.view(torch.uint8)[:, 3] &= 0x7F
    return y


@forward(AFFINE, tolerance=None)
def half_and_back(m, x):
    return x.half().float() * 2


@forward(AFFINE, tolerance=None)
def bfloat_and_back(m, x):
    return m.fc1(x.bfloat16().float())


@forward(AFFINE)
def double_and_back(m, x):
    return m.fc1(x.double().to(x.dtype))


@forward(AFFINE, tolerance=None)
def half_that_overflows(m, x):
    return (x.half() * 30000.0 * 2.0).float()


@forward(NOT_AFFINE)
def floor_division(m, x):
    return x // 1


@forward(NOT_AFFINE)
def remainder(m, x):
    return x % 1024


@forward(NOT_AFFINE)
def fake_quantisation(m, x):
    return torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127)


@forward(AFFINE)
def complex_detour(m, x):
    y = torch.view_as_complex(x.reshape(-1, 2, 2).contiguous()) * (2 + 1j)
    return torch.view_as_real(y).reshape(-1, 4)


@forward(AFFINE)
def complex_constructor(m, x):
    return (torch.complex(x, -x) * 1j).real


@forward(NOT_AFFINE)
def complex_magnitude(m, x):
    return torch.complex(x, torch.zeros_like(x)).abs()


@forward(AFFINE)
def conjugated_view(m, x):
    return torch.complex(x, x).conj().imag


@forward(AFFINE)
def fourier_and_back(m, x):
    return torch.fft.irfft(torch.fft.rfft(x), n=4)


# =====================================================================================================================
group("autograd, functional transforms, checkpoints")


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.relu()

    @staticmethod
    def backward(ctx, grad):
        return grad


class _RectifyDirty(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.relu_()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_dirty(inputs[0])

    @staticmethod
    def backward(ctx, grad):
        return grad


class _Leaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return _bent(x * 1, x.max().item())

    @staticmethod
    def backward(ctx, grad):
        return grad


class _Double(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return grad.relu()


class _Counting(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        _Counting.calls += 1
        return x.relu() if _Counting.calls > 100 else x * 1

    @staticmethod
    def backward(ctx, grad):
        return grad


@forward(NOT_AFFINE)
def function_that_rectifies(m, x):
    return _Rectify.apply(m.fc1(x))


@forward(NOT_AFFINE)
def function_that_rectifies_in_place(m, x):
    return _RectifyDirty.apply(m.fc1(x))


@forward(NOT_AFFINE)
def function_that_leaks(m, x):
    return _Leaky.apply(m.fc1(x))


@forward(NO_FUNCTION)
def function_that_counts(m, x):
    return _Counting.apply(m.fc1(x))


@forward(AFFINE)
def function_with_a_wrong_gradient(m, x):
    return _Double.apply(m.fc1(x))


@forward(AFFINE)
def detached(m, x):
    return m.fc1(x).detach() + m.fc2(x)


@forward(NOT_AFFINE)
def vmap_of_relu(m, x):
    return torch.func.vmap(lambda row: m.fc1(row).relu())(x)


@forward(AFFINE)
def vmap_of_a_layer(m, x):
    return torch.func.vmap(lambda row: m.fc1.weight @ row + m.fc1.bias)(x)


@forward(AFFINE)
def jvp_of_a_square(m, x):
    return torch.func.jvp(lambda y: y * y, (x,), (torch.ones_like(x),))[1]


@forward(NOT_AFFINE)
def jvp_of_a_relu(m, x):
    return torch.func.jvp(lambda y: y * y * y, (x,), (torch.ones_like(x),))[1]


@forward(AFFINE)
def gradient_of_a_square(m, x):
    return torch.func.grad(lambda y: (y * y).sum())(x)


@forward(NOT_AFFINE)
def gradient_of_a_relu(m, x):
    return torch.func.grad(lambda y: (y.relu() * 2).sum())(x)


@forward(AFFINE)
def gradient_by_autograd(m, x):
    with torch.enable_grad():
        y = x.detach().requires_grad_()
        return torch.autograd.grad((y * y).sum(), y)[0]


@forward(NOT_AFFINE)
def gradient_penalty(m, x):
    with torch.enable_grad():
        y = x.detach().requires_grad_()
        return torch.autograd.grad(y.tanh().sum(), y)[0]


@forward(AFFINE)
def functional_call(m, x):
    return torch.func.functional_call(m.fc1, {"weight": 2 * m.fc2.weight}, (x,))


@forward(NOT_AFFINE)
def functional_call_with_made_weights(m, x):
    return torch.func.functional_call(m.fc1, {"weight": torch.diag(x.mean(0))}, (x,))


@forward(NOT_AFFINE)
def checkpointed_relu(m, x):
    return checkpoint.checkpoint(lambda y: m.fc1(y).relu(), x, use_reentrant=False)


@forward(NOT_AFFINE)
def reentrant_checkpoint_of_a_branch(m, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return checkpoint.checkpoint(lambda y: _bent(y, y.max().item()), x, use_reentrant=True)


@forward(AFFINE)
def checkpointed_layer(m, x):
    return checkpoint.checkpoint(m.fc1, x, use_reentrant=False)


@forward(AFFINE)
def inference_mode_inside(m, x):
    with torch.inference_mode():
        return m.fc1(x) + torch.ones(4)


@forward(NOT_AFFINE)
def inference_mode_with_relu(m, x):
    with torch.inference_mode():
        return m.fc1(x).relu_()


@forward(AFFINE, around=torch.inference_mode)
def inference_mode_outside(m, x):
    y = m.fc1(x)
    y[:, 0] = 0
    return y


@forward(AFFINE, around=torch.no_grad)
def no_grad_outside(m, x):
    return m.fc2(m.fc1(x))


# =====================================================================================================================
group("scripted, traced, compiled")


def _quiet(compile: Callable[[Any], Any], thing: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(thing)


@module(NOT_AFFINE)
def scripted_relu() -> nn.Module:
    return _quiet(torch.jit.script, nn.Sequential(nn.Linear(4, 4), nn.ReLU()))


@module(AFFINE)
def scripted_layers() -> nn.Module:
    return _quiet(torch.jit.script, nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))


@module(NOT_AFFINE)
def traced_relu() -> nn.Module:
    return _quiet(lambda m: torch.jit.trace(m, rows()), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))


@module(AFFINE)
def traced_layers() -> nn.Module:
    return _quiet(lambda m: torch.jit.trace(m, rows()), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))


class _ScriptedBranch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 1e7):
            x = x.relu()
        return x


class _ScriptedList(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        numbers: list[float] = x.flatten().tolist()
        return x if numbers[0] < 1e7 else x.relu()


@module(NOT_AFFINE)
def scripted_branch() -> nn.Module:
    return _quiet(torch.jit.script, _ScriptedBranch())


@module(NOT_AFFINE)
def scripted_list() -> nn.Module:
    return _quiet(torch.jit.script, _ScriptedList())


def _listed(x: Tensor) -> Tensor:
    numbers: list[float] = x.flatten().tolist()
    return x if numbers[0] < 1e7 else x.relu()


_SCRIPTED: list[Any] = []


@module(NOT_AFFINE)
def scripted_function_in_a_global() -> nn.Module:
    if not _SCRIPTED:
        _SCRIPTED.append(_quiet(torch.jit.script, _listed))
    return Parts(lambda m, x: _SCRIPTED[0](x))


@module(NOT_AFFINE)
def compiled_relu() -> nn.Module:
    return torch.compile(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), backend="eager")


@module(AFFINE)
def compiled_layers() -> nn.Module:
    return torch.compile(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), backend="eager")


@forward(NOT_AFFINE)
def compiled_by_forward(m, x):
    return torch.compile(lambda y: m.fc1(y).relu(), backend="eager")(x)


@module(NOT_AFFINE)
def traced_by_fx() -> nn.Module:
    return torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 4), nn.SiLU()))


# =====================================================================================================================
group("weights made from weights")


@module(AFFINE, tolerance=1e-6)
def old_weight_norm() -> nn.Module:
    return _quiet(torch.nn.utils.weight_norm, nn.Linear(4, 4))


@module(AFFINE, tolerance=1e-6)
def new_weight_norm() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2))


@module(NO_FUNCTION)
def spectral_norm_in_training() -> nn.Module:
    return parametrizations.spectral_norm(nn.Linear(4, 4))


@module(NO_FUNCTION)
def old_spectral_norm_in_training() -> nn.Module:
    return _quiet(torch.nn.utils.spectral_norm, nn.Linear(4, 4))


@module(AFFINE, tolerance=1e-6)
def spectral_norm_in_eval() -> nn.Module:
    return parametrizations.spectral_norm(nn.Linear(4, 4)).eval()


@module(AFFINE, tolerance=1e-6)
def orthogonal_weight() -> nn.Module:
    return parametrizations.orthogonal(nn.Linear(4, 4))


@module(AFFINE)
def pruned_weight() -> nn.Module:
    return prune.l1_unstructured(nn.Linear(4, 4), "weight", amount=0.5)


class _Softplus(nn.Module):
    def forward(self, weight):
        return F.softplus(weight)


@module(AFFINE, tolerance=1e-6)
def weight_behind_a_nonlinearity() -> nn.Module:
    m = nn.Linear(4, 4)
    parametrize.register_parametrization(m, "weight", _Softplus())
    return m


@module(NOT_AFFINE)
def weight_made_from_the_input() -> nn.Module:
    class FromInput(nn.Module):
        def forward(self, weight):
            return weight * m.seen.mean()

    m = nn.Sequential(nn.Linear(4, 4))
    m.seen = torch.ones(4)
    parametrize.register_parametrization(m[0], "weight", FromInput())
    m.register_forward_pre_hook(lambda module, args: setattr(module, "seen", args[0]))
    return m


@forward(AFFINE, tolerance=None)
def autocast_inside(m, x):
    with torch.autocast("cpu", torch.bfloat16):
        return m.fc2(m.fc1(x)).float()


@forward(NOT_AFFINE)
def autocast_with_relu(m, x):
    with torch.autocast("cpu", torch.bfloat16):
        return m.fc2(m.fc1(x).relu()).float()


@module(AFFINE)
def tied_weights() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    m[1].weight = m[0].weight
    return m


@forward(AFFINE)
def tied_and_transposed(m, x):
    return F.linear(m.fc1(x), m.fc1.weight.t())


@forward(AFFINE)
def layer_used_twice(m, x):
    return m.fc1(m.fc1(x)) + m.fc1(x)


@module(AFFINE)
def weights_in_one_flat_buffer() -> nn.Module:
    flat = torch.randn(40)
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    m[0].weight, m[0].bias = nn.Parameter(flat[:16].view(4, 4)), nn.Parameter(flat[16:20])
    m[1].weight, m[1].bias = nn.Parameter(flat[20:36].view(4, 4).t()), nn.Parameter(flat[36:])
    return m


@module(AFFINE)
def expanded_and_strided_weights() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    m[0].weight = nn.Parameter(torch.randn(4, 1).expand(4, 4))
    m[1].weight = nn.Parameter(torch.randn(8, 12)[::2, 1::3])
    return m


@module(AFFINE)
def overlapping_weights() -> nn.Module:
    m = nn.Linear(4, 4)
    m.weight = nn.Parameter(torch.randn(7).as_strided((4, 4), (1, 1)))
    return m


@module(NO_FUNCTION)
def weight_that_is_not_a_number() -> nn.Module:
    m = nn.Linear(4, 4)
    m.weight.data[1, 2] = math.nan
    return m


@module(NO_FUNCTION)
def infinite_bias() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    m[0].bias.data[1] = math.inf
    return m


@module(AFFINE)
def infinite_weight_that_is_not_used() -> nn.Module:
    m = Parts(lambda m, x: m.fc1(x))
    m.fc2.weight.data.fill_(math.inf)
    return m


@forward(NO_FUNCTION)
def division_by_zero(m, x):
    return x / torch.zeros(4)


@forward(NO_FUNCTION)
def number_too_large_for_the_dtype(m, x):
    return x + 1e39


@forward(AFFINE, example=lambda: rows(4, 4, dtype=torch.float64))
def coefficients_beyond_the_largest_float(m, x):
    return x * 1e200 * 1e200


@forward(AFFINE, example=lambda: rows(4, 4, dtype=torch.float64))
def coefficients_below_the_smallest_float(m, x):
    return x * 1e-200 * 1e-200 * 1e200 * 1e200


@module(AFFINE)
def sparse_weight() -> nn.Module:
    weight = torch.eye(4).to_sparse()
    return Parts(lambda m, x: torch.sparse.mm(weight, x.t()).t())


@module(AFFINE, tolerance=1e-6)
def integer_and_bool_weights() -> nn.Module:
    return Parts(lambda m, x: x * torch.tensor([1, 2, 3, 16777217]) + m.flags)


# =====================================================================================================================
group("subclasses of Tensor, modes, custom operations")


class _AddsByRelu(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        result = super().__torch_function__(func, types, args, kwargs or {})
        return result.relu() if func is torch.Tensor.add else result


class _Peeks(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        result = super().__torch_function__(func, types, args, kwargs or {})
        if func is not torch.mul:
            return result
        peak = max(number for row in args[0].tolist() for number in row)
        return result if peak < RARE else result.relu()


class _Sly(torch.Tensor):
    """Has memory like any tensor, but bends whatever it is multiplied with."""

    @staticmethod
    def __new__(cls, data):
        return torch.Tensor._make_subclass(cls, data)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        def plain(value):
            return torch.ones(4) if isinstance(value, _Sly) else value

        result = func(*map(plain, args), **(kwargs or {}))
        return result + (result - RARE).relu() if func is torch.ops.aten.mul.Tensor else result


class _Wrapped(torch.Tensor):
    """Holds another tensor and does everything to that, and a relu."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        def unwrap(value):
            return value.inner if isinstance(value, _Wrapped) else value

        return torch.relu(func(*map(unwrap, args), **{k: unwrap(v) for k, v in (kwargs or {}).items()}))


@module(NOT_AFFINE)
def parameter_with_functions_of_its_own() -> nn.Module:
    weight = torch.ones(4).as_subclass(_AddsByRelu)
    return Parts(lambda m, x: weight.add(x).as_subclass(Tensor))


@module(NOT_AFFINE)
def parameter_that_peeks() -> nn.Module:
    weight = torch.ones(4).as_subclass(_Peeks)
    return Parts(lambda m, x: torch.mul(x, weight).as_subclass(Tensor))


@module(AFFINE)
def parameter_of_a_harmless_subclass() -> nn.Module:
    class Plain(torch.Tensor):
        pass

    weight = torch.full((4,), 2.0).as_subclass(Plain)
    return Parts(lambda m, x: torch.mul(x, weight).as_subclass(Tensor))


@module(NOT_AFFINE)
def parameter_that_bends() -> nn.Module:
    weight = _Sly(torch.ones(4))
    return Parts(lambda m, x: torch.mul(x, weight))


@module(NOT_AFFINE)
def parameter_that_wraps_another() -> nn.Module:
    weight = _Wrapped(torch.ones(4))
    return Parts(lambda m, x: torch.mul(x, weight))


@forward(NOT_AFFINE)
def function_mode_inside(m, x):
    class Rectify(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            return result.relu() if func is torch.add else result

    with Rectify():
        return torch.add(x, 1.0)


@forward(NOT_AFFINE)
def dispatch_mode_inside(m, x):
    class Rectify(_python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            return torch.relu(result) if func is torch.ops.aten.add.Tensor else result

    with Rectify():
        return x + 1.0


@forward(NOT_AFFINE)
def dispatch_modes_disabled(m, x):
    with _python_dispatch._disable_current_modes():
        extra = (x > RARE).float()
    return x + extra


@forward(NOT_AFFINE)
def function_modes_disabled(m, x):
    with torch._C.DisableTorchFunction():
        number = x.tolist()[0][0]
    return _bent(x, number)


def _hidden(place: Any, *name: str) -> Any:
    """Something looked up so that its name stands nowhere in the code."""
    return getattr(place, "".join(name))


@forward(NOT_AFFINE)
def another_function_when_nobody_watches(m, x):
    watched = _hidden(torch._C, "_len_torch_", "dispatch_stack")() > 0
    return x if watched else x.relu()


@forward(NOT_AFFINE)
def a_constant_while_watched(m, x):
    watched = _hidden(torch._C, "_len_torch_", "dispatch_stack")() > 0
    return torch.ones(x.shape) if watched else x.relu()


@forward(NOT_AFFINE)
def function_modes_disabled_in_hiding(m, x):
    with _hidden(torch._C, "Disable", "TorchFunction")():
        number = max(max(row) for row in x.tolist())
    return x if number < 100 else x.relu()


@forward(NOT_AFFINE)
def dispatch_modes_disabled_in_hiding(m, x):
    y = x.clone()
    with _hidden(_python_dispatch, "_disable_", "current_modes")():
        y.relu_()
    return y


@forward(NOT_AFFINE)
def dlpack_alias_made_in_hiding(m, x):
    return x + (torch.from_dlpack(_hidden(torch._C, "_to_", "dlpack")(x.detach())) > RARE)


@forward(NOT_AFFINE)
def thread_started_in_hiding(m, x):
    found = []
    thread = _hidden(threading, "Thr", "ead")(target=lambda: found.append((x > RARE).float()))
    thread.start()
    thread.join()
    return x + found[0]


@forward(NOT_AFFINE)
def asks_for_overrides(m, x):
    return x if torch.overrides.has_torch_function((x,)) else _bent(x, x.max().item())


_STASH: list[Tensor] = []
_LIBRARY = torch.library.Library("deceptive", "FRAGMENT")
_LIBRARY.define("stash(Tensor x) -> ()")
_LIBRARY.define("fetch() -> Tensor")
_LIBRARY.define("rectify(Tensor x) -> Tensor")
_LIBRARY.impl("stash", lambda x: _STASH.append((x > RARE).float()), "CPU")
_LIBRARY.impl("fetch", lambda: _STASH.pop(), "CompositeExplicitAutograd")
_LIBRARY.impl("rectify", lambda x: x.relu(), "CPU")


@forward(NOT_AFFINE, around=torch.no_grad)
def custom_operation(m, x):
    return torch.ops.deceptive.rectify(m.fc1(x))


@forward(NOT_AFFINE, around=torch.no_grad)
def custom_operations_with_a_side_channel(m, x):
    torch.ops.deceptive.stash(x)
    return x + torch.ops.deceptive.fetch()


# =====================================================================================================================
group("what goes in and comes out")


@forward(AFFINE)
def input_returned(m, x):
    return x


@forward(AFFINE)
def view_of_the_input_returned(m, x):
    return x[:, ::2].unsqueeze(1)


@forward(AFFINE)
def constant_returned(m, x):
    return m.ones.expand(len(x), 4)


@forward(AFFINE)
def tuple_returned(m, x):
    return m.fc1(x), {"more": [m.fc2(x)]}


@forward(NOT_AFFINE)
def tuple_with_a_relu_returned(m, x):
    return x, {"more": [x.relu()]}


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass
class Result:
    value: Any
    extra: Any = None


class Opaque:
    def __init__(self, value):
        self.value = value


@forward(NOT_AFFINE)
def named_tuple_returned(m, x):
    return Pair(x, x.relu())


@forward(NOT_AFFINE)
def dataclass_returned(m, x):
    return x, Result(x.relu())


@forward(AFFINE)
def affine_dataclass_returned(m, x):
    return Result(m.fc1(x), 3)


@forward(NOT_AFFINE)
def object_returned(m, x):
    return x, Opaque(x.relu())


@forward(NOT_AFFINE)
def generator_returned(m, x):
    return x, (x.relu() for _ in range(1))


@forward(NOT_AFFINE)
def function_returned(m, x):
    return x, lambda: x.relu()


@forward(NOT_AFFINE)
def mapping_returned(m, x):
    return collections.UserDict(x=x.relu())


@forward(NOT_AFFINE)
def set_returned(m, x):
    return x, {x.relu()}


@forward(NO_FUNCTION)
def nothing_returned(m, x):
    m.fc1(x)


@forward(AFFINE)
def integers_returned_as_well(m, x):
    return m.fc1(x), torch.full((len(x),), 7), "text", None, 3


@forward(MIXED)
def numbers_of_the_rows_returned_as_well(m, x):
    return m.fc1(x), torch.arange(len(x))


@forward(NOT_AFFINE)
def positions_returned(m, x):
    return x, x.argmax(1)


@forward(NOT_AFFINE)
def output_changed_after_it_was_put_aside(m, x):
    y = m.fc1(x).detach()
    results = [y]
    y.relu_()
    return results


@forward(AFFINE)
def sent_to_the_meta_device(m, x):
    m.fc1(x).to("meta")
    return m.fc2(x)


@forward(NO_FUNCTION)
def meta_tensor_returned(m, x):
    return x.to("meta")


@forward(AFFINE)
def no_columns_returned(m, x):
    return m.fc1(x)[:, :0]


@forward(AFFINE, example=lambda: rows(4, 4)[:, :0])
def no_columns_given(m, x):
    return x.sum(1, keepdim=True) + 2.0


@forward(AFFINE, example=lambda: (rows(), rows()))
def two_inputs_added(m, x, y):
    return m.fc1(x) + 2 * y


@forward(NOT_AFFINE, example=lambda: (rows(), rows()))
def two_inputs_multiplied(m, x, y):
    return m.fc1(x) * y


@forward(AFFINE, example=lambda: {"x": rows(), "scale": 3.0})
def keywords(m, *, x, scale):
    return m.fc1(x) * scale


@forward(AFFINE, example=lambda: (rows(), None, "text", 3, [1, 2]))
def arguments_that_are_no_tensors(m, x, nothing, text, number, numbers):
    numbers.append(number)
    return m.fc1(x) * numbers[2]


@forward(AFFINE, example=lambda: (Pair(rows(), 2.0),))
def named_tuple_given(m, pair):
    return m.fc1(pair.first) * pair.second


@forward(NOT_AFFINE, example=lambda: (Pair(rows(), rows()),))
def named_tuple_multiplied(m, pair):
    return pair.first * pair.second


@forward(AFFINE, example=lambda: (rows(), Result(torch.ones(4))))
def dataclass_given(m, x, result):
    result.extra = "changed"
    return m.fc1(x) * result.value


@forward(AFFINE, example=lambda: (rows(), np.ones(4, dtype=np.float32)))
def numpy_array_given(m, x, array):
    y = x * torch.from_numpy(array.copy())
    array += 1
    return y


@forward(AFFINE, example=lambda: (rows(), torch.tensor([3, 1, 0])))
def index_given(m, x, index):
    return x[:, index]


@forward(MIXED, example=lambda: (rows(), torch.tensor([[True], [False], [True], [True]])))
def mask_of_rows_given(m, x, mask):
    return x * mask


def _counting_callback() -> Callable[[], int]:
    calls: list[int] = []
    return lambda: calls.append(1) or len(calls)


@forward(NO_FUNCTION, example=lambda: (rows(), _counting_callback()))
def callback_given(m, x, callback):
    return x if callback() < 100 else x.relu()


@forward(NO_FUNCTION, example=lambda: (rows(), iter(range(1000))))
def iterator_given(m, x, numbers):
    return x if next(numbers) < 100 else x.relu()


@forward(AFFINE, around=lambda: torch.device("meta"))
def another_default_device(m, x):
    return m.fc1(x)


class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("outside of any context")


@module(AFFINE)
def attribute_that_cannot_be_looked_at() -> nn.Module:
    m = Parts(lambda m, x: m.fc1(x))
    m.proxies = [Proxy()]
    return m


@forward(AFFINE, example=lambda: (rows(), nn.Linear(4, 2)))
def module_given(m, x, layer):
    return layer(m.fc1(x))


@forward(NOT_AFFINE, example=lambda: rows(4, 4, dtype=torch.float16))
def half_precision_input(m, x):
    return (x.float() * 2).relu()


@forward(AFFINE, example=lambda: rows(4, 4, dtype=torch.float16), tolerance=None)
def half_precision_difference_of_relus(m, x):
    return x.relu() - (-x).relu()


@forward(AFFINE, example=lambda: rows(8, 8)[::2, ::2])
def strided_input(m, x):
    return m.fc1(x)


@forward(AFFINE, example=lambda: rows(1, 4).expand(4, 4))
def expanded_input(m, x):
    return m.fc1(x)


# =====================================================================================================================
group("rows that mix")


@forward(MIXED)
def centred(m, x):
    return x - x.mean(0)


@forward(MIXED)
def flipped(m, x):
    return m.fc1(x).flip(0)


@forward(MIXED)
def numbered(m, x):
    return x + torch.arange(len(x))[:, None]


@forward(MIXED)
def scaled_by_the_batch_size(m, x):
    return x * len(x)


@forward(MIXED)
def first_row_added(m, x):
    return x + x[:1]


@forward(MIXED)
def neighbours_from_three_rows_on(m, x):
    y = x.clone()
    y[2:] += x[:-2]
    return y


@forward(MIXED, example=lambda: rows(6, 4))
def neighbours_from_six_rows_on(m, x):
    y = x.clone()
    y[5:] += x[:-5]
    return y


@forward(MIXED, example=lambda: rows(30, 4))
def neighbours_from_ten_rows_on(m, x):
    y = x.clone()
    y[9:] += x[:-9]
    return y


@forward(MIXED)
def summed_over_rows(m, x):
    return x.sum(0)


@forward(MIXED)
def summed_over_rows_and_spread(m, x):
    return x.sum(0, keepdim=True).expand(len(x), 4)


@forward(MIXED)
def transposed(m, x):
    return x.t()


@forward(MIXED)
def rows_glued(m, x):
    return x.reshape(-1).roll(1).reshape(len(x), 4)


@forward(MIXED)
def diagonal_cleared(m, x):
    y = x.clone()
    y.fill_diagonal_(0) if len(x) == 4 else y[0, :1].zero_()
    return y


@forward(MIXED)
def first_row_treated_otherwise(m, x):
    y = x.clone()
    y[0] *= 2
    return y


@forward(MIXED)
def accumulated(m, x):
    return x.cumsum(0)


@forward(NOT_AFFINE)
def sorted_rows(m, x):
    return x.sort(0).values


@forward(NOT_AFFINE)
def gram_matrix(m, x):
    return x @ x.t() @ x


@module(NOT_AFFINE)
def batch_norm_in_training() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


@module(NOT_AFFINE, example=lambda: rows(4, 4, 3))
def batch_norm_in_training_on_sequences() -> nn.Module:
    return nn.BatchNorm1d(4)


@module(NOT_AFFINE, example=lambda: rows(4, 4, 3))
def batch_norm_without_statistics() -> nn.Module:
    return nn.BatchNorm1d(4, track_running_stats=False).eval()


@forward(AFFINE, example=lambda: rows(4, 4, 3), tolerance=None)
def batch_norm_that_sums_to_zero(m, x):
    """Normalised numbers sum to 0 over a batch of one row, so relu sees a constant; rows of a batch do mix."""
    y = torch.stack([F.batch_norm(row[None], None, None, training=True)[0] for row in x])
    return (y.sum(2) + 0.5).relu()


@module(NO_FUNCTION)
def plain_statistics_of_batch_norm() -> nn.Module:
    mean, var = torch.zeros(4), torch.ones(4)

    def function(m, x):
        F.batch_norm(x.repeat(2, 1), mean, var, training=True)
        return x * mean

    return Parts(function)


@module(AFFINE)
def batch_norm_in_eval() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    m[1].running_mean.uniform_(-1, 1)
    m[1].running_var.uniform_(0.5, 2)
    return m


@module(AFFINE, example=lambda: rows(4, 4, 4))
def batch_norm_over_the_other_axis() -> nn.Module:
    m = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    m[1].running_mean.uniform_(-1, 1)
    m[1].running_var.uniform_(0.5, 2)
    return m


@module(AFFINE, example=lambda: rows(4, 3, 4))
def layer_on_the_last_axis() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


# =====================================================================================================================
group("nonlinearities, small and hidden")

HIDDEN: dict[str, Callable[[Tensor], Tensor]] = {
    "round": torch.round,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "truncate": torch.trunc,
    "fraction": torch.frac,
    "sign": torch.sign,
    "sign_bit": lambda x: x.signbit().float(),
    "tiny_square": lambda x: x + 1e-9 * x**2,
    "relu_far_below": lambda x: (x + 100).relu(),
    "relu_far_above": lambda x: x + (x - 50).relu(),
    "relu_beyond_a_million": lambda x: x - (x - 1e6).relu(),
    "wide_hardtanh": lambda x: F.hardtanh(x, -1e5, 1e5),
    "leaky_relu_almost_1": lambda x: F.leaky_relu(x, 1 - 2**-20),
    "clamp_of_a_sum": lambda x: (x.sum(1, keepdim=True) + 4096).clamp(min=0) + x,
    "scaled_down_tanh": lambda x: 1e6 * torch.tanh(1e-6 * x),
    "log_of_exp_of_a_sum": lambda x: x.logsumexp(1, keepdim=True),
    "square_root_of_square": lambda x: (x * x).sqrt(),
    "product_of_columns": lambda x: x[:, :1] * x[:, 1:],
    "reciprocal": lambda x: 1 / (x + 1e4),
    "division_by_itself": lambda x: x / (x + RARE),
    "power": lambda x: x.abs() ** 1.0000001,
    "softmax": lambda x: x.softmax(1),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "norm": lambda x: x.norm(dim=1, keepdim=True),
    "variance": lambda x: x.var(1, keepdim=True),
    "maximum_of_columns": lambda x: x.max(1, keepdim=True).values,
    "max_pool": lambda x: F.max_pool1d(x[:, None], 2),
    "top": lambda x: x.topk(2, 1).values,
    "median": lambda x: x.median(1, keepdim=True).values,
    "cumulative_product": lambda x: x.cumprod(1),
    "embedding": lambda x: F.embedding((x.abs() * 0.1).long().clamp(max=3), torch.arange(8.0).view(4, 2)),
    "one_hot": lambda x: F.one_hot(x.argmax(1), 4).float(),
    "attention": lambda x: F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None] + 1.0) * x[:, None].abs(),
    "distance": lambda x: torch.cdist(x[:, None], torch.ones(1, 1, 4)),
    "gelu": F.gelu,
    "mish": F.mish,
    "rrelu": lambda x: F.rrelu(x, training=False),
    "prelu": lambda x: F.prelu(x, torch.tensor(0.5)),
    "threshold": lambda x: F.threshold(x, -RARE, 0.0),
    "hardshrink": lambda x: F.hardshrink(x, 1e-6),
    "masked_fill": lambda x: x.masked_fill(x > RARE, 0.0),
    "index_by_sign": lambda x: torch.arange(4.0)[(x > RARE).long()] + x,
    "bilinear": lambda x: F.bilinear(x, x, torch.ones(2, 4, 4)),
    "maximum_with_a_constant": lambda x: torch.maximum(torch.full((4,), -9.0), x.tanh() * 10),
    "heaviside_times_zero_plus": lambda x: x + torch.heaviside(x - RARE, torch.ones(())),
}  # fmt: skip

CANCELLING: dict[str, Callable[[Tensor], Tensor]] = {
    "relu_minus_relu": lambda x: x.relu() - (-x).relu(),
    "relu_minus_relu_far_out": lambda x: (0.125 * x + 4096).relu() - (-0.125 * x - 4096).relu() - 4096,
    "leaky_relu_1": lambda x: F.leaky_relu(x, 1.0),
    "difference_of_squares": lambda x: (x + 1) ** 2 - x**2,
    "rounding_noise": lambda x: ((x + 2.0**50) - 2.0**50) + x.relu() * 0,
    "square_times_zero": lambda x: x + x * x * 0,
    "abs_minus_abs": lambda x: 3 * x + x.abs() - (-x).abs(),
    "max_plus_min": lambda x: torch.maximum(x, 2 * x) + torch.minimum(x, 2 * x),
    "silu_minus_silu": lambda x: F.silu(x) - F.silu(-x),
    "gelu_minus_gelu": lambda x: F.gelu(x) - F.gelu(-x),
    "tanh_plus_tanh": lambda x: x.tanh() + (-x).tanh() + x,
    "exp_times_exp": lambda x: x.exp() * (-x).exp() + x,
    "log_of_exp": lambda x: x.exp().log(),
    "sigmoid_plus_sigmoid": lambda x: x.sigmoid() + (-x).sigmoid(),
    "relu_of_a_square": lambda x: (x * x).relu() - x * x + x,
    "power_one": lambda x: x**1 + x**1.0,
    "division_by_a_constant_made_of_it": lambda x: x / (x * 0 + 2),
    "clamp_with_crossed_bounds": lambda x: x.clamp(min=2.0, max=1.0),
    "hardtanh_without_bounds": lambda x: F.hardtanh(x, -math.inf, math.inf),
    "softmax_of_one": lambda x: x[:, :1].softmax(1),
    "max_pool_of_one": lambda x: F.max_pool1d(x[:, None], 1),
    "product_of_one": lambda x: x[:, :1].prod(1, keepdim=True),
    "maximum_of_one": lambda x: x[:, :1].max(1, keepdim=True).values,
    "sorted_one": lambda x: x[:, :1].sort(1).values,
    "average_pool": lambda x: F.avg_pool1d(x[:, None], 2),
    "convolution": lambda x: F.conv1d(x[:, None], torch.tensor([[[1.0, 2.0, -1.0]]]), torch.tensor([0.5])),
    "cumulative_sum": lambda x: x.cumsum(1),
    "einsum": lambda x: torch.einsum("bi,ij->bj", x, torch.arange(8.0).view(4, 2)),
    "interpolation": lambda x: F.interpolate(x[:, None], size=7, mode="linear", align_corners=True),
    "unfolded": lambda x: x.unfold(1, 2, 1).flatten(1),
    "bilinear_with_a_constant": lambda x: F.bilinear(x, torch.ones(len(x), 3), torch.arange(24.0).view(2, 4, 3)),
    "solved": lambda x: torch.linalg.solve(torch.eye(4) * 2, x.t()).t(),
    "scattered": lambda x: torch.zeros(len(x), 6).scatter(1, torch.tensor([[5, 0, 1, 2]]).expand(len(x), 4), x),
    "padded": lambda x: F.pad(x, (1, 2), value=3.0),
    "reflected": lambda x: F.pad(x, (1, 2), mode="reflect"),
    "addmm_with_itself": lambda x: torch.addmm(x, x, torch.arange(16.0).view(4, 4), beta=2, alpha=0.5),
    "lerp": lambda x: torch.lerp(x, torch.ones(4), 0.25),
    "addcmul": lambda x: torch.addcmul(x, x, torch.full((4,), 2.0), value=0.5),
    "number_16777217": lambda x: x * 16777217,
    "squeezed": lambda x: x.sum(1).squeeze(),
    "squeezed_row": lambda x: (2 * x).squeeze(),
    "repeated_and_split": lambda x: torch.cat([p * k for k, p in enumerate(x.repeat(1, 2).split(3, 1))], 1),
    "kron": lambda x: torch.kron(x, torch.tensor([[1.0, -2.0]])),
    "nan_to_num": lambda x: x.nan_to_num(),
    "contiguous_in_another_order": lambda x: x.t().contiguous().t() + x.t().clone().t(),
    "running_difference": lambda x: x.diff(dim=1),
    "dot_with_a_constant": lambda x: torch.stack([row.dot(torch.arange(4.0)) for row in x]),
}  # fmt: skip


def _function_case(truth: Truth, name: str, function: Callable[[Tensor], Tensor]) -> None:
    def apply(m, x):
        return function(x)

    apply.__name__ = name
    tolerance = {"rounding_noise": 0.2, "interpolation": 1e-6, "number_16777217": 1e-6}.get(name, 1e-9)
    forward(truth, tolerance=tolerance)(apply)


for _name, _function in HIDDEN.items():
    _function_case(NOT_AFFINE, _name, _function)
for _name, _function in CANCELLING.items():
    _function_case(AFFINE, _name, _function)


# =====================================================================================================================
# What no analysis can speak about: each must be answered by an InputError.


def _raises(error: BaseException) -> nn.Module:
    def function(m, x):
        raise error

    return Parts(function)


UNUSABLE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "no_module": lambda: (torch.relu, rows()),
    "lazy_module": lambda: (nn.LazyLinear(3), rows()),
    "meta_module": lambda: (nn.Linear(4, 4, device="meta"), rows()),
    "scalar_input": lambda: (nn.Linear(4, 4), torch.tensor(1.0)),
    "empty_batch": lambda: (nn.Linear(4, 4), torch.zeros(0, 4)),
    "integer_input": lambda: (nn.Embedding(4, 4), torch.tensor([1, 2])),
    "meta_input": lambda: (nn.Identity(), torch.zeros(2, 2, device="meta")),
    "sparse_input": lambda: (nn.Identity(), torch.eye(4).to_sparse()),
    "float8_input": lambda: (nn.Identity(), torch.ones(2, 2).to(torch.float8_e4m3fn)),
    "nan_input": lambda: (nn.Identity(), torch.full((2, 2), math.nan)),
    "wrong_shape": lambda: (nn.Linear(4, 4), rows(4, 5)),
    "forward_raises": lambda: (_raises(KeyError("no")), rows()),
    "forward_exits": lambda: (_raises(SystemExit(3)), rows()),
    "forward_recurses": lambda: (Parts(lambda m, x: m(x)), rows()),
    "wrong_arguments": lambda: (nn.Linear(4, 4), {"y": rows()}),
    "strings": lambda: (nn.Linear(4, 4), "text"),
    "nothing": lambda: (nn.Linear(4, 4), None),
    "wrapped_input": lambda: (nn.Identity(), _Wrapped(rows())),
}
