"""Settings that every test runs under."""

from __future__ import annotations

import os
import random
import zlib

import numpy as np
import pytest
from hypothesis import settings

# Before torch or matplotlib is imported: one thread (the networks are tiny), and no window.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ["MPLBACKEND"] = "agg"

# No assertion on seconds; and where a build must be repeatable, the same examples every time.
settings.register_profile("whyactivate", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("whyactivate")


@pytest.fixture(autouse=True)
def same_draws_each_time(request: pytest.FixtureRequest) -> None:
    """A test that draws without a seed of its own draws the same numbers in every run, whichever run before it."""
    import torch

    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what draws from no generator of its own draws from this one
    torch.manual_seed(seed)
