"""Searches for two inputs that show that a program is not affine, and verifies them on the tape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor

from whyactivate.affine.analysis import Counterexample
from whyactivate.affine.evaluating.effort import count_tries, count_wide_tries, count_work, is_small, require_bearable
from whyactivate.affine.evaluating.replay import ExactConstants, Numbers, Replay, needs_balls
from whyactivate.affine.pairs import as_complex
from whyactivate.affine.rules.rule import NoValue
from whyactivate.affine.searching.cropping import crop
from whyactivate.affine.searching.rare import Pair, rare_pairs
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.balls import BallArray, working_precision
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import InputError

_SCALES = (1.0, 2.0**7, 2.0**-6, 2.0**20, 2.0**60)
_SCALES_OF_LARGE = (1.0, 2.0**20, 2.0**7, 2.0**-6, 2.0**60)
"""Far from 0 activations are at their ends, and what is added to a stream that is normalised is small beside it: there
the intervals of deep networks stay narrow."""
_WIDE_BITS = (88, 132, 176, 220, 264, 308, 352, 528, 1056, 1584)
"""With how many bits the balls are computed that are tried where float64 enclosures are too wide."""
_HOPELESS = 2.0**10
_TRIES_BEFORE_HOPELESS = 2
"""Where on the first inputs all intervals are so many times as wide as the largest number, no others will do better."""
_SHARP = 2.0**-40
"""Where all intervals are wider, as a part of the largest number, more bits are of more use than other inputs."""
_TOO_WIDE = 2.0**-10
"""Where the intervals at the next precision would still be wider, that precision is passed over."""
_VAGUE = 2.0**-10
"""Where the intervals of a counterexample are wider, as a part of the gap between them, others are looked for."""
_WORTH_CROPPING = 2
"""By which factor a crop must be less work to be tried first."""
_MIXES = ((Fraction(1, 2), Fraction(1, 2)), (Fraction(2), Fraction(-1)))


def find_counterexample(tape: Tape, constants: ExactConstants, seed: int = 0) -> Counterexample | None:
    """Two inputs a, b and weights λ + μ = 1 with f(λa + μb) ≠ λf(a) + μf(b), verified; None where none was found.

    Tried are opposite and independent pairs of random inputs, from small to large. The three values are computed
    without rounding, or enclosed in intervals where exponentials are on the way or the program is large. Intervals
    around float64 numbers widen from layer to layer; where they end up too wide, balls of more bits are tried. Of a
    large program on images or sequences, first only what one place of the output depends on is evaluated.

    Raises:
        CannotEvaluate: an operation on the way has no formula.
    """

    def pairs(of: Tape) -> Iterator[Pair]:
        return _pairs(of, torch.Generator().manual_seed(seed))

    return _search(tape, constants, pairs, _MIXES)


def find_rare_counterexample(tape: Tape, constants: ExactConstants, seed: int = 0) -> Counterexample | None:
    """The same for functions that are affine almost everywhere, with more work: see `rare_pairs`.

    Raises:
        CannotEvaluate: an operation on the way has no formula.
    """
    return _search(tape, constants, lambda of: rare_pairs(of, constants, seed), _MIXES[:1])


def _search(
    tape: Tape,
    constants: ExactConstants,
    pairs: Callable[[Tape], Iterable[Pair]],
    mixes: Sequence[tuple[Fraction, Fraction]],
) -> Counterexample | None:
    """The first counterexample on a crop of a large program, where there is such a crop, or on all of it."""
    balls = needs_balls(tape)
    part = None if is_small(tape, balls) else crop(tape)
    if part is not None and count_work(part.tape) * _WORTH_CROPPING < count_work(tape):
        found = _first(part.tape, constants, pairs(part.tape), mixes, balls)
        if found is not None:
            index = part.index_in_whole(found.output_index)
            a, b = part.widened(found.a), part.widened(found.b)
            return replace(found, a=a, b=b, output_index=index, output=part.output)
    return _first(tape, constants, pairs(tape), mixes, balls)


def _first(
    tape: Tape,
    constants: ExactConstants,
    pairs: Iterable[Pair],
    mixes: Sequence[tuple[Fraction, Fraction]],
    balls: bool,
) -> Counterexample | None:
    """The first pair and weights that are one; where float64 enclosures were too wide, a few are tried in balls."""
    if is_small(tape, balls):
        arithmetic, most_wide = "balls" if balls else "exact", 0
    else:
        require_bearable(tape)
        arithmetic, most_wide = "enclosed", count_wide_tries(tape, min(_WIDE_BITS))
        mixes = mixes[:1]
    questions = (
        _Question(tape, constants, a, b, weights)
        for a, b in itertools.islice(pairs, count_tries(tape, balls))
        for weights in mixes
    )
    tried: list[tuple[float, _Question]] = []
    vague: Counterexample | None = None
    for question in questions:
        answer = question.answer(arithmetic)
        if answer.counterexample is not None:
            if answer.blur <= _VAGUE or arithmetic == "enclosed":
                return answer.counterexample
            vague = vague or answer.counterexample
        tried.append((answer.blur, question))
        if len(tried) >= _TRIES_BEFORE_HOPELESS and min(tried, key=itemgetter(0))[0] > _HOPELESS:
            break
    if not most_wide or not tried:
        return vague
    # In fixed point all numbers of an array share a unit: beside squares of large ones, small ones lose digits.
    tried = sorted(((blur * question.size**2, question) for blur, question in tried), key=itemgetter(0))
    width = tried[0][0] * 2.0**53  # of the intervals that a single bit would give: each further one halves them
    for bits, more_bits in itertools.zip_longest(_WIDE_BITS, _WIDE_BITS[1:]):
        can_pass_over = more_bits and count_wide_tries(tape, more_bits)
        expected = width * 2.0**-bits
        if expected > (_TOO_WIDE if can_pass_over else _HOPELESS):
            continue
        for _, question in tried[: count_wide_tries(tape, bits)]:
            with working_precision(bits):
                answer = question.answer("balls")
            if answer.counterexample is not None:
                return answer.counterexample
            if answer.blur > _SHARP and can_pass_over:
                width = answer.blur * 2.0**bits if math.isfinite(answer.blur) else width
                break
    return None


def _pairs(tape: Tape, generator: torch.Generator) -> Iterator[Pair]:
    """Opposite and independent pairs at several scales; of a large program, only independent ones."""

    def draw(scale: float) -> list[Tensor]:
        return [_draw(tensor, scale, generator) for tensor in tape.given]

    small = is_small(tape, needs_balls(tape))
    for scale in _SCALES if small else _SCALES_OF_LARGE:
        a = draw(scale)
        if small:
            yield a, [-tensor for tensor in a]
        yield a, draw(scale)


def _draw(like: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64, device="cpu") * scale
    # Few bits, so that the numbers print short and are exact in every dtype.
    return ((drawn / scale * 64).round() / 64 * scale).to(like.dtype).double()


class _Answer(NamedTuple):
    """What came of an evaluation.

    Attributes:
        counterexample: None where none was verified.
        blur: how wide the narrowest interval is, as a multiple of the largest number; 0 where that was not looked at.
            Of a counterexample, how wide its intervals are, as a multiple of the gap.
    """

    counterexample: Counterexample | None
    blur: float = 0.0


@dataclass(frozen=True, slots=True)
class _Question:
    """Is f(λa + μb) another number than λf(a) + μf(b)?"""

    tape: Tape
    constants: ExactConstants
    a: list[Tensor]
    b: list[Tensor]
    weights: tuple[Fraction, Fraction]

    def answer(self, arithmetic: str) -> _Answer:
        """The counterexample that a and b are, if it can be verified in this arithmetic."""
        try:
            return self._compare(arithmetic)
        except (InputError, NoValue):  # such as a number beyond the largest float on the way: of no use
            return _Answer(None)

    @property
    def size(self) -> float:
        """The largest number in a and b without its sign, 1 at least."""
        return max([1.0, *(float(x.abs().max()) for x in (*self.a, *self.b) if x.numel())])

    def _shown(self, point: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """An input as the module takes it: pairs of reals as complex numbers again."""
        pairs = self.tape.complex_inputs or (False,) * len(point)
        return tuple(as_complex(x) if is_pairs else x for x, is_pairs in zip(point, pairs, strict=True))

    def _compare(self, arithmetic: str) -> _Answer:
        first, second = self.weights
        points: list[ExactArray] = []
        for x, y in zip(self.a, self.b, strict=True):
            exact_x, exact_y = ExactArray.from_tensor(x), ExactArray.from_tensor(y)
            points.append(ExactArray.stack_points([exact_x, exact_y, exact_x * first + exact_y * second]))
        inputs: list[Numbers] = [_CONVERSIONS[arithmetic](one) for one in points]
        constants = self.constants.enclosed if arithmetic == "enclosed" else self.constants
        blur, growth = 0.0, _Growth()
        outputs = Replay(self.tape, constants=constants, masked=True).outputs(inputs, growth.watch)
        for place, output in enumerate(outputs):
            flat = output.flatten()
            if flat.points == 1:
                continue
            at_mix, mix_of = flat.at(2), flat.at(0) * first + flat.at(1) * second
            gap, width = _lower_gap(at_mix, mix_of), _width(at_mix) + _width(mix_of)
            clear = torch.where(width <= gap * _VAGUE, gap, 0.0)
            where = int((clear if bool(clear.any()) else gap).argmax())
            if float(gap[where]) > 0:
                found = Counterexample(
                    a=self._shown(self.a),
                    b=self._shown(self.b),
                    weights=self.weights,
                    output_index=where,
                    at_mix=float(at_mix.to_float64()[0, where]),
                    mix_of=float(mix_of.to_float64()[0, where]),
                    gap=float(gap[where]),
                    arithmetic=arithmetic,
                    output=place,
                )
                return _Answer(found, float(width[where]) / found.gap)
            if not isinstance(flat, ExactArray):
                blur = max(blur, min(_blur(flat), growth.blur()))
        return _Answer(None, blur)


_CONVERSIONS: dict[str, Callable[[ExactArray], Numbers]] = {
    "exact": lambda numbers: numbers,
    "balls": BallArray.from_exact,
    "enclosed": EnclosureArray.from_exact,
}


def _width(numbers: Numbers) -> Tensor:
    """How wide each interval is, at a single point."""
    if isinstance(numbers, ExactArray):
        return torch.zeros(numbers.shape, dtype=torch.float64, device="cpu")
    return (numbers.upper() - numbers.lower())[0]


def _blur(numbers: BallArray | EnclosureArray) -> float:
    """How wide the narrowest interval is that is not a single number, as a multiple of the largest number."""
    widths = numbers.upper() - numbers.lower()
    known = torch.from_numpy(numbers.is_finite())
    if not known.any():
        return math.inf
    narrowest = min(widths[known & (widths > 0)].tolist(), default=0.0)  # behind a ReLU some are 0 for certain
    return narrowest / max(float(numbers.to_float64()[known].abs().max()), 1e-300)


class _Growth:
    """Notes where on the way all float64 enclosures have become infinite.

    If they widen as fast throughout, so much later they would with so many more bits.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._known = 0

    def watch(self, numbers: Numbers) -> None:
        """One more result."""
        if self._known == self._steps and (not isinstance(numbers, EnclosureArray) or numbers.is_finite().any()):
            self._known += 1
        self._steps += 1

    def blur(self) -> float:
        """How wide the last ones would then be, beside numbers around 1; infinite where none are."""
        if self._known == self._steps:
            return math.inf
        return 2.0 ** min(1000, 53 * (self._steps / max(1, self._known) - 1))


def _lower_gap(at_mix: Numbers, mix_of: Numbers) -> Tensor:
    """A lower bound of the distance, entry by entry."""
    distance = abs(at_mix - mix_of)
    if isinstance(distance, (BallArray, EnclosureArray)):
        return distance.lower()[0]
    nearest = distance.to_float64()[0]
    return torch.nextafter(nearest, torch.zeros_like(nearest))
