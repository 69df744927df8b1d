"""What the first recording at one batch size met, so that later ones need only see that they meet it again."""

from __future__ import annotations

from dataclasses import dataclass, field

from whyactivate.affine._torch_compat import Facts, OpOverload
from whyactivate.affine.tape import Argument, Node, Storage


@dataclass(frozen=True, slots=True)
class Step:
    """One operation that wrote into nothing, with what it was called with.

    Attributes:
        facts: what the operation is.
        positional: its positional operands, as the tape names them.
        named: its operands by keyword.
        node: what stands on the tape; None for a view, which needs no node.
        storages: the memory of each result on the tape; None where a result does not depend on the input.
        source: the storage that a view shows; None for others.
        notes: what is taken for granted by it.
        op: the operation as it was called.
    """

    facts: Facts
    positional: tuple[Argument, ...]
    named: dict[str, Argument]
    node: Node | None
    storages: tuple[Storage | None, ...] = ()
    source: int | None = None
    notes: tuple[str, ...] = ()
    op: OpOverload = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "op", self.facts.op)


@dataclass(slots=True)
class Guide:
    """The steps of one recording, one for each operation that took place; None for those that must be looked at anew.

    Attributes:
        steps: the steps, in order.
        is_complete: whether the recording came to its end, so that others may be compared with it.
    """

    steps: list[Step | None] = field(default_factory=list["Step | None"])
    is_complete: bool = False
