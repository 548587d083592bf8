"""Pauses between the runs of what meets others."""

import heapq
import random

import pytest

from backendkit import backoff, clock
from backendkit.backoff import Backoff, Pace


@pytest.fixture
def now(monkeypatch):
    """A clock that tests set: ``now[0]`` is what it shows."""
    moment = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: moment[0])
    return moment


@pytest.fixture
def longest(monkeypatch):
    """Let each pause be as long as it may be."""
    monkeypatch.setattr(backoff.random, "uniform", lambda low, high: high)


def test_steps_double_up_to_the_longest(now, longest):
    one = Backoff(Pace(), step=0.5, longest=3.0)
    assert [one.pause() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert one.runs == 6


def test_the_first_step_is_scaled_to_what_a_run_takes(now, longest):
    pace = Pace()
    one = Backoff(pace, longest=100.0)
    pace.note(4.0)
    first = one.pause()
    for _ in range(50):
        pace.note(0.04)
    assert Backoff(pace).pause() == pytest.approx(first / 100, rel=0.1)


def test_a_pause_is_any_part_of_its_step(now):
    """Full jitter: two that have met don't wait for the same time."""
    pauses = sorted(Backoff(Pace(), step=1.0).pause() for _ in range(300))
    assert 0 <= pauses[0] < 0.05
    assert 0.95 < pauses[-1] <= 1.0
    assert 0.4 < pauses[150] < 0.6


def test_no_run_begins_when_the_budget_is_spent(now, longest):
    one = Backoff(Pace(), step=1.0, longest=1.0, budget=2.5)
    now[0] += 1.0
    assert one.pause() == 1.0
    now[0] += 1.0
    assert one.pause() is None
    assert one.elapsed == 2.0


def test_there_may_be_any_number_of_runs(now, longest):
    one = Backoff(Pace(), step=0.001, longest=0.5, budget=None)
    assert {one.pause() for _ in range(5_000)} <= {
        *(0.001 * 2**n for n in range(10)),
        0.5,
    }


@pytest.mark.parametrize("takes", [0.004, 0.03, 0.3])
@pytest.mark.parametrize("writers", [2, 8, 30])
def test_all_of_many_writers_get_through(now, takes, writers):
    """
    Each transaction conflicts with all that commit while it runs.

    In most of the time that they would take one after the other, and a bit, all are
    done, whatever one of them takes.
    """
    chance = random.Random(f"{takes} {writers}")
    begun, waiting = now[0], []
    paces = [Pace() for _ in range(writers)]
    left = [10] * writers
    backoffs = [None] * writers
    committed = 0.0

    def begin(number, moment):
        heapq.heappush(
            waiting, (moment + takes * chance.uniform(0.8, 1.2), number, moment)
        )

    for number in range(writers):
        backoffs[number] = Backoff(paces[number], budget=takes * writers * 100)
        begin(number, begun)
    while waiting:
        now[0], number, since = heapq.heappop(waiting)
        paces[number].note(now[0] - since)
        if committed > since:
            pause = backoffs[number].pause()
            assert pause is not None, "gave up"
            begin(number, now[0] + pause)
            continue
        committed = now[0]
        left[number] -= 1
        if left[number]:
            backoffs[number] = Backoff(paces[number], budget=takes * writers * 100)
            begin(number, now[0])
    assert now[0] - begun < takes * writers * 10 * 6
