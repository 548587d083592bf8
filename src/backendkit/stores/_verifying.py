"""A store that is watched: what it does against its contract is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ._access import Access
from ._capabilities import Precision
from ._errors import shown
from ._guarding import GuardedQuery, GuardedSession, GuardedStore, check_row
from ._matching import matcher, sort_rows
from ._schema import Catalog, Table
from ._session import Key, Row, Session


class VerifiedStore(GuardedStore):
    """
    Another store, whose answers are checked.

    For authors, by the option ``verify``: each query reads the whole table besides,
    and each row that is written is read again.

    :raises InternalError: from all methods of its sessions and queries: names store,
        method and table, and what is wrong.
    """

    def session(self) -> Session:
        """Return a session that is watched."""
        return _Session(self, self._opened("session"))

    def reader(self) -> Session:
        """Return a session that is watched."""
        return _Session(self, self._opened("reader"))


class _Session(GuardedSession):
    # Schema

    def catalog(self) -> Catalog:
        found = super().catalog()
        for name, table in found.tables.items():
            if table.name != name:
                self.broken("catalog", f"its table {shown(str(name))} has another name")
        return found

    def create_table(self, table: Table) -> None:
        self.ask("create_table", table, table)
        if self.catalog().tables.get(table.name) != table:
            self.broken("create_table", "the catalog doesn't have it afterwards", table)

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

    # Reading

    def query(self, table: Table, columns: Sequence[str], access: Access) -> _Query:
        return _Query(self, "query", table, columns, access)

    def query_for_update(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> _Query:
        return _Query(self, "query_for_update", table, columns, access)

    def get(self, table: Table, key: Key) -> Row | None:
        row = super().get(table, key)
        if row is not None and table.key_of(row) != tuple(key):
            self.broken("get", "it returned the row of another primary key", table)
        return row

    # Writing

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        keys = super().insert(table, rows)
        at = table.auto_increment
        for key, row in zip(keys, rows, strict=True):
            found = self.get(table, key)
            if found is None:
                self.broken("insert", "a row is missing afterwards", table)
            if any(
                value != found[place]
                for place, value in enumerate(row)
                if place != at or value is not None
            ):
                self.broken("insert", "a row has other values than it was given", table)
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        before = self.get(table, key)
        self.ask("update", table, table, key, row)
        wanted = None if before is None else tuple(row)
        if self.get(table, table.key_of(row)) != wanted and (
            before is not None or table.key_of(row) == tuple(key)
        ):
            self.broken("update", "the row has other values than it was given", table)

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
                self.broken(
                    "set_columns", "a row has other values than it was given", table
                )

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        unique = set(map(tuple, keys))
        there = sum(self.get(table, key) is not None for key in unique)
        number = super().delete(table, keys)
        if number != there:
            what = f"it returned {number!r}, but there were {there} rows"
            self.broken("delete", what, table)
        if any(self.get(table, key) is not None for key in unique):
            self.broken("delete", "a row still exists afterwards", table)
        return number


class _Query(GuardedQuery):
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
        super().__init__(session, method, table, [*table.positions], access)
        self.columns = tuple(columns)
        self._filters: list[tuple[str, str, bool, Any]] = []
        self._ordering: Sequence[tuple[str, bool]] = ()

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        if lookup_type == "in":
            value = list(value)
        self._filters.append((column, lookup_type, negated, value))
        super().add_filter(column, lookup_type, negated, db_type, value)

    def add_filters(self, filters: Iterable[tuple[str, str, bool, str, Any]]) -> None:
        for one in filters:
            self.add_filter(*one)

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self._ordering = ordering
        super().order_by(ordering)

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        found = self._checked(super().fetch(low_mark, high_mark))
        self._compare(found, low_mark, high_mark)
        at = [self.table.positions[name] for name in self.columns]
        return iter([tuple([row[place] for place in at]) for row in found])

    def count(self) -> int:
        number = super().count()
        if self._exact():
            there = len(self._expected())
            if number != there:
                what = f"it returned {number}, but {there} rows match"
                self.broken("count", what, self.table)
        return number

    def _checked(self, rows: Iterator[Row]) -> list[Row]:
        """Return rows, each of which is as the table says."""
        return [check_row(self, "fetch", self.table, row) for row in rows]

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
        scan = GuardedQuery(self.session, "query", self.table, names, Access())
        rows = self._checked(scan.fetch())
        for column, lookup, negated, value in self._filters:
            at, test = self.table.positions[column], matcher(lookup, value, negated)
            rows = [row for row in rows if test(row[at])]
        return rows

    def _compare(self, found: list[Row], low: int, high: int | None) -> None:
        table = self.table
        expected = self._expected()
        keys, wanted = [*map(table.key_of, found)], {*map(table.key_of, expected)}
        if len({*keys}) != len(keys):
            self.broken("fetch", "it yielded a row twice", table)
        said = ", ".join(
            f"{column} {'not ' if negated else ''}{lookup}"
            for column, lookup, negated, _ in self._filters
        )
        rows = dict(zip(map(table.key_of, expected), expected, strict=True))
        if any(rows.get(key, row) != row for key, row in zip(keys, found, strict=True)):
            what = "a row has other values than in a scan of the table"
            self.broken("fetch", what, table)
        if self._exact():
            if not wanted.issuperset(keys):
                what = f"a row doesn't match, although the filters ({said}) are EXACT"
                self.broken("fetch", what, table)
            number = len(expected[low:high])
            if len(keys) != number:
                what = (
                    f"it yielded {len(keys)} rows, not {number} ({said or 'no filter'})"
                )
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
