"""
The reference store: the contract of :mod:`backendkit.stores` over Python dicts.

Read this file to learn what a store has to do, and copy it to write one. It is
kept short and obviously right; it is also what all other stores are compared
with. What is committed is never changed in place: a transaction copies a table
before its first write to it, and commit puts the new tables in the place of the
old. So a snapshot is a reference, and readers never wait.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any, ClassVar

from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Access,
    Capabilities,
    Catalog,
    ConflictError,
    Index,
    InterfaceError,
    Key,
    Matcher,
    NonrelQuery,
    OperationalError,
    Order,
    Precision,
    ProgrammingError,
    Row,
    Session,
    Store,
    Table,
    UniqueViolation,
    matcher,
    sort_key,
)

_MAX_INTEGER = 2**63 - 1
#: Numbers of catalogs: unique in the process, so that a clone's differ too.
_versions = itertools.count(1)


@dataclass(slots=True)
class _Rows:
    """What is stored of one table."""

    #: The transaction that may change this object; nobody once it committed.
    owner: object
    rows: dict[Key, Row] = field(default_factory=dict)
    #: By name of each unique index: primary keys by the index's values.
    unique: dict[str, dict[Key, Key]] = field(default_factory=dict)
    #: The largest number that auto_increment ever gave or saw.
    number: int = 0


@dataclass(frozen=True, slots=True)
class _State:
    """What is committed. Never changed, only replaced."""

    catalog: Catalog
    tables: dict[str, _Rows]


class MemoryStore(Store):
    """
    A database in this process's memory. One writer at a time, any readers.

    :param timeout: seconds that a writer waits for another one to end.
    """

    capabilities = Capabilities(
        filters=dict.fromkeys(COMPARISONS | PATTERNS, Precision.EXACT),
        negations=COMPARISONS | PATTERNS,
        order=Order.ANY,
        limit=True,
        count=True,
        locks=True,
    )
    _named: ClassVar[dict[str, MemoryStore]] = {}
    _named_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, timeout: float = 5.0) -> None:
        self.timeout = timeout
        self.committed = _State(Catalog(next(_versions), {}), {})
        #: Held by the one transaction that has the right to write.
        self.writing = threading.Lock()

    @classmethod
    def open(cls, name: str, timeout: float = 5.0) -> MemoryStore:
        """Return the store of this name; every caller gets the same one."""
        with cls._named_lock:
            return cls._named.setdefault(name, cls(timeout))

    @classmethod
    def drop(cls, name: str) -> None:
        """Forget the store of this name, if there is one."""
        with cls._named_lock:
            cls._named.pop(name, None)

    @classmethod
    def clone(cls, source: str, target: str) -> None:
        """Give the store ``target`` what is committed in ``source``."""
        cls.open(target).committed = cls.open(source).committed

    def session(self) -> MemorySession:
        return MemorySession(self)


class MemorySession(Session):
    """Transactions of one connection; savepoints are positions in an undo log."""

    store: MemoryStore

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self._snapshot: _State | None = None  # None: in no transaction
        self._catalog = store.committed.catalog
        self._tables: dict[str, _Rows] = {}
        self._undo: list[Callable[[], object]] = []
        self._transaction = object()  # the owner of what it copied or made
        self._writing = self._closed = False

    # Transactions

    def begin(self, *, write: bool) -> None:
        if self._closed or self._snapshot is not None:
            raise InterfaceError("the session is closed or in a transaction")
        if write:
            self._take_lock()
        self._snapshot, self._transaction = self.store.committed, object()
        self._catalog = self._snapshot.catalog
        # A reader never changes the dict, so it needs no copy.
        self._tables = dict(self._snapshot.tables) if write else self._snapshot.tables

    def upgrade(self) -> None:
        snapshot = self._require()
        if self._writing:
            return
        self._take_lock()
        if self.store.committed is not snapshot:
            self.rollback()
            raise ConflictError("another transaction committed since this one began")
        self._tables = dict(snapshot.tables)

    def commit(self) -> None:
        self._require()
        if self._undo:  # something changed
            self.store.committed = _State(self._catalog, self._tables)
        self.rollback()

    def rollback(self) -> None:
        self._snapshot, self._tables, self._undo = None, {}, []
        if self._writing:
            self._writing = False
            self.store.writing.release()

    def savepoint(self) -> Hashable:
        self._require()
        return len(self._undo)

    def rollback_to(self, mark: Hashable) -> None:
        self._require()
        assert isinstance(mark, int)
        while len(self._undo) > mark:
            self._undo.pop()()

    def close(self) -> None:
        self.rollback()
        self._closed = True

    def _require(self) -> _State:
        if self._snapshot is None:
            raise InterfaceError("not in a transaction")
        return self._snapshot

    def _require_writing(self) -> None:
        self._require()
        if not self._writing:
            raise InterfaceError("no right to write: begin(write=True) or upgrade()")

    def _take_lock(self) -> None:
        if not self.store.writing.acquire(timeout=self.store.timeout):
            raise OperationalError("database is locked")
        self._writing = True

    # Every change goes through these two, so that it can be undone.

    def _set(self, mapping: dict[Any, Any], key: Hashable, value: object) -> None:
        if key in mapping:
            self._undo.append(partial(mapping.__setitem__, key, mapping[key]))
        else:
            self._undo.append(partial(mapping.pop, key))
        mapping[key] = value

    def _pop(self, mapping: dict[Any, Any], key: Hashable) -> None:
        self._undo.append(partial(mapping.__setitem__, key, mapping.pop(key)))

    # Schema

    def catalog(self) -> Catalog:
        self._require()
        return self._catalog

    def create_table(self, table: Table) -> None:
        self._require_writing()
        self._set(self._tables, table.name, self._build(table, (), 0))
        self._define(table.name, table)

    def drop_table(self, name: str) -> None:
        self._require_writing()
        self.read(name)
        self._pop(self._tables, name)
        self._define(name, None)

    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        self._require_writing()
        data, old = self.read(name), self._catalog.tables[name]
        renames, fill = renames or {}, fill or {}
        moved = {new: before for before, new in renames.items()}
        # Where each column's value comes from: a position, or None if it is new.
        # After a renaming from a to b, a column named a is another one.
        sources = [
            (old.positions.get(moved.get(new, new)), fill.get(new))
            if new in moved or new not in renames
            else (None, fill.get(new))
            for new in table.positions
        ]
        rows = (
            tuple(value if at is None else row[at] for at, value in sources)
            for row in data.rows.values()
        )
        altered = self._build(table, rows, data.number)
        self._pop(self._tables, name)
        self._set(self._tables, table.name, altered)
        self._define(name, table)

    def create_index(self, table: str, index: Index) -> None:
        self._require_writing()
        data, old = self.read(table), self._catalog.tables[table]
        new = replace(old, indexes=(*old.indexes, index))
        built = self._build(new, data.rows.values(), data.number)
        self._set(self._tables, table, built)
        self._define(table, new)

    def drop_index(self, table: str, name: str) -> None:
        data, old = self._write(table), self._catalog.tables[table]
        if name in data.unique:
            self._pop(data.unique, name)
        kept = tuple(index for index in old.indexes if index.name != name)
        self._define(table, replace(old, indexes=kept))

    def _define(self, name: str, table: Table | None) -> None:
        """Replace the catalog by one that has this table in the place of ``name``."""
        self._undo.append(partial(setattr, self, "_catalog", self._catalog))
        tables = {n: t for n, t in self._catalog.tables.items() if n != name}
        if table is not None:
            tables[table.name] = table
        self._catalog = Catalog(next(_versions), tables)

    def _build(self, table: Table, rows: Iterable[Row], number: int) -> _Rows:
        """Make a new table of these rows, checking uniqueness."""
        unique: dict[str, dict[Key, Key]]
        unique = {index.name: {} for index in table.indexes if index.unique}
        data, mark = _Rows(self._transaction, {}, unique, number), len(self._undo)
        for row in rows:
            self._put(table, data, row)
        del self._undo[mark:]  # nobody saw it without these rows
        return data

    # Reading

    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> MemoryQuery:
        return MemoryQuery(self, table, columns, access)

    def estimated_rows(self, table: Table) -> int:
        return len(self.read(table.name).rows)

    def get(self, table: Table, key: Key) -> Row | None:
        return self.read(table.name).rows.get(tuple(key))

    def read(self, name: str) -> _Rows:
        """Return what this transaction sees of a table."""
        self._require()
        try:
            return self._tables[name]
        except KeyError:
            raise ProgrammingError(f"no such table: {name}") from None

    def changes(self, data: _Rows) -> bool:
        """Return whether this transaction may change ``data`` in place."""
        return data.owner is self._transaction

    # Writing

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        data, numbered, keys = self._write(table.name), table.auto_increment, []
        self._undo.append(partial(setattr, data, "number", data.number))
        for row in rows:
            if numbered is not None:
                number = row[numbered]
                if number is None:
                    number = data.number + 1
                    if number > _MAX_INTEGER:
                        raise OperationalError(f"{table.name} has no numbers left")
                    row = (*row[:numbered], number, *row[numbered + 1 :])
                data.number = max(data.number, number)
            keys.append(self._put(table, data, tuple(row)))
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        data = self._write(table.name)
        old = data.rows.get(tuple(key))
        if old is not None:
            self._put(table, data, tuple(row), old)

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        data, deleted = self._write(table.name), 0
        for key in keys:
            row = data.rows.get(tuple(key))
            if row is not None:
                self._pop(data.rows, tuple(key))
                for index, values in _unique_values(table, row):
                    self._pop(data.unique[index.name], values)
                deleted += 1
        return deleted

    def reset_sequence(self, table: Table, value: int = 0) -> None:
        data = self._write(table.name)
        self._undo.append(partial(setattr, data, "number", data.number))
        data.number = value

    def _write(self, name: str) -> _Rows:
        """Return a table to be changed: at the first time, a copy of it."""
        self._require_writing()
        data = self.read(name)
        if not self.changes(data):
            unique = {index: dict(keys) for index, keys in data.unique.items()}
            data = _Rows(self._transaction, dict(data.rows), unique, data.number)
            self._tables[name] = data
        return data

    def _put(self, table: Table, data: _Rows, row: Row, old: Row | None = None) -> Key:
        """Store a row, in the place of ``old`` if given; return its key."""
        key, old_key = table.key_of(row), old and table.key_of(old)
        if key != old_key and key in data.rows:
            raise UniqueViolation(table.name, table.primary_key)
        entries = list(_unique_values(table, row))
        for index, values in entries:
            if data.unique[index.name].get(values, old_key) != old_key:
                raise UniqueViolation(table.name, index.columns)
        if old is not None:
            if key != old_key:
                self._pop(data.rows, old_key)
            for index, values in _unique_values(table, old):
                self._pop(data.unique[index.name], values)
        self._set(data.rows, key, row)
        for index, values in entries:
            self._set(data.unique[index.name], values, key)
        return key


def _unique_values(table: Table, row: Row) -> Iterator[tuple[Index, Key]]:
    """Yield the row's entries in unique indexes. NULL is never equal: no entry."""
    for index in table.indexes:
        if index.unique:
            values = tuple(row[table.positions[name]] for name in index.columns)
            if None not in values:
                yield index, values


class MemoryQuery(NonrelQuery):
    """A scan of one table, or look-ups in it where the access says so."""

    session: MemorySession

    def __init__(
        self, session: Session, table: Table, columns: Sequence[str], access: Access
    ) -> None:
        super().__init__(session, table, columns, access)
        self._tests: list[tuple[int, Matcher]] = []
        self._choices: dict[str, list[Any]] = {}
        self._ordering: Sequence[tuple[str, bool]] = ()

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        test = matcher(lookup_type, value, negated)
        self._tests.append((self.table.positions[column], test))
        if lookup_type in {"exact", "in"} and not negated:
            self._choices[column] = [value] if lookup_type == "exact" else list(value)

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self._ordering = ordering

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        rows = self._matching()
        # Sorting is stable, so the innermost column is sorted by first.
        for column, descending in reversed(self._ordering):
            value = itemgetter(self.table.positions[column])
            rows = sorted(rows, key=lambda r: sort_key(value(r)), reverse=descending)
        at = [self.table.positions[name] for name in self.columns]
        return (tuple([r[i] for i in at]) for r in islice(rows, low_mark, high_mark))

    def count(self) -> int:
        return sum(1 for _ in self._matching())

    def _matching(self) -> Iterable[Row]:
        rows = self._candidates()
        for position, test in self._tests:
            rows = _where(rows, position, test)
        return rows

    def _candidates(self) -> Iterable[Row]:
        """Return the rows of the access's keys, or all: never too few."""
        data, name = self.session.read(self.table.name), self.access.index
        columns = {i.name: i.columns for i in self.table.indexes}.get(name, ())
        columns = columns if name else self.table.primary_key
        choices = [self._choices[name] for name in columns if name in self._choices]
        wanted = math.prod(map(len, choices))
        whole = bool(columns) and self.access.equalities == len(choices) == len(columns)
        if whole and wanted <= len(data.rows) and (not name or name in data.unique):
            keys: Iterable[Key] = dict.fromkeys(itertools.product(*choices))
            if name:
                entries = data.unique[name]
                keys = [entries[values] for values in keys if values in entries]
            return [data.rows[key] for key in keys if key in data.rows]
        # What this transaction may change under the iterator has to be copied.
        rows = data.rows.values()
        return list(rows) if self.session.changes(data) else rows


def _where(rows: Iterable[Row], position: int, test: Matcher) -> Iterator[Row]:
    return (row for row in rows if test(row[position]))
