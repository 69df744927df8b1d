"""The doors: what collapse_linear returns, what it prints, what it refuses, and the four proofs."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import whyactivate as wa
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import (
    CannotCollapseError,
    InputError,
    NotAffineError,
    RowsMixError,
    UndecidedError,
    UnknownNameError,
    WhyActivateError,
)


class Spoken(nn.Module):
    """A module made of one function and, perhaps, parts."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def article() -> wa.SimpleModel:
    return wa.SimpleModel(activation=None, seed=3)


def test_the_article_network_is_one_layer_of_eleven_parameters():
    model = article()
    collapse = wa.collapse_linear(model)
    assert (collapse.parameters_before, collapse.parameters_after) == (621, 11)
    assert [step.name for step in collapse.steps] == ["fc1", "fc2", "fc3", "fc4"]
    assert [step.running_shape for step in collapse.steps] == [(18, 10), (18, 10), (4, 10), (1, 10)]
    w = [getattr(model, f"fc{k}").weight.detach().double() for k in (1, 2, 3, 4)]
    b = [getattr(model, f"fc{k}").bias.detach().double() for k in (1, 2, 3, 4)]
    torch.testing.assert_close(collapse.weight, w[3] @ w[2] @ w[1] @ w[0], rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(
        collapse.bias, w[3] @ (w[2] @ (w[1] @ b[0] + b[1]) + b[2]) + b[3], rtol=1e-13, atol=1e-15
    )
    x = torch.randn(50, 10)
    assert collapse.layer.weight.dtype == torch.float32
    torch.testing.assert_close(collapse.layer(x), model(x))


def test_it_prints_as_a_story():
    text = str(wa.collapse_linear(article()))
    for words in ("fc1", "18×10", "W = W4·W3·W2·W1", "621 parameters before, 11 after"):
        assert words in text


def test_the_rounded_results_stay_within_the_proved_bounds_of_the_exact_one():
    collapse = wa.collapse_linear(wa.MLP([7, 30, 30, 5], activation=None, seed=1))
    assert (collapse.exact.weight.error_of(collapse.weight) <= collapse.weight_error).all()
    assert (collapse.exact.bias.error_of(collapse.bias) <= collapse.bias_error).all()
    assert collapse.weight_error.max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["theorem", "symbolic", "exact", "numeric"])
def test_every_proof_holds(kind, bias, dtype):
    model = wa.MLP([4, 5, 3, 2], activation=None, bias=bias, seed=2).to(dtype)
    proof = wa.collapse_linear(model).prove(kind)
    assert proof.kind == kind
    assert proof.holds


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_the_exact_proof_sees_a_change_of_one_bit(part):
    collapse = wa.collapse_linear(article())
    exact = getattr(collapse.exact, part)
    ints = exact.ints.copy()
    ints.reshape(-1)[0] += 1
    object.__setattr__(collapse.exact, part, ExactArray(ints, exact.unit))
    proof = collapse.prove("exact")
    assert not proof.holds
    assert part in str(proof)


def test_the_exact_proof_checks_the_rounded_copies():
    collapse = wa.collapse_linear(article())
    collapse.weight[0, 3] += 1e-12
    assert not collapse.prove("exact").holds


def test_the_numeric_proof_notices_a_module_that_does_something_else():
    model = article()
    collapse = wa.collapse_linear(model)
    model.fc4.register_forward_hook(lambda module, args, out: out + 1e-3)
    assert not collapse.prove("numeric").holds


def test_proofs_refuse_weights_that_have_changed_since():
    model = article()
    collapse = wa.collapse_linear(model)
    with torch.no_grad():
        model.fc2.weight.add_(1)
    with pytest.raises(InputError, match="changed"):
        collapse.prove("exact")


def test_proofs_refuse_a_module_that_was_switched_to_training():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 2)).eval()
    collapse = wa.collapse_linear(model)
    model.train()
    with pytest.raises(InputError, match="train"):
        collapse.prove("numeric")


def test_an_unknown_kind_of_proof_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="'exact'"):
        wa.collapse_linear(article()).prove("exat")


def test_as_module_takes_any_number_of_rows_of_the_shape_that_was_collapsed_and_no_other():
    torch.manual_seed(0)
    blur = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(18, 3)).double().eval()
    slim = wa.collapse_linear(blur, torch.zeros(1, 1, 8, 8).double()).as_module()
    traced = torch.jit.trace(slim, torch.zeros(2, 1, 8, 8).double())
    exported = torch.export.export(
        slim, (torch.zeros(2, 1, 8, 8).double(),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    ).module()
    for count in (0, 1, 5):
        x = torch.randn(count, 1, 8, 8).double()
        for module in (slim, traced, exported):
            torch.testing.assert_close(module(x), blur(x))
    for shape in ((3, 64), (3, 8, 1, 8), (1, 8, 8), ()):
        with pytest.raises(InputError, match=r"takes tensors of shape \(rows, 1, 8, 8\)"):
            slim(torch.zeros(shape).double())


def test_as_module_keeps_the_shapes():
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 6), nn.Unflatten(1, (3, 2)))
    slim = wa.collapse_linear(model, torch.zeros(1, 2, 3)).as_module()
    x = torch.randn(5, 2, 3)
    assert slim(x).shape == (5, 3, 2)
    torch.testing.assert_close(slim(x), model(x))


def test_batch_norm_in_eval_is_folded_and_said_to_be_algebraic():
    norm = nn.BatchNorm1d(4)
    norm.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Linear(3, 4), norm, nn.Linear(4, 2)).eval()
    collapse = wa.collapse_linear(model)
    assert [step.algebraic for step in collapse.steps] == [False, True, False]
    assert any("float64" in note for note in collapse.analysis.notes)
    x = torch.randn(9, 3)
    torch.testing.assert_close(collapse.layer(x), model(x))


def test_a_module_with_a_relu_is_refused_with_a_verified_counterexample():
    model = wa.SimpleModel(activation="relu")
    with pytest.raises(NotAffineError) as refusal:
        wa.collapse_linear(model)
    analysis = refusal.value.analysis
    assert analysis.verdict == "not_affine"
    example = analysis.counterexample
    assert example.arithmetic == "exact"
    assert example.gap > 0
    first, second = (float(weight) for weight in example.weights)
    (a,), (b,) = example.a, example.b
    network = wa.SimpleModel(activation="relu").double()
    gap = network(first * a + second * b) - first * network(a) - second * network(b)
    assert abs(abs(gap.flatten()[example.output_index].item()) - example.gap) < 1e-9


def test_refusals_are_of_one_family():
    assert issubclass(CannotCollapseError, WhyActivateError)
    rows_mix = Spoken(lambda self, x: self.fc(x) - self.fc(x).mean(0), fc=nn.Linear(3, 2))
    with pytest.raises(RowsMixError) as refusal:
        wa.collapse_linear(rows_mix)
    assert refusal.value.analysis.verdict == "affine"
    assert refusal.value.analysis.per_example is False
    # tanh(z)² + 1/cosh(z)² = 1, which no rule of canonical forms knows.
    truly_affine = Spoken(
        lambda self, x: torch.tanh(self.fc(x)) ** 2 + 4 / (torch.exp(self.fc(x)) + torch.exp(-self.fc(x))) ** 2,
        fc=nn.Linear(3, 2),
    )
    with pytest.raises(UndecidedError) as refusal:
        wa.collapse_linear(truly_affine)
    assert refusal.value.analysis.counterexample is None


def test_what_cannot_be_used_is_named():
    with pytest.raises(InputError, match="example_input"):
        wa.collapse_linear(nn.Conv2d(1, 1, 3))
    with pytest.raises(InputError, match=r"collapse_linear needs an nn\.Module; what came is of type str"):
        wa.collapse_linear("not a module")
    with pytest.raises(InputError, match=r"nn\.Module"):
        wa.collapse_linear(lambda x: x, torch.zeros(1, 2))
    with pytest.raises(InputError, match=r"torch\.int64"):
        wa.analyze(nn.Linear(3, 2), torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(InputError, match="batch"):
        wa.analyze(nn.Linear(3, 2), torch.tensor(1.0))
    with pytest.raises(InputError, match="NaN"):
        wa.analyze(nn.Linear(3, 2), torch.full((1, 3), float("nan")))
    with pytest.raises(InputError, match="RuntimeError"):
        wa.analyze(nn.Linear(3, 2), torch.zeros(1, 4))
    for called in (wa.analyze, wa.collapse_linear, wa.ablate, wa.collapse_runs, wa.plan_runs, wa.inspect_module):
        with pytest.raises(InputError, match=rf"lazy module.* then call {called.__name__}$"):
            called(nn.Sequential(nn.LazyLinear(2)), torch.zeros(1, 4))
    with pytest.raises(InputError, match=r"then call collapse_linear$"):
        wa.collapse_linear(nn.LazyLinear(2))
    with pytest.raises(InputError, match="meta"):
        wa.analyze(nn.Linear(3, 2, device="meta"), torch.zeros(1, 3))


def test_weights_that_are_not_finite_are_named():
    model = article()
    with torch.no_grad():
        model.fc3.weight[1, 2] = float("nan")
    with pytest.raises(UndecidedError, match=r"fc3\.weight holds nan at \(1, 2\)"):
        wa.collapse_linear(model)


def test_two_inputs_are_more_than_a_layer_takes():
    class Sum(nn.Module):
        def forward(self, x, y):
            return x + y

    assert wa.analyze(Sum(), (torch.zeros(1, 3), torch.zeros(1, 3))).verdict == "affine"
    with pytest.raises(CannotCollapseError, match="2 floating inputs"):
        wa.collapse_linear(Sum(), (torch.zeros(1, 3), torch.zeros(1, 3)))


def test_a_layer_too_large_for_its_dtype_is_refused():
    collapse = wa.collapse_linear(nn.Linear(2, 2).half(), torch.zeros(1, 2, dtype=torch.float16))
    with pytest.raises(CannotCollapseError, match="float16"):
        _ = dataclasses.replace(collapse, weight=collapse.weight + 1e5).layer


def test_a_result_that_overflows_is_not_called_affine():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).half()
    with torch.no_grad():
        for layer in model:
            layer.weight.fill_(60000)
    with pytest.raises(UndecidedError):
        wa.collapse_linear(model, torch.ones(1, 1, dtype=torch.float16))


def test_nothing_of_the_callers_is_changed():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[0].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    analysis = wa.analyze(model, torch.randn(4, 3, generator=torch.Generator().manual_seed(1)))
    assert analysis.verdict == "undecided"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert modes == [part.training for part in model.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert (threads, dtype) == (torch.get_num_threads(), torch.get_default_dtype())


class TestOverTheLastAxis:
    """What does the same to each token stays one Linear on the last axis."""

    def test_layers_on_tokens_are_one_layer_on_tokens(self):
        module = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 4, bias=False), nn.Linear(4, 2))
        slim = wa.collapse_linear(module, torch.zeros(1, 7, 3)).as_module()
        assert isinstance(slim, nn.Linear)
        assert (slim.in_features, slim.out_features) == (3, 2)
        for shape in ((2, 7, 3), (1, 11, 3), (4, 3)):
            x = torch.randn(shape)
            torch.testing.assert_close(slim(x), module(x))

    @pytest.mark.parametrize(
        "function",
        [
            lambda self, x: x.flip(1),
            lambda self, x: x + torch.arange(3.0)[:, None],
            lambda self, x: x * torch.arange(1.0, 4.0)[:, None],
            lambda self, x: x.mean(1, keepdim=True).expand(-1, 3, -1),
        ],
    )
    def test_tokens_that_are_treated_otherwise_keep_the_dense_layer(self, function):
        module = Spoken(function)
        slim = wa.collapse_linear(module, torch.zeros(1, 3, 2)).as_module()
        assert not isinstance(slim, nn.Linear)
        x = torch.randn(5, 3, 2)
        torch.testing.assert_close(slim(x), module(x))

    def test_it_is_a_copy(self):
        collapse = wa.collapse_linear(nn.Linear(3, 2), torch.zeros(1, 4, 3))
        slim = collapse.as_module()
        with torch.no_grad():
            slim.weight.zero_()
        assert bool(collapse.as_module().weight.abs().sum() > 0)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("magic", {}, "unknown kind of proof 'magic'"),
        (["exact"], {}, "unknown kind of proof"),
        ("exact", {"round": 3}, "Did you mean 'rounds'"),
        ("exact", {"rounds": 0}, "rounds must be a whole number of at least 1"),
        ("exact", {"rounds": 1.5}, "rounds must be a whole number"),
        ("exact", {"seed": 5, "points_budget": 0}, "hexadecimal"),
        ("numeric", {"radius": "a"}, "radius must be a number above 0"),
        ("numeric", {"radius": float("nan")}, "radius must be a number above 0"),
        ("numeric", {"effort": -1}, "effort must be a whole number"),
        ("numeric", {"seed": "x"}, "seed must be a whole number"),
        ("numeric", {"x": [1, 2, 3]}, "but list came"),
        ("numeric", {"x": torch.zeros(4)}, r"but shape \(4,\) came"),
        ("numeric", {"x": torch.tensor([1.0, float("nan"), 0.0])}, "not finite"),
        ("symbolic", {"engine": "maple"}, "Known: flint, sympy"),
        ("theorem", {"depth": 3}, "Known: rule"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(kind, options, words: str) -> None:
    collapse = wa.collapse_linear(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)))
    with pytest.raises(InputError, match=words):
        collapse.prove(kind, **options)


@pytest.mark.parametrize("first", [nn.Conv2d(1, 2, 3), nn.Embedding(5, 8), nn.LSTM(3, 8), nn.ConvTranspose1d(1, 2, 3)])
def test_an_input_is_not_guessed_behind_another_layer(first):
    module = nn.Sequential(first, nn.Linear(8, 2))
    for door in (wa.collapse_linear, wa.ablate):
        with pytest.raises(
            InputError, match=r"its first layer is not an nn\.Linear\. Pass a tensor .* as example_input$"
        ):
            door(module)


def test_an_input_is_guessed_behind_what_keeps_its_shape():
    module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 2)).eval()
    assert wa.collapse_linear(module).input_shape == (8,)
