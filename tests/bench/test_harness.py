"""The arithmetic of timing, on a clock that the tests wind."""

from __future__ import annotations

import contextlib

import pytest

from sparsefast.bench.harness import Entry, calibrate, paired_ratio, summarise, take_turns, timed


class FakeClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, *seconds):
        """A call that takes each of these times in turn."""
        times = iter(seconds)

        def call():
            self.now += next(times)

        return call


def test_everybody_has_a_turn_in_each_round_and_its_own_setting():
    clock, log = FakeClock(), []

    @contextlib.contextmanager
    def setting(name):
        log.append(f"+{name}")
        clock.now += 100  # entering and leaving is not timed
        yield
        log.append(f"-{name}")

    def entry(name):
        work = clock.work(1, 2, 3)
        return Entry(name, lambda: (log.append(name), work()), 10, lambda: setting(name))

    entries = [entry("A"), entry("B")]
    take_turns(entries, 3, clock)
    assert log == ["+A", "A", "-A", "+B", "B", "-B"] * 3
    assert entries[0].seconds == entries[1].seconds == [1, 2, 3]
    assert entries[0].rates == [10, 5, 10 / 3]


def test_ratios_are_taken_within_a_turn():
    """A machine that is ten times slower in one turn changes no ratio, though it changes the medians."""
    clock = FakeClock()
    a, b = Entry("a", clock.work(1, 10, 1), 4), Entry("b", clock.work(3, 30, 3), 2)
    take_turns([a, b], 3, clock)
    assert (paired_ratio(a, b).median, paired_ratio(a, b).iqr) == (6, 0)
    assert paired_ratio(b, a).median == pytest.approx(1 / 6)


def test_a_ratio_needs_as_many_turns_of_both():
    with pytest.raises(ValueError, match="a has 1 turns and b 2"):
        paired_ratio(Entry("a", int, seconds=[1]), Entry("b", int, seconds=[1, 2]))


def test_median_and_quartiles():
    summary = summarise([5, 1, 2, 4, 3])
    assert (summary.median, summary.q1, summary.q3, summary.iqr) == (3, 2, 4, pytest.approx(2 / 3))
    assert summarise([7.0]).iqr == 0
    with pytest.raises(ValueError, match="no values"):
        summarise([])


def test_the_result_outlives_the_clock():
    """Freeing a large result costs as much as filling it; nobody is charged for it."""
    clock = FakeClock()

    class Result:
        def __del__(self):
            clock.now += 1000

    take_turns([entry := Entry("a", Result)], 2, clock)
    assert max(entry.seconds) < 1
    assert timed(Result, clock)[0] == 0


@pytest.mark.parametrize(
    ("cost", "most", "expected"),
    [(1e-3, 10_000, 200), (1e-6, 10_000, 10_000), (1.0, 10_000, 16), (1e-3, 5, 5)],
    ids=["in range", "capped", "slow", "few signals"],
)
def test_a_call_is_made_to_last_as_long_as_wanted(cost, most, expected):
    clock = FakeClock()
    compiled = []

    def make(n):
        def call():
            clock.now += cost * n + (0 if compiled else 60)  # the first call compiles
            compiled.append(n)

        return call

    assert calibrate(make, 0.2, most, clock=clock) == pytest.approx(expected, rel=0.01)
