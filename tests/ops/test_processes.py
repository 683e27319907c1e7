"""All public ops among threads, processes, signals of the system and very large arrays."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import Status
from tests.ops.helper import CELLS, assert_same, in_torch, parts, problem

BACKENDS = sparsefast.backends("omp", device="cpu")
COMPILED = [name for name in BACKENDS if name != "reference"]
COMPILED_CELLS = [(op, backend) for op, backend in CELLS if backend in COMPILED]
# Enough for every op on every backend to use a second thread.
MANY = 30_000
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture
def two_threads():
    sparsefast.set_num_threads(2)
    yield
    sparsefast.set_num_threads(None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_threads_at_once_get_the_answers_of_one(backend, two_threads):
    x, d = problem("float32", batch=(20 if backend == "reference" else MANY,))
    prepared = sparsefast.prepare(d)
    ops = [op for op, name in CELLS if name == backend]
    expected = {op.row: op.call(x, d, backend=backend) for op in ops}
    start, results = threading.Barrier(2), ([], [])

    def call(slot):
        with sparsefast.use_backend(backend):
            for op in ops:  # the same op at once, and then others
                start.wait()
                results[slot].append((op.row, op.call(x, prepared)))
            for op in (ops, ops[::-1])[slot]:
                results[slot].append((op.row, op.call(x, d)))

    workers = [threading.Thread(target=call, args=(slot,)) for slot in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        assert len(result) == 2 * len(ops)
        for row, answer in result:
            assert_same(answer, expected[row])


class Codes(torch.utils.data.Dataset):
    """Signals that a dataloader's worker codes one at a time, by every op on every compiled backend."""

    def __init__(self, signals, dictionary):
        self.signals, self.dictionary = signals, dictionary

    def __len__(self):
        return len(self.signals)

    def __getitem__(self, row):
        signal = self.signals[row]
        return {
            f"{op}-{backend}-{name}": torch.as_tensor(array)
            for op, backend in COMPILED_CELLS
            for name, array in parts(op.call(signal, self.dictionary, backend=backend)).items()
        }


@pytest.mark.parametrize("method", [pytest.param("fork", marks=forks), "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning", "ignore:This DataLoader will create")
def test_dataloader_workers_get_the_same_answers(method, two_threads):
    x, d = in_torch(*problem("float32", batch=(MANY,)))
    expected = {cell: cell[0].call(x, d, backend=cell[1]) for cell in COMPILED_CELLS}  # the pools have threads now
    codes = Codes(x[:23], d)
    loader = torch.utils.data.DataLoader(
        codes, batch_size=5, num_workers=2, multiprocessing_context=method, timeout=120
    )
    batches = list(loader)
    for (op, backend), result in expected.items():
        for name, array in parts(result).items():
            theirs = torch.cat([batch[f"{op}-{backend}-{name}"] for batch in batches])
            np.testing.assert_array_equal(theirs.numpy(), array[:23], err_msg=f"{op} on {backend}: {name}")


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_gets_the_same_answers_after_a_parallel_region(two_threads):
    x, d = problem("float32", batch=(MANY,))
    expected = [op.call(x, d, backend=backend) for op, backend in COMPILED_CELLS]
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that waits for threads that it does not have would wait for ever
        wrong = 99
        try:
            for number, ((op, backend), result) in enumerate(zip(COMPILED_CELLS, expected, strict=True), 1):
                wrong = number
                assert_same(op.call(x[:3000], d, backend=backend), result, rows=slice(3000))
            wrong = 0
        finally:
            os._exit(wrong)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"exit {code}: {dict(enumerate(map(str, COMPILED_CELLS), 1)).get(code)}"
    for (op, backend), result in zip(COMPILED_CELLS, expected, strict=True):
        assert_same(op.call(x, d, backend=backend), result)


# Through the kernels' own interface, whose outputs the caller holds: rows that were never written show that the call
# did not first run to its end. How long a piece takes is not for a test on a shared machine; so the interrupt is sent
# when the first row is written, by a thread that looks for it. Outputs are pages that take no memory until then.
INTERRUPTED = """
    import importlib, os, signal, sys, threading, time
    import numpy as np, sparsefast
    backend, s = sys.argv[1], 16
    n = 30_000 if backend == "reference" else 20_000_000
    row = np.ones(64, np.float32)
    row[::3] = 0.5
    x, mask = np.broadcast_to(row, (n, 64)), np.broadcast_to(np.arange(64) % 4 != 1, (n, 64))
    arguments = {
        "masked": lambda layout: (x, mask, layout, s, None),
        "topk": lambda layout: (x, layout, s, False),
        "iht": lambda layout: (x, layout, s, 100, 0.0, None),
        "nearest_code": lambda layout: (x, layout),
    }
    for name in sys.argv[2:]:
        kernel = importlib.import_module(f"sparsefast.kernels.{backend}.{name}")
        layout = kernel.prepare(sparsefast.overcomplete_dct(8, 32), None, 2)
        if name == "nearest_code":
            out = np.zeros(n, np.int32), np.zeros(n, np.float32)
        else:
            out = np.zeros((n, s), np.float32), np.zeros((n, s), np.int32), np.zeros(n, np.int32), np.zeros(n, np.uint8)
        written = out[1] if name == "nearest_code" else out[2]
        assert written.dtype == (np.float32 if name == "nearest_code" else np.int32)

        def interrupt():
            while not written[0]:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        watch = threading.Thread(target=interrupt)
        watch.start()
        try:
            call = arguments.get(name, lambda layout: (x, layout, s, None))(layout)
            getattr(kernel, name)(*call, *out, 2)
            print(name, "finished")
        except KeyboardInterrupt:
            before = np.count_nonzero(written)
            time.sleep(0.05)
            same = np.count_nonzero(written) == before
            print(name, "interrupted", "at the end" if written[-1] else "early", "for good" if same else "but goes on")
        watch.join()
"""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_ends_a_long_call_of_every_op_before_its_end(backend):
    names = [op.module for op, name in CELLS if name == backend]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), backend, *names],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} interrupted early for good" for name in names]


@pytest.mark.parametrize("backend", COMPILED)
def test_more_elements_than_an_int32_can_count(backend):
    rows, columns = 4_300_000, 512
    assert rows * columns > 2**31
    signals = np.zeros((rows, columns), np.float32)  # pages that are never written take no memory
    ends = np.r_[0:3, rows - 3 : rows]
    rng = np.random.default_rng(1)
    signals[ends] = rng.standard_normal((6, columns)).astype(np.float32)
    dictionary = rng.standard_normal((3, columns)).astype(np.float32)
    code = sparsefast.omp(signals, dictionary, 2, backend=backend)
    assert code[ends].equals(sparsefast.omp(signals[ends], dictionary, 2, backend=backend))
    assert (code.status[3:-3] == Status.ORTHOGONAL).all()
    assert not code.values[3:-3].any()
