"""The undo log: how savepoints work on an engine that has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backendkit.stores import InterfaceError

from .keys import AFTER
from .layout import VERSION_KEY

if TYPE_CHECKING:
    from .engine import KeyValueTransaction


class _Clear:
    """Marks an entry whose key is a prefix: undone by removing its keys."""


#: A key and its previous value, None if it had none; a prefix and ``CLEAR``; or
#: None and a function that undoes something kept in memory.
Entry = tuple[bytes, bytes | _Clear | None] | tuple[None, Callable[[], None]]


class UndoLog:
    """
    What to do to undo the writes since a mark, newest last.

    Nothing is logged while no mark is set. A mark is the number of marks set
    before it: setting and releasing one costs an append and a pop.
    """

    CLEAR: Final = _Clear()

    __slots__ = ("_entries", "_marks", "active", "log", "log_all")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        #: How long the log was when each mark was set.
        self._marks: list[int] = []
        #: Whether a mark is set, so that writes have to be logged.
        self.active = False
        self.log = self._entries.append
        self.log_all = self._entries.extend

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
            else:
                assert old is self.CLEAR
                transaction.clear(key, key + AFTER)
            if key == VERSION_KEY:
                catalog_changed = True
            entries.pop()
        del self._marks[mark + 1 :]
        return catalog_changed
