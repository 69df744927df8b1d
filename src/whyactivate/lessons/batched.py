"""Many small networks at once: one per seed, stacked along a leading axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from whyactivate.activations import Activation, get_activation
from whyactivate.lessons.observe import slope
from whyactivate.models import MLP, Init


@dataclass
class Stack:
    """`weights[k]` has shape (seeds, out, in), `biases[k]` (seeds, 1, out)."""

    activation: Activation
    weights: list[Tensor]
    biases: list[Tensor]

    @classmethod
    def start(
        cls,
        layers: Sequence[int],
        activation: str | Callable[[Tensor], Tensor],
        seeds: Sequence[int],
        init: Init = "default",
    ) -> Stack:
        """The initial weights that `MLP(layers, seed=s, init=init)` has for each seed."""
        models = [MLP(layers, None, init=init, seed=seed) for seed in seeds]
        weights = [torch.stack([model.layers[k].weight.detach() for model in models]) for k in range(len(layers) - 1)]
        biases = [
            torch.stack([model.layers[k].bias.detach() for model in models])[:, None] for k in range(len(layers) - 1)
        ]
        return cls(get_activation(activation), weights, biases)

    @classmethod
    def draw(cls, layers: Sequence[int], activation: Activation, count: int, init: Init, seed: int) -> Stack:
        """As many networks, drawn as `MLP` draws them but all from one generator; float64."""
        generator = torch.Generator().manual_seed(seed)
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        for wide_in, wide_out in pairwise(layers):
            bound = {"default": 1 / wide_in, "xavier": 6 / (wide_in + wide_out), "he": 6 / wide_in}[init] ** 0.5
            numbers = torch.rand(count, wide_out, wide_in, generator=generator, dtype=torch.float64)
            weights.append((2 * numbers - 1) * bound)
            shift = 2 * torch.rand(count, 1, wide_out, generator=generator, dtype=torch.float64) - 1
            biases.append(shift * (bound if init == "default" else 0.0))
        return cls(activation, weights, biases)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The result, the input of every layer, and every pre-activation, each (seeds, rows, width)."""
        inputs, before = [x.expand(len(self.weights[0]), *x.shape[-2:])], list[Tensor]()
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = torch.baddbmm(bias, inputs[-1], weight.transpose(1, 2))
            before.append(z)
            if k < len(self.weights) - 1:
                inputs.append(self.activation(z))
        return before[-1], inputs, before

    def predict(self, x: Tensor) -> Tensor:
        """(seeds, rows, outputs)."""
        return self.forward(x)[0]

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean squared error of each network, (seeds,) float64."""
        with torch.no_grad():
            return (self.predict(x) - y).square().mean(dim=(1, 2)).double()

    def backward(self, inputs: list[Tensor], before: list[Tensor], error: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The gradients of all weights and of all pre-activations, for a loss whose gradient at the result is `error`.

        Written as the product it is: at layer k the gradient is that of layer k + 1 times W, times diag(φ′(z)).

        Args:
            inputs: of every layer, from `forward`.
            before: every pre-activation, from `forward`.
            error: (seeds, rows, outputs).
        """
        deltas = [error]
        for k in range(len(self.weights) - 1, 0, -1):
            deltas.insert(0, torch.bmm(deltas[0], self.weights[k]) * slope(self.activation, before[k - 1]))
        return [torch.bmm(d.transpose(1, 2), h) for d, h in zip(deltas, inputs, strict=True)], deltas

    def flattened(self) -> tuple[Tensor, Stack]:
        """All numbers of each network in one row, (seeds, parameters), and the same stack as views into it."""
        parts = [part for pair in zip(self.weights, self.biases, strict=True) for part in pair]
        flat = torch.cat([part.flatten(1) for part in parts], dim=1)
        pieces = flat.split([part[0].numel() for part in parts], dim=1)
        views = [piece.unflatten(1, part.shape[1:]) for piece, part in zip(pieces, parts, strict=True)]
        return flat, Stack(self.activation, views[::2], views[1::2])


@dataclass(frozen=True)
class Trained:
    """What training did to every network.

    Attributes:
        train_loss: (epochs + 1, seeds), before training and after every epoch.
        last_batch_loss: (epochs, seeds), the loss of each epoch's last mini-batch before its step.
        test_loss: (seeds,) in the end.
        networks: the trained ones.
    """

    train_loss: Tensor
    last_batch_loss: Tensor
    test_loss: Tensor
    networks: Stack


def train_stack(
    stack: Stack,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    epochs: int,
    batch_size: int,
    rate: float,
) -> Trained:
    """Trains every network with Adam on mean squared error, rows in their order, as the article does.

    The data may have a leading axis of seeds, so that each network gets its own. Adam acts on each number by itself, so
    training the stack is training each network (up to rounding); `train` does one, this does many at once.
    """
    x, y = train
    flat, net = stack.flattened()
    mean, square = torch.zeros_like(flat), torch.zeros_like(flat)
    batches = list(zip(x.split(batch_size, dim=-2), y.split(batch_size, dim=-2), strict=True))
    losses, last = [net.losses(x, y)], list[Tensor]()
    step = 0
    with torch.no_grad():
        for _ in range(epochs):
            for rows, wanted in batches:
                step += 1
                result, inputs, before = net.forward(rows)
                error = result - wanted
                slopes, deltas = net.backward(inputs, before, error * (2 / error[0].numel()))
                pairs = zip(slopes, deltas, strict=True)
                gradient = torch.cat([part for w, d in pairs for part in (w.flatten(1), d.sum(dim=1))], dim=1)
                mean.mul_(0.9).add_(gradient, alpha=0.1)
                square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                scale = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
                flat.addcdiv_(mean, scale, value=-rate / (1 - 0.9**step))
                if rows is batches[-1][0]:
                    last.append(error.square().mean(dim=(1, 2)).double())
            losses.append(net.losses(x, y))
    return Trained(torch.stack(losses), torch.stack(last), net.losses(*test), net)
