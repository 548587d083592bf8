"""
Item indexes: which rows have an item in a JSON array.

``CREATE INDEX name ON book (backendkit_items(tags))`` makes one. It is a table of the
store that SQL can't name, with a row for each item of each row of the other table:
what the item is, and the row's primary key. So every store has them, and what undoes a
change of the rows undoes that of the index.

What is the same item is what SQLite's ``json_each()`` says it is, as for the lookups
that use the index. They check each row that it leads to.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apsw

from backendkit.stores import (
    Catalog,
    Column,
    DatabaseError,
    IntegrityError,
    Key,
    NotSupportedError,
    OperationalError,
    Row,
    Session,
    Table,
    UniqueViolation,
    ValueType,
    shown,
)

from .ddl_text import index_parts
from .tokens import significant
from .values import TO_SQLITE

#: Stands in CREATE INDEX for the items of a column.
FUNCTION = "backendkit_items"
#: The column of the item.
ITEM = "item"
#: Bytes of what stands for an item. A longer one is shortened, with a digest.
_LONGEST, _DIGEST = 64, 32
#: NULL is equal to nothing, here as elsewhere.
_ITEMS = (
    "SELECT DISTINCT type, CASE WHEN type IN ('integer', 'real') THEN value"
    " ELSE CAST(value AS BLOB) END FROM json_each(?) WHERE type <> 'null'"
)
#: Rows of a table that are indexed at a time.
_BATCH = 1000


@dataclass(frozen=True)
class ItemIndex:
    """
    An item index.

    :param table: where it is kept.
    :param column: name of the column that holds the arrays.
    :param unique: whether no two rows may have an item in common.
    """

    table: Table
    column: str
    unique: bool


# What a statement says


def indexed_column(sql: str) -> str | None:
    """
    Return the column whose items a CREATE INDEX statement is about.

    :returns: None if it is about something else.
    :raises NotSupportedError: it is about other things besides.
    """
    if FUNCTION not in sql.lower():
        return None
    parts, where = index_parts(sql)
    tokens = [list(significant(part)) for part in parts]
    if where is None and len(parts) == 1 and len(tokens[0]) == 4:
        function, opened, column, closed = tokens[0]
        if (
            (function.name or "").lower() == FUNCTION
            and (opened.keyword, closed.keyword) == ("(", ")")
            and column.name
        ):
            return column.name
    for one, behind in itertools.pairwise(itertools.chain(*tokens)):
        if (one.name or "").lower() == FUNCTION and behind.keyword == "(":
            raise NotSupportedError(
                f"An index on items is {FUNCTION}(column), without other columns and"
                f" without a condition, not {shown(sql)}."
            )
    return None


def item_table(name: str, base: Table, sql: str) -> Table:
    """
    Return the table of an item index.

    :param base: the table that it indexes.
    :param sql: the CREATE INDEX statement.
    """
    key = tuple(
        replace(
            base.column(column),
            name=f"key{number}",
            nullable=False,
            auto_increment=False,
            hidden=False,
        )
        for number, column in enumerate(base.primary_key)
    )
    item = Column(
        ITEM, ValueType.BYTES, nullable=False, declared="BLOB", max_length=_LONGEST
    )
    columns = (item, *key)
    unique = columns[:1] if _is_unique(sql) else columns
    names = tuple(column.name for column in unique)
    return Table(name, columns, names, sql=sql, items_of=base.name)


def item_indexes(catalog: Catalog) -> dict[str, tuple[ItemIndex, ...]]:
    """
    Return the item indexes by the table that they index.

    :raises DatabaseError: the catalog has one that can't be.
    """
    found: dict[str, list[ItemIndex]] = {}
    for table in catalog.tables.values():
        if table.items_of:
            index = _item_index(catalog, table)
            found.setdefault(table.items_of, []).append(index)
    return {name: tuple(indexes) for name, indexes in found.items()}


def _item_index(catalog: Catalog, table: Table) -> ItemIndex:
    base = catalog.tables.get(table.items_of)
    if base is not None and base.columns and not base.items_of:
        column = _column(base, indexed_column(table.sql) or "")
        made = item_table(table.name, base, table.sql)
        if (
            column is not None
            and _layout(made) == _layout(table)
            and not (table.indexes or table.foreign_keys)
        ):
            return ItemIndex(table, column, len(table.primary_key) == 1)
    raise DatabaseError(
        f"The catalog's index {shown(table.name)} isn't one on the items of a column of"
        f" {shown(table.items_of)}. Was the database written by somebody else?"
    )


def _layout(table: Table) -> tuple[Any, ...]:
    columns = [(column.name, column.type, column.hidden) for column in table.columns]
    return columns, table.primary_key


def _column(table: Table, name: str) -> str | None:
    """Return a column's name as the table spells it; None if there is none."""
    for column in table.columns:
        if column.name.lower() == name.lower() and not column.hidden:
            return column.name
    return None


def _is_unique(sql: str) -> bool:
    return [one.keyword for one in itertools.islice(significant(sql), 2)][1:] == [
        "UNIQUE"
    ]


# What an item is


def item_keys(sqlite: apsw.Connection, document: Any) -> list[bytes]:
    """
    Return what stands for each item of a JSON array, once, and for none that is null.

    Equal items have the same. Others have another one, but for a digest's accident.

    :param document: the array as text. What is no JSON has no items.
    """
    if document is None:
        return []
    try:
        rows: list[tuple[Any, ...]] = sqlite.execute(_ITEMS, (document,)).fetchall()
    except apsw.SQLError:
        return []
    return list(dict.fromkeys(_item_key(kind, value) for kind, value in rows))


def _item_key(kind: str, value: Any) -> bytes:
    if kind in ("integer", "real"):
        # 1 and 1.0 are equal, and so are zeros of either sign.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        key = b"n%a" % value
    else:
        key = kind[:2].encode() + value
    if len(key) <= _LONGEST:
        return key
    digest = hashlib.blake2b(key, digest_size=_DIGEST).digest()
    return b"#" + key[: _LONGEST - _DIGEST - 1] + digest


# Writing


class ItemWriter:
    """
    Keeps a table's item indexes, as its rows change.

    :param table: the table that they index.
    :param sqlite: returns an SQLite that has the JSON functions.
    """

    def __init__(
        self,
        table: Table,
        indexes: Sequence[ItemIndex],
        sqlite: Callable[[], apsw.Connection],
    ) -> None:
        self.indexes = tuple(indexes)
        self._table = table
        self._sqlite = sqlite
        self._places = [table.positions[index.column] for index in indexes]

    def touched(self, numbers: Iterable[int]) -> bool:
        """Whether a change of some columns changes an index."""
        return not {*self._places, *self._table.key_positions}.isdisjoint(numbers)

    def insert(self, session: Session, rows: Sequence[Row]) -> None:
        """
        Index rows.

        :raises IntegrityError: an item is in another row, and mustn't be.
        """
        for index, entries in self.entries(rows):
            _insert(session, index, entries)

    def change(self, session: Session, old: Row, new: Row) -> None:
        """
        Index a row anew.

        :raises IntegrityError: an item is in another row, and mustn't be.
        """
        for (index, before), (_, after) in zip(
            self.entries([old]), self.entries([new]), strict=True
        ):
            gone = [entry for entry in before if entry not in after]
            _delete(session, index, gone)
            _insert(session, index, [entry for entry in after if entry not in before])

    def delete(self, session: Session, rows: Sequence[Row]) -> None:
        """Forget rows."""
        for index, entries in self.entries(rows):
            _delete(session, index, entries)

    def owners(self, session: Session, row: Row) -> Iterator[Key]:
        """Return the keys of the rows that have an item of a row, and mustn't."""
        for index, entries in self.entries([row]):
            if index.unique:
                for entry in entries:
                    found = session.get(index.table, entry[:1])
                    if found is not None:
                        yield found[1:]

    def entries(self, rows: Sequence[Row]) -> Iterator[tuple[ItemIndex, list[Row]]]:
        """Return each index, and the entries that it has for some rows."""
        sqlite, key_of = self._sqlite(), self._table.key_of
        keys = [key_of(row) for row in rows]
        for index, place in zip(self.indexes, self._places, strict=True):
            convert = TO_SQLITE.get(self._table.columns[place].type)
            entries: list[Row] = []
            for row, key in zip(rows, keys, strict=True):
                value = row[place]
                if value is not None and convert is not None:
                    value = convert(value)
                entries += [(item, *key) for item in item_keys(sqlite, value)]
            yield index, entries


def _insert(session: Session, index: ItemIndex, entries: Sequence[Row]) -> None:
    if not entries:
        return
    try:
        session.insert(index.table, entries)
    except UniqueViolation as error:
        if index.unique:
            raise IntegrityError(
                f"UNIQUE constraint failed: index '{index.table.name}'"
            ) from error
        # Some are there, of rows that a repair has left out maybe.
        table = index.table
        for entry in entries:
            if session.get(table, table.key_of(entry)) is None:
                session.insert(table, [entry])


def _delete(session: Session, index: ItemIndex, entries: Sequence[Row]) -> None:
    if entries:
        session.delete(index.table, [index.table.key_of(entry) for entry in entries])


def build(
    session: Session, base: Table, table: Table, sqlite: Callable[[], apsw.Connection]
) -> None:
    """
    Index the rows of a table.

    :param table: the new item index's.
    :raises IntegrityError: an item is in two rows, and mustn't be.
    :raises OperationalError: it is on no column of the table's.
    """
    column = _column(base, indexed_column(table.sql) or "")
    if column is None:
        raise OperationalError(f"{base.name} has no column for {shown(table.sql)}.")
    index = ItemIndex(table, column, len(table.primary_key) == 1)
    writer = ItemWriter(base, [index], sqlite)
    names = [one.name for one in base.columns]
    rows = session.query(base, names, session.access(base, ())).fetch()
    while some := list(itertools.islice(rows, _BATCH)):
        writer.insert(session, some)
