"""Linear regions: where a piecewise affine network is one affine map, and which one; in exact arithmetic."""

from __future__ import annotations

from whyactivate.lessons.regions.bounds import folded_pieces, most_pieces_of_layers, most_pieces_of_lines
from whyactivate.lessons.regions.local_map import LocalMap, affine_map_at
from whyactivate.lessons.regions.partition import Cell, Regions, regions_along, regions_in

__all__ = [
    "Cell",
    "LocalMap",
    "Regions",
    "affine_map_at",
    "folded_pieces",
    "most_pieces_of_layers",
    "most_pieces_of_lines",
    "regions_along",
    "regions_in",
]
