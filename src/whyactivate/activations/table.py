"""Every activation, defined once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.activations import derivatives
from whyactivate.activations.activation import Activation, Range
from whyactivate.activations.constants import LEAKY_SLOPE, PRELU_SLOPE, SELU_ALPHA, SELU_SCALE
from whyactivate.activations.modules import FixedPReLU

if TYPE_CHECKING:
    import sympy as sp


def _sympy(name: str) -> Callable[[sp.Expr], sp.Expr]:
    """The formula of that name in formulas.py, looked up only when asked for: SymPy is slow to import."""

    def formula(z: sp.Expr) -> sp.Expr:
        from whyactivate.activations import formulas

        return getattr(formulas, name)(z)

    return formula


def _identity(z: Tensor) -> Tensor:
    return z


def _gelu_tanh(z: Tensor) -> Tensor:
    return F.gelu(z, approximate="tanh")


def _prelu(z: Tensor) -> Tensor:
    return F.prelu(z, z.new_full((1,), PRELU_SLOPE))


_INF = math.inf
_MINIMUM_OF_GELU = -0.16997120747990369
_MINIMUM_OF_GELU_TANH = -0.17004075057125414
_MINIMUM_OF_SILU = -0.27846454276107379
_MINIMUM_OF_MISH = -0.30884090806951126

_TABLE = (
    Activation(
        "identity", "Identity", "leaves z as it is: no activation at all.",
        _identity, nn.Identity, _sympy("identity"), torch.ones_like, (),
        Range(-_INF, _INF), (1.0, 1.0), zero_centred=True, piecewise_affine=True,
    ),
    Activation(
        "relu", "ReLU", "keeps what is positive and makes the rest 0.",
        torch.relu, nn.ReLU, _sympy("relu"), derivatives.relu, (0.0,),
        Range(0, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=True,
    ),
    Activation(
        "sigmoid", "Sigmoid", "squeezes every z between 0 and 1, smoothly.",
        torch.sigmoid, nn.Sigmoid, _sympy("sigmoid"), derivatives.sigmoid, (),
        Range(0, 1), (0.0, 0.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "tanh", "Tanh", "squeezes every z between −1 and 1, and is odd: tanh z = 2σ(2z) − 1.",
        torch.tanh, nn.Tanh, _sympy("tanh"), derivatives.tanh, (),
        Range(-1, 1), (0.0, 0.0), zero_centred=True, piecewise_affine=False,
    ),
    Activation(
        "leaky_relu", "Leaky ReLU", "keeps what is positive and gives the rest the small slope 0.01.",
        functools.partial(F.leaky_relu, negative_slope=LEAKY_SLOPE), functools.partial(nn.LeakyReLU, LEAKY_SLOPE),
        _sympy("leaky_relu"), functools.partial(derivatives.leaky, slope=LEAKY_SLOPE), (0.0,),
        Range(-_INF, _INF), (LEAKY_SLOPE, 1.0), zero_centred=False, piecewise_affine=True,
    ),
    Activation(
        "gelu", "GELU", "weighs z by the chance that a standard normal number is below it: zΦ(z).",
        F.gelu, nn.GELU, _sympy("gelu"), derivatives.gelu, (),
        Range(_MINIMUM_OF_GELU, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "gelu_tanh", "GELU (tanh)", "is the approximation of GELU by a tanh, which GPT-2 used.",
        _gelu_tanh, functools.partial(nn.GELU, approximate="tanh"), _sympy("gelu_tanh"), derivatives.gelu_tanh, (),
        Range(_MINIMUM_OF_GELU_TANH, _INF, low_reached=True), (0.0, 1.0),
        zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "silu", "SiLU", "weighs z by its own sigmoid: zσ(z), also called swish.",
        F.silu, nn.SiLU, _sympy("silu"), derivatives.silu, (),
        Range(_MINIMUM_OF_SILU, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "elu", "ELU", "keeps what is positive and bends the rest towards −1.",
        F.elu, nn.ELU, _sympy("elu"), derivatives.elu, (),
        Range(-1, _INF), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "selu", "SELU", "is a scaled ELU that keeps N(0, 1) inputs at mean 0 and variance 1.",
        F.selu, nn.SELU, _sympy("selu"), derivatives.selu, (0.0,),
        Range(-SELU_SCALE * SELU_ALPHA, _INF), (0.0, SELU_SCALE), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "softplus", "Softplus", "is a smooth ReLU, log(1 + eᶻ), never 0.",
        F.softplus, nn.Softplus, _sympy("softplus"), torch.sigmoid, (),
        Range(0, _INF), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "softsign", "Softsign", "squeezes every z between −1 and 1 like tanh, but reaches the ends far more slowly.",
        F.softsign, nn.Softsign, _sympy("softsign"), derivatives.softsign, (),
        Range(-1, 1), (0.0, 0.0), zero_centred=True, piecewise_affine=False,
    ),
    Activation(
        "hardtanh", "Hardtanh", "keeps z between −1 and 1 and cuts off the rest.",
        F.hardtanh, nn.Hardtanh, _sympy("hardtanh"), derivatives.hardtanh, (-1.0, 1.0),
        Range(-1, 1, low_reached=True, high_reached=True), (0.0, 0.0), zero_centred=True, piecewise_affine=True,
    ),
    Activation(
        "hardswish", "Hardswish", "is SiLU without exponentials: a parabola between −3 and 3.",
        F.hardswish, nn.Hardswish, _sympy("hardswish"), derivatives.hardswish, (-3.0, 3.0),
        Range(-0.375, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "mish", "Mish", "weighs z by the tanh of its softplus.",
        F.mish, nn.Mish, _sympy("mish"), derivatives.mish, (),
        Range(_MINIMUM_OF_MISH, _INF, low_reached=True), (0.0, 1.0), zero_centred=False, piecewise_affine=False,
    ),
    Activation(
        "relu6", "ReLU6", "is ReLU cut off at 6.",
        F.relu6, nn.ReLU6, _sympy("relu6"), derivatives.relu6, (0.0, 6.0),
        Range(0, 6, low_reached=True, high_reached=True), (0.0, 0.0), zero_centred=False, piecewise_affine=True,
    ),
    Activation(
        "prelu", "PReLU", "is Leaky ReLU with a steeper slope, here fixed at 0.25 and not trained.",
        _prelu, FixedPReLU, _sympy("prelu"), functools.partial(derivatives.leaky, slope=PRELU_SLOPE), (0.0,),
        Range(-_INF, _INF), (PRELU_SLOPE, 1.0), zero_centred=False, piecewise_affine=True,
    ),
)  # fmt: skip

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType({a.name: a for a in _TABLE})
"""Name to activation, in the order in which people meet them."""
