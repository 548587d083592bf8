"""
immudb's catalog, followed entry by entry through the ledger.

What a table is called, which ids, names and types its columns have, isn't part of a
row's proof: the server just says it. But each change of it is in a transaction.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

from ._proofs import require
from ._rows import DATABASE, PRIMARY, SIZED, SQL, TYPES, Column, Table

CATALOG = SQL + b"CTL."
TABLE = CATALOG + b"TABLE."
COLUMN = CATALOG + b"COLUMN."
INDEX = CATALOG + b"INDEX."

# In the first byte of a column's entry: its name's length is given, a default follows.
HAS_DEFAULT = 4


@dataclasses.dataclass(slots=True)
class Draft:
    """A table as far as its entries were met; ``key`` is empty if it began before."""

    name: str | None = None
    columns: dict[int, Column] = dataclasses.field(default_factory=dict)
    key: tuple[int, ...] = ()


class Catalog:
    """
    The tables of a database.

    :param name: of the one table that is known at the beginning, if any.
    """

    def __init__(self, name: str | None = None, table: Table | None = None) -> None:
        self._tables: dict[int, Draft] = {}
        if table is not None:
            self._tables[table.id] = Draft(name, dict(table.columns), table.key)

    def add(self, name: str, table: Table) -> None:
        """Take a table that is known as it is after what was taken."""
        self._tables[table.id] = Draft(name, dict(table.columns), table.key)

    def apply(self, key: bytes, value: bytes, *, deleted: bool) -> None:
        """
        Take an entry of a transaction.

        :raises ProofError: it isn't one as immudb 1.11 writes them.
        """
        for prefix, take in (
            (TABLE, self._table),
            (COLUMN, self._column),
            (INDEX, self._index),
        ):
            if key.startswith(prefix):
                rest = key[len(prefix) :]
                require(len(rest) >= 8, "a truncated key of the catalog")
                database, number = struct.unpack_from(">II", rest)
                require(database == DATABASE, "the id of another database")
                draft = self._tables.setdefault(number, Draft())
                take(draft, rest[8:], None if deleted else value)

    def _table(self, draft: Draft, rest: bytes, value: bytes | None) -> None:
        draft.name = None if value is None else value.decode(errors="replace")

    def _column(self, draft: Draft, rest: bytes, value: bytes | None) -> None:
        require(len(rest) > 4, "a truncated key of a column")
        (number,) = struct.unpack_from(">I", rest)
        kind = rest[4:].decode(errors="replace")
        if value is None:
            # A column that gets another type has its old entry deleted.
            if number in draft.columns and draft.columns[number].type == kind:
                del draft.columns[number]
            return
        require(kind in TYPES and len(value) > 5, "a malformed entry of a column")
        (length,) = struct.unpack_from(">I", value, 1)
        name = value[5:]
        if value[0] & HAS_DEFAULT and len(value) >= 7:
            (size,) = struct.unpack_from(">H", value, 5)
            name = value[7 : 7 + size]
        draft.columns[number] = Column(
            name.decode(errors="replace"), kind, length if kind in SIZED else 0
        )

    def _index(self, draft: Draft, rest: bytes, value: bytes | None) -> None:
        require(len(rest) == 4, "a truncated key of an index")
        if struct.unpack(">I", rest) != (PRIMARY,):
            return
        if value is None:
            draft.key = ()
            return
        # Whether it is unique; then an id and the direction of each column.
        require(len(value) % 5 == 1, "a truncated entry of an index")
        draft.key = tuple(number for number, _ in struct.iter_unpack(">IB", value[1:]))

    def find(self, name: str) -> Table | None:
        """
        Return the table of this name, or None if there is none.

        :raises LookupError: there is, but some of its entries are older than what
            was taken.
        """
        for number, draft in self._tables.items():
            if draft.name == name:
                if not draft.key or not draft.columns.keys() >= set(draft.key):
                    raise LookupError(name)
                columns = dict(sorted(draft.columns.items()))
                return Table(number, columns, draft.key)
        return None

    def tables(self) -> dict[str, Table]:
        """
        Return all tables by name.

        :raises ProofError: one has no primary key.
        """
        return {
            draft.name: Table(
                number, dict(sorted(draft.columns.items())), draft.key
            ).checked()
            for number, draft in self._tables.items()
            if draft.name is not None
        }

    def document(self) -> list[Any]:
        """Return all that is known, for JSON."""
        return [
            [
                number,
                draft.name,
                [[at, *dataclasses.astuple(one)] for at, one in draft.columns.items()],
                draft.key,
            ]
            for number, draft in self._tables.items()
        ]

    @classmethod
    def of(cls, document: list[Any]) -> Catalog:
        """Return what :meth:`document` was made of."""
        catalog = cls()
        for number, name, columns, key in document:
            known = {at: Column(*rest) for at, *rest in columns}
            catalog._tables[number] = Draft(name, known, tuple(key))
        return catalog


def table_of(key: bytes) -> int | None:
    """Return the id of the table that an entry of the catalog is about."""
    for prefix in (TABLE, COLUMN, INDEX):
        if key.startswith(prefix) and len(key) >= len(prefix) + 8:
            return int.from_bytes(key[len(prefix) + 4 : len(prefix) + 8], "big")
    return None
