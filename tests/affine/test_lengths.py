"""len() is Python's own again when nobody listens any more, in whatever order threads come and go."""

from __future__ import annotations

import builtins
import contextlib
import threading

from whyactivate.affine.recording.lengths import plain_length, told_of_lengths

OWN = builtins.len


def test_each_thread_hears_of_its_own_lengths() -> None:
    step, found = threading.Barrier(2, timeout=60), dict[str, list[int]]()

    def listen(name: str, answer: int, *, leaves_first: bool) -> None:
        heard = found[name] = []
        with told_of_lengths(lambda thing: answer + plain_length(thing)):
            step.wait()
            heard.append(len([1, 2]))
            step.wait()
            if not leaves_first:
                step.wait()
                heard.append(len([1, 2]))
        heard.append(len([1, 2]))
        if leaves_first:
            step.wait()

    threads = [
        threading.Thread(target=listen, args=("first", 10), kwargs={"leaves_first": True}),
        threading.Thread(target=listen, args=("last", 100), kwargs={"leaves_first": False}),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"first": [12, 2], "last": [102, 102, 2]}
    assert builtins.len is OWN


def test_it_is_put_back_after_an_error_and_within_another() -> None:
    heard: list[int] = []

    def fails() -> None:
        with told_of_lengths(lambda thing: 8):
            heard.append(len([]))
            raise ValueError

    with told_of_lengths(lambda thing: 7):
        with contextlib.suppress(ValueError):
            fails()
        heard.append(len([]))
    assert heard == [8, 7]
    assert builtins.len is OWN
