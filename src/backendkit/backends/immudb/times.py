"""
Times that an index of immudb puts in the wrong place, and which columns have some.

The key of a TIMESTAMP counts nanoseconds in 64 bits, which is enough for the years 1678
to 2261. A time before or after them is *far*: its key begins anew at the other end. The
catalog notes for each column whether a far time was ever committed to it, in the
transaction that commits the first one. Until then, orders and ranges go by the index.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING

from backendkit.clock import real
from backendkit.stores import RowChange, Table, TableChange, ValueType

if TYPE_CHECKING:
    from .catalog import Stored

#: The first and the last time whose key is in its place.
FIRST = real.datetime(1677, 9, 21, 0, 12, 43, 145225)
LAST = real.datetime(2262, 4, 11, 23, 47, 16, 854775)


def is_far(value: datetime.datetime) -> bool:
    """Whether an index has this time in the wrong place."""
    return not FIRST <= value <= LAST


def time_columns(table: Table) -> frozenset[str]:
    """Return the names of a table's columns of times."""
    return frozenset(
        column.name for column in table.columns if column.type is ValueType.DATETIME
    )


def _far_columns(
    table: Table, rows: Iterable[RowChange], known: frozenset[str]
) -> frozenset[str]:
    """Return the known columns, and those to which rows bring a far time."""
    at = table.positions
    places = {name: at[name] for name in time_columns(table) - known}
    if not places:
        return known
    found = set(known)
    for change in rows:
        if change.new is None:
            continue
        for name, place in places.items():
            value = change.new[place]
            if value is not None and is_far(value):
                found.add(name)
    return frozenset(found)


def far_times(stored: Stored | None, change: TableChange) -> frozenset[str] | None:
    """
    Return the columns that have had far times, once a change is committed.

    :param stored: how the table is kept so far; None for a new one.
    :return: None if that isn't known.
    """
    before, after = change.before, change.after
    assert after is not None
    if before is None or stored is None:
        return _far_columns(after, change.rows, frozenset())
    if stored.far_times is None:
        # What is known from now on is that there is one.
        found = _far_columns(after, change.rows, frozenset())
        return time_columns(after) if found and stored.ours else None
    if before == after and not change.sources:
        return _far_columns(after, change.rows, stored.far_times)
    # What was no time may have become any.
    times = time_columns(before)
    known = frozenset(
        name
        for name in time_columns(after)
        if (source := change.sources.get(name)) in stored.far_times
        or (source is not None and source not in times)
    )
    filled = frozenset(
        name
        for name in time_columns(after) - change.sources.keys()
        if (value := change.fill.get(name)) is not None and is_far(value)
    )
    return _far_columns(after, change.rows, known | filled)
