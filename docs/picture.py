"""Draws the picture of README.md from the demo's own result: `make picture`."""

from __future__ import annotations

from pathlib import Path

from whyactivate.demo import ClassesPart
from whyactivate.demo.run import demo_parts
from whyactivate.plots import draw_part


def main() -> None:
    """Writes docs/picture.png, and prints what it shows."""
    for part in demo_parts(seed=0):
        if isinstance(part, ClassesPart) and part.maps:
            drawing = draw_part(part)
            assert drawing is not None
            path = Path(__file__).with_suffix(".png")
            drawing.figure.savefig(path, dpi=120, metadata={"Software": None})
            print(f"{path} ({path.stat().st_size // 1000} kB). What it shows, for README.md:\n{drawing.alt}")


if __name__ == "__main__":
    main()
