"""Many small networks at once: one per seed, stacked along a leading axis."""

from __future__ import annotations

from collections.abc import Sequence
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
    def start(cls, layers: Sequence[int], activation: str, seeds: Sequence[int], init: Init = "default") -> Stack:
        """The initial weights that `MLP(layers, seed=s, init=init)` has for each seed."""
        models = [MLP(layers, None, init=init, seed=seed) for seed in seeds]
        weights = [torch.stack([model.layers[k].weight.detach() for model in models]) for k in range(len(layers) - 1)]
        biases = [
            torch.stack([model.layers[k].bias.detach() for model in models])[:, None] for k in range(len(layers) - 1)
        ]
        return cls(get_activation(activation), weights, biases)

    @classmethod
    def draw(cls, layers: Sequence[int], activation: str, count: int, init: Init, seed: int) -> Stack:
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
        return cls(get_activation(activation), weights, biases)

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

    def backward(self, x: Tensor, error: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The gradients of all weights and of all pre-activations, for a loss whose gradient at the result is `error`.

        Written as the product it is: at layer k the gradient is that of layer k + 1 times W, times diag(φ′(z)).
        """
        _, inputs, before = self.forward(x)
        deltas = [error]
        for k in range(len(self.weights) - 1, 0, -1):
            deltas.insert(0, torch.bmm(deltas[0], self.weights[k]) * slope(self.activation, before[k - 1]))
        return [torch.bmm(d.transpose(1, 2), h) for d, h in zip(deltas, inputs, strict=True)], deltas


@dataclass(frozen=True)
class Trained:
    """Losses before training and after every epoch, (epochs + 1, seeds) each, and the networks."""

    train_loss: Tensor
    test_loss: Tensor
    last_batch_loss: Tensor
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

    The data may have a leading axis of seeds, so that each network gets its own. Adam acts on each number by itself,
    so training the stack is training each network (up to rounding).
    """
    x, y = train
    parameters = [p.clone().requires_grad_() for p in (*stack.weights, *stack.biases)]
    count = len(stack.weights)
    net = Stack(stack.activation, parameters[:count], parameters[count:])
    optimiser = torch.optim.Adam(parameters, lr=rate)
    seeds = len(stack.weights[0])
    history: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])

    def measure() -> None:
        with torch.no_grad():
            for kept, (rows, wanted) in zip(history, (train, test), strict=False):
                kept.append((net.predict(rows) - wanted).square().mean(dim=(1, 2)).double())

    with torch.inference_mode(False), torch.enable_grad():
        measure()
        for _ in range(epochs):
            last = torch.zeros(seeds)
            for rows, wanted in zip(x.split(batch_size, dim=-2), y.split(batch_size, dim=-2), strict=True):
                optimiser.zero_grad()
                losses = (net.predict(rows) - wanted).square().mean(dim=(1, 2))
                losses.sum().backward()
                optimiser.step()
                last = losses.detach()
            history[2].append(last.double())
            measure()
    done = Stack(stack.activation, [w.detach() for w in net.weights], [b.detach() for b in net.biases])
    return Trained(torch.stack(history[0]), torch.stack(history[1]), torch.stack(history[2]), done)
