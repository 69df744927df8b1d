"""`python -m whyactivate`: the command line, where the console script is not on the path."""

from __future__ import annotations

from whyactivate.cli import main

main()
