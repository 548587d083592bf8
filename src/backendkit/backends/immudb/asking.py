"""
Which transactions wrote a row: asked for, not looked for in the log.

Asking takes as long as the row has versions and the log has digits; reading takes as
long as the log is.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .names import quoted

if TYPE_CHECKING:
    from .driver import Connection

#: The column of its versions' numbers that immudb gives a table.
REVISION = "_rev"


class RowsPast:
    """
    What the server tells of the past of one row.

    :param table: its name, as Django knows it.
    :param key: its primary key: values by immudb's names of the columns.
    :param types: immudb's types of these columns.
    :ivar calls: how often the server was asked.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        key: Mapping[str, Any],
        types: Mapping[str, str],
    ) -> None:
        self.calls = 0
        self._connection = connection
        self._table = quoted(table)
        self._first = next(iter(key))
        self._tests = " AND ".join(
            f'"{name}" = ' + ("CAST(? AS UUID)" if types[name] == "UUID" else "?")
            for name in key
        )
        self._values = [
            str(value) if isinstance(value, UUID) else value for value in key.values()
        ]

    def is_written(self, since: int, until: int) -> bool:
        """
        Whether the row is there as of a transaction, and was written since another one.

        Of a row that is deleted then, it can't be told.
        """
        return bool(
            self._ask(
                f'SELECT "{self._first}" FROM {self._table} SINCE TX {since}'
                f" UNTIL TX {until} WHERE {self._tests}"
            )
        )

    def last_write(self, until: int, after: int = 0) -> int:
        """
        Return the transaction that wrote the row as it is as of another one.

        :param after: it is a later one than this.
        :return: 0 if the row isn't there then.
        """
        if after >= until or not self.is_written(after + 1, until):
            return 0
        later = range(after + 2, until + 1)
        too_late = bisect_left(
            later, True, key=lambda tx: not self.is_written(tx, until)
        )
        return after + 1 + too_late

    def revisions(self) -> int:
        """Return how many versions of the row there are; a deletion counts as one."""
        found = self._ask(
            f"SELECT {REVISION} FROM (HISTORY OF {self._table}) WHERE {self._tests}"
            f' ORDER BY "{self._first}" DESC LIMIT 1'
        )
        return int(found[0][0]) if found else 0

    def writes(
        self, total: int, last: int, budget: float
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """
        Find the transactions that wrote the row, deletions among them.

        :param total: how many there are up to the last one.
        :param budget: questions that may be asked, more or less.
        :return: those that were found; and ranges (after one, up to another) in which
            there may be more of them.
        """
        found: list[int] = []
        # Ranges at whose beginning the row isn't there. In gaps it isn't at the end
        # either, so that all of a life may be in them; the widest one comes first.
        rest = [(0, last)]
        gaps: list[tuple[int, int, int]] = []
        limit = self.calls + budget
        while len(found) < total and (rest or gaps) and self.calls < limit:
            if rest:
                after, until = rest.pop()
                written = self.last_write(until, after)
                if written:
                    found.append(written)
                    rest.append((after, written - 1))
                else:
                    heapq.heappush(gaps, (after - until, after, until))
                continue
            _, after, until = heapq.heappop(gaps)
            middle = (after + until) // 2
            if middle == after:
                continue
            if not self.is_written(after + 1, middle):
                for part in ((after, middle), (middle, until)):
                    heapq.heappush(gaps, (part[0] - part[1], *part))
                continue
            deleted = self._deletion(after, middle, until)
            found.append(deleted)
            rest.append((after, deleted - 1))
            heapq.heappush(gaps, (deleted - until, deleted, until))
        if len(found) >= total:
            return found, []
        return found, [*rest, *((after, until) for _, after, until in gaps)]

    def _deletion(self, after: int, there: int, gone: int) -> int:
        """Return a transaction that deleted the row, between two others."""
        later = range(there + 1, gone)
        still = bisect_left(
            later, True, key=lambda tx: not self.is_written(after + 1, tx)
        )
        return there + 1 + still

    def _ask(self, sql: str) -> Sequence[tuple[Any, ...]]:
        self.calls += 1
        found: Sequence[tuple[Any, ...]] = self._connection.query(
            sql, self._values
        ).rows
        return found
