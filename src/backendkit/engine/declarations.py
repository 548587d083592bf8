"""
The schema as SQL: real, empty SQLite tables that mirror the catalog.

They are what parses CREATE, ALTER and DROP, what answers PRAGMAs and
``sqlite_master``, and what computes defaults, checks and generated columns of a
row: a row is inserted here, SQLite does its work, and it is taken out again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from backendkit.stores import (
    Catalog,
    Table,
)

from .authorizing import allows
from .catalog_text import check_made, check_table
from .computing import Computation
from .database import Database
from .definitions import ROWIDS
from .errors import translated
from .items import FUNCTION
from .tokens import has_keyword, quote
from .written import with_sql

#: Statements that are remembered which insert a row, each with columns of its own.
_MOST_FILLERS = 500


@dataclass(frozen=True)
class Expressions:
    """What SQLite has to compute for the rows of a table.

    :param hidden: SQL by name of hidden column.
    :param generated: names of generated columns.
    :param checks: whether the table may have CHECK constraints.
    :param defaults: names of columns with a default.
    """

    hidden: dict[str, str]
    generated: frozenset[str]
    checks: bool
    defaults: frozenset[str]

    @property
    def needed(self) -> bool:
        """Whether a complete row has to pass through SQLite."""
        return bool(self.hidden or self.generated or self.checks)


#: Which of what SQLite tells an authorizer is the name of a table or view, by action:
#: https://www.sqlite.org/c3ref/c_alter_table.html
_NAMED = {
    apsw.SQLITE_CREATE_TABLE: 0,
    apsw.SQLITE_CREATE_VIEW: 0,
    apsw.SQLITE_CREATE_INDEX: 1,
    apsw.SQLITE_DROP_TABLE: 0,
    apsw.SQLITE_DROP_VIEW: 0,
    apsw.SQLITE_DROP_INDEX: 1,
    apsw.SQLITE_ALTER_TABLE: 1,
}


class Declarations:
    """
    The mirror of one connection.

    :param setup: called with the SQLite connection, to define functions.
    """

    def __init__(self, setup: Callable[[apsw.Connection], None]) -> None:
        self._setup = setup
        self._sqlite: apsw.Connection | None = None
        self._tables: dict[str, Table] = {}
        self._version: Any = None
        self._expressions: dict[str, Expressions] = {}
        self._fillers: dict[tuple[str, tuple[str, ...]], str] = {}

    @property
    def sqlite(self) -> apsw.Connection:
        """The SQLite database with the mirror tables."""
        if self._sqlite is None:
            self._sqlite = Database(few=True)
            self._setup(self._sqlite)
            # It is only there to be named: the mirror has no rows.
            self._sqlite.create_scalar_function(
                FUNCTION, _nothing, 1, deterministic=True
            )
            self._sqlite.authorizer = allows
        return self._sqlite

    def close(self) -> None:
        """Drop the mirror."""
        if self._sqlite is not None:
            self._sqlite.close(True)
            self._sqlite = None
        self._tables = {}
        self._version = None

    # Following the catalog

    def sync(self, catalog: Catalog) -> None:
        """Make the mirror equal to the catalog."""
        if self._version is not None and self._version == catalog.version:
            return
        changed = [
            name
            for name, table in self._tables.items()
            if catalog.tables.get(name) is not table
            and catalog.tables.get(name) != table
        ]
        for name in changed:
            if name in self._tables:  # an index goes with its table
                self._drop(name)
        tables = catalog.tables.items()
        with translated():
            self._declare([table for name, table in tables if name not in self._tables])
        self._version = catalog.version

    def need(self, table: Table) -> None:
        """
        Make the mirror have this table as it is; the others may be missing.

        It is all that rows of the table need, and in a database of 500 tables much less
        than the whole.
        """
        known = self._tables.get(table.name)
        if known is table:
            return
        if known == table:
            self._tables[table.name] = table
            return
        self._version = None
        try:
            if known is not None:
                self._drop(table.name)
            self._declare([table])
        except apsw.Error:
            # A table that isn't there any more had an index of the same name.
            with translated():
                self._declare([table])

    def _drop(self, name: str) -> None:
        table = self._tables.pop(name)
        kind = "INDEX" if table.items_of else "VIEW" if is_view(table) else "TABLE"
        self.sqlite.execute(f"DROP {kind} IF EXISTS {quote(name)}")
        self.forget(name)
        for other in [one for one in self._tables.values() if one.items_of == name]:
            del self._tables[other.name]

    def _declare(self, tables: Sequence[Table]) -> None:
        """
        Make tables, views and item indexes, and see that they are as in the catalog.

        :raises DatabaseError: they aren't; then the mirror is empty.
        """
        try:
            complete = [*map(with_sql, tables)]
            # An index behind its table.
            pairs = sorted(
                zip(tables, complete, strict=True), key=lambda pair: pair[0].items_of
            )
            for table, declared in pairs:
                check_table(declared)
                self.sqlite.execute(declared.sql)
                for index in declared.indexes:
                    if index.sql:
                        self.sqlite.execute(index.sql)
                self._tables[table.name] = table
            made = [one for one in complete if not (is_view(one) or one.items_of)]
            check_made(self.sqlite, made)
        except BaseException:
            self.invalidate()
            raise

    def adopt(self, catalog: Catalog, changed: Iterable[str]) -> None:
        """
        Take the mirror, which a statement has changed, as equal to the catalog.

        :param changed: names of what the statement has changed.
        """
        self._tables = dict(catalog.tables)
        self._version = catalog.version
        for name in changed:
            self.forget(name)

    def forget(self, name: str) -> None:
        """Forget what was computed about a table."""
        self._expressions.pop(name, None)
        for key in [key for key in self._fillers if key[0] == name]:
            del self._fillers[key]

    def invalidate(self) -> None:
        """Drop the mirror's tables: what it holds may not be committed."""
        self.close()
        self._expressions.clear()
        self._fillers.clear()

    # Changing the schema

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """
        Undo what a statement has changed here if it fails.

        Declaring everything anew would take as long as there are tables.
        """
        self.sqlite.execute("BEGIN")
        try:
            yield
        except BaseException:
            # A constraint that says ON CONFLICT ROLLBACK has done it already.
            if self.sqlite.in_transaction:
                self.sqlite.execute("ROLLBACK")
            self._expressions.clear()
            self._fillers.clear()
            raise
        self.sqlite.execute("COMMIT")

    def execute(self, sql: str, params: Any) -> set[str]:
        """
        Run a statement that changes the schema; return what it is about.

        SQLite says it, to an authorizer: what is asked costs the same with any number
        of tables. ALTER TABLE … RENAME may change others besides.

        :returns: names of tables and views.
        :raises apsw.Error: it can't be run.
        """
        names: set[str] = set()
        database = self.sqlite
        before = database.authorizer

        def note(action: int, *about: str | None) -> int:
            place = _NAMED.get(action)
            if place is not None:
                names.add(about[place] or "")
            return apsw.SQLITE_OK if before is None else before(action, *about)

        database.authorizer = note
        try:
            database.execute(sql, params).fetchall()
        finally:
            database.authorizer = before
        return {name for name in names if not name.startswith("sqlite_")}

    # Reading the schema

    def defaults(self, name: str) -> dict[str, str]:
        """Return the SQL of the defaults of a table's columns, by column."""
        info = self.sqlite.execute(f"PRAGMA table_xinfo({quote(name)})")
        return {row[1]: row[4] for row in info if row[4] is not None}

    # Computing rows

    def evaluate(self, sql: str) -> Any:
        """Return the value of an expression without columns: a default."""
        ((value,),) = self.sqlite.execute(f"SELECT {sql}")
        return value

    def expressions(self, table: Table) -> Expressions:
        """Return what SQLite has to compute for the rows of a table."""
        found = self._expressions.get(table.name)
        if found is None:
            info = list(self.sqlite.execute(f"PRAGMA table_xinfo({quote(table.name)})"))
            found = Expressions(
                hidden={
                    column.name: column.declared
                    for column in table.columns
                    if column.hidden and column.declared
                },
                generated=frozenset(row[1] for row in info if row[6] in (2, 3)),
                checks=has_keyword(table.sql, "CHECK"),
                defaults=frozenset(row[1] for row in info if row[4] is not None),
            )
            self._expressions[table.name] = found
        return found

    def computation(self, table: Table) -> Computation:
        """Return what SQLite computes for many rows of a table."""
        generated = self.expressions(table).generated
        return Computation(lambda: self.sqlite, table, generated)

    def compute(
        self, table: Table, names: tuple[str, ...], values: Sequence[Any]
    ) -> tuple[Any, ...]:
        """
        Let SQLite complete and check a row.

        :param names: the columns given; generated ones are left out.
        :param values: theirs, in SQLite's terms.
        :returns: the values of all columns of the table, in order, in SQLite's
            terms; for a numbered key without a value something arbitrary.
        :raises apsw.ConstraintError: NOT NULL or CHECK.
        """
        key = (table.name, names)
        sql = self._fillers.get(key)
        if sql is None:
            columns = ", ".join(_settable(table, name) for name in names)
            marks = ", ".join("?" * len(names))
            given = f"({columns}) VALUES ({marks})" if names else "DEFAULT VALUES"
            results = [
                quote(column.name) if not column.hidden else column.declared or "NULL"
                for column in table.columns
            ]
            sql = (
                f"INSERT INTO {quote(table.name)} {given}"
                f" RETURNING {', '.join(results)}"
            )
            if len(self._fillers) >= _MOST_FILLERS:
                self._fillers.clear()
            self._fillers[key] = sql
        database = self.sqlite
        (row,) = database.execute(sql, tuple(values)).fetchall()
        database.execute(f"DELETE FROM {quote(table.name)}")
        return tuple(row)


def _nothing(*_: Any) -> None:
    return None


def is_view(table: Table) -> bool:
    """Whether an entry of the catalog is a view: it has SQL, but no rows."""
    return not table.columns


def _settable(table: Table, name: str) -> str:
    """Return what a statement calls a column, the number of a row without key too."""
    if not table.column(name).hidden:
        return quote(name)
    taken = {column.name.lower() for column in table.columns if not column.hidden}
    return next(one for one in ROWIDS if one not in taken)
