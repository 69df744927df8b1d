"""Carries the rounding of every step to the output, through the collapsed product of the steps after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from whyactivate.errors import CannotProveError
from whyactivate.proof.rounding import RoundedStep, inflate, linear_rounding, matmul_up


@dataclass(frozen=True)
class Enclosure:
    """A float64 matrix and an entrywise bound of its distance to the real one."""

    value: Tensor
    error: Tensor

    @property
    def magnitude(self) -> Tensor:
        """An entrywise upper bound of the real matrix's absolute value."""
        return inflate(self.value.abs() + self.error, 1)

    def columns(self, start: int, stop: int | None) -> Enclosure:
        """Some of the columns."""
        return Enclosure(self.value[:, start:stop], self.error[:, start:stop])

    def __matmul__(self, other: Enclosure) -> Enclosure:
        """The product of the two real matrices, enclosed."""
        size, entries = self.value.abs(), other.value.abs()
        n = size.shape[1]
        tiny = torch.finfo(torch.float64).tiny
        underflow = (size.sum(1, keepdim=True) + entries.sum(0, keepdim=True) + 2 * n + 2) * (2 * tiny)
        own = linear_rounding(matmul_up(size, entries), underflow, n, torch.float64)
        carried = matmul_up(self.magnitude, other.error)
        if self.error.any():
            carried = carried + matmul_up(self.error, entries)
        return Enclosure(self.value @ other.value, inflate(own + carried, 3))


class Region(Protocol):
    """A set of inputs over which the rounding is bounded."""

    def magnitude(self) -> Tensor:
        """The largest |x| in the region, entrywise, shape `(in,)`."""
        ...

    def reach(self, affine: Enclosure) -> Tensor:
        """A bound of |Ax + a| over the region, entrywise; `affine` holds A and, as its last column, a."""
        ...


@dataclass(frozen=True)
class Box:
    """All x with |x_i| <= radius."""

    inputs: int
    radius: float

    def __str__(self) -> str:
        return f"over max|x| <= {self.radius:g}"

    def magnitude(self) -> Tensor:
        """The radius in every coordinate."""
        return torch.full((self.inputs,), self.radius, dtype=torch.float64)

    def reach(self, affine: Enclosure) -> Tensor:
        """The entries of |A| radius + |a|."""
        return matmul_up(affine.magnitude, torch.cat([self.magnitude(), torch.ones(1, dtype=torch.float64)]))


@dataclass(frozen=True)
class Points:
    """Given inputs, float64, shape `(count, in)`."""

    x: Tensor

    def __str__(self) -> str:
        return "at the given inputs"

    def magnitude(self) -> Tensor:
        """The largest of the given inputs' magnitudes."""
        return self.x.abs().amax(0)

    def reach(self, affine: Enclosure) -> Tensor:
        """The largest |Ax + a| over the given inputs."""
        columns = torch.cat([self.x, torch.ones(len(self.x), 1, dtype=torch.float64)], 1).T.contiguous()
        return (affine @ Enclosure(columns, torch.zeros_like(columns))).magnitude.amax(1)


@dataclass(frozen=True)
class Propagation:
    """What the steps do to their own rounding.

    Attributes:
        errors: for each region, an entrywise bound of |float network - real network| at the output.
        affine: the real network as an enclosure: its weight and, as the last column, its bias.
        naive: for each region, the same bound with the steps' absolute values multiplied instead of the collapsed
            steps: what the collapse saves.
        probable: for each region, what the bound is in a model where roundings are random (`LinearRounding.probable`).
    """

    errors: tuple[Tensor, ...]
    affine: Enclosure
    naive: tuple[Tensor, ...]
    probable: tuple[Tensor, ...]


def propagate(steps: Sequence[RoundedStep], regions: Sequence[Region]) -> Propagation:
    """Bounds the rounding of the whole network over each region.

    The float network makes an error d_k in step k; at the output it is (W_n … W_(k+1)) d_k, exactly, for the steps are
    affine. So |error| <= sum over k of |W_n … W_(k+1)| |d_k|, where the absolute value is taken of the collapsed
    product: the collapse itself makes the bound sharp. |d_k| is bounded from the magnitudes that reach step k, and
    leave it: of the real network, by its own collapsed map, and of the rounding made before. (The a-priori analysis of
    Higham 2002, chapter 3, multiplies absolute values.)

    Raises:
        CannotProveError: a step may overflow in a region, or the bound itself does.
    """
    inputs = steps[0].weight.shape[1]
    # Columns: the collapsed map so far, its bias, then for each step so far what carries its rounding to here.
    start = torch.eye(inputs, inputs + 1, dtype=torch.float64)
    carriers = Enclosure(start, torch.zeros_like(start))
    sizes = [region.magnitude() for region in regions]
    made = [torch.zeros(0, dtype=torch.float64) for _ in regions]
    modelled = list(made)
    errors = [torch.zeros(inputs, dtype=torch.float64) for _ in regions]
    naive = list(errors)
    for number, step in enumerate(steps, 1):
        matrix = Enclosure(step.weight, step.weight_error)
        carriers = _with_own_rounding(matrix @ carriers, step, inputs)
        reached = [region.reach(carriers.columns(0, inputs + 1)) for region in regions]
        through = carriers.columns(inputs + 1, None).magnitude
        before = through[:, : through.shape[1] - step.weight.shape[0]]
        totals = [inflate(size + matmul_up(before, so_far), 1) for size, so_far in zip(reached, made, strict=True)]
        local = [step.rounding(size, total) for size, total in zip(sizes, totals, strict=True)]
        likely = [step.probable_rounding(size) for size in sizes]
        for region, rounding in zip(regions, local, strict=True):
            if not rounding.isfinite().all():
                raise CannotProveError(
                    f"no bound {region}: step {number} of {len(steps)} may overflow there. Take smaller inputs, or a "
                    "dtype with a larger range."
                )
        made = [torch.cat([so_far, new]) for so_far, new in zip(made, local, strict=True)]
        modelled = [
            torch.cat([so_far, new if guess is None else torch.minimum(new, guess)])
            for so_far, new, guess in zip(modelled, local, likely, strict=True)
        ]
        errors = [matmul_up(through, rounding) for rounding in made]
        sizes = [inflate(size + error, 1) for size, error in zip(reached, errors, strict=True)]
        naive = [inflate(matmul_up(matrix.magnitude, old) + new, 1) for old, new in zip(naive, local, strict=True)]
    if not all(error.isfinite().all() for error in errors):
        raise CannotProveError("no bound: the steps' products overflow float64, in which the bound is computed")
    probable = tuple(matmul_up(carriers.columns(inputs + 1, None).magnitude, rounding) for rounding in modelled)
    return Propagation(tuple(errors), carriers.columns(0, inputs + 1), tuple(naive), probable)


def _with_own_rounding(carriers: Enclosure, step: RoundedStep, inputs: int) -> Enclosure:
    """The carriers with the step's bias added to theirs, and an identity appended for the step's own rounding."""
    outputs = step.weight.shape[0]
    value = torch.cat([carriers.value, torch.eye(outputs, dtype=torch.float64)], 1)
    error = torch.cat([carriers.error, torch.zeros(outputs, outputs, dtype=torch.float64)], 1)
    value[:, inputs] += step.bias
    rounding = inflate(value[:, inputs].abs() * 2.0**-53, 1)
    error[:, inputs] = inflate(error[:, inputs] + step.bias_error + rounding, 3)
    return Enclosure(value, error)
