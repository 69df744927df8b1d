"""Stacked: many perceptrons of one shape as one computation, with the backward pass by hand.

`train` uses it for one network and `compare` for many, so that both do the same arithmetic.
"""

from __future__ import annotations
