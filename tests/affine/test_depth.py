"""How deep a module is as written, and in effect."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.affine import analyze
from whyactivate.affine.depth import Depth, count_depth
from whyactivate.inspection import inspect_module
from whyactivate.models import MLP, SimpleModel


def depth_of(module: nn.Module, *inputs: Tensor) -> Depth:
    recordings = analyze(module.eval(), inputs).recordings
    assert recordings is not None
    return count_depth(recordings.tapes[0], module)


class Residual(nn.Module):
    """A block with a way round it, and two layers after it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(4, 4) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = x + self.b(torch.relu(self.a(x)))
        return self.d(self.c(h))


class Parallel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.left(x) + self.right(x))


class Twice(nn.Module):
    """One layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.same(self.same(x))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.last(self.left(x) + torch.tanh(self.right(y)))


class Functional(nn.Module):
    """Weights without a layer of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(5, 4))
        self.second = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.first), self.second)


def test_a_network_without_activations_is_one_layer_deep() -> None:
    assert depth_of(SimpleModel(None), torch.randn(3, 10)) == Depth(4, 1, (("fc1", "fc2", "fc3", "fc4"),))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_with_activations_it_is_as_deep_as_written(activation: str) -> None:
    assert depth_of(SimpleModel(activation), torch.randn(3, 10)) == Depth(4, 4, ())


def test_one_forgotten_activation_is_found() -> None:
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.Linear(3, 2))
    assert depth_of(module, torch.randn(2, 4)) == Depth(3, 2, (("2", "3"),))


def test_what_stands_between_two_layers_must_be_affine() -> None:
    between = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 4))
    assert depth_of(between, torch.randn(2, 4)).chains == (("0", "3"),)


def test_a_way_round_a_block_keeps_it_apart_but_two_layers_after_it_are_one() -> None:
    assert depth_of(Residual(), torch.randn(3, 4)) == Depth(4, 3, (("c", "d"),))


def test_parallel_layers_are_not_a_chain_but_what_follows_them_is_in_one() -> None:
    found = depth_of(Parallel(), torch.randn(3, 4))
    assert (found.written, found.effective) == (2, 1)
    (chain,) = found.chains
    assert chain[-1] == "last"
    assert len(chain) == 2


def test_a_layer_called_twice_is_two_layers_as_written_and_one_in_effect() -> None:
    assert depth_of(Twice(), torch.randn(3, 4)) == Depth(2, 1, (("same", "same"),))


def test_a_nonlinear_second_input_keeps_the_layers_apart() -> None:
    assert depth_of(TwoInputs(), torch.randn(3, 4), torch.randn(3, 4)) == Depth(2, 2, ())


def test_weights_without_a_layer_have_a_name_all_the_same() -> None:
    assert depth_of(Functional(), torch.randn(2, 4)) == Depth(2, 1, (("first", "second"),))


def test_elementwise_scales_are_no_layers() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.randn(4))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale + 1

    assert depth_of(Scale(), torch.randn(2, 4)) == Depth(0, 0, ())


@pytest.mark.parametrize("layers", [1, 2, 7])
def test_the_depth_of_an_mlp_is_the_number_of_its_layers(layers: int) -> None:
    widths = [4] * (layers + 1)
    assert depth_of(MLP(widths, "tanh"), torch.randn(2, 4)) == Depth(layers, layers, ())
    found = depth_of(MLP(widths, None), torch.randn(2, 4))
    assert (found.written, found.effective) == (layers, 1)


def test_it_prints_as_words() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    found = inspect_module(net, torch.zeros(2, 4)).depth
    assert str(found) == "3 layers deep as written, 2 in effect\n  one layer: 0 · 1 (no activation between them)"
    single = inspect_module(nn.Linear(4, 1), torch.zeros(2, 4)).depth
    assert str(single) == "1 layer deep as written, 1 in effect"


def test_of_a_module_that_returns_nothing_nothing_is_known_for_certain() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> None:
            self.second(self.first(x))

    found = inspect_module(Forgetful(), torch.zeros(2, 4))
    assert not found.complete
    assert "returned nothing that holds a tensor" in str(found)
    assert inspect_module(nn.Linear(4, 4), torch.zeros(2, 4)).complete
