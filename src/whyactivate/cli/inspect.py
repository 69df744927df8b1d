"""`whyactivate inspect`: which layers of a module are really one, and what keeps the others apart."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.cli.console import AsJson, progress_bar, say, stdout, write_json
from whyactivate.cli.exits import FAILED, UNDECIDED, stop
from whyactivate.cli.targets import INPUT_HELP, TARGET_HELP, load_target, read_inputs, their_code

if TYPE_CHECKING:
    from whyactivate.inspection import Inspection


def inspect(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)],
    shapes: Annotated[list[str] | None, typer.Option("--input", help=INPUT_HELP)] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Layers that are meant to be one, as a pattern: encoder.*.lora_* (repeatable)."),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Keep the mode the module comes in; default: eval.")] = False,
    as_json: AsJson = False,
) -> None:
    """Did I forget an activation? The depth of a module, what is really one layer, and what folding would save.

    A target package.module:factory is code, and this command runs it.

    Exit code 0: no two layers are one. 1: some are, and no --allow covers them. 3: it cannot be told.
    """
    with progress_bar("loading PyTorch") as progress:
        from whyactivate.collapse import infer_input
        from whyactivate.inspection import inspect_module

        found = load_target(target, train=train)
        example = read_inputs(shapes) if shapes else found.inputs
        progress("running the module")
        with their_code(guessed=example is None):
            inspection = inspect_module(found.module, infer_input(found.module) if example is None else example)
    chains = inspection.depth.chains
    forgotten = [chain for chain in chains if not _allowed(chain, allow or [])]
    if as_json:
        write_json({"target": target, **inspection.to_dict(), "not_allowed": [list(chain) for chain in forgotten]})
    else:
        _show(target, inspection, forgotten)
        for pattern in allow or []:
            if not any(fnmatch.filter(chain, pattern) for chain in chains):
                say(stdout(), f"--allow {pattern}: no layer of that name is one with another")
    if not inspection.complete:
        stop(UNDECIDED)
    if forgotten:
        stop(FAILED)


def _allowed(chain: tuple[str, ...], patterns: list[str]) -> bool:
    """Whether all of a chain but one layer is meant to have no activation of its own."""
    plain = [layer for layer in chain if not any(fnmatch.fnmatchcase(layer, pattern) for pattern in patterns)]
    return len(plain) <= 1


def _show(target: str, inspection: Inspection, forgotten: list[tuple[str, ...]]) -> None:
    console = stdout()
    say(console, target, style="bold")
    say(console, str(inspection))
    for chain in forgotten:
        say(
            console,
            f"{' and '.join(chain)}: no activation between them; forgotten? If it is meant so: --allow {chain[-1]}",
            style="bold",
        )
