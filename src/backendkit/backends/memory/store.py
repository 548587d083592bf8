"""
The reference store: the contract of :mod:`backendkit.stores` over Python dicts.

Read it to learn what a store has to do, copy it to write one. It is short and
obviously right, and all other stores are compared with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from backendkit import stores
from backendkit.stores import Access, Catalog, Key, Row, Table, matcher, sort_rows

#: What is in a database. For a table and a unique index, by name ("" is the primary
#: key), a dict of rows by their values in the index. For ("", "numbers"), the largest
#: auto_increment number by table; for ("", "schema"), the catalog.
State = dict[tuple[str, str], dict[Any, Any]]


class MemoryStore(stores.Store):
    """
    A database in this process's memory. One writer at a time, any readers.

    :param timeout: seconds that a writer waits for another one to end.
    """

    _lookups = stores.COMPARISONS | stores.PATTERNS
    capabilities = stores.Capabilities(
        filters=dict.fromkeys(_lookups, stores.Precision.EXACT),
        negations=_lookups,
        order=stores.Order.ANY,
        limit=True,
        count=True,
        locks=True,
    )
    _named: ClassVar[dict[str, MemoryStore]] = {}

    def __init__(self, timeout: float = 5.0) -> None:
        self.writer = stores.WriterLock(timeout)
        #: Never changed in place, only replaced: so readers need no lock.
        self.committed: State = {("", "schema"): {"catalog": Catalog(object(), {})}}

    @classmethod
    def open(cls, name: str, timeout: float = 5.0) -> MemoryStore:
        """Return the store of this name: the same one to every caller."""
        return cls._named.setdefault(name, cls(timeout))

    @classmethod
    def exists(cls, name: str) -> bool:
        return name in cls._named

    @classmethod
    def drop(cls, name: str) -> None:
        cls._named.pop(name, None)

    @classmethod
    def clone(cls, source: str, target: str) -> None:
        """Give the store ``target`` what is committed in ``source``."""
        cls.open(target).committed = cls.open(source).committed

    def session(self) -> MemorySession:
        return MemorySession(self)


class MemorySession(stores.Session):
    """
    Transactions of one connection.

    ``_set`` makes all changes; a savepoint is how many were made before.
    """

    store: MemoryStore
    _began: State  # what was committed when the transaction began
    _state: State | None = None  # what it sees now; None outside of transactions
    _undo: list[tuple[tuple[str, str], Any, Any]]  # arguments of _set to go back by

    # Transactions

    def begin(self, *, write: bool) -> None:
        if self._closed or self._state is not None:
            raise stores.InterfaceError(
                "the session is closed, or already in a transaction"
            )
        if write:
            self.store.writer.acquire(self)
        self._began = self.store.committed
        self._state, self._undo = dict(self._began), []

    def upgrade(self) -> None:
        self._require()
        self.store.writer.acquire(self)
        if self.store.committed is not self._began:
            self.rollback()
            raise stores.ConflictError("another transaction has committed meanwhile")

    def commit(self) -> None:
        state = self._require()
        if self._undo:  # something changed
            self.store.committed = state
        self.rollback()

    def rollback(self) -> None:
        self._state, self._began, self._undo = None, {}, []
        self.store.writer.release(self)

    def savepoint(self) -> Hashable:
        self._require()
        return len(self._undo)

    def rollback_to(self, mark: Any) -> None:
        self._require()
        for change in reversed(self._undo[mark:]):
            self._set(*change)
        del self._undo[mark:]

    def _require(self, *, write: bool = False) -> State:
        if self._state is None or (write and self.store.writer.owner is not self):
            raise stores.InterfaceError(
                "the session has no transaction, or only one for reading"
            )
        return self._state

    def _set(self, name: tuple[str, str], key: Any, value: Any) -> None:
        """Change one of the dicts, so that it can be undone. None removes the key."""
        state = self._require(write=True)
        if state.get(name) is self._began.get(name):  # others may see it: copy it
            state[name] = dict(state.get(name, {}))
        self._undo.append((name, key, state[name].pop(key, None)))
        if value is not None:
            state[name][key] = value

    # Schema

    def catalog(self) -> Catalog:
        return self.read("", "schema")["catalog"]

    def create_table(self, table: Table) -> None:
        tables = {**self.catalog().tables, table.name: table}
        self._set(("", "schema"), "catalog", Catalog(object(), tables))

    def drop_table(self, name: str) -> None:
        tables = dict(self.catalog().tables)
        self.delete(tables[name], list(self.read(name)))
        self.reset_sequence(tables.pop(name))
        self._set(("", "schema"), "catalog", Catalog(object(), tables))

    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        old, renames, fill = self.catalog().tables[name], renames or {}, fill or {}
        names = [renames.get(column, column) for column in old.positions]
        rows = [dict(zip(names, row, strict=True)) for row in self.read(name).values()]
        number = self.read("", "numbers").get(name, 0)
        self.drop_table(name)
        self.create_table(table)
        self.reset_sequence(table, number)
        for row in rows:
            self.insert(table, [tuple(map({**fill, **row}.get, table.positions))])

    # Reading

    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> MemoryQuery:
        return MemoryQuery(self, table, columns, access)

    def estimated_rows(self, table: Table) -> int:
        return len(self.read(table.name))

    def get(self, table: Table, key: Key) -> Row | None:
        return self.read(table.name).get(tuple(key))

    def read(self, name: str, index: str = "") -> dict[Any, Any]:
        """Return one of the dicts as this transaction sees it."""
        return self._require().get((name, index), {})

    # Writing

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        keys, number = [], self.read("", "numbers").get(table.name, 0)
        for given in rows:
            row, number = table.numbered(given, number)
            for index, values in table.unique_values(row):
                if values in self.read(table.name, index):
                    raise stores.UniqueViolation(table.name, table.unique[index])
                self._set((table.name, index), values, row)
            keys.append(table.key_of(row))
        self.reset_sequence(table, number)
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        if self.delete(table, [key]):
            self.insert(table, [row])

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        self._require(write=True)
        found = {row for key in keys if (row := self.get(table, key))}
        for row in found:
            for index, values in table.unique_values(row):
                self._set((table.name, index), values, None)
        return len(found)

    def reset_sequence(self, table: Table, value: int = 0) -> None:
        self._set(("", "numbers"), table.name, value)


class MemoryQuery(stores.NonrelQuery):
    """A scan of one table, or look-ups in it where the access says so."""

    session: MemorySession
    _tests: tuple[Callable[[Row], bool], ...] = ()
    _choices: Mapping[str, Sequence[Any]] = {}  # values of a column, if limited
    _ordering: Sequence[tuple[str, bool]] = ()

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        at, matches = self.table.positions[column], matcher(lookup_type, value, negated)
        self._tests = (*self._tests, lambda row: matches(row[at]))
        if lookup_type in {"exact", "in"} and not negated:
            choices = [value] if lookup_type == "exact" else value
            self._choices = {**self._choices, column: choices}

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self._ordering = ordering

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        rows: Iterable[Row] = self._candidates()
        if self.looked_at is not None:
            rows = self.looked_at(rows)
        for test in self._tests:
            rows = filter(test, rows)
        rows = sort_rows(rows, self.table, self._ordering)
        wanted = [self.table.positions[name] for name in self.columns]
        page = itertools.islice(rows, low_mark, high_mark)
        return (tuple([row[at] for at in wanted]) for row in page)

    def _candidates(self) -> list[Row]:
        """Return the rows looked for, or all, by primary key: never too few."""
        columns = self.table.unique[self.access.index]
        choices = [self._choices.get(column, ()) for column in columns]
        rows = self.session.read(self.table.name, self.access.index)
        if self.access.equalities and 0 < math.prod(map(len, choices)) <= len(rows):
            keys = sorted(rows.keys() & {*itertools.product(*choices)})
            return [rows[key] for key in keys]
        rows = self.session.read(self.table.name)
        return [rows[key] for key in sorted(rows)]
