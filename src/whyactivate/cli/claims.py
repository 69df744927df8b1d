"""`whyactivate claims`: the article's statements, each held against an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.cli.console import AsJson, progress_bar, say, show_table, stdout, write_json
from whyactivate.cli.demo import make_folder
from whyactivate.cli.exits import FAILED, stop

if TYPE_CHECKING:
    from rich.console import Console

    from whyactivate.claims import Claim, Evidence


def claims(
    number: Annotated[
        int | None, typer.Argument(help="One claim in full, with its figure; all where left out.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figure of one claim.")] = Path("whyactivate-claims"),
    as_json: AsJson = False,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No figure.")] = False,
) -> None:
    """Hold the article that this grew out of against experiments and proofs, statement by statement.

    Exit code 1 if a check disagrees with its verdict.
    """
    with progress_bar("loading PyTorch") as progress:
        from whyactivate.claims import check_claims, find_claim

        chosen = None if number is None else [find_claim(number).id]
        checked = list(check_claims(chosen, progress))
        files: list[Path] = []
        if number is not None and not no_plots and checked[0][1].lesson is not None:
            progress("drawing")
            files += _draw(*checked[0], out)
    if as_json:
        write_json(
            {
                "claims": [{**claim.to_dict(), "evidence": evidence.to_dict()} for claim, evidence in checked],
                "files": [str(path) for path in files],
            }
        )
    elif number is not None:
        _show_one(stdout(), *checked[0], files)
    else:
        _show_all(stdout(), checked)
    if any(evidence.agrees is False for _, evidence in checked):
        stop(FAILED)


def _draw(claim: Claim, evidence: Evidence, out: Path) -> tuple[Path, Path]:
    from whyactivate.plots import save_figure

    make_folder(out)
    return save_figure(evidence.plot(), out, f"claim-{claim.id:02d}")


def _check_words(evidence: Evidence) -> str:
    return {True: "agrees", False: "DISAGREES", None: "cited, nothing run"}[evidence.agrees]


def _show_all(console: Console, checked: list[tuple[Claim, Evidence]]) -> None:
    room = max(24, min(90, console.width - len("imprecise cited, nothing run seconds") - 6))
    rows = [
        (
            _short(f"{claim.id}. {claim.statement}", room),
            str(claim.verdict),
            _check_words(evidence),
            f"{evidence.seconds:.1f}",
        )
        for claim, evidence in checked
    ]
    show_table(console, "The article's statements", ("statement", "as stated", "check", "seconds"), rows)
    for claim, evidence in checked:
        for point in evidence.points:
            if not point.holds:
                say(console, f"{claim.id}. does not hold: {point.words}", style="red", indent=2)
    ran = [evidence for _, evidence in checked if evidence.ran]
    agree = sum(evidence.agrees is True for evidence in ran)
    say(
        console,
        f"{agree} of {len(ran)} checks agree with their verdicts. Resting on sources, with nothing run: "
        f"{len(checked) - len(ran)}. `whyactivate claims 13` tells one in full.",
        style="bold green" if agree == len(ran) else "bold red",
    )


def _short(statement: str, length: int) -> str:
    statement = statement.rstrip(".")
    return statement if len(statement) <= length else statement[: length - 1].rsplit(" ", 1)[0] + " …"


def _show_one(console: Console, claim: Claim, evidence: Evidence, files: list[Path]) -> None:
    first, *rest = claim.lines
    say(console, first, style="bold")
    for line in rest:
        say(console, line, indent=2)
    console.print()
    say(console, evidence.found, indent=2)
    for point in evidence.points:
        mark, style = ("holds", "") if point.holds else ("does NOT hold", "bold red")
        say(console, f"{mark}: {point.words}", style=style, indent=2)
    if evidence.note:
        say(console, f"note: {evidence.note}", indent=2)
    say(
        console,
        f"Check: {_check_words(evidence)}",
        style="bold green" if evidence.agrees else "bold" if evidence.agrees is None else "bold red",
    )
    if files:
        say(console, "Written: " + ", ".join(str(path) for path in files))
    elif not evidence.ran:
        say(console, "No figure: where nothing was measured there is nothing to draw.")
