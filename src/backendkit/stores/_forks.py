"""Forks: what a child process must find free, and what must not be cut in two."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from threading import get_ident
from typing import Any, Protocol, TypeVar

from backendkit import clock

T = TypeVar("T")
U = TypeVar("U")
Result = TypeVar("Result")

#: Seconds that a fork waits for other threads to come back from native code.
PATIENCE = 1.0
#: Seconds between two looks whether they have.
_PAUSE = 0.0002


class Inherited(Protocol):
    """What has to be told that it is in a child process now."""

    def forked(self) -> None:
        """Leave the parent's things alone from now on. Must be quick, and not fail."""


_inherited: weakref.WeakSet[Any] = weakref.WeakSet()
#: Those of libraries that call others first: their forks wait before the others' do.
_calls: list[NativeCalls] = []


def tell_children(one: Inherited) -> None:
    """Call ``one.forked()`` in each child process, before other code runs there."""
    _inherited.add(one)


class Mutex:
    """
    A lock that is free in a child process, unless the forking thread held it.

    A thread that doesn't exist in the child would never release it there. What it
    protects has to be right whenever Python's threads may be switched.
    """

    __slots__ = ("__weakref__", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        tell_children(self)

    def acquire(self, timeout: float = -1) -> bool:
        """Take it; return whether it could be had. In seconds; -1 waits for ever."""
        if not self._lock.acquire(timeout=timeout):
            return False
        self._owner = get_ident()
        return True

    def release(self) -> None:
        """Release the lock."""
        self._owner = 0
        self._lock.release()

    def locked(self) -> bool:
        """Return whether any thread holds the lock."""
        return self._lock.locked()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def forked(self) -> None:
        """Release the lock, unless this thread holds it."""
        if self._owner != get_ident():
            self._lock = threading.Lock()
            self._owner = 0


class NativeCalls:
    """
    Calls of a library that lets go of the GIL and keeps state of its own.

    A child process gets that state as it is at the fork. If another thread is in the
    middle of a call, it stays so for ever: locks are held, counts are too high. So a
    fork waits until no other thread is in a call, and new calls wait for the fork.

    Calls are short; a fork waits ``PATIENCE`` seconds at most, and then the child
    finds ``settled`` to be false. A library that calls back goes through
    ``pause()`` there.

    :param calls_others: whether there are calls of other libraries within its own.
    """

    def __init__(self, *, calls_others: bool = False) -> None:
        #: In a child process: whether no call was cut in two by the fork.
        self.settled = True
        #: What stands for each call in progress that is over in a moment.
        self._brief: set[object] = set()
        #: Other calls in progress: by thread, how many are within each other.
        self._threads: dict[int, int] = {}
        self._forking = False
        self._forked = threading.Event()
        self._one_at_a_time = threading.Lock()
        _calls.insert(0 if calls_others else len(_calls), self)

    def guarded(self, call: Callable[[T], Result]) -> Callable[[T], Result]:
        """Return a function of one argument that forks wait for. Not reentrant."""
        begin, end, token = self._brief.add, self._brief.discard, object()

        def guarded(argument: T) -> Result:
            begin(token)
            if self._forking:
                self._wait(token)
            try:
                return call(argument)
            finally:
                end(token)

        return guarded

    def guarded_pair(self, call: Callable[[T, U], Result]) -> Callable[[T, U], Result]:
        """Return a function of two arguments that forks wait for. Not reentrant."""
        begin, end, token = self._brief.add, self._brief.discard, object()

        def guarded(first: T, second: U) -> Result:
            begin(token)
            if self._forking:
                self._wait(token)
            try:
                return call(first, second)
            finally:
                end(token)

        return guarded

    def __enter__(self) -> None:
        """Begin what forks by other threads wait for. Reentrant."""
        thread = get_ident()
        depth = self._threads.get(thread, 0)
        self._threads[thread] = depth + 1
        if self._forking and not depth:
            while self._forking:
                del self._threads[thread]
                self._forked.wait()
                self._threads[thread] = 1

    def __exit__(self, *_: object) -> None:
        """End it."""
        thread = get_ident()
        if self._threads[thread] == 1:
            del self._threads[thread]
        else:
            self._threads[thread] -= 1

    def pause(self) -> bool:
        """Let a fork by another thread go first, within a call; return False."""
        if self._forking:
            thread = get_ident()
            while self._forking:
                depth = self._threads.pop(thread, 0)
                if not depth:
                    break
                self._forked.wait()
                self._threads[thread] = depth
        return False

    def _wait(self, token: object) -> None:
        """Let the fork go first, unless this thread is in a longer call anyway."""
        while self._forking and get_ident() not in self._threads:
            self._brief.discard(token)
            self._forked.wait()
            self._brief.add(token)

    def _others(self) -> bool:
        """Whether another thread is in a call."""
        threads = self._threads
        return bool(self._brief) or len(threads) > (get_ident() in threads)

    # At a fork

    def before(self) -> None:
        """Wait until no other thread is in a call, and let none begin one."""
        self._one_at_a_time.acquire()
        self._forked.clear()
        self._forking = True
        deadline = clock.monotonic() + PATIENCE
        while self._others() and clock.monotonic() < deadline:
            time.sleep(_PAUSE)

    def after_in_parent(self) -> None:
        """Let calls begin again."""
        self._forking = False
        self._forked.set()
        self._one_at_a_time.release()

    def after_in_child(self) -> None:
        """Forget the parent's other threads."""
        self.settled = not self._others()
        thread = get_ident()
        own = self._threads.get(thread)
        self._threads.clear()
        if own is not None:
            self._threads[thread] = own
        self._brief.clear()
        self._forking = False
        self._forked = threading.Event()
        self._one_at_a_time = threading.Lock()


def _before() -> None:
    for calls in _calls:
        calls.before()


def _in_parent() -> None:
    for calls in _calls:
        calls.after_in_parent()


def _in_child() -> None:
    for calls in _calls:
        calls.after_in_child()
    with contextlib.ExitStack() as stack:
        # Whatever goes wrong with one of them, the others are told.
        for one in list(_inherited):
            stack.callback(one.forked)


os.register_at_fork(
    before=_before, after_in_parent=_in_parent, after_in_child=_in_child
)
