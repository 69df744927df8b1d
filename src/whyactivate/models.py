"""Networks in the article's style: affine layers with one activation between them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from whyactivate._checks import check_seed, check_truth, check_whole
from whyactivate.activations import get_activation
from whyactivate.errors import InputError, UnknownNameError

Init = Literal["default", "xavier", "he"]
INITS: tuple[Init, ...] = ("default", "xavier", "he")
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class SimpleModel(nn.Module):
    """The article's network: 10 → 18 → 18 → 4 → 1, 621 parameters, three hidden layers.

    The initial weights depend on `seed` alone, never on the activation. They are the ones that
    `nn.Linear` draws for fc1, fc2, fc3, fc4, in this order, after `torch.manual_seed(seed)`;
    PyTorch's global random state is not touched.

    Args:
        activation: a name of `ACTIVATIONS`, None for no activation, or a callable.
        seed: fixes the initial weights.

    Raises:
        UnknownNameError: no activation has that name.
        InputError: the activation or the seed cannot be used.
    """

    def __init__(self, activation: str | Callable[[Tensor], Tensor] | None = "relu", seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(check_seed(seed))
        self.fc1 = _linear(10, 18, generator)
        self.fc2 = _linear(18, 18, generator)
        self.fc3 = _linear(18, 4, generator)
        self.fc4 = _linear(4, 1, generator)
        self.activation = get_activation(activation).module()

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 10) to (rows, 1)."""
        x = self.activation(self.fc1(x))
        x = self.activation(self.fc2(x))
        x = self.activation(self.fc3(x))
        return self.fc4(x)


class MLP(nn.Module):
    """A multilayer perceptron: affine layers fc1, fc2, … with one activation after all but the last.

    `MLP([10, 18, 18, 4, 1], seed=s)` starts from the same weights as `SimpleModel(seed=s)`.

    Args:
        layers: widths from input to output; `[64, 32, 10]` is two affine layers.
        activation: a name of `ACTIVATIONS`, None for no activation, or a callable.
        bias: whether the layers have a bias.
        init: "default" as `nn.Linear` draws; "xavier" uniform (Glorot & Bengio 2010) or
            "he" uniform (He et al. 2015), both with zero biases.
        seed: fixes the initial weights, whatever the activation.
        dtype: of the weights, one of `DTYPES`; PyTorch's default where None.

    Raises:
        UnknownNameError: no activation or no init has that name.
        InputError: a width is not a whole number of at least 1, there are fewer than two, or
            another argument cannot be used.
    """

    def __init__(
        self,
        layers: Sequence[int],
        activation: str | Callable[[Tensor], Tensor] | None = "relu",
        bias: bool = True,
        init: Init = "default",
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.widths = _check_widths(layers)
        if init not in INITS:
            raise UnknownNameError("init", init, INITS)
        check_truth("bias", bias)
        if dtype is not None and dtype not in DTYPES:
            raise InputError(f"dtype must be one of {', '.join(map(str, DTYPES))}, but {dtype!r} came")
        generator = torch.Generator().manual_seed(check_seed(seed))
        for number, (wide_in, wide_out) in enumerate(pairwise(self.widths), start=1):
            self.add_module(f"fc{number}", _linear(wide_in, wide_out, generator, bias, init, dtype))
        self.activation = get_activation(activation).module()
        if dtype is not None:
            self.activation.to(dtype)

    @property
    def layers(self) -> tuple[nn.Linear, ...]:
        """The affine layers, first to last."""
        return tuple(cast(nn.Linear, getattr(self, f"fc{number}")) for number in range(1, len(self.widths)))

    def __prepare_scriptable__(self) -> nn.Module:
        """What `torch.jit.script` compiles in its place, as it reads no properties: the same layers, one by one."""
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for number, layer in enumerate(self.layers, start=1):
            parts[f"fc{number}"] = layer
            parts[f"activation{number}"] = self.activation
        parts.popitem()  # none after the last layer
        chain = nn.Sequential(parts)
        chain.training = self.training
        return chain

    def forward(self, x: Tensor) -> Tensor:
        """(rows, widths[0]) to (rows, widths[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)


def parameter_count(module: nn.Module) -> int:
    """The number of numbers in `module.parameters()`; a tensor used twice counts once.

    Raises:
        InputError: it is no module, or one with lazy layers that have no weights yet.
    """
    if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"module must be an nn.Module, but {type(module).__name__} came")
    if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters()):
        raise InputError("the module has lazy layers without weights yet: run it on one batch first")
    return sum(parameter.numel() for parameter in module.parameters())


def _linear(
    wide_in: int,
    wide_out: int,
    generator: torch.Generator,
    bias: bool = True,
    init: Init = "default",
    dtype: torch.dtype | None = None,
) -> nn.Linear:
    """An `nn.Linear` whose values come from `generator`, drawn as `nn.Linear` itself would draw them."""
    try:
        layer = cast(nn.Linear, nn.utils.skip_init(nn.Linear, wide_in, wide_out, bias=bias, dtype=dtype))
    except (RuntimeError, MemoryError, TypeError) as error:
        size = wide_in * wide_out * (torch.get_default_dtype() if dtype is None else dtype).itemsize / 2**30
        raise InputError(
            f"a layer of {wide_in:,} by {wide_out:,} weights does not fit into memory: it would take {size:,.1f} GiB; "
            "choose narrower layers"
        ) from error
    draw_layer(layer.weight, layer.bias if bias else None, init, generator)
    return layer


def draw_layer(weight: Tensor, bias: Tensor | None, init: Init, generator: torch.Generator) -> None:
    """Draws the first values of an affine layer in place: weight (outputs, inputs), bias (outputs,)."""
    if init == "xavier":
        nn.init.xavier_uniform_(weight, generator=generator)
    elif init == "he":
        nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
    else:
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    if bias is not None and init == "default":
        bound = 1 / math.sqrt(weight.shape[1])
        nn.init.uniform_(bias, -bound, bound, generator=generator)
    elif bias is not None:
        nn.init.zeros_(bias)


def _check_widths(layers: Sequence[int]) -> tuple[int, ...]:
    try:
        widths = list(layers)
    except TypeError:
        widths = []
    if isinstance(layers, (str, bytes, Mapping, Set)) or len(widths) < 2:
        raise InputError(f"layers must list at least two widths, input and output, as in [10, 18, 1]; {layers!r} came")
    return tuple(check_whole(f"layers[{i}]", width, 1) for i, width in enumerate(widths))
