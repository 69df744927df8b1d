"""The derivative of every activation, written by hand; at a kink, what PyTorch's autograd gives there."""

# ruff: noqa: D103, the names say it all

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from whyactivate.activations.constants import GELU_CUBIC, SELU_ALPHA, SELU_SCALE


def relu(z: Tensor) -> Tensor:
    return (z > 0).to(z.dtype)


def leaky(z: Tensor, slope: float) -> Tensor:
    return torch.where(z > 0, torch.ones_like(z), torch.full_like(z, slope))


def sigmoid(z: Tensor) -> Tensor:
    return torch.sigmoid(z) * torch.sigmoid(-z)


def tanh(z: Tensor) -> Tensor:
    return 4 * sigmoid(2 * z)


def gelu(z: Tensor) -> Tensor:
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.special.ndtr(z) + z * density


def gelu_tanh(z: Tensor) -> Tensor:
    z = z.clamp(-40.0, 40.0)  # beyond, the slope is 0 or 1 and z³ could overflow
    c = math.sqrt(2 / math.pi)
    inner = c * (z + GELU_CUBIC * z**3)
    outer = c * (1 + 3 * GELU_CUBIC * z.square())
    return torch.sigmoid(2 * inner) + z / 2 * tanh(inner) * outer


def silu(z: Tensor) -> Tensor:
    return torch.sigmoid(z) + z * sigmoid(z)


def elu(z: Tensor) -> Tensor:
    return torch.exp(torch.clamp(z, max=0.0))


def selu(z: Tensor) -> Tensor:
    return SELU_SCALE * torch.where(z > 0, torch.ones_like(z), SELU_ALPHA * elu(z))


def softsign(z: Tensor) -> Tensor:
    return 1 / (1 + z.abs()).square()


def hardtanh(z: Tensor) -> Tensor:
    return ((z > -1) & (z < 1)).to(z.dtype)


def relu6(z: Tensor) -> Tensor:
    return ((z > 0) & (z < 6)).to(z.dtype)


def hardswish(z: Tensor) -> Tensor:
    middle = z / 3 + 0.5
    return torch.where(z <= -3, torch.zeros_like(z), torch.where(z < 3, middle, torch.ones_like(z)))


def mish(z: Tensor) -> Tensor:
    inner = F.softplus(z)
    return torch.tanh(inner) + z * tanh(inner) * torch.sigmoid(z)
