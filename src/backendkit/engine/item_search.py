"""Item indexes as queries use them: from items that are wanted to keys of rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from backendkit.stores import Access, FilterShape, Precision, Session, Table, ValueType

from .items import ITEM, ItemIndex, item_keys
from .running import Filter

if TYPE_CHECKING:
    from .running import Running

#: Filters of the compiler that an item index answers, coarsely: the row has all items of
#: a JSON array, or any of them.
ALL, ANY = "items_all", "items_any"
LOOKUPS = frozenset({ALL, ANY})

_NULLS = "SELECT 1 FROM json_each(?) WHERE type = 'null' LIMIT 1"
#: Rows that are read by their keys at most. Beyond these, or beyond one in two of the
#: table's, a scan takes no longer; across a network, a statement has its limits, too.
_MOST, _MOST_REMOTE = 200_000, 500
_FEW = 100


def used_indexes(running: Running, table: Table) -> tuple[str, ...]:
    """Return the names of the item indexes that answer a statement's filters."""
    columns = [
        one.column for one in running.handed_to(table.name) if one.lookup in LOOKUPS
    ]
    return tuple(
        index.table.name
        for index in running.connection.tables.items.get(table.name, ())
        if index.column in columns and _access(running.session, index).equalities
    )


def _access(session: Session, index: ItemIndex) -> Access:
    """Return how the rows with an item are found: where no key is, by a scan."""
    return session.access(index.table, [FilterShape(ITEM, "exact")])


def narrowed(
    running: Running, table: Table, filters: Iterable[Filter]
) -> tuple[Filter, str] | None:
    """
    Return a filter on the primary key that holds where some filters on items do.

    :returns: and the index that it is from; None if none of them would save a scan.
    """
    session = running.session
    capabilities = session.store.capabilities
    key = table.column(table.primary_key[0])
    if (
        capabilities.precision(key.type, "in") is Precision.NONE
        or capabilities.precision(ValueType.BYTES, "exact") is Precision.NONE
    ):
        return None
    # A cursor may be older than an index.
    catalog = session.catalog().tables
    known = [
        index
        for index in running.connection.tables.items.get(table.name, ())
        if catalog.get(index.table.name) == index.table
    ]
    most = max(session.estimated_rows(table) // 2, _FEW)
    most = min(most, _MOST_REMOTE if capabilities.remote else _MOST)
    best: tuple[list[Any], str] | None = None
    for one in filters:
        for index in known:
            if one.lookup in LOOKUPS and one.column == index.column:
                found = _keys(running, index, one, most)
                if found is not None:
                    best, most = (found, index.table.name), len(found)
    if best is None:
        return None
    return Filter(key.name, "in", False, key.type, best[0]), best[1]


def _keys(
    running: Running, index: ItemIndex, one: Filter, most: int
) -> list[Any] | None:
    """Return the first values of the keys of rows with items; None if too many."""
    sqlite = running.connection.declarations.sqlite
    items = item_keys(sqlite, one.value)
    if one.lookup == ALL:
        found: list[Any] | None = None
        for item in items:
            some = _rows_with(running.session, index, item, most)
            if some is not None:
                found, most = some, len(some)
        return found
    if not items or sqlite.execute(_NULLS, (one.value,)).fetchone():
        return None
    union: dict[Any, None] = {}
    for item in items:
        some = _rows_with(running.session, index, item, most)
        if some is None:
            return None
        union |= dict.fromkeys(some)
    return list(union) if len(union) <= most else None


def _rows_with(
    session: Session, index: ItemIndex, item: bytes, most: int
) -> list[Any] | None:
    table = index.table
    access = _access(session, index)
    if not access.equalities:
        return None
    query = session.query(table, [table.columns[1].name], access)
    query.add_filter(ITEM, "exact", False, ValueType.BYTES, item)
    rows = query.fetch()
    found = [row[0] for row in itertools.islice(rows, most + 1)]
    return list(dict.fromkeys(found)) if len(found) <= most else None
