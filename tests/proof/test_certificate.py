from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

import whyactivate as wa
from proof.certificates import Draft, certify
from proof.networks import DTYPES, Architecture, architectures
from whyactivate.cli import app
from whyactivate.errors import CannotProveError, InputError
from whyactivate.proof import certificate, checker

NAMES = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.safetensors"


def save(module: nn.Module, path, example=None) -> wa.Collapse:
    collapse = wa.collapse_linear(module, example)
    assert collapse.save(path) == path
    return collapse


@settings(max_examples=60)
@given(architectures())
def test_what_is_saved_holds_and_is_the_exact_map(tmp_path_factory, architecture: Architecture):
    path = tmp_path_factory.getbasetemp() / "drawn.safetensors"
    claim = certify(architecture.network(), path, architecture.dtype)
    code, words = checker.check(path)
    assert (code, checker.CERTAIN in words) == (0, True)
    draft = Draft.read(path)
    assert draft.is_true()
    assert draft.numbers("claim.weight") == claim.weight.to_fractions()[0].tolist()
    assert draft.numbers("claim.bias") == [claim.bias.to_fractions()[0].tolist()]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_matrices_are_the_stored_ones_bit_for_bit(path, dtype):
    network = Architecture((5, 7, 3), (True, False), dtype, 3).network()
    save(network, path)
    tensors = load_file(path)  # the file is one that every safetensors reader opens
    assert torch.equal(tensors["step.1.weight"], network[0].weight)
    assert torch.equal(tensors["step.1.bias"], network[0].bias)
    assert torch.equal(tensors["step.2.weight"], network[1].weight)
    assert "step.2.bias" not in tensors
    assert tensors["step.2.weight"].dtype == dtype
    assert Draft.read(path).header["step.1.weight"]["dtype"] == NAMES[dtype]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_denormal_and_huge_numbers_and_zeros_of_both_signs(path, dtype):
    info = torch.finfo(dtype)
    network = Architecture((4, 2, 2), (True, True), dtype, 3).network()
    values = [info.smallest_normal, -info.smallest_normal / 4, info.max, 0.0, -0.0, 1.0, -info.max / 2, info.eps]
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor(values, dtype=torch.float64).reshape(2, 4))
        network[1].weight.copy_(torch.tensor([[2.0**-9, 0.0], [-0.0, 2.0**-10]]))
    claim = certify(network, path, dtype)
    assert checker.check(path)[0] == 0
    draft = Draft.read(path)
    assert draft.header["step.1.weight"]["dtype"] == NAMES[dtype]
    assert draft.is_true()
    assert draft.numbers("claim.weight") == claim.weight.to_fractions()[0].tolist()


def test_coefficients_that_pytorch_computed_are_written_as_they_are_and_the_file_says_so(path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    network(torch.randn(16, 4))
    save(network.eval(), path)
    code, words = checker.check(path)
    assert code == 0
    assert "weight / sqrt(variance + eps) is taken as float64 computes it" in words
    assert Draft.read(path).is_true()


def test_what_no_float_holds_is_written_as_whole_numbers_over_a_divisor(path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 9), nn.Unflatten(1, (1, 3, 3)), nn.AvgPool2d(3), nn.Flatten())
    save(network, path, torch.zeros(1, 1, 3, 3))
    draft = Draft.read(path)
    pooled = next(
        name for name, entry in draft.header.items() if name.startswith("step") and entry.get("dtype") == "U8"
    )
    assert 9 in {value.denominator for row in draft.numbers(pooled) for value in row}
    assert checker.check(path)[0] == 0
    assert draft.is_true()


def test_convolutions_residuals_and_upsampling_hold(path):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 1)
            self.up = nn.Upsample(scale_factor=2, mode="bicubic")

        def forward(self, x):
            return self.up(x + self.second(self.first(x)))

    torch.manual_seed(0)
    save(Residual(), path, torch.zeros(1, 1, 4, 4))
    assert checker.check(path)[0] == 0
    assert Draft.read(path).is_true()


def test_the_layers_are_named_in_the_notes(path):
    save(wa.SimpleModel(None), path)
    assert "Step 1 is fc1. Step 2 is fc2." in checker.check(path)[1]


def test_a_module_that_was_changed_since_is_not_certified(path):
    network = wa.SimpleModel(None)
    collapse = wa.collapse_linear(network)
    with torch.no_grad():
        network.fc1.weight[0, 0] += 1
    with pytest.raises(InputError, match="changed"):
        collapse.save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("LARGEST_FILE", 3000, "up to 3000"),
        ("LARGEST_HEADER", 900, "900 bytes"),
        ("LARGEST_COUNT", 600, "up to 600"),
        ("LARGEST_BITS", 600 * 30, "up to 18000 bits"),
        ("LARGEST_DIVISOR", 8, "too long"),
    ],
)
def test_what_the_checker_would_not_read_is_not_written(path, monkeypatch, limit, value, words):
    monkeypatch.setattr(certificate, limit, value)
    with pytest.raises(CannotProveError, match=words):
        wa.collapse_linear(wa.SimpleModel(None)).save(path)
    assert not path.exists()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("numbers", [[1.0, -0.75], [0.0, 0.0], [2.0**-14, 3 * 2.0**-12], [2.0**10, 0.0], [1 - 2.0**-8]])
def test_what_is_written_is_never_longer_than_the_checker_takes_it_for(path, monkeypatch, dtype, numbers):
    """The writer's count of bits is the checker's, or one more: at the limit that it keeps, the checker reads."""
    layer = nn.Linear(len(numbers), 1, bias=False, dtype=dtype)
    layer.weight = nn.Parameter(torch.tensor([numbers], dtype=dtype))
    collapse = wa.collapse_linear(layer)
    count = 2 * len(numbers) + 1
    limit = next(bits for bits in range(1, 99) if _saves(collapse, path, monkeypatch, bits * count))
    monkeypatch.setattr(checker, "LARGEST_BITS", limit * count)
    assert checker.check(str(path))[0] == 0
    monkeypatch.setattr(checker, "LARGEST_BITS", max(limit - 2, 0) * count)
    assert checker.check(str(path))[0] == 2


def _saves(collapse: wa.Collapse, path: str, monkeypatch: pytest.MonkeyPatch, bits: int) -> bool:
    monkeypatch.setattr(certificate, "LARGEST_BITS", bits)
    try:
        collapse.save(path)
    except CannotProveError:
        return False
    return True


def test_writer_and_checker_agree_on_format_claim_and_limits_though_they_share_no_code():
    for name in (
        "FORMAT",
        "CLAIM",
        "LARGEST_FILE",
        "LARGEST_HEADER",
        "LARGEST_COUNT",
        "LARGEST_DIVISOR",
        "LARGEST_BITS",
    ):
        assert getattr(certificate, name) == getattr(checker, name)


def test_a_file_that_cannot_be_written_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        wa.collapse_linear(wa.SimpleModel(None)).save(tmp_path)


class TestVerify:
    @staticmethod
    def run(*arguments: object):
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["verify", *map(str, arguments)])

    def test_a_certificate_that_holds(self, path):
        save(wa.SimpleModel(None), path)
        result = self.run(path)
        assert result.exit_code == 0
        assert "HOLDS for the 4 layers" in result.stdout
        report = json.loads(self.run(path, "--json").stdout)
        assert report["holds"] is True
        assert report["how"] == checker.CERTAIN

    def test_a_claim_that_does_not_hold(self, path):
        save(wa.SimpleModel(None), path)
        draft = Draft.read(path)
        draft.data[draft.span("claim.bias").start] ^= 1
        draft.write(path)
        result = self.run(path)
        assert result.exit_code == 1
        assert "DOES NOT HOLD" in result.stdout
        assert json.loads(self.run(path, "--json").stdout)["holds"] is False

    def test_a_file_that_is_none(self, path):
        for content in (None, b"", b"no certificate at all"):
            if content is not None:
                path.write_bytes(content)
            result = self.run(path)
            assert result.exit_code == 2
            assert isinstance(result.exception, SystemExit)
            assert len(result.stderr.strip().splitlines()) == 1
            assert "refused" in result.stderr


@pytest.mark.parametrize("wrong", [None, 3, 1.5])
def test_what_is_no_path_is_refused_with_what_was_expected(wrong):
    collapse = wa.collapse_linear(nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(InputError, match=f"expected the path of a file to write.*got {wrong}"):
        collapse.save(wrong)
