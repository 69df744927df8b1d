"""Regions tile the slice, each map agrees with the network, and the count is that of trying every pattern."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from fractions import Fraction
from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from whyactivate import MLP, collapse_linear
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.errors import CannotProveError, InputError
from whyactivate.lessons.regions import (
    affine_map_at,
    most_pieces_of_layers,
    most_pieces_of_lines,
    regions_along,
    regions_in,
)
from whyactivate.lessons.regions.bounds import folded_pieces
from whyactivate.lessons.regions.polygons import corner, cut, size, value_at

ACTIVATIONS = ("relu", "leaky_relu", "prelu", "hardtanh", "relu6")


def small(activation: str, seed: int, layers: tuple[int, ...] = (2, 4, 4, 2)) -> MLP:
    return MLP(layers, activation, seed=seed)


class TestTiling:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_areas_add_up_exactly_and_every_corner_agrees(self, activation, seed):
        found = regions_in(small(activation, seed), 3.0)
        assert found.tiled
        assert sum(cell.size for cell in found.cells) == 36
        equal, total = found.agreement
        assert equal == total >= 3 * len(found.cells)
        assert len(found.cells) <= found.bound

    @pytest.mark.parametrize("activation", ["relu", "hardtanh"])
    def test_no_point_is_inside_two_cells(self, activation):
        found = regions_in(small(activation, 2), 3.0)
        generator = random.Random(0)
        for _ in range(100):
            point = corner(*(Fraction(generator.randint(-2999, 2999), 1000) for _ in range(2)))
            assert sum(strictly_inside(cell.shape, point) for cell in found.cells) <= 1

    def test_the_float_network_agrees_to_rounding(self):
        model = small("relu", 3)
        found = regions_in(model, 2.0)
        generator = torch.Generator().manual_seed(0)
        for x, y in (4 * torch.rand(60, 2, generator=generator, dtype=torch.float64) - 2).tolist():
            cell = found.cells[found.cell_at(x, y)]
            expected = model(found.input_at(x, y).float()[None])[0].double()
            got = torch.tensor([float(value) for value in cell(Fraction(x), Fraction(y))], dtype=torch.float64)
            assert torch.allclose(got, expected, atol=1e-5)

    def test_another_window_and_a_slice_of_many_features(self):
        model = MLP([10, 8, 8, 1], "relu")
        generator = torch.Generator().manual_seed(0)
        origin, u, v = torch.randn(3, 10, generator=generator)
        found = regions_in(model, ((-1.0, 2.0), (0.5, 1.0)), origin=origin, directions=(u, v))
        assert found.size == Fraction(3, 2)
        assert found.tiled
        assert found.agreement[0] == found.agreement[1]

    def test_a_cell_outside_is_an_error(self):
        with pytest.raises(InputError, match="outside"):
            regions_in(small("relu", 0), 1.0).cell_at(2.0, 0.0)


def strictly_inside(shape, point):
    turns = []
    for (ax, ay, aw), (bx, by, bw) in zip(shape, (*shape[1:], shape[0]), strict=True):
        turns.append(value_at((ay * bw - aw * by, aw * bx - ax * bw, ax * by - ay * bx), point))
    return min(turns) > 0 or max(turns) < 0


class TestFigure:
    def test_where_there_is_one_input_the_axis_is_that_input(self):
        found = regions_along(small_unit(), torch.tensor([-2.0]), torch.tensor([2.0]))
        axes = found.plot("").axes[0]
        line, dots = axes.lines
        assert list(line.get_xdata()) == [-2, 1, 2]
        assert list(dots.get_xdata()) == [1]
        assert axes.get_xlabel().startswith("input ")

    def test_else_it_is_the_place_between_the_ends(self):
        axes = regions_along(small("relu", 0), torch.zeros(2), torch.ones(2)).plot("").axes[0]
        assert axes.get_xlim() == (0, 1)
        assert axes.get_xlabel().startswith("position on the segment")

    def test_the_coordinates_of_the_whole_plane_are_the_inputs(self):
        whole = regions_in(small("relu", 0), 2.0)
        assert whole.plot("").axes[0].get_xlabel() == "first input"
        moved = regions_in(small("relu", 0), 2.0, origin=torch.ones(2))
        assert moved.plot("").axes[0].get_xlabel() == "first coordinate of the slice"


def small_unit() -> nn.Module:
    """The unit relu(x − 1)."""
    unit = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    nn.init.ones_(unit[0].weight)
    nn.init.constant_(unit[0].bias, -1.0)
    return unit


class TestCounting:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("layers", [(2, 4, 1), (2, 3, 3, 1)])
    def test_the_count_is_that_of_trying_every_pattern(self, seed, layers):
        model = MLP(layers, "relu", seed=seed)
        assert len(regions_in(model, 2.0).cells) == by_brute_force(model, Fraction(2))

    def test_lines_in_general_position_reach_zaslavskys_number(self):
        found = regions_in(MLP([2, 4, 1], "relu", seed=1), 1000.0)
        assert len(found.cells) == 1 + 4 + comb(4, 2) == found.bound == most_pieces_of_lines(4, 2)

    @pytest.mark.parametrize("depth", [1, 2, 3, 4])
    def test_folding_reaches_two_to_the_depth_on_a_line(self, depth):
        found = regions_along(folding(depth), torch.zeros(1), torch.ones(1))
        assert len(found.regions) == folded_pieces(2, depth) == 2**depth
        assert len(found.cells) <= found.bound == most_pieces_of_layers([2] * depth, 1)

    def test_without_activations_there_is_one_region(self):
        found = regions_in(MLP([2, 16, 16, 1], None), 5.0)
        assert (len(found.cells), len(found.regions), found.bound) == (1, 1, 1)
        assert "one affine map" in found.explain()

    def test_cells_with_one_map_are_one_region(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        with torch.no_grad():
            model[2].weight[0, 0] = 0.0
        found = regions_in(model, 20.0)
        assert len(found.regions) < len(found.cells)
        assert sorted(i for region in found.regions for i in region) == list(range(len(found.cells)))


def folding(depth: int) -> nn.Sequential:
    """x ↦ 2·relu(x) − 4·relu(x − 1/2), again and again: a tent on [0, 1]."""
    parts: list[nn.Module] = []
    for _ in range(depth):
        first, last = nn.Linear(1, 2), nn.Linear(2, 1)
        with torch.no_grad():
            first.weight.copy_(torch.tensor([[1.0], [1.0]]))
            first.bias.copy_(torch.tensor([0.0, -0.5]))
            last.weight.copy_(torch.tensor([[2.0, -4.0]]))
            last.bias.zero_()
        parts += [first, nn.ReLU(), last]
    return nn.Sequential(*parts)


def by_brute_force(model: MLP, radius: Fraction) -> int:
    """Patterns of on and off whose half-planes leave some area of the window: tried one by one."""
    weights = [[[Fraction(float(v)) for v in row] for row in layer.weight.tolist()] for layer in model.layers[:-1]]
    biases = [[Fraction(float(v)) for v in layer.bias.tolist()] for layer in model.layers[:-1]]
    window = [(-radius, -radius), (radius, -radius), (radius, radius), (-radius, radius)]
    count = 0
    for pattern in itertools.product((0, 1), repeat=sum(map(len, biases))):
        rows = [(Fraction(1), Fraction(0), Fraction(0)), (Fraction(0), Fraction(1), Fraction(0))]
        polygon, bits = window, iter(pattern)
        for weight, bias in zip(weights, biases, strict=True):
            following = []
            for row, shift in zip(weight, bias, strict=True):
                z = tuple(sum(w * r[k] for w, r in zip(row, rows, strict=True)) for k in range(3))
                z = (z[0], z[1], z[2] + shift)
                on = next(bits)
                polygon = clip(polygon, z if on else tuple(-value for value in z))
                following.append(z if on else (Fraction(0),) * 3)
            rows = following
        count += area(polygon) > 0
    return count


def clip(polygon, form):
    def at(p):
        return form[0] * p[0] + form[1] * p[1] + form[2]

    kept = []
    for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if at(p) >= 0:
            kept.append(p)
        if at(p) * at(q) < 0:
            t = at(p) / (at(p) - at(q))
            kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    return kept


def area(polygon):
    around = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(p[0] * q[1] - q[0] * p[1] for p, q in around)) / 2


@st.composite
def networks(draw) -> tuple[nn.Module, float]:
    """A small random network with kinks, and a window; weights are short numbers, so that lines often meet."""
    kind = draw(st.sampled_from([nn.ReLU, nn.LeakyReLU, lambda: nn.PReLU(init=-0.5), nn.Hardtanh]))
    widths = [2, *draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)), draw(st.integers(1, 2))]
    parts: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layer = nn.Linear(fan_in, fan_out)
        numbers = draw(st.lists(st.integers(-4, 4), min_size=fan_out * (fan_in + 1), max_size=fan_out * (fan_in + 1)))
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(numbers[fan_out:]).reshape(fan_out, fan_in) / 4)
            layer.bias.copy_(torch.tensor(numbers[:fan_out]) / 4)
        parts += [layer, kind()]
    return nn.Sequential(*parts[:-1]), draw(st.sampled_from([0.5, 2.0, 7.0]))


class TestRandomNetworks:
    """Of whatever network: the polygons tile the slice, each has its own map, and the count is the oracle's."""

    @given(networks(), st.integers(0, 2**32))
    @settings(max_examples=25)
    def test_polygons_tile_the_slice_and_each_map_is_the_network(self, made, seed):
        module, radius = made
        found = regions_in(module, radius)
        assert sum(cell.size for cell in found.cells) == (2 * Fraction(radius)) ** 2
        assert found.agreement[0] == found.agreement[1]
        generator = random.Random(seed)
        wide = module.double()
        for cell in found.cells:
            place = inside(cell.corners, generator)
            holding = [strictly_inside(other.shape, corner(*place)) for other in found.cells]
            assert holding.count(True) == 1  # so no two overlap: one inside the other would hold the other's point
            x = torch.tensor([float(value) for value in place], dtype=torch.float64)
            expected = wide(x[None])[0].tolist()
            assert [float(value) for value in cell(*place)] == pytest.approx(expected, abs=1e-5)

    @given(networks())
    @settings(max_examples=15)
    def test_the_local_map_is_the_cells_and_is_proved(self, made):
        module, radius = made
        found = regions_in(module, radius)
        cell = found.cells[-1]
        local = found.collapse(len(found.cells) - 1)
        proof = local.prove(points=2)
        assert proof.holds, proof
        assert local(local.point) == list(cell(*cell.centre))

    @given(st.integers(0, 2**32 - 1), st.sampled_from([(2, 3, 1), (2, 5, 1), (2, 2, 3, 1), (2, 2, 2, 2, 1)]))
    @settings(max_examples=20)
    def test_the_count_is_that_of_trying_every_pattern(self, seed, layers):
        model = MLP(layers, "relu", seed=seed)
        found = regions_in(model, 2.0)
        assert len(found.cells) == by_brute_force(model, Fraction(2)) <= found.bound


def inside(corners, generator: random.Random) -> tuple[Fraction, ...]:
    """A random point strictly inside a convex polygon."""
    parts = [generator.randint(1, 1000) for _ in corners]
    total = sum(parts)
    return tuple(
        sum((share * at[axis] for share, at in zip(parts, corners, strict=True)), Fraction(0)) / total
        for axis in (0, 1)
    )


class TestLocalMap:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_it_is_the_network_there_and_proved(self, activation):
        model = small(activation, 4)
        x = torch.tensor([0.3, -0.7])
        found = affine_map_at(model, x)
        proof = found.prove()
        assert proof.holds
        assert proof.kind == "exact"
        assert found.contains(x)
        assert torch.allclose(found.layer(x.double()), model(x).double(), atol=1e-6)
        jacobian = torch.autograd.functional.jacobian(model, x)
        assert torch.allclose(found.weight, jacobian.double(), atol=1e-5)

    def test_a_changed_map_fails_the_proof(self):
        found = affine_map_at(small("relu", 0), torch.tensor([0.3, -0.7]))
        wrong = ExactAffine(found.exact.weight, found.exact.bias + Fraction(1, 2**200))
        assert not replace(found, exact=wrong).prove().holds

    def test_a_changed_region_fails_the_proof(self):
        found = affine_map_at(small("relu", 0), torch.tensor([0.3, -0.7]))
        outside = [replace(bound, bias=bound.bias - 100) for bound in found.bounds]
        assert not replace(found, bounds=tuple(outside)).prove().holds

    def test_far_away_is_another_region(self):
        found = affine_map_at(small("relu", 0), torch.tensor([0.3, -0.7]))
        assert not found.contains(torch.tensor([-30.0, 70.0]))

    def test_without_activations_it_is_the_collapse(self):
        model = MLP([3, 8, 8, 2], None)
        assert affine_map_at(model, torch.ones(3)).exact.equals(collapse_linear(model).exact)

    def test_each_cell_has_its_own(self):
        found = regions_in(small("relu", 5), 2.0)
        for number in (0, len(found.cells) // 2, len(found.cells) - 1):
            local = found.collapse(number)
            assert local.prove(points=2).holds
            place = found.cells[number].centre
            assert local(local.point) == found.cells[number](*place)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(2, 2), nn.Linear(2, 1)

    def forward(self, x):
        return self.out(x + torch.relu(self.inner(x)).abs() - x.clamp(-0.5, 0.25))


class TestOtherModules:
    def test_branches_and_skips(self):
        found = regions_in(Residual(), 2.0)
        assert found.tiled
        assert found.agreement[0] == found.agreement[1]
        assert len(found.cells) > 9

    def test_convolutions(self):
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1)).eval()
        a, b = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        found = regions_along(model, a, b)
        assert found.tiled
        assert found.agreement[0] == found.agreement[1]
        assert affine_map_at(model, a).prove(points=2).holds

    @pytest.mark.parametrize("module", [nn.GELU(), nn.Hardswish(), nn.Sigmoid()])
    def test_what_has_no_regions_is_refused(self, module):
        with pytest.raises(CannotProveError, match=r"kinks|affine"):
            regions_in(nn.Sequential(nn.Linear(2, 2), module))

    @pytest.mark.parametrize("module", [nn.Threshold(0.1, 20.0), nn.Hardshrink(0.3)])
    def test_what_jumps_is_refused(self, module):
        with pytest.raises(CannotProveError, match=r"jumps|kinks"):
            regions_in(nn.Sequential(nn.Linear(2, 2), module))

    @pytest.mark.parametrize(
        "network",
        [
            nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.1), nn.Linear(3, 1)).bfloat16(),
            nn.Sequential(nn.Linear(2, 3), nn.Hardtanh(-0.1, 0.3), nn.Linear(3, 1)),
            nn.Sequential(nn.Linear(2, 3), nn.Hardtanh(-0.1, 0.3), nn.Linear(3, 1)).double(),
            nn.Sequential(nn.Linear(2, 3), nn.PReLU(3), nn.ReLU(inplace=True), nn.Linear(3, 1)),
        ],
    )
    def test_thresholds_and_slopes_are_those_of_the_dtype(self, network):
        found = regions_in(network, 2.0)
        assert found.tiled
        assert found.agreement[0] == found.agreement[1]

    def test_decisions_on_the_data_are_refused(self):
        class Branch(nn.Module):
            def forward(self, x):
                return 2 * x if x.sum() > 0 else x

        with pytest.raises(CannotProveError, match="one program"):
            regions_in(Branch())

    def test_the_module_stays_as_it_is(self):
        model = small("relu", 0)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        regions_in(model, 1.0)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert model.training

    def test_bad_slices_are_refused(self):
        model = small("relu", 0)
        with pytest.raises(InputError, match="low < high"):
            regions_in(model, ((1.0, 1.0), (0.0, 1.0)))
        with pytest.raises(InputError, match="independent"):
            regions_in(model, directions=(torch.ones(2), 2 * torch.ones(2)))
        with pytest.raises(InputError, match="directions"):
            regions_in(MLP([3, 2, 1]), 1.0, origin=torch.zeros(3))


def test_cutting_a_polygon_keeps_its_area():
    square = tuple(corner(*map(Fraction, p)) for p in ((0, 0), (1, 0), (1, 1), (0, 1)))
    generator = random.Random(0)
    for _ in range(50):
        line = tuple(generator.randint(-9, 9) for _ in range(3))
        parts = cut(square, line)
        assert sum(size(part) for part in parts) == 1
        for part in parts:
            values = [value_at(line, point) for point in part]
            assert min(values) >= 0 or max(values) <= 0
