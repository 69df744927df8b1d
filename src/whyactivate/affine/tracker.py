"""Runs a module's own forward, eagerly, and writes down every operation that touches its input."""

from __future__ import annotations

import contextvars
import copy
import linecache
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine.guards import LeakGuard, Refusal, same_surroundings, watched_threads
from whyactivate.affine.rules import find_rule
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.state import State
from whyactivate.affine.tape import Argument, Constant, Geometry, Location, Node, Storage, Tape, Value
from whyactivate.affine.trees import leaves_of, map_leaves, tensors_in

_OWN_FOLDERS = tuple(str(Path(__file__).parents[1] / part) for part in ("affine", "activations"))
_INPUT_ROOT = frozenset({0})
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout)


def record(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    locate: bool = True,
    state: State | None = None,
    filler: int = 0,
) -> Tape:
    """The tape of `module(*args, **kwargs)`; the module, its buffers and all random states stay as they were.

    Floating tensors among the arguments are the input; everything else is held fixed.

    Args:
        module: the module, in the mode (train or eval) it is to be judged in.
        args: positional arguments of its forward.
        kwargs: keyword arguments of its forward.
        locate: whether to note the module path and source line of each operation, which takes time.
        state: what the module remembers, where that was looked up before.
        filler: what unwritten integers hold; two recordings with different fillers tell whether they are read.

    Raises:
        BaseException: whatever the module's forward itself raises.
    """
    return _Recorder(module, locate, state or State(module), filler).run(args, kwargs)


def run_unwatched(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], state: State
) -> tuple[Tensor, ...]:
    """What `module(*args, **kwargs)` returns when nobody watches; empty where it raises."""

    def fresh(argument: Any) -> Any:
        if not isinstance(argument, Tensor):
            return _copied(argument)
        own = argument.detach().clone(memory_format=torch.contiguous_format)
        return own.requires_grad_(argument.requires_grad)

    try:
        with same_surroundings(lambda words: None), compat.eager():
            result = module(*map_leaves(fresh, list(args)), **map_leaves(fresh, dict(kwargs)))
        return tuple(tensor.detach().clone() for tensor in tensors_in(result))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ()
    finally:
        state.restore(lambda tensor: False)


class _Recorder(compat.DispatchMode):
    def __init__(self, module: nn.Module, locate: bool, state: State, filler: int) -> None:
        super().__init__()
        self._module, self._locate, self._state, self._filler = module, locate, state, filler
        self._names = {id(part): name for name, part in module.named_modules()}
        self._calls: dict[str, list[FrameType]] = {}

        self._memory: dict[int, tuple[int, torch.UntypedStorage]] = {}  # address -> (storage id, kept alive)
        self._storages: dict[int, Storage] = {}
        self._versions: dict[int, int] = {}
        self._roots: dict[int, frozenset[int]] = {}
        self._root_count = 0

        self._born_here: set[int] = set()
        self._lent: set[int] = set()  # memory that can be read and written where nobody sees it
        self._checked: set[int] = set()
        self._saved: dict[int, tuple[Tensor, Tensor]] = {}  # address -> (live bytes, their copy)
        self._constants: dict[int, list[Constant]] = {}

        self._nodes: list[Node] = []
        self._refusal: str | None = None
        self._refused_at = Location()
        self._notes: list[str] = []
        self._raised: BaseException | None = None

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tape:
        inputs: list[Value] = []
        outputs: list[Value | Constant] = []

        def fresh(argument: Any) -> Any:
            if not isinstance(argument, Tensor):
                return _copied(argument)
            own = argument.detach().clone(memory_format=torch.contiguous_format)
            if own.is_floating_point():
                given.append(argument.detach())
                inputs.append(self._adopt(own, _INPUT_ROOT))
                own.requires_grad_(argument.requires_grad)
            else:
                self._own(own)
            return own

        given: list[Tensor] = []
        args, kwargs = map_leaves(fresh, list(args)), map_leaves(fresh, dict(kwargs))
        result: Any = None
        changed: list[str] = []
        if self._state.obstacle is not None:
            self._refusal = self._state.obstacle
        try:
            if self._refusal is None:
                result = self._call(args, kwargs)
            outputs = [self._output(leaf) for leaf in leaves_of(result) if not isinstance(leaf, _PLAIN)]
        except KeyboardInterrupt:
            raise
        except BaseException:
            if self._refusal is None:
                raise
        finally:
            self._calls.clear()
            changed = self._restore_memory() + self._state.restore(self._depends)
        return Tape(
            inputs=tuple(inputs),
            given=tuple(given),
            outputs=tuple(outputs),
            returned=tuple(tensor.detach() for tensor in tensors_in(result)),
            nodes=tuple(self._nodes),
            storages=self._storages,
            refusal=self._refusal,
            refused_at=self._refused_at,
            state=tuple(dict.fromkeys(changed)),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        guard = LeakGuard(self._depends, self._refuse, self._lend, self._own)
        note = self._note_refusal
        context = contextvars.copy_context()
        before = dict(context)
        with same_surroundings(note), watched_threads(note), compat.eager(), guard, self:
            result = context.run(self._module, *args, **kwargs)
        if any(before.get(variable) is not value for variable, value in context.items()):
            note("it changes a context variable, and so remembers something")
        return result

    def _output(self, leaf: Any) -> Value | Constant:
        if not isinstance(leaf, Tensor):
            self._refuse(f"the module returns a {type(leaf).__name__}; what that holds cannot be followed")
        return self._value(leaf) if self._depends(leaf) else Constant(leaf, compat.version(leaf))

    # -- one operation ----------------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not isinstance(func, compat.OpOverload):
            self._refuse(f"{func} takes functions, and which of them run may depend on the input")
        for kind in types:
            if compat.is_foreign(kind):
                self._refuse(f"a {kind.__name__} takes part, a tensor whose operations are code of its own")
        kwargs = kwargs or {}
        if compat.is_made_of_others(func) and find_rule(func) is None:
            with self:
                return func.decompose(*args, **kwargs)
        try:
            with compat.without_functions():  # scripted code comes here with the guard still in force
                operands = compat.bind(func, args, kwargs)
                if compat.is_about_shapes(func) or not any(self._depends(tensor) for tensor in tensors_in(operands)):
                    return self._constant_operation(func, operands, args, kwargs)
                return self._operation(func, operands, args, kwargs)
        except Exception as error:
            if error is not self._raised:  # the module must not catch what it would not meet without a recorder
                self._refuse(f"{func} could not be followed ({type(error).__name__}: {error})")
            raise

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        try:
            return func(*args, **kwargs)
        except Exception as error:
            self._raised = error
            raise

    def _constant_operation(self, func: Any, operands: dict[str, Any], args: Any, kwargs: Any) -> Any:
        if compat.is_random(func):
            self._note_refusal(f"{func} draws random numbers: two calls with one input may differ")
        for name in compat.written_names(func):
            for tensor in tensors_in(operands.get(name)):
                self._before_write(tensor)
        for tensor in compat.hidden_writes(func, operands):
            self._before_write(tensor)
        known: set[int] = set()
        for tensor in tensors_in(operands):
            key = compat.storage_key(tensor)
            self._check_alias(tensor, key)
            known.add(key)
        result = self._run(func, args, kwargs)
        name = compat.short_name(func)
        if name == "resize":
            self._note_refusal("resize_ gives memory that nobody has written")
        elif name != "set":  # which lays a tensor over memory that is there already
            self._born_here.update({compat.storage_key(tensor) for tensor in tensors_in(result)} - known)
        if name.startswith(("empty", "new_empty")):
            self._poison(result)
        return result

    def _operation(self, func: Any, operands: dict[str, Any], args: Any, kwargs: Any) -> Any:
        op = compat.functional_form(func)
        operands.pop("out", None)
        arguments = {name: self._argument(operand) for name, operand in operands.items()}
        behind = frozenset[int]().union(*(value.roots for value in _values(arguments)))
        rule = find_rule(op)
        reason = rule.objection(arguments) if rule else f"no rule of the table covers {op}"
        if compat.is_random(func):
            reason = f"{func} draws random numbers"
        if compat.needs_data(func) and reason is not None:
            self._refuse(
                f"{func} turns numbers that depend on the input into a Python number or a shape, "
                "so which operations run may depend on the input"
            )

        written = [
            tensor for name in compat.written_names(func) for tensor in tensors_in(kwargs.get(name, operands.get(name)))
        ]
        hidden = compat.hidden_writes(func, operands)
        if hidden and reason is not None:
            self._refuse(reason)
        if rule is not None and rule.is_view and reason is None:
            return self._view(op, arguments, self._run(func, args, kwargs))
        if rule is not None and rule.constant_result and not written:
            result = self._run(func, args, kwargs)
            self._born_here.update(compat.storage_key(tensor) for tensor in tensors_in(result))
            if rule.uninitialised:
                self._poison(result)
            return result

        held = [tensor for tensor in (*written, *hidden) if not self._depends(tensor)]
        before = {compat.storage_key(tensor): self._contents(tensor) for tensor in held}
        for tensor in held:
            self._before_write(tensor)
        result = self._run(func, args, kwargs)
        if not all(isinstance(leaf, (Tensor, type(None))) for leaf in leaves_of(result)):
            self._refuse(f"{func} turns numbers that depend on the input into Python numbers")
        results = tensors_in(result) or written
        constant = rule.constant_outputs if rule is not None and reason is None else frozenset[int]()
        unreal = [tensor.dtype for i, tensor in enumerate(results) if i not in constant and not is_real(tensor.dtype)]
        if reason is None and unreal:
            reason = f"{op} gives {unreal[0]} numbers"
        if reason is None and rule is not None:
            self._notes.extend(rule.notes())

        root: int | None = None
        roots = behind
        if reason is not None:
            self._root_count += 1
            root = self._root_count
            roots = frozenset({root})
        outputs: list[Value | None] = []
        for position, tensor in enumerate(results):
            if tensor.numel() == 0:
                outputs.append(None)
                continue
            if reason is None and position in constant:
                self._own(tensor)
                outputs.append(None)
                continue
            if reason is None and rule is not None and position not in rule.affine_outputs:
                self._note_refusal(f"a side result of {op} (number {position}) is not known to be affine")
            outputs.append(self._write(tensor, roots, before.get(compat.storage_key(tensor))))
        for tensor in hidden:
            self._write(tensor, roots, before.get(compat.storage_key(tensor)))
        self._nodes.append(Node(len(self._nodes), op, arguments, tuple(outputs), self._location(), reason, root))
        return result

    def _view(self, op: compat.OpOverload, arguments: Mapping[str, Argument], result: Any) -> Any:
        """A view shares memory with its operand, so it needs no node: whoever reads it gives its geometry."""
        source = _values(arguments)[0]
        for tensor in tensors_in(result):
            seen = self._memory.get(compat.storage_key(tensor))
            if seen is None or seen[0] != source.storage or tensor.dtype != source.geometry.dtype:
                self._refuse(f"{op} gave a tensor that does not share its operand's memory or element type")
        return result

    # -- memory -----------------------------------------------------------------------------------------------

    def _depends(self, tensor: Tensor) -> bool:
        return compat.storage_key(tensor) in self._memory

    def _adopt(self, tensor: Tensor, roots: frozenset[int], initial: Constant | None = None) -> Value:
        """Follow a tensor's storage from now on."""
        if tensor.is_meta:
            self._refuse("numbers that depend on the input are sent to the meta device, which keeps none")
        storage = tensor.untyped_storage()
        number = len(self._storages)
        self._memory[compat.storage_key(tensor)] = (number, storage)
        self._storages[number] = Storage(storage.nbytes() // tensor.element_size(), tensor.dtype, initial)
        self._versions[number] = 0
        self._roots[number] = roots
        return self._value(tensor)

    def _value(self, tensor: Tensor) -> Value:
        number = self._memory[compat.storage_key(tensor)][0]
        if tensor.dtype != self._storages[number].dtype:
            self._refuse(f"memory of {self._storages[number].dtype} numbers is read as {tensor.dtype}")
        if tensor.is_conj() or tensor.is_neg():
            self._refuse("a lazily conjugated or negated view")
        geometry = Geometry(int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)
        return Value(number, self._versions[number], geometry, self._roots[number])

    def _argument(self, operand: Any) -> Argument:
        if isinstance(operand, Tensor):
            if self._depends(operand):
                return self._value(operand)
            if operand.layout != torch.strided or operand.is_meta:
                self._refuse("a weight without ordinary memory (sparse, quantised or on the meta device) is used")
            key = compat.storage_key(operand)
            self._check_alias(operand, key)
            if key in self._lent:
                operand = operand.detach().clone()
            constant = Constant(operand, compat.version(operand))
            self._constants.setdefault(key, []).append(constant)
            return constant
        if isinstance(operand, (list, tuple)):
            return [self._argument(item) for item in operand]
        return operand

    def _contents(self, tensor: Tensor) -> Constant:
        """A copy of all that a tensor's memory holds, in one row."""
        flat = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage()).clone()
        return Constant(flat, compat.version(flat))

    def _write(self, tensor: Tensor, roots: frozenset[int], before: Constant | None) -> Value:
        """Note that an operation has put numbers that depend on `roots` into `tensor`, over what was there `before`."""
        key = compat.storage_key(tensor)
        if key == compat.NO_MEMORY:
            self._refuse("a tensor without ordinary memory (sparse, quantised or a subclass)")
        seen = self._memory.get(key)
        if seen is None:
            if before is not None and (key not in self._born_here or key in self._lent):
                owner = self._owners().get(key, "a tensor made elsewhere")
                self._refuse(
                    f"it writes numbers that depend on the input into {owner}, where they outlive the call or can be "
                    "read out of sight"
                )
            return self._adopt(tensor, roots, before)
        number, storage = seen
        if storage.nbytes() != self._storages[number].numel * tensor.element_size():
            self._refuse("memory that depends on the input changes its size or its type")
        self._versions[number] += 1
        self._roots[number] |= roots
        return self._value(tensor)

    def _before_write(self, tensor: Tensor) -> None:
        """Keep what a write is about to destroy: the caller's numbers, and constants that the tape refers to."""
        key = compat.storage_key(tensor)
        if key in self._memory:
            return
        if key not in self._born_here and key not in self._saved:
            live = compat.raw_bytes(tensor)
            self._saved[key] = (live, live.clone())
        for constant in self._constants.pop(key, ()):
            constant.tensor = constant.tensor.clone()
            constant.version = compat.version(constant.tensor)

    def _lend(self, tensor: Tensor) -> None:
        """Note that a tensor's memory can be read and written out of sight from now on."""
        if compat.storage_key(tensor) != compat.NO_MEMORY:
            self._before_write(tensor)
            self._lent.add(compat.storage_key(tensor))

    def _own(self, tensor: Tensor) -> None:
        """Note that a tensor's memory was made for this run."""
        self._born_here.add(compat.storage_key(tensor))

    def _check_alias(self, tensor: Tensor, key: int) -> None:
        """Refuse a tensor from elsewhere that is laid over memory that depends on the input."""
        if key in self._born_here or key in self._checked or key in self._memory or key == compat.NO_MEMORY:
            return
        self._checked.add(key)
        start, end = _extent(tensor.untyped_storage())
        if start == 0:  # tensors that stand for zeros have no memory
            return
        for _, storage in self._memory.values():
            first, last = _extent(storage)
            if start < last and first < end:
                self._refuse("memory that depends on the input is read through another library's tensor")

    def _poison(self, result: Any) -> None:
        """Fill unwritten memory, so that reading it before writing it is noticed: NaN, and what differs each time."""
        for tensor in tensors_in(result):
            if tensor.is_floating_point() or tensor.is_complex():
                tensor.fill_(float("nan"))
            elif tensor.layout == torch.strided and not tensor.is_quantized:
                tensor.fill_(self._filler % 2 if tensor.dtype == torch.bool else self._filler)

    def _restore_memory(self) -> list[str]:
        """Put back what was overwritten outside the run's own tensors; the result names parameters and buffers."""
        changed: list[str] = []
        for key, (live, saved) in self._saved.items():
            if not torch.equal(live, saved):
                live.copy_(saved)
                changed.append(self._owners().get(key, "a tensor made outside the module's call"))
        return changed

    def _owners(self) -> dict[int, str]:
        """The names of parameters and buffers by the memory that they lie in."""
        return {
            compat.storage_key(tensor): name
            for name, tensor in [*self._module.named_parameters(), *self._module.named_buffers()]
            if not compat.is_uninitialised(tensor)
        }

    # -- refusals and places ----------------------------------------------------------------------------------

    def _note_refusal(self, reason: str) -> None:
        if self._refusal is None:
            self._refusal, self._refused_at = reason, self._location()

    def _refuse(self, reason: str) -> None:
        self._note_refusal(reason)
        raise Refusal(reason)

    def _location(self) -> Location:
        if not self._locate:
            return Location()
        module = kind = ""
        call = 0
        found: FrameType | None = None
        named = False
        frame: FrameType | None = compat.caller_frame()
        while frame is not None and frame.f_code is not _Recorder.run.__code__:
            code = frame.f_code
            if not named and code is compat.MODULE_CALL_CODE:
                part = frame.f_locals["self"]
                if id(part) in self._names:
                    module, kind, named = self._names[id(part)], type(part).__name__, True
                    call = self._call_number(module, frame)
            elif found is None and not code.co_filename.startswith((compat.TORCH_FOLDER, *_OWN_FOLDERS, "<frozen")):
                found = frame
            frame = frame.f_back
        if found is None:
            return Location(module, kind, call)
        file, line = found.f_code.co_filename, found.f_lineno
        return Location(module, kind, call, file, line, linecache.getline(file, line).strip())

    def _call_number(self, module: str, frame: FrameType) -> int:
        """Which call of the module this is, counted from 0; frames are kept so that none is mistaken for another."""
        frames = self._calls.setdefault(module, [])
        for number, known in enumerate(frames):
            if known is frame:
                return number
        frames.append(frame)
        return len(frames) - 1


def _copied(argument: Any) -> Any:
    """An argument of the module's own, so that what it does to it is not done to the caller's."""
    if isinstance(argument, _PLAIN):
        return argument
    try:
        return copy.deepcopy(argument)
    except Exception:  # whatever cannot be copied is handed over as it is
        return argument


def _extent(storage: torch.UntypedStorage) -> tuple[int, int]:
    return storage.data_ptr(), storage.data_ptr() + storage.nbytes()


def _values(arguments: Mapping[str, Argument]) -> list[Value]:
    found: list[Value] = []
    for argument in arguments.values():
        found += [item for item in (argument if isinstance(argument, list) else [argument]) if isinstance(item, Value)]
    return found
