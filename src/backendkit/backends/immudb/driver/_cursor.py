"""PEP 249's cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from backendkit.stores import InterfaceError, ProgrammingError

from ._results import Committed
from ._statements import analyze
from ._values import Parameters

if TYPE_CHECKING:
    from ._connection import Connection

Description = tuple[str, str, None, None, None, None, None]


class Cursor:
    """
    Runs statements on a connection, and holds the rows of the last query.

    :meth:`execute` fetches all rows. If they don't fit into memory, use
    :meth:`Connection.stream`.
    """

    #: Rows that :meth:`fetchmany` returns if it isn't told.
    arraysize = 1

    #: Rows of the last statement; -1 if unknown, as of a change in a transaction.
    rowcount: int

    #: The AUTO_INCREMENT id of the last row that the last statement inserted; None if
    #: there was none, or inside a transaction, where it comes with the commit.
    lastrowid: int | None

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: tuple[Description, ...] | None = None
        self.rowcount = -1
        self.lastrowid = None
        self._rows: list[tuple[Any, ...]] | None = None
        self._next = 0
        self._closed = False

    def _begin(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed")
        self.description = None
        self.rowcount = -1
        self.lastrowid = None
        self._rows = None
        self._next = 0

    def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """
        Run a statement, or several that return no rows, and return the cursor.

        :param parameters: values of ``?`` in their order, or of ``@name`` by name.
        """
        self._begin()
        self.connection._usable()
        if not analyze(sql).is_query:
            self._finish(self.connection.run(sql, parameters))
            return self
        decoder, rows = self.connection._query(sql, parameters)
        self.description = tuple(
            (name, kind, None, None, None, None, None)
            for name, kind in zip(decoder.names, decoder.types, strict=True)
        )
        self._rows = rows
        self.rowcount = len(rows)
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """
        Run a statement once for each set of parameters, and return the cursor.

        Outside of a transaction, all of them run in one transaction.
        """
        self._begin()
        connection = self.connection
        connection._usable()
        if analyze(sql).is_query:
            raise ProgrammingError(
                "executemany() can't run statements that return rows"
            )
        if connection.in_transaction or not connection.autocommit:
            for each in parameters:
                connection.run(sql, each)
            return self
        connection.begin()
        try:
            for each in parameters:
                connection.run(sql, each)
            self._finish(connection.commit())
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
        return self

    def _finish(self, committed: Committed | None) -> None:
        if committed is not None:
            self.rowcount = committed.rows
            if len(committed.last_ids) == 1:
                (self.lastrowid,) = committed.last_ids.values()

    def _fetchable(self) -> list[tuple[Any, ...]]:
        if self._closed:
            raise InterfaceError("the cursor is closed")
        self.connection._usable()
        if self._rows is None:
            raise ProgrammingError(
                "there are no rows to fetch: the last statement was no query"
            )
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row; None if there is none."""
        rows = self._fetchable()
        if self._next >= len(rows):
            return None
        self._next += 1
        return rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Return the next rows, ``size`` or :attr:`arraysize` of them, or fewer."""
        rows = self._fetchable()
        start, self._next = self._next, self._next + (size or self.arraysize)
        return rows[start : self._next]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left."""
        rows = self._fetchable()
        start, self._next = self._next, len(rows)
        return rows[start:] if start else rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def setinputsizes(self, sizes: object) -> None:
        """Do nothing. Values are bound by their types."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing. Values are always returned completely."""

    def close(self) -> None:
        """Release the rows. A closed cursor can't be used any more."""
        self._closed = True
        self._rows = None

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
