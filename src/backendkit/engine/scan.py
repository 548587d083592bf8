"""A scan: one use of a virtual table in one running statement."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import apsw

from backendkit.stores import (
    Access,
    Column,
    FilterShape,
    Matcher,
    NonrelQuery,
    Precision,
    Row,
    ValueType,
    matcher,
    sort_by,
)

from .comparing import Bound, comparison
from .item_search import LOOKUPS, narrowed
from .limits import covered
from .running import Filter as StoreFilter  # apsw names a method Filter
from .running import timed
from .seeking import Seeks, key_converter

if TYPE_CHECKING:
    from .limits import Look
    from .running import Running
    from .seeking import Lookup, SQLRow
    from .vtab import Layout, Plan, VirtualTable


class Scan:
    """
    What SQLite calls a virtual table's cursor.

    :param running: the statement; its session is the one that is read.
    """

    __slots__ = (
        "_accesses",
        "_arguments",
        "_layout",
        "_number",
        "_places",
        "_rows",
        "_running",
        "_seeks",
        "_virtual",
        "row",
    )

    def __init__(self, virtual: VirtualTable, running: Running) -> None:
        self._virtual = virtual
        self._running = running
        self._rows: Iterator[SQLRow] = iter(())
        self._arguments: tuple[Any, ...] = ()
        self._number = -1
        self._layout: Layout
        self._places: Sequence[int | None] = ()
        self._seeks: Seeks | None = None
        #: How to read where the filters are others than planned.
        self._accesses: dict[tuple[Any, ...], Access] = {}
        self.row: SQLRow | None = None

    def Filter(  # these five names are apsw's
        self, number: int, _description: str, arguments: tuple[Any, ...]
    ) -> None:
        """Begin to read, with the values of this run."""
        if number != self._number:
            self._use(number)
        self._arguments = arguments
        seeks = self._seeks
        if seeks is not None:
            if seeks.generation != self._running.connection.generation:
                seeks.forget(self._running.connection.generation)
            found = seeks.get(arguments)
            rows = seeks.rows(arguments) if found is None else iter(found)
        else:
            rows = self._seek(number, arguments)
        self._rows = rows
        self.row = next(rows, None)

    def _use(self, number: int) -> None:
        """Run a plan from now on."""
        _, layout = self._running.plans[number]
        self._layout = layout
        self._places = layout.places
        self._seeks = None
        self._number = number
        lookup, running = layout.lookup, self._running
        remembered = running.seeks
        if lookup is None or remembered is None:
            return
        key = self._virtual, number
        if key not in remembered:
            # Most are used once: it pays from the second time on.
            remembered[key] = None
            self._number = -1
            return
        seeks = remembered[key]
        if seeks is None:
            seeks = remembered[key] = Seeks(
                lookup,
                running.session.estimated_rows(self._virtual.table),
                partial(self._seek, number),
                partial(self._every, number, lookup),
                layout.weigh,
                len(layout.columns),
                running.connection.generation,
            )
        self._seeks = seeks

    def Next(self) -> None:
        """Go to the next row."""
        self.row = next(self._rows, None)

    def Eof(self) -> bool:
        """Whether there is no row left."""
        return self.row is None

    def Column(self, number: int) -> Any:
        """Return a value of the current row, in SQLite's terms."""
        place = self._places[number]
        if place is None:
            # The hidden column is what the statement says it is. Of a scan for each
            # side of an OR, SQLite checks that, though told to leave it out.
            if number < 0:
                return self.Rowid()
            return self._arguments[0] if self._layout.handed else None
        return self.row[place]  # type: ignore[index]  # SQLite asks only for rows

    def ColumnNoChange(self, _number: int) -> Any:
        """Leave out a value that an UPDATE doesn't change."""
        return apsw.no_change

    def Rowid(self) -> int:
        """Return a number for the current row, the same while the statement runs."""
        row: Any = self.row
        key = self._layout.key
        if self._virtual.rowid_column is not None:
            return row[key[0]]  # type: ignore[no-any-return]  # an integer column
        return self._running.number(
            self._virtual.table.name, tuple(row[place] for place in key)
        )

    def Close(self) -> None:
        """Stop reading."""
        self._rows = iter(())
        self.row = None
        # What is remembered refers to the scan.
        self._seeks, self._number = None, -1

    def _seek(self, number: int, arguments: tuple[Any, ...]) -> Iterator[SQLRow]:
        """Return the rows for a plan's arguments, in SQLite's terms."""
        plan, layout = self._running.plans[number]
        return self._converted(layout, plan, layout.columns, arguments)

    def _every(
        self, number: int, lookup: Lookup, rest: tuple[Any, ...]
    ) -> tuple[Iterator[SQLRow], Callable[[SQLRow], Any]]:
        """
        Return the rows of all keys, and what tells the key of one.

        :param rest: the plan's arguments without the key.
        """
        table = self._virtual.table
        planned, layout = self._running.plans[number]
        access = self._running.session.access(table, lookup.rest)
        plan = replace(
            planned,
            shapes=lookup.rest,
            access=access,
            limit=False,
            label=access.index,
        )
        width = len(layout.columns)
        columns = (*layout.columns, *lookup.columns)
        # Instead of rows that were asked for one after the other.
        rows = self._converted(layout, plan, columns, rest, wanted=True)
        key = itemgetter(*range(width, width + len(lookup.columns)))
        convert = key_converter([table.column(name) for name in lookup.columns])
        return rows, key if convert is None else lambda row: convert(key(row))

    def _converted(
        self,
        layout: Layout,
        plan: Plan,
        columns: Sequence[str],
        arguments: tuple[Any, ...],
        *,
        wanted: bool = False,
    ) -> Iterator[SQLRow]:
        """
        Read rows, in SQLite's terms.

        :param wanted: whether SQLite wants all that match, though it hasn't said so.
        """
        running, convert = self._running, layout.convert
        if running.trace is None:
            rows = self._read(plan, columns, arguments, None, wanted)
            return rows if convert is None else map(convert, rows)
        entry = running.trace_call(self._virtual.table.name, plan.describe())
        start = time.perf_counter()
        rows = self._read(plan, columns, arguments, entry, wanted)
        found = rows if convert is None else map(convert, rows)
        return timed(entry, found, start)

    def _read(
        self,
        plan: Plan,
        columns: Sequence[str],
        arguments: tuple[Any, ...],
        entry: dict[str, Any] | None,
        wanted: bool,
    ) -> Iterator[Row]:
        table = self._virtual.table
        values = iter(arguments)
        handed: Sequence[StoreFilter] = ()
        if plan.handed:
            handed = self._handed(self._running.handed(next(values)), entry)
        filters, complete = self._filters(plan, values)
        if filters is None:
            return iter(())
        tests: list[tuple[int, Matcher]] = []
        if not complete:
            filters, tests = self._supported(filters, columns)
        filters += handed
        running = self._running
        session = running.session
        access, sort, limited = plan.access, False, plan.limited
        if handed or not complete:
            # Other filters than planned: the best way may be another one.
            shapes = tuple(FilterShape(f.column, f.lookup, f.negated) for f in filters)
            other = self._access(shapes, plan.ordering)
            if other.ordered or not plan.ordering:
                access = other
            elif not complete:
                access, sort = other, True
            limited = limited or bool(tests) or not covered(table, access, shapes)
        read = session.query_for_update if running.for_update else session.query
        query = read(table, columns, access)
        query.add_filters(filters)
        if plan.ordering and not sort:
            query.order_by(plan.ordering)
        low, high = 0, None
        if plan.limit:
            count = next(values)
            low = max(next(values), 0) if plan.offset else 0
            high = None if count < 0 else low + count
        look = None
        if entry is not None or self._running.limits is not None:
            if not (limited or wanted or access.equalities or access.ranged):
                limited = self._running.selective
            if limited or entry is not None:
                look = self._look(query, plan, filters, entry, limited=limited)
        if not (sort or tests):
            rows = query.fetch(low, high)
            return rows if look is None else look.rest(rows)
        rows = query.fetch()
        if look is not None:
            rows = look.rest(rows)
        if tests:
            rows = (row for row in rows if all(test(row[at]) for at, test in tests))
        if sort:
            rows = self._sorted(rows, plan, columns)
        return itertools.islice(rows, low, high)

    def _handed(
        self, given: Sequence[StoreFilter], entry: dict[str, Any] | None
    ) -> list[StoreFilter]:
        """Return the compiler's filters as those that the store may be given."""
        table = self._virtual.table
        # A field says what type its column has; the catalog may know better.
        handed = [
            one
            for one in given
            if one.lookup not in LOOKUPS
            and table.column(one.column).type == one.db_type
        ]
        if len(handed) < len(given):
            found = narrowed(self._running, table, given)
            if found is not None:
                handed.append(found[0])
                if entry is not None:
                    entry["call"] += f", looked up in {found[1]}"
        return handed

    def _look(
        self,
        query: NonrelQuery,
        plan: Plan,
        filters: Sequence[StoreFilter],
        entry: dict[str, Any] | None,
        *,
        limited: bool,
    ) -> Look:
        """Let the rows that a query reads be counted."""
        access, running = query.access, self._running
        shapes = [FilterShape(f.column, f.lookup, f.negated) for f in filters]
        ordering = plan.ordering if plan.limit else plan.sorting
        look = running.look(
            query.table, access, shapes, ordering, entry, limited=limited
        )
        query.looked_at = look
        return look

    def _access(
        self, shapes: tuple[FilterShape, ...], ordering: tuple[tuple[str, bool], ...]
    ) -> Access:
        """Choose how to read, or remember it."""
        access = self._accesses.get((shapes, ordering))
        if access is None:
            access = self._running.session.access(self._virtual.table, shapes, ordering)
            self._accesses[shapes, ordering] = access
        return access

    def _filters(
        self, plan: Plan, values: Iterator[Any]
    ) -> tuple[list[StoreFilter] | None, bool]:
        """
        Translate the planned filters; None if no row can match.

        :returns: beside them, whether they are as planned.
        """
        table = self._virtual.table
        filters: list[StoreFilter] = []
        complete = True
        for shape in plan.shapes:
            name, shape_lookup = shape.column, shape.lookup
            column = table.column(name)
            kind = column.type
            value = next(values)
            if value.__class__ is int and kind is ValueType.INTEGER:
                # The most frequent by far.
                filters.append(StoreFilter(name, shape_lookup, False, kind, value))
                continue
            if shape_lookup == "in":
                items = _items(column, value)
                if items is None:
                    complete = False
                else:
                    filters.append(StoreFilter(name, "in", False, kind, items))
                continue
            lookup, wanted = comparison(column, shape_lookup, value)
            if wanted is Bound.NOTHING:
                return None, False
            if lookup == shape_lookup and wanted is not Bound.ANYTHING:
                filters.append(StoreFilter(name, lookup, False, kind, wanted))
                continue
            complete = False
            if lookup == "isnull":
                filters.append(StoreFilter(name, "isnull", True, kind, True))
            elif lookup == "range":
                low, high = wanted
                filters.append(StoreFilter(name, "gte", False, kind, low))
                filters.append(StoreFilter(name, "lte", False, kind, high))
            elif wanted is not Bound.ANYTHING:
                filters.append(StoreFilter(name, lookup, False, kind, wanted))
        for shape in plan.fixed:
            next(values)
            kind = table.column(shape.column).type
            filters.append(
                StoreFilter(shape.column, "isnull", shape.negated, kind, True)
            )
        return filters, complete

    def _supported(
        self, filters: list[StoreFilter], columns: Sequence[str]
    ) -> tuple[list[StoreFilter], list[tuple[int, Matcher]]]:
        """
        Split off the filters that the store doesn't apply exactly.

        For a value they may have become others than SQLite was told about, and
        SQLite may rely on them.
        """
        capabilities = self._running.connection.store.capabilities
        kept, tests = [], []
        for one in filters:
            kind = ValueType(one.db_type)
            precision = capabilities.precision(kind, one.lookup, one.negated)
            if precision is not Precision.NONE:
                kept.append(one)
            if precision is not Precision.EXACT:
                place = columns.index(one.column)
                tests.append((place, matcher(one.lookup, one.value, one.negated)))
        return kept, tests

    def _sorted(
        self, rows: Iterator[Row], plan: Plan, columns: Sequence[str]
    ) -> Iterator[Row]:
        """Keep a promised order that the access can't after all."""
        ordering = [(columns.index(name), desc) for name, desc in plan.ordering]
        return iter(sort_by(rows, ordering))


def _items(column: Column, values: Iterable[Any]) -> list[Any] | None:
    """Translate a list behind IN; None if it may be anything."""
    found = [comparison(column, "exact", value) for value in values]
    if any(one.lookup != "exact" or one.value is Bound.ANYTHING for one in found):
        return None
    return [one.value for one in found if one.value is not Bound.NOTHING]
