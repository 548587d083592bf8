"""Changes of rows that are kept until the commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._buffer import Numbering, TableBuffer, same
from ._buffered_schema import BufferedSchema
from ._errors import OperationalError, UniqueViolation
from ._matching import row_getter
from ._schema import Table
from ._session import Key, Row


class BufferedWrites(BufferedSchema):
    """The part of :class:`BufferedSession` that writes rows, and keeps them unique."""

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        buffer = self._buffer(table)
        self._undo_by(setattr, buffer, "numbering", buffer.numbering)
        checked = self._check(table, rows)
        complete, fresh = self._number(buffer, checked)
        pairs = [buffer.table.unique_values(row) for row in complete]
        taken = self._taken(buffer, (p for one in pairs for p in one), fresh)
        keys = []
        for row, unique in zip(complete, pairs, strict=True):
            self._check_unique(buffer, unique, taken)
            key = unique[0][1]
            self._put(buffer, key, row, None)
            keys.append(key)
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        buffer = self._buffer(table)
        now, committed = self._current(buffer, tuple(key))
        if now is not None:
            self._replace(buffer, now, committed, row)

    def set_columns(
        self, table: Table, names: Sequence[str], changes: Mapping[Key, Sequence[Any]]
    ) -> None:
        buffer = self._buffer(table)
        places = [table.positions[name] for name in names]
        committed: dict[Key, Row] = {}
        if buffer.before is not None:
            unknown = [key for key in changes if key not in buffer.rows]
            committed = self._committed(buffer.before, unknown)
        replaced: list[tuple[Row, Row | None, Row]] = []
        for key, values in changes.items():
            entry, old = buffer.rows.get(key), committed.get(key)
            if entry is None and old is not None:
                now: Row | None = buffer.current(old)
            else:
                now = None if entry is None else entry.row
            if now is None:
                continue
            row = list(now)
            for place, value in zip(places, values, strict=True):
                row[place] = value
            replaced.append((now, old, tuple(row)))
        checked = self._check(table, [row for _, _, row in replaced])
        # Looked up together. What one of them gives up, another one may take: of those
        # that are taken now, it is looked again when it is their turn.
        pairs = [
            pair
            for (before, _, _), new in zip(replaced, checked, strict=True)
            for pair in _new_values(buffer, before, new)
        ]
        taken = self._taken(buffer, pairs, frozenset()) if len(pairs) > 1 else None
        for (before, old, _), new in zip(replaced, checked, strict=True):
            self._put_instead(buffer, before, old, new, taken)

    def replace(self, buffer: TableBuffer, now: Row, row: Row) -> None:
        committed: Row | None = None
        key = buffer.table.key_of(now)
        if key not in buffer.rows:
            committed = now if buffer.convert is None else self._current(buffer, key)[1]
        self._replace(buffer, now, committed, row)

    def _replace(
        self, buffer: TableBuffer, now: Row, committed: Row | None, row: Row
    ) -> None:
        """
        Replace a row.

        :param committed: it as committed, if it isn't in the buffer.
        """
        (row,) = self._check(buffer.table, [row])
        self._put_instead(buffer, now, committed, row, None)

    def _put_instead(
        self,
        buffer: TableBuffer,
        now: Row,
        committed: Row | None,
        row: Row,
        taken: Mapping[str, set[tuple[Any, ...]]] | None,
    ) -> None:
        """
        Replace a row by one that was checked, as :meth:`_replace` does.

        :param taken: unique values that committed rows had before; None if that wasn't
            looked up.
        """
        table = buffer.table
        if same(row, now):
            return
        pairs = _new_values(buffer, now, row)
        if taken is None or any(
            values in taken.get(index, ()) for index, values in pairs
        ):
            taken = self._taken(buffer, pairs, frozenset())
        self._check_unique(buffer, pairs, taken)
        old_key, new_key = table.key_of(now), table.key_of(row)
        at = table.auto_increment
        # The number that it had moved the sequence on when it came.
        if at is not None and row[at] is not None and row[at] != now[at]:
            self._undo_by(setattr, buffer, "numbering", buffer.numbering)
            buffer.numbering = _moved_on(buffer.numbering, row[at])
        if new_key == old_key:
            self._put(buffer, new_key, row, committed)
        else:
            self._put(buffer, old_key, None, committed)
            self._put(buffer, new_key, row, None)

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        buffer = self._buffer(table)
        known, number = buffer.rows, 0
        unique = dict.fromkeys(map(tuple, keys))
        committed: dict[Key, Row] = {}
        if buffer.before is not None:
            unknown = [key for key in unique if key not in known]
            committed = self._committed(buffer.before, unknown)
        for key in unique:
            entry, old = known.get(key), committed.get(key)
            if old is not None or (entry is not None and entry.row is not None):
                self._put(buffer, key, None, old)
                number += 1
        return number

    def reset_sequence(self, table: Table, value: int = 0) -> None:
        buffer = self._buffer(table)
        self._undo_by(setattr, buffer, "numbering", buffer.numbering)
        buffer.numbering = Numbering(own=True, last=value)

    def _put(
        self, buffer: TableBuffer, key: Key, row: Row | None, old: Row | None
    ) -> None:
        self.now += 1
        if self._marks:
            self._log.append((buffer.put, key, buffer.rows.get(key)))
        buffer.change(key, row, old, self.now)

    def _number(
        self, buffer: TableBuffer, rows: Sequence[Row]
    ) -> tuple[Sequence[Row], set[Key]]:
        """Number rows; return them, and keys that no row can have yet."""
        table, at = buffer.table, buffer.table.auto_increment
        fresh: set[Key] = set()
        if at is None:
            return rows, fresh
        wanted = sum(1 for row in rows if row[at] is None)
        complete = []
        numbering = buffer.numbering
        own, last, reserve = numbering.own, numbering.last, numbering.reserve
        for row in rows:
            if row[at] is not None:
                numbering = _moved_on(numbering._replace(last=last), row[at])
                last = numbering.last
                complete.append(row)
                continue
            number = last + 1
            if not own:
                number = max(number, reserve.start)
                if number >= reserve.stop:
                    assert buffer.before is not None
                    number = self._allocate(buffer.before, wanted, last)
                    reserve = range(number, number + wanted)
                fresh.add((number,))
            if number >= 2**63:
                raise OperationalError(f"{table.name} has no numbers left")
            last = number
            wanted -= 1
            complete.append((*row[:at], number, *row[at + 1 :]))
        buffer.numbering = numbering._replace(last=last, reserve=reserve)
        if table.key_positions != (at,):
            fresh = set()
        return complete, fresh

    def _taken(
        self,
        buffer: TableBuffer,
        pairs: Iterable[tuple[str, tuple[Any, ...]]],
        fresh: Any,
    ) -> dict[str, set[tuple[Any, ...]]]:
        """Look up in what is committed which of these unique values are taken."""
        if buffer.before is None:
            return {}
        wanted: dict[str, dict[tuple[Any, ...], None]] = {}
        for index, values in pairs:
            if index or not (values in buffer.rows or values in fresh):
                wanted.setdefault(index, {})[values] = None
        return {
            index: self._held(buffer, index, [*values])
            for index, values in wanted.items()
        }

    def _held(
        self, buffer: TableBuffer, index: str, values: Sequence[tuple[Any, ...]]
    ) -> set[tuple[Any, ...]]:
        """Return which values of a unique index committed rows have that still do."""
        table, before = buffer.table, buffer.before
        assert before is not None
        names = table.unique[index]
        if not index:
            return set(self._committed(before, values))
        if buffer.index_source(index):
            rows = self._find(before, index, values)
        else:
            # An index of this transaction: the store hasn't got it.
            places = [n for n, name in enumerate(names) if name in buffer.sources]
            sources = [buffer.sources[names[n]] for n in places]
            rows = self._select(before, sources, list(map(row_getter(places), values)))
        if self.remembering:
            rows = self.remembered(before, rows)
        values_of = row_getter([table.positions[name] for name in names])
        return {
            values_of(buffer.current(row))
            for row in rows
            if before.key_of(row) not in buffer.rows
        }

    @staticmethod
    def _check_unique(
        buffer: TableBuffer,
        pairs: Iterable[tuple[str, tuple[Any, ...]]],
        taken: Mapping[str, set[tuple[Any, ...]]],
    ) -> None:
        """
        Check that unique values are free.

        :raises UniqueViolation: another row has them.
        """
        for index, values in pairs:
            if index:
                used = values in buffer.holders[index]
            else:
                entry = buffer.rows.get(values)
                used = entry is not None and entry.row is not None
            if used or values in taken.get(index, ()):
                raise UniqueViolation(buffer.table.name, buffer.table.unique[index])


def _new_values(
    buffer: TableBuffer, now: Row, row: Row
) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the unique values, by index, that a row gets which it hasn't yet."""
    former = set(buffer.table.unique_values(now))
    return [pair for pair in buffer.table.unique_values(row) if pair not in former]


def _moved_on(numbering: Numbering, number: int) -> Numbering:
    """Return the numbering once a row has come with a number."""
    if number <= numbering.last and number <= numbering.explicit:
        return numbering
    return numbering._replace(
        last=max(numbering.last, number), explicit=max(numbering.explicit, number)
    )
