"""``ImmudbQuery``: one table's rows, by immudb's SQL."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    Access,
    NonrelQuery,
    Row,
    Table,
    ValueType,
    sort_by,
)

from .conditions import Condition, between, condition
from .names import quoted
from .times import time_columns
from .types import decoder

if TYPE_CHECKING:
    from .session import ImmudbSession

#: Look-ups of one statement: each is a SELECT of its own.
LOOKUPS = 100
#: Rows that a look-up is guessed to find where it may be more than one.
_SEVERAL = 10
#: The most look-ups that a query is made of; else the rows are gone through.
_MANY = 10_000
#: To look up a row takes as long as to read so many one after the other.
_READ = 4
#: Rows that are asked for in one answer.
_ANSWER = 1000
#: To skip fewer rows than this takes less than to count those behind them.
_DEEP = 1000


class ImmudbQuery(NonrelQuery):
    """
    A SELECT, or some.

    immudb reads what lies between the least and the greatest value of an ``IN``. So if
    its column is looked up in an index, each value is a SELECT of its own, a hundred in
    one statement (UNION ALL).
    """

    session: ImmudbSession

    def __init__(
        self,
        session: ImmudbSession,
        table: Table,
        columns: Sequence[str],
        access: Access,
    ) -> None:
        super().__init__(session, table, columns, access)
        self._stored = session.stored(table)
        self._conditions: list[tuple[str, Condition]] = []
        self._ordering: Sequence[tuple[str, bool]] = ()
        self._none = False
        #: Whether the table is gone through, whatever the access is.
        self._whole = False
        #: Columns whose ranges and order the index tells, of those of times.
        self._placed: frozenset[str] = frozenset()
        #: Columns that may have far times, as far as the transaction knows.
        self._misplaced: frozenset[str] = frozenset()
        #: Whether it does only if the catalog is still the one that says so.
        self._relies = False

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        one = self.table.column(column)
        length = self._stored.lengths.get(column)
        found = condition(one, lookup_type, negated, value, length)
        self._none = self._none or found.sql is None
        self._conditions.append((column, found))

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self._ordering = ordering

    # Running

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        if self._none or (high_mark is not None and high_mark <= low_mark):
            return iter(())
        lookups = self._lookups()
        if lookups is not None:
            return self._look_up(lookups, low_mark, high_mark)
        prefix = self._prefix()
        if prefix is not None:
            return self._look_through(prefix, low_mark, high_mark)
        few = self.access.unique or (
            high_mark is not None and high_mark - low_mark <= _ANSWER
        )
        if few and high_mark is not None and self._is_deep(low_mark):
            total = self._total()
            high_mark = min(high_mark, total)
            if high_mark <= low_mark:
                return iter(())
            if total - high_mark < low_mark:
                # Nearer to the end: read backwards, and turned round.
                forwards = self._ordering
                self._ordering = [(name, not desc) for name, desc in forwards]
                rows = list(self._slice(total - high_mark, total - low_mark, few=True))
                self._ordering = forwards
                return reversed(rows)
        return self._slice(low_mark, high_mark, few=few)

    def _is_deep(self, low_mark: int) -> bool:
        """
        Whether so many rows are skipped that it may be better to count all of them.

        immudb reads each row that it skips, but only the keys of those that it counts.
        """
        if low_mark < _DEEP or self._conditions or not self._ordering:
            return False
        columns = self.session.index_columns(self.table, self.access)
        names = [name for name, _ in self._ordering]
        by_index = list(dict.fromkeys([*columns, *self.table.primary_key]))
        return (
            names == by_index[: len(names)]
            and len({descending for _, descending in self._ordering}) == 1
            and low_mark * 2 > self.session.estimated_rows(self.table)
        )

    def _slice(
        self, low_mark: int, high_mark: int | None, *, few: bool
    ) -> Iterator[Row]:
        """
        Return rows of one statement.

        :param few: whether they fit into one answer, most likely.
        """
        if not few and self.session.is_small(self.table):
            few = True

        def run() -> Iterator[list[Row]]:
            sql, parameters = self._select(self.columns, self._conditions)
            sql += self._order()
            if high_mark is not None:
                sql += " LIMIT ?"
                parameters.append(high_mark - low_mark)
            if low_mark:
                sql += " OFFSET ?"
                parameters.append(low_mark)
            return self.session.run_batches(sql, parameters, self.table, few=few)

        columns = [self.table.column(name) for name in self.columns]
        return self._decoded(self._settled(run), decoder(columns), len(columns))

    def count(self) -> int:
        if self._none:
            return 0
        if self._lookups() is not None or self._prefix() is not None:
            return sum(1 for _ in self.fetch())
        return self._counted() if self._conditions else self._total()

    def _total(self) -> int:
        """Return how many rows the table has; if it is large, they are counted once."""
        session = self.session
        if not session.reads_only or session.is_small(self.table):
            return self._counted()
        session.alone = False  # it matters as of which transaction they are counted
        until = session.until()
        assert until is not None
        shared = session.store.shared
        known = shared.counted(self.table, until)
        if known is None:
            known = self._counted()
            shared.note_count(self.table, until, known)
        return known

    def _counted(self) -> int:
        def run() -> Iterator[list[Row]]:
            # COUNT(*) compares what the index has, where a far time is another one:
            # it may be between two others there.
            times = {name for name, _ in self._conditions} & time_columns(self.table)
            known = self._relies and times.isdisjoint(self._misplaced)
            counted = quoted(self.table.primary_key[0]) if times and not known else "*"
            sql, parameters = self._from(f"COUNT({counted})", self._conditions)
            return iter([self.session.run_query(sql, parameters, self.table)])

        ((number,),) = itertools.chain.from_iterable(self._settled(run))
        return int(number)

    # Times

    def _settled(self, run: Callable[[], Iterator[list[Row]]]) -> Iterator[list[Row]]:
        """
        Run a statement that goes by an index of times, if it may.

        :param run: writes and runs it, with what is known of the index then.
        """
        self._place_times(self.session.far_times(self.table))
        batches = run()
        if self._relies:
            # What the rows were read from is older than what tells that now.
            first = next(batches, None)
            if self.session.is_current():
                if first is not None:
                    yield first
            else:
                self._place_times(self._ranged_times())
                batches = run()
        yield from batches

    def _ranged_times(self) -> frozenset[str]:
        """Return the columns of times with a range, or in the order."""
        names = {name for name, one in self._conditions if one.is_lower is not None}
        names.update(name for name, _ in self._ordering)
        return time_columns(self.table) & names

    def _place_times(self, misplaced: frozenset[str]) -> None:
        """
        Choose what the index tells.

        :param misplaced: columns that may have far times.
        """
        times = self._ranged_times()
        self._placed, self._relies, self._whole = frozenset(), False, False
        self._misplaced = misplaced
        if not times:
            return
        sides: dict[str, set[bool | None]] = {}
        for name, one in self._conditions:
            if one.indexed:
                sides.setdefault(name, set()).add(one.is_lower)
        # Between two times that are in their places there are no others.
        between = frozenset(name for name in times if len(sides.get(name, ())) == 2)
        columns = self.session.index_columns(self.table, self.access)
        known = times.intersection(columns) - misplaced
        self._placed = between | known
        self._relies = not known <= between
        # An index that doesn't tell them is no better than the primary key.
        rest = columns[self.access.equalities :]
        self._whole = not times.intersection(rest) <= self._placed

    # Writing SQL

    def _select(
        self, columns: Sequence[str], conditions: Iterable[tuple[str, Condition]]
    ) -> tuple[str, list[Any]]:
        names = columns or self.table.primary_key[:1]
        return self._from(", ".join(map(quoted, names)), conditions)

    def _from(
        self, wanted: str, conditions: Iterable[tuple[str, Condition]]
    ) -> tuple[str, list[Any]]:
        sql = f"SELECT {wanted} FROM {quoted(self.table.name)}"
        parameters: list[Any] = []
        until = self.session.until()
        if until is not None:
            sql += " UNTIL TX ?"
            parameters.append(until)
        sql += self._hint()
        texts = []
        for name, one in conditions:
            indexed = one.indexed if name in self._placed else None
            texts.append(indexed or one.sql or "")
            parameters += one.parameters
        if texts:
            sql += f" WHERE {' AND '.join(texts)}"
        return sql, parameters

    def _several(
        self,
        columns: Sequence[str],
        conditions: Iterable[tuple[str, Condition]],
        each: Sequence[Iterable[Sequence[Any]]],
    ) -> tuple[str, list[Any]]:
        """
        Return a statement that is the same SELECT several times (UNION ALL).

        :param conditions: of which only the SQL is used.
        :param each: for each SELECT, what is bound, in the order of the conditions.
        """
        sql, _ = self._select(columns, conditions)
        until = self.session.until()
        bound: list[Any] = []
        for parts in each:
            if until is not None:
                bound.append(until)
            bound += itertools.chain.from_iterable(parts)
        return " UNION ALL ".join([sql] * len(each)), bound

    def _hint(self) -> str:
        columns = self.table.primary_key
        if not self._whole:
            columns = self.session.index_columns(self.table, self.access)
        return f" USE INDEX ON ({', '.join(map(quoted, columns))})"

    def _order(self) -> str:
        if not self._ordering:
            return ""
        ordering = self._ordering[: self._sorted_by()]
        words = [
            f"{quoted(name)} DESC" if descending else quoted(name)
            for name, descending in ordering
        ]
        if any(
            name not in self._placed
            and self.table.column(name).type is ValueType.DATETIME
            for name, _ in self._ordering
        ):
            # In two directions, so that it is sorted, and not the index's order.
            name, descending = self.table.primary_key[0], self._ordering[0][1]
            words.append(quoted(name) if descending else f"{quoted(name)} DESC")
        return f" ORDER BY {', '.join(words)}"

    def _sorted_by(self) -> int:
        """
        Return how many columns of the order have to be sent.

        Rows that are alike in an index are in the order of the primary key there. If
        that is in ORDER BY, too, immudb doesn't see it, and sorts the table.
        """
        whole = len(self._ordering)
        columns = self.session.index_columns(self.table, self.access)
        names = [name for name, _ in self._ordering]
        rest = [name for name in self.table.primary_key if name not in columns]
        by_index = [*columns, *rest]
        if (
            self._whole
            or self.access.equalities
            or whole <= len(columns)
            or names != by_index[:whole]
            or len({descending for _, descending in self._ordering}) > 1
            # 0.0 and -0.0 are alike, and have two places.
            or any(self.table.column(n).type is ValueType.FLOAT for n in columns)
        ):
            return whole
        return len(columns)

    # Looking up several values

    def _lookups(self) -> list[tuple[str, tuple[Any, ...]]] | None:
        """Return columns and the values that each is looked up by; None for a range."""
        columns = self.session.index_columns(self.table, self.access)
        columns = columns[: self.access.equalities]
        found: dict[str, tuple[Any, ...]] = {}
        for name, one in self._conditions:
            if name in columns and one.choices is not None:
                known = found.get(name)
                if known is None or len(one.choices) < len(known):
                    found[name] = one.choices
        number = math.prod(map(len, found.values()))
        if number <= 1 or (number > _MANY and not self._are_most(number)):
            return None
        return list(found.items())

    def _are_most(self, number: int) -> bool:
        """Whether it is faster to read the table than to look up so many rows of it."""
        few = LOOKUPS if self._finds_one() else LOOKUPS // _SEVERAL
        # What a transaction has read, others can't change meanwhile: it takes no more.
        if number <= few or not self.session.reads_only:
            return False
        rows = number * (LOOKUPS // few)
        return rows * _READ >= self.session.estimated_rows(self.table)

    def _finds_one(self) -> bool:
        """Whether a look-up finds one row at most; else it may be several."""
        whole = len(self.table.unique.get(self.access.index, ()))
        return self.access.equalities == whole

    def _look_up(
        self,
        lookups: list[tuple[str, tuple[Any, ...]]],
        low_mark: int,
        high_mark: int | None,
    ) -> Iterator[Row]:
        names = [name for name, _ in lookups]
        values = itertools.product(*(choices for _, choices in lookups))
        columns = self._with_ordering()
        number = math.prod(len(choices) for _, choices in lookups)
        rest = [one for one in self._conditions if not self._is_lookup(one, lookups)]
        if self._are_most(number):
            rows = self._picked(columns, lookups, rest)
        else:
            if number > LOOKUPS:
                self.session.alone = False  # it will be several statements
            rows = self._united(columns, names, values, rest)
        return self._sorted(rows, columns, low_mark, high_mark)

    def _sorted(
        self,
        rows: Iterator[Row],
        columns: Sequence[str],
        low_mark: int,
        high_mark: int | None,
    ) -> Iterator[Row]:
        """Sort rows of the columns here, and leave out those that nobody asked for."""
        if self._ordering:
            places = [(columns.index(name), desc) for name, desc in self._ordering]
            rows = iter(sort_by(rows, places))
        if len(columns) > len(self.columns):
            rows = _cut(rows, len(self.columns))
        return itertools.islice(rows, low_mark, high_mark)

    @staticmethod
    def _is_lookup(
        one: tuple[str, Condition], lookups: list[tuple[str, tuple[Any, ...]]]
    ) -> bool:
        name, found = one
        return any(name == n and found.choices is choices for n, choices in lookups)

    def _with_ordering(self) -> list[str]:
        ordered = [name for name, _ in self._ordering if name not in self.columns]
        return [*self.columns, *ordered]

    # Looking through what begins alike

    def _prefix(self) -> Condition | None:
        """Return the filter of text whose ranges the access is by; None for none."""
        columns = self.session.index_columns(self.table, self.access)
        following = columns[self.access.equalities : self.access.equalities + 1]
        if not self.access.ranged:
            return None
        return next(
            (
                one
                for name, one in self._conditions
                if one.ranges and (name,) == following
            ),
            None,
        )

    def _look_through(
        self, prefix: Condition, low_mark: int, high_mark: int | None
    ) -> Iterator[Row]:
        columns = self._with_ordering()
        conditions = [
            (name, Condition(between(quoted(name)), ()) if one is prefix else one)
            for name, one in self._conditions
        ]
        sql, bound = self._several(
            columns,
            conditions,
            [
                [
                    part if one is prefix else one.parameters
                    for _, one in self._conditions
                ]
                for part in prefix.ranges
            ],
        )
        few = self.session.is_small(self.table)
        batches = self.session.run_batches(sql, bound, self.table, few=few)
        decode = decoder([self.table.column(name) for name in columns])
        rows = self._decoded(batches, decode, len(columns))
        return self._sorted(rows, columns, low_mark, high_mark)

    def _picked(
        self,
        columns: Sequence[str],
        lookups: list[tuple[str, tuple[Any, ...]]],
        rest: list[tuple[str, Condition]],
    ) -> Iterator[Row]:
        """Go through the table and return the rows that have one of the values."""
        self._whole = True
        wide = [*columns, *(name for name, _ in lookups if name not in columns)]
        found = [self.table.column(name) for name in wide]
        wanted = []
        for name, choices in lookups:
            values: Iterable[Any] = choices
            if self.table.column(name).type is ValueType.UUID:
                values = map(uuid.UUID, choices)
            wanted.append((wide.index(name), frozenset(values)))
        sql, parameters = self._select(wide, rest)
        decode = decoder(found)
        few = self.session.is_small(self.table)
        for batch in self.session.run_batches(sql, parameters, self.table, few=few):
            rows = batch
            for place, known in wanted:
                rows = [row for row in rows if row[place] in known]
            if decode is not None:
                rows = decode(rows)
            yield from rows if len(wide) == len(columns) else _cut(rows, len(columns))

    def _united(
        self,
        columns: Sequence[str],
        names: Sequence[str],
        values: Iterable[tuple[Any, ...]],
        rest: list[tuple[str, Condition]],
    ) -> Iterator[Row]:
        kinds = [self.table.column(name).type for name in names]
        decode = decoder([self.table.column(name) for name in columns])
        # All that a statement finds comes in one answer, or in several.
        few = self._finds_one() or self.session.is_small(self.table)
        points = [
            (name, point(name, kind, None))
            for name, kind in zip(names, kinds, strict=True)
        ]
        others = [one.parameters for _, one in rest]
        for part in _parts(values, LOOKUPS):
            sql, bound = self._several(
                columns, [*points, *rest], [[one, *others] for one in part]
            )
            batches = self.session.run_batches(sql, bound, self.table, few=few)
            yield from self._decoded(batches, decode, len(columns))

    @staticmethod
    def _decoded(
        batches: Iterable[list[Row]],
        decode: Callable[[list[Row]], list[Row]] | None,
        width: int,
    ) -> Iterator[Row]:
        for rows in batches:
            if not width:  # only how many there are is wanted
                yield from [()] * len(rows)
            else:
                yield from rows if decode is None else decode(rows)


def _cut(rows: Iterable[Row], width: int) -> Iterator[Row]:
    return (row[:width] for row in rows)


def point(name: str, kind: ValueType, value: Any) -> Condition:
    """Return a condition for one value, as it is bound."""
    if kind is ValueType.UUID:
        return Condition(f"{quoted(name)} = CAST(? AS UUID)", (value,))
    return Condition(f"{quoted(name)} = ?", (value,))


def _parts(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while part := list(itertools.islice(rest, size)):
        yield part
