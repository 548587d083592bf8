"""``ImmudbSession``: transactions of one connection."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    Access,
    BufferedSession,
    Catalog,
    ConflictError,
    FilterShape,
    IntegrityError,
    InterfaceError,
    NonrelQuery,
    ProgrammingError,
    Row,
    Table,
    TableChange,
    ValueType,
)

from . import changes as statements
from .catalog import Schema, Stored, read_version
from .commits import Commit
from .conditions import exact
from .names import quoted
from .prefixes import PREFIX_LOOKUPS
from .query import LOOKUPS, ImmudbQuery, _parts, point
from .shared import SAFE_ENTRIES
from .times import time_columns
from .types import MAX_INDEXED, check_rows, decoder, lengths

if TYPE_CHECKING:
    from .driver import Connection
    from .store import ImmudbStore

#: With more rows than this, they come in several messages.
_SMALL = 1500
_LOWER, _UPPER = frozenset({"gt", "gte"}), frozenset({"lt", "lte"})
_RANGES = _LOWER | _UPPER


class ImmudbSession(BufferedSession):
    """
    Transactions, whose writes are sent at their end.

    A session that may write reads in an immudb transaction, which notices at commit
    whether something that was read has changed since. One that only reads (``reading``)
    reads as of one transaction of the past, without a transaction on the server.
    """

    store: ImmudbStore
    more_changes = "use a database that was created with a larger max_tx_entries"

    def __init__(self, store: ImmudbStore, *, reading: bool = False) -> None:
        super().__init__(store)
        self._reading = reading
        self._connection: Connection | None = None
        self._schema: Schema | None = None
        self._until: int | None = None
        #: Numbers taken in the transaction: table, first and how many.
        self._numbers: list[tuple[str, int, int]] = []

    # Transactions

    def _begin(self, *, write: bool) -> None:
        connection = self.store.acquire()
        try:
            # What follows is read as of that moment, if it is so fresh.
            self._schema, self._until = self.store.shared.schema(connection)
            self.alone = False
            if not self._reading:
                connection.begin()
        except BaseException:
            self.store.release(connection)
            raise
        self._connection = connection

    def _upgrade(self) -> None:
        if self._reading:
            raise InterfaceError("this session is read-only")

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        self._schema = self._until = None
        while self._numbers:
            self.store.shared.give_back(*self._numbers.pop())
        if connection is not None:
            try:
                if not connection.inherited:
                    connection.rollback()
            finally:
                self.store.release(connection)

    def _used(self) -> Connection:
        if self._connection is None:
            raise InterfaceError("there is no transaction")
        return self._connection

    # Tables

    def _catalog(self) -> Catalog:
        assert self._schema is not None
        return self._schema.catalog

    def stored(self, table: Table) -> Stored:
        """Return how a committed table is kept. :raises ProgrammingError: it is gone."""
        assert self._schema is not None
        found = self._schema.stored.get(table.name)
        if found is None:
            raise ProgrammingError(f"no such table: {table.name}")
        return found

    # Reading

    @property
    def reads_only(self) -> bool:
        """Whether it never writes, so that what it reads is no conflict."""
        return self._reading

    def until(self) -> int | None:
        """Return the transaction as of which is read; None for the one we are in."""
        if not self._reading or self.alone:
            return None
        if self._until is None:
            self._until = self._used().state().txId
        return self._until

    def run_query(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """Return all rows of a query."""
        rows: list[Row] = self._used().query(sql, parameters).rows
        return rows

    def run_batches(
        self, sql: str, parameters: Sequence[Any], *, few: bool
    ) -> Iterator[list[Row]]:
        """
        Run a query and return its rows, some at a time.

        :param few: whether they fit into one answer, most likely.
        """
        if few:
            return iter([self.run_query(sql, parameters)])
        return self._used().stream(sql, parameters)

    def is_small(self, table: Table) -> bool:
        """Whether a table's rows fit into one answer, most likely."""
        return self._estimated_rows(table) <= _SMALL

    def far_times(self, table: Table) -> frozenset[str]:
        """
        Return the columns whose index may have times in the wrong place.

        Another process may have committed the first one of a column meanwhile: after
        rows were read by an index of others, :meth:`is_current` tells.
        """
        assert self._schema is not None
        stored = self._schema.stored.get(table.name)
        if stored is None or stored.far_times is None:
            return time_columns(table)
        return stored.far_times

    def is_current(self) -> bool:
        """
        Whether the catalog is still the one that the transaction began with.

        It is asked for outside of the transaction, whose own answer may be older than
        rows that it has read since.
        """
        assert self._schema is not None
        with contextlib.ExitStack() as stack:
            connection = self._used()
            if connection.in_transaction:
                connection = stack.enter_context(self.store.other())
            is_same = read_version(connection) == self._schema.version
        if not is_same:
            self.store.shared.forget_schema()
        return is_same

    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        return ImmudbQuery(self, table, columns, access)

    def _estimated_rows(self, table: Table) -> int:
        return self.store.shared.size(self._used, table)

    def index_columns(self, table: Table, access: Access) -> tuple[str, ...]:
        """Return the columns of immudb's index for an access."""
        if access.index:
            for index in table.indexes:
                if index.name == access.index:
                    columns = tuple(dict.fromkeys(index.columns[:MAX_INDEXED]))
                    if columns in self.stored(table).indexes:
                        return columns
        return table.primary_key

    def _access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        # An index has far times in the wrong place, but not between two others.
        lookups: dict[str, set[str]] = {}
        for shape in filters:
            lookups.setdefault(shape.column, set()).add(shape.lookup)
        misplaced = {
            name
            for name in self.far_times(table)
            if not (_LOWER & lookups.get(name, set()) and _UPPER & lookups[name])
        }
        # immudb has no range for what isn't NULL.
        usable = [
            shape
            for shape in filters
            if not (shape.lookup == "isnull" and shape.negated)
            and not (shape.lookup in _RANGES and shape.column in misplaced)
        ]
        usable += [
            FilterShape(shape.column, bound)
            for shape in filters
            if shape.lookup in PREFIX_LOOKUPS
            for bound in ("gte", "lt")
        ]
        names = {name for name, _ in ordering}
        sorted_by_index = ordering if names.isdisjoint(misplaced) else ()
        access = super()._access(table, usable, sorted_by_index, few=few)
        # What isn't the index's order is sorted by the server; numbers that are kept
        # as text aren't.
        kinds = {table.column(name).type for name in names}
        ordered = bool(ordering) and ValueType.DECIMAL not in kinds
        return dataclasses.replace(access, ordered=ordered)

    def _find(
        self, table: Table, index: str, values: Sequence[tuple[Any, ...]]
    ) -> Iterable[Row]:
        """Look up whole keys of a unique index, a hundred at a time."""
        columns = [table.column(name) for name in table.unique[index]]
        sizes = self.stored(table).lengths
        access = Access(index, len(columns), unique=True)
        hint = ", ".join(map(quoted, self.index_columns(table, access)))
        names = ", ".join(quoted(column.name) for column in table.columns)
        until = self.until()
        head = f"SELECT {names} FROM {quoted(table.name)}"
        head += f" UNTIL TX {until}" if until is not None else ""
        head += f" USE INDEX ON ({hint}) WHERE "
        wanted = []
        for one in values:
            bound = [
                exact(column.type, value, sizes.get(column.name))
                for column, value in zip(columns, one, strict=True)
            ]
            if None not in bound:
                wanted.append(bound)
        decode = decoder(table.columns)
        for part in _parts(wanted, LOOKUPS):
            texts, parameters = [], []
            for bound in part:
                tests = []
                for column, value in zip(columns, bound, strict=True):
                    if column.type is ValueType.FLOAT and value == 0:
                        name = quoted(column.name)
                        tests.append(f"{name} >= ? AND {name} <= ?")
                        parameters += [-0.0, 0.0]
                    else:
                        one_test = point(column.name, column.type, value)
                        tests.append(one_test.sql or "")
                        parameters.append(value)
                texts.append(head + " AND ".join(tests))
            rows = self.run_query(" UNION ALL ".join(texts), parameters)
            yield from rows if decode is None else decode(rows)

    # Writing

    def _check(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
        return check_rows(table, rows, self._lengths(table))

    def _lengths(self, table: Table) -> Mapping[str, int]:
        """Return the lengths that a table's columns have, or will have."""
        known = self._sizes.get(id(table))
        if known is None or known[0] is not table:
            assert self._schema is not None
            stored = self._schema.stored.get(table.name)
            if stored is not None and stored.table is table:
                sizes = stored.lengths
            else:
                sizes = lengths(table)
            if len(self._sizes) > 500:
                self._sizes.clear()
            known = self._sizes[id(table)] = table, sizes
        return known[1]

    @property
    def _sizes(self) -> dict[int, tuple[Table, Mapping[str, int]]]:
        return self.store.sizes

    def _allocate(self, table: Table, count: int, above: int) -> int:
        shared, ours = self.store.shared, self.stored(table).ours
        with contextlib.ExitStack() as stack:
            first = shared.allocate(
                lambda: stack.enter_context(self.store.other()),
                table,
                count,
                above,
                ours=ours,
            )
        self._numbers.append((table.name, first, count))
        return first

    def _size(self, change: TableChange) -> int:
        size = len(change.rows) + 1
        before, after = change.before, change.after
        if after is not None and before != after:
            # In immudb's catalog, each column and index is an entry, too.
            size += len(after.columns) + len(after.indexes) + 3
        if before is not None and after is not None and before != after:
            stored = self.stored(before)
            filled = any(value is not None for value in change.fill.values())
            if filled or statements.needs_copy(stored, change):
                size += (
                    self._used()
                    .query(f"SELECT COUNT(*) FROM {quoted(before.name)}")
                    .rows[0][0]
                )
        return size

    def _check_size(self, changes: Sequence[TableChange]) -> None:
        if sum(map(self._size, changes)) > SAFE_ENTRIES:
            with self.store.other() as connection:
                self.max_changes = self.store.shared.limit(connection)
            super()._check_size(changes)

    def _apply(self, changes: Sequence[TableChange]) -> None:
        connection, schema = self._used(), self._schema
        assert schema is not None
        # From here on nobody knows whether rows have them.
        self._numbers.clear()
        version = read_version(connection)
        if version != schema.version:
            self.store.shared.forget_schema()
            raise ConflictError("the tables have changed since the transaction began")
        applying = Commit(self.store.shared, connection, schema)
        try:
            applying.run(changes)
            connection.commit()
        except IntegrityError as error:
            # Uniqueness was looked at: somebody else has committed the row since.
            self._forget(changes)
            raise ConflictError(
                f"another transaction has committed first: {error}"
            ) from error
        except BaseException:
            # Be it a conflict, or that no answer came, and it was made.
            self._forget(changes)
            raise
        applying.done(changes)

    def _forget(self, changes: Sequence[TableChange]) -> None:
        """Ask the server anew for what a commit would have told."""
        for change in changes:
            if change.before is not None:
                self.store.shared.forget_numbers(change.before.name)
            if change.before != change.after:
                self.store.shared.forget_schema()
