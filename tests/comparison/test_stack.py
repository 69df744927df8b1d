"""The backward pass by hand against autograd, and the optimisers against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from whyactivate.activations import ACTIVATIONS, get_activation
from whyactivate.models import INITS, MLP
from whyactivate.training.stacked.activate import Bent, derivative_by_autograd
from whyactivate.training.stacked.losses import CrossEntropy, SquaredError
from whyactivate.training.stacked.optimise import StackedAdam, StackedSGD
from whyactivate.training.stacked.stack import Company, Pass, Stack, perceptron_size
from whyactivate.training.stacked.weights import draw_row, layers_of, put_row, row_of

WIDTHS = (3, 5, 4, 2)


def stack_of(names: list[str], dtype: torch.dtype = torch.float64, widths: tuple[int, ...] = WIDTHS):
    models = [MLP(widths, name, seed=seed, dtype=dtype) for seed, name in enumerate(names)]
    companies = [Company(ACTIVATIONS[name], place, place + 1) for place, name in enumerate(names)]
    return models, Stack(np.stack([row_of(layers_of(model)) for model in models]), widths, companies)


def with_ones(x: torch.Tensor) -> np.ndarray:
    """(members, rows, features) to (members, features + 1, rows), the last row ones."""
    return np.concatenate([x.numpy(), np.ones((*x.shape[:2], 1))], axis=2).swapaxes(1, 2)


class TestBackward:
    @pytest.mark.parametrize("rows", [1, 6])
    def test_every_activation_gives_the_slopes_of_autograd(self, rows: int):
        names = list(ACTIVATIONS)
        models, stack = stack_of(names)
        draw = torch.Generator().manual_seed(1)
        x = 2 * torch.randn(len(names), rows, 3, generator=draw, dtype=torch.float64)
        room = Pass(stack, rows)
        output = room.forward(with_ones(x)).copy()
        room.delta[:] = torch.randn(room.delta.shape, generator=draw, dtype=torch.float64).numpy()
        room.backward(with_ones(x))
        for place, model in enumerate(models):
            expected = model(x[place])
            assert np.allclose(output[place].T, expected.detach().numpy(), rtol=1e-13, atol=1e-14)
            expected.backward(torch.from_numpy(room.delta[place].T.copy()))
            for layer in model.layers:
                with torch.no_grad():
                    layer.weight.copy_(layer.weight.grad)
                    layer.bias.copy_(layer.bias.grad)
            assert np.allclose(stack.slope[place], row_of(layers_of(model)), rtol=1e-11, atol=1e-13), names[place]

    def test_without_hidden_layers(self):
        models, stack = stack_of(["relu", "relu"], widths=(3, 2))
        x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        room = Pass(stack, 4)
        assert np.allclose(room.forward(with_ones(x))[1].T, models[1](x[1]).detach().numpy())
        room.delta[:] = 1.0
        room.backward(with_ones(x))
        assert np.allclose(stack.slope[0, :3], x[0].sum(0).numpy())
        assert stack.slope[0, 3] == 4

    def test_members_may_share_their_rows(self):
        _, stack = stack_of(["tanh", "relu"])
        x = with_ones(torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
        shared, own = Pass(stack, 4), Pass(stack, 4)
        assert np.array_equal(shared.forward(x), own.forward(np.repeat(x, 2, axis=0)))

    @pytest.mark.parametrize("name", ACTIVATIONS)
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_last_bit_of_a_member_does_not_depend_on_its_company(self, name: str, dtype: type):
        values = np.random.default_rng(0).standard_normal((9, 6, 7)).astype(dtype)

        def run(which: slice) -> tuple[np.ndarray, np.ndarray]:
            z, delta = values[which].copy(), values[which].copy()
            z[:, -1], delta[:, -1] = 1, 0
            bent = Bent(ACTIVATIONS[name], z, delta)
            bent.forward()
            bent.backward()
            return z, delta

        together = run(slice(None))
        for place in range(9):
            alone = run(slice(place, place + 1))
            assert np.array_equal(together[0][place], alone[0][0])
            assert np.array_equal(together[1][place], alone[1][0])

    @pytest.mark.parametrize("name", ["relu", "leaky_relu", "prelu", "sigmoid", "tanh"])
    def test_what_follows_from_the_output_is_what_follows_from_the_derivative(self, name: str):
        known = ACTIVATIONS[name]
        own = get_activation(known.function)
        points = (
            np.array([-30.0, -1.5, -1e-9, -0.0, 0.0, 1e-9, 0.7, 30.0])
            .reshape(1, 8, 1)
            .repeat(2, axis=2)[:, [*range(8), 0]]
        )
        results = []
        for activation in (known, own):
            z, delta = points.copy(), np.ones_like(points)
            z[:, -1], delta[:, -1] = 1, 0
            bent = Bent(activation, z, delta)
            bent.forward()
            bent.backward()
            assert (z[:, -1] == 1).all()
            assert (delta[:, -1] == 0).all()
            results.append((z, delta))
        assert np.allclose(results[0][0], results[1][0], rtol=1e-15)
        assert np.allclose(results[0][1], results[1][1], rtol=1e-13)

    def test_a_derivative_that_nobody_wrote(self):
        z = torch.linspace(-2, 2, 5)
        with torch.inference_mode():
            assert torch.allclose(derivative_by_autograd(torch.sin)(z), torch.cos(z))


class TestLosses:
    def test_squared_error(self):
        draw = torch.Generator().manual_seed(0)
        output = torch.randn(2, 1, 5, generator=draw, dtype=torch.float64).requires_grad_()
        wanted = torch.randn(2, 1, 5, generator=draw, dtype=torch.float64)
        losses = torch.stack([F.mse_loss(output[i], wanted[i]) for i in range(2)])
        losses.sum().backward()
        delta = np.empty((2, 1, 5))
        SquaredError().start_backward(output.detach().numpy(), wanted.numpy(), delta)
        assert np.allclose(delta, output.grad.numpy(), rtol=1e-14)
        total, _ = SquaredError().total(output.detach().numpy(), wanted.numpy())
        assert np.allclose(total / 5, losses.detach().numpy())

    @pytest.mark.parametrize("scale", [1.0, 500.0])
    def test_cross_entropy(self, scale: float):
        draw = torch.Generator().manual_seed(0)
        output = (scale * torch.randn(2, 4, 3, generator=draw, dtype=torch.float64)).requires_grad_()
        labels = torch.randint(3, (2, 4), generator=draw)
        losses = torch.stack([F.cross_entropy(output[i], labels[i]) for i in range(2)])
        losses.sum().backward()
        onehot = np.eye(3)[labels.numpy()].swapaxes(1, 2)
        values, delta = np.ascontiguousarray(output.detach().numpy().swapaxes(1, 2)), np.empty((2, 3, 4))
        CrossEntropy().start_backward(values, onehot, delta)
        assert np.allclose(delta.swapaxes(1, 2), output.grad.numpy(), rtol=1e-12, atol=1e-15)
        total, right = CrossEntropy().total(values, onehot)
        assert np.allclose(total / 4, losses.detach().numpy())
        assert right.tolist() == (output.argmax(dim=2) == labels).sum(dim=1).tolist()


class TestOptimisers:
    @pytest.mark.parametrize("name", ["adam", "sgd"])
    @pytest.mark.parametrize("rates", [(0.01, 0.01), (0.01, 0.003)])
    def test_as_pytorch(self, name: str, rates: tuple[float, float]):
        draw = np.random.default_rng(0)
        start, slopes = draw.standard_normal((2, 7)), draw.standard_normal((40, 2, 7)) * 1e-3
        flat, slope = start.copy(), np.zeros((2, 7))
        rate = rates[0] if rates[0] == rates[1] else np.array(rates)[:, None]
        mine = StackedAdam(flat, slope, rate) if name == "adam" else StackedSGD(flat, slope, rate, 0.9)
        for values in slopes:
            slope[:] = values
            mine.step()
        for place, each in enumerate(rates):
            parameter = nn.Parameter(torch.from_numpy(start[place].copy()))
            theirs = (
                torch.optim.Adam([parameter], lr=each)
                if name == "adam"
                else torch.optim.SGD([parameter], lr=each, momentum=0.9)
            )
            for values in slopes:
                parameter.grad = torch.from_numpy(values[place].copy())
                theirs.step()
            assert np.allclose(flat[place], parameter.detach().numpy(), rtol=1e-13, atol=1e-14)

    @pytest.mark.parametrize("name", ["adam", "sgd"])
    def test_goes_on_with_some_of_the_members(self, name: str):
        draw = np.random.default_rng(0)
        start, slopes = draw.standard_normal((3, 4)), draw.standard_normal((6, 3, 4))
        rates = np.array([0.1, 0.2, 0.3])[:, None]

        def make(flat: np.ndarray, slope: np.ndarray) -> StackedAdam | StackedSGD:
            return StackedAdam(flat, slope, rates) if name == "adam" else StackedSGD(flat, slope, rates, 0.5)

        whole, slope = start.copy(), np.zeros((3, 4))
        optimiser = make(whole, slope)
        for values in slopes:
            slope[:] = values
            optimiser.step()
        flat, slope = start.copy(), np.zeros((3, 4))
        optimiser = make(flat, slope)
        rows = np.array([0, 2])
        for step, values in enumerate(slopes):
            if step == 3:
                flat, slope = flat[rows], np.zeros((2, 4))
                optimiser = optimiser.keep(rows, flat, slope)
            slope[:] = values if step < 3 else values[rows]
            optimiser.step()
        assert np.array_equal(flat, whole[rows])


class TestRows:
    @pytest.mark.parametrize("init", INITS)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_draws_what_a_perceptron_draws(self, init, dtype: torch.dtype):
        model = MLP(WIDTHS, init=init, seed=5, dtype=dtype)
        assert np.array_equal(draw_row(WIDTHS, init, 5, dtype), row_of(layers_of(model)))
        assert len(row_of(layers_of(model))) == perceptron_size(WIDTHS)

    def test_there_and_back(self):
        model = MLP(WIDTHS, seed=1)
        other = MLP(WIDTHS, seed=2)
        put_row(layers_of(other), row_of(layers_of(model)))
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(mine, theirs)
