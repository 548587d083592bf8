"""What SQLite changes and deletes row by row, given to the store many at once."""

from __future__ import annotations

from typing import Any

from backendkit.stores import BATCH_BYTES, Key, weigher

from .writer import TableWriter

#: So many rows at once, if they aren't large.
_BATCH = 1000


class Changes:
    """
    Changed rows of a statement. SQLite has read all of them before it changes one.

    :param numbers: the columns that are changed, the same in each row.
    """

    def __init__(self, writer: TableWriter, numbers: tuple[int, ...]) -> None:
        writer.refuse_generated(numbers, "UPDATE")
        self.writer = writer
        self.numbers = numbers
        self._together = writer.together(numbers)
        self._rows: dict[Key, list[Any]] = {}
        columns = [writer.table.columns[number] for number in numbers]
        self._weigh = weigher(columns)
        self._bytes = 0

    def add(self, key: Key, changes: dict[int, Any]) -> None:
        """
        Change a row, now or with others.

        :raises IntegrityError, DataError: as :meth:`TableWriter.change`.
        """
        writer = self.writer
        if not self._together:
            writer.change(key, changes)
            return
        # Twice, if it comes from another table's rows: the last one counts.
        self._rows[key] = values = [writer.stored(*one) for one in changes.items()]
        if self._weigh is not None:
            self._bytes += self._weigh(values)
        if len(self._rows) >= _BATCH or self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Change the rows that wait."""
        rows, self._rows, self._bytes = self._rows, {}, 0
        if rows:
            self.writer.change_together(self.numbers, rows)


class Deletions:
    """Deleted rows of a statement; as :class:`Changes`."""

    def __init__(self, writer: TableWriter) -> None:
        self.writer = writer
        self._keys: list[Key] = []

    def add(self, key: Key) -> None:
        """Delete a row, now or with others."""
        self._keys.append(key)
        if len(self._keys) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Delete the rows that wait."""
        keys, self._keys = self._keys, []
        if keys:
            self.writer.delete_all(keys)
