"""Blame names the operation, the module and the line, and says which layers are one without it."""

from __future__ import annotations

import importlib.util
import random
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.advice import advise

HELPERS = """
import torch.nn.functional as F

def activate(z):
    return F.relu(z)
"""


@pytest.fixture
def helpers(tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "their_helpers.py"
    path.write_text(textwrap.dedent(HELPERS))
    spec = importlib.util.spec_from_file_location("their_helpers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["their_helpers"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["their_helpers"]


class Parts(nn.Module):
    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name in ("fc1", "fc2", "fc3"):
            self.add_module(name, nn.Linear(4, 4))
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def rows(*shape: int) -> Tensor:
    return torch.randn(*(shape or (3, 4)), generator=torch.Generator().manual_seed(1))


def reasons(module: nn.Module, example: Any = None) -> list[str]:
    return [blame.reason for blame in wa.analyze(module, rows() if example is None else example).blame]


def test_the_article_s_network() -> None:
    blame = wa.analyze(wa.SimpleModel(), rows(3, 10)).blame
    assert [one.reason for one in blame] == [
        f"fc{n}'s output goes through relu here; without it, fc{n} and fc{n + 1} are one layer" for n in (1, 2, 3)
    ]
    assert {one.module for one in blame} == {"activation"}
    assert {one.op for one in blame} == {"aten.relu.default"}
    assert all("self.activation(self.fc" in one.line for one in blame)


def test_paths_of_nested_modules() -> None:
    mlp = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
    block = nn.ModuleDict({"mlp": mlp})

    def function(m: Any, x: Tensor) -> Tensor:
        for layer in m.encoder.layers:
            x = x + layer["mlp"](x)
        return x

    encoder = nn.Module()
    encoder.layers = nn.ModuleList([block])
    (blame,) = wa.analyze(Parts(function, encoder=encoder), rows()).blame
    path = "encoder.layers.0.mlp"
    assert blame.module == f"{path}.1"
    assert blame.reason == (
        f"{path}.0's output goes through gelu here; without it, {path}.0 and {path}.2 are one layer"
    )
    assert blame.line == 'x = x + layer["mlp"](x)'


def test_the_line_is_the_user_s_own(helpers: ModuleType) -> None:
    (in_helper,) = wa.analyze(Parts(lambda m, x: m.fc2(helpers.activate(m.fc1(x)))), rows()).blame
    assert in_helper.source.endswith("their_helpers.py:5")
    assert in_helper.line == "return F.relu(z)"
    assert in_helper.module == ""
    here = wa.analyze(Parts(lambda m, x: m.fc2(F.leaky_relu(m.fc1(x)))), rows()).blame[0]
    assert Path(here.source.rsplit(":", 1)[0]) == Path(__file__)
    assert "F.leaky_relu(m.fc1(x))" in here.line


def test_a_module_used_twice() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        return m.fc2(torch.tanh(m.fc1(torch.tanh(m.fc1(x)))))

    assert reasons(Parts(function)) == [
        "fc1's output goes through tanh here; without it, fc1 and the next call of fc1 are one layer",
        "fc1's output goes through tanh here; without it, fc1 and fc2 are one layer",
    ]


def test_where_numbers_come_from() -> None:
    assert reasons(Parts(lambda m, x: m.fc1(F.relu(x)))) == ["the input goes through relu here"]
    assert reasons(Parts(lambda m, x: F.hardtanh(F.relu(m.fc1(x))))) == [
        "fc1's output goes through relu here", "relu's output goes through hardtanh here",
    ]  # fmt: skip
    named = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.ReLU6(), nn.Linear(4, 4))
    assert reasons(named) == ["0's output goes through relu here", "1's output goes through relu6 here"]
    # One operation of PyTorch under two names: each is called what was written.
    assert reasons(Parts(lambda m, x: F.relu6(m.fc1(x)))) == ["fc1's output goes through relu6 here"]
    assert reasons(Parts(lambda m, x: F.hardtanh(m.fc1(x), 0, 5))) == ["fc1's output goes through hardtanh here"]
    wide = nn.Sequential(nn.Linear(4, 4), nn.Hardtanh(0, 6))
    assert reasons(wide) == ["0's output goes through hardtanh here"]


def test_products_name_both_factors() -> None:
    assert reasons(Parts(lambda m, x: m.fc1(x) * m.fc2(x))) == [
        "fc1's output and fc2's output are multiplied here (mul), and both depend on the input"
    ]
    assert reasons(Parts(lambda m, x: x * x)) == [
        "the input is multiplied here (mul) by numbers that depend on the input, too"
    ]
    assert (
        "q's output and k's output are multiplied here (bmm)"
        in (
            reasons(
                Parts(lambda m, x: m.q(x) @ m.k(x).transpose(1, 2), q=nn.Linear(4, 4), k=nn.Linear(4, 4)), rows(2, 3, 4)
            )[0]
        )
    )


def test_normalisations_have_their_usual_names() -> None:
    layer_norm = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    assert reasons(layer_norm)[0] == "0's output goes through layer_norm here; without it, 0 and 2 are one layer"
    assert reasons(nn.InstanceNorm1d(2), rows(2, 2, 4))[0] == "the input goes through instance_norm here"
    assert reasons(nn.LSTM(4, 2, batch_first=True), rows(2, 3, 4))[0] == "the input goes through lstm here"
    training = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    assert "call module.eval() first" in reasons(training)[0]


def test_in_place_operations_end_a_run_as_others_do() -> None:
    def runs(inplace: bool) -> list[str]:
        module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=inplace), nn.Flatten(), nn.Linear(18, 2))
        return [str(run) for run in wa.analyze(module, rows(2, 1, 5, 5)).runs]

    assert runs(True) == runs(False) == ["0 → relu", "3 → output"]


def test_no_layer_is_promised_where_another_nonlinearity_is_between() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1))
    assert reasons(network, rows(2, 1, 6, 6)) == [
        "0's output goes through relu here", "1's output goes through max_pool2d here",
    ]  # fmt: skip


def test_a_transformer_layer_is_read_without_kernels_names() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
    found = reasons(layer, rows(2, 3, 4))
    assert "linear1's output goes through relu here; without it, linear1 and linear2 are one layer" in found
    assert any("scaled_dot_product_attention here" in reason for reason in found)
    assert not any("flash" in reason or "native" in reason for reason in found)


def test_equal_lines_are_printed_once_and_few_of_many() -> None:
    many = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU()) for _ in range(40)])
    analysis = wa.analyze(many, rows())
    assert len(analysis.blame) == 40
    printed = str(analysis)
    assert printed.count("because") == 13
    assert "because … and 28 more" in printed
    repeated = Parts(lambda m, x: F.relu(F.relu(F.relu(x - 1) - 1) - 1))
    assert "(2 times)" in str(wa.analyze(repeated, rows()))


def test_refusals_are_placed() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        z = m.fc1(x)
        return z * z.mean().item()

    analysis = wa.analyze(Parts(function), rows())
    assert analysis.verdict == "undecided"
    assert analysis.blame[0].line == "return z * z.mean().item()"
    assert "torch.where" in analysis.advice


def test_a_number_that_is_not_finite_is_placed() -> None:
    analysis = wa.analyze(Parts(lambda m, x: m.fc2(m.fc1(x) + torch.tensor(torch.inf))), rows())
    assert analysis.verdict == "undecided"
    assert "m.fc1(x) + torch.tensor(torch.inf)" in analysis.blame[0].line


def test_an_operation_without_a_formula_is_placed() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.zeta(x, x)

    reason = wa.analyze(nn.Sequential(nn.Linear(3, 3), Branch()), torch.zeros(2, 3)).blame[0]
    assert "aten.special_zeta.default has no formula here" in reason.reason
    assert reason.module == "1"
    assert "return torch.special.zeta(x, x)" in reason.line


def test_memory_that_nobody_has_written_is_called_so() -> None:
    reason = wa.analyze(Parts(lambda m, x: torch.empty(4) + x), torch.zeros(2, 4)).blame[0].reason
    assert reason.startswith("a tensor made in forward holds nan at (0,)")
    assert "memory that nobody has written" in reason
    assert "torch.zeros" in advise(reason)
    infinite = wa.analyze(Parts(lambda m, x: torch.ones(4) / 0 + x), torch.zeros(2, 4)).blame[0].reason
    assert "holds inf" in infinite
    assert "nobody has written" not in infinite


def test_the_operation_that_draws_random_numbers_is_named_with_its_line() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        z = m.fc1(x)
        return m.fc2(z + torch.randn_like(z) * z.exp())

    blame = wa.analyze(Parts(function), rows()).blame[0]
    assert "randn_like" in blame.reason
    assert "randn_like" in blame.line


def test_what_was_left_changed_has_no_line_of_python_s_own() -> None:
    blame = wa.analyze(Parts(lambda m, x: m.fc1(x) * random.random()), rows()).blame[0]
    assert "Python's random" in blame.reason
    assert blame.source == ""


def test_gates_of_a_recurrent_layer_do_not_promise_one_layer() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        return m.fc1(m.cell(x, m.cell(x)))

    assert not any("one layer" in reason for reason in reasons(Parts(function, cell=nn.GRUCell(4, 4))))


def test_a_mask_is_no_layer_of_a_run() -> None:
    mask = torch.tensor([True, False, False, True])
    module = Parts(lambda m, x: m.fc2(F.softmax((m.fc1(x) * m.fc3(x)).masked_fill(mask, -1e9), 1)))
    assert [str(run) for run in wa.analyze(module, rows()).runs] == ["fc1 · fc3 → mul", "fc2 → output"]


def test_attention_with_a_mask_of_minus_infinity_is_refuted() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        future = torch.ones(3, 3, dtype=torch.bool).triu(1)
        scores = (m.fc1(x) @ m.fc2(x).transpose(1, 2)).masked_fill(future, float("-inf"))
        return scores.softmax(-1) @ m.fc3(x)

    analysis = wa.analyze(Parts(function), rows(2, 3, 4))
    assert analysis.verdict == "not_affine", str(analysis)


def test_neither_proved_nor_refuted_says_what_was_tried() -> None:
    def one(m: Any, x: Tensor) -> Tensor:  # tanh² + 1/cosh² = 1
        return torch.tanh(x) ** 2 + 4 / (torch.exp(x) + torch.exp(-x)) ** 2

    analysis = wa.analyze(Parts(one), rows())
    assert analysis.verdict == "undecided"
    assert "no counterexample was found" in analysis.tested
    assert "no proof" in analysis.notes[-1]
    assert analysis.advice.startswith("show that these operations cancel")


def test_there_is_advice_for_whatever_stands_in_the_way() -> None:
    assert "on their own" in advise("something that nobody thought of")
    assert "register a rule" in advise("no rule of the table covers my.op.default")
