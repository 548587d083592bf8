"""Batches: so many rows at once, and so many bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from ._schema import Column, ValueType

T = TypeVar("T")

#: Bytes of rows that are read before they are asked for, or collected to be written.
BATCH_BYTES = 1 << 20
#: A column of at most so many characters doesn't make a row large.
_SHORT = 255
_SIZED: frozenset[Any] = frozenset({str, bytes, bytearray, memoryview})
_LONG = frozenset({ValueType.STRING, ValueType.BYTES, ValueType.JSON, ValueType.ANY})


def batch(
    items: Iterator[T],
    most: int,
    weigh: Callable[[T], int] | None,
    size: int = BATCH_BYTES,
) -> list[T]:
    """
    Return the next items: all that are left, or enough.

    No more is read than is returned.

    :param most: enough are so many items,
    :param weigh: or those that have so many bytes together; None if none is large.
    :param size: bytes that are enough. The last item may go beyond.
    """
    if weigh is None:
        return list(islice(items, most))
    found: list[T] = []
    if most < 1:
        return found
    left = size
    for item in items:
        found.append(item)
        left -= weigh(item)
        if left <= 0 or len(found) >= most:
            break
    return found


def batches(
    items: Iterable[T],
    most: int,
    weigh: Callable[[T], int] | None,
    size: int = BATCH_BYTES,
) -> Iterator[list[T]]:
    """Return all items in runs, each as :func:`batch` returns it."""
    rest = iter(items)
    while found := batch(rest, most, weigh, size):
        yield found


def weigher(columns: Sequence[Column]) -> Callable[[Sequence[Any]], int] | None:
    """
    Return a function that tells how many bytes of long text are in a row, about.

    :param columns: of the row.
    :returns: None if none of them may be long.
    """
    if not any(
        column.type in _LONG and not 0 < (column.max_length or 0) <= _SHORT
        for column in columns
    ):
        return None
    return weight


def weight(row: Sequence[Any]) -> int:
    """Return how many bytes of text are in a row, about."""
    # Also of a row that is wrong, which will be found later.
    return sum([len(value) for value in row if value.__class__ in _SIZED])
