"""
Time that stands still for nobody: for waits, and for values that are stored.

Tests freeze time. freezegun puts other functions and classes in the places of
``time.monotonic`` and ``datetime.datetime``, in all modules that have them, so that a
loop with a deadline never ends and a value that is read isn't what was stored.
What is here is found in no module's namespace, and no setting of the wall clock
moves it.
"""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple


def _built_in(kind: type) -> Any:
    """Return the class of the standard library, though it may be frozen right now."""
    return next(base for base in kind.__mro__ if base.__module__ == "datetime")


class _Real(NamedTuple):
    date: type[datetime.date]
    datetime: type[datetime.datetime]


#: The classes of :mod:`datetime`, to make and to tell values by.
real = _Real(_built_in(datetime.date), _built_in(datetime.datetime))


#: Return seconds since some moment, which only ever grow.
monotonic: Callable[[], float] = (
    functools.partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    if hasattr(time, "clock_gettime")
    else functools.partial(time.monotonic)  # Windows
)
