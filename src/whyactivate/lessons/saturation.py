"""Saturation: where an activation reaches its end exactly, what can be got back, and what is left of the slope."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from whyactivate._checks import check_number, check_some
from whyactivate.activations import Activation, get_activation
from whyactivate.errors import InputError
from whyactivate.lessons.lesson import Lesson, digits, listing, title_of
from whyactivate.lessons.observe import Inputs, slope, units_last, watch_activations

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_BITS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
_CURVE = 401


@dataclass(frozen=True, slots=True)
class End:
    """Where an activation reaches the end of its range exactly in one dtype.

    Attributes:
        activation: which.
        dtype: in which.
        low: the lower end of its range over the real numbers.
        high: the upper end.
        high_from: the smallest z from which on it is exactly `high`; None if never.
        low_until: the largest z up to which it is exactly `low`; None if never.
    """

    activation: str
    dtype: torch.dtype
    low: float
    high: float
    high_from: float | None
    low_until: float | None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What logit gives back of a z that went through sigmoid."""

    dtype: torch.dtype
    z: float
    value: float
    recovered: float


@dataclass(frozen=True, repr=False)
class Saturation(Lesson):
    """Where sigmoid and tanh are exactly at their ends in each dtype, what logit gets back, and the slope against z.

    Attributes:
        ends: one per activation and dtype.
        trips: logit(sigmoid(z)) for some z in float32 and float64.
        z: places at which the curves are told.
        values: per activation, φ(z) in float64.
        slopes: per activation, φ′(z) in float64.
        largest_slope: per activation, the largest slope on the curve.
        faded: per activation, the smallest |z| on the curve from which on the slope stays below a hundredth of that.
    """

    title: ClassVar[str] = "Saturation: flat ends keep nothing apart"

    ends: tuple[End, ...]
    trips: tuple[RoundTrip, ...]
    z: tuple[float, ...]
    values: dict[str, tuple[float, ...]]
    slopes: dict[str, tuple[float, ...]]
    largest_slope: dict[str, float]
    faded: dict[str, float | None]

    @property
    def settings(self) -> str:
        """What the ends depend on."""
        return f"PyTorch {torch.__version__.split('+')[0]} on the CPU"

    def end(self, activation: str, dtype: torch.dtype) -> End:
        """The ends of one activation in one dtype."""
        return next(end for end in self.ends if (end.activation, end.dtype) == (activation, dtype))

    def explain(self) -> str:
        """What the numbers say."""
        parts: list[str] = []
        for name in dict.fromkeys(end.activation for end in self.ends):
            reached = [end for end in self.ends if end.activation == name and end.high_from is not None]
            where = [f"z = {digits(end.high_from or 0.0)} in {_short(end.dtype)}" for end in reached]
            parts.append(
                f"{title_of(name)} is exactly {reached[0].high:g} from {listing(where)}."
                if reached
                else f"{title_of(name)} reaches its upper end in none of the dtypes."
            )
            faded = self.faded[name]
            parts.append(
                f"Its slope is at most {digits(self.largest_slope[name])}"
                + (f" and below a hundredth of that beyond |z| = {faded:.2f}." if faded is not None else ".")
            )
        lost: dict[float, list[RoundTrip]] = {}
        for trip in self.trips:
            if not math.isfinite(trip.recovered):
                lost.setdefault(trip.recovered, []).append(trip)
        kept = [trip for trip in self.trips if math.isfinite(trip.recovered)]
        if kept:
            worst = max(kept, key=lambda trip: abs(trip.recovered - trip.z))
            parts.append(
                f"Where sigmoid(z) is not at an end, logit gets z back, at worst off by "
                f"{digits(abs(worst.recovered - worst.z))} "
                f"(z = {worst.z:g} in {_short(worst.dtype)})."
            )
        for recovered, trips in lost.items():
            cases = listing([f"z = {trip.z:g} in {_short(trip.dtype)}" for trip in trips])
            parts.append(f"Where it is, nothing can: logit gives {recovered} for {cases}.")
        return " ".join(parts)


def saturation(
    activations: Sequence[str] = ("sigmoid", "tanh"),
    dtypes: Sequence[torch.dtype] = DTYPES,
    places: Sequence[float] = (7.0, 13.0, 20.0, 55.0),
) -> Saturation:
    """Where each activation is exactly at its ends in each dtype, what logit recovers, and the slope against z.

    Args:
        activations: names of activations with a bounded range.
        dtypes: of float16, bfloat16, float32 and float64.
        places: z for which logit(sigmoid(z)) is told, in float32 and float64.

    Raises:
        InputError: an activation has no bounded range.
        UnknownNameError: there is no such activation.
    """
    chosen = [get_activation(name) for name in check_some("activations", activations)]
    for dtype in check_some("dtypes", dtypes):
        if dtype not in _BITS:
            raise InputError(f"dtypes must be of {', '.join(map(_short, _BITS))}, but {dtype} came")
    places = [check_number("places", z, -math.inf) for z in places]
    ends: list[End] = []
    for each in chosen:
        if each.range is None or not (math.isfinite(each.range.low) and math.isfinite(each.range.high)):
            raise InputError(f"{each.name} is not known to be bounded, so it has no ends to reach")
        for dtype in dtypes:
            low, high = each.range.low, each.range.high
            up, down = _first(each, 1, high, dtype), _first(each, -1, low, dtype)
            ends.append(End(each.name, dtype, low, high, up, None if down is None else -down))
    trips = [_round_trip(z, dtype) for dtype in (torch.float32, torch.float64) for z in places]
    z = torch.linspace(-10, 10, _CURVE, dtype=torch.float64)
    slopes = {each.name: slope(each, z) for each in chosen}
    return Saturation(
        ends=tuple(ends),
        trips=tuple(trips),
        z=tuple(z.tolist()),
        values={each.name: tuple(each(z).tolist()) for each in chosen},
        slopes={name: tuple(values.tolist()) for name, values in slopes.items()},
        largest_slope={name: float(values.max()) for name, values in slopes.items()},
        faded={name: _faded(z, values) for name, values in slopes.items()},
    )


def _first(activation: Activation, sign: int, end: float, dtype: torch.dtype) -> float | None:
    """The smallest positive float z from which on φ(sign·z) is `end`, by halving over the floats in order.

    Around the place every float is tried, since rounding need not be monotone.
    """
    bits = _BITS[dtype]
    low, high = 0, int(torch.tensor(torch.finfo(dtype).max, dtype=dtype).view(bits))

    def holds(first: int, count: int = 64) -> Tensor:
        numbers = (first + torch.arange(count)).clamp(max=high).to(bits).view(dtype)
        return activation(numbers * sign) == end

    if not bool(holds(high).all()):
        return None
    top = high
    while low < top:
        middle = (low + top) // 2
        if bool(holds(middle).all()):
            top = middle
        else:
            low = middle + 1
    window = 4096
    start = max(0, top - window)
    missed = (~holds(start, 2 * window)).nonzero()
    first = start + (int(missed.max()) + 1 if len(missed) else 0)
    return float(torch.tensor(first).to(bits).view(dtype))


def _round_trip(z: float, dtype: torch.dtype) -> RoundTrip:
    value = torch.sigmoid(torch.tensor([z], dtype=dtype))
    return RoundTrip(dtype, z, value.item(), torch.logit(value).item())


def _faded(z: Tensor, slopes: Tensor) -> float | None:
    steep = z[slopes >= slopes.max() / 100].abs()
    beyond = z[z > steep.max()]
    return float(beyond[0]) if len(beyond) else None


@dataclass(frozen=True, slots=True)
class SaturatedCall:
    """How flat one activation in a module is on the given data.

    Attributes:
        name: where, and which activation.
        units: how many units it has.
        flat: share of all values at which the slope is below a hundredth of the largest slope the activation can have.
        at_end: share of all values that are exactly at an end of the range.
        flat_units: how many units are flat on every row.
    """

    name: str
    units: int
    flat: float
    at_end: float
    flat_units: int


@dataclass(frozen=True, repr=False)
class ModuleSaturation(Lesson):
    """How flat each activation of a module is on the given data.

    Attributes:
        module: the name of its class.
        rows: how many rows it was given.
        calls: the saturating activations in program order.
        others: how many calls of activations that do not saturate there were.
        hidden: what could not be looked at, and why.
    """

    title: ClassVar[str] = "Saturation in your own module"

    module: str
    rows: int
    calls: tuple[SaturatedCall, ...]
    others: int
    hidden: tuple[str, ...] = ()

    @property
    def settings(self) -> str:
        """What it was measured on."""
        return f"{self.module} on {self.rows} rows"

    def explain(self) -> str:
        """What the numbers say."""
        unseen = f" Not seen: {'; '.join(self.hidden)}." if self.hidden else ""
        if not self.calls:
            return (
                f"{self.module} has no saturating activation on this data, so there is nothing to be flat at both "
                f"ends; activations that do not saturate: {self.others}.{unseen}"
            )
        worst = max(self.calls, key=lambda call: call.flat)
        stuck = sum(call.flat_units for call in self.calls)
        count = "1 saturating activation" if len(self.calls) == 1 else f"{len(self.calls)} saturating activations"
        return (
            f"{self.module} has {count}. The flattest is {worst.name}: for "
            f"{100 * worst.flat:.1f} % of its values the slope is below a hundredth of what it can be, and "
            f"{100 * worst.at_end:.1f} % "
            f"are exactly at an end of the range. {stuck} of {sum(call.units for call in self.calls)} units are flat "
            f"on every row" + (", so hardly any gradient passes through them." if stuck else ".") + unseen
        )


def saturation_of(module: nn.Module, inputs: Inputs, *, unit_axis: int | None = None) -> ModuleSaturation:
    """How flat each saturating activation in a module is on the given data; the module stays as it is.

    Args:
        module: any module that calls activations as modules or functions.
        inputs: what its forward takes, rows first: a tensor, a tuple of several arguments, or a dict of keywords.
        unit_axis: the axis of the units; 1 for images, else the last, where None.

    Raises:
        InputError: the module fails, or no activation was seen in it.
    """
    watched = watch_activations(module, inputs)
    found: list[SaturatedCall] = []
    for call in watched.calls:
        reached = call.ends()
        if reached is None:
            continue
        low, high = reached
        largest = float(call.slopes(torch.linspace(-8, 8, 1601, dtype=call.z.dtype, device=call.z.device)).max())
        flat = call.slopes() < largest / 100
        ends = (call.output == low) | (call.output == high)
        units = units_last(flat, unit_axis)
        found.append(
            SaturatedCall(
                call.name,
                units.shape[1],
                float(flat.double().mean()),
                float(ends.double().mean()),
                int(units.all(0).sum()),
            )
        )
    return ModuleSaturation(
        type(module).__name__, watched.rows, tuple(found), len(watched.calls) - len(found), watched.hidden
    )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
