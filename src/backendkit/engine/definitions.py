"""What SQLite says of its tables, views and indexes, as a catalog has them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from backendkit.stores import (
    Column,
    ForeignKey,
    Index,
    NotSupportedError,
    Table,
    ValueType,
    shown,
)

from .catalog_text import TEXT
from .ddl_text import index_parts
from .items import indexed_column
from .tokens import quote
from .values import size_of, value_type

#: The key of a table that declares none; SQL sees it as ``rowid``.
ROWID = "rowid"
#: SQLite's other names for it.
ROWIDS = (ROWID, "oid", "_rowid_")
#: What to index for a collation, so that equal means equal bytes.
_KEYS = {"NOCASE": "lower({})", "RTRIM": "rtrim({}, ' ')"}


@dataclass(frozen=True)
class Declared:
    """
    A table or view as SQLite has it.

    :param sql: the statement that makes it, as SQLite keeps it.
    :param indexes: statements of its indexes, but for those of its constraints, by name.
    :param items: statements of its item indexes, by name.
    """

    is_view: bool
    sql: str
    indexes: dict[str, str]
    items: dict[str, str]

    def made(self, table: Table) -> bool:
        """Whether a table of the catalog is this one, unchanged."""
        return self.sql == table.sql and self.indexes == {
            index.name: index.sql for index in table.indexes if index.sql
        }


def declared(
    sqlite: apsw.Connection, names: Collection[str] | None = None
) -> dict[str, Declared]:
    """
    Return what is declared: tables and views.

    :param names: the wanted ones; None for all.
    """
    where = ""
    if names is not None:
        where = f" WHERE tbl_name IN ({', '.join('?' * len(names))})"
    rows = sqlite.execute(
        f"SELECT type, name, tbl_name, sql FROM sqlite_master{where}",
        tuple(names or ()),
    )
    found: dict[str, Declared] = {}
    indexes: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    for kind, name, table, sql in rows:
        if name.startswith("sqlite_"):
            continue
        plain, items = indexes.setdefault(table, ({}, {}))
        if kind != "index":
            found[name] = Declared(kind == "view", sql, plain, items)
        elif indexed_column(sql) is None:
            plain[name] = sql
        else:
            items[name] = sql
    return found


def read_table(sqlite: apsw.Connection, name: str, old: Table | None) -> Table:
    """
    Read a mirror table's declaration into a :class:`Table`.

    :param old: the table as it was, for the names of its inline
        constraints; None for a new one.
    :raises NotSupportedError: a name that a store can't tell from another.
    """
    found = declared(sqlite, [name])[name]
    info = list(sqlite.execute(f"PRAGMA table_xinfo({quote(name)})"))
    key_columns = [row[1] for row in sorted(info, key=_key_rank) if row[5]]
    is_alias = (
        len(key_columns) == 1
        and next(row[2] for row in info if row[5]).upper() == "INTEGER"
        and not _has_key_index(sqlite, name)
    )
    known = {} if old is None else {column.name: column for column in old.columns}
    columns = [_column(row, known.get(row[1]), is_alias=is_alias) for row in info]
    if not key_columns:
        columns.append(_rowid(columns))
        key_columns = [columns[-1].name]
    indexes, hidden = _indexes(sqlite, name, found.indexes, old, columns)
    _check_names(name, columns, indexes, hidden)
    return Table(
        name=name,
        columns=(*columns, *hidden),
        primary_key=tuple(key_columns),
        indexes=tuple(indexes),
        foreign_keys=_foreign_keys(sqlite, name, tuple(key_columns)),
        sql=found.sql,
    )


def _has_key_index(sqlite: apsw.Connection, name: str) -> bool:
    rows = sqlite.execute(f"PRAGMA index_list({quote(name)})")
    return any(origin == "pk" for _, _, _, origin, _ in rows)


def _column(row: tuple[Any, ...], old: Column | None, *, is_alias: bool) -> Column:
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
    sqlite: apsw.Connection,
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
        sqlite.execute(f"PRAGMA index_list({quote(name)})"),
        key=lambda row: -int(row[0]),
    )
    for _, index_name, unique, origin, _ in listed:
        if origin == "pk" and not _collated(sqlite, index_name, known):
            continue
        if origin == "c" and index_name not in statements:
            continue  # an item index
        if origin in ("u", "pk"):
            # With a collation, more values are equal than the store thinks.
            parts = _plain_parts(sqlite, index_name)
            fields, extra = _key_columns(parts, None, known, index_name)
            own = inline.get((fields, True), f"unique_{uuid.uuid4().hex}")
            indexes.append(Index(own, fields, unique=True))
        else:
            sql = statements[index_name]
            texts, where = index_parts(sql)
            parts = _plain_parts(sqlite, index_name)
            parts = [
                (column, collation, text)
                for (column, collation, _), text in zip(parts, texts, strict=True)
            ]
            fields, extra = _key_columns(parts, where, known, index_name)
            indexes.append(Index(index_name, fields, bool(unique), sql))
        hidden |= {column.name: column for column in extra}
    return indexes, [*hidden.values()]


def _collated(sqlite: apsw.Connection, index: str, columns: dict[str, Column]) -> bool:
    return any(
        name is not None and collation != "BINARY" and columns[name].type in TEXT
        for name, collation, _ in _plain_parts(sqlite, index)
    )


def _plain_parts(
    sqlite: apsw.Connection, index: str
) -> list[tuple[str | None, str, str]]:
    rows = sqlite.execute(f"PRAGMA index_xinfo({quote(index)})")
    return [
        (column, collation.upper(), "")
        for _, _, column, _, collation, is_key in rows
        if is_key
    ]


def _key_columns(
    parts: Iterable[tuple[str | None, str, str]],
    where: str | None,
    known: dict[str, Column],
    index: str,
) -> tuple[tuple[str, ...], list[Column]]:
    """Return an index's columns, and those of them that must be computed."""
    names = []
    hidden = []
    for number, (name, collation, text) in enumerate(parts):
        if name is not None and (collation == "BINARY" or known[name].type not in TEXT):
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
    sqlite: apsw.Connection, name: str, own_key: tuple[str, ...]
) -> tuple[ForeignKey, ...]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for row in sqlite.execute(f"PRAGMA foreign_key_list({quote(name)})"):
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
            to = own_key if target == name else _primary_key(sqlite, target)
        keys.append(
            ForeignKey(
                columns=tuple(row[3] for row in rows),
                table=target,
                references=to,
                on_delete=rows[0][6],
            )
        )
    return tuple(keys)


def _primary_key(sqlite: apsw.Connection, name: str) -> tuple[str, ...]:
    info = sqlite.execute(f"PRAGMA table_xinfo({quote(name)})")
    return tuple(row[1] for row in sorted(info, key=_key_rank) if row[5])


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
            f"{shown(table)} can't have a column {shown(name)}: one of its indexes"
            " uses this name for computed values."
        )


def _key_rank(row: tuple[Any, ...]) -> int:
    return int(row[5])
