"""LMDB environments: one for each directory and process, as LMDB demands."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

import lmdb

from backendkit.kv import check_format, initialize
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import InterfaceError, OperationalError

from .errors import translated
from .files import open_environment, prepare, writer_file
from .locks import WriterLock
from .options import LMDBOptions

if TYPE_CHECKING:
    from .transaction import LMDBTransaction


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
        #: Transactions that have begun here, by ``id``; ended ones leave.
        self.live: dict[int, weakref.ref[LMDBTransaction]] = {}
        # Write transactions that were lost in another thread than theirs.
        self._orphans: dict[int, lmdb.Transaction] = {}
        self._resizing = threading.Lock()
        fresh = prepare(path, options)
        try:
            if not options.readonly:
                self._lock = WriterLock(writer_file(path), path)
            self.lmdb = open_environment(path, options)
            try:
                self._check(fresh)
            except BaseException:
                self.lmdb.close()
                raise
        except BaseException as error:
            if self._lock is not None:
                self._lock.close()
            if isinstance(error, OSError):
                raise OperationalError(
                    f"unable to open database {path}: {error.strerror}"
                ) from error
            if isinstance(error, lmdb.Error):
                raise translated(error) from error
            raise
        self.max_key_bytes: int = self.lmdb.max_key_size()

    def _check(self, fresh: bool) -> None:
        with self.lmdb.begin() as transaction:
            marker = transaction.get(FORMAT_KEY)
        if marker is None and fresh and not self.lmdb.stat()["entries"]:
            self._initialize()
        else:
            check_format(marker, self.path)

    def _initialize(self) -> None:
        """Mark the database as ours, unless another process just did."""
        assert self._lock is not None
        self._lock.acquire(self.options.timeout)
        try:
            with self.lmdb.begin(write=True) as transaction:
                if transaction.get(FORMAT_KEY) is None:
                    initialize(transaction)
        finally:
            self._lock.release()

    def begin(self) -> lmdb.Transaction:
        """Begin a read transaction."""
        try:
            return self.lmdb.begin()
        except lmdb.MapResizedError:
            self._adopt_size()
            return self.lmdb.begin()

    def begin_writing(self, timeout: float) -> lmdb.Transaction:
        """
        Take the right to write and begin. :meth:`end_writing` gives it back.

        :param timeout: in seconds.
        """
        if self._lock is None:
            raise OperationalError(f"attempt to write a readonly database: {self.path}")
        if self._orphans:
            self._end_orphan()
        self._lock.acquire(timeout)
        try:
            try:
                return self.lmdb.begin(write=True)
            except lmdb.MapResizedError:
                self._adopt_size()
                return self.lmdb.begin(write=True)
        except BaseException:
            self._lock.release()
            raise

    def end_writing(self) -> None:
        """Give back the right to write."""
        assert self._lock is not None
        self._lock.release()

    def orphan(self, thread: int, transaction: lmdb.Transaction) -> None:
        """Keep a write transaction until its thread comes by, which alone can end it."""
        self._orphans[thread] = transaction

    def _end_orphan(self) -> None:
        orphan = self._orphans.pop(threading.get_ident(), None)
        if orphan is not None:
            orphan.abort()
            self.end_writing()

    def _adopt_size(self) -> None:
        """Map as much as another process, which has a larger map_size, has written."""
        with self._resizing:
            if any(ref() is not None for ref in list(self.live.values())):
                # Their snapshots would be lost.
                raise OperationalError(
                    f"{self.path}: another process has written more than this one's"
                    " map_size; end the open transactions and try again"
                )
            self.lmdb.set_mapsize(0)

    def close(self) -> None:
        """
        Close it. Its transactions have ended.

        In a child process this forgets the parent's environment. Its
        transactions are left alone: to end them here would end them there.
        """
        if self.pid != os.getpid():
            for ref in list(self.live.values()):
                transaction = ref()
                if transaction is not None:
                    transaction.forget()
            self._orphans.clear()
        self.lmdb.close()
        if self._lock is not None:
            self._lock.close()


class _Registry:
    """The environments of this process, by real path."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.environments: dict[str, Environment] = {}


_registry = _Registry()


def _current() -> _Registry:
    """Return the registry, in a child process with a lock that is free."""
    if _registry.pid != os.getpid():
        _registry.lock = threading.Lock()
        _registry.pid = os.getpid()
    return _registry


def acquire(name: str, options: LMDBOptions) -> Environment:
    """Return the environment of a directory, opened if it isn't."""
    path = os.path.realpath(name)
    registry = _current()
    with registry.lock:
        environment = registry.environments.get(path)
        if environment is not None and environment.pid != os.getpid():
            del registry.environments[path]
            environment.close()
            environment = None
        if environment is None:
            environment = Environment(path, options)
            registry.environments[path] = environment
        elif not _compatible(environment.options, options):
            raise InterfaceError(
                f"{path} is open in this process already, with other options:"
                f" {environment.options}"
            )
        environment.users += 1
        return environment


def _compatible(present: LMDBOptions, wanted: LMDBOptions) -> bool:
    """Whether one environment serves both; other options belong to the user."""
    return (
        present.map_size == wanted.map_size
        and present.durability == wanted.durability
        and present.max_readers == wanted.max_readers
        and (wanted.readonly or not present.readonly)
    )


def release(environment: Environment) -> None:
    """Close an environment when its last user has released it."""
    registry = _current()
    with registry.lock:
        if environment.pid != os.getpid():
            return  # the parent's
        environment.users -= 1
        if not environment.users:
            registry.environments.pop(environment.path, None)
            environment.close()


def is_open(name: str) -> bool:
    """Return whether this process has the database open."""
    environment = _registry.environments.get(os.path.realpath(name))
    return environment is not None and environment.pid == os.getpid()
