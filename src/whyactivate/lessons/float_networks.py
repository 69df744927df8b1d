"""Float networks are not exactly linear: rounding bends them a little, and tiny numbers bend them a lot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn

from whyactivate._checks import check_number, check_seed, check_whole
from whyactivate.collapse import collapse_linear
from whyactivate.lessons.lesson import Lesson, digits
from whyactivate.models import MLP
from whyactivate.training.surroundings import single_thread


@dataclass(frozen=True, repr=False)
class FloatNetworks(Lesson):
    """How far an activation-free network in float32 is from an affine map, and how far one with tiny numbers in it.

    Attributes:
        layers: widths of the network.
        pairs: how many pairs of inputs were mixed.
        unequal: share of them at which f((a + b)/2) and (f(a) + f(b))/2, both as PyTorch computes them, differ.
        gap: the largest such difference, relative to the largest output.
        bound: a proved bound of how far the float32 network is from the real affine map, over the same inputs,
            relative to the same output.
        tiny: the scale of the hidden numbers in the second network.
        line: inputs of the second network, which multiplies by `tiny` and then by 1/`tiny`.
        output: what it gives, in float32.
        bend: its largest distance from the straight line, relative to the largest input.
        distinct: how many different outputs it gives.
        flushed: whether this machine counts numbers below float32's normal range as 0.
        seed: fixes the inputs and the weights.
    """

    title: ClassVar[str] = "A float network is not exactly linear"

    layers: tuple[int, ...]
    pairs: int
    unequal: float
    gap: float
    bound: float
    tiny: float
    line: tuple[float, ...]
    output: tuple[float, ...]
    bend: float
    distinct: int
    flushed: bool
    seed: int

    @property
    def settings(self) -> str:
        """What fixes the numbers."""
        return f"{' → '.join(map(str, self.layers))}, float32, {self.pairs} pairs, seed {self.seed}"

    def explain(self) -> str:
        """What the numbers say."""
        tiny = (
            "counts numbers that small as 0"
            if self.flushed
            else f"gives {self.distinct} different values for {len(self.line)} inputs"
        )
        return (
            f"As a function of real numbers the activation-free network {' → '.join(map(str, self.layers))} is one "
            f"affine map. "
            f"Computed in float32 it misses the middle between two of its values in {100 * self.unequal:.0f} % of "
            f"{self.pairs} pairs, by at "
            f"most {digits(self.gap)} of its largest output; it is proved to stay within {digits(self.bound)} of the "
            f"real map. A network that "
            f"multiplies by {self.tiny:.0e} and back {tiny}, and lies {digits(self.bend)} (relative) off the straight "
            f"line. Rounding there is a "
            f"nonlinearity that can even be trained (Foerster 2017); it is an accident of the number format, not "
            f"something to build on."
        )


@single_thread()
def float_networks(pairs: int = 1000, tiny: float = 1e-44, seed: int = 0) -> FloatNetworks:
    """How far float32 evaluation bends an activation-free network, at ordinary and at tiny scales.

    Args:
        pairs: of inputs whose middle is compared.
        tiny: the scale of the hidden numbers of the second network, below 1; float32's smallest number is 1.4e-45.
        seed: fixes inputs and weights.

    Raises:
        InputError: an argument cannot be used.
    """
    pairs, seed = check_whole("pairs", pairs, 1), check_seed(seed)
    tiny = check_number("tiny", tiny, 1.4e-45, 1)
    layers = (10, 18, 18, 4, 1)
    model = MLP(layers, None, seed=seed, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    # On a grid of 1/1024 the middle of two inputs is a float32 itself, so that only the network rounds.
    a, b = (torch.randint(-2048, 2049, (pairs, 10), generator=generator).float() / 1024 for _ in range(2))
    with torch.no_grad():
        at_a, at_b, at_middle = (model(x).double() for x in (a, b, (a + b) / 2))
    difference = (at_middle - (at_a + at_b) / 2).abs()
    largest = float(torch.cat([at_a, at_b]).abs().max())
    proof = collapse_linear(model).prove("numeric", radius=2.0)
    x = torch.linspace(-1, 1, 401, dtype=torch.float32)[:, None]
    with torch.no_grad():
        y = _there_and_back(tiny)(x)
    return FloatNetworks(
        layers, pairs, float((difference > 0).double().mean()), float(difference.max()) / largest,
        _proved_bound(proof.details) / largest, tiny, tuple(x[:, 0].tolist()), tuple(y[:, 0].tolist()),
        float((y - x).abs().max()), len(y.unique()), bool((y == 0).all()), seed,
    )  # fmt: skip


def _there_and_back(tiny: float) -> nn.Sequential:
    """Multiplies by `tiny`, then by 1/`tiny` in two steps that each fit into float32."""
    down, up, more = (nn.Linear(1, 1, bias=False, dtype=torch.float32) for _ in range(3))
    with torch.no_grad():
        for layer, value in ((down, tiny), (up, 1e38), (more, 1e-38 / tiny)):
            layer.weight.fill_(value)
    return nn.Sequential(down, up, more)


def _proved_bound(details: object) -> float:
    found = cast("dict[str, object]", details)
    return float(cast(float, found["in the box: bound"]))
