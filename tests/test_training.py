from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate.activations import ACTIVATIONS
from whyactivate.datasets import Dataset, Task, load_dataset
from whyactivate.errors import DivergedError, InputError, UnknownNameError
from whyactivate.models import MLP, SimpleModel
from whyactivate.training import History, TrainConfig, loop, train
from whyactivate.training.plain import read_plain

ARTICLE = TrainConfig(shuffle=False)
SHORT = TrainConfig(epochs=3)


@pytest.fixture(scope="module")
def article() -> Dataset:
    return load_dataset("article", seed=0)


@pytest.fixture(scope="module")
def moons() -> Dataset:
    return load_dataset("moons", seed=0)


def weights_of(model: nn.Module) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in (*model.parameters(), *model.buffers())]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return nn.Linear(10, 1)


def stop_at(epoch: int) -> Callable[..., None]:
    """A callback that presses Ctrl-C after that epoch."""

    def callback(done: int, total: int, metrics: object) -> None:
        if done == epoch:
            raise KeyboardInterrupt

    return callback


class Troubled(nn.Module):
    """Raises in training mode, in the middle of an epoch, at the given forward pass."""

    def __init__(self, error: type[BaseException], step: int) -> None:
        super().__init__()
        self.inner = SimpleModel()
        self.norm = nn.BatchNorm1d(10)
        self.error, self.step, self.steps = error, step, 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        if self.training and self.steps == self.step:
            raise self.error("in the middle")
        return self.inner(self.norm(x))


class ByItsForward(SimpleModel):
    """Another class, so its own forward runs, and autograd finds the slopes."""


class PerceptronByItsForward(MLP):
    """The same for any widths."""


class TestTheArticlesLoop:
    """`train` beside the tutorial's own loop."""

    @pytest.mark.parametrize("activation", [None, "relu", "sigmoid", "tanh", "leaky_relu"])
    def test_is_reproduced(self, activation: str | None):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            x, y = torch.randn(100, 10), torch.randn(100, 1)
            torch.manual_seed(7)
            theirs = nn.Sequential(*[nn.Linear(a, b) for a, b in [(10, 18), (18, 18), (18, 4), (4, 1)]])
            phi = {None: lambda z: z, "leaky_relu": F.leaky_relu}.get(activation) or getattr(torch, str(activation))

            def forward(rows: Tensor) -> Tensor:
                fc1, fc2, fc3, fc4 = theirs
                return fc4(phi(fc3(phi(fc2(phi(fc1(rows)))))))

            criterion, optimizer = nn.MSELoss(), torch.optim.Adam(theirs.parameters(), lr=0.001)
            printed, whole = [], []
            for _ in range(150):
                for i in range(0, 100, 10):
                    optimizer.zero_grad()
                    loss = criterion(forward(x[i : i + 10]), y[i : i + 10])
                    loss.backward()
                    optimizer.step()
                printed.append(loss.item())
                with torch.no_grad():
                    whole.append(criterion(forward(x), y).item())

        ours = SimpleModel(activation, seed=7)
        history = train(ours, load_dataset("article", seed=0), ARTICLE)
        np.testing.assert_allclose(history.last_batch_loss, printed, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(history.train_loss[1:], whole, rtol=1e-4)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
        # What the tutorial prints is another number: the last mini-batch's.
        assert np.abs(np.divide(printed, whole) - 1).max() > 0.1

    def test_defaults_are_the_articles_but_for_the_order(self):
        config = TrainConfig()
        assert (config.epochs, config.batch_size, config.learning_rate, config.optimizer) == (150, 10, 1e-3, "adam")
        assert config.shuffle


class TestPlainPerceptrons:
    """SimpleModel and MLP go through the stacked engine; what everything else goes through gives the same."""

    @pytest.mark.parametrize("name", ACTIVATIONS)
    @pytest.mark.parametrize("task", ["article", "moons"])
    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    def test_by_hand_and_by_autograd(self, name: str, task: str, optimizer: Any):
        data = load_dataset(task)
        few = Dataset(
            "few", data.train_x[:23], data.train_y[:23], data.test_x[:9], data.test_y[:9], data.task, data.classes
        )
        config = TrainConfig(epochs=6, batch_size=7, optimizer=optimizer, learning_rate=0.02)
        widths = [data.features, 6, 5, data.outputs]
        kinds = MLP, PerceptronByItsForward
        hand, autograd = (kind(widths, name, seed=3, dtype=torch.float64) for kind in kinds)
        assert read_plain(hand) is not None
        assert read_plain(autograd) is None
        mine, theirs = train(hand, few, config), train(autograd, few, config)
        for a, b in zip(hand.parameters(), autograd.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
        for column in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "last_batch_loss"):
            np.testing.assert_allclose(getattr(mine, column), getattr(theirs, column), rtol=1e-9)

    @pytest.mark.parametrize("own", [torch.sin, F.elu, nn.Softplus(2.0), nn.ELU(inplace=True), nn.LeakyReLU(0.3)])
    def test_elementwise_functions_and_pytorchs_modules(self, article: Dataset, own: Any):
        hand, autograd = (kind([10, 6, 1], own, dtype=torch.float64) for kind in (MLP, PerceptronByItsForward))
        assert read_plain(hand) is not None
        train(hand, article, SHORT)
        train(autograd, article, SHORT)
        for a, b in zip(hand.parameters(), autograd.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-11)

    def test_what_must_run_its_own_forward(self):
        def changed(change: Callable[[SimpleModel], object]) -> SimpleModel:
            model = SimpleModel("tanh")
            change(model)
            return model

        def share(model: SimpleModel) -> None:
            model.fc2 = model.fc1

        def own_forward(model: SimpleModel) -> None:
            model.forward = lambda x: x  # type: ignore[method-assign]

        hooked = [
            lambda m: m.register_forward_hook(print),
            lambda m: m.fc1.register_forward_pre_hook(print),
            lambda m: m.activation.register_full_backward_hook(print),
            lambda m: m.fc1.weight.register_hook(print),
            lambda m: m.fc1.bias.register_post_accumulate_grad_hook(print),
            lambda m: m.fc3.bias.requires_grad_(False),
            lambda m: m.add_module("more", nn.Linear(2, 2)),
            lambda m: nn.utils.parametrizations.weight_norm(m.fc2),
            lambda m: setattr(m, "activation", nn.PReLU()),
            lambda m: setattr(m, "activation", nn.RReLU()),
            lambda m: setattr(m, "activation", nn.Softmax(dim=1)),
            lambda m: setattr(m, "activation", nn.Sequential(nn.ReLU())),
            share,
            own_forward,
        ]
        assert read_plain(changed(lambda m: None)) is not None
        assert [read_plain(changed(change)) for change in hooked] == [None] * len(hooked)
        assert read_plain(MLP([3, 4, 1], bias=False)) is None
        assert read_plain(MLP([3, 4, 1], lambda x: F.dropout(x, 0.5))) is None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert read_plain(SimpleModel()) is None

    def test_data_that_ask_for_gradients(self, article: Dataset):
        parts = article.train_x, article.train_y, article.test_x, article.test_y
        asking = Dataset("asking", *(part.clone().requires_grad_() for part in parts), article.task)
        histories = [train(SimpleModel(), data, SHORT) for data in (article, asking)]
        assert histories[0] == histories[1]

    def test_hooks_see_every_batch(self, article: Dataset):
        model, seen = SimpleModel(), list[int]()
        model.fc2.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])) if module.training else None)
        train(model, article, TrainConfig(epochs=1, batch_size=40))
        assert seen == [40, 40, 20]

    @pytest.mark.parametrize("kind", [SimpleModel, ByItsForward])
    def test_a_callback_sees_gradients_and_may_change_weights(self, article: Dataset, kind: type[SimpleModel]):
        model, sizes = kind(), list[float]()

        def callback(*news: object) -> None:
            sizes.extend(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
            with torch.no_grad():
                model.fc4.weight.zero_()
                model.fc4.bias.fill_(5.0)

        history = train(model, article, TrainConfig(epochs=2, learning_rate=1e-9, optimizer="sgd"), callback=callback)
        assert len(sizes) == 16
        assert all(size > 0 for size in sizes[:8])
        assert all(parameter.grad is None for parameter in model.parameters())
        assert history.train_loss[2] == pytest.approx(((article.train_y - 5) ** 2).mean().item(), rel=1e-5)
        assert torch.equal(model.fc4.bias, torch.tensor([5.0]))


class TestOptimisers:
    """Both optimisers step for step beside PyTorch's, in float64."""

    @settings(max_examples=20)
    @given(
        name=st.sampled_from(["adam", "sgd"]),
        rate=st.floats(1e-5, 3e-2),
        momentum=st.sampled_from([0.0, 0.5, 0.9]),
        batch=st.integers(1, 60),
        seed=st.integers(0, 1000),
    )
    def test_equal_pytorchs(self, name: Any, rate: float, momentum: float, batch: int, seed: int):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(50, 3, generator=generator), torch.randn(50, 1, generator=generator)
        data = Dataset("d", x, y, x, y, Task.REGRESSION)
        ours, theirs = (MLP([3, 5, 1], "tanh", seed=seed, dtype=torch.float64) for _ in range(2))
        config = TrainConfig(
            epochs=3, batch_size=batch, learning_rate=rate, optimizer=name, momentum=momentum, shuffle=False
        )
        train(ours, data, config)
        optimizer = (
            torch.optim.Adam(theirs.parameters(), lr=rate)
            if name == "adam"
            else torch.optim.SGD(theirs.parameters(), lr=rate, momentum=momentum)
        )
        for _ in range(3):
            for rows, targets in zip(x.double().split(batch), y.double().split(batch), strict=True):
                optimizer.zero_grad()
                F.mse_loss(theirs(rows), targets).backward()
                optimizer.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)

    def test_frozen_weights_stay(self, article: Dataset):
        model = SimpleModel()
        model.fc2.weight.requires_grad_(False)
        before = weights_of(model)
        train(model, article, SHORT)
        changed = [not torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True)]
        assert changed == [True, True, False, True, True, True, True, True]

    def test_tied_weights_are_trained_once(self, article: Dataset):
        shared = nn.Linear(10, 10)
        model = nn.Sequential(shared, nn.Tanh(), shared, nn.Linear(10, 1))
        history = train(model, article, SHORT)
        assert model[0].weight is model[2].weight
        assert history.train_loss[-1] < history.train_loss[0]


class TestHistory:
    def test_losses_are_over_the_whole_parts(self, moons: Dataset):
        model = MLP([2, 8, 2], seed=1)
        seen: list[tuple[int, int, dict[str, float]]] = []
        history = train(model, moons, TrainConfig(epochs=4), callback=lambda *news: seen.append(news))  # type: ignore[arg-type]
        with torch.no_grad():
            for x, y, loss, accuracy in (
                (moons.train_x, moons.train_y, history.train_loss, history.train_accuracy),
                (moons.test_x, moons.test_y, history.test_loss, history.test_accuracy),
            ):
                assert loss[-1] == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-6)
                assert accuracy[-1] == (model(x).argmax(dim=1) == y).double().mean().item()
        assert [(epoch, total) for epoch, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
        assert [metrics["test_loss"] for _, _, metrics in seen] == list(history.test_loss[1:])
        assert set(seen[0][2]) == {"train_loss", "test_loss", "train_accuracy", "test_accuracy"}

    def test_index_0_is_before_training(self, moons: Dataset):
        model = MLP([2, 8, 2], seed=1)
        with torch.no_grad():
            before = F.cross_entropy(model(moons.train_x), moons.train_y).item()
        history = train(model, moons, TrainConfig(epochs=2))
        assert history.train_loss[0] == pytest.approx(before, rel=1e-6)
        lengths = [
            len(getattr(history, name)) for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
        ]
        assert lengths == [3] * 4
        assert len(history.last_batch_loss) == history.epochs == 2

    def test_parts_larger_than_one_piece_are_measured_right(self):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(20_001, 2, generator=generator)
        y = x.sum(dim=1, keepdim=True) + x[:, :1] ** 2
        data = Dataset("d", x[:10], y[:10], x, y, Task.REGRESSION)
        model = MLP([2, 1])
        history = train(model, data, TrainConfig(epochs=1))
        assert history.test_loss[-1] == pytest.approx(F.mse_loss(model(x), y).item(), rel=1e-5)

    def test_regression_has_no_accuracy(self, article: Dataset):
        history = train(SimpleModel(), article, SHORT)
        assert history.task is Task.REGRESSION
        assert history.train_accuracy == history.test_accuracy == ()

    def test_evaluation_mode_measures_and_training_mode_trains(self, article: Dataset):
        modes: list[tuple[bool, int]] = []

        class Watched(SimpleModel):
            def forward(self, x: Tensor) -> Tensor:
                modes.append((self.training, len(x)))
                return super().forward(x)

        train(Watched(), article, TrainConfig(epochs=1, batch_size=40))
        assert modes == [
            (False, 2), (False, 100), (False, 1000), (True, 40), (True, 40), (True, 20), (False, 100), (False, 1000),
        ]  # fmt: skip

    def test_goes_to_json_and_back(self, moons: Dataset):
        history = train(MLP([2, 2]), moons, SHORT)
        plain = json.loads(json.dumps(history.to_dict(), allow_nan=False))
        assert plain["train_loss"] == list(history.train_loss)
        assert plain["config"] == dataclasses.asdict(history.config)
        assert (plain["task"], plain["epochs"], plain["stopped"]) == ("classification", 3, "finished")
        assert plain["best_epoch"] == history.best_epoch

    def test_prints_before_and_after(self):
        history = History(TrainConfig(), Task.CLASSIFICATION, (1.0, 0.5), (1.5, 0.75), (0.5, 1.0), (0.25, 0.75), (0.1,))
        assert str(history).splitlines() == [
            "1 epoch of adam",
            "  train loss     1 → 0.5",
            "  test loss      1.5 → 0.75",
            "  train accuracy 0.5 → 1",
            "  test accuracy  0.25 → 0.75",
        ]
        assert repr(history) == "<History: 1 epoch of adam>"
        assert "<th>train loss</th><td>1</td><td>0.5</td>" in history._repr_html_()

    def test_best_epoch_is_the_lowest_test_loss(self):
        history = History(TrainConfig(), Task.REGRESSION, (1.0, 1.0, 1.0, 1.0), (3.0, 2.0, 1.0, 2.0))
        assert history.best_epoch == 2


class TestShuffling:
    def test_the_seed_fixes_the_order(self, article: Dataset):
        histories = [train(SimpleModel(), article, TrainConfig(epochs=3, seed=seed)) for seed in (1, 1, 2)]
        assert histories[0].train_loss == histories[1].train_loss
        assert histories[0].train_loss != histories[2].train_loss

    @pytest.mark.parametrize("shuffle", [True, False])
    def test_every_row_comes_once_an_epoch(self, shuffle: bool):
        rows: list[list[float]] = []

        class Watched(nn.Linear):
            def forward(self, input: Tensor) -> Tensor:
                if self.training:
                    rows.append(input[:, 0].tolist())
                return super().forward(input)

        x = torch.arange(23.0)[:, None] / 23
        data = Dataset("d", x, x.clone(), x, x.clone(), Task.REGRESSION)
        train(Watched(1, 1), data, TrainConfig(epochs=2, batch_size=5, shuffle=shuffle, learning_rate=1e-6))
        assert [len(batch) for batch in rows] == [5, 5, 5, 5, 3] * 2
        first, second = ([v for batch in rows[i : i + 5] for v in batch] for i in (0, 5))
        assert sorted(first) == sorted(second) == x[:, 0].tolist()
        assert (first == x[:, 0].tolist()) is not shuffle
        assert (first == second) is not shuffle

    def test_what_the_model_draws_does_not_change_the_order(self):
        x = torch.arange(20.0)[:, None] / 20
        data = Dataset("d", x, x.clone(), x, x.clone(), Task.REGRESSION)

        def order_with(rate: float) -> list[float]:
            model = nn.Sequential(nn.Linear(1, 8), nn.Dropout(rate), nn.Linear(8, 1))
            rows: list[float] = []
            model.register_forward_pre_hook(lambda m, args: rows.extend(args[0][:, 0].tolist()) if m.training else None)
            train(model, data, TrainConfig(epochs=3, batch_size=4, shuffle=True))
            return rows

        assert order_with(0.5) == order_with(0.0)

    def test_rows_keep_their_targets(self):
        x = torch.arange(64.0)[:, None] / 64
        data = Dataset("d", x, 3 * x - 1, x, 3 * x - 1, Task.REGRESSION)
        history = train(MLP([1, 1]), data, TrainConfig(epochs=300, learning_rate=0.02))
        assert history.train_loss[-1] < 1e-6

    def test_a_batch_may_be_larger_than_the_data(self, article: Dataset):
        big, exact = (
            train(SimpleModel(), article, TrainConfig(epochs=2, batch_size=b, shuffle=False)) for b in (999, 100)
        )
        assert big.train_loss == exact.train_loss


class TestEarlyStop:
    def test_stops_after_patience_epochs_without_a_new_best(self, article: Dataset):
        history = train(SimpleModel(), article, TrainConfig(patience=5))
        assert history.stopped == "early"
        assert history.epochs - history.best_epoch == 5
        assert "stopped early" in str(history)

    def test_the_model_is_the_one_of_the_last_epoch(self, article: Dataset):
        model = SimpleModel()
        history = train(model, article, TrainConfig(patience=3))
        with torch.no_grad():
            assert F.mse_loss(model(article.test_x), article.test_y).item() == pytest.approx(history.test_loss[-1])

    def test_does_not_stop_while_it_gets_better(self, moons: Dataset):
        history = train(MLP([2, 2]), moons, TrainConfig(epochs=10, patience=1))
        assert (history.stopped, history.epochs) == ("finished", 10)


class TestInterrupt:
    def test_between_epochs(self, article: Dataset):
        model, whole = SimpleModel(), SimpleModel()
        history = train(model, article, callback=stop_at(4))
        assert (history.stopped, history.epochs) == ("interrupted", 4)
        expected = train(whole, article, TrainConfig(epochs=4))
        assert history.train_loss == expected.train_loss
        assert same(weights_of(model), weights_of(whole))
        assert "interrupted" in str(history)

    @pytest.mark.parametrize("step", [1, 7, 10, 11, 25, 30])
    def test_in_the_middle_of_an_epoch(self, article: Dataset, step: int):
        model, whole = Troubled(KeyboardInterrupt, step), Troubled(KeyboardInterrupt, -1)
        start = weights_of(model)
        whole.load_state_dict(model.state_dict())
        history = train(model, article, TrainConfig(epochs=9))
        done = (step - 1) // 10
        assert (history.stopped, history.epochs, len(history.last_batch_loss)) == ("interrupted", done, done)
        if done == 0:
            assert same(weights_of(model), start)
        else:
            assert history.test_loss == train(whole, article, TrainConfig(epochs=done)).test_loss
            assert same(weights_of(model), weights_of(whole))

    def test_while_measuring(self, article: Dataset):
        class Slow(SimpleModel):
            measured = 0

            def forward(self, x: Tensor) -> Tensor:
                self.measured += not self.training
                if self.measured == 8:
                    raise KeyboardInterrupt
                return super().forward(x)

        model, whole = Slow(), ByItsForward()
        history = train(model, article, SHORT)
        expected = train(whole, article, TrainConfig(epochs=2))
        assert (history.epochs, history.train_loss) == (2, expected.train_loss)
        assert same(weights_of(model), weights_of(whole))

    def test_between_the_two_lines_that_keep_an_epoch(self, article: Dataset, monkeypatch: pytest.MonkeyPatch):
        class Interrupting(list[Any]):
            def append(self, item: Any) -> None:
                super().append(item)
                if len(self) == 4:
                    raise KeyboardInterrupt

        start = loop._Run.__init__

        def init(run: Any, *arguments: Any) -> None:
            start(run, *arguments)
            run.epochs = Interrupting()

        monkeypatch.setattr(loop._Run, "__init__", init)
        model, whole = SimpleModel(), SimpleModel()
        history = train(model, article)
        monkeypatch.undo()
        assert history.train_loss == train(whole, article, TrainConfig(epochs=2)).train_loss
        assert same(weights_of(model), weights_of(whole))

    def test_other_errors_pass_and_leave_the_last_whole_epoch(self, article: Dataset):
        model, whole = Troubled(OSError, 25), Troubled(OSError, -1)
        whole.load_state_dict(model.state_dict())
        with pytest.raises(OSError, match="in the middle"):
            train(model, article, TrainConfig(epochs=9))
        train(whole, article, TrainConfig(epochs=2))
        assert same(weights_of(model), weights_of(whole))

    def test_errors_of_the_callback_pass(self, article: Dataset):
        def callback(*news: object) -> None:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            train(SimpleModel(), article, callback=callback)


class TestDivergence:
    def test_raises_with_the_history_so_far(self, article: Dataset):
        model = SimpleModel(None)
        config = TrainConfig(optimizer="sgd", learning_rate=0.9, momentum=0.9)
        with pytest.raises(
            DivergedError, match=r"training diverged: after epoch \d+.*Try a learning rate below 0.9"
        ) as caught:
            train(model, article, config)
        history = caught.value.history
        assert history.stopped == "diverged"
        assert all(map(math.isfinite, (*history.train_loss, *history.test_loss, *history.last_batch_loss)))
        with torch.no_grad():
            loss = F.mse_loss(model(article.train_x), article.train_y).item()
        assert loss == pytest.approx(history.train_loss[-1], rel=1e-5)
        assert "then diverged" in str(history)

    def test_the_history_ends_before_the_first_bad_epoch(self, article: Dataset):
        class Breaks(SimpleModel):
            steps = 0

            def forward(self, x: Tensor) -> Tensor:
                self.steps += self.training
                return super().forward(x) * (math.inf if self.steps > 20 else 1.0)

        model, whole = Breaks(), ByItsForward()
        with pytest.raises(DivergedError, match=r"after epoch 3, the train loss is nan; it was 0.7651 on") as caught:
            train(model, article, TrainConfig(epochs=9))
        expected = train(whole, article, TrainConfig(epochs=2))
        assert caught.value.history.train_loss == expected.train_loss
        assert same(weights_of(model), weights_of(whole))

    def test_a_weight_that_is_not_finite_counts_though_no_loss_shows_it(self, article: Dataset):
        class Hidden(SimpleModel):
            def __init__(self) -> None:
                super().__init__()
                self.extra = nn.Parameter(torch.ones(()))

            def forward(self, x: Tensor) -> Tensor:
                if self.training:
                    return super().forward(x) + self.extra * 0 / (self.extra * 0)
                return super().forward(x)

        with pytest.raises(DivergedError):
            train(Hidden(), article, SHORT)

    def test_a_model_that_starts_broken_is_bad_input(self, article: Dataset):
        model = SimpleModel()
        with torch.no_grad():
            model.fc1.bias[0] = math.nan
        with pytest.raises(InputError, match="before any training the train loss is nan"):
            train(model, article)


class TestSurroundings:
    @pytest.mark.parametrize("ending", ["fine", "interrupted", "error"])
    def test_everything_else_stays_as_it_was(self, article: Dataset, ending: str):
        model = nn.Sequential(nn.Linear(10, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 1))
        model[1].eval()
        model[0].weight.requires_grad_(False)
        model[3].weight.grad = torch.full((1, 8), 7.0)
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002

        def callback(epoch: int, total: int, metrics: object) -> None:
            if ending != "fine" and epoch == 2:
                raise KeyboardInterrupt if ending == "interrupted" else LookupError

        try:
            train(model, article, SHORT, callback=callback)
        except LookupError:
            assert ending == "error"
        try:
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(threads)
        assert [module.training for module in model.modules()] == [True, True, False, True, True]
        assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
        assert torch.equal(model[3].weight.grad, torch.full((1, 8), 7.0))
        assert [p.grad is None for p in model.parameters()] == [True, True, True, True, False, True]
        assert torch.equal(states[0], torch.get_rng_state())
        assert states[1] == random.getstate()
        assert np.array_equal(states[2], np.random.get_state()[1])  # noqa: NPY002
        assert torch.get_default_dtype() == torch.float32
        assert torch.is_grad_enabled()

    def test_a_large_step_keeps_its_threads_and_a_tiny_one_does_not(self):
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        seen: dict[str, int] = {}
        try:
            for name, width, batch in (("tiny", 4, 10), ("large", 2000, 1000)):
                x = torch.zeros(1000, 4)
                data = Dataset("d", x, torch.zeros(1000, 1), x[:1], torch.zeros(1, 1), Task.REGRESSION)
                model = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1))
                model.register_forward_hook(lambda *_, name=name: seen.update({name: torch.get_num_threads()}))
                train(model, data, TrainConfig(epochs=1, batch_size=batch))
        finally:
            torch.set_num_threads(threads)
        assert seen == {"tiny": 1, "large": 2}

    def test_the_data_stays(self, moons: Dataset):
        before = [moons.train_x.clone(), moons.train_y.clone(), moons.test_x.clone(), moons.test_y.clone()]
        train(MLP([2, 2]), moons, SHORT)
        assert same(before, [moons.train_x, moons.train_y, moons.test_x, moons.test_y])

    def test_dropout_is_fixed_by_the_seed(self, article: Dataset):
        def run(seed: int) -> tuple[float, ...]:
            model = nn.Sequential(MLP([10, 8]), nn.Dropout(0.5), MLP([8, 1]))
            return train(model, article, TrainConfig(epochs=2, seed=seed, shuffle=False)).train_loss

        first = run(1)
        torch.rand(3)
        assert first == run(1)
        assert first != run(2)

    @pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
    def test_works_where_gradients_are_off(self, article: Dataset, context: Any):
        model = SimpleModel()
        with context():
            history = train(model, article, SHORT)
            assert not torch.is_grad_enabled()
        assert history.train_loss == train(SimpleModel(), article, SHORT).train_loss

    def test_the_first_training_does_not_import_the_compiler(self):
        code = (
            "import sys, whyactivate as wa\n"
            "wa.train(wa.SimpleModel(), wa.load_dataset('article'), wa.TrainConfig(epochs=1))\n"
            "sys.exit('torch._dynamo' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestFit:
    def test_float64_models_train_in_float64(self, article: Dataset):
        model = MLP([10, 4, 1], dtype=torch.float64)
        history = train(model, article, SHORT)
        assert {p.dtype for p in model.parameters()} == {torch.float64}
        assert history.train_loss[-1] < history.train_loss[0]

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (MLP([9, 4, 1]), r"fails on x of shape \(2, 10\).*first Linear takes 9 features, article has 10"),
            (MLP([10, 4, 2]), r"article is regression and needs one output.*shape \(2, 1\); .*\(2, 2\) came"),
            (nn.Sequential(nn.Linear(10, 1), nn.Flatten(0)), r"shape \(2,\) came"),
            (
                nn.Linear(10, 1, dtype=torch.bfloat16),
                "all float32 or all float64 to be trained, but they are torch.bfloat16",
            ),
            (
                nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 1, dtype=torch.float64)),
                "torch.float32 and torch.float64",
            ),
            (nn.ReLU(), "no parameter that requires a gradient"),
            (nn.Linear(10, 1).requires_grad_(False), "no parameter that requires a gradient"),
            (nn.LazyLinear(1), "lazy layers without weights"),
            (nn.Linear(10, 1, device="meta"), "meta device, which holds no values"),
            (in_inference_mode(), "made in torch.inference_mode"),
            (nn.LSTM(10, 1), "tuple came"),
            (nn.Embedding(10, 1), "fails on x"),
            (SimpleModel, "the class SimpleModel came; build it first"),
            (None, "NoneType came"),
            (lambda x: x, "function came"),
        ],
    )
    def test_refuses_models_that_do_not_fit(self, article: Dataset, model: Any, message: str):
        with pytest.raises(InputError, match=message):
            train(model, article)

    def test_refuses_a_model_whose_output_no_weight_reaches(self, article: Dataset):
        class Detached(SimpleModel):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x).detach()

        with pytest.raises(InputError, match="does not depend on any weight"):
            train(Detached(), article)

    def test_says_how_many_outputs_classes_need(self, moons: Dataset):
        with pytest.raises(
            InputError, match=r"moons is classification and needs one output per class, 2: .*\(2, 1\) came"
        ):
            train(MLP([2, 1]), moons)

    def test_a_refused_model_is_untouched(self, moons: Dataset):
        model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
        before = weights_of(model)
        with pytest.raises(InputError):
            train(model, moons)
        assert same(before, weights_of(model))
        assert model.training

    def test_a_batch_that_the_model_cannot_train_on(self, article: Dataset):
        model = nn.Sequential(nn.BatchNorm1d(10), nn.Linear(10, 1))
        before = weights_of(model)
        with pytest.raises(InputError, match="cannot be trained on a batch of 1 rows"):
            train(model, article, TrainConfig(batch_size=99))
        assert same(before, weights_of(model))

    def test_a_model_without_a_gradient(self, article: Dataset):
        model = nn.Sequential(nn.Linear(10, 5), nn.Sigmoid(), nn.ReLU(inplace=True), nn.Linear(5, 1))
        with pytest.raises(InputError, match=r"cannot be trained .* modified by an inplace operation"):
            train(model, article)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"data": torch.zeros(3)}, "data must be a Dataset .* Tensor came"),
            ({"config": 150}, "config must be a TrainConfig, but int came"),
            ({"config": {"epochs": 3}}, "config must be a TrainConfig, but dict came"),
            ({"callback": "print"}, "callback must be a function"),
        ],
    )
    def test_refuses_other_arguments(self, article: Dataset, arguments: dict[str, Any], message: str):
        with pytest.raises(InputError, match=message):
            train(SimpleModel(), **({"data": article} | arguments))

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
    def test_refuses_a_device_that_is_not_there(self, article: Dataset):
        with pytest.raises(InputError, match="cannot train on device 'cuda'"):
            train(SimpleModel(), article, TrainConfig(device="cuda"))

    def test_refuses_a_device_without_numbers(self, article: Dataset):
        with pytest.raises(InputError, match="cannot train on device 'meta'"):
            train(SimpleModel(), article, TrainConfig(device="meta"))


class TestTrainConfig:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"epochs": 0}, "epochs must be a whole number of at least 1, but 0 came"),
            ({"epochs": 1.5}, r"epochs must be a whole number of at least 1, but 1.5 \(float\) came"),
            ({"epochs": True}, "epochs"),
            ({"epochs": "10"}, "epochs"),
            ({"batch_size": 0}, "batch_size"),
            ({"batch_size": -5}, "batch_size"),
            ({"learning_rate": 0}, "learning_rate must be a number above 0"),
            ({"learning_rate": -1e-3}, "learning_rate"),
            ({"learning_rate": math.nan}, "learning_rate"),
            ({"learning_rate": math.inf}, "learning_rate"),
            ({"learning_rate": 1e38}, "learning_rate must be a number above 0 and below 1e\\+30"),
            ({"learning_rate": "fast"}, "learning_rate"),
            ({"learning_rate": None}, "learning_rate"),
            ({"momentum": 1.0}, "momentum must be a number of at least 0 and below 1"),
            ({"momentum": -0.1}, "momentum"),
            ({"seed": -1}, "seed"),
            ({"seed": None}, "seed"),
            ({"patience": 0}, "patience"),
            ({"shuffle": "yes"}, "shuffle must be True or False"),
            ({"device": "gpu"}, "device must be a name such as 'cpu'"),
            ({"device": 0}, "device must be a name"),
            ({"device": None}, "device must be a name"),
        ],
    )
    def test_refuses(self, options: dict[str, Any], message: str):
        with pytest.raises(InputError, match=message):
            TrainConfig(**options)

    @pytest.mark.parametrize("name", ["adamm", "Adam", "", None, 3])
    def test_refuses_unknown_optimizers(self, name: Any):
        with pytest.raises(UnknownNameError, match=r"unknown optimizer .*Known: adam, sgd"):
            TrainConfig(optimizer=name)

    def test_keeps_plain_values(self):
        config = TrainConfig(
            epochs=np.int64(3),
            learning_rate=np.float32(0.5),
            momentum=0,
            device=torch.device("cpu"),  # type: ignore[arg-type]
        )
        assert [type(v) for v in (config.epochs, config.learning_rate, config.momentum, config.device)] == [
            int, float, float, str,
        ]  # fmt: skip

    def test_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            TrainConfig().epochs = 3  # type: ignore[misc]
