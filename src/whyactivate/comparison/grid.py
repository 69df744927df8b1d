"""What is compared with what: every combination asked for, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from whyactivate._checks import check_number, check_seed, check_whole
from whyactivate.activations import Activation, get_activation
from whyactivate.comparison.member import Place
from whyactivate.errors import InputError, UnknownNameError
from whyactivate.models import INITS, Init
from whyactivate.training.config import LARGEST_RATE
from whyactivate.training.plain import acts_elementwise, probe

ARTICLE_FIVE = ("identity", "relu", "sigmoid", "tanh", "leaky_relu")
"""No activation, and the article's four."""

ARTICLE_HIDDEN = (18, 18, 4)

Choice = str | Callable[[Tensor], Tensor] | None
"""How an activation is named by the caller; what is sent to other processes."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination, in the order in which the result lists them.

    Attributes:
        places: all combinations but for the seed.
        seeds: each place is trained once with each.
        choices: the activation of each name, as the caller gave it.
        own: for each that is not of the table, what it makes of a few numbers: two functions may have one name.
    """

    places: tuple[Place, ...]
    seeds: tuple[int, ...]
    choices: dict[str, Choice]
    own: dict[str, tuple[float, ...]]


def make_grid(
    activations: object,
    seeds: object,
    hidden: object,
    depths: object,
    widths: object,
    inits: object,
    learning_rates: object,
    default_rate: float,
) -> Grid:
    """The grid of these choices.

    Raises:
        InputError: a choice cannot be used, comes twice, or `hidden` comes together with depths or widths.
        UnknownNameError: there is no such activation or init.
    """
    choices = _read_activations(activations)
    kinds = cast("tuple[Init, ...]", _distinct("inits", [_check_init(i) for i in _listed("inits", inits)]))
    rates = (
        [default_rate]
        if learning_rates is None
        else [check_number("learning_rates", r, 0, LARGEST_RATE) for r in _listed("learning_rates", learning_rates)]
    )
    shapes = _distinct("hidden widths", _read_shapes(hidden, depths, widths))
    places = tuple(
        Place(name, shape, init, rate)
        for shape, init, rate, name in product(shapes, kinds, _distinct("learning_rates", rates), choices)
    )
    own = {n: probe(check_elementwise(n, c).module()) for n, c in choices.items() if c is not None and c != n}
    return Grid(places, _read_seeds(seeds), choices, own)


def read_layers(layers: object, *others: object) -> tuple[int, ...]:
    """All widths of a perceptron.

    Raises:
        InputError: they are not at least two whole numbers, or the shape is told in another way as well.
    """
    if any(other is not None for other in others):
        raise InputError("give either layers, or hidden, or depths and widths, not several of them")
    listed = not isinstance(layers, (str, bytes)) and isinstance(layers, Iterable)
    widths = tuple(check_whole("layers", width, 1) for width in cast("Iterable[Any]", layers)) if listed else ()
    if len(widths) < 2:
        raise InputError(f"layers must list at least two widths, as in [10, 18, 18, 4, 1]; {layers!r} came")
    return widths


def check_elementwise(name: str, choice: Choice) -> Activation:
    """The activation, if it can be trained in a stack.

    Raises:
        InputError: it has parameters of its own, or does not act on each number by itself.
    """
    activation = get_activation(choice)
    if isinstance(choice, str) or choice is None:
        return activation
    module = activation.module()
    if isinstance(module, nn.Module) and list(module.parameters()):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"activation {name!r} has weights of its own, which compare does not train; use train")
    try:
        fine = acts_elementwise(module.train())
    except Exception as error:
        raise InputError(f"activation {name!r} failed on a tensor of shape (1, 3, 4): {error}") from error
    if not fine:
        raise InputError(f"activation {name!r} must act on each number by itself, without chance; use train for others")
    return activation


def _read_activations(activations: object) -> dict[str, Choice]:
    found: dict[str, Choice] = {}
    alone = isinstance(activations, str) or activations is None or callable(activations)
    for choice in [activations] if alone else _listed("activations", activations):
        if not (choice is None or isinstance(choice, str) or callable(choice)):
            raise InputError(f"activations must be names, None or functions, but {type(choice).__name__} came")
        name = get_activation(cast(Choice, choice)).name
        if name in found:
            raise InputError(f"activation {name!r} comes twice")
        plain = cast(Choice, choice)
        if isinstance(choice, Activation):
            plain = name if _is_in_table(choice) else choice.function
        if name == "identity" and callable(plain):
            raise InputError("a function called 'identity' would be taken for no activation: pass None, or rename it")
        found[name] = name if isinstance(plain, str) or plain is None else plain
        check_elementwise(name, found[name])
    return found


def _is_in_table(activation: Activation) -> bool:
    from whyactivate.activations import ACTIVATIONS

    return ACTIVATIONS.get(activation.name) is activation


def _read_seeds(seeds: object) -> tuple[int, ...]:
    if isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes)):
        return tuple(cast("list[int]", _distinct("seeds", [check_seed(s) for s in _listed("seeds", seeds)])))
    return tuple(range(check_whole("seeds", seeds, 1, 1_000_000)))


def _read_shapes(hidden: object, depths: object, widths: object) -> list[tuple[int, ...]]:
    if depths is None and widths is None:
        wanted = ARTICLE_HIDDEN if hidden is None else hidden
        if isinstance(wanted, (str, bytes)) or not isinstance(wanted, Iterable):
            raise InputError(f"hidden must list the widths of the hidden layers, as in (18, 18, 4); {wanted!r} came")
        return [tuple(check_whole("hidden", width, 1) for width in cast("Iterable[Any]", wanted))]
    if hidden is not None:
        raise InputError("give either hidden, one list of widths, or depths and widths, not both")
    deep = [3] if depths is None else [check_whole("depths", d, 0, 10_000) for d in _listed("depths", depths)]
    wide = [18] if widths is None else [check_whole("widths", w, 1) for w in _listed("widths", widths)]
    pairs = [(width,) * depth for depth in _distinct("depths", deep) for width in _distinct("widths", wide)]
    return list(dict.fromkeys(pairs))


def _check_init(init: object) -> Init:
    if init not in INITS:
        raise UnknownNameError("init", init, INITS)
    return init


def _listed(name: str, values: object) -> list[Any]:
    """One value or several, as a list of at least one."""
    if isinstance(values, (str, bytes)) or np.isscalar(values):
        return [values]
    if not isinstance(values, Iterable):
        raise InputError(f"{name} must be a list, but {type(values).__name__} came")
    found = list(cast("Iterable[Any]", values))
    if not found:
        raise InputError(f"{name} is empty: at least one is needed")
    return found


def _distinct(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise InputError(f"{name}: {value!r} comes twice")
    return tuple(values)
