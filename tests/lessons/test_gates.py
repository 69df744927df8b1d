"""The gates inside fused recurrent layers: recomputed, held against the layer's output, and shown by the lessons."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from whyactivate import InputError
from whyactivate.lessons import Life, dead_units_of, saturation_of
from whyactivate.lessons.gates import HiddenError, open_gates
from whyactivate.lessons.observe import watch

X = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))


def seeded(make) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("make", "gates"),
    [
        (lambda: nn.LSTM(5, 4, batch_first=True), 5),
        (lambda: nn.LSTM(5, 4, 2, bidirectional=True), 20),
        (lambda: nn.LSTM(5, 4, 2, proj_size=2, bias=False), 10),
        (lambda: nn.GRU(5, 4, 2, batch_first=True, bidirectional=True), 12),
        (lambda: nn.RNN(5, 4, nonlinearity="relu"), 1),
        (lambda: nn.LSTM(5, 4, 2, dropout=0.5).eval(), 10),
        (lambda: nn.GRU(5, 4).double(), 3),
    ],
)
def test_what_is_recomputed_is_what_the_layer_gave(make, gates):
    layer = seeded(make)
    x = X.to(next(layer.parameters()).dtype)
    found = open_gates(layer, (x,), {}, layer(x))  # raises where it is not
    assert len(found) == len({gate.part for gate in found}) == gates
    for gate in found:
        assert torch.allclose(getattr(torch, gate.activation)(gate.z), gate.output, atol=1e-6)
        assert gate.z.shape == ((3, 7, 4) if layer.batch_first else (7, 3, 4))


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("x", [X[:, 0], X[0, 0]], ids=["rows", "one row"])
def test_cells_and_a_given_state(kind, x):
    cell = seeded(lambda: kind(5, 4))
    first = cell(x)
    assert open_gates(cell, (x,), {"hx": first}, cell(x, first))
    with pytest.raises(HiddenError, match="off by"):
        open_gates(cell, (x,), {}, cell(x, first))


def test_a_given_state_and_no_batch_axis():
    layer = seeded(lambda: nn.LSTM(5, 4, 2))
    state = torch.ones(2, 4), torch.ones(2, 4)
    assert open_gates(layer, (X[0], state), {}, layer(X[0], state))


def test_the_state_is_saturated_where_it_is_known_to_be():
    layer = nn.LSTM(5, 4, batch_first=True)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        layer.bias_ih_l0[:4] = 100.0  # the input gates are 1, all others 1/2
    calls = {call.name: call for call in saturation_of(nn.Sequential(layer), X).calls}
    assert calls["0: sigmoid (input gate)"].at_end == 1.0
    assert calls["0: sigmoid (forget gate)"].flat == 0.0
    assert list(calls)[-1] == "0: tanh (cell state)"


def test_the_dead_units_of_a_recurrent_relu_are_found():
    layer = nn.RNN(5, 3, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0[0] = -1000.0
    (call,) = dead_units_of(layer, X).calls
    assert call.lives[0] is Life.DEAD


def test_calls_stay_in_the_order_of_the_program():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.act = nn.RNN(5, 5, batch_first=True), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x, _ = self.rnn(self.act(x))
            x, _ = self.rnn(x.sigmoid())
            return x

    assert [call.name for call in watch(Mixed(), X).calls] == [
        "act: relu",
        "rnn: tanh (hidden state)",
        "the module itself: sigmoid",
        "rnn: tanh (hidden state) (call 2)",
    ]


class OwnLSTM(nn.LSTM):
    def forward(self, *args, **kwargs):
        out, state = super().forward(*args, **kwargs)
        return out * 2, state


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (OwnLSTM(5, 4), "does not run PyTorch's own equations"),
        (nn.LSTM(5, 4, 2, dropout=0.5), r"call \.eval\(\) first"),
        (torch.jit.script(nn.Sequential(nn.Linear(5, 4), nn.ReLU())), "scripted module"),
        (nn.MultiheadAttention(5, 1), "row of scores"),
        (nn.Linear(5, 4), "none of PyTorch's functions that are activations"),
    ],
)
def test_what_stays_hidden_is_named(module, words):
    inputs = (X, X, X) if isinstance(module, nn.MultiheadAttention) else X
    for look in (dead_units_of, saturation_of):
        with pytest.raises(InputError, match=words):
            look(module, inputs)


def test_packed_rows_are_named_beside_what_was_seen():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(5, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([7, 6, 5]), batch_first=True)
            out, _ = self.rnn(packed)
            return nn.utils.rnn.pad_packed_sequence(out)[0].relu()

    found = dead_units_of(Packed(), X)
    assert [call.name for call in found.calls] == ["the module itself: relu"]
    assert "rnn: the gates of GRU stay hidden" in found.explain()
    assert "padded tensors" in found.explain()
