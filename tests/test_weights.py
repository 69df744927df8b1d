"""Weights as files: what is written comes back, and nothing in a file is believed unchecked."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from whyactivate.activations import ACTIVATIONS
from whyactivate.errors import InputError, UnknownNameError
from whyactivate.models import MLP, SimpleModel, parameter_count
from whyactivate.weights import activation_name, load_weights, save_layer, save_weights


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_comes_back(name: str, tmp_path: Path) -> None:
    model = MLP([3, 5, 2], activation=name, seed=3)
    saved = load_weights(save_weights(model, tmp_path / "model.safetensors"))
    assert (saved.activation, saved.recorded, saved.names) == (name, True, ("fc1", "fc2"))
    x = torch.linspace(-2, 2, 12).reshape(4, 3)
    assert torch.equal(saved.model(x), model(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtype_and_missing_bias_come_back(dtype: torch.dtype, tmp_path: Path) -> None:
    model = MLP([3, 4, 2], activation=None, bias=False, dtype=dtype)
    saved = load_weights(save_weights(model, tmp_path / "model.safetensors"))
    assert parameter_count(saved.model) == 3 * 4 + 4 * 2
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(saved.model.layers, model.layers, strict=True))
    assert saved.model.layers[0].weight.dtype == dtype


def test_articles_network_is_saved_with_its_activation(tmp_path: Path) -> None:
    saved = load_weights(save_weights(SimpleModel("tanh", seed=1), tmp_path / "m.safetensors"))
    assert saved.activation == "tanh"
    assert parameter_count(saved.model) == 621


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
def test_torch_files_are_read(tmp_path: Path, nest: str | None, legacy: bool) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 1))
    state = net.state_dict()
    torch.save({nest: state} if nest else state, tmp_path / "m.pt", _use_new_zipfile_serialization=not legacy)
    saved = load_weights(tmp_path / "m.pt", "relu")
    assert (saved.names, saved.recorded) == (("0", "2", "4"), False)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(saved.model(x), net(x))


def test_layers_are_ordered_by_number_not_by_name(tmp_path: Path) -> None:
    torch.save({f"fc{n}.weight": torch.full((2, 2), float(n)) for n in (10, 9, 2)}, tmp_path / "m.pt")
    saved = load_weights(tmp_path / "m.pt", "identity")
    assert saved.names == ("fc2", "fc9", "fc10")
    assert [layer.weight[0, 0].item() for layer in saved.model.layers] == [2, 9, 10]


def test_tied_layers_are_read(tmp_path: Path) -> None:
    weight = torch.eye(300)
    torch.save({f"fc{n}.weight": weight for n in range(6)}, tmp_path / "m.pt")
    assert len(load_weights(tmp_path / "m.pt", "identity").names) == 6


def test_a_single_layer_needs_no_activation(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "m.pt")
    saved = load_weights(tmp_path / "m.pt")
    assert (saved.activation, saved.recorded) == ("identity", False)


def test_weights_alone_do_not_say_what_stands_between_them(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).state_dict(), tmp_path / "m.pt")
    with pytest.raises(InputError, match="does not say which activation"):
        load_weights(tmp_path / "m.pt")


def test_a_file_is_not_read_as_another_network(tmp_path: Path) -> None:
    path = save_weights(MLP([3, 4, 2], activation="relu"), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="saved with the activation 'relu', but 'identity' was asked for"):
        load_weights(path, "identity")
    assert load_weights(path, "ReLU").activation == "relu"
    with pytest.raises(UnknownNameError, match="Did you mean 'relu'"):
        load_weights(path, "rellu")


def test_unknown_activation_in_the_file(tmp_path: Path) -> None:
    save_file({"fc1.weight": torch.ones(1, 1)}, tmp_path / "m.safetensors", metadata={"activation": "swirl"})
    with pytest.raises(InputError, match=r"names its activation 'swirl'"):
        load_weights(tmp_path / "m.safetensors")


def test_only_activations_of_the_table_can_be_recorded(tmp_path: Path) -> None:
    for model in (MLP([2, 2], activation=torch.sin), nn.Linear(2, 2), MLP([2, 2], activation=nn.LeakyReLU(0.2))):
        with pytest.raises(InputError, match="can be recorded"):
            save_weights(model, tmp_path / "m.safetensors")
    assert activation_name(MLP([2, 2], activation=nn.GELU(approximate="tanh"))) == "gelu_tanh"


def test_unwritable_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        save_weights(SimpleModel(), tmp_path / "missing" / "m.safetensors")


one = torch.ones(2, 2)
BROKEN = {
    "layers do not form a chain": {"fc1.weight": torch.ones(3, 2), "fc2.weight": one},
    "fc1.bias has 3 entries, but fc1.weight has 2 rows": {"fc1.weight": one, "fc1.bias": torch.ones(3)},
    "fc2 has a bias but no weight": {"fc1.weight": one, "fc2.bias": torch.ones(2)},
    "holds no weights": {},
    "1 values that are not finite": {"fc1.weight": torch.tensor([[1.0, float("nan")]])},
    "is empty": {"fc1.weight": torch.ones(0, 2)},
    "is torch.int64": {"fc1.weight": torch.ones(2, 2, dtype=torch.int64)},
    "mixes torch.float32 and torch.float64": {"fc1.weight": one, "fc1.bias": torch.ones(2, dtype=torch.float64)},
    "the order of the layers": {"encoder.weight": one, "decoder.weight": one},
    "have the same number": {"fc1.weight": one, "fc01.weight": one},
    r"norm\.running_mean with shape \(2,\) is not": {"fc1.weight": one, "norm.running_mean": torch.ones(2)},
    r"conv\.weight with shape \(2, 2, 3\) is not": {"conv.weight": torch.ones(2, 2, 3)},
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_is_not_a_chain_of_affine_layers_is_refused(message: str, tmp_path: Path) -> None:
    torch.save(BROKEN[message], tmp_path / "m.pt")
    save_file({name: tensor.clone() for name, tensor in BROKEN[message].items()}, tmp_path / "m.safetensors")
    for path in (tmp_path / "m.pt", tmp_path / "m.safetensors"):
        with pytest.raises(InputError, match=message):
            load_weights(path, "identity")


def header(entries: object) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = save_weights(SimpleModel(), tmp_path / "whole.safetensors").read_bytes()
    damaged = {
        "empty": b"",
        "text": b"hello, this is not a file of weights",
        "cut": whole[:-10],
        "long header": struct.pack("<Q", 2**60) + whole[8:],
        "not json": struct.pack("<Q", 8) + b"{]]]]]]]",
        "forged shape": header({"fc1.weight": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]}})
        + b"0000",
        "unknown dtype": header({"fc1.weight": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}) + b"0000",
        "zip": b"PK\x03\x04" + bytes(60),
        "pickle": pickle.dumps({"fc1.weight": [1.0]}),
        "wrong type": pickle.dumps([1, 2, 3]),
    }
    for name, content in damaged.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_weights(path, "identity")
        assert "\n" not in str(caught.value), name
        assert str(path) in str(caught.value), name


def test_a_flipped_bit_in_a_pytorch_file_is_seen(tmp_path: Path) -> None:
    torch.save({"fc1.weight": torch.full((8, 8), 0.5)}, tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    place = whole.index(struct.pack("<f", 0.5) * 64)
    (tmp_path / "m.pt").write_bytes(whole[:place] + struct.pack("<f", 0.25) + whole[place + 4 :])
    with pytest.raises(InputError, match="does not match its checksum"):
        load_weights(tmp_path / "m.pt")


def test_entries_on_top_of_each_other_are_not_read(tmp_path: Path) -> None:
    torch.save({"fc1.weight": torch.full((8, 8), 0.5)}, tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack("<HII", whole[end + 10 : end + 20])
    list_of_entries = whole[start : start + size] * 100
    tail = whole[end : end + 8] + struct.pack("<HHII", count * 100, count * 100, size * 100, start) + b"\0\0"
    (tmp_path / "m.pt").write_bytes(whole[:start] + list_of_entries + tail)
    with pytest.raises(InputError, match="claim more than the file holds"):
        load_weights(tmp_path / "m.pt")


@pytest.mark.parametrize("path", [None, 3, b"m.pt", ""])
def test_what_is_no_path_is_refused(path: object) -> None:
    for call in (load_weights, partial(save_weights, SimpleModel()), partial(save_layer, torch.nn.Linear(1, 1))):
        with pytest.raises(InputError, match="path must be the path of"):
            call(path)


@pytest.mark.parametrize("model", [None, 3, "model", SimpleModel])
def test_what_is_no_model_is_not_saved(model: object, tmp_path: Path) -> None:
    for save in (save_weights, save_layer):
        with pytest.raises(InputError, match=r"must be an? "):
            save(model, tmp_path / "m.safetensors")  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"fc1.weight": torch.ones(1, 1), "payload": Bomb(trace)}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="PyTorch file of weights alone"):
        load_weights(tmp_path / "m.pt", "identity")
    assert not trace.exists()


def test_a_small_file_cannot_claim_a_large_matrix(tmp_path: Path) -> None:
    torch.save({"fc1.weight": torch.ones(1).expand(10**5, 10**6)}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="more than the file holds"):
        load_weights(tmp_path / "m.pt")


def test_compressed_files_are_refused(tmp_path: Path) -> None:
    torch.save({"fc1.weight": torch.zeros(200, 200)}, tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as source, zipfile.ZipFile(tmp_path / "z.pt", "w") as packed:
        for entry in source.namelist():
            packed.writestr(entry, source.read(entry), compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed"):
        load_weights(tmp_path / "z.pt")


def test_state_dicts_have_names_and_tensors(tmp_path: Path) -> None:
    for content in (OrderedDict(epoch=3), {1: one}, [one], one):
        torch.save(content, tmp_path / "m.pt")
        with pytest.raises(InputError, match="state dict"):
            load_weights(tmp_path / "m.pt")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_weights(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="is a folder"):
        load_weights(tmp_path)
