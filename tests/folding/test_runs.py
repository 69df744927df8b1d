"""What becomes one layer: chains, branches, low-rank products, tokens; and what does not pay."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import whyactivate as wa
from folding.blocks import Spoken, becomes, bits, close, folded, layers, only, reasons, rows, settled
from whyactivate import collapse_runs, plan_runs


def test_linear_batch_norm_dropout_linear_is_one_linear():
    net = settled(nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 4), nn.ReLU()))
    copied = folded(net, rows(2, 8))
    assert [type(part) for part in copied] == [nn.Linear, nn.Identity, nn.Dropout, nn.Identity, nn.ReLU]
    a, norm, _, b, _ = net
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight = b.weight @ torch.diag(scale) @ a.weight
    bias = b.weight @ (scale * (a.bias - norm.running_mean) + norm.bias) + b.bias
    torch.testing.assert_close(copied[0].weight, weight, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(copied[0].bias, bias, rtol=1e-13, atol=1e-14)


def test_the_article_network_becomes_one_linear_of_its_dtype():
    copied = collapse_runs(wa.SimpleModel(activation=None, seed=3), torch.randn(4, 10))
    assert [type(part) for part in copied.children()][:4] == [nn.Linear, nn.Identity, nn.Identity, nn.Identity]
    assert copied.fc1.weight.shape == (1, 10)
    assert copied.fc1.weight.dtype == torch.float32


def test_activations_keep_layers_apart():
    net = settled(
        nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2))
    )
    assert becomes(net, rows(2, 4)) == ["Linear(6, 3)"]
    copied = folded(net, rows(2, 4))
    assert all(torch.equal(copied.state_dict()[name], net.state_dict()[name]) for name in ("0.weight", "5.bias"))


def test_a_network_of_activations_and_single_layers_stays_as_it_is():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)))
    assert not plan_runs(net, rows(2, 4)).folds
    assert folded(net, rows(2, 4)).state_dict().keys() == net.state_dict().keys()


def test_a_bottleneck_is_kept_and_only_what_pays_is_folded():
    net = settled(nn.Sequential(nn.Linear(50, 2), nn.Linear(2, 50)))
    assert becomes(net, rows(2, 50)) == []
    assert "more multiply-adds" in reasons(net, rows(2, 50))
    net = settled(nn.Sequential(nn.Linear(50, 2), nn.Linear(2, 40), nn.Linear(40, 30)))
    plan = plan_runs(net, rows(2, 50))
    assert [run.becomes for run in plan.runs] == [("Linear(2, 30)",)]
    assert (plan.before.multiply_adds, plan.after.multiply_adds) == (100 + 80 + 1200, 100 + 60)
    folded(net, rows(2, 50))


def test_a_layer_on_tokens_stays_one_layer_on_the_last_axis():
    net = settled(nn.Sequential(nn.Linear(6, 12), nn.Linear(12, 5), nn.GELU()))
    copied = folded(net, rows(2, 7, 6))
    assert (copied[0].in_features, copied[0].out_features) == (6, 5)
    assert copied(rows(4, 3, 9, 6)).shape == (4, 3, 9, 5)
    assert plan_runs(net, rows(2, 7, 6)).after == wa.folding.Cost(7 * 6 * 5, 1)


def test_lora_is_its_merged_weight():
    def forward(m, x):
        return torch.relu(m.base(x) + m.up(m.dropout(m.down(x))) * 0.5)

    parts = {"base": nn.Linear(8, 6), "down": nn.Linear(8, 2, bias=False), "up": nn.Linear(2, 6, bias=False)}
    net = settled(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), Spoken(forward, dropout=nn.Dropout(), **parts)))
    for shape in ((2, 8), (2, 5, 8)):
        copied = folded(net, rows(*shape))
        merged = only(copied[2], nn.Linear)
        lora = net[2]
        torch.testing.assert_close(merged.weight, lora.base.weight + 0.5 * lora.up.weight @ lora.down.weight)
        torch.testing.assert_close(merged.bias, lora.base.bias)


def test_a_factorised_embedding_of_soft_tokens_is_one_table_where_that_pays():
    wide = settled(Spoken(lambda m, x: torch.tanh(m.up(x @ m.table)), up=nn.Linear(8, 3, bias=False)))
    wide.table = nn.Parameter(rows(5, 8))
    assert becomes(wide, rows(2, 4, 5)) == ["Linear(5, 3)"]
    folded(wide, rows(2, 4, 5))
    narrow = settled(nn.Sequential(nn.Linear(20, 2, bias=False), nn.Linear(2, 30, bias=False)))
    assert becomes(narrow, rows(2, 4, 20)) == []


def test_a_residual_around_conv_bn_is_one_convolution():
    net = settled(
        Spoken(lambda m, x: torch.relu(x + m.n(m.c(x))), c=nn.Conv2d(3, 3, 3, padding=1), n=nn.BatchNorm2d(3))
    )
    copied = folded(net, rows(2, 3, 5, 6))
    conv = only(copied, nn.Conv2d)
    scale = net.n.weight / (net.n.running_var + net.n.eps).sqrt()
    expected = net.c.weight * scale[:, None, None, None]
    expected[range(3), range(3), 1, 1] += 1
    torch.testing.assert_close(conv.weight, expected)


def test_a_residual_of_two_entries_keeps_the_sum_and_folds_the_rest():
    def forward(m, x):
        return torch.relu(x + m.n2(m.c2(torch.relu(m.n1(m.c1(x))))))

    parts = {"c1": nn.Conv2d(4, 4, 3, padding=1), "n1": nn.BatchNorm2d(4), "c2": nn.Conv2d(4, 4, 3, padding=1)}
    net = settled(Spoken(forward, n2=nn.BatchNorm2d(4), **parts))
    copied = folded(net, rows(2, 4, 5, 5))
    assert isinstance(copied, Spoken)
    assert isinstance(copied.n2, nn.Identity)
    assert len(layers(copied, nn.Conv2d)) == 2


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        (nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 3), "Conv2d(3, 2, 5×5)"),
        (nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1), "Conv2d(3, 2, 3×3, padding 1)"),
        (nn.Conv2d(3, 6, 1, bias=False), nn.Conv2d(6, 2, 3, padding=1), "Conv2d(3, 2, 3×3, padding 1)"),
        (nn.Conv2d(3, 8, 2, stride=2), nn.Conv2d(8, 1, 2, stride=2), "Conv2d(3, 1, 4×4, stride 4)"),
        (nn.Conv2d(2, 4, 3, groups=2, bias=False), nn.Conv2d(4, 2, 2, groups=2), "Conv2d(2, 2, 4×4, groups 2)"),
        (nn.Conv2d(3, 9, 2, dilation=2), nn.Conv2d(9, 1, 2, dilation=2), "Conv2d(3, 1, 3×3, dilation 2)"),
        (nn.Conv2d(3, 9, (1, 2)), nn.Conv2d(9, 2, (2, 1)), "Conv2d(3, 2, 2×2)"),
    ],
)
def test_two_convolutions_are_one_where_that_is_exact(first, second, whole):
    net = settled(nn.Sequential(first, second))
    assert becomes(net, rows(2, first.in_channels, 9, 8)) == [whole]
    folded(net, rows(2, first.in_channels, 9, 8))


@pytest.mark.parametrize("second", [nn.Conv2d(8, 2, 3, padding=1), nn.Conv2d(8, 2, 1, padding=1)])
def test_a_second_convolution_with_padding_stays(second):
    net = settled(nn.Sequential(nn.Conv2d(3, 8, 3), second))
    assert becomes(net, rows(2, 3, 9, 8)) == []
    assert "zeros that pad" in reasons(net, rows(2, 3, 9, 8))
    folded(net, rows(2, 3, 9, 8))


@pytest.mark.parametrize("axes", [1, 3])
def test_convolutions_of_one_and_three_axes(axes):
    conv, norm = {1: (nn.Conv1d, nn.BatchNorm1d), 3: (nn.Conv3d, nn.BatchNorm3d)}[axes]
    net = settled(nn.Sequential(conv(2, 4, 3, padding=1), norm(4), conv(4, 3, 1), norm(3)))
    copied = folded(net, rows(2, 2, *(4, 5, 6)[:axes]))
    assert type(only(copied, conv)) is conv


def test_a_padding_mode_other_than_zeros_is_left_as_it_is():
    net = settled(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(3)))
    folded(net, rows(2, 2, 5, 5))


def test_a_channels_last_layer_scale_and_permutations():
    def forward(m, x):
        y = m.fc2(m.fc1(m.conv(x).permute(0, 2, 3, 1)) * m.gamma)
        return torch.relu(y.permute(0, 3, 1, 2))

    net = Spoken(forward, conv=nn.Conv2d(3, 4, 3), fc1=nn.Linear(4, 8), fc2=nn.Linear(8, 4))
    net.gamma = nn.Parameter(torch.rand(8))
    folded(settled(net), rows(2, 3, 6, 7))


def test_several_inputs_and_outputs_of_any_shape():
    def forward(m, x, y):
        h = m.n(m.a(x)) + m.b(y)
        return {"sum": torch.relu(h), "both": (m.d(m.c(y)), h.tanh())}

    parts = {"a": nn.Linear(4, 6), "b": nn.Linear(3, 6), "c": nn.Linear(3, 8), "d": nn.Linear(8, 2)}
    net = settled(Spoken(forward, n=nn.BatchNorm1d(6), **parts))
    copied = folded(net, rows(2, 4), rows(2, 3))
    assert isinstance(copied.d, nn.Identity)
    assert isinstance(copied.n, nn.Identity)


def test_a_value_that_two_nonlinear_parts_read_is_computed_once():
    def forward(m, x):
        h = m.down(x)
        return torch.relu(m.q(h)) + torch.tanh(m.k(h))

    thin = Spoken(forward, down=nn.Linear(20, 3), q=nn.Linear(3, 20), k=nn.Linear(3, 20))
    assert becomes(settled(thin), rows(2, 20)) == []
    wide = Spoken(forward, down=nn.Linear(3, 50), q=nn.Linear(50, 4), k=nn.Linear(50, 4))
    assert becomes(settled(wide), rows(2, 3)) == ["Linear(3, 4)", "Linear(3, 4)"]
    folded(wide, rows(2, 3))
    folded(thin, rows(2, 20))


def test_a_value_that_is_also_returned_is_still_returned():
    def forward(m, x):
        h = m.a(x)
        return m.b(h), h

    folded(settled(Spoken(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 4))), rows(2, 4))


def test_a_region_works_for_every_batch_size_though_shapes_are_computed_in_it():
    def forward(m, x):
        rows, tokens, _ = x.shape
        y = m.a(x) + m.c(m.b(x))
        heads = y.view(rows, tokens, 2, 3).transpose(1, 2)
        mixed = torch.softmax(heads @ heads.transpose(-1, -2), -1) @ heads
        return m.out(mixed.transpose(1, 2).reshape(rows * tokens, 6)).view(rows, tokens, -1)

    parts = {"a": nn.Linear(6, 6), "b": nn.Linear(6, 6), "c": nn.Linear(6, 6), "out": nn.Linear(6, 4)}
    net = settled(Spoken(forward, **parts))
    copied = folded(net, rows(2, 5, 6))
    assert torch.equal(copied.state_dict()["out.weight"], net.out.weight)
    assert "Linear(6, 6)" in becomes(net, rows(2, 5, 6))


def test_the_example_may_have_any_number_of_rows():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))
    for count in (1, 2, 9):
        folded(net, rows(count, 4))


def test_functional_layers_are_folded_too():
    def forward(m, x):
        y = F.batch_norm(F.linear(x, m.w), m.mean, m.var)
        return torch.relu(y * 2 - 1)

    net = Spoken(forward)
    net.w, net.mean, net.var = nn.Parameter(rows(5, 4)), nn.Buffer(rows(5)), nn.Buffer(rows(5).abs() + 0.1)
    assert becomes(net.double(), rows(2, 4)) == ["Linear(4, 5)"]
    folded(net, rows(2, 4))


def test_a_float32_network_stays_within_rounding():
    net = settled(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 5))
    ).float()
    before = bits(net)
    copied = collapse_runs(net, torch.randn(2, 3, 5, 5))
    close(copied(x := torch.randn(4, 3, 5, 5)), net(x))
    assert torch.equal(copied.state_dict()["4.weight"], before["4.weight"])


def test_a_plan_prints_counts_and_serialises():
    net = settled(nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 4)))
    plan = plan_runs(net, rows(2, 8))
    text = str(plan)
    assert (
        "Sequential: 2 affine runs, 1 to fold; 224 multiply-adds in 4 kernels → 48 multiply-adds in 2 kernels" in text
    )
    assert "0 · 1 · 2 → relu" in text
    assert "becomes Linear(8, 4): 208 multiply-adds in 3 kernels → 32 multiply-adds in 1 kernel" in text
    assert plan._repr_html_().startswith("<pre ")
    as_dict = plan.to_dict()
    assert as_dict["runs"][0]["becomes"] == ("Linear(8, 4)",)
    assert as_dict["before"] == {"multiply_adds": 224, "kernels": 4}
    assert wa.plan_runs is plan_runs


@pytest.mark.parametrize(
    ("net", "whole"),
    [
        (lambda: [nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(2)], "Conv2d(3, 4, 4×4, stride 2, padding 1)"),
        (
            lambda: [nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.AvgPool2d((1, 3), (2, 1))],
            "Conv2d(3, 4, 1×3, stride 2×1)",
        ),
        (lambda: [nn.AvgPool2d(2, divisor_override=3), nn.Conv2d(3, 3, 3, groups=3)], None),
        (lambda: [nn.Conv2d(3, 4, 3), nn.AvgPool2d(2, padding=1)], None),
        (lambda: [nn.Conv2d(3, 4, 3), nn.AvgPool2d(2, padding=1, count_include_pad=False)], None),
        (lambda: [nn.Conv2d(3, 4, 3), nn.AvgPool2d(2, ceil_mode=True)], None),
        (lambda: [nn.AvgPool2d(2), nn.Conv2d(3, 4, 1)], None),
        (lambda: [nn.AvgPool2d(2), nn.BatchNorm2d(3), nn.AvgPool2d(2)], None),
    ],
)
def test_an_average_after_a_convolution_is_part_of_it(net, whole):
    module = settled(nn.Sequential(*net(), nn.ReLU()))
    assert becomes(module, rows(2, 3, 9, 8)) == ([whole] if whole else [])
    copied = folded(module, rows(2, 3, 9, 8))
    close(copied(x := rows(3, 3, 12, 7)), module(x))


def test_a_shortcut_that_averages_goes_into_the_convolution_beside_it():
    def forward(m, x):
        return torch.relu(m.wide(x) + m.narrow(m.mean(x)))

    net = settled(Spoken(forward, wide=nn.Conv2d(3, 4, 3, 2, 1), mean=nn.AvgPool2d(2), narrow=nn.Conv2d(3, 4, 1)))
    assert becomes(net, rows(2, 3, 8, 8)) == ["Conv2d(3, 4, 3×3, stride 2, padding 1)"]
    folded(net, rows(2, 3, 8, 8))


def test_an_average_over_three_axes_is_part_of_the_convolution_before_it():
    net = settled(nn.Sequential(nn.Conv3d(2, 3, 2), nn.AvgPool3d(2)))
    assert becomes(net, rows(2, 2, 5, 5, 5)) == ["Conv3d(2, 3, 3×3×3, stride 2)"]
    folded(net, rows(2, 2, 5, 5, 5))
