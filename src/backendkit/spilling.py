"""Data that is kept for later: some of it in memory, the rest in a temporary file."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator
from typing import IO

#: Bytes that stay in memory, and bytes that are written together.
_HELD, _BLOCK = 1 << 20, 1 << 16


class Spill:
    """
    Pieces of data, which may be more than memory holds; each has a number.

    The file has no name and goes with the object. A child process may read it, too.
    """

    def __init__(self) -> None:
        #: The first pieces.
        self._parts: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        #: Where the others end in the file, and its own beginning.
        self._ends = array("Q", [0])
        #: What is yet to be written, and the place of that.
        self._block = bytearray()
        self._written = 0

    def __len__(self) -> int:
        """Return how many pieces there are."""
        return len(self._parts) + len(self._ends) - 1

    def __iter__(self) -> Iterator[bytes]:
        """Return all pieces, as they were added."""
        return map(self.get, range(len(self)))

    def add(self, data: bytes) -> int:
        """
        Keep data; return its number.

        :raises OSError: there is no room.
        """
        if self._file is None and self._held + len(data) <= _HELD:
            self._parts.append(data)
            self._held += len(data)
            return len(self._parts) - 1
        self._block += data
        self._ends.append(self._ends[-1] + len(data))
        if len(self._block) >= _BLOCK or self._file is None:
            self._write()
        return len(self) - 1

    def get(self, number: int) -> bytes:
        """
        Return data by its number.

        :raises OSError: there is no room for what is yet to be written.
        """
        if number < len(self._parts):
            return self._parts[number]
        if self._block:
            self._write()
        number -= len(self._parts)
        start, end = self._ends[number], self._ends[number + 1]
        assert self._file is not None
        return os.pread(self._file.fileno(), end - start, start)

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # as long as this
        # Not at the place that processes with the same file have in common.
        block = memoryview(self._block)
        while block:
            count = os.pwrite(self._file.fileno(), block, self._written)
            self._written += count
            block = block[count:]
        self._block = bytearray()


def no_room(error: OSError) -> str:
    """Return a message for people."""
    return (
        "unable to write rows that are being sorted or read to a temporary file in"
        f" {tempfile.gettempdir()}: {error.strerror}"
    )
