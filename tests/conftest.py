"""Settings that every test runs under."""

from __future__ import annotations

import os

from hypothesis import settings

# Before torch or matplotlib is imported: one thread (the networks are tiny), and no window.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ["MPLBACKEND"] = "agg"

# No assertion on seconds; and where a build must be repeatable, the same examples every time.
settings.register_profile("whyactivate", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("whyactivate")
