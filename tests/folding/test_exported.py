"""Exported programs: nothing in them is called, and yet they fold, and no parameter is left over."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim, export

import whyactivate as wa
from folding.blocks import ConvBN, RepVGGBlock, Residual, becomes, close, folded, layers, rows, settled


def exported(module: nn.Module, *inputs: torch.Tensor, guards: bool = False) -> nn.Module:
    sizes = tuple({0: Dim.DYNAMIC} for _ in inputs)
    return export(module, inputs, dynamic_shapes=(sizes,) if module.forward.__code__.co_flags & 4 else sizes).module(
        check_guards=guards
    )


@pytest.fixture(scope="module")
def network() -> nn.Module:
    head = nn.Sequential(nn.Flatten(), nn.Linear(144, 5), nn.Linear(5, 2))
    return settled(
        nn.Sequential(ConvBN(3, 4, 3, 1, 1), nn.ReLU(), RepVGGBlock(4, 4), nn.MaxPool2d(2), head[:1], *head[1:])
    )


@pytest.mark.parametrize("guards", [False, True])
def test_an_exported_program_folds_as_the_module_that_was_exported(network, guards):
    x = rows(2, 3, 12, 12)
    program = exported(network, x, guards=guards)
    assert becomes(program, x) == becomes(network, x)
    copied = folded(program, x)
    used = {node.target for node in copied.graph.nodes}
    for name, _ in [*copied.named_parameters(), *copied.named_buffers()]:
        assert name in used or name.rpartition(".")[0] in used, f"{name} is left over"
    assert len(copied.state_dict()) == 6
    assert type(copied.get_submodule("0.c")) is nn.Conv2d


def test_the_guards_of_an_exported_program_stay():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU()))
    program = exported(net, rows(2, 4), guards=True)
    copied = folded(program, rows(2, 4))
    assert "_guards_fn" in dict(copied.named_children())


def test_what_stays_keeps_its_name_and_what_nobody_reads_stays_too():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)))
    net.spare = nn.Parameter(torch.ones(3))
    copied = folded(exported(net, rows(2, 4)), rows(2, 4))
    assert torch.equal(copied.state_dict()["3.weight"], net[3].weight)
    assert {"0.weight", "0.bias", "3.weight", "3.bias"} <= copied.state_dict().keys()
    assert not [name for name in copied.state_dict() if name.startswith("1.")]


def test_blame_and_runs_of_an_exported_program_name_the_modules_and_lines_that_were_exported():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.fc3(self.fc2(torch.relu(self.fc1(x))))

    inspection = wa.inspect_module(exported(Net(), torch.randn(2, 4)), torch.randn(2, 4))
    text = str(inspection)
    assert "fc1's output goes through relu here; without it, fc1 and fc2 are one layer" in text
    assert "return self.fc3(self.fc2(torch.relu(self.fc1(x))))" in text
    assert "test_exported.py" in text
    assert inspection.depth.chains == (("fc2", "fc3"),)
    assert [run.run.modules for run in inspection.plan.runs] == [("fc1",), ("fc2", "fc3")]


def test_an_exported_residual_and_its_projection_are_one():
    net = settled(nn.Sequential(Residual(ConvBN(3, 3, 3, 1, 1)), nn.GELU(), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    copied = folded(exported(net, rows(2, 3, 5, 5)), rows(2, 3, 5, 5))
    assert len(layers(copied, nn.Conv2d)) == 2


def test_several_exported_inputs_and_outputs_keep_their_form():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.n, self.b = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(3, 6)

        def forward(self, pair):
            y = self.n(self.a(pair["x"])) + self.b(pair["y"])
            return {"sum": torch.relu(y), "both": [y.tanh(), pair["x"]]}

    net, pair = settled(Net()), {"x": rows(3, 4), "y": rows(3, 3)}
    sizes = ({"x": {0: Dim("batch")}, "y": {0: Dim("batch")}},)
    program = export(net, (pair,), dynamic_shapes=sizes).module(check_guards=False)
    copied = wa.collapse_runs(program, (pair,))
    assert wa.plan_runs(program, (pair,)).folds
    other = {"x": rows(7, 4), "y": rows(7, 3)}
    close(copied(other), net(other))


def test_an_exported_program_of_one_batch_size_says_that_it_takes_no_other():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))
    plan = wa.plan_runs(export(net, (rows(3, 4),)).module(check_guards=False), rows(3, 4))
    assert not plan.folds
    assert "does not run on a batch of" in str(plan)
