"""``BufferedQuery``: committed rows and those that the transaction changed, as one."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._access import Access
from ._buffer import TableBuffer
from ._capabilities import Precision
from ._errors import InterfaceError
from ._matching import Matcher, matcher, row_getter, sort_key, sort_rows
from ._query import NonrelQuery
from ._rows import rows_of

if TYPE_CHECKING:
    from ._buffered_reads import BufferedReads
    from ._session import Row

#: With more replaced rows than this, rows are counted by reading them.
_MANY = 1000


class BufferedQuery(NonrelQuery):
    """
    A query on a table with changes that aren't committed.

    The store is asked for what is committed, with the same filters and order. Rows
    that the transaction has changed are taken out of its answer by their keys; as
    they are now, they are filtered here and merged in.

    :param buffer: the table's changes.
    :param for_update: whether the rows that it reads mustn't have changed at commit.
    """

    session: BufferedReads

    def __init__(
        self,
        session: BufferedReads,
        buffer: TableBuffer,
        columns: Sequence[str],
        access: Access,
        *,
        for_update: bool = False,
    ) -> None:
        #: Whether committed rows are read whole, to be kept in mind.
        self._whole = session.remembering or for_update
        self._for_update = for_update
        #: Whether the access is by an index that the store hasn't got, as it was
        #: chosen before the table was changed: then rows are sorted here.
        self._unindexed = bool(
            access.index and buffer.before and not buffer.index_source(access.index)
        )
        if self._unindexed:
            access = Access()
        super().__init__(session, buffer.table, columns, access)
        self._buffer = buffer
        self._tests: list[tuple[int, Matcher]] = []
        #: The filters as given.
        self._filters: list[tuple[str, str, bool, str, Any]] = []
        #: Values of columns, where a filter names them.
        self._choices: dict[str, Sequence[Any]] = {}
        self._ordering: Sequence[tuple[str, bool]] = ()
        #: Whether no committed row can match.
        self._none = buffer.before is None
        self._exact = True

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        if lookup_type == "in":
            value = list(value)  # it is gone through more than once
        test = matcher(lookup_type, value, negated)
        self._tests.append((self.table.positions[column], test))
        if not negated and lookup_type in ("exact", "in"):
            choices = value if lookup_type == "in" else (value,)
            self._choices.setdefault(column, choices)
        source = self._buffer.sources.get(column)
        if source is None:
            # All committed rows have the same value.
            self._none = self._none or not test(self._buffer.fill.get(column))
            return
        self._filters.append((source, lookup_type, negated, db_type, value))
        value_type = self.table.column(column).type
        if self._exact:
            precision = self.session.store.capabilities.precision(
                value_type, lookup_type, negated
            )
            self._exact = precision is Precision.EXACT

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self._ordering = ordering

    # Reading

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        positions, ordering = self.table.positions, self._ordering
        changed = list(sort_rows(self._changed(), self.table, ordering))
        if self._for_update:
            # Should they be changed back, they are compared nevertheless.
            self._buffer.keep_old(map(self.table.key_of, changed))
        most = None if high_mark is None else high_mark + len(self._buffer.old)
        if self._settled():
            names, rows = [*positions], iter(changed)
        else:
            names = self._needed()
            rows = self._committed(names, None if self._unindexed else most)
            if self._unindexed and ordering:
                rows = iter(sorted(rows, key=_order(names, ordering)))
            if changed:
                ours = map(row_getter([positions[name] for name in names]), changed)
                if ordering:
                    rows = heapq.merge(rows, ours, key=_order(names, ordering))
                else:
                    rows = itertools.chain(rows, ours)
        if names != [*self.columns]:
            rows = map(row_getter([names.index(name) for name in self.columns]), rows)
        if low_mark or high_mark is not None:
            return itertools.islice(rows, low_mark, high_mark)
        return rows

    def _needed(self) -> list[str]:
        """Return the columns that it takes to merge rows."""
        if self._whole:
            return [*self.table.positions]
        ordering = [name for name, _ in self._ordering]
        return [*dict.fromkeys([*self.columns, *self.table.primary_key, *ordering])]

    def count(self) -> int:
        buffer = self._buffer
        if self._for_update:
            return sum(1 for _ in self.fetch())
        if self._settled():
            return sum(1 for _ in self._changed())
        if not self._exact or len(buffer.old) > _MANY:
            return sum(1 for _ in self.fetch())
        number = self._query(()).count()
        hidden = sum(
            1 for row in buffer.old.values() if self._matches(buffer.current(row))
        )
        return number - hidden + sum(1 for _ in self._changed())

    def update(self, changes: Mapping[str, Any]) -> int:
        places = [(self.table.positions[name], new) for name, new in changes.items()]
        self.columns = tuple(self.table.positions)
        rows = list(self.fetch())
        for now in rows:
            row = list(now)
            for at, value in places:
                row[at] = value
            self.session.replace(self._buffer, now, tuple(row))
        return len(rows)

    def _changed(self) -> Iterator[Row]:
        """Return the changed rows that match, as they are now."""
        rows = self._buffer.matching(self._choices)
        return filter(self._matches, rows) if self._tests else rows

    def _matches(self, row: Row) -> bool:
        return all(test(row[at]) for at, test in self._tests)

    def _settled(self) -> bool:
        """Whether no committed row can match, or only those in the buffer."""
        if self._none:
            return True
        rows, key = self._buffer.rows, self.table.primary_key
        if not rows or any(len(self._choices.get(name, ())) != 1 for name in key):
            return False
        try:
            return tuple([self._choices[name][0] for name in key]) in rows
        except TypeError:  # a value that isn't hashable
            return False

    def _query(self, sources: Sequence[str]) -> NonrelQuery:
        """Return the store's query for committed columns."""
        buffer = self._buffer
        assert buffer.before is not None
        query = self.session._query(buffer.before, sources, self.access)
        query.add_filters(self._filters)
        query.looked_at = self.looked_at
        query.at_once = self.at_once
        # Rows don't differ in a column that isn't committed.
        ordering = [
            (buffer.sources[name], descending)
            for name, descending in self._ordering
            if name in buffer.sources
        ]
        if ordering and not self._unindexed:
            query.order_by(ordering)
        return query

    def _committed(self, names: Sequence[str], most: int | None) -> Iterator[Row]:
        """
        Return the committed rows that match and aren't changed.

        :param names: the wanted columns of the table.
        :param most: how many are enough, changed ones among them.
        """
        buffer, session = self._buffer, self.session
        assert buffer.before is not None
        if self._whole:
            sources = [*buffer.before.positions]
        else:
            sources = [buffer.sources[name] for name in names if name in buffer.sources]
        query = self._query(sources)
        rows = rows_of(query, buffer.before, sources, 0, most)
        if session.remembering:
            rows = session.remembered(buffer.before, rows)
        if self._for_update:
            rows = buffer.keeping(rows)
        if self._whole:
            if buffer.convert is not None:
                rows = map(buffer.convert, rows)
        elif len(sources) < len(names):
            rows = map(self._filled(names), rows)
        key_of = row_getter([names.index(name) for name in self.table.primary_key])
        return self._unchanged(rows, key_of)

    def _filled(self, names: Sequence[str]) -> Callable[[Row], Row]:
        """Return a function that adds the columns that aren't committed."""
        sources, fill = self._buffer.sources, self._buffer.fill
        numbers = itertools.count()
        parts = [
            (next(numbers), None) if name in sources else (None, fill.get(name))
            for name in names
        ]
        return lambda row: tuple(
            [value if at is None else row[at] for at, value in parts]
        )

    def _unchanged(
        self, rows: Iterable[Row], key_of: Callable[[Row], Any]
    ) -> Iterator[Row]:
        """
        Leave out rows that the buffer has had since before.

        Those that the session changes from now on come as they were.
        """
        session, changed = self.session, self._buffer.rows
        began, undone = session.now, session.undone
        seen = len(undone)
        return self._filtered(rows, key_of, changed, began, undone, seen)

    @staticmethod
    def _filtered(
        rows: Iterable[Row],
        key_of: Callable[[Row], Any],
        changed: dict[Any, Any],
        began: int,
        undone: list[int],
        seen: int,
    ) -> Iterator[Row]:
        for row in rows:
            entry = changed.get(key_of(row))
            if len(undone) > seen:
                if min(undone[seen:]) < began:
                    raise InterfaceError(
                        "the transaction was rolled back to a savepoint before this"
                        " query"
                    )
                seen = len(undone)
            if entry is None or entry.since > began:
                yield row


def _order(
    names: Sequence[str], ordering: Sequence[tuple[str, bool]]
) -> Callable[[Row], Any]:
    """Return a sort key for rows of these columns."""
    parts = [(names.index(name), descending) for name, descending in ordering]
    return lambda row: [
        _Descending(sort_key(row[at])) if descending else sort_key(row[at])
        for at, descending in parts
    ]


class _Descending:
    """A sort key that sorts the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.key < self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.key == other.key

    __hash__ = None  # type: ignore[assignment]  # nothing to be looked up by
