"""Modules whose inputs are whole numbers: the tables that these look up, and what acts on the rows found there.

A module is affine in nothing that is a whole number. But behind an nn.Embedding it is a function of real numbers: of
the rows that were found. So the module is run with these rows in the place of what its tables give; and where nothing
but layers on the last axis acts on a row, table and layers are one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine._torch_compat import storage_key
from whyactivate.affine.recording import Example
from whyactivate.affine.trees import map_leaves, tensors_in
from whyactivate.folding.copies import copied
from whyactivate.folding.layers import Layer
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import Dense, Diagonal, Map, Scale, Shift, as_vector


@dataclass(frozen=True)
class Table:
    """An nn.Embedding that is called once, with one index or more for each row of the batch."""

    path: str
    rows: int
    width: int
    weight: Tensor
    padding: int | None

    def after(self, map: Map, shift: Shift) -> Layer | None:
        """The table of what map and shift make of its rows; None where they do not act on single rows."""
        if isinstance(map, Dense):
            width = map.out
        elif isinstance(map, (Scale, Diagonal)):
            width = self.width
        else:
            return None

        def numbers() -> Tensor:
            found = Lazy.of(self.weight).value
            if isinstance(map, Dense):
                found = found @ map.matrix().T
            elif isinstance(map, Diagonal):
                found = found * map.entries.value
            else:
                found = found * map.factor
            return found if shift is None else found + as_vector(shift, width).value

        return Layer(
            words=f"Embedding({self.rows}, {width})",
            weight=numbers,
            bias=None,
            hollow=lambda: nn.Embedding(self.rows, width, padding_idx=self.padding, device="meta"),
            device=self.weight.device,
            dtype=self.weight.dtype,
        )


@dataclass(frozen=True)
class WholeNumbers(Example):
    """An example of whole numbers only; where random ones are asked for, they are smaller than `bound`."""

    bound: int = 1

    @classmethod
    def of(cls, example_input: Any) -> WholeNumbers:
        """The example that the user gave."""
        if isinstance(example_input, Mapping):
            return cls((), dict(example_input))  # pyright: ignore[reportUnknownArgumentType]
        return cls(tuple(example_input) if isinstance(example_input, tuple) else (example_input,), {})  # pyright: ignore[reportUnknownArgumentType]

    @classmethod
    def is_meant(cls, example_input: Any) -> bool:
        """Whether an example holds whole numbers, the batch first, and nothing that floats."""
        found = tensors_in([example_input])
        whole = all(not t.is_floating_point() and not t.is_complex() and not t.is_meta for t in found)
        return whole and any(_is_index(t) and t.ndim > 0 and t.shape[0] > 0 for t in found)

    @property
    def rows(self) -> int:
        """The batch size of the example."""
        return next(t for t in tensors_in([self.args, dict(self.kwargs)]) if _is_index(t) and t.ndim > 0).shape[0]

    def with_rows(self, rows: int, generator: torch.Generator | None = None, scale: float = 1.0) -> WholeNumbers:
        """The example with another batch size: its own rows repeated, or random ones where a generator is given."""
        own = self.rows

        def change(item: Any) -> Any:
            if not isinstance(item, Tensor) or item.ndim == 0 or item.shape[0] != own:
                return item
            if generator is not None and _is_index(item):
                return torch.randint(self.bound, (rows, *item.shape[1:]), generator=generator).to(item)
            return item.detach()[torch.arange(rows, device=item.device) % own]

        return replace(
            self, args=tuple(map_leaves(change, list(self.args))), kwargs=map_leaves(change, dict(self.kwargs))
        )


def _is_index(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.int32, torch.int64)


class _Given(nn.Embedding):
    """Takes the place of an nn.Embedding, and gives the rows that it was given."""

    given: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """The rows, whatever the indices."""
        assert self.given is not None
        return self.given


@dataclass(frozen=True)
class Tables:
    """A module as a function of the rows that its tables give.

    Attributes:
        module: a copy of it, whose forward takes a list of these rows before all else.
        example: the rows of the example, and its own arguments.
        numbers: the example as the module itself takes it.
        all: the tables, in the order of their rows.
    """

    module: nn.Module
    example: Example
    numbers: WholeNumbers
    all: tuple[Table, ...]


def behind_tables(module: nn.Module, example_input: Any) -> tuple[nn.Module, Any, str | None]:
    """The module as a function of what its tables give, what that takes, and what to say of it.

    Where the example holds a floating tensor, or there are no such tables, these are module and example themselves.
    """
    if not isinstance(module, nn.Module) or not WholeNumbers.is_meant(example_input):  # pyright: ignore[reportUnnecessaryIsInstance]
        return module, example_input, None
    try:
        found = find_tables(module, WholeNumbers.of(example_input))
    except Exception:  # which is said where the module runs by itself
        return module, example_input, None
    if isinstance(found, str):
        return module, example_input, None
    names = " and ".join(table.path for table in found.all)
    return found.module, tuple(found.example.args), f"judged as a function of the rows that {names} looks up"


def find_tables(module: nn.Module, numbers: WholeNumbers) -> Tables | str:
    """The module as a function of what its tables give; or why there is no such function, in words."""
    if isinstance(module, torch.jit.ScriptModule) or module._forward_hooks or module._forward_pre_hooks:  # pyright: ignore[reportPrivateUsage]
        return "its input holds whole numbers alone, and it has hooks or is scripted"
    own = copied(module)
    found: dict[str, list[Tensor]] = {}

    def watch(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, args, result: found.setdefault(path, []).append(result)

    handles = [
        part.register_forward_hook(watch(path)) for path, part in own.named_modules() if type(part) is nn.Embedding
    ]
    sizes: list[dict[str, list[Tensor]]] = []
    for count in (2, 3, numbers.rows):
        found.clear()
        inputs = numbers.with_rows(count)
        with torch.no_grad():
            own(*inputs.args, **inputs.kwargs)
        sizes.append(dict(found))
    for handle in handles:
        handle.remove()
    tables: list[Table] = []
    rows: list[Tensor] = []
    reasons: list[str] = []
    for path, results in sizes[-1].items():
        part = own.get_submodule(path)
        assert isinstance(part, nn.Embedding)
        shapes = [[tuple(result.shape) for result in size.get(path, [])] for size in sizes]
        sharing = [
            name
            for name, other in own.named_parameters(remove_duplicate=False)
            if storage_key(other) == storage_key(part.weight) and name != f"{path}.weight".removeprefix(".")
        ]
        if any(len(shape) != 1 for shape in shapes):
            reasons.append(f"{path} is called more than once")
        elif [shape[0][0] for shape in shapes] != [2, 3, numbers.rows]:
            reasons.append(f"what {path} looks up is the same for every row of the batch")
        elif part.max_norm is not None:
            reasons.append(f"{path} rescales its table while it is read (max_norm)")
        elif sharing:
            reasons.append(f"the table of {path} is also {' and '.join(sharing)}")
        else:
            weight = module.get_submodule(path).weight
            assert isinstance(weight, Tensor)
            tables.append(Table(path, part.num_embeddings, part.embedding_dim, weight, part.padding_idx))
            rows.append(results[0].detach())
    if not tables:
        return "; ".join([
            "its input holds whole numbers alone, and it is affine in nothing that is a whole number",
            *(reasons or ["nothing in it is looked up in an nn.Embedding"]),
        ])  # fmt: skip
    for table in tables:
        own.get_submodule(table.path).__class__ = _Given
    own.__class__ = _with_rows(type(own), tuple(table.path for table in tables))
    example = Example.of((rows, *numbers.args, dict(numbers.kwargs)))
    bound = min(table.rows for table in tables)
    return Tables(own, example, replace(numbers, bound=bound), tuple(tables))


def _with_rows(kind: type[nn.Module], paths: tuple[str, ...]) -> type[nn.Module]:
    """The class, with a forward that takes the rows that the tables give, and the keywords as a dict at the end."""

    def forward(self: nn.Module, rows: list[Tensor], *args: Any) -> Any:
        places = [vars(self.get_submodule(path)) for path in paths]
        for place, given in zip(places, rows, strict=True):
            place["given"] = given
        try:
            return kind.forward(self, *args[:-1], **args[-1])
        finally:
            for place in places:
                del place["given"]

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": __name__})
