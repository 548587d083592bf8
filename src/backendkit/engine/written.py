"""The SQL of a table that has none: that of a store which isn't made by migrations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from backendkit.stores import Column, Index, Table, ValueType

from .tokens import quote

#: As Django's SQLite backend declares its fields, so that inspectdb finds them.
_WORDS = {
    ValueType.BOOL: "bool",
    ValueType.INTEGER: "bigint",
    ValueType.FLOAT: "real",
    ValueType.DECIMAL: "decimal",
    ValueType.BYTES: "BLOB",
    ValueType.DATE: "date",
    ValueType.TIME: "time",
    ValueType.DATETIME: "datetime",
    ValueType.DURATION: "duration bigint",
    ValueType.UUID: "uuid char(32)",
    ValueType.JSON: "json text",
    ValueType.ANY: "",
}


def with_sql(table: Table) -> Table:
    """
    Return a table with the SQL that a store may leave out: its own, and indexes'.

    One with hidden columns can't do without: they are computed by it.
    """
    columns = table.columns
    if (
        table.sql
        or not columns
        or table.items_of
        or any(column.hidden for column in columns)
    ):
        return table
    indexes = tuple(_with_sql(table, index) for index in table.indexes)
    columns = tuple(_with_type(table, column) for column in columns)
    table = replace(table, columns=columns, indexes=indexes)
    return replace(table, sql=_table_sql(table))


def _table_sql(table: Table) -> str:
    parts = [_column(table, one) for one in table.columns]
    if not _numbered(table):
        parts.append(f"PRIMARY KEY ({_names(table.primary_key)})")
    parts += [
        f"FOREIGN KEY ({_names(key.columns)}) REFERENCES {quote(key.table)}"
        f" ({_names(key.references)}) ON DELETE {key.on_delete}"
        " DEFERRABLE INITIALLY DEFERRED"
        for key in table.foreign_keys
    ]
    return f"CREATE TABLE {quote(table.name)} ({', '.join(parts)})"


def _with_sql(table: Table, index: Index) -> Index:
    unique = "UNIQUE " if index.unique else ""
    sql = (
        f"CREATE {unique}INDEX {quote(index.name)} ON {quote(table.name)}"
        f" ({_names(index.columns)})"
    )
    return replace(index, sql=index.sql or sql)


def _with_type(table: Table, column: Column) -> Column:
    declared = column.declared or _word(column)
    if _numbered(table) and column.auto_increment:
        declared = "integer"  # SQLite numbers columns of this type alone
    return replace(column, declared=declared)


def _column(table: Table, column: Column) -> str:
    words = [quote(column.name), column.declared]
    if not column.nullable or column.name in table.primary_key:
        words.append("NOT NULL")
    if _numbered(table) and column.auto_increment:
        words.append("PRIMARY KEY AUTOINCREMENT")
    return " ".join(filter(None, words))


def _numbered(table: Table) -> bool:
    """Whether the store numbers rows, in the only column of the primary key."""
    at = table.auto_increment
    return at is not None and table.primary_key == (table.columns[at].name,)


def _word(column: Column) -> str:
    if column.type is ValueType.STRING:
        return f"varchar({column.max_length})" if column.max_length else "text"
    if column.type is ValueType.DECIMAL and column.max_digits is not None:
        return f"decimal({column.max_digits}, {column.decimal_places or 0})"
    return _WORDS[column.type]


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(quote, names))
