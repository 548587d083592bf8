"""Which column types values are kept in, and how they are written and read."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from types import NoneType
from typing import Any

from backendkit.clock import real
from backendkit.stores import Column, DataError, Row, Table, ValueType, shown

MICROSECOND = datetime.timedelta(microseconds=1)

#: immudb's types by ours. Other clients read the columns as what they are; text stands
#: for what immudb has no type for. (Its JSON type doesn't keep numbers as written.)
COLUMN_TYPES: Mapping[ValueType, str] = {
    ValueType.BOOL: "BOOLEAN",
    ValueType.INTEGER: "INTEGER",
    ValueType.FLOAT: "FLOAT",
    ValueType.DECIMAL: "VARCHAR",
    ValueType.STRING: "VARCHAR",
    ValueType.BYTES: "BLOB",
    ValueType.DATE: "VARCHAR",
    ValueType.TIME: "VARCHAR",
    ValueType.DATETIME: "TIMESTAMP",
    ValueType.DURATION: "INTEGER",
    ValueType.UUID: "UUID",
    ValueType.JSON: "VARCHAR",
    ValueType.ANY: "VARCHAR",
}

#: Bytes of the types whose text isn't longer than that.
_LENGTHS = {ValueType.DATE: 10, ValueType.TIME: 15}
#: Bytes of what a key takes besides the columns: the index's own part of it.
_PREFIX = 16
_KEY = 1024
#: Bytes that a column takes in a key: a mark, and for text its length behind it.
_MARK, _LENGTH = 1, 4
_FIXED = {"BOOLEAN": 1, "INTEGER": 8, "FLOAT": 8, "TIMESTAMP": 8, "UUID": 16}
#: Bytes of a text in a primary key, which is in each key of an index, too.
_PRIMARY = 400
#: Bytes of a DECIMAL in a key.
_DECIMAL = 100
#: immudb indexes so many columns.
MAX_INDEXED = 8


def is_sized(value_type: ValueType) -> bool:
    """Whether a column of this type has a length where it is indexed."""
    return COLUMN_TYPES[value_type] in ("VARCHAR", "BLOB")


def _wanted(column: Column) -> int | None:
    """Return how many bytes a column may need; None for any number."""
    if column.type is ValueType.DECIMAL:
        return _DECIMAL
    if column.type is ValueType.STRING and column.max_length:
        # Lengths count bytes; a character has up to four in UTF-8.
        return column.max_length * 4
    if column.type is ValueType.BYTES and column.max_length:
        return column.max_length
    return _LENGTHS.get(column.type)


def indexed_columns(table: Table) -> list[tuple[str, ...]]:
    """Return the columns of immudb's secondary indexes for those of a table."""
    found = (index.columns[:MAX_INDEXED] for index in table.indexes)
    distinct = dict.fromkeys(tuple(dict.fromkeys(columns)) for columns in found)
    distinct.pop(table.primary_key, None)  # which is an index by itself
    return list(distinct)


def lengths(table: Table) -> dict[str, int]:
    """
    Return the lengths in bytes that columns get: of those in a key.

    What a key may have is divided among its columns.
    """
    found: dict[str, int] = {}
    # The primary key is in its own entry twice.
    room = (_KEY - _PREFIX) // 2
    _divide(table, table.primary_key, room, found, _PRIMARY, ())
    key = sum(_in_key(table.column(name), found) for name in table.primary_key)
    for columns in indexed_columns(table):
        room = _KEY - _PREFIX - key
        _divide(table, columns, room, found, _KEY, table.primary_key)
    return found


def _in_key(column: Column, found: Mapping[str, int]) -> int:
    if is_sized(column.type):
        return _MARK + found[column.name] + _LENGTH
    return _MARK + _FIXED[COLUMN_TYPES[column.type]]


def _divide(
    table: Table,
    names: Sequence[str],
    room: int,
    found: dict[str, int],
    most: int,
    settled: Sequence[str],
) -> None:
    """Give each text of a key its part of the room; ``settled`` ones have theirs."""
    texts = []
    for name in names:
        column = table.column(name)
        if is_sized(column.type) and name not in settled:
            texts.append(column)
            room -= _MARK + _LENGTH
        else:
            room -= _in_key(column, found)
    # Those that need little leave more to the others.
    texts.sort(key=lambda column: _wanted(column) or _KEY)
    for number, column in enumerate(texts):
        share = min(max(room // (len(texts) - number), 1), most)
        length = min(_wanted(column) or share, share, found.get(column.name, share))
        found[column.name] = length
        room -= length


def declaration(column: Column, length: int | None) -> str:
    """Return the type of a column in CREATE TABLE."""
    found = COLUMN_TYPES[column.type]
    return found if length is None else f"{found}[{length}]"


# Values


def decimal_text(value: Decimal) -> str:
    """Return the one text of a number: no exponent, no zeros at the end."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


_ENCODERS: Mapping[ValueType, Callable[[Any], Any]] = {
    ValueType.DECIMAL: decimal_text,
    ValueType.DATE: real.date.isoformat,
    # Of one width, so that they sort.
    ValueType.TIME: lambda value: value.isoformat(timespec="microseconds"),
    ValueType.DURATION: lambda value: value // MICROSECOND,
    ValueType.UUID: str,
}

_DECODERS: Mapping[ValueType, Callable[[Any], Any]] = {
    ValueType.DECIMAL: Decimal,
    ValueType.DATE: real.date.fromisoformat,
    ValueType.TIME: datetime.time.fromisoformat,
    ValueType.DURATION: lambda value: datetime.timedelta(microseconds=value),
}


def encode(value_type: ValueType, value: Any) -> Any:
    """Return what is bound for a value."""
    encoder = _ENCODERS.get(value_type)
    return value if value is None or encoder is None else encoder(value)


def placeholder(value_type: ValueType) -> str:
    """Return what stands for a value of this type in a comparison."""
    return "CAST(? AS UUID)" if value_type is ValueType.UUID else "?"


def decoder(columns: Sequence[Column]) -> Callable[[list[Row]], list[Row]] | None:
    """Return a function from rows as read to rows of these columns; None if equal."""
    found = [
        (at, _DECODERS[column.type])
        for at, column in enumerate(columns)
        if column.type in _DECODERS
    ]
    if not found:
        return None

    def decode(rows: list[Row]) -> list[Row]:
        decoded = []
        for row in rows:
            values = list(row)
            for at, convert in found:
                if values[at] is not None:
                    values[at] = convert(values[at])
            decoded.append(tuple(values))
        return decoded

    return decode


_PYTHON: Mapping[ValueType, Any] = {
    ValueType.BOOL: bool,
    ValueType.INTEGER: int,
    ValueType.FLOAT: (float, int),
    ValueType.DECIMAL: Decimal,
    ValueType.STRING: str,
    ValueType.BYTES: bytes,
    ValueType.DATE: real.date,
    ValueType.TIME: datetime.time,
    ValueType.DATETIME: real.datetime,
    ValueType.DURATION: datetime.timedelta,
    ValueType.UUID: object,
    ValueType.JSON: str,
    ValueType.ANY: str,
}


def _fits(value: Decimal, digits: int, places: int) -> bool:
    """
    Whether a number has no more digits than its column, rounded as when it is read.

    Nobody could read the row otherwise: SQLite keeps any number, but Django doesn't
    take it back.
    """
    if not value or value.adjusted() + 1 < digits - places:
        return True
    try:
        value.quantize(Decimal(1).scaleb(-places), context=Context(prec=digits))
    except InvalidOperation:
        return False
    return True


def check_rows(
    table: Table, rows: Sequence[Row], sizes: Mapping[str, int]
) -> list[Row]:
    """
    Return rows as they will be read.

    :param sizes: lengths of columns, in bytes; one that isn't there may have any.
    :raises DataError: a value can't be stored.
    """
    columns = zip(*rows, strict=True)
    checked = [
        _check_values(table, column, values, sizes.get(column.name))
        for column, values in zip(table.columns, columns, strict=bool(rows))
    ]
    return list(zip(*checked, strict=True))


def _check_values(
    table: Table, column: Column, values: Sequence[Any], length: int | None
) -> Sequence[Any]:
    """Return the values of one column of some rows, each as :func:`check_value` does."""
    if _are_plain(column.type, values, length):
        return values
    return [
        None if value is None else check_value(table, column, value, length)
        for value in values
    ]


def _are_plain(kind: ValueType, values: Sequence[Any], length: int | None) -> bool:
    """Whether a look at all of them tells that they fit, and stay as they are."""
    types = set(map(type, values))
    if NoneType in types:
        types.remove(NoneType)
        values = [value for value in values if value is not None]
    if kind is ValueType.INTEGER and types == {int}:
        return min(values) >= -(2**63) and max(values) < 2**63
    if kind is ValueType.STRING and types == {str}:
        return all(map(str.isascii, values)) and (
            length is None or max(map(len, values)) <= length
        )
    return not types


def check_value(table: Table, column: Column, value: Any, length: int | None) -> Any:
    """
    Return a value as it will be read.

    :param length: of the column, in bytes; None for any.
    :raises DataError: it can't be stored.
    """
    where = f"{table.name}.{column.name}"
    kind = column.type
    if not isinstance(value, _PYTHON[kind]):
        raise DataError(
            f"{where} is a {kind} column, which can't store {type(value).__name__}"
        )
    size = 0
    if kind is ValueType.INTEGER and not -(2**63) <= value < 2**63:
        raise DataError(f"{where}: {shown(value)} doesn't fit into 64 bits")
    if kind is ValueType.DURATION and not -(2**63) <= value // MICROSECOND < 2**63:
        raise DataError(
            f"{where}: the microseconds of {shown(value)} don't fit into 64 bits"
        )
    if kind is ValueType.FLOAT:
        value = float(value)
        if value != value:  # noqa: PLR0124  # only NaN does
            raise DataError(f"{where}: NaN isn't a number")
    elif kind is ValueType.DATETIME:
        if value.tzinfo is not None:
            raise DataError(
                f"{where}: the column can't store a datetime with a time zone"
            )
    elif kind is ValueType.TIME:
        if value.tzinfo is not None:
            raise DataError(f"{where}: the column can't store a time with a time zone")
    elif kind is ValueType.DECIMAL:
        if not value.is_finite():
            raise DataError(f"{where}: {shown(value)} isn't a number")
        if abs(value.adjusted()) > 10_000:
            raise DataError(f"{where}: {shown(value)} has too many digits")
        if column.max_digits and not _fits(
            value, column.max_digits, column.decimal_places or 0
        ):
            places = column.decimal_places or 0
            raise DataError(
                f"{where}: {shown(value)} has too many digits. The column takes"
                f" {column.max_digits - places} before the decimal point and {places}"
                " after it."
            )
        text = decimal_text(value)
        value, size = Decimal(text), len(text)
    elif isinstance(value, str):
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            raise DataError(f"{where}: a lone surrogate isn't valid text") from error
    elif isinstance(value, bytes):
        size = len(value)
    if length is not None and size > length:
        if column.max_length and len(value) > column.max_length:
            raise DataError(
                f"{where}: the value has {len(value):,}"
                f" {'bytes' if kind is ValueType.BYTES else 'characters'}, but at"
                f" most {column.max_length:,} are allowed."
            )
        raise DataError(
            f"{where}: the value has {size:,} bytes, but at most {length:,} are"
            " allowed. immudb limits the keys of an index to 1,024 bytes. Remove the"
            " index from the column, or index a digest of the value."
        )
    return value
