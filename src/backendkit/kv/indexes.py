"""
Indexes: the *key expression* says how an index key is computed from a row, the
*index maintainer* how it is stored. (The words, and that the two are kept
apart, are those of FoundationDB's record layer:
https://foundationdb.github.io/fdb-record-layer/Overview.html.)

**Shortened entries.** A key that would be longer than the engine's longest is cut, and
ends with two digests: of the columns' values, and of the primary key. Its value says
so, by a byte before the primary key. Such an entry is at its place among the others,
except among those that begin with the same bytes: what needs to know more there, as
equality and order do, reads the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from backendkit.stores import Index, IntegrityError, Row, Table, ValueType

from .keys import AFTER, ENCODERS, NULL, SIZES, Encoder
from .layout import index_prefix

#: The first byte of a shortened entry's value: no primary key begins with it.
_SHORTENED = AFTER
_DIGEST = 16
#: How many bytes of a shortened key are digests.
DIGESTS = 2 * _DIGEST
#: Behind all keys of one :meth:`IndexMaintainer.stem`, appended to it.
ANY_DIGEST = AFTER * (_DIGEST + 1)


def is_shortened(value: bytes) -> bool:
    """Whether the entry that has this value is a shortened one."""
    return value.startswith(_SHORTENED)


def primary_key_of(value: bytes) -> bytes:
    """Return the encoded primary key that an entry leads to, from its value."""
    return value[1:] if value.startswith(_SHORTENED) else value


class KeyExpression:
    """
    The encoded values of some columns of a row, concatenated.

    :param table: whose rows it is computed from.
    :param columns: names of the columns, outermost first.
    """

    __slots__ = ("_parts", "columns", "positions", "size", "types")

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self.positions = tuple(table.positions[name] for name in columns)
        self.types: tuple[ValueType, ...] = tuple(
            table.columns[position].type for position in self.positions
        )
        sizes = [SIZES[value_type] for value_type in self.types]
        #: The most bytes that a key may have; None for any number.
        self.size = None if None in sizes else sum(filter(None, sizes))
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
    there, two rows of equal values would have the same key. A shortened one has a
    digest of the primary key always; rows of equal values have the same stem.

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

    def entry(
        self, row: Row, primary_key: bytes, max_key: int
    ) -> tuple[bytes, bytes, bool]:
        """
        Return key and value of a row's entry, and whether it excludes equal rows.

        :param max_key: the most bytes of a key. The value of a shortened entry isn't
            the ``primary_key`` itself.
        """
        key, null = self.expression(row)
        exclusive = self.unique and not null
        entry = self.prefix + key if exclusive else self.prefix + key + primary_key
        if len(entry) <= max_key:
            return entry, primary_key, exclusive
        stem = entry[: max_key - DIGESTS] + _digest(key)
        return stem + _digest(primary_key), _SHORTENED + primary_key, exclusive

    def stem(self, key: bytes, max_key: int) -> bytes:
        """
        Return what the keys of all shortened entries of some values begin with.

        :param key: the key expression's value, too long with the prefix before it.
        """
        return (self.prefix + key)[: max_key - DIGESTS] + _digest(key)

    def may_be_shortened(self, primary_key: KeyExpression, max_key: int) -> bool:
        """Whether entries can be too long for a key."""
        mine, others = self.expression.size, primary_key.size
        return (
            mine is None or others is None or len(self.prefix) + mine + others > max_key
        )


def _digest(key: bytes) -> bytes:
    return blake2b(key, digest_size=_DIGEST).digest()
