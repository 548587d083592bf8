"""
Indexes: the *key expression* says how an index key is computed from a row, the
*index maintainer* how it is stored. (The words, and that the two are kept
apart, are those of FoundationDB's record layer:
https://foundationdb.github.io/fdb-record-layer/Overview.html.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backendkit.stores import Index, IntegrityError, Row, Table, ValueType

from .keys import ENCODERS, NULL, Encoder
from .layout import index_prefix


class KeyExpression:
    """
    The encoded values of some columns of a row, concatenated.

    :param table: whose rows it is computed from.
    :param columns: names of the columns, outermost first.
    """

    __slots__ = ("_parts", "columns", "positions", "types")

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self.positions = tuple(table.positions[name] for name in columns)
        self.types: tuple[ValueType, ...] = tuple(
            table.columns[position].type for position in self.positions
        )
        self._parts: list[tuple[int, Encoder]] = [
            (position, ENCODERS[value_type])
            for position, value_type in zip(self.positions, self.types, strict=True)
        ]

    def __call__(self, row: Row) -> tuple[bytes, bool]:
        """Return the key of a row, and whether one of its values is None."""
        key = b""
        null = False
        for position, encode in self._parts:
            value = row[position]
            if value is None:
                key += NULL
                null = True
            else:
                key += encode(value)
        return key, null

    def of_values(self, values: Sequence[object]) -> bytes:
        """Return the key of the columns' values, in the expression's order."""
        key = b""
        for value, (_, encode) in zip(values, self._parts, strict=True):
            key += NULL if value is None else encode(value)
        return key


class PrimaryKeyExpression(KeyExpression):
    """The key of a table's rows: never NULL."""

    __slots__ = ("table",)

    def __init__(self, table: Table) -> None:
        super().__init__(table, table.primary_key)
        self.table = table.name

    def key(self, row: Row) -> bytes:
        """
        Return the encoded primary key of a row.

        :raises IntegrityError: a column of it is None.
        """
        key, null = self(row)
        if null:
            name = next(
                name
                for name, position in zip(self.columns, self.positions, strict=True)
                if row[position] is None
            )
            raise IntegrityError(f"NOT NULL constraint failed: {self.table}.{name}")
        return key


@dataclass(frozen=True, slots=True)
class IndexMaintainer:
    """
    Stores one entry for each row, with the encoded primary key as its value.

    The entry's key is the index's prefix and the key expression's value. The
    primary key follows it, except in a unique index where no value is None:
    there, two rows of equal values would have the same key.

    :param id: number of the index in this store.
    :param index: its definition.
    :param expression: how its keys are computed.
    """

    id: int
    index: Index
    expression: KeyExpression
    prefix: bytes
    unique: bool

    @classmethod
    def of(cls, index_id: int, index: Index, table: Table) -> IndexMaintainer:
        """Return the maintainer of an index of a table."""
        expression = KeyExpression(table, index.columns)
        return cls(index_id, index, expression, index_prefix(index_id), index.unique)

    def entry(self, row: Row, primary_key: bytes) -> tuple[bytes, bool]:
        """Return the key of a row's entry, and whether it excludes equal rows."""
        key, null = self.expression(row)
        if self.unique and not null:
            return self.prefix + key, True
        return self.prefix + key + primary_key, False
