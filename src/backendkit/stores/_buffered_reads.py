"""Reading what is committed with a transaction's changes, as one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from ._access import Access, FilterShape, choose_access
from ._buffer import TableBuffer
from ._committed import CommittedReader
from ._errors import InterfaceError, NotSupportedError, ProgrammingError
from ._merged import BufferedQuery
from ._query import NonrelQuery
from ._schema import Catalog, Table
from ._session import Key, Row, Store


class BufferedReads(CommittedReader):
    """The part of :class:`BufferedSession` that keeps changes, and reads them."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        #: Goes up by one with each row that is written.
        self.now = 0

    def _clear(self) -> None:
        super()._clear()
        self._active = self._writing = False
        #: For each rollback to a savepoint, when that was set. For queries.
        self.undone: list[int] = []
        self._buffers: dict[str, TableBuffer] = {}
        self._drops: tuple[Table, ...] = ()
        self._changed: Catalog | None = None
        #: Functions with arguments that undo what was done, newest last.
        self._log: list[tuple[Any, ...]] = []
        #: For each savepoint, how long the log was, and when.
        self._marks: list[tuple[int, int]] = []

    def _require(self) -> None:
        if not self._active:
            raise InterfaceError("there is no transaction")

    def _require_writing(self) -> None:
        self._require()
        if not self._writing:
            raise InterfaceError("the transaction was begun for reading only")

    def _undo_by(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Note how to undo what is going to be done, if a savepoint is set."""
        if self._marks:
            self._log.append((function, *arguments))

    # Tables

    def catalog(self) -> Catalog:
        self._require()
        return self._changed or self._catalog()

    def _named(self, name: str) -> Table:
        table = self.catalog().tables.get(name)
        if table is None:
            raise ProgrammingError(f"no such table: {name}")
        return table

    def _known(self, table: Table) -> TableBuffer | None:
        """Return the buffer of a table; None if the transaction hasn't written it."""
        buffer = self._buffers.get(table.name)
        if buffer is None:
            if self._changed is not None and table.name not in self._changed.tables:
                raise ProgrammingError(f"no such table: {table.name}")
        elif buffer.table is not table and buffer.table.columns != table.columns:
            raise ProgrammingError(
                f"the definition of table {table.name} has changed since the"
                " transaction began"
            )
        return buffer

    def _buffer(self, table: Table) -> TableBuffer:
        """Return the buffer of a table, to write to it."""
        self._require_writing()
        buffer = self._known(table)
        if buffer is None:
            committed = self._named(table.name)
            buffer = self._buffers[table.name] = TableBuffer(committed, committed)
            self._known(table)
        return buffer

    # Rows

    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        self._require()
        buffer = self._known(table)
        if self._writing and self.store.capabilities.update:
            buffer = self._buffer(table)  # the store's own query would write at once
        elif buffer is None or (buffer.table is buffer.before and not buffer.rows):
            if not self.remembering:
                return self._query(table, columns, access)
            buffer = buffer or TableBuffer(table, table)
        return BufferedQuery(self, buffer, columns, access)

    def query_for_update(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        capabilities = self.store.capabilities
        if capabilities.locks or capabilities.serializable:
            return self.query(table, columns, access)
        if not capabilities.preconditions:
            raise NotSupportedError(
                "this store has no locks, so it doesn't support select_for_update()"
            )
        return BufferedQuery(
            self, self._buffer(table), columns, access, for_update=True
        )

    def access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        buffer = self._buffers.get(table.name)
        if buffer is None or buffer.table is buffer.before:
            return self._access(table, filters, ordering, few=few)
        # The store is asked for a table that has other indexes than this one.
        usable = None
        if buffer.before is not None:
            names = [index.name for index in buffer.table.indexes]
            usable = frozenset(filter(buffer.index_source, names))
        total = self.estimated_rows(buffer.table)
        capabilities = self.store.capabilities
        return choose_access(
            buffer.table, capabilities, total, filters, ordering, usable, few=few
        )

    def _expected_rows(self, table: Table) -> int:
        number = self._estimated_rows(table)
        for buffer in self._buffers.values():
            if buffer.before is not None and buffer.before.name == table.name:
                return max(number + buffer.delta, 0)
        return number

    def estimated_rows(self, table: Table) -> int:
        self._require()
        buffer = self._known(table)
        if buffer is None:
            return self._estimated_rows(table)
        if buffer.before is None:
            return buffer.delta
        return max(self._estimated_rows(buffer.before) + buffer.delta, 0)

    def get(self, table: Table, key: Key) -> Row | None:
        self._require()
        key = tuple(key)
        buffer = self._known(table)
        if buffer is None:
            return self._committed(table, [key]).get(key)
        return self._current(buffer, key)[0]

    def _current(self, buffer: TableBuffer, key: Key) -> tuple[Row | None, Row | None]:
        """Return a row as it is now, and as committed if it isn't in the buffer."""
        entry = buffer.rows.get(key)
        if entry is not None or buffer.before is None:
            return None if entry is None else entry.row, None
        row = self._committed(buffer.before, [key]).get(key)
        return None if row is None else buffer.current(row), row

    @abstractmethod
    def replace(self, buffer: TableBuffer, now: Row, row: Row) -> None:
        """Replace a row that has just been read, for :class:`BufferedQuery`."""
