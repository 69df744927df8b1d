"""The row of numbers that stands for a perceptron in a stack: drawn, or taken from and given to its layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from whyactivate.models import MLP, Init, SimpleModel, draw_layer
from whyactivate.training.stacked.activate import Array
from whyactivate.training.stacked.stack import perceptron_size


def draw_row(widths: Sequence[int], init: Init, seed: int, dtype: torch.dtype) -> Array:
    """The first weights and biases that `MLP(widths, init=init, seed=seed)` draws, as one row."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.empty(perceptron_size(widths), dtype=dtype)
    start = 0
    for inputs, units in pairwise(widths):
        weight, bias = torch.empty(units, inputs, dtype=dtype), torch.empty(units, dtype=dtype)
        draw_layer(weight, bias, init, generator)
        stop = start + units * (inputs + 1)
        torch.cat([weight, bias[:, None]], dim=1, out=row[start:stop].view(units, inputs + 1))
        start = stop
    return row.numpy()


def layers_of(model: MLP | SimpleModel) -> tuple[nn.Linear, ...]:
    """fc1, fc2, … to the last."""
    names = {name for name, _ in model.named_children()}
    count = next(number for number in range(1, len(names) + 2) if f"fc{number}" not in names)
    return tuple(getattr(model, f"fc{number}") for number in range(1, count))


def row_of(layers: Sequence[nn.Linear]) -> Array:
    """The weights and biases as one row: layer by layer the rows of [W | b]."""
    with torch.no_grad():
        parts = [torch.cat([layer.weight, layer.bias[:, None]], dim=1).ravel() for layer in layers]
        return torch.cat(parts).numpy()


def put_row(layers: Sequence[nn.Linear], row: Array) -> None:
    """Gives the layers the weights and biases of the row."""
    values, start = torch.from_numpy(np.array(row)), 0
    with torch.no_grad():
        for layer in layers:
            units, inputs = layer.weight.shape
            part = values[start : start + units * (inputs + 1)].view(units, inputs + 1)
            layer.weight.copy_(part[:, :-1])
            layer.bias.copy_(part[:, -1])
            start += part.numel()
