"""Rows that are kept for later: a few in memory, the others in a temporary file."""

from __future__ import annotations

import datetime
import marshal
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from backendkit.clock import real
from backendkit.spilling import Spill, no_room
from backendkit.stores import InterfaceError, OperationalError, Row


class RowSpill:
    """Runs of rows, which may be more than memory holds; each is found by its number."""

    def __init__(self) -> None:
        self._spill = Spill()

    def add(self, rows: Sequence[Row]) -> int:
        """
        Keep rows; return their number.

        :param rows: so many that memory may hold all of them together.
        :raises OperationalError: there is no room for them.
        """
        data = _dumped(rows)
        try:
            return self._spill.add(data)
        except OSError as error:
            raise OperationalError(no_room(error)) from error

    def get(self, number: int) -> list[Row]:
        """
        Return rows by their number.

        :raises OperationalError: there is no room for those that are yet to be written.
        """
        try:
            data = self._spill.get(number)
        except OSError as error:
            raise OperationalError(no_room(error)) from error
        return _loaded(data)

    def __iter__(self) -> Iterator[Row]:
        """Return all rows, as they were added."""
        for number in range(len(self._spill)):
            yield from self.get(number)


# What marshal doesn't write, as a pair of its number here and something that it does. No
# value of the contract is a tuple.
_OTHERS: tuple[tuple[type, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (Decimal, str, Decimal),
    # A datetime is a date, too.
    (real.datetime, real.datetime.isoformat, real.datetime.fromisoformat),
    (real.date, real.date.isoformat, real.date.fromisoformat),
    (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    (
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
    (uuid.UUID, lambda value: value.bytes, lambda data: uuid.UUID(bytes=data)),
    # Subclasses of what it does write.
    *((kind, kind, kind) for kind in (int, float, str, bytes)),
)
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def _dumped(rows: Sequence[Row]) -> bytes:
    """Return rows as bytes; the first of them says whether values were replaced."""
    if all(value.__class__ in _PLAIN for row in rows for value in row):
        return b"p" + marshal.dumps([tuple(row) for row in rows])
    return b"r" + marshal.dumps([tuple(map(_replaced, row)) for row in rows])


def _loaded(data: bytes) -> list[Row]:
    # It was written by this process or its parent, into a file that has no name.
    rows: list[Row] = marshal.loads(memoryview(data)[1:])  # noqa: S302  # see above
    if data.startswith(b"p"):
        return rows
    return [tuple(map(_restored, row)) for row in rows]


def _replaced(value: Any) -> Any:
    if value.__class__ in _PLAIN:
        return value
    for number, (kind, write, _) in enumerate(_OTHERS):
        if isinstance(value, kind):
            return number, write(value)
    raise InterfaceError(f"{type(value).__name__} isn't a type of values")


def _restored(value: Any) -> Any:
    if value.__class__ is not tuple:
        return value
    number, written = value
    return _OTHERS[number][2](written)
