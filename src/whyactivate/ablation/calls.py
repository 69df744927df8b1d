"""Finds the calls of activations in one run of a module, and makes copies in which chosen ones are left out."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from whyactivate.affine import Verdict, analyze
from whyactivate.errors import InputError, WhyActivateError

ACTIVATION_FUNCTIONS = frozenset(
    {
        "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid",
        "special_expit", "tanh", "softplus", "softsign", "hardtanh", "hardsigmoid", "hardswish", "hardshrink",
        "softshrink", "tanhshrink", "logsigmoid", "log_sigmoid", "_threshold", "sin", "cos", "abs", "erf", "clamp",
        "clamp_min", "clamp_max", "clip",
    }
)  # fmt: skip
"""Functions that act on each number alone; they count as activations where their operand depends on the input.

`_threshold` is what `F.threshold` is called; `torch.threshold` itself is not here, as folding marks values with it.
"""


@dataclass(frozen=True, slots=True)
class ActivationCall:
    """One call of an activation in the module's forward.

    Attributes:
        index: which call of an activation in a run it is, from 0.
        kind: the class of the activation's module, as in `ReLU`, or the function's name, as in `relu`.
        module: path of the activation's module, or of the module whose code calls the function; empty for the
            module itself.
        number: which call of that kind there it is, from 1.
        repeated: whether there is more than one.
    """

    index: int
    kind: str
    module: str
    number: int
    repeated: bool

    def __str__(self) -> str:
        again = f", call {self.number}" if self.repeated else ""
        return f"{self.module}: {self.kind}{again}" if self.module else f"{self.kind}{again}"


class _Run(TorchFunctionMode):
    """One run: counts the calls of activations, and passes the operand on unchanged where one is to be left out."""

    def __init__(self, left_out: Collection[int], seen: Callable[[str, Tensor], None] | None = None) -> None:
        super().__init__()
        self._left_out, self._seen, self._count = left_out, seen, 0
        self.inside = False  # an activation: what it calls on its own does not count once more

    def call(self, kind: str, operand: Tensor, compute: Callable[[], Any]) -> Any:
        """The operand where this call is left out, else what the activation gives."""
        index, self._count = self._count, self._count + 1
        if self._seen is not None:
            self._seen(kind, operand)
        if index in self._left_out:
            return operand
        self.inside = True
        try:
            return compute()
        finally:
            self.inside = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operand = args[0] if args else kwargs.get("input", kwargs.get("self"))
        name = _plain_name(str(getattr(func, "__name__", "")))
        if self.inside or name not in ACTIVATION_FUNCTIONS or "out" in kwargs or not _is_floating(operand):
            return func(*args, **kwargs)
        if name == "hardtanh" and args[1:] == (0, 6):
            name = "relu6"  # which is written so in an exported program
        return self.call(name.strip("_"), operand, lambda: func(*args, **kwargs))


_RUN: ContextVar[_Run | None] = ContextVar("_RUN", default=None)


class Holder(nn.Module):
    """A module whose own forward cannot be exchanged, inside one whose forward can."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = module.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        return self.module(*args, **kwargs)


def find_calls(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], activations: Mapping[str, str]
) -> tuple[ActivationCall, ...]:
    """The calls of activations whose operand depends on the floating inputs, in the order in which they come.

    Found by running copies on two inputs like these: an operand that is the same in both does not depend on them.

    Raises:
        InputError: the module cannot be copied, or its forward raises.
    """
    first, second = (_observe(module, *_filled(args, kwargs, seed), activations) for seed in (0, 1))
    if [each[:2] for each in first] != [each[:2] for each in second]:
        raise InputError(
            f"{type(module).__name__} calls other activations on another input, so none of them can be taken out: "
            "its program depends on the data"
        )
    counts: dict[tuple[str, str], int] = {}
    found: list[tuple[int, str, str, int]] = []
    for index, ((kind, path, z), (_, _, other)) in enumerate(zip(first, second, strict=True)):
        if z.shape != other.shape or not torch.equal(z, other):
            counts[kind, path] = counts.get((kind, path), 0) + 1
            found.append((index, kind, path, counts[kind, path]))
    return tuple(ActivationCall(*each, repeated=counts[each[1], each[2]] > 1) for each in found)


def without(module: nn.Module, left_out: Collection[int], activations: Mapping[str, str]) -> nn.Module:
    """A copy of the module in which these calls of activations pass their operand on unchanged.

    Args:
        module: stays as it is.
        left_out: the `index` of each call.
        activations: the submodules that are activations, as `find_activation_modules` gives them.
    """
    if isinstance(module, fx.GraphModule) and all(
        str(node.target) in activations or _is_plain_layer(module.get_submodule(str(node.target)))
        for node in module.graph.nodes
        if node.op == "call_module"
    ):
        return _rewritten(module, frozenset(left_out), activations)
    return _prepared(module, frozenset(left_out), activations, None)


def find_activation_modules(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, str]:
    """Path to kind, of the submodules without parameters (and PReLU) that act on each number alone and are not affine.

    That they are not affine is verified; that they act on each number alone is tested on random numbers.
    """
    own = _copied(module)
    operands: dict[str, Tensor] = {}
    results: dict[str, Any] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(part: nn.Module, given: Any, result: Any) -> None:
            if len(given) == 1 and _is_floating(given[0]):
                operands.setdefault(path, given[0].detach().clone())
                results.setdefault(path, result)

        return hook

    for path, part in own.named_modules():
        if path and not isinstance(part, (fx.GraphModule, torch.jit.ScriptModule)) and _is_bare(part):
            part.register_forward_hook(note(path))
    _called(own, *_filled(args, kwargs, 0))
    known: dict[tuple[type, str, bool], bool] = {}
    found: dict[str, str] = {}
    for path, operand in operands.items():
        part = module.get_submodule(path)
        result = results[path]
        if any(path.startswith(f"{outer}.") for outer in found):
            continue
        if not isinstance(result, Tensor) or result.shape != operand.shape or operand.ndim == 0 or not len(operand):
            continue
        key = type(part), repr(part), part.training
        if key not in known:
            known[key] = _is_activation(part, operand)
        if known[key]:
            found[path] = type(part).__name__
    return found


def fresh_inputs(example: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of the example input.

    Raises:
        InputError: it is neither a tensor, nor a tuple or dict of arguments.
    """
    if isinstance(example, Tensor):
        return (example,), {}
    if isinstance(example, (tuple, list)):
        return tuple(cast("tuple[Any, ...]", example)), {}
    if isinstance(example, dict):
        return (), dict(cast("dict[str, Any]", example))
    raise InputError(
        f"example_input must be a tensor, a tuple of arguments or a dict of keywords; {type(example).__name__} came"
    )


def _observe(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], activations: Mapping[str, str]
) -> list[tuple[str, str, Tensor]]:
    """Kind, path and operand of each call of an activation in one run of a copy."""
    path: list[str] = []
    seen: list[tuple[str, str, Tensor]] = []

    def note(kind: str, operand: Tensor) -> None:
        seen.append((kind, path[-1] if path else "", operand.detach().clone()))

    own = _prepared(module, frozenset(), activations, note)
    for name, part in own.named_modules():
        if not isinstance(part, torch.jit.ScriptModule):
            part.register_forward_pre_hook(_enter(path, name_in(own, name)), prepend=True)
            part.register_forward_hook(_leave(path), always_call=True)
    _called(own, args, kwargs)
    return seen


def name_in(own: nn.Module, name: str) -> str:
    """What a submodule of a copy is called in the original."""
    return name.removeprefix("module").removeprefix(".") if isinstance(own, Holder) else name


def _enter(path: list[str], name: str) -> Callable[..., None]:
    return lambda *_: path.append(name)


def _leave(path: list[str]) -> Callable[..., None]:
    def hook(*_: object) -> None:
        path.pop()

    return hook


def _prepared(
    module: nn.Module,
    left_out: frozenset[int],
    activations: Mapping[str, str],
    seen: Callable[[str, Tensor], None] | None,
) -> nn.Module:
    """A copy with another forward at its root, which counts calls, and in the submodules that are activations."""
    own = _copied(module)
    changed: set[int] = set()
    for path, kind in activations.items():
        part = own.get_submodule(path)
        if id(part) not in changed:
            changed.add(id(part))
            _exchange(part, lambda forward, kind=kind: _as_one_call(forward, kind))
    plain = not isinstance(own, (fx.GraphModule, torch.jit.ScriptModule)) and "forward" not in vars(own)
    if not plain:
        own = Holder(own)
    _exchange(own, lambda forward: _counted(forward, left_out, seen))
    return own


def _is_plain_layer(part: nn.Module) -> bool:
    """Whether it is a layer of PyTorch in which no activation is called."""
    kind = type(part).__module__
    return kind.startswith("torch.nn.") and kind != "torch.nn.modules.activation" and not list(part.children())


def _rewritten(module: fx.GraphModule, left_out: frozenset[int], activations: Mapping[str, str]) -> nn.Module:
    """A copy of a recorded program without these calls: their nodes are taken out of its graph."""
    own = _copied(module)
    calls = [
        node
        for node in own.graph.nodes
        if (node.op == "call_module" and str(node.target) in activations)
        or (node.op == "call_method" and _plain_name(node.target) in ACTIVATION_FUNCTIONS)
        or (node.op == "call_function" and _plain_name(getattr(node.target, "__name__", "")) in ACTIVATION_FUNCTIONS)
    ]
    for index in left_out:
        node = calls[index]
        node.replace_all_uses_with(node.args[0] if node.args else node.kwargs.get("input", node.kwargs.get("self")))
        own.graph.erase_node(node)
    own.recompile()
    return own


def _plain_name(name: str) -> str:
    return name.split(".")[0].rstrip("_")


def _exchange(part: nn.Module, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Gives one module, and no other of its class, a changed forward; its class stays the parent."""
    kind = type(part)
    space = {
        "forward": change(kind.forward),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    try:
        part.__class__ = type(kind.__name__, (kind,), space)
    except Exception as error:
        raise InputError(f"{kind.__name__} does not let its forward be exchanged ({error})") from error


def _counted(
    forward: Callable[..., Any], left_out: frozenset[int], seen: Callable[[str, Tensor], None] | None
) -> Callable[..., Any]:
    @functools.wraps(forward)
    def counted(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        run = _Run(left_out, seen)
        token = _RUN.set(run)
        try:
            with run:
                return forward(self, *args, **kwargs)
        finally:
            _RUN.reset(token)

    return counted


def _as_one_call(forward: Callable[..., Any], kind: str) -> Callable[..., Any]:
    @functools.wraps(forward)
    def one_call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        run = _RUN.get()
        if run is None or run.inside or len(args) != 1 or kwargs:
            return forward(self, *args, **kwargs)
        return run.call(kind, args[0], lambda: forward(self, args[0]))

    return one_call


def _is_activation(part: nn.Module, operand: Tensor) -> bool:
    part = _copied(part)
    try:
        if analyze(part, operand).verdict is not Verdict.NOT_AFFINE:
            return False
    except WhyActivateError:
        return False
    generator = torch.Generator().manual_seed(0)
    x = _random(operand, generator)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        whole = part(x.clone())
        for _ in range(3):
            kept = torch.rand(x.shape, generator=generator).to(x.device) < 0.5
            mixed = part(torch.where(kept, x, _random(operand, generator)))
            if not torch.equal(mixed[kept], whole[kept]):
                return False
    return True


def _is_bare(part: nn.Module) -> bool:
    return isinstance(part, nn.PReLU) or next(_tensors(part), None) is None


def _tensors(part: nn.Module) -> Iterator[Tensor]:
    yield from part.parameters()
    yield from part.buffers()


def _is_floating(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like)


def _filled(args: tuple[Any, ...], kwargs: Mapping[str, Any], seed: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with random numbers in their floating tensors."""
    generator = torch.Generator().manual_seed(seed)

    def fill(value: Any) -> Any:
        return _random(value, generator) if _is_floating(value) else copy.deepcopy(value)

    return tuple(fill(value) for value in args), {name: fill(value) for name, value in kwargs.items()}


def _copied(module: nn.Module) -> Any:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise InputError(
            f"{type(module).__name__} cannot be copied ({error}), so nothing can be taken out of it"
        ) from error


def _called(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), _same_seed():
        try:
            module(*args, **kwargs)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{type(module).__name__}'s forward raised {type(error).__name__}: {error}") from error


@contextmanager
def _same_seed() -> Generator[None]:
    """Whatever is drawn meanwhile is drawn from one seed; the caller's random state is kept by the caller."""
    torch.manual_seed(0)
    yield
