"""LMDB environments: one for each directory and process, as LMDB demands."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import lmdb

from backendkit import clock
from backendkit.kv import check_format, initialize
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import (
    InterfaceError,
    Mutex,
    OperationalError,
    ReadOnlyDatabaseError,
    tell_children,
)

from . import inherited
from .calls import calls
from .errors import translated
from .files import data_size, lock_file, open_environment, prepare, writer_file
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
        self._thread_ends = threading.local()
        self._opening = Mutex()
        self._is_opening = False
        self._readers_checked = clock.monotonic()
        # In a child process, of the parent's: transactions, and why they can't be ended.
        self._parents: list[lmdb.Transaction] = []
        self._trouble = ""
        self._is_inherited = False
        fresh = prepare(path, options)
        try:
            if not options.readonly:
                self._lock = WriterLock(writer_file(path), path)
            with calls:
                self._open(RESERVE)
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

    def _open(self, reserve: int) -> None:
        self.lmdb = open_environment(self.path, self.options, reserve)
        self._lock_map = inherited.find_map(lock_file(self.path))

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
            raise ReadOnlyDatabaseError(
                f"attempt to write a readonly database: {self.path}"
            )
        self._end_orphans()
        if not hasattr(self._thread_ends, "last"):
            self._thread_ends.last = _ThreadEnd(self._end_orphans)
        self._lock.acquire(timeout)
        try:
            if self.was_full:
                self._grow()
            if clock.monotonic() - self._readers_checked > _READER_CHECK_INTERVAL:
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
            with calls:
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
                with calls:
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
            with calls:
                yield self.lmdb
        finally:
            del self.live[id(token)]

    def _wait_for_opening(self) -> None:
        with self._opening:
            pass

    def _check_readers(self) -> int:
        """Free the slots of readers that were killed; return how many."""
        self._readers_checked = clock.monotonic()
        with calls:
            return int(self.lmdb.reader_check())

    def end_writing(self) -> None:
        """Give back the right to write."""
        assert self._lock is not None
        self._lock.release()

    def orphan(self, thread: int, transaction: lmdb.Transaction) -> None:
        """
        Keep a write transaction until its thread, which alone can end it, does so.

        At the latest that is when the thread ends.
        """
        self._orphans[thread] = transaction
        self._end_orphans()

    def _end_orphans(self) -> None:
        """End the orphans of this thread, and of those that are no more."""
        if self._orphans and self.pid != os.getpid():
            return  # the parent's
        for thread in list(self._orphans):
            if owned(thread):
                orphan = self._orphans.pop(thread, None)
                if orphan is not None:
                    with calls:
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

    def make_writable(self, options: LMDBOptions) -> None:
        """
        Open an environment for writing, too, that was opened for reading.

        :param options: of who wants to write.
        :raises OperationalError: a transaction of this process that reads doesn't end.
        """
        lock = WriterLock(writer_file(self.path), self.path)
        before, self.options = self.options, options
        why = "this process has opened it for reading only"
        try:
            self._open_again(self.lmdb, RESERVE, options.timeout, why)
        except BaseException:
            self.options = before
            lock.close()
            raise
        self._lock = lock

    def _open_again(
        self,
        seen: lmdb.Environment,
        reserve: int,
        timeout: float,
        why: str = "another process has made the database larger",
    ) -> None:
        """
        Close the environment and open it, so that its map is made anew.

        :param seen: the environment, to do nothing if it isn't that any more.
        :param reserve: bytes to reserve if they can be had.
        :param timeout: seconds to wait for the live transactions to end.
        :param why: it has to be, for an error.
        """
        with self._opening:
            if self.lmdb is not seen:
                return
            self._is_opening = True
            try:
                deadline = clock.monotonic() + timeout
                # Their snapshots would be lost, and their process with them.
                while self._orphans or any(ref() for ref in list(self.live.values())):
                    if clock.monotonic() >= deadline:
                        raise OperationalError(
                            f"{self.path}: {why}. End the open transactions and try"
                            " again"
                        )
                    time.sleep(_PAUSE)
                with calls:
                    self.lmdb.close()
                    self._open(reserve)
            finally:
                self._is_opening = False

    def close(self) -> None:
        """Close it. Its transactions have ended."""
        with calls:
            self.lmdb.close()
        if self._lock is not None:
            self._lock.close()

    # In a child process

    def forget(self) -> None:
        """
        Let go of the parent's transactions, in a child process.

        They are left alone: to end them here would end them there.
        """
        if self._is_inherited:
            return  # from the parent's parent
        self._is_inherited = True
        inherited.keep(self.lmdb)
        if not calls.settled:
            self._trouble = "another thread was calling LMDB"
        detached = self._lock_map is not None and inherited.detach(self._lock_map)
        if self.live and not detached:
            self._trouble = "a transaction was open, and this system has no /proc"
        for ref in list(self.live.values()):
            transaction = ref()
            if transaction is not None and not isinstance(transaction, _Using):
                self._parents += transaction.forget()
        self._parents += self._orphans.values()
        self._orphans.clear()

    def abandon(self) -> None:
        """
        Close the child's copies of the parent's files and maps, before it opens its own.

        :raises OperationalError: that can't be done.
        """
        if self._trouble:
            raise OperationalError(
                f"{self.path} can't be used after this fork: {self._trouble}. Fork"
                " when no thread uses the database"
            )
        for transaction in self._parents:
            transaction.abort()
        self._parents.clear()
        self.lmdb.close()
        inherited.let_go(self.lmdb)
        if self._lock is not None:
            self._lock.close()


class _ThreadEnd:
    """Calls a function when the thread ends in whose local data it is."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __del__(self) -> None:
        self._call()


def owned(thread: int) -> bool:
    """Whether this thread may end what a thread began to write."""
    # LMDB's mutex belongs to the thread that locked it, until it dies.
    return thread == threading.get_ident() or not any(
        one.ident == thread for one in threading.enumerate()
    )


class _Registry:
    """The environments of this process, by real path."""

    def __init__(self) -> None:
        self.lock = Mutex()
        self.environments: dict[str, Environment] = {}
        tell_children(self)

    def forked(self) -> None:
        """Tell the environments that they are the parent's."""
        for environment in self.environments.values():
            environment.forget()


_registry = _Registry()


def acquire(name: str, options: LMDBOptions) -> Environment:
    """Return the environment of a directory, opened if it isn't."""
    path = os.path.realpath(name)
    registry = _registry
    with registry.lock:
        environment = registry.environments.get(path)
        if environment is not None and environment.pid != os.getpid():
            with calls:
                environment.abandon()
                del registry.environments[path]
            environment = None
        if environment is None:
            with calls:  # a child has to find what is open
                environment = Environment(path, options)
                registry.environments[path] = environment
        elif environment.options.readonly and not options.readonly:
            environment.make_writable(options)
        elif not _compatible(environment.options, options):
            raise InterfaceError(
                f"this process has already opened {path} with other options:"
                f" {environment.options}"
            )
        environment.users += 1
        return environment


def _compatible(present: LMDBOptions, wanted: LMDBOptions) -> bool:
    """Whether one environment serves both; other options belong to the user."""
    return wanted.readonly or (
        present.map_size == wanted.map_size
        and present.max_size == wanted.max_size
        and present.durability == wanted.durability
        and present.max_readers == wanted.max_readers
    )


def release(environment: Environment) -> None:
    """Close an environment when its last user has released it."""
    registry = _registry
    if environment.pid != os.getpid():
        return  # the parent's, as may be who has the lock
    with registry.lock:
        environment.users -= 1
        if not environment.users:
            with calls:
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
    with _registry.lock:
        if is_open(name):
            raise InterfaceError(f"this process has {name} open: close it first")
        yield
