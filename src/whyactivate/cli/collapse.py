"""`whyactivate collapse`: the layers of a saved network, or the affine runs of any module, as one layer each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.cli.console import AsJson, progress_bar, say, stdout, write_json
from whyactivate.cli.exits import FAILED, code_of, stop
from whyactivate.cli.fold import fold
from whyactivate.cli.targets import INPUT_HELP, TARGET_HELP, is_target
from whyactivate.cli.train import check_writable
from whyactivate.errors import CannotCollapseError, InputError, UnknownNameError

if TYPE_CHECKING:
    from whyactivate.affine.analysis import Analysis
    from whyactivate.collapse import Collapse
    from whyactivate.proof import Proof
    from whyactivate.weights import SavedNetwork

PROOFS = ("theorem", "symbolic", "exact", "numeric")


def collapse(
    target: Annotated[
        str, typer.Argument(help=f"A file of an MLP's weights (safetensors, or a PyTorch state dict); or {TARGET_HELP}")
    ],
    shapes: Annotated[list[str] | None, typer.Option("--input", help=INPUT_HELP)] = None,
    activation: Annotated[
        str | None, typer.Option(help="What stands between the layers, where the file does not say.")
    ] = None,
    prove: Annotated[
        list[str] | None, typer.Option(help=f"Proof to carry out (repeatable): {', '.join(PROOFS)}, all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the folded weights here (safetensors).")] = None,
    as_json: AsJson = False,
) -> None:
    """Multiply layers out: a saved network to one layer, or each affine run of a module to one that costs less.

    A file of weights is multiplied out if it is affine, and shown not to be if it is not: exit code 1 means that it
    is not or that a proof did not hold, 3 that neither is proved. A target package.module:factory is code, and this
    command runs it.
    """
    kinds = read_kinds(prove or [])
    if out is not None:
        check_writable(out)
    if is_target(target):
        if kinds or activation is not None:
            raise InputError("--prove and --activation are for a file of weights; in Python, collapse_linear proves")
        fold(target, shapes or [], out, as_json=as_json)
        return
    if shapes:
        raise InputError(f"--input is for a module (package.module:factory or .pt2); {target} is a file of weights")
    weights = Path(target)
    with progress_bar("loading PyTorch") as progress:
        from whyactivate.collapse import collapse_linear
        from whyactivate.weights import load_weights, save_layer

        saved = load_weights(weights, activation)
        progress("multiplying out", 0, 1)
        try:
            collapsed = collapse_linear(saved.model)
        except CannotCollapseError as error:
            with progress.paused():
                _refuse(weights, saved, error.analysis, as_json=as_json)
            stop(code_of(error))
        proofs: list[Proof] = []
        for kind in kinds:
            progress(f"proving: {kind}", len(proofs), len(kinds))
            proofs.append(collapsed.prove(kind))  # type: ignore[arg-type]
        if out is not None:
            save_layer(collapsed.layer, out)
    if as_json:
        write_json(_to_dict(weights, saved, collapsed, proofs, out))
    else:
        _show(weights, saved, collapsed, proofs, out)
    if not all(proof.holds for proof in proofs):
        stop(FAILED)


def read_kinds(wanted: list[str]) -> tuple[str, ...]:
    """The kinds of proof asked for, each once and in order.

    Raises:
        UnknownNameError: there is no such kind.
    """
    asked = [part.strip().lower() for entry in wanted for part in entry.split(",")]
    for kind in asked:
        if kind not in (*PROOFS, "all"):
            raise UnknownNameError("kind of proof", kind, (*PROOFS, "all"))
    return tuple(kind for kind in PROOFS if kind in asked or "all" in asked)


def _origin(weights: Path, saved: SavedNetwork) -> str:
    says = "the file says so" if saved.recorded else "you say so" if len(saved.names) > 1 else "a single layer"
    what = "no activation" if saved.activation == "identity" else saved.activation
    chain = " → ".join(map(str, saved.model.widths))
    return f"{weights}: {chain}, {what} between the layers ({says})"


def _refuse(weights: Path, saved: SavedNetwork, analysis: Analysis, *, as_json: bool) -> None:
    if as_json:
        from whyactivate.demo.results import counterexample_to_dict

        write_json({
            "file": str(weights), "activation": saved.activation, "recorded": saved.recorded,
            "layers": list(saved.model.widths), "verdict": str(analysis.verdict),
            "counterexample": counterexample_to_dict(analysis.counterexample),
            "blame": [str(blame) for blame in analysis.blame],
        })  # fmt: skip
        return
    console = stdout()
    say(console, _origin(weights, saved), style="bold")
    say(console, str(analysis))


def _to_dict(
    weights: Path, saved: SavedNetwork, collapsed: Collapse, proofs: list[Proof], out: Path | None
) -> dict[str, object]:
    return {
        "file": str(weights),
        "activation": saved.activation,
        "recorded": saved.recorded,
        "layers": list(saved.model.widths),
        "verdict": str(collapsed.analysis.verdict),
        "parameters_before": collapsed.parameters_before,
        "parameters_after": collapsed.parameters_after,
        "weight": collapsed.weight.tolist(),
        "bias": collapsed.bias.tolist(),
        "proofs": [proof.to_dict() for proof in proofs],
        "saved": None if out is None else str(out),
    }


def _show(weights: Path, saved: SavedNetwork, collapsed: Collapse, proofs: list[Proof], out: Path | None) -> None:
    from whyactivate.demo.words import say_proof

    console = stdout()
    say(console, _origin(weights, saved), style="bold")
    say(console, str(collapsed))
    for proof in proofs:
        say(console, say_proof(proof), style="" if proof.holds else "bold red")
    if out is not None:
        say(console, f"The one layer: {out}")
