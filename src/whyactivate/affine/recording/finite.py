"""Finds numbers on the way to the output that are not finite, or that nobody has written."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from whyactivate.affine._torch_compat import NO_MEMORY, are_small_numbers, number_operands, place, storage_key
from whyactivate.affine.rules import find_rule
from whyactivate.affine.rules.left_out import find_left_out
from whyactivate.affine.rules.rule import Rule, is_real
from whyactivate.affine.tape import Constant, Location, Tape, Value

_COPIES = {torch.ops.aten.copy.default: "src", torch.ops.aten.clone.default: "self"}
"""Operations that hand on what a cell holds, even where nobody has written it yet, as circular padding does."""


_UNWRITTEN = ", which here also stands for memory that nobody has written, as torch.empty gives it"


def find_non_finite(tape: Tape, names: Mapping[int, str], sound: dict[object, Constant]) -> tuple[str, Location] | None:
    """Where NaN, infinity or unwritten memory enters the program, in words, and the place; None where nowhere.

    Args:
        tape: the program.
        names: the name of the parameter or buffer that lies at each storage key.
        sound: constants that were looked at before, by their places; those found finite are added.
    """
    left_out = find_left_out(tape).filled
    is_sound = _are_all_sound(tape, sound)
    for constant in (constant for constant in tape.outputs if isinstance(constant, Constant)):
        if (text := _bad_entry(constant, names, sound)) is not None:
            return text, Location()
    for node in tape.needed():
        rule = find_rule(node.op)
        passive = rule.passive if rule else frozenset[str]()
        for name, argument in node.arguments.items():
            if name in passive or (node.index, name) in left_out:
                continue
            for item in argument if isinstance(argument, list) else [argument]:
                if isinstance(item, Constant):
                    if not is_sound and (text := _bad_entry(item, names, sound)) is not None:
                        return text, node.location
                elif isinstance(item, float) and name in number_operands(node.op) and not _may_be(item, name, rule):
                    return f"operand {name!r} of {node.op} is {item}", node.location
    return _unwritten(tape)


def _may_be(number: float, name: str, rule: Rule | None) -> bool:
    return math.isfinite(number) or (rule is not None and name in rule.unbounded and not math.isnan(number))


def _are_all_sound(tape: Tape, sound: dict[object, Constant]) -> bool:
    """True where all numbers of all weights are finite, found out at once: one by one takes long where they are many.

    False says nothing.
    """
    fresh: dict[object, Constant] = {}
    for node in tape.needed():
        for constant in node.constants():
            tensor = constant.tensor
            if id(tensor) in sound or (where_it_lies := place(tensor)) in sound:
                continue
            if not (tensor.is_floating_point() and tensor.numel()):
                continue
            if not is_real(tensor.dtype) or storage_key(tensor) == NO_MEMORY:
                return False
            fresh[where_it_lies] = constant
    if not fresh:
        return True
    if not are_small_numbers([constant.tensor for constant in fresh.values()]):
        return False
    sound.update(fresh)
    return True


def _bad_entry(constant: Constant, names: Mapping[int, str], sound: dict[object, Constant]) -> str | None:
    tensor = constant.tensor
    if not tensor.is_floating_point():
        return None
    if id(tensor) in sound or (where_it_lies := place(tensor)) in sound:
        return None
    finite = torch.isfinite(tensor if is_real(tensor.dtype) else tensor.double())  # float8 does not know the question
    if bool(finite.all()):
        sound[id(tensor)] = constant
        if storage_key(tensor) != NO_MEMORY:
            sound[where_it_lies] = constant
        return None
    where = tuple(int(i) for i in (~finite).nonzero()[0])
    entry = tensor[where].item() if where else tensor.item()
    owner = names.get(storage_key(tensor))
    if owner is not None:  # a product reads a weight turned around: say where it is in the weight
        where = tuple(where[i] for i in sorted(range(tensor.ndim), key=lambda i: -tensor.stride(i)))
    told = f"{owner or 'a tensor made in forward'} holds {entry}" + (f" at {where}" if where else "")
    return told + (_UNWRITTEN if owner is None and entry != entry else "")


def _unwritten(tape: Tape) -> tuple[str, Location] | None:
    """Follows which cells still hold what was not finite before the program came to write there."""
    bad = {
        key: ~finite
        for key, storage in tape.storages.items()
        if storage.initial is not None
        and not bool((finite := torch.isfinite(storage.initial.tensor.to(torch.complex128))).all())
    }
    if not bad:
        return None

    def cells(value: Value) -> torch.Tensor:
        geometry = value.geometry
        return torch.as_strided(bad[value.storage], geometry.size, geometry.stride, geometry.offset)

    for node in tape.needed():
        rule = find_rule(node.op)
        copied = _COPIES.get(node.op)
        source = node.arguments.get(copied) if copied else None
        ignored = rule.passive | {copied} if rule else {copied}
        for name, argument in node.arguments.items():
            for item in argument if isinstance(argument, list) else [argument]:
                if isinstance(item, Value) and item.storage in bad and name not in ignored and bool(cells(item).any()):
                    return f"{node.op} reads memory that holds NaN, infinity or nothing yet", node.location
        lost = cells(source).clone() if isinstance(source, Value) and source.storage in bad else torch.tensor(False)
        for output in node.outputs:
            if output is not None and (output.storage in bad or bool(lost.any())):
                bad.setdefault(output.storage, torch.zeros(tape.storages[output.storage].numel, dtype=torch.bool))
                cells(output).copy_(lost)
    for output in tape.outputs:
        if isinstance(output, Value) and output.storage in bad and bool(cells(output).any()):
            return "the output shows memory that holds NaN, infinity or nothing yet", Location()
    return None
