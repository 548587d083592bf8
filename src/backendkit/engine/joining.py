"""To-one joins without SQL: the other table's rows, read in batches by their keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    BATCH_BYTES,
    Access,
    FilterShape,
    Precision,
    Row,
    Table,
    batch,
    weigher,
)

from .declarations import is_view
from .foreign_keys import references_of
from .running import timed

if TYPE_CHECKING:
    from .connection import Connection
    from .running import Running

#: Rows that are completed together: a call of the store for each joined table.
_BATCH = 500
#: The same across a network, where a call takes as long as many rows.
_FAR = 10_000
#: Rows that are completed together at most where those of a joined table may be large.
_LARGE = 16
#: Rows of a joined table that are remembered from batch to batch, and bytes of them.
_REMEMBERED, _MEMORY = 10_000, 4 * BATCH_BYTES


class Known(dict[Any, Row]):
    """Rows of a joined table by what they are looked up by."""

    #: Bytes of long text in all that were read, and in those that are known.
    fetched = weight = 0


@dataclass(frozen=True)
class Step:
    """
    A table of which there is at most one row for each row so far.

    :param place: of the value to look up, in the row so far.
    :param table: its name.
    :param column: that it is looked up by, a unique one.
    :param columns: names of what is put behind the row so far.
    :param outer: whether a row without a match is kept, with NULLs; else it is
        left out.
    """

    place: int
    table: str
    column: str
    columns: tuple[str, ...]
    outer: bool


class PreparedStep:
    """
    A :class:`Step` on a table as it is in the catalog.

    :raises ValueError: it isn't one that can be made without SQL.
    """

    def __init__(self, connection: Connection, step: Step, table: Table) -> None:
        self.step = step
        self.table = table
        names = {step.column, *step.columns}
        if (
            is_view(table)
            or not names <= table.positions.keys()
            or (step.column,) not in table.unique.values()
            or step.column in connection.tables.collations(table)
        ):
            raise ValueError
        #: The column that rows are looked up by.
        self.looked_up = table.column(step.column)
        self._type = self.looked_up.type
        precision = connection.store.capabilities.precision(self._type, "in")
        if precision is not Precision.EXACT:
            raise ValueError
        self._columns = (step.column, *step.columns)
        self.weigh = weigher([table.column(name) for name in self._columns])
        self._blank = (None,) * len(step.columns)
        self._access: Access | None = None

    def extend(self, running: Running, rows: Iterable[Row], known: Known) -> list[Row]:
        """
        Put the table's columns behind each row.

        :param known: rows of the table by what they are looked up by; added to.
        """
        rows = list(rows)
        place = self.step.place
        wanted = {row[place] for row in rows}
        wanted.discard(None)
        wanted.difference_update(known)
        if wanted:
            if len(known) > _REMEMBERED or known.weight > _MEMORY:
                known.clear()
                known.weight = 0
                wanted = {row[place] for row in rows} - {None}
            self._fetch(running, wanted, known)
        blank = self._blank if self.step.outer else None
        extended = []
        for row in rows:
            found = known.get(row[place], blank)
            if found is not None:
                extended.append(row + found)
        return extended

    def _fetch(self, running: Running, wanted: set[Any], known: Known) -> None:
        session = running.session
        column = self.step.column
        if self._access is None:
            shapes = [FilterShape(column, "in")]
            self._access = session.access(self.table, shapes)
        query = session.query(self.table, self._columns, self._access)
        query.add_filter(column, "in", False, self._type, list(wanted))
        start = time.perf_counter()
        rows = query.fetch()
        if running.trace is not None:
            call = f"native: look up by {column}, in batches"
            rows = timed(running.trace_call(self.table.name, call), rows, start)
        for row in rows:
            known[row[0]] = row[1:]
            if self.weigh is not None:
                weight = self.weigh(row)
                known.weight += weight
                known.fetched += weight


def is_sure(table: Table, column: str, step: PreparedStep) -> bool:
    """
    Whether a foreign key says that a step finds a row for each value.

    :param table: the table whose column is looked up, an inner step's if any.
    """
    return not table.column(column).nullable and any(
        key.columns == (column,)
        and key.table.lower() == step.table.name.lower()
        and references_of(key, step.table) == (step.step.column,)
        for key in table.foreign_keys
    )


def join(
    running: Running,
    rows: Iterator[Row],
    steps: list[PreparedStep],
    pick: Callable[[Row], Row] | None,
    at_most: int | None,
    weigh: Callable[[Row], int] | None,
) -> Iterator[Row]:
    """
    Complete rows, in their order.

    :param pick: makes the wanted row of a complete one; None if they are alike.
    :param at_most: how many rows are wanted, if that is known.
    :param weigh: tells how much long text is in a row; None if there is none.
    """
    size = _FAR if running.connection.store.capabilities.remote else _BATCH
    if at_most is not None:
        size = max(min(size, at_most), 1)
    known = [Known() for _ in steps]
    if not running.connection.store.capabilities.remote and any(
        step.weigh is not None for step in steps
    ):
        size = min(size, _LARGE)
    now = size
    while some := batch(rows, now, weigh):
        asked = len(some)
        before = sum(found.fetched for found in known)
        for step, found in zip(steps, known, strict=True):
            some = step.extend(running, some, found)
        yield from some if pick is None else map(pick, some)
        # As many as bring about as many bytes of joined rows as may be at once.
        fetched = sum(found.fetched for found in known) - before
        now = min(size, now * 4, max(asked * BATCH_BYTES // (fetched + 1), 1))
