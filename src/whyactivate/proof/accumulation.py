"""In which dtype does PyTorch add up products of half-precision numbers? A probe finds it, layer size by size."""

from __future__ import annotations

from functools import lru_cache

import torch

_TERMS = 256
"""So many products of whole numbers up to 63 have a sum that float32 holds, in every order; no half precision does."""
_SUMS = 256
"""At least so many sums are compared for each size of a batch: of those rounded in between, a fifth comes out wrong."""
_BATCHES = (1, 2, 5, 33)
"""One row may go through another kernel than several."""


@lru_cache(maxsize=256)
def accumulates_in_float32(inputs: int, outputs: int, dtype: torch.dtype) -> bool:
    """Whether an `nn.Linear` of this size, here and now on the CPU, rounds to the half precision only once, at the end.

    The terms are whole numbers, up to 256 of them not 0. A layer that adds up in float32 gives each sum rounded once,
    bit for bit, whatever the order; one that rounds in between does not. That is an experiment, at these sizes and for
    batches of 1 to 33 rows, and no proof about every kernel that PyTorch may choose.
    """
    generator = torch.Generator().manual_seed(0)

    def odd(*shape: int) -> torch.Tensor:
        return 2.0 * torch.randint(-32, 32, shape, generator=generator, device="cpu").double() + 1

    for batch in _BATCHES:
        for _ in range(max(1, _SUMS // (batch * outputs))):
            weight = odd(outputs, inputs) * 2.0**-10
            if inputs > _TERMS:
                place = torch.rand(outputs, inputs, generator=generator, device="cpu").argsort(1)
                weight = torch.where(place < _TERMS, weight, 0.0)
            x = odd(batch, inputs)
            with torch.no_grad():
                found = torch.nn.functional.linear(x.to(dtype), weight.to(dtype))
            if not torch.equal(found, (x @ weight.T).float().to(dtype)):
                return False
    return True
