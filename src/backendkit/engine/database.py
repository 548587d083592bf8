"""SQLite databases of this process alone, whose calls forks wait for."""

from __future__ import annotations

from typing import Any

import apsw

from backendkit.stores import NativeCalls

#: SQLite's calls in progress. What it calls, stores among them, is called within.
calls = NativeCalls(calls_others=True)
#: Instructions of SQLite between two looks whether another thread forks.
_STEPS = 1000


class _Cursor(apsw.Cursor):
    """A cursor. Who takes rows from it one by one begins a call first."""

    def execute(self, *args: Any, **kwargs: Any) -> apsw.Cursor:
        """Execute a statement."""
        with calls:
            return super().execute(*args, **kwargs)

    def fetchall(self) -> Any:
        """Return all rows that are left."""
        with calls:
            return super().fetchall()

    def close(self, force: bool = False) -> None:  # as in apsw
        """Close it."""
        with calls:
            super().close(force)


class _EachCursor(_Cursor):
    """A cursor of few rows."""

    def __next__(self) -> Any:
        """Return the next row."""
        with calls:
            return super().__next__()


class Database(apsw.Connection):
    """
    A database in memory, or in a file of SQLite's own that goes when it is closed.

    :param few: whether its statements return few rows, that are taken anyhow.
    :param spills: whether it may be larger than memory: the file.
    """

    def __init__(
        self, *, few: bool = False, spills: bool = False, **options: Any
    ) -> None:
        with calls:
            super().__init__("" if spills else ":memory:", **options)
            self.cursor_factory = _EachCursor if few else _Cursor
            self.set_progress_handler(calls.pause, _STEPS, id=calls)
            # It has SQL of catalogs to run, and no business with files.
            self.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
            self.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            self.enable_load_extension(False)

    def create_module(self, *args: Any, **kwargs: Any) -> None:
        """Declare virtual tables."""
        with calls:
            super().create_module(*args, **kwargs)

    def close(self, force: bool = False) -> None:  # as in apsw
        """Close it."""
        with calls:
            super().close(force)
