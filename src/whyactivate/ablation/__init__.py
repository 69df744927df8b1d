"""What does each activation of this very module add? Take it out, and look at what is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, fx, nn

from whyactivate._checks import check_whole
from whyactivate.ablation.calls import (
    ActivationCall,
    Holder,
    find_activation_modules,
    find_calls,
    fresh_inputs,
    name_in,
    without,
)
from whyactivate.ablation.result import Ablation, Losses, Retrained, Without
from whyactivate.affine import Analysis, analyze
from whyactivate.affine.depth import count_depth
from whyactivate.affine.recording import check_module
from whyactivate.collapse import infer_input
from whyactivate.datasets import Dataset
from whyactivate.errors import DivergedError, FoldingError, InputError
from whyactivate.floor import linear_floor
from whyactivate.folding import collapse_runs
from whyactivate.models import parameter_count
from whyactivate.training import TrainConfig, train

__all__ = ["Ablation", "ActivationCall", "Losses", "Retrained", "Without", "ablate"]


def ablate(
    module: nn.Module,
    example_input: Tensor | tuple[Any, ...] | dict[str, Any] | None = None,
    data: Dataset | None = None,
    config: TrainConfig | None = None,
    *,
    seeds: int | Iterable[int] | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> Ablation:
    """What is left of a module as each of its activations is taken out in turn, and all of them.

    An activation is a call of a submodule without parameters that acts on each number alone and is verified not to
    be affine, or of a function of PyTorch that is an activation (`torch.relu`, `F.gelu`, `x.clamp`, …), whose
    operand depends on the input. Taking it out means that it passes its operand on unchanged, in a copy; the module
    itself stays as it is. What else is not affine (softmax, normalisation, pooling, products, the inside of a fused
    `nn.LSTM`) stays, and is named.

    Args:
        module: any `nn.Module`, in the mode (train or eval) in which it is to be judged.
        example_input: what its forward takes, batch dimension first; where None, rows of the data, or what the
            first `nn.Linear` takes.
        data: where given, each network's loss on it, as it is and after training on from the same weights.
        config: how to train; `TrainConfig()` where None.
        seeds: of the orders of rows to train with, the same for each network: which, or how many from `config.seed` on;
            3 where None. How far the losses differ by seed says what a difference between networks is worth.
        progress: called with what is being done, how many networks are done, and how many there are.

    Raises:
        InputError: not a module, an input that cannot be used, a forward that raises on it, a module that cannot be
            copied, or data that do not fit the module.
    """
    check_module(module, "ablate")
    if data is not None and not isinstance(data, Dataset):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"data must be a Dataset (load_dataset, Dataset.from_arrays), but {type(data).__name__} came")
    if config is not None and not isinstance(config, TrainConfig):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"config must be a TrainConfig, as TrainConfig(epochs=50), but {type(config).__name__} came")
    if config is not None and data is None:
        raise InputError("config says how to retrain, and retraining needs data; give data as well")
    if example_input is None:
        example_input = infer_input(module) if data is None else data.train_x[:2]
    analyze(module, example_input)  # says what is wrong with the module or the input, before anything is copied
    args, kwargs = fresh_inputs(example_input)
    activations = find_activation_modules(module, args, kwargs)
    calls = find_calls(module, args, kwargs, activations)
    choices = [(), *((call,) for call in calls)] + ([calls] if len(calls) > 1 else [])
    settings = _settings(data, config, seeds)
    found: list[Without] = []
    for done, choice in enumerate(choices):
        if progress is not None:
            progress(_words(choice, calls), done, len(choices))
        make = partial(without, module, [call.index for call in choice], activations)
        look = _look(module, make(), choice, calls, example_input, found[0] if found else None)
        if data is not None:
            losses, failed = _losses(make, data, settings, must_fit=not found)
            look = replace(look, losses=losses, note="; ".join(part for part in (look.note, failed) if part))
        found.append(look)
    whole, *others = found
    none_left = others[-1] if others else whole
    return Ablation(
        module=type(module).__name__,
        parameters=parameter_count(module),
        whole=whole,
        singles=tuple(others[: len(calls)]),
        none_left=none_left,
        stays=tuple(dict.fromkeys(none_left.remains)),
        data="" if data is None else data.name,
        floor=None if data is None else linear_floor(data).loss,
        config=settings[0] if settings else None,
        seeds=tuple(each.seed for each in settings),
    )


def _settings(
    data: Dataset | None, config: TrainConfig | None, seeds: int | Iterable[int] | None
) -> tuple[TrainConfig, ...]:
    """How to retrain, once per seed; nothing without data."""
    if data is None:
        if seeds is not None:
            raise InputError("seeds are for retraining, and retraining needs data; give data as well")
        return ()
    first = config or TrainConfig()
    if not isinstance(seeds, Iterable):
        count = 3 if seeds is None else check_whole("seeds", seeds, 1, 1000)
        seeds = [(first.seed + k) % 2**32 for k in range(count)]
    chosen = list(dict.fromkeys(seeds))
    if not chosen:
        raise InputError("seeds is empty; retraining needs at least one")
    return tuple(replace(first, seed=seed) for seed in chosen)


def _look(
    module: nn.Module,
    own: nn.Module,
    taken_out: tuple[ActivationCall, ...],
    calls: tuple[ActivationCall, ...],
    example: Tensor | tuple[Any, ...] | dict[str, Any],
    whole: Without | None,
) -> Without:
    analysis = analyze(own, example)
    recordings = analysis.recordings
    assert recordings is not None
    complete = recordings.is_complete
    depth = count_depth(recordings.tapes[0], own)
    chains = tuple(tuple(name_in(own, layer) for layer in chain) for chain in depth.chains)
    parameters: int | None = None
    note = ""
    try:
        parameters = _used_parameters(collapse_runs(own, example)) - _gone(module, taken_out, calls)
    except (FoldingError, InputError) as error:
        note = f"not folded: {error}"
    return Without(
        taken_out=taken_out,
        verdict=analysis.verdict,
        written=depth.written,
        effective=depth.effective,
        one_layer=chains,
        newly_one_layer=tuple(chain for chain in chains if whole is not None and chain not in whole.one_layer),
        parameters=parameters,
        surplus=None if parameters is None else parameter_count(module) - parameters,
        remains=_remains(own, analysis),
        complete=complete,
        note=note,
    )


def _used_parameters(folded: nn.Module) -> int:
    """How many numbers its parameters hold; of a recorded program, those that its graph still reads."""
    if isinstance(folded, Holder):
        return _used_parameters(folded.module)
    if not isinstance(folded, fx.GraphModule):
        return parameter_count(folded)
    live: set[fx.Node] = set()
    waiting = [node for node in folded.graph.nodes if node.op == "output"]
    while waiting:
        node = waiting.pop()
        if node not in live:
            live.add(node)
            waiting += node.all_input_nodes
    read = [str(node.target) for node in live if node.op in ("get_attr", "call_module")]
    return sum(
        parameter.numel()
        for name, parameter in folded.named_parameters()
        if any(name == target or name.startswith(f"{target}.") for target in read)
    )


def _gone(module: nn.Module, taken_out: tuple[ActivationCall, ...], calls: tuple[ActivationCall, ...]) -> int:
    """How many parameters belong to activations (PReLU) of which no call is left."""
    paths = {call.module for call in taken_out} - {call.module for call in calls if call not in taken_out}
    parts = (module.get_submodule(path) for path in paths)
    return sum(parameter_count(part) for part in parts if isinstance(part, nn.PReLU))


def _remains(own: nn.Module, analysis: Analysis) -> tuple[str, ...]:
    """What keeps it from being one affine map, with the module in which it is."""
    names = [(each.reason, name_in(own, each.module)) for each in analysis.blame]
    return tuple(f"{reason} (in {name})" if name else reason for reason, name in names)


def _losses(
    make: Callable[[], nn.Module], data: Dataset, settings: tuple[TrainConfig, ...], *, must_fit: bool
) -> tuple[Losses | None, str]:
    """The losses before and after training fresh copies; where there are none, why."""
    runs: list[Retrained] = []
    notes: list[str] = []
    before = (math.nan, math.nan)
    for config in settings:
        try:
            history = train(make(), data, config)
        except DivergedError as error:
            history = error.history
            notes.append(f"retraining diverged after {history.epochs} epochs with seed {config.seed}")
            runs.append(Retrained(config.seed, None, None))
        except InputError as error:
            if must_fit:
                raise
            return None, f"no losses: {error}"
        else:
            if history.stopped == "interrupted":
                raise KeyboardInterrupt
            runs.append(Retrained(config.seed, history.train_loss[-1], history.test_loss[-1]))
        before = history.train_loss[0], history.test_loss[0]
    return Losses(*before, tuple(runs), "; ".join(notes)), ""


def _words(choice: tuple[ActivationCall, ...], calls: tuple[ActivationCall, ...]) -> str:
    if not choice:
        return "as it is"
    return "without all of them" if len(choice) == len(calls) > 1 else f"without {choice[0]}"
