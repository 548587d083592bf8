"""
Values between SQLite, whose dialect runs our SQL, and the store's columns.

SQLite knows integers, floats, text and blobs. Django's SQLite dialect writes
dates as ISO text, decimals as numbers, UUIDs as 32 hexadecimal digits and
durations as microseconds; a store has real types. Affinities and comparisons
follow https://www.sqlite.org/datatype3.html.
"""

from __future__ import annotations

import datetime
import functools
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from types import NoneType
from typing import Any, NoReturn

from backendkit.clock import real
from backendkit.stores import (
    Column,
    DataError,
    ProgrammingError,
    ValueType,
    shown,
)

from . import dynamic
from .dynamic import Affinity, SQLiteValue, affinity_of
from .numbers import FLOAT_DIGITS, INT64, NUMBER

MICROSECOND = datetime.timedelta(microseconds=1)
#: Integers up to here are floats.
_FLOAT_INTEGERS = 2**53


# Declared types


#: The type that a virtual table's column is declared with: its affinity is the
#: one that the Django field has on SQLite, and PEP 249's type codes come from it.
DECLARATIONS = {
    ValueType.BOOL: "bool",
    ValueType.INTEGER: "integer",
    ValueType.FLOAT: "real",
    ValueType.DECIMAL: "decimal",
    ValueType.STRING: "text",
    ValueType.BYTES: "blob",
    ValueType.DATE: "date",
    ValueType.TIME: "time",
    ValueType.DATETIME: "datetime",
    ValueType.DURATION: "bigint",
    ValueType.UUID: "char(32)",
    ValueType.JSON: "text",
}


def declaration(column: Column) -> str:
    """Return the type that a virtual table's column is declared with."""
    if column.type is ValueType.ANY:
        return affinity_of(column.declared).value
    return DECLARATIONS[column.type]


#: The types that we know, without sizes. What isn't here may mean anything.
_KNOWN = {
    **dict.fromkeys(("bool", "boolean"), ValueType.BOOL),
    **dict.fromkeys(
        (
            *("integer", "int", "bigint", "smallint", "tinyint", "mediumint", "int2"),
            *("int4", "int8", "big int"),
        ),
        ValueType.INTEGER,
    ),
    **dict.fromkeys(
        ("real", "float", "float4", "float8", "double", "double precision"),
        ValueType.FLOAT,
    ),
    **dict.fromkeys(("decimal", "numeric", "dec"), ValueType.DECIMAL),
    **dict.fromkeys(
        (
            *("text", "varchar", "char", "nvarchar", "nchar", "clob", "character"),
            *("character varying", "varying character", "native character"),
            *("tinytext", "mediumtext", "longtext"),
        ),
        ValueType.STRING,
    ),
    **dict.fromkeys(("blob", "tinyblob", "mediumblob", "longblob"), ValueType.BYTES),
    **dict.fromkeys(("uuid", "uuid char"), ValueType.UUID),
    **dict.fromkeys(("json", "json text"), ValueType.JSON),
    **dict.fromkeys(("duration", "duration bigint"), ValueType.DURATION),
    "date": ValueType.DATE,
    "time": ValueType.TIME,
    **dict.fromkeys(("datetime", "timestamp"), ValueType.DATETIME),
}
_NOT_A_NAME = re.compile(r"\([^)]*\)|\bunsigned\b")


def value_type(declared: str) -> ValueType:
    """Return the type of a column declared so."""
    name = " ".join(_NOT_A_NAME.sub(" ", declared.lower()).split())
    return _KNOWN.get(name, ValueType.ANY)


def size_of(declared: str) -> tuple[int, ...]:
    """Return the numbers in parentheses: ``varchar(10)`` gives ``(10,)``."""
    inside = re.search(r"\(([\d\s,]+)\)", declared)
    return tuple(int(number) for number in inside[1].split(",")) if inside else ()


# From the store to SQLite


def _decimal_to_sqlite(value: Decimal) -> int | float:
    """A NUMERIC column holds an integer where that is exact, else a float."""
    number = float(value)
    if number.is_integer() and value == (whole := int(value)) and whole in INT64:
        return whole
    return number


def _duration_to_sqlite(value: datetime.timedelta) -> int:
    return (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds


def _datetime_to_sqlite(value: datetime.datetime) -> str:
    return value.isoformat(" ")


TO_SQLITE: dict[ValueType, Callable[[Any], SQLiteValue]] = {
    ValueType.BOOL: int,
    ValueType.DECIMAL: _decimal_to_sqlite,
    ValueType.DATE: real.date.isoformat,
    ValueType.TIME: datetime.time.isoformat,
    ValueType.DATETIME: _datetime_to_sqlite,
    ValueType.DURATION: _duration_to_sqlite,
    ValueType.UUID: lambda value: value.hex,
    ValueType.ANY: dynamic.decode,
}


def row_converter(
    columns: Sequence[Column],
) -> Callable[[tuple[Any, ...]], Sequence[SQLiteValue]] | None:
    """Return a function from the store's rows to SQLite's; None for identity."""
    converters = [
        (number, TO_SQLITE[column.type])
        for number, column in enumerate(columns)
        if column.type in TO_SQLITE
    ]
    if not converters:
        return None

    def convert(row: tuple[Any, ...]) -> Sequence[SQLiteValue]:
        values = list(row)
        for number, converter in converters:
            value = values[number]
            if value is not None:
                values[number] = converter(value)
        return values

    return convert


# From parameters to SQLite


def _adapt_other(value: Any) -> SQLiteValue:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, real.datetime):
        return value.isoformat(" ")
    if isinstance(value, (real.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return _duration_to_sqlite(value)
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value  # type: ignore[no-any-return]  # apsw names what it can't bind


_PLAIN = frozenset({int, str, float, bytes, bool, type(None)})


def adapt(value: Any) -> SQLiteValue:
    """Return a parameter as SQLite's dialect wants it, as sqlite3's adapters do."""
    return value if value.__class__ in _PLAIN else _adapt_other(value)


def adapt_all(values: Sequence[Any]) -> Sequence[SQLiteValue]:
    """Adapt a sequence of parameters."""
    for value in values:
        if value.__class__ not in _PLAIN:
            return [adapt(value) for value in values]
    return values


#: What apsw raises for a parameter that it can't bind.
BINDING_ERRORS = (OverflowError, TypeError, UnicodeEncodeError)


def reraise_binding(bindings: Any, error: Exception) -> NoReturn:
    """
    Say which parameter SQLite refused; if none, raise the error as it is.

    :param bindings: the parameters, adapted; a sequence or a mapping.
    :raises DataError: one is out of range, or no Unicode.
    :raises ProgrammingError: one is of a type that SQL doesn't know.
    """
    values = bindings.values() if isinstance(bindings, Mapping) else bindings
    for number, value in enumerate(values, 1):
        if isinstance(value, int) and value not in INT64:
            msg = f"Parameter {number}, {shown(value)}, is out of the range of 64 bits."
            raise DataError(msg) from error
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                msg = (
                    f"Parameter {number}, {shown(value)!a}, contains a lone"
                    " surrogate, which isn't valid Unicode."
                )
                raise DataError(msg) from error
        elif not isinstance(value, (int, float, bytes, type(None))):
            kind = type(value).__name__
            msg = f"Error binding parameter {number}: type '{kind}' is not supported"
            raise ProgrammingError(msg) from error
    raise error


# From SQLite to the store: writing


def _number(value: SQLiteValue) -> int | float | Decimal:
    """Apply a numeric affinity. :raises ValueError: not a number."""
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and NUMBER.match(value):
        return Decimal(value.strip())
    raise ValueError


def _to_bool(value: SQLiteValue) -> bool:
    number = _number(value)
    if number not in (0, 1):
        raise ValueError
    return bool(number)


def _to_integer(value: SQLiteValue) -> int:
    # A fraction is rounded, as by PostgreSQL's assignment casts.
    number = value if value.__class__ is int else round(_number(value))
    if number not in INT64:
        msg = "it is out of the range of 64 bits"
        raise OverflowError(msg)
    return int(number)


def _to_float(value: SQLiteValue) -> float | None:
    number = float(_number(value))
    return None if number != number else number  # noqa: PLR0124  # NaN is NULL


def float_to_decimal(value: float) -> Decimal:
    """Return the shortest decimal, or the integer that SQLite makes of a float."""
    if _FLOAT_INTEGERS <= abs(value) < 2**63:
        return Decimal(int(value))
    return Decimal(repr(value))


def _to_decimal(value: SQLiteValue) -> Decimal:
    if isinstance(value, float):
        number = float_to_decimal(value)
    else:
        number = Decimal(value.strip() if isinstance(value, str) else _number(value))
    # SQLite would see infinity.
    if not number.is_finite() or number.adjusted() > 307:
        raise ValueError
    return number


def _shortened(value: Decimal) -> Decimal:
    """Drop the digits that SQLite, with its floats, wouldn't keep."""
    if len(value.as_tuple().digits) <= FLOAT_DIGITS:
        return value
    seen = _decimal_to_sqlite(value)
    return Decimal(seen) if isinstance(seen, int) else float_to_decimal(seen)


def _to_string(value: SQLiteValue) -> str:
    if isinstance(value, str):
        # A lone surrogate isn't a character: no store can keep it.
        value.encode()
        return str.__str__(value)  # a subclass may return itself
    if isinstance(value, (int, float)):
        return repr(float(value)) if isinstance(value, float) else str(int(value))
    raise ValueError


def _to_bytes(value: SQLiteValue) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise ValueError


def _text(value: SQLiteValue) -> str:
    if not isinstance(value, str):
        raise ValueError  # one exception for "doesn't fit"
    return value


# Django's own parser, and so its SQLite backend, takes these as well.
_LOOSE_TIME = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\d{1,2}[ T])?(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,6})\d*)?)?\Z",
    re.A,
)


def _strict(text: str) -> str:
    """Write a date or time as ISO 8601 does, if it is nearly one."""
    match = _LOOSE_TIME.match(text)
    if match is None:
        return text
    day = ""
    if match["date"]:
        year, month, number = match["date"][:-1].split("-")
        day = f"{year}-{month:0>2}-{number:0>2} "
    fraction = (match["fraction"] or "").ljust(6, "0")
    return (
        f"{day}{match['hour']:0>2}:{match['minute']}:{match['second'] or '00'}"
        f".{fraction}"
    )


def _to_date(value: SQLiteValue) -> datetime.date:
    text = _text(value)
    if len(text) > 10:  # YYYY-MM-DD and a time
        return real.datetime.fromisoformat(text).date()
    return real.date.fromisoformat(text)


def _to_datetime(value: SQLiteValue) -> datetime.datetime:
    text = _text(value)
    try:
        result = real.datetime.fromisoformat(text)
    except ValueError:
        result = real.datetime.fromisoformat(_strict(text))
    if result.tzinfo is not None:
        result = result.astimezone(datetime.UTC).replace(tzinfo=None)
    return result


def _to_time(value: SQLiteValue) -> datetime.time:
    text = _text(value)
    if len(text) > 18:  # a date and a time
        return real.datetime.fromisoformat(text).time()
    try:
        result = datetime.time.fromisoformat(text)
    except ValueError:
        result = datetime.time.fromisoformat(_strict(text))
    # Without a date an offset means nothing; Django's parser drops it too.
    return result.replace(tzinfo=None)


def _to_duration(value: SQLiteValue) -> datetime.timedelta:
    return _to_integer(value) * MICROSECOND


def _to_uuid(value: SQLiteValue) -> uuid.UUID:
    return uuid.UUID(_text(value))


def _to_json(value: SQLiteValue) -> str:
    return _to_string(value)


TO_STORE: dict[ValueType, Callable[[Any], Any]] = {
    ValueType.BOOL: _to_bool,
    ValueType.INTEGER: _to_integer,
    ValueType.FLOAT: _to_float,
    ValueType.DECIMAL: _to_decimal,
    ValueType.STRING: _to_string,
    ValueType.BYTES: _to_bytes,
    ValueType.DATE: _to_date,
    ValueType.TIME: _to_time,
    ValueType.DATETIME: _to_datetime,
    ValueType.DURATION: _to_duration,
    ValueType.UUID: _to_uuid,
    ValueType.JSON: _to_json,
}


def _any_to_store(affinity: Affinity, value: SQLiteValue) -> str | None:
    return dynamic.encode(dynamic.apply(affinity, value))


def store_converter(column: Column) -> Callable[[Any], Any]:
    """
    Return what makes the store's value of SQLite's, NULL excepted.

    It raises one of :data:`CONVERSION_ERRORS`.
    """
    if column.type is ValueType.ANY:
        return functools.partial(_any_to_store, affinity_of(column.declared))
    return TO_STORE[column.type]


def is_short(column: Column) -> bool:
    """Whether a DECIMAL column's values all differ as floats."""
    return 0 < (column.max_digits or 0) <= FLOAT_DIGITS


def orders_alike(column: Column) -> bool:
    """Whether the store orders values, and tells them apart, just as SQLite does."""
    if column.type is ValueType.DECIMAL:
        return is_short(column)
    if column.type is ValueType.ANY:
        # Without an affinity, 1 and 1.0 are equal, and two values.
        return affinity_of(column.declared) is not Affinity.BLOB
    return column.type is not ValueType.JSON


def is_same_type(one: Column, other: Column) -> bool:
    """Whether equal values of two columns are the same to the store."""
    return one.type is other.type and (
        one.type is not ValueType.ANY
        or affinity_of(one.declared) is affinity_of(other.declared)
    )


#: What says that a value doesn't fit into a column.
CONVERSION_ERRORS = (ValueError, OverflowError, InvalidOperation, UnicodeEncodeError)


def all_to_store(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    """
    Convert many values as :func:`to_store` does, but for its error.

    Raises one of :data:`CONVERSION_ERRORS`.
    """
    kinds = set(map(type, values))
    if kinds <= _AS_THEY_ARE.get(column.type, _NOTHING):
        return values
    if column.type is ValueType.INTEGER and kinds == {int}:
        if min(values) in INT64 and max(values) in INT64:
            return values
        raise OverflowError
    convert = store_converter(column)
    short = column.type is ValueType.DECIMAL and is_short(column)

    def one(value: Any) -> Any:
        if value is None:
            return None
        stored = convert(adapt(value))
        return _shortened(stored) if short else stored

    if kinds <= _HASHABLE:
        distinct = set(values)
        if 2 * len(distinct) <= len(values):
            known = {value: one(value) for value in distinct}
            return [known[value] for value in values]
    return [one(value) for value in values]


_NOTHING: frozenset[type] = frozenset()
#: Types of values that are what a column holds.
_AS_THEY_ARE = {
    ValueType.BOOL: frozenset({bool, NoneType}),
    ValueType.BYTES: frozenset({bytes, NoneType}),
}
#: Types whose equal values are the same to a column, if no other is among them.
_HASHABLE = frozenset({str, NoneType})


def to_store(table: str, column: Column, value: Any) -> Any:
    """
    Convert a value that SQL or a parameter gives to what the column holds.

    :raises DataError: it doesn't fit; names the column.
    """
    if value is None:
        return None
    try:
        stored = store_converter(column)(adapt(value))
        if column.type is ValueType.DECIMAL and is_short(column):
            return _shortened(stored)
        return stored
    except CONVERSION_ERRORS as error:
        # Other errors of Python may quote the whole value.
        named = isinstance(error, (OverflowError, UnicodeEncodeError))
        reason = f" ({error})" if named and str(error) else ""
        msg = (
            f"The value {shown(value)} doesn't fit into column {table}.{column.name},"
            f" which holds {column.type.value} values{reason}."
        )
        raise DataError(msg) from error
