"""
The schema as SQL: real, empty SQLite tables that mirror the catalog.

They are what parses CREATE, ALTER and DROP, what answers PRAGMAs and
``sqlite_master``, and what computes defaults, checks and generated columns of a
row: a row is inserted here, SQLite does its work, and it is taken out again.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from backendkit.stores import (
    Catalog,
    Column,
    ForeignKey,
    Index,
    NotSupportedError,
    Table,
    ValueType,
    shown,
)

from .authorizing import allows
from .catalog_text import TEXT, check_columns, check_parts, check_table
from .computing import Computation
from .database import Database
from .ddl_text import index_parts
from .errors import translated
from .tokens import has_keyword, quote
from .values import size_of, value_type
from .written import with_sql

#: What some tables are made of: of each column its name, declared type and place in
#: the primary key, 0 for none.
_COLUMNS = """
    WITH made (name) AS ({}) SELECT made.name, x.name, x.type, x.pk
    FROM made, pragma_table_xinfo(made.name) AS x ORDER BY made.name, x.cid
"""
#: What their indexes are of, but for those of constraints: columns and collations.
_PARTS = """
    WITH made (name) AS ({}) SELECT list.name, x.name, upper(x.coll)
    FROM made, pragma_index_list(made.name) AS list, pragma_index_xinfo(list.name) AS x
    WHERE list.origin = 'c' AND x.key ORDER BY list.name, x.seqno
"""
_EVERY = "SELECT name FROM sqlite_master WHERE type = 'table'"
#: The key of a table that declares none; SQL sees it as ``rowid``.
ROWID = "rowid"
#: SQLite's other names for it.
ROWIDS = (ROWID, "oid", "_rowid_")
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


@dataclass(frozen=True)
class Declared:
    """
    A table or view as SQLite has it.

    :param sql: the statement that makes it, as SQLite keeps it.
    :param indexes: statements of its indexes, but for those of its constraints, by name.
    """

    is_view: bool
    sql: str
    indexes: dict[str, str]

    def made(self, table: Table) -> bool:
        """Whether a table of the catalog is this one, unchanged."""
        return self.sql == table.sql and self.indexes == {
            index.name: index.sql for index in table.indexes if index.sql
        }


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
        kind = "VIEW" if is_view(self._tables.pop(name)) else "TABLE"
        self.sqlite.execute(f"DROP {kind} IF EXISTS {quote(name)}")
        self.forget(name)

    def _declare(self, tables: Sequence[Table]) -> None:
        """
        Make tables and views, and see that they are what the catalog says.

        :raises DatabaseError: they aren't; then the mirror is empty.
        """
        try:
            complete = [*map(with_sql, tables)]
            for table, declared in zip(tables, complete, strict=True):
                check_table(declared)
                self.sqlite.execute(declared.sql)
                for index in declared.indexes:
                    if index.sql:
                        self.sqlite.execute(index.sql)
                self._tables[table.name] = table
            self._check([table for table in complete if not is_view(table)])
        except BaseException:
            self.invalidate()
            raise

    def _check(self, tables: Sequence[Table]) -> None:
        # One statement for all of them: a statement takes longer than its rows.
        some = [table.name for table in tables]
        columns = defaultdict[str, list[tuple[Any, ...]]](list)
        for name, *column in self._made(_COLUMNS, some):
            columns[name].append(tuple(column))
        for table in tables:
            check_columns(table, columns[table.name])
        some = [one.name for one in tables if any(index.sql for index in one.indexes)]
        parts = defaultdict[str, list[tuple[str | None, str]]](list)
        for name, column, collation in self._made(_PARTS, some):
            parts[name].append((column, collation))
        for table in tables:
            for index in table.indexes:
                if index.sql:
                    check_parts(table, index, parts[index.name])

    def _made(self, sql: str, names: Sequence[str]) -> Iterable[tuple[Any, ...]]:
        if not names:
            return ()
        if len(names) > 1:
            return self.sqlite.execute(sql.format(_EVERY))
        return self.sqlite.execute(sql.format("SELECT ?"), names)

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

    def declared(self, names: Collection[str] | None = None) -> dict[str, Declared]:
        """
        Return what is declared: tables and views.

        :param names: the wanted ones; None for all.
        """
        where = ""
        if names is not None:
            where = f" WHERE tbl_name IN ({', '.join('?' * len(names))})"
        rows = self.sqlite.execute(
            f"SELECT type, name, tbl_name, sql FROM sqlite_master{where}",
            tuple(names or ()),
        )
        found: dict[str, Declared] = {}
        indexes: dict[str, dict[str, str]] = {}
        for kind, name, table, sql in rows:
            if name.startswith("sqlite_"):
                continue
            own = indexes.setdefault(table, {})
            if kind == "index":
                own[name] = sql
            else:
                found[name] = Declared(kind == "view", sql, own)
        return found

    def read_table(self, name: str, old: Table | None) -> Table:
        """
        Read a mirror table's declaration into a :class:`Table`.

        :param old: the table as it was, for the names of its inline
            constraints; None for a new one.
        :raises NotSupportedError: a name that a store can't tell from another.
        """
        declared = self.declared([name])[name]
        info = list(self.sqlite.execute(f"PRAGMA table_xinfo({quote(name)})"))
        key_columns = [row[1] for row in sorted(info, key=_key_rank) if row[5]]
        is_alias = (
            len(key_columns) == 1
            and next(row[2] for row in info if row[5]).upper() == "INTEGER"
            and not self._has_key_index(name)
        )
        known = {} if old is None else {column.name: column for column in old.columns}
        columns = [
            self._column(row, known.get(row[1]), is_alias=is_alias) for row in info
        ]
        if not key_columns:
            columns.append(_rowid(columns))
            key_columns = [columns[-1].name]
        indexes, hidden = self._indexes(name, declared.indexes, old, columns)
        _check_names(name, columns, indexes, hidden)
        return Table(
            name=name,
            columns=(*columns, *hidden),
            primary_key=tuple(key_columns),
            indexes=tuple(indexes),
            foreign_keys=self._foreign_keys(name, tuple(key_columns)),
            sql=declared.sql,
        )

    def _one(self, sql: str, *params: Any) -> tuple[Any, ...]:
        row: tuple[Any, ...] = next(iter(self.sqlite.execute(sql, params)))
        return row

    def _has_key_index(self, name: str) -> bool:
        rows = self.sqlite.execute(f"PRAGMA index_list({quote(name)})")
        return any(origin == "pk" for _, _, _, origin, _ in rows)

    def _column(
        self, row: tuple[Any, ...], old: Column | None, *, is_alias: bool
    ) -> Column:
        _, name, declared, not_null, _, key, _ = row
        kind = value_type(declared)
        if old is not None and old.declared == declared:
            kind = old.type  # whatever was known when it was made
        size = size_of(declared)
        digits = size if kind is ValueType.DECIMAL else ()
        return Column(
            name=name,
            type=kind,
            nullable=not (not_null or key),
            auto_increment=bool(key) and is_alias,
            declared=declared,
            max_length=(
                size[0] if size and not digits and kind is not ValueType.ANY else None
            ),
            max_digits=digits[0] if digits else None,
            decimal_places=digits[1] if len(digits) > 1 else None,
        )

    def _indexes(
        self,
        name: str,
        statements: Mapping[str, str],
        old: Table | None,
        columns: Sequence[Column],
    ) -> tuple[list[Index], list[Column]]:
        known = {column.name: column for column in columns}
        inline = {
            (index.columns, index.unique): index.name
            for index in (old.indexes if old else ())
            if not index.sql
        }
        indexes: list[Index] = []
        hidden: dict[str, Column] = {}
        listed = sorted(
            self.sqlite.execute(f"PRAGMA index_list({quote(name)})"),
            key=lambda row: -int(row[0]),
        )
        for _, index_name, unique, origin, _ in listed:
            if origin == "pk" and not self._collated(index_name, known):
                continue
            if origin in ("u", "pk"):
                # With a collation, more values are equal than the store thinks.
                parts = self._plain_parts(index_name)
                fields, extra = self._key_columns(parts, None, known, index_name)
                own = inline.get((fields, True), f"unique_{uuid.uuid4().hex}")
                indexes.append(Index(own, fields, unique=True))
            else:
                sql = statements[index_name]
                texts, where = index_parts(sql)
                parts = self._plain_parts(index_name)
                parts = [
                    (column, collation, text)
                    for (column, collation, _), text in zip(parts, texts, strict=True)
                ]
                fields, extra = self._key_columns(parts, where, known, index_name)
                indexes.append(Index(index_name, fields, bool(unique), sql))
            hidden |= {column.name: column for column in extra}
        return indexes, [*hidden.values()]

    def _collated(self, index: str, columns: dict[str, Column]) -> bool:
        return any(
            name is not None and collation != "BINARY" and columns[name].type in TEXT
            for name, collation, _ in self._plain_parts(index)
        )

    def _plain_parts(self, index: str) -> list[tuple[str | None, str, str]]:
        rows = self.sqlite.execute(f"PRAGMA index_xinfo({quote(index)})")
        return [
            (column, collation.upper(), "")
            for _, _, column, _, collation, is_key in rows
            if is_key
        ]

    def _key_columns(
        self,
        parts: Iterable[tuple[str | None, str, str]],
        where: str | None,
        known: dict[str, Column],
        index: str,
    ) -> tuple[tuple[str, ...], list[Column]]:
        """Return an index's columns, and those of them that must be computed."""
        names = []
        hidden = []
        for number, (name, collation, text) in enumerate(parts):
            if name is not None and (
                collation == "BINARY" or known[name].type not in TEXT
            ):
                names.append(name)
                continue
            if name is not None:
                # Named after the column, not the index: one serves them all.
                source, own = quote(name), f"{name}:{collation.lower()}"
            else:
                source, own = f"({text})", f"{index}:{number}"
            hidden.append(_computed(own, _KEYS.get(collation, "{}").format(source)))
            names.append(own)
        if where is not None:
            # NULL where the condition doesn't hold: there, nothing conflicts.
            own = f"{index}:where"
            hidden.append(_computed(own, f"CASE WHEN {where} THEN 1 END"))
            names.append(own)
        return tuple(names), hidden

    def _foreign_keys(
        self, name: str, own_key: tuple[str, ...]
    ) -> tuple[ForeignKey, ...]:
        found: dict[int, list[tuple[Any, ...]]] = {}
        for row in self.sqlite.execute(f"PRAGMA foreign_key_list({quote(name)})"):
            found.setdefault(row[0], []).append(row)
        keys = []
        for number in sorted(found, reverse=True):
            rows = sorted(found[number], key=lambda row: int(row[1]))
            to = tuple(row[4] for row in rows)
            target = rows[0][2]
            on_update = rows[0][5]
            if on_update not in ("NO ACTION", "RESTRICT"):
                raise NotSupportedError(
                    f"ON UPDATE {on_update} isn't supported: {name} refers to {target}."
                )
            if None in to:  # REFERENCES t: its primary key
                to = own_key if target == name else self._primary_key(target)
            keys.append(
                ForeignKey(
                    columns=tuple(row[3] for row in rows),
                    table=target,
                    references=to,
                    on_delete=rows[0][6],
                )
            )
        return tuple(keys)

    def _primary_key(self, name: str) -> tuple[str, ...]:
        info = self.sqlite.execute(f"PRAGMA table_xinfo({quote(name)})")
        return tuple(row[1] for row in sorted(info, key=_key_rank) if row[5])

    def defaults(self, name: str) -> dict[str, str]:
        """Return the SQL of the defaults of a table's columns, by column."""
        info = self.sqlite.execute(f"PRAGMA table_xinfo({quote(name)})")
        return {row[1]: row[4] for row in info if row[4] is not None}

    # Computing rows

    def evaluate(self, sql: str) -> Any:
        """Return the value of an expression without columns: a default."""
        (value,) = self._one(f"SELECT {sql}")
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


def is_view(table: Table) -> bool:
    """Whether an entry of the catalog is a view: it has SQL, but no rows."""
    return not table.columns


#: What to index for a collation, so that equal means equal bytes.
_KEYS = {"NOCASE": "lower({})", "RTRIM": "rtrim({}, ' ')"}


def _computed(name: str, sql: str) -> Column:
    # Any SQL value may come out, so it is kept as the text of its literal. For quote()
    # a text ends at NUL; no other literal begins with t.
    literal = (
        f"CASE WHEN typeof({sql}) = 'text' AND instr({sql}, char(0)) > 0"
        f" THEN 't' || hex({sql}) ELSE nullif(quote({sql}), 'NULL') END"
    )
    return Column(name, ValueType.STRING, declared=literal, hidden=True)


def _rowid(columns: Sequence[Column]) -> Column:
    taken = {column.name.lower() for column in columns}
    name = ROWID
    while name in taken:
        name += "_"
    return Column(
        name, ValueType.INTEGER, nullable=False, auto_increment=True, hidden=True
    )


def _check_names(
    table: str,
    columns: Iterable[Column],
    indexes: Iterable[Index],
    hidden: Iterable[Column],
) -> None:
    if not all(index.name for index in indexes):
        raise NotSupportedError(f"An index of {shown(table)} has an empty name.")
    for name in {one.name for one in columns} & {one.name for one in hidden}:
        raise NotSupportedError(
            f"{shown(table)} can't have a column {shown(name)}: what is computed for one"
            " of its indexes is kept under that name."
        )


def _settable(table: Table, name: str) -> str:
    """Return what a statement calls a column, the number of a row without key too."""
    if not table.column(name).hidden:
        return quote(name)
    taken = {column.name.lower() for column in table.columns if not column.hidden}
    return next(one for one in ROWIDS if one not in taken)


def _key_rank(row: tuple[Any, ...]) -> int:
    return int(row[5])
