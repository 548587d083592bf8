"""The undo log: how savepoints work on an engine that has none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from backendkit.stores import BATCH_BYTES, InterfaceError, OperationalError

from .keys import AFTER
from .layout import VERSION_KEY

if TYPE_CHECKING:
    from .engine import KeyValueTransaction


class _Clear:
    """Marks an entry whose key is a prefix: undone by removing its keys."""


class _Kept(NamedTuple):
    """Where a value is in the log's file."""

    start: int
    length: int


#: Bytes of previous values that the log has in memory; longer ones than this then go to
#: a file, which the operating system removes.
_MEMORY, _LONG = 4 * BATCH_BYTES, 200

#: A key and its previous value, None if it had none; a prefix and ``CLEAR``; or
#: None and a function that undoes something kept in memory.
Entry = tuple[bytes, bytes | _Clear | _Kept | None] | tuple[None, Callable[[], None]]


class UndoLog:
    """
    What to do to undo the writes since a mark, newest last.

    Nothing is logged while no mark is set. A mark is the number of marks set
    before it: setting and releasing one costs an append and a pop.
    """

    CLEAR: Final = _Clear()

    __slots__ = ("_bytes", "_entries", "_file", "_marks", "active", "log_all")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        #: How long the log was when each mark was set.
        self._marks: list[int] = []
        #: Whether a mark is set, so that writes have to be logged.
        self.active = False
        #: Bytes of the values that are in memory.
        self._bytes = 0
        self._file: IO[bytes] | None = None
        #: Log entries without values.
        self.log_all = self._entries.extend

    def log(self, entry: Entry) -> None:
        """
        Log how to undo a write.

        :raises OperationalError: there is no room for it.
        """
        key, old = entry
        if key is not None and isinstance(old, bytes):
            if self._bytes >= _MEMORY and len(old) > _LONG:
                entry = key, self._keep(old)
            else:
                self._bytes += len(old)
        self._entries.append(entry)

    def _keep(self, value: bytes) -> _Kept:
        """Write a value to the file."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by release()
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(value)
        except OSError as error:
            raise OperationalError(
                "unable to write the data that a rollback to a savepoint needs to"
                f" {tempfile.gettempdir()}: {error.strerror}"
            ) from error
        return _Kept(start, len(value))

    def _value(self, kept: _Kept) -> bytes:
        assert self._file is not None
        self._file.seek(kept.start)
        return self._file.read(kept.length)

    def mark(self) -> int:
        """Set a mark."""
        marks = self._marks
        marks.append(len(self._entries))
        self.active = True
        return len(marks) - 1

    def release(self, mark: int) -> None:
        """Forget a mark and those set after it."""
        del self._marks[mark:]
        if not self._marks:
            self.active = False
            self._entries.clear()
            self._bytes = 0
            if self._file is not None:
                self._file.close()
                self._file = None

    def clear(self) -> None:
        """Forget all marks."""
        self.release(0)

    def undo(self, mark: int, transaction: KeyValueTransaction) -> bool:
        """
        Undo all since a mark; return whether the catalog was changed by that.

        Marks set after it are forgotten; the mark itself stays usable.

        :raises InterfaceError: the mark isn't set.
        """
        if not 0 <= mark < len(self._marks):
            raise InterfaceError("there is no such savepoint")
        entries = self._entries
        catalog_changed = False
        while len(entries) > self._marks[mark]:
            key, old = entries[-1]
            if key is None:
                assert callable(old)
                old()
            elif old is None:
                transaction.delete(key)
            elif isinstance(old, bytes):
                transaction.put(key, old)
                self._bytes -= len(old)
            elif isinstance(old, _Kept):
                transaction.put(key, self._value(old))
            else:
                assert old is self.CLEAR
                transaction.clear(key, key + AFTER)
            if key == VERSION_KEY:
                catalog_changed = True
            entries.pop()
        del self._marks[mark + 1 :]
        return catalog_changed
