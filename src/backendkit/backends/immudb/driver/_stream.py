"""The rows of a query as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import grpc

from backendkit.spilling import Spill, no_room
from backendkit.stores import OperationalError

from . import immudb_pb2 as pb
from ._errors import translate
from ._session import Session, Transaction
from ._values import message, parse


class Stream:
    """
    The rows of a query as they come: an iterator of lists of tuples.

    If you run another statement in the same transaction, the driver first receives the
    remaining rows. It keeps the first MiB in memory, and the rest in a temporary file.

    :ivar names: of the columns.
    :ivar types: immudb's names of their types.
    """

    def __init__(
        self,
        session: Session,
        transaction: Transaction | None,
        call: Any,
        first: bytes,
        *,
        raw: bool = False,
    ) -> None:
        self._session = session
        self._transaction = transaction
        self._call = call
        self.decoder, rows = parse(first, raw=raw)
        self.names = self.decoder.names
        self.types = self.decoder.types
        self._first: list[tuple[Any, ...]] | None = rows
        #: Messages that were received before somebody wanted them.
        self._kept: Iterator[bytes] = iter(())
        self._discarded = False

    def __iter__(self) -> Iterator[list[tuple[Any, ...]]]:
        return self

    def __next__(self) -> list[tuple[Any, ...]]:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            data = next(self._kept, None)
        except OSError as error:
            raise OperationalError(no_room(error)) from error
        if data is None and not self._discarded:
            data = self._receive()
        if data is None:
            raise StopIteration
        return self._decode(data)

    def _decode(self, data: bytes) -> list[tuple[Any, ...]]:
        return self.decoder.rows(message(pb.SQLQueryResult, data))

    def _receive(self) -> bytes | None:
        """Return the next message; None at the end."""
        if self._call is None:
            return None
        self._session._usable()
        try:
            data: bytes | None = next(self._call, None)
        except grpc.RpcError as error:
            self._done()
            if self._transaction is not None:
                self._transaction.lingers = True
                raise self._session._failure(
                    self._transaction, error, ends=False
                ) from error
            self._session._note(error)
            raise translate(error) from error
        if data is None:
            self._done()
        return data

    def _done(self) -> None:
        self._call = None
        if self._transaction is not None and self._transaction.stream is self:
            self._transaction.stream = None

    def settle(self) -> None:
        """
        Receive all that is left, and keep it if somebody may want it.

        :raises OperationalError: there is no room for it.
        """
        if self._call is None:
            return
        kept = Spill()
        try:
            while (data := self._receive()) is not None:
                if not self._discarded:
                    kept.add(data)
        except OSError as error:
            # Not a part of the rows, as if it were all.
            self._discarded, self._kept = True, _lost(error)
            raise OperationalError(no_room(error)) from error
        self._kept = iter(kept)

    def close(self) -> None:
        """Stop reading."""
        self._discarded = True
        self._first, self._kept = None, iter(())
        # In a transaction the rest is received, and dropped, before the next call: one
        # that is cancelled may still be read when immudb is told to roll back, which
        # then leaves the snapshot open for ever.
        if self._transaction is None:
            self.cancel()

    def cancel(self) -> None:
        """Tell the server to send no more."""
        # In a forked process it is the parent's.
        if self._call is not None and self._session._link.pid == os.getpid():
            self._call.cancel()
        self._done()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:
            self.cancel()


def _lost(error: OSError) -> Iterator[bytes]:
    raise error
    yield
