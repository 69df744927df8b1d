"""Where forward looks at more than what its layers compute, they are left alone, and the plan says why."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import whyactivate as wa
from folding.blocks import ConvBN, Spoken, becomes, bits, close, folded, only, reasons, rows, settled


def two(forward, **parts):
    return settled(Spoken(forward, **{"a": nn.Linear(4, 8), "b": nn.Linear(8, 4), **parts}))


@pytest.mark.parametrize(
    ("forward", "read"),
    [
        (lambda m, x: m.b(m.a(x)) if m.b.in_features == 8 else x, "b.in_features"),
        (lambda m, x: m.b(m.a(x)) if hasattr(m.b, "weight") else x, "b.weight"),
        (lambda m, x: m.b(m.a(x)) if getattr(m.a, "out_features", 0) == 8 else x, "a.out_features"),
        (lambda m, x: m.b(m.a(x)) if m.b.extra_repr().startswith("in_features=8") else x, "b.extra_repr"),
        (lambda m, x: m.b(m.a(x)) if len(list(m.b.parameters())) == 2 else x, "b.parameters"),
    ],
)
def test_a_layer_whose_attributes_forward_reads_is_not_replaced(forward, read):
    net = two(lambda m, x: torch.relu(forward(m, x)))
    copied = folded(net, rows(2, 4))
    assert isinstance(copied, torch.fx.GraphModule) or "is read by the code of another module" in reasons(
        net, rows(2, 4)
    )
    net.register_forward_hook(lambda *args: None)  # now there can be no graph
    assert f"{read} is read by the code of another module" in reasons(net, rows(2, 4))
    assert becomes(net, rows(2, 4)) == []


def test_a_check_of_shapes_between_two_layers_leaves_these_alone_and_the_others_fold():
    def forward(m, x):
        y = m.a(x)
        if y.shape[1] != 8:
            raise ValueError("eight features were expected")
        return torch.relu(m.d(m.c(torch.relu(m.b(y)))))

    net = two(forward, c=nn.Linear(4, 9), d=nn.Linear(9, 4))
    assert becomes(net, rows(2, 4)) == ["Linear(4, 4)"]
    assert "eight features were expected" in reasons(net, rows(2, 4))
    copied = folded(net, rows(2, 4))
    assert torch.equal(copied.a.weight, net.a.weight)
    assert isinstance(copied.d, nn.Identity)


def test_a_shape_that_a_middle_layer_gives_is_used_elsewhere():
    def forward(m, x):
        y = m.a(x)
        return torch.relu(m.b(y)).repeat(1, y.shape[1])

    net = two(forward)
    assert becomes(net, rows(2, 4)) == []
    assert "other shapes" in reasons(net, rows(2, 4))
    folded(net, rows(2, 4))


@pytest.mark.parametrize(
    "branch",
    [
        lambda m, x, y: y if x.size(0) < 150 else -y,
        lambda m, x, y: y if x.shape[0] < 150 else -y,
        lambda m, x, y: y if len(x) < 150 else -y,
        lambda m, x, y: y if x.numel() < 600 else -y,
        lambda m, x, y: y if x.numel() / 4 < 150 else -y,
        lambda m, x, y: y if x.shape[0] * 0.5 < 75 else -y,
        lambda m, x, y: y * (1.0 if x.shape[0] // 150 == 0 else -1.0),
        lambda m, x, y: y * {0: 1.0}.get(x.shape[0] // 150, -1.0),
        lambda m, x, y: y * (-1.0) ** (x.shape[0] // 150),
        lambda m, x, y: y if not max(0, x.shape[0] - 149) else -y,
        lambda m, x, y: y if x.stride(0) * x.shape[0] < 600 else -y,
        lambda m, x, y: y if "15" not in str(x.shape[0] // 10) else -y,
        lambda m, x, y: y if x.shape < (150, 0) else -y,
        lambda m, x, y: -y if x.shape[0] in range(150, 160) else y,
    ],
)
def test_a_forward_that_asks_about_the_number_of_rows_does_not_become_a_graph(branch):
    net = two(lambda m, x: torch.relu(branch(m, x, x + m.b(m.a(x)))))
    copied = wa.collapse_runs(net, rows(2, 4))
    for count in (1, 3, 155, 170):
        x = rows(count, 4)
        close(copied(x), net(x))
    assert isinstance(copied, Spoken)
    told = reasons(net, rows(2, 4))
    assert "a graph would hold what it does for one size" in told or "at another batch size" in told


def test_a_forward_that_names_a_number_of_rows_is_run_on_it():
    net = two(lambda m, x: torch.relu(x + m.b(m.a(x))) if len(x) < 50 else torch.relu(x - m.b(m.a(x))))
    copied = wa.collapse_runs(net, rows(2, 4))
    for count in (1, 3, 55):
        x = rows(count, 4)
        close(copied(x), net(x))
    assert "at another batch size" in reasons(net, rows(2, 4))


class Own(nn.Module):
    """Two products in one forward, with an activation between them for large batches."""

    def __init__(self):
        super().__init__()
        self.v, self.w = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(4, 8))

    def forward(self, x):
        y = F.linear(x, self.v)
        return F.linear(torch.relu(y) if y.shape[0] >= 100 else y, self.w)


@pytest.mark.parametrize(
    "between",
    [
        lambda m, x, y: torch.relu(y) if x.shape[0] >= 100 else y,
        lambda m, x, y: torch.relu(y) if len(y) >= 100 else y,
        lambda m, x, y: [torch.relu(y), y][int(y.size(0) < 100)],
        lambda m, x, y: torch.relu(y) if y.shape.numel() >= 800 else y,
    ],
)
def test_what_happens_between_two_layers_in_large_batches_keeps_them_apart(between):
    net = two(lambda m, x: torch.tanh(m.b(between(m, x, m.a(x)))))
    copied = wa.collapse_runs(net, rows(2, 4))
    close(copied(x := rows(120, 4)), net(x))
    assert becomes(net, rows(2, 4)) == []


def test_what_happens_within_a_module_in_large_batches_keeps_it_as_it_is():
    net = settled(nn.Sequential(Own(), nn.BatchNorm1d(4), nn.ReLU()))
    copied = wa.collapse_runs(net, rows(2, 4))
    close(copied(x := rows(120, 4)), net(x))
    assert "at another batch size" in reasons(net, rows(2, 4))


@pytest.mark.parametrize(
    "shape",
    [
        lambda m, x, y: y.view(x.shape[0], 2, 2).flatten(1),
        lambda m, x, y: y.reshape(x.size(0) * 2, 2).reshape(x.shape[0], -1),
        lambda m, x, y: y.view(-1, 2).view(x.numel() // 4, 4),
        lambda m, x, y: y if x.shape[1] == 4 and y.shape == x.shape else -y,
        lambda m, x, y: y * x.shape[1] ** 2,
    ],
)
def test_a_forward_that_only_adds_and_multiplies_sizes_becomes_a_graph(shape):
    net = two(lambda m, x: torch.relu(shape(m, x, x + m.b(m.a(x)))))
    copied = folded(net, rows(2, 4))
    assert isinstance(copied, torch.fx.GraphModule)
    close(copied(x := rows(60, 4)), net(x))


def test_a_factor_that_is_no_multiple_of_the_batch_stays():
    net = two(lambda m, x: torch.relu(x + m.b(m.a(x))) * float(x.shape[0] ** 2))
    folded(net, rows(2, 4))
    half = two(lambda m, x: torch.relu(x + m.b(m.a(x)))[: x.shape[0] // 2])
    folded(half, rows(4, 4))


def test_a_scripted_function_in_forward_keeps_it_from_becoming_a_graph():
    net = two(lambda m, x: torch.relu(small(x + m.b(m.a(x)))))
    copied = wa.collapse_runs(net, rows(2, 4))
    close(copied(x := rows(60, 4)), net(x))
    assert "batch size" in reasons(net, rows(2, 4))


@torch.jit.script
def small(x: torch.Tensor) -> torch.Tensor:
    return x if x.size(0) < 50 else -x


def encoder(**form):
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0, **form).double().eval()


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_layer_without_activation_folds_its_two_linear_layers(norm_first):
    net = encoder(activation=nn.Identity(), norm_first=norm_first)
    assert "Linear(8, 8)" in becomes(net, rows(2, 5, 8))
    copied = folded(net, rows(2, 5, 8))
    x = rows(3, 5, 8)
    with torch.no_grad():
        close(copied(x), net(x))
    assert torch.equal(copied.self_attn.in_proj_weight, net.self_attn.in_proj_weight)


def test_a_transformer_layer_whose_activation_was_taken_out_later_is_two_functions_and_stays():
    net = encoder(activation=F.relu)
    net.activation = nn.Identity()  # PyTorch's fast path goes on to apply the relu
    x = rows(2, 5, 8)
    with torch.no_grad():
        fast = net(x)
    assert float((fast - net(x).detach()).abs().max()) > 1e-3
    assert "torch.no_grad()" in reasons(net, x)
    copied = wa.collapse_runs(net, x)
    assert torch.equal(copied(x), net(x))


def test_what_is_before_and_after_attention_folds_and_the_attention_stays():
    def forward(m, x):
        y = m.norm(m.inner(x))
        return m.out(torch.relu(m.attn(y, y, y, need_weights=False)[0]))

    parts = {"inner": nn.Linear(8, 12), "norm": nn.Linear(12, 8), "attn": nn.MultiheadAttention(8, 2, batch_first=True)}
    net = settled(Spoken(forward, out=nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 2)), **parts))
    copied = folded(net, rows(2, 5, 8))
    assert set(bits(copied.attn)) == set(bits(net.attn))
    assert isinstance(copied.norm, nn.Identity)
    assert isinstance(copied.out[1], nn.Identity)
    with torch.no_grad():
        close(copied(x := rows(3, 5, 8)), net(x))


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_attention_alone_and_a_transformer_stay_right(batch_first):
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first, bias=True)
    net = settled(Spoken(lambda m, x: m.last(m.attention(x, x, x)[0]), attention=attention, last=nn.Linear(8, 3)))
    folded(net, rows(4, 5, 8) if batch_first else rows(5, 4, 8))


def test_every_run_is_in_the_plan_with_a_reason_or_with_what_it_becomes():
    net = settled(nn.Sequential(ConvBN(3, 4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)))
    net[2].register_forward_hook(lambda *args: None)
    plan = wa.plan_runs(net, rows(2, 3, 5, 5))
    assert [run.run.modules for run in plan.runs] == [("0.c", "0.bn"), ("2",), ("5",)]
    assert all(run.folds or run.reason for run in plan.runs)
    assert plan.runs[1].reason == "2 has a hook"
    assert plan.runs[1].before.multiply_adds == 4 * 9 * 36
    empty = wa.plan_runs(nn.Sequential(nn.ReLU(), nn.Flatten()), rows(2, 3))
    assert "no affine part of it holds the weights of a layer" in str(empty)


def test_an_affine_operation_that_is_not_folded_is_named_after_the_layer_that_it_follows():
    net = settled(
        Spoken(lambda m, x: torch.relu(torch.stack([m.a(x), m.b(x)], -1)), a=nn.Linear(4, 3), b=nn.Linear(4, 3))
    )
    for run in wa.plan_runs(net, rows(2, 4)).runs:
        assert "one layer already; what comes after it is affine, too, but stays, because aten.stack" in str(run.reason)
    net = settled(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    assert wa.plan_runs(net, rows(2, 4)).runs[0].reason == "it is one layer already"


def test_only_one_layer_is_made_where_two_convolutions_share_nothing_but_a_name():
    net = settled(nn.Sequential(ConvBN(3, 4), nn.ReLU(), ConvBN(4, 4)))
    copied = folded(net, rows(2, 3, 5, 5))
    assert type(only(copied[0], nn.Conv2d)) is nn.Conv2d
