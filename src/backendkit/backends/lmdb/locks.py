"""
The right to write, one transaction at a time, with a time-out.

LMDB's own mutex waits for ever, and for ever for a second writer of the same
thread. It is therefore only ever taken by who holds these two locks: one of
this process, and one of a file among processes (POSIX record locks: they end
with the process and are not inherited by its children).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import threading
import time

from backendkit import clock
from backendkit.stores import OperationalError

#: The bytes of the file that are locked: the right to write, and the place of the
#: next in line. Who has just written has to queue behind those who wait.
_RIGHT, _NEXT = 0, 1
#: Seconds between two looks at a lock: at first, and at most for each.
_FIRST_PAUSE = 0.0002
_LAST_PAUSE = {_RIGHT: 0.001, _NEXT: 0.005}
#: Length of what is written into the lock file: who has the lock.
_RECORD = 120


class WriterLock:
    """
    Who may write to one database.

    :param path: of the lock file; made if it isn't there.
    :param database: what to call the database in messages.
    """

    def __init__(self, path: str, database: str) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._holder: tuple[int, str, float] | None = None
        record = f"{os.getpid()} {_program()}".encode("utf-8", "replace")
        self._record = record[: _RECORD - 1].ljust(_RECORD - 1) + b"\n"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def acquire(self, timeout: float) -> None:
        """
        Wait for the right to write.

        :param timeout: in seconds.
        :raises OperationalError: it took longer, or this thread has it already.
        """
        deadline = clock.monotonic() + timeout
        holder = self._holder
        if holder is not None and holder[0] == threading.get_ident():
            # Waiting for oneself would only be slower.
            raise OperationalError(
                f"database is locked: {self._database}: this thread is writing in"
                " another connection"
            )
        if not self._lock.acquire(timeout=timeout):
            raise OperationalError(self._message(timeout))
        try:
            self._lock_file(deadline, timeout)
        except BaseException:
            self._lock.release()
            raise
        thread = threading.current_thread()
        self._holder = (threading.get_ident(), thread.name, clock.monotonic())

    def release(self) -> None:
        """Give the right back."""
        self._holder = None
        if self._fd >= 0:
            self._unlock(_RIGHT)
        self._lock.release()

    def close(self) -> None:
        """Close the file, which gives the right back among processes."""
        fd, self._fd = self._fd, -1
        os.close(fd)

    def _lock_file(self, deadline: float, timeout: float) -> None:
        self._wait_for(_NEXT, deadline, timeout)
        try:
            self._wait_for(_RIGHT, deadline, timeout)
        finally:
            self._unlock(_NEXT)
        self._sign()

    def _wait_for(self, byte: int, deadline: float, timeout: float) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError as error:
                if error.errno not in {errno.EACCES, errno.EAGAIN}:
                    raise
            else:
                return
            left = deadline - clock.monotonic()
            if left <= 0:
                raise OperationalError(
                    f"database is locked: {self._database}: {self._other()};"
                    f" waited {timeout:g} s"
                )
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LAST_PAUSE[byte])

    def _unlock(self, byte: int) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, byte)

    def _sign(self) -> None:
        """Write down who has the lock. Nothing depends on it but a message."""
        # A full disk is no reason to refuse a write that may make room.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, self._record, 0)

    def _other(self) -> str:
        """Say which process has the lock, as far as it wrote that down."""
        record = os.pread(self._fd, _RECORD, 0).decode("utf-8", "replace")
        # It writes that when it gets the lock.
        seconds = max(0.0, time.time() - os.fstat(self._fd).st_mtime)
        pid, _, program = record.strip().partition(" ")
        if not program:
            return "another process is writing"
        return f"process {pid} ({program}) has been writing for {seconds:.1f} s"

    def _message(self, timeout: float) -> str:
        text = f"database is locked: {self._database}"
        holder = self._holder
        if holder is not None:
            _, name, since = holder
            text += (
                f": thread {name!r} of this process has been writing for"
                f" {clock.monotonic() - since:.1f} s"
            )
        return f"{text}; waited {timeout:g} s"


def _program() -> str:
    """
    Name the program of this process, and its command: ``manage.py loaddata``.

    No other arguments, which may be secrets.
    """
    path, *arguments = [*sys.argv, ""][:2]
    name = os.path.basename(path)
    if name == "__main__.py":
        name = os.path.basename(os.path.dirname(path))
    command = arguments[0] if arguments else ""
    is_command = name in {"manage.py", "django-admin", "django"}
    if is_command and command.isidentifier():
        name = f"{name} {command}"
    return " ".join(name.split()) or "python"
