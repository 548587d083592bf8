"""Tables, columns, indexes: the schema as plain data, kept by the store itself."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any

from backendkit.clock import real

from ._errors import DatabaseError, OperationalError


class ValueType(StrEnum):
    """
    What a column holds. The Python type in which values cross the contract:

    ============ ============================================================
    BOOL         bool
    INTEGER      int, signed 64 bit
    FLOAT        float, may be infinite, never NaN
    DECIMAL      decimal.Decimal, finite
    STRING       str, any code point but surrogates, NUL included
    BYTES        bytes
    DATE         datetime.date
    TIME         datetime.time, naive, microseconds
    DATETIME     datetime.datetime, naive (in the connection's time zone)
    DURATION     datetime.timedelta
    UUID         uuid.UUID
    JSON         str that holds a JSON document (so JSON null isn't None)
    ANY          str, never empty: a value of any type, written by the engine so
                 that texts order as the values do. To a store it is a STRING.
    ============ ============================================================

    SQL's NULL is ``None`` for every type.
    """

    BOOL = "bool"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    STRING = "string"
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    DURATION = "duration"
    UUID = "uuid"
    JSON = "json"
    ANY = "any"


#: The Python types of values that aren't None.
PYTHON_TYPES: Mapping[ValueType, type] = {
    ValueType.BOOL: bool,
    ValueType.INTEGER: int,
    ValueType.FLOAT: float,
    ValueType.DECIMAL: decimal.Decimal,
    ValueType.STRING: str,
    ValueType.BYTES: bytes,
    ValueType.DATE: real.date,
    ValueType.TIME: datetime.time,
    ValueType.DATETIME: real.datetime,
    ValueType.DURATION: datetime.timedelta,
    ValueType.UUID: uuid.UUID,
    ValueType.JSON: str,
    ValueType.ANY: str,
}
#: What a document of a catalog raises where it isn't one.
UNREADABLE = (
    AttributeError,
    LookupError,
    RecursionError,  # lists within lists
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column of a table.

    :param name: the column's name, as the user has written it. The engine ignores ASCII
        case when it compares names, as SQLite does. It passes all names to a store as
        the catalog spells them.
    :param type: the type of its values.
    :param nullable: whether None is allowed. The engine checks this.
    :param auto_increment: whether the store assigns a number if the value is None.
    :param declared: the SQL type as declared, e.g. ``varchar(100)``.
    :param max_length: the maximum number of characters (bytes for BYTES), or None for
        no limit. The engine doesn't enforce it, as SQLite doesn't.
    :param max_digits: the number of digits of a DECIMAL; None for no limit.
    :param decimal_places: the number of digits of a DECIMAL after the decimal point.
    :param hidden: whether the engine computes the column for an index. It is invisible
        in SQL.
    """

    name: str
    type: ValueType
    nullable: bool = True
    auto_increment: bool = False
    declared: str = ""
    max_length: int | None = None
    max_digits: int | None = None
    decimal_places: int | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """
    An index, or a uniqueness constraint.

    Two rows violate a unique index when all its columns are equal and none is
    None: SQL's rule. Conditions and expressions never reach the store: the
    engine turns them into hidden columns.

    :param name: the name, which is unique in the database and never empty.
    :param columns: names of the table's columns, including hidden ones.
    :param unique: whether it is a uniqueness constraint.
    :param sql: the statement that created it. The store keeps it for the engine.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    sql: str = ""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """
    A foreign key. The engine enforces it; a store may keep it for other clients.

    :param columns: names of this table's columns.
    :param table: name of the referenced table.
    :param references: names of that table's columns.
    :param on_delete: SQL's action: ``NO ACTION``, ``CASCADE``, ``SET NULL`` …
    """

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]
    on_delete: str = "NO ACTION"


@dataclass(frozen=True)
class Table:
    """
    A table. Immutable: a changed table is a new object.

    :param name: the name, which is unique in the database if ASCII case is ignored.
    :param columns: the columns. Rows are tuples in this order.
    :param primary_key: names of the columns of the primary key. There is at least one,
        and they are never NULL.
    :param indexes: secondary indexes and uniqueness constraints.
    :param foreign_keys: the foreign keys. The engine checks them.
    :param sql: the CREATE TABLE statement in SQLite's dialect, from which the engine
        reads defaults, checks and generated columns. The store keeps it. If it is
        empty, the engine generates one from the other arguments.
    :param items_of: the table whose JSON arrays are indexed by their items, if the
        engine keeps such an index here. ``sql`` is its CREATE INDEX statement then. To a
        store, it is a table like any other. Empty for all other tables.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    sql: str = field(default="", repr=False)
    items_of: str = ""

    @cached_property
    def positions(self) -> dict[str, int]:
        """Index of each column in a row, by name."""
        return {column.name: number for number, column in enumerate(self.columns)}

    @cached_property
    def python_types(self) -> dict[str, type]:
        """Type of each column's values, by name."""
        return {column.name: PYTHON_TYPES[column.type] for column in self.columns}

    @cached_property
    def key_positions(self) -> tuple[int, ...]:
        """Indexes of the primary key's columns in a row."""
        return tuple(self.positions[name] for name in self.primary_key)

    @cached_property
    def auto_increment(self) -> int | None:
        """Index of the column that the store numbers, if there is one."""
        for number, column in enumerate(self.columns):
            if column.auto_increment:
                return number
        return None

    @cached_property
    def unique(self) -> dict[str, tuple[str, ...]]:
        """Columns of each unique index by its name; "" is the primary key."""
        unique = {index.name: index.columns for index in self.indexes if index.unique}
        return {"": self.primary_key, **unique}

    def column(self, name: str) -> Column:
        """Return the column of this name. :raises KeyError: there is none."""
        return self.columns[self.positions[name]]

    def key_of(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the primary key of a row in column order."""
        return tuple([row[position] for position in self.key_positions])

    def unique_values(self, row: tuple[Any, ...]) -> list[tuple[str, tuple[Any, ...]]]:
        """
        Return the values that no other row may have, with their unique indexes.

        "" is the primary key. Of an index that isn't, None equals nothing, as in
        SQL: with None among the values there is no pair.
        """
        if len(self.unique) == 1:
            return [("", self.key_of(row))]
        at = self.positions
        pairs = [
            (index, tuple([row[at[name]] for name in columns]))
            for index, columns in self.unique.items()
        ]
        return [pair for pair in pairs if not pair[0] or None not in pair[1]]

    def numbered(self, row: tuple[Any, ...], last: int) -> tuple[tuple[Any, ...], int]:
        """
        Number a row that comes with None in the ``auto_increment`` column, if any.

        :param last: the largest number that was ever assigned or inserted.
        :returns: the row, and the largest number then.
        :raises OperationalError: no number below 2 ** 63 is left.
        """
        at = self.auto_increment
        if at is None:
            return tuple(row), last
        number = last + 1 if row[at] is None else row[at]
        if number >= 2**63:
            raise OperationalError(f"{self.name} has no numbers left")
        return (*row[:at], number, *row[at + 1 :]), max(last, number)

    def to_json(self) -> str:
        """Return the table as a JSON document, for a catalog."""
        return json.dumps(self.document(), ensure_ascii=False, separators=(",", ":"))

    def document(self) -> dict[str, Any]:
        """Return what :meth:`to_json` writes, for a document with more in it."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        if not self.items_of:
            # Releases that don't know it refuse it, and read everything else.
            del found["items_of"]
        for name in ("columns", "indexes", "foreign_keys"):
            # Not asdict(): a large schema's tables are written again and again.
            found[name] = [
                {slot: getattr(one, slot) for slot in one.__slots__}
                for one in found[name]
            ]
        return found

    @classmethod
    def from_json(cls, document: str | bytes) -> Table:
        """
        Read what :meth:`to_json` wrote.

        :raises DatabaseError: the document isn't a table, or a newer version has
            written it.
        """
        try:
            return cls._from_json(document)
        except UNREADABLE as error:
            raise DatabaseError(
                f"The catalog has a table that this version can't read ({error}). A"
                " newer version of django-backendkit may have written it."
            ) from error

    @classmethod
    def _from_json(cls, document: str | bytes) -> Table:
        data = json.loads(document)
        columns = []
        for column in data.pop("columns"):
            column["type"] = ValueType(column["type"])
            columns.append(Column(**column))
        indexes = []
        for index in data.pop("indexes"):
            index["columns"] = tuple(index["columns"])
            indexes.append(Index(**index))
        foreign_keys = []
        for key in data.pop("foreign_keys"):
            key["columns"] = tuple(key["columns"])
            key["references"] = tuple(key["references"])
            foreign_keys.append(ForeignKey(**key))
        data["primary_key"] = tuple(data["primary_key"])
        table = cls(
            columns=tuple(columns),
            indexes=tuple(indexes),
            foreign_keys=tuple(foreign_keys),
            **data,
        )
        table.check()
        return table

    def check(self) -> None:
        """
        Check that all parts have the right types, and refer to existing columns.

        :raises ValueError: a part has another type, or refers to a missing column.
        """
        columns, keys = self.columns, self.foreign_keys
        parts: tuple[Any, ...] = (*columns, *self.indexes, *keys)
        named = [self.primary_key]
        named += [one.columns for one in self.indexes]
        named += [one.columns for one in keys]
        texts = [self.name, self.sql, self.items_of]
        texts += [name for names in named for name in names]
        texts += [name for one in keys for name in (one.table, *one.references)]
        texts += [name for one in keys for name in (one.on_delete,)]
        texts += [name for one in self.indexes for name in (one.name, one.sql)]
        texts += [name for one in columns for name in (one.name, one.declared)]
        flags = [one.unique for one in self.indexes]
        flags += [
            flag
            for one in columns
            for flag in (one.nullable, one.auto_increment, one.hidden)
        ]
        numbers = [
            number
            for one in columns
            for number in (one.max_length, one.max_digits, one.decimal_places)
        ]
        if (
            any(text.__class__ is not str for text in texts)
            or any(flag.__class__ is not bool for flag in flags)
            or any(one is not None and one.__class__ is not int for one in numbers)
        ):
            raise ValueError("a name, a flag or a number has the wrong type")
        for text in texts:
            text.encode()  # no half of a surrogate
        known = {column.name for column in columns}
        # Older versions made what is computed for an index twice, if it has it twice.
        if len(known) != len({*columns}):
            raise ValueError("two columns have the same name")
        if not all(known.issuperset(names) for names in named):
            raise ValueError("a key or an index refers to missing columns")
        if columns and not all(named):
            raise ValueError("a key or an index has no columns")
        if not columns and parts:
            raise ValueError("a view has keys or indexes")
        if not all(one.name for one in self.indexes):
            raise ValueError("an index has no name")


@dataclass(frozen=True, slots=True)
class Catalog:
    """
    All tables of a database as one transaction sees them.

    :param version: a value that changes with each change of a table. Equal versions of
        a store mean equal catalogs. It is only compared with ``==``.
    :param tables: by name.
    """

    version: Any
    tables: Mapping[str, Table]

    def named(self, name: str) -> Table | None:
        """
        Return the table of this name, ignoring case, or None.

        Tables that the engine keeps as an index on items have no name in SQL.
        """
        table = self.tables.get(name)
        if table is None:
            wanted = name.lower()
            for other, candidate in self.tables.items():
                if other.lower() == wanted:
                    table = candidate
                    break
        return None if table is None or table.items_of else table
