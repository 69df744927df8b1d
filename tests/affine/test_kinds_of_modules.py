"""Every kind of module, input and output gets the right verdict, or an answer that says what to do."""

from __future__ import annotations

import dataclasses
import gc
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

import whyactivate as wa
from whyactivate.activations import ACTIVATIONS
from whyactivate.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")

Activation = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module", autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def rows(count: int = 3, width: int = 4) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(1))


class Parts(nn.Module):
    """Two layers and a function to use them, with an activation or without."""

    def __init__(self, function: Callable[..., Any], activation: Activation | None = None) -> None:
        super().__init__()
        self.function, self.activation = function, activation or (lambda z: z)
        self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def chain(activation: Activation | None, first: nn.Module | None = None) -> nn.Sequential:
    middle = [nn.ReLU()] if activation else []
    return nn.Sequential(first or nn.Linear(4, 4), *middle, nn.Linear(4, 2))


def autocast(m: Parts, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.fc2(m.activation(m.fc1(x)))


def checkpointed(use_reentrant: bool) -> Callable[[Parts, Tensor], Any]:
    def function(m: Parts, x: Tensor) -> Any:
        return checkpoint(lambda z: m.fc2(m.activation(m.fc1(z))), x, use_reentrant=use_reentrant)

    return function


def mapped(m: Parts, x: Tensor) -> Tensor:
    return torch.func.vmap(lambda row: m.fc2(m.activation(m.fc1(row))))(x)


def derivative(m: Parts, x: Tensor) -> Tensor:
    return torch.func.jvp(lambda z: m.activation(m.fc1(z)), (x,), (torch.ones_like(x),))[1]


def gradient(m: Parts, x: Tensor) -> Tensor:
    return torch.func.grad(lambda z: (m.activation(m.fc1(z)) ** 2).sum())(x)


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@dataclasses.dataclass
class Result:
    sums: Tensor
    parts: tuple[Tensor, Tensor]


MADE: dict[str, Callable[[Activation | None], nn.Module]] = {
    "scripted": lambda f: torch.jit.script(chain(f)),
    "traced": lambda f: torch.jit.trace(chain(f), rows()),
    "compiled": lambda f: torch.compile(chain(f), backend="eager"),
    "weight_norm": lambda f: chain(f, parametrizations.weight_norm(nn.Linear(4, 4))),
    "orthogonal": lambda f: chain(f, parametrizations.orthogonal(nn.Linear(4, 4))),
    "spectral_norm, eval mode": lambda f: chain(f, parametrizations.spectral_norm(nn.Linear(4, 4))).eval(),
    "autocast inside": lambda f: Parts(autocast, f),
    "checkpointed, reentrant": lambda f: Parts(checkpointed(True), f),
    "checkpointed": lambda f: Parts(checkpointed(False), f),
    "vmap inside": lambda f: Parts(mapped, f),
    "data parallel": lambda f: nn.DataParallel(chain(f)),
    "batch normalisation, eval mode": lambda f: chain(f, nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))).eval(),
    "dropout, eval mode": lambda f: chain(f, nn.Sequential(nn.Linear(4, 4), nn.Dropout())).eval(),
    "a named tuple out": lambda f: Parts(lambda m, x: Pair(m.fc2(m.activation(x)), x), f),
    "a dataclass out": lambda f: Parts(lambda m, x: Result(m.fc2(m.activation(x)), (x, 2 * x)), f),
    "lists in dicts out": lambda f: Parts(lambda m, x: {"a": [m.fc2(m.activation(x)), x], "b": {"c": x}}, f),
    "some outputs constant": lambda f: Parts(lambda m, x: (m.activation(x), torch.ones(len(x), 2)), f),
    "lazy, run once": lambda f: (lambda m: (m(rows()), m)[1])(chain(f, nn.LazyLinear(4))),
}


@pytest.mark.parametrize("name", MADE)
def test_modules_of_every_make(name: str) -> None:
    affine = wa.analyze(MADE[name](None), rows())
    assert affine.verdict == "affine", str(affine)
    assert affine.per_example
    not_affine = wa.analyze(MADE[name](F.relu), rows())
    assert not_affine.verdict == "not_affine", str(not_affine)
    assert not_affine.blame


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_the_networks_here_can_be_scripted(activation: str | None) -> None:
    for model in (wa.MLP([4, 5, 2], activation), wa.MLP([4, 3], activation).eval(), wa.SimpleModel(activation)):
        scripted = torch.jit.script(model)
        x = rows(width=10 if isinstance(model, wa.SimpleModel) else 4)
        assert torch.equal(scripted(x), model(x))
        assert scripted.training == model.training
        assert set(model.state_dict()) <= set(scripted.state_dict())


@pytest.mark.parametrize("function", [gradient, derivative])
def test_derivatives_inside(function: Callable[[Parts, Tensor], Tensor]) -> None:
    assert wa.analyze(Parts(function), rows()).verdict == "affine"
    assert wa.analyze(Parts(function, F.relu), rows()).verdict != "affine"


BENDING: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": F.relu, "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "relu6": F.relu6, "gelu": F.gelu, "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
    "softplus": F.softplus, "elu": F.elu, "selu": F.selu, "log_softmax": lambda x: x.log_softmax(1),
    "cube": lambda x: x**3,
}  # fmt: skip


@pytest.mark.parametrize("name", BENDING)
def test_the_slope_of_an_activation_is_refuted_as_what_it_is(name: str) -> None:
    def energy_gradient(m: Parts, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(m.fc2(m.activation(m.fc1(x))).sum(), x)[0]

    module = Parts(energy_gradient, BENDING[name]).double()
    counterexample = wa.analyze(module, rows().double()).counterexample
    assert counterexample is not None
    a, b, (one, other) = *counterexample.a, *counterexample.b, map(float, counterexample.weights)
    at_mix, mix_of = module(one * a + other * b), one * module(a) + other * module(b)
    for found, told in ((at_mix, counterexample.at_mix), (mix_of, counterexample.mix_of)):
        assert float(found.flatten()[counterexample.output_index]) == pytest.approx(told, abs=1e-6)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "leaky_relu", "relu6"])
def test_a_derivative_at_a_fixed_place_is_affine_in_its_direction(name: str) -> None:
    def along(m: Parts, x: Tensor) -> Tensor:
        return torch.func.jvp(lambda z: m.activation(m.fc1(z)), (torch.full_like(x, 0.25),), (x,))[1]

    def at(m: Parts, x: Tensor) -> Tensor:
        return torch.func.jvp(lambda z: m.activation(m.fc1(z)), (x,), (torch.ones_like(x),))[1]

    assert wa.analyze(Parts(along, BENDING[name]), rows()).verdict == "affine"
    assert wa.analyze(Parts(at, BENDING[name]), rows()).verdict == "not_affine"


def test_forward_derivatives_are_followed() -> None:
    def quadratic(m: Parts, x: Tensor) -> Tensor:
        return torch.func.vmap(torch.func.jacfwd(lambda row: m.fc1(row) ** 2))(x).flatten(1)

    def cubic(m: Parts, x: Tensor) -> Tensor:
        return torch.func.vmap(torch.func.hessian(lambda row: (m.fc1(row) ** 3).sum()))(x).flatten(1)

    assert wa.analyze(Parts(quadratic), rows()).verdict == "affine"
    assert wa.analyze(Parts(cubic), rows()).verdict == "affine"


def test_numbers_that_are_sent_to_the_meta_device_are_gone() -> None:
    assert wa.analyze(Parts(lambda m, x: x * m.fc1(x).to("meta").shape[1]), rows()).verdict == "affine"
    both = wa.analyze(Parts(lambda m, x: (x, x.to("meta"))), rows())
    assert both.verdict == "undecided"
    assert "meta device" in both.blame[0].reason


TWO = {
    "a tuple": (rows(), rows()),
    "a dict": {"left": rows(), "right": rows()},
}


@pytest.mark.parametrize("example", TWO.values(), ids=TWO)
def test_modules_of_two_inputs(example: Any) -> None:
    def function(m: Parts, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return m.fc2(m.activation(left + right)), left - right

    assert wa.analyze(Parts(function), example).verdict == "affine"
    assert wa.analyze(Parts(function, F.relu), example).verdict == "not_affine"
    product = Parts(lambda m, left, right: left * right)
    assert wa.analyze(product, example).verdict == "not_affine"  # affine in each, not in both


class _Encoder(nn.Module):
    def __init__(self, mask_of: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
        self.mask_of = mask_of

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.layers(x, src_key_padding_mask=self.mask_of(x) if self.mask_of else mask)


def test_an_encoder_takes_a_mask_for_what_is_padded() -> None:
    mask = torch.tensor([[False, False, True], [False, False, False]])
    assert wa.analyze(_Encoder().eval(), (rows(2, 24).view(2, 3, 8), mask)).verdict == "not_affine"
    masked = wa.analyze(_Encoder(lambda x: x[..., 0] > 1e7).eval(), rows(2, 24).view(2, 3, 8))
    assert masked.verdict == "undecided"
    assert "into Python numbers" in masked.blame[0].reason


def test_numbers_picked_by_a_mask_that_is_fixed_are_moved_only() -> None:
    mask = torch.tensor([True, False, True, False])
    assert wa.analyze(Parts(lambda m, x: x.masked_select(mask).view(len(x), 2)), rows()).verdict == "affine"
    assert wa.analyze(Parts(lambda m, x: x.masked_select(x > -1e7).view(x.shape)), rows()).verdict == "undecided"


def test_integer_inputs_are_held_fixed_and_that_is_said() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 4)

        def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
            return x + self.embedding(tokens)

    analysis = wa.analyze(Tokens(), (rows(), torch.tensor([2, 2, 2])))
    assert analysis.verdict == "affine"
    assert "integer and boolean ones are held fixed" in analysis.notes[0]
    with pytest.raises(InputError, match=r"integer inputs \(an embedding\), analyse the part of the module that comes"):
        wa.analyze(nn.Embedding(5, 4), torch.tensor([[1, 2]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_dtype(dtype: torch.dtype) -> None:
    assert wa.analyze(chain(None).to(dtype), rows().to(dtype)).verdict == "affine"
    assert wa.analyze(chain(F.relu).to(dtype), rows().to(dtype)).verdict == "not_affine"


UNDECIDED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "whole numbers out": (lambda: Parts(lambda m, x: (m.fc1(x), x.long().prod(-1))), "int64", "floating"),
    "spectral_norm, train mode": (
        lambda: parametrizations.spectral_norm(nn.Linear(4, 4)), "changes itself", r"module\.eval\(\)",
    ),
    "batch normalisation, train mode": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), "statistics of the batch", r"module\.eval\(\)",
    ),
    "dropout, train mode": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout()), "draws random numbers", r"module\.eval\(\)",
    ),
    "a number taken out": (lambda: Parts(lambda m, x: x * x.sum().item()), "item", r"torch\.where"),
    "a choice": (lambda: Parts(lambda m, x: x if x.sum() > 0 else 2 * x), "__bool__", r"torch\.where"),
    "numpy": (
        lambda: Parts(lambda m, x: torch.from_numpy(x.detach().numpy())), "numpy", "with operations of PyTorch",
    ),
    "sparse weights": (
        lambda: Parts(lambda m, x: torch.sparse.mm(m.fc1.weight.detach().to_sparse(), x.T).T), "sparse", "on their own",
    ),
    "quantised": (
        lambda: torch.ao.quantization.quantize_dynamic(chain(None), {nn.Linear}), "quantized", "",
    ),
    "no tensor out": (lambda: Parts(lambda m, x: None), "nothing that holds a tensor", "returns tensors"),
    "a weight that is NaN": (
        lambda: Parts(lambda m, x: x * torch.tensor(float("nan"))), "nan", "not finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_cannot_be_known_comes_with_a_reason_and_advice(name: str) -> None:
    make, reason, advice = UNDECIDED[name]
    analysis = wa.analyze(make(), rows())
    assert analysis.verdict == "undecided"
    assert reason in analysis.blame[0].reason
    assert re.search(advice, analysis.advice)
    assert f"to settle it: {analysis.advice}" in str(analysis)


def test_only_undecided_verdicts_come_with_advice() -> None:
    for activation in (None, F.relu):
        analysis = wa.analyze(chain(activation), rows())
        assert analysis.advice == ""
        assert "to settle it" not in str(analysis)


def test_empty_tensors() -> None:
    assert wa.analyze(nn.Linear(0, 3), torch.zeros(2, 0)).verdict == "affine"
    assert wa.analyze(nn.Linear(3, 0), torch.zeros(2, 3)).verdict == "affine"


def test_scalars_out_belong_to_no_row() -> None:
    analysis = wa.analyze(Parts(lambda m, x: m.fc1(x).sum()), rows())
    assert analysis.verdict == "affine"
    assert not analysis.per_example


def fake_input() -> tuple[nn.Module, Any]:
    with FakeTensorMode():
        return chain(None), torch.randn(3, 4)


def fake_module() -> tuple[nn.Module, Any]:
    with FakeTensorMode():
        return nn.Linear(4, 2), rows()


UNUSABLE: dict[str, tuple[Callable[[], tuple[nn.Module, Any]], str]] = {
    "no rows": (lambda: (chain(None), torch.zeros(0, 4)), "at least one row"),
    "a scalar": (lambda: (chain(None), torch.tensor(1.0)), "batch dimension first"),
    "a module on the meta device": (lambda: (nn.Linear(4, 2, device="meta"), rows()), "load its weights first"),
    "an input on the meta device": (lambda: (chain(None), rows().to("meta")), "pass an ordinary tensor"),
    "a fake input": (fake_input, "FakeTensor|fake tensor"),
    "a fake module": (fake_module, "load its weights first"),
    "a lazy module": (lambda: (nn.Sequential(nn.LazyLinear(3), nn.ReLU()), rows()), "run the module once"),
    "no tensor": (lambda: (chain(None), ([1.0, 2.0],)), "at least one floating tensor"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_an_error_that_says_what_to_do(name: str) -> None:
    make, words = UNUSABLE[name]
    module, example = make()
    with pytest.raises(InputError, match=words):
        wa.analyze(module, example)


class ManyCaches(nn.Module):
    """Fills a cache in each part at its first call, as some transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            if not hasattr(part, "kept"):
                part.kept = part.weight.detach().clone()
            x = part(x) + part.kept.sum()
        return x


def test_of_many_caches_the_first_few_are_named_and_after_one_call_there_are_none_to_fill() -> None:
    module, x = ManyCaches(), torch.randn(2, 4)
    analysis = wa.analyze(module, x)
    assert analysis.verdict == "undecided"
    assert "and 2 more" in analysis.blame[0].reason
    assert "run it once before if it fills a cache" in analysis.advice
    module(x)
    assert wa.analyze(module, x).verdict == "affine"


def test_analyses_in_several_threads_leave_the_process_as_it_was() -> None:
    def settings() -> tuple[Any, ...]:
        return threading.getprofile(), sys.getprofile(), gc.get_threshold(), torch.get_rng_state().tolist()

    def analyse(modules: list[nn.Module]) -> None:
        start.wait()
        verdicts.extend(wa.analyze(module, torch.ones(2, 4)).verdict for module in modules)

    verdicts: list[str] = []
    start = threading.Barrier(3)
    modules = [[nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(5)] for _ in range(3)]
    threads = [threading.Thread(target=analyse, args=(some,)) for some in modules]
    before = settings()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settings() == before
    assert verdicts == ["not_affine"] * 15


once = iter([1.0])


def test_an_attribute_may_have_the_name_of_something_else_in_the_file() -> None:
    """As in a notebook, where short names stand for many things; but globals can be had by other means, too."""
    module = Parts(lambda m, x: m.fc1(x) + m.once)
    module.once = nn.Parameter(torch.ones(4))
    assert wa.analyze(module, rows()).verdict == "affine"
    for reader in (lambda m, x: m.fc1(x) * next(once, 2.0), lambda m, x: m.fc1(x) * next(globals()["once"], 2.0)):
        assert wa.analyze(Parts(reader), rows()).verdict == "undecided"
