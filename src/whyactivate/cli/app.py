"""The commands by name. Nothing slow is imported before a command runs."""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from whyactivate import __version__
from whyactivate.cli.ablate import ablate
from whyactivate.cli.activations import activations
from whyactivate.cli.claims import claims
from whyactivate.cli.collapse import collapse
from whyactivate.cli.compare import compare
from whyactivate.cli.demo import demo
from whyactivate.cli.exercise import exercise
from whyactivate.cli.exits import INTERRUPTED, OneLineGroup, PlainCommand, complain
from whyactivate.cli.inspect import inspect
from whyactivate.cli.prove import prove
from whyactivate.cli.train import train
from whyactivate.cli.verify import verify

app = typer.Typer(
    name="whyactivate",
    cls=OneLineGroup,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 fine; 1 a check did not hold, or there is something to fold; 2 bad input; 3 undecided; "
        "70 our own fault; 130 interrupted."
    ),
)


def _unwrap(text: str) -> str:
    """One line per paragraph: where the lines end is for the terminal to say."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


for command in (demo, train, compare, inspect, ablate, collapse, prove, verify, claims, exercise, activations):
    app.command(cls=PlainCommand, help=_unwrap(command.__doc__ or ""))(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"whyactivate {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def whyactivate(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Why do neural networks need activation functions? Train with and without, collapse, prove, show."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """What the console script runs."""
    gc.set_threshold(50_000, 20, 20)  # while so much is imported, looking for garbage costs more than keeping it
    try:
        app(prog_name="whyactivate")
    except KeyboardInterrupt:  # before a command runs: what an app catches, it catches while it runs one
        sys.exit(complain("interrupted", INTERRUPTED))
