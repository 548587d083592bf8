"""LMDB environments: one for each directory and process, as LMDB demands."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import lmdb

from backendkit.kv import check_format, initialize
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import InterfaceError, OperationalError

from .errors import translated
from .files import data_size, open_environment, prepare, writer_file
from .locks import WriterLock
from .options import RESERVE, LMDBOptions

if TYPE_CHECKING:
    from .transaction import LMDBTransaction

#: What only opening the environment again puts right: another process's data beyond
#: our map; a meta page that couldn't be written.
_OPEN_AGAIN = (lmdb.MapResizedError, lmdb.PanicError)
#: More bytes than LMDB keeps of a transaction without writing them to the file.
_IN_MEMORY = 1 << 30
#: Seconds between two looks for slots that killed readers have left behind.
_READER_CHECK_INTERVAL = 30.0
#: Seconds between two looks at transactions that have to end.
_PAUSE = 0.001


class _Using:
    """Stands for a transaction where LMDB begins one by itself."""


class Environment:
    """
    A directory with a database, opened by this process.

    The map is made as large as the address space allows, so that no transaction
    meets its end: ``docs/design/lmdb-map.rst`` says why.

    :param path: real path of the directory.
    """

    def __init__(self, path: str, options: LMDBOptions) -> None:
        self.path = path
        self.options = options
        self.pid = os.getpid()
        self.users = 0
        self._lock: WriterLock | None = None
        #: Transactions that have begun here, by ``id``; ended ones leave.
        self.live: dict[int, weakref.ref[LMDBTransaction | _Using]] = {}
        #: Set by a transaction that LMDB gave up: the map may have to grow.
        self.was_full = False
        # Write transactions that were lost in another thread than theirs.
        self._orphans: dict[int, lmdb.Transaction] = {}
        self._opening = threading.Lock()
        self._is_opening = False
        self._readers_checked = time.monotonic()
        fresh = prepare(path, options)
        try:
            if not options.readonly:
                self._lock = WriterLock(writer_file(path), path)
            self.lmdb = open_environment(path, options, RESERVE)
            try:
                self._check(fresh)
                # Those of killed processes keep pages from being used again.
                self.lmdb.reader_check()
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

    def begin(self, transaction: LMDBTransaction) -> lmdb.Transaction:
        """Begin a read transaction."""
        return self._begin(transaction, write=False)

    def begin_writing(
        self, transaction: LMDBTransaction, timeout: float
    ) -> lmdb.Transaction:
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
            if self.was_full:
                self._grow()
            if time.monotonic() - self._readers_checked > _READER_CHECK_INTERVAL:
                self._check_readers()
            return self._begin(transaction, write=True)
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, transaction: LMDBTransaction, *, write: bool) -> lmdb.Transaction:
        """
        Begin, and open the environment again where that helps.

        The transaction is noted as a live one first: either it sees that the
        environment is being opened again, or who opens it sees the transaction.
        """
        live = self.live
        key = id(transaction)
        if key in live:
            # An upgrade. What it read is gone if the environment is opened again.
            return self.lmdb.begin(write=write)
        checked = False
        while True:
            live[key] = weakref.ref(transaction)
            if self._is_opening:
                del live[key]
                self._wait_for_opening()
                continue
            present = self.lmdb
            try:
                return present.begin(write=write)
            except lmdb.ReadersFullError:
                if checked or not self._check_readers():
                    del live[key]
                    raise
                checked = True
                continue
            except _OPEN_AGAIN:
                del live[key]
            except BaseException:
                del live[key]
                raise
            self._open_again(present, RESERVE, self.options.timeout)

    @contextmanager
    def using(self) -> Iterator[lmdb.Environment]:
        """Keep the environment open while LMDB reads in a transaction of its own."""
        token = _Using()
        while True:
            self.live[id(token)] = weakref.ref(token)
            if not self._is_opening:
                break
            del self.live[id(token)]
            self._wait_for_opening()
        try:
            yield self.lmdb
        finally:
            del self.live[id(token)]

    def _wait_for_opening(self) -> None:
        with self._opening:
            pass

    def _check_readers(self) -> int:
        """Free the slots of readers that were killed; return how many."""
        self._readers_checked = time.monotonic()
        return int(self.lmdb.reader_check())

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

    def _grow(self) -> None:
        """
        Reserve more, after a transaction has met the end of the map.

        Not while other transactions are live: then the next one tries again.
        """
        size = self.lmdb.info()["map_size"]
        # It may have been the disk that was full.
        near = size - data_size(self.path) < _IN_MEMORY
        if near and size != self.options.max_size:
            try:
                self._open_again(self.lmdb, 2 * size, 0)
            except OperationalError:
                return
        self.was_full = False

    def _open_again(self, seen: lmdb.Environment, reserve: int, timeout: float) -> None:
        """
        Close the environment and open it, so that its map is made anew.

        :param seen: the environment, to do nothing if it isn't that any more.
        :param reserve: bytes to reserve if they can be had.
        :param timeout: seconds to wait for the live transactions to end.
        """
        with self._opening:
            if self.lmdb is not seen:
                return
            self._is_opening = True
            try:
                deadline = time.monotonic() + timeout
                # Their snapshots would be lost, and their process with them.
                while self._orphans or any(ref() for ref in list(self.live.values())):
                    if time.monotonic() >= deadline:
                        raise OperationalError(
                            f"{self.path}: another process has made the database"
                            " larger; end the open transactions and try again"
                        )
                    time.sleep(_PAUSE)
                self.lmdb.close()
                self.lmdb = open_environment(self.path, self.options, reserve)
            finally:
                self._is_opening = False

    def close(self) -> None:
        """
        Close it. Its transactions have ended.

        In a child process this closes its copies of the parent's files.
        """
        self.lmdb.close()
        if self._lock is not None:
            self._lock.close()

    def forget(self) -> None:
        """
        Let go of the parent's transactions, in a child process.

        They are left alone: to end them here would end them there.
        """
        for ref in list(self.live.values()):
            transaction = ref()
            if transaction is not None and not isinstance(transaction, _Using):
                transaction.forget()
        self._orphans.clear()


class _Registry:
    """The environments of this process, by real path."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.environments: dict[str, Environment] = {}
        self._watching = False

    def watch_forks(self) -> None:
        """Have the children of this process told about its transactions."""
        if not self._watching:
            self._watching = True
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        for environment in self.environments.values():
            environment.forget()


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
            registry.watch_forks()
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
        and present.max_size == wanted.max_size
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


@contextmanager
def kept_closed(name: str) -> Iterator[None]:
    """
    Keep this process from opening a database for a while; who wants to, waits.

    :raises InterfaceError: it has it open.
    """
    with _current().lock:
        if is_open(name):
            raise InterfaceError(f"this process has {name} open: close it first")
        yield
