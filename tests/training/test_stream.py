"""The batches of a run are one stream, cut into segments."""

import numpy as np
import pytest

from sparsefast.data.sampler import EpochSampler
from sparsefast.training.config import TrainConfig
from sparsefast.training.fit import plan
from sparsefast.training.stream import Segments, StreamSampler


def epochs():
    return EpochSampler(23, 4, seed=3, shuffle=True, drop_last=True)


def test_segments_one_after_the_other_are_the_epochs_one_after_the_other():
    sampler = StreamSampler(epochs(), per_epoch=5)
    expected = []
    for epoch in range(4):
        whole = epochs()
        whole.set_position(epoch)
        expected += list(whole)
    at, found = 0, []
    for count in (3, 7, 1, 0, 9):
        sampler.set_segment(at, count)
        assert len(sampler) == count
        part = list(sampler)
        assert len(part) == count
        found += part
        at += count
    np.testing.assert_array_equal(found, expected)


def test_batches_beyond_the_last_whole_step_of_an_epoch_are_left_out():
    sampler = StreamSampler(epochs(), per_epoch=4)  # steps of two batches, of which an epoch has five
    sampler.set_segment(3, 3)
    assert [int(batch[0, 0]) for batch in sampler] == [0, 1, 1]


def test_an_iteration_is_the_segment_that_begins_at_the_present_step():
    sampler = StreamSampler(epochs(), per_epoch=5)
    step = 0
    segments = Segments(sampler, sampler, lambda: step, segment=3, last=7, accumulate=1)
    lengths = []
    for _ in range(4):
        n = len(list(segments))
        lengths.append(n)
        step += n
    assert lengths == [3, 3, 1, 0]
    assert segments.waited > 0


@pytest.mark.parametrize(
    ("keys", "n", "expected"),
    [
        (dict(max_epochs=3), 100, (12, 12, 36)),
        (dict(max_epochs=3, max_steps=20), 100, (12, 12, 20)),
        (dict(max_epochs=0, max_steps=50, checkpoint_every=7), 100, (12, 7, 50)),
        (dict(max_epochs=0, max_steps=5), 100, (12, 5, 5)),
    ],
)
def test_a_plan_has_the_smaller_of_its_limits(keys, n, expected):
    found = plan(TrainConfig(**keys), 8, n)
    assert (found.steps_per_epoch, found.segment, found.total) == expected
