"""Which samples a process gets and when: a function of (seed, epoch, start)."""

import numpy as np
import pytest

from sparsefast.data.sampler import EpochSampler


def training(n=50, batch_size=8, seed=3, **more):
    return EpochSampler(n, batch_size, seed=seed, shuffle=True, drop_last=True, **more)


def held_out(n=50, batch_size=8, **more):
    return EpochSampler(n, batch_size, seed=3, shuffle=False, drop_last=False, **more)


def batches(sampler, epoch=0, start=0):
    sampler.set_position(epoch, start)
    return [batch.tolist() for batch in sampler]


def test_every_index_is_seen_once_in_an_epoch_but_for_the_batch_that_is_dropped():
    found = [row for batch in batches(training(), epoch=2) for row in batch]
    assert len(found) == 48
    assert {epoch for epoch, _ in found} == {2}
    assert len({index for _, index in found}) == 48
    whole = EpochSampler(50, 8, seed=3, shuffle=True, drop_last=False)
    assert sorted(index for batch in batches(whole) for _, index in batch) == list(range(50))


def test_epochs_and_seeds_have_different_orders_and_the_same_ones_again():
    orders = [batches(training(seed=seed), epoch) for seed, epoch in ((3, 0), (3, 1), (4, 0))]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[1] == batches(training(), epoch=1)


def test_held_out_samples_come_in_order():
    assert [i for batch in batches(held_out()) for _, i in batch] == list(range(50))


@pytest.mark.parametrize("make", [training, held_out])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("n", [48, 50, 53])
def test_the_blocks_of_all_processes_are_the_global_batches(make, world_size, n):
    whole = batches(make(n), epoch=1)
    blocks = [batches(make(n, rank=rank, world_size=world_size), epoch=1) for rank in range(world_size)]
    joined = [[row for block in blocks for row in (block[i] if i < len(block) else [])] for i in range(len(whole))]
    assert joined == whole
    for rank, block in enumerate(blocks):
        assert len(make(n, rank=rank, world_size=world_size)) == len(block)
        assert all(block)  # no process is given an empty batch


def test_processes_with_no_sample_of_the_last_batch_have_one_batch_fewer():
    assert [len(held_out(33, 16, rank=rank, world_size=4)) for rank in range(4)] == [3, 2, 2, 2]
    assert [len(held_out(2, 16, rank=rank, world_size=4)) for rank in range(4)] == [1, 1, 0, 0]


@pytest.mark.parametrize("start", [0, 1, 5, 6])
def test_a_position_is_as_if_the_batches_before_it_were_skipped(start):
    assert batches(training(), 4, start) == batches(training(), 4)[start:]
    assert len(training()) == 6


def test_the_next_iteration_begins_at_0_and_the_position_is_read_at_once():
    sampler = training()
    sampler.set_position(4, 5)
    first = iter(sampler)
    again = [batch.tolist() for batch in sampler]
    sampler.set_position(9)
    assert [batch.tolist() for batch in first] == batches(training(), 4, 5)
    assert again == batches(training(), 4)


def test_numbers_that_are_not_allowed_are_named():
    with pytest.raises(ValueError, match=r"data.batch_size=6 must be a multiple of the 4 processes"):
        training(batch_size=6, world_size=4)
    with pytest.raises(ValueError, match=r"data.batch_size=64 must be at most the 50 images of an epoch"):
        training(batch_size=64)
    with pytest.raises(ValueError, match=r"data.batch_size=0 must be at least 1"):
        training(batch_size=0)
    with pytest.raises(ValueError, match=r"n=0 must be at least 1"):
        held_out(0)
    with pytest.raises(ValueError, match=r"rank=2 must be from 0 to world_size - 1 = 1"):
        held_out(rank=2, world_size=2)
    with pytest.raises(ValueError, match=r"start_batch=7 must be from 0 to 6"):
        training().set_position(0, 7)
    with pytest.raises(ValueError, match=r"epoch=-1 must be at least 0"):
        training().set_position(-1)


def test_a_batch_is_an_array_of_epochs_and_indices():
    batch = next(iter(training()))
    assert batch.shape == (8, 2)
    assert batch.dtype == np.int64
