"""The formula of every activation in SymPy: rational constants, and at a kink the branch that PyTorch takes."""

# ruff: noqa: D103, the names say it all

from __future__ import annotations

import sympy as sp

LEAKY_SLOPE = sp.Rational("0.01")
PRELU_SLOPE = sp.Rational("0.25")
SELU_SCALE = sp.Rational("1.0507009873554804934193349852946")
SELU_ALPHA = sp.Rational("1.6732632423543772848170429916717")
GELU_CUBIC = sp.Rational("0.044715")


def identity(z: sp.Expr) -> sp.Expr:
    return z


def relu(z: sp.Expr) -> sp.Expr:
    return sp.Piecewise((z, z > 0), (0, True))


def sigmoid(z: sp.Expr) -> sp.Expr:
    return 1 / (1 + sp.exp(-z))


def tanh(z: sp.Expr) -> sp.Expr:
    return sp.tanh(z)


def leaky_relu(z: sp.Expr) -> sp.Expr:
    return sp.Piecewise((z, z > 0), (LEAKY_SLOPE * z, True))


def prelu(z: sp.Expr) -> sp.Expr:
    return sp.Piecewise((z, z > 0), (PRELU_SLOPE * z, True))


def gelu(z: sp.Expr) -> sp.Expr:
    return z * (1 + sp.erf(z / sp.sqrt(2))) / 2


def gelu_tanh(z: sp.Expr) -> sp.Expr:
    inner = sp.sqrt(2 / sp.pi) * (z + GELU_CUBIC * z**3)
    return z * (1 + sp.tanh(inner)) / 2


def silu(z: sp.Expr) -> sp.Expr:
    return z * sigmoid(z)


def elu(z: sp.Expr) -> sp.Expr:
    return sp.Piecewise((z, z > 0), (sp.exp(z) - 1, True))


def selu(z: sp.Expr) -> sp.Expr:
    return SELU_SCALE * sp.Piecewise((z, z > 0), (SELU_ALPHA * (sp.exp(z) - 1), True))


def softplus(z: sp.Expr) -> sp.Expr:
    return sp.log(1 + sp.exp(z))


def softsign(z: sp.Expr) -> sp.Expr:
    return z / (1 + sp.Abs(z))


def hardtanh(z: sp.Expr) -> sp.Expr:
    return sp.Piecewise((-1, z <= -1), (1, z >= 1), (z, True))


def relu6(z: sp.Expr) -> sp.Expr:
    return sp.Piecewise((0, z <= 0), (6, z >= 6), (z, True))


def hardswish(z: sp.Expr) -> sp.Expr:
    return sp.Piecewise((0, z <= -3), (z * (z + 3) / 6, z < 3), (z, True))


def mish(z: sp.Expr) -> sp.Expr:
    return z * sp.tanh(softplus(z))
