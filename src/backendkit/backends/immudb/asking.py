"""
Which transactions wrote a row: asked for, not looked for in the log.

Asking takes as long as the row has versions and the log has digits; reading takes as
long as the log is, with all that other rows' versions have in it. A statement asks about
several moments at once, so that one call narrows a range down to a sixteenth.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .names import quoted

if TYPE_CHECKING:
    from .driver import Connection

#: The column of its versions' numbers that immudb gives a table.
REVISION = "_rev"
#: Moments that one statement asks about: each takes a tenth of what a call takes.
_MOMENTS = 16
#: The same where nobody knows at which of them the row was there.
_GAP = 64


class RowsPast:
    """
    What the server tells of the past of one row.

    :param table: its name, as Django knows it.
    :param key: its primary key: values by immudb's names of the columns.
    :param types: immudb's types of these columns.
    :ivar questions: about how many moments the server was asked.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        key: Mapping[str, Any],
        types: Mapping[str, str],
    ) -> None:
        self.questions = 0
        self._connection = connection
        self._table = quoted(table)
        first = next(iter(key))
        self._order = f'ORDER BY "{first}" DESC'
        self._tests = " AND ".join(
            f'"{name}" = ' + ("CAST(? AS UUID)" if types[name] == "UUID" else "?")
            for name in key
        )
        self._values = [
            str(value) if isinstance(value, UUID) else value for value in key.values()
        ]

    def last_write(self, until: int, after: int = 0) -> int:
        """
        Return the transaction that wrote the row as it is as of another one.

        :param after: it is a later one than this.
        :return: 0 if the row isn't there then, or wasn't written since ``after``.
        """
        found = _edge(
            after,
            until + 1,
            lambda moments: self._which((one, until) for one in moments),
        )
        return found if found > after else 0

    def revisions(self) -> int:
        """Return how many versions of the row there are; a deletion counts as one."""
        found = self._ask(
            f"SELECT {REVISION} FROM (HISTORY OF {self._table}) WHERE {self._tests}"
            f" {self._order} LIMIT 1"
        )
        return int(found[0][0]) if found else 0

    def writes(
        self, total: int, last: int, budget: Callable[[], float]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """
        Find the transactions that wrote the row, deletions among them.

        :param total: how many there are up to the last one.
        :param budget: returns how many questions may be asked, more or less, where the
            row is deleted at the end of a range: it may have been there for a moment
            only. It is called if there is such a range.
        :return: those that were found; and ranges (after one, up to another) in which
            there may be more of them.
        """
        found: list[int] = []
        # Ranges at whose beginning the row isn't there. In gaps it isn't at the end
        # either, so that all of a life may be in them; the widest one comes first.
        rest = [(0, last)]
        gaps: list[tuple[int, int, int]] = []
        limit: float | None = None
        while len(found) < total and (rest or gaps):
            if rest:
                after, until = rest.pop()
                written = self.last_write(until, after)
                if written:
                    found.append(written)
                    rest.append((after, written - 1))
                else:
                    heapq.heappush(gaps, (after - until, after, until))
                continue
            if limit is None:
                limit = self.questions + budget()
            if self.questions >= limit:
                break
            _, after, until = heapq.heappop(gaps)
            moments = _spread(after, until, _GAP)
            there = self._which((after + 1, one) for one in moments)
            ends = [after, *moments, until]
            if there:
                # Behind the last moment at which it is there, it was deleted.
                at = there[-1] + 1
                deleted = self._deletion(after, ends[at], ends[at + 1])
                found.append(deleted)
                rest.append((after, deleted - 1))
                ends = [deleted, *ends[at + 1 :]]
            for start, end in itertools.pairwise(ends):
                if end - start > 1:
                    heapq.heappush(gaps, (start - end, start, end))
        if len(found) >= total:
            return found, []
        return found, [*rest, *((after, until) for _, after, until in gaps)]

    def _deletion(self, after: int, there: int, gone: int) -> int:
        """Return a transaction that deleted the row, between two others."""
        still = _edge(
            there,
            gone,
            lambda moments: self._which((after + 1, one) for one in moments),
        )
        return still + 1

    def _which(self, periods: Iterable[tuple[int, int]]) -> list[int]:
        """
        Return in which periods the row is there at the end and was written.

        Of a row that is deleted at the end, it can't be told whether it was written.

        :param periods: their first and their last transactions.
        :return: the places of the periods, in their order.
        """
        parts = [
            f"SELECT {place} FROM {self._table} SINCE TX {since} UNTIL TX {until}"
            f" WHERE {self._tests}"
            for place, (since, until) in enumerate(periods)
        ]
        self.questions += len(parts)
        found = self._ask(" UNION ALL ".join(parts), len(parts))
        return sorted(place for (place,) in found)

    def _ask(self, sql: str, times: int = 1) -> Sequence[tuple[Any, ...]]:
        found: Sequence[tuple[Any, ...]] = self._connection.query(
            sql, self._values * times
        ).rows
        return found


def _spread(after: int, before: int, most: int) -> list[int]:
    """Return some transactions between two others, the first of them included."""
    width = before - after - 1
    count = min(most, width)
    return [after + 1 + number * width // count for number in range(count)]


def _edge(
    after: int, before: int, which: Callable[[Sequence[int]], Sequence[int]]
) -> int:
    """
    Return a transaction of which something is true, while of the next one it isn't.

    :param after: one of which it is true; it isn't asked about.
    :param before: a later one of which it isn't.
    :param which: returns the places of those, of some, of which it is true.
    """
    while before - after > 1:
        asked = _spread(after, before, _MOMENTS)
        true = set(which(asked))
        first = next(place for place in range(len(asked) + 1) if place not in true)
        if first < len(asked):
            before = asked[first]
        if first:
            after = asked[first - 1]
    return after
