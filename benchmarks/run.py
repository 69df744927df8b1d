"""How much faster is the collapsed layer than the activation-free network that it equals?

Both are timed in turns within one run, and the ratio of the two medians is printed: it travels from
one machine to another better than seconds do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import whyactivate as wa

NETWORKS = ([10, 18, 18, 4, 1], [64, 128, 128, 10], [784, 512, 512, 10], [32] * 17)


def time_in_turns(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The median seconds of each call, measured alternately after one warm-up round."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for call, record in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            call()
            if turn:
                record.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=256, help="rows in the batch")
    parser.add_argument("--rounds", type=int, default=200, help="timed rounds per network")
    options = parser.parse_args()
    torch.set_num_threads(1)

    print(f"{'network':34}{'parameters':>12}{'after':>8}{'network':>12}{'one layer':>12}{'ratio':>8}")
    for widths in NETWORKS:
        model = wa.MLP(widths, activation=None, seed=0).eval()
        collapse = wa.collapse_linear(model)
        x = torch.randn(options.rows, widths[0], generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            many, one = time_in_turns(lambda m=model, x=x: m(x), lambda c=collapse, x=x: c.layer(x), options.rounds)
        name = "-".join(map(str, widths)) if len(widths) < 8 else f"{widths[0]} wide, {len(widths) - 1} deep"
        print(
            f"{name:34}{collapse.parameters_before:12,}{collapse.parameters_after:8,}"
            f"{many * 1e6:9.0f} µs{one * 1e6:9.0f} µs{many / one:7.1f}×"
        )


if __name__ == "__main__":
    main()
