"""For this dtype: how far the floating-point network may be from the collapsed layer, proved and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from whyactivate._checks import check_number, check_seed, check_whole
from whyactivate.affine._torch_compat import may_transform_convolutions
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import FLOAT_FORMATS
from whyactivate.errors import CannotProveError, InputError
from whyactivate.proof.accumulation import accumulates_in_float32
from whyactivate.proof.latex import for_numbers
from whyactivate.proof.propagation import Box, Enclosure, Points, Propagation, Region, propagate
from whyactivate.proof.result import Proof
from whyactivate.proof.rounding import LinearRounding, RoundedStep, inflate, matmul_up
from whyactivate.proof.search import search_worst

Run = Callable[[Tensor], Tensor]
Pair = tuple[Tensor, Tensor]
"""Something about the distance to the real map, and the same about the distance to the layer."""


def prove_numeric(
    steps: Sequence[RoundedStep],
    run: Run,
    claimed: ExactAffine,
    layer: nn.Linear,
    *,
    x: Tensor | None = None,
    radius: float = 1.0,
    seed: int = 0,
    effort: int = 1,
    convolves: bool = False,
) -> Proof:
    """Bounds of |float network(x) - (Wx + b)| and of |float network(x) - layer(x)|, at x and over max|x_i| <= radius.

    The bounds are rigorous for evaluation in the layer's dtype on a processor that rounds to nearest: every order of
    summation, fused multiply-adds, float32 accumulation or none, and underflow are covered. The network is then run
    on seeded random and adversarial inputs, its error measured without rounding; the proof holds if no error exceeds
    its bound, and if the claimed map lies where the steps put theirs.

    Args:
        steps: the affine steps with the rounding of each, the first one acting first.
        run: the float network: `(count, in)` to `(count, out)`, both in the layer's dtype.
        claimed: the exact map Wx + b.
        layer: the one layer in the network's dtype, with a bias.
        x: one input `(in,)` or several `(count, in)`; a seeded draw from the box where None.
            Taken in the layer's dtype.
        radius: of the box, the largest coordinate allowed.
        seed: draws the inputs.
        effort: how long to search for bad inputs; 1 tries some thousand.
        convolves: whether the network has convolutions, which PyTorch can be told to do in other ways than by sums.

    Raises:
        InputError: a shape, a dtype or a radius that cannot be used.
        CannotProveError: a step may overflow, or PyTorch was told to multiply float32 in a lower precision, or may
            transform images before it convolves them.
    """
    dtype = layer.weight.dtype
    radius = check_number("radius", radius, 0)
    seed, effort = check_seed(seed), check_whole("effort", effort, 0)
    _check(dtype, convolves)
    given = _given_inputs(x, claimed.inputs, dtype, radius, seed)
    points, box = Points(given.double()), Box(claimed.inputs, radius)
    network = propagate(steps, (points, box))
    at_x, in_box = (
        (error, inflate(error + _layer_rounding(layer, claimed, region), 1))
        for error, region in zip(network.errors, (points, box), strict=True)
    )

    weight = network.affine.value[:, :-1]
    with torch.no_grad():
        here, there = _Tally(run, layer, claimed, at_x), _Tally(run, layer, claimed, in_box)
        here(given)
        search = search_worst(there, weight, dtype, radius, seed=seed, rounds=16 * effort)
    in_float32 = _if_in_float32(steps, layer, claimed, box)
    problems = _wrong_claim(network, claimed) + here.excesses() + there.excesses()
    exponent = -1 - FLOAT_FORMATS[dtype].fraction
    u = f"2^{exponent}"
    return Proof(
        kind="numeric",
        statement=_statement(dtype, radius, in_box),
        holds=not problems,
        steps=(
            f"Each step rounds by at most K u S plus what underflows, with u = {u}, S = |W||h| + |b| and K the "
            "number of terms, in any order of summation, fused or not; about half of that where the terms must cancel, "
            f"for no partial sum exceeds (S + |Wh + b|)/2; {_accumulation(dtype)}.",
            "A rounding made in step k reaches the output through W_n … W_(k+1), the collapsed rest of the network; "
            "the bound adds up |W_n … W_(k+1)| times the rounding of step k.",
            *_probe_words(in_float32),
            f"Run on {len(given)} given and {search.tried:,} random and adversarial inputs (seed {seed}), the errors "
            "measured without rounding: " + (f"{problems[0]}." if problems else "none exceeds its bound."),
        ),
        details={
            "dtype": _name(dtype),
            "unit roundoff": FLOAT_FORMATS[dtype].unit_roundoff,
            "radius": radius,
            "seed": seed,
            "inputs tried": search.tried + len(given),
            "at x: bound": _largest(at_x[0]),
            "at x: measured": _largest(here.largest[0]),
            "at x, to the layer: bound": _largest(at_x[1]),
            "at x, to the layer: measured": _largest(here.largest[1]),
            "in the box: bound": _largest(in_box[0]),
            "in the box: worst measured": _largest(there.largest[0]),
            "in the box, to the layer: bound": _largest(in_box[1]),
            "in the box, to the layer: worst measured": _largest(there.largest[1]),
            **in_float32,
            "in the box: bound without the collapse": _largest(network.naive[1]),
            "in the box: bound if roundings were random (√n, no proof)": _largest(network.probable[1]),
            "problems": problems,
        },
        formulas=partial(
            for_numbers, len(steps), f"2^{{{exponent}}}", in_box[0].max().item(), in_box[1].max().item(), radius
        ),
    )


class _Tally:
    """Measures the float network's errors, to Wx + b and to the layer, and keeps the largest and the first excess.

    Called with inputs `(count, in)` it gives, per input, the largest error as a part of its bound, shape `(count, 2)`.
    The same input may round otherwise in another batch, so what counts is what was measured.
    """

    def __init__(self, run: Run, layer: nn.Linear, claimed: ExactAffine, bounds: Pair) -> None:
        self.run, self.layer, self.claimed, self.bounds = run, layer, claimed, bounds
        self.largest = [torch.zeros(claimed.outputs, dtype=torch.float64) for _ in bounds]
        self.first_excess: list[str | None] = [None for _ in bounds]

    def __call__(self, inputs: Tensor) -> Tensor:
        there = inputs.to(self.layer.weight.device)
        outputs, by_layer = self.run(there).cpu(), self.layer(there).cpu()
        exact = self.claimed(ExactArray.from_points(inputs))
        errors = (_distance(outputs, exact), _distance(outputs, by_layer))
        for way, (error, bound) in enumerate(zip(errors, self.bounds, strict=True)):
            self.largest[way] = torch.maximum(self.largest[way], error.amax(0))
            excess = np.argwhere((error > bound).numpy())
            if len(excess) and self.first_excess[way] is None:
                point, output = excess[0]
                shown = ", ".join(f"{value:.6g}" for value in inputs[point, :6].tolist())
                self.first_excess[way] = (
                    f"output {output} at x = [{shown}{', …' if inputs.shape[1] > 6 else ''}] is "
                    f"{error[point, output].item():.6g} from {('Wx + b', 'the layer')[way]}, beyond the bound "
                    f"{bound[output].item():.6g}"
                )
        ratios = [(error / bound).nan_to_num(nan=0.0) for error, bound in zip(errors, self.bounds, strict=True)]
        return torch.stack([ratio.amax(1) for ratio in ratios], 1)

    def excesses(self) -> list[str]:
        """The first input, for each way of measuring, at which an error is larger than its bound."""
        return [excess for excess in self.first_excess if excess is not None]


def _check(dtype: torch.dtype, convolves: bool) -> None:
    if dtype not in FLOAT_FORMATS:
        raise InputError(f"no rounding is known for {dtype}; expected one of {[str(d) for d in FLOAT_FORMATS]}")
    if dtype != torch.float32:
        return
    # torch's stubs do not know these attributes.
    onednn: Any = torch.backends.mkldnn
    ways = [("multiply float32 matrices", onednn.matmul, "call torch.set_float32_matmul_precision('highest')")]
    if convolves:
        ways.append(("convolve in float32", onednn.conv, "set torch.backends.mkldnn.conv.fp32_precision = 'ieee'"))
    for what, way, advice in ways:
        allowed: str = way.fp32_precision
        if allowed not in ("none", "ieee"):
            raise CannotProveError(f"PyTorch was told that it may {what} with the precision of {allowed}; {advice}")
    if convolves and may_transform_convolutions():
        raise CannotProveError(
            "PyTorch may transform images before it convolves them (by NNPACK, as oneDNN is off): outputs are then no "
            "sums of products of their own inputs, and no bound is known; call torch.backends.nnpack.set_flags(False)"
        )


def _given_inputs(x: Tensor | None, inputs: int, dtype: torch.dtype, radius: float, seed: int) -> Tensor:
    if x is None:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.rand(1, inputs, dtype=torch.float64, generator=generator)
        return ((drawn * 2 - 1) * radius).to(dtype)
    wanted = f"x must be a tensor of finite numbers of shape ({inputs},) or (count, {inputs})"
    if not isinstance(x, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] (callers need not be typed)
        raise InputError(f"{wanted}, but {type(x).__name__} came")
    if x.ndim not in (1, 2) or x.shape[-1] != inputs or not x.numel():
        raise InputError(f"{wanted}, but shape {tuple(x.shape)} came")
    rows = x.detach().reshape(-1, inputs)
    if x.is_complex() or not rows.isfinite().all():
        raise InputError(f"{wanted}, but it has numbers that are not finite, or not real")
    return rows.to(dtype)


def _if_in_float32(steps: Sequence[RoundedStep], layer: nn.Linear, claimed: ExactAffine, box: Box) -> dict[str, object]:
    """For half precisions: does a probe find sums accumulated in float32, and what are the bounds then?"""
    if layer.weight.dtype.itemsize != 2:
        return {}
    sums = [step.local_error for step in steps if isinstance(step.local_error, LinearRounding)]
    sizes = {(rounding.weight.shape[1], rounding.weight.shape[0]) for rounding in sums}
    found = all(
        accumulates_in_float32(*size, layer.weight.dtype) for size in [*sizes, (claimed.inputs, claimed.outputs)]
    )
    details: dict[str, object] = {"accumulation, by a probe": "float32" if found else "not float32 everywhere"}
    if not found:
        return details
    assuming = [
        replace(step, local_error=replace(step.local_error, in_float32=True))
        if isinstance(step.local_error, LinearRounding)
        else step
        for step in steps
    ]
    (error,) = propagate(assuming, (box,)).errors
    to_layer = inflate(error + _layer_rounding(layer, claimed, box, in_float32=True), 1)
    return {
        **details,
        "in the box: bound if so": _largest(error),
        "in the box, to the layer: bound if so": _largest(to_layer),
    }


def _probe_words(in_float32: dict[str, object]) -> list[str]:
    bound = in_float32.get("in the box: bound if so")
    if not isinstance(bound, float):
        return []
    return [f"A probe with whole numbers finds sums accumulated in float32 here; if all are, the bound is {bound:.3g}."]


def _layer_rounding(layer: nn.Linear, claimed: ExactAffine, region: Region, *, in_float32: bool = False) -> Tensor:
    """A bound of |Wx + b - layer(x)| over a region: the layer's entries are rounded, and so is its evaluation."""
    size = region.magnitude()
    entries = matmul_up(claimed.weight.error_of(layer.weight), size)
    entries = inflate(entries + claimed.bias.error_of(layer.bias), 1)
    map_and_bias = torch.cat([claimed.weight.to_float64()[0], claimed.bias.to_float64()[0][:, None]], 1)
    total = region.reach(Enclosure(map_and_bias, map_and_bias.abs() * 2.0**-52))
    total = inflate(total + entries, 1)
    return inflate(entries + LinearRounding(layer.weight, layer.bias, in_float32)(size, total), 1)


def _distance(outputs: Tensor, target: ExactArray | Tensor) -> Tensor:
    finite = outputs.isfinite()
    if isinstance(target, Tensor):
        finite = finite & target.isfinite()
        target = ExactArray.from_points(torch.where(finite, target, 0))
    distance = target.error_of(torch.where(finite, outputs, 0))
    return torch.where(finite, distance, torch.inf)


def _wrong_claim(network: Propagation, claimed: ExactAffine) -> list[str]:
    """Where the claimed map lies outside the enclosure of the steps' product."""
    for name, exact, value, error in (
        ("weight", claimed.weight, network.affine.value[:, :-1], network.affine.error[:, :-1]),
        ("bias", claimed.bias, network.affine.value[:, -1], network.affine.error[:, -1]),
    ):
        outside = np.argwhere((exact.error_of(value) > error).numpy())
        if len(outside):
            return [f"the claimed {name}{outside[0].tolist()} is not the product of the steps"]
    return []


def _statement(dtype: torch.dtype, radius: float, bounds: Pair) -> str:
    return (
        f"In {_name(dtype)}, at every x with max|x_i| <= {radius:g}, the network as PyTorch evaluates it is within "
        f"{bounds[0].max().item():.3g} of Wx + b in real numbers, and within {bounds[1].max().item():.3g} of the one "
        "layer as PyTorch evaluates it."
    )


def _accumulation(dtype: torch.dtype) -> str:
    if dtype.itemsize == 2:
        return "sums accumulated in float32 and rounded at the end, or rounded after every operation, the worse assumed"
    return f"sums accumulated in {_name(dtype)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _largest(errors: Tensor) -> float | str:
    """The largest entry, as JSON can hold it."""
    largest = errors.max().item()
    return largest if math.isfinite(largest) else "not finite"
