"""Rows in an order that no index has: in memory if they are small, else in a file."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from backendkit.stores import BATCH_BYTES, Row, batches, sort_by, sort_key

from .parameters import InexactError
from .spilling import RowSpill

#: Bytes of long text that are sorted in memory; and of what is sorted by, of rows in a
#: file.
_WHOLE, _KEYS = 16 * BATCH_BYTES, 16 * BATCH_BYTES
#: Rows that are read between two looks at which of them are among the first.
_READ = 2000


def sorted_rows(
    rows: Iterable[Row],
    ordering: Sequence[tuple[int, bool]],
    high: int | None,
    weigh: Callable[[Row], int] | None,
) -> Iterator[Row]:
    """
    Return rows in an order.

    :param ordering: pairs of a place in a row and *descending*, outermost first.
    :param high: how many are wanted; None for all.
    :param weigh: tells how much long text is in a row; None if there is none.
    :raises InexactError: what is sorted by doesn't fit into memory.
    """
    if weigh is not None:
        return _large(iter(rows), ordering, high, weigh)
    return iter(_first(rows, ordering, high))


def _first(
    rows: Iterable[Row], ordering: Sequence[tuple[int, bool]], high: int | None
) -> Sequence[Row]:
    if high is not None and len({descending for _, descending in ordering}) == 1:
        # Only the first few are kept while they are read.
        first = heapq.nlargest if ordering[0][1] else heapq.nsmallest
        places = [place for place, _ in ordering]
        return first(high, rows, lambda row: [sort_key(row[at]) for at in places])
    return list(sort_by(rows, ordering))[:high]


def _large(
    rows: Iterator[Row],
    ordering: Sequence[tuple[int, bool]],
    high: int | None,
    weigh: Callable[[Row], int],
) -> Iterator[Row]:
    kept: list[Row] = []
    weight = 0
    for some in batches(rows, _READ, weigh, _WHOLE // 4):
        if high is None:
            kept += some
            weight += sum(map(weigh, some))
        else:
            # Those behind the first can't be wanted any more.
            kept = [*_first([*kept, *some], ordering, high)]
            weight = sum(map(weigh, kept))
        if weight > _WHOLE * 3 // 4:
            return _spilled(itertools.chain(kept, rows), ordering, high, weigh)
    return iter(_first(kept, ordering, high))


def _spilled(
    rows: Iterable[Row],
    ordering: Sequence[tuple[int, bool]],
    high: int | None,
    weigh: Callable[[Row], int],
) -> Iterator[Row]:
    spill = RowSpill()
    keys: list[Row] = []
    weight = 0
    for row in rows:
        key = tuple([row[place] for place, _ in ordering])
        weight += weigh(key)
        if weight > _KEYS:
            raise InexactError  # SQLite sorts in files
        keys.append((*key, spill.add([row])))
    by_key = [(number, descending) for number, (_, descending) in enumerate(ordering)]
    first = list(sort_by(keys, by_key))[:high]
    return (spill.get(key[-1])[0] for key in first)
