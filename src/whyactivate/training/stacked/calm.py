"""`CALM`: one thread for tiny products, and no warnings where numbers overflow."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Generator

import numpy as np
from threadpoolctl import ThreadpoolController

from whyactivate.training.surroundings import single_thread


class _Calm:
    """One thread for tiny products, for as long as any stack trains; then as many as before.

    Stacks may train in several threads at once, so the first to come changes the numbers and the last to go
    brings them back.
    """

    def __init__(self) -> None:
        self.lock, self.users, self.stack = threading.Lock(), 0, contextlib.ExitStack()

    @functools.cached_property
    def found(self) -> ThreadpoolController:
        """NumPy's library, looked for once."""
        return ThreadpoolController()

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        with self.lock:
            if not self.users:
                self.stack.enter_context(self.found.limit(limits=1, user_api="blas"))
                self.stack.enter_context(single_thread())
            self.users += 1
        try:
            # No warnings where a member's numbers overflow: it has diverged, and ends.
            with np.errstate(all="ignore"):
                yield
        finally:
            with self.lock:
                self.users -= 1
                if not self.users:
                    self.stack.close()


CALM = _Calm()
