"""A table as the author's classes see it: a query with a model's meta and fields."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from backendkit.nonrel.introspection import NonrelFieldLookupDict
from backendkit.stores import Column, DatabaseError, Row, Table, ValueType, shown

#: The column by which rows of a table with a primary key of several columns are found.
SYNTHETIC_KEY = "backendkit_key"

_FIELDS = NonrelFieldLookupDict()
#: Django's field for a type whose declaration says nothing more.
_BY_TYPE = {
    ValueType.BOOL: "BooleanField",
    ValueType.INTEGER: "IntegerField",
    ValueType.FLOAT: "FloatField",
    ValueType.DECIMAL: "DecimalField",
    ValueType.STRING: "TextField",
    ValueType.BYTES: "BinaryField",
    ValueType.DATE: "DateField",
    ValueType.TIME: "TimeField",
    ValueType.DATETIME: "DateTimeField",
    ValueType.DURATION: "DurationField",
    ValueType.UUID: "UUIDField",
    ValueType.JSON: "JSONField",
    ValueType.ANY: "TextField",
}
_PYTHON: dict[ValueType, type] = {
    ValueType.BOOL: bool,
    ValueType.INTEGER: int,
    ValueType.FLOAT: float,
    ValueType.DECIMAL: Decimal,
    ValueType.STRING: str,
    ValueType.BYTES: bytes,
    ValueType.DATE: datetime.date,
    ValueType.TIME: datetime.time,
    ValueType.DATETIME: datetime.datetime,
    ValueType.DURATION: datetime.timedelta,
    ValueType.UUID: uuid.UUID,
    ValueType.JSON: str,
    ValueType.ANY: str,
}


@dataclass(frozen=True)
class Field:
    """
    A column, with what backends ask of a model's field.

    :param internal_type: the Django field that the column is declared for.
    """

    column: str
    internal_type: str
    null: bool = True
    primary_key: bool = False
    max_length: int | None = None
    max_digits: int | None = None
    decimal_places: int | None = None

    @property
    def name(self) -> str:
        """The column's name: that of the model's field isn't known here."""
        return self.column

    attname = name

    def get_internal_type(self) -> str:
        """Return the name of the Django field."""
        return self.internal_type

    def db_type(self, connection: Any) -> str:
        """Return the type in ``DatabaseCreation.data_types``."""
        db_type: str = connection.creation.db_type(self)
        return db_type


@dataclass(frozen=True)
class Meta:
    """
    A table, with what backends ask of a model's ``_meta``.

    :param db_table: its name in the store.
    :param table: its definition.
    """

    db_table: str
    table: Table

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """All columns."""
        return tuple(_field(self.table, column) for column in self.table.columns)

    @cached_property
    def pk(self) -> Field:
        """The primary key; of several columns, the one that stands for them."""
        if len(self.table.primary_key) == 1:
            return self.field(self.table.primary_key[0])
        return Field(SYNTHETIC_KEY, "CharField", null=False, primary_key=True)

    def field(self, column: str) -> Field:
        """Return the field of a column. :raises KeyError: there is none."""
        return self.fields[self.table.positions[column]]


@dataclass(frozen=True)
class TableQuery:
    """What is ``self.query`` for the author's classes."""

    meta: Meta

    def get_meta(self) -> Meta:
        """Return what the query's table is."""
        return self.meta


def _field(table: Table, column: Column) -> Field:
    return Field(
        column.name,
        _internal_type(table, column),
        null=column.nullable,
        primary_key=table.primary_key == (column.name,),
        max_length=column.max_length,
        max_digits=column.max_digits,
        decimal_places=column.decimal_places,
    )


def _internal_type(table: Table, column: Column) -> str:
    if column.auto_increment:
        return "AutoField"
    if column.type is ValueType.INTEGER and any(
        key.columns == (column.name,) for key in table.foreign_keys
    ):
        return "ForeignKey"
    if column.type is ValueType.ANY:
        return _BY_TYPE[column.type]
    try:
        name: str = _FIELDS[column.declared]
    except KeyError:
        return _BY_TYPE[column.type]
    return name


def canonical(column: Column, value: Any) -> Any:
    """
    Return a value in the column's type. Equal decimals become the same: 1.5 and 1.50.

    :raises ValueError: no value of the column's type is equal to it.
    """
    if column.type is ValueType.DECIMAL and isinstance(value, (int, Decimal)):
        return _plain(Decimal(value), column.decimal_places)
    if column.type in _NUMBERS and isinstance(value, (int, float, Decimal)):
        try:
            number = _NUMBERS[column.type](value)
        except (ArithmeticError, ValueError):
            raise ValueError(value) from None
        if number != value:
            raise ValueError(value)
        return number
    if not _fits(column, value):
        raise ValueError(value)
    return value


_NUMBERS: dict[ValueType, Any] = {
    ValueType.BOOL: bool,
    ValueType.INTEGER: int,
    ValueType.FLOAT: float,
}


def _plain(value: Decimal, places: int | None) -> Decimal:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(value)  # it is infinite, or no number
    if not value:
        return Decimal((0, (0,), -(places or 0)))
    # Not normalize(), which rounds to the precision of the context.
    while digits[-1] == 0 and exponent < 0 and -exponent > (places or 0):
        digits, exponent = digits[:-1], exponent + 1
    missing = exponent + (places or 0) if exponent > -(places or 0) else 0
    if 0 < missing < 1000:
        digits, exponent = digits + (0,) * missing, exponent - missing
    return Decimal((sign, digits, exponent))


def _fits(column: Column, value: Any) -> bool:
    # A datetime is a date to Python, and a bool an int.
    if column.type is ValueType.DATE and isinstance(value, datetime.datetime):
        return False
    return isinstance(value, _PYTHON[column.type])


def from_store(table: Table, column: Column, value: Any) -> Any:
    """
    Return a value that the author's conversion gave, in the column's type.

    :raises DatabaseError: it is of another type; names the column.
    """
    try:
        return None if value is None else canonical(column, value)
    except ValueError:
        raise DatabaseError(
            f"convert_value_from_db() returned {shown(value)} for"
            f" {table.name}.{column.name}, which is of type {column.type}"
        ) from None


def synthetic_key(key: Iterable[Any]) -> str:
    """Return a text for a primary key of several columns: equal ones have equal texts."""
    parts = [part.hex() if isinstance(part, bytes) else str(part) for part in key]
    return json.dumps(parts, ensure_ascii=False)


def check_row(table: Table, row: Row) -> Row:
    """Return a row as it will be read: see :func:`canonical`."""
    return tuple(
        [
            None if value is None else canonical(column, value)
            for column, value in zip(table.columns, row, strict=True)
        ]
    )
