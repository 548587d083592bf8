"""
The reference store: the contract of :mod:`backendkit.stores` over Python dicts.

Read it to learn what a store has to do, copy it to write one. It is short and
obviously right, and all other stores are compared with it. What is committed is
never changed in place: a transaction copies a table before its first write to it,
and commit swaps the tables. So a snapshot is a reference, and readers never wait.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, ClassVar, cast

from backendkit import stores
from backendkit.stores import Access, Catalog, Index, Key, Row, Table, matcher, sort_key

#: Versions of catalogs: unique in the process, so that clones' differ too.
_versions = itertools.count(1)


@dataclass
class _Rows:
    """The rows of one table."""

    #: The transaction that may change this object; nobody's once it has ended.
    owner: object
    #: The largest number that auto_increment ever gave or saw.
    number: int
    #: Rows by their values, for each unique index by name; "" is the primary key.
    by: dict[str, dict[Key, Row]]


@dataclass(frozen=True)
class _State:
    """What is committed. Never changed, only replaced."""

    catalog: Catalog
    tables: dict[str, _Rows]


class MemoryStore(stores.Store):
    """
    A database in this process's memory. One writer at a time, any readers.

    :param timeout: seconds that a writer waits for another one to end.
    """

    capabilities = stores.Capabilities(
        filters=dict.fromkeys(
            stores.COMPARISONS | stores.PATTERNS, stores.Precision.EXACT
        ),
        negations=stores.COMPARISONS | stores.PATTERNS,
        order=stores.Order.ANY,
        limit=True,
        count=True,
        locks=True,
    )
    _named: ClassVar[dict[str, MemoryStore]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, timeout: float = 5.0) -> None:
        self.timeout = timeout
        self.committed = _State(Catalog(next(_versions), {}), {})
        self.writing = threading.Lock()

    @classmethod
    def open(cls, name: str, timeout: float = 5.0) -> MemoryStore:
        """Return the store of this name: the same one to every caller."""
        with cls._opening:
            return cls._named.setdefault(name, cls(timeout))

    @classmethod
    def exists(cls, name: str) -> bool:
        """Whether there is a store of this name."""
        return name in cls._named

    @classmethod
    def drop(cls, name: str) -> None:
        """Forget the store of this name, if there is one."""
        cls._named.pop(name, None)

    @classmethod
    def clone(cls, source: str, target: str) -> None:
        """Give the store ``target`` what is committed in ``source``."""
        cls.open(target).committed = cls.open(source).committed

    def session(self) -> MemorySession:
        return MemorySession(self)


class MemorySession(stores.Session):
    """Transactions of one connection. A savepoint is a position in the undo log."""

    store: MemoryStore
    _catalog: Catalog
    _tables: dict[str, _Rows]
    #: Dicts that were changed, with key and former value (None: there was none).
    _undo: list[tuple[dict[Any, Any], Hashable, object]]

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self._snapshot: _State | None = None  # None outside of transactions
        self._writing = self._closed = False

    # Transactions

    def begin(self, *, write: bool) -> None:
        if self._closed or self._snapshot is not None:
            raise stores.InterfaceError("the session is closed or in a transaction")
        if write:
            self._take_lock()
        state = self._snapshot = self.store.committed
        self._catalog, self._tables = state.catalog, dict(state.tables)
        self._undo = []
        self._transaction = object()

    def upgrade(self) -> None:
        self._require()
        if self._writing:
            return
        self._take_lock()
        if self.store.committed is not self._snapshot:
            self.rollback()
            raise stores.ConflictError("another transaction committed meanwhile")

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
        while len(self._undo) > cast("int", mark):
            mapping, key, value = self._undo.pop()
            _assign(mapping, key, value)

    def close(self) -> None:
        self.rollback()
        self._closed = True

    def _take_lock(self) -> None:
        if not self.store.writing.acquire(timeout=self.store.timeout):
            raise stores.OperationalError("database is locked")
        self._writing = True

    def _require(self, *, write: bool = False) -> None:
        if self._snapshot is None or (write and not self._writing):
            raise stores.InterfaceError("begin a transaction first, or upgrade it")

    def _set(self, mapping: dict[Any, Any], key: Hashable, value: object) -> None:
        """Change a dict so that it can be undone. None removes the key."""
        self._undo.append((mapping, key, mapping.get(key)))
        _assign(mapping, key, value)

    # Schema

    def catalog(self) -> Catalog:
        self._require()
        return self._catalog

    def create_table(self, table: Table) -> None:
        self._define(table.name, table)

    def drop_table(self, name: str) -> None:
        self._define(name, None)

    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        data, renames, fill = self.read(name), renames or {}, fill or {}
        names = [renames.get(old, old) for old in self._catalog.tables[name].positions]
        values = (
            {**fill, **dict(zip(names, row, strict=True))}
            for row in data.by[""].values()
        )
        rows = (tuple(map(by_name.get, table.positions)) for by_name in values)
        self._define(name, table, rows, data.number)

    def create_index(self, table: str, index: Index) -> None:
        old = self._catalog.tables[table]
        self.alter_table(table, replace(old, indexes=(*old.indexes, index)))

    def drop_index(self, table: str, name: str) -> None:
        old = self._catalog.tables[table]
        indexes = tuple(index for index in old.indexes if index.name != name)
        self.alter_table(table, replace(old, indexes=indexes))

    def _define(
        self, name: str, table: Table | None, rows: Iterable[Row] = (), number: int = 0
    ) -> None:
        """Replace the table of this name, if any, by another one, if any."""
        self._require(write=True)
        tables = {n: t for n, t in self._catalog.tables.items() if n != name}
        data = None
        if table is not None:
            tables[table.name] = table
            by: dict[str, dict[Key, Row]] = {index: {} for index, _ in _unique(table)}
            data = _Rows(self._transaction, number, by)
            for row in rows:
                self._put(table, data, row)
        self._set(self._tables, name, None)
        self._set(self._tables, table.name if table else name, data)
        self._set(vars(self), "_catalog", Catalog(next(_versions), tables))

    # Reading

    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> MemoryQuery:
        return MemoryQuery(self, table, columns, access)

    def estimated_rows(self, table: Table) -> int:
        return len(self.read(table.name).by[""])

    def get(self, table: Table, key: Key) -> Row | None:
        return self.read(table.name).by[""].get(tuple(key))

    def read(self, name: str) -> _Rows:
        """Return a table as this transaction sees it."""
        self._require()
        if name not in self._tables:
            raise stores.ProgrammingError(f"no such table: {name}")
        return self._tables[name]

    # Writing

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        data, numbered = self._write(table), table.auto_increment
        if numbered is None:
            return [self._put(table, data, tuple(row)) for row in rows]
        keys = []
        self._set(vars(data), "number", data.number)  # undone with the rows
        for row in rows:
            number = data.number + 1 if row[numbered] is None else row[numbered]
            if number >= 2**63:
                raise stores.OperationalError(f"{table.name} has no numbers left")
            data.number = max(data.number, number)
            whole = (*row[:numbered], number, *row[numbered + 1 :])
            keys.append(self._put(table, data, whole))
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        data = self._write(table)
        if old := data.by[""].get(tuple(key)):
            self._put(table, data, tuple(row), old)
            if table.auto_increment is not None:
                number = row[table.auto_increment] or 0
                self._set(vars(data), "number", max(data.number, number))

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        data, deleted = self._write(table), 0
        for key in keys:
            if row := data.by[""].get(tuple(key)):
                deleted += 1
                for index, _, values in _entries(table, row):
                    self._set(data.by[index], values, None)
        return deleted

    def reset_sequence(self, table: Table, value: int = 0) -> None:
        self._set(vars(self._write(table)), "number", value)

    def _write(self, table: Table) -> _Rows:
        """Return a table's rows to be changed: at the first time, a copy of them."""
        self._require(write=True)
        data = self.read(table.name)
        if data.owner is not self._transaction:
            by = {name: dict(rows) for name, rows in data.by.items()}
            data = _Rows(self._transaction, data.number, by)
            self._tables[table.name] = data
        return data

    def _put(self, table: Table, data: _Rows, row: Row, old: Row | None = None) -> Key:
        """Store a row, in the place of ``old`` if given, and return its key."""
        entries = _entries(table, row)
        for index, columns, values in entries:
            if data.by[index].get(values, old) is not old:
                raise stores.UniqueViolation(table.name, columns)
        for entry in _entries(table, old) if old else ():
            if entry not in entries:
                self._set(data.by[entry[0]], entry[2], None)
        for index, _, values in entries:
            self._set(data.by[index], values, row)
        return table.key_of(row)


class MemoryQuery(stores.NonrelQuery):
    """A scan of one table, or look-ups in it where the access says so."""

    session: MemorySession

    def __init__(
        self,
        session: MemorySession,
        table: Table,
        columns: Sequence[str],
        access: Access,
    ) -> None:
        super().__init__(session, table, columns, access)
        self._tests: list[Callable[[Row], bool]] = []
        self._choices: dict[str, list[Any]] = {}  # values of a column, if limited
        self._ordering: Sequence[tuple[str, bool]] = ()

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        at, matches = self.table.positions[column], matcher(lookup_type, value, negated)
        self._tests.append(lambda row: matches(row[at]))
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
        wanted = [self.table.positions[name] for name in self.columns]
        page = itertools.islice(rows, low_mark, high_mark)
        return (tuple([row[at] for at in wanted]) for row in page)

    def count(self) -> int:
        return sum(1 for _ in self._matching())

    def _matching(self) -> Iterable[Row]:
        rows = self._candidates()
        for test in self._tests:
            rows = filter(test, rows)
        return rows

    def _candidates(self) -> Iterable[Row]:
        """Return the rows of the values looked for, or all: never too few."""
        data = self.session.read(self.table.name)
        columns = dict(_unique(self.table)).get(self.access.index, ())
        choices = [self._choices[name] for name in columns if name in self._choices]
        whole = columns and self.access.equalities == len(columns) == len(choices)
        if whole and math.prod(map(len, choices)) <= len(data.by[""]):
            entries = data.by[self.access.index]
            keys = dict.fromkeys(itertools.product(*choices))  # each once
            return [entries[key] for key in keys if key in entries]
        # In order of the primary key, as most stores do; and a copy, because this
        # transaction may change them meanwhile.
        rows = data.by[""]
        return [rows[key] for key in sorted(rows)]


def _unique(table: Table) -> list[tuple[str, tuple[str, ...]]]:
    """Return names and columns of the unique indexes; "" is the primary key."""
    unique = ((index.name, index.columns) for index in table.indexes if index.unique)
    return [("", table.primary_key), *unique]


def _entries(table: Table, row: Row) -> list[tuple[str, tuple[str, ...], Key]]:
    """Return a row's entries: index, columns, values. NULL equals nothing: none."""
    at = table.positions
    found = ((n, c, tuple([row[at[name]] for name in c])) for n, c in _unique(table))
    return [entry for entry in found if not entry[0] or None not in entry[2]]


def _assign(mapping: dict[Any, Any], key: Hashable, value: object) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
