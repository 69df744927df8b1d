"""Runs a module by the script of an earlier recording, and tells whether it kept to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.recording.guards import LeakGuard, Refusal, watched
from whyactivate.affine.recording.scripts import PLAIN, SEVERAL, STRANGER, WEIGHT, Call, Operand, Script, seen
from whyactivate.affine.recording.state import State
from whyactivate.affine.rules import find_rule
from whyactivate.affine.tape import Argument, Constant, Geometry, Node, Storage, Tape, Value
from whyactivate.affine.trees import PLAIN_KINDS, fresh_argument, leaves_of, map_leaves, tensors_among, tensors_in

_Made = tuple[tuple[Any, ...], dict[str, Any], Any]
"""What an operation was called with, and what it gave."""


def repeat(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], rows: int, script: Script, state: State
) -> Tape | None:
    """The tape of `module(*args, **kwargs)` where it goes by the script to its end; None where it does not.

    A run that leaves the script is stopped there, and nothing of it stays.
    """
    if script.tape is None or (rows != script.rows and not script.crosses):
        return None
    return _Repetition(module, script, rows, state).run(args, kwargs)


class _Repetition(compat.DispatchMode):
    def __init__(self, module: nn.Module, script: Script, rows: int, state: State) -> None:
        super().__init__()
        self._module, self._script, self._rows, self._state = module, script, rows, state
        self._crosses = rows != script.rows
        self._calls = script.calls
        self._turn = 0
        self._results: list[Tensor] = []
        self._made: list[_Made] = []  # where another batch size asks for it
        self._strayed = False
        self._ordinary: set[type] = set()

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tape | None:
        given: list[Tensor] = []
        inputs: list[Tensor] = []

        def fresh(argument: Any) -> Any:
            own = fresh_argument(argument)
            if isinstance(own, Tensor):
                self._results.append(own)
                if own.is_floating_point():
                    given.append(argument.detach())
                    inputs.append(own)
            return own

        args, kwargs = map_leaves(fresh, list(args)), map_leaves(fresh, dict(kwargs))
        result: Any = None
        guard = LeakGuard(self._depends, self._stray, self._stray, lambda tensor: None)
        try:
            with watched(guard, self, self._note) as context:
                result = context.run(self._module, *args, **kwargs)
            self._strayed |= not self._is_ended(result)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._strayed = True
        finally:
            changed = self._state.restore(self._depends)
        tape = self._script.tape
        if self._strayed or tape is None:
            return None
        returned = tensors_in(result)
        tape = tape.given_another(
            tuple(given), tuple(tensor.detach() for tensor in returned), tuple(dict.fromkeys(changed))
        )
        if not self._crosses:
            return tape
        telling = _Telling(tape)
        try:
            return tape.for_other_rows(
                inputs=telling.inputs(inputs),
                nodes=telling.nodes(self._calls, self._made),
                outputs=telling.outputs(returned),
                storages=telling.storages,
            )
        except _NotTold:
            return None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._strayed:
            self._stray()
        turn, calls = self._turn, self._calls
        call = calls[turn] if turn < len(calls) else None
        if call is None or call.op is not func:
            return self._carry_out_as_others(func, args, kwargs or {})
        positional, results = call.positional, self._results
        if len(args) != len(positional) or not self._ordinary.issuperset(types):
            self._look_again(call, types, args)
        for operand, expected in zip(args, positional, strict=True):
            number, known = expected
            if operand is not (results[number] if number >= 0 else known) and not self._is(operand, expected):
                self._stray()
        if (kwargs or call.named) and not self._has_names(call, kwargs or {}):
            self._stray()
        self._turn = turn + 1
        result = func(*args, **kwargs) if kwargs else func(*args)
        if isinstance(result, Tensor):
            results.append(result)
        else:
            results.extend(tensors_among([result]))
        if self._crosses:
            self._made.append((args, kwargs or {}, result))
        return result

    # -- whether this is what the script says -----------------------------------------------------------------

    def _carry_out_as_others(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not isinstance(func, compat.OpOverload) or find_rule(func) is not None:
            self._stray()
        if not compat.facts_of(func).is_made_of_others:
            self._stray()
        with self:
            return func.decompose(*args, **kwargs)

    def _look_again(self, call: Call, types: Any, args: tuple[Any, ...]) -> None:
        if len(args) != len(call.positional) or any(map(compat.is_foreign, types)):
            self._stray()
        self._ordinary.update(types)

    def _has_names(self, call: Call, kwargs: dict[str, Any]) -> bool:
        return kwargs.keys() == call.named.keys() and all(
            self._is(operand, call.named[name]) for name, operand in kwargs.items()
        )

    def _is(self, operand: Any, expected: Operand) -> bool:
        number, known = expected
        if number == PLAIN:
            if operand is known:
                return True
            if type(operand) is not type(known):
                return False
            return bool(operand == known) or (self._crosses and self._counts_rows(operand, known))
        if number == SEVERAL:
            return (
                isinstance(operand, (list, tuple)) and len(operand) == len(known) and all(map(self._is, operand, known))
            )
        if number == WEIGHT:
            return operand is known
        if not isinstance(operand, Tensor):
            return False
        with compat.without_functions():
            if number == STRANGER:
                return (
                    compat.is_plain(operand)
                    and operand.stride() == known.stride()
                    and compat.same_numbers(operand, known)
                    and not self._lies_over(operand)
                )
            result = self._results[number]
            return operand is result or seen(operand) == seen(result)

    def _counts_rows(self, operand: Any, known: Any) -> bool:
        """Whether two whole numbers are the same multiple of the number of rows."""
        rows = self._script.rows
        return isinstance(known, int) and known % rows == 0 and operand == known // rows * self._rows

    def _lies_over(self, stranger: Tensor) -> bool:
        """Whether a tensor of unknown origin is laid over memory that depends on the input."""
        start, end = compat.extent(stranger)
        return any(
            first < end and start < last
            for result, dependent in zip(self._results, self._script.dependent, strict=False)
            if dependent
            for first, last in [compat.extent(result)]
        )

    def _is_ended(self, result: Any) -> bool:
        """Whether the script is at its end too, the module returned what it says, and no weight has been moved."""
        leaves = [leaf for leaf in leaves_of(result) if not isinstance(leaf, PLAIN_KINDS)]
        script = self._script
        return (
            self._turn == len(script.calls)
            and len(leaves) == len(script.outputs)
            and all(map(self._is, leaves, script.outputs))
            and all(compat.version(one) == version and compat.place(one) == at for one, version, at in script.weights)
        )

    def _depends(self, tensor: Tensor) -> bool:
        key = compat.storage_key(tensor)
        return any(
            dependent and compat.storage_key(result) == key
            for result, dependent in zip(self._results, self._script.dependent, strict=False)
        )

    def _note(self, words: str) -> None:
        self._strayed = True

    def _stray(self, *why: object) -> None:
        self._strayed = True
        raise Refusal("the run is not that of the script")


class _Telling:
    """Tells the tape of a run with another batch size from the operations that it met, one for each of the script."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._geometries: dict[tuple[Any, ...], Geometry] = {}
        self._keys: dict[int, int] = {}
        self.storages: dict[int, Storage] = {}

    def inputs(self, tensors: Sequence[Tensor]) -> tuple[Value, ...]:
        """The values of the inputs."""
        return tuple(self._write(known, tensor) for known, tensor in zip(self._tape.inputs, tensors, strict=True))

    def outputs(self, tensors: Sequence[Tensor]) -> tuple[Value | Constant, ...]:
        """The values of the outputs."""
        return tuple(self._argument(known, tensor) for known, tensor in zip(self._tape.outputs, tensors, strict=True))

    def nodes(self, calls: Sequence[Call], made: Sequence[_Made]) -> tuple[Node, ...]:
        """The nodes.

        Raises:
            _NotTold: one is not that of the script.
        """
        return tuple(self._node(call, call.node, *one) for call, one in zip(calls, made, strict=True) if call.node)

    def _node(self, call: Call, known: Node, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Node:
        operands, before = compat.bind(call.op, args, kwargs), known.arguments
        arguments = {name: self._argument(before[name], operands[name]) for name in before}
        rule = find_rule(known.op)
        if rule is not None and rule.when is not None and rule.objection(arguments) != known.reason:
            raise _NotTold
        results = [result] if isinstance(result, Tensor) else tensors_among([result])
        if len(results) != len(known.outputs):
            raise _NotTold
        outputs: list[Value | None] = []
        for position, (output, tensor) in enumerate(zip(known.outputs, results, strict=True)):
            if output is not None:
                outputs.append(self._write(output, tensor))
                continue
            outputs.append(None)
            is_constant = rule is not None and known.reason is None and position in rule.constant_outputs
            if tensor.numel() and not is_constant:
                raise _NotTold  # nothing there in the script, and so not followed
        return Node(known.index, known.op, arguments, tuple(outputs), known.location, known.reason, known.root)

    def _argument(self, known: Argument, operand: Any) -> Any:
        if isinstance(known, Value):
            return self._value(known, operand)
        if isinstance(known, Constant):
            return Constant(operand, compat.version(operand))
        if isinstance(known, list):
            return [*map(self._argument, cast("list[Any]", known), operand)]
        return operand

    def _write(self, known: Value, tensor: Tensor) -> Value:
        number, key = known.storage, compat.storage_key(tensor)
        if self._keys.setdefault(number, key) != key or not tensor.numel():
            raise _NotTold
        if number not in self.storages:
            size = tensor.untyped_storage().nbytes() // tensor.element_size()
            self.storages[number] = Storage(size, tensor.dtype, None)
        return self._value(known, tensor)

    def _value(self, known: Value, tensor: Tensor) -> Value:
        where = (tensor.storage_offset(), tensor.shape, tensor.stride())
        dtype = known.geometry.dtype
        if tensor.dtype is not dtype or tensor.is_conj() or tensor.is_neg():
            raise _NotTold
        geometry = self._geometries.get((*where, dtype))
        if geometry is None:
            geometry = Geometry(int(where[0]), tuple(where[1]), where[2], dtype)
            self._geometries[(*where, dtype)] = geometry
        return Value(known.storage, known.version, geometry, known.roots)


class _NotTold(Exception):
    """The script does not tell the tape of this batch size."""
