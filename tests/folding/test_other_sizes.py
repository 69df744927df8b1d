"""Sequences, images and batches of other sizes than the example's: the copy is right for them, or refuses them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from folding.blocks import Spoken, becomes, close, reasons, rows, settled


def mixed(forward, **parts) -> nn.Module:
    """A module that adds its input to two layers, and then does something that is no layer."""
    return settled(Spoken(forward, **{"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), **parts}))


def both(m, x):
    return torch.relu(x + m.b(m.a(x)))


def filtered(m, x):
    return torch.relu(m.n(m.c(x)) + x)


def pictures(forward) -> nn.Module:
    return mixed(forward, c=nn.Conv2d(4, 4, 3, padding=1), n=nn.BatchNorm2d(4))


def masked(m, x):
    tokens = x.size(1)
    y = both(m, x)
    unseen = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    return (y @ y.transpose(1, 2)).masked_fill(unseen, -torch.inf).softmax(-1) @ y


class Halved(nn.Module):
    """Gives a sequence and its length, as patch embeddings do."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x[:, ::2], x.shape[1] // 2


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: both(m, x) / x.shape[1],
        lambda m, x: both(m, x) * (3.0 if x.dim() == 3 else 2.0) * x.ndim,
        lambda m, x: both(m, x)[:, -1],
        lambda m, x: both(m, x)[:, :-1].mean(1),
        lambda m, x: sum(both(m, x).unbind(1)),
        lambda m, x: sum(i * token for i, token in enumerate(both(m, x).transpose(0, 1))),
        lambda m, x: torch.sin(both(m, x)) if x.shape[1] > 10 else both(m, x),
        lambda m, x: m.b(torch.relu(m.a(x)) if x.shape[1] > 10 else m.a(x)).tanh(),
        lambda m, x: m.b(m.a(x) if not x.shape[1] // 10 else torch.relu(m.a(x))).tanh(),
        lambda m, x: both(m, x) * m.halved(both(m, x))[1],
        lambda m, x: both(m, x)[:, :9],
        lambda m, x: both(m, x).narrow(1, 0, 5),
        lambda m, x: both(m, x).split(5, 1)[0],
        lambda m, x: both(m, x).view(-1, 5, 4),
        lambda m, x: both(m, x).expand(-1, 5, -1),
        lambda m, x: both(m, x).unflatten(1, (5, -1)).squeeze(2),
        masked,
    ],
)
def test_a_sequence_of_another_length_gets_the_right_answer_or_none(forward):
    net = mixed(forward, halved=Halved())
    copied = wa.collapse_runs(net, rows(2, 5, 4))
    assert wa.plan_runs(net, rows(2, 5, 4)).folds
    for count in (1, 7):
        close(copied(x := rows(count, 5, 4)), net(x))
        for length in (3, 12):
            with pytest.raises(AssertionError, match="any × 5 × 4 numbers; fold the original again for other sizes"):
                copied(rows(count, length, 4))
    assert "takes no other sizes than these: args of the module: any × 5 × 4" in str(wa.plan_runs(net, rows(2, 5, 4)))


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: F.interpolate(filtered(m, x), scale_factor=2),
        lambda m, x: filtered(m, x).roll(x.shape[-1] // 2, -1),
        lambda m, x: filtered(m, x)[..., : x.shape[-1] // 2],
    ],
)
def test_an_image_of_another_size_gets_the_right_answer_or_none(forward):
    net = pictures(forward)
    copied = wa.collapse_runs(net, rows(2, 4, 6, 6))
    close(copied(x := rows(3, 4, 6, 6)), net(x))
    for width in (5, 8):
        with pytest.raises(AssertionError, match="fold the original again for other sizes"):
            copied(rows(3, 4, 6, width))


@pytest.mark.parametrize(
    ("forward", "other"),
    [
        (both, (9, 4)),
        (lambda m, x: both(m, x).softmax(-1).mean(1), (9, 4)),
        (lambda m, x: F.layer_norm(both(m, x), (4,)), (1, 4)),
        (lambda m, x: both(m, x) * x.shape[0], None),
        (lambda m, x: m.b(m.a(x)).tanh() / x.shape[1], (9, 4)),
        (lambda m, x: torch.relu(2 * m.b(m.a(x)))[...], (9, 4)),
        (lambda m, x: (torch.relu(m.b(m.a(x)) + m.a(x)) @ m.a.weight.T + m.b.weight[0]).tanh(), (1, 4)),
    ],
)
def test_a_forward_that_holds_no_size_takes_sequences_of_any_length(forward, other):
    net = mixed(forward)
    copied = wa.collapse_runs(net, rows(2, 5, 4))
    assert "no other sizes" not in str(wa.plan_runs(net, rows(2, 5, 4))) or other is None
    close(copied(x := rows(3, *(other or (5, 4)))), net(x))


@pytest.mark.parametrize(
    "forward",
    [
        filtered,
        lambda m, x: F.max_pool2d(filtered(m, x), 2),
        lambda m, x: m.head(F.adaptive_avg_pool2d(filtered(m, x), 1).flatten(1)),
        lambda m, x: m.head(filtered(m, x).mean((2, 3))),
        lambda m, x: m.up(filtered(m, x)),
        lambda m, x: x + (2 * m.b(m.a(x.permute(0, 2, 3, 1)).relu())).permute(0, 3, 1, 2),
        lambda m, x: m.n(m.padded(x)) + x,
        lambda m, x: m.c(x) * m.padded.bias.view(1, -1, 1, 1),
        lambda m, x: F.pad(filtered(m, x), (0, 1)),
    ],
)
def test_a_network_of_convolutions_takes_images_of_any_size(forward):
    net = pictures(forward)
    net.head, net.up = nn.Linear(4, 2).double(), nn.Upsample(scale_factor=2)
    net.padded = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect").double()
    copied = wa.collapse_runs(net, rows(2, 4, 6, 6))
    assert isinstance(copied, torch.fx.GraphModule)
    for size in ((6, 6), (4, 8), (9, 5)):
        close(copied(x := rows(3, 4, *size)), net(x))


def test_a_question_about_a_size_that_only_refuses_others_does_not_keep_layers_apart():
    def forward(m, x):
        if x.shape[1] != 5 or x.shape[-1] % 2:
            raise ValueError("five tokens were expected")
        y = m.b(m.a(x))
        return torch.relu(y if x.shape[1] == 5 else m.b(m.a(x)))

    net = mixed(forward)
    copied = wa.collapse_runs(net, rows(2, 5, 4))
    assert becomes(net, rows(2, 5, 4)) == ["Linear(4, 4)"]
    assert isinstance(copied, Spoken)
    with pytest.raises(ValueError, match="five tokens"):
        copied(rows(2, 6, 4))


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (lambda m, x: both(m, x)[:50], "compares the number of rows"),
        (lambda m, x: both(m, x)[..., :50, :], "compares the number of rows"),
        (lambda m, x: both(m, x)[None, -50:][0], "compares the number of rows"),
        (lambda m, x: both(m, x)[::3], "cuts the rows"),
        (lambda m, x: both(m, x).split(50)[0], "cuts the rows"),
        (lambda m, x: torch.chunk(both(m, x), 2, dim=0)[0], "cuts the rows"),
    ],
)
def test_what_cuts_a_batch_at_a_fixed_row_does_not_become_a_graph(forward, why):
    net = mixed(forward)
    copied = wa.collapse_runs(net, rows(2, 4))
    close(copied(x := rows(60, 4)), net(x))
    assert why in reasons(net, rows(2, 4))


PASSED_ON = [torch.relu] * 20 + [torch.tanh] * 200


def repeated(m, x):
    y = both(m, x)
    for number in range(x.shape[0]):
        y = torch.tanh(y) if number > 20 else y
    return y


def attempted(m, x):
    try:
        x[20]
    except IndexError:
        return both(m, x)
    return torch.tanh(both(m, x))


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (repeated, "runs others at another batch size"),
        (lambda m, x: PASSED_ON[x.shape[0]](both(m, x)), "does more with the number of rows"),
        (lambda m, x: both(m, x) * float(PASSED_ON[x.size(0) :][0] is torch.relu), "does more with the number of rows"),
        (lambda m, x: both(m, x) * len(([1.0] * x.shape[0])[:20]), "does more with the number of rows"),
        (lambda m, x: both(m, x) * (2.0 if math.log2(x.shape[0]) < 4 else 1.0), "does more with the number of rows"),
        (lambda m, x: both(m, x) * (2.0 if len("%d" % x.shape[0]) > 1 else 1.0), "does more with the number of rows"),  # noqa: UP031
        (lambda m, x: PASSED_ON[len(x)](both(m, x)), "does more with the number of rows"),
        (lambda m, x: both(m, x) * (1.0 + (len(x) > 9)), "compares the number of rows"),
        (lambda m, x: PASSED_ON[x.__len__()](both(m, x)), "asks for the length of a tensor in a way of its own"),
        (lambda m, x: both(m, x) * (2.0 if np.sqrt(x.shape[0]) > 4 else 1.0), "does more with the number of rows"),
        (lambda m, x: both(m, x) * float(np.arange(x.shape[0])[-1] > 9), "does more with the number of rows"),
        (lambda m, x: both(m, x) * (2.0 if x.shape[0].bit_length() > 4 else 1.0), "does more with the number of rows"),
        (lambda m, x: both(m, x) * x.chunk(x.shape[0], 1)[0].shape[1], "cuts the rows"),
        (lambda m, x: both(m, x) * len(list(x)[:20]), "cuts the rows"),
        (lambda m, x: both(m, x) * (torch.tensor(x.shape[0]) > 9), "computes numbers from the number of rows"),
        (lambda m, x: both(m, x) * (torch.ones(x.shape[0]).sum() > 9), "computes numbers from the number of rows"),
        (lambda m, x: both(m, x) * (torch.ones_like(x)[:, 0].sum() > 9), "computes numbers from the number of rows"),
        (lambda m, x: both(m, x) * (2.0 if torch.ones(x.shape[0]).sum().item() > 9 else 1.0), "computes numbers from"),
        (attempted, "runs others at another batch size"),
        (lambda m, x: both(m, x) if x.is_contiguous() else torch.tanh(both(m, x)), "asks how the rows lie in memory"),
        (lambda m, x: both(m, x) * float(x.is_same_size(torch.ones(60, 4))), "asks how the rows lie in memory"),
    ],
)
def test_what_looks_up_or_computes_something_by_the_number_of_rows_does_not_become_a_graph(forward, why):
    net = mixed(forward)
    copied = wa.collapse_runs(net, rows(2, 4))
    for batch in (rows(1, 4), rows(16, 4), rows(60, 4), rows(4, 9).t()[:, :4]):
        close(copied(batch), net(batch))
    assert why in reasons(net, rows(2, 4))


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: both(m, x).view(x.shape[0], 2, -1).sum(1),
        lambda m, x: (both(m, x) + x.new_ones(4)).expand(x.size()),
        lambda m, x: (both(m, x) / len(x)).reshape(len(x), 2, -1).sum(1) + len(m.a.weight),
        lambda m, x: both(m, x) / x.shape[0] * (2.0 if isinstance(x.shape[0], int) else 1.0),
        lambda m, x: both(m, x) - both(m, x).mean(0) * torch.tensor(2.0),
        lambda m, x: both(m, x).reshape(torch.Size((x.size(0) * 2, 2))).view(x.size(0), -1),
    ],
)
def test_sums_and_products_of_sizes_in_shapes_become_a_graph_for_every_batch_size(forward):
    net = mixed(forward)
    copied = wa.collapse_runs(net, rows(2, 4))
    assert isinstance(copied, torch.fx.GraphModule)
    close(copied(x := rows(60, 4)), net(x))


def test_a_module_that_catches_what_its_part_raises_is_left_alone():
    def forward(m, x):
        y = both(m, x)
        try:
            return m.picky(y)
        except ValueError:
            return y

    def pick(m, x):
        if x.shape[0] < 20:
            raise ValueError("too few rows")
        return torch.tanh(x)

    net = mixed(forward, picky=Spoken(pick))
    close(wa.collapse_runs(net, rows(2, 4))(x := rows(60, 4)), net(x))
    assert "picky raises, and the code around it catches that" in reasons(net, rows(2, 4))


@pytest.mark.parametrize(
    "forward",
    [lambda m, x: both(m, x)[1:], lambda m, x: both(m, x)[: x.shape[0] - 1], lambda m, x: both(m, x)[:, :100]],
)
def test_a_cut_that_is_the_same_at_every_batch_size_keeps_no_layers_apart(forward):
    net = mixed(forward)
    copied = wa.collapse_runs(net, rows(2, 4))
    assert becomes(net, rows(2, 4)) == ["Linear(4, 4)"]
    close(copied(x := rows(60, 4)), net(x))


def test_a_traced_copy_takes_any_batch_size():
    net = mixed(lambda m, x: both(m, x).view(x.shape[0] * 2, 2).sum(1).view(-1, 2))
    copied = wa.collapse_runs(net, rows(2, 4))
    assert isinstance(copied, torch.fx.GraphModule)
    traced = torch.jit.trace(copied, (rows(3, 4),), check_trace=False)
    close(traced(x := rows(7, 4)), net(x))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["export", "compile", "again"])
def test_a_copy_that_checks_sizes_is_exported_compiled_and_folded_once_more(how):
    net, x = mixed(lambda m, x: both(m, x) / x.shape[1]), rows(4, 5, 4)
    copied = wa.collapse_runs(net, x)
    if how == "export":
        sizes = (({0: torch.export.Dim.DYNAMIC},),)
        other = torch.export.export(copied, (x,), dynamic_shapes=sizes).module()
    else:
        other = torch.compile(copied, backend="eager") if how == "compile" else wa.collapse_runs(copied, x)
    close(other(y := rows(7, 5, 4)), net(y))


def test_a_graph_does_not_take_tensors_of_other_axes():
    net = mixed(lambda m, x: torch.relu(torch.cat([m.a(x), m.b(x)], 1)))
    copied = wa.collapse_runs(net, rows(2, 4))
    close(copied(x := rows(3, 4)), net(x))
    with pytest.raises(AssertionError, match="fold the original again"):
        copied(rows(3, 5, 4))
