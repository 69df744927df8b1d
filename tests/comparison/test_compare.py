"""Each member of a batch ends where `train` alone would have ended."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import whyactivate as wa
from comparison_networks import check_equals_train, tiny
from whyactivate.comparison import compare

F32, F64 = torch.float32, torch.float64


class TestEqualsTrain:
    """Not nearly: to the last bit, since `train` does the same arithmetic for one."""

    @pytest.mark.parametrize("dtype", [F32, F64])
    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    @pytest.mark.parametrize("classes", [0, 3])
    @pytest.mark.parametrize("batch_size", [4, 100])
    def test_every_activation(self, dtype: torch.dtype, optimizer, classes: int, batch_size: int):
        data = tiny(classes=classes)
        config = wa.TrainConfig(epochs=6, batch_size=batch_size, optimizer=optimizer, learning_rate=0.02)
        result = compare(data, list(wa.ACTIVATIONS), [3], hidden=(6, 5), config=config, dtype=dtype, keep_weights=True)
        check_equals_train(result.members, data, config, dtype)

    @pytest.mark.slow
    @pytest.mark.parametrize(("optimizer", "classes"), [("adam", 0), ("adam", 10), ("sgd", 0), ("sgd", 3)])
    def test_every_activation_for_all_the_articles_epochs(self, optimizer, classes: int):
        data = tiny(classes=classes, rows=22)
        config = wa.TrainConfig(optimizer=optimizer, learning_rate=0.01)
        result = compare(data, list(wa.ACTIVATIONS), 6, hidden=(6, 5), config=config, keep_weights=True, chunk=102)
        check_equals_train([m for m in result.members if m.seed == 4], data, config)

    def test_the_article_for_all_its_epochs(self):
        data, config = wa.load_dataset("article"), wa.TrainConfig(shuffle=False)
        result = compare(data, "relu", 3, config=config, keep_weights=True)
        check_equals_train(result.members, data, config)

    @pytest.mark.parametrize("dtype", [F32, F64])
    def test_one_two_ten_and_twenty_at_once(self, dtype: torch.dtype):
        data, config = tiny(rows=23), wa.TrainConfig(epochs=6, batch_size=5, learning_rate=0.01)
        names = ["relu", "tanh", "mish", "leaky_relu"]
        found = [
            compare(data, names, 5, hidden=(6, 4), config=config, dtype=dtype, keep_weights=True, chunk=size).members
            for size in (20, 10, 2, 1)
        ]
        for alike in zip(*found, strict=True):
            assert len({member.weights.tobytes() for member in alike}) == 1
        check_equals_train(found[0][::4], data, config, dtype)

    @pytest.mark.slow
    def test_a_hundred_of_the_articles_networks(self):
        data, config = wa.load_dataset("article"), wa.TrainConfig()
        result = compare(data, ["relu", "leaky_relu"], 50, config=config, keep_weights=True, chunk=100)
        check_equals_train(result.members[::5], data, config)

    def test_depths_widths_inits_and_rates(self):
        data = tiny(classes=2)
        config = wa.TrainConfig(epochs=5, batch_size=5)
        result = compare(
            data, ["relu", "sigmoid"], [7], depths=[0, 1, 3], widths=[2, 5], inits=["default", "he", "xavier"],
            learning_rates=[0.01, 0.1], config=config, keep_weights=True,
        )  # fmt: skip
        assert {member.place.hidden for member in result.members} == {(), (2,), (5,), (2, 2, 2), (5, 5, 5)}
        assert len(result.members) == 2 * 5 * 3 * 2
        check_equals_train(result.members, data, config)

    def test_data_by_name_is_drawn_for_each_seed(self):
        config = wa.TrainConfig(epochs=2)
        result = compare("article", "tanh", [4, 9], config=config, dtype=F64, keep_weights=True)
        for member in result.members:
            data = wa.load_dataset("article", member.seed)
            check_equals_train([member], data, config, F64)
            floor = wa.linear_floor(data)
            assert (member.floor, member.floor_test) == (floor.loss, floor.test_loss)

    def test_an_activation_of_your_own(self):
        data, config = tiny(), wa.TrainConfig(epochs=8, batch_size=4, seed=1)
        for own, name in ((torch.sin, "sin"), (torch.nn.ELU(inplace=True), "ELU"), (lambda z: z.abs(), "lambda")):
            result = compare(data, [own, None], 2, hidden=(5,), config=config, keep_weights=True)
            assert [member.place.activation for member in result.members] == [name] * 2 + ["identity"] * 2
            model = wa.MLP([3, 5, 1], own, seed=1)
            wa.train(model, data, config)
            for mine, alone in zip(result.model(name, seed=1).parameters(), model.parameters(), strict=True):
                assert torch.equal(mine, alone)


class TestEndings:
    def test_each_member_stops_early_by_itself(self):
        data = tiny(rows=30, test_rows=20)
        config = wa.TrainConfig(epochs=40, batch_size=7, learning_rate=0.02, patience=3)
        result = compare(
            data, ["tanh", "relu", "identity"], 5, hidden=(6,), config=config, dtype=F64, keep_weights=True
        )
        check_equals_train(result.members, data, config, F64)
        assert {member.stopped for member in result.members} == {"early"}
        assert len({member.epochs for member in result.members}) > 3

    def test_one_that_diverges_leaves_the_others_alone(self):
        data = tiny(rows=30)
        config = wa.TrainConfig(epochs=12, batch_size=10, optimizer="sgd")
        result = compare(
            data, ["identity", "tanh"], 4, hidden=(6, 6), learning_rates=[0.01, 3.0], config=config, dtype=F64,
            keep_weights=True,
        )  # fmt: skip
        stopped = [member.stopped for member in result.members]
        assert 0 < stopped.count("diverged") < len(stopped)
        for member in result.members:
            assert np.isfinite(member.weights).all()
            assert math.isfinite(member.train_loss)
            assert math.isfinite(member.test_loss)
        check_equals_train(result.members, data, config, F64)

    def test_a_network_that_starts_broken_is_named(self):
        data = tiny(classes=2)
        far = wa.Dataset("far", data.train_x * 1e30, data.train_y, data.test_x, data.test_y, data.task, data.classes)
        with pytest.raises(
            wa.InputError,
            match=r"the train loss is nan with activation 'square', hidden widths \(3,\), init 'he' and seed 4: look",
        ):
            compare(far, ["tanh", torch.square], [4], depths=[1, 2], widths=3, inits="he")

    def test_a_test_loss_that_alone_is_not_finite_is_a_divergence(self):
        data = tiny(rows=12)
        far = wa.Dataset("far", data.train_x, data.train_y, data.test_x * 1e30, data.test_y, data.task)
        config = wa.TrainConfig(epochs=4, optimizer="sgd", learning_rate=0.3)
        result = compare(far, ["tanh", "relu"], 3, hidden=(3,), config=config)
        diverged = [member.stopped for member in result.members]
        assert diverged == ["finished"] * 3 + ["diverged"] * 3

    def test_epochs_to_the_floor(self):
        data = wa.load_dataset("article")
        config = wa.TrainConfig(epochs=20, learning_rate=0.003)
        result = compare(data, ["identity", "sigmoid"], 2, hidden=(4,), config=config)
        for member in result.members:
            model = wa.MLP([data.features, 4, 1], member.place.activation, seed=member.seed)
            history = wa.train(model, data, replace(config, seed=member.seed))
            reached = [epoch for epoch, loss in enumerate(history.train_loss) if loss <= 1.01 * member.floor]
            assert member.epochs_to_floor == (reached[0] if reached else None)
        assert {member.epochs_to_floor is None for member in result.members} == {True, False}


class TestCompany:
    def test_the_result_does_not_depend_on_the_chunks(self):
        data, config = tiny(classes=3, rows=40), wa.TrainConfig(epochs=10, batch_size=9)
        names = list(wa.ACTIVATIONS)
        together = compare(data, names, 3, hidden=(6, 5), config=config, keep_weights=True)
        apart = compare(data, names, 3, hidden=(6, 5), config=config, keep_weights=True, chunk=4)
        alone = compare(data, "gelu", [2], hidden=(6, 5), config=config, keep_weights=True)
        assert together == apart
        for mine, other in zip(together.members, apart.members, strict=True):
            assert np.array_equal(mine.weights, other.weights)
        (same,) = (m for m in together.members if (m.place.activation, m.seed) == ("gelu", 2))
        assert np.array_equal(same.weights, alone.members[0].weights)

    def test_nothing_around_it_changes(self):
        data = tiny()
        before = data.train_x.clone(), torch.get_rng_state(), torch.get_num_threads(), np.geterr()
        torch.set_num_threads(2)
        try:
            with torch.inference_mode():
                first = compare(data, seeds=2, hidden=(4,), config=wa.TrainConfig(epochs=2))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before[2])
        assert torch.equal(before[0], data.train_x)
        assert torch.equal(before[1], torch.get_rng_state())
        assert np.geterr() == before[3]
        assert first == compare(data, seeds=2, hidden=(4,), config=wa.TrainConfig(epochs=2))


def identity(z: torch.Tensor) -> torch.Tensor:
    """It is none."""
    return z.relu()


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"data": torch.zeros(3)}, "data must be a Dataset or the name of one, but Tensor came"),
            ({"data": "moon"}, "unknown data set 'moon'. Did you mean 'moons'"),
            ({"activations": ["relu", "rleu"]}, "unknown activation 'rleu'. Did you mean 'relu'"),
            ({"activations": ["relu", "ReLU"]}, "activation 'relu' comes twice"),
            ({"activations": []}, "activations is empty"),
            ({"activations": [torch.nn.PReLU()]}, "weights of its own"),
            ({"activations": [lambda x: x - x.mean()]}, "act on each number by itself"),
            ({"activations": [torch.nn.RReLU().eval()]}, "act on each number by itself, without chance"),
            ({"activations": [identity]}, "would be taken for no activation: pass None, or rename it"),
            ({"activations": 3}, "activations must be a list|activations must be names"),
            ({"seeds": 0}, "seeds must be a whole number"),
            ({"seeds": [1, 1]}, "seeds: 1 comes twice"),
            ({"seeds": [-1]}, "seed must be a whole number"),
            ({"seeds": []}, "seeds is empty"),
            ({"hidden": (3,), "depths": [1]}, "give either hidden"),
            ({"hidden": 3}, r"hidden must list .* 3 came"),
            ({"hidden": (0,)}, "hidden must be a whole number of at least 1"),
            ({"depths": [-1]}, "depths must be a whole number from 0 to 10000, but -1 came"),
            ({"depths": [1, 99], "widths": 1000}, r"99 hidden layers, up to 1000 wide, has 98,\d+,\d+ weights"),
            ({"hidden": (10**6, 10**6)}, "1000000 wide, has 1,000,013,000,001 weights"),
            ({"widths": [2, 2]}, "widths: 2 comes twice"),
            ({"inits": ["hee"]}, "unknown init 'hee'. Did you mean 'he'"),
            ({"learning_rates": [0.1, -1]}, "learning_rates must be a number above 0"),
            ({"config": {"epochs": 3}}, "config must be a TrainConfig, but dict came"),
            ({"config": wa.TrainConfig(device="meta")}, "compare trains on the CPU"),
            ({"dtype": torch.float16}, "dtype must be torch.float32 or torch.float64"),
            ({"executor": 4}, "executor must be a concurrent.futures.Executor"),
            ({"chunk": 0}, "chunk must be a whole number"),
            ({"layers": [10, 18, 2]}, "layers must go from 10 features to 1 outputs, which article has"),
            ({"layers": [9, 18, 1]}, "layers must go from 10 features"),
            ({"layers": [10]}, "at least two widths"),
            ({"layers": "10,1"}, "at least two widths"),
            ({"layers": 10}, "at least two widths"),
            ({"layers": [10, 0, 1]}, "layers"),
            ({"layers": [10, 18, 1], "hidden": (18,)}, "give either layers, or hidden, or depths and widths"),
            ({"layers": [10, 18, 1], "depths": 2}, "give either layers, or hidden, or depths and widths"),
            ({"progress": 3}, "progress must be a function"),
            ({"keep_weights": 1}, "keep_weights must be True or False"),
            ({"resume": 3}, "resume must be a ComparisonResult"),
        ],
    )
    def test_refuses(self, options: dict[str, object], message: str):
        with pytest.raises(wa.InputError, match=message):
            compare(**({"data": "article", "seeds": 1} | options))  # type: ignore[arg-type]

    def test_one_activation_needs_no_list(self):
        config = wa.TrainConfig(epochs=1)
        assert len(compare(tiny(), "relu", 1, hidden=(2,), config=config).members) == 1
        assert compare(tiny(), None, 1, hidden=(2,), config=config).members[0].place.activation == "identity"

    def test_all_widths_may_be_told_as_a_perceptron_takes_them(self):
        config = wa.TrainConfig(epochs=1)
        data = tiny()
        layers = [data.features, 5, 2, data.outputs]
        assert compare(data, "relu", 1, layers=layers, config=config) == compare(
            data, "relu", 1, hidden=(5, 2), config=config
        )
        assert compare(data, "relu", 1, layers=[data.features, data.outputs], config=config).places[0].hidden == ()
