"""No module of `deceptive_modules` gets a wrong verdict or a wrong layer, and none is changed by being analysed."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import random
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _python_dispatch

import whyactivate as wa
from whyactivate.errors import CannotCollapseError, InputError, RowsMixError, WhyActivateError

MOST_UNDECIDED = 15
"""How many of the affine modules may be undecided; this number only ever goes down."""


COLLECTIONS = (
    "deceptive_modules",
    "deceptive_keepsakes",
    "deceptive_functions",
    "deceptive_registries",
    "deceptive_operations",
    "deceptive_passages",
)
"""The files that the modules are in; the first holds what the others need."""


def _load(name: str) -> types.ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(loaded)
    return loaded


deceptive, *_more = map(_load, COLLECTIONS)
CASES: dict[str, Any] = {case.name: case for case in deceptive.CASES}
AFFINE, MIXED, NOT_AFFINE, NO_FUNCTION = deceptive.Truth

REMEMBERING = [
    name
    for name, item in vars(deceptive).items()
    if isinstance(item, (int, list, dict, types.FunctionType, type))
    and getattr(item, "__module__", "deceptive_modules") == "deceptive_modules"
    and name not in ("CASES", "LEAKS", "HIDDEN", "CANCELLING", "UNUSABLE", "Truth", "Case")
    and not name.startswith("__")
]
"""Where the deceptive modules keep what they remember outside themselves."""

# One worker runs them all, so that the count at the end is of all.
pytestmark = [pytest.mark.xdist_group("deceptive"), pytest.mark.filterwarnings("ignore")]


# -- what must not change -------------------------------------------------------------------------------------------


def portrait(value: Any, depth: int = 0, seen: frozenset[int] = frozenset()) -> Any:
    """All that a value holds, in a form that can be compared; things of other kinds by their identity."""
    if id(value) in seen or depth > 12:
        return "again"
    if type(value) is deceptive.Proxy:
        return id(value)
    inner = functools.partial(portrait, depth=depth + 1, seen=seen | {id(value)})
    if isinstance(value, Tensor) and type(value).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return id(value)
    if isinstance(value, Tensor):
        return _portrait_of_tensor(value, inner)
    if isinstance(value, nn.Module):
        return type(value), id(value), {name: inner(item) for name, item in vars(value).items()}, inner(type(value))
    if isinstance(value, dict):
        return [(key, inner(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple, set)) or type(value).__name__ == "deque":
        return type(value), [inner(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, types.FunctionType) and value.__module__ in COLLECTIONS:
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return id(value), inner(cells), inner(value.__defaults__), inner(vars(value))
    if isinstance(value, functools.partial):
        return inner((value.func, value.args))
    if isinstance(value, type) and value.__module__ in COLLECTIONS:
        held = {name: inner(item) for name, item in vars(value).items() if name != "__slotnames__"}  # copy's own cache
        return id(value), held, [inner(base) for base in value.__bases__]
    if isinstance(value, (bool, int, float, str, bytes, type(None))):
        return value
    if type(value).__module__ in COLLECTIONS or isinstance(value, types.SimpleNamespace):
        return id(value), inner(getattr(value, "__dict__", None))
    return id(value)


def _portrait_of_tensor(tensor: Tensor, inner: Any) -> Any:
    place = (tensor.shape, tensor.dtype, tensor.layout, tensor.requires_grad, type(tensor))
    if tensor.layout != torch.strided or tensor.is_meta:
        return id(tensor), place
    numbers = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage()).numpy().tobytes()
    grad = inner(tensor.grad) if tensor.is_leaf else None
    where = (tensor.untyped_storage().data_ptr(), tensor.stride(), tensor.storage_offset(), tensor.is_leaf)
    return id(tensor), place, where, numbers, grad, inner(vars(tensor))


def surroundings() -> Any:
    """Random states, global settings of PyTorch, and the globals of the deceptive modules."""
    own = {name: portrait(item) for name, item in vars(deceptive).items() if name in REMEMBERING}
    environment = {name: value for name, value in os.environ.items() if name.startswith("WHYACTIVATE")}
    numpy_state = np.random.get_state()  # noqa: NPY002
    hooks = vars(nn.modules.module).items()
    return (
        torch.get_rng_state().numpy().tobytes(), random.getstate(),
        numpy_state[1].tobytes(), [*map(str, numpy_state[2:])],
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"),
        torch.get_default_device(), torch.overrides._get_current_function_mode_stack(),
        _python_dispatch._get_current_dispatch_mode_stack(), own, environment,
        {name: dict(item) for name, item in hooks if name.startswith("_global_") and isinstance(item, dict)},
    )  # fmt: skip


def first_difference(before: Any, after: Any, path: str = "") -> str | None:
    """Where two portraits differ; None where they do not."""
    if before == after:
        return None
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)) and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        return next(d for key in before if (d := first_difference(before[key], after[key], f"{path}/{key}")))
    return f"{path}: {str(before)[:200]} became {str(after)[:200]}"


# -- the verdicts ---------------------------------------------------------------------------------------------------


@functools.cache
def analysed(name: str) -> tuple[Any, str | None, str | None]:
    """The analysis of a case, what had changed after it, and what was wrong with the collapsed layer."""
    case = CASES[name]
    module, others, example = case.make(), (case.make(), case.make()), case.example()
    with case.around():
        before = portrait(module), portrait(example), surroundings()
        analysis = wa.analyze(module, example)
        wrong = wrong_layer(case, module, others, example, analysis)
        change = first_difference(before, (portrait(module), portrait(example), surroundings()), "")
    return analysis, change, wrong


def wrong_layer(case: Any, module: nn.Module, others: Any, example: Any, analysis: Any) -> str | None:
    """What is wrong about the answer of `collapse_linear`, in words; None where nothing is.

    `others` are two modules made in the same way, to compare with.
    """
    if analysis.verdict != "affine":
        return None
    try:
        collapse = wa.collapse_linear(module, example)
    except RowsMixError:
        return "refused" if analysis.per_example else None
    except CannotCollapseError as error:
        several = len(analysis.tape.inputs) + len(analysis.tape.outputs) != 2
        return None if several or isinstance(error.__cause__, WhyActivateError) else f"refused: {error}"
    except InputError as error:
        return f"refused: {error}"
    if case.truth is not AFFINE or not analysis.per_example:
        return f"a layer came back for a module that is {case.truth}"
    if case.tolerance is None or not isinstance(example, Tensor):
        return None
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(5, *example.shape[1:], generator=generator, dtype=torch.float64, device="cpu")
    try:
        copied = others[0].double()
        torch.set_default_dtype(torch.float64)  # for the constants that forward makes
        (expected,) = outputs_of(copied(x.clone()))
    finally:
        torch.set_default_dtype(torch.float32)
    expected = expected.detach().double().reshape(5, math.prod(collapse.output_shape))
    found = x.flatten(1) @ collapse.weight.T + collapse.bias
    largest = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    error = float((found - expected).abs().max()) if expected.numel() else 0.0
    if error > case.tolerance * largest:
        return f"the layer is off by {error:.3g}"
    (wanted,) = outputs_of(others[1](x.to(example.dtype)))
    shape = collapse.as_module()(x.to(example.dtype)).shape
    return None if shape == wanted.shape else f"the layer as a module gives shape {shape}, not {wanted.shape}"


def outputs_of(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    parts = vars(result) if hasattr(result, "__dict__") else result
    parts = parts.values() if isinstance(parts, dict) else parts
    return [tensor for part in parts if isinstance(part, (Tensor, list, tuple, dict)) for tensor in outputs_of(part)]


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_not_wrong(name: str) -> None:
    truth, (analysis, _, wrong) = CASES[name].truth, analysed(name)
    if analysis.verdict == "affine":
        assert truth in (AFFINE, MIXED), f"{truth}\n{analysis}"
        assert analysis.per_example == (truth is AFFINE), str(analysis)
    if analysis.verdict == "not_affine":
        assert truth in (NOT_AFFINE, NO_FUNCTION), f"{truth}\n{analysis}"
        assert analysis.counterexample is not None
    if analysis.verdict == "undecided":
        assert analysis.blame, "undecided, but nothing is to blame"
    assert wrong is None, f"{wrong}\n{analysis}"


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_changed(name: str) -> None:
    assert analysed(name)[1] is None


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.truth is not AFFINE][::7])
def test_no_layer_for_what_is_none(name: str) -> None:
    with CASES[name].around(), pytest.raises(CannotCollapseError):
        wa.collapse_linear(CASES[name].make(), CASES[name].example())


def test_an_input_is_inferred_without_asking_for_a_computed_weight() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, weight: Tensor) -> Tensor:
            self.calls += 1
            return weight

    module, counting = nn.Linear(4, 4), Counting()
    torch.nn.utils.parametrize.register_parametrization(module, "weight", counting)
    before = counting.calls
    with pytest.raises(CannotCollapseError):
        wa.collapse_linear(module)
    assert counting.calls == before


@pytest.mark.parametrize("name", deceptive.UNUSABLE)
def test_what_cannot_be_analysed_is_an_input_error(name: str) -> None:
    module, example = deceptive.UNUSABLE[name]()
    for ask in (wa.analyze, wa.collapse_linear):
        if example is None and ask is wa.collapse_linear:
            continue
        with pytest.raises(InputError):
            ask(module, example)


def test_few_affine_modules_are_undecided(capsys: pytest.CaptureFixture[str]) -> None:
    affine = [name for name, case in CASES.items() if case.truth in (AFFINE, MIXED)]
    undecided = [name for name in affine if analysed(name)[0].verdict == "undecided"]
    with capsys.disabled():
        print(f"\n{len(CASES)} deceptive modules; affine, yet undecided: {len(undecided)} of {len(affine)}")
    assert len(undecided) <= MOST_UNDECIDED, "\n".join(undecided)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
