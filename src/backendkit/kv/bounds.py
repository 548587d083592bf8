"""
From filters to key ranges.

A filter's value may be of another type than its column (an int for a FLOAT, a
Decimal for an INTEGER …): numbers then compare by value, as they do in Python
and SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

from backendkit.stores import PYTHON_TYPES, Access, ValueType

from .indexes import KeyExpression
from .keys import AFTER, ENCODERS, NOT_NULL, NULL, behind

_NUMBERS = (int, float, Decimal)
#: No INTEGER has so many digits, or is as great as this.
_MOST_DIGITS, _HUGE = 20, 1 << 64


class Filter(NamedTuple):
    """One filter, as given to ``NonrelQuery.add_filter``."""

    column: str
    lookup: str
    negated: bool
    value: Any


@dataclass(frozen=True, slots=True)
class KeyRanges:
    """
    What of an index a query has to read.

    :param ranges: pairs of start and stop, without the index's prefix, in order
        and without overlaps.
    :param absorbed: the filters that hold for all that is in the ranges.
    :param points: whether each range begins with a whole key without NULL,
        which a unique index has once.
    """

    ranges: list[tuple[bytes, bytes]]
    absorbed: list[Filter]
    points: bool

    def within(self, longest: int) -> KeyRanges:
        """
        Return ranges with bounds of at most so many bytes, which may have more in them.

        Keys that are cut there compare with these as the whole ones do. If a bound is
        longer, no filter is absorbed.
        """
        if all(len(start) <= longest >= len(stop) for start, stop in self.ranges):
            return self
        ranges: list[tuple[bytes, bytes]] = []
        for first, last in self.ranges:
            start = first[:longest]
            stop = last if len(last) <= longest else behind(last[:longest])
            if ranges and start < ranges[-1][1]:
                start, end = ranges.pop()
                stop = max(stop, end)
            ranges.append((start, stop))
        return KeyRanges(ranges, [], points=False)


def _beyond_int(wanted: type, value: Any) -> bool:
    """Whether an integer of a Decimal's value would be greater than any column's."""
    # Some have more digits than the memory.
    return (
        wanted is int
        and isinstance(value, Decimal)
        and value.is_finite()
        and value.adjusted() > _MOST_DIGITS
    )


def exact_value(value_type: ValueType, value: Any) -> Any:
    """
    Return the value of a column's type that equals a value, or None.

    :raises ValueError: what it can't be told of: the rows have to be looked at.
    """
    wanted: Any = PYTHON_TYPES[value_type]
    if type(value) is wanted:
        if wanted is Decimal and not value.is_finite():
            return None
        if wanted is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                return None
        if getattr(value, "tzinfo", None) is not None:
            return None
        return value
    if isinstance(value, _NUMBERS) and issubclass(wanted, _NUMBERS):
        if _beyond_int(wanted, value):
            return None
        try:
            converted = wanted(value)
        except (ValueError, OverflowError, ArithmeticError):
            return None  # infinite, or NaN
        if wanted is Decimal and not converted.is_finite():
            return None
        return converted if converted == value else None
    raise ValueError("a value of another type than the column")


def bound_value(value_type: ValueType, value: Any) -> tuple[Any, int]:
    """
    Return a value of a column's type near a value, and how it compares.

    :returns: the value, and -1, 0 or 1 as it is less than, equal to or greater
        than the one given.
    :raises ValueError: there is none.
    """
    exact = exact_value(value_type, value)
    if exact is not None:
        return exact, 0
    wanted: Any = PYTHON_TYPES[value_type]
    if not isinstance(value, _NUMBERS):
        raise ValueError("nothing is comparable to it")
    if wanted is bool:
        # Any other number is true in Python; False and True compare as 0 and 1.
        return (True, -1) if value > 1 else (False, -1 if value > 0 else 1)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("no column of this type has such a number")
        if _beyond_int(wanted, value):
            return (_HUGE, -1) if value > 0 else (-_HUGE, 1)
    elif isinstance(value, float) and not isfinite(value):
        raise ValueError("no column of this type has such a number")
    try:
        near = wanted(value)
    except OverflowError as error:
        raise ValueError("no column of this type has such a number") from error
    return near, -1 if near < value else 1


class _Absorbing:
    """The filters, and which of them the key ranges have made good."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.by_column: dict[str, list[Filter]] = {}
        self.absorbed: list[Filter] = []
        for one in filters:
            if not one.negated:
                self.by_column.setdefault(one.column, []).append(one)

    def equality(self, column: str, value_type: ValueType) -> list[bytes] | None:
        """Return the encodings that a column may have, None for any."""
        candidates = self.by_column.get(column, ())
        for lookup in ("exact", "isnull", "in"):
            for one in candidates:
                if one.lookup != lookup:
                    continue
                try:
                    choices = _choices(one, value_type)
                except ValueError:
                    continue
                if choices is not None:
                    self.absorbed.append(one)
                    return choices
        return None

    def interval(
        self, column: str, value_type: ValueType
    ) -> tuple[bytes, bytes] | None:
        """Return start and stop of a column's encodings, None for all."""
        start, stop = NOT_NULL, AFTER
        bounded = False
        for one in self.by_column.get(column, ()):
            if one.lookup not in _BOUNDS:
                continue
            bounded = True
            if one.value is None:
                start = stop
                self.absorbed.append(one)
                continue
            try:
                value, sign = bound_value(value_type, one.value)
            except ValueError:
                continue  # it stays to be looked at row by row
            encoded = ENCODERS[value_type](value)
            upper, inclusive = _BOUNDS[one.lookup]
            if sign:
                # Between two values of the column's type: which of its own the
                # near value belongs to is the same for open and closed bounds.
                inclusive = (sign < 0) is upper
            if upper:
                stop = min(stop, encoded + AFTER if inclusive else encoded)
            else:
                start = max(start, encoded if inclusive else encoded + AFTER)
            self.absorbed.append(one)
        return (start, stop) if bounded else None


#: Whether the bound is an upper one, and whether it is inclusive.
_BOUNDS = {
    "lt": (True, False),
    "lte": (True, True),
    "gt": (False, False),
    "gte": (False, True),
}


def _choices(one: Filter, value_type: ValueType) -> list[bytes] | None:
    if one.lookup == "isnull":
        return [NULL] if one.value else None
    encode = ENCODERS[value_type]
    values = (one.value,) if one.lookup == "exact" else one.value
    encoded = {
        encode(exact)
        for value in values
        if value is not None and (exact := exact_value(value_type, value)) is not None
    }
    return sorted(encoded)


def key_ranges(
    expression: KeyExpression, access: Access, filters: Sequence[Filter]
) -> KeyRanges:
    """
    Return what to read of an index for an access with these filters.

    :param expression: that of the index, or of the primary key.
    """
    absorbing = _Absorbing(filters)
    keys = [b""]
    used = 0
    for column, value_type in zip(
        expression.columns[: access.equalities], expression.types, strict=False
    ):
        choices = absorbing.equality(column, value_type)
        if choices is None:
            break
        # Encodings delimit themselves: the products of sorted lists are sorted.
        keys = [key + choice for key in keys for choice in choices]
        used += 1
    whole = used == len(expression.columns)
    if whole:
        ranges = [(key, key + AFTER) for key in keys]
    else:
        start, stop = b"", AFTER
        if access.ranged and used == access.equalities:
            interval = absorbing.interval(
                expression.columns[used], expression.types[used]
            )
            start, stop = interval or (start, stop)
        ranges = [(key + start, key + stop) for key in keys] if start < stop else []
    null = any(one.lookup == "isnull" for one in absorbing.absorbed)
    return KeyRanges(ranges, absorbing.absorbed, whole and not null)
