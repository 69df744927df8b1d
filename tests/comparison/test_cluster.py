"""On a cluster that loses a worker, the table is the sequential one, row by row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import whyactivate as wa

pytest.importorskip("distributed")

PROGRAM = Path(__file__).with_name("cluster.py")


@pytest.mark.slow
def test_two_worker_processes_of_which_one_is_killed(tmp_path: Path):
    path = tmp_path / "result.json"
    environment = os.environ | {"DASK_LOGGING__DISTRIBUTED": "critical"}
    done = subprocess.run(
        [sys.executable, PROGRAM, path], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "True", "False"], "two workers, one was killed, and it is gone"
    config = wa.TrainConfig(epochs=40)
    expected = wa.compare("article", ["relu", "tanh"], 12, config=config)
    result = wa.comparison.ComparisonResult.from_json(path)
    assert result == expected
