"""How much faster is `compare` than the article's plain loop, where does its time go, and how does it grow?

One thread. The plain loop (one network after the other, autograd, `torch.optim.Adam`) and `compare` are timed in
turns within one run, in seconds of processor time; the best of each is taken, since whatever else the machine does only
adds. The loop is timed for one network, once in each turn of the whole run, and its best time for an activation counts
as many times as there are networks with it. What is measured goes into `benchmarks/compare.json`, with machine,
versions and date: the site's page of benchmarks shows that file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import nn

import whyactivate as wa
from whyactivate.activations import ACTIVATIONS
from whyactivate.training.stacked.optimise import StackedAdam
from whyactivate.training.stacked.stack import Company, Pass, Stack, perceptron_size
from whyactivate.training.stacked.weights import draw_row

FILE = Path(__file__).with_name("compare.json")
FIVE = ("identity", "relu", "sigmoid", "tanh", "leaky_relu")
MODULES = {"identity": nn.Identity, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "leaky_relu": nn.LeakyReLU}
ARTICLE = wa.TrainConfig(shuffle=False)
CASES = ((("relu",), 1), (("relu",), 10), (("relu",), 100), (("relu",), 1000), (FIVE, 10), (FIVE, 100))
WIDTHS = (10, 18, 18, 4, 1)
WEIGHTS = perceptron_size(WIDTHS)
INTO_FIRST, BIASES_ABOVE = 18 * 11, 18 + 4 + 1
MULTIPLICATIONS = 3 * WEIGHTS - INTO_FIRST - BIASES_ABOVE
"""For one row: forward, slopes in the weights, slopes in the inputs (not for biases, nor below the first layer)."""
PRODUCTS = 3 * 4 - 1
MOVED_BY_ADAM = 24
"""Numbers per weight that its ten operations read and write."""
FIRST_USE = """
from time import process_time
import torch
start = process_time()
{}
print(process_time() - start)
"""
OURS = "import whyactivate as wa; wa.compare('article', 'relu', 1, config=wa.TrainConfig(epochs=1))"
THEIRS = "p = torch.nn.Parameter(torch.ones(1)); p.grad = torch.ones(1); torch.optim.Adam([p]).step()"


def plain_loop(seed: int, activation: str) -> float:
    """The article's loop, as it is written there."""
    torch.manual_seed(seed)
    x, y = torch.randn(100, 10), torch.randn(100, 1)
    bend = MODULES[activation]
    model = nn.Sequential(
        nn.Linear(10, 18), bend(), nn.Linear(18, 18), bend(), nn.Linear(18, 4), bend(), nn.Linear(4, 1)
    )
    criterion, optimizer, loss = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=0.001), torch.zeros(())
    for _ in range(150):
        for start in range(0, len(x), 10):
            outputs = model(x[start : start + 10])
            loss = criterion(outputs, y[start : start + 10])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()
    return loss.item()


def seconds(call: Callable[[], object]) -> float:
    start = process_time()
    call()
    return process_time() - start


def micro(call: Callable[[], object], calls: int = 30) -> float:
    """Microseconds of one call: the best of nine series."""
    return min(seconds(lambda: [call() for _ in range(calls)]) for _ in range(9)) / calls * 1e6


def measure_first_use(code: str) -> float:
    """Seconds that code takes in a new process in which PyTorch is imported already: the best of three."""
    runs = [
        subprocess.run([sys.executable, "-c", FIRST_USE.format(code)], capture_output=True, check=True) for _ in "123"
    ]
    return min(float(done.stdout) for done in runs)


def measure_ratios(rounds: int, largest: int) -> list[dict[str, float]]:
    cases = [case for case in CASES if case[1] <= largest]
    plain: dict[str, float] = dict.fromkeys(FIVE, float("inf"))
    batch = [float("inf")] * len(cases)
    for _ in range(rounds):
        for place, (activations, members) in enumerate(cases):
            for name in activations:
                plain[name] = min(plain[name], seconds(lambda a=name: plain_loop(0, a)))
            seeds = members // len(activations)
            taken = seconds(lambda a=activations, n=seeds: wa.compare("article", a, n, config=ARTICLE))
            batch[place] = min(batch[place], taken)
    found: list[dict[str, float]] = []
    for (activations, members), taken in zip(cases, batch, strict=True):
        each = sum(plain[name] for name in activations) / len(activations)
        row = {"activations": len(activations), "members": members, "plain_seconds_each": each}
        found.append(row | {"compare_seconds": taken, "ratio": each * members / taken})
    return found


def measure_parts(members: int, rows: int = 10) -> dict[str, float]:
    """One step of a stack of ReLU networks, in microseconds: its parts, and what they are made of."""
    flat = np.stack([draw_row(WIDTHS, "default", seed, torch.float32) for seed in range(members)])
    stack = Stack(flat, WIDTHS, [Company(ACTIVATIONS["relu"], 0, members)])
    bare = Stack(flat.copy(), WIDTHS, [Company(ACTIVATIONS["identity"], 0, members)])
    x = np.random.default_rng(0).standard_normal((members, 11, rows)).astype(np.float32)
    room, empty = Pass(stack, rows), Pass(bare, rows)
    room.delta[:] = empty.delta[:] = 0.1
    adam = StackedAdam(stack.flat, stack.slope, 1e-6)
    products = micro(lambda: (empty.forward(x), empty.backward(x)))
    both = micro(lambda: (room.forward(x), room.backward(x)))
    update = micro(adam.step)
    small = np.ones((members, 2, 2), np.float32)
    calls = PRODUCTS * micro(lambda: np.matmul(small, small))
    big, copy = np.ones((512, 512), np.float32), np.ones((2, 4_000_000), np.float32)
    peak = 2 * 512**3 / micro(lambda: big @ big, 3) / 1e3
    moved = 8 * copy.shape[1] / micro(lambda: np.copyto(copy[0], copy[1]), 3) / 1e3
    return {
        "members": members, "products": products, "calls": calls, "activations": max(0.0, both - products),
        "adam": update, "gflops": 2 * members * rows * MULTIPLICATIONS / products / 1e3, "peak_gflops": peak,
        "adam_gbytes": 4 * members * WEIGHTS * MOVED_BY_ADAM / update / 1e3, "copy_gbytes": moved,
    }  # fmt: skip


def measure_growth() -> dict[str, list[dict[str, float]]]:
    """Milliseconds per network and epoch on random data, as one thing grows."""

    def cost(members: int, hidden: tuple[int, ...], rows: int) -> float:
        draw = torch.Generator().manual_seed(0)
        x, y = torch.randn(rows, 10, generator=draw), torch.randn(rows, 1, generator=draw)
        data = wa.Dataset("random", x, y, x[:10], y[:10], wa.Task.REGRESSION)
        short, long = wa.TrainConfig(epochs=2, shuffle=False), wa.TrainConfig(epochs=12, shuffle=False)

        def run(config: wa.TrainConfig) -> float:
            return min(seconds(lambda: wa.compare(data, "relu", members, hidden=hidden, config=config)) for _ in "123")

        return max(0.0, run(long) - run(short)) / 10 / members * 1e3

    return {
        "networks": [{"at": m, "ms": cost(m, (18, 18, 4), 100)} for m in (1, 3, 10, 30, 100, 300)],
        "width": [{"at": w, "ms": cost(30, (w, w), 100)} for w in (8, 16, 32, 64, 128)],
        "hidden layers": [{"at": d, "ms": cost(30, (18,) * d, 100)} for d in (1, 2, 4, 8)],
        "rows": [{"at": r, "ms": cost(30, (18, 18, 4), r)} for r in (100, 300, 1000)],
    }


def describe(result: dict[str, Any]) -> str:
    """All that was measured, in lines."""
    first = result["first_use"]
    lines = [
        f"first use after import torch: compare {first['compare']:.2f} s, torch.optim.Adam {first['plain']:.2f} s",
        "",
        *(
            f"{row['activations']} activation(s), {row['members']:5} networks: ×{row['ratio']:.1f} "
            f"({row['plain_seconds_each']:.3f} s each, compare {row['compare_seconds']:.3f} s)"
            for row in result["ratios"]
        ),
    ]
    for part in result["parts"]:
        whole = part["products"] + part["activations"] + part["adam"]
        lines += [
            "",
            f"one step of {part['members']} network(s), {whole:.0f} µs:",
            f"  products    {part['products'] / whole:4.0%}, {part['gflops']:.1f} GFLOP/s; a product of 512 × 512 has "
            f"{part['peak_gflops']:.0f}; of 2 × 2 they would take {part['calls'] / part['products']:.0%} of the time",
            f"  activations {part['activations'] / whole:4.0%}",
            f"  Adam        {part['adam'] / whole:4.0%}, {part['adam_gbytes']:.1f} GB/s; a copy in memory has "
            f"{part['copy_gbytes']:.1f}",
        ]
    lines += ["", "ms per network and epoch, by"]
    for name, rows in result["growth"].items():
        lines.append(f"  {name}: " + ", ".join(f"{row['at']}: {row['ms']:.3g}" for row in rows))
    return "\n".join(lines)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds per ratio")
    parser.add_argument("--largest", type=int, default=1000, help="leave out comparisons of more networks")
    parser.add_argument("--dry", action="store_true", help="print only, and leave compare.json as it is")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plain_loop(0, "relu")  # torch.optim imports PyTorch's compiler at its first step: not counted against the loop
    wa.compare("article", "relu", 5, config=wa.TrainConfig(epochs=1))
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": processor(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "first_use": {"compare": measure_first_use(OURS), "plain": measure_first_use(THEIRS)},
        "ratios": measure_ratios(options.rounds, options.largest),
        "parts": [measure_parts(members) for members in (1, 10, 100)],
        "growth": measure_growth(),
    }
    print(describe(result))
    if not options.dry:
        FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"written to {FILE}")


if __name__ == "__main__":
    main()
