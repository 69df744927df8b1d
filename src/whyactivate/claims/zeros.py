"""Experiments on zeros: which are nearly 0, whose they are, and what work they save."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from whyactivate.activations import get_activation
from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.claims.shared import race, train_relu
from whyactivate.datasets import load_dataset
from whyactivate.lessons.batched import Stack
from whyactivate.lessons.lesson import digits


def small_is_zero() -> Finding:
    """12: a loss that takes logarithms sees the difference between a tiny number and 0."""
    sigmoid = get_activation("sigmoid")
    z = torch.tensor([-55.0], dtype=torch.float64)
    value = float(sigmoid(z))
    log = float(F.logsigmoid(z))
    by_formula = math.log(value) if value > 0 else -math.inf
    by_zero = float(torch.log(torch.zeros(1)))
    dense, sparse = _times_with_zeros()
    left = _LEFT[-2]
    return Finding(
        f"σ(−55) is {digits(value)}; its logarithm is {log:.4g} (through σ itself {by_formula:.4g}), while that of 0 "
        f"is {by_zero}. A product with a matrix in which {100 * left:g} % of the entries are not 0 took "
        f"{dense[left]:.2f} times as long as with all of them where the kernel is dense, and {sparse[left]:.2f} times "
        f"where it is sparse; with no zeros at all the sparse kernel took {sparse[1.0]:.0f} times as long. (Measured "
        "here and now; only which is faster is judged.)",
        (
            Point("the log-loss of σ(−55) is 55", abs(log + 55) < 1e-9 and abs(by_formula + 55) < 1e-9),
            Point("the log-loss of 0 is infinite", by_zero == -math.inf),
            Point("a dense kernel saves less than half its time by zeros, however many", min(dense.values()) > 0.5),
            Point("a sparse one saves more than half where 99 % are 0", sparse[left] < 0.5),
            Point("a sparse one takes longer than a dense one where none is", sparse[1.0] > 1),
        ),
        {
            "value": value,
            "log": log,
            "log_of_value": by_formula,
            "left": left,
            **{
                f"times_of_{name}": {str(share): t for share, t in times.items()}
                for name, times in (("dense", dense), ("sparse", sparse))
            },
        },
        Sketch(
            "What zeros save in a matrix product",
            "share of the entries that are not 0",
            "time, dense without zeros = 1",
            (
                Curve("dense kernel", _LEFT, tuple(dense.values())),
                Curve("sparse kernel", _LEFT, tuple(sparse.values())),
            ),
            log=True,
            log_y=True,
            small="512 × 512 times 512 × 256, float32, one thread, best of 12 turns, seed 0",
        ),
    )


_LEFT = (1.0, 0.5, 0.1, 0.01, 0.001)


def _times_with_zeros() -> tuple[dict[float, float], dict[float, float]]:
    """How long dense and sparse products take by the share of entries that are not 0; dense without zeros is 1."""
    generator = torch.Generator().manual_seed(0)
    whole, x = torch.randn(512, 512, generator=generator), torch.randn(512, 256, generator=generator)
    kept = torch.rand(512, 512, generator=generator)
    rivals: dict[str, Callable[[], Tensor]] = {}
    for share in _LEFT:
        matrix = torch.where(kept <= share, whole, 0.0)
        rivals[f"dense {share}"] = partial(torch.mm, matrix, x)
        rivals[f"sparse {share}"] = partial(torch.sparse.mm, matrix.to_sparse(), x)
    seconds = race(rivals)
    unit = seconds[f"dense {_LEFT[0]}"]
    dense, sparse = ({s: seconds[f"{kind} {s}"] / unit for s in _LEFT} for kind in ("dense", "sparse"))
    return dense, sparse


def weights_and_activations() -> Finding:
    """35: which zeros are whose: ReLU's change with the input, pruned weights do not."""
    data = load_dataset("sine")
    done = train_relu("sine", [1, 32, 32, 1], range(1), epochs=60, rate=1e-2)
    network = done.networks
    _, inputs, _ = network.forward(data.test_x)
    hidden = torch.cat([h[0] for h in inputs[1:]], dim=1)
    silent = (hidden == 0).double()
    share, some = float(silent.mean()), float(((silent.mean(0) > 0) & (silent.mean(0) < 1)).double().mean())
    zero_weights = sum(int((w == 0).sum()) for w in network.weights)
    losses = [_pruned_loss(network, part, data.test_x, data.test_y) for part in (0.0, 0.5, 0.9)]
    return Finding(
        f"In a trained network {100 * share:.0f} % of the hidden activations on the test data are 0 and {zero_weights} "
        f"of its weights are; {100 * some:.0f} % of the units are 0 "
        f"for some inputs and not for others. Setting the smallest half of the weights to 0 takes the test error from "
        f"{digits(losses[0])} to {digits(losses[1])}, the "
        f"smallest nine tenths to {digits(losses[2])}.",
        (
            Point("many activations are 0 while no weight is", share > 0.1 and zero_weights == 0),
            Point("which ones depends on the input", some > 0.5),
            Point(
                "pruning nine tenths of the weights is another thing: it changes the result",
                losses[2] > 1.5 * losses[0],
            ),
        ),
        {"zero_activations": share, "zero_weights": zero_weights, "sometimes_zero": some, "pruned_loss": losses},
        Sketch(
            "Zeros that come with the input, and zeros that stay",
            "share (%)",
            bars={
                "activations that are 0": 100 * share,
                "weights that are 0": 100.0 * zero_weights / sum(w.numel() for w in network.weights),
                "units 0 for some inputs only": 100 * some,
            },
            small="sine, 1 → 32 → 32 → 1, ReLU, seed 0",
        ),
    )


def _pruned_loss(network: Stack, part: float, x: Tensor, y: Tensor) -> float:
    """The test error where this part of the weights, the smallest, is set to 0."""
    sizes = torch.cat([w.abs().flatten() for w in network.weights])
    limit = sizes.sort().values[int(part * len(sizes))] if part else -1.0
    pruned = Stack(network.activation, [torch.where(w.abs() < limit, 0.0, w) for w in network.weights], network.biases)
    return float(pruned.losses(x, y)[0])
