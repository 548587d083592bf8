"""A parameter's value, from SQLite's terms to the store's: the same, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from backendkit.stores import PATTERNS, Column, FilterShape, ValueType

from . import dynamic
from .dynamic import Affinity, affinity_of
from .numbers import FLOAT_DIGITS, INT64, NUMBER
from .values import TO_SQLITE, TO_STORE, is_short

#: Those of :data:`backendkit.stores.PATTERNS` that are SQLite's LIKE.
LIKE = PATTERNS - {"regex", "iregex"}


class InexactError(Exception):
    """What SQLite would answer isn't sure: it has to be asked."""


def bindable(value: Any) -> bool:
    """Whether SQLite would take a value as a parameter."""
    if isinstance(value, int):
        return value in INT64
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def value_converter(column: Column, shape: FilterShape) -> Callable[[Any], Any]:
    """
    Return what makes a filter's value of a parameter.

    :raises InexactError: SQLite has to be asked, whatever the value is.
    """
    if shape.lookup == "isnull":
        return bool
    if column.type is ValueType.JSON or (
        column.type is ValueType.DECIMAL and not is_short(column)
    ):
        raise InexactError
    if column.type is ValueType.ANY and shape.lookup not in LIKE:
        return _dynamic(affinity_of(column.declared), shape)
    if shape.lookup in LIKE:
        if column.type is not ValueType.STRING:
            raise InexactError
        return _pattern
    convert = _EXACT.get(column.type)
    if convert is None:
        convert = _round_trip(column.type)
    if shape.lookup == "in":
        one = convert
        return lambda values: [one(value) for value in values]
    return convert


def _pattern(value: Any) -> str:
    # To SQLite's LIKE, NUL ends a text.
    if not isinstance(value, str) or "\0" in value:
        raise InexactError
    return str.__str__(value)


def _integer(value: Any) -> int:
    if value.__class__ is not int or value not in INT64:
        raise InexactError
    return value


def _float(value: Any) -> float:
    if value.__class__ is not float and value.__class__ is not int:
        raise InexactError
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise InexactError
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InexactError from None
    return str.__str__(value)


def _bytes(value: Any) -> bytes:
    if value.__class__ is memoryview or value.__class__ is bytearray:
        return bytes(value)
    if value.__class__ is not bytes:
        raise InexactError
    return value


def _bool(value: Any) -> bool:
    if value.__class__ is not bool and value not in (0, 1):
        raise InexactError
    return bool(value)


def _decimal(value: Any) -> Decimal:
    if not isinstance(value, str) or not NUMBER.match(value):
        raise InexactError
    number = Decimal(value.strip())
    if not number.is_finite() or len(number.as_tuple().digits) > FLOAT_DIGITS:
        raise InexactError
    return number


def _round_trip(kind: ValueType) -> Callable[[Any], Any]:
    """Values that SQLite has as text or number, and the store as what they mean."""
    to_store, to_sqlite = TO_STORE[kind], TO_SQLITE[kind]

    def convert(value: Any) -> Any:
        try:
            stored = to_store(value)
            same = to_sqlite(stored) == value
        except (ValueError, OverflowError, ArithmeticError, TypeError):
            raise InexactError from None
        if not same:
            # As text, or rounded, it isn't the same to SQLite.
            raise InexactError
        return stored

    return convert


def _dynamic(affinity: Affinity, shape: FilterShape) -> Callable[[Any], Any]:
    """Values of a column that holds any: a parameter takes the column's affinity."""

    def convert(value: Any) -> Any:
        if not isinstance(value, (int, float, str, bytes)):
            raise InexactError
        try:
            applied = dynamic.apply(affinity, value)
            if applied is not None and dynamic.is_unique(affinity, applied):
                return dynamic.encode(applied)
        except (OverflowError, UnicodeEncodeError):
            pass
        raise InexactError

    if shape.lookup == "in":
        return lambda values: [convert(value) for value in values]
    return convert


_EXACT: dict[ValueType, Callable[[Any], Any]] = {
    ValueType.BOOL: _bool,
    ValueType.BYTES: _bytes,
    ValueType.DECIMAL: _decimal,
    ValueType.FLOAT: _float,
    ValueType.INTEGER: _integer,
    ValueType.STRING: _string,
}
