"""The right to write, for stores that don't keep writers apart themselves."""

from __future__ import annotations

import threading

from ._errors import OperationalError
from ._forks import tell_children


class WriterLock:
    """
    A lock for one session at a time, within one process. Thread-safe.

    It belongs to a session, not to a thread: a session may end in another thread
    than it began in, and two sessions of one thread exclude each other, too.

    :param timeout: seconds to wait for another session to release it.
    """

    def __init__(self, timeout: float = 5.0) -> None:
        self.timeout = timeout
        #: Who has it; None for nobody.
        self.owner: object = None
        self._lock = threading.Lock()
        tell_children(self)

    def acquire(self, session: object) -> None:
        """
        Acquire the lock. This has no effect if the session already has it.

        :raises OperationalError: another session held it for too long.
        """
        if self.owner is not session:
            if not self._lock.acquire(timeout=self.timeout):
                raise OperationalError("database is locked")
            self.owner = session

    def release(self, session: object) -> None:
        """Release the lock. This has no effect if the session doesn't have it."""
        if self.owner is session:
            self.owner = None
            self._lock.release()

    def forked(self) -> None:
        """Release the lock in a child process, which doesn't continue the parent's
        transactions.
        """
        self.owner = None
        self._lock = threading.Lock()
