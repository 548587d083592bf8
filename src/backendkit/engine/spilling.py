"""Rows that are kept for later: a few in memory, the others in a temporary file."""

from __future__ import annotations

import datetime
import marshal
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import IO, Any

from backendkit.clock import real
from backendkit.stores import BATCH_BYTES, InterfaceError, OperationalError

#: Bytes of a number that says how long what follows is.
_HEAD = 8


class Spill:
    """
    Rows in the order in which they were added, which may be more than memory holds.

    The file has no name and goes with the object. A child process may read it, too.
    """

    def __init__(self) -> None:
        #: The first rows, as they are written.
        self._parts: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self._end = 0

    def add(self, rows: list[Any]) -> None:
        """
        Keep rows.

        :param rows: so many that memory may hold all of them together, at least one.
        :raises OperationalError: there is no room for them.
        """
        data = _dumped(rows)
        if self._file is None and self._held + len(data) <= BATCH_BYTES:
            self._parts.append(data)
            self._held += len(data)
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this
            self._file.write(len(data).to_bytes(_HEAD, "big") + data)
            # A child process would write it again.
            self._file.flush()
        except OSError as error:
            raise OperationalError(
                f"no room for the rows of a cursor that is open: {error.strerror}."
                f" What a transaction wrote is committed after they are read, into"
                f" {tempfile.gettempdir()}. Read them to the end or close the cursor."
            ) from error
        self._end += _HEAD + len(data)

    def __iter__(self) -> Iterator[Any]:
        """Return the rows, once."""
        while self._parts:
            yield from _loaded(self._parts.pop(0))
        place = 0
        while self._file is not None and place < self._end:
            size = int.from_bytes(self._read(place, _HEAD), "big")
            data = self._read(place + _HEAD, size)
            place += _HEAD + size
            yield from _loaded(data)

    def _read(self, place: int, size: int) -> bytes:
        assert self._file is not None
        # Not from the place that processes with the file have in common.
        return os.pread(self._file.fileno(), size, place)


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


def _dumped(rows: list[Any]) -> bytes:
    """Return rows as bytes; the first of them says whether values were replaced."""
    if all(value.__class__ in _PLAIN for row in rows for value in row):
        return b"p" + marshal.dumps([tuple(row) for row in rows])
    return b"r" + marshal.dumps([tuple(map(_replaced, row)) for row in rows])


def _loaded(data: bytes) -> Iterator[Sequence[Any]]:
    # It was written by this process or its parent, into a file that has no name.
    rows = marshal.loads(data[1:])  # noqa: S302
    if data.startswith(b"p"):
        return iter(rows)
    return (tuple(map(_restored, row)) for row in rows)


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
