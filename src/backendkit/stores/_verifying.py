"""A store that is watched: what it does against its contract is an error."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from ._access import Access, FilterShape
from ._capabilities import Precision
from ._errors import Error, InternalError, shown
from ._matching import matcher, sort_rows
from ._query import NonrelQuery
from ._schema import PYTHON_TYPES, Catalog, Column, Index, Table
from ._session import Key, Row, Session, Store


class VerifiedStore(Store):
    """
    Another store, whose answers are checked.

    For authors, by the option ``verify``: each query reads the whole table besides,
    and each row that is written is read again.

    :raises InternalError: from all methods of its sessions and queries: names store,
        method and table, and what is wrong.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        """Give what isn't of the contract."""
        return getattr(self.inner, name)

    @property
    def capabilities(self) -> Any:  # type: ignore[override]  # that of an instance
        """What the store says that it can do."""
        return self.inner.capabilities

    @property
    def driver_errors(self) -> Any:  # type: ignore[override]  # as above
        """Those of the store."""
        return self.inner.driver_errors

    def session(self) -> Session:
        """Return a session that is watched."""
        return _Session(self, self.inner.session())

    def reader(self) -> Session:
        """Return a session that is watched."""
        return _Session(self, self.inner.reader())

    def close(self) -> None:
        """Close the store."""
        self.inner.close()

    def version(self) -> tuple[int, ...]:
        """Return the version of the store."""
        return self.inner.version()


class _Watched:
    """Calls another object's methods, and says what they do wrong."""

    inner: Any

    def broken(self, method: str, what: str, table: Table | None = None) -> NoReturn:
        """
        Say what a method did.

        :raises InternalError: always.
        """
        of = "" if table is None else f" of table {shown(table.name)}"
        name = f"{type(self.inner).__module__}.{type(self.inner).__qualname__}"
        raise InternalError(f"{name}.{method}(){of} breaks the contract: {what}")

    @contextlib.contextmanager
    def asking(self, method: str, table: Table | None) -> Iterator[None]:
        """Let errors of the contract pass, and say of others what raised them."""
        try:
            yield
        except Error:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a store may raise
            what = f"it raised {type(error).__name__}: {shown(str(error))}"
            self.broken(method, f"{what}, no error of it", table)

    def ask(self, method: str, table: Table | None, *args: Any, **kwargs: Any) -> Any:
        """Call a method."""
        with self.asking(method, table):
            return getattr(self.inner, method)(*args, **kwargs)


class _Session(_Watched, Session):
    store: VerifiedStore

    def __init__(self, store: VerifiedStore, inner: Session) -> None:
        super().__init__(store)
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # Transactions

    def begin(self, *, write: bool) -> None:
        self.inner.alone = self.alone
        self.ask("begin", None, write=write)

    def upgrade(self) -> None:
        self.ask("upgrade", None)

    def commit(self) -> None:
        self.ask("commit", None)

    def rollback(self) -> None:
        self.ask("rollback", None)

    def savepoint(self) -> Hashable:
        mark: Hashable = self.ask("savepoint", None)
        return mark

    def rollback_to(self, mark: Hashable) -> None:
        self.ask("rollback_to", None, mark)

    def release(self, mark: Hashable) -> None:
        self.ask("release", None, mark)

    def lock(self) -> None:
        self.ask("lock", None)

    def close(self) -> None:
        self.ask("close", None)

    # Schema

    def catalog(self) -> Catalog:
        found = self.ask("catalog", None)
        if not isinstance(found, Catalog):
            self.broken("catalog", f"it returned {_kind(found)}, no Catalog")
        for name, table in found.tables.items():
            if table.name != name:
                self.broken("catalog", f"its table {shown(str(name))} has another name")
        return found

    def create_table(self, table: Table) -> None:
        self.ask("create_table", table, table)
        if self.catalog().tables.get(table.name) != table:
            self.broken("create_table", "the catalog doesn't have it then", table)

    def drop_table(self, name: str) -> None:
        table = self.catalog().tables.get(name)
        self.ask("drop_table", table, name)
        if name in self.catalog().tables:
            self.broken("drop_table", "the catalog still has it", table)

    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        self.ask("alter_table", table, name, table, renames, fill)
        if self.catalog().tables.get(table.name) != table:
            self.broken("alter_table", "the catalog has another definition", table)

    def create_index(self, table: str, index: Index) -> None:
        self.ask("create_index", self.catalog().tables.get(table), table, index)

    def drop_index(self, table: str, name: str) -> None:
        self.ask("drop_index", self.catalog().tables.get(table), table, name)

    # Reading

    def query(self, table: Table, columns: Sequence[str], access: Access) -> _Query:
        return _Query(self, "query", table, columns, access)

    def query_for_update(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> _Query:
        return _Query(self, "query_for_update", table, columns, access)

    def estimated_rows(self, table: Table) -> int:
        number = self.ask("estimated_rows", table, table)
        if type(number) is not int or number < 0:
            what = f"it returned {_kind(number)}, no number of rows"
            self.broken("estimated_rows", what, table)
        return number

    def access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        found = self.ask("access", table, table, filters, ordering, few=few)
        if not isinstance(found, Access):
            self.broken("access", f"it returned {_kind(found)}, no Access", table)
        return found

    def get(self, table: Table, key: Key) -> Row | None:
        row = self.ask("get", table, table, key)
        if row is None:
            return None
        row = check_row(self, "get", table, row)
        if table.key_of(row) != tuple(key):
            self.broken("get", "it returned the row of another primary key", table)
        return row

    # Writing

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        keys = self.ask("insert", table, table, rows)
        if type(keys) is not list or len(keys) != len(rows):
            what = f"it returned {_kind(keys)}, not a list of {len(rows)} primary keys"
            self.broken("insert", what, table)
        at = table.auto_increment
        for key, row in zip(keys, rows, strict=True):
            if type(key) is not tuple or len(key) != len(table.primary_key):
                self.broken("insert", f"it returned {_kind(key)} for a key", table)
            found = self.get(table, key)
            if found is None:
                self.broken("insert", "a row isn't there then", table)
            if any(
                value != found[place]
                for place, value in enumerate(row)
                if place != at or value is not None
            ):
                self.broken("insert", "a row isn't as it was given", table)
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        before = self.get(table, key)
        self.ask("update", table, table, key, row)
        wanted = None if before is None else tuple(row)
        if self.get(table, table.key_of(row)) != wanted and (
            before is not None or table.key_of(row) == tuple(key)
        ):
            self.broken("update", "the row isn't as it was given", table)

    def set_columns(
        self, table: Table, names: Sequence[str], changes: Mapping[Key, Sequence[Any]]
    ) -> None:
        there = [key for key in changes if self.get(table, key) is not None]
        self.ask("set_columns", table, table, names, changes)
        for key in there:
            row = self.get(table, key)
            if row is None or any(
                row[table.positions[name]] != value
                for name, value in zip(names, changes[key], strict=True)
            ):
                self.broken("set_columns", "a row isn't as it was given", table)

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        unique = set(map(tuple, keys))
        there = sum(self.get(table, key) is not None for key in unique)
        number: int = self.ask("delete", table, table, keys)
        if type(number) is not int or number != there:
            what = f"it returned {number!r}, and there were {there} rows"
            self.broken("delete", what, table)
        if any(self.get(table, key) is not None for key in unique):
            self.broken("delete", "a row is still there", table)
        return number

    def reset_sequence(self, table: Table, value: int = 0) -> None:
        self.ask("reset_sequence", table, table, value)


class _Query(_Watched, NonrelQuery):
    """
    A query that is compared with what Python makes of the whole table.

    It asks for all columns, so that all filters can be tried.
    """

    session: _Session

    def __init__(
        self,
        session: _Session,
        method: str,
        table: Table,
        columns: Sequence[str],
        access: Access,
    ) -> None:
        super().__init__(session, table, columns, access)
        everything = [*table.positions]
        self.inner = session.ask(method, table, table, everything, access)
        if not isinstance(self.inner, NonrelQuery):
            what = f"it returned {_kind(self.inner)}, no NonrelQuery"
            session.broken(method, what, table)
        self._filters: list[tuple[str, str, bool, Any]] = []
        self._ordering: Sequence[tuple[str, bool]] = ()

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        if lookup_type == "in":
            value = list(value)
        self._filters.append((column, lookup_type, negated, value))
        arguments = column, lookup_type, negated, db_type, value
        self.ask("add_filter", self.table, *arguments)

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self._ordering = ordering
        self.ask("order_by", self.table, ordering)

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        self.inner.looked_at, self.inner.at_once = self.looked_at, self.at_once
        found = self._rows(self, low_mark, high_mark)
        self._compare(found, low_mark, high_mark)
        at = [self.table.positions[name] for name in self.columns]
        return iter([tuple([row[place] for place in at]) for row in found])

    def count(self) -> int:
        number: int = self.ask("count", self.table)
        if type(number) is not int:
            self.broken("count", f"it returned {_kind(number)}", self.table)
        if self._exact():
            there = len(self._expected())
            if number != there:
                what = f"it returned {number}, and {there} rows match"
                self.broken("count", what, self.table)
        return number

    def update(self, changes: Mapping[str, Any]) -> int:
        number: int = self.ask("update", self.table, changes)
        if type(number) is not int:
            self.broken("update", f"it returned {_kind(number)}", self.table)
        return number

    def _rows(self, query: _Watched, low: int, high: int | None) -> list[Row]:
        """Return the rows that a query gives, each checked."""
        rows = query.ask("fetch", self.table, low, high)
        if not isinstance(rows, Iterator):
            query.broken("fetch", f"it returned {_kind(rows)}, no iterator", self.table)
        with query.asking("fetch", self.table):
            return [check_row(query, "fetch", self.table, row) for row in rows]

    def _exact(self) -> bool:
        precision = self.session.store.capabilities.precision
        return all(
            precision(self.table.column(column).type, lookup, negated)
            is Precision.EXACT
            for column, lookup, negated, _ in self._filters
        )

    def _expected(self) -> list[Row]:
        """Return the rows of the whole table that match."""
        names = [*self.table.positions]
        scan = _Query(self.session, "query", self.table, names, Access())
        rows = self._rows(scan, 0, None)
        for column, lookup, negated, value in self._filters:
            at, test = self.table.positions[column], matcher(lookup, value, negated)
            rows = [row for row in rows if test(row[at])]
        return rows

    def _compare(self, found: list[Row], low: int, high: int | None) -> None:
        table = self.table
        expected = self._expected()
        keys, wanted = [*map(table.key_of, found)], {*map(table.key_of, expected)}
        if len({*keys}) != len(keys):
            self.broken("fetch", "a row comes twice", table)
        said = ", ".join(
            f"{column} {'not ' if negated else ''}{lookup}"
            for column, lookup, negated, _ in self._filters
        )
        if self._exact():
            if not wanted.issuperset(keys):
                what = f"a row doesn't match, and the filters ({said}) are EXACT"
                self.broken("fetch", what, table)
            number = len(expected[low:high])
            if len(keys) != number:
                what = f"it gave {len(keys)} rows, not {number} ({said or 'no filter'})"
                self.broken("fetch", what, table)
        elif not wanted.issubset(keys):
            self.broken("fetch", f"a row that matches is missing ({said})", table)
        if self._ordering and self.access.ordered:
            places = [(table.positions[name], down) for name, down in self._ordering]
            ordered = sort_rows(expected, table, self._ordering)
            if self._exact() and [
                [row[place] for place, _ in places] for row in [*ordered][low:high]
            ] != [[row[place] for place, _ in places] for row in found]:
                said = ", ".join(
                    f"{name}{' descending' if down else ''}"
                    for name, down in self._ordering
                )
                self.broken("fetch", f"the rows aren't ordered by {said}", table)


def check_row(watched: _Watched, method: str, table: Table, row: Any) -> Row:
    """Return a whole row that is as the table says."""
    if type(row) is not tuple:
        watched.broken(method, f"a row is {_kind(row)}, not a tuple", table)
    if len(row) != len(table.columns):
        what = (
            f"a row has {len(row)} values, and there are {len(table.columns)} columns"
        )
        watched.broken(method, what, table)
    for column, value in zip(table.columns, row, strict=True):
        wrong = wrong_value(column, value)
        if wrong:
            watched.broken(method, f"column {shown(column.name)}: {wrong}", table)
    return row


def wrong_value(column: Column, value: Any) -> str:
    """Return what is wrong with a value of a column; empty if nothing is."""
    if value is None:
        return "" if column.nullable else "None, and it isn't nullable"
    if type(value) is not PYTHON_TYPES[column.type]:
        return f"{_kind(value)}, and its type is {column.type}"
    if isinstance(value, float) and value != value:  # noqa: PLR0124  # NaN alone is so
        return "NaN, which no column holds"
    return ""


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__qualname__}"
