"""Several processes on this machine for `train.devices`, as torchrun starts them."""

from __future__ import annotations

import logging
import signal
import sys
import uuid
from collections.abc import Sequence
from typing import Any


def launch(n: int, arguments: Sequence[str]) -> int:
    """Run `sparsefast` with these arguments in n processes of a group; 0, or the exit code of one that failed.

    When one fails or is killed, the others are ended.

    Raises
    ------
    RuntimeError
        If one was killed: it could not say why.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # A process that fails says so itself; what is killed, we say below.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.5,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "sparsefast", *arguments)
    except ChildFailedError as error:
        # Those that were ended because of the first got SIGTERM, all in the same second.
        failures = error.failures.values()
        first: Any = min(failures, key=lambda failure: (failure.exitcode == -signal.SIGTERM, failure.timestamp))
        if first.exitcode < 0:
            name = signal.Signals(-first.exitcode).name
            raise RuntimeError(
                f"process {first.local_rank} of {n} was killed ({name}) and the run has ended; "
                "go on from its last checkpoint with --resume"
            ) from None
        return int(first.exitcode)
    return 0
