"""How long each storage of a program is read: what nobody reads any more can be forgotten."""

from __future__ import annotations

from whyactivate.affine.tape import Tape, Value


def last_reads(tape: Tape) -> dict[int, list[int]]:
    """For the index of each needed node, the storages that no later node reads and that are not returned."""
    kept = {output.storage for output in tape.outputs if isinstance(output, Value)}
    found: dict[int, list[int]] = {}
    for node in reversed(tape.needed()):
        touched = {value.storage for value in node.values()}
        touched |= {output.storage for output in node.outputs if output is not None}
        found[node.index] = sorted(touched - kept)
        kept |= touched
    return found


def count_at_once(tape: Tape) -> int:
    """The most numbers that are held at one time on the way to the outputs."""
    freed = last_reads(tape)
    held = {value.storage for value in tape.inputs}
    most = now = sum(tape.storages[key].numel for key in held)
    for node in tape.needed():
        new = {output.storage for output in node.outputs if output is not None} - held
        held |= new
        now += sum(tape.storages[key].numel for key in new)
        most = max(most, now)
        gone = held.intersection(freed[node.index])
        held -= gone
        now -= sum(tape.storages[key].numel for key in gone)
    return most
