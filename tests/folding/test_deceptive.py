"""Modules written to be folded wrongly: whatever becomes of them, the copy is the same function."""

from __future__ import annotations

import collections
import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

from folding.blocks import Spoken, bits, close, rows, settled
from whyactivate.folding import fold_runs

MODULES: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {}


def deceives(*shape: int):
    def register(make):
        MODULES[make.__name__] = lambda: (make(), shape)
        return make

    return register


def linear(into: int = 4, out: int = 4, **form) -> nn.Linear:
    return nn.Linear(into, out, **form)


@deceives(4)
def weights_tied_across_two_runs():
    net = nn.Sequential(linear(), nn.BatchNorm1d(4), nn.ReLU(), linear(), nn.BatchNorm1d(4), nn.ReLU(), linear())
    net[3].weight = net[6].weight = net[0].weight
    return net


@deceives(4)
def weights_tied_within_one_run():
    net = nn.Sequential(linear(), linear(), nn.ReLU(), linear(), linear())
    net[1].weight, net[4].bias = net[0].weight, net[0].bias
    return net


@deceives(4)
def a_weight_that_is_the_transpose_of_another():
    net = nn.Sequential(linear(), nn.BatchNorm1d(4), nn.ReLU(), linear())
    net[3].weight = nn.Parameter(net[0].weight.detach().t())
    return net


@deceives(4)
def weights_that_are_views_of_one_flat_buffer():
    net = nn.Sequential(linear(), nn.BatchNorm1d(4), linear(), nn.ReLU(), linear())
    flat = torch.randn(48, dtype=torch.float64)
    for i, layer in enumerate((net[0], net[2], net[4])):
        layer.weight = nn.Parameter(flat[16 * i : 16 * i + 16].view(4, 4))
    return net


@deceives(4)
def a_buffer_that_lies_over_a_weight():
    def forward(m, x):
        return torch.relu(m.bn(m.fc(x))) @ m.again

    net = Spoken(forward, fc=linear(), bn=nn.BatchNorm1d(4))
    net.register_buffer("again", net.fc.weight.detach())
    return net


@deceives(4)
def a_running_mean_that_lies_over_a_bias():
    net = nn.Sequential(linear(), nn.BatchNorm1d(4), nn.ReLU(), linear())
    net[1].running_mean = net[3].bias.detach()
    return net


@deceives(4)
def one_layer_called_under_two_names():
    fc = linear()
    return Spoken(lambda m, x: torch.relu(m.n(m.first(x))) + m.k(m.second(x)).tanh(), first=fc, second=fc,
                  n=nn.BatchNorm1d(4), k=nn.BatchNorm1d(4))  # fmt: skip


@deceives(4)
def one_norm_after_two_layers():
    return Spoken(lambda m, x: torch.relu(m.n(m.a(x))) + torch.tanh(m.n(m.b(x))), a=linear(), b=linear(),
                  n=nn.BatchNorm1d(4))  # fmt: skip


@deceives(4)
def a_sequential_within_itself():
    block = nn.Sequential(linear(), nn.BatchNorm1d(4))
    return nn.Sequential(block, nn.ReLU(), nn.Sequential(block, nn.Tanh()), linear())


@deceives(4)
def a_prehook_that_changes_what_enters():
    net = nn.Sequential(linear(), linear(), nn.ReLU(), linear(), linear())
    net[1].register_forward_pre_hook(lambda module, args: (args[0].clamp(min=0),))
    return net


@deceives(4)
def a_prehook_with_keywords():
    net = nn.Sequential(linear(), linear())
    net[1].register_forward_pre_hook(lambda module, args, kwargs: ((args[0].abs(),), kwargs), with_kwargs=True)
    return net


@deceives(4)
def a_hook_that_is_always_called():
    net = nn.Sequential(linear(), linear(), linear())
    net[0].register_forward_hook(lambda module, args, result: result.relu(), always_call=True)
    return net


@deceives(4)
def a_hook_on_the_whole():
    net = nn.Sequential(linear(), nn.BatchNorm1d(4), linear())
    net.register_forward_hook(lambda module, args, result: result.relu() + args[0])
    return net


@deceives(4)
def a_hook_on_a_tensor():
    def forward(m, x):
        y = m.a(x)
        if y.requires_grad:
            y.register_hook(lambda g: g * 2)
        return m.b(y)

    return Spoken(forward, a=linear(), b=linear())


class Doubling(nn.Module):
    def forward(self, weight):
        return 2 * weight


@deceives(4)
def a_parametrised_weight_that_another_layer_shares():
    net = nn.Sequential(linear(), nn.BatchNorm1d(4), nn.ReLU(), linear())
    parametrize.register_parametrization(net[0], "weight", Doubling())
    net[3].weight = net[0].parametrizations.weight.original
    return net


@deceives(4)
def an_orthogonal_layer():
    return nn.Sequential(parametrizations.orthogonal(linear()), nn.BatchNorm1d(4), nn.ReLU(), linear())


@deceives(4)
def a_layer_written_over_in_place():
    def forward(m, x):
        y = m.a(x)
        z = m.b(y)
        y.mul_(3)
        return torch.relu(z) + m.c(y)

    return Spoken(forward, a=linear(), b=linear(), c=linear())


@deceives(4)
def an_activation_in_place_between_branches():
    def forward(m, x):
        y = m.a(x)
        z = m.b(y)
        y.relu_()
        return z + m.c(y)

    return Spoken(forward, a=linear(), b=linear(), c=linear())


@deceives(4)
def a_part_written_over():
    def forward(m, x):
        y = m.a(x)
        y[:, :2] = m.b(x)[:, 2:]
        return torch.relu(m.c(y))

    return Spoken(forward, a=linear(), b=linear(), c=linear())


@deceives(4)
def an_input_that_is_changed_on_the_way():
    def forward(m, x):
        y = m.b(m.a(x))
        x.add_(1)
        return torch.relu(y) + x

    return Spoken(forward, a=linear(), b=linear())


@deceives(1)
def an_expanded_row():
    return Spoken(lambda m, x: torch.relu(m.b(m.a(x.expand(-1, 4)))), a=linear(), b=linear())


@deceives(4)
def a_batch_that_is_broadcast():
    return Spoken(lambda m, x: torch.relu(m.b(m.a(x[:1].expand_as(x))) + x), a=linear(), b=linear())


@deceives(4)
def a_batch_that_is_turned_around():
    return Spoken(lambda m, x: torch.relu(m.b(m.a(x).flip(0)) + m.a(x)), a=linear(), b=linear())


@deceives(4, 6, 6)
def channels_last():
    def forward(m, x):
        x = x.contiguous(memory_format=torch.channels_last)
        return torch.relu(m.n(m.d(m.c(x)))).contiguous(memory_format=torch.channels_last)

    return Spoken(forward, c=nn.Conv2d(4, 4, 3), d=nn.Conv2d(4, 4, 1), n=nn.BatchNorm2d(4))


@deceives(4, 6, 6)
def channels_last_and_a_branch():
    def forward(m, x):
        x = x.to(memory_format=torch.channels_last)
        return F.gelu(m.n(m.c(x)) + x).permute(0, 2, 3, 1) @ m.w

    net = Spoken(forward, c=nn.Conv2d(4, 4, 3, padding=1), n=nn.BatchNorm2d(4))
    net.w = nn.Parameter(torch.randn(4, 3))
    return net


@deceives(4, 7, 7)
def groups_dilation_and_odd_strides():
    return nn.Sequential(nn.Conv2d(4, 8, (3, 1), (2, 1), (1, 0), (1, 2), groups=2), nn.BatchNorm2d(8),
                         nn.Conv2d(8, 6, (1, 3), dilation=(1, 2), groups=2), nn.ReLU())  # fmt: skip


@deceives(3, 6, 6)
def padding_of_every_mode():
    return nn.Sequential(*[
        part
        for mode in ("reflect", "replicate", "circular", "zeros")
        for part in (nn.Conv2d(3, 3, 3, padding=1, padding_mode=mode), nn.BatchNorm2d(3))
    ])  # fmt: skip


@deceives(3, 6, 6)
def padding_that_is_not_the_same_on_both_sides():
    def forward(m, x):
        return torch.relu(m.n(m.c(F.pad(x, (1, 0, 2, 1)))) + m.d(x))

    return Spoken(forward, c=nn.Conv2d(3, 3, (4, 2)), n=nn.BatchNorm2d(3), d=nn.Conv2d(3, 3, 1))


@deceives(3, 6, 6)
def padding_by_a_word():
    return nn.Sequential(nn.Conv2d(3, 4, (4, 2), padding="same"), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding="same"))


@deceives(3, 6, 6)
def padding_with_another_number_than_zero():
    return nn.Sequential(nn.BatchNorm2d(3), nn.ConstantPad2d(1, 0.7), nn.Conv2d(3, 3, 3), nn.ReLU())


@deceives(4)
def doubles_in_the_middle():
    def forward(m, x):
        return torch.relu(m.c(m.b(m.a(x).float()).double()))

    return Spoken(forward, a=linear(), b=linear(dtype=torch.float32), c=linear())


@deceives(4)
def autocast_inside():
    def forward(m, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = m.b(m.a(x))
        return torch.relu(m.c(y.to(x.dtype)))

    return Spoken(forward, a=linear(), b=linear(), c=linear())


@deceives(4)
def a_subclass_that_scales_its_weight():
    class Scaled(nn.Linear):
        def forward(self, input):
            return F.linear(input, self.weight * 3, self.bias)

    return nn.Sequential(Scaled(4, 4), nn.BatchNorm1d(4), Scaled(4, 2))


@deceives(4)
def a_subclass_that_drops_its_bias_and_bends():
    class Bent(nn.BatchNorm1d):
        def forward(self, input):
            return super().forward(input).abs()

    return nn.Sequential(linear(), Bent(4), linear(), nn.BatchNorm1d(4))


@deceives(4)
def a_forward_that_was_put_on_the_instance():
    net = nn.Sequential(linear(), linear(), linear())
    own = net[1]
    net[1].forward = lambda x: F.linear(x, own.weight, own.bias).sin()
    return net


@deceives(4)
def functions_with_the_weights_of_modules():
    def forward(m, x):
        y = F.linear(x, m.a.weight, m.a.bias)
        return torch.relu(F.linear(y, m.b.weight)) + m.a(x)

    return Spoken(forward, a=linear(), b=linear())


@deceives(4)
def a_sequential_that_is_indexed():
    def forward(m, x):
        y = m.s[1](m.s[0](x))
        return torch.relu(y) + m.s[-1](x) * len(m.s)

    return Spoken(forward, s=nn.Sequential(linear(), linear(), linear()))


@deceives(4)
def a_sequential_that_is_iterated():
    def forward(m, x):
        for layer in m.s:
            x = layer(x) if isinstance(layer, nn.Linear) else x
        return torch.relu(x) + sum(isinstance(layer, nn.Linear) for layer in m.s)

    return Spoken(forward, s=nn.Sequential(linear(), linear(), linear()))


@deceives(4)
def a_sequential_that_is_sliced():
    return Spoken(lambda m, x: torch.relu(m.s[:2](x)) + m.s[1:](x), s=nn.Sequential(linear(), linear(), linear()))


@deceives(4)
def a_checkpoint():
    return Spoken(lambda m, x: torch.relu(checkpoint(m.s, x, use_reentrant=False)), s=nn.Sequential(linear(), linear()))


@deceives(4)
def a_scripted_submodule():
    class Small(nn.Module):
        def forward(self, x):
            if x.size(0) > 40:
                return -x
            return x

    return Spoken(
        lambda m, x: torch.relu(x + m.b(m.script(m.a(x)))), a=linear(), b=linear(), script=torch.jit.script(Small())
    )


@deceives(4)
def a_traced_submodule():
    traced = torch.jit.trace(nn.Sequential(linear(), linear()).double(), torch.randn(2, 4, dtype=torch.float64))
    return nn.Sequential(linear(), linear(), traced, linear())


@deceives(4)
def a_dict_of_results():
    def forward(m, x):
        y = m.n(m.a(x))
        return collections.OrderedDict(raw=y, bent=torch.relu(m.b(y)), twice=(m.b(y), [y]))

    return Spoken(forward, a=linear(), b=linear(), n=nn.BatchNorm1d(4))


@deceives(4)
def a_named_tuple_between_modules():
    Pair = collections.namedtuple("Pair", "left right")
    split = Spoken(lambda m, x: Pair(m.a(x), m.b(x)), a=linear(), b=linear())
    return Spoken(lambda m, x: torch.relu(m.c((p := m.split(x)).left + p.right)), split=split, c=linear())


@deceives(4)
def branches_that_cancel():
    return Spoken(lambda m, x: m.a(x) - m.a(x) + torch.relu(m.b(x)) - m.b(x), a=linear(), b=linear())


@deceives(4)
def a_choice_by_the_kind_of_a_layer():
    def forward(m, x):
        y = m.b(m.a(x))
        return torch.relu(y if type(m.b).__name__ == "Linear" else -y)

    return Spoken(forward, a=linear(), b=linear())


@deceives(4)
def a_choice_by_whether_gradients_are_recorded():
    return Spoken(lambda m, x: m.b(m.a(x)) if torch.is_grad_enabled() else m.b(m.a(x)).relu(), a=linear(), b=linear())


@deceives(4)
def a_choice_by_the_mode():
    def forward(m, x):
        return torch.relu(x + m.b(m.a(x))) if not m.training else m.a(x)

    return Spoken(forward, a=linear(), b=linear())


@deceives(4)
def layers_found_by_name():
    def forward(m, x):
        for i in range(2):
            x = getattr(m, f"fc{i}")(x)
        return torch.relu(x) + sum(1 for name, _ in m.named_parameters() if "weight" in name)

    return Spoken(forward, fc0=linear(), fc1=linear())


@deceives(4)
def the_norm_of_all_weights():
    def forward(m, x):
        return torch.relu(m.b(m.a(x))) * sum(p.detach().abs().sum() for p in m.parameters())

    return Spoken(forward, a=linear(), b=linear())


@deceives(4)
def a_list_that_holds_the_layers_again():
    net = Spoken(lambda m, x: torch.relu(m.layers[1](m.layers[0](x))) + m.a(x), a=linear(), b=linear())
    net.layers = [net.a, net.b]  # no ModuleList: the copy must not go on to use the old ones
    return net


@deceives(4)
def a_layer_kept_in_a_closure():
    hidden = linear().double()
    return Spoken(lambda m, x: torch.relu(m.b(hidden(m.a(x)))), a=linear(), b=linear())


@deceives(4)
def functional_calls():
    def forward(m, x):
        doubled = {name: 2 * p for name, p in m.a.named_parameters()}
        return torch.relu(m.b(torch.func.functional_call(m.a, doubled, (x,)))) + m.a(x)

    return Spoken(forward, a=linear(), b=linear())


@deceives(4)
def weights_that_cancel_to_nothing():
    net = nn.Sequential(linear(), linear(), nn.ReLU())
    net[1].weight.data.zero_()
    return net


@deceives(4)
def weights_of_very_different_sizes():
    net = nn.Sequential(linear(), nn.BatchNorm1d(4), linear(), nn.ReLU())
    net[0].weight.data *= 1e12
    net[2].weight.data *= 1e-12
    return net


@deceives(5, 4)
def a_norm_over_tokens_between_layers_of_features():
    return nn.Sequential(linear(), nn.BatchNorm1d(5), linear(4, 5), nn.BatchNorm1d(5), nn.ReLU())


@deceives(5, 4)
def a_layer_on_tokens_and_one_on_features():
    return Spoken(lambda m, x: torch.relu(m.a(m.t(x.transpose(1, 2)).transpose(1, 2))), a=linear(), t=linear(5, 5))


@deceives(4, 6)
def a_convolution_that_is_given_rows_without_a_batch():
    return Spoken(lambda m, x: torch.stack([m.n(m.c(one)[None])[0] for one in x]).relu(), c=nn.Conv1d(4, 4, 3),
                  n=nn.BatchNorm1d(4))  # fmt: skip


@deceives(4)
def weights_in_a_list_of_parameters():
    net = Spoken(lambda m, x: torch.relu(x @ m.all[0] @ m.all[1] + m.all[2]))
    net.all = nn.ParameterList([torch.randn(4, 8), torch.randn(8, 3), torch.randn(3)])
    return net


@deceives(4)
def weights_that_are_buffers():
    def layer(m, x):
        return F.linear(x, m.weight, m.bias)

    net = nn.Sequential(Spoken(layer), Spoken(layer), nn.ReLU())
    for part in net[:2]:
        part.register_buffer("weight", torch.randn(4, 4))
        part.register_buffer("bias", torch.randn(4))
    return net


@deceives(4)
def a_buffer_that_is_returned():
    net = Spoken(lambda m, x: (torch.relu(m.b(m.a(x) + m.c)), m.c), a=linear(), b=linear())
    net.register_buffer("c", torch.rand(4))
    return net


@deceives(4)
def one_result_in_many_places():
    def forward(m, x):
        h = m.b(m.a(x)) + x
        return h, [h, {"again": h, "input": x}]

    return Spoken(forward, a=linear(), b=linear())


@deceives(4)
def a_class_that_saves_more_than_tensors():
    class Saves(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = linear(), linear()

        def get_extra_state(self):
            return torch.tensor([1.0])

        def set_extra_state(self, state):
            pass

        def forward(self, x):
            return torch.tanh(x + self.b(self.a(x)))

    return nn.Sequential(Saves(), linear(), linear())


@deceives(4)
def names_that_are_no_identifiers():
    net, inner = nn.Sequential(), Spoken(lambda m, x: getattr(m, "x-y")(x) + x)
    inner.add_module("x-y", linear())
    for name, part in {"fc-1": linear(), "fc 2": linear(), "act": nn.ReLU(), "1st": inner}.items():
        net.add_module(name, part)
    return net


@deceives(4)
def names_that_a_graph_would_give():
    net = Spoken(lambda m, x: torch.tanh(m.b(m.a(x)) + x) * m._folded_0, a=linear(), b=linear(), folded_0=linear())
    net._folded_0, net._constant_0 = nn.Parameter(torch.rand(4)), nn.Parameter(torch.rand(3))
    return net


@deceives(4)
def an_argument_that_is_called_self():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = linear(), linear()

        def forward(this, self):
            return torch.tanh(self + this.b(this.a(self)))

    return Odd()


@deceives(4)
def a_function_with_a_gradient_of_its_own():
    class Louder(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return 100 * gradient

    return Spoken(lambda m, x: torch.tanh(m.b(Louder.apply(m.a(x)))), a=linear(), b=linear())


@deceives(4)
def gates_and_experts():
    def forward(m, x):
        gate = torch.sigmoid(m.d(m.c(x)))
        return gate * sum(expert(x) for expert in m.experts) + (1 - gate) * torch.cat([m.c(x), m.d(x)], -1)[..., :4]

    return Spoken(forward, c=linear(), d=linear(), experts=nn.ModuleList([linear() for _ in range(4)]))


@deceives(4)
def queries_keys_and_values_in_one():
    def forward(m, x):
        q, k, v = m.qkv(m.before(x)).chunk(3, -1)
        return torch.softmax(q * k, -1) * v

    return Spoken(forward, before=linear(), qkv=linear(4, 12))


@deceives(4)
def a_layer_without_features():
    return nn.Sequential(linear(4, 0), linear(0, 4), nn.ReLU(), linear(), linear())


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_copy_of_a_deceiving_module_is_the_same_function(name):
    torch.manual_seed(1)
    module, shape = MODULES[name]()
    for part in module.modules():
        if isinstance(part, nn.Linear) and part.weight.dtype == torch.float32 and name == "doubles_in_the_middle":
            part.kept = True
    kept = [part for part in module.modules() if hasattr(part, "kept")]
    net = module if isinstance(module, torch.jit.ScriptModule) else settled(module)
    for part in kept[1:2]:
        part.float()
    before = bits(net)
    plan, copied = fold_runs(net, rows(2, *shape))
    assert all(run.folds or run.reason for run in plan.runs)
    assert all(torch.equal(tensor, before[key]) for key, tensor in bits(net).items())
    for count in (1, 3, 17, 64):
        x = rows(count, *shape)
        for gradients in (True, False):
            with torch.set_grad_enabled(gradients):
                close(copied(x.clone()), net(x.clone()))
    if isinstance(copied, torch.fx.GraphModule):
        close(fold_runs(copied, rows(2, *shape))[1](x.clone()), net(x.clone()))
    close(copy.deepcopy(copied)(x.clone()), net(x.clone()))
