"""What forks wait for, and what their children find free."""

import threading
import time

import pytest

from backendkit.stores import Mutex, NativeCalls, WriterLock, _forks, tell_children
from tests.backends.lmdb_processes import in_fork


class Elsewhere:
    """Does something in another thread, and waits there until it is let go."""

    def __init__(self, call):
        self._begun, self._go = threading.Event(), threading.Event()
        self._call = call
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        self._call(self.wait)

    def wait(self, *_):
        self._begun.set()
        assert self._go.wait(60)

    def __enter__(self):
        self._thread.start()
        assert self._begun.wait(60)
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self._go.set()
        self._thread.join()


@pytest.fixture
def calls():
    calls = NativeCalls()
    yield calls
    _forks._calls.remove(calls)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_forks, "PATIENCE", 0.05)


class TestMutex:
    def test_of_another_thread(self):
        mutex = Mutex()

        def hold(wait):
            with mutex:
                wait()

        def child():
            with mutex:
                assert mutex.locked()
            assert not mutex.locked()

        with Elsewhere(hold):
            assert in_fork(child) == 0
            assert mutex.locked()
        assert not mutex.locked()

    def test_of_this_thread(self):
        """Who has it keeps it, and can give it up."""
        mutex = Mutex()

        def child():
            assert not mutex.acquire(timeout=0)
            mutex.release()
            assert mutex.acquire(timeout=0)

        with mutex:
            assert in_fork(child) == 0
            assert mutex.locked()

    def test_the_right_to_write(self):
        lock = WriterLock(timeout=0.01)
        session, other = object(), object()
        lock.acquire(session)

        def child():
            lock.release(session)  # nobody's any more
            lock.acquire(other)
            lock.release(other)

        assert in_fork(child) == 0
        assert lock.owner is session


class TestCalls:
    @pytest.mark.parametrize("arguments", [1, 2])
    def test_a_fork_waits_for_a_call(self, calls, arguments):
        ended = []

        def slow(*given):
            assert given == tuple(range(arguments))
            wait()
            time.sleep(0.1)
            ended.append(True)
            return "answer"

        guarded = (calls.guarded, calls.guarded_pair)[arguments - 1](slow)
        begun = threading.Event()

        def wait():
            begun.set()

        thread = threading.Thread(target=guarded, args=range(arguments))
        thread.start()
        assert begun.wait(60)

        def child():
            assert ended
            assert calls.settled

        assert in_fork(child) == 0
        thread.join()

    def test_a_call_waits_for_a_fork(self, calls):
        """One that begins meanwhile; and it goes on when the fork is done."""
        order = []

        def hold(wait):
            with calls:
                wait()

        begun = threading.Event()

        def late():
            begun.wait(60)
            while not calls._forking:
                time.sleep(0.001)
            holder._go.set()
            with calls:
                order.append("call")

        thread = threading.Thread(target=late)
        thread.start()
        holder = Elsewhere(hold)
        with holder:
            begun.set()

            def child():
                assert calls.settled
                assert order == []

            assert in_fork(child) == 0
            thread.join()
            assert order == ["call"]

    def test_a_call_that_takes_too_long(self, calls, impatient):
        """The fork is made all the same, and the child knows."""

        def hold(wait):
            with calls:
                wait()

        def child():
            assert not calls.settled
            with calls:
                assert in_fork(grandchild) == 0

        def grandchild():
            assert calls.settled

        with Elsewhere(hold):
            assert in_fork(child) == 0

    def test_a_fork_within_a_call(self, calls):
        """Of its own thread it waits for none."""

        def child():
            with calls:
                assert calls.settled

        with calls, calls:
            start = time.monotonic()
            assert in_fork(child) == 0
            assert time.monotonic() - start < _forks.PATIENCE

    def test_a_pause_within_a_call(self, calls):
        """A long call that pauses now and then keeps no fork waiting."""
        stop = threading.Event()
        begun = threading.Event()

        def long():
            with calls:
                begun.set()
                while not stop.is_set():
                    calls.pause()

        def child():
            assert calls.settled

        thread = threading.Thread(target=long)
        thread.start()
        assert begun.wait(60)
        for _ in range(3):
            assert in_fork(child) == 0
        stop.set()
        thread.join()
        assert not calls._threads

    def test_an_error_in_a_call(self, calls):
        guarded = calls.guarded(lambda key: {}[key])
        with pytest.raises(KeyError):
            guarded(1)
        with pytest.raises(KeyError), calls:
            guarded(1)
        assert not calls._others()


def test_all_are_told():
    """Whatever one of them makes of it."""

    class Told:
        def forked(self):
            self.told = True
            raise RuntimeError("as expected")

    several = [Told() for _ in range(3)]
    for one in several:
        tell_children(one)

    def child():
        assert all(one.told for one in several)

    assert in_fork(child) == 0
    assert not hasattr(several[0], "told")
