"""What is forgotten on the way is what nobody reads any more, and outputs are what they were with all of it kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from whyactivate.affine.evaluating.lifetimes import count_at_once, last_reads
from whyactivate.affine.evaluating.replay import Replay
from whyactivate.affine.recording import Example, record_all
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.exact import ExactArray


class Early(nn.Module):
    """Reads its input again at the end."""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for _ in range(5):
            y = torch.relu(y + 1)
        return y + x


class InPlace(nn.Module):
    """Writes into a part of memory that was read before."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z = y.abs()
        y[:, 1:] = z[:, :-1]
        return torch.cat([y.relu(), z], dim=1)


class Views(nn.Module):
    """Reads by way of views what was made long before."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x * x
        head, tail = y[:, :2], y[:, 2:]
        for _ in range(3):
            head = head.abs() - 1
        return head + tail, head


def program_of(module: nn.Module) -> Tape:
    single = record_all(module, Example.of(torch.randn(2, 4))).single
    assert single is not None
    return single


@pytest.mark.parametrize("kind", [Early, InPlace, Views])
def test_outputs_are_those_of_the_module(kind: type[nn.Module]) -> None:
    tape, x = program_of(kind()), torch.tensor([[0.5, -1.25, 3.0, -0.125]])
    found = Replay(tape).outputs([ExactArray.from_tensor(x)])
    shown = kind()(x)
    for numbers, expected in zip(found, [shown] if isinstance(shown, Tensor) else shown, strict=True):
        assert torch.equal(numbers.to_float64()[0], expected.double())


@pytest.mark.parametrize("kind", [Early, InPlace, Views])
def test_nothing_is_forgotten_that_is_read_later(kind: type[nn.Module]) -> None:
    tape, gone = program_of(kind()), set[int]()
    freed = last_reads(tape)
    for node in tape.needed():
        assert not gone.intersection(value.storage for value in node.values())
        gone.update(freed[node.index])
    assert gone


def test_a_chain_needs_two_layers_at_once_and_what_waits() -> None:
    chain = program_of(nn.Sequential(*(nn.ReLU() for _ in range(50))))
    assert count_at_once(chain) == 2 * 4
    assert count_at_once(program_of(Early())) == 3 * 4
