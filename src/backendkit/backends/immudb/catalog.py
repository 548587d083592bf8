"""
The catalog: tables as immudb has them, and as Django and the engine know them.

immudb's own catalog says what other clients need. What it has no place for (declared
types, NULL, uniqueness, foreign keys, defaults) is in tables of our own, and so is the
version, which goes up with each change.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from backendkit.stores import (
    UNREADABLE,
    Catalog,
    Column,
    DatabaseError,
    Index,
    ProgrammingError,
    Table,
    ValueType,
)

from .names import logical, physical
from .types import is_sized

PREFIX = "backendkit_"
#: The version of the catalog, and what is said of large transactions: see ``gate``.
META = "backendkit_meta"
#: Definitions, by name.
TABLES = "backendkit_tables"
#: The last number that was given, by table.
NUMBERS = "backendkit_numbers"

#: What large transactions are going to change.
JOURNAL = "backendkit_journal"

OWN = frozenset({META, TABLES, NUMBERS, JOURNAL})

CREATE_OWN = tuple(
    f"CREATE TABLE IF NOT EXISTS {name} ({columns})"
    for name, columns in (
        (META, "id INTEGER, version INTEGER, PRIMARY KEY (id)"),
        (TABLES, "name VARCHAR[490], definition VARCHAR, PRIMARY KEY (name)"),
        (NUMBERS, "name VARCHAR[490], given INTEGER, PRIMARY KEY (name)"),
        (
            JOURNAL,
            "journal INTEGER, part INTEGER, data BLOB, PRIMARY KEY (journal, part)",
        ),
    )
)


class Reader(Protocol):
    """What runs a query: a connection of the driver."""

    def query(self, sql: str, parameters: Any = ()) -> Any: ...


@dataclass(frozen=True)
class Stored:
    """
    A table and how it is kept.

    :param lengths: of columns, in bytes; those that aren't named have none.
    :param indexes: columns of the secondary indexes that immudb has.
    :param ours: whether we made it. Another client's may number its rows itself.
    :param origin: what no other table of the database has, as long as immudb keeps it as
        the same one: it is renamed and altered, but not copied. Empty if unknown.
    :param is_copy: whether it replaced one of its name, whose rows it may have.
    :param far_times: columns that have had times which an index has in the wrong place
        (``times.py``). None if that isn't known: an older version made the table, or
        another client.
    """

    table: Table
    lengths: Mapping[str, int]
    indexes: frozenset[tuple[str, ...]]
    ours: bool = True
    origin: str = ""
    is_copy: bool = False
    far_times: frozenset[str] | None = None

    def to_json(self) -> str:
        """Return the definition as a row of ours has it."""
        indexes = sorted(map(list, self.indexes))
        kept = {
            "lengths": dict(self.lengths),
            "indexes": indexes,
            "ours": self.ours,
            "origin": self.origin,
            "is_copy": self.is_copy,
            "far_times": None if self.far_times is None else sorted(self.far_times),
        }
        return json.dumps({"table": self.table.document(), **kept})

    @classmethod
    def from_json(cls, document: str) -> Stored:
        """
        Read what :meth:`to_json` wrote.

        :raises DatabaseError: it isn't that.
        """
        try:
            data = json.loads(document)
            far = data.get("far_times")
            if far is not None and far.__class__ is not list:
                raise ValueError("the columns of far times are no list")
            stored = cls(
                Table.from_json(json.dumps(data["table"])),
                MappingProxyType(data["lengths"]),
                frozenset(tuple(columns) for columns in data["indexes"]),
                data["ours"],
                data.get("origin", ""),
                data.get("is_copy", False),
                None if far is None else frozenset(far),
            )
            stored._check()
        except UNREADABLE as error:
            raise DatabaseError(
                f"The catalog has a table that can't be read ({error!r})."
            ) from error
        return stored

    def _check(self) -> None:
        """Raise ValueError if a part is of another type, or about no column."""
        known = self.table.positions.keys()
        flags: list[Any] = [self.ours, self.is_copy]
        texts: list[Any] = [self.origin]
        numbers: list[Any] = [*self.lengths.values()]
        if not (
            all(one.__class__ is bool for one in flags)
            and all(one.__class__ is str for one in texts)
            and all(one.__class__ is int for one in numbers)
        ):
            raise ValueError("a flag, a name or a length has the wrong type")
        named = [self.lengths.keys(), self.far_times or (), *self.indexes]
        if not all(known >= set(columns) for columns in named):
            raise ValueError("a length or an index refers to a missing column")


@dataclass(frozen=True)
class Schema:
    """
    All tables, at one moment.

    :param catalog: as the engine sees them.
    :param version: the number in our own table; 0 if there is none.
    :param stored: how each table is kept, by its name.
    """

    catalog: Catalog
    version: int
    stored: Mapping[str, Stored]


def read_version(reader: Reader) -> int:
    """Return the catalog's version; 0 if there is none yet."""
    try:
        rows = reader.query(f"SELECT version FROM {META} WHERE id = 1").rows
    except ProgrammingError as error:
        if "does not exist" not in str(error):
            raise
        return 0
    return rows[0][0] if rows else 0


def read_names(reader: Reader) -> frozenset[str]:
    """Return immudb's names of all tables but our own."""
    rows = reader.query("SELECT name FROM TABLES()").rows
    return frozenset(name for (name,) in rows) - OWN


def read_schema(reader: Reader) -> Schema:
    """Return all tables, those of other clients included."""
    # First: a change after it is noticed later.
    version = read_version(reader)
    names = read_names(reader)
    stored: dict[str, Stored] = {}
    if version:
        for _, document in reader.query(f"SELECT name, definition FROM {TABLES}").rows:
            one = Stored.from_json(document)
            stored[one.table.name] = one
    known = {physical(name) for name in stored}
    for name in sorted(names - known):
        # It may be dropped, or made by us, at this moment.
        with contextlib.suppress(ProgrammingError):
            foreign = introspect(reader, name)
            stored.setdefault(foreign.table.name, foreign)
    tables = {name: one.table for name, one in stored.items()}
    return Schema(Catalog((version, names - known), tables), version, stored)


#: Our types by immudb's, and what Django's introspection calls them.
_TYPES: Mapping[str, tuple[ValueType, str]] = {
    "INTEGER": (ValueType.INTEGER, "bigint"),
    "FLOAT": (ValueType.FLOAT, "real"),
    "BOOLEAN": (ValueType.BOOL, "bool"),
    "VARCHAR": (ValueType.STRING, "text"),
    "BLOB": (ValueType.BYTES, "BLOB"),
    "TIMESTAMP": (ValueType.DATETIME, "datetime"),
    "UUID": (ValueType.UUID, "uuid char(32)"),
    "JSON": (ValueType.JSON, "json text"),
}
#: The name of an index: that of its table, and its columns in brackets.
_INDEX = re.compile(r"\((.*)\)\Z", re.DOTALL)


def introspect(reader: Reader, name: str) -> Stored:
    """
    Return a table that another client made.

    :param name: immudb's.
    """
    columns, lengths, key = [], {}, []
    for row in reader.query(f"SELECT * FROM COLUMNS('{name}')").rows:
        _, field, kind, length, nullable, numbered, _, primary, _ = row
        value_type, declared = _TYPES[kind]
        shown = logical(field)
        if is_sized(value_type) and length:
            lengths[shown] = length
            if value_type is ValueType.STRING:
                declared = f"varchar({length})"
        if primary:
            key.append(shown)
        columns.append(
            Column(
                shown,
                value_type,
                nullable=nullable and not primary,
                auto_increment=numbered,
                declared="integer" if numbered else declared,
                max_length=length if shown in lengths else None,
            )
        )
    indexes = []
    for _, title, unique, primary in reader.query(
        f"SELECT * FROM INDEXES('{name}')"
    ).rows:
        match = _INDEX.search(title)
        assert match is not None
        names = tuple(logical(part.strip()) for part in match[1].split(","))
        if primary:
            key = list(names)
        else:
            indexes.append(_index(logical(name), names, unique=unique))
    table = Table(
        logical(name),
        tuple(columns),
        tuple(key),
        tuple(indexes),
        sql=_create(logical(name), columns, key),
    )
    made = frozenset(index.columns for index in indexes)
    return Stored(table, MappingProxyType(lengths), made, ours=False)


# As Django's introspection reads it: in SQL.


def _in_sql(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _index(table: str, columns: tuple[str, ...], *, unique: bool) -> Index:
    # No other table or index has this name.
    name = f"{table}({','.join(columns)})"
    sql = (
        f"CREATE {'UNIQUE ' if unique else ''}INDEX {_in_sql(name)}"
        f" ON {_in_sql(table)} ({', '.join(map(_in_sql, columns))})"
    )
    return Index(name, columns, unique, sql=sql)


def _create(table: str, columns: list[Column], key: list[str]) -> str:
    parts = []
    for column in columns:
        part = f"{_in_sql(column.name)} {column.declared}"
        if column.auto_increment:
            part += " PRIMARY KEY AUTOINCREMENT"
        parts.append(part if column.nullable else f"{part} NOT NULL")
    if not any(column.auto_increment for column in columns):
        parts.append(f"PRIMARY KEY ({', '.join(map(_in_sql, key))})")
    return f"CREATE TABLE {_in_sql(table)} ({', '.join(parts)})"
