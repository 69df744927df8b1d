"""More deceptive modules: what is bent by rounding, dtypes, views, subclasses, custom functions and transforms."""

from __future__ import annotations

import contextlib
import re
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from deceptive_modules import AFFINE, MIXED, NO_FUNCTION, NOT_AFFINE, Parts, Truth, group, module
from torch import Tensor, nn
from torch.utils import _python_dispatch
from torch.utils._mode_utils import no_dispatch as _unseen

RARE = 1e7


def forward(truth: Truth, tolerance: float | None = 1e-9) -> Any:
    """Enter a forward function of `(m, x)`."""

    def enter(function: Any) -> Any:
        def made() -> nn.Module:
            return Parts(function)

        made.__name__ = function.__name__
        module(truth, tolerance=tolerance)(made)
        return function

    return enter


group("what PyTorch keeps or tells")


@forward(NO_FUNCTION)
def hooks_of_a_weight(m: Any, x: Tensor) -> Tensor:
    m.fc1.weight.register_hook(lambda grad: grad)
    return x.relu() if len(m.fc1.weight._backward_hooks) > 500 else x


@forward(NO_FUNCTION)
def number_of_a_hook(m: Any, x: Tensor) -> Tensor:
    handle = m.fc1.register_forward_hook(lambda *_: None)
    handle.remove()
    return x.relu() if handle.id > 10**6 else x


@forward(NO_FUNCTION)
def number_in_the_graph(m: Any, x: Tensor) -> Tensor:
    made = (torch.ones(1, requires_grad=True) * 2).grad_fn
    return x.relu() if made is not None and made._sequence_nr() > 10**7 else x


@forward(NO_FUNCTION)
def setting_of_a_backend(m: Any, x: Tensor) -> Tensor:
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    return x


@forward(NO_FUNCTION)
def setting_of_a_backend_by_a_function(m: Any, x: Tensor) -> Tensor:
    torch._C._set_cudnn_benchmark(not torch._C._get_cudnn_benchmark())
    return x


@forward(NO_FUNCTION)
def version_of_a_buffer(m: Any, x: Tensor) -> Tensor:
    m.fc1.weight.detach().add_(0)
    return x.relu() if m.fc1.weight._version > 500 else x


@forward(NO_FUNCTION)
def kinds_of_trees(m: Any, x: Tensor) -> Tensor:
    kind = type("Kind", (), {})
    torch.utils._pytree.register_pytree_node(kind, lambda _: ([], None), lambda *_: kind())
    return x.relu() if len(torch.utils._pytree.SUPPORTED_NODES) > 10**4 else x


@forward(NO_FUNCTION)
def memory_of_an_address(m: Any, x: Tensor) -> Tensor:
    return x.relu() if torch.ones(3).data_ptr() % 2**20 == 64 else x


@forward(NO_FUNCTION)
def generator_that_seeds_itself(m: Any, x: Tensor) -> Tensor:
    generator = torch.Generator()
    generator.seed()
    return x.relu() if int(torch.randint(10**9, (1,), generator=generator)) == 7 else x


@forward(NO_FUNCTION)
def learning_rate_of_an_optimiser(m: Any, x: Tensor) -> Tensor:
    optimiser = m.__dict__.setdefault("optimiser", torch.optim.SGD(m.parameters(), lr=1.0))
    optimiser.param_groups[0]["lr"] += 1
    return x.relu() if optimiser.param_groups[0]["lr"] > 500 else x


@forward(NO_FUNCTION)
def attributes_of_a_function_of_torch(m: Any, x: Tensor) -> Tensor:
    F.relu.calls = getattr(F.relu, "calls", 0) + 1
    return x.relu() if F.relu.calls > 500 else x


@forward(NO_FUNCTION)
def defaults_of_a_function_of_torch(m: Any, x: Tensor) -> Tensor:
    F.softplus_calls = 1
    F.mish.__defaults__ = (not F.mish.__defaults__[0],)
    return x


@forward(NO_FUNCTION)
def parts_of_a_class_of_torch(m: Any, x: Tensor) -> Tensor:
    nn.Linear.__constants__.append("call")
    return x.relu() if len(nn.Linear.__constants__) > 500 else x


@forward(NO_FUNCTION)
def a_list_in_torch(m: Any, x: Tensor) -> Tensor:
    torch.__all__.append("call")
    return x.relu() if len(torch.__all__) > 10**5 else x


@forward(NO_FUNCTION)
def a_dict_in_torch(m: Any, x: Tensor) -> Tensor:
    kept = F.GRID_SAMPLE_PADDING_MODES
    kept["calls"] = kept.get("calls", 0) + 1
    return x.relu() if kept["calls"] > 500 else x


@forward(NO_FUNCTION)
def attributes_of_the_class_of_the_input(m: Any, x: Tensor) -> Tensor:
    kind = type(x)
    kind.calls = getattr(kind, "calls", 0) + 1
    return x.relu() if kind.calls > 500 else x


@forward(NO_FUNCTION)
def globals_of_a_function(m: Any, x: Tensor) -> Tensor:
    names, name = F.relu.__globals__, "".join(("whyactivate", "calls"))
    names[name] = names.get(name, 0) + 1
    return x.relu() if names[name] > 500 else x


@forward(NO_FUNCTION)
def attributes_of_an_overload(m: Any, x: Tensor) -> Tensor:
    operation = torch.ops.aten.add.Tensor
    operation.calls = getattr(operation, "calls", 0) + 1
    return x.relu() if operation.calls > 500 else x


@forward(NO_FUNCTION)
def attributes_of_a_member_of_a_library(m: Any, x: Tensor) -> Tensor:
    member = re.RegexFlag.I
    member.calls = getattr(member, "calls", 0) + 1
    return x.relu() if member.calls > 500 else x


@forward(NO_FUNCTION)
def names_under_a_computed_one(m: Any, x: Tensor) -> Tensor:
    name = "".join(("whyactivate", "_calls"))
    setattr(Tensor, name, getattr(Tensor, name, 0) + 1)
    return x.relu() if getattr(Tensor, name) > 500 else x


@forward(NO_FUNCTION)
def gradients_of_a_weight(m: Any, x: Tensor) -> Tensor:
    with torch.enable_grad():
        m.fc1.weight.sum().backward()
    return x.relu() if m.fc1.weight.grad.max() > 500 else x


group("what bends out of sight")


class _Signed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * (1.0 if ctx.needs_input_grad[0] else 2.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


@forward(AFFINE)
def scaled_by_whether_gradients_are_asked(m: Any, x: Tensor) -> Tensor:
    return _Signed.apply(x)


@forward(NOT_AFFINE)
def custom_function_with_a_kink(m: Any, x: Tensor) -> Tensor:
    class Kinked(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clamp(max=RARE)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad

    return Kinked.apply(x)


@forward(NOT_AFFINE)
def gradient_that_is_not(m: Any, x: Tensor) -> Tensor:
    return torch.func.grad(lambda y: (y**3).sum())(x)


@forward(AFFINE)
def gradient_of_a_square(m: Any, x: Tensor) -> Tensor:
    return torch.func.grad(lambda y: (y * y).sum())(x)


@forward(NOT_AFFINE)
def product_in_vmap(m: Any, x: Tensor) -> Tensor:
    return torch.func.vmap(lambda y: y * y.clamp(max=1.0))(x)


@forward(NOT_AFFINE)
def jvp_of_a_square(m: Any, x: Tensor) -> Tensor:
    return torch.func.jvp(lambda y: y * y, (x,), (x,))[1]


@forward(MIXED)
def jvp_along_the_batch(m: Any, x: Tensor) -> Tensor:
    return torch.func.jvp(lambda y: y - y.mean(0), (x,), (x,))[1]


@forward(NOT_AFFINE)
def not_a_number_in_where(m: Any, x: Tensor) -> Tensor:
    return torch.where(x == x, x, x * 0) + torch.where(x / x == 1, 0.0, 1.0)


@forward(NOT_AFFINE)
def sparse_product(m: Any, x: Tensor) -> Tensor:
    return (x.to_sparse() * x.to_sparse()).to_dense()


@forward(NOT_AFFINE)
def nested_relu(m: Any, x: Tensor) -> Tensor:
    return torch.nested.nested_tensor([x[0], x[1 % len(x)]]).relu().to_padded_tensor(0.0)[:1] + x


@forward(NOT_AFFINE, None)
def out_over_the_input(m: Any, x: Tensor) -> Tensor:
    y = x.clone()
    torch.mul(x, x, out=y)
    return y


@forward(AFFINE)
def out_over_itself(m: Any, x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    torch.add(x, 1.0, out=y)
    torch.mul(y, 2.0, out=y)
    return y


@forward(NOT_AFFINE)
def product_through_a_view(m: Any, x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :2].mul_(y[:, 2:])
    return y


@forward(NOT_AFFINE)
def foreach_product(m: Any, x: Tensor) -> Tensor:
    return torch._foreach_mul([x], [x])[0]  # type: ignore[attr-defined]


@forward(NOT_AFFINE)
def foreach_in_place(m: Any, x: Tensor) -> Tensor:
    y = x.clone()
    torch._foreach_clamp_max_([y], RARE)  # type: ignore[attr-defined]
    return y


@forward(NOT_AFFINE, None)
def autocast_to_half_that_overflows(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (m.fc1(x).float() + RARE).clamp(max=2 * RARE)


@forward(NOT_AFFINE)
def modulus_of_a_complex_number(m: Any, x: Tensor) -> Tensor:
    return torch.complex(x, torch.zeros_like(x)).abs()


@forward(NOT_AFFINE)
def squared_by_conjugation(m: Any, x: Tensor) -> Tensor:
    z = torch.complex(x, x)
    return (z * z.conj()).real


@forward(NOT_AFFINE)
def subclass_that_bends(m: Any, x: Tensor) -> Tensor:
    class Bent(Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = super().__torch_function__(func, types, args, kwargs or {})
            return result.clamp(max=RARE) if func is Tensor.add else result

    return x.as_subclass(Bent).add(1.0).as_subclass(Tensor)


@forward(NOT_AFFINE)
def einsum_of_both(m: Any, x: Tensor) -> Tensor:
    return torch.einsum("bi,bi->bi", x, x)


@forward(NOT_AFFINE)
def scattered_by_itself(m: Any, x: Tensor) -> Tensor:
    return x.scatter(1, x.argsort(1), x)


@forward(AFFINE)
def sorted_there_and_back(m: Any, x: Tensor) -> Tensor:
    values, order = x.sort(1)
    return torch.zeros_like(x).scatter(1, order, values)


@forward(NOT_AFFINE)
def renormalised(m: Any, x: Tensor) -> Tensor:
    return torch.renorm(x, 2, 0, RARE)


@forward(NOT_AFFINE)
def embedding_that_is_cut(m: Any, x: Tensor) -> Tensor:
    return F.embedding(torch.zeros(len(x), dtype=torch.long), x[:1].clone(), max_norm=RARE) + x


@forward(NOT_AFFINE, None)
def rounded_to_half_and_back(m: Any, x: Tensor) -> Tensor:
    return x + (x.to(torch.float16).float() == x).float() * 0.0 + (x > RARE).float()


@forward(NOT_AFFINE)
def dropped_through_fake_quantisation(m: Any, x: Tensor) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, 1e-3, 0, -(2**20), 2**20)


@forward(NOT_AFFINE)
def index_that_is_the_input(m: Any, x: Tensor) -> Tensor:
    return x.gather(1, (x > RARE).long())


@forward(NOT_AFFINE)
def indexed_in_place_by_the_input(m: Any, x: Tensor) -> Tensor:
    y = x.clone()
    y[x > RARE] = 0.0
    return y


@forward(NOT_AFFINE)
def checkpointed_kink(m: Any, x: Tensor) -> Tensor:
    return torch.utils.checkpoint.checkpoint(lambda y: y.clamp(max=RARE), x, use_reentrant=False)


@forward(NOT_AFFINE)
def batch_of_seven(m: Any, x: Tensor) -> Tensor:
    return x.relu() if len(x) == 7 else x


@forward(NOT_AFFINE)
def batch_beyond_a_limit(m: Any, x: Tensor) -> Tensor:
    return x.relu() if x.shape[0] > 33 else x


@forward(NOT_AFFINE)
def odd_batch(m: Any, x: Tensor) -> Tensor:
    return x.relu() if x.size(0) % 5 == 0 else x


@forward(AFFINE)
def batch_that_is_cut(m: Any, x: Tensor) -> Tensor:
    if x.shape[0] > 64:
        return torch.cat([m.fc1(part) for part in x.split(64)])
    return m.fc1(x)


group("what is read where nobody looks")


def _bent(x: Tensor, is_far: Any) -> Tensor:
    return x.relu() if is_far else x


def _read_at(address: int) -> float:
    class Memory:
        __array_interface__: typing.ClassVar = {"data": (address, False), "shape": (1,), "typestr": "<f4", "version": 3}

    return float(np.asarray(Memory())[0])


@forward(NOT_AFFINE)
def memory_at_an_address(m: Any, x: Tensor) -> Tensor:
    return _bent(x, _read_at(torch._C._data_address(x)) > RARE)  # type: ignore[attr-defined]


@forward(NOT_AFFINE)
def memory_at_an_address_by_a_computed_name(m: Any, x: Tensor) -> Tensor:
    return _bent(x, _read_at(getattr(torch._C, "".join(("_data_", "address")))(x)) > RARE)


@forward(NOT_AFFINE)
def pickled_by_scripts(m: Any, x: Tensor) -> Tensor:
    given = torch._C._pickle_load_obj(torch._C._pickle_save(x[:1, :1].contiguous()))  # type: ignore[attr-defined]
    return _bent(x, float(given) > RARE)


@forward(NOT_AFFINE)
def listed_in_a_gradient(m: Any, x: Tensor) -> Tensor:
    seen: list[Any] = []
    torch.func.grad(lambda y: seen.append(y.tolist()) or y.sum())(x)
    return _bent(x, seen[0][0][0] > RARE)


@forward(NOT_AFFINE)
def printed_in_a_gradient(m: Any, x: Tensor) -> Tensor:
    seen: list[str] = []
    torch.func.grad(lambda y: seen.append(str(y)) or y.sum())(x)
    return _bent(x, "e+08" in seen[0])


@forward(NOT_AFFINE)
def printed_in_vmap(m: Any, x: Tensor) -> Tensor:
    seen: list[str] = []
    torch.func.vmap(lambda y: seen.append(repr(y)) or y)(x)
    return _bent(x, "e+08" in seen[0])


@forward(NOT_AFFINE)
def listed_without_writes(m: Any, x: Tensor) -> Tensor:
    seen: list[Any] = []
    torch.func.functionalize(lambda y: seen.append(y.tolist()) or y)(x)
    return _bent(x, seen[0][0][0] > RARE)


@forward(NOT_AFFINE)
def function_mode_taken_off(m: Any, x: Tensor) -> Tensor:
    mode = None
    with contextlib.suppress(Exception):
        mode = torch.overrides._pop_mode()  # type: ignore[attr-defined]
    number = x.tolist()[0][0]
    if mode is not None:
        torch.overrides._push_mode(mode)  # type: ignore[attr-defined]
    return _bent(x, number > RARE)


@forward(NOT_AFFINE)
def dispatch_mode_taken_off(m: Any, x: Tensor) -> Tensor:
    mode = None
    with contextlib.suppress(Exception):
        mode = _python_dispatch._pop_mode()
    is_near = torch.equal(x.clamp(max=RARE), x)
    if mode is not None:
        _python_dispatch._push_mode(mode)
    return _bent(x, not is_near)


@forward(NOT_AFFINE)
def no_dispatch_to_modes(m: Any, x: Tensor) -> Tensor:
    with _unseen():
        is_near = torch.equal(x.clamp(max=RARE), x)
    return _bent(x, not is_near)


@forward(NOT_AFFINE)
def kernel_called_past_modes(m: Any, x: Tensor) -> Tensor:
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    return _bent(x, not torch.ops.aten.equal.default.redispatch(keys, x, x.clamp(max=RARE)))


class _Tells(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, seen: list[Any]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.seen = seen
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        ctx.seen.append(ctx.saved_tensors[0].tolist()[0][0])
        return grad, None


def _followed(x: Tensor) -> Tensor:
    return x.detach().requires_grad_(True)


@forward(NOT_AFFINE)
def listed_in_a_backward(m: Any, x: Tensor) -> Tensor:
    seen: list[float] = []
    with torch.enable_grad():
        _Tells.apply(_followed(x), seen).sum().backward()
    return _bent(x, seen[0] > RARE)


@forward(NOT_AFFINE)
def copied_to_numpy_in_a_hook(m: Any, x: Tensor) -> Tensor:
    seen: list[float] = []
    with torch.enable_grad():
        y = _followed(x) * 1
        y.register_hook(lambda grad: seen.append(float(np.asarray(grad)[0, 0])))
        y.backward(x.detach())
    return _bent(x, seen[0] > RARE)


@forward(NOT_AFFINE)
def printed_where_it_is_saved(m: Any, x: Tensor) -> Tensor:
    seen: list[str] = []
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(lambda y: seen.append(str(y)) or y, lambda y: y):
        _followed(x) ** 2
    return _bent(x, "e+08" in seen[0])


@forward(NOT_AFFINE)
def listed_by_an_index(m: Any, x: Tensor) -> Tensor:
    seen: list[float] = []

    class Index:
        def __index__(self) -> int:
            seen.append(x.tolist()[0][0])
            return 0

    x[Index()]
    return _bent(x, seen[0] > RARE)


@forward(NOT_AFFINE)
def listed_by_a_distance(m: Any, x: Tensor) -> Tensor:
    seen: list[float] = []

    def distance(a: Tensor, b: Tensor) -> Tensor:
        seen.append(a.tolist()[0][0])
        return (a - b).sum(1)

    F.triplet_margin_with_distance_loss(x, x, x, distance_function=distance)
    return _bent(x, seen[0] > RARE)


@forward(AFFINE)
def numbers_of_weights_read_in_all_ways(m: Any, x: Tensor) -> Tensor:
    weight = m.fc1.weight
    numbers = weight.tolist()[0][0], weight[0, 0].item(), float(weight.detach().numpy()[0, 0]), float(f"{weight[0, 0]}")
    return x * sum(numbers) * len(str(weight)[:1])


@forward(NOT_AFFINE)
def memory_of_numpy_that_nobody_wrote(m: Any, x: Tensor) -> Tensor:
    return _bent(x, abs(np.empty(4)[0]) > 1e300)


class _Pair(tuple):
    pass


@forward(NOT_AFFINE)
def returned_as_a_key(m: Any, x: Tensor) -> Any:
    return {x.relu(): x}


@forward(NOT_AFFINE)
def returned_in_an_attribute(m: Any, x: Tensor) -> Any:
    pair = _Pair((x,))
    pair.bent = x.relu()
    return pair


@forward(NOT_AFFINE)
def returned_in_an_attribute_of_a_tensor(m: Any, x: Tensor) -> Tensor:
    y = x + 1
    y.bent = x.relu()
    return y


@contextlib.contextmanager
def _other_kernel() -> Iterator[None]:
    library = torch.library.Library("aten", "IMPL")
    library.impl("rad2deg", lambda x: torch.mul(x, 57.25).clamp(max=RARE), "CPU")
    try:
        yield
    finally:
        library._destroy()


@module(NOT_AFFINE, tolerance=None, around=_other_kernel)
def kernel_exchanged() -> nn.Module:
    return Parts(lambda m, x: torch.rad2deg(x))


group("what scripts keep")


class _Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.others, self.is_first = [1], [2], True

    @torch.jit.export
    def count(self) -> int:
        self.numbers.append(1)
        return len(self.numbers)

    def forward(self, x: Tensor) -> Tensor:
        return x


class _OneOfTwoLists(_Scripted):
    def forward(self, x: Tensor) -> Tensor:
        numbers = self.numbers if self.is_first else self.others
        numbers.append(1)
        return x.relu() if len(numbers) > 500 else x


class _ListMadeLonger(_Scripted):
    def forward(self, x: Tensor) -> Tensor:
        numbers = self.numbers
        numbers += [1]
        return x.relu() if len(numbers) > 500 else x


class _ListInADict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.held = {"calls": [1]}

    def forward(self, x: Tensor) -> Tensor:
        numbers = self.held["calls"]
        numbers.append(1)
        return x.relu() if len(numbers) > 500 else x


_ListInADict.__annotations__ = {"held": dict[str, list[int]]}


class _ListOfItsOwn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for number in range(3):
            parts.append(x * number)
        parts.reverse()
        return torch.cat(parts, 1)


@module(NO_FUNCTION)
def one_of_two_lists() -> nn.Module:
    return torch.jit.script(_OneOfTwoLists())


@module(NO_FUNCTION)
def list_made_longer() -> nn.Module:
    return torch.jit.script(_ListMadeLonger())


@module(NO_FUNCTION)
def list_in_a_dict() -> nn.Module:
    return torch.jit.script(_ListInADict())


@module(NO_FUNCTION)
def list_in_another_method() -> nn.Module:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = torch.jit.script(_Scripted())

        def forward(self, x: Tensor) -> Tensor:
            return x.relu() if self.part.count() > 500 else x

    return Asking()


@module(AFFINE)
def list_of_its_own() -> nn.Module:
    return torch.jit.script(_ListOfItsOwn())
