"""The public function among threads, processes, signals of the system and very large arrays."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import Status

BACKENDS = sparsefast.backends("omp", device="cpu")
COMPILED = [name for name in BACKENDS if name != "reference"]
N, F, K, S = 37, 15, 41, 5
RNG = np.random.default_rng(0)
TX = torch.from_numpy(RNG.standard_normal((N, F)).astype("f"))
TD = torch.from_numpy(RNG.standard_normal((K, F)).astype("f"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_threads_at_once_get_the_answers_of_one(backend):
    n = 40 if backend == "reference" else 4000
    x, d = RNG.standard_normal((n, F)).astype("f"), TD.numpy()
    prepared = sparsefast.prepare(d)
    expected = sparsefast.omp(x, d, S, backend=backend)
    start, results = threading.Barrier(2), [None, None]

    def call(slot):
        with sparsefast.use_backend(backend):
            start.wait()
            results[slot] = [sparsefast.omp(x, prepared, S) for _ in range(5)]

    workers = [threading.Thread(target=call, args=(slot,)) for slot in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(code.equals(expected) for result in results for code in result)


class Codes(torch.utils.data.Dataset):
    """Signals that a dataloader's worker codes one at a time."""

    def __init__(self, backend):
        self.backend = backend

    def __len__(self):
        return N

    def __getitem__(self, row):
        code = sparsefast.omp(TX[row : row + 1], TD, S, backend=self.backend)
        return code.values, code.indices


@pytest.mark.parametrize("backend", COMPILED)
def test_dataloader_workers_get_the_same_answers(backend):
    expected = sparsefast.omp(TX, TD, S, backend=backend)  # the pools of threads exist before the fork
    loader = torch.utils.data.DataLoader(Codes(backend), batch_size=10, num_workers=2, multiprocessing_context="fork")
    batches = list(loader)
    torch.testing.assert_close(torch.cat([values for values, _ in batches])[:, 0], expected.values, rtol=0, atol=0)
    torch.testing.assert_close(torch.cat([indices for _, indices in batches])[:, 0], expected.indices)


def run_python(source, **kwargs):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **kwargs.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_ends_a_long_call_before_its_end(backend):
    # Through the kernel's own interface, whose outputs the caller holds: rows that were never written show that the
    # call did not first run to its end. How long a piece takes is not for a test on a shared machine.
    process = run_python(
        f"""
        import importlib, numpy as np, sparsefast
        kernel = importlib.import_module("sparsefast.kernels.{backend}.omp")
        n, s = (3000 if {backend!r} == "reference" else 3_000_000), 32
        x = np.ones((n, 64), np.float32)
        x[:, ::3] = 0.5
        layout = kernel.prepare(sparsefast.overcomplete_dct(8, 32), None, 2)
        out = np.empty((n, s), np.float32), np.empty((n, s), np.int32), np.empty(n, np.int32), np.full(n, 99, np.uint8)
        kernel.omp(x[:2], layout, s, None, *(part[:2] for part in out), 2)
        print("ready", flush=True)
        try:
            kernel.omp(x, layout, s, None, *out, 2)
            print("finished", flush=True)
        except KeyboardInterrupt:
            print("interrupted", "early" if out[-1][-1] == 99 else "at the end", flush=True)
        """
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output == "interrupted early\n", errors


@pytest.mark.parametrize("backend", COMPILED)
def test_more_elements_than_an_int32_can_count(backend):
    rows, columns = 4_300_000, 512
    assert rows * columns > 2**31
    signals = np.zeros((rows, columns), np.float32)  # pages that are never written take no memory
    ends = np.r_[0:3, rows - 3 : rows]
    signals[ends] = np.random.default_rng(1).standard_normal((6, columns)).astype(np.float32)
    dictionary = RNG.standard_normal((3, columns)).astype("f")
    code = sparsefast.omp(signals, dictionary, 2, backend=backend)
    assert code[ends].equals(sparsefast.omp(signals[ends], dictionary, 2, backend=backend))
    assert (code.status[3:-3] == Status.ORTHOGONAL).all()
    assert not code.values[3:-3].any()
