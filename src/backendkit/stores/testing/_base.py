# ruff: noqa: PT009, PT027  # pytest is no dependency, and -O takes asserts away
"""What the tests of a store are made of."""

from __future__ import annotations

import json
import math
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from backendkit.stores import (
    Access,
    Error,
    FilterShape,
    NonrelQuery,
    Order,
    Precision,
    Row,
    Session,
    Store,
    Table,
    ValueType,
    guarded,
    matcher,
    sort_key,
)
from backendkit.stores._guarding import GuardedQuery
from backendkit.stores._rows import named

from ._data import THINGS, VALUES, Filter, equals

# What to do when a test fails.
_EXACT = (
    "Return exactly the rows that SQL would return. If the query returns all rows"
    " that match, and others, declare the lookup as Precision.COARSE in the"
    " capabilities. Otherwise leave it out of them."
)
_COARSE = (
    "A COARSE filter may return rows that don't match, but it has to return all that"
    " do. Widen it, or leave the lookup out of the capabilities."
)
_COUNT = "Override count() to agree with fetch(), or leave it out."
_VALUE = (
    "Convert values of this type when they are stored and when they are read, e.g. in"
    " Store.convert_value_for_db() and convert_value_from_db()."
)
_ORDER = (
    "Sort as sort_rows() does: NULL first, text by code point. Or declare another"
    " Order in the capabilities, and SQLite sorts."
)


def _fetching(query: NonrelQuery) -> str:
    """Return the name of a query's ``fetch``, for messages."""
    query = query.inner if isinstance(query, GuardedQuery) else query
    return named(query, "fetch", query.table)


class ContractBase:
    """The contract, as tests. See the module's docstring."""

    #: Rows of the tests that need many.
    many: ClassVar[int] = 1000
    #: Seconds that threads may take to write in turns.
    patience: ClassVar[float] = 20.0
    #: Characters or bytes that a text may have in an index; None for any number.
    longest_key: ClassVar[int | None] = None
    #: The same for a primary key; None if it is that of an index.
    longest_primary_key: ClassVar[int | None] = None
    #: For methods such as assertEqual, whatever runs the tests.
    check: ClassVar[unittest.TestCase] = unittest.TestCase()

    # To be overridden

    def make_store(self) -> Store:
        """
        Return a new, empty store. Called at most once in a test.

        Writers should wait for each other for a tenth of a second only.
        """
        raise NotImplementedError

    def reopen_store(self, store: Store) -> Store | None:
        """Close the store and open it again; None if that would lose everything."""
        return None

    def remove_store(self, store: Store) -> None:
        """Close the store at the end of a test, and clean up."""
        store.close()

    # What the tests are made of

    _store: Store | None = None
    _sessions: list[Session]

    @property
    def store(self) -> Store:
        """The store of this test."""
        if self._store is None:
            self._store = self.make_store()
            self._sessions = []
        return self._store

    def teardown_method(self) -> None:
        """Called by pytest."""
        if self._store is not None:
            store, self._store = self._store, None
            for session in self._sessions:
                session.close()
            self.remove_store(store)

    def tearDown(self) -> None:  # unittest's name
        """Called by unittest."""
        self.teardown_method()

    def session(self) -> Session:
        """Return a new session, to be closed at the end of the test."""
        session = guarded(self.store).session()
        self._sessions.append(session)
        return session

    @contextmanager
    def writing(self, *tables: Table) -> Iterator[Session]:
        """Run a transaction that creates tables and is committed at the end."""
        session = self.session()
        session.begin(write=True)
        for table in tables:
            session.create_table(table)
        yield session
        session.commit()
        session.close()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Run a transaction that only reads."""
        session = guarded(self.store).reader()
        self._sessions.append(session)
        session.begin(write=False)
        yield session
        session.rollback()
        session.close()

    def indexable(
        self, value_type: ValueType, *, primary_key: bool = False
    ) -> list[Any]:
        """Return the hard values of a type that an index, or primary key, can have."""
        most = self.longest_key
        if primary_key:
            most = self.longest_primary_key or most
        return [
            value
            for value in VALUES[value_type]
            if most is None or not isinstance(value, str | bytes) or len(value) <= most
        ]

    def need(self, able: bool, what: str) -> None:
        """Skip the test of a store that isn't able to."""
        if not able:
            raise unittest.SkipTest(f"the store's capabilities don't declare {what}")

    def need_transactions(self) -> None:
        """Skip the test of a store without transactions."""
        self.need(self.store.capabilities.transactions, "transactions")

    def fails(
        self, session: Session, error: type[Error], call: Callable[..., Any], *args: Any
    ) -> Error:
        """Check that a call fails, and undo it as the engine does."""
        mark = session.savepoint() if self.store.capabilities.transactions else None
        what = f"{getattr(call, '__name__', call)}{args!r:.200}"
        todo = (
            f"It has to raise {error.__name__} before it changes anything permanently."
        )
        with self.check.assertRaises(error, msg=f"{what}. {todo}") as caught:
            call(*args)
        if mark is not None:
            session.rollback_to(mark)
        return caught.exception

    def precision(self, table: Table, filters: Sequence[Filter]) -> Precision:
        """Return how well the store applies all these filters."""
        found = [
            self.store.capabilities.precision(
                table.column(column).type, lookup, negated
            )
            for column, lookup, negated, _ in filters
        ]
        return min(found, key=lambda one: one.value, default=Precision.EXACT)

    def select(
        self,
        session: Session,
        table: Table,
        filters: Sequence[Filter] = (),
        *,
        ordering: Sequence[tuple[str, bool]] = (),
        columns: Sequence[str] | None = None,
        scan: bool = False,
    ) -> NonrelQuery:
        """Make a query as the engine does, or one that reads the whole table."""
        shapes = [FilterShape(c, lookup, negated) for c, lookup, negated, _ in filters]
        access = Access() if scan else session.access(table, shapes, ordering)
        names = list(table.positions) if columns is None else columns
        query = session.query(table, names, access)
        query.add_filters(
            (c, lu, n, table.column(c).type, v) for c, lu, n, v in filters
        )
        if ordering:
            query.order_by(ordering)
        return query

    def rows(self, session: Session, table: Table) -> list[Row]:
        """Return all rows, by primary key."""
        return sorted(self.select(session, table).fetch(), key=table.key_of)

    def check_filters(
        self, session: Session, table: Table, rows: Sequence[Row], *filters: Filter
    ) -> None:
        """Compare what the store finds with what SQL would, if it has the filters."""
        precision = self.precision(table, filters)
        if precision is Precision.NONE:
            return
        tests = [(table.positions[c], matcher(lu, v, n)) for c, lu, n, v in filters]
        wanted = [table.key_of(r) for r in rows if all(t(r[at]) for at, t in tests)]
        for scan in (False, True):
            query = self.select(session, table, filters, scan=scan)
            how = "a scan" if scan else "the access that the session chose"
            what = f"{_fetching(query)} by {how} with the filters {filters!r:.300}"
            found = [table.key_of(row) for row in query.fetch()]
            if precision is Precision.EXACT:
                self.check.assertCountEqual(found, wanted, f"{what}. {_EXACT}")
                again = self.select(session, table, filters, scan=scan)
                self.check.assertEqual(
                    again.count(), len(wanted), f"count: {what}. {_COUNT}"
                )
            else:
                self.check.assertEqual(len(set(found)), len(found), f"twice: {what}")
                self.check.assertLessEqual(
                    set(wanted), set(found), f"missing: {what}. {_COARSE}"
                )
                everything = set(map(table.key_of, rows))
                self.check.assertLessEqual(set(found), everything, f"alien: {what}")

    def same(self, value_type: ValueType, found: object, wanted: object) -> None:
        """Check that a value came back as it was."""
        what = f"{value_type}: {wanted!r:.100} came back as {found!r:.100}. {_VALUE}"
        self.check.assertIs(type(found), type(wanted), what)
        if value_type is ValueType.JSON and isinstance(wanted, str):
            found, wanted = json.loads(str(found)), json.loads(wanted)
        self.check.assertTrue(found == wanted, what)
        if isinstance(found, float) and isinstance(wanted, float):
            signs = math.copysign(1, found), math.copysign(1, wanted)
            self.check.assertEqual(*signs, what)

    def check_order(
        self,
        session: Session,
        table: Table,
        rows: Sequence[Row],
        ordering: Sequence[tuple[str, bool]],
        filters: Sequence[Filter] = (),
    ) -> None:
        """Compare an order, and pages of it, with SQL's, if the store has it."""
        if self.precision(table, filters) is not Precision.EXACT:
            return
        shapes = [FilterShape(c, lookup, negated) for c, lookup, negated, _ in filters]
        if not session.access(table, shapes, ordering).ordered:
            any_order = self.store.capabilities.order is Order.ANY
            self.check.assertFalse(
                any_order, f"Order.ANY, but not {ordering}. {_ORDER}"
            )
            return
        tests = [(table.positions[c], matcher(lu, v, n)) for c, lu, n, v in filters]
        wanted = [row for row in rows if all(test(row[at]) for at, test in tests)]
        for column, descending in reversed(ordering):
            at = table.positions[column]
            wanted.sort(
                key=lambda row: sort_key(row[at]), reverse=descending
            )  # called at once
        at_all = [table.positions[column] for column, _ in ordering]
        what = f"ordered by {ordering}, {filters}"
        marks: list[tuple[int, int | None]] = [(0, None)]
        if self.store.capabilities.limit:
            marks += [(0, 0), (0, 1), (1, 4), (2, 2), (3, None), (0, 999), (999, None)]
        for low, high in marks:
            query = self.select(session, table, filters, ordering=ordering)
            found = list(query.fetch(low, high))
            # Rows of equal values may come in any order.
            self.check.assertEqual(
                [[row[at] for at in at_all] for row in found],
                [[row[at] for at in at_all] for row in wanted[low:high]],
                f"{_fetching(query)} {what}, from {low} to {high}. {_ORDER}",
            )
            self.check.assertEqual(
                len({table.key_of(row) for row in found}), len(found)
            )

    def check_all(
        self, session: Session, rows: Sequence[Row], table: Table = THINGS
    ) -> None:
        """Check that THINGS has these rows, whichever way they are read."""
        self.check.assertEqual(self.rows(session, table), sorted(rows))
        self.check.assertEqual(self.select(session, table).count(), len(rows))
        for number in {*range(10), *(row[0] for row in rows)}:
            wanted = next((row for row in rows if row[0] == number), None)
            self.check.assertEqual(session.get(table, (number,)), wanted)
            self.check_filters(session, table, rows, equals("id", number))
            self.check_filters(session, table, rows, equals("code", f"c{number}"))
        for kind in ("k", "other", None):
            tests = equals("kind", kind), ("size", "gt", False, 2)
            self.check_filters(session, table, rows, *tests)
        self.check_order(session, table, rows, [("kind", False), ("size", False)])
