"""`whyactivate collapse package.module:factory`: each affine run that pays becomes one layer; the weights, a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whyactivate.cli.console import progress_bar, say, stdout, write_json
from whyactivate.cli.targets import load_target, read_inputs, their_code
from whyactivate.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from whyactivate.folding import Plan


def fold(target: str, shapes: list[str], out: Path | None, *, as_json: bool) -> None:
    """Folds a module and writes the weights of the folded copy.

    Raises:
        InputError: the target or its input cannot be used, or the file cannot be written.
    """
    with progress_bar("loading PyTorch") as progress:
        from whyactivate.collapse import infer_input
        from whyactivate.folding import fold_runs
        from whyactivate.models import parameter_count

        found = load_target(target)
        example = read_inputs(shapes) if shapes else found.inputs
        progress("looking for affine runs, folding, comparing")
        with their_code(guessed=example is None):
            plan, slim = fold_runs(found.module, infer_input(found.module) if example is None else example)
        if out is not None:
            _save(slim, out)
    before, after = parameter_count(found.module), parameter_count(slim)
    if as_json:
        write_json({
            "target": target,
            "parameters_before": before,
            "parameters_after": after,
            "plan": plan.to_dict(),
            "saved": None if out is None else str(out),
        })  # fmt: skip
    else:
        _show(target, plan, before, after, out)


def _save(module: nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    try:
        save_file(weights, path, metadata={"format": "whyactivate-folded/1"})
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write {path}: {str(error).splitlines()[0]}") from error


def _show(target: str, plan: Plan, before: int, after: int, out: Path | None) -> None:
    console = stdout()
    say(console, target, style="bold")
    say(console, str(plan))
    if plan.folds:
        say(console, f"{before:,} parameters before, {after:,} after; compared with the original on random inputs.")
    else:
        say(console, "Nothing to fold: the copy is the module as it is.")
    if out is not None:
        say(console, f"Its weights: {out}")
