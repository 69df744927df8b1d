"""What does an analysis cost, beside the plain forward of the module?

Chains of a hundred small operations show the cost per operation; whole networks show what happens at size. Each
ratio compares the shortest of some runs, counted in processor time and taken in turns within one process, or a single
run for large networks; the first call is timed in a process of its own. "bare" is the forward with nothing but an empty
dispatch mode and an empty function mode around it, "again" a run that is compared with an earlier recording of as many
rows.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import whyactivate as wa
from whyactivate.affine._torch_compat import DispatchMode
from whyactivate.affine.garbage import rarely_collected
from whyactivate.affine.recording.repetition import repeat
from whyactivate.affine.recording.scripts import Script
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracker import record

FIRST_CALL = """
import time, torch, whyactivate as wa
from torch import nn
module, x = nn.Sequential(*(nn.Linear(16, 16) for _ in range(100))), torch.randn(2, 16)
start = time.perf_counter(); wa.analyze(module, x); first = time.perf_counter() - start
start = time.perf_counter(); wa.analyze(module, x); print(first, time.perf_counter() - start)
"""


class Elementwise(nn.Module):
    """A hundred products and sums."""

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(50):
            x = x * 1.5
            x = x + 1.0
        return x


class Residual(nn.Module):
    """The basic block of ResNet-18."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        same = stride == 1 and channels == out
        self.skip = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + self.skip(x))


class Recurrent(nn.Module):
    """The last output of an LSTM, read by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class VisionTransformer(nn.Module):
    """A transformer on patches of 16 × 16 pixels; a width of 192, 12 layers and 3 heads give ViT-Tiny."""

    def __init__(self, width: int, layers: int, heads: int, size: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, (size // 16) ** 2 + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), patches], dim=1)
        return self.head(self.encoder(tokens + self.places)[:, 0])


def resnet(widths: tuple[int, ...], blocks: int) -> nn.Module:
    """A ResNet with as many stages as widths; (64, 128, 256, 512) and 2 blocks give ResNet-18."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = widths[0]
    for stage, out in enumerate(widths):
        for block in range(blocks):
            layers.append(Residual(channels, out, 2 if block == 0 and stage else 1))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def cnn(size: int) -> nn.Module:
    """Two convolutions and a linear layer on images of this size."""
    left = (size - 4) // 2
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(64 * left**2, 10)
    )


def linear_cnn() -> nn.Module:
    """Eight convolutions with batch normalisation, and no activation."""
    parts = [(nn.Conv2d(16 if i else 3, 16, 3, padding=1), nn.BatchNorm2d(16)) for i in range(8)]
    return nn.Sequential(*(layer for part in parts for layer in part), nn.AvgPool2d(4))


def encoder(width: int, layers: int) -> nn.Module:
    """A transformer encoder."""
    layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def layers(width: int) -> nn.Module:
    """A hundred linear layers, one behind the other."""
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(100)))


def blocks(width: int) -> nn.Module:
    """Thirty-three times a linear layer, batch normalisation, ReLU."""
    parts = [(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()) for _ in range(33)]
    return nn.Sequential(*(layer for part in parts for layer in part))


CHAINS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "100 elementwise": (Elementwise, (2, 16)),
    "the same": (Elementwise, (64, 1024)),
    "100 Linear(16, 16)": (lambda: layers(16), (2, 16)),
    "100 Linear(256, 256)": (lambda: layers(256), (64, 256)),
    "33 × Linear(32)·BN·ReLU": (lambda: blocks(32), (2, 32)),
    "33 × Linear(256)·BN·ReLU": (lambda: blocks(256), (64, 256)),
}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "784-512-512-10, ReLU": (lambda: wa.MLP([784, 512, 512, 10], activation="relu"), (1, 784)),
    "CNN, 3×32×32": (lambda: cnn(32), (1, 3, 32, 32)),
    "linear CNN, 3×64×64": (linear_cnn, (1, 3, 64, 64)),
    "LSTM, 20 steps": (Recurrent, (1, 20, 16)),
    "encoder, 6 layers of 64": (lambda: encoder(64, 6), (1, 16, 64)),
    "ResNet-18, 3×64×64": (lambda: resnet((64, 128, 256, 512), 2), (1, 3, 64, 64)),
    "ResNet-18, 3×224×224": (lambda: resnet((64, 128, 256, 512), 2), (1, 3, 224, 224)),
    "ViT-Tiny, 3×224×224": (lambda: VisionTransformer(192, 12, 3, 224), (1, 3, 224, 224)),
}


class Onlooker(DispatchMode):
    """Carries out every operation as it comes."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Bystander(TorchFunctionMode):
    """Calls every function as it comes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def watched_by_nobody(module: nn.Module, x: Tensor) -> None:
    """A forward through both kinds of modes that an analysis needs."""
    with Bystander(), Onlooker():
        module(x)


def seconds(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The fewest seconds of processor time that each call took, in turns, after one round that is not counted."""
    fewest = [float("inf")] * len(calls)
    for turn in range(rounds + 1):
        for number, call in enumerate(calls):
            start = time.process_time()
            call()
            if turn:
                fewest[number] = min(fewest[number], time.process_time() - start)
    return fewest


def run_plain(module: nn.Module, x: Tensor) -> None:
    """A forward as it is meant to be fast."""
    with torch.inference_mode():
        module(x)


def watch(module: nn.Module, x: Tensor) -> None:
    """A forward that is watched by nobody who does anything."""
    with torch.inference_mode():
        watched_by_nobody(module, x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="timed analyses per chain")
    parser.add_argument("--small", action="store_true", help="leave the large networks out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    print(f"{'chain':26}{'input':>10}{'forward':>11}{'bare':>7}{'one tape':>11}{'again':>8}{'analysis':>12}")
    for name, (make, shape) in CHAINS.items():
        module, x = make().eval(), torch.randn(shape)
        state, script = State(module), Script(shape[0])
        record(module, (x,), {}, state=state, script=script)
        with rarely_collected():
            forward, bare, tape, again, analysis = seconds(
                [
                    lambda m=module, x=x: run_plain(m, x),
                    lambda m=module, x=x: watch(m, x),
                    lambda m=module, x=x, s=state: record(m, (x,), {}, state=s, script=Script(len(x))),
                    lambda m=module, x=x, s=state, t=script: repeat(m, (x,), {}, len(x), t, s),
                    lambda m=module, x=x: wa.analyze(m, x),
                ],
                options.rounds,
            )
        size = "×".join(map(str, shape))
        print(
            f"{name:26}{size:>10}{forward * 1e3:8.2f} ms{bare / forward:6.0f}×{tape / forward:10.0f}×"
            f"{again / forward:7.0f}×{analysis / forward:11.0f}×"
        )
    ran = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True)
    first, later = map(float, ran.stdout.split())
    print(f"the first analysis in a process: {first * 1e3:.0f} ms, the second {later * 1e3:.0f} ms")
    if options.small:
        return

    print(f"\n{'network':26}{'forward':>12}{'analysis':>12}{'ratio':>8}  verdict")
    for name, (make, shape) in NETWORKS.items():
        module, x = make().eval(), torch.randn(shape)
        forward = seconds([lambda m=module, x=x: run_plain(m, x)], 3)[0]
        start = time.process_time()
        found = wa.analyze(module, x)
        analysis = time.process_time() - start
        how = f" ({found.counterexample.arithmetic})" if found.counterexample else ""
        print(
            f"{name:26}{forward * 1e3:9.2f} ms{analysis:10.2f} s{analysis / forward:7.0f}×  "
            f"{found.verdict.replace('_', ' ')}{how}",
            flush=True,
        )
    if sys.platform != "win32":
        resource = importlib.import_module("resource")
        unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS
        print(f"memory, at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
