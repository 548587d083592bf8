"""``ImmudbSession``: transactions of one connection."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    Access,
    Catalog,
    ConflictError,
    Error,
    FilterShape,
    IntegrityError,
    InterfaceError,
    NonrelQuery,
    OperationalError,
    ProgrammingError,
    Row,
    Table,
    TableChange,
    ValueType,
)

from . import changes as statements
from .asides import Asides, is_too_much
from .catalog import Schema, Stored
from .commits import Commit
from .conditions import exact
from .gate import (
    PAUSE,
    UNDECIDED,
    Gate,
    is_other_catalog,
    raise_conflict,
    read_gate,
)
from .journal import abandon, finish, new_gate, prepare, set_gate
from .names import quoted
from .prefixes import PREFIX_LOOKUPS
from .query import LOOKUPS, ImmudbQuery, _parts, point
from .reading import SessionReads
from .shared import SAFE_ENTRIES
from .times import time_columns
from .types import MAX_INDEXED, check_rows, decoder, lengths

if TYPE_CHECKING:
    from .store import ImmudbStore

_LOWER, _UPPER = frozenset({"gt", "gte"}), frozenset({"lt", "lte"})
_RANGES = _LOWER | _UPPER


class ImmudbSession(SessionReads):
    """
    Transactions, whose writes are sent at their end.

    A session that may write reads in an immudb transaction, which notices at commit
    whether something that was read has changed since. One that only reads (``reading``)
    reads as of one transaction of the past, without a transaction on the server.
    """

    store: ImmudbStore

    def __init__(self, store: ImmudbStore, *, reading: bool = False) -> None:
        super().__init__(store, reading=reading)
        self._schema: Schema | None = None
        #: Numbers taken in the transaction: table, first and how many.
        self._numbers: list[tuple[str, int, int]] = []

    # Transactions

    def _begin(self, *, write: bool) -> None:
        connection = self.store.acquire()
        try:
            # What follows is read as of that moment, if it is so fresh.
            shared = self.store.shared
            if self._reading:
                self._schema, self._until = shared.schema(connection)
            else:
                self._schema, self._until = shared.current(connection), None
            self._generation, self._has_read = shared.generation, False
            self._asides = Asides(self.store, shared.opened)
            self._read_tables = {}
            self.alone = False
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
        version = read_gate(self.lent.beside()).version
        is_same = version == self._schema.version
        if not is_same:
            self.store.shared.forget_schema()
        return is_same

    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        return ImmudbQuery(self, table, columns, access)

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
            rows = self.run_query(" UNION ALL ".join(texts), parameters, table)
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
        before, after = change.before, change.after
        size = len(change.rows) + 1
        if before is not None and after is not None and size * 2 > SAFE_ENTRIES:
            if before == after:
                size = 1 + statements.weight(self.stored(before), change.rows)
            else:
                size *= 2
        if after is not None and before != after:
            # In immudb's catalog, each column and index is an entry, too.
            size += len(after.columns) + len(after.indexes) + 3
        if before is not None and after is not None and before != after:
            stored = self.stored(before)
            if change.filled or statements.needs_copy(stored, change):
                # Not in the transaction, where it would be read by that.
                count = f"SELECT COUNT(*) FROM {quoted(before.name)}"
                size += self.lent.beside().query(count).rows[0][0]
        return size

    def _limit(self) -> int:
        """Return how many entries a transaction of immudb's may have."""
        with self.store.other() as connection:
            return self.store.shared.limit(connection) or SAFE_ENTRIES

    def _apply(self, changes: Sequence[TableChange]) -> None:
        schema = self._schema
        assert schema is not None
        # From here on nobody knows whether rows have them.
        self._numbers.clear()
        # A definition may come with the rows of each table, and the catalog's version.
        size = sum(map(self._size, changes)) + len(changes) + 1
        large = size > SAFE_ENTRIES and size > self._limit()
        if schema.version and not (large or self._asides):
            applying = Commit(self, schema, changes, large=False)
            if not applying.redefines:
                return self._commit_at_once(applying, changes)
        return self._commit_with_looks(schema, changes, large=large)

    def _commit_at_once(self, applying: Commit, changes: Sequence[TableChange]) -> None:
        """Commit by one call, if nothing is in the way; else find out what is."""
        try:
            committed = applying.run_at_once()
        except IntegrityError as error:
            # Uniqueness was looked at: somebody else has committed the row since.
            self._forget(changes)
            raise ConflictError(
                f"another transaction has committed first: {error}"
            ) from error
        except ConflictError:
            raise  # nothing was kept, and what was known is as right as before
        except BaseException as error:
            if isinstance(error, Error):
                if is_other_catalog(error):
                    self.store.shared.forget_schema()
                raise_conflict(error)
            self._forget(changes)
            if is_too_much(error) and self._read_tables:
                # What is written is read, too.
                self._set_aside()
                return self._apply(changes)
            raise
        self.store.shared.note(committed)
        applying.done()
        return None

    def _commit_with_looks(
        self, schema: Schema, changes: Sequence[TableChange], *, large: bool
    ) -> None:
        """Commit what is more than rows of one transaction of immudb's."""
        connection = self._used()
        gate = read_gate(connection)
        if gate.version != schema.version:
            self.store.shared.forget_schema()
            raise ConflictError("the tables have changed since the transaction began")
        if gate.closed:
            raise ConflictError("a large transaction is being applied")
        named = Gate()
        if large:
            with self.store.other() as beside:
                made = prepare(beside)
            if made:
                # For immudb's transaction, the tables have changed since it began.
                self._set_aside()
        try:
            applying = Commit(self, schema, changes, large=large)
            if large:
                with self.store.other() as beside:
                    named = applying.write_journal(beside)
            if self._asides or (large and applying.redefines):
                self._decide(applying, gate, named)
            elif large:
                applying.run_definitions(named)
            else:
                applying.run()
            committed = connection.commit()
            if not large:  # else the gate is closed now
                self.store.shared.note(committed)
        except IntegrityError as error:
            # Uniqueness was looked at: somebody else has committed the row since.
            self._forget(changes)
            raise ConflictError(
                f"another transaction has committed first: {error}"
            ) from error
        except BaseException as error:
            # Be it a conflict, or that no answer came, and it was made.
            self._forget(changes)
            if is_too_much(error) and not self._asides and self._read_tables:
                # What is written is read, too.
                self._set_aside()
                return self._apply(changes)
            raise
        applying.done()
        if large:
            self._finish(named.journal)
        return None

    def _decide(self, applying: Commit, gate: Gate, named: Gate) -> None:
        """
        Close the gate, look whether what was read aside is the same, and commit.

        A large transaction that makes a table anew waits until everybody has noticed the
        gate: nobody may see the new table before its rows.

        :param named: the gate with the journal, if it is a large transaction.
        """
        connection, large = self._used(), bool(named.journal)
        named = (named if large else new_gate())._replace(version=gate.version)
        undecided = named._replace(progress=UNDECIDED)
        connection.run(*set_gate(undecided))
        connection.commit()  # what was read in the transaction is as it was
        try:
            if large and applying.redefines:
                time.sleep(PAUSE)
            self._asides.check()
            connection.begin()
            _require(read_gate(connection) == undecided)
            if large:
                applying.run_definitions(named)
            else:
                applying.run(named._replace(journal=-named.journal))
            committed = connection.commit()
            if not large:  # else the gate is closed now
                self.store.shared.note(committed)
        except BaseException:
            if connection.in_transaction:
                connection.rollback()
            with contextlib.suppress(Error), self.store.other() as beside:
                abandon(beside, undecided)
            raise

    def _finish(self, number: int) -> None:
        """Apply the journal of a large transaction, which is committed."""
        for last in (False, False, True):
            try:
                with self.store.other() as connection:
                    finish(connection, number, self._limit())
                    self.store.shared.schema(connection, age=0)
            except Error as error:
                if last:
                    raise OperationalError(
                        "The transaction is committed, but not all of it is in its"
                        " tables yet. Do not run it again: the next client that connects"
                        f" to the database finishes it. The reason: {error}"
                    ) from error
            else:
                return

    def _forget(self, changes: Sequence[TableChange]) -> None:
        """Ask the server anew for what a commit would have told."""
        for change in changes:
            if change.before is not None:
                self.store.shared.forget_numbers(change.before.name)
            if change.before != change.after:
                self.store.shared.forget_schema()


def _require(ours: bool) -> None:
    """Raise ConflictError if the gate isn't as we have closed it."""
    if not ours:
        raise ConflictError("another client has taken this transaction for abandoned")
