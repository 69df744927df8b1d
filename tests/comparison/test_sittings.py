"""More than one sitting, or more than one process: the same table, row by row."""

from __future__ import annotations

import concurrent.futures as cf
import os
import pickle
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import whyactivate as wa
from comparison_networks import tiny
from whyactivate.comparison import ComparisonResult, compare
from whyactivate.comparison.run import fingerprint
from whyactivate.training.stacked.calm import CALM

CONFIG = wa.TrainConfig(epochs=12, batch_size=3)
GRID = {"activations": ["relu", "identity", "gelu"], "seeds": 6, "depths": [1, 2], "widths": 4, "chunk": 5}


@pytest.fixture(scope="module")
def whole() -> ComparisonResult:
    return compare(tiny(), **GRID, config=CONFIG)


@pytest.fixture(scope="module")
def pool() -> Iterator[cf.Executor]:
    with cf.ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def heed_ctrl_c() -> Iterator[None]:
    """As at a terminal: a shell that starts the tests in the background lets them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class TestResume:
    @pytest.mark.skipif(sys.platform == "win32", reason="there a signal ends the process at once")
    def test_stopped_at_ten_random_moments_it_comes_to_the_same_table(
        self, whole: ComparisonResult, tmp_path: Path, heed_ctrl_c: None
    ):
        start = time.perf_counter()
        compare(tiny(), **GRID, config=CONFIG)
        usual = time.perf_counter() - start
        path, draw = tmp_path / "saved.json", random.Random(0)
        result, seen = None, []
        for _ in range(10):
            alarm = threading.Timer(draw.uniform(0.1, 0.9) * usual, os.kill, (os.getpid(), signal.SIGINT))
            try:
                alarm.start()
                result = compare(tiny(), **GRID, config=CONFIG, resume=result)
                alarm.join()  # the signal may be on its way still
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass
            if result is not None:
                result = ComparisonResult.from_json(result.to_json(path))
                seen.append(len(result.members))
        assert seen == sorted(seen)
        final = compare(tiny(), **GRID, config=CONFIG, resume=path if path.exists() else None)
        assert final.missing == 0
        assert final.members == whole.members
        assert str(final) == str(whole)

    @pytest.mark.parametrize("at", [1, 9, 23])
    def test_ctrl_c_returns_every_network_that_had_ended(self, whole: ComparisonResult, at: int):
        def stop(done: int, planned: int, left: float | None) -> None:
            if done >= at:
                raise KeyboardInterrupt

        part = compare(tiny(), **GRID, config=CONFIG, progress=stop)
        assert part.interrupted
        assert at <= len(part.members) < 36
        assert part.missing == 36 - len(part.members)
        assert set(part.members) <= set(whole.members)
        assert "still to be trained" in str(part)

    def test_nothing_is_trained_twice(self, whole: ComparisonResult, monkeypatch: pytest.MonkeyPatch):
        from whyactivate.comparison.chunk import Chunk

        trained: list[int] = []
        train = Chunk.train

        def count(chunk: Chunk, *arguments: object) -> None:
            trained.append(len(chunk.keys))
            train(chunk, *arguments)

        monkeypatch.setattr(Chunk, "train", count)
        more = GRID | {"seeds": [2, 7], "activations": ["relu", "tanh"]}
        result = compare(tiny(), **more, config=CONFIG, resume=whole)
        assert sum(trained) == 6  # relu with seed 7 and tanh with both, at two depths
        assert len(result.members) == 8
        assert compare(tiny(), **GRID, config=CONFIG, resume=whole) == whole
        assert sum(trained) == 6

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"config": wa.TrainConfig(epochs=13, batch_size=3)}, "epochs was 12 and is 13 now"),
            ({"config": wa.TrainConfig(epochs=12, batch_size=3, optimizer="sgd")}, "optimizer was 'adam'"),
            ({"dtype": torch.float64}, "dtype was 'float32' and is 'float64' now"),
            ({"data": tiny(seed=1)}, "the data is not the same"),
            ({"data": "article"}, "one of the two draws data for each seed"),
        ],
    )
    def test_other_data_or_settings_are_refused(
        self, whole: ComparisonResult, changes: dict[str, object], message: str
    ):
        with pytest.raises(wa.InputError, match=f"cannot resume: .*{message}"):
            compare(**({"data": tiny(), "config": CONFIG} | GRID | changes), resume=whole)

    def test_an_activation_that_was_another_function_is_refused(self, tmp_path: Path):
        def bent(z: torch.Tensor) -> torch.Tensor:
            return z.abs()

        def relu(z: torch.Tensor) -> torch.Tensor:
            return z.clamp(min=0)

        def run(choice: object, **more: object) -> ComparisonResult:
            return compare(tiny(), [choice, None], 1, hidden=(2,), config=CONFIG, **more)  # type: ignore[list-item]

        path = run(bent).to_json(tmp_path / "a.json")
        assert run(bent, resume=path) == run(bent)
        bent.__code__ = relu.__code__
        with pytest.raises(wa.InputError, match="cannot resume: the activation 'bent' was another function then"):
            run(bent, resume=path)
        with pytest.raises(wa.InputError, match="the activation 'relu' was another function then"):
            run(relu, resume=run("relu"))
        assert run("tanh", resume=path).missing == 0, "what is not compared now may be what it likes"

    def test_ctrl_c_while_the_result_is_put_together(self, whole: ComparisonResult, monkeypatch: pytest.MonkeyPatch):
        from whyactivate.comparison import run

        class Impatient(ComparisonResult):
            pressed = False

            def __post_init__(self) -> None:
                if not Impatient.pressed:
                    Impatient.pressed = True
                    raise KeyboardInterrupt

        monkeypatch.setattr(run, "ComparisonResult", Impatient)
        assert compare(tiny(), **GRID, config=CONFIG).members == whole.members


class TestProgress:
    def test_counts_and_estimates(self):
        news: list[tuple[int, int, float | None]] = []
        compare(tiny(), **GRID, config=CONFIG, progress=lambda *n: news.append(n))
        counts = [done for done, _, _ in news]
        assert counts == sorted(counts)
        assert counts[0] == 0
        assert news[-1][:2] == (36, 36)
        assert news[-1][2] in (None, 0.0)
        assert all(left is None or left >= 0 for _, _, left in news)

    def test_errors_of_the_callback_pass(self):
        def fail(*news: object) -> None:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine") as caught:
            compare(tiny(), **GRID, config=CONFIG, progress=fail)
        assert caught.value.result.members == ()  # type: ignore[attr-defined]

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_an_error_of_the_callback_loses_nothing_that_ended(
        self, whole: ComparisonResult, pool: cf.Executor, elsewhere: bool
    ):
        def fail(done: int, planned: int, left: float | None) -> None:
            if done:
                raise LookupError("mine")

        executor = pool if elsewhere else None
        with pytest.raises(LookupError, match="mine") as caught:
            compare(tiny(), **GRID, config=CONFIG, executor=executor, progress=fail)
        part = caught.value.result  # type: ignore[attr-defined]
        assert 0 < len(part.members) < 36
        assert caught.value.__notes__ == [
            f"{len(part.members)} of 36 networks had ended. They are in .result of this error: pass it to compare as "
            "resume= to go on from there"
        ]
        assert compare(tiny(), **GRID, config=CONFIG, resume=part).members == whole.members

    def test_what_an_error_of_the_callback_holds_stays_in_it(self):
        class Mine(Exception):
            result = "mine"

        def fail(*news: object) -> None:
            raise Mine

        with pytest.raises(Mine) as caught:
            compare(tiny(), **GRID, config=CONFIG, progress=fail)
        assert caught.value.result == "mine"


class TestExecutor:
    def test_threads(self, whole: ComparisonResult, pool: cf.Executor):
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            assert compare(tiny(), **GRID, config=CONFIG, executor=pool) == whole
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(threads)
        assert CALM.users == 0

    @pytest.mark.slow
    def test_processes(self, whole: ComparisonResult):
        import multiprocessing

        with cf.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            result = compare(tiny(), **GRID, config=CONFIG, executor=pool, keep_weights=True)
        assert result == whole
        assert all(isinstance(member.weights, np.ndarray) for member in result.members)

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there open files are not listed")
    def test_the_data_travel_without_open_files(self):
        from multiprocessing.reduction import ForkingPickler

        from whyactivate.comparison.block import Source

        sources = [Source(wa.load_dataset("moons", seed), 0.5, 0.25) for seed in range(20)]
        data, before = sources[7].data, len(os.listdir("/proc/self/fd"))
        sent = ForkingPickler.dumps(sources)
        assert len(os.listdir("/proc/self/fd")) - before < 20
        arrived = pickle.loads(sent)
        assert fingerprint(arrived[7].data) == fingerprint(data)
        assert str(arrived[7].data) == str(data)
        assert (arrived[7].floor, arrived[7].floor_test) == (0.5, 0.25)

    def test_ctrl_c_leaves_what_has_ended(self, whole: ComparisonResult, pool: cf.Executor):
        def stop(done: int, planned: int, left: float | None) -> None:
            if done:
                raise KeyboardInterrupt

        part = compare(tiny(), **GRID, config=CONFIG, executor=pool, progress=stop)
        assert part.interrupted
        assert 0 < len(part.members) < 36
        assert compare(tiny(), **GRID, config=CONFIG, resume=part).members == whole.members

    def test_a_broken_executor_loses_nothing_that_ended(self, whole: ComparisonResult):
        class Breaks(cf.Executor):
            def __init__(self) -> None:
                self.calls = 0

            def submit(self, task, /, *arguments, **more):  # type: ignore[no-untyped-def]
                self.calls += 1
                future: cf.Future[object] = cf.Future()
                if self.calls == 1:
                    future.set_result(task(*arguments))
                else:
                    future.set_exception(cf.BrokenExecutor("a worker died"))
                return future

        with pytest.raises(wa.WorkerError, match=r"failed after \d+ of 36 networks .*a worker died") as caught:
            compare(tiny(), **GRID, config=CONFIG, executor=Breaks())
        assert set(caught.value.result.members) <= set(whole.members)
        assert compare(tiny(), **GRID, config=CONFIG, resume=caught.value.result).members == whole.members
