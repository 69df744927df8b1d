"""`compare`: activations × seeds, trained as one batch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from whyactivate._checks import check_whole
from whyactivate.comparison.block import Source
from whyactivate.comparison.chunk import Chunk, Key, train_chunk
from whyactivate.comparison.grid import ARTICLE_FIVE, Choice, Grid, make_grid, read_layers
from whyactivate.comparison.member import ONE_FOR_ALL, Member
from whyactivate.comparison.result import ComparisonResult
from whyactivate.datasets import Dataset, load_dataset
from whyactivate.errors import InputError, WhyActivateError, WorkerError
from whyactivate.floor import linear_floor
from whyactivate.training import TrainConfig
from whyactivate.training.stacked.stack import perceptron_size

if TYPE_CHECKING:
    from whyactivate.models import Init

Progress = Callable[[int, int, float | None], object]

_MOST_WEIGHTS = 50_000_000
"""A network with more, its slopes and means beside it, would fill a gigabyte."""
_PAUSE = 0.1


def compare(
    data: Dataset | str,
    activations: Iterable[Choice] | Choice = ARTICLE_FIVE,
    seeds: int | Iterable[int] = 10,
    *,
    layers: Sequence[int] | None = None,
    hidden: Sequence[int] | None = None,
    depths: Iterable[int] | int | None = None,
    widths: Iterable[int] | int | None = None,
    inits: Iterable[Init] | Init = ("default",),
    learning_rates: Iterable[float] | float | None = None,
    config: TrainConfig | None = None,
    dtype: torch.dtype = torch.float32,
    keep_weights: bool = False,
    resume: ComparisonResult | str | Path | None = None,
    executor: Executor | None = None,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Every activation with every seed, trained together: medians, intervals, paired differences, the floor.

    Each network gets the first weights, the rows in the order, and the steps that `train` alone gives
    `MLP([features, *hidden, outputs], activation, init=init, seed=seed)` with the configuration's seed set to the
    same seed, and ends at the same weights to the last bit: `train` uses the same engine. (Only for an activation
    module of a class of your own does `train` use autograd, which rounds in another order.)

    On Ctrl-C the result holds every network that had ended by then, and `resume=` goes on from it. An error that
    `progress` raises ends the run and is passed on; its `.result` holds the same.

    Args:
        data: a `Dataset`, the same for every seed; or the name of one, drawn anew with every seed.
        activations: names, None for no activation, or elementwise functions of your own; "identity" (which is None)
            is what the others are compared with in pairs.
        seeds: how many, counted from 0, or which.
        layers: all widths as `MLP` takes them, from the features of the data to its outputs, [10, 18, 18, 4, 1] say.
        hidden: instead, those between alone; the article's (18, 18, 4) where nothing is said.
        depths: numbers of hidden layers, instead of `hidden`; all layers are then equally wide.
        widths: of these layers; 18 where only depths are given, and depth 3 where only widths are.
        inits: "default", "xavier", "he".
        learning_rates: sizes of a step; the configuration's where None.
        config: how to train; its seed is not used. `TrainConfig()` where None.
        dtype: of the weights, torch.float32 or torch.float64.
        keep_weights: keep the final weights, for `ComparisonResult.model`.
        resume: a result, or a file that `to_json` wrote: what it holds is not trained again.
        executor: runs the chunks, as a `concurrent.futures.ProcessPoolExecutor` or a cluster's does.
        chunk: most networks trained together; None chooses what a processor's cache holds.
        progress: called with (networks ended, networks in all, estimated seconds left or None).

    Raises:
        InputError: an argument cannot be used, or what `resume` holds is of other data or another configuration.
        UnknownNameError: there is no such data set, activation or init.
        WorkerError: the executor failed; `.result` holds every network that had ended by then.
    """
    config = TrainConfig() if config is None else config
    _check(data, config, dtype, keep_weights, executor, progress)
    most = None if chunk is None else check_whole("chunk", chunk, 1)
    widths_of_all = None if layers is None else read_layers(layers, hidden, depths, widths)
    if widths_of_all is not None:
        hidden = widths_of_all[1:-1]
    grid = make_grid(activations, seeds, hidden, depths, widths, inits, learning_rates, config.learning_rate)
    earlier = ComparisonResult.from_json(resume) if isinstance(resume, (str, Path)) else resume
    if earlier is not None and not isinstance(earlier, ComparisonResult):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"resume must be a ComparisonResult or the path of one, but {type(earlier).__name__} came")
    loaded = _load(data, grid.seeds)
    first = next(iter(loaded.values()))
    if widths_of_all is not None and (widths_of_all[0], widths_of_all[-1]) != (first.features, first.outputs):
        raise InputError(
            f"layers must go from {first.features} features to {first.outputs} outputs, which {first.name} has; "
            f"{list(widths_of_all)} came"
        )
    _check_size(grid, first)
    job = _Job(loaded, grid, config, dtype, keep_weights, progress)
    if earlier is not None:
        job.take_over(earlier)
    return job.run(executor, most)


def _check(data: object, config: object, dtype: object, keep: object, executor: object, progress: object) -> None:
    if not isinstance(data, (Dataset, str)):
        raise InputError(f"data must be a Dataset or the name of one, but {type(data).__name__} came")
    if not isinstance(config, TrainConfig):
        raise InputError(f"config must be a TrainConfig, but {type(config).__name__} came")
    if torch.device(config.device).type != "cpu":
        raise InputError(f"compare trains on the CPU; device {config.device!r} came (train takes other devices)")
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype must be torch.float32 or torch.float64, but {dtype!r} came")
    if not isinstance(keep, bool):
        raise InputError(f"keep_weights must be True or False, but {keep!r} came")
    if executor is not None and not isinstance(executor, Executor):
        raise InputError(
            f"executor must be a concurrent.futures.Executor, but {type(executor).__name__} came; a dask client gives "
            "one with client.get_executor()"
        )
    if progress is not None and not callable(progress):
        raise InputError("progress must be a function of (ended, all, seconds left)")


def _check_size(grid: Grid, data: Dataset) -> None:
    for place in grid.places:
        weights = perceptron_size((data.features, *place.hidden, data.outputs))
        if weights > _MOST_WEIGHTS:
            raise InputError(
                f"a network with {len(place.hidden)} hidden layers, up to {max(place.hidden, default=0)} wide, has "
                f"{weights:,} weights, and compare trains at most {_MOST_WEIGHTS:,}: take fewer or narrower layers"
            )


def _load(data: Dataset | str, seeds: Sequence[int]) -> dict[int, Dataset]:
    """The data of each seed, or of all of them."""
    if isinstance(data, Dataset):
        return {ONE_FOR_ALL: data}
    return {seed: load_dataset(data, seed) for seed in seeds}


def fingerprint(data: Dataset) -> str:
    """A short text that differs where the data differs."""
    digest = hashlib.sha256(str((data.task, data.outputs)).encode())
    for tensor in (data.train_x, data.train_y, data.test_x, data.test_y):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(slots=True)
class _Timer:
    """How long the rest may take, from how long the work so far took."""

    all_work: float
    start: float
    said: float = 0.0

    def left(self, work: float) -> float | None:
        """Seconds, where enough is done to tell."""
        passed = time.monotonic() - self.start
        return None if work <= 0 or passed < _PAUSE else passed * (self.all_work - work) / work


class _Job:
    """One call of `compare`."""

    def __init__(
        self,
        data: dict[int, Dataset],
        grid: Grid,
        config: TrainConfig,
        dtype: torch.dtype,
        keep_weights: bool,
        progress: Progress | None,
    ) -> None:
        self.data, self.grid, self.config = data, grid, replace(config, seed=0)
        self.double, self.keep_weights, self.progress = dtype == torch.float64, keep_weights, progress
        self.keys: list[Key] = [(place, seed) for place in grid.places for seed in grid.seeds]
        self.prints = {seed: fingerprint(one) for seed, one in data.items()}
        self.found: dict[Key, Member] = {}
        self.raised: Exception | None = None  # by the caller's own function

    def take_over(self, earlier: ComparisonResult) -> None:
        """Takes what was trained before."""
        earlier.check_continues(self.result())
        wanted = set(self.keys)
        for member in earlier.members:
            key = (member.place, member.seed)
            if key in wanted and not (self.keep_weights and member.weights is None):
                self.found[key] = member

    def run(self, executor: Executor | None, most: int | None) -> ComparisonResult:
        missing = tuple(key for key in self.keys if key not in self.found)
        try:
            if missing:
                chunks = list(self.chunk(missing).split(most))
                timer = _Timer(sum(chunk.work for chunk in chunks), time.monotonic())
                self.tell(None)
                if executor is None:
                    self.run_here(chunks, timer)
                else:
                    self.run_elsewhere(chunks, timer, executor)
            return self.result()  # in here: Ctrl-C may come while this is put together
        except KeyboardInterrupt:
            return self.result()

    def chunk(self, keys: tuple[Key, ...]) -> Chunk:
        """All that is to be trained as one chunk, to be split."""
        seeds = {seed for _, seed in keys}
        sources: dict[int, Source] = {}
        for seed, one in self.data.items():
            if seed == ONE_FOR_ALL or seed in seeds:
                floor = linear_floor(one)
                sources[seed] = Source(one, floor.loss, floor.test_loss)
        return Chunk(keys, self.grid.choices, sources, self.config, self.double, self.keep_weights)

    def run_here(self, chunks: Sequence[Chunk], timer: _Timer) -> None:
        """Trains chunk after chunk."""
        done = 0.0
        for chunk in chunks:

            def tick(share: float, chunk: Chunk = chunk, done: float = done) -> None:
                now = time.monotonic()
                if self.progress is not None and now - timer.said > _PAUSE:
                    timer.said = now
                    self.tell(timer.left(done + share * chunk.work))

            chunk.train(self.keep, tick)
            done += chunk.work
            self.tell(timer.left(done))

    def run_elsewhere(self, chunks: Sequence[Chunk], timer: _Timer, executor: Executor) -> None:
        """Hands all chunks to the executor and takes them as they come."""
        done, futures = 0.0, dict[Future[list[Member]], Chunk]()
        try:
            for chunk in chunks:
                futures[executor.submit(train_chunk, chunk)] = chunk
            for future in as_completed(futures):
                for member in future.result():
                    self.keep(member)
                done += futures[future].work
                self.tell(timer.left(done))
        except WhyActivateError:
            raise
        except Exception as error:
            if error is self.raised:
                raise
            words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise WorkerError(
                f"the executor failed after {len(self.found)} of {len(self.keys)} networks ({words}). What ended is in "
                ".result of this error: pass it as resume= to go on from there",
                self.result(),
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def keep(self, member: Member) -> None:
        """Takes a trained member."""
        self.found[member.place, member.seed] = member

    def tell(self, left: float | None) -> None:
        """Tells the caller how far it is; what ended before an error of the caller's own goes with the error."""
        if self.progress is None:
            return
        try:
            self.progress(len(self.found), len(self.keys), left)
        except Exception as error:
            self.raised = error
            if not hasattr(error, "result"):
                vars(error)["result"] = self.result()
                error.add_note(
                    f"{len(self.found)} of {len(self.keys)} networks had ended. They are in .result of this error: "
                    "pass it to compare as resume= to go on from there"
                )
            raise

    def result(self) -> ComparisonResult:
        """What is trained so far, in the order of the grid."""
        first = next(iter(self.data.values()))
        return ComparisonResult(
            data=first.name,
            task=first.task,
            fingerprints=dict(self.prints),
            config=self.config,
            dtype="float64" if self.double else "float32",
            shape=(first.features, first.outputs),
            places=self.grid.places,
            seeds=self.grid.seeds,
            members=tuple(self.found[key] for key in self.keys if key in self.found),
            own_activations=dict(self.grid.own),
            choices={name: cast("object", choice) for name, choice in self.grid.choices.items()},
        )
