"""`whyactivate prove`: that an architecture without activations is one affine layer, whatever its weights."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.cli import numbers
from whyactivate.cli.collapse import read_kinds
from whyactivate.cli.console import AsJson, progress_bar, say, stdout, write_json
from whyactivate.cli.exits import FAILED, stop
from whyactivate.errors import CannotProveError, InputError

if TYPE_CHECKING:
    from whyactivate.proof import Proof

_OF_WEIGHTS = ("exact", "numeric")


def prove(
    widths: Annotated[str, typer.Argument(help="Widths from input to output, as in 10,18,18,4,1.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(help="theorem (any depth and width), symbolic (any weights), exact, numeric or all (repeatable)."),
    ] = None,
    bias: Annotated[bool, typer.Option(help="Whether the layers have a bias.")] = True,
    seed: Annotated[
        int, typer.Option(callback=numbers.seed, help="Draws the weights that an exact or numeric proof is about.")
    ] = 0,
    as_latex: Annotated[bool, typer.Option("--latex", help="The derivation as LaTeX, nothing else on stdout.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that a network of these widths without activations is one affine layer.

    Without --kind the proof is symbolic: it holds for every weight. Exit code 1 means that a proof did not hold, 3 that
    one cannot be carried out at this size; the message has an estimate.
    """
    layers = read_widths(widths)
    kinds = read_kinds(kind or ["symbolic"])
    if as_latex and as_json:
        raise InputError("--latex and --json exclude each other; choose one")
    with progress_bar("proving") as progress:
        proofs: list[Proof] = []
        for number, wanted in enumerate(kinds):
            progress(f"proving: {wanted}", number, len(kinds))
            proofs.append(_prove(wanted, layers, bias, seed))
    if as_latex:
        for proof in proofs:
            typer.echo(f"% {proof.kind} proof: {proof.verdict}\n{proof.latex()}", nl=False)
    elif as_json:
        write_json({
            "layers": list(layers), "bias": bias, "seed": seed if {*kinds} & {*_OF_WEIGHTS} else None,
            "proofs": [{**proof.to_dict(), "latex": proof.latex()} for proof in proofs],
        })  # fmt: skip
    else:
        console = stdout()
        for proof in proofs:
            say(console, str(proof), style="" if proof.holds else "bold red")
    if not all(proof.holds for proof in proofs):
        stop(FAILED)


def read_widths(text: str) -> tuple[int, ...]:
    """The widths in `10,18,18,4,1`.

    Raises:
        InputError: these are not two or more positive integers.
    """
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = ()
    if len(widths) < 2 or min(widths) < 1:
        raise InputError(f"expected at least two positive widths with commas between them, as in 10,4,1; got {text!r}")
    return widths


def _prove(kind: str, widths: tuple[int, ...], bias: bool, seed: int) -> Proof:
    if kind == "theorem":
        from whyactivate.proof import prove_theorem

        return prove_theorem()
    if kind == "symbolic":
        from whyactivate.proof import prove_symbolic

        return prove_symbolic(widths, [bias] * (len(widths) - 1))
    from whyactivate.affine.multiply import TooLargeError, require_room_for
    from whyactivate.collapse import collapse_linear
    from whyactivate.models import MLP

    try:
        require_room_for(sum(math.prod(layer) for layer in pairwise(widths)))  # before the weights are even drawn
    except TooLargeError as error:
        raise CannotProveError(f"{error}. The theorem covers every architecture.") from error
    return collapse_linear(MLP(widths, activation=None, bias=bias, seed=seed)).prove(kind)  # type: ignore[arg-type]
