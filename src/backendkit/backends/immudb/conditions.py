"""
Filters as immudb's SQL, with the meaning that they have in SQL.

immudb's logic has two values: NULL is less than everything and ``<>`` matches it, so
it is left out by name. What immudb would refuse or get wrong is changed into what it
does right, see docs/design/immudb.rst.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backendkit.stores import Column, DataError, ValueType, shown

from .names import quoted
from .prefixes import PREFIX_LOOKUPS, prefix_ranges
from .times import is_far
from .types import decimal_text, encode, is_sized, placeholder

_OPERATORS = {"exact": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_NEGATED = {"exact": "<>", "lt": ">=", "lte": ">", "gt": "<=", "gte": "<"}
#: The same, by its negation: immudb doesn't look at an index for it.
_INVERSE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "<>", "<>": "="}
_COMPLEMENT = {"lt": "gte", "lte": "gt", "gt": "lte", "gte": "lt"}
_NUMBERS = (int, float, Decimal)
#: Letters of which all ways to write them are compared where no index is used.
_WAYS = 2


@dataclass(frozen=True, slots=True)
class Condition:
    """
    A filter.

    :param sql: what has to hold; None if nothing can match.
    :param parameters: what is bound.
    :param choices: of an ``exact`` or ``in``: the values, as they are bound.
    :param indexed: of a range of times: the same for an index, where that has the times
        of the rows in their order. None if it can't be asked for.
    :param is_lower: of a range of times: whether it bounds them from below. None if it
        isn't one.
    :param ranges: of text with a certain beginning: low and high bounds.
    """

    sql: str | None
    parameters: tuple[Any, ...] = ()
    choices: tuple[Any, ...] | None = None
    indexed: str | None = None
    is_lower: bool | None = None
    ranges: Sequence[tuple[str, str]] = ()


NOTHING = Condition(None)


def condition(
    column: Column, lookup: str, negated: bool, value: Any, length: int | None
) -> Condition:
    """
    Return a filter as SQL.

    :param length: of the column in bytes, None for any.
    """
    name = quoted(column.name)
    if lookup in PREFIX_LOOKUPS:
        return _beginning(name, value, length)
    if lookup == "isnull":
        return Condition(
            f"{name} IS {'NULL' if bool(value) != negated else 'NOT NULL'}"
        )
    there = Condition(f"{name} IS NOT NULL")
    if lookup == "in":
        return _choose(column, name, negated, list(value), length)
    if value is None:
        return NOTHING
    if lookup == "exact":
        found = exact(column.type, value, length)
        if found is None:
            return there if negated else NOTHING
        if negated:
            mark = placeholder(column.type)
            return Condition(f"{name} <> {mark} AND {name} IS NOT NULL", (found,))
        return _equal(column, name, (found,))
    if negated:
        lookup = _COMPLEMENT[lookup]
    near = _near(column.type, lookup, value)
    if isinstance(near, bool):
        return there if near else NOTHING
    lookup, found = near
    operator = _OPERATORS[lookup]
    if column.type is ValueType.FLOAT and found == 0:
        # Two zeros that are equal have two places in an index.
        found = -0.0 if lookup in ("gte", "lt") else 0.0
        if lookup == "lt":
            found = 0.0
        elif lookup == "gt":
            found = -0.0
    mark = placeholder(column.type)
    sql = f"{name} {operator} {mark}"
    if operator[0] == "<":
        sql += f" AND {name} IS NOT NULL"
    if column.type is ValueType.DATETIME or _too_long(column.type, found, length):
        # An index may have times in the wrong place; and a text that is longer than
        # the column is refused. What is behind NOT is no range of an index.
        plain = f"NOT ({name} {_INVERSE[operator]} {mark}) AND {name} IS NOT NULL"
        if column.type is not ValueType.DATETIME:
            return Condition(plain, (found,))
        indexed = None if is_far(found) else sql
        return Condition(plain, (found,), indexed=indexed, is_lower=operator[0] == ">")
    return Condition(sql, (found,))


def _beginning(name: str, value: str, length: int | None) -> Condition:
    """Return what holds for all text with a beginning, and for some other."""
    found = prefix_ranges(value, length)
    few = prefix_ranges(value, length, _WAYS)
    if found is None or few is None:
        return Condition(f"{name} IS NOT NULL")
    if not few:
        return NOTHING
    return Condition(
        "(" + " OR ".join([f"({between(name)})"] * len(few)) + ")",
        tuple(itertools.chain.from_iterable(few)),
        ranges=found,
    )


def between(name: str) -> str:
    """Return a condition for one range, the end excluded, of a quoted column."""
    return f"{name} >= ? AND {name} < ?"


def _equal(column: Column, name: str, found: tuple[Any, ...]) -> Condition:
    if column.type is ValueType.FLOAT and found[0] == 0:
        return Condition(f"{name} >= ? AND {name} <= ?", (-0.0, 0.0))
    return Condition(f"{name} = {placeholder(column.type)}", found, found)


def _choose(
    column: Column, name: str, negated: bool, values: list[Any], length: int | None
) -> Condition:
    if negated and None in values:
        return NOTHING
    converted = (exact(column.type, v, length) for v in values if v is not None)
    found = tuple(dict.fromkeys(v for v in converted if v is not None))
    if not found:
        return Condition(f"{name} IS NOT NULL") if negated else NOTHING
    if column.type is ValueType.FLOAT and 0.0 in found:
        found = (*(v for v in found if v), 0.0, -0.0)
    elif len(found) == 1 and not negated:
        return _equal(column, name, found)
    marks = ", ".join([placeholder(column.type)] * len(found))
    if negated:
        return Condition(f"{name} NOT IN ({marks}) AND {name} IS NOT NULL", found)
    return Condition(f"{name} IN ({marks})", found, found)


def exact(kind: ValueType, value: Any, length: int | None) -> Any:
    """Return what is bound to be equal to a value; None if nothing is."""
    if kind in (ValueType.INTEGER, ValueType.FLOAT, ValueType.DECIMAL, ValueType.BOOL):
        return _exact_number(kind, value)
    if getattr(value, "tzinfo", None) is not None:
        return None
    found = encode(kind, value)
    if isinstance(found, str):
        try:
            found.encode()
        except UnicodeEncodeError:
            return None
    return None if _too_long(kind, found, length) else found


def _exact_number(kind: ValueType, value: Any) -> Any:
    if not isinstance(value, _NUMBERS):
        raise DataError(f"{shown(value)} isn't a number")
    wanted: Any = {
        ValueType.INTEGER: int,
        ValueType.FLOAT: float,
        ValueType.DECIMAL: Decimal,
        ValueType.BOOL: bool,
    }[kind]
    try:
        found = wanted(value)
        if found != value:
            return None
    except (ValueError, OverflowError, ArithmeticError):
        return None  # infinite, NaN or too large
    if wanted is int and not -(2**63) <= found < 2**63:
        return None
    if wanted is Decimal:
        return decimal_text(found) if found.is_finite() else None
    return found


def _near(kind: ValueType, lookup: str, value: Any) -> tuple[str, Any] | bool:
    """Return lookup and value that are the same for this type, or if all match."""
    above = lookup in ("lt", "lte")  # whether small values match
    if kind is ValueType.INTEGER:
        if isinstance(value, float | Decimal) and not math.isfinite(value):
            if value != value:  # noqa: PLR0124  # only NaN does
                return False
            return (value > 0) is above
        floor = math.floor(value)
        if floor != value:
            # Between two integers: less than it is less than or equal to the lower.
            lookup = "lte" if above else "gt"
        if not -(2**63) <= floor < 2**63:
            return (floor > 0) is above
        return lookup, int(floor)
    if kind is ValueType.FLOAT:
        if value != value:  # noqa: PLR0124  # only NaN does
            return False
        try:
            near = float(value)
        except OverflowError:
            near = math.inf if value > 0 else -math.inf
        if near != value:
            if near < value:
                lookup = "lte" if above else "gt"
            else:
                lookup = "lt" if above else "gte"
        return lookup, near
    found = encode(kind, value)
    if isinstance(found, str):
        try:
            found.encode()
        except UnicodeEncodeError as error:
            raise DataError("a lone surrogate isn't valid text") from error
    return lookup, found


def _too_long(kind: ValueType, found: Any, length: int | None) -> bool:
    if length is None or not is_sized(kind):
        return False
    return len(found.encode() if isinstance(found, str) else found) > length
