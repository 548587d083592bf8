"""
How a data file is replaced by a compacted copy while nobody has it open.

Each process that has an environment open holds a lock on the first byte of
LMDB's lock file, shared with all others. Who gets it alone knows that there are
no others, and those that open the database meanwhile wait for it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator

import lmdb

from backendkit.backends.lmdb import environment as environments
from backendkit.backends.lmdb.files import DATA_FILE, LOCK_FILE
from backendkit.stores import OperationalError

_UNFINISHED = ".compact."
#: What LMDB's lock file begins with: a magic number and its format.
_MAGIC_BYTES = 8


class InUseError(OperationalError):
    """Another process has the database open."""


def prepare(path: str) -> None:
    """
    Check that nobody has a database open; remove what a killed process left.

    :raises InUseError: another process has.
    """
    with _alone(path):
        for name in os.listdir(path):
            if name.startswith(_UNFINISHED):
                shutil.rmtree(os.path.join(path, name))


@contextlib.contextmanager
def copied(environment: lmdb.Environment, path: str) -> Iterator[str]:
    """Make a compacted copy of the data file on the same disk, for a while."""
    folder = tempfile.mkdtemp(prefix=_UNFINISHED, dir=path)
    try:
        environment.copy(folder, compact=True)
        copy = os.path.join(folder, DATA_FILE)
        old = os.stat(os.path.join(path, DATA_FILE))
        os.chown(copy, old.st_uid, old.st_gid)
        os.chmod(copy, old.st_mode & 0o7777)
        to_disk(copy)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swap(path: str, copy: str, transaction: int) -> None:
    """
    Put a copy in the place of a data file, all or nothing.

    :param transaction: number of the last one that is in the copy.
    :raises InUseError: another process has the database open.
    :raises OperationalError: there was another transaction since.
    """
    with _alone(path) as lock:
        if last_transaction(path) != transaction:
            raise OperationalError(
                f"{path} was changed while it was copied. Try again."
            )
        # Who waits for the first byte would go on with the state that the lock file
        # has. If we die here, it gets an error instead.
        os.pwrite(lock, bytes(_MAGIC_BYTES), 0)
        try:
            os.replace(copy, os.path.join(path, DATA_FILE))
            to_disk(path)
        finally:
            # LMDB finds itself alone and sets the lock file up anew, before it lets
            # others in.
            lmdb.open(path, create=False).close()


def last_transaction(path: str) -> int:
    """Return the number of the last transaction, without a lock."""
    environment = lmdb.open(path, readonly=True, lock=False, create=False)
    try:
        return int(environment.info()["last_txnid"])
    finally:
        environment.close()


def to_disk(path: str) -> None:
    """Wait until a file, or what a directory lists, is on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _alone(path: str) -> Iterator[int]:
    """
    Keep everybody from opening a database; return its lock file.

    :raises InUseError: another process has it open.
    """
    # POSIX drops a process's locks on a file when it closes any descriptor of it:
    # this process must not have the database open.
    with environments.kept_closed(path):
        lock = os.open(
            os.path.join(path, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
            except OSError as error:
                if error.errno not in {errno.EACCES, errno.EAGAIN}:
                    raise
                raise InUseError(
                    f"{path}: {_holder(lock)} has it open. Stop all processes that use"
                    " it, or give --output."
                ) from error
            yield lock
        finally:
            os.close(lock)


def _holder(lock: int) -> str:
    """Return who holds the first byte, for a message."""
    if sys.platform == "linux":
        # struct flock: type, whence, start, length, process.
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        answer = struct.unpack("hhqqi", fcntl.fcntl(lock, fcntl.F_GETLK, asked))
        if answer[0] != fcntl.F_UNLCK and answer[4] > 0:
            return f"process {answer[4]}"
    return "another process"
