"""Notes about any number of rows, in a file of SQLite's own that goes when it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, cast

from backendkit.engine.database import Database

_SETUP = """
PRAGMA journal_mode = MEMORY;
PRAGMA cache_size = -8000;
CREATE TABLE counted (key BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID;
CREATE TABLE noted (key BLOB PRIMARY KEY, tx INTEGER, place INTEGER, ts INTEGER,
                    deleted INTEGER, value BLOB);
"""


class Scratch:
    """Eight megabytes of memory at most; the rest is on disk."""

    def __init__(self) -> None:
        self._file = Database(few=True, spills=True)
        self._file.execute(_SETUP).fetchall()

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close(True)

    def count(self, key: bytes) -> int:
        """Return how often this was called with a key."""
        sql = (
            "INSERT INTO counted VALUES (?, 1) ON CONFLICT DO UPDATE"
            " SET number = number + 1 RETURNING number"
        )
        return cast("int", self._file.execute(sql, (key,)).fetchall()[0][0])

    def note(self, key: bytes, tx: int, entry: Any, ts: int, place: int) -> None:
        """Keep the last entry of a key."""
        values = (key, tx, place, ts, entry.metadata.deleted, entry.value)
        self._file.execute("REPLACE INTO noted VALUES (?, ?, ?, ?, ?, ?)", values)

    def noted(self) -> Iterator[tuple[int, int, bool, bytes]]:
        """Go through what was kept, in order: transaction, time, deleted, value."""
        sql = "SELECT tx, ts, deleted, value FROM noted ORDER BY tx, place"
        for tx, ts, deleted, value in self._file.execute(sql):
            yield cast("int", tx), cast("int", ts), bool(deleted), cast("bytes", value)
