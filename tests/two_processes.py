"""A script in two processes that know of each other, as torchrun starts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_two(script: str, *arguments: str, wait: float = 100) -> list[subprocess.CompletedProcess]:
    """Both until they end, by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, script, *arguments],
            env=variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        return [subprocess.CompletedProcess(p.args, p.wait(wait), None, p.stderr.read()) for p in running]
    finally:
        for process in running:
            process.kill()
