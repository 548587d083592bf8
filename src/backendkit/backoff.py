"""How long to wait before something that met another writer is run again."""

from __future__ import annotations

import random

from . import clock

#: Seconds that a run is taken to last before one was measured, and at least.
_UNKNOWN, _LEAST = 0.01, 0.001
#: The part of a new measurement in the mean: the last dozen make most of it.
_WEIGHT = 0.15
#: The longest step before the second run, as a multiple of what a run takes. The others
#: that it met are then done with theirs, more or less.
_FIRST = 2.0


class Pace:
    """
    What a run takes, as this process has measured it lately.

    Threads may share one: a measurement that gets lost makes no difference.

    :ivar seconds: the mean, in which the last runs weigh most.
    """

    def __init__(self) -> None:
        self.seconds = _UNKNOWN
        self._measured = False

    def note(self, seconds: float) -> None:
        """Note that a run has taken so long."""
        if self._measured:
            seconds = self.seconds + (seconds - self.seconds) * _WEIGHT
        self.seconds, self._measured = seconds, True


class Backoff:
    """
    The pauses between the runs of one operation.

    Each is a random part of a step ("full jitter"), and each step is twice as long as
    the last one. So those that have met spread out over the time that all of them need,
    however many they are.

    :param step: the first step, in seconds; if None, it follows from ``pace``.
    :param longest: the longest step, in seconds.
    :param budget: seconds from now, after which no run begins; None for no limit.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        step: float | None = None,
        longest: float = 1.0,
        budget: float | None = None,
    ) -> None:
        self._pace = pace
        self._step = step
        self._longest = longest
        self._budget = budget
        self._began = clock.monotonic()
        #: How often the operation was run.
        self.runs = 1

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return clock.monotonic() - self._began

    def pause(self) -> float | None:
        """Return the seconds to wait before the next run; None if it's too late."""
        step = self._step
        if step is None:
            step = max(self._pace.seconds, _LEAST) * _FIRST
        # Not 2.0 ** runs, which overflows.
        step = min(self._longest, step * 2.0 ** min(self.runs - 1, 60))
        seconds = random.uniform(0, step)  # noqa: S311  # no secret
        if self._budget is not None and self.elapsed + seconds > self._budget:
            return None
        self.runs += 1
        return seconds
