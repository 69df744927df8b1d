"""The command line: what it writes where, its exit codes, and one clear line for every bad input."""

from __future__ import annotations

import gc
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner, Result

import whyactivate
from demo_run import quick_parts, quick_result
from whyactivate.activations import ACTIVATIONS
from whyactivate.cli import app, main
from whyactivate.cli.console import show_table, write_json
from whyactivate.cli.exits import code_of
from whyactivate.demo import Disagreement, Part, words
from whyactivate.demo.story import heading, table_of
from whyactivate.errors import CannotProveError, WhyActivateError
from whyactivate.models import MLP
from whyactivate.weights import load_weights, save_weights

pytestmark = pytest.mark.xdist_group("demo")
FIGURES = ["loss-curves", "counterexample", "moons-boundaries", "digits-weights"]


def run(*arguments: object, columns: int = 200, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": str(columns), **environment}).invoke(app, [str(each) for each in arguments])


def program(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    command = [sys.executable, "-c", "from whyactivate.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env={**os.environ, **environment}, check=False
    )


def complaint(result: Result, code: int = 2) -> str:
    """The one line on stderr that a command ends with."""
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("whyactivate: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("whyactivate: ").strip()


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's parts without the wait."""
    quick_parts()
    monkeypatch.setattr("whyactivate.demo.demo_parts", lambda *_, **__: iter(quick_parts()))


def flat(text: str) -> str:
    return " ".join(text.split())


# whyactivate


def test_version_and_help_need_nothing_heavy() -> None:
    code = (
        "import sys\nfrom whyactivate.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'sympy', 'matplotlib', 'sklearn', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for arguments, expected in (["--version"], whyactivate.__version__), (["--help"], "activations"), ([], "demo"):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout


def test_the_package_itself_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "whyactivate", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: whyactivate [OPTIONS] COMMAND" in done.stdout


COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback is not None]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert command in run("--help").stdout


def test_a_help_says_what_to_write_and_not_how_python_takes_it() -> None:
    for command in [[], *([command] for command in COMMANDS)]:
        assert not re.search(r"<bool>|<list", run(*command, "--help").stdout)
    assert "In full: [name=]shape[:dtype], as in mask=1,16:bool." in flat(run("inspect", "--help").stdout)


@pytest.mark.parametrize("columns", [72, 78, 80, 100])
@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_a_help_is_cut_off_nowhere_and_fills_its_lines(command: list[str], columns: int) -> None:
    said = run(*command, "--help", columns=columns).stdout
    assert "…" not in said
    lines = [line.strip() for line in said.partition("╭")[0].splitlines()]
    assert len(lines) > 3
    for line, following in pairwise(lines):
        # A margin of one character on either side.
        assert not (line and following) or len(f"{line} {following.split()[0]}") > columns - 2, line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["dmeo"], "No such command 'dmeo'. Did you mean 'demo'? See whyactivate --help."),
        (["--versoin"], "No such option: --versoin. Did you mean --version? See whyactivate --help."),
        (["demo", "--sede", "3"], "No such option: --sede. Did you mean --seed? See whyactivate demo --help."),
        (["demo", "--xyzzy"], "No such option: --xyzzy. See whyactivate demo --help."),
        (["demo", "--seed"], "Option '--seed' requires an argument. See whyactivate --help."),
        (["demo", "--seed", "-1"], "'--seed': expected a whole number from 0 to 4294967295, got -1."),
        (["demo", "--seed", str(2**32)], "'--seed': expected a whole number from 0 to 4294967295, got 4294967296."),
        (["prove", "3,1", "--seed", "-1"], "'--seed': expected a whole number from 0 to 4294967295, got -1."),
        (["compare", "--data", "xor", "--seeds", "0"], "'--seeds': expected a whole number of at least 1, got 0."),
        (["demo", "--seed", "one"], "'--seed'"),
        (["demo", "extra"], "extra"),
        (["collapse"], "Missing argument"),
        (["train"], "Missing argument"),
    ],
)
def test_misspelt_commands_and_options(arguments: list[str], expected: str) -> None:
    assert expected in complaint(run(*arguments))


def test_our_own_faults_are_not_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> Iterator[Part]:
        raise ZeroDivisionError("seven")

    monkeypatch.setattr("whyactivate.demo.demo_parts", fail)
    said = complaint(run("demo", "--json", "--out", tmp_path), 70)
    assert "our fault and not yours: ZeroDivisionError: seven" in said
    traced = run("demo", "--out", tmp_path, WHYACTIVATE_TRACEBACK="1")
    assert traced.exit_code == 70
    assert "Traceback" in traced.stderr


def test_every_error_has_an_exit_code() -> None:
    def kinds(parent: type[WhyActivateError]) -> Iterator[type[WhyActivateError]]:
        yield parent
        for child in parent.__subclasses__():
            yield from kinds(child)

    codes = {kind.__name__: code_of(kind.__new__(kind)) for kind in kinds(WhyActivateError)}
    assert codes.items() >= {
        "WhyActivateError": 2, "InputError": 2, "UnknownNameError": 2, "DivergedError": 1, "CannotProveError": 3,
        "CannotCollapseError": 3, "NotAffineError": 1, "UndecidedError": 3, "RowsMixError": 1,
    }.items()  # fmt: skip


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from whyactivate.cli import main; main()", "activations"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_that_knows_no_arrows_gets_question_marks() -> None:
    done = program("activations", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "(?, ?)" in done.stdout.replace("??", "?")


# whyactivate demo


@pytest.mark.usefixtures("ready")
def test_demo_tells_the_story_and_writes_the_files(tmp_path: Path) -> None:
    result = run("demo", "--quick", "--out", tmp_path / "new" / "folder")
    assert (result.exit_code, result.stderr) == (0, "")
    said = flat(result.stdout)
    for position, part in enumerate(quick_parts(), 1):
        assert f"{position}. {heading(part)}" in said
    assert flat(words.say_floor(quick_result().article.contest)) in said
    assert flat(words.say_refutation(quick_result().refutation)) in said
    for proof in quick_result().collapse.proofs:
        assert f"{proof.kind}: holds." in said
    assert words.say_verdict(quick_result().checks) in said
    files = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert files == sorted([*(f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")), "report.html"])
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("ready")
def test_demo_without_plots(tmp_path: Path) -> None:
    result = run("demo", "--quick", "--no-plots", "--out", tmp_path)
    assert result.exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("columns", [30, 60, 80])
def test_demo_fits_narrow_terminals(columns: int, tmp_path: Path) -> None:
    result = run("demo", "--no-plots", "--out", tmp_path, columns=columns)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    cells = [cell for part in quick_parts() if (table := table_of(part)) for row in table.rows for cell in row]
    assert [cell for cell in cells if cell not in flat(result.stdout)] == []
    assert "below the floor?" in flat(result.stdout)
    loss = f"{quick_result().moons.contest.network('relu').loss:.4f}"
    assert loss in result.stdout


@pytest.mark.usefixtures("ready")
def test_demo_as_json_is_json_and_nothing_else(tmp_path: Path) -> None:
    result = run("demo", "--json", "--no-plots", "--out", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["holds"] is True
    assert found["files"] == [str(tmp_path / "report.html")]
    assert {check["name"] for check in found["checks"]} == {check.name for check in quick_result().checks}


def test_demo_as_a_program_of_its_own(tmp_path: Path) -> None:
    done = program("demo", "--quick", "--json", "--no-plots", "--seed", "1", "--out", tmp_path, NO_COLOR="1")
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert [check for check in found["checks"] if not check["holds"]] == []
    assert (done.returncode, found["seed"], found["quick"]) == (0, 1, True)
    assert found["version"] == whyactivate.__version__


def test_demo_fails_where_a_check_does_and_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    *others, digits = quick_parts()
    broken = replace(digits, disagreements=(Disagreement(1, 2, 3, 1e-9),))  # type: ignore[type-var]
    monkeypatch.setattr("whyactivate.demo.demo_parts", lambda *_, **__: iter((*others, broken)))
    result = run("demo", "--no-plots", "--out", tmp_path)
    assert result.exit_code == 1
    assert "1 of" in result.stdout
    assert "checks did not hold: digits.same_class." in result.stdout
    assert "On the others (row 1)" in flat(result.stdout)
    as_json = run("demo", "--no-plots", "--json", "--out", tmp_path)
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["holds"] is False


@pytest.mark.parametrize("arguments", [["--quick"], ["--json"]])
def test_demo_interrupted_says_what_was_written(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[Part]:
        yield quick_parts()[0]
        raise KeyboardInterrupt

    monkeypatch.setattr("whyactivate.demo.demo_parts", interrupted)
    result = run("demo", *arguments, "--out", tmp_path)
    assert result.exit_code == 130
    files = f"{tmp_path / 'loss-curves.svg'}, {tmp_path / 'loss-curves.png'}"
    assert result.stderr == f"whyactivate: interrupted; written so far: {files}\n"
    assert "nothing was written" in run("demo", *arguments, "--no-plots", "--out", tmp_path).stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process alone")
def test_demo_stops_on_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from whyactivate.cli import main; main()", "demo", "--out", str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A test run in the background may have been told to ignore Ctrl-C; the command must not inherit that.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(command, **pipes, preexec_fn=heed) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("whyactivate")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest, said = process.stdout.read(), process.stderr.read()
    assert (process.returncode, rest) == (130, "")
    assert said == "whyactivate: interrupted; nothing was written\n"


def test_demo_needs_a_folder_that_can_be_written_to(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert complaint(run("demo", "--out", file)) == (
        f"cannot write into --out {file}: it is a file; name a folder that can be written to"
    )
    assert "not a directory" in complaint(run("demo", "--out", file / "below"))
    assert file.read_text() == "mine"


# whyactivate train


def test_train_sets_the_network_beside_the_floor(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    result = run("train", "article", "--activation", "none", "--epochs", 3, "--save", path)
    assert (result.exit_code, result.stderr) == (0, "")
    said = flat(result.stdout)
    assert said.startswith("10 → 18 → 18 → 4 → 1, Identity, on article: 100 training and 1000 test rows")
    assert "no affine model" in said
    assert "above the floor" in said
    assert f"Weights: {path}" in said
    saved = load_weights(path)
    assert (saved.activation, saved.model.widths) == ("identity", (10, 18, 18, 4, 1))


def test_train_as_json() -> None:
    options = ["--layers", "5", "--lr", "0.01", "--batch-size", "50", "--optimizer", "sgd", "--seed", "3"]
    result = run("train", "moons", "--json", "--epochs", 2, "--activation", "Leaky ReLU", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["layers"] == [2, 5, 2]
    network = found["networks"][0]
    assert network["activation"] == "leaky_relu"
    config = network["history"]["config"]
    assert (config["epochs"], config["learning_rate"], config["optimizer"]) == (2, 0.01, "sgd")
    assert (config["batch_size"], config["seed"]) == (50, 3)
    assert 0 <= network["test_accuracy"] <= 1
    assert found["floor"]["loss"] > 0
    assert (found["stopped"], found["saved"]) == ("finished", None)


def test_train_on_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("id;weight;power;used\n" + "".join(f"{i};{i % 7};{(i * 3) % 11};{i * 0.5}\n" for i in range(40)))
    options = ["--target", "used", "--drop", "id", "--delimiter", ";", "--layers", "none", "--epochs", 2]
    result = run("train", path, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert flat(result.stdout).startswith("2 → 1, ReLU, on cars: 30 training and 10 test rows")
    assert "Losses are in units of the target's variance" in result.stdout


def test_what_a_csv_file_is_told_to_be_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "räder.csv"
    path.write_text("größe,y\n" + "".join(f"{i},{i % 5}\n" for i in range(40)), encoding="latin-1")
    assert "name its own, as in --encoding latin-1" in complaint(run("train", path, "--target", "y"))
    assert "5 classes" in run("train", path, "--target", "y", "--encoding", "latin-1", "--epochs", 1).stdout
    options = ["--encoding", "latin-1", "--task", "regression", "--epochs", 1]
    assert "regression" in run("train", path, "--target", "y", *options).stdout
    compared = run(
        "compare", "--data", path, "--target", "y", *options, "--seeds", 1, "--activations", "relu", "--json"
    )
    assert json.loads(compared.stdout)["task"] == "regression"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["moonz"], "unknown data set 'moonz'. Did you mean 'moons'?"),
        (["missing.csv", "--target", "y"], "no file 'missing.csv'"),
        (["missing.csv"], "no file 'missing.csv'"),
        (["README.md"], "README.md is a file: name the column to predict with --target"),
        (["docs"], "'docs' cannot be read: Is a directory"),
        (["moons", "--task", "regression"], "--task is for CSV files"),
        (["moons", "--encoding", "latin-1"], "--encoding is for CSV files"),
        (["moons", "--activation", "rellu"], "unknown activation 'rellu'. Did you mean 'relu'?"),
        (["moons", "--layers", "3,x"], "must be whole numbers of at least 1, as in 18,18,4, or none; '3,x' came"),
        (["moons", "--layers", "3,0"], "'3,0' came"),
        (["moons", "--layers", "3,,4"], "'3,,4' came"),
        (["moons", "--epochs", "0"], "epochs must be a whole number of at least 1"),
        (["moons", "--lr", "nan"], "learning_rate must be a number above 0"),
        (["moons", "--batch-size", "0"], "batch_size"),
        (["moons", "--optimizer", "adm"], "unknown optimizer 'adm'. Did you mean 'adam'?"),
        (["moons", "--drop", "x"], "--drop is for CSV files"),
        (["moons", "--target", "x"], "--target is for CSV files; 'moons' is a data set by name"),
        (["", "--target", "x"], "no data set is named: expected one of article,"),
        (["moons", "--save", "missing/w.safetensors"], "cannot write missing/w.safetensors: no such file or directory"),
        (["moons", "--save", "."], "cannot write .: it is a folder; name a file"),
    ],
)  # fmt: skip
def test_train_refuses_bad_input(arguments: list[str], expected: str) -> None:
    assert expected in complaint(run("train", *arguments))


def test_train_says_where_a_csv_file_goes_wrong(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n3,\n")
    assert "line 3" in complaint(run("train", path, "--target", "b"))
    assert "Did you mean 'b'" in complaint(run("train", path, "--target", "bb"))


@pytest.mark.parametrize(
    ("text", "options", "advice"),
    [
        ("a,b b,y\n" + "1,x,2\n" * 9, [], "or pass --drop 'b b'"),
        ("a;y\n" + "1;2\n" * 9, [], "; pass --delimiter ';'"),
        ("a\ty\n" + "1\t2\n" * 9, [], r"; pass --delimiter '\t'"),
        ("a,y\n" + "1,2\n" * 9, [], "; if y is a quantity, pass --task regression"),
        ("a,y\n" + "1,2.5\n" * 9, ["--task", "classification"], "; if y is a quantity, pass --task regression"),
        ("a,y\n" + "1,u\n1,v\n1,w\n" * 2, [], "2 to test on, too few for 3 classes; bring more rows"),
    ],
)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_advice_about_a_csv_file_names_options(
    tmp_path: Path, command: str, text: str, options: list[str], advice: str
) -> None:
    path = tmp_path / "some.csv"
    path.write_text(text)
    data = [path] if command == "train" else ["--data", path]
    assert complaint(run(command, *data, "--target", "y", *options)).endswith(advice)


def test_a_tab_between_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "some.tsv"
    path.write_text("a\ty\n" + "".join(f"{i}\t{i * 0.5}\n" for i in range(40)))
    result = run("train", path, "--target", "y", "--delimiter", r"\t", "--layers", "none", "--epochs", 1)
    assert result.exit_code == 0


def test_training_that_diverges_is_a_failure_in_one_line() -> None:
    said = complaint(run("train", "article", "--lr", "1e5", "--optimizer", "sgd", "--epochs", 3), 1)
    assert "diverged" in said
    assert "learning rate" in said


def test_train_interrupted_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from whyactivate.training import train as train_model

    def interrupted(*arguments: object, callback: object) -> object:
        def press(epoch: int, _total: int, _metrics: object) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

        return train_model(*arguments, callback=press)  # type: ignore[arg-type]

    monkeypatch.setattr("whyactivate.training.train", interrupted)
    path = tmp_path / "w.safetensors"
    result = run("train", "moons", "--epochs", 5, "--save", path)
    assert result.exit_code == 130
    assert f"interrupted after epoch 2 of 5; the weights of then are in {path}" in result.stderr
    assert load_weights(path).activation == "relu"


def test_ctrl_c_before_a_command_runs_is_one_line_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(**_: object) -> None:
        raise KeyboardInterrupt

    module = sys.modules["whyactivate.cli.app"]  # the package has an app of its own
    monkeypatch.setattr(module, "app", pressed)
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, capsys.readouterr().err) == (130, "whyactivate: interrupted\n")


def test_a_file_that_was_there_is_not_lost_to_a_bad_argument(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_text("mine")
    complaint(run("train", "moonz", "--save", path))
    assert path.read_text() == "mine"
    empty = tmp_path / "empty"
    empty.touch()
    complaint(run("train", "moonz", "--save", empty))
    assert empty.exists()
    complaint(run("train", "moonz", "--save", tmp_path / "new"))
    assert not (tmp_path / "new").exists()


# whyactivate collapse


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_weights(MLP([4, 9, 9, 2], activation=None, seed=2), tmp_path / "net.safetensors")


def test_collapse_proves_and_saves(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.safetensors"
    result = run("collapse", saved, "--prove", "exact", "--prove", "theorem,symbolic", "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    said = flat(result.stdout)
    assert "4 → 9 → 9 → 2, no activation between the layers (the file says so)" in said
    assert "155 parameters before, 10 after" in said
    assert said.index("theorem: holds.") < said.index("symbolic: holds.") < said.index("exact: holds.")
    one, net = load_weights(out), load_weights(saved)
    x = torch.linspace(-1, 1, 20).reshape(5, 4)
    assert torch.allclose(one.model(x), net.model(x), atol=1e-6)
    again = run("collapse", out)
    assert again.exit_code == 0
    assert "10 parameters before, 10 after" in again.stdout


def test_collapse_as_json(saved: Path) -> None:
    result = run("collapse", saved, "--json", "--prove", "all")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["verdict"], found["activation"], found["recorded"]) == ("affine", "identity", True)
    assert (found["parameters_before"], found["parameters_after"]) == (155, 10)
    assert [len(row) for row in found["weight"]] == [4, 4]
    assert [proof["holds"] for proof in found["proofs"]] == [True] * 4


def test_collapse_of_a_network_with_an_activation_shows_why_not(tmp_path: Path) -> None:
    path = save_weights(MLP([4, 9, 2], activation="relu"), tmp_path / "relu.safetensors")
    result = run("collapse", path, "--out", tmp_path / "one.safetensors")
    assert (result.exit_code, result.stderr) == (1, "")
    assert "relu between the layers (the file says so)" in result.stdout
    assert "not affine" in result.stdout
    assert "counterexample: f(" in result.stdout
    assert not (tmp_path / "one.safetensors").exists()
    found = json.loads(run("collapse", path, "--json").stdout)
    assert found["verdict"] == "not_affine"
    assert found["counterexample"]["gap"] > 0
    assert any("relu" in blame for blame in found["blame"])


def test_collapse_of_a_pytorch_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(nn.Sequential(nn.Linear(3, 5), nn.Identity(), nn.Linear(5, 1)).state_dict(), path)
    assert "does not say which activation" in complaint(run("collapse", path))
    result = run("collapse", path, "--activation", "identity")
    assert result.exit_code == 0
    assert "no activation between the layers (you say so)" in result.stdout
    assert run("collapse", path, "--activation", "tanh").exit_code == 1


def test_a_proof_that_does_not_hold_or_cannot_be_had(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    from whyactivate.collapse import Collapse

    proof = replace(quick_result().collapse.proofs[0], holds=False)
    monkeypatch.setattr(Collapse, "prove", lambda *_: proof)
    result = run("collapse", saved, "--prove", "theorem")
    assert result.exit_code == 1
    assert "theorem: DOES NOT HOLD" in result.stdout

    def cannot(*_: object) -> object:
        raise CannotProveError("too many weights; ask for the exact proof")

    monkeypatch.setattr(Collapse, "prove", cannot)
    assert complaint(run("collapse", saved, "--prove", "symbolic"), 3) == "too many weights; ask for the exact proof"


def test_collapse_refuses_bad_input(saved: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    assert "no such file" in complaint(run("collapse", bad))
    assert "is a folder" in complaint(run("collapse", tmp_path))
    bad.write_bytes(saved.read_bytes()[:-7])
    assert "not a whole safetensors file" in complaint(run("collapse", bad))
    bad.write_bytes(pickle.dumps(os.system))
    assert "PyTorch file of weights alone" in complaint(run("collapse", bad))
    save_file({"fc1.weight": torch.full((1, 1), torch.nan)}, bad)
    assert "not finite" in complaint(run("collapse", bad))
    assert "Did you mean 'exact'" in complaint(run("collapse", saved, "--prove", "exakt"))
    assert "'relu' was asked for" in complaint(run("collapse", saved, "--activation", "relu"))
    assert "it is a folder" in complaint(run("collapse", saved, "--out", tmp_path))


# whyactivate activations


def test_activations_are_listed_with_their_facts() -> None:
    result = run("activations")
    assert (result.exit_code, result.stderr) == (0, "")
    for name, activation in ACTIVATIONS.items():
        assert f"{name}: {activation.sentence}" in result.stdout
        assert str(activation.range) in result.stdout
    found = {each["name"]: each for each in json.loads(run("activations", "--json").stdout)["activations"]}
    assert list(found) == list(ACTIVATIONS)
    assert found["relu"]["range"] == {"low": 0, "high": None, "low_reached": True, "high_reached": False}
    assert (found["tanh"]["saturates"], found["relu"]["piecewise_affine"]) == (True, True)


# What all commands share


def test_colours_only_on_a_terminal_that_wants_them() -> None:
    colours = run("activations", FORCE_COLOR="1")
    assert "\x1b[" in colours.stdout
    assert "\x1b[3" not in run("activations", FORCE_COLOR="1", NO_COLOR="1").stdout.replace("\x1b[3m", "")
    assert "\x1b" not in run("activations").stdout


def test_json_has_no_numbers_that_json_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"a": float("inf"), "b": [float("nan"), 1.5], "c": {"d": (2, None, True, "x")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": {"d": [2, None, True, "x"]}}


def test_tables_keep_their_numbers_whole() -> None:
    from rich.console import Console

    rows = [["ReLU", "0.1234", "12.5 %"], ["[bold]", "1", ""]]
    wide, narrow = Console(width=60), Console(width=20)
    with wide.capture() as seen:
        show_table(wide, "A table", ["name", "train loss", "share"], rows)
    assert "[bold]" in seen.get()
    with narrow.capture() as seen:
        show_table(narrow, "A table", ["name", "train loss", "share"], rows)
    assert "ReLU: train loss 0.1234, share 12.5 %" in flat(seen.get())
    assert "[bold]: train loss 1" in flat(seen.get())


def test_a_terminal_of_unknown_width_is_one_of_80_columns() -> None:
    assert run("exercise", columns=0).stdout == run("exercise", columns=80).stdout != ""


def test_a_closed_stdout_is_nobodys_fault() -> None:
    command = f"{sys.executable} -c 'from whyactivate.cli import main; main()' activations --json >&-"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
