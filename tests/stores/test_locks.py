"""One session at a time has the right to write."""

import threading

import pytest

from backendkit.stores import OperationalError, WriterLock
from tests.waiting import PATIENCE


def test_one_session_at_a_time():
    """Others wait, be it in the same thread, and give up in time."""
    lock, one, two = WriterLock(timeout=0.01), object(), object()
    assert lock.owner is None
    lock.acquire(one)
    lock.acquire(one)
    with pytest.raises(OperationalError, match="database is locked"):
        lock.acquire(two)
    lock.release(two)
    assert lock.owner is one
    lock.release(one)
    assert lock.owner is None
    lock.acquire(two)
    assert lock.owner is two


def test_who_waits_gets_it():
    """A lock that is released in time, by any thread, is had by who waits for it."""
    lock, one, two = WriterLock(timeout=PATIENCE), object(), object()
    lock.acquire(one)
    waiting = threading.Thread(target=lock.acquire, args=(two,), daemon=True)
    waiting.start()
    lock.release(one)
    waiting.join(PATIENCE)
    assert lock.owner is two
