"""Which tables there are: rows of one more table, ``backendkit_tables``."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from backendkit.stores import (
    Catalog,
    Column,
    Key,
    Row,
    Table,
    TableChange,
    ValueType,
)

if TYPE_CHECKING:
    from .store import Backend

#: Rows "table:NAME" have a definition, "number:NAME" the last number of a table, and
#: "version" a text that changes with any table.
TABLES = Table(
    "backendkit_tables",
    (
        Column("name", ValueType.STRING, nullable=False, declared="varchar(255)"),
        Column("definition", ValueType.STRING, declared="text"),
        Column("number", ValueType.INTEGER, declared="bigint"),
    ),
    ("name",),
)
_TABLE = "table:"
_NUMBER = "number:"


class Tables:
    """The tables of a database, and changes of them."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._known = Catalog("", {})

    # Definitions

    def catalog(self) -> Catalog:
        """Return the tables: read again if their version has changed."""
        row = self._row("version")
        version = "" if row is None else row[1]
        if version != self._known.version:
            rows = self.backend.read(TABLES)
            tables = [
                Table.from_json(definition)
                for name, definition, _ in rows
                if name.startswith(_TABLE)
            ]
            self._known = Catalog(version, {table.name: table for table in tables})
        return self._known

    def number(self, table: str) -> int:
        """Return the largest number that a row of a table was given."""
        row = self._row(_NUMBER + table)
        return 0 if row is None else row[2]

    def set_number(self, table: str, number: int) -> None:
        """Note the largest number that a row of a table was given."""
        self.backend.insert(TABLES, (_NUMBER + table, None, number))

    def _row(self, name: str) -> Row | None:
        rows = self.backend.read(TABLES, [("name", "exact", False, name)])
        return next((row for row in rows if row[0] == name), None)

    def _define(self, changes: Sequence[TableChange]) -> None:
        """Note definitions: those that are gone, then the others."""
        numbers = {}
        for change in changes:
            if change.before is not None and change.redefined:
                name = change.before.name
                numbers[name] = self.number(name)
                self.backend.delete(TABLES, (_TABLE + name,))
                self.backend.delete(TABLES, (_NUMBER + name,))
        for change in changes:
            if change.after is not None and change.redefined:
                name, definition = change.after.name, change.after.to_json()
                self.backend.insert(TABLES, (_TABLE + name, definition, None))
                if change.before is not None:
                    self.set_number(name, numbers[change.before.name])
        self.backend.insert(TABLES, ("version", uuid.uuid4().hex, None))

    # Changes

    def apply(self, changes: Sequence[TableChange]) -> None:
        """Make changes, one row after the other."""
        redefined = [change for change in changes if change.redefined]
        if redefined:
            self._redefine(redefined)
        for change in changes:
            if change.after is None:
                continue
            if not change.redefined:
                self._change_rows(change)
            if change.number is not None:
                name, number = change.after.name, change.number
                last = number if change.reset else max(number, self.number(name))
                self.set_number(name, last)

    def _redefine(self, changes: Sequence[TableChange]) -> None:
        """Write the rows of tables anew, as their new definitions have them."""
        backend = self.backend
        # All of them are read first: tables may exchange their names.
        written = [
            (one.after, change_rows(one, self._rows(one.before)))
            for one in changes
            if one.after is not None
        ]
        names = {table.name for table, _ in written}
        left = [
            one.before
            for one in changes
            if one.before is not None
            and (one.after is None or one.after.name != one.before.name)
        ]
        for table in left:
            if table.name in names:
                self._clear(table)
        for table, rows in written:
            for key, row in rows.items():
                if row is None:
                    backend.delete(table, key)
                else:
                    backend.insert(table, row)
        # If it ends here, the rows are there under both names.
        self._define(changes)
        for table in left:
            if table.name not in names:
                self._clear(table)

    def _rows(self, table: Table | None) -> Iterable[Row]:
        # A view has no columns.
        return self.backend.read(table) if table and table.columns else ()

    def _clear(self, table: Table) -> None:
        if table.columns:
            self.backend.clear(table)

    def _change_rows(self, change: TableChange) -> None:
        table, backend = change.after, self.backend
        assert table is not None
        for row in change.rows:
            if row.old is None:
                continue
            # As it is stored: 0.0 and -0.0 are equal keys.
            key = table.key_of(row.old)
            if row.new is None or repr(key) != repr(table.key_of(row.new)):
                backend.delete(table, key)
        for row in change.rows:
            if row.new is not None and repr(row.new) != repr(row.old):
                backend.insert(table, row.new)

    # Whole databases, for tests

    def exist(self) -> bool:
        """Whether there is any table."""
        return any(True for _ in self.backend.read(TABLES))

    def destroy(self) -> None:
        """Delete all tables with their rows."""
        for table in self.catalog().tables.values():
            self._clear(table)
        self.backend.clear(TABLES)

    def copy(self, origin: Tables) -> None:
        """Copy all tables of another database, with their rows."""
        for table in (*origin.catalog().tables.values(), TABLES):
            for row in origin._rows(table):
                self.backend.insert(table, row)


def change_rows(change: TableChange, rows: Iterable[Row]) -> dict[Key, Row | None]:
    """Return rows by key as a change makes them; None for one that is deleted."""
    result: dict[Key, Row | None] = {}
    if change.before is not None:
        before = change.before
        result = {before.key_of(row): change.convert(row) for row in rows}
    result.update((row.key, row.new) for row in change.rows)
    return result
