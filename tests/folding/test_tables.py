"""Embeddings: what acts on each row that is looked up goes into the table, where the table does not grow by that."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from folding.blocks import Spoken, bits, reasons, settled
from whyactivate import InputError, collapse_runs, plan_runs


def checked(net: nn.Module, ids: torch.Tensor) -> nn.Module:
    """`collapse_runs`, compared on every index of the table."""
    before = bits(net)
    copied = collapse_runs(net, ids)
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(net).items())
    for rows in (1, 3, 8):
        other = torch.randint(12, (rows, *ids.shape[1:]))
        torch.testing.assert_close(copied(other), net(other), rtol=1e-12, atol=1e-12)
    return copied


IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 0, 5]])


def test_an_embedding_and_the_linear_behind_it_are_one_table_where_that_is_smaller():
    net = settled(nn.Sequential(nn.Embedding(12, 8, padding_idx=0), nn.Dropout(), nn.Linear(8, 4), nn.ReLU()))
    plan = plan_runs(net, IDS)
    (run,) = plan.runs
    assert run.becomes == ("Embedding(12, 4)",)
    assert run.run.modules == ("0", "2")
    assert (run.before.multiply_adds, run.after.multiply_adds) == (5 * 8 * 4, 0)
    assert (run.before.kernels, run.after.kernels) == (2, 1)
    assert "12 × 4 = 48 numbers where the table of 0 holds 96 and the layers after it 36" in str(plan)
    copied = checked(net, IDS)
    assert torch.equal(copied[0].weight, net[0].weight @ net[2].weight.T + net[2].bias)
    assert copied[0].padding_idx == 0
    assert isinstance(copied[2], nn.Identity)


def test_a_factorised_embedding_stays_two_and_the_plan_gives_both_sizes():
    net = settled(nn.Sequential(nn.Embedding(1000, 8), nn.Linear(8, 40), nn.Tanh()))
    plan = plan_runs(net, IDS)
    assert not plan.folds
    assert "1,000 × 40 = 40,000 numbers where the table of 0 holds 8,000 and the layers after it 360" in str(plan)
    assert plan.before == plan.after
    assert plan.after.multiply_adds == 5 * 8 * 40
    checked(net, IDS)


def test_a_bottleneck_after_a_table_is_folded_with_it_or_without_it():
    net = settled(nn.Sequential(nn.Embedding(12, 8), nn.Linear(8, 30), nn.Linear(30, 4), nn.BatchNorm1d(5), nn.ReLU()))
    checked(net, IDS)
    assert plan_runs(net, IDS).runs[0].becomes == ("Embedding(12, 4)",)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.up(m.emb(x)).relu() + m.emb.weight.sum(),
        lambda m, x: m.up(m.emb(x)).relu() @ m.up.weight @ m.emb.weight.t(),
        lambda m, x: m.up(m.emb(x)).relu() + m.emb(x)[..., :4],
        lambda m, x: m.up(m.emb(x) - m.emb(x).mean(0)).relu(),
        lambda m, x: m.up(m.emb(x).flip(1)).relu() * (x != 0)[..., None],
        lambda m, x: m.up(m.emb(x).cumsum(1)).relu(),
        lambda m, x: m.up(m.emb(x).transpose(1, 2).reshape(len(x), 5, 8)).relu(),
        lambda m, x: m.up(m.emb(x) + m.pos(torch.arange(x.shape[1]))).relu(),
        lambda m, x: torch.relu(m.up(m.emb(x))) if m.emb.embedding_dim == 8 else m.emb(x),
    ],
)
def test_a_table_that_is_used_otherwise_stays_a_table_or_becomes_the_right_one(forward):
    net = settled(Spoken(forward, emb=nn.Embedding(12, 8), up=nn.Linear(8, 4), pos=nn.Embedding(5, 8)))
    checked(net, IDS)
    plan_runs(net, IDS)


def test_two_tables_of_one_input_are_told_apart():
    def forward(m, x):
        return torch.relu(m.a(m.first(x))) + torch.tanh(m.b(m.second(11 - x)))

    parts = {"first": nn.Embedding(12, 8), "second": nn.Embedding(12, 6), "a": nn.Linear(8, 3), "b": nn.Linear(6, 3)}
    net = settled(Spoken(forward, **parts))
    assert [run.becomes for run in plan_runs(net, IDS).runs] == [("Embedding(12, 3)",), ("Embedding(12, 3)",)]
    checked(net, IDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_table_keeps_its_dtype(dtype):
    net = nn.Sequential(nn.Embedding(12, 8), nn.Linear(8, 4)).to(dtype)
    copied = collapse_runs(net, IDS)
    assert copied[0].weight.dtype == dtype


def test_reasons_for_whole_numbers():
    assert "no" in reasons(nn.Flatten(), IDS)
    tied = Spoken(lambda m, x: m.head(m.fc(m.emb(x))), emb=nn.Embedding(12, 8), fc=nn.Linear(8, 8))
    tied.head = nn.Linear(8, 12, bias=False)
    tied.head.weight = tied.emb.weight
    assert "the table of emb is also head.weight" in reasons(tied, IDS)
    assert "max_norm" in reasons(nn.Sequential(nn.Embedding(12, 8, max_norm=1.0), nn.Linear(8, 4)), IDS)
    twice = Spoken(lambda m, x: m.fc(m.emb(x) + m.emb(x + 1)), emb=nn.Embedding(12, 8), fc=nn.Linear(8, 4))
    assert "called more than once" in reasons(twice, IDS)
    with pytest.raises(InputError, match="raised IndexError"):
        plan_runs(nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 4)), IDS)


def test_tensors_of_booleans_alone_are_still_refused():
    with pytest.raises(InputError, match="floating"):
        plan_runs(nn.Identity(), torch.ones(2, 3, dtype=torch.bool))


def test_a_forward_that_takes_token_numbers_does_not_become_a_graph_and_the_plan_says_so():
    parts = {"e": nn.Embedding(9, 4), "a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}
    net = settled(Spoken(lambda m, t: (lambda h: torch.relu(m.a(h) + m.b(h)))(torch.tanh(m.e(t))), **parts))
    assert "takes a tensor of whole numbers" in str(plan_runs(net, torch.randint(0, 9, (2, 5))))
