"""Batches are the same with any number of workers, however they are started, and over any number of processes."""

import os
import pickle
import signal
import warnings

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast.data.config import CONFIGS
from sparsefast.data.image_set import open_set
from sparsefast.data.loader import make_loader, open_loader, worker_error
from sparsefast.data.rate import loader_rate
from sparsefast.data.sampler import EpochSampler
from sparsefast.data.seeds import sample_seeds


def epoch(loader, number=0, start=0):
    loader.batch_sampler.set_position(number, start)
    return list(loader)


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            assert x[key].dtype == y[key].dtype
            assert torch.equal(x[key], y[key]), key


@pytest.mark.parametrize("name", CONFIGS)
def test_a_batch_has_images_indices_and_seeds(config_of, name):
    loader = open_loader(config_of(name), "train", run_seed=5)
    batch = epoch(loader, 3)[0]
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["image"].dtype == torch.uint8
    assert batch["index"].dtype == batch["seed"].dtype == torch.int64
    expected = sample_seeds(5, 3, batch["index"].numpy()).view(np.int64)
    assert batch["seed"].tolist() == expected.tolist()
    labelled = name in ("cifar10", "imagenette2")
    assert set(batch) == {"image", "index", "seed", *(["label"] if labelled else [])}
    if labelled:
        assert batch["label"].dtype == torch.int64


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("split", ["train", "held-out"])
def test_batches_are_the_same_with_workers(config_of, name, split):
    alone = open_loader(config_of(name), split, run_seed=1)
    with_workers = open_loader(config_of(name, workers=2), split, run_seed=1)
    for number in (0, 1) if split == "train" else (0,):
        assert_same(epoch(alone, number), epoch(with_workers, number))


@pytest.mark.parametrize(("workers", "start_method"), [(1, "fork"), (2, "spawn")])
def test_batches_are_the_same_however_workers_are_started(config_of, workers, start_method):
    alone = open_loader(config_of("folder"), "train", run_seed=1)
    loader = open_loader(config_of("folder", workers=workers, start_method=start_method), "train", run_seed=1)
    for number, start in ((0, 0), (4, 1), (1, 0)):
        assert_same(epoch(alone, number, start), epoch(loader, number, start))


@pytest.mark.parametrize("pin_memory", [False, True])
@pytest.mark.parametrize("n_bytes", [100, 3 << 19])
def test_batches_of_any_number_of_bytes_arrive_as_tensors_that_can_be_written_to(n_bytes, pin_memory):
    """Small ones come through a pipe, large ones through shared memory."""

    def more(indices):
        return {"more": np.full((len(indices), n_bytes), indices[0], np.uint8)}

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*pin_memory")  # there may be no GPU
        batches = list(loader_of(more, 1, pin_memory))
    for number, batch in enumerate(batches):
        assert all(torch.is_tensor(value) for value in batch.values())
        assert (batch["more"] == number).all()
        batch["more"] += 1
    assert len(batches) == 6


@pytest.mark.parametrize("name", CONFIGS)
def test_sets_can_be_pickled_and_give_the_same_then(config_of, name):
    for split in ("train", "held-out"):
        images = open_set(config_of(name, eval_images=2), split)
        again = pickle.loads(pickle.dumps(images))
        assert again.image_shape == images.image_shape == (3, 32, 32)
        indices = np.arange(len(images))
        seeds = sample_seeds(1, 0, indices)
        first, second = images.batch(indices, seeds), again.batch(indices, seeds)
        for key in first:
            np.testing.assert_array_equal(first[key], second[key], strict=True)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("split", ["train", "held-out"])
def test_the_parts_of_all_processes_are_the_global_batches(config_of, name, split):
    whole = epoch(open_loader(config_of(name), split, run_seed=1), 0)
    parts = [epoch(open_loader(config_of(name), split, run_seed=1, rank=r, world_size=2), 0) for r in (0, 1)]
    joined = []
    for number in range(len(whole)):
        there = [part[number] for part in parts if number < len(part)]
        joined.append({key: torch.cat([batch[key] for batch in there]) for key in whole[0]})
    assert_same(whole, joined)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_position_is_as_if_the_batches_before_it_were_skipped(config_of, name):
    loader = open_loader(config_of(name), "train", run_seed=1)
    assert_same(epoch(loader, 2)[1:], epoch(loader, 2, 1))
    assert_same(epoch(loader, 2), [*epoch(loader, 2)[:1], *epoch(loader, 2, 1)])


@pytest.mark.parametrize("name", CONFIGS)
def test_training_images_change_with_the_epoch_and_the_seed_of_the_run(config_of, name):
    def images(run_seed, number):
        batches = epoch(open_loader(config_of(name), "train", run_seed=run_seed), number)
        found = {key: torch.cat([batch[key] for batch in batches]) for key in ("index", "image")}
        return found["image"][found["index"].argsort()]

    first = images(1, 0)
    for other in (images(1, 1), images(2, 0)):
        assert len(first) != len(other) or not torch.equal(first, other)


@pytest.mark.parametrize("name", CONFIGS)
def test_held_out_images_are_the_same_in_every_run(config_of, name):
    first, other = (epoch(open_loader(config_of(name), "held-out", run_seed=seed)) for seed in (1, 2))
    for a, b in zip(first, other, strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["index"], b["index"])
        assert not torch.equal(a["seed"], b["seed"])


@pytest.mark.parametrize("workers", [0, 2])
def test_no_global_random_state_is_read_or_changed(config_of, workers):
    loader = open_loader(config_of("synthetic", workers=workers), "train", run_seed=1)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = epoch(loader)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert_same(first, epoch(loader))


def test_an_epoch_that_was_left_early_is_not_seen_in_the_next(config_of):
    loader = open_loader(config_of("photos", workers=2), "train", run_seed=1)
    next(iter(loader))
    assert_same(epoch(loader, 1), epoch(open_loader(config_of("photos"), "train", run_seed=1), 1))


class Images:
    """Six images, whose batches do what a test wants."""

    image_shape = (1, 2, 2)

    def __init__(self, act):
        self.act = act

    def __len__(self):
        return 6

    def batch(self, indices, seeds):
        more = self.act(indices)
        return {"image": np.zeros((len(indices), 1, 2, 2), np.uint8), **(more or {})}


def loader_of(act, workers, pin_memory=False):
    sampler = EpochSampler(6, 1, seed=1, shuffle=False, drop_last=False)
    loader = make_loader(Images(act), sampler, run_seed=1, workers=workers, start_method="fork", pin_memory=pin_memory)
    loader.timeout = 60 if workers else 0  # a hang ends in an error
    return loader


def test_a_worker_that_is_killed_is_one_clear_line():
    def die(indices):
        if indices[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    # The text of an error that its signal handler raises goes through ours, and that of any other place too.
    with pytest.raises(
        RuntimeError, match=r"^a data worker \(process \d+\) was killed.*; data.workers=0 goes without$"
    ):
        list(loader_of(die, 2))


def test_errors_of_pytorch_about_workers_are_told_from_others():
    for text, line in (
        (
            "DataLoader worker (pid 12) is killed by signal: Killed. ",
            "a data worker (process 12) was killed by the signal",
        ),
        ("DataLoader worker (pid(s) 12, 34) exited unexpectedly", "a data worker (process 12, 34) was killed or ended"),
        (
            "DataLoader worker (pid 12) exited unexpectedly with exit code 1.",
            "a data worker (process 12) was killed or",
        ),
    ):
        assert str(worker_error(RuntimeError(text))).startswith(line)
    assert worker_error(RuntimeError("shapes do not match")) is None
    assert worker_error(ValueError("DataLoader worker (pid 12) is killed by signal: Killed. ")) is None


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [ValueError("x.png is damaged"), FileNotFoundError(2, "no such file", "x.png")])
def test_an_error_of_the_set_is_the_same_line_from_a_worker(workers, error):
    def fail(indices):
        if indices[0] == 2:
            raise error

    loader = loader_of(fail, workers)
    batches = iter(loader)
    assert [next(batches)["index"].item() for _ in range(2)] == [0, 1]
    with pytest.raises(type(error)) as caught:
        next(batches)
    assert str(caught.value) == str(error)


def test_workers_have_one_thread_and_do_not_wait_for_those_of_before_the_fork():
    """The process has used its pools of threads when it forks; its children run the same work to the end."""
    matrix, signals = torch.ones(400, 400), np.ones((2000, 16))

    def work(_):
        (matrix @ matrix).sum().item()
        matrix.sin().sum().item()
        sparsefast.omp(signals, np.eye(16), 2)
        return {"threads": np.array([torch.get_num_threads()]), "ours": np.array([sparsefast.get_num_threads()])}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        work(None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, that a process with threads forks
            batches = list(loader_of(work, 2))
    finally:
        torch.set_num_threads(before)
    assert len(batches) == 6
    assert {(batch["threads"].item(), batch["ours"].item()) for batch in batches} == {(1, 1)}


def test_the_rate_counts_the_images_after_the_first_batch(monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("sparsefast.data.rate.time.perf_counter", lambda: next(clock))
    # One image in each two seconds of this clock, over the end of an epoch.
    assert loader_rate(loader_of(lambda _: None, 0), 20) == 0.5
    sampler = EpochSampler(1, 2, seed=1, shuffle=False, rank=1, world_size=2, drop_last=False)
    empty = make_loader(Images(lambda _: None), sampler, run_seed=1, workers=0, start_method="fork")
    with pytest.raises(ValueError, match="the loader has no batch"):
        loader_rate(empty, 1)
