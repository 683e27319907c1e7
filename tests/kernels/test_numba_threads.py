"""The Numba kernels in processes that fork, interrupt, call from several threads, or cannot write where they lie."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest

from sparsefast.kernels.numba import pool
from tests.data import photo_problem, random_problem
from tests.kernels.helper import Kernel

NUMBA = Kernel("numba")


def test_two_python_threads_may_call_at_once() -> None:
    p = photo_problem(4000, 8, 256).astype(np.float32)
    expected = NUMBA.code(p.signals, p.dictionary, 8)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        codes = [threads.submit(NUMBA.code, p.signals, p.dictionary, 8, n_threads=2) for _ in range(12)]
        assert all(expected.same_bits(code.result()) for code in codes)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_child_computes_with_threads_of_its_own() -> None:
    p = photo_problem(4000, 8, 256).astype(np.float32)
    expected = NUMBA.code(p.signals, p.dictionary, 8, n_threads=2)  # the parent's pool has threads now
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs must not outlive the test
        same = expected.same_bits(NUMBA.code(p.signals, p.dictionary, 8, n_threads=2))
        os._exit(0 if same else 3)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert expected.same_bits(NUMBA.code(p.signals, p.dictionary, 8, n_threads=2))


def test_an_exception_in_a_worker_is_raised_when_all_have_stopped() -> None:
    at_work = threading.Semaphore(0)

    def worker(start: int, stop: int) -> None:
        if start == 30:
            raise OverflowError("chunk 3")
        at_work.release()
        time.sleep(0.01)
        at_work.acquire()

    with pytest.raises(OverflowError, match="chunk 3"):
        pool.run_ranges(lambda: worker, 1000, 10, 3)
    assert not at_work.acquire(blocking=False)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_chunks_cover_the_range_once(n_threads: int) -> None:
    seen = np.zeros(1003, int)

    def worker(start: int, stop: int) -> None:
        seen[start:stop] += 1

    pool.run_ranges(lambda: worker, 1003, 10, n_threads)
    pool.run_ranges(lambda: worker, 0, 10, n_threads)
    assert (seen == 1).all()


INTERRUPTED = """
import sys, threading, time
import numpy as np
from sparsefast.kernels.numba import omp
rng = np.random.default_rng(0)
signals, dictionary = (rng.standard_normal((n, 256)).astype(np.float32) for n in (20_000, 2048))
n_threads = int(sys.argv[1])
outputs = [np.zeros((20_000, 64), dtype) for dtype in (np.float32, np.int32)]
outputs += [np.zeros(20_000, dtype) for dtype in (np.int32, np.uint8)]
layout = omp.prepare(dictionary, None, n_threads)
omp.omp(signals[:1], layout, 64, None, *(a[:1] for a in outputs), 1)
print("ready", flush=True)
try:
    while True:
        omp.omp(signals, layout, 64, None, *outputs, n_threads)
except KeyboardInterrupt:
    counts = outputs[2].copy()
    time.sleep(0.3)
    assert (counts == outputs[2]).all() and not counts.all()
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_ends_a_call_early_and_no_thread_writes_afterwards(n_threads: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(n_threads)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions as on POSIX")
def test_memory_is_bounded_by_the_block() -> None:
    p = random_problem(20_000, 16, 1024).astype(np.float32)
    layout = NUMBA.prepare(p.dictionary)
    NUMBA.code(p.signals[:1], p.dictionary, 3, layout=layout)
    outputs = (
        np.empty((20_000, 3), np.float32), np.empty((20_000, 3), np.int32),
        np.empty(20_000, np.int32), np.empty(20_000, np.uint8),
    )  # fmt: skip
    from sparsefast.kernels.numba import omp

    tracemalloc.start()
    try:
        omp.omp(p.signals, layout, 3, None, *outputs, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20  # correlations of all signals would take 78 MiB
