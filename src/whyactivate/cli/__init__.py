"""The command line: `whyactivate demo`, `train`, `collapse` and `activations`. No mathematics here."""

from __future__ import annotations

from whyactivate.cli.app import app, main

__all__ = ["app", "main"]
