"""``BufferedSession``: transactions for stores that apply all changes at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ._access import Access, FilterShape, choose_access
from ._buffer import Numbering, TableBuffer, same
from ._capabilities import Precision
from ._changes import TableChange
from ._errors import (
    ConflictError,
    Error,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    UniqueViolation,
)
from ._matching import row_getter
from ._merged import BufferedQuery
from ._query import NonrelQuery
from ._schema import Catalog, Index, Table
from ._session import Key, Row, Session, Store

#: Values of one look-up.
_CHUNK = 200
#: Rows of one table that are remembered, where a snapshot makes that a mere saving.
_REMEMBERED = 10_000


class BufferedSession(Session):
    """
    Transactions, savepoints included, for a store that can apply changes at once.

    Writes are kept here, as the net change of each row and each table. Savepoints
    are marks in that buffer, reads of all kinds see it merged with what is committed.
    ``commit`` hands all of it to :meth:`_apply`, each changed row once, and each
    changed table once, however often they were changed.

    The store's author implements the methods that begin with an underscore: abstract
    ones, and others where the store has something better. They see committed data
    alone, and tables as committed.

    **Uniqueness** of the primary key and of unique indexes is checked when a row is
    written, against the buffer and against what is committed, as read in the
    transaction. So :exc:`UniqueViolation` comes where SQL has it, and the transaction
    goes on. What is read may have changed at commit: see :meth:`_apply` for what the
    author has to guarantee there. Other sessions neither wait nor are waited for.

    **Isolation.** ``_begin`` should begin a snapshot. A store that has none, and reads
    what is committed at each moment, says so in ``Capabilities.snapshots``: then each
    row that was read is remembered until the end of the transaction, as it was first,
    and a change of it has that as its precondition. So no update is lost.
    """

    #: The most changes that a transaction may have, as :meth:`_size` counts them; None
    #: for any number. An instance may set it.
    max_changes: int | None = None

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._active = False
        self._writing = False
        #: Whether queries have to read whole rows, for :meth:`remembered`.
        self.remembering = False
        #: Goes up by one with each row that is written.
        self.now = 0
        self._clear()

    def _clear(self) -> None:
        self._active = self._writing = self.remembering = False
        #: For each rollback to a savepoint, when that was set. For queries.
        self.undone: list[int] = []
        self._buffers: dict[str, TableBuffer] = {}
        self._drops: tuple[Table, ...] = ()
        self._changed: Catalog | None = None
        #: Functions with arguments that undo what was done, newest last.
        self._log: list[tuple[Any, ...]] = []
        #: For each savepoint, how long the log was, and when.
        self._marks: list[tuple[int, int]] = []
        #: Committed rows by table and key, as they were read first.
        self._seen: dict[str, dict[Key, Row]] = {}

    # What the store's author implements

    @abstractmethod
    def _begin(self, *, write: bool) -> None:
        """
        Begin to read what is committed: a snapshot of it, if the store has that.

        :param write: whether the transaction is going to write. One that isn't may do
            so after :meth:`_upgrade`.
        """

    def _upgrade(self) -> None:
        """
        Prepare to write, in a transaction begun without. By default nothing.

        :raises ConflictError: another transaction committed since this one began, and
            the store can't go on from there. The transaction is over then.
        """

    @abstractmethod
    def _end(self) -> None:
        """
        End what :meth:`_begin` began, and keep nothing.

        Called once for each ``_begin``, also after ``_apply``, be it that it failed.
        """

    @abstractmethod
    def _catalog(self) -> Catalog:
        """Return the tables as committed. Called often: cheap."""

    @abstractmethod
    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        """Return a query on what is committed: see :meth:`Session.query`."""

    @abstractmethod
    def _estimated_rows(self, table: Table) -> int:
        """Return about how many rows a table has. Called often: cheap."""

    @abstractmethod
    def _allocate(self, table: Table, count: int, above: int) -> int:
        """
        Take numbers for an ``auto_increment`` column out of the store's numbering.

        At once and for good, as the sequences of other databases: they aren't given to
        another session meanwhile, and a rollback doesn't bring them back.

        :param count: how many, one after the other.
        :param above: they have to be larger than this, and than any that was given
            before or is committed.
        :returns: the first of them.
        :raises OperationalError: there are no such numbers below 2 ** 63.
        """

    @abstractmethod
    def _apply(self, changes: Sequence[TableChange]) -> None:
        """
        Commit changes, all or nothing.

        Dropped tables come first, then changed ones, then new ones. Of a changed table
        take the definition first, the rows then, new unique indexes last: rows may have
        been changed to make them possible. Names of tables and unique values are to be
        taken together: they may be exchanged.

        **What has to be guaranteed**, while others commit: when the changes take effect

        * each changed row is still what its ``old`` says, and no row has the key of an
          inserted one;
        * no row but those in the changes has one of the unique values that they take
          (:meth:`TableChange.claims`). They were free when they were looked for, and
          there was no row that could have been locked: a store without unique indexes,
          and without transactions that notice what was read before (phantoms), needs
          an item of its own for each unique value, written with the precondition that
          it isn't there;
        * a table that is written has the definition ``before``.

        A store whose transactions notice at commit that something that was *read* in
        them has changed, a look-up that found nothing included, has all of that already
        (and foreign keys, which are looked up in the transaction as well).

        :raises ConflictError: one of these doesn't hold any more, and nothing was kept.
            The session then looks whether a unique value or a primary key has been
            taken, and makes it a :exc:`UniqueViolation`.
        """

    def _find(
        self, table: Table, index: str, values: Sequence[tuple[Any, ...]]
    ) -> Iterable[Row]:
        """
        Return the committed rows that have one of these values in a unique index.

        By default by queries of up to 200 values.

        :param index: its name; "" for the primary key.
        :param values: values of the index's columns, none of them None.
        """
        names = table.unique[index]
        values_of = row_getter([table.positions[name] for name in names])
        wanted = set(values)
        rows = self._select(table, names, values)
        return (row for row in rows if values_of(row) in wanted)

    def _access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        """Choose how to read what is committed: see :meth:`Session.access`."""
        return super().access(table, filters, ordering, few=few)

    def _check(self, table: Table, row: Row) -> Row:
        """
        Return a row as it will be read once it is committed.

        Called before it gets into the buffer; the ``auto_increment`` column may be
        None. By default it stays as it is. Refuse here what the store would refuse.

        :raises DataError: a value can't be stored; names the column.
        """
        return tuple(row)

    def _size(self, change: TableChange) -> int:
        """Return how much of ``max_changes`` a change takes: by default its rows."""
        return len(change.rows)

    # Transactions

    def begin(self, *, write: bool) -> None:
        if self._closed or self._active:
            raise InterfaceError("the session is closed or in a transaction")
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
        for change in changes:
            table = change.before
            if table is None or change.redefined:
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
                f"the transaction is too large: it has {size:,} changes, and the"
                f" database takes {self.max_changes:,} at a time. Nothing was written."
                " Split it, e.g. call bulk_create() with a part of the objects at a"
                " time, outside of atomic(), or raise the limit of the database."
            )

    # Schema

    def catalog(self) -> Catalog:
        self._require()
        return self._changed or self._catalog()

    def create_table(self, table: Table) -> None:
        self._require_writing()
        if table.name in self.catalog().tables:
            raise ProgrammingError(f"table {table.name} already exists")
        self._define(None, TableBuffer(table, None))

    def drop_table(self, name: str) -> None:
        before = self._buffer(self._named(name)).before
        self._define(name, None)
        if before is not None:
            self._drops = (*self._drops, before)

    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        old = self._buffer(self._named(name))
        new = old.altered(table, renames or {}, fill or {})
        known = {index.name for index in old.table.indexes}
        self._define(name, new)
        for index in table.indexes:
            if index.unique and index.name not in known:
                self._check_index(table, index)
        numbered, former = table.auto_increment, old.table.auto_increment
        if numbered is not None and former is None:
            at = table.columns[numbered].name
            last = max((row[0] or 0 for row in self._read(table, [at])), default=0)
            last = max(last, old.numbering.last)
            new.numbering = Numbering(own=True, last=last)

    def _named(self, name: str) -> Table:
        table = self.catalog().tables.get(name)
        if table is None:
            raise ProgrammingError(f"no such table: {name}")
        return table

    def _define(self, name: str | None, buffer: TableBuffer | None) -> None:
        """Replace a table, None for no table, so that it can be undone."""
        was = dict(self._buffers), self._drops, self._changed
        self._undo_by(self._redefine, *was)
        tables = dict(self.catalog().tables)
        if name is not None:
            del tables[name]
            self._buffers.pop(name, None)
        if buffer is not None:
            tables[buffer.table.name] = buffer.table
            self._buffers[buffer.table.name] = buffer
        # object() equals nothing else: no other catalog has this version.
        self._changed = Catalog(object(), tables)

    def _redefine(
        self,
        buffers: dict[str, TableBuffer],
        drops: tuple[Table, ...],
        changed: Catalog | None,
    ) -> None:
        self._buffers, self._drops, self._changed = buffers, drops, changed

    def _check_index(self, table: Table, index: Index) -> None:
        """Check that rows don't violate a new unique index."""
        found = set()
        for values in self._read(table, index.columns):
            if None not in values:
                if values in found:
                    raise UniqueViolation(table.name, index.columns)
                found.add(values)

    def _read(self, table: Table, columns: Sequence[str]) -> Iterator[Row]:
        """Read columns of all rows, those in the buffer included."""
        return self.query(table, columns, self.access(table, ())).fetch()

    # Reading

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

    def _known(self, table: Table) -> TableBuffer | None:
        """Return the buffer of a table; None if the transaction hasn't written it."""
        buffer = self._buffers.get(table.name)
        if buffer is None:
            if self._changed is not None and table.name not in self._changed.tables:
                raise ProgrammingError(f"no such table: {table.name}")
        elif buffer.table is not table and buffer.table.columns != table.columns:
            raise ProgrammingError(f"{table.name}: its definition has changed since")
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

    def _current(self, buffer: TableBuffer, key: Key) -> tuple[Row | None, Row | None]:
        """Return a row as it is now, and as committed if it isn't in the buffer."""
        entry = buffer.rows.get(key)
        if entry is not None or buffer.before is None:
            return None if entry is None else entry.row, None
        row = self._committed(buffer.before, [key]).get(key)
        return None if row is None else buffer.current(row), row

    # Reading what is committed

    def _committed(self, table: Table, keys: Iterable[Key]) -> dict[Key, Row]:
        """Return the committed rows of these keys."""
        seen = self._seen.get(table.name, {}) if self.remembering else {}
        found = {key: seen[key] for key in keys if key in seen}
        missing = [key for key in keys if key not in found]
        if missing:
            rows = self._find(table, "", missing)
            if self.remembering:
                rows = self.remembered(table, rows)
            found.update((table.key_of(row), row) for row in rows)
        return found

    def remembered(self, table: Table, rows: Iterable[Row]) -> Iterator[Row]:
        """Let committed rows pass, and remember them as they were first."""
        seen = self._seen.setdefault(table.name, {})
        snapshots = self.store.capabilities.snapshots
        for row in rows:
            if snapshots and len(seen) >= _REMEMBERED:
                seen.clear()
            seen.setdefault(table.key_of(row), row)
            yield row

    def _select(
        self, table: Table, names: Sequence[str], values: Sequence[tuple[Any, ...]]
    ) -> Iterator[Row]:
        """Return at least the committed rows that have these values in columns."""
        precision = self.store.capabilities.precision
        types = [table.column(name).type for name in names]

        def able(lookup: str) -> bool:
            return all(precision(one, lookup) is not Precision.NONE for one in types)

        size = len(values)
        if able("exact"):
            size = _CHUNK if able("in") else 1
        for start in range(0, len(values), size or 1):
            shapes, filters = [], []
            for number, (name, value_type) in enumerate(zip(names, types, strict=True)):
                part = values[start : start + size]
                choices = list(dict.fromkeys(one[number] for one in part))
                lookup = "exact" if len(choices) == 1 else "in"
                value = choices[0] if len(choices) == 1 else choices
                if precision(value_type, lookup) is not Precision.NONE:
                    shapes.append(FilterShape(name, lookup))
                    filters.append((name, lookup, False, value_type, value))
            access = self._access(table, shapes)
            query = self._query(table, [*table.positions], access)
            query.add_filters(filters)
            yield from query.fetch()

    def _held(
        self, buffer: TableBuffer, index: str, values: Sequence[tuple[Any, ...]]
    ) -> set[tuple[Any, ...]]:
        """Return which values of a unique index committed rows have that still do."""
        table, before = buffer.table, buffer.before
        assert before is not None
        names = table.unique[index]
        if not index:
            return set(self._committed(before, values))
        if buffer.index_source(index):
            rows = self._find(before, index, values)
        else:
            # An index of this transaction: the store hasn't got it.
            places = [n for n, name in enumerate(names) if name in buffer.sources]
            sources = [buffer.sources[names[n]] for n in places]
            rows = self._select(before, sources, list(map(row_getter(places), values)))
        if self.remembering:
            rows = self.remembered(before, rows)
        values_of = row_getter([table.positions[name] for name in names])
        return {
            values_of(buffer.current(row))
            for row in rows
            if before.key_of(row) not in buffer.rows
        }

    # Writing

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        buffer = self._buffer(table)
        self._undo_by(setattr, buffer, "numbering", buffer.numbering)
        checked = [self._check(table, row) for row in rows]
        complete, fresh = self._number(buffer, checked)
        pairs = [buffer.table.unique_values(row) for row in complete]
        taken = self._taken(buffer, (p for one in pairs for p in one), fresh)
        keys = []
        for row, unique in zip(complete, pairs, strict=True):
            self._check_unique(buffer, unique, taken)
            key = unique[0][1]
            self._put(buffer, key, row, None)
            keys.append(key)
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        buffer = self._buffer(table)
        now, committed = self._current(buffer, tuple(key))
        if now is not None:
            self._replace(buffer, now, committed, row)

    def replace(self, buffer: TableBuffer, now: Row, row: Row) -> None:
        """Replace a row that has just been read, for :class:`BufferedQuery`."""
        committed: Row | None = None
        key = buffer.table.key_of(now)
        if key not in buffer.rows:
            committed = now if buffer.convert is None else self._current(buffer, key)[1]
        self._replace(buffer, now, committed, row)

    def _replace(
        self, buffer: TableBuffer, now: Row, committed: Row | None, row: Row
    ) -> None:
        """
        Replace a row.

        :param committed: it as committed, if it isn't in the buffer.
        """
        table = buffer.table
        row = self._check(table, row)
        if same(row, now):
            return
        former = set(table.unique_values(now))
        pairs = [pair for pair in table.unique_values(row) if pair not in former]
        self._check_unique(buffer, pairs, self._taken(buffer, pairs, frozenset()))
        old_key, new_key = table.key_of(now), table.key_of(row)
        at = table.auto_increment
        if at is not None and row[at] is not None:
            self._undo_by(setattr, buffer, "numbering", buffer.numbering)
            buffer.numbering = _moved_on(buffer.numbering, row[at])
        if new_key == old_key:
            self._put(buffer, new_key, row, committed)
        else:
            self._put(buffer, old_key, None, committed)
            self._put(buffer, new_key, row, None)

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        buffer = self._buffer(table)
        known, number = buffer.rows, 0
        unique = dict.fromkeys(map(tuple, keys))
        committed: dict[Key, Row] = {}
        if buffer.before is not None:
            unknown = [key for key in unique if key not in known]
            committed = self._committed(buffer.before, unknown)
        for key in unique:
            entry, old = known.get(key), committed.get(key)
            if old is not None or (entry is not None and entry.row is not None):
                self._put(buffer, key, None, old)
                number += 1
        return number

    def reset_sequence(self, table: Table, value: int = 0) -> None:
        buffer = self._buffer(table)
        self._undo_by(setattr, buffer, "numbering", buffer.numbering)
        buffer.numbering = Numbering(own=True, last=value)

    def _put(
        self, buffer: TableBuffer, key: Key, row: Row | None, old: Row | None
    ) -> None:
        self.now += 1
        if self._marks:
            self._log.append((buffer.put, key, buffer.rows.get(key)))
        buffer.change(key, row, old, self.now)

    def _number(
        self, buffer: TableBuffer, rows: Sequence[Row]
    ) -> tuple[Sequence[Row], set[Key]]:
        """Number rows; return them, and keys that no row can have yet."""
        table, at = buffer.table, buffer.table.auto_increment
        fresh: set[Key] = set()
        if at is None:
            return rows, fresh
        wanted = sum(1 for row in rows if row[at] is None)
        complete = []
        numbering = buffer.numbering
        for row in rows:
            if row[at] is not None:
                numbering = _moved_on(numbering, row[at])
                complete.append(row)
                continue
            number = numbering.last + 1
            if not numbering.own:
                reserve = numbering.reserve
                number = max(number, reserve.start)
                if number >= reserve.stop:
                    assert buffer.before is not None
                    number = self._allocate(buffer.before, wanted, numbering.last)
                    reserve = range(number, number + wanted)
                fresh.add((number,))
                numbering = numbering._replace(reserve=reserve)
            if number >= 2**63:
                raise OperationalError(f"{table.name} has no numbers left")
            numbering = numbering._replace(last=number)
            wanted -= 1
            complete.append((*row[:at], number, *row[at + 1 :]))
        buffer.numbering = numbering
        if table.key_positions != (at,):
            fresh = set()
        return complete, fresh

    def _taken(
        self,
        buffer: TableBuffer,
        pairs: Iterable[tuple[str, tuple[Any, ...]]],
        fresh: Any,
    ) -> dict[str, set[tuple[Any, ...]]]:
        """Look up in what is committed which of these unique values are taken."""
        if buffer.before is None:
            return {}
        wanted: dict[str, dict[tuple[Any, ...], None]] = {}
        for index, values in pairs:
            if index or not (values in buffer.rows or values in fresh):
                wanted.setdefault(index, {})[values] = None
        return {
            index: self._held(buffer, index, [*values])
            for index, values in wanted.items()
        }

    @staticmethod
    def _check_unique(
        buffer: TableBuffer,
        pairs: Iterable[tuple[str, tuple[Any, ...]]],
        taken: Mapping[str, set[tuple[Any, ...]]],
    ) -> None:
        """
        Check that unique values are free.

        :raises UniqueViolation: another row has them.
        """
        for index, values in pairs:
            if index:
                used = values in buffer.holders[index]
            else:
                entry = buffer.rows.get(values)
                used = entry is not None and entry.row is not None
            if used or values in taken.get(index, ()):
                raise UniqueViolation(buffer.table.name, buffer.table.unique[index])


def _moved_on(numbering: Numbering, number: int) -> Numbering:
    """Return the numbering once a row has come with a number."""
    if number <= numbering.last and number <= numbering.explicit:
        return numbering
    return numbering._replace(
        last=max(numbering.last, number), explicit=max(numbering.explicit, number)
    )
