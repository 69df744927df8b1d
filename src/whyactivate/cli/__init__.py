"""The command line: `whyactivate` and its commands. No mathematics here."""

from __future__ import annotations

from whyactivate.cli.app import app, main

__all__ = ["app", "main"]
