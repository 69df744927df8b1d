"""Planning anew only what can have changed finds what planning all of it anew finds."""

from __future__ import annotations

import pytest
from torch import nn

import whyactivate as wa
from folding.blocks import ConvBN, MobileOneBlock, RepVGGBlock, Residual, Spoken, rows, settled
from whyactivate.folding.planning import Planner


def shared_ends(self: Spoken, x):
    y = self.first(x)
    return self.left(y), self.right(y), self.last(y + self.left(y))


def chain_of_branches(self: Spoken, x):
    for part in (self.first, self.left, self.right):
        x = part(x) + x
    return self.last(x), x


def linear_parts() -> dict[str, nn.Module]:
    return {name: nn.Linear(4, 4) for name in ("first", "left", "right", "last")}


NETWORKS = {
    "shared ends": (lambda: Spoken(shared_ends, **linear_parts()), (2, 4)),
    "branches": (lambda: Spoken(chain_of_branches, **linear_parts()), (2, 4)),
    "RepVGG": (lambda: nn.Sequential(RepVGGBlock(4, 4), RepVGGBlock(4, 4)), (2, 4, 6, 6)),
    "MobileOne": (
        lambda: nn.Sequential(MobileOneBlock(4, 4, 3, 1, 4, 3), MobileOneBlock(4, 4, 1, 1, 1, 2)),
        (2, 4, 6, 6),
    ),
    "residual": (lambda: Residual(nn.Sequential(ConvBN(4, 4, 3, pad=1), ConvBN(4, 4, 1))), (2, 4, 6, 6)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_is_planned_as_if_it_were_planned_anew(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, shape = NETWORKS[name]
    network, x = settled(make()), rows(*shape)
    found = str(wa.plan_runs(network, x))
    plan = Planner._plan
    monkeypatch.setattr(Planner, "_plan", lambda self, stale: plan(self, {*self.program.tensors}))
    assert str(wa.plan_runs(network, x)) == found


def test_a_tensor_that_others_share_is_planned_both_ways_and_little_else_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[int] = []
    ways = Planner._ways
    plan = Planner._plan

    def count_plan(self: Planner, stale: set) -> None:
        counts.append(0)
        plan(self, stale)

    def count_ways(self: Planner, made, reading):
        counts[-1] += 1
        return ways(self, made, reading)

    monkeypatch.setattr(Planner, "_plan", count_plan)
    monkeypatch.setattr(Planner, "_ways", count_ways)
    stem = nn.Sequential(*linear_parts().values())
    network = settled(Spoken(lambda self, x: shared_ends(self, self.stem(x).relu()), stem=stem, **linear_parts()))
    wa.plan_runs(network, rows(2, 4))
    assert len(counts) > 1
    assert 0 < counts[1] < counts[0]
