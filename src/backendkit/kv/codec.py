"""
Rows as bytes: msgpack arrays, read straight into Python's types.

A row is the array of its values in the order of a *layout*, followed by the
layout's number, which is less than 128 and therefore the last byte. msgspec
reads and writes it in C. Other programs read it with any msgpack library:

==================== ======================================================
BOOL INTEGER FLOAT   msgpack's own
STRING BYTES         msgpack's own
JSON ANY             msgpack's own text
DECIMAL              text, e.g. ``"1.50"``
DATE TIME DATETIME   text, ISO 8601
DURATION             text, ISO 8601, e.g. ``"-PT1.5S"``
UUID                 16 bytes
==================== ======================================================
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import isnan
from operator import attrgetter
from types import NoneType
from typing import Any, Protocol

import msgspec

from backendkit.clock import real
from backendkit.stores import (
    PYTHON_TYPES,
    Column,
    DataError,
    InternalError,
    Row,
    ValueType,
    shown,
)

#: More layouts than this have no number: rows are rewritten then.
MAX_LAYOUTS = 128

_INT64 = 1 << 63
#: Of types in a row that are remembered: nullable columns make many.
_COMBINATIONS = 1000

pack = msgspec.msgpack.Encoder(uuid_format="bytes", decimal_format="string").encode

_value = attrgetter("value")


class DamagedRowError(InternalError):
    """
    Bytes that are no row of their table.

    :param reason: what the decoder says.
    :param table: the table's name, if it is known.
    """

    def __init__(self, reason: str, table: str = "") -> None:
        self.reason, self.table = reason, table
        super().__init__(
            f"{table and table + ': '}a row can't be read ({reason}). The database is"
            " damaged, or another program has written to it. Check the database, and"
            " restore a backup."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.table)


#: What reading a row raises if it isn't one.
NO_ROW = (msgspec.DecodeError, UnicodeDecodeError)

Unpack = Callable[[bytes], tuple[Any, ...]]
#: From the bytes of many rows to a value of each, or a tuple of several.
UnpackPart = Callable[[Iterable[bytes]], Iterator[Any]]


class Holder(Protocol):
    """What has a row's value."""

    value: Any


def unpacker(types: Sequence[ValueType]) -> Unpack:
    """Return a function that reads rows of these types, layout number included."""
    fields = tuple(PYTHON_TYPES[value_type] | None for value_type in types)
    # A type built at run time: no type checker can follow.
    row_type: Any = tuple.__class_getitem__((*fields, int))
    decode: Unpack = msgspec.msgpack.Decoder(row_type).decode
    return decode


def value_unpacker(types: Sequence[ValueType], place: int) -> Callable[[bytes], Holder]:
    """
    Return a function that reads one value of rows of these types.

    Those before it are skipped, those behind it aren't looked at.
    """
    fields: list[Any] = [(f"at{before}", msgspec.Raw) for before in range(place)]
    fields.append(("value", PYTHON_TYPES[types[place]] | None))
    # A struct may be shorter than the array that it is read from; a tuple not.
    holder: Any = msgspec.defstruct("Holder", fields, array_like=True, gc=False)
    decode: Callable[[bytes], Holder] = msgspec.msgpack.Decoder(holder).decode
    return decode


def part_unpacker(types: Sequence[ValueType], places: Sequence[int]) -> UnpackPart:
    """
    Return a function that reads some values of rows of these types.

    :param places: where in the row they are. If it is only one, its values come as
        they are, else as tuples.
    """
    if len(places) == 1:
        holder = value_unpacker(types, places[0])
        return lambda datas: map(_value, map(holder, datas))
    fields = [
        (
            f"at{place}",
            PYTHON_TYPES[value_type] | None if place in places else msgspec.Raw,
        )
        for place, value_type in enumerate(types[: max(places) + 1])
    ]
    part = msgspec.defstruct("Part", fields, array_like=True, gc=False)
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(part).decode
    get = attrgetter(*(f"at{place}" for place in places))
    return lambda datas: map(get, map(decode, datas))


_raw_values: Callable[[bytes], list[msgspec.Raw]] = msgspec.msgpack.Decoder(
    list[msgspec.Raw]
).decode


def replaced(data: bytes, places: Sequence[int], values: Sequence[Any]) -> bytes:
    """Return a row with values at some places replaced; the others aren't looked at."""
    row = _raw_values(data)
    for place, value in zip(places, values, strict=True):
        row[place] = value
    return pack(row)


def replacer(values: Mapping[int, Any]) -> Callable[[bytes], bytes]:
    """
    Return a function that replaces in rows as :func:`replaced` does.

    :param values: by their places in the row.
    """
    raws = [(place, msgspec.Raw(pack(value))) for place, value in values.items()]

    def replace(data: bytes) -> bytes:
        row = _raw_values(data)
        for place, raw in raws:
            row[place] = raw
        return pack(row)

    return replace


class RowChecker:
    """
    Checks that rows hold values of their columns' types, and makes them so.

    :param table: the table's name, for messages.
    :param columns: in row order.
    """

    def __init__(self, table: str, columns: Sequence[Column]) -> None:
        self.table = table
        self.columns = tuple(columns)
        #: Combinations of types that were found right before.
        self._right: set[tuple[type, ...]] = set()
        # Columns whose values may be wrong though their type is right.
        self._ints = [
            number
            for number, column in enumerate(columns)
            if column.type is ValueType.INTEGER
        ]
        self._others = [
            (number, test)
            for number, column in enumerate(columns)
            if (test := _TESTS.get(column.type)) is not None
        ]

    def __call__(self, row: Row) -> Row:
        """
        Return the row, with values of exactly the columns' types.

        :raises DataError: a value doesn't fit; names the column.
        """
        if tuple(map(type, row)) not in self._right:
            return self._convert(row)
        for number in self._ints:
            value = row[number]
            if value is not None and not -_INT64 <= value < _INT64:
                return self._convert(row)
        for number, test in self._others:
            value = row[number]
            if value is not None and not test(value):
                return self._convert(row)
        return row

    def columns_of(self, rows: Sequence[Row]) -> list[Sequence[Any]] | None:
        """Return the values of rows by column; None if one may have to be converted."""
        if set(map(len, rows)) != {len(self.columns)}:
            return None
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for column, values in zip(self.columns, columns, strict=True):
            kinds = set(map(type, values))
            present = values
            if NoneType in kinds:
                kinds.remove(NoneType)
                present = [value for value in values if value is not None]
            if kinds and kinds != {PYTHON_TYPES[column.type]}:
                return None
            if column.type is ValueType.INTEGER:
                if present and not -_INT64 <= min(present) <= max(present) < _INT64:
                    return None
            elif (test := _TESTS.get(column.type)) and not all(map(test, present)):
                return None
        return columns

    def _convert(self, row: Row) -> Row:
        if len(row) != len(self.columns):
            raise DataError(
                f"{self.table}: a row has {len(row)} values, but the table has"
                f" {len(self.columns)} columns"
            )
        converted = tuple(
            None if value is None else self.convert(column, value)
            for column, value in zip(self.columns, row, strict=True)
        )
        if len(self._right) >= _COMBINATIONS:
            self._right.clear()
        self._right.add(tuple(map(type, converted)))
        return converted

    def convert(self, column: Column, value: Any) -> Any:
        """
        Return a value as the column's Python type.

        :raises DataError: it isn't one, or out of range.
        """
        try:
            converted = _CONVERTERS[column.type](value)
        except (
            ValueError,
            TypeError,
            OverflowError,
            InvalidOperation,
        ) as error:
            raise DataError(
                f"{self.table}.{column.name}: {shown(value)} can't be stored in a column"
                f" of type {column.type}: {error}"
            ) from error
        return converted


def _naive(value: datetime.time | datetime.datetime) -> bool:
    return value.tzinfo is None


def _finite(value: Decimal) -> bool:
    return value.is_finite()


def _number(value: float) -> bool:
    return not isnan(value)


def _encodable(value: str) -> bool:
    # Looking for surrogates costs a walk over the string, except in ASCII.
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_TESTS: dict[ValueType, Callable[[Any], bool]] = {
    ValueType.FLOAT: _number,
    ValueType.DECIMAL: _finite,
    ValueType.STRING: _encodable,
    ValueType.JSON: _encodable,
    ValueType.ANY: _encodable,
    ValueType.TIME: _naive,
    ValueType.DATETIME: _naive,
}


def _to_bool(value: Any) -> bool:
    if isinstance(value, (bool, int)) and value in {0, 1}:
        return bool(value)
    raise TypeError("not a boolean")


def _to_int(value: Any) -> int:
    if not isinstance(value, (int, float, Decimal)):
        raise TypeError("not an integer")
    number = int(value)
    if number != value:
        raise ValueError("not an integer")
    if not -_INT64 <= number < _INT64:
        raise ValueError("out of the range of 64 bits")
    return number


def _to_float(value: Any) -> float:
    if not isinstance(value, (float, int, Decimal)):
        raise TypeError("not a number")
    number = float(value)
    if isnan(number):
        raise ValueError("not a number")
    return number


def _to_decimal(value: Any) -> Decimal:
    if not isinstance(value, (Decimal, int, float)):
        raise TypeError("not a number")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError("not finite")
    return number


def _to_str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    value.encode()  # surrogates are not text
    return str.__str__(value)


def _to_bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("not bytes")
    return bytes(value)


def _to_date(value: Any) -> datetime.date:
    if not isinstance(value, real.date) or isinstance(value, real.datetime):
        raise TypeError("not a date")
    return real.date(value.year, value.month, value.day)


def _to_time(value: Any) -> datetime.time:
    if not isinstance(value, datetime.time):
        raise TypeError("not a time")
    if value.tzinfo is not None:
        raise ValueError("it has a time zone")
    return datetime.time(value.hour, value.minute, value.second, value.microsecond)


def _to_datetime(value: Any) -> datetime.datetime:
    if not isinstance(value, real.datetime):
        raise TypeError("not a date and time")
    if value.tzinfo is not None:
        raise ValueError("it has a time zone")
    midnight = real.datetime(value.year, value.month, value.day)
    return midnight + datetime.timedelta(
        hours=value.hour,
        minutes=value.minute,
        seconds=value.second,
        microseconds=value.microsecond,
    )


def _to_duration(value: Any) -> datetime.timedelta:
    if not isinstance(value, datetime.timedelta):
        raise TypeError("not a duration")
    return datetime.timedelta(value.days, value.seconds, value.microseconds)


def _to_uuid(value: Any) -> uuid.UUID:
    if not isinstance(value, uuid.UUID):
        raise TypeError("not a UUID")
    return uuid.UUID(int=value.int)


_CONVERTERS: dict[ValueType, Callable[[Any], Any]] = {
    ValueType.BOOL: _to_bool,
    ValueType.INTEGER: _to_int,
    ValueType.FLOAT: _to_float,
    ValueType.DECIMAL: _to_decimal,
    ValueType.STRING: _to_str,
    ValueType.BYTES: _to_bytes,
    ValueType.DATE: _to_date,
    ValueType.TIME: _to_time,
    ValueType.DATETIME: _to_datetime,
    ValueType.DURATION: _to_duration,
    ValueType.UUID: _to_uuid,
    ValueType.JSON: _to_str,
    ValueType.ANY: _to_str,
}
