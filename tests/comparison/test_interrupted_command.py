"""`whyactivate compare` at a terminal, and a real Ctrl-C: what had ended is in the file, and the next run goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whyactivate.cli import app

PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from whyactivate.cli import main; main()"
)
GRID = ["compare", "--data", "moons", "--activations", "identity,relu", "--seeds", "6"]
GRID += ["--depths", "1,2,3,4,5", "--epochs", "60"]


def run_at_a_terminal(arguments: list[str], patience: float | None) -> tuple[int, str]:
    """Exit code and stderr of a run; Ctrl-C comes so many seconds after it said that it trains (None: never)."""
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "300"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    )
    os.close(theirs)
    said, pressed = b"", patience is None
    try:
        while True:
            said += os.read(ours, 4096)
            if b"of 60 networks" in said and not pressed:
                pressed = True
                time.sleep(patience or 0)
                process.send_signal(signal.SIGINT)
    except OSError:  # so a terminal says that nobody writes any more
        os.close(ours)
    return process.wait(60), said.decode(errors="replace")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
def test_stopped_by_ctrl_c_it_goes_on_to_the_same_file(tmp_path: Path):
    whole, part, draw = tmp_path / "whole.json", tmp_path / "part.json", random.Random(0)
    assert CliRunner().invoke(app, [*GRID, "--save", str(whole)]).exit_code == 0
    counts = [0]
    for patience in (0.0, *(draw.uniform(0, 0.5) for _ in range(3)), None):
        resume = ["--resume", str(part)] if part.exists() else []
        code, said = run_at_a_terminal([*GRID, "--save", str(part), *resume], patience)
        members = len(json.loads(part.read_text(encoding="utf-8"))["members"])
        counts.append(members)
        assert code in (0, 130), said
        if members < 60:
            assert code == 130
            assert f"whyactivate: interrupted after {members} of 60 networks; go on with --resume {part}" in said
    assert counts == sorted(counts)
    assert json.loads(part.read_text(encoding="utf-8")) == json.loads(whole.read_text(encoding="utf-8"))
    assert {path.name for path in tmp_path.iterdir()} == {"whole.json", "part.json"}
