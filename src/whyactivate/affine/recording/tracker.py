"""Runs a module's own forward, eagerly, and writes down every operation that touches its input."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.pairs import apart, as_pairs, as_tensor, minus, real_dtype, write_parts
from whyactivate.affine.recording.calls import Calls, watched_calls
from whyactivate.affine.recording.guards import LeakGuard, Refusal, same_surroundings, watched
from whyactivate.affine.recording.locator import Locator
from whyactivate.affine.recording.lowering import CannotLower, ComplexCall, can_lower, is_about_complex, lower
from whyactivate.affine.recording.memory import FollowedMemory
from whyactivate.affine.recording.scripts import Script, ScriptWriter
from whyactivate.affine.recording.state import State
from whyactivate.affine.rules import find_rule
from whyactivate.affine.rules.rule import Rule, depends, is_real
from whyactivate.affine.tape import Argument, Constant, Location, Node, Tape, Value
from whyactivate.affine.trees import (
    PLAIN_KINDS,
    fresh_argument,
    fresh_as_it_lies,
    leaves_of,
    map_leaves,
    tensors_among,
    tensors_beside,
    tensors_in,
)

_INPUT_ROOT = frozenset({0})


def record(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    locate: bool = True,
    state: State | None = None,
    filler: int = 0,
    script: Script | None = None,
) -> Tape:
    """The tape of `module(*args, **kwargs)`; the module, its buffers and all random states stay as they were.

    Floating and complex tensors among the arguments are the input; everything else is held fixed.

    Args:
        module: the module, in the mode (train or eval) it is to be judged in.
        args: positional arguments of its forward.
        kwargs: keyword arguments of its forward.
        locate: whether to note the module path and source line of each operation, which takes time.
        state: what the module remembers, where that was looked up before.
        filler: what unwritten integers hold; two recordings with different fillers tell whether they are read.
        script: an empty one, to be filled with what is met.

    Raises:
        BaseException: whatever the module's forward itself raises.
    """
    return _Recorder(module, locate, state or State(module), filler, script).run(args, kwargs)


def run_unwatched(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    state: State,
    calls: Calls | None = None,
) -> tuple[Tensor, ...]:
    """What `module(*args, **kwargs)` returns when nobody watches its tensors; empty where it raises.

    What its code does, and what had changed afterwards, is added to `calls`, where given.
    """
    watch = contextlib.nullcontext() if calls is None else watched_calls(state.is_own, calls)
    try:
        with same_surroundings(lambda words: None), compat.eager(), watch:
            result = module(*map_leaves(fresh_as_it_lies, list(args)), **map_leaves(fresh_as_it_lies, dict(kwargs)))
        return tuple(as_pairs(tensor.detach()).clone() for tensor in tensors_in(result))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ()
    finally:
        changed = state.restore(lambda tensor: False)
        if calls is not None:
            calls.changed += changed


class _Recorder(compat.DispatchMode):
    def __init__(self, module: nn.Module, locate: bool, state: State, filler: int, script: Script | None) -> None:
        super().__init__()
        self._module, self._state = module, state
        self._memory = FollowedMemory(module, self._refuse, filler)
        self._places = Locator(module, _Recorder.run.__code__, locate)
        self._ordinary: set[type] = set()  # kinds of tensors without operations of their own
        self._root_count = 0
        self._nodes: list[Node] = []
        self._complex_constants: list[Constant] = []
        self._reads = 0
        self._asks_sizes = False
        self._refusal: str | None = None
        self._refused_at = Location()
        self._notes: dict[str, None] = {}
        self._raised: BaseException | None = None
        weights = (*module.parameters(), *module.buffers()) if script is not None else ()
        self._writer = None if script is None else ScriptWriter(script, self._memory, weights)

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tape:
        inputs: list[Value] = []
        outputs: list[Value | Constant] = []

        def fresh(argument: Any) -> Any:
            own = fresh_argument(argument)
            if not isinstance(own, Tensor):
                return own
            if own.is_floating_point() or own.is_complex():
                given.append(as_pairs(argument.detach()))
                complex_inputs.append(own.is_complex())
                inputs.append(self._memory.adopt(own, compat.storage_key(own), _INPUT_ROOT))
            else:
                self._memory.own(own)
            if self._writer is not None:
                self._writer.give(own)
            return own

        given: list[Tensor] = []
        complex_inputs: list[bool] = []
        args, kwargs = map_leaves(fresh, list(args)), map_leaves(fresh, dict(kwargs))
        shown: list[Any] = []
        changed: list[str] = []
        if self._state.obstacle is not None:
            self._refusal = self._state.obstacle
        try:
            if self._refusal is None:
                shown = self._call(args, kwargs)
            outputs = [self._output(leaf) for leaf in shown]
        except KeyboardInterrupt:
            raise
        except BaseException:
            if self._refusal is None:
                raise
        finally:
            self._places.forget()
            changed = self._memory.restore() + self._state.restore(self._memory.depends)
        tape = Tape(
            inputs=tuple(inputs),
            given=tuple(given),
            outputs=tuple(outputs),
            returned=tuple(as_pairs(leaf.detach()) for leaf in shown if isinstance(leaf, Tensor)),
            nodes=tuple(self._nodes),
            storages=self._memory.storages,
            refusal=self._refusal,
            refused_at=self._refused_at,
            state=tuple(dict.fromkeys(changed)),
            notes=tuple(self._notes),
            complex_inputs=tuple(complex_inputs),
            complex_constants=tuple(self._complex_constants),
            reads=self._reads,
            asks_sizes=self._asks_sizes,
            complex_outputs=tuple(isinstance(leaf, Tensor) and leaf.is_complex() for leaf in shown),
        )
        if self._writer is not None and tape.refusal is None and not tape.state:
            self._writer.end(tape, shown)
        return tape

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """What the module returns, tensors without lazy signs."""
        memory = self._memory
        guard = LeakGuard(memory.depends, self._refuse, memory.lend, memory.own)
        with watched(guard, self, self._note_refusal) as context:
            result = context.run(self._module, *args, **kwargs)
            with compat.without_functions():
                shown = [_settled(leaf) for leaf in leaves_of(result) if not isinstance(leaf, PLAIN_KINDS)]
                if any(map(memory.depends, tensors_beside(result))):
                    self._refuse("the module returns numbers in attributes, or as keys, of what it returns")
        self._reads, self._asks_sizes = guard.reads, guard.asks_sizes
        if self._writer is not None and (guard.moves_memory or memory.is_any_lent):
            self._writer.spoil()
        return shown

    def _output(self, leaf: Any) -> Value | Constant:
        if not isinstance(leaf, Tensor):
            self._refuse(f"the module returns a {type(leaf).__name__}; what that holds cannot be followed")
        if leaf.is_meta:
            self._refuse("the module returns a tensor on the meta device, which holds no numbers")
        key = compat.storage_key(leaf)
        if self._memory.holds(key):
            return self._memory.value(leaf, key)
        constant = as_pairs(leaf.detach()) if leaf.is_complex() else leaf
        return Constant(constant, compat.version(constant))

    # -- one operation ----------------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not isinstance(func, compat.OpOverload):
            self._refuse(f"{func} takes functions, and which of them run may depend on the input")
        if not self._ordinary.issuperset(types):
            self._admit(types)
        kwargs = kwargs or {}
        facts = compat.facts_of(func)
        if facts.is_made_of_others and find_rule(func) is None:
            with self:
                return func.decompose(*args, **kwargs)
        before = len(self._nodes)
        try:
            with compat.without_functions():  # scripted code comes here with the guard still in force
                result = self._follow(facts, args, kwargs)
                if self._writer is not None:
                    node = self._nodes[-1] if len(self._nodes) > before else None
                    self._writer.add(facts, args, kwargs, result, node)
                return result
        except Exception as error:
            if error is not self._raised:  # the module must not catch what it would not meet without a recorder
                self._refuse(f"{func} could not be followed ({type(error).__name__}: {error})")
            raise

    def _follow(self, facts: compat.Facts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out one operation, and note what it does to memory that depends on the input."""
        memory = self._memory
        tensors = tensors_among((*args, *kwargs.values()) if kwargs else args)
        keys = [*map(compat.storage_key, tensors)]
        if facts.is_about_shapes or not any(map(memory.holds, self._read_by(facts, args, kwargs) or keys)):
            for tensor, key in zip(tensors, keys, strict=True):
                memory.check_alias(tensor, key)
            return self._constant_operation(facts, {*keys}, args, kwargs)
        if is_about_complex(facts.op, tensors, (*args, *kwargs.values())):
            if self._writer is not None:
                self._writer.spoil()
            return self._complex_operation(facts, args, kwargs)
        return self._operation(facts, args, kwargs)

    def _read_by(self, facts: compat.Facts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
        """Where the operands lie whose numbers an operation reads, if it reads of some their shapes only."""
        if not facts.shown_by_shape:
            return []
        operands = facts.bind(args, kwargs)
        read = [operand for name, operand in operands.items() if name not in facts.shown_by_shape]
        return [*map(compat.storage_key, tensors_among(read))]

    def _admit(self, types: Any) -> None:
        for kind in types:
            if compat.is_foreign(kind):
                self._refuse(f"a {kind.__name__} takes part, a tensor whose operations are code of its own")
            self._ordinary.add(kind)

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        try:
            return func(*args, **kwargs)
        except Exception as error:
            self._raised = error
            raise

    def _constant_operation(self, facts: compat.Facts, known: set[int], args: Any, kwargs: Any) -> Any:
        if facts.is_random:
            self._note_refusal(f"{facts.op} draws random numbers: two calls with one input may differ")
        read = tensors_among((*args, *kwargs.values()))
        if facts.may_write:
            operands = facts.bind(args, kwargs)
            for name in facts.written:
                for tensor in tensors_in(operands.get(name)):
                    self._memory.before_write(tensor)
                    read = [one for one in read if one is not tensor]
            for tensor in facts.hidden_writes(operands):
                self._memory.before_write(tensor)
        result = self._run(facts.op, args, kwargs)
        if self._memory.hides_unwritten(known, read, tensors_in(result)):
            self._note_refusal(f"{facts.op} reads memory that nobody has written")
        if facts.name == "resize":
            self._note_refusal("resize_ gives memory that nobody has written")
        elif facts.name != "set":  # which lays a tensor over memory that is there already
            for tensor in tensors_in(result):
                if compat.storage_key(tensor) not in known:
                    self._memory.own(tensor)
        if facts.gives_unwritten:
            self._memory.poison(result)
        return result

    def _operation(self, facts: compat.Facts, args: Any, kwargs: Any) -> Any:
        op, memory = facts.functional, self._memory
        operands = facts.bind(args, kwargs)
        operands.pop("out", None)
        arguments = {name: memory.argument(operand) for name, operand in operands.items()}
        values = _values(arguments)
        rule = find_rule(op)
        reason = _objection(rule, arguments) if rule else f"no rule of the table covers {op}"
        if facts.is_random:
            reason = f"{facts.op} draws random numbers"
        if facts.needs_data and reason is not None and not _only_picks(op, arguments):
            self._refuse(
                f"{facts.op} turns numbers that depend on the input into a Python number or a shape, "
                "so which operations run may depend on the input"
            )

        written = [tensor for name in facts.written for tensor in tensors_in(kwargs.get(name, operands.get(name)))]
        hidden = facts.hidden_writes(operands) if facts.may_write else []
        if hidden and reason is not None:
            self._refuse(reason)
        if written:
            memory.look_anew()
        if rule is not None and rule.is_view and reason is None:
            return self._view(op, values[0].storage, values[0].geometry.dtype, self._run(facts.op, args, kwargs))
        if rule is not None and rule.constant_result and not written:
            result = self._run(facts.op, args, kwargs)
            for tensor in tensors_in(result):
                memory.own(tensor)
            if rule.uninitialised:
                memory.poison(result)
            return result

        before: dict[int, Constant] = {}
        if written or hidden:
            held = [tensor for tensor in (*written, *hidden) if not memory.depends(tensor)]
            before = {compat.storage_key(tensor): memory.contents(tensor) for tensor in held}
            for tensor in held:
                memory.before_write(tensor)
        chance = torch.get_rng_state() if facts.is_random else None
        result = self._run(facts.op, args, kwargs)
        if chance is not None and not torch.equal(chance, torch.get_rng_state()):
            self._note_refusal(f"{reason}: two calls with one input may differ")
        results = [result] if isinstance(result, Tensor) else self._results(facts, result) or written
        if results and not written and all(tensor.is_meta for tensor in results):
            return result  # the numbers are not there any more, but for the shape
        constant = rule.constant_outputs if rule is not None and reason is None else frozenset[int]()
        unreal = [tensor.dtype for i, tensor in enumerate(results) if i not in constant and not is_real(tensor.dtype)]
        if reason is None and unreal:
            reason = f"{op} gives {unreal[0]} numbers"

        root: int | None = None
        if reason is not None:
            self._root_count += 1
            root = self._root_count
            roots = frozenset({root})
        else:
            roots = values[0].roots if len(values) == 1 else frozenset[int]().union(*(value.roots for value in values))
            if rule is not None and rule.note:
                self._notes[rule.note] = None
        outputs: list[Value | None] = []
        for position, tensor in enumerate(results):
            if tensor.numel() == 0:
                outputs.append(None)
                continue
            if reason is None and position in constant:
                memory.own(tensor)
                outputs.append(None)
                continue
            if reason is None and rule is not None and position not in rule.affine_outputs:
                self._note_refusal(f"a side result of {op} (number {position}) is not known to be affine")
            outputs.append(memory.write(tensor, roots, before.get(compat.storage_key(tensor)) if before else None))
        for tensor in hidden:
            memory.write(tensor, roots, before.get(compat.storage_key(tensor)))
        place = self._places.locate()
        self._nodes.append(Node(len(self._nodes), op, arguments, tuple(outputs), place, reason, root))
        return result

    def _results(self, facts: compat.Facts, result: Any) -> list[Tensor]:
        if not all(isinstance(leaf, (Tensor, type(None))) for leaf in leaves_of(result)):
            self._refuse(f"{facts.op} turns numbers that depend on the input into Python numbers")
        return tensors_in(result)

    def _view(self, op: compat.OpOverload, source: int, dtype: torch.dtype, result: Any) -> Any:
        """A view shares memory with its operand, so it needs no node: whoever reads it gives its geometry."""
        for tensor in tensors_in(result):
            shared = self._memory.number(compat.storage_key(tensor)) == source
            if not shared or real_dtype(tensor.dtype) != dtype:
                self._refuse(f"{op} gave a tensor that does not share its operand's memory or element type")
        return result

    # -- complex numbers --------------------------------------------------------------------------------------

    def _complex_operation(self, facts: compat.Facts, args: Any, kwargs: Any) -> Any:
        """An operation on complex numbers, or on a lazy sign: followed as one on real and imaginary parts."""
        memory, operands = self._memory, facts.bind(args, kwargs)
        rule = find_rule(facts.functional)
        if rule is not None and rule.is_view:
            keys = map(compat.storage_key, tensors_among(operands.values()))
            source = next(number for number in map(memory.number, keys) if number is not None)
            result = self._run(facts.op, args, kwargs)
            return self._view(facts.op, source, memory.storages[source].dtype, result)
        if rule is not None and rule.constant_result and not facts.written:
            result = self._run(facts.op, args, kwargs)
            memory.own(result)
            if rule.uninitialised:
                memory.poison(result)
            return result
        written: Any = operands[facts.written[0]] if facts.written else None
        for tensor in tensors_among(operands.values()):
            if tensor.is_complex() and tensor is not written and not memory.depends(tensor):
                self._complex_constants.append(cast("Constant", memory.argument(tensor)))
        if not can_lower(facts.functional) or facts.is_random or len(facts.written) > 1:
            if not facts.may_write:
                self._run(facts.op, args, kwargs)  # where it raises, the module may catch that
            self._refuse(f"there is no formula here for what {facts.op} does to complex numbers")
        is_out = operands.pop("out", None) is not None
        tried = {name: x.clone() if x is written and x is not None else x for name, x in operands.items()}
        result = self._run(facts.functional, (), tried)
        if written is not None and not is_out:  # what cannot be held there raises
            again = tuple(tried.get(name, x) for name, x in zip(facts.operands, args, strict=False))
            self._run(facts.op, again, kwargs)
        if is_out and isinstance(written, Tensor) and written.shape != result.shape:
            self._refuse(f"{facts.op} gives its result another shape")
        plain = torch.conj(result) if result.is_conj() else result
        like = torch.view_as_real(plain).select(-1, 0) if result.is_complex() else result
        parts: list[Tensor] = []
        try:
            with self:
                lowered = lower(ComplexCall(facts.functional, operands, result))
                if written is None and isinstance(lowered, Tensor):
                    shown = torch.view_as_complex(lowered) if result.is_complex() else lowered
                    if (shown.stride() == result.stride() and plain is result) or shown.dtype == torch.bool:
                        return shown
                if not like.is_floating_point():
                    raise CannotLower("its result is neither real nor complex")
                re, im = lowered if isinstance(lowered, tuple) else apart(lowered, result)
                if written is not None:
                    write_parts(written, re, im)
                    return written
                if plain is not result:
                    im = minus(None, im)
                parts = [as_tensor(part, like) for part in ((re, im) if result.is_complex() else (re,))]
        except CannotLower as error:
            self._refuse(f"{facts.op}: {error}")
        if result.is_complex():
            self._emit(torch.ops.aten.stack.default, {"tensors": parts, "dim": -1}, plain)
            return result
        return self._emit(torch.ops.aten.clone.default, {"self": parts[0], "memory_format": None}, result)

    def _emit(self, op: compat.OpOverload, operands: Mapping[str, Any], result: Tensor) -> Tensor:
        """Put an affine operation on the tape that gives `result`, a tensor with memory of its own."""
        arguments = {name: self._memory.argument(operand) for name, operand in operands.items()}
        values = _values(arguments)
        if not values:
            self._memory.own(result)
        elif result.numel():
            roots = frozenset[int]().union(*(value.roots for value in values))
            output = self._memory.write(result, roots, None)
            self._nodes.append(Node(len(self._nodes), op, arguments, (output,), self._places.locate()))
        return result

    # -- refusals ---------------------------------------------------------------------------------------------

    def _note_refusal(self, reason: str) -> None:
        if self._refusal is None:
            self._refusal, self._refused_at = reason, self._places.locate()

    def _refuse(self, reason: str) -> None:
        self._note_refusal(reason)
        raise Refusal(reason)


def _settled(leaf: Any) -> Any:
    """A leaf of what the module returns, with a lazy sign carried out."""
    return leaf.resolve_conj().resolve_neg() if isinstance(leaf, Tensor) else leaf


def _objection(rule: Rule, arguments: Mapping[str, Argument]) -> str | None:
    """What the rule says against these operands; looked up where that rests on which of them depend on the input."""
    if rule.when is not None:
        return rule.objection(arguments)
    free = tuple([name for name, argument in arguments.items() if depends(argument)])
    known = _OBJECTIONS.get((id(rule), free))
    if known is None or known[0] is not rule:
        known = _OBJECTIONS[id(rule), free] = rule, rule.objection(arguments)
    return known[1]


_OBJECTIONS: dict[tuple[int, tuple[str, ...]], tuple[Rule, str | None]] = {}
"""What was said before, by rule and operands."""


def _only_picks(op: compat.OpOverload, arguments: Mapping[str, Argument]) -> bool:
    """True where numbers are picked by places alone: the shape then does not depend on what a mask holds."""
    if op is not torch.ops.aten.index.Tensor:
        return False
    dtypes = [value.geometry.dtype for value in _values({"indices": arguments["indices"]})]
    return torch.bool not in dtypes and torch.uint8 not in dtypes


def _values(arguments: Mapping[str, Argument]) -> list[Value]:
    found: list[Value] = []
    for argument in arguments.values():
        if isinstance(argument, Value):
            found.append(argument)
        elif isinstance(argument, list):
            found += [item for item in argument if isinstance(item, Value)]
    return found
