"""Turns: of the threads that read many rows, one does so at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import get_ident

from ._forks import tell_children

#: Seconds that a thread keeps its turn while others wait.
SLICE = 0.004
#: Seconds between two looks of the first in the queue whether the turn is free.
POLL = 0.004
#: Seconds after which a turn is taken from a thread that doesn't give it up.
PATIENCE = 0.05


class _Waiting:
    """A thread in the queue; its gate opens when there is something to see."""

    __slots__ = ("gate", "given", "thread")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.given = False
        self.gate = threading.Lock()
        self.gate.acquire()

    def wake(self) -> None:
        """Let it look."""
        if self.gate.locked():
            self.gate.release()


class Turns:
    """
    Whose turn it is to read or write rows, of this process's threads.

    SQLite's and LMDB's drivers let go of the GIL for each row. A thread wins it back
    at once if it is alone; among others that do the same it waits for each of them, at
    each row. So threads take turns, in the order in which they ask (FIFO). Who has the
    turn calls :meth:`pause` now and then, and goes to the end of the queue when its
    slice of time is over and others wait. Who gives the turn up before may take it
    again until then: most statements are a few turns, one right after the other, and
    to change threads takes as long as a hundred rows.

    A turn makes threads faster; nothing is right or wrong by it. So it can't make a
    deadlock: who keeps it for too long, because it waits for something, loses it. It
    isn't to be kept across a wait for a network, or while the rows are being used.

    :param slice_: seconds that a thread keeps its turn while others wait.
    :param poll: seconds after which who waits notices that it was given up early.
    :param patience: seconds after which it is taken away.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        slice_: float = SLICE,
        poll: float = POLL,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slice = slice_
        self._poll = poll
        self._patience = patience
        self._clock = clock
        #: Locked while a thread has the turn.
        self._taken = threading.Lock()
        #: The thread that has it; 0 for none.
        self._holder = 0
        #: The thread that had it last.
        self._last = 0
        #: How often it has taken it, within itself.
        self._depth = 0
        #: When it got it from another one, or the first began to wait for it.
        self._since = 0.0
        # For all that isn't done at once. Reentrant: the garbage collector may run
        # anybody's code in between.
        self._mutex = threading.RLock()
        self._queue: deque[_Waiting] = deque()
        #: Threads that lost their turn and don't know yet, and how often they took it.
        self._overtaken: dict[int, int] = {}
        tell_children(self)

    def take(self) -> None:
        """Wait for the turn; at once, if this thread has it already."""
        me = get_ident()
        if (not self._queue or self._may_go_on(me)) and self._taken.acquire(
            blocking=False
        ):
            self._holder = self._last = me
            self._depth = 1
            return
        with self._mutex:
            if self._holder == me:
                self._depth += 1
                return
            waiting = self._line_up(me)
        self._wait(waiting)

    def give(self) -> None:
        """Give the turn up; to who has waited longest, if the slice is over."""
        me = get_ident()
        if self._holder == me and self._depth == 1 and not self._queue:
            self._holder = 0
            self._free()
            return
        with self._mutex:
            if self._holder == me:
                self._depth -= 1
                if self._depth:
                    return
                if self._clock() - self._since < self._slice:
                    self._holder = 0
                    self._free()
                else:
                    self._hand_on()
            elif me in self._overtaken:
                self._overtaken[me] -= 1
                if not self._overtaken[me]:
                    del self._overtaken[me]

    def pause(self) -> None:
        """
        Let others have a turn if this one has lasted long enough.

        Cheap where nobody waits. No effect in a thread that hasn't taken the turn.
        """
        if self._queue or self._overtaken:
            self._pause()

    #: Take the turn.
    __enter__ = take

    def __exit__(self, *_: object) -> None:
        """Give it up."""
        self.give()

    def mine(self) -> bool:
        """Whether it is the turn of this thread."""
        return self._holder == get_ident()

    def away(self) -> contextlib.AbstractContextManager[None]:
        """Leave the turn to others in a context, which waits for something."""
        return self._away()

    @contextlib.contextmanager
    def _away(self) -> Iterator[None]:
        me = get_ident()
        depth = 0
        with self._mutex:
            if self._holder == me:
                depth = self._depth
                self._hand_on()
        try:
            yield
        finally:
            if depth:
                self._take_again(me, depth)

    def waiting(self) -> int:
        """Return how many threads wait."""
        return len(self._queue)

    def forked(self) -> None:
        """Have the turn free in a child process: the parent's threads are gone."""
        self._mutex = threading.RLock()
        self._queue.clear()
        self._overtaken.clear()
        if self._holder != get_ident():
            self._holder = 0
            self._taken = threading.Lock()

    def _may_go_on(self, thread: int) -> bool:
        """Whether a thread may have the turn again, before those who wait."""
        return self._last == thread and self._clock() - self._since < self._slice

    def _free(self) -> None:
        # Two threads may find that it is theirs, for a moment: see _begun().
        try:  # noqa: SIM105  # called often
            self._taken.release()
        except RuntimeError:
            pass

    # With the mutex

    def _line_up(self, thread: int) -> _Waiting:
        waiting = _Waiting(thread)
        if not self._queue:
            self._since = self._clock()
        self._queue.append(waiting)
        return waiting

    def _hand_on(self) -> None:
        """Give the turn, which is taken, to the first of the queue."""
        if self._queue:
            first = self._queue.popleft()
            self._begin(first)
            first.wake()
        else:
            self._holder = 0
            self._free()

    def _begin(self, waiting: _Waiting) -> None:
        """Let one who has left the queue have the turn."""
        waiting.given = True
        self._holder = self._last = waiting.thread
        self._depth = 1
        self._since = self._clock()
        if self._queue:
            self._queue[0].wake()  # the first of the queue from now on

    def _begun(self, waiting: _Waiting) -> bool:
        """Whether it is the turn of one who waits, or is made so."""
        if waiting.given:
            return True
        if self._queue[0] is waiting and self._taken.acquire(blocking=False):
            self._queue.popleft()
        elif self._clock() - self._since >= self._patience:
            # From a thread that has had it for too long.
            self._queue.remove(waiting)
            if self._holder:
                self._overtaken[self._holder] = self._depth
        else:
            return False
        self._begin(waiting)
        return True

    # Without it

    def _pause(self) -> None:
        me = get_ident()
        with self._mutex:
            if self._holder == me:
                if not self._queue or self._clock() - self._since < self._slice:
                    return
                depth = self._depth
                self._hand_on()
            elif me in self._overtaken:
                depth = self._overtaken.pop(me)
            else:
                return
        self._take_again(me, depth)

    def _take_again(self, thread: int, depth: int) -> None:
        with self._mutex:
            waiting = self._line_up(thread)
        self._wait(waiting)
        with self._mutex:
            if self._holder == thread:
                self._depth = depth
            elif thread in self._overtaken:
                self._overtaken[thread] = depth

    def _wait(self, waiting: _Waiting) -> None:
        try:
            while True:
                with self._mutex:
                    if self._begun(waiting):
                        return
                    first = self._queue[0] is waiting
                waiting.gate.acquire(timeout=self._poll if first else self._patience)
        except BaseException:  # e.g. KeyboardInterrupt
            with self._mutex:
                if not waiting.given:
                    self._queue.remove(waiting)
                elif self._holder == waiting.thread:
                    self._hand_on()
            raise


class _NoTurns(Turns):
    """For what waits for a network: everybody has a turn at any time."""

    def take(self) -> None:
        """Do nothing."""

    give = pause = __enter__ = take

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def away(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing."""
        return contextlib.nullcontext()


#: Those of this process.
turns = Turns()
#: For stores across a network.
NO_TURNS: Turns = _NoTurns()
