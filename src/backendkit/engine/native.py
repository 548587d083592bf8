"""Statements about one table that the store answers alone: no SQL is run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    Access,
    Column,
    FilterShape,
    Matcher,
    NonrelQuery,
    OperationalError,
    Order,
    Precision,
    Row,
    Session,
    Table,
    ValueType,
    matcher,
    weigher,
)

from .declarations import is_view
from .grouping import Grouping, Groups
from .joining import PreparedStep, Step, is_sure, join
from .limits import Look, covered, index_columns
from .numbers import INT64
from .parameters import InexactError, value_converter
from .periods import Periods, find_periods
from .running import Filter, timed
from .sorting import sorted_rows
from .values import TO_SQLITE, is_same_type, orders_alike

if TYPE_CHECKING:
    from .connection import Connection
    from .running import Running

#: A table's number of rows may change by this factor before the access path of a
#: prepared read is chosen anew.
_GROWTH = 2
#: How many rows of a slice are read by their keys, at most.
_FIRST = 1000
#: Slices of rows that are read before all the others, each so many times the last one.
_SLICES, _MORE = 3, 4
#: Rows of a page: it is read without those before it, if foreign keys allow that.
_PAGE = 1000
#: Rows in which the first value that isn't NULL is looked for.
_VALUES = 10
#: Bytes that they may take.
_MEMORY = 4 * 1024 * 1024


class StaleError(Exception):
    """The table isn't any more what the statement was prepared for."""


@dataclass(frozen=True)
class Read:
    """
    A query on one table.

    :param table: its name.
    :param columns: names of what is wanted.
    :param shapes: filters, all of which have to hold; their values come with
        each run.
    :param ordering: pairs of column and *descending*, outermost first.
    :param what: ``rows``; or one row, with ``count``: how many there are;
        ``exists``: 1, if there is one, else no row at all; ``min``, ``max`` or
        ``sum`` of the only column, in SQLite's terms. ``groups``: a row for each
        group, in SQLite's terms. ``periods``: one for each period that a value of the
        only column is in.
    :param steps: other tables to look rows up in. What is looked up is among the
        columns.
    :param pick: with ``steps``: places of what is wanted, in the columns and those
        of the steps behind them.
    :param joined_ordering: the order, if joined columns are in it: pairs of a place in
        those and *descending*, outermost first.
    :param grouping: of ``groups``: what becomes of the rows, columns and those of the
        steps behind them.
    :param periods: of ``periods``: what the values become.
    :param parts: of ``several``: reads of the same rows, each with one value. Of
        ``periods``: see :func:`.periods.find_periods`.
    """

    table: str
    columns: tuple[str, ...]
    shapes: tuple[FilterShape, ...] = ()
    ordering: tuple[tuple[str, bool], ...] = ()
    what: str = "rows"
    steps: tuple[Step, ...] = ()
    pick: tuple[int, ...] = ()
    joined_ordering: tuple[tuple[int, bool], ...] = ()
    grouping: Grouping | None = None
    periods: Periods | None = None
    parts: tuple[Read, ...] = ()


def prepare(connection: Connection, read: Read) -> Prepared:
    """
    Return a read that is ready to run.

    :raises InexactError: SQLite has to be asked.
    """
    tables = connection.catalog().tables
    table = tables.get(read.table)
    if table is None or not table.positions.keys() >= set(read.columns):
        raise InexactError
    return Prepared(connection, read, table, tables)


class Prepared:
    """
    A :class:`Read` of a table as it is in the catalog.

    :raises InexactError: SQLite has to be asked.
    """

    def __init__(
        self,
        connection: Connection,
        read: Read,
        table: Table,
        tables: Mapping[str, Table],
    ) -> None:
        self.connection = connection
        self.read = read
        self.table = table
        capabilities = connection.store.capabilities
        if is_view(table):
            raise InexactError
        collations = connection.tables.collations(table)
        named = {shape.column for shape in read.shapes}
        named.update(name for name, _ in read.ordering)
        if read.what in ("min", "max"):
            named.update(read.columns)
        if not named.isdisjoint(collations) or not named <= table.positions.keys():
            raise InexactError
        self._columns = [table.column(shape.column) for shape in read.shapes]
        precisions = [
            capabilities.precision(column.type, shape.lookup, shape.negated)
            for column, shape in zip(self._columns, read.shapes, strict=True)
        ]
        self._handed = [one is not Precision.NONE for one in precisions]
        self._tested = [one is not Precision.EXACT for one in precisions]
        #: Whether the store can change the rows that match by itself.
        self.updates = capabilities.update and not any(self._tested)
        self._convert = [
            value_converter(column, shape)
            for column, shape in zip(self._columns, read.shapes, strict=True)
        ]
        for name, _ in read.ordering:
            if not orders_alike(table.column(name)):
                raise InexactError
        if read.what in ("min", "max") and not orders_alike(
            table.column(read.columns[0])
        ):
            raise InexactError
        if read.what == "sum" and (
            table.column(read.columns[0]).type is not ValueType.INTEGER
        ):
            raise InexactError
        self._shapes = [
            shape
            for shape, handed in zip(read.shapes, self._handed, strict=True)
            if handed
        ]
        self._ordering = read.ordering
        if read.what in ("min", "max"):
            self._ordering = ((read.columns[0], read.what == "max"),)
        # What tests and sorting need is fetched behind what is wanted.
        extra = [
            shape.column
            for shape, tested in zip(read.shapes, self._tested, strict=True)
            if tested
        ]
        self._plain = tuple(read.columns)
        self._wide = tuple(
            dict.fromkeys([*read.columns, *extra, *(n for n, _ in self._ordering)])
        )
        self._places = {name: place for place, name in enumerate(self._wide)}
        #: By whether only a few rows are wanted.
        self._accesses: dict[bool, Access] = {}
        #: Whether filters leave out rows that the access reads.
        self._left_over = True
        self._total = 0
        self._parts = [Prepared(connection, one, table, tables) for one in read.parts]
        self._join(connection, tables)

    def _join(self, connection: Connection, tables: Mapping[str, Table]) -> None:
        self._steps: list[PreparedStep] = []
        for step in self.read.steps:
            table = tables.get(step.table)
            if table is None:
                raise InexactError
            try:
                self._steps.append(PreparedStep(connection, step, table))
            except ValueError:
                raise InexactError from None
        self._weigh = weigher([self.table.column(name) for name in self.read.columns])
        self._weigh_wide = weigher([self.table.column(name) for name in self._wide])
        self._weigh_complete = weigher(self._complete())
        collations = connection.tables.collations
        #: Whether each column sorts in another way than its values.
        self._collated = [name in collations(self.table) for name in self.read.columns]
        for one in self._steps:
            found = collations(one.table)
            self._collated += [name in found for name in one.step.columns]
        pick = self.read.pick
        self._pick: Callable[[Row], Row] | None = None
        complete = self._complete()
        for one in self._steps:
            if not is_same_type(complete[one.step.place], one.looked_up):
                raise InexactError
        for place, _ in self.read.joined_ordering:
            if self._collated[place] or not orders_alike(complete[place]):
                raise InexactError
        self._sure = self._keeps_all()
        if self.read.grouping is not None:
            self._group(self.read.grouping, complete)
        elif self._steps and pick != tuple(range(len(complete))):
            get = itemgetter(*pick)
            self._pick = get if len(pick) > 1 else lambda row: (get(row),)

    def _keeps_all(self) -> bool:
        """Whether foreign keys say that no step leaves a row out."""
        owners = [(self.table, name) for name in self.read.columns]
        for one in self._steps:
            table, name = owners[one.step.place]
            if not one.step.outer and not is_sure(table, name, one):
                return False
            owners += [(one.table, name) for name in one.step.columns]
        return True

    def _group(self, grouping: Grouping, complete: Sequence[Column]) -> None:
        outer = [False] * len(self.read.columns)
        for step in self._steps:
            outer += [step.step.outer] * len(step.step.columns)
        self._groups = Groups(
            grouping,
            complete,
            frozenset(place for place, one in enumerate(self._collated) if one),
            frozenset(place for place, one in enumerate(outer) if one),
        )

    def _complete(self) -> list[Column]:
        """Return the columns of rows with those of the steps behind them."""
        found = [self.table.column(name) for name in self.read.columns]
        for step in self._steps:
            found += [step.table.column(name) for name in step.step.columns]
        return found

    def picked(self) -> list[Column]:
        """Return the columns of the rows that are returned."""
        found = self._complete()
        return [found[place] for place in self.read.pick] if self._steps else found

    def filters(self, values: Sequence[Any]) -> list[Filter]:
        """
        Return the filters with their values.

        :param values: one for each shape, in SQLite's terms.
        :raises InexactError: what SQLite makes of one isn't sure.
        """
        return [
            Filter(
                shape.column, shape.lookup, shape.negated, column.type, convert(value)
            )
            for shape, column, convert, value in zip(
                self.read.shapes, self._columns, self._convert, values, strict=True
            )
        ]

    def run(
        self, running: Running, filters: Sequence[Filter], low: int, high: int | None
    ) -> Iterator[Row]:
        """
        Return an iterator of rows.

        :raises StaleError: the table isn't what it was any more.
        :raises InexactError: SQLite has to be asked.
        """
        self.check(running.session)
        what = self.read.what
        if what == "groups":
            rows = self._joined(running, filters, 0, None)
            return itertools.islice(self._groups.run(rows), low, high)
        if what == "rows":
            return self._joined(running, filters, low, high)
        if what == "exists":
            return iter([(1,)] if self._any(running, filters, low) else [])
        if what == "count":
            return iter([(self._count(running, filters),)])
        if what == "several":
            return iter([tuple(self._each(running, filters))])
        if what == "periods":
            assert self.read.periods is not None
            found = find_periods(running, self.read.periods, self._parts, filters)
            return iter(found[low:high])
        return iter([(self._total_of(running, filters),)])

    def _each(self, running: Running, filters: Sequence[Filter]) -> Iterator[Any]:
        session = running.session
        for part in self._parts:
            access = part.access(session, few=True)
            columns = index_columns(part.table, access.index)
            if columns[access.equalities :][:1] != part.read.columns:
                raise InexactError  # one scan finds all of them
        session.alone = False  # all of them are of one moment
        for part in self._parts:
            ((value,),) = part.run(running, filters, 0, None)
            yield value

    def keys(self, running: Running, filters: Sequence[Filter]) -> list[Row]:
        """Return the columns of all rows: for a write that changes them then."""
        if running.trace is not None or not self.updates:
            return list(self._rows(running, filters, 0, None))
        query = self.selected(running, filters, self.access(running.session), None)
        query.at_once = True
        return list(query.fetch())

    def selected(
        self,
        running: Running,
        filters: Sequence[Filter],
        access: Access,
        entry: dict[str, Any] | None,
    ) -> NonrelQuery:
        """
        Return the query for the rows to write, where :attr:`updates` is true.

        :param entry: of the trace, to note how many rows are looked at; or None.
        """
        query = running.session.query(self.table, self._plain, access)
        query.add_filters(filters)
        if entry is not None or running.limits is not None:
            self._look(query, running, entry, 0, sliced=False)
        return query

    def check(self, session: Session) -> None:
        """:raises StaleError: a table isn't what it was any more."""
        tables = session.catalog().tables
        parts: list[Prepared | PreparedStep] = [self, *self._steps]
        for one in parts:
            table = tables.get(one.table.name)
            if table is not one.table:
                if table != one.table:
                    raise StaleError(f"{one.table.name} has changed")
                one.table = table

    def access(self, session: Session, *, few: bool = False) -> Access:
        """
        Choose how to read, or remember it.

        :param few: whether only the first few rows are wanted.
        """
        if self._shapes:
            few = False  # it makes no difference
        access = self._accesses.get(few)
        if access is not None and access.unique:
            return access
        total = session.estimated_rows(self.table)
        if not (self._total <= total * _GROWTH and total <= self._total * _GROWTH):
            access = None
            self._accesses.clear()
        if access is None:
            access = session.access(self.table, self._shapes, self._ordering, few=few)
            self._accesses[few], self._total = access, total
            self._left_over = any(self._tested) or not covered(
                self.table, access, self._shapes
            )
        return access

    def describe(self, access: Access) -> str:
        """Return how it is read, for people."""
        words = ["native:"]
        if access.equalities or access.ranged:
            words.append(f"seek {access.index or 'primary key'}")
        else:
            words.append(f"scan {access.index}".rstrip())
        tests = [
            f"{'NOT ' if shape.negated else ''}{shape.column} {shape.lookup}"
            for shape in self.read.shapes
        ]
        if tests:
            words.append(f"({' AND '.join(tests)})")
        if self._ordering:
            names = [f"{name} DESC" if desc else name for name, desc in self._ordering]
            how = "in order of" if access.ordered else "sorted by"
            words.append(f"{how} {', '.join(names)}")
        if self.read.what != "rows":
            words.append(f"for {self.read.what}")
        words.append(f"~{max(int(access.rows), 1)} rows")
        return " ".join(words)

    def explain(self, session: Session, *, few: bool) -> list[str]:
        """Return how each table is read, for people."""
        if self.read.what == "periods":
            (line,) = self._parts[-1].explain(session, few=True)
            return [f"{line}, for the first row of each period"]
        access = self.access(session, few=few or self.read.what in ("min", "max"))
        lines = [f"{self.describe(access)} of {self.table.name}"]
        for one in self._steps:
            step = one.step
            kind = "or NULLs" if step.outer else "or leave the row out"
            lines.append(
                f"native: look up {step.table} by {step.column}, in batches, {kind}"
            )
        return lines

    # Reading

    def _rows(
        self,
        running: Running,
        filters: Sequence[Filter],
        low: int,
        high: int | None,
        *,
        first: bool = False,
    ) -> Iterator[Row]:
        """
        Return the rows.

        :param first: whether only the first of them may be wanted.
        """
        session = running.session
        access = self.access(session, few=first or high is not None)
        if running.trace is None:
            return self._fetch(running, access, filters, low, high, first, None)
        entry = running.trace_call(self.table.name, self.describe(access))
        start = time.perf_counter()
        rows = self._fetch(running, access, filters, low, high, first, entry)
        return timed(entry, rows, start)

    def _fetch(
        self,
        running: Running,
        access: Access,
        filters: Sequence[Filter],
        low: int,
        high: int | None,
        first: bool,
        entry: dict[str, Any] | None,
        *,
        by_key: bool = True,
    ) -> Iterator[Row]:
        session = running.session
        sort = bool(self._ordering) and not access.ordered
        tests = self._tests(filters)
        wide = sort or bool(tests)
        # Of the first rows in an order, all columns; of the others, those it takes.
        narrow = None
        if by_key and sort and high is not None:
            few = min(_FIRST, session.estimated_rows(self.table) // 4)
            narrow = self._narrow() if high - low <= few else None
        columns = self._wide if wide else self._plain
        query = session.query(self.table, narrow or columns, access)
        for one, handed in zip(filters, self._handed, strict=True):
            if handed:
                query.add_filter(*one)
        if self._ordering and not sort:
            query.order_by(self._ordering)
        look = None
        if entry is not None or running.limits is not None:
            sliced = (first or high is not None) and self.read.what == "rows"
            look = self._look(query, running, entry, low, sliced=sliced)
        if not wide:
            if not low and high is None:
                rows = query.fetch()
            elif self.connection.store.capabilities.limit:
                rows = query.fetch(low, high)
            else:
                rows = itertools.islice(query.fetch(), low, high)
            return rows if look is None else look.rest(rows)
        rows = query.fetch()
        if look is not None:
            rows = look.rest(rows)
        if narrow:
            assert high is not None
            found = self._first(session, rows, narrow, filters, low, high)
            if found is not None:
                return iter(found)
            # They are large. Sorted whole, they are read one after the other.
            return self._fetch(
                running, access, filters, low, high, first, entry, by_key=False
            )
        if tests:
            rows = (row for row in rows if all(test(row[at]) for at, test in tests))
        if sort:
            places = [(self._places[name], desc) for name, desc in self._ordering]
            rows = sorted_rows(rows, places, high, self._weigh_wide)
        if low or high is not None:
            rows = itertools.islice(rows, low, high)
        if len(self._wide) > len(self._plain):
            rows = map(itemgetter(slice(len(self._plain))), rows)
        return rows

    def _narrow(self) -> tuple[str, ...] | None:
        """Return the columns that tell which rows are first; None for all."""
        capabilities = self.connection.store.capabilities
        table = self.table
        if capabilities.remote or len(table.primary_key) != 1:
            return None
        (key,) = table.primary_key
        by_key = capabilities.precision(table.column(key).type, "in")
        if by_key is not Precision.EXACT or key in self.connection.tables.collations(
            table
        ):
            return None
        tested = [
            shape.column
            for shape, tested in zip(self.read.shapes, self._tested, strict=True)
            if tested
        ]
        names = (key, *tested, *(name for name, _ in self._ordering))
        narrow = tuple(dict.fromkeys(names))
        return narrow if not set(self._plain) <= set(narrow) else None

    def _first(
        self,
        session: Session,
        rows: Iterator[Row],
        narrow: tuple[str, ...],
        filters: Sequence[Filter],
        low: int,
        high: int,
    ) -> list[Row] | None:
        """
        Return the first rows in the order, read by their keys; None if they are large.

        :param rows: the narrow columns of all rows, of which the first is the key.
        """
        table = self.table
        places = {name: place for place, name in enumerate(narrow)}
        tests = self._tests(filters, places)
        if tests:
            rows = (row for row in rows if all(test(row[at]) for at, test in tests))
        ordering = [(places[name], desc) for name, desc in self._ordering]
        weigh = weigher([table.column(name) for name in narrow])
        first = itertools.islice(sorted_rows(rows, ordering, high, weigh), low, high)
        keys = [row[0] for row in first]
        if not keys:
            return []
        column = table.column(narrow[0])
        names = (column.name, *self._plain)
        weigh = weigher([table.column(name) for name in names])
        query = session.query(
            table, names, session.access(table, [FilterShape(column.name, "in")])
        )
        query.add_filter(column.name, "in", False, column.type, keys)
        found: dict[Any, Row] = {}
        weight = 0
        for row in query.fetch():
            if weigh is not None:
                weight += weigh(row)
                if weight > _MEMORY:
                    return None
            found[row[0]] = row[1:]
        # Where a store has no snapshots, one may have been deleted meanwhile.
        return [found[key] for key in keys if key in found]

    def _look(
        self,
        query: NonrelQuery,
        running: Running,
        entry: dict[str, Any] | None,
        low: int,
        *,
        sliced: bool,
    ) -> Look | None:
        """
        Let the rows that a query reads be counted, if they have to be.

        :param sliced: whether maybe not all of those that match are wanted.
        """
        limited = self._left_over
        ordering: Sequence[tuple[str, bool]] = ()
        if sliced and (low or self._ordering or self.read.joined_ordering):
            # Where the order is the index's, those in front are all that is read.
            # A store with any order may have to read all of them.
            capabilities = running.connection.store.capabilities
            by_index = query.access.ordered and capabilities.order is Order.INDEX
            if low or not by_index:
                limited, ordering = True, self._ordering
        if not limited and entry is None:
            return None
        look = running.look(
            query.table,
            query.access,
            self.read.shapes,
            ordering,
            entry,
            limited=limited,
        )
        query.looked_at = look
        return look

    def _joined(
        self,
        running: Running,
        filters: Sequence[Filter],
        low: int,
        high: int | None,
    ) -> Iterator[Row]:
        if not self._steps:
            return self._rows(running, filters, low, high)
        if self.read.joined_ordering:
            rows = self._rows(running, filters, 0, None, first=high is not None)
            rows = join(running, rows, self._steps, None, None, self._weigh)
            rows = sorted_rows(
                rows, self.read.joined_ordering, high, self._weigh_complete
            )
            rows = itertools.islice(rows, low, high)
            return rows if self._pick is None else map(self._pick, rows)
        if all(step.step.outer for step in self._steps):
            rows = self._rows(running, filters, low, high)
            return join(running, rows, self._steps, self._pick, None, self._weigh)
        # A row may be left out, so that it isn't among those to count.
        page = self._page(running, filters, low, high)
        if page is not None:
            return iter(page)
        if high and running.connection.store.capabilities.remote:
            rows = self._in_slices(running, filters, high)
        else:
            rows = self._rows(running, filters, 0, None, first=high is not None)
        rows = join(running, rows, self._steps, self._pick, high, self._weigh)
        return itertools.islice(rows, low, high) if low or high is not None else rows

    def _page(
        self, running: Running, filters: Sequence[Filter], low: int, high: int | None
    ) -> list[Row] | None:
        """
        Return the rows of a slice, without reading those before it.

        :return: None if one of those may be left out by a join.
        """
        connection = running.connection
        if (
            not low
            or high is None
            or high - low > _PAGE
            or not self._sure
            or not connection.store.capabilities.remote
            or not connection.foreign_keys.settled
        ):
            return None
        page = list(self._rows(running, filters, low, high))
        joined = join(running, iter(page), self._steps, self._pick, None, self._weigh)
        found = list(joined)
        # Another client's rows may refer to nothing.
        return found if len(found) == len(page) else None

    def _in_slices(
        self, running: Running, filters: Sequence[Filter], size: int
    ) -> Iterator[Row]:
        """
        Return all rows, of which fewer are asked for at first.

        A store across a network would begin to send them all, wanted or not.

        :param size: of the first slice, in rows.
        """
        running.session.alone = False  # there may be several queries
        low, slices = 0, 0
        while True:
            number = 0
            for number, row in enumerate(  # noqa: B007  # how many there were
                self._rows(running, filters, low, low + size), 1
            ):
                yield row
            if number < size:
                return
            low, slices = low + size, slices + 1
            size *= _MORE
            if slices == _SLICES:
                # Skipping rows again and again would take longer than reading them.
                yield from self._rows(running, filters, low, None)
                return

    def _tests(
        self, filters: Sequence[Filter], places: Mapping[str, int] | None = None
    ) -> list[tuple[int, Matcher]]:
        """What the store doesn't look at exactly, to be looked at here."""
        if places is None:
            places = self._places
        return [
            (places[one.column], matcher(one.lookup, one.value, one.negated))
            for one, tested in zip(filters, self._tested, strict=True)
            if tested
        ]

    def _any(self, running: Running, filters: Sequence[Filter], low: int) -> bool:
        for _ in self._rows(running, filters, low, low + 1):
            return True
        return False

    def _count(self, running: Running, filters: Sequence[Filter]) -> int:
        if any(self._tested):
            return sum(1 for _ in self._rows(running, filters, 0, None))
        session = running.session
        access = self.access(session)
        query = session.query(self.table, (), access)
        query.add_filters(filters)
        if running.trace is None:
            if running.limits is not None:
                self._look(query, running, None, 0, sliced=False)
            return query.count()
        entry = running.trace_call(self.table.name, self.describe(access))
        self._look(query, running, entry, 0, sliced=False)
        start = time.perf_counter()
        number = query.count()
        entry.update(rows=1, time=time.perf_counter() - start)
        return number

    def _total_of(self, running: Running, filters: Sequence[Filter]) -> Any:
        """Return the least, the greatest or the sum; None without rows."""
        (name,) = self.read.columns
        column = self.table.column(name)
        at_end = self.read.what in ("min", "max")
        if at_end and running.connection.store.capabilities.remote:
            rows = self._in_slices(running, filters, _VALUES)
        else:
            rows = self._rows(running, filters, 0, None, first=at_end)
        values = (row[0] for row in rows if row[0] is not None)
        if self.read.what == "sum":
            total = count = 0
            for count, value in enumerate(values, 1):  # noqa: B007  # whether there was one
                total += value
            if total not in INT64:
                raise OperationalError("integer overflow")
            return total if count else None
        # They come in order: the first that isn't NULL is it.
        first = next(values, None)
        convert = TO_SQLITE.get(column.type)
        return first if first is None or convert is None else convert(first)
