"""Transposed convolutions: with what comes after them one layer, with what comes before only where that is exact."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from folding.blocks import Spoken, becomes, folded, only, reasons, rows, settled

KINDS = [
    (nn.ConvTranspose1d, nn.BatchNorm1d),
    (nn.ConvTranspose2d, nn.BatchNorm2d),
    (nn.ConvTranspose3d, nn.BatchNorm3d),
]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"groups": 2, "bias": False},
        {"dilation": 2, "groups": 2, "stride": 3},
    ],
)
def test_a_batch_norm_after_a_transposed_convolution_goes_into_it(axes, form):
    conv, norm = KINDS[axes - 1]
    net = settled(nn.Sequential(conv(4, 6, 3, **form), norm(6), nn.ReLU()))
    copied = folded(net, rows(2, 4, *(4, 3, 3)[:axes]))
    layer = only(copied, conv)
    scale = net[1].weight / (net[1].running_var + net[1].eps).sqrt()
    groups = form.get("groups", 1)
    apart = net[0].weight.reshape(groups, 4 // groups, 6 // groups, *layer.kernel_size)
    expected = apart * scale.reshape(groups, 1, 6 // groups, *(1,) * axes)
    torch.testing.assert_close(layer.weight, expected.flatten(0, 1), rtol=1e-13, atol=1e-14)
    assert layer.output_padding == net[0].output_padding


def test_a_shift_before_a_transposed_convolution_keeps_them_apart_and_the_plan_says_why():
    net = settled(nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 3, stride=2)))
    assert becomes(net, rows(2, 4, 5, 5)) == []
    assert "more of the kernel than others" in reasons(net, rows(2, 4, 5, 5))
    folded(net, rows(2, 4, 5, 5))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_batch_norm_without_shift_goes_into_the_transposed_convolution_after_it(groups):
    net = settled(nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 3, stride=2, groups=groups)))
    net[0].running_mean.zero_()
    net[0].bias.data.zero_()
    assert len(becomes(net, rows(2, 4, 5, 5))) == 1
    folded(net, rows(2, 4, 5, 5))


def test_a_transposed_convolution_of_single_points_is_a_matrix_at_each_of_them():
    net = settled(nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 1), nn.Conv2d(6, 3, 3)))
    assert becomes(net, rows(2, 4, 5, 5)) == ["Conv2d(4, 3, 3×3)"]
    folded(net, rows(2, 4, 5, 5))
    spread = settled(nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 1, stride=2)))
    assert becomes(spread, rows(2, 4, 5, 5)) == []
    folded(spread, rows(2, 4, 5, 5))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_matrix_at_each_point_before_or_after_goes_into_it(groups):
    after = settled(nn.Sequential(nn.ConvTranspose2d(4, 8, 3, groups=groups), nn.Conv2d(8, 2, 1)))
    assert becomes(after, rows(2, 4, 5, 5)) == ["ConvTranspose2d(4, 2, 3×3)"]
    folded(after, rows(2, 4, 5, 5))
    before = settled(nn.Sequential(nn.Conv2d(2, 8, 1, bias=False), nn.ConvTranspose2d(8, 4, 3, groups=groups)))
    assert becomes(before, rows(2, 2, 5, 5)) == ["ConvTranspose2d(2, 4, 3×3)"]
    folded(before, rows(2, 2, 5, 5))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 4, 3)),
        (nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3)),
        (nn.ConvTranspose2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3)),
    ],
)
def test_two_kernels_of_which_one_is_transposed_stay_two(first, second):
    net = settled(nn.Sequential(first, second))
    assert becomes(net, rows(2, 4, 5, 5)) == []
    assert "are not one convolution" in reasons(net, rows(2, 4, 5, 5))
    folded(net, rows(2, 4, 5, 5))


def test_branches_of_one_form_are_added_up_and_others_are_not():
    def forward(m, x):
        return torch.relu(m.n(m.a(x)) + 2 * m.b(x))

    def branches(**form):
        a, b = nn.ConvTranspose2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 4, 3, **form)
        return settled(Spoken(forward, a=a, b=b, n=nn.BatchNorm2d(4)))

    for groups in (1, 2):
        net = branches(groups=groups)
        assert becomes(net, rows(2, 4, 5, 5)) == ["ConvTranspose2d(4, 4, 3×3" + (", groups 2)" if groups == 2 else ")")]
        folded(net, rows(2, 4, 5, 5))
    other = settled(
        Spoken(lambda m, x: torch.relu(m.a(x) + m.c(x)), a=nn.ConvTranspose2d(4, 4, 3, padding=1), c=nn.Conv2d(4, 4, 1))
    )
    folded(other, rows(2, 4, 5, 5))


def test_an_output_size_that_forward_asks_for_is_kept():
    net = settled(
        Spoken(
            lambda m, x: torch.relu(m.norm(m.conv(x, output_size=(12, 12)))),
            conv=nn.ConvTranspose2d(4, 4, 3, stride=2),
            norm=nn.BatchNorm2d(4),
        )
    )
    folded(net, rows(2, 4, 5, 5))
