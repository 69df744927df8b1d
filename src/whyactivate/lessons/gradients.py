"""Gradients: how they shrink or grow from the last layer to the first, by initial weights, activation and depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from whyactivate._checks import check_seed, check_some, check_whole
from whyactivate.activations import get_activation
from whyactivate.errors import InputError, UnknownNameError
from whyactivate.lessons.batched import Stack
from whyactivate.lessons.lesson import Lesson, digits, listing, title_of
from whyactivate.lessons.observe import Inputs, slope, watch
from whyactivate.models import INITS, Init
from whyactivate.training.surroundings import single_thread

_NAMES = {"default": "PyTorch's default", "xavier": "Xavier", "he": "He"}


@dataclass(frozen=True, slots=True)
class GradientRun:
    """Gradients at the start of training, for one activation, one kind of initial weights and one depth.

    Attributes:
        activation: which.
        init: the kind of initial weights.
        depth: the number of affine layers.
        norms: per layer, the median over the seeds of the norm of its weight's gradient.
        ratio: median over the seeds of first layer's norm / last layer's norm; below 1 gradients vanish on their way.
        low: the smallest such ratio.
        high: the largest.
        slope: root mean square of φ′ at the hidden pre-activations: the activation's factor per layer.
        stretch: root mean square by which Wᵀ alone scales a gradient on its way through one layer.
    """

    activation: str
    init: Init
    depth: int
    norms: tuple[float, ...]
    ratio: float
    low: float
    high: float
    slope: float
    stretch: float

    @property
    def per_layer(self) -> float:
        """The ratio spread evenly over the layers between first and last."""
        return self.ratio ** (1 / (self.depth - 1))

    @property
    def label(self) -> str:
        """As in "He + ReLU"."""
        return f"{_NAMES[self.init]} + {title_of(self.activation)}"


@dataclass(frozen=True, repr=False)
class Gradients(Lesson):
    """First/last-layer gradient ratios over initial weights × activation × depth, each over many seeds.

    Attributes:
        width: units in every layer.
        seeds: how many networks each number is the median of.
        rows: how many inputs the loss is over.
        runs: one per combination.
        disagreement: the largest relative difference, over all runs, between the gradients computed as the product of
            Jacobians Wᵀ·diag(φ′) and those of PyTorch's automatic differentiation.
    """

    title: ClassVar[str] = "Gradients: a product of one factor per layer"

    width: int
    seeds: int
    rows: int
    seed: int
    runs: tuple[GradientRun, ...]
    disagreement: float

    def run(self, activation: str, init: Init = "default", depth: int | None = None) -> GradientRun:
        """The run of that name; the deepest where no depth is given."""
        depth = depth if depth is not None else max(run.depth for run in self.runs)
        return next(r for r in self.runs if (r.activation, r.init, r.depth) == (activation, init, depth))

    @property
    def settings(self) -> str:
        """Sizes and seed."""
        return (
            f"width {self.width}, {self.rows} standard normal inputs, {self.seeds} networks drawn from seed "
            f"{self.seed}, float64"
        )

    def explain(self) -> str:
        """What the numbers say."""
        depth = max(run.depth for run in self.runs)
        here = [run for run in self.runs if run.depth == depth]
        over = [run.label for run in here if not math.isfinite(run.ratio)]
        parts = [f"At depth {depth} numbers are no longer finite with {listing(over)}."] if over else []
        deepest = sorted((run for run in here if math.isfinite(run.ratio)), key=lambda run: run.ratio)
        if not deepest:
            return parts[0]
        least, most = deepest[0], min(deepest, key=lambda run: abs(math.log(max(run.ratio, 1e-300))))
        parts.append(
            f"At depth {depth} the gradient of the first layer is {digits(least.ratio)} times that of the last with "
            f"{least.label}"
            + (
                "."
                if most is least
                else f", and {digits(most.ratio)} times with {most.label}, which keeps it best here."
            )
        )
        bare = [run for run in deepest if run.activation == "identity"]
        for none in bare:
            beside = [run for run in deepest if run.init == none.init and run is not none]
            weaker = sum(run.ratio < none.ratio for run in beside)
            if beside:
                count = "all" if weaker == len(beside) else f"{weaker or 'none'} of the"
                parts.append(
                    f"With {_NAMES[none.init]} initial weights and no activation it is {digits(none.ratio)}; "
                    f"{count} {len(beside)} activations beside it give less."
                )
        parts.append(
            f"The reason is the product: each layer multiplies by Wᵀ and by φ′. For {least.label} φ′ is "
            f"{digits(least.slope)} "
            f"(root mean square) and Wᵀ scales by {digits(least.stretch)}, together "
            f"{digits(least.slope * least.stretch)} per layer. "
            f"Multiplied out by hand these gradients agree with automatic differentiation to "
            f"{digits(self.disagreement)}."
        )
        return " ".join(parts)


@single_thread()
def gradients(
    activations: Sequence[str | Callable[[Tensor], Tensor]] = ("identity", "relu", "leaky_relu", "tanh", "sigmoid"),
    inits: Sequence[Init] = INITS,
    depths: Sequence[int] = (5, 10, 20),
    *,
    width: int = 32,
    seeds: int = 20,
    rows: int = 64,
    seed: int = 0,
) -> Gradients:
    """Gradient norm per layer over initial weights × activation × depth at the start of training, batched over seeds.

    Every layer has `width` inputs and outputs; the loss is the mean squared error against standard normal targets.

    Raises:
        UnknownNameError: an activation or a kind of initial weights is not known.
        InputError: a number cannot be used.
    """
    for name in check_some("inits", inits):
        if name not in INITS:
            raise UnknownNameError("init", name, INITS)
    chosen = [get_activation(each) for each in check_some("activations", activations)]
    width, seeds, rows = (check_whole(n, v, 1) for n, v in (("width", width), ("seeds", seeds), ("rows", rows)))
    generator = torch.Generator().manual_seed(check_seed(seed))
    x = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    y = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    runs: list[GradientRun] = []
    worst = 0.0
    for each in chosen:
        for init in inits:
            for depth in check_some("depths", depths):
                depth = check_whole("depth", depth, 2)
                stack = Stack.draw([width] * (depth + 1), each, seeds, init, seed)
                runs.append(_run(stack, each.name, init, x, y))
                worst = max(worst, _disagreement(stack, x, y))
    return Gradients(width, seeds, rows, seed, tuple(runs), worst)


def _run(stack: Stack, name: str, init: Init, x: Tensor, y: Tensor) -> GradientRun:
    result, inputs, before = stack.forward(x)
    slopes, deltas = stack.backward(inputs, before, 2 * (result - y) / result[0].numel())
    norms = torch.stack([part.flatten(1).norm(dim=1) for part in slopes])
    # Where even the last layer gets no gradient, none vanished on the way; but none arrived, either.
    ratios = torch.where(norms[-1] == 0, 0.0, norms[0] / norms[-1])
    steep = torch.stack([slope(stack.activation, z).square().mean() for z in before[:-1]]).mean().sqrt()
    stretch = [
        torch.bmm(delta, weight).norm() / delta.norm()
        for delta, weight in zip(deltas[1:], stack.weights[1:], strict=True)
    ]
    return GradientRun(
        name, init, len(norms), tuple(norms.median(dim=1).values.tolist()), float(ratios.median()),
        float(ratios.min()), float(ratios.max()), float(steep), float(torch.stack(stretch).square().mean().sqrt()),
    )  # fmt: skip


def _disagreement(stack: Stack, x: Tensor, y: Tensor) -> float:
    """How far the product of Jacobians is from automatic differentiation, for the first network, relative."""
    one = Stack(
        stack.activation, [w[:1].clone().requires_grad_() for w in stack.weights], [b[:1] for b in stack.biases]
    )
    with torch.inference_mode(False), torch.enable_grad():
        loss = (one.predict(x) - y).square().mean()
        expected = torch.autograd.grad(loss, one.weights, materialize_grads=True)
    with torch.no_grad():
        result, inputs, before = one.forward(x)
        found, _ = one.backward(inputs, before, 2 * (result - y) / result.numel())
    gaps = [float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True) if float(b.norm())]
    return max(gaps, default=0.0)


@dataclass(frozen=True, slots=True)
class LayerGradient:
    """The gradient of one weight of a module.

    Attributes:
        name: of the parameter.
        norm: of its gradient.
        size: of the parameter's own norm, to compare with.
    """

    name: str
    norm: float
    size: float


@dataclass(frozen=True, repr=False)
class ModuleGradients(Lesson):
    """The gradient of every weight of a module, in the order in which it holds them, and the activations' slopes.

    Attributes:
        module: the name of its class.
        rows: how many rows it was given.
        loss: what was differentiated, in words.
        layers: one per parameter of two or more axes that got a gradient.
        slopes: per call of an activation: where, and the root mean square of its slope on this data.
    """

    title: ClassVar[str] = "Gradients in your own module"

    module: str
    rows: int
    loss: str
    layers: tuple[LayerGradient, ...]
    slopes: tuple[tuple[str, float], ...]

    @property
    def ratio(self) -> float:
        """First weight's gradient norm / last weight's; NaN where the last is 0."""
        last = self.layers[-1].norm
        return self.layers[0].norm / last if last else math.nan

    @property
    def settings(self) -> str:
        """What it was measured on."""
        return f"{self.module} on {self.rows} rows, gradient of {self.loss}"

    def explain(self) -> str:
        """What the numbers say."""
        weakest, last = min(self.layers, key=lambda layer: layer.norm), self.layers[-1]
        beside = f"{digits(self.ratio)} times that of the last ({last.name})"
        if math.isnan(self.ratio):
            beside = f"{digits(self.layers[0].norm)}, that of the last ({last.name}) {digits(last.norm)}"
        parts = [
            f"In {self.module} the gradient of the first weight ({self.layers[0].name}) is {beside}; the smallest is "
            f"{digits(weakest.norm)}, of {weakest.name}."
        ]
        if self.slopes:
            name, least = min(self.slopes, key=lambda item: item[1])
            parts.append(
                f"The flattest of its activations on this data, “{name}”, has a slope of {digits(least)} (root mean "
                "square)."
            )
        else:
            parts.append("No activation was seen in it.")
        return " ".join(parts)


@torch.inference_mode(False)
def gradients_of(
    module: nn.Module,
    inputs: Inputs,
    targets: Tensor | None = None,
    *,
    loss: Callable[..., Tensor] | None = None,
) -> ModuleGradients:
    """The gradient of every weight of a module on the given data; the module stays as it is.

    Args:
        module: any module.
        inputs: what its forward takes, rows first: a tensor, a tuple of several arguments, or a dict of keywords.
        targets: what it should give. Where None, the loss is the mean square of the output.
        loss: takes the module's output (and targets, where given) and gives one number; the mean squared error
            where None.

    Raises:
        InputError: the module fails, or no weight got a gradient.
    """
    watched = watch(module, inputs, gradients=True)
    result = watched.result
    with torch.enable_grad():
        if loss is not None:
            value, words = (
                loss(result) if targets is None else loss(result, targets),
                getattr(loss, "__name__", "your loss"),
            )
        elif not isinstance(result, Tensor):
            raise InputError(
                f"{type(module).__name__} returns {type(result).__name__}; pass loss= to make one number of it"
            )
        elif targets is None:
            value, words = result.square().mean(), "the mean square of the output"
        else:
            if result.shape != targets.shape:
                raise InputError(
                    f"the output has shape {tuple(result.shape)} and targets {tuple(targets.shape)}; pass loss="
                )
            value, words = (result - targets).square().mean(), "the mean squared error"
        if value.numel() != 1 or not value.requires_grad:
            raise InputError("the loss must be one number that depends on the module's weights")
        watched.copy.zero_grad()
        value.backward()
    layers = tuple(
        LayerGradient(name, float(p.grad.norm()), float(p.detach().norm()))
        for name, p in watched.copy.named_parameters()
        if p.grad is not None and p.ndim >= 2
    )
    if not layers:
        raise InputError(f"no weight of {type(module).__name__} got a gradient from this loss")
    slopes = tuple((call.name, float(call.slopes().double().square().mean().sqrt())) for call in watched.calls)
    return ModuleGradients(type(module).__name__, watched.rows, words, layers, slopes)
