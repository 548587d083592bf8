"""
Runs the queries of the contract's tests on a store, and notes what it does.

Part of ``docs/compare.py``. Whatever is noted here was checked by the tests first: a
store that returns other rows than its capabilities declare fails them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from backendkit.stores import (
    Column,
    Index,
    NonrelQuery,
    Precision,
    Session,
    Store,
    Table,
    ValueType,
    matcher,
)
from backendkit.stores.testing import StoreContract

#: Rows of the table whose reads are counted.
ROWS = 1_000
#: Pairs of columns with the same values, one of which has an index.
COUNTED = Table(
    "counted",
    (
        Column("id", ValueType.INTEGER, nullable=False),
        Column("indexed", ValueType.INTEGER),
        Column("plain", ValueType.INTEGER),
        Column("indexed_text", ValueType.STRING),
        Column("plain_text", ValueType.STRING),
    ),
    ("id",),
    (
        Index("counted_indexed", ("indexed",)),
        Index("counted_text", ("indexed_text",)),
    ),
)
#: 100 values of each pair of columns, and NULL in 10 rows.
DATA = [
    (n, *[None if n % 100 == 99 else n % 100] * 2, *[f"text {n % 100:02}"] * 2)
    for n in range(ROWS)
]
#: A value for each lookup. Few rows match.
NUMBERS: dict[str, Any] = {
    "exact": 7,
    "in": [7, 8, 9],
    "isnull": True,
    "lt": 10,
    "lte": 9,
    "gt": 88,
    "gte": 89,
}
TEXTS: dict[str, str] = {
    "contains": "t 07",
    "icontains": "T 07",
    "startswith": "text 0",
    "istartswith": "TEXT 0",
    "endswith": " 07",
    "iendswith": " 07",
    "iexact": "TEXT 07",
    "regex": "^text 0",
    "iregex": "^TEXT 0",
}

Ordering = Sequence[tuple[str, bool]]


class Recording(StoreContract):
    """The contract's tests, which note who applies each lookup to each type."""

    def __init__(self, make_store: Callable[[], Store]) -> None:
        self.make_store = make_store
        self.found: dict[tuple[ValueType, str, bool], Precision] = {}

    def run(self) -> None:
        """
        Run the tests of filters and orders.

        :raises AssertionError: the store doesn't do what it declares.
        """
        for test in (
            self.test_comparisons,
            self.test_patterns,
            self.test_filters_together,
            self.test_order,
            self.test_limits,
        ):
            test()
            self.teardown_method()

    def check_filters(self, session, table, rows, *filters):
        """Note, after the check, whether the rows were exactly those that match."""
        super().check_filters(session, table, rows, *filters)
        precision = self.precision(table, filters)
        for column, lookup, negated, value in filters if len(filters) == 1 else ():
            if precision is not Precision.NONE:
                matches, at = matcher(lookup, value, negated), table.positions[column]
                wanted = sum(matches(row[at]) for row in rows)
                read = sum(1 for _ in self.select(session, table, filters).fetch())
                precision = Precision.EXACT if read == wanted else Precision.COARSE
            key = table.column(column).type, lookup, negated
            found = self.found.get(key, precision)
            self.found[key] = min(found, precision, key=lambda one: one.value)


class Counting(StoreContract):
    """Counts the rows that a store reads for queries on a table."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: list[Session] = []
        with self.writing(COUNTED) as session:
            session.insert(COUNTED, DATA)

    def filter(self, column: str, lookup: str, value: Any, *, negated: bool) -> int:
        """Return how many rows a filter reads."""
        filters = [(column, lookup, negated, value)]
        with self.reading() as session:
            self.check_filters(session, COUNTED, DATA, *filters)
            if self.precision(COUNTED, filters) is Precision.NONE:
                filters = []
            return read_by(self.select(session, COUNTED, filters))

    def order(self, ordering: Ordering, high: int | None) -> tuple[bool, int]:
        """Return whether the store sorts, and how many rows it reads up to a limit."""
        with self.reading() as session:
            self.check_order(session, COUNTED, DATA, ordering)
            access = session.access(COUNTED, [], ordering, few=high is not None)
            query = session.query(COUNTED, list(COUNTED.positions), access)
            if access.ordered:
                query.order_by(ordering)
            # A limit is passed only with an order that the store knows.
            return access.ordered, read_by(query, high if access.ordered else None)


def read_by(query: NonrelQuery, high: int | None = None) -> int:
    """Return how many rows a query reads."""
    read = 0

    def counted(rows: Iterable[Any]) -> Iterator[Any]:
        nonlocal read
        for row in rows:
            read += 1
            yield row

    query.looked_at = counted
    list(query.fetch(0, high))
    return read
