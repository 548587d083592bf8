"""A running statement: the session it reads, the rows it names, what it writes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from backendkit.stores import Access, FilterShape, Key, Row, Session, Table

from .changing import Changes, Deletions
from .insert_text import InsertHead
from .limits import Look, Watch, is_selective

if TYPE_CHECKING:
    from .connection import Connection
    from .seeking import Seeks
    from .vtab import VirtualTable

T = TypeVar("T")


class Filter(NamedTuple):
    """The arguments of :meth:`NonrelQuery.add_filter`."""

    column: str
    lookup: str
    negated: bool
    db_type: str
    value: Any


class Handed:
    """
    Filters that the compiler knows and SQLite wouldn't tell, as a parameter.

    :param filters: all of them must hold; each is null-rejecting, and SQLite
        checks the same conditions again.
    :param table: name of the table that they are on.
    """

    __slots__ = ("filters", "table")

    def __init__(self, filters: Sequence[Filter], table: str = "") -> None:
        self.filters = tuple(filters)
        self.table = table

    def __repr__(self) -> str:
        # In logs it stands for its parameter; NULL means no filters, so that
        # the logged statement can be run.
        names = " AND ".join(f"{f.column} {f.lookup}" for f in self.filters)
        return f"NULL /* {names.replace('*/', '* /')} */"


def timed(entry: dict[str, Any], rows: Iterator[T], start: float) -> Iterator[T]:
    """
    Count rows and seconds in an entry of the trace.

    :param start: when what made the iterator began, by :func:`time.perf_counter`.
    """
    for row in rows:
        entry["rows"] += 1
        entry["time"] += time.perf_counter() - start
        yield row
        start = time.perf_counter()
    entry["time"] += time.perf_counter() - start


class Running:
    """
    A statement from its start to its last row.

    :param session: what it reads and writes, in a transaction.
    :param trace: list to note store calls in, or None.
    :param head: the beginning of the statement, if it is an INSERT.
    :param sql: the statement, if SQLite runs it.
    """

    __slots__ = (
        "_handed",
        "_keys",
        "_numbers",
        "_waiting",
        "_watches",
        "changes",
        "connection",
        "for_update",
        "head",
        "limits",
        "plans",
        "seeks",
        "session",
        "sql",
        "trace",
        "whole_lists",
    )

    def __init__(
        self,
        connection: Connection,
        session: Session,
        trace: list[dict[str, Any]] | None = None,
        head: InsertHead | None = None,
        sql: str = "",
    ) -> None:
        self.connection = connection
        self.session = session
        self.trace = trace
        self.head = head
        self.sql = sql
        #: How many rows it may look at; None for any number.
        self.limits = connection.limits
        connection.bound_plans()
        #: What the numbers in its prepared form stand for.
        self.plans = connection.plans
        #: Whether lists behind IN are taken whole.
        self.whole_lists = False
        #: Whether it is to find the rows that it reads unchanged at commit.
        self.for_update = False
        #: What plans found by key; None in a statement that writes.
        self.seeks: dict[tuple[VirtualTable, int], Seeks | None] | None = None
        #: Rows inserted, changed or deleted, cascades not counted.
        self.changes = 0
        self._handed: list[Handed] = []
        self._numbers: dict[tuple[str, Key], int] = {}
        self._keys: list[Key] = []
        self._watches: dict[str, Watch] = {}
        #: Rows of the one table that a statement changes.
        self._waiting: Changes | Deletions | None = None

    # Reading

    def hand(self, handed: Handed) -> int:
        """Note filters; return the number that SQLite is given for them."""
        self._handed.append(handed)
        return len(self._handed) - 1

    def handed(self, number: int | None) -> Sequence[Filter]:
        """Return the filters noted under a number; none for None."""
        return () if number is None else self._handed[number].filters

    def handed_to(self, table: str) -> Iterator[Filter]:
        """Return the filters on a table, wherever the statement names it."""
        for handed in self._handed:
            if handed.table.lower() == table.lower():
                yield from handed.filters

    def number(self, table: str, key: Key) -> int:
        """Return a rowid for a key that isn't an integer."""
        number = self._numbers.setdefault((table, key), len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
        return number

    def key(self, rowid: int) -> Key:
        """Return the key of a rowid that :meth:`number` gave."""
        return self._keys[rowid]

    def trace_call(self, table: str, call: str) -> dict[str, Any]:
        """Note a store call; the caller counts rows and seconds in the answer."""
        entry = {"table": table, "call": call, "rows": 0, "time": 0.0}
        assert self.trace is not None
        self.trace.append(entry)
        return entry

    @property
    def selective(self) -> bool:
        """Whether SQLite may leave out rows that it has been given."""
        return is_selective(self.sql)

    def look(
        self,
        table: Table,
        access: Access,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]],
        entry: dict[str, Any] | None,
        *,
        limited: bool,
    ) -> Look:
        """
        Begin to look at rows.

        :param entry: of the trace, to note how many there are; or None.
        :param limited: whether there may be rows that aren't wanted.
        """
        if self.limits is None or not limited:
            return Look(None, entry)
        watch = self._watches.get(table.name)
        if watch is None:
            capabilities = self.connection.store.capabilities
            watch = Watch(self.limits, table, capabilities)
            self._watches[table.name] = watch
        watch.access, watch.filters, watch.ordering = access, filters, ordering
        return Look(watch, entry)

    # Writing: called by SQLite for raw SQL, row by row

    def insert(
        self, table: Table, fields: Sequence[Any], key: dict[int, int]
    ) -> Row | None:
        """
        Insert a row of visible columns; None if OR IGNORE left it out.

        :param key: the key by column number, if the statement calls it rowid.
        """
        self.flush()
        writer = self.connection.tables.writer(self.session, table)
        given: Sequence[str] | None = None
        conflict = ""
        if self.head is not None and self.head.table.lower() == table.name.lower():
            given, conflict = self.head.columns, self.head.conflict
        row = writer.insert_fields(fields, given, conflict, key)
        if row is not None:
            self.changes += 1
        return row

    def change(self, table: Table, key: Key, changes: dict[int, Any]) -> None:
        """Change columns of a row."""
        numbers = tuple(changes)
        waiting = self._waiting
        if not isinstance(waiting, Changes) or waiting.numbers != numbers:
            self.flush()
            writer = self.connection.tables.writer(self.session, table)
            self._waiting = waiting = Changes(writer, numbers)
        waiting.add(key, changes)
        self.changes += 1

    def delete(self, table: Table, key: Key) -> None:
        """Delete a row."""
        waiting = self._waiting
        if not isinstance(waiting, Deletions):
            self.flush()
            writer = self.connection.tables.writer(self.session, table)
            self._waiting = waiting = Deletions(writer)
        waiting.add(key)
        self.changes += 1

    def flush(self) -> None:
        """Write what waits to be written with more of its kind."""
        if self._waiting is not None:
            self._waiting.flush()
            self._waiting = None
