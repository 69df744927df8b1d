"""Every activation, defined once: as PyTorch code, as a formula, as a derivative, and as facts."""

from __future__ import annotations

from whyactivate.activations.activation import Activation, Range
from whyactivate.activations.lookup import get_activation
from whyactivate.activations.table import ACTIVATIONS

__all__ = ["ACTIVATIONS", "Activation", "Range", "get_activation"]
