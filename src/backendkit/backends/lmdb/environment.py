"""LMDB environments: one for each directory and process, as LMDB demands."""

from __future__ import annotations

import os
import threading

import lmdb

from backendkit.kv import check_format, initialize
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import InterfaceError, OperationalError

from .locks import WriterLock
from .options import LMDBOptions

DATA_FILE, LOCK_FILE, WRITER_FILE = "data.mdb", "lock.mdb", "writer.lock"
FILES = frozenset({DATA_FILE, LOCK_FILE, WRITER_FILE})


class Environment:
    """
    A directory with a database, opened by this process.

    :param path: real path of the directory.
    """

    def __init__(self, path: str, options: LMDBOptions) -> None:
        self.path = path
        self.options = options
        self.pid = os.getpid()
        self.users = 0
        self._lock: WriterLock | None = None
        fresh = _prepare(path, options)
        try:
            if not options.readonly:
                self._lock = WriterLock(os.path.join(path, WRITER_FILE), path)
            self._env = _open(path, options)
            self.max_key_bytes = self._env.max_key_size()
            self._check(fresh)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise

    def _check(self, fresh: bool) -> None:
        try:
            with self._env.begin() as transaction:
                marker = transaction.get(FORMAT_KEY)
            if marker is None and fresh:
                self._initialize()
            else:
                check_format(marker, self.path)
        except BaseException:
            self._env.close()
            raise

    def _initialize(self) -> None:
        from .transaction import LMDBTransaction  # noqa: PLC0415  # they are one

        transaction = LMDBTransaction(self, write=True)
        try:
            if transaction.get(FORMAT_KEY) is None:
                initialize(transaction)
            transaction.commit()
        finally:
            transaction.abort()

    def begin(self) -> lmdb.Transaction:
        """Begin a read transaction."""
        return self._env.begin()

    def begin_writing(self) -> lmdb.Transaction:
        """Take the right to write and begin. :meth:`end_writing` gives it back."""
        if self._lock is None:
            raise OperationalError(
                f"attempt to write a readonly database: {self.path}"
            )
        self._lock.acquire(self.options.timeout)
        try:
            return self._env.begin(write=True)
        except BaseException:
            self._lock.release()
            raise

    def end_writing(self) -> None:
        """Give back the right to write."""
        assert self._lock is not None
        self._lock.release()

    def close(self) -> None:
        """Close it. Its transactions have ended."""
        self._env.close()
        if self._lock is not None:
            self._lock.close()


def _prepare(path: str, options: LMDBOptions) -> bool:
    """Make the directory; return whether a database may be made in it."""
    if os.path.isdir(path):
        names = set(os.listdir(path))
        if DATA_FILE in names:
            return WRITER_FILE in names
        if names - FILES:
            raise InterfaceError(
                f"{path} is a directory with other files, and no database"
            )
    elif os.path.lexists(path):
        raise InterfaceError(f"{path} is a file; an LMDB database is a directory")
    if options.readonly:
        raise OperationalError(f"unable to open database: there is none in {path}")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OperationalError(f"unable to make {path}: {error.strerror}") from error
    return True


def _open(path: str, options: LMDBOptions) -> lmdb.Environment:
    try:
        return lmdb.open(
            path,
            map_size=options.map_size,
            readonly=options.readonly,
            create=False,
            metasync=options.durability == "full",
            sync=options.durability != "none",
            max_readers=options.max_readers,
        )
    except (lmdb.Error, OSError) as error:
        raise OperationalError(f"unable to open database {path}: {error}") from error


_environments: dict[str, Environment] = {}
_registry = threading.Lock()


def acquire(name: str, options: LMDBOptions) -> Environment:
    """Return the environment of a directory, opened if it isn't."""
    path = os.path.realpath(name)
    with _registry:
        environment = _environments.get(path)
        if environment is None or environment.pid != os.getpid():
            environment = _environments[path] = Environment(path, options)
        elif environment.options != options:
            raise InterfaceError(
                f"{path} is open in this process with other options"
            )
        environment.users += 1
        return environment


def release(environment: Environment) -> None:
    """Close an environment when its last user released it."""
    with _registry:
        environment.users -= 1
        if environment.users or environment.pid != os.getpid():
            return
        if _environments.get(environment.path) is environment:
            del _environments[environment.path]
        environment.close()
