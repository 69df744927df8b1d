"""Does the model fit the data? Asked before anything is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from whyactivate.datasets import Dataset
from whyactivate.errors import InputError
from whyactivate.training.config import TrainConfig

_TRAINABLE = (torch.float32, torch.float64)


def check_arguments(model: object, data: object, config: object, callback: object) -> None:
    """Raises InputError unless these are what `train` takes, and there is something to train."""
    if not isinstance(model, nn.Module):
        hint = "; build it first, as in SimpleModel()" if isinstance(model, type) else ""
        raise InputError(f"model must be an nn.Module, but {_name(model)} came{hint}")
    if not isinstance(data, Dataset):
        raise InputError(f"data must be a Dataset (load_dataset, Dataset.from_arrays), but {_name(data)} came")
    if not isinstance(config, TrainConfig):
        raise InputError(f"config must be a TrainConfig, but {_name(config)} came")
    if callback is not None and not callable(callback):
        raise InputError(f"callback must be a function of (epoch, epochs, metrics), but {_name(callback)} came")
    tensors = [*model.parameters(), *model.buffers()]
    if any(isinstance(tensor, (UninitializedParameter, UninitializedBuffer)) for tensor in tensors):
        raise InputError("the model has lazy layers without weights yet: run it on one batch first")
    if any(tensor.is_meta for tensor in tensors):
        raise InputError("the model is on the meta device, which holds no values: call to_empty and draw its weights")
    if any(tensor.is_inference() for tensor in tensors):
        raise InputError("the model was made in torch.inference_mode, so nothing in it can be trained: make it outside")
    dtypes = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    if not dtypes:
        raise InputError("the model has no parameter that requires a gradient, so there is nothing to train")
    if len(dtypes) > 1 or not dtypes <= set(_TRAINABLE):
        found = " and ".join(sorted(str(dtype) for dtype in dtypes))
        raise InputError(f"weights must be all float32 or all float64 to be trained, but they are {found}")


def check_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        InputError: this machine cannot compute there.
    """
    device = torch.device(name)
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"this machine cannot train on device {name!r}: {str(error).splitlines()[0]}") from error
    return device


def check_fit(model: nn.Module, data: Dataset, rows: Tensor) -> None:
    """Raises InputError unless the model takes these rows and gives what the task needs."""
    model.eval()
    try:
        result: object = model(rows)
    except Exception as error:
        shape = tuple(rows.shape)
        raise InputError(
            f"the model fails on x of shape {shape} and {rows.dtype}{_hint(model, data)}: {error}"
        ) from error
    wanted = (len(rows), data.outputs)
    if not isinstance(result, Tensor) or tuple(result.shape) != wanted or not result.is_floating_point():
        came = f"{result.dtype} of shape {tuple(result.shape)}" if isinstance(result, Tensor) else _name(result)
        why = f"one output per class, {data.outputs}" if data.classes else "one output"
        raise InputError(
            f"{data.name} is {data.task} and needs {why}: from {len(rows)} rows, floats of shape {wanted}; {came} came"
        )
    if not result.requires_grad:
        raise InputError("the model's output does not depend on any weight that requires a gradient")


def _hint(model: nn.Module, data: Dataset) -> str:
    first = next((module for module in model.modules() if isinstance(module, nn.Linear)), None)
    if first is None or first.in_features == data.features:
        return ""
    return f" (its first Linear takes {first.in_features} features, {data.name} has {data.features})"


def _name(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
