"""Rows that a query answers, encoded as the ledger has them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

from ._rows import NOT_NULL, SIZED, Column, Table, _parts, _sortable

Row = Sequence[Any]
Encoder = Callable[[Any], bytes]

#: What Python raises for a value of another type than its column's.
UNFIT = (AttributeError, KeyError, OverflowError, TypeError, ValueError, struct.error)


def _text(value: str) -> bytes:
    return value.encode()


def _uuid(value: str) -> bytes:
    return bytes.fromhex(value.replace("-", ""))


def _boolean(value: Any) -> bytes:
    if value.__class__ is not bool:
        raise TypeError("not a boolean")
    return b"\1" if value else b"\0"


_VALUES: dict[str, Encoder] = {
    "INTEGER": struct.Struct(">q").pack,
    "FLOAT": struct.Struct(">d").pack,
    "BOOLEAN": _boolean,
    "TIMESTAMP": struct.Struct(">q").pack,
    "VARCHAR": _text,
    "JSON": _text,
    "BLOB": bytes,
    "UUID": _uuid,
}


def _meaning(document: bytes) -> str:
    """
    Return a JSON document as immudb rewrites it when it is read: numbers are floats.

    :raises RecursionError: it is nested too deeply.
    """
    return json.dumps(json.loads(document, parse_int=float), sort_keys=True)


def _sorts_as_float(value: float) -> bytes:
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    return struct.pack(">Q", ~bits % (1 << 64) if bits >> 63 else bits | 1 << 63)


def _padded(encode: Encoder, length: int) -> Encoder:
    def padded(value: Any) -> bytes:
        found = encode(value)
        return found.ljust(length, b"\0") + struct.pack(">I", len(found))

    return padded


def _in_key(column: Column) -> Encoder:
    kind = column.type
    if kind in SIZED:
        return _padded(_VALUES[kind], column.length)
    if kind == "INTEGER":
        return _sortable
    if kind == "TIMESTAMP":
        return lambda value: _sortable(value * 1000)
    if kind == "FLOAT":
        return _sorts_as_float
    return _VALUES[kind]


class RowEncoder:
    """
    Encodes the rows of a table as they are in its transactions.

    :param names: of the columns, as rows have them; all that the table has.

    Rows have what :meth:`Connection.stream` returns if it is told ``raw``.
    """

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        place = {name: number for number, name in enumerate(names)}
        columns = table.columns
        self._key = [
            (place[columns[number].name], _in_key(columns[number]))
            for number in table.key
        ]
        self._columns = [
            (number, place[columns[number].name], _VALUES[columns[number].type])
            for number in sorted(columns)
        ]
        self._types = {number: column.type for number, column in columns.items()}
        self._names = {number: column.name for number, column in columns.items()}

    def key(self, row: Row) -> bytes:
        """
        Return the key of a row, but for what those of all rows of the table begin with.

        :raises UNFIT: a value isn't of its column's type.
        """
        return b"".join([NOT_NULL + encode(row[place]) for place, encode in self._key])

    def value(self, row: Row) -> bytes:
        """
        Return the value of a row, as immudb writes one.

        An older row may have been written in another way: see :meth:`differing`.

        :raises UNFIT: a value isn't of its column's type.
        """
        parts = []
        for number, place, encode in self._columns:
            value = row[place]
            if value is not None:
                encoded = encode(value)
                parts.append(struct.pack(">II", number, len(encoded)) + encoded)
        return struct.pack(">I", len(parts)) + b"".join(parts)

    def differing(self, row: Row, value: bytes) -> list[str]:
        """
        Return the names of the columns in which a row isn't what was written.

        :param value: what was written. It may have columns that were dropped since.
        :raises ProofError: it isn't a row.
        :raises UNFIT: a value isn't of its column's type.
        :raises RecursionError: a JSON document is nested too deeply to be compared.
        """
        written = dict(_parts(value))
        found = []
        for number, place, encode in self._columns:
            here, there = row[place], written.get(number)
            encoded = None if here is None else encode(here)
            if encoded == there:
                continue
            if (
                self._types[number] == "JSON"
                and there is not None
                and encoded is not None
                and _meaning(there) == _meaning(encoded)
            ):
                continue
            found.append(self._names[number])
        return found


def decode_key(key: bytes, table: Table) -> tuple[Any, ...]:
    """
    Return the values of a primary key, those that :meth:`RowEncoder.key` takes.

    :raises UNFIT: it isn't one of this table.
    """
    values: list[Any] = []
    place = 0
    for number in table.key:
        column = table.columns[number]
        place += len(NOT_NULL)
        if column.type in SIZED:
            end = place + column.length
            (size,) = struct.unpack_from(">I", key, end)
            found: Any = key[place : place + size]
            values.append(found.decode() if column.type == "VARCHAR" else found)
            place = end + 4
            continue
        size = {"BOOLEAN": 1, "UUID": 16}.get(column.type, 8)
        values.append(_from_key(key[place : place + size], column.type))
        place += size
    return tuple(values)


def _from_key(encoded: bytes, kind: str) -> Any:
    if kind == "BOOLEAN":
        return encoded != b"\0"
    if kind == "UUID":
        text = encoded.hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    (bits,) = struct.unpack(">Q", encoded)
    if kind == "FLOAT":
        bits = bits ^ 1 << 63 if bits >> 63 else ~bits % (1 << 64)
        return struct.unpack(">d", struct.pack(">Q", bits))[0]
    value = bits - (1 << 63)
    # Nanoseconds; a time before 1678 or after 2262 comes out as another one.
    return value // 1000 if kind == "TIMESTAMP" else value
