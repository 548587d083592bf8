"""Simulated time: threads of which one runs at a time, in an order that a seed decides."""

import heapq
import itertools
import random
import threading
import types


class Crashed(BaseException):
    """The process has been killed: nothing of it runs any more."""


class Stuck(AssertionError):
    """Nobody has come to an end in a very long time."""


class Process:
    """
    A client process: its threads share a clock, and die together.

    :param rate: seconds that its clock advances in one second.
    """

    def __init__(self, world, name, *, rate=1.0, offset=0.0):
        self.name = name
        self.crashed = False
        #: At how many calls from now it is killed; None for never.
        self.calls_left = None
        self._world = world
        self._rate, self._offset = rate, offset

    def monotonic(self):
        return self._offset + self._world.now * self._rate

    def seconds(self, local):
        """Return how long so many seconds of its clock take."""
        return local / self._rate


def _closed():
    """Return a lock that another thread opens, once."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class World:
    """
    Threads that run one at a time.

    Whoever calls the server, sleeps or reads the clock may be followed by any other one:
    by the one whose moment comes next. Delays are drawn at random.
    """

    #: Seconds after which somebody has to have come to an end, and steps.
    LONGEST, MOST = 600.0, 60_000

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.now = 0.0
        self.calm = False
        self.failure = None
        #: Chance of a call to be lost, on its way or on the way back.
        self.losses = 0.0
        #: Chance of anything to take long.
        self.slow = self.chance.choice((0.02, 0.06, 0.15))
        self._steps = 0
        self._numbers = itertools.count()
        self._waiting = []
        self._done = _closed()
        self._local = threading.local()

    # Threads

    def start(self, process, work):
        """Let a thread of a process run ``work()``, once :meth:`run` is called."""
        turn = _closed()

        def main():
            turn.acquire()
            self._local.process = process
            try:
                self._check()
                work()
            except Crashed:
                pass
            except BaseException as error:  # noqa: BLE001  # told by run()
                self.failure = self.failure or error
            self._next()

        threading.Thread(target=main, daemon=True).start()
        moment = self.now + self.chance.random() * 0.5
        heapq.heappush(self._waiting, (moment, next(self._numbers), turn))

    def run(self):
        """Run all threads to their ends."""
        self._next()
        self._done.acquire()
        if self.failure is not None:
            raise self.failure

    def _next(self):
        if self._waiting:
            self.now, _, turn = heapq.heappop(self._waiting)
            turn.release()
        else:
            self._done.release()

    def _check(self):
        if self.process.crashed or self.failure is not None:
            raise Crashed
        self._steps += 1
        if self.now > self.LONGEST or self._steps > self.MOST:
            raise Stuck(f"after {self.now:.0f} s and {self._steps:,} steps")

    @property
    def process(self):
        """The process whose thread runs."""
        return self._local.process

    def pause(self, seconds):
        """Let others run, until so many seconds have gone by."""
        moment = self.now + seconds
        if self._waiting and self._waiting[0][0] < moment:
            turn = _closed()
            heapq.heappush(self._waiting, (moment, next(self._numbers), turn))
            self._next()
            turn.acquire()
        else:
            self.now = moment
        self._check()

    # What takes its time

    def delay(self):
        """Return the seconds that something takes: few, and now and then many."""
        drawn = self.chance.random()
        if drawn > self.slow or self.calm:
            return 0.0005 + 0.01 * self.chance.random()
        if drawn > self.slow / 8:
            return 0.4 * self.chance.random()
        return 4 * self.chance.random()

    def call(self, work):
        """
        Call the server.

        :return: what ``work()`` returns, and whether the answer is lost.
        :raises Lost: the call was never done.
        """
        process = self.process
        self._count(process)
        self.pause(self.delay())
        if self.chance.random() < self.losses / 2 and not self.calm:
            raise Lost
        try:
            return work(), self.chance.random() < self.losses / 2 and not self.calm
        finally:
            self._count(process)
            self.pause(self.delay())

    def _count(self, process):
        if process.calls_left is not None:
            process.calls_left -= 1
            if process.calls_left < 0:
                process.crashed = True
                raise Crashed

    # In the places of modules and functions

    def monotonic(self):
        if self.chance.random() < 0.1:
            self.pause(self.delay())
        moment = self.process.monotonic()
        if self.chance.random() < 0.1:
            self.pause(self.delay())
        return moment

    def sleep(self, seconds):
        self.pause(self.process.seconds(seconds))

    def module_time(self):
        """Return what has the place of the module ``time``."""
        return types.SimpleNamespace(sleep=self.sleep)

    def module_secrets(self):
        """Return what has the place of the module ``secrets``."""
        return types.SimpleNamespace(randbits=self.chance.getrandbits)


class Lost(Exception):
    """A call didn't reach the server."""
