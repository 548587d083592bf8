"""
How immudb keeps a table's rows: the keys and values that its proofs are about.

A row's key has the ids of its table and its primary key's values in an order-preserving
form; its value has the ids of its columns with their values, NULLs left out.
"""

from __future__ import annotations

import dataclasses
import datetime
import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from backendkit.stores import DataError, shown

from . import immudb_pb2 as pb
from ._proofs import ProofError, require
from ._values import _from_microseconds, bind_value

# What immudb's keys of SQL begin with, and the only database id that it has.
SQL = b"\x02"
DATABASE = 1

ROW = SQL + b"R."
PRIMARY = 0

NOT_NULL = b"\x80"

# Values of these have a length of their own; those of other types always the same.
SIZED = ("VARCHAR", "BLOB")

TYPES = ("INTEGER", "FLOAT", "BOOLEAN", *SIZED, "TIMESTAMP", "UUID", "JSON")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """
    A column as keys and values have it.

    :param length: the most bytes of a VARCHAR or BLOB; 0 for no limit and other types.
    """

    name: str
    type: str
    length: int


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """
    A table as keys and values have it.

    :param columns: by id.
    :param key: ids of the primary key's columns, in their order.
    """

    id: int
    columns: dict[int, Column]
    key: tuple[int, ...]

    @classmethod
    def of(cls, entry: pb.VerifiableSQLEntry) -> Table:
        """
        Return what the server says of a row's table; nothing proves it.

        :raises ProofError: it contradicts itself.
        """
        names, types = entry.ColNamesById, entry.ColTypesById
        require(entry.DatabaseId == DATABASE, "the id of another database")
        require(names.keys() == types.keys(), "columns without a name or a type")
        require(len(set(names.values())) == len(names), "two columns of the same name")
        columns = {}
        for number in sorted(names):
            kind = types[number]
            require(kind in TYPES, f"a column of the unknown type {kind}")
            # A map of protobuf makes up what it hasn't got.
            length = entry.ColLenById.get(number, 0) if kind in SIZED else 0
            require(length >= 0, "a column of negative length")
            columns[number] = Column(names[number], kind, length)
        return cls(entry.TableId, columns, tuple(entry.PKIDs)).checked()

    def checked(self) -> Table:
        """
        Return it.

        :raises ProofError: it has no primary key, or one of columns that it hasn't.
        """
        require(bool(self.key), "a table without a primary key")
        require(
            len(set(self.key)) == len(self.key),
            "a column that is in the primary key twice",
        )
        require(
            self.columns.keys() >= set(self.key), "a primary key with a missing column"
        )
        return self

    def row_key(self, primary_key: Sequence[Any]) -> bytes:
        """
        Return the key of a row.

        :raises DataError: a value isn't of its column's type, or too long.
        """
        require(
            len(primary_key) == len(self.key), "a primary key that has other columns"
        )
        values = [
            encode_key(value, self.columns[number])
            for value, number in zip(primary_key, self.key, strict=True)
        ]
        ids = struct.pack(">III", DATABASE, self.id, PRIMARY)
        return ROW + ids + b"".join(values)

    def decode(self, value: bytes) -> dict[str, Any]:
        """
        Return the row that a value is, by the names of its columns.

        :raises ProofError: it isn't a row of this table.
        :raises DataError: Python has no such value, e.g. a TIMESTAMP of the year 10000.
        """
        row: dict[str, Any] = dict.fromkeys(
            column.name for column in self.columns.values()
        )
        for number, encoded in _parts(value):
            # Those that were dropped are in older rows still.
            if number in self.columns:
                column = self.columns[number]
                row[column.name] = decode_value(encoded, column.type)
        return row


def _parts(value: bytes) -> Iterator[tuple[int, bytes]]:
    """Go over the columns' ids and encoded values."""
    what = "a row that is truncated or too long"
    require(len(value) >= 4, what)
    (count,) = struct.unpack_from(">I", value)
    place = 4
    for _ in range(count):
        require(len(value) >= place + 8, what)
        number, length = struct.unpack_from(">II", value, place)
        place += 8
        require(len(value) >= place + length, what)
        yield number, value[place : place + length]
        place += length
    require(place == len(value), what)


FIXED = {"INTEGER": ">q", "FLOAT": ">d", "BOOLEAN": ">?", "TIMESTAMP": ">q"}


def decode_value(encoded: bytes, kind: str) -> Any:
    """Return the value of a column; see :meth:`Table.decode` for errors."""
    if kind in FIXED:
        require(
            len(encoded) == struct.calcsize(FIXED[kind]), "a value of the wrong size"
        )
        (value,) = struct.unpack(FIXED[kind], encoded)
        return _from_microseconds(value) if kind == "TIMESTAMP" else value
    if kind == "BLOB":
        return encoded
    if kind == "UUID":
        require(len(encoded) == 16, "a value of the wrong size")
        return uuid.UUID(bytes=encoded)
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"a {kind} that isn't UTF-8: {error}") from error


def encode_key(value: Any, column: Column) -> bytes:
    """
    Return a value as it is in a primary key: keys sort as their values do.

    :raises DataError: it isn't of the column's type, or too long.
    """
    kind = column.type
    if kind == "VARCHAR" and isinstance(value, str):
        return _padded(value.encode(), column)
    if kind == "BLOB" and isinstance(value, bytes | bytearray | memoryview):
        return _padded(bytes(value), column)
    if kind == "BOOLEAN" and isinstance(value, bool):
        return NOT_NULL + bytes([value])
    if kind == "UUID":
        return NOT_NULL + _uuid(value).bytes
    if kind == "INTEGER" and isinstance(value, int) and not isinstance(value, bool):
        return NOT_NULL + _sortable(bind_value(value).n)
    if kind == "TIMESTAMP" and isinstance(value, datetime.date):
        # Nanoseconds, which wrap around before 1678 and after 2262.
        return NOT_NULL + _sortable(bind_value(value).ts * 1000)
    if kind == "FLOAT" and isinstance(value, int | float):
        (bits,) = struct.unpack(">Q", struct.pack(">d", value))
        # The larger a negative number, the smaller its bits have to be.
        bits = ~bits % (1 << 64) if bits >> 63 else bits | 1 << 63
        return NOT_NULL + struct.pack(">Q", bits)
    raise DataError(f"{column.name} is of type {kind}, not {type(value).__name__}")


def _sortable(value: int) -> bytes:
    """Return 64 bits whose bytes sort as the numbers do, negative ones first."""
    return struct.pack(">Q", (value + (1 << 63)) % (1 << 64))


def _padded(value: bytes, column: Column) -> bytes:
    if len(value) > column.length:
        raise DataError(
            f"the value of {column.name} has more than {column.length} bytes"
        )
    return NOT_NULL + value.ljust(column.length, b"\0") + struct.pack(">I", len(value))


def _uuid(value: Any) -> uuid.UUID:
    try:
        if isinstance(value, uuid.UUID):
            return value
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(value)
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{shown(value)} isn't a UUID") from error


def same_key(table: Table, row: dict[str, Any], primary_key: Sequence[Any]) -> bool:
    """Whether the row's own columns have the key that it was found under."""
    own = [row[table.columns[number].name] for number in table.key]
    if any(value is None for value in own):
        return False
    try:
        return table.row_key(own) == table.row_key(primary_key)
    except (DataError, ProofError):
        return False
