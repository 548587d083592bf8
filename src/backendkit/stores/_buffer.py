"""``TableBuffer``: what a transaction has changed in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._changes import RowChange, TableChange
from ._schema import Table

if TYPE_CHECKING:
    from ._session import Key, Row

#: With fewer changed rows than this, all are looked at.
_FEW = 64


class Entry(NamedTuple):
    """
    A changed row.

    :param row: as it is now, None if deleted.
    :param since: when its key entered the buffer, as told by the session.
    """

    row: Row | None
    since: int


class Numbering(NamedTuple):
    """
    How rows are numbered.

    :param own: whether this transaction says where the numbering goes on: it made
        the table, or set it.
    :param last: the largest number that was given or seen in this transaction.
    :param explicit: the largest number that came with a row, 0 for none.
    :param reserve: numbers got from the store and not given yet.
    """

    own: bool
    last: int = 0
    explicit: int = 0
    reserve: range = range(0)


class TableBuffer:
    """
    One table as a transaction sees it: its definition, and the changed rows.

    :param table: its definition as it is now.
    :param before: as it is committed; None for a new table.
    :param sources: the committed column of each column; None if they are the same.
    :param fill: the values of other columns in committed rows.
    """

    __slots__ = (
        "_by_column",
        "before",
        "convert",
        "delta",
        "fill",
        "holders",
        "kept",
        "numbering",
        "old",
        "rows",
        "sources",
        "table",
    )

    def __init__(
        self,
        table: Table,
        before: Table | None,
        sources: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        self.table = table
        self.before = before
        if sources is None:
            sources = {} if before is None else {name: name for name in table.positions}
        self.sources = sources
        self.fill = fill or {}
        #: Changed rows by primary key.
        self.rows: dict[Key, Entry] = {}
        #: What is committed of them, in the columns of ``before``.
        self.old: dict[Key, Row] = {}
        #: Rows that mustn't have changed at commit, as committed: read FOR UPDATE.
        self.kept: dict[Key, Row] = {}
        #: Who has which values in a unique index, among the changed rows.
        self.holders: dict[str, dict[tuple[Any, ...], Key]] = {
            index.name: {} for index in table.indexes if index.unique
        }
        #: How many rows more there are than committed.
        self.delta = 0
        self.numbering = Numbering(own=before is None)
        self._by_column: dict[str, dict[Any, dict[Key, None]]] = {}
        #: From a committed row to the columns of ``table``; None if they are those.
        self.convert: Callable[[Row], Row] | None = None
        if before is not None and [*before.positions.items()] != [
            (sources.get(name), number) for name, number in table.positions.items()
        ]:
            self.convert = TableChange(before, table, (), sources, self.fill).convert

    # Rows

    def current(self, committed: Row) -> Row:
        """Return a committed row in the columns of the table."""
        return committed if self.convert is None else self.convert(committed)

    def put(self, key: Key, entry: Entry | None) -> None:
        """Set what is known of a key; None: it is as committed."""
        previous = self.rows.get(key)
        table, holders = self.table, self.holders
        if previous is not None and previous.row is not None:
            self.delta -= 1
            if holders:
                for index, values in table.unique_values(previous.row):
                    if index and holders[index].get(values) == key:
                        del holders[index][values]
            for column, keys in self._by_column.items():
                keys[previous.row[table.positions[column]]].pop(key)
        if entry is None:
            self.rows.pop(key, None)
            if self.old.pop(key, None) is not None:
                self.delta += 1
            return
        self.rows[key] = entry
        row = entry.row
        if row is not None:
            self.delta += 1
            if holders:
                for index, values in table.unique_values(row):
                    if index:
                        holders[index][values] = key
            for column, keys in self._by_column.items():
                keys.setdefault(row[table.positions[column]], {})[key] = None

    def change(self, key: Key, row: Row | None, old: Row | None, now: int) -> None:
        """
        Change a row.

        :param old: the row as committed, if its key isn't in the buffer yet.
        :param now: the session's time.
        """
        previous = self.rows.get(key)
        if previous is None and old is not None:
            self.old[key] = old
            self.delta -= 1
        self.put(key, Entry(row, now if previous is None else previous.since))

    def keep_old(self, keys: Iterable[Key]) -> None:
        """Let changed rows be preconditions even if they are changed back."""
        for key in keys:
            old = self.old.get(key)
            if old is not None:
                self.kept[key] = old

    def keeping(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Let committed rows pass; as they were first they are preconditions."""
        assert self.before is not None
        for row in rows:
            self.kept.setdefault(self.before.key_of(row), row)
            yield row

    def matching(self, choices: Mapping[str, Sequence[Any]]) -> Iterator[Row]:
        """
        Return the changed rows, less those that can't match.

        :param choices: the values that some columns may have.
        """
        if len(self.rows) > _FEW:
            try:
                if all(name in choices for name in self.table.primary_key):
                    found = self._by_key(choices)
                else:
                    found = self._by_index(choices)
            except TypeError:  # a value that isn't hashable: it equals nothing here
                found = None
            if found is not None:
                return iter([row for key in found if (row := self.rows[key].row)])
        return iter([entry.row for entry in self.rows.values() if entry.row])

    def _by_key(self, choices: Mapping[str, Sequence[Any]]) -> list[Key] | None:
        keys: list[tuple[Any, ...]] = [()]
        for name in self.table.primary_key:
            keys = [(*key, value) for key in keys for value in choices[name]]
            if len(keys) > len(self.rows):
                return None
        return [key for key in dict.fromkeys(keys) if key in self.rows]

    def _by_index(self, choices: Mapping[str, Sequence[Any]]) -> list[Key] | None:
        """Look up one column that an index begins with."""
        table = self.table
        leading = [index.columns[0] for index in table.indexes]
        best: list[Key] | None = None
        for name in dict.fromkeys([*leading, table.primary_key[0]]):
            if name in choices:
                by_value = self._by_column.get(name)
                if by_value is None:
                    by_value = self._by_column[name] = self._indexed(name)
                found = [
                    key
                    for value in dict.fromkeys(choices[name])
                    for key in by_value.get(value, ())
                ]
                if best is None or len(found) < len(best):
                    best = found
        return best

    def _indexed(self, name: str) -> dict[Any, dict[Key, None]]:
        at = self.table.positions[name]
        by_value: dict[Any, dict[Key, None]] = {}
        for key, entry in self.rows.items():
            if entry.row is not None:
                by_value.setdefault(entry.row[at], {})[key] = None
        return by_value

    # The definition

    def altered(
        self, table: Table, renames: Mapping[str, str], fill: Mapping[str, Any]
    ) -> TableBuffer:
        """Return it with another definition: see :meth:`Session.alter_table`."""
        former = {renames.get(name, name): name for name in self.table.positions}
        sources, filled = {}, {}
        for name in table.positions:
            was = former.get(name)
            if was is None:
                filled[name] = fill.get(name)
            elif was in self.sources:
                sources[name] = self.sources[was]
            else:
                filled[name] = self.fill.get(was)
        new = TableBuffer(table, self.before, sources, filled)
        new.numbering = self.numbering
        new.old.update(self.old)
        # The same one: what is noted later outlasts a rollback of the change.
        new.kept = self.kept
        new.delta = -len(new.old)
        parts = [
            (self.table.positions[former[name]], None)
            if name in former
            else (None, fill.get(name))
            for name in table.positions
        ]
        for key, (row, since) in self.rows.items():
            if row is not None:
                values = [value if at is None else row[at] for at, value in parts]
                new.put(key, Entry(tuple(values), since))
            else:
                new.put(key, Entry(None, since))
        return new

    def index_source(self, name: str) -> bool:
        """Whether an index of the table is committed, so that the store has it."""
        before, index = self.before, self._index(self.table, name)
        committed = None if before is None else self._index(before, name)
        return (
            index is not None
            and committed is not None
            and committed.unique == index.unique
            and committed.columns == tuple(map(self.sources.get, index.columns))
        )

    @staticmethod
    def _index(table: Table, name: str) -> Any:
        return next((index for index in table.indexes if index.name == name), None)

    # The end

    def net(self) -> TableChange | None:
        """Return what is to be sent to the store, None if nothing has changed."""
        rows = []
        for key, entry in self.rows.items():
            old, new = self.old.get(key), entry.row
            if old is None:
                if new is None:
                    continue
            elif new is None or not same(self.current(old), new):
                pass
            elif key not in self.kept:
                # As if it had always been so, unless its columns are others now.
                continue
            rows.append(RowChange(key, old, new))
        rows += [
            RowChange(key, old, self.current(old))
            for key, old in self.kept.items()
            if key not in self.rows
        ]
        own, last, explicit, _ = self.numbering
        number = last if own else explicit or None
        if self.table.auto_increment is None:
            own, number = False, None
        change = TableChange(
            self.before, self.table, rows, self.sources, self.fill, number, own
        )
        if rows or change.redefined or number is not None:
            return change
        return None


def same(one: Row, other: Row) -> bool:
    """Whether rows are the same to the last bit: 1, 1.0 and Decimal("1.0") differ."""
    return one == other and all(
        a is b or (type(a) is type(b) and repr(a) == repr(b))
        for a, b in zip(one, other, strict=True)
    )
