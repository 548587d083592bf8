"""Rows as JSON that any program can read, and keys as text, for authors of stores."""

from __future__ import annotations

import datetime
import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from backendkit.clock import real

from ._errors import DataError, shown
from ._matching import is_nan
from ._schema import PYTHON_TYPES, UNREADABLE, Column, Table, ValueType
from ._session import Row

_MICROSECOND = datetime.timedelta(microseconds=1)

# What isn't listed is in JSON as it is.
_TO_JSON: Mapping[ValueType, Callable[[Any], Any]] = {
    ValueType.FLOAT: lambda value: value if math.isfinite(value) else str(value),
    ValueType.DECIMAL: str,
    ValueType.BYTES: bytes.hex,
    ValueType.DATE: lambda value: value.isoformat(),
    ValueType.TIME: lambda value: value.isoformat(),
    ValueType.DATETIME: lambda value: value.isoformat(),
    ValueType.DURATION: lambda value: value // _MICROSECOND,
    ValueType.UUID: str,
}
_FROM_JSON: Mapping[ValueType, Callable[[Any], Any]] = {
    ValueType.FLOAT: float,
    ValueType.DECIMAL: Decimal,
    ValueType.BYTES: bytes.fromhex,
    ValueType.DATE: real.date.fromisoformat,
    ValueType.TIME: datetime.time.fromisoformat,
    ValueType.DATETIME: real.datetime.fromisoformat,
    ValueType.DURATION: lambda value: value * _MICROSECOND,
    ValueType.UUID: uuid.UUID,
}
#: Integers of more bits are written as a fraction: Python reads no such long decimals.
_BITS = 64


def row_to_json(table: Table, row: Row) -> dict[str, Any]:
    """
    Return a row as a JSON object, with the columns' names as keys.

    BYTES are hexadecimal, a DURATION is a number of microseconds, and a FLOAT that is
    infinite is the text ``inf`` or ``-inf``. DECIMAL, UUID and what has a date or a time are
    texts, the latter as in ISO 8601.
    """
    document = {}
    for column, value in zip(table.columns, row, strict=True):
        document[column.name] = _to_json(column, value)
    return document


def row_from_json(table: Table, document: Mapping[str, Any] | str | bytes) -> Row:
    """
    Return the row of an object that :func:`row_to_json` has returned.

    Keys that aren't columns of the table are ignored.

    :param document: the object, or a text that contains it.
    :raises DataError: a column is missing, its value has another type, or the text
        isn't such an object. The message names the table and the column.
    """
    if isinstance(document, str | bytes):
        try:
            document = json.loads(document)
        except UNREADABLE as error:
            what = shown(document)
            raise DataError(f"{table.name}: {what} isn't JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise DataError(f"{table.name}: {shown(document)} isn't a row")
    row = []
    for column in table.columns:
        try:
            row.append(_from_json(column, document[column.name]))
        except (*UNREADABLE, ArithmeticError) as error:
            what = shown(document.get(column.name, "nothing"))
            raise DataError(
                f"{table.name}.{column.name}: {what} isn't of type {column.type}"
            ) from error
    return tuple(row)


def _from_json(column: Column, value: Any) -> Any:
    """
    Return a value of a column.

    :raises ValueError: it isn't one; or another error of Python's.
    """
    if value is None:
        return None
    convert = _FROM_JSON.get(column.type)
    found: Any = value if convert is None else convert(value)
    if type(found) is not PYTHON_TYPES[column.type]:
        raise ValueError("it has another type")
    if isinstance(found, int) and not -(2**63) <= found < 2**63:
        raise ValueError("it is out of range")
    if is_nan(found) or (isinstance(found, Decimal) and not found.is_finite()):
        raise ValueError("it isn't a number")
    if getattr(found, "tzinfo", None) is not None:
        raise ValueError("it has a time zone")
    return found


def key_to_text(table: Table, names: Sequence[str], values: Sequence[Any]) -> str:
    """
    Return a text for the values of a key or an index. Equal values have equal texts.

    So 1.5 and 1.50 have the same text, and so have 0.0 and -0.0, or 1 and True. The
    text is a JSON array. Texts don't sort as their keys do.

    :param names: of the columns.
    :param values: their values, in the same order. For a column of numbers, any of int,
        float, Decimal and bool, as the values of filters.
    """
    items = []
    for name, value in zip(names, values, strict=True):
        if isinstance(value, bool | int | float | Decimal):
            items.append(_number(value))
        else:
            items.append(_to_json(table.column(name), value))
    return json.dumps(items, ensure_ascii=False, separators=(",", ":"))


def _to_json(column: Column, value: Any) -> Any:
    convert = _TO_JSON.get(column.type)
    return value if value is None or convert is None else convert(value)


def _number(value: float | Decimal) -> int | str:
    try:
        above, below = value.as_integer_ratio()
    except OverflowError:
        return "inf" if value > 0 else "-inf"
    except ValueError:
        return "nan"  # which equals nothing
    if below == 1 and above.bit_length() <= _BITS:
        return above
    return f"{above:x}/{below:x}"
