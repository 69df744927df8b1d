"""`ComparisonResult`: every trained network of a comparison, and what can be said about them."""

from __future__ import annotations

import csv
import hashlib
import html
import json
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from whyactivate._checks import check_path
from whyactivate.comparison import words
from whyactivate.comparison.member import COLUMNS, ONE_FOR_ALL, Member, Place
from whyactivate.comparison.summary import Summary, summarise
from whyactivate.datasets import Task
from whyactivate.errors import InputError, UnknownNameError
from whyactivate.models import MLP
from whyactivate.training import TrainConfig
from whyactivate.training.stacked.weights import layers_of, put_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMAT = "whyactivate comparison 1"


@dataclass(frozen=True)
class ComparisonResult:
    """Every network that was trained, in the order of the grid, with medians, intervals and the linear floor.

    Attributes:
        data: the name of the data set.
        task: regression or classification.
        fingerprints: what tells the data from other data, by seed; by -1 where one data set is used for all.
        config: how every network was trained; the seeds and learning rates are in `members`.
        dtype: "float32" or "float64".
        shape: features and outputs.
        places: what was to be compared, apart from the seeds.
        seeds: which each place was to be trained with.
        members: the trained networks.
        own_activations: for each activation that is not of the table, what it makes of a few numbers.
        choices: the activations by name, as they were given.
    """

    data: str
    task: Task
    fingerprints: Mapping[int, str]
    config: TrainConfig
    dtype: str
    shape: tuple[int, int]
    places: tuple[Place, ...]
    seeds: tuple[int, ...]
    members: tuple[Member, ...]
    own_activations: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    choices: Mapping[str, object] = field(default_factory=dict[str, object], compare=False, repr=False)

    @property
    def missing(self) -> int:
        """How many networks are still to be trained."""
        return len(self.places) * len(self.seeds) - len(self.members)

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before all were trained."""
        return self.missing > 0

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """One for each place of which at least one network is trained."""
        return summarise(self.members, self.places)

    def summary(self, activation: str | None = None) -> Summary:
        """The summary of an activation.

        Raises:
            UnknownNameError: it was not compared.
            InputError: it was compared at several depths, widths, inits or learning rates.
        """
        name = "identity" if activation is None else activation
        found = [summary for summary in self.summaries if summary.place.activation == name]
        if not found:
            compared = {summary.place.activation for summary in self.summaries}
            raise UnknownNameError("activation of this comparison", name, compared)
        if len(found) > 1:
            raise InputError(f"{name!r} has {len(found)} places in this comparison; look into .summaries")
        return found[0]

    def lowest(self, quantity: str = "test_loss") -> tuple[str, ...]:
        """The activation with the lowest median, and every other that cannot be told apart from it.

        Two cannot be told apart where their 95 % intervals overlap; without intervals (fewer than six seeds)
        none can.

        Args:
            quantity: "train_loss" or "test_loss".

        Raises:
            InputError: another quantity, or a grid over more than activations.
        """
        if quantity not in ("train_loss", "test_loss"):
            raise InputError(f"quantity must be 'train_loss' or 'test_loss', but {quantity!r} came")
        if len({place.rest for place in self.places}) > 1:
            raise InputError("this comparison is over more than activations: compare the intervals in .summaries")
        return tuple(s.place.activation for s in words.leaders(self.summaries, quantity))

    def model(self, activation: str | None = None, seed: int | None = None, place: Place | None = None) -> MLP:
        """A trained network of the comparison, as a module of its own.

        Args:
            activation: its name, where the grid is over activations only.
            seed: the first of the comparison where None.
            place: where in the grid, instead of the activation.

        Raises:
            InputError: there is no such network, or its weights were not kept.
        """
        wanted = self.summary(activation).place if place is None else place
        number = self.seeds[0] if seed is None else seed
        member = next((m for m in self.members if (m.place, m.seed) == (wanted, number)), None)
        if member is None:
            raise InputError(f"no network {wanted.activation!r} with seed {number} was trained")
        if member.weights is None:
            raise InputError("the weights were not kept: pass keep_weights=True to compare")
        choice = self.choices.get(wanted.activation, wanted.activation)
        model = MLP(
            (self.shape[0], *wanted.hidden, self.shape[1]),
            cast("str | Callable[[Tensor], Tensor] | None", choice),
            init=wanted.init, seed=number, dtype=torch.float64 if self.dtype == "float64" else torch.float32,
        )  # fmt: skip
        put_row(layers_of(model), member.weights)
        return model

    def check_continues(self, other: ComparisonResult) -> None:
        """Raises InputError unless the networks of both are trained alike on the same data."""
        mine, theirs = asdict(self.config), asdict(other.config)
        for settings in (mine, theirs):
            del settings["seed"], settings["learning_rate"]
        mine["dtype"], theirs["dtype"] = self.dtype, other.dtype
        for name, value in mine.items():
            if value != theirs[name]:
                raise InputError(f"cannot resume: {name} was {value!r} and is {theirs[name]!r} now")
        if (ONE_FOR_ALL in self.fingerprints) != (ONE_FOR_ALL in other.fingerprints):
            raise InputError("cannot resume: one of the two draws data for each seed and the other does not")
        for seed in set(self.fingerprints) & set(other.fingerprints):
            if self.fingerprints[seed] != other.fingerprints[seed]:
                raise InputError(f"cannot resume: the data is not the same ({self.data} then, {other.data} now)")
        if self.data != other.data:
            raise InputError(f"cannot resume: the data was {self.data!r} and is {other.data!r} now")
        for name in {place.activation for place in self.places} & {place.activation for place in other.places}:
            then, now = self.own_activations.get(name, ()), other.own_activations.get(name, ())
            if len(then) != len(now) or not all(map(_nearly_equal, then, now)):
                raise InputError(f"cannot resume: the activation {name!r} was another function then")

    def rows(self) -> list[dict[str, Any]]:
        """One row per network, with the names of `COLUMNS`."""
        return [member.to_dict() for member in self.members]

    def to_frame(self) -> Any:
        """One row per network, as a pandas DataFrame.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise InputError("to_frame needs pandas: install it, or use rows(), to_csv or to_json") from error
        frame = pd.DataFrame(self.rows(), columns=list(COLUMNS))
        frame["hidden"] = [words.name_widths(tuple(widths)) for widths in frame["hidden"]]
        return frame

    def to_csv(self, path: str | Path) -> Path:
        """Writes one row per network and returns the path; hidden widths as in 18-18-4.

        Raises:
            InputError: the file cannot be written.
        """
        target = check_path("a file to write", path)
        with _writing(target), target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list[str](COLUMNS))
            writer.writeheader()
            writer.writerows(row | {"hidden": words.name_widths(tuple(row["hidden"]))} for row in self.rows())
        return target

    def to_dict(self) -> dict[str, Any]:
        """Everything but the weights, in plain values that `json` can write."""
        values: dict[str, Any] = {
            "format": _FORMAT,
            "data": self.data,
            "task": str(self.task),
            "fingerprints": {str(seed): text for seed, text in self.fingerprints.items()},
            "config": asdict(self.config),
            "dtype": self.dtype,
            "shape": list(self.shape),
            "places": [asdict(place) | {"hidden": list(place.hidden)} for place in self.places],
            "seeds": list(self.seeds),
            "own_activations": {name: list(numbers) for name, numbers in self.own_activations.items()},
            "members": self.rows(),
        }
        rest = {"interrupted": self.interrupted, "summaries": [summary.to_dict() for summary in self.summaries]}
        return values | {"checksum": _checksum(values)} | rest

    def to_json(self, path: str | Path) -> Path:
        """Writes everything but the weights, for `resume=` and `from_json`, and returns the path.

        Raises:
            InputError: the file cannot be written.
        """
        target, text = check_path("a file to write", path), json.dumps(self.to_dict(), indent=1)
        if target.is_dir():
            raise InputError(f"cannot write {target}: it is a folder; name a file")
        # In one go: whoever stops us finds the old file or the new one.
        fresh = target.with_name(f"{target.name}.new")
        with _writing(target):
            fresh.write_text(text + "\n", encoding="utf-8")
            return fresh.replace(target)

    @staticmethod
    def from_json(path: str | Path) -> ComparisonResult:
        """The result that `to_json` wrote, without weights.

        Raises:
            InputError: there is no such file, or it is none that `to_json` wrote.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            if values["format"] != _FORMAT:
                raise KeyError(values["format"])
            written = values.pop("checksum")
            for name in ("interrupted", "summaries"):  # follow from the rest
                del values[name]
        except OSError as error:
            raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} is not a comparison that to_json wrote") from error
        if _checksum(values) != written:
            raise InputError(f"{path} is damaged, or was changed since to_json wrote it: its checksum does not fit")
        return ComparisonResult(
            values["data"], Task(values["task"]), {int(seed): text for seed, text in values["fingerprints"].items()},
            TrainConfig(**values["config"]), values["dtype"], cast("tuple[int, int]", tuple(values["shape"])),
            tuple(Place(**place | {"hidden": tuple(place["hidden"])}) for place in values["places"]),
            tuple(values["seeds"]), tuple(Member.from_dict(row) for row in values["members"]),
            {name: tuple(numbers) for name, numbers in values["own_activations"].items()},
        )  # fmt: skip

    def plot(self) -> Figure:
        """Losses of every network with medians, intervals and the linear floor, as a matplotlib figure."""
        from whyactivate.plots.comparison import plot_comparison

        return plot_comparison(self)

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Column names and rows of texts: one row per place, and the linear floor."""
        return words.table(self)

    def __repr__(self) -> str:
        return f"<ComparisonResult: {words.title(self)}>"

    def __str__(self) -> str:
        return words.page(self)

    def _repr_html_(self) -> str:
        columns, rows = self.table()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        said = "<br>".join(html.escape(sentence) for sentence in words.sentences(self))
        caption = html.escape(words.title(self))
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table><p>{said}</p>"


@contextmanager
def _writing(path: Path) -> Generator[None]:
    """Raises InputError where a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _nearly_equal(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=1e-5, abs_tol=1e-6)
