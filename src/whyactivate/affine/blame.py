"""Says in words which operations stand in the way, and which layers are one but for them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from whyactivate.affine._torch_compat import short_name
from whyactivate.affine.analysis import AffineRun, Blame
from whyactivate.affine.depth import weights_of
from whyactivate.affine.rules import find_rule
from whyactivate.affine.tape import Constant, Location, Node, Tape, Value


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
            modules = _layers_behind(tape, needed, node.values(), node.index)
            if modules:
                runs.append(AffineRun(modules, plain_name(node)))
    modules = _layers_behind(
        tape, needed, [value for value in tape.outputs if isinstance(value, Value)], len(tape.nodes)
    )
    return (*runs, AffineRun(modules, "output")) if modules else tuple(runs)


def _blame(op: str, location: Location, reason: str) -> Blame:
    return Blame(op, location.module, location.source, location.text, reason)


def _words(tape: Tape, node: Node) -> str:
    needed = tape.needed()
    name = plain_name(node)
    sources = list(dict.fromkeys(_source(tape, needed, value, node) for value in node.values()))
    subject = " and ".join(sources) or "the input"
    if node.reason and " multiplies " in node.reason:
        if len(sources) > 1:
            return f"{subject} are multiplied here ({name}), and both depend on the input"
        return f"{subject} is multiplied here ({name}) by numbers that depend on the input, too"
    text = f"{subject} {'go' if len(sources) > 1 else 'goes'} through {name} here"
    if len(sources) == 1 and "attention" not in name:
        text += _without(tape, needed, node)
    if name == "instance_norm":
        return text  # it divides by statistics of the input in every mode
    if node.reason and not node.reason.endswith("is not an affine operation") and not _is_known(node):
        text += f" ({node.reason})"
    return text


def _without(tape: Tape, needed: tuple[Node, ...], node: Node) -> str:
    """Which two layers would be one but for an operation, in words; empty where there are not two."""
    before = _layers_behind(tape, needed, node.values(), node.index, _is_layer)
    allowed = frozenset({node.root}).union(*(value.roots for value in node.values()))  # else more stands between them
    after = next(
        (
            later
            for later in needed[needed.index(node) + 1 :]
            if _is_layer(later) and any(node.root in value.roots <= allowed for value in later.values())
        ),
        None,
    )
    if not before or not before[-1] or after is None or not after.location.module:
        return ""
    name = after.location.module
    if name != before[-1]:
        return f"; without it, {before[-1]} and {name} are one layer"
    again = after.location.call > 0
    return f"; without it, {name} and the next call of {name} are one layer" if again else ""


def _source(tape: Tape, needed: tuple[Node, ...], value: Value, node: Node) -> str:
    """Where the numbers of an operand come from, in words."""
    layers = _layers_behind(tape, needed, [value], node.index)
    root = max(value.roots, default=0)
    made = next((other for other in needed if root and other.root == root), None)
    if layers:
        name = layers[-1]
    elif made is not None:
        name = made.location.module or plain_name(made)
    else:
        return "the input"
    if not name:
        return "a layer's output"
    inside = f"{node.location.module}.".startswith(f"{name}.")
    return f"a value in {name}" if inside else f"{name}'s output"


def plain_name(node: Node) -> str:
    """What users call an operation: `layer_norm` for `native_layer_norm`, `elu (SELU)` in a SELU."""
    name = short_name(node.op)
    if name.startswith("scaled_dot_product"):
        name = "scaled_dot_product_attention"
    for extra in ("native_", "mkldnn_", "cudnn_"):
        name = name.removeprefix(extra)
    for extra in ("_with_indices", "_kernel", "_for_cpu"):
        name = name.removesuffix(extra)
    kind = node.location.kind
    if kind.startswith("InstanceNorm"):
        return "instance_norm"
    if name == "rnn_layer":
        return kind.lower() or "a recurrent layer"
    if name == "hardtanh" and kind != "Hardtanh" and _bounds(node) == (0, 6):
        return "relu6"
    return f"{name} ({kind})" if kind in _SPELT_OTHERWISE and node.location.module else name


def _bounds(node: Node) -> tuple[object, object]:
    return node.arguments.get("min_val"), node.arguments.get("max_val")


_SPELT_OTHERWISE = frozenset(
    {"SELU", "CELU", "Softsign", "Tanhshrink", "GLU", "Softmin", "Softmax2d", "LogSigmoid", "RReLU"}
)
"""Activations of torch.nn that run as operations of another name."""


def _is_known(node: Node) -> bool:
    """True where the table knows the operation as one that is affine in nothing: then its name says enough."""
    rule = find_rule(node.op)
    return rule is not None and rule.form is None and rule.formula is not None


def _layers_behind(
    tape: Tape,
    needed: tuple[Node, ...],
    values: Iterable[Value],
    before: int,
    counts: Callable[[Node], bool] = lambda node: _has_weights(node),
) -> tuple[str, ...]:
    """Paths of the modules whose weights enter `values` affinely, back to the last operation that is not affine."""
    wanted = {value.storage for value in values}
    found: list[str] = []
    for position in range(bisect_left(needed, before, key=lambda node: node.index) - 1, -1, -1):
        node = needed[position]
        if not wanted:
            break
        if not any(out is not None and out.storage in wanted for out in node.outputs):
            continue
        for output in node.outputs:
            if output is not None and output.geometry.numel == tape.storages[output.storage].numel:
                wanted.discard(output.storage)  # what was there before is overwritten
        if node.reason is None:
            wanted.update(value.storage for value in node.values())
            if counts(node) and node.location.module not in found:
                found.append(node.location.module)
    return tuple(reversed(found))


def _has_weights(node: Node) -> bool:
    """Whether stored numbers take part; an index or a mask, which says what goes where, is none."""
    if node.reason is not None:
        return False
    rule = find_rule(node.op)
    chosen = rule.selectors if rule else frozenset[str]()
    return any(isinstance(one, Constant) for name, one in node.arguments.items() if name not in chosen)


def _is_layer(node: Node) -> bool:
    """Whether an operation is a product with stored weights."""
    return node.reason is None and weights_of(node) is not None
