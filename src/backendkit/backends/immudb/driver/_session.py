"""The session of a connection: its transaction, and what errors do to both."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from backendkit import clock, stores

from . import immudb_pb2 as pb
from ._errors import (
    connection_lost,
    never_sent,
    session_lost,
    transaction_lost,
    translate,
)
from ._link import LINGER, Link, Metadata, Settings, abandon
from ._methods import COMMIT, EMPTY, KEEP_ALIVE, NEW_TX, ROLLBACK, Method
from ._results import Committed

if TYPE_CHECKING:
    from ._stream import Stream

T = TypeVar("T")

# Seconds without a call after which a change, which isn't sent twice, is preceded by a
# call that may be. It takes 0.2 ms, a change takes 7.
IDLE = 0.1


@dataclasses.dataclass(slots=True)
class Transaction:
    """
    The open transaction of a connection.

    :param metadata: what names it in a call.
    :param failed: why it can only be rolled back; None if it is well.
    :param stream: the one that isn't read to its end yet.
    :param running: the call whose answer nobody has waited for yet.
    :param lingers: whether the server may still read for one that was cut off.
    """

    metadata: Metadata
    read_only: bool
    failed: str | None = None
    stream: Stream | None = None
    running: Any = None
    lingers: bool = False


class Deadline:
    """
    When an operation has to be done: its calls, and connecting again between them.

    :param seconds: from now; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._moment = None if seconds is None else clock.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left; None for any number."""
        if self._moment is None:
            return None
        # With none left, a call fails as any that takes too long.
        return max(self._moment - clock.monotonic(), 0.0)


class Session:
    """The part of a connection that every call goes through."""

    #: Seconds that a call may take; None for no limit.
    timeout: float | None

    def __init__(self, settings: Settings, timeout: float | None) -> None:
        self.timeout = timeout
        self._closed = False
        self._transaction: Transaction | None = None
        self._link = Link(settings)
        self._link.open()
        self._finalizer = weakref.finalize(self, abandon, self._link)

    def close(self) -> None:
        """
        Roll back and close; once closed, nothing happens.

        A call that is running in another thread is cancelled, and raises
        :class:`~backendkit.stores.InterfaceError` there.
        """
        if not self._closed:
            self._closed = True
            self._finalizer.detach()
            if self._transaction is not None and self._transaction.stream is not None:
                self._transaction.stream.cancel()
                time.sleep(LINGER)
            self._transaction = None
            self._link.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    @property
    def inherited(self) -> bool:
        """Whether it belongs to a process of which this one is a child."""
        return self._link.pid != os.getpid()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, be it one that can only be rolled back."""
        return self._transaction is not None

    def begin(self, *, read_only: bool = False) -> None:
        """
        Open a transaction; with autocommit off, the first statement does.

        :param read_only: it writes nothing and can't conflict.
        :raises ProgrammingError: one is open.
        """
        self._usable()
        if self._transaction is not None:
            raise stores.ProgrammingError("a transaction is open")
        mode = pb.TxMode.ReadOnly if read_only else pb.TxMode.ReadWrite
        answer = self._outside(NEW_TX, pb.NewTxRequest(mode=mode))
        self._transaction = Transaction(
            (("transactionid", answer.transactionID),), read_only
        )

    def commit(self) -> Committed | None:
        """
        Commit the open transaction; without one, nothing happens.

        :return: its id and more; None if there was nothing to commit.
        :raises ConflictError: another one committed a change to what it had read.
            Nothing of it was kept, and it can be run again.
        :raises OperationalError: an error had ended it before, and nothing was
            committed; or no answer came, and whether it was is unknown.
        """
        self._usable()
        transaction = self._transaction
        if transaction is None:
            return None
        if transaction.read_only:
            self.rollback()
            return None
        return Committed.of(self._commit(transaction, COMMIT, EMPTY))

    def _commit(self, transaction: Transaction, method: Method, request: Any) -> Any:
        """Call the method that ends the open transaction, and return its answer."""
        if transaction.failed is not None:
            raise stores.OperationalError(
                f"nothing was committed; roll back: {transaction.failed}"
            )
        # immudb doesn't commit while somebody reads.
        self._settle()
        self._transaction = None
        try:
            return self._link.call(method, request, self.timeout, transaction.metadata)
        except grpc.RpcError as error:
            self._note(error)
            if connection_lost(error) and not never_sent(error):
                raise stores.UnknownOutcomeError(
                    "no answer to the commit: it is unknown whether the transaction"
                    f" was committed ({translate(error)})"
                ) from error
            if transaction_lost(error):
                raise stores.OperationalError(
                    "the transaction was lost; nothing was committed"
                    f" ({translate(error)})"
                ) from error
            raise translate(error) from error

    def rollback(self) -> None:
        """Roll back the open transaction. No effect without one."""
        self._usable()
        transaction = self._transaction
        if transaction is None:
            return
        if transaction.running is not None:
            # Whatever has become of it, it is rolled back.
            with contextlib.suppress(stores.Error):
                self._settle()
        self._transaction = None
        if transaction.stream is not None:
            transaction.stream.close()
            with contextlib.suppress(stores.Error):
                transaction.stream.settle()
        if transaction.lingers:
            time.sleep(LINGER)
        if self._link.broken:
            # It is gone, or goes with its session when that is replaced.
            return
        try:
            self._link.call(ROLLBACK, EMPTY, self.timeout, transaction.metadata)
        except grpc.RpcError as error:
            self._note(error)
            # A transaction that can't be found, or whose server can't be, is no more.
            if not transaction_lost(error):
                raise translate(error) from error

    # Calls and what becomes of their errors

    def _usable(self) -> None:
        if self._closed:
            raise stores.InterfaceError("the connection is closed")
        if self.inherited:
            raise stores.InterfaceError(
                "the connection belongs to another process: connect again after a fork"
            )

    def _note(self, error: grpc.RpcError) -> None:
        """Remember what an error says of the connection."""
        if self._closed:
            raise stores.InterfaceError("the connection was closed") from error
        if connection_lost(error) or session_lost(error):
            self._link.broken = True

    def _outside(self, method: Method, request: Any, *, repeat: bool = True) -> Any:
        """
        Call a method that is no part of a transaction.

        :param repeat: whether it may be called again when no answer came.
        """
        self._usable()
        deadline = Deadline(self.timeout)
        if not repeat and clock.monotonic() - self._link.used > IDLE:
            # If the server was restarted meanwhile, this is what meets it.
            self._renewing(
                lambda: self._link.call(KEEP_ALIVE, EMPTY, deadline.left()),
                deadline,
                repeat=True,
            )
        return self._renewing(
            lambda: self._link.call(method, request, deadline.left()),
            deadline,
            repeat=repeat,
        )

    def _renewing(
        self, call: Callable[[], T], deadline: Deadline, *, repeat: bool
    ) -> T:
        """
        Call, renewing a session or connection that is gone; but no transaction.

        :param deadline: of all that together.
        """
        if self._link.broken and self._transaction is None:
            self._link.renew(deadline.left())
        try:
            return call()
        except grpc.RpcError as error:
            self._note(error)
            again = session_lost(error) or (
                error.code() is grpc.StatusCode.UNAVAILABLE
                and (repeat or never_sent(error))
            )
            if self._transaction is not None and transaction_lost(error):
                raise self._failure(self._transaction, error, ends=False) from error
            if not again or self._transaction is not None:
                raise self._answer(error, repeat=repeat) from error
            if session_lost(error):
                self._link.open_session(deadline.left())
                self._link.broken = False
            else:
                self._link.renew(deadline.left())
        try:
            return call()
        except grpc.RpcError as error:
            self._note(error)
            raise self._answer(error, repeat=repeat) from error

    @staticmethod
    def _answer(error: grpc.RpcError, *, repeat: bool) -> stores.Error:
        """Return what to raise for a call outside of a transaction."""
        found = translate(error)
        if repeat or not connection_lost(error) or never_sent(error):
            return found
        return stores.UnknownOutcomeError(
            f"no answer: it is unknown whether the statement was executed ({found})"
        )

    def _inside(
        self, transaction: Transaction, call: Callable[[], T], *, ends: bool
    ) -> T:
        """
        Call a method in a transaction.

        :param ends: whether immudb ends the transaction if it answers with an error.
        """
        if transaction.failed is not None:
            raise stores.OperationalError(
                f"the transaction has failed; roll back: {transaction.failed}"
            )
        try:
            return call()
        except grpc.RpcError as error:
            raise self._failure(transaction, error, ends=ends) from error

    def _failure(
        self, transaction: Transaction, error: grpc.RpcError, *, ends: bool
    ) -> stores.Error:
        """Return what to raise for an error in a transaction, and remember it."""
        self._note(error)
        found = translate(error)
        if transaction_lost(error):
            found = stores.OperationalError(f"the transaction is lost: {found}")
            ends = True
        if ends:
            transaction.failed = str(found)
        return found

    def _settle(self) -> None:
        """Wait for what runs in the transaction; read its stream, for its reader."""
        transaction = self._transaction
        if transaction is None:
            return
        running, transaction.running = transaction.running, None
        if running is not None:
            self._inside(transaction, running.result, ends=True)
        if transaction.stream is not None:
            transaction.stream.settle()
