"""Runs the folded copy beside the original, and compares within a bound on rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine.recording import Example
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracker import run_unwatched
from whyactivate.affine.trees import map_leaves, tensors_in
from whyactivate.errors import FoldingError
from whyactivate.folding.building import BATCHES
from whyactivate.folding.copies import example_in_float64, in_float64

_Shaken = Callable[[], list[tuple[Tensor, ...]]]
"""What the original returns for inputs that are hardly others."""

_MANY = 67
"""A larger batch, at which they are compared where a row has at most `_SMALL` numbers."""
_SMALL = 2**10
_OWN_ERROR = 2.0**5
"""How many times the original's own rounding error the copy may be off."""
_UNITS = 2.0**8
"""How many units in the last place of the largest output it may be off in any case."""
_WIDE = 2.0**7
"""How much more room the same comparison has in float64, where a wrong fold would be off by far more."""


_SHAKES = 4
_SHAKEN = 2.0**4
"""How many times as far the copy may be off as the original moves where its inputs move by a unit in the last place."""


def verify(
    original: nn.Module, folded: nn.Module, folded64: nn.Module | None, example: Example, *, computed: bool
) -> None:
    """Compare at several batch sizes, in the module's own dtype and in float64.

    Args:
        original: what was folded.
        folded: the copy that is to be returned.
        folded64: the same in float64, its folded layers not rounded; None where there is no such copy.
        example: what the modules take.
        computed: whether what the copy holds fixed is computed in forward (weights, the eps of a dtype), and so is that
            of the original's dtype in the float64 copy, too.

    Raises:
        FoldingError: an output differs by more than rounding explains, the copy does not run, or there is no finite
            number to compare.
    """
    generator = torch.Generator("cpu").manual_seed(1)
    original64 = _in_float64(original)
    states = {id(part): State(part) for part in (original, folded, original64, folded64) if part is not None}

    recorded = torch.is_grad_enabled()
    size = sum(tensor.numel() for tensor in tensors_in([example.args, dict(example.kwargs)])) // example.rows
    many = (_MANY,) if size <= _SMALL else ()  # where that costs little

    def run(module: nn.Module, inputs: Example, gradients: bool = False) -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(gradients):
            return run_unwatched(module, inputs.args, inputs.kwargs, states[id(module)])

    def shaken(module: nn.Module, inputs: Example, gradients: bool = False) -> _Shaken:
        draws = torch.Generator("cpu").manual_seed(2)
        return lambda: [run(module, _shake(inputs, draws), gradients) for _ in range(_SHAKES)]

    seen: dict[bool, bool] = {}
    for rows in dict.fromkeys((*BATCHES, example.rows, *many)):
        inputs = example.with_rows(rows, generator)
        expected = run(original, inputs)
        if not expected:  # not every whole number need be an index
            inputs = example.with_rows(rows)
            expected = run(original, inputs)
        if not expected:
            continue  # the original does not run on so many rows
        found = run(folded, inputs)
        wide = run(original64, example_in_float64(inputs)) if original64 is not None else ()
        exact = wide if _alike(wide, expected) else expected
        _compare(found, expected, exact, rows, "", 1.0, shaken(original, inputs))
        seen |= {_is_number(tensor): True for tensor in expected if tensor.numel()}
        if recorded and rows == example.rows:  # some modules of PyTorch do something else without gradients
            found, expected = run(folded, inputs, True), run(original, inputs, True)
            _compare(found, expected, exact, rows, "", 1.0, shaken(original, inputs, True))
        if folded64 is not None and original64 is not None and exact is wide:
            inputs = example_in_float64(inputs)
            found = run(folded64, inputs)
            if found:
                own = 1.0 if computed else 0.0
                _compare(found, expected, exact, rows, " in float64", own, shaken(original64, inputs))
    if seen and True not in seen:
        raise FoldingError(
            "the module gives no finite number on random inputs, so that its folded copy cannot be compared with it; "
            "nothing is returned"
        )


def _compare(
    found: tuple[Tensor, ...],
    expected: tuple[Tensor, ...],
    exact: tuple[Tensor, ...],
    rows: int,
    where: str,
    own: float,
    shaken: _Shaken,
) -> None:
    if not _alike(found, expected):
        shapes = [[tuple(t.shape) for t in tensors] for tensors in (expected, found)]
        raise FoldingError(
            f"the folded copy gives outputs of shapes {shapes[1]}{where} for {rows} row(s), the original {shapes[0]}; "
            "nothing is returned"
        )
    for number, tensors in enumerate(zip(found, expected, exact, strict=True)):
        a, b, true = (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in tensors)
        if not b.is_floating_point():
            if not torch.equal(a, b):
                raise FoldingError(f"output {number} of the folded copy differs; nothing is returned")
            continue
        if where == "" and a.dtype != b.dtype:
            raise FoldingError(f"output {number} of the folded copy is {a.dtype}, not {b.dtype}; nothing is returned")
        if where == "" and not torch.equal(_kinds(a), _kinds(b)):
            raise FoldingError(
                f"output {number} of the folded copy is NaN or infinite at other places than the original's for {rows} "
                "row(s); nothing is returned"
            )
        finite = a.isfinite() & b.isfinite() & true.isfinite()  # the others are the same, or no numbers in one dtype
        a, b, true = a[finite], b[finite], true[finite]
        if not b.numel():
            continue
        error, allowed = bound(b, true, own)
        distance = (a.double() - true.double()).abs()
        off = float(distance.max())
        if not off <= allowed:
            moved = _moved(number, finite, true, shaken())
            if bool((distance <= allowed + _SHAKEN * moved.clamp_min(float(moved.median()))).all()):
                continue
            raise FoldingError(
                f"output {number} of the folded copy is off by {off:.3g}{where} for {rows} row(s), where rounding "
                f"explains {allowed:.3g} at most (the original's own error is {error:.3g}); nothing is returned. "
                "This is a fault of whyactivate, or the module does what was not recorded: please report it"
            )


def _moved(number: int, finite: Tensor, exact: Tensor, runs: list[tuple[Tensor, ...]]) -> Tensor:
    """How far each finite number of an output moved at most; without end where a run gave no finite one."""
    moved = torch.zeros(exact.shape, dtype=torch.float64, device=exact.device)
    for outputs in runs:
        if outputs:
            there = torch.view_as_real(t.resolve_conj()) if (t := outputs[number]).is_complex() else t
            moved = torch.maximum(moved, (there[finite].double() - exact.double()).abs().nan_to_num(math.inf))
    return moved


def _shake(example: Example, generator: torch.Generator) -> Example:
    """The inputs, each number a unit in the last place further up or down."""

    def shake(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            return leaf
        up = torch.randint(0, 2, leaf.shape, generator=generator, device="cpu").to(leaf.device, torch.bool)
        eps = torch.finfo(leaf.dtype).eps
        return torch.where(up, leaf * (1 + eps), leaf * (1 - eps))

    return replace(
        example, args=tuple(map_leaves(shake, list(example.args))), kwargs=map_leaves(shake, dict(example.kwargs))
    )


def _is_number(tensor: Tensor) -> bool:
    """Whether something in it is a finite number."""
    return bool(tensor.isfinite().any())


def _kinds(numbers: Tensor) -> Tensor:
    """What each entry is: 0 for a finite number, 1 and -1 for infinite ones, 2 for NaN."""
    return numbers.isposinf().int() - numbers.isneginf().int() + 2 * numbers.isnan().int()


def bound(returned: Tensor, exact: Tensor, own: float) -> tuple[float, float]:
    """The original's own rounding error (its distance to float64), and how far the copy may be off."""
    unit = torch.finfo(returned.dtype).eps / 2
    error = float((returned.double() - exact.double()).abs().max())
    largest = float(exact.double().abs().max())
    if own:
        return error, _OWN_ERROR * error + _UNITS * unit * largest
    finer = torch.finfo(torch.float64).eps / 2
    return error, _WIDE * (_OWN_ERROR * error * finer / unit + _UNITS * finer * largest)


def _alike(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return bool(a) and [t.shape for t in a] == [t.shape for t in b]


def _in_float64(module: nn.Module) -> nn.Module | None:
    try:
        return in_float64(module)
    except Exception:  # some modules do not let themselves be cast
        return None
