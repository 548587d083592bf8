"""
Values between SQLite, whose dialect runs our SQL, and the store's columns.

SQLite knows integers, floats, text and blobs. Django's SQLite dialect writes
dates as ISO text, decimals as numbers, UUIDs as 32 hexadecimal digits and
durations as microseconds; a store has real types. Affinities and comparisons
follow https://www.sqlite.org/datatype3.html.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, NamedTuple, NoReturn

import apsw

from backendkit.stores import Column, DataError, ProgrammingError, ValueType

SQLiteValue = None | int | float | str | bytes

_MICROSECOND = datetime.timedelta(microseconds=1)
_INT64 = range(-(2**63), 2**63)
# What SQLite takes for a number when it applies a numeric affinity to text.
_NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)\s*\Z", re.A
)
_INTEGER = re.compile(r"[+-]?\d+\Z", re.A)
_DIGITS = re.compile(r"\d", re.A)
_UUID = re.compile(r"[0-9a-f]{32}\Z")
# How dates, times and datetimes are written, see TO_SQLITE.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d", re.A)
#: Decimals of so many digits all differ as floats.
_FLOAT_DIGITS = 15
#: Integers up to here are floats.
_FLOAT_INTEGERS = 2**53

NUMERIC_TYPES = frozenset(
    {
        ValueType.BOOL,
        ValueType.INTEGER,
        ValueType.FLOAT,
        ValueType.DECIMAL,
        ValueType.DURATION,
    }
)
_TEMPORAL_TYPES = frozenset({ValueType.DATE, ValueType.TIME, ValueType.DATETIME})


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

_BY_FIRST_WORD = {
    "uuid": ValueType.UUID,
    "json": ValueType.JSON,
    "duration": ValueType.DURATION,
    "bool": ValueType.BOOL,
    "boolean": ValueType.BOOL,
    "date": ValueType.DATE,
    "datetime": ValueType.DATETIME,
    "timestamp": ValueType.DATETIME,
    "time": ValueType.TIME,
    "decimal": ValueType.DECIMAL,
    "numeric": ValueType.DECIMAL,
}


def value_type(declared: str) -> ValueType:
    """
    Return the type of a column declared so.

    The words of our own dialect first, then SQLite's rules for affinity, in
    their order.
    """
    words = re.findall(r"[a-z]+", declared.lower())
    if words and words[0] in _BY_FIRST_WORD:
        return _BY_FIRST_WORD[words[0]]
    text = declared.lower()
    if "int" in text:
        return ValueType.INTEGER
    if any(word in text for word in ("char", "clob", "text")):
        return ValueType.STRING
    if "blob" in text:
        return ValueType.BYTES
    if any(word in text for word in ("real", "floa", "doub")):
        return ValueType.FLOAT
    return ValueType.DECIMAL if text else ValueType.STRING


def size_of(declared: str) -> tuple[int, ...]:
    """Return the numbers in parentheses: ``varchar(10)`` gives ``(10,)``."""
    inside = re.search(r"\(([\d\s,]+)\)", declared)
    return tuple(int(number) for number in inside[1].split(",")) if inside else ()


# From the store to SQLite


def _decimal_to_sqlite(value: Decimal) -> int | float:
    """A NUMERIC column holds an integer where that is exact, else a float."""
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    return float(value)


def _duration_to_sqlite(value: datetime.timedelta) -> int:
    return (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds


def _datetime_to_sqlite(value: datetime.datetime) -> str:
    return value.isoformat(" ")


TO_SQLITE: dict[ValueType, Callable[[Any], SQLiteValue]] = {
    ValueType.BOOL: int,
    ValueType.DECIMAL: _decimal_to_sqlite,
    ValueType.DATE: datetime.date.isoformat,
    ValueType.TIME: datetime.time.isoformat,
    ValueType.DATETIME: _datetime_to_sqlite,
    ValueType.DURATION: _duration_to_sqlite,
    ValueType.UUID: lambda value: value.hex,
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
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, (datetime.date, datetime.time)):
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
        if isinstance(value, int) and value not in _INT64:
            msg = f"Parameter {number}, {value}, is out of the range of 64 bits."
            raise DataError(msg) from error
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                msg = (
                    f"Parameter {number}, {value!a}, has surrogates: it isn't Unicode."
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
    if isinstance(value, str) and _NUMBER.match(value):
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
    if number not in _INT64:
        msg = "it is out of the range of 64 bits"
        raise OverflowError(msg)
    return int(number)


def _to_float(value: SQLiteValue) -> float | None:
    number = float(_number(value))
    return None if number != number else number  # noqa: PLR0124  # NaN is NULL


def _float_to_decimal(value: float) -> Decimal:
    """Return the shortest decimal, or the integer that SQLite makes of a float."""
    if _FLOAT_INTEGERS <= abs(value) < 2**63:
        return Decimal(int(value))
    return Decimal(repr(value))


def _to_decimal(value: SQLiteValue) -> Decimal:
    if isinstance(value, float):
        number = _float_to_decimal(value)
    else:
        number = Decimal(value.strip() if isinstance(value, str) else _number(value))
    # SQLite would see infinity.
    if not number.is_finite() or number.adjusted() > 307:  # noqa: PLR2004
        raise ValueError
    return number


def _shortened(value: Decimal) -> Decimal:
    """Drop the digits that SQLite, with its floats, wouldn't keep."""
    if len(value.as_tuple().digits) <= _FLOAT_DIGITS:
        return value
    seen = _decimal_to_sqlite(value)
    return Decimal(seen) if isinstance(seen, int) else _float_to_decimal(seen)


def _to_string(value: SQLiteValue) -> str:
    if isinstance(value, str):
        # A lone surrogate isn't a character: no store can keep it.
        value.encode()
        return str(value)
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
        raise ValueError  # noqa: TRY004  # one exception for "doesn't fit"
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
    if len(text) > 10:  # noqa: PLR2004  # YYYY-MM-DD and a time
        return datetime.datetime.fromisoformat(text).date()
    return datetime.date.fromisoformat(text)


def _to_datetime(value: SQLiteValue) -> datetime.datetime:
    text = _text(value)
    try:
        result = datetime.datetime.fromisoformat(text)
    except ValueError:
        result = datetime.datetime.fromisoformat(_strict(text))
    if result.tzinfo is not None:
        result = result.astimezone(datetime.UTC).replace(tzinfo=None)
    return result


def _to_time(value: SQLiteValue) -> datetime.time:
    text = _text(value)
    if len(text) > 18:  # noqa: PLR2004  # a date and a time
        return datetime.datetime.fromisoformat(text).time()
    try:
        result = datetime.time.fromisoformat(text)
    except ValueError:
        result = datetime.time.fromisoformat(_strict(text))
    # Without a date an offset means nothing; Django's parser drops it too.
    return result.replace(tzinfo=None)


def _to_duration(value: SQLiteValue) -> datetime.timedelta:
    return _to_integer(value) * _MICROSECOND


def _to_uuid(value: SQLiteValue) -> uuid.UUID:
    return uuid.UUID(_text(value))


def _to_json(value: SQLiteValue) -> str:
    return _to_string(value)


_TO_STORE: dict[ValueType, Callable[[Any], Any]] = {
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


def to_store(table: str, column: Column, value: Any) -> Any:
    """
    Convert a value that SQL or a parameter gives to what the column holds.

    :raises DataError: it doesn't fit; names the column.
    """
    if value is None:
        return None
    try:
        stored = _TO_STORE[column.type](adapt(value))
        if column.type is ValueType.DECIMAL and _is_short(column):
            return _shortened(stored)
        return stored
    except (ValueError, OverflowError, InvalidOperation, UnicodeEncodeError) as error:
        shown = repr(value)
        if len(shown) > 100:  # noqa: PLR2004  # enough to recognise it
            shown = shown[:100] + "…"
        reason = "" if str(error) == "" else f" ({error})"
        msg = (
            f"The value {shown} doesn't fit into column {table}.{column.name},"
            f" which holds {column.type.value} values{reason}."
        )
        raise DataError(msg) from error


# From SQLite to the store: comparing


class Bound(Enum):
    """What a comparison comes to when its other side has no value in the store."""

    #: No row matches.
    NOTHING = 0
    #: Every row may match: the filter can't be handed over.
    ANYTHING = 1


class Comparison(NamedTuple):
    """
    A comparison in the store's terms. ``value`` is a :class:`Bound` or a value.

    The lookup ``isnull`` stands for IS NOT NULL; ``range`` for both ``gte`` the
    first and ``lte`` the second of a pair of values.
    """

    lookup: str
    value: Any


_BELOW = {"lt", "lte"}
_DOWN = decimal.Context(prec=25, rounding=decimal.ROUND_FLOOR)
_UP = decimal.Context(prec=25, rounding=decimal.ROUND_CEILING)
_NOTHING = Comparison("exact", Bound.NOTHING)
_ANYTHING = Comparison("exact", Bound.ANYTHING)


def _other_class(lookup: str, *, column_is_smaller: bool) -> Comparison:
    """Compare values of two storage classes: NULL < number < text < blob."""
    if lookup == "exact":
        return _NOTHING
    if (lookup in _BELOW) == column_is_smaller:
        return Comparison("isnull", None)  # everything but NULL: see comparison()
    return _NOTHING


def comparison(column: Column, lookup: str, value: SQLiteValue) -> Comparison:
    """
    Translate ``column <lookup> value`` from SQLite's terms to the store's.

    What comes out never excludes a row that SQLite would include, wherever the
    value is from: a parameter, or a column of any type.

    :param lookup: ``exact``, ``gt``, ``gte``, ``lt`` or ``lte``.
    """
    if value is None:
        return _NOTHING
    kind = column.type
    if kind in NUMERIC_TYPES:
        return _compare_number(column, lookup, value)
    if kind is ValueType.BYTES:
        if isinstance(value, bytes):
            return Comparison(lookup, value)
        return _other_class(lookup, column_is_smaller=False)
    if isinstance(value, bytes):
        return _other_class(lookup, column_is_smaller=True)
    if kind in _TEMPORAL_TYPES:
        # Declared with a numeric affinity, but the values are text.
        if not isinstance(value, str) or _NUMBER.match(value):
            return _other_class(lookup, column_is_smaller=False)
        return _compare_temporal(kind, lookup, value)
    if not isinstance(value, str):
        # Compared as text or as numbers, depending on where the value is from.
        return _ANYTHING
    if kind is ValueType.UUID:
        if _UUID.match(value):
            return Comparison(lookup, uuid.UUID(value))
        return _NOTHING if lookup == "exact" else _ANYTHING
    if lookup in _BELOW and _MOMENT.match(value):
        # From a column of moments, with a numeric affinity: then all text that
        # looks like a number becomes one, and is below any text.
        return _ANYTHING
    return Comparison(lookup, value)


def _compare_number(column: Column, lookup: str, value: SQLiteValue) -> Comparison:
    kind = column.type
    number = _text_as_number(value) if isinstance(value, str) else value
    if not isinstance(number, (int, float)):
        return _other_class(lookup, column_is_smaller=True)
    if kind is ValueType.BOOL:
        if lookup != "exact":
            return _ANYTHING
        return Comparison(lookup, bool(number)) if number in (0, 1) else _NOTHING
    if kind is ValueType.FLOAT:
        return Comparison(lookup, number)
    if isinstance(number, float) and math.isinf(number):
        if kind is ValueType.DECIMAL:
            return _ANYTHING  # very large ones are infinite as floats
        return _other_class(lookup, column_is_smaller=number > 0)
    if kind is ValueType.DECIMAL:
        return _compare_decimal(column, lookup, number)
    if lookup == "exact" and number != int(number):
        return _NOTHING
    if kind is ValueType.DURATION:
        if number != int(number) or abs(number) > 2**62:
            return _NOTHING if lookup == "exact" else _ANYTHING
        return Comparison(lookup, int(number) * _MICROSECOND)
    return Comparison(lookup, number)


def _text_as_number(text: str) -> int | float | None:
    """Return the number that SQLite takes a text for; None if it doesn't."""
    if "\0" in text:
        return _ask_sqlite(text)  # its versions differ
    if not _NUMBER.match(text):
        return None
    text = text.strip()
    if _INTEGER.match(text) and int(text) in _INT64:
        return int(text)
    if len(_DIGITS.findall(text.lower().partition("e")[0])) <= _FLOAT_DIGITS:
        return float(text)
    return _ask_sqlite(text)  # it rounds in its own way


@functools.lru_cache(maxsize=1000)
def _ask_sqlite(text: str) -> int | float | None:
    database = apsw.Connection(":memory:")
    try:
        database.execute("CREATE TABLE t (number NUMERIC)")
        database.execute("INSERT INTO t VALUES (?)", (text,))
        ((number,),) = database.execute("SELECT number FROM t").fetchall()
    finally:
        database.close()
    return number if isinstance(number, (int, float)) else None


def _compare_decimal(column: Column, lookup: str, number: float) -> Comparison:
    """
    Compare with decimals, which SQLite sees as floats, or as integers of 64 bits.

    Those of up to 15 digits all differ as floats; of others, several may be equal
    to one number, so the comparison leaves some room.
    """
    exact = isinstance(number, int)
    wanted = Decimal(number) if exact else _float_to_decimal(number)
    if _is_short(column):
        return Comparison(lookup, wanted)
    # More than what rounding to a float may have added or taken.
    room = _UP.add(_UP.multiply(abs(wanted), Decimal("1e-15")), Decimal("1e-323"))
    low, high = _DOWN.subtract(wanted, room), _UP.add(wanted, room)
    if lookup == "exact":
        return Comparison("range", (low, high))
    return Comparison("lte", high) if lookup in _BELOW else Comparison("gte", low)


def _is_short(column: Column) -> bool:
    """Whether a DECIMAL column's values all differ as floats."""
    return 0 < (column.max_digits or 0) <= _FLOAT_DIGITS


def _compare_temporal(kind: ValueType, lookup: str, value: str) -> Comparison:
    try:
        moment = _TO_STORE[kind](value)
        written = str(TO_SQLITE[kind](moment))
    except ValueError:
        return _NOTHING if lookup == "exact" else _ANYTHING
    if written == value:
        return Comparison(lookup, moment)
    if lookup == "exact":
        return _NOTHING
    if written.startswith(value) or value.startswith(written):
        # Another way to write this moment: as text just below or above it.
        return Comparison("lte" if lookup in _BELOW else "gte", moment)
    return _ANYTHING
