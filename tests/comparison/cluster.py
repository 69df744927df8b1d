"""A comparison on two worker processes of a cluster on this machine; one of them is killed in the middle.

Run as a program, so that the workers can import it and nothing of the cluster is left behind in the tests' process.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from dask.distributed import Client, LocalCluster

import whyactivate as wa

CONFIG = wa.TrainConfig(epochs=40)
GRID = {"activations": ["relu", "tanh"], "seeds": 12, "chunk": 2, "config": CONFIG}


def main(path: Path) -> None:
    """Writes the result and, on stdout, how many workers there were before and whose process was killed."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        processes = client.run(os.getpid)
        victim = next(iter(processes.values()))
        killed: list[int] = []

        def kill_one(done: int, planned: int, left: float | None) -> None:
            if 0 < done < planned and not killed:
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        result = wa.compare("article", **GRID, executor=client.get_executor(), progress=kill_one)
        result.to_json(path)
        print(len(processes), killed == [victim], victim in client.run(os.getpid).values())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
