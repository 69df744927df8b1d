"""Piecewise affine functions of one number, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flint import fmpq

_ZERO = fmpq(0)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The function t ↦ offset + slope·t + Σ change·max(t - threshold, 0).

    Attributes:
        offset: of the leftmost piece.
        slope: of the leftmost piece.
        kinks: by how much the slope changes at each threshold.
    """

    offset: fmpq
    slope: fmpq
    kinks: Mapping[fmpq, fmpq]

    def positive_part(self) -> Pieces:
        """The maximum of the function and 0."""
        offset = slope = last = _ZERO
        changes: dict[fmpq, fmpq] = {}
        for start, a, b in self._split_at_zeros():
            if start is None:
                offset, slope = a, b
            elif b != last:
                changes[start] = b - last
            last = b
        return Pieces(offset, slope, changes)

    def range(self) -> tuple[fmpq | None, fmpq | None]:
        """Its least and its greatest value; None where it is unbounded on that side."""
        corners: list[fmpq] = []
        slopes: list[fmpq] = []
        for start, a, b in self._affine_pieces():
            slopes.append(b)
            if start is not None:
                corners.append(a + b * start)
        first, last = slopes[0], slopes[-1]
        corners = corners or [self.offset]
        return (
            None if first > 0 or last < 0 else min(corners),
            None if first < 0 or last > 0 else max(corners),
        )

    def _affine_pieces(self) -> Iterator[tuple[fmpq | None, fmpq, fmpq]]:
        """`(start, a, b)` of each piece a + b·t, from left to right; the first starts nowhere."""
        a, b = self.offset, self.slope
        yield None, a, b
        for threshold in sorted(self.kinks):
            change = self.kinks[threshold]
            a, b = a - change * threshold, b + change
            yield threshold, a, b

    def _split_at_zeros(self) -> Iterator[tuple[fmpq | None, fmpq, fmpq]]:
        """The pieces of the positive part."""
        pieces = list(self._affine_pieces())
        ends = [*(start for start, _, _ in pieces[1:]), None]
        for (start, a, b), end in zip(pieces, ends, strict=True):
            zero = -a / b if b != 0 else None
            inside = zero is not None and (start is None or zero > start) and (end is None or zero < end)
            cuts = [start, zero] if inside else [start]
            for low, high in zip(cuts, [*cuts[1:], end], strict=True):
                positive = a + b * _between(low, high) > 0
                yield low, (a if positive else _ZERO), (b if positive else _ZERO)


def _between(low: fmpq | None, high: fmpq | None) -> fmpq:
    if low is None:
        return _ZERO if high is None else high - 1
    return low + 1 if high is None else (low + high) / 2
