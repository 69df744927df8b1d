from __future__ import annotations

import pytest
import torch

import whyactivate as wa
from whyactivate.errors import InputError
from whyactivate.proof.underflow import underflow_staircase


@pytest.mark.parametrize("stairs", [4, 16, 64])
def test_a_linear_network_is_a_staircase_and_the_bound_covers_it(stairs: int) -> None:
    found = underflow_staircase(stairs)
    assert len(found.outputs.unique()) == 2 * stairs + 1
    assert torch.equal((found.outputs / found.step).round() * found.step, found.outputs)
    assert found.deviation == pytest.approx(found.step / 2, rel=0.05)
    collapse = wa.collapse_linear(found.network)
    assert collapse.weight.item() == 1
    assert collapse.prove("exact").holds
    proof = collapse.prove("numeric", x=found.x)
    assert proof.holds
    assert proof.details["at x: measured"] == found.deviation
    assert found.deviation <= proof.details["at x: bound"] <= 16 * found.deviation


def test_sums_are_not_kept_either() -> None:
    found = underflow_staircase(4)
    a, b = torch.tensor([[0.1]]).half(), torch.tensor([[0.1]]).half()
    with torch.no_grad():
        assert found.network(a) + found.network(b) != found.network(a + b)


def test_other_numbers_of_stairs_are_refused() -> None:
    for stairs in (0, 1, 2, 3, 128):
        with pytest.raises(InputError, match="power of two"):
            underflow_staircase(stairs)
