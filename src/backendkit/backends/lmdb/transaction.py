"""One LMDB transaction, as the record layer wants it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import lmdb

from backendkit.kv import KeyValueTransaction
from backendkit.stores import ConflictError, InterfaceError

if TYPE_CHECKING:
    from .environment import Environment


class LMDBTransaction(KeyValueTransaction):
    """
    A read transaction, and the write transaction that it was upgraded to.

    ``get``, ``put`` and ``delete`` are LMDB's own methods: there is no Python
    between the record layer and them.
    """

    __slots__ = (
        "_environment",
        "_read",
        "_thread",
        "_write",
        "add",
        "delete",
        "get",
        "put",
    )

    get: Callable[[bytes], bytes | None]  # type: ignore[assignment]
    put: Callable[[bytes, bytes], object]  # type: ignore[assignment]
    delete: Callable[[bytes], bool]  # type: ignore[assignment]
    add: Callable[[bytes, bytes], bool]  # type: ignore[assignment]

    def __init__(self, environment: Environment, write: bool) -> None:
        self._environment = environment
        self._read: lmdb.Transaction | None = None
        self._write: lmdb.Transaction | None = None
        self._thread = 0
        if write:
            self._begin_writing()
        else:
            self._read = environment.begin()
            self._bind(self._read)

    def _bind(self, transaction: lmdb.Transaction) -> None:
        self.get = transaction.get
        self.put = transaction.put
        self.delete = transaction.delete
        self.add = partial(transaction.put, overwrite=False)

    def _begin_writing(self) -> None:
        self._write = self._environment.begin_writing()
        self._thread = threading.get_ident()
        self._bind(self._write)

    def range(
        self, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if self._write is not None:
            return self._range_while_writing(self._write, start, stop, reverse)
        if self._read is None:
            raise InterfaceError("the transaction has ended")
        if reverse:
            return self._down(self._read.cursor(), start, stop)
        return self._up(self._read.cursor(), start, stop)

    def _up(
        self, cursor: lmdb.Cursor, start: bytes, stop: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        longest = self._environment.max_key_bytes
        # A key longer than LMDB's longest can't even be looked for.
        if cursor.set_range(start[:longest]):
            for pair in cursor:
                if pair[0] >= stop:
                    break
                if pair[0] >= start:
                    yield pair

    def _down(
        self, cursor: lmdb.Cursor, start: bytes, stop: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        longest = self._environment.max_key_bytes
        found = cursor.set_range(stop[:longest]) or cursor.last()
        if found:
            for pair in cursor.iterprev():
                if pair[0] < start:
                    break
                if pair[0] < stop:
                    yield pair

    def _range_while_writing(
        self, transaction: lmdb.Transaction, start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate, and after each pair look whether a write moved the cursor."""
        cursor = transaction.cursor()
        walk = self._down if reverse else self._up
        while True:
            for pair in walk(cursor, start, stop):
                yield pair
                key = pair[0]
                if cursor.key() != key:
                    break
            else:
                return
            # Go on from the key, whether it is still there or not.
            if reverse:
                stop = key
            else:
                start = key + b"\x00"

    def upgrade(self) -> None:
        if self._write is not None:
            return
        if self._read is None:
            raise InterfaceError("the transaction has ended")
        snapshot = self._read.id()
        self._begin_writing()
        assert self._write is not None
        # A write transaction has the number after the last committed one.
        if self._write.id() != snapshot + 1:
            self.abort()
            raise ConflictError(
                "another transaction has committed since this one began: run it again"
            )

    def commit(self) -> None:
        write = self._write
        if write is None:
            self.abort()
            return
        self._check_owner()
        try:
            write.commit()
        except BaseException:
            self.abort()
            raise
        self._write = None
        self._environment.end_writing()
        self._end_reading()

    def abort(self) -> None:
        write, self._write = self._write, None
        if write is not None:
            try:
                write.abort()
            finally:
                self._environment.end_writing()
        self._end_reading()

    def _end_reading(self) -> None:
        read, self._read = self._read, None
        if read is not None:
            read.abort()

    def _check_owner(self) -> None:
        if self._environment.pid != os.getpid():
            raise InterfaceError(
                "this transaction was begun by another process, before a fork"
            )
        if self._thread != threading.get_ident():
            # LMDB's mutex belongs to the thread that locked it.
            raise InterfaceError(
                "a transaction that writes has to end in the thread that it began"
                " to write in"
            )
