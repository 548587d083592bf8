"""Item indexes compared with the rows that they index, for a check of a database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import apsw

from backendkit.stores import Access, Row, Session, Table

from .items import ItemIndex, ItemWriter

#: Entries and rows that are read at a time.
_BATCH = 1000


def index_differences(
    session: Session,
    base: Table,
    index: ItemIndex,
    sqlite: Callable[[], apsw.Connection],
    *,
    repair: bool,
) -> Iterator[tuple[str, bool]]:
    """
    Return where an item index isn't what it has to be.

    :param base: the table that it indexes.
    :param sqlite: returns an SQLite that has the JSON functions.
    :param repair: whether to make it so, in the session's transaction.
    :returns: sentences, and whether it is repaired.
    """
    writer = ItemWriter(base, [index], sqlite)

    def entries(row: Row) -> list[Row]:
        ((_, found),) = writer.entries([row])
        return found

    # First what is too much: it may be in the way of what is missing.
    for some in _all(session, index.table):
        for entry in some:
            key = entry[1:]
            row = session.get(base, key)
            if row is None or entry not in entries(row):
                if repair:
                    session.delete(index.table, [index.table.key_of(entry)])
                yield f"row {_shown(key)} doesn't have an item of an entry", repair
    for some in _all(session, base):
        for row in some:
            for entry in entries(row):
                found = session.get(index.table, index.table.key_of(entry))
                if found == entry:
                    continue
                key = base.key_of(row)
                if found is not None:
                    yield (
                        f"row {_shown(key)} has an item of row {_shown(found[1:])}",
                        False,
                    )
                    continue
                if repair:
                    session.insert(index.table, [entry])
                yield f"row {_shown(key)} has an item without an entry", repair


def _all(session: Session, table: Table) -> Iterator[list[Row]]:
    """Return all rows of a table, so many at a time that they may be changed."""
    names = [column.name for column in table.columns]
    rows = session.query(table, names, Access()).fetch()
    while some := list(itertools.islice(rows, _BATCH)):
        yield some


def _shown(key: Row) -> str:
    return ", ".join(map(repr, key))
