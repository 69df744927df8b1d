"""The linear floor: the smallest loss that affine models can come to on a data set."""

from __future__ import annotations

from whyactivate.floor.floor import Floor, linear_floor

__all__ = ["Floor", "linear_floor"]
