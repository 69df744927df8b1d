from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from whyactivate.activations import ACTIVATIONS
from whyactivate.errors import InputError, UnknownNameError
from whyactivate.models import INITS, MLP, SimpleModel, parameter_count

ARTICLE_LAYERS = [10, 18, 18, 4, 1]


def weights_of(model: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in model.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def layers_of_pytorch(widths: list[int], seed: int, **options: object) -> list[Tensor]:
    """What `nn.Linear` itself draws, layer after layer, after `torch.manual_seed(seed)`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(a, b, **options) for a, b in pairwise(widths)]  # type: ignore[arg-type]
    return [parameter.detach() for layer in layers for parameter in layer.parameters()]


class TestSimpleModel:
    def test_is_the_articles_network(self):
        model = SimpleModel()
        assert [name for name, _ in model.named_children()] == ["fc1", "fc2", "fc3", "fc4", "activation"]
        assert [tuple(getattr(model, f"fc{i}").weight.shape) for i in (1, 2, 3, 4)] == [
            (18, 10),
            (18, 18),
            (4, 18),
            (1, 4),
        ]
        assert parameter_count(model) == 621

    def test_computes_what_the_article_writes(self):
        model, x = SimpleModel("tanh", seed=3), torch.randn(7, 10, generator=torch.Generator().manual_seed(1))
        h = torch.tanh(model.fc1(x))
        h = torch.tanh(model.fc2(h))
        h = torch.tanh(model.fc3(h))
        assert torch.equal(model(x), model.fc4(h))

    @pytest.mark.parametrize("seed", [0, 1, 12345])
    def test_starts_where_pytorch_starts_after_manual_seed(self, seed: int):
        assert same(weights_of(SimpleModel(seed=seed)), layers_of_pytorch(ARTICLE_LAYERS, seed))

    @pytest.mark.parametrize("activation", [*ACTIVATIONS, None, torch.sin, nn.Tanh(), lambda z: z**3])
    def test_start_does_not_depend_on_the_activation(self, activation: object):
        assert same(weights_of(SimpleModel(activation, seed=5)), weights_of(SimpleModel(seed=5)))  # type: ignore[arg-type]

    def test_start_depends_on_the_seed(self):
        assert not same(weights_of(SimpleModel(seed=0)), weights_of(SimpleModel(seed=1)))

    def test_trained_slopes_of_ones_own_module_are_parameters(self):
        assert parameter_count(SimpleModel(nn.PReLU())) == 622

    @pytest.mark.parametrize("seed", [-1, 1.0, True, "0", None, 2**32])
    def test_refuses_bad_seeds(self, seed: object):
        with pytest.raises(InputError, match="seed must be a whole number from 0"):
            SimpleModel(seed=seed)  # type: ignore[arg-type]

    def test_refuses_unknown_activations(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'sigmoid'"):
            SimpleModel("sigmoi")


class TestMLP:
    def test_names_its_layers_as_the_article_does(self):
        model = MLP(ARTICLE_LAYERS, seed=4)
        assert list(dict(model.named_parameters())) == list(dict(SimpleModel().named_parameters()))
        assert same(weights_of(model), weights_of(SimpleModel(seed=4)))
        assert model.layers == (model.fc1, model.fc2, model.fc3, model.fc4)

    def test_equals_the_simple_model(self):
        x = torch.randn(5, 10, generator=torch.Generator().manual_seed(0))
        assert torch.equal(MLP(ARTICLE_LAYERS, "gelu", seed=2)(x), SimpleModel("gelu", seed=2)(x))

    def test_has_no_activation_after_the_last_layer(self):
        model = MLP([3, 1], "relu", seed=0)
        x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
        assert (model(x) < 0).any()

    def test_keeps_an_activation_that_is_a_layer_apart_from_its_layers(self):
        model = MLP([3, 3, 3], nn.Linear(3, 3))
        assert model.layers == (model.fc1, model.fc2)

    @given(
        layers=st.lists(st.integers(1, 9), min_size=2, max_size=6),
        bias=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
        dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    )
    def test_default_start_is_pytorchs(self, layers: list[int], bias: bool, seed: int, dtype: torch.dtype):
        before = torch.get_rng_state()
        model = MLP(layers, "tanh", bias=bias, seed=seed, dtype=dtype)
        assert torch.equal(before, torch.get_rng_state())
        assert same(weights_of(model), layers_of_pytorch(layers, seed, bias=bias, dtype=dtype))
        pairs = list(pairwise(layers))
        assert parameter_count(model) == sum(a * b + b * bias for a, b in pairs)
        assert model(torch.zeros(4, layers[0], dtype=dtype)).shape == (4, layers[-1])

    @pytest.mark.parametrize(("init", "bound"), [("xavier", (6 / (200 + 300)) ** 0.5), ("he", (6 / 200) ** 0.5)])
    def test_other_starts_have_the_published_spread(self, init: str, bound: float):
        layer = MLP([200, 300, 1], init=init, seed=0).fc1  # type: ignore[arg-type]
        assert bound * 0.999 < layer.weight.abs().max() <= bound
        assert abs(layer.weight.std() / (bound / 3**0.5) - 1) < 0.01
        assert (layer.bias == 0).all()

    @pytest.mark.parametrize("init", INITS)
    def test_every_start_ignores_the_activation_and_follows_the_seed(self, init: str):
        first, second, other = (
            MLP([4, 5, 2], activation, init=init, seed=seed)  # type: ignore[arg-type]
            for activation, seed in [("relu", 1), (None, 1), ("relu", 2)]
        )
        assert same(weights_of(first), weights_of(second))
        assert not same(weights_of(first), weights_of(other))

    def test_moves_the_activation_to_its_dtype(self):
        assert MLP([2, 3, 1], nn.PReLU(), dtype=torch.float64).activation.weight.dtype == torch.float64

    @pytest.mark.parametrize(
        "layers",
        [
            [],
            [3],
            3,
            None,
            "10",
            [3, 0],
            [3, -1],
            [3, 2.0],
            [3, True],
            [3, "2"],
            [[3, 2]],
            [3, None],
            {3, 2},
            {3: 1, 2: 1},
        ],
    )
    def test_refuses_bad_layers(self, layers: object):
        with pytest.raises(InputError, match="layers"):
            MLP(layers)  # type: ignore[arg-type]

    def test_says_which_width_is_wrong(self):
        with pytest.raises(InputError, match=r"layers\[1\] must be a whole number of at least 1, but 0 came"):
            MLP([3, 0, 1])

    def test_refuses_what_no_memory_holds(self):
        with pytest.raises(InputError, match="does not fit into memory"):
            MLP([10**12, 10**12])
        with pytest.raises(InputError) as told:
            MLP([10**7, 10**7, 1], dtype=torch.float64)
        assert str(told.value) == (
            "a layer of 10,000,000 by 10,000,000 weights does not fit into memory: it would take 745,058.1 GiB; choose "
            "narrower layers"
        )

    def test_takes_whole_numbers_of_any_kind(self):
        assert MLP(np.array([3, 2])).widths == (3, 2)
        assert MLP((3, 2)).widths == (3, 2)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"init": "xaver"}, "Did you mean 'xavier'"),
            ({"init": None}, "unknown init None"),
            ({"bias": 1}, "bias must be True or False"),
            ({"dtype": torch.int64}, "dtype must be one of torch.float64.* but torch.int64 came"),
            ({"dtype": torch.float8_e4m3fn}, "dtype must be one of"),
            ({"dtype": "float64"}, "dtype must be one of"),
            ({"seed": -3}, "seed"),
        ],
    )
    def test_refuses_bad_options(self, options: dict[str, object], message: str):
        with pytest.raises(InputError, match=message):
            MLP([3, 2], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("module", "message"), [(None, "NoneType came"), (nn.LazyLinear(3), "lazy layers")])
def test_what_has_no_weights_is_not_counted(module: nn.Module, message: str):
    with pytest.raises(InputError, match=message):
        parameter_count(module)


def test_tied_weights_count_once():
    layer = nn.Linear(3, 3)
    assert parameter_count(nn.Sequential(layer, nn.ReLU(), layer)) == 12
