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
SLICE = 0.01
#: Seconds for one that had the turn alone before, or has gone before others.
SHORT = 0.002
#: Seconds between two looks whether a turn stays free, at least.
_SOON = 0.0025
#: Seconds for which a turn that was given up early stays free for the same thread.
GRACE = 0.001
#: How often a thread that was in the middle of something lets others go first.
PASSED = 4
#: Seconds after which a turn is taken from a thread that doesn't give it up.
PATIENCE = 0.05


class _Waiting:
    """
    A thread in the queue; its gate opens when there is something to see.

    :param began: whether it begins something, and wasn't in the middle of it.
    """

    __slots__ = ("began", "gate", "given", "passed", "passing", "thread", "watching")

    def __init__(self, thread: int, began: bool) -> None:
        self.thread = thread
        self.began = began
        self.given = False
        #: How many others have gone before it.
        self.passed = 0
        #: Whether it goes before others.
        self.passing = False
        #: Whether it looks by itself whether the turn stays free.
        self.watching = False
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
    another thread begins on another processor, whose caches know nothing.

    Who begins something goes before those whose slice ended in the middle of it, and
    gets a shorter slice. Each of these lets a few others by, no more.

    A turn makes threads faster; nothing is right or wrong by it. So it can't make a
    deadlock: who keeps it for too long, because it waits for something, loses it. It
    isn't to be kept across a wait for a network, or while the rows are being used.

    :param slice_: seconds that a thread keeps its turn while others wait.
    :param short: seconds for one that had it alone before, or has gone before others.
    :param grace: seconds for which one that was given up early stays free for the same
        thread.
    :param patience: seconds after which it is taken away.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        slice_: float = SLICE,
        short: float = SHORT,
        grace: float = GRACE,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slice = slice_
        self._short = short
        self._grace = grace
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
        #: Until when it may keep it.
        self._until = 0.0
        #: When it was given up while others waited.
        self._freed = 0.0
        # For all that isn't done at once. Reentrant: the garbage collector may run
        # anybody's code in between.
        self._mutex = threading.RLock()
        self._queue: deque[_Waiting] = deque()
        #: Threads that lost their turn and don't know yet, and how often they took it.
        self._overtaken: dict[int, int] = {}
        tell_children(self)

    def take(self, *, began: bool = True) -> None:
        """
        Wait for the turn; at once, if this thread has it already.

        :param began: whether something begins, and isn't gone on with.
        """
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
            waiting = self._line_up(me, began=began)
        self._wait(waiting)

    def give(self) -> None:
        """Give the turn up; to who has waited longest, if the slice is over."""
        me = get_ident()
        if self._holder == me and self._depth == 1 and not self._queue:
            self._holder = 0
            self._free()
            if self._queue:  # by now
                with self._mutex:
                    self._given_up()
            return
        with self._mutex:
            if self._holder == me:
                self._depth -= 1
                if self._depth:
                    return
                now = self._clock()
                if not self._queue or now >= self._until:
                    self._hand_on()
                    return
                self._freed = now
                self._holder = 0
                self._free()
                self._given_up()
            elif me in self._overtaken:
                self._overtaken[me] -= 1
                if not self._overtaken[me]:
                    del self._overtaken[me]

    def pause(self) -> None:
        """
        Let others have a turn if this one has lasted long enough.

        Cheap where nobody waits. No effect in a thread that hasn't taken the turn.
        """
        if (self._queue and self._clock() >= self._until) or self._overtaken:
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
                self._take_again(me, depth, began=True)

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
        return self._last == thread and self._clock() < self._until

    def _free(self) -> None:
        # Two threads may find that it is theirs, for a moment: see _begun().
        try:  # noqa: SIM105  # called often
            self._taken.release()
        except RuntimeError:
            pass

    # With the mutex

    def _line_up(self, thread: int, *, began: bool) -> _Waiting:
        waiting = _Waiting(thread, began)
        queue = self._queue
        if not queue:
            self._since = self._clock()
            # The thread may have had it alone for as long as it likes.
            self._until = max(self._until, self._since + self._short)
        place = len(queue)
        if began:
            while place and not queue[place - 1].began:
                place -= 1
                if queue[place].passed == PASSED:
                    place += 1
                    break
        waiting.passing = place < len(queue)
        for one in range(place, len(queue)):
            queue[one].passed += 1
        queue.insert(place, waiting)
        return waiting

    def _given_up(self) -> None:
        """Have the first of the queue look by itself, from now on."""
        if self._queue and not self._queue[0].watching:
            self._queue[0].watching = True
            self._queue[0].wake()

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
        self._until = self._since + (self._short if waiting.passing else self._slice)

    def _begun(self, waiting: _Waiting) -> bool:
        """Whether it is the turn of one who waits, or is made so."""
        if waiting.given:
            return True
        now = self._clock()
        if (
            self._queue[0] is waiting
            and (now >= self._until or now - self._freed >= self._grace)
            and self._taken.acquire(blocking=False)
        ):
            self._queue.popleft()
        elif now - self._since >= self._patience:
            # From a thread that has had it for too long.
            self._queue.remove(waiting)
            if self._holder:
                self._overtaken[self._holder] = self._depth
        else:
            return False
        self._begin(waiting)
        return True

    def _look_again(self, waiting: _Waiting) -> float:
        """
        Return after how many seconds one who waits looks by itself.

        Who has the turn hands it on when the slice is over. To look whether it was
        given up for good takes the GIL from who has it, so it isn't done often.
        """
        spent = self._clock() - self._since
        first = self._queue[0] is waiting
        waiting.watching = first and (waiting.watching or not self._holder)
        if waiting.watching:
            return max(spent, _SOON)
        return max(self._patience - spent, _SOON)

    # Without it

    def _pause(self) -> None:
        me = get_ident()
        with self._mutex:
            if self._holder == me:
                if not self._queue or self._clock() < self._until:
                    return
                depth = self._depth
                self._hand_on()
            elif me in self._overtaken:
                depth = self._overtaken.pop(me)
            else:
                return
        self._take_again(me, depth, began=False)

    def _take_again(self, thread: int, depth: int, *, began: bool) -> None:
        with self._mutex:
            waiting = self._line_up(thread, began=began)
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
                    timeout = self._look_again(waiting)
                waiting.gate.acquire(timeout=timeout)
        except BaseException:  # e.g. KeyboardInterrupt
            with self._mutex:
                if not waiting.given:
                    self._queue.remove(waiting)
                elif self._holder == waiting.thread:
                    self._hand_on()
            raise


class _NoTurns(Turns):
    """For what waits for a network: everybody has a turn at any time."""

    def take(self, *, began: bool = True) -> None:
        """Do nothing."""

    def give(self) -> None:
        """Do nothing."""

    pause = give
    __enter__ = take

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def away(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing."""
        return contextlib.nullcontext()


#: Those of this process.
turns = Turns()
#: For stores across a network.
NO_TURNS: Turns = _NoTurns()
