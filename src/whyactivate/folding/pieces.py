"""The pieces that a plan is made of: a tensor as a sum of maps of others, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

from whyactivate.affine.tape import Geometry
from whyactivate.folding.composing import add, plain
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import CannotFold, Dense, Diagonal, Kernel, Map, Placed, Scale, Shift
from whyactivate.folding.program import Key, feature_key, others_joined
from whyactivate.folding.spreading import axes_of, spread

Price = tuple[float, int]
"""Multiply-adds per row, and kernels."""


@dataclass(frozen=True)
class Term:
    """A map of one tensor, seen through one view; `axis` is where the features lie in that view."""

    key: Key
    geometry: Geometry
    map: Map
    axis: int | None = None


def copying(term: Term, cells: float, *, shifted: bool) -> Price:
    """What nn.Linear costs more on a tensor of several axes that is not in order in memory.

    PyTorch copies that, unless all axes but the last are one in memory, and adds the bias apart.
    """
    given, last = term.geometry, len(term.geometry.size) - 1
    if not isinstance(term.map, Dense) or term.axis != last or last < 2 or given.is_contiguous:
        return 0.0, 0
    copies = int(len(others_joined(given, last)) > 1)
    return (cells, copies + 1) if shifted else (0.0, copies)


@dataclass(frozen=True)
class Piece:
    """One way to compute a tensor: the sum of the terms, plus a shift along `axis`; takes the place of `nodes`.

    `behind` holds the prices of the tensors that must be computed before, each once.
    """

    key: Key
    geometry: Geometry
    terms: tuple[Term, ...]
    shift: Shift
    axis: int | None
    nodes: frozenset[int]
    price: Price
    behind: Mapping[Key, Price] = field(default_factory=dict[Key, Price], compare=False, repr=False)

    @cached_property
    def total(self) -> Price:
        """What it costs, with all that must be computed before."""
        return summed([self.price, *self.behind.values()])


def seen_flat(piece: Piece, view: Geometry, axis: int) -> Piece:
    """The piece seen through a view that has its features and the axes behind them as one axis.

    Raises:
        CannotFold: the view is another, or the piece does more than to scale and to shift.
    """
    axes, own = axes_of(piece.geometry, view, axis), piece.axis
    simple = all(isinstance(term.map, (Scale, Diagonal)) for term in piece.terms)
    if axes is None or own is None or own not in axes or not simple:
        raise CannotFold("the features are rearranged in between")
    layout = (piece.geometry.size, piece.geometry.stride)
    if any((term.geometry.size, term.geometry.stride) != layout for term in piece.terms):
        raise CannotFold("the numbers are rearranged in between")
    sizes, place = [piece.geometry.size[i] for i in axes], axes.index(own)
    terms = tuple(
        Term(term.key, replace(view, offset=term.geometry.offset), spread_map(term.map, sizes, place), axis)
        for term in piece.terms
    )
    shift = spread(piece.shift, sizes, place) if isinstance(piece.shift, Lazy) else piece.shift
    return replace(piece, geometry=view, terms=terms, shift=shift, axis=axis)


def spread_map(map: Map, sizes: Sequence[int], place: int) -> Map:
    """A map of features along one of some axes, as one along all of them in a row."""
    return Diagonal(prod(sizes), spread(map.entries, sizes, place)) if isinstance(map, Diagonal) else map


def merged(terms: Sequence[Term], axes: int) -> list[Term]:
    """The terms, those of one tensor as one; `axes` counts the axes after that of the features."""
    found: dict[object, Term] = {}
    for own in terms:
        key = (own.key, own.geometry if own.axis is None else feature_key(own.geometry, own.axis))
        if key in found:
            first = found[key]
            spatial = first if isinstance(plain(first.map), Kernel) else own
            found[key] = replace(spatial, map=add(first.map, own.map, axes))
        else:
            found[key] = own
    terms = [*found.values()]
    return terms if are_side_by_side(terms) else [replace(term, map=plain(term.map)) for term in terms]


def are_side_by_side(terms: Sequence[Term]) -> bool:
    """Whether each term gives a part of the features, and they together give all of them, each once."""
    places = sorted((t.map.placement for t in terms if isinstance(t.map, Placed)), key=lambda place: place.start)
    if len(places) < max(len(terms), 2):
        return False
    ends = [place.start + place.into for place in places]
    return [place.start for place in places] == [0, *ends[:-1]] and ends[-1] == places[-1].out


def in_its_place(term: Term) -> Term:
    """The term as what it gives by itself."""
    return replace(term, map=term.map.map) if isinstance(term.map, Placed) else term


def summed(prices: Iterable[Price]) -> Price:
    """What several things cost together."""
    work, kernels = 0.0, 0
    for price in prices:
        work, kernels = work + price[0], kernels + price[1]
    return work, kernels
