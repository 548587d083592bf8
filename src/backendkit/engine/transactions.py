"""The transactions of a connection: commands, savepoints, statements as a whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from backendkit import clock
from backendkit.backoff import Backoff, Pace
from backendkit.stores import (
    ConflictError,
    Error,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ReadOnlyDatabaseError,
    Session,
    Store,
    Turns,
)

from .commands import command_of
from .foreign_keys import ForeignKeys

Result = TypeVar("Result")

#: Sessions to read by that are kept for statements to come.
_SPARE = 8

_OVER = (
    "the transaction has failed: another one has committed since it began. Roll it"
    " back and run it again."
)
_FORKED = (
    "another process began this transaction, before a fork. Roll it back, or"
    " close the connection."
)


class Transactions:
    """
    Who reads and writes when: one session for transactions, others for reading.

    In autocommit mode a statement that reads has a session of its own until its
    last row, so that it doesn't see what is committed meanwhile.

    :param store: what the sessions are of.
    :param foreign_keys: checked before each commit.
    :param turns: one of which that takes.
    :param before_end: called when a transaction is about to end, with ``commit``.
    :param readers_of: tells how many cursors read a session.
    :param immediate: whether BEGIN takes the right to write at once.
    """

    def __init__(
        self,
        store: Store,
        foreign_keys: ForeignKeys,
        turns: Turns,
        before_end: Callable[..., None],
        readers_of: Callable[[Session], int],
        *,
        immediate: bool,
    ) -> None:
        #: Whether statements outside of a transaction commit by themselves.
        self.autocommit = True
        #: Whether there is a transaction that a command has to end.
        self.in_transaction = False
        self._store = store
        self._foreign_keys = foreign_keys
        self._turns = turns
        self._before_end = before_end
        self._readers_of = readers_of
        self._immediate = immediate
        #: What a statement that commits by itself takes.
        self._pace = Pace()
        #: Whether nothing may be written; see :meth:`refuse_writes`.
        self._read_only = False
        self._session = self._new_session()
        self._readers: list[Session] = []
        #: Sessions of transactions that are over, and how many cursors read them still.
        self._outliving: dict[Session, int] = {}
        #: Whether the transaction may have written.
        self._wrote = False
        self._closed = False
        # The store's transaction begins with the first statement.
        self._begun = False
        #: Whether a conflict has ended the store's transaction before ours.
        self._over = False
        # Whether this is a child of the process that began the transaction.
        self._inherited = False
        #: Whether SAVEPOINT began the transaction, so that RELEASE commits it.
        self._by_savepoint = False
        #: Names and marks of savepoints, and those of what is noted to be checked.
        self._savepoints: list[tuple[str, Any, int]] = []

    @property
    def session(self) -> Session:
        """The session of transactions."""
        return self._session

    @property
    def lasting(self) -> bool:
        """Whether statements belong to a transaction that outlasts them."""
        return self.in_transaction or not self.autocommit

    def close(self) -> None:
        """Roll back and close all sessions."""
        self._closed = True
        for session in (self._session, *self._readers, *self._outliving):
            session.close()

    def forked(self) -> None:
        """Leave the transaction to the process that began it; here it is over."""
        if self.in_transaction:
            self._over = self._inherited = True
            # Not even to be rolled back: that would be the parent's transaction.
            self._begun = False
            self._session = self._new_session()

    def refuse_writes(self) -> None:
        """Use sessions that never write from now on. There is no transaction."""
        self._session.close()
        self._read_only = True
        self._immediate = False
        self._session = self._new_session()

    def _new_session(self) -> Session:
        return self._store.reader() if self._read_only else self._store.session()

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyDatabaseError("the connection is read-only")

    # Sessions for statements

    def current(self, *, write: bool = False) -> Session:
        """
        Return the transaction's session, begun.

        :param write: whether the statement writes. If it is the transaction's
            first one, it waits for other writers, and sees what they wrote.
        :raises ConflictError: one has ended it.
        """
        self._check_over()
        if write:
            self._check_writable()
        session = self._session
        self._wrote = self._wrote or write or self._immediate
        if not self._begun:
            # It may wait for other writers.
            with self._turns.away():
                session.begin(write=write or self._immediate)
            self._begun = self.in_transaction = True
            # Savepoints set so far are marks of its very beginning.
            self._savepoints = [
                (name, session.savepoint(), noted)
                for name, _, noted in self._savepoints
            ]
        return session

    def start_read(self) -> Session:
        """Return a session to read by, until :meth:`finish_read`."""
        if self.lasting:
            return self.current()
        session = self._readers.pop() if self._readers else self._store.reader()
        try:
            session.begin(write=False)
        except BaseException:
            self._readers.append(session)
            raise
        return session

    def finish_read(self, session: Session) -> None:
        """End a statement that read."""
        if session is not self._session and not self._closed:
            left = self._outliving.get(session, 1) - 1
            if left:
                self._outliving[session] = left
                return
            self._outliving.pop(session, None)
            session.rollback()
            if len(self._readers) < _SPARE:
                self._readers.append(session)
            else:
                session.close()

    def repeated(self, run: Callable[[], Result]) -> Result:
        """
        Run a statement that writes; outside of a transaction again after a conflict.

        Nobody has seen what it read, so it may as well read what others have committed
        since.

        :param run: runs it, in :meth:`writing`.
        :raises ConflictError: in a transaction; or time after time, for as long as the
            store has patience.
        """
        if self.lasting:
            return run()
        backoff = Backoff(self._pace, budget=self._store.patience)
        while True:
            began = clock.monotonic()
            try:
                return run()
            except ConflictError:
                self._pace.note(clock.monotonic() - began)
                pause = backoff.pause()
                if pause is None:
                    raise
            time.sleep(pause)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """
        Run a statement that writes: all of it, or nothing.

        Outside of a transaction it is one, with its foreign keys checked.
        """
        self._check_writable()
        if self.lasting:
            session = self.current(write=True)
            with self._over_on_conflict():
                with self._turns.away():
                    session.upgrade()
                mark, noted = session.savepoint(), self._foreign_keys.mark()
                try:
                    yield session
                except ConflictError:
                    raise
                except BaseException:
                    session.rollback_to(mark)
                    self._foreign_keys.rollback_to(noted)
                    session.release(mark)
                    raise
                session.release(mark)
            return
        session = self._session
        with self._turns.away():
            session.begin(write=True)
        try:
            yield session
            self._check_foreign_keys()
            with self._turns.away():
                session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            self._foreign_keys.clear()

    def lock(self) -> None:
        """
        Keep other writers out until the transaction ends (FOR UPDATE).

        :raises NotSupportedError: the store has no locks, isn't serializable, and takes
            no preconditions.
        """
        self._check_writable()
        if not self._store.capabilities.for_update:
            raise NotSupportedError(
                "select_for_update() isn't supported: this store has no locks."
            )
        if self.lasting:
            session = self.current(write=True)
            with self._over_on_conflict(), self._turns.away():
                session.lock()

    def _check_foreign_keys(self) -> None:
        with self._turns:
            self._foreign_keys.check(self._session, self._session.catalog())

    def _check_over(self) -> None:
        if self._inherited:
            raise InterfaceError(_FORKED)
        if self._over:
            raise ConflictError(_OVER)

    @contextlib.contextmanager
    def _over_on_conflict(self) -> Iterator[None]:
        try:
            yield
        except ConflictError:
            # The store ended the transaction; until ROLLBACK nothing works.
            self._begun = False
            self._over = True
            self._session.rollback()
            raise

    # Ending

    def commit(self) -> None:
        """
        End the transaction and keep its changes.

        :raises IntegrityError: a foreign key refers to nothing; the
            transaction goes on.
        :raises ConflictError: one has ended it already.
        """
        try:
            self._check_over()
        except Error:
            self._end()
            raise
        if self._begun:
            self._check_foreign_keys()
            readers = self._readers_of(self._session)
            if readers and not self._wrote:
                # They go on, over its snapshot.
                self._outliving[self._session] = readers
                self._session = self._new_session()
            else:
                self._before_end(commit=True)
                self._session.commit()
        self._end()

    def rollback(self) -> None:
        """End the transaction and undo its changes."""
        if self._begun:
            self._before_end(commit=False)
            self._session.rollback()
        self._end()

    def _end(self) -> None:
        self._begun = self._over = self._inherited = self.in_transaction = False
        self._by_savepoint = self._wrote = False
        self._savepoints.clear()
        self._foreign_keys.clear()

    # Commands

    def run(self, sql: str) -> None:
        """Run BEGIN, COMMIT, ROLLBACK, SAVEPOINT or RELEASE."""
        verb, mode, name = command_of(sql)
        if verb == "BEGIN":
            self._begin(mode)
        elif verb == "SAVEPOINT":
            self._set_savepoint(name)
        elif verb == "ROLLBACK TO":
            self._rollback_to(name)
        elif verb == "RELEASE":
            self._release(name)
        elif not self.in_transaction:
            raise OperationalError(f"cannot {verb.lower()} - no transaction is active")
        elif verb == "COMMIT":
            self.commit()
        else:
            self.rollback()

    def _begin(self, mode: str) -> None:
        if self.in_transaction:
            raise OperationalError("cannot start a transaction within a transaction")
        if mode in ("IMMEDIATE", "EXCLUSIVE"):
            self._check_writable()
            self._session.begin(write=True)
            self._begun = self._wrote = True
        self.in_transaction = True

    def _set_savepoint(self, name: str) -> None:
        self._check_over()
        self._by_savepoint = self._by_savepoint or not self.lasting
        self.in_transaction = True
        # Before the first statement there is nothing to mark yet.
        mark = self._session.savepoint() if self._begun else None
        self._savepoints.append((name, mark, self._foreign_keys.mark()))

    def _rollback_to(self, name: str) -> None:
        place, mark, noted = self._savepoint(name)
        if self._begun:
            self._session.rollback_to(mark)
        self._foreign_keys.rollback_to(noted)
        del self._savepoints[place + 1 :]

    def _release(self, name: str) -> None:
        place, mark, _ = self._savepoint(name)
        if place == 0 and self._by_savepoint:
            self.commit()
            return
        if self._begun:
            self._session.release(mark)
        del self._savepoints[place:]

    def _savepoint(self, name: str) -> tuple[int, Any, int]:
        """
        Return place and marks of the latest savepoint of a name.

        That the transaction is over is no error: Django would roll back the whole, and
        say nothing. The next statement says it, or COMMIT.
        """
        for place in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[place][0] == name:
                return place, *self._savepoints[place][1:]
        raise OperationalError(f"no such savepoint: {name}")
