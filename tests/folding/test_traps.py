"""Where tools fold wrongly: each of these is folded right, or left alone with the reason."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, weight_norm

from folding.blocks import (
    ConvBN,
    RepVGGBlock,
    Residual,
    Spoken,
    assert_same,
    becomes,
    bits,
    close,
    folded,
    layers,
    reasons,
    rows,
    settled,
)
from whyactivate import FoldingError, InputError, collapse_runs, plan_runs
from whyactivate.folding.maps import Dense


class TanhLinear(nn.Linear):
    def forward(self, x):
        return torch.tanh(super().forward(x))


class ReLUNorm(nn.BatchNorm1d):
    def forward(self, x):
        return F.relu(super().forward(x))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x) + 1


def test_batch_norm_over_the_tokens_is_not_folded_into_the_linear_before_it():
    net = settled(nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5)))
    assert becomes(net, rows(2, 5, 7)) == []
    assert "axis 1" in reasons(net, rows(2, 5, 7))
    assert folded(net, rows(2, 5, 7)).state_dict().keys() == net.state_dict().keys()


def test_batch_norm_over_the_tokens_is_not_folded_into_the_linear_after_it():
    net = settled(nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 5)))
    assert becomes(net, rows(2, 5, 5)) == []
    folded(net, rows(2, 5, 5))


@pytest.mark.parametrize(
    "register", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"]
)
def test_a_module_with_a_hook_is_left_alone(register):
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3), nn.Linear(3, 3)))
    getattr(net[1], register)(lambda *args: None)
    assert becomes(net, rows(2, 4)) == ["Linear(6, 3)"]
    assert "1 has a hook" in reasons(net, rows(2, 4))
    copied = folded(net, rows(2, 4))
    assert type(copied[1]) is nn.BatchNorm1d
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    assert [len(getattr(copied[1], kind)) for kind in hooks] == [len(getattr(net[1], kind)) for kind in hooks]


def test_a_hook_that_changes_what_passes_keeps_its_effect():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))
    net[0].register_forward_hook(lambda module, args, result: result.tanh())
    folded(net, rows(2, 4))


def test_a_hook_that_remembers_makes_the_module_no_function():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6)))
    seen = []
    net[0].register_forward_hook(lambda module, args, result: seen.append(1))
    assert "changes itself" in reasons(net, rows(2, 4))
    assert type(folded(net, rows(2, 4))[1]) is nn.Linear


def test_nothing_is_folded_across_the_border_of_a_module_with_a_hook():
    inner = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    net = settled(nn.Sequential(inner, nn.Linear(3, 3)))
    inner.register_forward_hook(lambda module, args, result: None)
    assert becomes(net, rows(2, 4)) == ["Linear(4, 3)"]
    copied = folded(net, rows(2, 4))
    assert copied[0](rows(2, 4)).shape == (2, 3)
    assert len(copied[0]._forward_hooks) == 1


def test_global_hooks_keep_everything_as_it_is():
    handle = nn.modules.module.register_module_forward_hook(lambda *args: None)
    try:
        plan = plan_runs(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), torch.ones(2, 2))
    finally:
        handle.remove()
    assert not plan.folds
    assert "global hooks" in str(plan)


def test_subclasses_are_taken_by_what_they_do():
    folded(settled(nn.Sequential(TanhLinear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))), rows(2, 4))
    folded(settled(nn.Sequential(nn.Linear(4, 6), ReLUNorm(6), nn.Linear(6, 2))), rows(2, 4))
    net = settled(nn.Sequential(Doubled(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)))
    assert becomes(net, rows(2, 4)) == ["Linear(4, 2)"]
    (layer,) = [part for part in folded(net, rows(2, 4)).modules() if isinstance(part, nn.Linear)]
    assert type(layer) is nn.Linear


def test_a_layer_used_twice_with_batch_norm_on_one_path_changes_on_that_path_only():
    def forward(m, x):
        return torch.relu(m.fc(x)) + torch.relu(m.bn(m.fc(x.flip(1))))

    net = settled(Spoken(forward, fc=nn.Linear(4, 4), bn=nn.BatchNorm1d(4)))
    copied = folded(net, rows(2, 4))
    assert torch.equal(copied.state_dict()["fc.weight"], net.fc.weight)
    assert not layers(copied, nn.BatchNorm1d)


def test_a_block_called_twice_is_folded_for_each_call_or_left_alone():
    block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())
    folded(settled(Spoken(lambda m, x: m.block(m.block(x)), block=block)), rows(2, 4))


def test_one_module_under_two_names_is_replaced_under_both():
    fc = nn.Linear(4, 4)
    net = settled(Spoken(lambda m, x: m.bn(m.b(x)), a=fc, b=fc, bn=nn.BatchNorm1d(4)))
    copied = folded(net, rows(2, 4))
    assert copied.a is copied.b


def test_tied_weights_are_folded_apart():
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    net = settled(nn.Sequential(a, nn.BatchNorm1d(4), nn.ReLU(), b))
    copied = folded(net, rows(2, 4))
    assert torch.equal(copied[3].weight, net[3].weight)
    assert isinstance(copied[1], nn.Identity)


def test_a_weight_that_forward_reads_elsewhere_stays():
    def forward(m, x):
        return F.linear(torch.relu(m.bn(m.fc(x))), m.fc.weight.t())

    net = settled(Spoken(forward, fc=nn.Linear(4, 6), bn=nn.BatchNorm1d(6)))
    copied = folded(net, rows(2, 4))
    assert "fc.weight" in copied.state_dict()


def test_a_number_that_forward_computes_from_a_weight_is_not_changed():
    def forward(m, x):
        return torch.relu(m.bn(m.fc(x))) * m.fc.weight.sum()

    net = settled(Spoken(forward, fc=nn.Linear(4, 6), bn=nn.BatchNorm1d(6)))
    folded(net, rows(2, 4))


def test_a_parametrised_weight_is_held_as_it_is_and_the_plan_says_so():
    for parametrised in (parametrizations.weight_norm, parametrizations.spectral_norm):
        net = settled(nn.Sequential(parametrised(nn.Linear(4, 6)), nn.BatchNorm1d(6)))
        text = str(plan_runs(net, rows(2, 4)))
        assert "0 is computed from its parameters" in text
        copied = folded(net, rows(2, 4))
        assert type(copied[0]) is nn.Linear
        assert not parametrize.is_parametrized(copied[0])
        assert parametrize.is_parametrized(net[0])


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_the_old_weight_norm_does_not_let_itself_be_copied_and_the_error_says_so():
    net = nn.Sequential(weight_norm(nn.Linear(4, 6)), nn.BatchNorm1d(6)).eval()
    with pytest.raises(InputError, match="cannot be copied"):
        collapse_runs(net, torch.randn(2, 4))
    assert not plan_runs(net, torch.randn(2, 4)).folds


def test_batch_norm_in_training_mode_is_left_alone():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3), nn.Linear(3, 2)))
    net[1].train()
    copied = collapse_runs(net, rows(4, 4))
    assert isinstance(copied[1], nn.BatchNorm1d)
    close(copied(batch := rows(5, 4)), net(batch))


def test_dropout_in_training_mode_leaves_everything_alone():
    plan = plan_runs(nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 4)), torch.ones(2, 4))
    assert plan.runs == ()
    assert "random" in str(plan)


def test_numbers_of_two_dtypes_are_not_folded_into_one():
    def forward(m, x):
        return m.b(m.a(x).double())

    net = Spoken(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2).double())
    copied = collapse_runs(net, torch.randn(2, 4))
    assert copied.state_dict().keys() == net.state_dict().keys()
    mixed = Spoken(lambda m, x: m.bn(m.c(x)), c=nn.Conv2d(2, 2, 1).bfloat16(), bn=nn.BatchNorm2d(2)).eval()
    x = torch.randn(2, 2, 3, 3).bfloat16()
    assert torch.equal(collapse_runs(mixed, x)(x), mixed(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtypes_stay(dtype):
    net = settled(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 4), nn.Linear(4, 4))
    ).to(dtype)
    copied = collapse_runs(net, torch.randn(2, 3, 5, 5).to(dtype))
    assert {tensor.dtype for tensor in copied.parameters()} == {dtype}
    assert isinstance(copied[1], nn.Identity)


def test_a_padded_convolution_keeps_the_batch_norm_before_it_unless_that_adds_nothing():
    net = settled(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1)))
    assert becomes(net, rows(2, 3, 5, 5)) == []
    assert "zeros that pad" in reasons(net, rows(2, 3, 5, 5))
    folded(net, rows(2, 3, 5, 5))
    assert becomes(settled(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))), rows(2, 3, 5, 5)) == [
        "Conv2d(3, 4, 3×3)"
    ]


def test_a_batch_norm_without_shift_goes_into_a_padded_convolution():
    net = settled(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1)))
    net[0].running_mean.zero_()
    net[0].bias.data.zero_()
    assert becomes(net, rows(2, 3, 5, 5)) == ["Conv2d(3, 4, 3×3, padding 1)"]
    folded(net, rows(2, 3, 5, 5))


def test_weights_that_are_not_finite_stay():
    net = settled(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    net[0].weight.data[0, 0] = float("inf")
    assert not plan_runs(net, rows(2, 4)).folds


def test_numbers_that_one_layer_cannot_hold_stay_in_two_and_the_rest_folds():
    def forward(m, x):
        return m.d(m.c(torch.tanh(m.a(x) * 1e25 + m.b(x))))

    net = settled(Spoken(forward, **{name: nn.Linear(4, 4) for name in "abcd"})).float()
    net.a.weight.data *= 1e25
    copied = collapse_runs(net, torch.randn(2, 4))
    assert type(copied) is Spoken
    assert torch.equal(copied.a.weight, net.a.weight)
    assert isinstance(copied.d, nn.Identity)


def test_numbers_that_are_not_finite_are_compared_by_what_they_are():
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4), Spoken(lambda m, x: torch.log(x).nan_to_num(2.0))))
    folded(net, rows(2, 4))
    net = settled(Spoken(lambda m, x: m.b(m.a(x)).sqrt(), a=nn.Linear(4, 6), b=nn.Linear(6, 4)))
    copied, x = collapse_runs(net, rows(2, 4)), rows(5, 4)
    torch.testing.assert_close(copied(x), net(x), equal_nan=True)
    nothing = settled(
        Spoken(lambda m, x: -m.b(m.a(x)).exp().add(1).log().neg().log(), a=nn.Linear(4, 6), b=nn.Linear(6, 4))
    )
    with pytest.raises(FoldingError, match="no finite number"):
        collapse_runs(nothing, rows(2, 4))


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float64, 1e6), (torch.float32, 1e4)])
def test_where_the_module_magnifies_rounding_the_copy_may_be_off_as_far_as_it_moves(dtype, factor):
    def forward(m, x):
        return torch.sin(factor * m.b(m.a(x)))

    net = settled(Spoken(forward, a=nn.Linear(4, 6), b=nn.Linear(6, 4))).to(dtype)
    copied, x = collapse_runs(net, torch.randn(2, 4, dtype=dtype)), torch.randn(3, 4, dtype=dtype)
    assert len(layers(copied, nn.Linear)) == 1
    assert float((copied(x) - net(x)).detach().abs().max()) < 100 * factor * torch.finfo(dtype).eps


def test_complex_results_are_compared_up_to_rounding():
    net = settled(Spoken(lambda m, x: torch.fft.rfft(m.b(m.a(x))).conj(), a=nn.Linear(4, 6), b=nn.Linear(6, 4))).float()
    copied, x = collapse_runs(net, torch.randn(2, 4)), torch.randn(5, 4)
    torch.testing.assert_close(copied(x), net(x))


def test_a_module_whose_name_is_a_word_of_python_is_left_alone_where_a_graph_would_call_it():
    net = Spoken(lambda m, x: torch.relu(getattr(m, "class")(x) + x))
    net.add_module("class", nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    copied = folded(settled(net), rows(2, 4))
    assert isinstance(copied.get_submodule("class.1"), nn.Identity)


def test_an_input_that_is_overwritten_is_read_before():
    def forward(m, x):
        y = m.a(x)
        h = torch.relu(y)
        x.mul_(0)
        return m.bn(y) + h

    folded(settled(Spoken(forward, a=nn.Linear(4, 4), bn=nn.BatchNorm1d(4))), rows(2, 4))


def test_a_write_into_the_callers_memory_stays_one():
    def block(m, x):
        x += m.bn(m.fc(x))
        return x

    def forward(m, x):
        h = torch.relu(x)
        y = m.block(h)
        return y + torch.tanh(h)

    inner = Spoken(block, fc=nn.Linear(4, 4), bn=nn.BatchNorm1d(4))
    folded(settled(Spoken(forward, block=inner)), rows(2, 4))


def test_the_copy_can_be_copied_saved_and_trained():
    net = nn.Sequential(Residual(ConvBN(3, 3, 3, 1, 1)), nn.ReLU(), RepVGGBlock(3, 2), nn.BatchNorm2d(2))
    copied = folded(settled(net), x := rows(2, 3, 5, 5))
    file = io.BytesIO()
    torch.save(copied, file)
    file.seek(0)
    for other in (copy.deepcopy(copied), torch.load(file, weights_only=False)):
        assert torch.equal(other(x), copied(x))
        other(x).sum().backward()
        assert all(parameter.grad is not None for parameter in other.parameters())
        other.load_state_dict(bits(copied))


def test_modes_and_gradient_flags_stay():
    net = settled(nn.Sequential(Residual(ConvBN(3, 3, 3, 1, 1)), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    net.training = net[0].training = True
    net[0].requires_grad_(False)
    copied = folded(net, rows(2, 3, 5, 5))
    assert [part.training for part in (copied, copied[0], copied[0].m, copied[1], copied[2])] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not any(parameter.requires_grad for parameter in copied[0].parameters())
    assert all(parameter.requires_grad for parameter in copied[2].parameters())


def test_parts_that_are_not_called_keep_their_names():
    block = Residual(ConvBN(3, 3, 3, 1, 1))
    block.head = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    copied = folded(settled(block), rows(2, 3, 5, 5))
    assert {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"} <= copied.state_dict().keys()
    assert "m.bn.weight" not in copied.state_dict()


def test_a_program_that_is_another_for_one_row_does_not_become_a_graph():
    def forward(m, x):
        return x + m.n(m.c(x)) if len(x) > 1 else m.c(x)

    net = settled(Spoken(forward, c=nn.Conv2d(3, 3, 3, padding=1), n=nn.BatchNorm2d(3)))
    try:
        copied = collapse_runs(net, rows(2, 3, 5, 5))
    except FoldingError:
        return
    assert_same(net, copied, rows(2, 3, 5, 5))


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x, scale=2.0, mask=None):
        y = x * scale + self.n(self.a(x))
        return torch.relu(y) if mask is None else torch.relu(y) * mask


def test_a_graph_refuses_arguments_that_it_was_not_recorded_for():
    net, x = settled(Optional()), rows(3, 4)
    copied = collapse_runs(net, {"x": x, "scale": 3.0})
    assert isinstance(copied, torch.fx.GraphModule)
    close(copied(x, 3.0), net(x, 3.0))
    close(copied(x, scale=3.0, mask=None), net(x, 3.0))
    for wrong in ({}, {"scale": 4.0}, {"scale": 3.0, "mask": torch.ones(4)}):
        with pytest.raises(AssertionError, match="this folded copy was made for"):
            copied(x, **wrong)


def test_a_tensor_argument_that_is_held_fixed_is_not_baked_into_a_graph():
    net, x, mask = settled(Optional()), rows(3, 4), torch.tensor([True, False, True, True])
    copied = collapse_runs(net, {"x": x, "mask": mask})
    close(copied(x, mask=~mask), net(x, mask=~mask))
    assert "does not depend on the input" in str(plan_runs(net, {"x": x, "mask": mask}))


def test_autocast_is_not_folded_in():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "autocast" in str(plan_runs(net, torch.randn(2, 4)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fold_that_is_slightly_wrong_is_not_returned(monkeypatch, dtype):
    net = settled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))).to(dtype)
    right = Dense.matrix
    monkeypatch.setattr(Dense, "matrix", lambda self: right(self) * (1 + 1e-9))
    with pytest.raises(FoldingError, match="nothing is returned"):
        collapse_runs(net, torch.randn(2, 4, dtype=dtype))


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match=r"needs an nn\.Module"):
        collapse_runs(torch.relu, torch.ones(2, 2))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lazy"):
        plan_runs(nn.LazyLinear(2), torch.ones(2, 2))
    assert_same(nn.Identity(), collapse_runs(nn.Identity(), torch.ones(2, 2)), torch.ones(2, 2))
