"""A scan: one use of a virtual table in one running statement."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from backendkit.stores import (
    FilterShape,
    Matcher,
    Precision,
    ValueType,
    matcher,
    sort_key,
)

from .comparing import Bound, comparison
from .running import Filter as StoreFilter  # apsw names a method Filter

if TYPE_CHECKING:
    from .running import Running
    from .vtab import Plan, VirtualTable


class Scan:
    """
    What SQLite calls a virtual table's cursor.

    :param running: the statement; its session is the one that is read.
    """

    __slots__ = (
        "_columns",
        "_convert",
        "_places",
        "_raw",
        "_rows",
        "_running",
        "_virtual",
        "row",
    )

    def __init__(self, virtual: VirtualTable, running: Running) -> None:
        self._virtual = virtual
        self._running = running
        self._rows: Iterator[Any] = iter(())
        self._columns: Sequence[str] = ()
        self._places: dict[int, int] = {}
        self._convert: Callable[[Any], Sequence[Any]] | None = None
        self._raw: Any = None
        self.row: Sequence[Any] | None = None

    def Filter(  # these five names are apsw's
        self, number: int, description: str, arguments: tuple[Any, ...]
    ) -> None:
        """Begin to read, with the values of this run."""
        plan = self._virtual.plans[number]
        layout = self._virtual.layouts[number]
        self._columns, self._places, self._convert = layout
        if self._running.trace is None:
            self._rows = self._read(plan, arguments)
        else:
            self._rows = self._traced(plan, arguments, description)
        self.Next()

    def Next(self) -> None:
        """Go to the next row."""
        self._raw = raw = next(self._rows, None)
        convert = self._convert
        self.row = raw if convert is None or raw is None else convert(raw)

    def Eof(self) -> bool:
        """Whether there is no row left."""
        return self.row is None

    def Column(self, number: int) -> Any:
        """Return a value of the current row, in SQLite's terms."""
        if number < 0:
            return self.Rowid()
        place = self._places.get(number)
        # The hidden column of the compiler's filters has no value.
        return None if place is None else self.row[place]  # type: ignore[index]  # SQLite asks only for rows

    def ColumnNoChange(self, _number: int) -> Any:
        """Leave out a value that an UPDATE doesn't change."""
        return apsw.no_change

    def Rowid(self) -> int:
        """Return a number for the current row, the same while the statement runs."""
        column = self._virtual.rowid_column
        if column is not None:
            return int(self._raw[self._places[column]])
        key = tuple(
            self._raw[self._places[n]] for n in self._virtual.table.key_positions
        )
        return self._running.number(self._virtual.table.name, key)

    def Close(self) -> None:
        """Stop reading."""
        self._rows = iter(())
        self._raw = self.row = None

    def _traced(
        self, plan: Plan, arguments: tuple[Any, ...], description: str
    ) -> Iterator[Any]:
        entry = self._running.trace_call(
            self._virtual.table.name, description or plan.describe()
        )
        start = time.perf_counter()
        for row in self._read(plan, arguments):
            entry["rows"] += 1
            entry["time"] += time.perf_counter() - start
            yield row
            start = time.perf_counter()
        entry["time"] += time.perf_counter() - start

    def _read(self, plan: Plan, arguments: tuple[Any, ...]) -> Iterator[Any]:
        table = self._virtual.table
        values = iter(arguments)
        handed: Sequence[StoreFilter] = ()
        if plan.handed:
            handed = self._running.handed(next(values))
        filters = self._filters(plan, values)
        if filters is None:
            return iter(())
        tests: list[tuple[int, Matcher]] = []
        complete = [f.lookup for f in filters] == [
            shape.lookup for shape in (*plan.shapes, *plan.fixed)
        ]
        if not complete:
            filters, tests = self._supported(filters)
        filters += handed
        session = self._running.session
        access, sort = plan.access, False
        if handed or not complete:
            # Other filters than planned: the best way may be another one.
            shapes = [FilterShape(f.column, f.lookup, f.negated) for f in filters]
            other = session.access(table, shapes, plan.ordering)
            if other.ordered or not plan.ordering:
                access = other
            elif not complete:
                access, sort = other, True
        query = session.query(table, self._columns, access)
        query.add_filters(filters)
        if plan.ordering and not sort:
            query.order_by(plan.ordering)
        low, high = 0, None
        if plan.limit:
            count = next(values)
            low = max(next(values), 0) if plan.offset else 0
            high = None if count < 0 else low + count
        if not (sort or tests):
            return query.fetch(low, high)
        rows = query.fetch()
        if tests:
            rows = (row for row in rows if all(test(row[at]) for at, test in tests))
        if sort:
            rows = self._sorted(rows, plan)
        return itertools.islice(rows, low, high)

    def _filters(self, plan: Plan, values: Iterator[Any]) -> list[StoreFilter] | None:
        """Translate the planned filters; None if no row can match."""
        table = self._virtual.table
        filters: list[StoreFilter] = []
        for shape in plan.shapes:
            column = table.column(shape.column)
            value = next(values)
            if shape.lookup == "in":
                found = [comparison(column, "exact", item) for item in value]
                items = [item.value for item in found]
                if all(
                    item.lookup == "exact" and item.value is not Bound.ANYTHING
                    for item in found
                ):
                    items = [item for item in items if item is not Bound.NOTHING]
                    filters.append(
                        StoreFilter(column.name, "in", False, column.type, items)
                    )
                continue
            lookup, wanted = comparison(column, shape.lookup, value)
            if wanted is Bound.NOTHING:
                return None
            if lookup == "isnull":
                filters.append(
                    StoreFilter(column.name, "isnull", True, column.type, True)
                )
            elif lookup == "range":
                low, high = wanted
                filters.append(StoreFilter(column.name, "gte", False, column.type, low))
                filters.append(
                    StoreFilter(column.name, "lte", False, column.type, high)
                )
            elif wanted is not Bound.ANYTHING:
                filters.append(
                    StoreFilter(column.name, lookup, False, column.type, wanted)
                )
        for shape in plan.fixed:
            next(values)
            db_type = table.column(shape.column).type
            filters.append(
                StoreFilter(shape.column, "isnull", shape.negated, db_type, True)
            )
        return filters

    def _supported(
        self, filters: list[StoreFilter]
    ) -> tuple[list[StoreFilter], list[tuple[int, Matcher]]]:
        """
        Split off the filters that the store doesn't apply exactly.

        For a value they may have become others than SQLite was told about, and
        SQLite may rely on them.
        """
        capabilities = self._running.connection.store.capabilities
        positions = self._virtual.table.positions
        kept, tests = [], []
        for one in filters:
            kind = ValueType(one.db_type)
            precision = capabilities.precision(kind, one.lookup, one.negated)
            if precision is not Precision.NONE:
                kept.append(one)
            if precision is not Precision.EXACT:
                place = self._places[positions[one.column]]
                tests.append((place, matcher(one.lookup, one.value, one.negated)))
        return kept, tests

    def _sorted(self, rows: Iterator[Any], plan: Plan) -> Iterator[Any]:
        """Keep a promised order that the access can't after all."""
        result = list(rows)
        positions = self._virtual.table.positions
        for name, descending in reversed(plan.ordering):
            place = self._places[positions[name]]
            result.sort(
                key=lambda row, place=place: sort_key(row[place]),  # type: ignore[misc]  # place: bound now
                reverse=descending,
            )
        return iter(result)
