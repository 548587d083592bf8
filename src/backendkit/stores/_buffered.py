"""``BufferedSession``: transactions for stores that apply all changes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._buffered_writes import BufferedWrites
from ._changes import TableChange
from ._errors import (
    ConflictError,
    Error,
    InterfaceError,
    OperationalError,
    UniqueViolation,
)
from ._reserved import refuse_taken_names
from ._session import Session

#: What an author may write besides the methods of :class:`Session`.
_HOOKS = frozenset(
    {
        "_access",
        "_allocate",
        "_apply",
        "_begin",
        "_catalog",
        "_check",
        "_closed",
        "_end",
        "_estimated_rows",
        "_find",
        "_query",
        "_size",
        "_upgrade",
        "max_changes",
        "more_changes",
        "store",
    }
)


class BufferedSession(BufferedWrites):
    """
    Transactions with savepoints, for a store that can apply several changes at once.

    The session buffers writes, as the net change of each row and each table. Savepoints
    are marks in that buffer. All reads merge the buffer with the committed data.
    ``commit`` passes the buffer to :meth:`_apply`. It contains each changed row and
    each changed table once, however often they were changed.

    You implement the methods that begin with an underscore: the abstract ones, and
    others if the store can do better. They only see committed data and committed
    tables.

    **Uniqueness** of the primary key and of unique indexes is checked when a row is
    written, against the buffer and against the committed data, as the transaction reads
    them. So :exc:`UniqueViolation` is raised where SQL raises it, and the transaction
    continues. At the commit, the data may have changed: see :meth:`_apply` for what you
    have to guarantee. Sessions don't wait for each other.

    **Isolation.** ``_begin`` should begin a snapshot. If the store has none, declare
    that in ``Capabilities.snapshots``. Then the session remembers each row as it was
    first read, until the end of the transaction, and makes that a precondition of
    changing it. So no update is lost.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse names that are kept: see :func:`refuse_taken_names`."""
        super().__init_subclass__(**kwargs)
        refuse_taken_names(cls, BufferedSession, _HOOKS.union(dir(Session)))

    #: The most changes that a transaction may have, as :meth:`_size` counts them; None
    #: for any number. An instance may set it.
    max_changes: int | None = None
    #: What gives room for more of them, for the error message.
    more_changes = "raise the limit of the database"

    def begin(self, *, write: bool) -> None:
        if self._closed or self._active:
            raise InterfaceError("the session is closed, or already in a transaction")
        self._begin(write=write)
        self._active = True
        self._may_write(write)

    def _may_write(self, writing: bool) -> None:
        self._writing = writing
        capabilities = self.store.capabilities
        # Across a network, a row that is read to be changed is read once.
        self.remembering = not capabilities.snapshots or (
            writing and capabilities.remote
        )

    def upgrade(self) -> None:
        self._require()
        if not self._writing:
            try:
                self._upgrade()
            except ConflictError:
                self.rollback()
                raise
            self._may_write(True)

    def commit(self) -> None:
        self._require()
        try:
            changes = self._changes()
            if changes:
                self._check_size(changes)
                self._send(changes)
        finally:
            self.rollback()

    def _send(self, changes: Sequence[TableChange]) -> None:
        """
        Apply changes. A conflict by which a unique value is taken now says so.

        What waits for an IntegrityError gets it, as ``get_or_create`` does; and it has
        the conflict as its cause, for what runs the transaction again.
        """
        try:
            self._apply(changes)
        except ConflictError as conflict:
            violation = None
            # What has been committed since.
            self._active = self.remembering = False
            self._end()
            try:
                self._begin(write=False)
                self._active = True
                violation = self._violation(changes)
            except Error:
                # It can't be told: then it is the conflict that it was.
                raise conflict from None
            if violation is None:
                raise
            raise violation from conflict

    def _violation(self, changes: Sequence[TableChange]) -> UniqueViolation | None:
        """Return which uniqueness changes would violate now, if any."""
        tables = self._catalog().tables
        for change in changes:
            table = change.before
            if table is None or change.redefined or tables.get(table.name) != table:
                continue
            taken: dict[str, list[tuple[Any, ...]]] = {}
            for index, values, _, holder in change.claims():
                if holder is not None:
                    taken.setdefault(index, []).append(values)
            inserted = [row.key for row in change.rows if row.old is None]
            if inserted and any(True for _ in self._find(table, "", inserted)):
                return UniqueViolation(table.name, table.primary_key)
            keys = {row.key for row in change.rows}
            for index, unique in taken.items():
                rows = self._find(table, index, unique)
                if any(table.key_of(row) not in keys for row in rows):
                    return UniqueViolation(table.name, table.unique[index])
        return None

    def rollback(self) -> None:
        if self._active:
            self._clear()
            self._end()

    def savepoint(self) -> int:
        self._require()
        self._marks.append((len(self._log), self.now))
        return len(self._marks) - 1

    def rollback_to(self, mark: Any) -> None:
        self._require()
        if not 0 <= mark < len(self._marks):
            raise InterfaceError("there is no such savepoint")
        length, then = self._marks[mark]
        if len(self._log) > length:
            self.undone.append(then)
        while len(self._log) > length:
            function, *arguments = self._log.pop()
            function(*arguments)
        del self._marks[mark + 1 :]

    def release(self, mark: Any) -> None:
        del self._marks[mark:]
        if not self._marks:
            self._log.clear()

    def _changes(self) -> list[TableChange]:
        """Return what the transaction has changed in all."""
        dropped = [TableChange(table, None) for table in self._drops]
        nets = [buffer.net() for buffer in self._buffers.values()]
        changed = [net for net in nets if net is not None]
        # False before True: new tables may have the former names of others.
        return dropped + sorted(changed, key=lambda net: net.before is None)

    def _check_size(self, changes: Sequence[TableChange]) -> None:
        if self.max_changes is None:
            return
        size = sum(map(self._size, changes))
        if size > self.max_changes:
            raise OperationalError(
                f"the transaction is too large: it has {size:,} changes, but the"
                f" database takes at most {self.max_changes:,} at a time. Nothing was"
                " written. Split it, for example by calling bulk_create() several"
                f" times outside of atomic(), or {self.more_changes}."
            )
