"""The private PyTorch interfaces that the analysis needs, in one place. Tried on PyTorch 2.13."""

# pyright: reportPrivateUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
import math
import os
import re
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from types import FrameType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket
from torch.nn.parameter import UninitializedTensorMixin
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack, _pop_mode, _push_mode

__all__ = [
    "DispatchMode",
    "MODULE_CALL_CODE",
    "NO_MEMORY",
    "OpOverload",
    "OpOverloadPacket",
    "TORCH_FOLDER",
    "TorchFunctionMode",
    "argument_names",
    "bind",
    "caller_frame",
    "eager",
    "find_operation",
    "functional_form",
    "is_random",
    "is_uninitialised",
    "is_view",
    "may_transform_convolutions",
    "needs_data",
    "number_operands",
    "positional_names",
    "short_name",
    "storage_key",
    "version",
    "written_names",
]

MODULE_CALL_CODE = nn.Module._call_impl.__code__
"""The code object of the frame in which every call of a module happens; its `self` is the module."""

TORCH_FOLDER = str(torch.__file__).rsplit("__init__", 1)[0]


check_in_graph = torch._assert
"""An assertion that a torch.fx graph can hold."""


class DispatchMode(TorchDispatchMode):
    """A dispatch mode whose first use does not import torch._dynamo (which takes about a second).

    It is also shown operations that take functions, such as `torch.cond`.
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


BACKWARD = "run_backward"
"""The name of the function by which PyTorch's engine computes gradients."""


NO_MEMORY = 0
"""The key of tensors that have no storage of their own (sparse ones, some subclasses)."""


def storage_key(tensor: Tensor) -> int:
    """The identity of a tensor's memory, shared by all views of it."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return NO_MEMORY


def version(tensor: Tensor) -> int:
    """A count of the writes into a tensor's memory; always 0 for tensors made in inference mode."""
    return 0 if tensor.is_inference() else tensor._version


def place(tensor: Tensor) -> tuple[Any, ...]:
    """Where the numbers of a tensor lie, and how they are read."""
    return storage_key(tensor), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def hooks_of(tensor: Tensor) -> tuple[dict[int, Any] | None, ...]:
    """The functions that are called with the gradient of a tensor, by their numbers."""
    return tuple(None if held is None else dict(held) for held in map(tensor.__getattribute__, _HOOKS))


def set_hooks(tensor: Tensor, hooks: tuple[dict[int, Any] | None, ...]) -> None:
    """Give a tensor the hooks that it had."""
    for name, held in zip(_HOOKS, hooks, strict=True):
        setattr(tensor, name, None if held is None else collections.OrderedDict(held))


_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def extent(tensor: Tensor) -> tuple[int, int]:
    """Where the memory of a tensor begins and ends."""
    storage = tensor.untyped_storage()
    start = storage.data_ptr()
    return start, start + storage.nbytes()


def is_plain(tensor: Tensor) -> bool:
    """True for ordinary dense tensors with numbers in them."""
    return type(tensor) is Tensor and tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_meta)


def largest_among(tensors: list[Tensor]) -> float:
    """The largest number in tensors that are not empty, without its sign; NaN where there is one."""
    with torch.no_grad():
        sizes = torch._foreach_abs(tensors)  # pyright: ignore[reportPrivateImportUsage]
        largest = torch._foreach_max(sizes)  # pyright: ignore[reportPrivateImportUsage]
        return float(torch.stack([one.to("cpu", torch.float64) for one in largest]).max())


def are_small_numbers(tensors: list[Tensor]) -> bool:
    """True where all numbers in tensors are finite, and so small that the sum of their squares is, too."""
    with torch.no_grad():
        norms = torch._foreach_norm(tensors, 2)  # pyright: ignore[reportPrivateImportUsage]
        return math.isfinite(torch.stack([norm.to("cpu", torch.float64) for norm in norms]).max())


def is_array(value: Any) -> bool:
    """True for a NumPy array."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def objects_in(array: Any) -> list[Any]:
    """The Python objects that a NumPy array holds."""
    return array.ravel().tolist() if array.dtype.hasobject else []


def raw_bytes(tensor: Tensor) -> Tensor:
    """All that a tensor's memory holds, as bytes; shares that memory."""
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())


def same_numbers(a: Tensor, b: Tensor) -> bool:
    """True where two plain tensors have one dtype, one shape and the same bits."""
    if type(a) is not type(b) or a.dtype != b.dtype or a.shape != b.shape or a.layout != b.layout:
        return False
    if a.layout != torch.strided or is_uninitialised(a) or a.is_meta or b.is_meta or a.device != b.device:
        return False
    a, b = a.detach().contiguous().reshape(-1), b.detach().contiguous().reshape(-1)
    return torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def is_foreign(kind: type) -> bool:
    """True for subclasses of Tensor whose operations are Python code of their own (`__torch_dispatch__`)."""
    own: Any = kind.__torch_dispatch__
    return own is not Tensor.__torch_dispatch__ and own is not torch._C._disabled_torch_dispatch_impl


def has_own_functions(kind: type) -> bool:
    """True for subclasses of Tensor whose functions are Python code of their own (`__torch_function__`)."""
    own: Any = getattr(kind, "__torch_function__", None)
    plain: Any = Tensor.__torch_function__
    return own is not torch._C._disabled_torch_function_impl and getattr(own, "__func__", own) is not plain.__func__


def unwrapped(tensor: Tensor) -> Tensor:
    """The tensor that holds the numbers, where a transform of functions (as `torch.func.grad`) has wrapped it."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def without_functions() -> contextlib.AbstractContextManager[Any]:
    """Keep function modes and subclasses out of what is done meanwhile."""
    return torch._C.DisableTorchFunction()


def subclasses_have_a_say() -> bool:
    """False while a subclass of Tensor carries out a function as a plain Tensor would."""
    return torch._C._is_torch_function_enabled()


def own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """The parameters and buffers of a module itself, by name; one that has several names comes several times."""
    named = [*module._parameters.items(), *module._buffers.items()]
    return [(name, tensor) for name, tensor in named if tensor is not None]


def global_hooks() -> list[dict[int, Any]]:
    """The hooks that PyTorch calls for every module."""
    hooks = vars(nn.modules.module)
    return [value for name, value in hooks.items() if name.startswith("_global_") and isinstance(value, dict)]


def names_not_saved(module: nn.Module) -> set[str]:
    """The names of a module's own buffers that are no part of its state dict."""
    return module._non_persistent_buffers_set


def only_checks_sizes(hook: Any) -> bool:
    """True for the hooks that exported programs come with: they look at the sizes of the inputs, and change nothing."""
    return getattr(hook, "__module__", None) == "torch.export._unlift"


def is_looked_up(value: Any) -> bool:
    """True for what scripted modules put among their attributes when it is first asked for."""
    return isinstance(value, torch._C.ScriptMethod)


def hidden_in_script(script: Any, is_module: bool) -> str | None:
    """What a scripted module or function does that no operation shows, in words; None where nothing is seen."""
    return next((words for graph in _graphs_of(script, is_module) if (words := _hidden_in_graph(graph))), None)


def _graphs_of(script: Any, is_module: bool) -> list[Any]:
    try:
        # By way of `_c`: looking methods up on the module itself would leave them in the module's attributes.
        names = [name for name in script._c._method_names() if not name.startswith("__")] if is_module else []
        methods = [script._c._get_method(name) for name in names] if is_module else _functions_of(script)
    except (AttributeError, RuntimeError):
        return []
    return [method.inlined_graph for method in methods]


def compared_in_script(script: Any, is_module: bool) -> set[int]:
    """The whole numbers that a scripted module or function compares with others, or divides by."""
    return {
        number
        for graph in _graphs_of(script, is_module)
        for kind in ("gt", "ge", "lt", "le", "eq", "ne", "remainder", "floordiv")
        for node in graph.findAllNodes(f"aten::{kind}")
        for operand in node.inputs()
        if type(number := _value_in_script(operand, script)) is int
    }


def _value_in_script(operand: Any, script: Any) -> Any:
    """What a constant or an attribute holds in a graph of a scripted module or function; None for anything else."""
    node = operand.node()
    if node.kind() == "prim::Param":
        return script._c if isinstance(script, torch.jit.ScriptModule) and operand.type() == script._c._type() else None
    if node.kind() != "prim::GetAttr":
        return operand.toIValue()
    owner = _value_in_script(next(node.inputs()), script)
    return owner.getattr(node.s("name")) if isinstance(owner, torch._C.ScriptObject) else None


def _functions_of(script: Any) -> list[Any]:
    return script.get_functions() if isinstance(script, torch.jit.CompilationUnit) else [script]


_MADE_THERE = frozenset({"prim::ListConstruct", "prim::DictConstruct", "aten::list", "aten::dict", "aten::copy"})
_CHANGES = (
    "append", "_set_item", "pop", "popitem", "clear", "insert", "extend", "update", "Delete", "setdefault", "reverse",
    "sort", "remove", "add_", "mul_",
)  # fmt: skip


def _hidden_in_graph(graph: Any) -> str | None:
    for node in graph.findAllNodes("prim::tolist") + graph.findAllNodes("prim::fork"):
        return f"scripted code takes numbers out of sight ({node.kind()})"
    for node in graph.findAllNodes("prim::SetAttr"):
        return f"scripted code changes an attribute ({node.s('name')})"
    for kind in _CHANGES:
        for node in graph.findAllNodes(f"aten::{kind}"):
            changed = next(node.inputs())
            is_container = changed.type().kind() in ("ListType", "DictType")
            if is_container and changed.node().kind() not in _MADE_THERE:
                return f"scripted code changes what an attribute holds (aten::{kind})"
    for kind in READING_WHOLE_NUMBERS:
        for node in graph.findAllNodes(f"aten::{kind}"):
            if [str(operand.type()) for operand in node.inputs()][1:2] == ["Tensor"] and kind not in _RECURRENT:
                return f"scripted code takes numbers out of sight (aten::{kind})"
    for kind in ("str", "format", "percentFormat"):
        for node in graph.findAllNodes(f"aten::{kind}"):
            if any(str(operand.type()) == "Tensor" for operand in node.inputs()):
                return f"scripted code takes numbers out of sight (aten::{kind})"
    return None


def is_uninitialised(tensor: Tensor) -> bool:
    """True for the parameters of lazy modules that have not run yet."""
    return isinstance(tensor, UninitializedTensorMixin)


@dataclass(frozen=True, slots=True)
class Traced:
    """Where an operation of a traced program was in the module that was traced: `at` holds file, line and text."""

    module: str
    kind: str
    at: tuple[str, int, str] | None


def traced_from(frame: FrameType) -> Traced | None:
    """What a traced program tells about the operation that its code is at; None where it tells nothing."""
    program: Any = frame.f_locals.get("self")
    if not isinstance(program, torch.fx.GraphModule):
        return None
    number = (getattr(program, "_lineno_map", None) or {}).get(frame.f_lineno - getattr(program, "_prologue_start", 0))
    nodes = [*program.graph.nodes]
    meta = nodes[number].meta if number is not None and number < len(nodes) else {}
    stack = [*(meta.get("nn_module_stack") or {}).values()]
    if not stack:
        return None
    path, kind = stack[-1]
    return Traced(
        str(path).partition("@")[0],
        str(getattr(kind, "__name__", kind)).rpartition(".")[2],
        _last_place_of_a_user(meta.get("stack_trace") or ""),
    )


def _last_place_of_a_user(trace: str) -> tuple[str, int, str] | None:
    lines = trace.splitlines()
    for line, after in zip(reversed(lines[:-1]), reversed(lines[1:]), strict=True):
        match = re.match(r'\s*File "(.+)", line (\d+), in ', line)
        if match is not None and f"{os.sep}torch{os.sep}" not in match[1]:
            return match[1], int(match[2]), after.strip()
    return None


GENERATED = "<eval_with_key>"
"""What the file names of the code of traced programs begin with."""


def caller_frame() -> FrameType | None:
    """The frame of the function that called the caller."""
    return sys._getframe(2)


@cache
def short_name(op: OpOverload) -> str:
    """An operation's bare name: `relu` for `aten.relu_.default`."""
    return op._schema.name.split("::")[-1].strip("_")


def find_operation(name: str) -> OpOverload:
    """The operation of a name like aten::add.Tensor."""
    space, _, rest = name.partition("::")
    packet, _, overload = rest.partition(".")
    return getattr(getattr(getattr(torch.ops, space), packet), overload or "default")


@cache
def argument_names(op: OpOverload) -> tuple[str, ...]:
    """The operand names of an operation, in order."""
    return tuple(argument.name for argument in op._schema.arguments)


@cache
def positional_names(op: OpOverload) -> tuple[str, ...]:
    """The operand names of an operation that need not be given by keyword, in order."""
    return tuple(argument.name for argument in op._schema.arguments if not argument.kwarg_only)


@cache
def written_names(op: OpOverload) -> tuple[str, ...]:
    """The operands that an operation writes into."""
    return tuple(
        argument.name
        for argument in op._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    )


@cache
def is_made_of_others(op: OpOverload) -> bool:
    """True where PyTorch carries an operation out as others; such ones are met in inference mode only."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd")


_ABOUT_SHAPES = frozenset({torch.ops.aten.is_same_size.default, torch.ops.aten._has_same_storage_numel.default})
"""Operations whose result is no tensor and tells about the shapes of the operands only."""
_ABOUT_SHAPES_OF = {torch.ops.aten._nested_tensor_from_mask_left_aligned.default: frozenset({"t"})}
"""Such ones that tell about the shapes of some operands and the numbers in the others."""


def definition_in_python(op: OpOverload | OpOverloadPacket) -> Any:
    """What `torch.library.custom_op` made of a Python function, for an operation that is one; else None."""
    name = op._schema.name if isinstance(op, OpOverload) else op._qualified_op_name
    return torch._library.custom_ops.OPDEFS.get(name)


def operation_given_other_code() -> str | None:
    """An operation of PyTorch's own whose kernel `torch.library` has exchanged; None where there is none."""
    _own_kernels.update(
        key
        for key in torch.library._impls - _own_kernels
        if not (key.startswith("aten/") and key.rpartition("/")[2] in _KERNELS)
    )
    return next((key.rpartition("/")[0].replace("/", "::") for key in torch.library._impls - _own_kernels), None)


_KERNELS = frozenset({"CPU", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional"})
"""What is registered under other keys is not used here, or carried out as operations that are seen."""
_own_kernels: set[str] = set()


@dataclass(frozen=True, slots=True)
class Facts:
    """What one operation is, looked up once.

    Attributes:
        op: the operation as it was called.
        functional: its form that writes into nothing.
        name: its bare name, as in `short_name`.
        operands: the operand names, in order.
        defaults: their defaults.
        written: the operands that it writes into.
        is_random: two equal calls may give different results.
        needs_data: a shape or a Python number is read off the values of an operand.
        is_about_shapes: the result tells about the shapes of the operands only.
        shown_by_shape: operands of whose numbers the result tells nothing.
        gives_unwritten: the result is memory that nobody has written.
        is_made_of_others: PyTorch carries it out as others.
        may_write: it writes into an operand, or may do so.
        is_repeatable: it is one of PyTorch's own, and its results follow from its operands.
    """

    op: OpOverload
    functional: OpOverload
    name: str
    operands: tuple[str, ...]
    defaults: dict[str, Any]
    written: tuple[str, ...]
    is_random: bool
    needs_data: bool
    is_about_shapes: bool
    shown_by_shape: frozenset[str]
    gives_unwritten: bool
    is_made_of_others: bool
    may_write: bool
    is_repeatable: bool

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """All operands of a call by name, defaults included."""
        return {**self.defaults, **dict(zip(self.operands, args, strict=False)), **kwargs}

    def hidden_writes(self, operands: dict[str, Any]) -> list[Tensor]:
        """The tensors that a call writes into although its schema does not say so."""
        return hidden_writes(self.op, operands) if self.op in _STATISTICS else []


@cache
def facts_of(op: OpOverload) -> Facts:
    """The facts about an operation."""
    return Facts(
        op,
        functional_form(op),
        short_name(op),
        argument_names(op),
        {argument.name: argument.default_value for argument in op._schema.arguments if argument.has_default_value()},
        written_names(op),
        is_random(op),
        needs_data(op),
        op in _ABOUT_SHAPES,
        _ABOUT_SHAPES_OF.get(op, frozenset()),
        short_name(op).startswith(("empty", "new_empty")),
        is_made_of_others(op),
        bool(written_names(op)) or op in _STATISTICS,
        op.namespace == "aten"
        and not (is_random(op) or needs_data(op))
        and short_name(op) not in ("resize", "resize_as", "set", "from_file"),
    )


_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
"""Of which scripted layers hold the form for packed sequences, too, used or not."""
READING_WHOLE_NUMBERS = (
    *_RECURRENT, "tensor_split", "_pad_packed_sequence", "_pack_padded_sequence_backward", "_reshape_from_tensor",
    "_sobol_engine_draw", "_sobol_engine_ff_", "_sobol_engine_scramble_", "_sobol_engine_initialize_state_",
)  # fmt: skip
"""Operations that PyTorch carries out as others by what it reads in the memory of an operand, where nobody sees it."""


def forms_of(name: str) -> list[Any]:
    """All by which an operation of PyTorch can be called: functions, methods, packets and overloads."""
    packet = getattr(torch.ops.aten, name)
    functions = [getattr(owner, name, None) for owner in (torch, torch._VF, Tensor)]
    return [packet, *(getattr(packet, overload) for overload in packet.overloads()), *filter(None, functions)]


def bind(op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All operands of a call by name, defaults included."""
    return facts_of(op).bind(args, kwargs)


_STATISTICS = {torch.ops.aten.native_batch_norm.default: ("running_mean", "running_var")}


def hidden_writes(op: OpOverload, operands: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operation writes into although its schema does not say so."""
    names = _STATISTICS.get(op, ()) if operands.get("training") else ()
    return [operands[name] for name in names if isinstance(operands.get(name), Tensor)]


@cache
def is_view(op: OpOverload) -> bool:
    """True where the results may share memory with an operand that the operation leaves unchanged."""
    if op is torch.ops.aten._unsafe_view.default:
        return True
    return any(
        argument.alias_info is not None and not argument.alias_info.is_write for argument in op._schema.arguments
    )


@cache
def functional_form(op: OpOverload) -> OpOverload:
    """The form of an operation that writes into nothing: `add.Tensor` for `add_.Tensor` and `add.out`."""
    if not written_names(op):
        return op
    namespace, name = op._schema.name.split("::")
    packet = getattr(getattr(torch.ops, namespace), name.rstrip("_") if not name.startswith("_") else name, None)
    wanted = [operand for operand in _operands(op) if operand[0] != "out"]
    for overload in packet.overloads() if packet is not None else ():
        candidate = getattr(packet, overload)
        if not written_names(candidate) and _operands(candidate) == wanted:
            return candidate
    return op


def _operands(op: OpOverload) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in op._schema.arguments]


@cache
def is_random(op: OpOverload) -> bool:
    """True where two equal calls may give different results."""
    return torch.Tag.nondeterministic_seeded in op.tags


@cache
def needs_data(op: OpOverload) -> bool:
    """True where the shape of the result, or a Python number, is read off the values of an operand."""
    return torch.Tag.data_dependent_output in op.tags or torch.Tag.dynamic_output_shape in op.tags


def is_compiling_possible() -> bool:
    """True where PyTorch's compiler has been loaded."""
    return "torch._dynamo" in sys.modules


@contextlib.contextmanager
def eager() -> Generator[None]:
    """Run compiled modules as they were written; does nothing where nothing can have been compiled."""
    if is_compiling_possible():
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def compiler_of(value: Any) -> Any:
    """The function by which a compiled module or function is compiled; None for what is not compiled."""
    if not is_compiling_possible():
        return None
    frames: Any = sys.modules["torch._dynamo.eval_frame"]
    held = [vars(value).get("dynamo_ctx")] if isinstance(value, nn.Module) else []
    if isinstance(value, FunctionType) and "_torchdynamo_orig_callable" in vars(value):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
    context = next((one for one in held if isinstance(one, frames.OptimizeContext)), None)
    if context is None:
        return None
    backend = frames.innermost_backend(context.callback)
    return getattr(backend, "compiler_fn", backend)


def is_hidden(kind: type) -> bool:
    """True for kinds of objects of PyTorch's own that hold something which can be seen by printing them only."""
    return kind in (torch.ScriptDict, torch.ScriptList, torch.Graph)  # pyright: ignore[reportPrivateImportUsage]


def is_changed(variable: contextvars.ContextVar[Any], before: Any, now: Any) -> bool:
    """Whether a context variable has another value than before; PyTorch's own settings count by what they amount to.

    Args:
        variable: the variable, which has a value in a context that is not the current one.
        before: its value in the current one, or the variable itself where it has none.
        now: its value.
    """
    if before is variable:
        with contextlib.suppress(LookupError):
            before = contextvars.Context().run(variable.get)  # its default
    if before is now:
        return False
    for name, module in [*sys.modules.items()]:
        if name.startswith("torch.") and "config" in name:
            if any(vars(module).get(cache) is variable for cache in _CACHES_OF_SETTINGS):
                return False
            for setting, entry in vars(module).get("_config", {}).items():
                if getattr(entry, "user_override", None) is variable:
                    return bool(getattr(module, setting) != now)
    return True


_CACHES_OF_SETTINGS = ("_hash_dirty_var", "_hash_cache_var", "_get_dict_dirty_keys_var", "_get_dict_cache_var")


def global_settings() -> list[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """PyTorch's global settings that a forward may change: words for the change, how to read and how to set each."""
    words = "it changes {} for all of PyTorch"
    return [
        (words.format("the default dtype"), torch.get_default_dtype, torch.set_default_dtype),
        (words.format("the number of threads"), torch.get_num_threads, torch.set_num_threads),
        (words.format("whether gradients are computed"), torch.is_grad_enabled, torch._C._set_grad_enabled),
        (
            words.format("how float32 products are computed"),
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        (
            words.format("which algorithms may be used"),
            torch.get_deterministic_debug_mode,
            torch.set_deterministic_debug_mode,
        ),
        (
            words.format("what unwritten memory holds"),
            functools.partial(getattr, torch.utils.deterministic, "fill_uninitialized_memory"),
            functools.partial(setattr, torch.utils.deterministic, "fill_uninitialized_memory"),
        ),
        (
            words.format("whether oneDNN is used"),
            torch._C._get_mkldnn_enabled,
            torch._C._set_mkldnn_enabled,
        ),
        (
            words.format("the search for anomalies"),
            lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
            lambda kept: torch.set_anomaly_enabled(*kept),
        ),
        (words.format("autocast"), _autocast, _set_autocast),
        *(
            (words.format(f"a switch ({name})"), getattr(torch._C, getter), getattr(torch._C, setter))
            for name, getter, setter in _SWITCHES
        ),
    ]


_AUTOCAST = ("cpu", "cuda", "xpu", "mps", "hpu", "ipu", "xla", "mtia", "maia", "privateuseone")
_SWITCHES = (
    *(
        (name, f"_get_{name}", f"_set_{name}")
        for name in (
            "autograd_fallback_mode", "backcompat_broadcast_warn", "backcompat_keepdim_warn", "blas_preferred_backend",
            "cpu_allow_fp16_reduced_precision_reduction", "cublas_allow_fp16_accumulation", "cudnn_allow_tf32",
            "cudnn_benchmark", "cudnn_deterministic", "cudnn_enabled", "graph_executor_optimize",
            "linalg_preferred_backend", "math_sdp_allow_fp16_bf16_reduction", "miopen_immediate",
            "mkldnn_deterministic", "nnpack_enabled", "qengine", "sdp_priority_order", "warnAlways",
        )
    ),
    *(
        (f"sdp_{name}", f"_get_{name}_sdp_enabled", f"_set_sdp_use_{name}")
        for name in ("cudnn", "fa3", "flash", "math", "mem_efficient", "overrideable")
    ),
)  # fmt: skip
"""Of the process: a name, how each is read, and how it is set."""


def _autocast() -> tuple[Any, ...]:
    """Whether autocast is on, and with which dtype, for each kind of device, and whether it keeps what it cast."""
    kinds = ((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _AUTOCAST)
    return (*kinds, torch.is_autocast_cache_enabled())


def _set_autocast(kept: tuple[Any, ...]) -> None:
    for kind, (is_on, dtype) in zip(_AUTOCAST, kept[:-1], strict=True):
        torch.set_autocast_enabled(kind, is_on)
        torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_cache_enabled(kept[-1])


@contextlib.contextmanager
def same_modes(note: Callable[[str], None]) -> Generator[None]:
    """Leave the stacks of function and dispatch modes as they were; where a mode was entered and not left, note it."""
    device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    functions, dispatches = torch.overrides._get_current_function_mode_stack(), _get_current_dispatch_mode_stack()
    try:
        yield
    finally:
        now = torch.overrides._get_current_function_mode_stack(), _get_current_dispatch_mode_stack()
        if now != (functions, dispatches):
            note("it enters or leaves a mode of PyTorch, or the default device, for good")
            while torch._C._len_torch_function_stack():
                torch._C._pop_torch_function_stack()
            for mode in functions:
                torch._C._push_on_torch_function_stack(mode)
            while torch._C._len_torch_dispatch_stack():
                _pop_mode()
            for mode in dispatches:
                _push_mode(mode)
            torch._GLOBAL_DEVICE_CONTEXT.device_context = device


_SCALES = {torch.ops.aten.native_dropout_backward.default: "scale"}
"""Numbers that are multiplied in the dtype of the tensors, although the schema calls them settings."""

_ORDERS = frozenset({"ord", "p"})
"""Of norms: infinity is one."""


@cache
def number_operands(op: OpOverload) -> frozenset[str]:
    """The operands that take numbers: tensors, lists of tensors, and plain numbers standing for one."""
    return frozenset(
        argument.name
        for argument in op._schema.arguments
        if _SCALES.get(op) == argument.name
        or (argument.name not in _ORDERS and any(word in str(argument.type) for word in ("Tensor", "number", "Scalar")))
    )


def may_transform_convolutions() -> bool:
    """Whether PyTorch may convolve float32 images by NNPACK, which transforms them first (as Winograd did, or Fourier).

    It does where oneDNN is off or missing, for 16 images or more.
    """
    onednn = torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled()
    return not onednn and torch.backends.nnpack.is_available() and torch._C._get_nnpack_enabled()
