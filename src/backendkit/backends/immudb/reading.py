"""What a session reads: of one moment, with no large transaction half there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from backendkit import clock
from backendkit.stores import (
    BufferedSession,
    ConflictError,
    InterfaceError,
    OperationalError,
    Row,
    Table,
)

from .asides import Asides, is_too_much
from .gate import LEASE
from .names import quoted
from .types import decoder

if TYPE_CHECKING:
    from .driver import Connection
    from .store import ImmudbStore

T = TypeVar("T")

#: With more rows than this, they come in several messages.
_SMALL = 1500
#: Of a table with more rows than this, all of them aren't read in immudb's transaction:
#: by default it takes note of 100,000 entries.
_ASIDE = 30_000


class SessionReads(BufferedSession):
    """The part of :class:`.session.ImmudbSession` that asks the server."""

    store: ImmudbStore

    def __init__(self, store: ImmudbStore, *, reading: bool) -> None:
        super().__init__(store)
        self._reading = reading
        self._connection: Connection | None = None
        self._until: int | None = None
        #: What is read outside of immudb's transaction, and tables that are read in it.
        self._asides = Asides(store, 0)
        self._read_tables: dict[str, Table] = {}
        #: The last large transaction when this one began, and whether it has read.
        self._generation, self._has_read = 0, False

    @property
    def connection(self) -> Connection:
        """The connection, in the transaction: see :meth:`_used`."""
        return self._used()

    @property
    def lent(self) -> Connection:
        """The connection, whether or not immudb's transaction has begun."""
        if self._connection is None:
            raise InterfaceError("there is no transaction")
        return self._connection

    def _used(self) -> Connection:
        """
        Return the connection, in immudb's transaction if the session may write.

        That begins when it is first needed: whoever reads nothing can commit by a single
        call.
        """
        connection = self.lent
        if not self._reading and not connection.in_transaction:
            connection.begin()
        return connection

    @property
    def reads_only(self) -> bool:
        """Whether it never writes, so that what it reads is no conflict."""
        return self._reading

    def until(self) -> int | None:
        """Return the transaction as of which is read; None for the one we are in."""
        if not self._reading or self.alone:
            return None
        if self._until is None:
            _, self._until = self.store.shared.schema(self.lent, age=0)
        return self._until

    def run_query(self, sql: str, parameters: Sequence[Any], table: Table) -> list[Row]:
        """Return all rows of a query of a table."""

        def ask(connection: Connection) -> list[Row]:
            rows: list[Row] = connection.query(sql, parameters).rows
            return rows

        if table.name not in self._asides:
            self._read_tables[table.name] = table
            try:
                return self._whole(lambda: ask(self._used()))
            except OperationalError as error:
                if self._reading or not is_too_much(error):
                    raise
            self._set_aside()
        with self.store.other() as connection:
            rows = self._whole(lambda: ask(connection))
            self._asides.check()
        return rows

    def _whole(self, ask: Callable[[], T]) -> T:
        """
        Return an answer in which no large transaction is half there.

        :param ask: asks the server.
        :raises ConflictError: one was committed since the transaction began.
        """
        if self._reading and not self.alone:
            return ask()  # as of a moment when there was none
        while True:
            looked, generation = self._look(), self._generation
            found = ask()
            self._has_read = True
            if clock.monotonic() - looked < LEASE:
                return found
            # It took so long that one may have begun before it was answered.
            self._look()
            if self._generation == generation:
                return found

    def _look(self) -> float:
        """
        Return the moment of the last look at the gate, which was open.

        :raises ConflictError: it isn't, or has been closed since something was read in
            a transaction that may write.
        """
        connection, shared = self.lent, self.store.shared
        if self._reading:
            shared.schema(connection)
            looked = shared.looked
        else:
            looked = shared.watch(connection)
        if shared.generation != self._generation:
            if self._has_read and not self._reading:
                raise ConflictError("a large transaction was committed meanwhile")
            self._generation = shared.generation
        return looked

    def run_batches(
        self, sql: str, parameters: Sequence[Any], table: Table, *, few: bool
    ) -> Iterator[list[Row]]:
        """
        Run a query of a table and return its rows, some at a time.

        :param few: whether they fit into one answer, most likely.
        """
        if few:
            return iter([self.run_query(sql, parameters, table)])
        if not self._reading and self._estimated_rows(table) > _ASIDE:
            self._asides.add(table)
        if table.name in self._asides:
            return self._aside(sql, parameters)
        self._read_tables[table.name] = table
        if self._reading:
            return self._stream(sql, parameters)
        return self._limited(sql, parameters)

    def _stream(self, sql: str, parameters: Sequence[Any]) -> Iterator[list[Row]]:
        rows: Iterator[list[Row]] = self._whole(
            lambda: self._used().stream(sql, parameters)
        )
        return rows

    def _limited(self, sql: str, parameters: Sequence[Any]) -> Iterator[list[Row]]:
        """Return the rows of a query; go on aside where it has read too much."""
        number = 0
        try:
            for batch in self._stream(sql, parameters):
                yield batch
                number += len(batch)
        except OperationalError as error:
            if not is_too_much(error):
                raise
        else:
            return
        self._set_aside()
        # It is the same rows in the same order: nobody has written the table.
        for batch in self._aside(sql, parameters):
            if number < len(batch):
                yield batch[number:]
            number = max(number - len(batch), 0)

    def _aside(self, sql: str, parameters: Sequence[Any]) -> Iterator[list[Row]]:
        """Run a query outside of immudb's transaction."""
        with self.store.other() as connection:
            rows = self._whole(lambda: connection.stream(sql, parameters))
            # They are as of its beginning.
            self._asides.check()
            try:
                yield from rows
            finally:
                rows.close()

    def _set_aside(self) -> None:
        """Begin a transaction of immudb's anew: what was read is read aside now."""
        connection = self.lent
        connection.rollback()
        for table in self._read_tables.values():
            self._asides.add(table)
        self._read_tables = {}
        connection.begin()
        self._asides.check()

    def all_rows(self, table: Table) -> Iterator[list[Row]]:
        """Return all rows of a committed table."""
        columns = [column.name for column in table.columns]
        names = ", ".join(map(quoted, columns))
        sql = f"SELECT {names} FROM {quoted(table.name)}"
        decode = decoder(table.columns)
        for rows in self.run_batches(sql, (), table, few=self.is_small(table)):
            yield rows if decode is None else decode(rows)

    def is_small(self, table: Table) -> bool:
        """Whether a table's rows fit into one answer, most likely."""
        return self._estimated_rows(table) <= _SMALL

    def _estimated_rows(self, table: Table) -> int:
        # Not in the transaction: whoever inserts a row meanwhile is no conflict.
        return self.store.shared.size(self.lent.beside, table)
