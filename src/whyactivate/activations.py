"""Every activation, defined once: as PyTorch code, as a formula, and as facts."""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import sympy as sp

LEAKY_SLOPE = 0.01
PRELU_SLOPE = 0.25
# The constants for which N(0, 1) inputs keep mean 0 and variance 1 (Klambauer et al. 2017), as PyTorch rounds them.
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


@dataclass(frozen=True, slots=True)
class Range:
    """The values that an activation takes over the real numbers: an interval.

    Attributes:
        low: infimum.
        high: supremum.
        low_reached: whether the infimum is a value.
        high_reached: whether the supremum is a value.
    """

    low: float
    high: float
    low_reached: bool = False
    high_reached: bool = False

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.low_reached else value > self.low
        below = value <= self.high if self.high_reached else value < self.high
        return above and below

    def __str__(self) -> str:
        opening, closing = "[" if self.low_reached else "(", "]" if self.high_reached else ")"
        return f"{opening}{_end(self.low)}, {_end(self.high)}{closing}"


@dataclass(frozen=True, slots=True)
class Activation:
    """A function applied to each pre-activation by itself, with what is known about it.

    Facts that nobody stated (as for a callable of the user's) are None.

    Attributes:
        name: the key in `ACTIVATIONS`.
        title: the name that people write.
        sentence: what it does, in one sentence.
        function: PyTorch callable, any shape to the same shape.
        formula: SymPy expression to SymPy expression, over the real numbers.
        derivative: PyTorch callable, written by hand; at a kink it gives what PyTorch's autograd gives.
        kinks: the points without a derivative.
        range: the values taken over the real numbers.
        slopes: limits of the derivative at minus and at plus infinity.
        zero_centred: odd, so that inputs symmetric about 0 give outputs that average 0.
        piecewise_affine: affine on each of finitely many intervals.
        make_module: builds the `nn.Module` that applies it.
    """

    name: str
    title: str
    sentence: str
    function: Callable[[Tensor], Tensor]
    make_module: Callable[[], nn.Module]
    formula: Callable[[sp.Expr], sp.Expr] | None = None
    derivative: Callable[[Tensor], Tensor] | None = None
    kinks: tuple[float, ...] | None = None
    range: Range | None = None
    slopes: tuple[float, float] | None = None
    zero_centred: bool | None = None
    piecewise_affine: bool | None = None

    @property
    def saturates(self) -> bool | None:
        """Whether it is bounded and flattens at both ends (Krizhevsky, Sutskever & Hinton 2012)."""
        return None if self.slopes is None else self.slopes == (0.0, 0.0)

    def __call__(self, z: Tensor) -> Tensor:
        return self.function(z)

    def module(self) -> nn.Module:
        """A new `nn.Module` that applies the activation."""
        return self.make_module()

    def __str__(self) -> str:
        return f"{self.title}: {self.sentence}"


class Elementwise(nn.Module):
    """Applies a callable that has no `nn.Module` of its own."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str) -> None:
        super().__init__()
        self.function = function
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.name


class FixedPReLU(nn.Module):
    """PReLU whose slope for z < 0 is a constant and is not trained."""

    def __init__(self, slope: float = PRELU_SLOPE) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return prelu(x, self.slope)

    def extra_repr(self) -> str:
        return f"slope={self.slope}"


def prelu(z: Tensor, slope: float = PRELU_SLOPE) -> Tensor:
    """z for z > 0, slope·z otherwise (He et al. 2015), by `torch.nn.functional.prelu`."""
    return F.prelu(z, torch.tensor(slope, dtype=z.dtype, device=z.device))


def get_activation(activation: str | Callable[[Tensor], Tensor] | None) -> Activation:
    """The activation for a name, for None (the identity), or for a callable of your own.

    Names are compared without case, spaces, hyphens and underscores: "Leaky ReLU" is leaky_relu.
    An `nn.Module` is copied for each network that uses it; a class of modules is built without arguments.

    Raises:
        UnknownNameError: the name is not in `ACTIVATIONS`; the nearest is suggested.
        InputError: the callable does not map a tensor to a tensor of the same shape.
    """
    if activation is None:
        return ACTIVATIONS["identity"]
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        known = _BY_PLAIN_NAME.get(_plain(activation))
        if known is None:
            raise UnknownNameError("activation", activation, ACTIVATIONS)
        return known
    if isinstance(activation, type) and issubclass(activation, nn.Module):
        return _from_module(_build(activation))
    if isinstance(activation, nn.Module):
        return _from_module(activation)
    if callable(activation):
        return _from_callable(activation)
    raise UnknownNameError("activation", activation, ACTIVATIONS)


def _build(kind: type[nn.Module]) -> nn.Module:
    try:
        return kind()
    except TypeError as error:
        raise InputError(f"{kind.__name__} cannot be built without arguments ({error}); pass an instance") from error


def _from_module(module: nn.Module) -> Activation:
    name = type(module).__name__
    return Activation(name, name, f"your own module {name}.", module, functools.partial(copy.deepcopy, module))


def _from_callable(function: Callable[[Tensor], Tensor]) -> Activation:
    inner = function.func if isinstance(function, functools.partial) else function
    name = str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
    probe = torch.linspace(-1.0, 1.0, 6, dtype=torch.float32).reshape(2, 3)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            result = cast(object, function(probe.clone()))
        except Exception as error:
            raise InputError(
                f"activation {name!r} failed on a tensor of shape (2, 3): {error}; it must take a tensor "
                "and give a tensor of the same shape"
            ) from error
    if not isinstance(result, Tensor) or result.shape != probe.shape:
        came = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise InputError(f"activation {name!r} must give a tensor of the same shape, (2, 3); {came} came")
    return Activation(name, name, f"your own function {name}.", function, lambda: Elementwise(function, name))


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _end(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")


def _sympy(name: str) -> Callable[[sp.Expr], sp.Expr]:
    """The formula of that name in formulas.py, looked up only when asked for: SymPy is slow to import."""

    def formula(z: sp.Expr) -> sp.Expr:
        from whyactivate import _formulas

        return getattr(_formulas, name)(z)

    return formula


def _relu_slope(z: Tensor) -> Tensor:
    return (z > 0).to(z.dtype)


def _leaky_slope(z: Tensor, slope: float) -> Tensor:
    return torch.where(z > 0, torch.ones_like(z), torch.full_like(z, slope))


def _sigmoid_slope(z: Tensor) -> Tensor:
    return torch.sigmoid(z) * torch.sigmoid(-z)


def _tanh_slope(z: Tensor) -> Tensor:
    return 4 * _sigmoid_slope(2 * z)


def _gelu_slope(z: Tensor) -> Tensor:
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.special.ndtr(z) + z * density


def _gelu_tanh_slope(z: Tensor) -> Tensor:
    c = math.sqrt(2 / math.pi)
    inner = c * (z + 0.044715 * z**3)
    outer = c * (1 + 3 * 0.044715 * z.square())
    return torch.sigmoid(2 * inner) + z / 2 * _tanh_slope(inner) * outer


def _silu_slope(z: Tensor) -> Tensor:
    return torch.sigmoid(z) + z * _sigmoid_slope(z)


def _elu_slope(z: Tensor) -> Tensor:
    return torch.exp(torch.clamp(z, max=0.0))


def _selu_slope(z: Tensor) -> Tensor:
    return SELU_SCALE * torch.where(z > 0, torch.ones_like(z), SELU_ALPHA * _elu_slope(z))


def _softsign_slope(z: Tensor) -> Tensor:
    return 1 / (1 + z.abs()).square()


def _hardtanh_slope(z: Tensor) -> Tensor:
    return ((z > -1) & (z < 1)).to(z.dtype)


def _relu6_slope(z: Tensor) -> Tensor:
    return ((z > 0) & (z < 6)).to(z.dtype)


def _hardswish_slope(z: Tensor) -> Tensor:
    middle = z / 3 + 0.5
    return torch.where(z <= -3, torch.zeros_like(z), torch.where(z < 3, middle, torch.ones_like(z)))


def _mish_slope(z: Tensor) -> Tensor:
    inner = F.softplus(z)
    return torch.tanh(inner) + z * _tanh_slope(inner) * torch.sigmoid(z)


def _gelu_tanh(z: Tensor) -> Tensor:
    return F.gelu(z, approximate="tanh")


_INF = math.inf
_MINIMUM_OF_GELU = -0.16997120747990369
_MINIMUM_OF_GELU_TANH = -0.17004075057125414
_MINIMUM_OF_SILU = -0.27846454276107379
_MINIMUM_OF_MISH = -0.30884090806951126

_TABLE = (
    Activation(
        "identity", "Identity", "leaves z as it is: no activation at all.",
        lambda z: z, nn.Identity, _sympy("identity"), torch.ones_like, (),
        Range(-_INF, _INF), (1.0, 1.0), zero_centred=True, piecewise_affine=True,
    ),
    Activation(
        "relu", "ReLU", "keeps what is positive and makes the rest 0.",
        torch.relu, nn.ReLU, _sympy("relu"), _relu_slope, (0.0,),
        Range(0, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=True,
    ),
    Activation(
        "sigmoid", "Sigmoid", "squeezes every z between 0 and 1, smoothly.",
        torch.sigmoid, nn.Sigmoid, _sympy("sigmoid"), _sigmoid_slope, (),
        Range(0, 1), (0.0, 0.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "tanh", "Tanh", "squeezes every z between −1 and 1, and is odd: tanh z = 2σ(2z) − 1.",
        torch.tanh, nn.Tanh, _sympy("tanh"), _tanh_slope, (),
        Range(-1, 1), (0.0, 0.0), zero_centred=True, piecewise_affine=False,
    ),
    Activation(
        "leaky_relu", "Leaky ReLU", "keeps what is positive and gives the rest the small slope 0.01.",
        functools.partial(F.leaky_relu, negative_slope=LEAKY_SLOPE), functools.partial(nn.LeakyReLU, LEAKY_SLOPE),
        _sympy("leaky_relu"), functools.partial(_leaky_slope, slope=LEAKY_SLOPE), (0.0,),
        Range(-_INF, _INF), (LEAKY_SLOPE, 1.0), zero_centred=False, piecewise_affine=True,
    ),
    Activation(
        "gelu", "GELU", "weighs z by the chance that a standard normal number is below it: zΦ(z).",
        F.gelu, nn.GELU, _sympy("gelu"), _gelu_slope, (),
        Range(_MINIMUM_OF_GELU, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "gelu_tanh", "GELU (tanh)", "is the approximation of GELU by a tanh, which GPT-2 used.",
        _gelu_tanh, functools.partial(nn.GELU, approximate="tanh"), _sympy("gelu_tanh"), _gelu_tanh_slope, (),
        Range(_MINIMUM_OF_GELU_TANH, _INF, low_reached=True), (0.0, 1.0),
        zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "silu", "SiLU", "weighs z by its own sigmoid: zσ(z), also called swish.",
        F.silu, nn.SiLU, _sympy("silu"), _silu_slope, (),
        Range(_MINIMUM_OF_SILU, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "elu", "ELU", "keeps what is positive and bends the rest towards −1.",
        F.elu, nn.ELU, _sympy("elu"), _elu_slope, (),
        Range(-1, _INF), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "selu", "SELU", "is a scaled ELU that keeps N(0, 1) inputs at mean 0 and variance 1.",
        F.selu, nn.SELU, _sympy("selu"), _selu_slope, (0.0,),
        Range(-SELU_SCALE * SELU_ALPHA, _INF), (0.0, SELU_SCALE), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "softplus", "Softplus", "is a smooth ReLU, log(1 + eᶻ), never 0.",
        F.softplus, nn.Softplus, _sympy("softplus"), torch.sigmoid, (),
        Range(0, _INF), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "softsign", "Softsign", "squeezes every z between −1 and 1 like tanh, but reaches the ends far more slowly.",
        F.softsign, nn.Softsign, _sympy("softsign"), _softsign_slope, (),
        Range(-1, 1), (0.0, 0.0), zero_centred=True, piecewise_affine=False,
    ),
    Activation(
        "hardtanh", "Hardtanh", "keeps z between −1 and 1 and cuts off the rest.",
        F.hardtanh, nn.Hardtanh, _sympy("hardtanh"), _hardtanh_slope, (-1.0, 1.0),
        Range(-1, 1, low_reached=True, high_reached=True), (0.0, 0.0), zero_centred=True, piecewise_affine=True,
    ),
    Activation(
        "hardswish", "Hardswish", "is SiLU without exponentials: a parabola between −3 and 3.",
        F.hardswish, nn.Hardswish, _sympy("hardswish"), _hardswish_slope, (-3.0, 3.0),
        Range(-0.375, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "mish", "Mish", "weighs z by the tanh of its softplus.",
        F.mish, nn.Mish, _sympy("mish"), _mish_slope, (),
        Range(_MINIMUM_OF_MISH, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "relu6", "ReLU6", "is ReLU cut off at 6.",
        F.relu6, nn.ReLU6, _sympy("relu6"), _relu6_slope, (0.0, 6.0),
        Range(0, 6, low_reached=True, high_reached=True), (0.0, 0.0), zero_centred=False, piecewise_affine=True,
    ),
    Activation(
        "prelu", "PReLU", "is Leaky ReLU with a steeper slope, here fixed at 0.25 and not trained.",
        prelu, FixedPReLU, _sympy("prelu"), functools.partial(_leaky_slope, slope=PRELU_SLOPE), (0.0,),
        Range(-_INF, _INF), (PRELU_SLOPE, 1.0), zero_centred=False, piecewise_affine=True,
    ),
)  # fmt: skip

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType({a.name: a for a in _TABLE})
"""Name to activation, in the order in which people meet them."""

_BY_PLAIN_NAME = {_plain(a.name): a for a in _TABLE} | {
    "none": ACTIVATIONS["identity"],
    "swish": ACTIVATIONS["silu"],
}
