"""
CREATE, ALTER and DROP: SQLite parses them, the store's schema follows.

The statement is run on the connection's :class:`Declarations`; what it changed
there is read back and carried out on the store, rows included.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apsw

from backendkit.stores import (
    Access,
    Column,
    Index,
    IntegrityError,
    NotSupportedError,
    Row,
    Session,
    Table,
    UniqueViolation,
)

from . import definitions, items
from .catalog_text import check_table
from .ddl_text import created_as, ddl_name, trimmed
from .declarations import is_view
from .errors import reraise, translated
from .schema_text import view_with_schema, with_schema
from .tokens import has_keyword, quote, significant
from .values import row_converter, to_store

if TYPE_CHECKING:
    from .connection import Connection

_UNSUPPORTED = frozenset({"TRIGGER", "VIRTUAL"})
#: How many rows of a table are deleted at a time before it is dropped.
_BATCH = 1000


def run(connection: Connection, session: Session, sql: str, params: Any) -> None:
    """
    Run a statement that changes the schema, in a transaction.

    :raises NotSupportedError: triggers, and tables within tables.
    """
    sql = trimmed(sql)  # ALTER TABLE keeps a comment, open, in the table's own SQL
    start = [token.keyword for token in itertools.islice(significant(sql), 3)]
    kinds = start[2:] if start[1:2] in (["TEMP"], ["TEMPORARY"]) else start[1:2]
    if start[0] == "CREATE" and not _UNSUPPORTED.isdisjoint(kinds):
        msg = f"CREATE {kinds[0]} isn't supported on a store's tables."
        raise NotSupportedError(msg)
    declarations = connection.declarations
    if start[:2] == ["DROP", "TABLE"] and connection.foreign_keys.enforced:
        _delete_referred(connection, session, ddl_name(sql))
    catalog = session.catalog()
    declarations.sync(catalog)
    with declarations.changing():
        try:
            names = declarations.execute(sql, params)
        except apsw.Error as error:
            reraise(error)
        # In the statements of others may be what has another name now.
        renamed = start[0] == "ALTER" and has_keyword(sql, "RENAME")
        changed = _follow(connection, session, None if renamed else names)
    declarations.adopt(session.catalog(), changed)
    copied = created_as(sql)
    if copied is not None and copied[0] not in catalog.tables:
        _copy_rows(connection, session, copied, params)


def _delete_referred(
    connection: Connection, session: Session, name: str | None
) -> None:
    """
    Delete the rows of a table that is about to be dropped, if others refer to them.

    As SQLite does (https://www.sqlite.org/foreignkeys.html#fk_schemacommands), so that
    the foreign keys of the others are acted on, and checked.
    """
    table = session.catalog().named(name or "")
    if table is None or is_view(table):
        return
    connection.tables.use(session.catalog())
    others = {
        one.table.name: one.table for one in connection.foreign_keys.referring(table)
    }
    others.pop(table.name, None)
    if not any(
        _rows(session, other, other.primary_key, 1) for other in others.values()
    ):
        return
    writer = connection.tables.writer(session, table)
    while keys := _rows(session, table, table.primary_key, _BATCH):
        writer.delete_all(keys)


def _rows(
    session: Session, table: Table, columns: Sequence[str], most: int
) -> list[Row]:
    query = session.query(table, columns, session.access(table, ()))
    return list(itertools.islice(query.fetch(), most))


def _follow(
    connection: Connection, session: Session, names: Collection[str] | None
) -> set[str]:
    """
    Carry out on the store what has changed in the mirror.

    :param names: of the tables and views that may have; None for all.
    :returns: those that have.
    """
    declarations = connection.declarations
    declared = definitions.declared(declarations.sqlite, names)
    tables = {
        name: table
        for name, table in session.catalog().tables.items()
        if not table.items_of
    }
    changed = {
        name
        for name in (declared.keys() | tables.keys() if names is None else names)
        if name not in declared
        or name not in tables
        or not declared[name].made(tables[name])
    }
    for name in changed:
        connection.changed_tables[name] = None
        for reference in connection.foreign_keys.referring_to(name):
            connection.changed_tables[reference.table.name] = None
    removed = sorted(changed & (tables.keys() - declared))
    added = sorted(changed & (declared.keys() - tables))
    if names is None and removed and added:
        (old_name,), (new_name,) = removed, added
        new = definitions.read_table(declarations.sqlite, new_name, tables[old_name])
        session.alter_table(old_name, new)
        connection.foreign_keys.altered(old_name, new_name, {})
        removed, added = [], []
    for name in removed:
        session.drop_table(name)
        connection.foreign_keys.dropped(tables[name])
    for name in added:
        connection.foreign_keys.created(name)
        if declared[name].is_view:
            session.create_table(Table(name, (), (), sql=declared[name].sql))
        else:
            session.create_table(
                definitions.read_table(declarations.sqlite, name, None)
            )
    for name in sorted(changed & tables.keys() & declared.keys()):
        old = tables[name]
        if is_view(old):  # it names what was renamed
            session.drop_table(name)
            session.create_table(Table(name, (), (), sql=declared[name].sql))
        else:
            _alter(
                connection,
                session,
                old,
                definitions.read_table(declarations.sqlite, name, old),
            )
    about = declared.keys() | tables.keys() if names is None else names
    return changed | _follow_items(connection, session, about, declared)


def _follow_items(
    connection: Connection,
    session: Session,
    names: Collection[str],
    declared: Mapping[str, definitions.Declared],
) -> set[str]:
    """
    Carry out on the store what has changed in the mirror's item indexes.

    :param names: of the tables whose indexes may have.
    :returns: names of the indexes that have.
    """
    catalog = session.catalog().tables
    before = {name: table for name, table in catalog.items() if table.items_of in names}
    after = {
        name: (base, sql)
        for base, one in declared.items()
        for name, sql in one.items.items()
    }
    changed = set()

    def mirror() -> apsw.Connection:
        return connection.declarations.sqlite

    for name in sorted(before.keys() | after.keys()):
        old = before.get(name)
        if name not in after:
            session.drop_table(name)
        else:
            base, sql = after[name]
            if old is None:
                if not session.store.capabilities.transactions:
                    raise NotSupportedError(
                        "A store without transactions has no index on items: it would"
                        " go without an entry if a statement failed."
                    )
                new = items.item_table(name, catalog[base], sql)
                session.create_table(new)
                items.build(session, catalog[base], new, mirror)
            elif (old.items_of, old.sql) != (base, sql):
                # The table, or the column, has another name.
                session.alter_table(name, replace(old, items_of=base, sql=sql))
            else:
                continue
        changed.add(name)
    return changed


def _copy_rows(
    connection: Connection, session: Session, copied: tuple[str, str], params: Any
) -> None:
    """Fill a table that was made AS SELECT: the mirror has no rows."""
    name, select = copied
    connection.tables.use(session.catalog())
    try:
        connection.sqlite.execute(
            f"INSERT INTO {quote(name)} {with_schema(select)}", params
        )
    except apsw.Error as error:
        reraise(error)


def _alter(connection: Connection, session: Session, old: Table, new: Table) -> None:
    """Turn one table into another definition of it."""
    renames = _renames(old, new)
    old_names = {column.name for column in old.columns}
    kept = {renames.get(name, name) for name in old_names}
    added = [column for column in new.columns if column.name not in kept]
    survivors = []
    for index in old.indexes:
        columns = tuple(renames.get(name, name) for name in index.columns)
        match = next((i for i in new.indexes if i.name == index.name), None)
        if match is None or match.columns != columns or match.unique != index.unique:
            session.drop_index(old.name, index.name)
        else:
            survivors.append(match)
    fresh = [index for index in new.indexes if index not in survivors]
    base = replace(new, indexes=tuple(survivors))
    connection.declarations.forget(new.name)
    generated = connection.declarations.expressions(new).generated
    fill = _fill(connection, new, added)
    given = [column for column in added if column.name not in generated]
    _check_fill(session, old, given, fill)
    session.alter_table(old.name, base, renames, fill)
    connection.foreign_keys.altered(old.name, new.name, renames)
    computed = [
        column
        for column in added
        if (column.hidden and column.declared) or column.name in generated
    ]
    if computed:
        _recompute(connection, session, base)
    elif _stricter(old, new, renames):
        # A check of an added column sees the same value in every row.
        _recheck(connection, base, session, only_first=connection.fill is not None)
    for index in fresh:
        _create_index(session, new, index)


def _create_index(session: Session, table: Table, index: Index) -> None:
    try:
        session.create_index(table.name, index)
    except UniqueViolation as error:
        plain = all(not table.column(name).hidden for name in index.columns)
        if plain:
            raise
        msg = f"UNIQUE constraint failed: index '{index.name}'"
        raise IntegrityError(msg) from error


def _renames(old: Table, new: Table) -> dict[str, str]:
    """Find the one column that changed its name, if there is one."""
    before = [column.name for column in old.columns if not column.hidden]
    after = [column.name for column in new.columns if not column.hidden]
    if len(before) != len(after):
        return {}
    renames = {a: b for a, b in zip(before, after, strict=True) if a != b}
    for name, to in list(renames.items()):
        for column in old.columns:
            # Columns computed from it for a collation are named after it.
            if column.hidden and column.name.startswith(f"{name}:"):
                renames[column.name] = to + column.name.removeprefix(name)
    return renames


def _fill(connection: Connection, table: Table, added: list[Column]) -> dict[str, Any]:
    """Return the values of added columns in the rows that exist."""
    declarations = connection.declarations
    defaults = declarations.defaults(table.name)
    given = connection.fill or {}
    fill = {}
    for column in added:
        sql = defaults.get(column.name)
        if column.name in given:
            fill[column.name] = to_store(table.name, column, given[column.name])
        elif sql is not None:
            value = declarations.evaluate(sql)
            fill[column.name] = to_store(table.name, column, value)
    return fill


def _has_rows(session: Session, table: Table) -> bool:
    # How many there are is but an estimate of the store's.
    rows = session.query(table, table.primary_key, Access()).fetch()
    return next(rows, None) is not None


def _check_fill(
    session: Session, table: Table, added: list[Column], fill: dict[str, Any]
) -> None:
    """Refuse a NOT NULL column that would be NULL in the rows that exist."""
    missing = [
        column.name
        for column in added
        if not (column.nullable or column.hidden) and fill.get(column.name) is None
    ]
    if missing and _has_rows(session, table):
        msg = (
            f"NOT NULL constraint failed: {table.name}.{missing[0]}: the table has"
            " rows, and the column has no default for them"
        )
        raise IntegrityError(msg)


def _stricter(old: Table, new: Table, renames: dict[str, str]) -> bool:
    """Whether rows that were right may be wrong now."""
    if old.sql == new.sql:
        return False
    before = {renames.get(c.name, c.name): c for c in old.columns}
    for column in new.columns:
        known = before.get(column.name)
        if known is not None and known.nullable and not column.nullable:
            return True

    def constraints(sql: str) -> int:
        return sum(token.keyword == "CHECK" for token in significant(sql))

    return constraints(new.sql) > constraints(old.sql)


def _recompute(connection: Connection, session: Session, table: Table) -> None:
    """Compute what SQLite has to for every row of a table, and store it."""
    stored = _stored(connection, table)
    for row, computed in _computed(connection, session, table):
        new = [
            row[n]
            if n in stored or (column.hidden and not column.declared)
            else to_store(table.name, column, computed[n])
            for n, column in enumerate(table.columns)
        ]
        session.update(table, table.key_of(row), tuple(new))


def _recheck(
    connection: Connection, table: Table, session: Session, *, only_first: bool
) -> None:
    """Check the rows of a table, or one, against its new definition."""
    for _ in _computed(connection, session, table):
        if only_first:
            return


def _stored(connection: Connection, table: Table) -> list[int]:
    """Return the numbers of the columns that statements give values for."""
    generated = connection.declarations.expressions(table).generated
    return [
        number
        for number, column in enumerate(table.columns)
        if not column.hidden and column.name not in generated
    ]


def _computed(
    connection: Connection, session: Session, table: Table
) -> Iterator[tuple[Row, tuple[Any, ...]]]:
    """Return each row, and it again as SQLite completes and checks it."""
    declarations = connection.declarations
    numbers = _stored(connection, table)
    if table.auto_increment is not None and table.auto_increment not in numbers:
        numbers.append(table.auto_increment)  # hidden, but part of expressions
    given = tuple(table.columns[number].name for number in numbers)
    convert = row_converter(table.columns) or tuple
    names = [column.name for column in table.columns]
    query = session.query(table, names, session.access(table, ()))
    for row in query.fetch():
        plain = convert(row)
        try:
            yield row, declarations.compute(table, given, [plain[n] for n in numbers])
        except apsw.Error as error:
            reraise(error)


def declare_view(database: apsw.Connection, view: Table) -> None:
    """Declare a view of the catalog in a connection's SQLite."""
    check_table(view)
    with translated():
        database.execute(f"DROP VIEW IF EXISTS {quote(view.name)}")
        database.execute(view_with_schema(view.sql))
