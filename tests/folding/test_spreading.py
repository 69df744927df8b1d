"""Scales and shifts of features go through views that spread these over several axes, or that put them into one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from folding.blocks import ConvBN, Spoken, becomes, folded, layers, reasons, rows, settled
from whyactivate.affine.tape import Geometry
from whyactivate.folding.spreading import axes_of, flattened


def geometry(tensor: Tensor) -> Geometry:
    return Geometry(tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def scaled(m: Spoken, x: Tensor) -> Tensor:
    return m.fc((x.relu() * m.scale + m.shift).flatten(1))


def per_head(m: Spoken, x: Tensor) -> Tensor:
    return (m.fc(x).view(-1, 2, 3) * m.heads[:, None] + m.shift + 1).relu()


def functional(m: Spoken, x: Tensor) -> Tensor:
    return m.fc(F.batch_norm(x.relu(), m.bn.running_mean, m.bn.running_var).flatten(1))


def number(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(*shape))


FLATTENED = {
    "a batch normalisation": (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 5)), (4, 3, 3)),
    "of sequences": (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(36, 5)), (4, 9)),
    "two of them": (
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(36), nn.Linear(36, 5)),
        (4, 3, 3),
    ),
    "the last axis": (Spoken(scaled, fc=nn.Linear(30, 4), scale=number(6), shift=number(6)), (5, 6)),
    "functions": (Spoken(functional, fc=nn.Linear(36, 4), bn=nn.BatchNorm2d(4)), (4, 3, 3)),
    "a convolution of groups": (
        Spoken(
            lambda m, x: m.fc(m.bn(x.relu()).reshape(x.shape[0], -1, 1, 1)),
            fc=nn.Conv2d(36, 36, 1, groups=4),
            bn=nn.BatchNorm2d(4),
        ),
        (4, 3, 3),
    ),
}

UNFLATTENED = {
    "a batch normalisation": (nn.Sequential(nn.Linear(6, 36), nn.Unflatten(1, (4, 3, 3)), nn.BatchNorm2d(4)), (6,)),
    "of sequences": (nn.Sequential(nn.Linear(6, 12), nn.Unflatten(1, (4, 3)), nn.BatchNorm1d(4)), (6,)),
    "and back": (
        nn.Sequential(nn.Linear(6, 36), nn.Unflatten(1, (4, 3, 3)), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 3)),
        (6,),
    ),
    "of heads": (Spoken(per_head, fc=nn.Linear(6, 6), heads=number(2), shift=number(3)), (6,)),
    "a convolution of groups": (
        Spoken(
            lambda m, x: m.bn(m.fc(x.reshape(x.shape[0], -1, 1, 1)).reshape(x.shape)),
            fc=nn.Conv2d(36, 36, 1, groups=4),
            bn=nn.BatchNorm2d(4),
        ),
        (4, 3, 3),
    ),
}


@pytest.mark.parametrize(("net", "shape"), [*FLATTENED.values(), *UNFLATTENED.values()], ids=[*FLATTENED, *UNFLATTENED])
def test_what_scales_features_goes_into_the_layer_beyond_a_view(net, shape):
    x = rows(2, *shape)
    assert len(becomes(settled(net), x)) == 1
    copy = folded(net, x)
    assert not layers(copy, nn.BatchNorm2d) + layers(copy, nn.BatchNorm1d)


def test_a_generator_folds_its_first_normalisation_into_its_first_layer():
    """Radford et al., DCGAN, 2016, with a linear layer at the start."""
    blocks = [nn.BatchNorm2d(4), nn.Upsample(scale_factor=2), ConvBN(4, 4, 3, 1, 1), nn.ReLU()]
    net = settled(nn.Sequential(nn.Linear(6, 36), nn.Unflatten(1, (4, 3, 3)), *blocks))
    assert becomes(net, rows(2, 6)) == ["Linear(6, 36)", "Conv2d(4, 4, 3×3, padding 1)"]
    folded(net, rows(2, 6))


@pytest.mark.parametrize(
    ("forward", "shape"),
    [
        (lambda m, x: m.fc((x.relu() * m.scale).transpose(1, 2).flatten(1)), (5, 6)),
        (lambda m, x: m.fc((x.relu() * m.scale).flatten(1)[:, torch.randperm(30, generator=m.draw)]), (5, 6)),
    ],
)
def test_what_is_flattened_in_another_order_stays(forward, shape):
    net = Spoken(forward, fc=nn.Linear(30, 4), scale=number(6), draw=torch.Generator().manual_seed(0))
    assert not becomes(settled(net), rows(2, *shape))
    assert reasons(net, rows(2, *shape))


def test_the_axes_along_one_are_found_and_put_together():
    flat = torch.zeros(5, 36)
    wide, other = flat.view(5, 4, 3, 3), torch.zeros(7, 4, 3, 3)
    assert axes_of(geometry(wide), geometry(flat), 1) == range(1, 4)
    assert flattened(geometry(other), range(1, 4), geometry(flat), 1) == geometry(other.flatten(1))
    assert axes_of(geometry(wide.transpose(1, 2)), geometry(flat), 1) is None
    assert axes_of(geometry(wide), geometry(flat[:, :18]), 1) is None
    points = torch.zeros(5, 36, 1, 1)
    assert flattened(geometry(other), range(1, 4), geometry(points), 1).size == (7, 36, 1, 1)
