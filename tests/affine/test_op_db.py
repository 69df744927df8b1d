"""Verdicts on PyTorch's own operation samples, against superposition of the operations themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SWEEP = Path(__file__).with_name("op_db_sweep.py")


def sweep(samples_per_op: int, *kind: str) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(SWEEP), str(samples_per_op), *kind],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def check(found: dict[str, Any], most_undecided: int, least_refuted: float = 0.2) -> None:
    counts = found["counts"]
    print(counts, f"affine, yet undecided: {len(found['undecided'])}")
    assert found["wrong"] == []
    assert found["crashed"] == []
    assert len(found["undecided"]) <= most_undecided, found["undecided"]
    refused = sum(count for case, count in counts.items() if case.endswith("forward raised"))
    assert refused < 0.03 * sum(counts.values()), "operations raise only on numbers outside their domain"
    assert counts["affine: affine"] > 0.3 * sum(counts.values()), "affine operations are found to be affine"
    assert counts["not affine: not_affine"] > least_refuted * sum(counts.values()), "others are refuted"


def test_no_wrong_verdict_on_a_sample_of_every_operation() -> None:
    check(sweep(1), most_undecided=55)


@pytest.mark.slow
def test_no_wrong_verdict_on_two_samples_of_every_operation() -> None:
    check(sweep(2), most_undecided=120)


@pytest.mark.slow
def test_no_wrong_verdict_on_a_complex_sample_of_every_operation() -> None:
    check(sweep(1, "complex"), most_undecided=43, least_refuted=0.1)
