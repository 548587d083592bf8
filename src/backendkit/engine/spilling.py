"""Rows that are kept for later: a few in memory, the others in a temporary file."""

from __future__ import annotations

import datetime
import marshal
import os
import tempfile
import uuid
from array import array
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import IO, Any

from backendkit.clock import real
from backendkit.stores import BATCH_BYTES, InterfaceError, OperationalError, Row

#: Bytes that are written together.
_BLOCK = BATCH_BYTES // 16


class Spill:
    """
    Runs of rows, which may be more than memory holds; each is found by its number.

    The file has no name and goes with the object. A child process may read it, too.
    """

    def __init__(self) -> None:
        #: The first runs.
        self._parts: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        #: Where the others end in the file, and its own beginning.
        self._ends = array("Q", [0])
        #: What is yet to be written, and the place of that.
        self._block = bytearray()
        self._written = 0

    def add(self, rows: Sequence[Row]) -> int:
        """
        Keep rows; return their number.

        :param rows: so many that memory may hold all of them together.
        :raises OperationalError: there is no room for them.
        """
        data = _dumped(rows)
        if self._file is None and self._held + len(data) <= BATCH_BYTES:
            self._parts.append(data)
            self._held += len(data)
            return len(self._parts) - 1
        self._block += data
        self._ends.append(self._ends[-1] + len(data))
        if len(self._block) >= _BLOCK or self._file is None:
            self._write()
        return len(self._parts) + len(self._ends) - 2

    def get(self, number: int) -> list[Row]:
        """
        Return rows by their number.

        :raises OperationalError: there is no room for those that are yet to be written.
        """
        if number < len(self._parts):
            return _loaded(self._parts[number])
        if self._block:
            self._write()
        number -= len(self._parts)
        start, end = self._ends[number], self._ends[number + 1]
        assert self._file is not None
        return _loaded(os.pread(self._file.fileno(), end - start, start))

    def __iter__(self) -> Iterator[Row]:
        """Return all rows, as they were added."""
        for number in range(len(self._parts) + len(self._ends) - 1):
            yield from self.get(number)

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # as long as this
            # Not at the place that processes with the same file have in common.
            block = memoryview(self._block)
            while block:
                count = os.pwrite(self._file.fileno(), block, self._written)
                self._written += count
                block = block[count:]
        except OSError as error:
            raise OperationalError(
                f"there is no room for a temporary file in {tempfile.gettempdir()}, for"
                f" rows that are sorted, or of a cursor that is open at a COMMIT:"
                f" {error.strerror}"
            ) from error
        self._block = bytearray()


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
    rows: list[Row] = marshal.loads(memoryview(data)[1:])  # noqa: S302
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
