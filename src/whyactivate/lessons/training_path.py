"""Same function, different training path: deep activation-free networks learn in stages, one layer does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whyactivate._checks import check_number, check_seed, check_some, check_whole
from whyactivate.collapse import collapse_linear
from whyactivate.errors import InputError
from whyactivate.lessons.lesson import Lesson, digits
from whyactivate.models import MLP
from whyactivate.training.surroundings import single_thread


@dataclass(frozen=True, slots=True)
class Path:
    """How one activation-free network of a depth came to the target.

    Attributes:
        depth: affine layers.
        steps: at which the modes were looked at.
        modes: at each of them, the strength of every singular mode of the target in the product of the layers.
        loss: at each of them.
        half: per mode, the first step at which half of its final strength was there; None if never.
        rise: steps that the strongest mode took from a tenth to nine tenths.
        wait: steps before it had a tenth.
        distance: largest entry of |product of the layers − target| in the end.
    """

    depth: int
    steps: tuple[int, ...]
    modes: tuple[tuple[float, ...], ...]
    loss: tuple[float, ...]
    half: tuple[int | None, ...]
    rise: int | None
    wait: int | None
    distance: float

    @property
    def spread(self) -> float:
        """How many times longer the weakest mode took to its half than the strongest.

        NaN where one never got there, or the strongest was there from the start.
        """
        first, last = self.half[0], self.half[-1]
        return math.nan if not first or last is None else last / first


@dataclass(frozen=True, repr=False)
class TrainingPath(Lesson):
    """Activation-free networks of several depths on one target: where they end, and in which order they learn.

    Attributes:
        strengths: the singular values of the target, falling.
        paths: one per depth.
        rate: step size.
        start: size of the initial product.
        seed: what fixes the rest.
        formula_gap: for two layers that start in line with the target: the largest distance of a mode's strength from
            Saxe, McClelland & Ganguli's formula, in units of the strongest mode.
        bottleneck: widths of an activation-free network, and the exact rank of the one layer that it is.
        rank: that rank.
    """

    title: ClassVar[str] = "One function, another way there: deep activation-free networks learn in stages"

    strengths: tuple[float, ...]
    paths: tuple[Path, ...]
    rate: float
    start: float
    seed: int
    formula_gap: float
    bottleneck: tuple[int, ...]
    rank: int

    def path(self, depth: int) -> Path:
        """The path of that depth."""
        return next(path for path in self.paths if path.depth == depth)

    @property
    def settings(self) -> str:
        """What fixes the numbers."""
        return f"gradient descent, step {self.rate:g}, start {self.start:g}, seed {self.seed}, float64"

    def explain(self) -> str:
        """What the numbers say."""
        parts: list[str] = []
        for path in self.paths:
            layers = "layer" if path.depth == 1 else "layers"
            if None in path.half:
                parts.append(
                    f"With {path.depth} {layers} a mode had not reached half its strength after {path.steps[-1]} steps."
                )
                continue
            parts.append(
                f"With {path.depth} {layers} the weakest of the {len(self.strengths)} modes reached half its strength "
                f"after {path.half[-1]} steps, "
                f"the strongest after {path.half[0]}{_sooner(path.spread)}; in the end the product was "
                f"within {digits(path.distance)} of "
                "the target."
            )
        parts.append(
            f"For two layers in line with the target the strengths follow the formula of Saxe, McClelland & Ganguli "
            f"(2013) to "
            f"{digits(self.formula_gap)} of the strongest. A stack {' → '.join(map(str, self.bottleneck))} "
            f"without activations is one layer, of rank {self.rank}, counted exactly; its narrowest width is "
            f"{min(self.bottleneck)}."
        )
        return " ".join(parts)


@single_thread()
def training_path(
    depths: Sequence[int] = (1, 2, 3),
    strengths: Sequence[float] = (4.0, 2.0, 1.0),
    *,
    steps: int = 1500,
    rate: float = 0.01,
    start: float = 1e-2,
    seed: int = 0,
    bottleneck: Sequence[int] = (8, 6, 2, 6, 8),
) -> TrainingPath:
    """How activation-free networks of several depths learn one target matrix by full-batch gradient descent.

    Inputs are white, so the loss is ½·‖W_L … W_1 − target‖². Every layer is square; the layers start as small
    multiples of
    random orthogonal matrices whose product is `start` times an orthogonal matrix.

    Raises:
        InputError: the strengths do not fall or are not positive, the loss grows, or another argument cannot be used.
    """
    values = [check_number("strengths", value, 0) for value in strengths]
    if len(values) < 2 or values != sorted(values, reverse=True):
        raise InputError(f"strengths must be at least two numbers, falling; {list(strengths)} came")
    steps, rate = check_whole("steps", steps, 10), check_number("rate", rate, 0)
    start = check_number("start", start, 0)
    generator = torch.Generator().manual_seed(check_seed(seed))
    size = len(values)
    u, v = _orthogonal(size, generator), _orthogonal(size, generator)
    target = u @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ v.T
    paths: list[Path] = []
    for depth in check_some("depths", depths):
        depth = check_whole("depth", depth, 1)
        layers = [start ** (1 / depth) * _orthogonal(size, generator) for _ in range(depth)]
        paths.append(_descend(layers, target, u, v, steps, rate))
    middle = _orthogonal(size, generator)
    aligned = [start**0.5 * middle @ v.T, start**0.5 * u @ middle.T]
    gap = _formula_gap(_descend(aligned, target, u, v, steps, rate), values, start, rate)
    widths = tuple(bottleneck)
    return TrainingPath(tuple(values), tuple(paths), rate, start, seed, gap, widths, exact_rank(widths, seed))


def exact_rank(widths: Sequence[int], seed: int = 0) -> int:
    """The rank, over the rational numbers, of the one layer that an activation-free network of these widths is."""
    from flint import fmpz_mat

    collapse = collapse_linear(MLP(widths, None, seed=seed))
    return int(fmpz_mat([[int(i) for i in row] for row in collapse.exact.weight.ints[0].tolist()]).rank())


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q


def _product(layers: Sequence[Tensor], size: int) -> Tensor:
    """The last layer leftmost."""
    total = torch.eye(size, dtype=torch.float64)
    for layer in layers:
        total = layer @ total
    return total


def _descend(layers: list[Tensor], target: Tensor, u: Tensor, v: Tensor, steps: int, rate: float) -> Path:
    size = len(target)
    modes = torch.empty(steps + 1, size, dtype=torch.float64)
    loss = torch.empty(steps + 1, dtype=torch.float64)
    for step in range(steps + 1):
        error = _product(layers, size) - target
        modes[step] = (u.T @ (error + target) @ v).diagonal()
        loss[step] = error.square().sum() / 2
        after = [torch.eye(size, dtype=torch.float64)]
        for layer in reversed(layers[1:]):
            after.insert(0, after[0] @ layer)
        before = torch.eye(size, dtype=torch.float64)
        slopes: list[Tensor] = []
        for layer, rest in zip(layers, after, strict=True):
            slopes.append(rest.T @ error @ before.T)
            before = layer @ before
        layers = [layer - rate * slope for layer, slope in zip(layers, slopes, strict=True)]
    strengths = (u.T @ target @ v).diagonal()
    half = tuple(_first(modes[:, i] >= strengths[i] / 2) for i in range(size))
    tenth, most = _first(modes[:, 0] >= 0.1 * strengths[0]), _first(modes[:, 0] >= 0.9 * strengths[0])
    if not loss[-1] <= loss[0]:
        raise InputError(
            f"with {len(layers)} layers the loss grew from {float(loss[0]):.3g} to {float(loss[-1]):.3g}; a rate below "
            f"{rate:g} or a smaller start is needed"
        )
    distance = float((_product(layers, size) - target).abs().max())
    kept = sorted({*range(0, steps + 1, max(1, steps // 300)), steps})
    return Path(
        len(layers), tuple(kept), tuple(tuple(row) for row in modes[kept].tolist()), tuple(loss[kept].tolist()), half,
        None if tenth is None or most is None else most - tenth, tenth, distance,
    )  # fmt: skip


def _sooner(times: float) -> str:
    return f" ({times:.1f} times sooner)" if times >= 1 else ""


def _first(reached: Tensor) -> int | None:
    found = reached.nonzero()
    return int(found[0]) if len(found) else None


def _formula_gap(path: Path, strengths: Sequence[float], start: float, rate: float) -> float:
    """s(t) = s·e^{2st} / (e^{2st} − 1 + s/s₀), t = steps × rate (Saxe, McClelland & Ganguli 2013, equation 12)."""
    worst = 0.0
    for step, row in zip(path.steps, path.modes, strict=True):
        for strength, found in zip(strengths, row, strict=True):
            faded = math.exp(-2 * strength * step * rate)
            expected = strength / (1 - faded + strength / start * faded)
            gap = abs(found - expected) / strengths[0]
            worst = gap if math.isnan(gap) else max(worst, gap)
    return worst
