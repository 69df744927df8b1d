"""An MLP's weights as a file: safetensors to write, safetensors or a PyTorch file to read.

A file is data from somewhere else: nothing in it is run, and every claim it makes (sizes, shapes,
names, values) is checked before a network is built from it.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from whyactivate._checks import check_path
from whyactivate.activations import ACTIVATIONS, get_activation
from whyactivate.errors import InputError
from whyactivate.models import DTYPES, MLP

FORMAT = "whyactivate-mlp/1"
"""The mark in the metadata of the files that `save_weights` writes."""

_NESTED = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True, slots=True)
class SavedNetwork:
    """A network rebuilt from a file.

    Attributes:
        model: the layers of the file with the activation between them.
        activation: the activation's name.
        recorded: whether the file itself names the activation (False: the caller did).
        names: the names of the layers in the file, first to last.
    """

    model: MLP
    activation: str
    recorded: bool
    names: tuple[str, ...]


def save_weights(model: nn.Module, path: str | Path) -> Path:
    """Writes fc1, fc2, … and the activation's name as a safetensors file, and returns its path.

    Args:
        model: a `SimpleModel` or an `MLP` with an activation of the table.
        path: where; a file that is there is replaced.

    Raises:
        InputError: the activation has no name in the table, or the file cannot be written.
    """
    name = activation_name(model)
    return _write(dict(model.state_dict()), name, path)


def save_layer(layer: nn.Linear, path: str | Path) -> Path:
    """Writes one affine layer as a safetensors file that `load_weights` reads as a network of one layer.

    Raises:
        InputError: the file cannot be written.
    """
    if not isinstance(layer, nn.Linear):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"layer must be an nn.Linear, but {type(layer).__name__} came")
    return _write({f"fc1.{name}": tensor for name, tensor in layer.state_dict().items()}, "identity", path)


def _write(tensors: dict[str, Tensor], activation: str, to: str | Path) -> Path:
    from safetensors import SafetensorError
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    path = check_path("a file to write", to)
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path, metadata={"format": FORMAT, "activation": activation})
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write {path}: {_reason(error)}") from error
    return path


def activation_name(model: nn.Module) -> str:
    """The name in `ACTIVATIONS` of the module at `model.activation`.

    Raises:
        InputError: the model has no `.activation`, or one that is not in the table.
    """
    if not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"model must be a SimpleModel or an MLP, but {type(model).__name__} came")
    module = getattr(model, "activation", None)
    for name, activation in ACTIVATIONS.items():
        if isinstance(module, nn.Module) and repr(activation.module()) == repr(module):
            return name
    raise InputError(
        f"only an activation of the table can be recorded in a file, but model.activation is {module!r}; "
        f"known: {', '.join(ACTIVATIONS)}"
    )


def load_weights(path: str | Path, activation: str | None = None) -> SavedNetwork:
    """The network whose weights are in the file: a chain of affine layers with one activation between.

    Args:
        path: a safetensors file, or a PyTorch file with a state dict (read with `weights_only=True`).
        activation: the activation between the layers; needed where the file does not name it.

    Raises:
        InputError: the file is missing, damaged or not a chain of affine layers, a value is not
            finite, or the activation is named by neither the file nor the caller, or differently.
        UnknownNameError: no activation has that name.
    """
    path = check_path("a file with an MLP's weights", path)
    tensors, metadata = _read(path)
    name, recorded = _which_activation(path, tensors, metadata.get("activation"), activation)
    layers = _chain(path, tensors)
    weights = [weight for _, weight, _ in layers]
    widths = [weights[0].shape[1], *(weight.shape[0] for weight in weights)]
    model = MLP(widths, activation=name, dtype=weights[0].dtype)
    for layer, (_, weight, bias) in zip(model.layers, layers, strict=True):
        layer.weight = nn.Parameter(weight.clone())
        layer.register_parameter("bias", None if bias is None else nn.Parameter(bias.clone()))
    return SavedNetwork(model.eval(), name, recorded, tuple(name for name, _, _ in layers))


def _which_activation(
    path: Path, tensors: Mapping[str, Tensor], recorded: str | None, given: str | None
) -> tuple[str, bool]:
    wanted = None if given is None else get_activation(given).name
    if recorded is not None:
        try:
            known = get_activation(recorded).name
        except InputError as error:
            raise InputError(f"{path} names its activation {recorded!r}: {error}") from error
        if wanted is not None and wanted != known:
            raise InputError(
                f"{path} was saved with the activation {known!r}, but {wanted!r} was asked for; "
                "a statement about the one network is none about the other"
            )
        return known, True
    if wanted is not None:
        return wanted, False
    if sum(tensor.dim() == 2 for tensor in tensors.values()) == 1:
        return "identity", False
    raise InputError(
        f"{path} holds weights but does not say which activation stands between the layers, and weights alone "
        "cannot tell; name it (activation 'identity' if there is none)"
    )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of the file, in its order, and its metadata."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; a file with an MLP's weights was expected")
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from error
    return _read_safetensors(path) if head[8:9] == b"{" else (_read_torch(path), {})


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with cast(Any, safe_open)(path, framework="pt", device="cpu") as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            names: list[str] = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, metadata
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {_reason(error)}") from error


def _check_archive(path: Path) -> None:
    """Raises InputError unless the entries lie in the file as they are and match their checksums, as PyTorch's do."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise InputError(f"{path} has compressed entries, which torch.save never writes; it is not read")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise InputError(f"{path} is damaged: its entries claim more than the file holds")
        damaged = archive.testzip()
    if damaged is not None:
        raise InputError(f"{path} is damaged: {damaged} in it does not match its checksum")


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:
        # PyTorch's own message advises to read the file without that protection: it is not passed on.
        raise InputError(
            f"{path} is neither a safetensors file nor a PyTorch file of weights alone: it is damaged, "
            "or it holds more than tensors, and nothing else in it is run"
        ) from error
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path} holds a {type(loaded).__name__}; a state dict (names to tensors) was expected")
    entries = cast("Mapping[object, object]", loaded)
    nested = (entries.get(key) for key in _NESTED)
    entries = next((cast("Mapping[object, object]", inner) for inner in nested if isinstance(inner, Mapping)), entries)
    for name, value in entries.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{path}: entry {name!r} is a {type(value).__name__}; a state dict has names and tensors")
    return cast("dict[str, Tensor]", dict(entries))


def _chain(path: Path, tensors: Mapping[str, Tensor]) -> list[tuple[str, Tensor, Tensor | None]]:
    """Name, weight and bias of each affine layer, in the order in which they are applied."""
    for name, tensor in tensors.items():
        _check_tensor(path, name, tensor)
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) > 1:
        raise InputError(f"{path} mixes {' and '.join(sorted(map(str, dtypes)))}; one dtype was expected")
    weights = [name for name in tensors if _split(name)[1] == "weight"]
    if not weights:
        raise InputError(f"{path} holds no weights; entries named like fc1.weight and fc1.bias were expected")
    layers: list[tuple[str, Tensor, Tensor | None]] = []
    for name in _in_order(path, [_split(name)[0] for name in weights]):
        weight = tensors[_join(name, "weight")]
        bias = tensors.get(_join(name, "bias"))
        if bias is not None and len(bias) != len(weight):
            raise InputError(f"{path}: {name}.bias has {len(bias)} entries, but {name}.weight has {len(weight)} rows")
        if layers and layers[-1][1].shape[0] != weight.shape[1]:
            before, rows = layers[-1][0], layers[-1][1].shape[0]
            raise InputError(
                f"{path}: {before} gives {rows} numbers but {name}, which comes next, takes {weight.shape[1]}; "
                "the layers do not form a chain"
            )
        layers.append((name, weight, bias))
    orphans = {_split(name)[0] for name in tensors} - {name for name, _, _ in layers}
    if orphans:
        raise InputError(f"{path}: {sorted(orphans)[0]} has a bias but no weight")
    return layers


def _check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    if tensor.is_nested:
        raise InputError(f"{path}: {name} is a nested tensor; a weight or bias of an affine layer was expected")
    dimensions = {"weight": 2, "bias": 1}.get(_split(name)[1])
    if dimensions is None or tensor.dim() != dimensions or tensor.layout != torch.strided:
        raise InputError(
            f"{path}: {name} with shape {tuple(tensor.shape)} is not the weight (2 dimensions) or bias (1) of an "
            "affine layer; only a chain of affine layers with one activation between them can be read"
        )
    dtypes = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
    if tensor.dtype not in DTYPES or tensor.device.type != "cpu":
        raise InputError(f"{path}: {name} is {tensor.dtype} on {tensor.device}; known dtypes: {dtypes}")
    if not tensor.numel():
        raise InputError(f"{path}: {name} with shape {tuple(tensor.shape)} is empty")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise InputError(f"{path}: {name} claims shape {tuple(tensor.shape)}, more than the file holds")
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise InputError(f"{path}: {name} has {bad} values that are not finite (NaN or infinity)")


def _in_order(path: Path, names: list[str]) -> list[str]:
    """The layers' names by the one number in which they differ: fc1, fc2, … or 0, 2, 4."""
    if len(names) == 1:
        return names
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", name) for name in names]
    stems = {(part[1], part[3]) if part else None for part in parts}
    if None in stems or len(stems) > 1:
        raise InputError(
            f"{path}: the order of the layers {', '.join(names)} cannot be told from their names; "
            "names that differ in one number, such as fc1, fc2, …, were expected"
        )
    numbers = {name: int(re.findall(r"\d+", name)[-1]) for name in names}
    if len(set(numbers.values())) < len(names):
        raise InputError(f"{path}: two of the layers {', '.join(names)} have the same number; their order is unclear")
    return sorted(names, key=numbers.__getitem__)


def _split(name: str) -> tuple[str, str]:
    layer, _, kind = name.rpartition(".")
    return layer, kind


def _join(layer: str, kind: str) -> str:
    return f"{layer}.{kind}" if layer else kind


def _reason(error: Exception) -> str:
    """The error's first line, short enough for one line of a terminal."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= 160 else f"{line[:157]}…"
