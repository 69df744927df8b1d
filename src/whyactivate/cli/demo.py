"""`whyactivate demo`: the whole answer, on the screen and in a folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.cli import numbers
from whyactivate.cli.console import AsJson, progress_bar, say, show_table, stdout, write_json
from whyactivate.cli.exits import FAILED, INTERRUPTED, complain, stop
from whyactivate.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from whyactivate.demo import DemoResult, Part
    from whyactivate.plots import Drawing


def demo(
    seed: Annotated[int, typer.Option(callback=numbers.seed, help="Fixes data, weights and order.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figures and the report.")] = Path("whyactivate-demo"),
    as_json: AsJson = False,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No figures, only the report's words.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer activations and epochs.")] = False,
) -> None:
    """Take the activations away and see: train, collapse, prove, refute, on noise and on real data.

    Ends with exit code 0 only if every check in it held; names those that did not.
    """
    make_folder(out)
    written: list[Path] = []
    try:
        result = _run(seed, out, written, quiet=as_json, plots=not no_plots, quick=quick)
    except KeyboardInterrupt:
        files = f"written so far: {', '.join(map(str, written))}" if written else "nothing was written"
        stop(complain(f"interrupted; {files}", INTERRUPTED))
    if as_json:
        write_json({**result.to_dict(), "files": [str(path) for path in written]})
    if not result.holds:
        stop(FAILED)


def make_folder(path: Path) -> None:
    """Makes the folder, and makes sure that files can be written into it.

    Raises:
        InputError: they cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else (error.strerror or str(error)).lower()
        raise InputError(f"cannot write into --out {path}: {reason}; name a folder that can be written to") from error


def _run(seed: int, out: Path, written: list[Path], *, quiet: bool, plots: bool, quick: bool) -> DemoResult:
    """Runs the parts; each is shown and drawn as soon as it is there."""
    parts: list[Part] = []
    figures: list[Drawing] = []
    console = stdout()
    with progress_bar("loading PyTorch") as progress:
        from whyactivate import __version__
        from whyactivate.demo import demo_parts, join_parts
        from whyactivate.plots import draw_part
        from whyactivate.report import write_report

        note = f"whyactivate {__version__}, seed {seed}{', quick' if quick else ''}"
        if not quiet:
            with progress.paused():
                say(console, note, style="bold")
        for position, part in enumerate(demo_parts(seed, quick=quick, progress=progress), 1):
            parts.append(part)
            if not quiet:
                with progress.paused():
                    _show(console, position, part)
            progress("drawing" if plots else "on to the next part")
            figure = draw_part(part, note) if plots else None
            if figure is not None:
                figures.append(figure)
                written += figure.save(out)
        result = join_parts(tuple(parts), seed, quick=quick)
        written.append(write_report(result, out / "report.html", figures))
    if not quiet:
        _show_end(console, result, written)
    return result


def _show(console: Console, position: int, part: Part) -> None:
    from whyactivate.demo import CollapsePart
    from whyactivate.demo.story import heading, paragraphs, table_of
    from whyactivate.demo.words import say_proof

    console.print()
    say(console, f"{position}. {heading(part)}", style="bold")
    proofs = part.proofs if isinstance(part, CollapsePart) else ()
    if isinstance(part, CollapsePart):
        say(console, str(part.collapse), indent=2)
    table = table_of(part)
    if table is not None:
        show_table(console, table.caption, table.columns, table.rows)
    for paragraph in paragraphs(part):
        say(console, paragraph, indent=2)
    for proof in proofs:
        say(console, say_proof(proof), style="" if proof.holds else "bold red", indent=2)


def _show_end(console: Console, result: DemoResult, written: list[Path]) -> None:
    from whyactivate.demo.words import say_verdict

    console.print()
    say(console, say_verdict(result.checks), style="bold green" if result.holds else "bold red")
    for check in result.checks:
        if not check.holds:
            say(console, str(check), style="red", indent=2)
    say(console, "Written: " + ", ".join(str(path) for path in written))
