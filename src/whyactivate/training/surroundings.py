"""Context managers that leave everything around a training run as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import torch
from torch import nn

# With fewer multiply-adds than this in a step, handing work to a second thread costs more than it saves.
TINY_STEP = 4_000_000


@contextlib.contextmanager
def surroundings_kept(model: nn.Module, device: torch.device, seed: int, *, one_thread: bool) -> Generator[None]:
    """Gradients on, model on `device`, random draws seeded; afterwards all is as before, but for the weights.

    Modes of all submodules, gradients, device, number of threads, and the global random state are restored
    even where an exception passes.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_modes_and_gradients_kept(model))
        stack.enter_context(_on_device(model, device))
        stack.enter_context(_seeded(seed, device))
        if one_thread:
            stack.enter_context(single_thread())
        yield


@contextlib.contextmanager
def single_thread() -> Generator[None]:
    """PyTorch on one thread, then on as many as before."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _modes_and_gradients_kept(model: nn.Module) -> Generator[None]:
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, gradient in gradients:
            parameter.grad = gradient


@contextlib.contextmanager
def _on_device(model: nn.Module, device: torch.device) -> Generator[None]:
    home = next(model.parameters()).device
    if home == device:
        yield
        return
    model.to(device)
    try:
        yield
    finally:
        for parameter in model.parameters():
            parameter.grad = None
        model.to(home)


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Generator[None]:
    """Global draws, as Dropout makes them, fixed by the seed; the global state afterwards untouched."""
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
