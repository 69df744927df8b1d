"""Carries a folding out on a copy; and tries it with empty layers first, to see whether forward bears it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine._torch_compat import short_name
from whyactivate.affine.recording import Example
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracker import record, run_unwatched
from whyactivate.affine.tape import Argument, Constant, Node, Value
from whyactivate.affine.trees import map_leaves, tensors_in
from whyactivate.folding.calls import Caught, Recorded, record_calls
from whyactivate.folding.copies import copied
from whyactivate.folding.layers import Filling
from whyactivate.folding.maps import CannotFold
from whyactivate.folding.pieces import Piece
from whyactivate.folding.regions import Region, build, put_all
from whyactivate.folding.replacing import Replacement

BATCHES = (1, 2, 5)
"""Batch sizes at which original and copy are compared, beside that of the example."""
_FAR_APART = 2.0**12
"""So many units in the last place are no rounding: then a module does two things."""


class Misfit(CannotFold):
    """A folded layer cannot hold its numbers; `nodes` are the operations that it would take the place of."""

    def __init__(self, reason: str, pieces: Iterable[Piece]) -> None:
        super().__init__(reason)
        self.nodes = frozenset[int]().union(*(piece.nodes for piece in pieces))


def carry_out(
    replacements: Sequence[Replacement], regions: Sequence[Region], target: nn.Module, filling: Filling
) -> nn.Module:
    """The module with the folding done in it, its new layers filled as `filling` says.

    Raises:
        Misfit: a number is too large for its layer's dtype.
    """
    parts: dict[str, nn.Module] = {}
    for replacement in replacements:
        old = {path: target.get_submodule(path) for path in (replacement.path, *replacement.dropped)}
        trained = any(parameter.requires_grad for part in old.values() for parameter in part.parameters())
        for path, part in old.items():
            try:
                new = replacement.layer.make(filling) if path == replacement.path else nn.Identity()
            except CannotFold as reason:
                raise Misfit(str(reason), [replacement.piece]) from reason
            parts[path] = new.train(part.training).requires_grad_(trained)
    target = put_all(target, parts)
    for region in regions:
        old = target.get_submodule(region.path)
        try:
            made = build(region, old, filling)
        except CannotFold as reason:
            raise Misfit(str(reason), region.pieces) from reason
        target = put_all(target, {region.path: made})
    return target


class Rehearsal:
    """Runs copies with empty layers beside the original: they must give its shapes, by the same operations elsewhere.

    Args:
        module: the original.
        example: what it takes.
        state: what it remembers.
        recorded: its program; None where another module was recorded in its place.

    Attributes:
        obstacle: why nothing can be folded in it, in words; None where that may be.
    """

    def __init__(self, module: nn.Module, example: Example, state: State, recorded: Recorded | None) -> None:
        self.module, self.example, self.recorded = module, example, recorded
        generator = torch.Generator("cpu").manual_seed(2)
        own = example.with_rows(example.rows, generator)
        quiet = _run(module, own, state, gradients=False)
        loud = _run(module, own, state, gradients=True) if torch.is_grad_enabled() else quiet
        self.obstacle: str | None = None
        if any(_far(a, b) for a, b in zip(quiet, loud, strict=False)) or len(quiet) != len(loud):
            self.obstacle = (
                "under torch.no_grad() it gives something else than where gradients are recorded, and so is two "
                "functions (torch.nn.TransformerEncoderLayer is, if its activation was taken out afterwards: without "
                "gradients it goes on to apply the one that it was made with)"
            )
        self._expected = {rows: _run(module, example.with_rows(rows), state, gradients=False) for rows in BATCHES}

    def objection(self, replacements: Sequence[Replacement], regions: Sequence[Region]) -> str | None:
        """Why the module does not bear these, in words; None where it does."""
        hollow = carry_out(replacements, regions, copied(self.module), Filling(empty=True))
        for rows, expected in self._expected.items():
            for gradients in (False, True) if rows == 2 and torch.is_grad_enabled() else (False,):
                if not expected:
                    continue  # the original does not run on so many rows
                try:
                    with torch.enable_grad() if gradients else torch.no_grad():
                        found = tensors_in(_call(hollow, self.example.with_rows(rows)))
                except Exception as error:
                    told = str(error).partition("\n")[0]
                    mode = " under torch.no_grad()" if not gradients and self._runs(hollow, rows) else ""
                    return (
                        "forward reads more of its layers than what they compute: a copy with one layer in their place "
                        f"does not run{mode} ({type(error).__name__}{f': {told}' if told else ''})"
                    )
                if [(t.shape, t.dtype) for t in found] != [(t.shape, t.dtype) for t in expected]:
                    return "forward makes something else of its layers' places: a copy gives tensors of other shapes"
        replaced = [path for one in replacements for path in (one.path, *one.dropped)]
        return self._other_program(hollow, (*replaced, *(region.path for region in regions)))

    def _runs(self, hollow: nn.Module, rows: int) -> bool:
        """Whether a copy runs in the mode that is on."""
        try:
            _call(hollow, self.example.with_rows(rows))
        except Exception:
            return False
        return True

    def _other_program(self, hollow: nn.Module, new: Sequence[str]) -> str | None:
        """What the copy does elsewhere than in its `new` modules that the original does not, in words."""
        if self.recorded is None or "" in new:
            return None
        inputs = self.example.with_rows(self.recorded.tape.inputs[0].geometry.size[0])
        tape = record(hollow, inputs.args, inputs.kwargs)
        if tape.refusal is not None:
            return tape.refusal
        differing = _differing(self.recorded.nodes, tape.nodes, new)
        if not differing:
            return None
        where = {node.location.caller or "the forward of the whole" for node in differing}
        return f"{' or '.join(sorted(where))} does something else where one layer stands in their place"


def leads_elsewhere(module: nn.Module, example: Example, recorded: Recorded, question: int) -> bool:
    """Whether a module runs another program than the recorded one where a question about sizes has the other answer.

    Where it raises, it does not: then the question was whether it takes such sizes at all.
    """
    try:
        turned = record_calls(module, example, recorded.tape.inputs[0].geometry.size[0], question)
    except Caught:
        return True
    except Exception:
        return False
    return turned.tape.refusal is not None or bool(_differing(recorded.nodes, turned.nodes, ()))


def _call(module: nn.Module, inputs: Example) -> object:
    def fresh(leaf: object) -> object:
        return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf

    return module(*map_leaves(fresh, list(inputs.args)), **map_leaves(fresh, dict(inputs.kwargs)))


def _run(module: nn.Module, inputs: Example, state: State, *, gradients: bool) -> tuple[Tensor, ...]:
    with nullcontext() if gradients else torch.no_grad():
        return run_unwatched(module, inputs.args, inputs.kwargs, state)


def _far(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return True
    if not a.is_floating_point() or not a.numel():
        return False
    unit = torch.finfo(a.dtype).eps / 2
    a, b = a.double(), b.double()
    both = (a == b) | (a.isnan() & b.isnan())
    allowed = min(_FAR_APART * unit, 0.25) * float(b.nan_to_num().abs().max())
    return not float((a - b).abs().masked_fill(both, 0).max()) <= allowed


def _differing(before: Sequence[Node], after: Sequence[Node], new: Sequence[str]) -> list[Node]:
    """The first two operations outside of `new` that are not the same, or the one that has no counterpart."""
    for one, other in zip_longest(_outside(before, new), _outside(after, new)):
        if one is None or other is None or not _same_operation(one, other):
            return [node for node in (one, other) if node is not None]
    return []


def _outside(nodes: Sequence[Node], new: Sequence[str]) -> list[Node]:
    """The operations in other modules than those, but for copies, which depend on how memory is laid out."""
    return [
        node
        for node in nodes
        if short_name(node.op) not in ("clone", "copy")
        and not any(f"{node.location.caller}.".startswith(f"{path}.") for path in new)
    ]


def _same_operation(one: Node, other: Node) -> bool:
    same = one.op is other.op and one.location.caller == other.location.caller
    return same and all(_same(argument, other.arguments.get(name)) for name, argument in one.arguments.items())


def _same(a: Argument, b: Argument) -> bool:
    if isinstance(a, Value) and isinstance(b, Value):
        return a.geometry.size == b.geometry.size
    if isinstance(a, Constant) and isinstance(b, Constant):
        x, y = a.tensor, b.tensor
        return x.shape == y.shape and x.dtype == y.dtype and bool(((x == y) | ((x != x) & (y != y))).all())
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        one, other = list[Any](a), list[Any](b)
        return len(one) == len(other) and all(map(_same, one, other))
    return type(a) is type(b) and a == b
