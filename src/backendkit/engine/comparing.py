"""
Comparisons of a column with a value: SQLite's, in the store's terms.

What SQLite compares depends on affinities and on where a value is from
(https://www.sqlite.org/datatype3.html#comparison_expressions); a virtual table is
told neither. So what comes out may fit too many rows, never too few.
"""

from __future__ import annotations

import decimal
import math
import re
import uuid
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

from backendkit.stores import Column, ValueType

from . import dynamic
from .dynamic import Affinity, SQLiteValue, affinity_of
from .numbers import NUMBER, text_as_number
from .values import (
    MICROSECOND,
    TO_SQLITE,
    TO_STORE,
    float_to_decimal,
    is_short,
)

_UUID = re.compile(r"[0-9a-f]{32}\Z")
#: Behind all text that may be taken for a number: blanks, signs, a point, digits.
_BEHIND_NUMBERS = ":"
_NUMERIC_TYPES = frozenset(
    {
        ValueType.BOOL,
        ValueType.INTEGER,
        ValueType.FLOAT,
        ValueType.DECIMAL,
        ValueType.DURATION,
    }
)
_TEMPORAL_TYPES = frozenset({ValueType.DATE, ValueType.TIME, ValueType.DATETIME})


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
    if kind is ValueType.ANY:
        return _compare_any(column, lookup, value)
    if kind in _NUMERIC_TYPES:
        return _compare_number(column, lookup, value)
    if kind is ValueType.BYTES:
        if isinstance(value, bytes):
            return Comparison(lookup, value)
        return _other_class(lookup, column_is_smaller=False)
    if isinstance(value, bytes):
        return _other_class(lookup, column_is_smaller=True)
    if kind in _TEMPORAL_TYPES:
        # Declared with a numeric affinity, but the values are text.
        if not isinstance(value, str) or NUMBER.match(value):
            return _other_class(lookup, column_is_smaller=False)
        return _compare_temporal(kind, lookup, value)
    if not isinstance(value, str):
        # Compared as text or as numbers, depending on where the value is from.
        return _ANYTHING
    if kind is ValueType.UUID:
        if _UUID.match(value):
            return Comparison(lookup, uuid.UUID(value))
        return _NOTHING if lookup == "exact" else _ANYTHING
    if lookup in _BELOW and _may_be_above_numbers(value):
        return _ANYTHING
    return Comparison(lookup, value)


def _may_be_above_numbers(text: str) -> bool:
    """
    Whether a column's text may turn out to be less than a text that is less than it.

    That may come from a column of moments, or of any type, with a numeric affinity:
    then all text that looks like a number becomes one, and is below any text.
    """
    return text < _BEHIND_NUMBERS and not NUMBER.match(text)


def _compare_any(column: Column, lookup: str, value: SQLiteValue) -> Comparison:
    """
    Compare with a column of values of any type.

    One with a numeric affinity keeps its values, and brings the other side to it. Of
    other columns, the other side's affinity may change the values.
    """
    affinity = affinity_of(column.declared)
    if isinstance(value, bytes):
        return Comparison(lookup, dynamic.encode(value))
    if affinity.is_numeric:
        applied = dynamic.apply(affinity, value)
        if applied is None:
            return _NOTHING
        if isinstance(applied, str) or (
            lookup == "exact" and dynamic.is_unique(affinity, applied)
        ):
            return Comparison(lookup, dynamic.encode(applied))
        assert not isinstance(applied, bytes)
        least, most = dynamic.bounds(applied)
        if lookup == "exact":
            return Comparison("range", (least, most))
        return Comparison("lte", most) if lookup in _BELOW else Comparison("gte", least)
    if affinity is Affinity.BLOB or not isinstance(value, str):
        return _ANYTHING
    if lookup in _BELOW and _may_be_above_numbers(value):
        return _ANYTHING
    return Comparison(lookup, dynamic.encode(value))


def _compare_number(column: Column, lookup: str, value: SQLiteValue) -> Comparison:
    kind = column.type
    number = text_as_number(value) if isinstance(value, str) else value
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
        return Comparison(lookup, int(number) * MICROSECOND)
    return Comparison(lookup, number)


def _compare_decimal(column: Column, lookup: str, number: float) -> Comparison:
    """
    Compare with decimals, which SQLite sees as floats, or as integers of 64 bits.

    Those of up to 15 digits all differ as floats; of others, several may be equal
    to one number, so the comparison leaves some room.
    """
    exact = isinstance(number, int)
    wanted = Decimal(number) if exact else float_to_decimal(number)
    if is_short(column):
        return Comparison(lookup, wanted)
    # More than what rounding to a float may have added or taken.
    room = _UP.add(_UP.multiply(abs(wanted), Decimal("1e-15")), Decimal("1e-323"))
    low, high = _DOWN.subtract(wanted, room), _UP.add(wanted, room)
    if lookup == "exact":
        return Comparison("range", (low, high))
    return Comparison("lte", high) if lookup in _BELOW else Comparison("gte", low)


def _compare_temporal(kind: ValueType, lookup: str, value: str) -> Comparison:
    try:
        moment = TO_STORE[kind](value)
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
