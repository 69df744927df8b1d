"""How much work it is to evaluate a program, and when exact arithmetic would take too long."""

from __future__ import annotations

from whyactivate.affine.evaluating.lifetimes import count_at_once
from whyactivate.affine.rules import CannotEvaluate, find_rule
from whyactivate.affine.tape import Tape

_MOST_EXACT = 1_000_000
_MOST_IN_BALLS = 50_000
"""Work, as `count_work` counts it, that takes about a tenth of a second in the arithmetic that is meant."""
_MOST_SEARCHED = 200_000_000
"""The same for a search in float64 enclosures: some seconds."""
_FEWEST_SEARCHED = 2
"""How many pairs of inputs are tried there at least, however large the program."""
_MOST_IN_WIDE_BALLS = 60_000_000_000
"""The same for a search in balls of several hundred bits, in fixed point: about three minutes."""
_WORK_PER_BALL = 1_000
"""What it takes to make a ball from the digits of a product and to turn it into digits again, in the same unit."""
_WORK_PER_FUNCTION = 10_000
"""What it takes to find a ball of an exponential, or of what is made with one."""
_MOST_TRIES_IN_WIDE_BALLS = 6
_MOST_EVALUATED = 40_000_000_000
"""The same for one evaluation in float64 enclosures: about a minute."""
_MOST_NUMBERS = 100_000_000
"""How many numbers an evaluation may hold at one time, in some gigabytes."""


def count_work(tape: Tape) -> int:
    """About how many numbers are added or multiplied on the way to the outputs."""
    work = 0
    for node in tape.needed():
        rule = find_rule(node.op)
        terms = rule.count_terms(node.arguments) if rule else 1
        work += terms * sum(output.geometry.numel for output in node.outputs if output is not None)
    return work


def require_bearable(tape: Tape) -> None:
    """Make sure that one evaluation of a program in float64 enclosures ends within minutes and some gigabytes.

    Raises:
        CannotEvaluate: it would take longer, or more.
    """
    for count, most, what in (
        (count_work(tape), _MOST_EVALUATED, "additions and multiplications"),
        (count_at_once(tape), _MOST_NUMBERS, "numbers held at once"),
    ):
        if count > most:
            rows = tape.inputs[0].geometry.size[0] if tape.inputs and tape.inputs[0].geometry.size else 0
            raise CannotEvaluate(
                f"the program for {rows} row(s) is too large: about {count:.2g} {what}, and {most:.2g} are tried"
            )


def count_wide_tries(tape: Tape, bits: int) -> int:
    """How many pairs of inputs a search may try in balls of so many bits, after float64 enclosures were too wide."""
    work = count_work(tape)
    for node in tape.needed():
        rule = find_rule(node.op)
        smooth = rule is not None and rule.needs_enclosures(node.arguments)
        numbers = sum(output.geometry.numel for output in node.outputs if output is not None)
        work += (_WORK_PER_FUNCTION if smooth else _WORK_PER_BALL) * numbers
    return min(_MOST_TRIES_IN_WIDE_BALLS, _MOST_IN_WIDE_BALLS // max(1, work * bits // 256))


def is_small(tape: Tape, balls: bool) -> bool:
    """True where exact arithmetic, or that of balls, is fast enough; float64 enclosures must do elsewhere."""
    return count_work(tape) <= (_MOST_IN_BALLS if balls else _MOST_EXACT)


def count_tries(tape: Tape, balls: bool) -> int | None:
    """How many pairs of inputs a search may try; None where no limit is needed."""
    return None if is_small(tape, balls) else max(_FEWEST_SEARCHED, _MOST_SEARCHED // count_work(tape))
