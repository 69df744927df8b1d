"""How far a product of matrices, multiplied out in float64, may be from the exact one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whyactivate.arithmetic.chain import multiply_chain
from whyactivate.proof.rounding import inflate

_UNIT = 2.0**-53
_SMALLEST_NORMAL = 2.0**-1022


_AT_ONCE = 2**15
"""So many numbers are made positive at once: they stay in the processor's cache."""


@dataclass(frozen=True)
class _Above:
    """Upper bounds of the absolute values of an affine map's weight and bias: the absolute values of what is held."""

    weight: Tensor
    bias: Tensor

    @property
    def shape(self) -> torch.Size:
        return self.weight.shape

    def __matmul__(self, inner: _Above) -> _Above:
        terms, columns = inner.weight.shape
        block = max(1, _AT_ONCE // max(1, columns))
        total = torch.zeros(self.weight.shape[0], columns, dtype=torch.float64, device="cpu")
        left, buffer = self.weight.abs(), torch.empty(min(block, terms), columns, dtype=torch.float64, device="cpu")
        for start in range(0, terms, block):
            rows = inner.weight[start : start + block]
            total.addmm_(left[:, start : start + block], torch.abs(rows, out=buffer[: len(rows)]))
        return _Above(inflate(total, terms), inflate(left @ inner.bias.abs() + self.bias.abs(), terms + 1))


def bound_product(weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    """Entrywise bounds of the error of W_n … W_1 and of b <- W_k b + b_k, in any order and association.

    The matrices are float64 and each entry is the exact one rounded once. A term of the product goes through one
    rounding per factor and at most one per product and addition, N in all, so it is off by a factor of at most
    (1 + u)^N, and the error is at most ((1 + u)^N - 1) |W_n| … |W_1|, plus what underflows (Higham 2002, section 3.5).

    Args:
        weights: float64, the first to act first, shapes `(out, in)`.
        biases: float64, one per weight, or None.
    """
    maps = [
        _Above(weight, weight.new_zeros(len(weight)) if bias is None else bias)
        for weight, bias in zip(weights, biases, strict=True)
    ]
    product = multiply_chain(maps[::-1])
    roundings = sum(weight.shape[1] + 2 for weight in weights) + len(weights)
    growth = math.expm1(roundings * math.log1p(_UNIT)) * (1 + 2.0**-40)
    magnified = math.prod(
        1 + weight.shape[1] * max(map(abs, map(float, weight.aminmax()))) for weight in weights if weight.numel()
    )
    added = 1 + max((float(bias.abs().max()) for bias in biases if bias is not None), default=0.0)
    underflow = roundings * _SMALLEST_NORMAL * magnified * added
    weight, bias = product.weight.abs(), product.bias.abs()
    return inflate(growth * weight + underflow, 4), inflate(growth * bias + underflow, 4)
