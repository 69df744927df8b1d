"""How many pieces there can be at most."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, prod


def most_pieces_of_lines(cuts: int, dimensions: int) -> int:
    """The most parts into which hyperplanes cut a space: Σ C(cuts, i) for i ≤ dimensions (Zaslavsky 1975)."""
    return sum(comb(cuts, i) for i in range(dimensions + 1))


def most_pieces_of_layers(cuts: Sequence[int], dimensions: int) -> int:
    """The product over the layers of what Zaslavsky allows each: an upper bound for a network (Montúfar 2017).

    Args:
        cuts: per layer, units times kinks of the activation.
        dimensions: of the space of inputs, or of the slice of it.
    """
    return prod(most_pieces_of_lines(count, dimensions) for count in cuts)


def folded_pieces(width: int, depth: int) -> int:
    """The pieces that layers of ReLU units reach on a line by folding it: widthᵈᵉᵖᵗʰ (Montúfar et al. 2014)."""
    return width**depth
