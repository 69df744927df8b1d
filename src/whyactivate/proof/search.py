"""Inputs that try to break a bound: random ones, extreme ones, and the worst of them made worse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Measure = Callable[[Tensor], Tensor]
"""Inputs `(count, in)` to how bad each of them is in each of several ways, float64 `(count, ways)`."""


@dataclass(frozen=True)
class Search:
    """The worst inputs found.

    Attributes:
        worst: the largest value of each measure, shape `(ways,)`.
        at: the inputs that reached them, shape `(ways, in)`.
        tried: how many inputs were tried.
    """

    worst: Tensor
    at: Tensor
    tried: int


def search_worst(
    measure: Measure, weight: Tensor, dtype: torch.dtype, radius: float, *, seed: int, count: int = 64, rounds: int = 16
) -> Search:
    """The inputs in the box |x_i| <= radius with the largest measures that a seeded search finds.

    It starts from uniform draws, corners, single coordinates, corners aligned with the rows of `weight`, magnitudes
    spread over thirty binades, and numbers around the smallest normal one; then it keeps the worst few and
    changes signs, coordinates and last bits of them.

    Args:
        measure: what to make large.
        weight: of the collapsed layer, shape `(out, in)`, for the aligned corners.
        dtype: of the inputs.
        radius: of the box.
        seed: draws everything.
        count: inputs of each kind at first, and per round.
        rounds: how often the worst are changed.
    """
    generator = torch.Generator().manual_seed(seed)
    candidates = _into_box(_first_inputs(weight, dtype, radius, count, generator), dtype, radius)
    scores = measure(candidates)
    tried = len(candidates)
    for _ in range(rounds):
        best = scores.topk(min(4, len(scores)), dim=0).indices.flatten().unique()
        parents, parent_scores = candidates[best], scores[best]
        children = _into_box(_mutate(parents.double(), radius, count, generator), dtype, radius)
        candidates = torch.cat([parents, children])
        scores = torch.cat([parent_scores, measure(children)])
        tried += len(children)
    worst = scores.max(dim=0)
    return Search(worst.values, candidates[worst.indices], tried)


def _into_box(x: Tensor, dtype: torch.dtype, radius: float) -> Tensor:
    """Rounded to the dtype without leaving the box."""
    rounded = x.clamp(-radius, radius).to(dtype)
    inward = torch.nextafter(rounded, torch.zeros_like(rounded))
    return torch.where(rounded.double().abs() > radius, inward, rounded)


def _first_inputs(weight: Tensor, dtype: torch.dtype, radius: float, count: int, generator: torch.Generator) -> Tensor:
    n = weight.shape[1]

    def uniform(rows: int) -> Tensor:
        return torch.rand(rows, n, dtype=torch.float64, generator=generator) * 2 - 1

    aligned = weight[:count].sign() * radius
    single = torch.eye(n, dtype=torch.float64)[:count] * radius
    tiny = torch.finfo(dtype).smallest_normal
    spread = torch.exp2(-30 * torch.rand(count, n, dtype=torch.float64, generator=generator))
    return torch.cat(
        [
            torch.zeros(1, n, dtype=torch.float64),
            uniform(count) * radius,
            uniform(count).sign() * radius,
            uniform(count).sign() * spread * radius,
            uniform(count // 4) * min(tiny * 8, radius),
            aligned,
            -aligned,
            single,
            -single,
        ]
    )


def _mutate(parents: Tensor, radius: float, count: int, generator: torch.Generator) -> Tensor:
    """Children of the parents: a third of them with signs changed, with new coordinates, with other last bits."""
    chosen = torch.randint(len(parents), (count,), generator=generator)
    children = parents[chosen].clone()
    draws = torch.rand(count, children.shape[1], dtype=torch.float64, generator=generator)
    fresh = (torch.rand(draws.shape, dtype=torch.float64, generator=generator) * 2 - 1) * radius
    rate = max(0.1, 1 / children.shape[1])
    kind = torch.randint(3, (count, 1), generator=generator)
    flipped = torch.where(draws < rate, -children, children)
    replaced = torch.where(draws < rate, fresh, children)
    nudged = children * (1 + (draws - 0.5) * 2.0 ** -math.floor(draws[0, 0].item() * 24))
    return torch.where(kind == 0, flipped, torch.where(kind == 1, replaced, nudged))
