"""The periods that some rows are in, found by an index: from each to the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .limits import covered, index_columns
from .running import Filter

if TYPE_CHECKING:
    from .native import Prepared
    from .running import Running

#: To look for another period takes as long as to read so many rows, about.
_SEEK = 100


class UnsureError(Exception):
    """Where a period begins isn't known."""


@dataclass(frozen=True)
class Periods:
    """
    What the values of a column become.

    :param shown: given a value, returns the period that it is in, in SQLite's terms:
        a text that sorts as the period does. Raises InexactError if SQLite has to be
        asked.
    :param first: given a value, returns where its period begins: all values from there
        to the given one are in it, and no earlier ones. Raises :exc:`UnsureError`.
    :param descending: whether later periods come first.
    """

    shown: Callable[[Any], str]
    first: Callable[[Any], Any]
    descending: bool


def find_periods(
    running: Running,
    periods: Periods,
    parts: Sequence[Prepared],
    filters: Sequence[Filter],
) -> list[tuple[str]]:
    """
    Return the periods, each once.

    :param parts: reads of the column: of all rows; the greatest first, of all rows;
        and the same of those that are less than a value, which is the last filter.
    :raises InexactError: SQLite has to be asked.
    """
    every, last, former = parts
    found = _by_index(running, periods, last, former, filters)
    if found is None:
        rows = every.run(running, filters, 0, None)
        found = {periods.shown(value) for (value,) in rows}
    return [(one,) for one in sorted(found, reverse=periods.descending)]


def _by_index(
    running: Running,
    periods: Periods,
    last: Prepared,
    former: Prepared,
    filters: Sequence[Filter],
) -> set[str] | None:
    """
    Go from each period to the one before.

    :return: None if no index has the column in its order, or there are so many periods
        that it is faster to read the rows, or that isn't sure to find all of them.
    """
    session = running.session
    table = former.table
    (name,) = former.read.columns
    kind = table.column(name).type
    access = former.access(session, few=True)
    columns = index_columns(table, access.index)
    if columns[access.equalities :][:1] != (name,) or not covered(
        table, access, former.read.shapes
    ):
        return None
    most = session.estimated_rows(table) // _SEEK
    if not most:
        return None
    session.alone = False  # all of them are of one moment
    found: set[str] = set()
    # NULLs come last, and what is less than something is none: neither is read here.
    known = [one for one in filters if (one.column, one.lookup) != (name, "isnull")]
    rows = last.run(running, known, 0, 1)
    for _ in range(most):
        (value,) = next(rows, (None,))
        if value is None:
            return found
        found.add(periods.shown(value))
        try:
            before = Filter(name, "lt", False, kind, periods.first(value))
        except UnsureError:
            return None
        rows = former.run(running, [*filters, before], 0, 1)
    return None
