"""Rows, from the store's terms to Django's: its converters, in one step if they are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import InvalidOperation
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col

from backendkit.engine.numbers import FLOAT_DIGITS
from backendkit.engine.values import TO_SQLITE
from backendkit.stores import Column, ValueType

if TYPE_CHECKING:
    from .base import NonrelDatabaseWrapper

Convert = Callable[[Sequence[Any]], Sequence[Any]]
"""Of a row in the store's terms, to what Django's models want."""


def row_converter(
    columns: Sequence[Column], select: Any, wrapper: NonrelDatabaseWrapper
) -> Convert | None:
    """Return a function for whole rows; None if they are right as they are."""
    found = []
    for place, (column, (expression, *_)) in enumerate(
        zip(columns, select, strict=True)
    ):
        convert = _converter(column, expression, wrapper)
        if convert is not None:
            found.append((place, convert))
    if not found:
        return None
    if len(found) == len(columns) == 1:
        only = found[0][1]
        return lambda row: (only(row[0]),)

    def convert_row(row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for place, convert in found:
            values[place] = convert(values[place])
        return tuple(values)

    return convert_row


def _converter(
    column: Column, expression: Any, wrapper: NonrelDatabaseWrapper
) -> Callable[[Any], Any] | None:
    """Return what Django's converters make of SQLite's value, in one step if known."""
    field = expression.output_field
    internal = field.get_internal_type()
    known = _known(internal, column, field, wrapper)
    after = list(expression.get_db_converters(wrapper))
    if known is _NO_WAY:
        first = TO_SQLITE.get(column.type)
        before = list(wrapper.ops.get_db_converters(expression))
    else:
        first, before = known, []
        if internal == "DurationField":
            after = [
                one for one in after if one != wrapper.ops.convert_durationfield_value
            ]
    rest = before + after
    if not rest:
        if first is None:
            return None

        def convert_known(value: Any) -> Any:
            return None if value is None else first(value)

        return convert_known

    convert = _by_sqlite(first, rest, expression, wrapper)
    if (
        (internal, column.type) == ("DecimalField", ValueType.DECIMAL)
        and expression.__class__ is Col
        and field.decimal_places is not None
        and len(before) == len(rest) == 1
    ):
        return _short_decimals(field, convert)
    return convert


def _by_sqlite(
    first: Callable[[Any], Any] | None,
    rest: Sequence[Callable[..., Any]],
    expression: Any,
    wrapper: NonrelDatabaseWrapper,
) -> Callable[[Any], Any]:
    """Return what makes SQLite's value of a store's, and Django's of that."""

    def convert(value: Any) -> Any:
        if first is not None and value is not None:
            value = first(value)
        for one in rest:
            value = one(value, expression, wrapper)
        return value

    return convert


def _short_decimals(field: Any, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """
    Return a function that converts as another one, and numbers of few digits faster.

    A number that has no more digits than floats tell apart is the same after a way
    through SQLite: only its zeros at the end are the field's then.
    """
    context = field.context
    unit = context.create_decimal(1).scaleb(-field.decimal_places)
    most = FLOAT_DIGITS - field.decimal_places

    def convert_short(value: Any) -> Any:
        if value:  # zero has a sign that may be lost
            try:
                found = value.quantize(unit, context=context)
            except InvalidOperation:
                return convert(value)
            if found == value and found.adjusted() < most:
                return found
        return convert(value)

    return convert_short


def _NO_WAY(value: Any) -> Any:  # noqa: N802  # a constant that is told apart by identity
    raise NotImplementedError


#: Pairs of field and column whose values the store has as Django wants them.
_SAME = {
    ("BooleanField", ValueType.BOOL),
    ("DateField", ValueType.DATE),
    ("DurationField", ValueType.DURATION),
    ("TimeField", ValueType.TIME),
    ("UUIDField", ValueType.UUID),
}


def _known(
    internal: str, column: Column, field: Any, wrapper: NonrelDatabaseWrapper
) -> Callable[[Any], Any] | None:
    if (internal, column.type) in _SAME:
        return None
    if (internal, column.type) == ("DateTimeField", ValueType.DATETIME):
        zone = wrapper.timezone
        if zone is None:
            return None
        if hasattr(zone, "localize"):
            return _NO_WAY
        return lambda value: value.replace(tzinfo=zone)
    return _NO_WAY if column.type in TO_SQLITE else _plain(internal, wrapper)


def _plain(
    internal: str, wrapper: NonrelDatabaseWrapper
) -> Callable[[Any], Any] | None:
    """Values that SQLite has as the store: Django's own converters, if any."""
    known = {
        "BooleanField",
        "DateField",
        "DateTimeField",
        "DecimalField",
        "TimeField",
        "UUIDField",
    }
    return _NO_WAY if internal in known else None
