from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner, Result

from whyactivate.cli.app import app


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["prove", *arguments])


def test_the_articles_architecture_is_proved_for_every_weight() -> None:
    result = run("10,18,18,4,1")
    assert result.exit_code == 0
    assert "symbolic proof: holds" in result.stdout
    assert "All 621 weights and biases and all 10 inputs are symbols" in result.stdout
    assert result.stderr == ""


def test_every_kind_as_json() -> None:
    result = run("4,3,2", "--kind", "all", "--json", "--seed", "5")
    assert result.exit_code == 0
    written = json.loads(result.stdout)
    assert [proof["kind"] for proof in written["proofs"]] == ["theorem", "symbolic", "exact", "numeric"]
    assert all(proof["holds"] and proof["latex"].startswith("\\[") for proof in written["proofs"])
    assert written["layers"] == [4, 3, 2]
    assert written["seed"] == 5


def test_latex_alone_on_stdout() -> None:
    result = run("2,2,1", "--latex", "--no-bias")
    assert result.exit_code == 0
    assert result.stdout.startswith("% symbolic proof: holds\n\\[")
    assert result.stdout.rstrip().endswith("\\]")
    assert "w^{(2)}_{11} w^{(1)}_{11} x_{1}" in result.stdout
    assert "b^{" not in result.stdout


@pytest.mark.parametrize("widths", ["10", "4,0,1", "4,-1", "ten,one", "", "4,,1", "4.5,1"])
def test_widths_that_make_no_network_are_refused(widths: str) -> None:
    result = run("--", widths)
    assert result.exit_code == 2
    assert "expected at least two positive widths" in result.stderr
    assert result.stdout == ""


def test_what_would_not_fit_is_refused_with_an_estimate() -> None:
    result = run("500,500,500")
    assert result.exit_code == 3
    assert "GiB" in result.stderr
    assert "The theorem covers every architecture" in result.stderr


@pytest.mark.parametrize("kind", ["exact", "numeric"])
def test_more_weights_than_fit_into_memory_are_refused_before_they_are_drawn(kind: str) -> None:
    result = run("1000,1000000,1", "--kind", kind)
    assert result.exit_code == 3
    assert "1,001,000,000 weights" in result.stderr
    assert "GiB" in result.stderr
    assert "The theorem covers every architecture" in result.stderr


def test_options_that_exclude_each_other() -> None:
    result = run("4,1", "--latex", "--json")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr
    assert run("4,1", "--kind", "magic").exit_code == 2


def test_a_symbolic_proof_needs_no_pytorch() -> None:
    from subprocess import run as start

    code = "import sys\nfrom whyactivate.cli.app import app\ntry: app(['prove', '3,2,1'])\nexcept SystemExit: pass\n"
    done = start([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(("name", "words"), [("none.safetensors", "no such file"), (".", "a folder"), ("", "")])
def test_what_is_no_certificate_is_refused_by_name(tmp_path, name: str, words: str) -> None:
    path = tmp_path / name
    if not name:
        path = tmp_path / "text.txt"
        path.write_text("these are not the numbers of a network")
        words = "no safetensors file"
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["verify", str(path)])
    assert result.exit_code == 2
    assert words in result.output
    assert path.name in result.output
