"""Says in words which operations stand in the way, and which layers are one but for them."""

from __future__ import annotations

from collections.abc import Iterable

from whyactivate.affine._torch_compat import short_name
from whyactivate.affine.analysis import AffineRun, Blame
from whyactivate.affine.tape import Location, Node, Tape, Value


def find_blame(tape: Tape) -> tuple[Blame, ...]:
    """The operations through which the output depends on the input other than affinely, in program order."""
    if tape.refusal is not None:
        return (_blame("", tape.refused_at, tape.refusal),)
    at_fault = tape.roots_of_outputs()
    return tuple(
        _blame(str(node.op), node.location, _words(tape, node)) for node in tape.nodes if node.root in at_fault
    )


def find_runs(tape: Tape) -> tuple[AffineRun, ...]:
    """The maximal affine runs that hold weights, in program order."""
    needed = tape.needed()
    runs: list[AffineRun] = []
    for node in needed:
        if node.reason is not None:
            modules = _layers_behind(needed, node.values(), node.index)
            if modules:
                runs.append(AffineRun(modules, short_name(node.op)))
    modules = _layers_behind(needed, [value for value in tape.outputs if isinstance(value, Value)], len(tape.nodes))
    return (*runs, AffineRun(modules, "output")) if modules else tuple(runs)


def _blame(op: str, location: Location, reason: str) -> Blame:
    return Blame(op, location.module, location.source, location.text, reason)


def _words(tape: Tape, node: Node) -> str:
    needed = tape.needed()
    before = _layers_behind(needed, node.values(), node.index)
    after = next(
        (
            later.location.module
            for later in needed[needed.index(node) + 1 :]
            if _has_weights(later) and any(node.root in value.roots for value in later.values())
        ),
        None,
    )
    source = f"{before[-1]}'s output" if before and before[-1] else "the input" if not before else "a layer's output"
    text = f"{source} goes through {short_name(node.op)} here"
    if before and before[-1] and after and after != before[-1]:
        text += f"; without it, {before[-1]} and {after} are one layer"
    if node.reason and not node.reason.endswith("is not an affine operation"):
        text += f" ({node.reason})"
    return text


def _layers_behind(needed: tuple[Node, ...], values: Iterable[Value], before: int) -> tuple[str, ...]:
    """Paths of the modules whose weights enter `values` affinely, back to the last operation that is not affine."""
    wanted = {value.storage for value in values}
    found: list[str] = []
    for node in reversed(needed):
        if node.index >= before or not any(out is not None and out.storage in wanted for out in node.outputs):
            continue
        if node.reason is None:
            wanted.update(value.storage for value in node.values())
            if _has_weights(node) and node.location.module not in found:
                found.append(node.location.module)
    return tuple(reversed(found))


def _has_weights(node: Node) -> bool:
    return node.reason is None and any(True for _ in node.constants())
