"""One LMDB transaction, as the record layer wants it."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, dropwhile, islice, takewhile
from typing import TYPE_CHECKING, Any, NoReturn, cast

import lmdb

from backendkit.kv import KeyValueTransaction
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import (
    ConflictError,
    Error,
    InterfaceError,
    ReadOnlyDatabaseError,
    batch,
    turns,
)

from .calls import calls
from .environment import owned
from .errors import translated
from .options import LMDBOptions

if TYPE_CHECKING:
    from .environment import Environment

#: The most pairs that an iterator reads ahead, if they aren't large.
_CHUNK = 512
#: Bytes of a page.
_PAGE = 4096
_ENDED = "the transaction has ended"
_CONFLICT = "another transaction has committed since this one began: run it again"
_FORKED = "another process began this transaction, before a fork"


class LMDBTransaction(KeyValueTransaction):
    """
    A read transaction, and the write transaction that it was upgraded to.

    ``get``, ``put`` and ``delete`` are LMDB's own methods, but that forks wait for
    them: there is little Python between the record layer and them.
    """

    __slots__ = (
        "_environment",
        "_read",
        "_options",
        "_read_ahead",
        "_thread",
        "_write",
        "add",
        "delete",
        "get",
        "put",
        "__weakref__",
    )

    get: Callable[[bytes], bytes | None]
    put: Callable[[bytes, bytes], object]
    delete: Callable[[bytes], bool]
    add: Callable[[bytes, bytes], bool]

    def __init__(
        self, environment: Environment, options: LMDBOptions, write: bool
    ) -> None:
        self._environment = environment
        self._options = options
        self._read: lmdb.Transaction | None = None
        self._write: lmdb.Transaction | None = None
        #: The pairs, or values, that open iterators have read ahead.
        self._read_ahead: dict[int, list[Any]] = {}
        self._thread = 0
        if write:
            self._begin_writing()
        else:
            self._read = environment.begin(self)
            self._bind(self._read)

    def _bind(self, transaction: lmdb.Transaction) -> None:
        # Without buffers=True, all that LMDB returns is bytes.
        get = cast("Callable[[bytes], bytes | None]", transaction.get)
        self.get = calls.guarded(get)
        self.put = calls.guarded_pair(transaction.put)
        self.delete = calls.guarded(transaction.delete)
        self.add = calls.guarded_pair(partial(transaction.put, overwrite=False))

    def _begin_writing(self) -> None:
        if self._options.readonly:
            raise ReadOnlyDatabaseError(
                f"attempt to write a readonly database: {self._environment.path}"
            )
        self._write = self._environment.begin_writing(self, self._options.timeout)
        self._thread = threading.get_ident()
        self._bind(self._write)

    def range(
        self, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if self._write is not None:
            return self._range_while_writing(self._write, start, stop, reverse)
        if self._read is None:
            raise self._gone()
        chunks = self._chunks(self._read, start, stop, reverse)
        return chain.from_iterable(chunks)

    def _chunks(
        self, transaction: lmdb.Transaction, start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        """Read pairs by the chunk: a snapshot stays as it is."""
        chunk: list[tuple[bytes, bytes]] = []
        self._read_ahead[id(chunk)] = chunk
        size = 8
        try:
            if self._read is not transaction:
                raise self._gone()
            with calls:
                pairs = self._walk(transaction.cursor(), start, stop, reverse)
            while True:
                with calls:
                    # First let go of what was used up.
                    chunk.clear()
                    chunk[:] = batch(pairs, size, _pair_bytes)
                if not chunk:
                    return
                last = chunk[-1][0]
                if last < start if reverse else last >= stop:
                    while chunk and not start <= chunk[-1][0] < stop:
                        chunk.pop()
                    yield chunk
                    if self._read is None:
                        raise self._gone()  # and the rest of the chunk with it
                    return
                yield chunk
                if self._read is None:
                    raise self._gone()
                size = min(size * 4, _CHUNK)
                turns.pause()
        except lmdb.Error as error:
            raise self._translated(error) from error
        finally:
            self._read_ahead.pop(id(chunk), None)

    def values(
        self, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[bytes]:
        transaction = self._active()
        if reverse or len(start) > self._environment.max_key_bytes:
            return super().values(start, stop, reverse)
        return chain.from_iterable(self._chunks_of_values(transaction, start, stop))

    def _chunks_of_values(
        self, transaction: lmdb.Transaction, start: bytes, stop: bytes
    ) -> Iterator[list[bytes]]:
        """Read values by the chunk, as :meth:`_chunks` does; keys cost more."""
        chunk: list[bytes] = []
        self._read_ahead[id(chunk)] = chunk
        size = 8
        try:
            if transaction is not self._read and transaction is not self._write:
                raise self._gone()
            with calls:
                cursor = transaction.cursor()
                if not cursor.set_range(start):
                    return
                values = cast("Iterator[bytes]", cursor.iternext(keys=False))
            while True:
                with calls:
                    chunk.clear()
                    chunk[:] = batch(values, size, len)
                    last = bytes(cursor.key())
                # Behind the last pair the cursor has no key.
                if not last or last >= stop:
                    break
                yield chunk
                if transaction is not self._read and transaction is not self._write:
                    raise self._gone()
                start = last + b"\x00"
                size = min(size * 4, _CHUNK)
                turns.pause()
                if transaction is self._write:
                    # What was written meanwhile may have moved the cursor.
                    with calls:
                        if not cursor.set_range(start):
                            return
                        values = cast("Iterator[bytes]", cursor.iternext(keys=False))
            # The range ends in this chunk: read again, with the keys.
            with calls:
                pairs = self._walk(cursor, start, stop, reverse=False)
                chunk.clear()
                chunk += [
                    value for _, value in takewhile(lambda pair: pair[0] < stop, pairs)
                ]
            yield chunk
            if transaction is not self._read and transaction is not self._write:
                raise self._gone()  # and the rest of the chunk with it
        except lmdb.Error as error:
            raise self._translated(error) from error
        finally:
            self._read_ahead.pop(id(chunk), None)

    def count(self, start: bytes, stop: bytes) -> int:
        transaction = self._active()
        if len(start) > self._environment.max_key_bytes:
            return super().count(start, stop)
        total = 0
        size = 32
        try:
            with calls:
                cursor = transaction.cursor()
                if not cursor.set_range(start):
                    return 0
                keys = cast("Iterator[bytes]", cursor.iternext(values=False))
            while True:
                with calls:
                    chunk = list(islice(keys, size))
                if not chunk:
                    break
                if chunk[-1] >= stop:
                    return total + bisect_left(chunk, stop)
                total += len(chunk)
                size = _CHUNK
                turns.pause()
        except lmdb.Error as error:
            raise self._translated(error) from error
        return total

    def first(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        transaction = self._active()
        if len(start) > self._environment.max_key_bytes:
            return super().first(start, stop, limit)
        try:
            with calls:
                cursor = transaction.cursor()
                walk = self._walk(cursor, start, stop, reverse=False)
                pairs = batch(walk, limit, _pair_bytes)
        except lmdb.Error as error:
            raise self._translated(error) from error
        if pairs and pairs[-1][0] >= stop:
            del pairs[bisect_left(pairs, (stop,)) :]
        return pairs

    def clear(self, start: bytes, stop: bytes) -> None:
        if len(start) > self._environment.max_key_bytes:
            super().clear(start, stop)
            return
        transaction = self._active()
        more = True
        with turns:
            while more:
                with calls:
                    # Their values aren't looked at, however large they are.
                    cursor = transaction.cursor()
                    more = cursor.set_range(start)
                    for _ in range(_CHUNK):
                        if not more or bytes(cursor.key()) >= stop:
                            return
                        more = cursor.delete() and bool(cursor.key())
                turns.pause()

    def put_all(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        transaction = self._active()
        with calls:
            transaction.cursor().putmulti(pairs)

    def append(self, pairs: Sequence[tuple[bytes, bytes]], stop: bytes) -> None:
        # A page that is full is split in the middle and stays half empty, unless what
        # is put goes behind all in it. So what follows steps aside, if it may be in
        # the same page.
        behind = []
        size = 0
        transaction = self._active()
        with calls:
            cursor = transaction.cursor()
            if cursor.set_range(stop):
                for pair in cast("Iterator[tuple[bytes, bytes]]", cursor.iternext()):
                    size += len(pair[0]) + len(pair[1])
                    if size > _PAGE:
                        break
                    behind.append(pair)
        try:
            for key, _ in behind:
                self.delete(key)
            self.put_all(pairs)
        except lmdb.Error:
            raise  # LMDB gives up the whole transaction
        except BaseException:
            self.put_all(behind)
            raise
        self.put_all(behind)

    def _walk(
        self, cursor: lmdb.Cursor, start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate from the first pair of a range on, and beyond the range."""
        longest = self._environment.max_key_bytes
        # A key longer than LMDB's longest can't even be looked for.
        if reverse:
            if not (cursor.set_range(stop[:longest]) or cursor.last()):
                return iter(())
            pairs = cast("Iterator[tuple[bytes, bytes]]", cursor.iterprev())
            return dropwhile(lambda pair: pair[0] >= stop, pairs)
        if not cursor.set_range(start[:longest]):
            return iter(())
        pairs = cast("Iterator[tuple[bytes, bytes]]", cursor.iternext())
        if len(start) <= longest:
            return pairs
        return dropwhile(lambda pair: pair[0] < start, pairs)

    def _range_while_writing(
        self, transaction: lmdb.Transaction, start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate, and after each pair look whether a write moved the cursor."""
        try:
            if self._write is not transaction:
                raise self._gone()
            cursor = transaction.cursor()
            position = calls.guarded(lambda _: cursor.key())
            while True:
                with calls:
                    pairs = self._walk(cursor, start, stop, reverse)
                step: Callable[[None], tuple[bytes, bytes] | None]
                step = calls.guarded(partial(next, pairs))
                while (pair := step(None)) is not None:
                    key = pair[0]
                    if key < start or key >= stop:
                        return
                    yield pair
                    turns.pause()
                    if self._write is not transaction:
                        raise self._gone()
                    if position(None) != key:
                        break
                else:
                    return
                # Go on from the key, whether it is still there or not.
                if reverse:
                    stop = key
                else:
                    start = key + b"\x00"
        except lmdb.Error as error:
            raise self._translated(error) from error

    def _active(self) -> lmdb.Transaction:
        """Return LMDB's transaction. :raises InterfaceError: it has ended."""
        transaction = self._read if self._write is None else self._write
        if transaction is None:
            raise self._gone()
        return transaction

    def _translated(self, error: lmdb.Error) -> Error:
        if self._read is None and self._write is None:
            return self._gone()
        return translated(error)

    def upgrade(self) -> None:
        if self._write is not None:
            return
        if self._read is None:
            raise self._gone()
        snapshot = self._read.id()
        try:
            self._begin_writing()
        except lmdb.MapResizedError as error:
            self.abort()
            raise ConflictError(_CONFLICT) from error
        assert self._write is not None
        # A write transaction has the number after the last committed one.
        if self._write.id() != snapshot + 1:
            self.abort()
            raise ConflictError(_CONFLICT)

    def commit(self) -> None:
        write = self._write
        if write is None:
            if self._read is None:
                raise self._gone()
            self.abort()
            return
        self._check_owner()
        try:
            with calls:
                write.commit()
        except BaseException:
            self.abort()
            raise
        self._write = None
        self._environment.end_writing()
        self._end_reading()

    def abort(self) -> None:
        write = self._write
        if write is not None:
            self._check_owner()
            self._write = None
            try:
                with calls:
                    if _given_up(write):
                        self._environment.was_full = True
                    write.abort()
            finally:
                self._environment.end_writing()
        self._end_reading()

    def _end_reading(self) -> None:
        environment = self._environment
        environment.live.pop(id(self), None)
        read, self._read = self._read, None
        for chunk in self._read_ahead.values():
            chunk.clear()
        if read is not None and environment.pid == os.getpid():
            with calls:
                read.abort()

    def forget(self) -> list[lmdb.Transaction]:
        """
        Let go of LMDB's transactions, in a child of the process that began them.

        :returns: the transactions, which are as they were.
        """
        present = [one for one in (self._read, self._write) if one is not None]
        self._read = self._write = None
        self.get = self.put = self.delete = self.add = _forked
        self._end_reading()
        return present

    def _gone(self) -> InterfaceError:
        """Say why there is no transaction."""
        return InterfaceError(_FORKED if self.get is _forked else _ENDED)

    def __del__(self) -> None:
        if self._write is None and self._read is None:
            return
        if self._environment.pid != os.getpid():
            return
        if self._write is not None and not owned(self._thread):
            self._environment.orphan(self._thread, self._write)
            self._write = None
        self.abort()

    def _check_owner(self) -> None:
        if not owned(self._thread):
            raise InterfaceError(
                "a transaction that writes has to end in the thread in which it began"
                " to write"
            )


def _pair_bytes(pair: tuple[bytes, bytes]) -> int:
    return len(pair[1])


def _forked(*_: object) -> NoReturn:
    raise InterfaceError(_FORKED)


def _given_up(write: lmdb.Transaction) -> bool:
    """Whether LMDB refuses to go on: the map or the disk is full, or worse."""
    try:
        write.get(FORMAT_KEY)
    except lmdb.Error:
        return True
    return False
