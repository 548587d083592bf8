"""Deleted rows, and what the foreign keys of others that refer to them say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from backendkit.stores import (
    ForeignKey,
    IntegrityError,
    Key,
    Row,
    Session,
    Table,
    batches,
    weigher,
)

from .foreign_keys import ForeignKeys, references_of, rows_of_keys, rows_referring

if TYPE_CHECKING:
    from .writer import TableWriter

#: What ON DELETE may do to the rows that refer to a deleted one.
_ACTIONS = frozenset({"CASCADE", "RESTRICT", "SET DEFAULT", "SET NULL"})
#: Deleted rows that are asked for together, across a network.
_TOGETHER = 1000


class Deleter:
    """
    Deletes rows of one table.

    :param writer: of that table.
    :param writers: returns the writer of another table, for cascades.
    """

    def __init__(
        self,
        writer: TableWriter,
        foreign_keys: ForeignKeys,
        writers: Callable[[Session, Table], TableWriter],
    ) -> None:
        self._writer = writer
        self._table = writer.table
        self._foreign_keys = foreign_keys
        self._writers = writers

    def delete_all(self, keys: Sequence[Key]) -> int:
        """
        Delete rows, and do what foreign keys say; return how many there were.

        What refers to them is looked for together, unless the order in which rows are
        deleted matters.

        :raises IntegrityError: a row refers to one of them, and its foreign key says
            RESTRICT.
        """
        if not self._foreign_keys.enforced or not self._foreign_keys.referring(
            self._table
        ):
            self._foreign_keys.note_unchecked(self._table)
            return self._remove(keys)
        if self._order_matters():
            return sum(map(self.delete, keys))
        return self._delete_with(keys)

    def delete(self, key: Key) -> bool:
        """Delete a row, and do what foreign keys say; return whether it was there."""
        return self._delete_with([key]) > 0

    def _order_matters(self) -> bool:
        """Whether a cascade may delete others of the rows, or a row may be kept."""
        tables = [self._table]
        for table in tables:
            for child, key in self._foreign_keys.referring(table):
                if key.on_delete == "RESTRICT":
                    return True
                if key.on_delete == "CASCADE" and child.name == self._table.name:
                    return True
                if key.on_delete == "CASCADE" and child not in tables:
                    tables.append(child)
        return False

    def _delete_with(self, keys: Sequence[Key]) -> int:
        # Not recursive: a tree may be deeper than Python's stack.
        waiting: _Waiting = []
        found = self._delete(keys, waiting)
        while waiting:
            deleter, others = waiting.pop()
            deleter._delete(others, waiting)
        return found

    def _delete(self, keys: Sequence[Key], waiting: _Waiting) -> int:
        """Delete rows; note those that are to be deleted with them."""
        references = self._foreign_keys.referring(self._table)
        if not references or not self._foreign_keys.enforced:
            self._foreign_keys.note_unchecked(self._table)
            return self._remove(keys)
        total = 0
        for olds in self._present(keys):
            self._remove_rows(olds)
            for child, foreign_key in references:
                if foreign_key.on_delete in _ACTIONS:
                    self._act(child, foreign_key, olds, waiting)
            for old in olds:
                self._foreign_keys.note_parent(self._table, old, None)
            total += len(olds)
        return total

    def _present(self, keys: Iterable[Key]) -> Iterator[Sequence[Row]]:
        """Return the rows of some keys, as many at a time as memory has room for."""
        distinct = list(dict.fromkeys(keys))
        weigh = weigher(self._table.columns)
        return batches(self._rows(distinct), max(len(distinct), 1), weigh)

    def _remove(self, keys: Sequence[Key]) -> int:
        """Delete rows, whatever refers to them; return how many there were."""
        if self._writer.items is None:
            return self._writer.session.delete(self._table, keys)
        return sum(map(self._remove_rows, self._present(keys)))

    def _remove_rows(self, rows: Sequence[Row]) -> int:
        if self._writer.items is not None:
            self._writer.items.delete(self._writer.session, rows)
        return self._writer.session.delete(
            self._table, [*map(self._table.key_of, rows)]
        )

    def _rows(self, keys: Sequence[Key]) -> Iterator[Row]:
        """Return the rows of some keys that are there."""
        table, session = self._table, self._writer.session
        if not session.store.capabilities.remote or len(keys) <= _TOGETHER:
            for key in keys:
                old = session.get(table, key)
                if old is not None:
                    yield old
            return
        # More than what a transaction remembers: not each by a call of its own.
        for start in range(0, len(keys), _TOGETHER):
            some = keys[start : start + _TOGETHER]
            yield from list(rows_of_keys(session, table, some))

    def _act(
        self,
        child: Table,
        foreign_key: ForeignKey,
        olds: Sequence[Row],
        waiting: _Waiting,
    ) -> None:
        """Carry out an ON DELETE action for the rows that refer to deleted rows."""
        table = self._table
        places = [table.positions[name] for name in references_of(foreign_key, table)]
        wanted = [
            values
            for old in olds
            if None not in (values := tuple(old[place] for place in places))
        ]
        writer = self._writers(self._writer.session, child)
        rows = list(
            rows_referring(self._writer.session, child, foreign_key, table, wanted)
        )
        if rows and foreign_key.on_delete == "RESTRICT":
            raise IntegrityError(
                f"FOREIGN KEY constraint failed: {child.name} refers to a row of"
                f" {table.name} that was to be deleted"
            )
        numbers = [child.positions[name] for name in foreign_key.columns]
        keys = [child.key_of(row) for row in rows]
        if foreign_key.on_delete == "CASCADE":
            if keys:
                waiting.append((writer.deleter, keys))
            return
        for key in keys:
            if foreign_key.on_delete == "SET NULL":
                writer.change(key, dict.fromkeys(numbers))
            else:
                writer.set_defaults(key, numbers)


#: Rows that are to be deleted with others.
_Waiting: TypeAlias = list[tuple[Deleter, Sequence[Key]]]
