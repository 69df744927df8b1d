"""An error that is raised in another process arrives as it was raised."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

import whyactivate as wa


def diverge() -> object:
    config = wa.TrainConfig(epochs=2, learning_rate=1e29)
    return wa.train(wa.MLP([2, 4, 2]), wa.load_dataset("moons"), config)


RAISING: dict[type[Exception], Callable[[], object]] = {
    wa.UnknownNameError: lambda: wa.get_activation("rleu"),
    wa.InputError: lambda: wa.MLP([3]),
    wa.SettingError: lambda: wa.Dataset.from_arrays([[1.0]] * 9, [1] * 9),
    wa.DivergedError: diverge,
}


@pytest.mark.parametrize("kind", RAISING)
def test_an_error_can_be_sent(kind):
    with pytest.raises(kind) as caught:
        RAISING[kind]()
    error = caught.value
    for sent in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(sent) is kind
        assert str(sent) == str(error)
        assert vars(sent) == vars(error)


def test_what_an_error_carries_is_copied_with_it():
    with pytest.raises(wa.NotAffineError) as caught:
        wa.collapse_linear(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.ones(1, 2))
    again = copy.copy(caught.value)
    assert (type(again), str(again)) == (wa.NotAffineError, str(caught.value))
    assert again.analysis is caught.value.analysis
