"""Modules by somebody who wants a wrong answer: who watches, how memory lies, what is left changed, what cancels."""

from __future__ import annotations

import gc
import inspect
import logging
import math
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.errors import CannotProveError

FAR = 1e7


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class Parts(Calls):
    """The same; the function gets the module, too."""

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def rows(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.randn(shape or (4, 4), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return drawn.to(dtype)


def verdict_of(function: Callable[..., Any], example: Any = None) -> wa.Verdict:
    return wa.analyze(Calls(function), rows() if example is None else example).verdict


def bent(x: Tensor) -> Tensor:
    return x - (x - FAR).relu()


# -- who watches ----------------------------------------------------------------------------------------------------


def _in_stack(frame: Any) -> bool:
    while frame is not None and "whyactivate" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None


def _frame_of_an_error() -> Any:
    try:
        raise ValueError
    except ValueError as error:
        trace: Any = error.__traceback__
        return trace.tb_frame


def inspected(x: Tensor) -> bool:
    return any("whyactivate" in frame.filename for frame in inspect.stack(0))


WATCHED: dict[str, Callable[[Tensor], bool]] = {
    "garbage collection": lambda x: gc.get_threshold()[0] > 50_000,
    "profile of threads": lambda x: threading.getprofile() is not None,
    "inspect.stack": inspected,
    "traceback": lambda x: any("whyactivate" in line for line in traceback.format_stack()),
    "walked stack": lambda x: any("whyactivate" in f.f_code.co_filename for f, _ in traceback.walk_stack(None)),
    "an error's frame": lambda x: _in_stack(_frame_of_an_error()),
    "current frames": lambda x: _in_stack(sys._current_frames()[threading.get_ident()]),
    "logging": lambda x: "whyactivate" in str(logging.getLogger().findCaller(stack_info=True)[3]),
    "objects": lambda x: any(type(item).__name__ == "_Recorder" for item in gc.get_objects()),
    "references": lambda x: sys.getrefcount(x) > 5,
    "function modes": lambda x: torch._C._is_torch_function_mode_enabled(),
    "dispatch keys": lambda x: torch._C._dispatch_tls_is_dispatch_key_included(torch._C.DispatchKey.Python),
}


@pytest.mark.parametrize("name", WATCHED)
def test_what_asks_who_watches_is_undecided(name: str) -> None:
    is_watched = WATCHED[name]
    assert verdict_of(lambda x: x if is_watched(x) else bent(x)) is wa.Verdict.UNDECIDED


def test_stack_of_torch_beside_another_use_of_inspect_is_no_question() -> None:
    def stacked(x: Tensor) -> Tensor:
        return torch.stack([x, 2 * x], 1) if inspect.isfunction(stacked) else x

    assert verdict_of(stacked) is wa.Verdict.AFFINE


# -- how the input lies in memory -----------------------------------------------------------------------------------

LYING: dict[str, Tensor] = {
    "every other column": rows(4, 8)[:, ::2],
    "transposed": rows(4, 4).t().contiguous().t(),
    "channels last": rows(3, 3, 4, 4).to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("name", LYING)
def test_a_module_that_asks_how_its_input_lies_is_judged_on_the_example_as_it_lies(name: str) -> None:
    example = LYING[name]
    assert verdict_of(lambda x: x if x.is_contiguous() else x.relu(), example) is wa.Verdict.UNDECIDED
    assert verdict_of(lambda x: 2 * x, example) is wa.Verdict.AFFINE


def test_an_offset_of_the_example_counts_too() -> None:
    example = rows(5, 4)[1:]
    assert verdict_of(lambda x: x.relu() if x.storage_offset() else x, example) is wa.Verdict.UNDECIDED


# -- what is left changed -------------------------------------------------------------------------------------------


def _flag(owner: Any, name: str, value: Any) -> Callable[[], Any]:
    return lambda: setattr(owner, name, value)


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "recursion": (sys.getrecursionlimit, lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 7)),
    "collection": (gc.isenabled, gc.disable),
    "anomalies": (torch.is_anomaly_enabled, lambda: torch.autograd.set_detect_anomaly(True, check_nan=False)),
    "oneDNN": (lambda: torch.backends.mkldnn.enabled, lambda: torch.backends.mkldnn.set_flags(False)),
    "unwritten memory": (
        lambda: torch.utils.deterministic.fill_uninitialized_memory,
        _flag(torch.utils.deterministic, "fill_uninitialized_memory", False),
    ),
    "small numbers": (
        lambda: (torch.full((1,), 1e-310, dtype=torch.float64) * 1).item(),
        lambda: torch.set_flush_denormal(True),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_that_forward_changes_is_put_back_and_told(name: str) -> None:
    read, change = CHANGES[name]
    before = read()

    def function(x: Tensor) -> Tensor:
        change()
        return 2 * x

    analysis = wa.analyze(Calls(function), rows())
    assert read() == before
    assert analysis.verdict is wa.Verdict.UNDECIDED
    assert "it changes" in analysis.blame[0].reason


# -- memory that nobody has written ---------------------------------------------------------------------------------

UNWRITTEN: dict[str, Callable[[], Tensor]] = {
    "nan_to_num": lambda: torch.empty(4).nan_to_num(),
    "isnan of a copy": lambda: torch.isnan(torch.empty(4).clone()).float(),
    "power 0": lambda: torch.empty(4) ** 0,
    "fmax": lambda: torch.fmax(torch.empty(4), torch.ones(4)),
    "times 0": lambda: torch.empty(4) * 0,
}


@pytest.mark.parametrize("name", UNWRITTEN)
def test_unwritten_memory_cannot_be_hidden(name: str) -> None:
    made = UNWRITTEN[name]
    assert verdict_of(lambda x: x + made()) is wa.Verdict.UNDECIDED


def test_memory_that_is_written_before_it_is_read_is_a_constant() -> None:
    def function(x: Tensor) -> Tensor:
        factor, shift = torch.empty(4), torch.empty(2, 4)
        factor[:2], factor[2:] = 3.0, 2.0
        shift[0], shift[1] = torch.arange(4.0), 1.0
        return x * factor + shift[0] - shift[1].nan_to_num()

    assert verdict_of(function) is wa.Verdict.AFFINE


# -- forms of input -------------------------------------------------------------------------------------------------


def test_rows_of_one_number_without_an_axis_of_their_own_are_a_layer() -> None:
    collapse = wa.collapse_linear(Calls(lambda x: 3 * x + 1), rows(5))
    x = rows(7)
    assert torch.allclose(collapse.as_module()(x), 3 * x + 1)
    assert collapse.prove("numeric").holds
    assert verdict_of(bent, rows(5)) is wa.Verdict.NOT_AFFINE


def test_rows_without_numbers_are_collapsed_and_have_no_numeric_proof() -> None:
    for function, shape in ((lambda x: x.sum(1), (4, 0)), (lambda x: F.linear(x, torch.ones(2, 3)), (4, 0, 3))):
        collapse = wa.collapse_linear(Calls(function), rows(*shape))
        assert collapse.as_module()(rows(*shape)).shape == function(rows(*shape)).shape
        with pytest.raises(CannotProveError, match="no numbers at all"):
            collapse.prove("numeric")


@pytest.mark.parametrize("form", ["nothing", "keyword", "index"])
def test_a_numeric_proof_runs_the_module_with_all_that_it_takes(form: str) -> None:
    def function(x: Tensor, other: Any = 5) -> Tensor:
        return x[:, other] if isinstance(other, Tensor) else 2 * x if other is None else 3 * x

    examples = {"nothing": (rows(), None), "keyword": {"x": rows()}, "index": (rows(), torch.tensor([2, 0, 1]))}
    proof = wa.collapse_linear(Calls(function), examples[form]).prove("numeric")
    assert proof.holds, proof


def test_a_frozen_script_is_one_layer() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).eval()
    frozen = torch.jit.freeze(torch.jit.script(module))
    collapse = wa.collapse_linear(frozen, rows())
    assert torch.allclose(collapse.as_module()(rows()), module(rows()), atol=1e-6)
    assert collapse.prove("numeric").holds


# -- functions ------------------------------------------------------------------------------------------------------

AFFINE: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid and its mirror": lambda x: x.sigmoid() + (-x).sigmoid(),
    "power 0": lambda x: x**0,
    "cubes": lambda x: (x + 1) ** 3 - x**3 - 3 * x**2,
    "masks that complete each other": lambda x: x * (x > 0) + x * (x <= 0),
    "hardswish": lambda x: F.hardswish(x) - x * F.hardsigmoid(x) + x,
    "variance of what is shifted": lambda x: x.var(1) - (x + 1).var(1) + x.sum(1),
    "rounding on the way": lambda x: x.half().float() + x.bfloat16().float(),
    "means of scattered numbers": lambda x: torch.zeros(len(x), 3).scatter_reduce(
        1, torch.tensor([0, 0, 1, 2]).expand(len(x), 4), x, "mean"
    ),
}
NOT_AFFINE: dict[str, Callable[[Tensor], Tensor]] = {
    "one isolated place": lambda x: x + (x == 0).float(),
    "fine steps": lambda x: (x * 2**24).floor() * 2**-24,
    "a fine wave": lambda x: x + torch.sin(x * math.pi * 2**30) * 1e-3,
    "far out": lambda x: x - (x - 1e30).relu(),
    "a denormal slope": lambda x: x + 1e-45 * x.relu(),
    "a slope one ulp off": lambda x: F.leaky_relu(x, 1 + 2**-23),
    "a far bump": lambda x: x + torch.exp(-((x - 300) ** 2)),
    "between two masks": lambda x: x + ((x > 1e20) ^ (x > 2e20)).float(),
    "a constant far out": lambda x: torch.where(x > 1e12, torch.tensor(0.0), x),
    "tiny product": lambda x: x + (x[:, :1] * 1e-30) * (x * 1e-10),
    "exchanged tensors": lambda x: _swapped(x * 1, bent(x)),
    "largest of all": lambda x: x + 1e-6 * x.topk(1, 1).values,
}
MIXED: dict[str, Callable[[Tensor], Tensor]] = {
    "a whisper of the mean": lambda x: x + 1e-30 * x.mean(0),
    "glued and cut otherwise": lambda x: x.reshape(4, -1).t().reshape(x.shape),
    "divided by how many": lambda x: x / len(x),
    "the last of many": lambda x: torch.cat([x[:-1], x[-1:] + (1e-6 * x[:1] if len(x) >= 40 else 0)]),
}
SOFTPLUS: dict[str, Callable[[Tensor], Tensor]] = {
    "float32": lambda x: F.softplus(x) - F.softplus(-x),
    "float64": lambda x: F.softplus(x.double(), beta=2.0) - F.softplus(-x.double(), beta=2.0),
}


def _swapped(one: Tensor, other: Tensor) -> Tensor:
    torch.utils.swap_tensors(one, other)
    return one


@pytest.mark.parametrize("name", AFFINE)
def test_what_cancels_is_affine(name: str) -> None:
    assert verdict_of(AFFINE[name], rows(2, 4)) is wa.Verdict.AFFINE


@pytest.mark.parametrize("name", NOT_AFFINE)
def test_what_hides_is_not_affine(name: str) -> None:
    assert verdict_of(NOT_AFFINE[name], rows(2, 4)) is wa.Verdict.NOT_AFFINE


@pytest.mark.parametrize("name", MIXED)
def test_rows_that_touch_are_no_layer(name: str) -> None:
    analysis = wa.analyze(Calls(MIXED[name]), rows(40, 4))
    assert analysis.verdict is not wa.Verdict.NOT_AFFINE
    assert not (analysis.verdict is wa.Verdict.AFFINE and analysis.per_example)


@pytest.mark.parametrize("name", SOFTPLUS)
def test_the_shortcut_of_a_softplus_is_no_counterexample(name: str) -> None:
    assert verdict_of(SOFTPLUS[name]) is wa.Verdict.UNDECIDED  # log(1 + exp(x)) - log(1 + exp(-x)) is x
    assert verdict_of(F.softplus) is wa.Verdict.NOT_AFFINE


# -- folding --------------------------------------------------------------------------------------------------------


def _later(m: Any, x: Tensor) -> Tensor:
    h = m.a(x)
    y = m.b(h)
    h.relu_()
    return y + h


def _between(m: Any, x: Tensor) -> Tensor:
    h = m.a(x)
    h[:, 0] = 1.0
    return m.b(h).relu()


def _input(m: Any, x: Tensor) -> Tensor:
    y = m.b(m.a(x))
    x.relu_()
    return y + x


FOLDED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "the middle is changed later": _later,
    "the middle is changed between": _between,
    "the input is changed": _input,
    "few rows or many": lambda m, x: m.b(m.a(x)).relu() if len(x) < 5 else m.b(m.a(x).relu()),
    "parts are counted": lambda m, x: (m.b(m.a(x)) * sum(1 for _ in m.modules())).relu(),
    "numbers are counted": lambda m, x: (m.b(m.a(x)) * sum(p.numel() for p in m.parameters())).relu(),
    "is there a bias": lambda m, x: (m.b(m.a(x)) * (2 if m.a.bias is None else 1)).relu(),
    "how it prints": lambda m, x: (m.b(m.a(x)) * len(str(m.a))).relu(),
    "weights used again": lambda m, x: (m.b(m.a(x)) @ m.a.weight).relu(),
    "rows are exchanged": lambda m, x: m.b(m.a(x).flip(0)).relu(),
    "rows are counted": lambda m, x: m.b(m.a(x) / len(x)).relu(),
    "rows are added up": lambda m, x: m.b(m.a(x).cumsum(0)).relu(),
    "cut from a longer batch": lambda m, x: m.b(torch.cat([m.a(x), torch.ones(len(x), 4)])[: len(x)]).relu(),
}


@pytest.mark.parametrize("name", FOLDED)
def test_a_folded_copy_is_the_same_function_for_every_number_of_rows(name: str) -> None:
    module = Parts(FOLDED[name]).eval()
    folded = wa.collapse_runs(module, rows())
    with torch.no_grad():
        for count in (1, 2, 4, 7, 64):
            x = 10 * rows(count, 4)
            assert torch.allclose(folded(x.clone()), module(x.clone()), atol=1e-4, rtol=1e-4), count
