"""Judges modules made of PyTorch's own operation samples, and prints what came out as JSON.

PyTorch lists its operations with sample inputs for its own tests. For each, a module applies the operation to every
row of its input; the verdict is compared with superposition of the operation itself, in float64. This runs in a
process of its own: importing PyTorch's test tools changes global settings. Its arguments: samples per operation, and
"complex" where the samples are to be complex.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
import types
import unittest
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from whyactivate.affine import Counterexample, Verdict, analyze
from whyactivate.errors import InputError

DRAWS = 2
_MIXES = ((0.5, 0.5), (2.0, -1.0))


def _op_db() -> list[Any]:
    # Its only use there is as the parent of PyTorch's own test classes.
    stub = types.ModuleType("expecttest")
    stub.TestCase = unittest.TestCase  # type: ignore[attr-defined]
    sys.modules.setdefault("expecttest", stub)
    from torch.testing._internal.common_methods_invocations import op_db

    return op_db


class RowByRow(nn.Module):
    """Applies a function of tensors to each row of its inputs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        rows = [real_leaves(self.function(*(x[i] for x in inputs))) for i in range(inputs[0].shape[0])]
        return [torch.stack(parts) for parts in zip(*rows, strict=True)]


def leaves(tree: Any) -> list[Tensor]:
    return [x for x in torch.utils._pytree.tree_leaves(tree) if isinstance(x, Tensor)]


def real_leaves(tree: Any) -> list[Tensor]:
    """The tensors of numbers, complex ones as pairs of reals."""
    found = [x for x in leaves(tree) if x.layout == torch.strided]
    return [
        torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
        for x in found
        if x.is_complex() or x.is_floating_point()
    ]


def variants(op: Any, sample: Any) -> Iterator[tuple[str, Callable[..., Any], list[Tensor]]]:
    """The operation as a function of some of its floating operands: each alone, and all of them."""
    tree = (sample.input, sample.args, sample.kwargs)
    flat, spec = torch.utils._pytree.tree_flatten(tree)
    tensors = [i for i, x in enumerate(flat) if isinstance(x, Tensor)]
    places = [i for i in tensors if (flat[i].is_floating_point() or flat[i].is_complex()) and flat[i].numel()]
    places = [i for i in places if flat[i].layout == torch.strided and bool(flat[i].isfinite().all())]
    for chosen in [[i] for i in places[:2]] + ([places] if len(places) > 1 else []):

        def function(*inputs: Tensor, chosen: list[int] = chosen) -> Any:
            operands = list(flat)
            for i, x in zip(chosen, inputs, strict=True):
                operands[i] = x
            first, args, kwargs = torch.utils._pytree.tree_unflatten(operands, spec)
            return op(first, *args, **kwargs)

        yield f"{op.name} of {chosen}", function, [flat[i].detach() for i in chosen]


def superposition(function: Callable[..., Any], at: list[Tensor], generator: torch.Generator) -> bool | None:
    """True: affine to rounding at all points tried, small and large; False: clearly not; None: hard to say."""

    def draw(scale: float | None) -> list[Tensor]:
        noise = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in at]
        if scale is None:
            return [x * (1 + 0.3 * torch.tanh(n)) for x, n in zip(at, noise, strict=True)]
        return [n * scale for n in noise]

    certain = True
    for scale, (first, second), _ in itertools.product((None, 1.0, 1e3, 1e-3), _MIXES, range(DRAWS)):
        a, b = draw(scale), draw(scale)
        points = (a, b, [first * x + second * y for x, y in zip(a, b, strict=True)])
        try:
            results = [real_leaves(function(*[z.clone() for z in point])) for point in points]
        except Exception:  # whatever an operation says of numbers outside its domain
            certain = False
            continue
        if not results[0]:
            return None
        unit = max(torch.finfo(y.dtype).eps for y in results[0])
        values = [torch.cat([y.detach().double().flatten() for y in result]) for result in results]
        if len({x.shape for x in values}) > 1:
            return False
        if not all(bool(x.isfinite().all()) for x in values):
            certain = False
            continue
        if not values[0].numel():
            continue
        size = max(float(x.abs().max()) for x in values)
        gap = float((values[2] - first * values[0] - second * values[1]).abs().max())
        if gap > max(1e-6, 8 * unit) * size:
            return False
        certain = certain and gap <= max(1e-10, 8 * unit) * max(size, scale or 1.0)
    return True if certain else None


def confirms(function: Callable[..., Any], found: Counterexample) -> bool:
    """Whether the operation itself, in float64, is off by about as much as the counterexample says."""
    first, second = map(float, found.weights)
    points = (found.a, found.b, [first * x + second * y for x, y in zip(found.a, found.b, strict=True)])
    values = [torch.cat([y.double().flatten() for y in real_leaves(function(*(x[0] for x in p)))]) for p in points]
    gap = float((values[2] - first * values[0] - second * values[1]).abs().max())
    return gap >= 0.5 * found.gap > 1e-9 * max(float(x.abs().max()) for x in values)


def main(samples_per_op: int, dtype: torch.dtype) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    numpy.random.seed(0)  # noqa: NPY002 (PyTorch's samples draw from it)
    found: dict[str, Any] = {"wrong": [], "crashed": [], "undecided": [], "slow": [], "counts": Counter()}
    for op in _op_db():
        if not op.supports_dtype(dtype, "cpu"):
            continue
        # Not through op.sample_inputs, which looks up the call stack for every sample.
        for sample in itertools.islice(op.sample_inputs_func(op, "cpu", dtype, False), samples_per_op):
            for name, function, at in variants(op, sample):
                judge(name, function, at, found)
    found["counts"] = dict(found["counts"])
    print(json.dumps(found))


def judge(name: str, function: Callable[..., Any], at: list[Tensor], found: dict[str, Any]) -> None:
    truth = superposition(function, at, torch.Generator().manual_seed(1))
    started = time.perf_counter()
    try:
        analysis = analyze(RowByRow(function), tuple(x[None].clone() for x in at))
        verdict = str(analysis.verdict)
        if truth is True and analysis.counterexample is not None and confirms(function, analysis.counterexample):
            truth = False  # affine almost everywhere: random points do not see it, the counterexample does
    except InputError as error:
        if "forward raised" not in str(error):
            found["crashed"].append(f"{name}: {error}")
        verdict = "forward raised"
    except Exception as error:
        found["crashed"].append(f"{name}: {type(error).__name__}: {error}")
        return
    taken = time.perf_counter() - started
    if taken > 1:
        found["slow"].append(f"{name}: {taken:.1f} s")
    word = {True: "affine", False: "not affine", None: "hard to say"}[truth]
    found["counts"][f"{word}: {verdict}"] += 1
    if (truth is False and verdict == Verdict.AFFINE) or (truth is True and verdict == Verdict.NOT_AFFINE):
        found["wrong"].append(f"{name}: {verdict}, but superposition says {word}")
    if truth is True and verdict == Verdict.UNDECIDED:
        found["undecided"].append(name)


if __name__ == "__main__":
    main(int(sys.argv[1]), torch.complex128 if sys.argv[2:] == ["complex"] else torch.float64)
