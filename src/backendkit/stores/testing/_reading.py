# ruff: noqa: PT009  # pytest is no dependency, and -O takes asserts away
"""Tests of what a store reads: values, filters, order and limits."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Column,
    Index,
    Order,
    Precision,
    Row,
    Session,
    Table,
    UniqueViolation,
    ValueType,
)

from ._base import ContractBase
from ._data import ID, NUMBERS, PAIRS, THINGS, VALUES, Filter, equals, unique


class ReadingContract(ContractBase):
    """Values, filters, order and limits."""

    def typed(self, value_type: ValueType) -> tuple[Table, list[Row]]:
        """Return a table with an indexed column of a type, and rows for it."""
        columns = (ID, Column("value", value_type))
        index = Index(f"index_{value_type}", ("value",))
        table = Table(f"typed_{value_type}", columns, ("id",), (index,))
        values = [*self.indexable(value_type), None]
        return table, [(number, value) for number, value in enumerate(values, 1)]

    def test_values_come_back(self) -> None:
        """Values of all types come back as they were, at once and after commit."""
        typed = {value_type: self.typed(value_type) for value_type in ValueType}
        with self.writing(*(table for table, _ in typed.values())) as session:
            for value_type, (table, rows) in typed.items():
                session.insert(table, rows)
                for row in rows:
                    self.same(
                        value_type, (session.get(table, row[:1]) or ())[1], row[1]
                    )
        with self.reading() as session:
            self._check_values(session, typed)

    def test_values_survive_reopening(self) -> None:
        """What was committed is there when the store is opened again."""
        typed = {value_type: self.typed(value_type) for value_type in ValueType}
        with self.writing(*(table for table, _ in typed.values())) as session:
            for table, rows in typed.values():
                session.insert(table, rows)
            tables = session.catalog().tables
        again = self.reopen_store(self.store)
        self.need(again is not None, "a store that can be reopened")
        self._store = again
        with self.reading() as session:
            self.check.assertEqual(session.catalog().tables, tables)
            self._check_values(session, typed)

    def _check_values(
        self, session: Session, typed: Mapping[ValueType, tuple[Table, list[Row]]]
    ) -> None:
        for value_type, (table, rows) in typed.items():
            found = self.rows(session, table)
            self.check.assertEqual(len(found), len(rows), value_type)
            for row, wanted in zip(found, rows, strict=True):
                self.same(value_type, row[1], wanted[1])
                self.check.assertEqual(session.get(table, wanted[:1]), row)

    def test_keys_of_every_type(self) -> None:
        """A value of any type but JSON can be the primary key or unique."""
        for value_type in set(ValueType) - {ValueType.JSON}:
            values = self.indexable(value_type, primary_key=True)
            column = Column("value", value_type, nullable=False)
            keyed = Table(f"keyed_{value_type}", (column,), ("value",))
            indexes = (unique(f"unique_{value_type}_i", "value"),)
            other = Table(f"unique_{value_type}", (ID, column), ("id",), indexes)
            rows = [(value,) for value in values]
            with self.writing(keyed, other) as session:
                self.check.assertEqual(session.insert(keyed, rows), rows, value_type)
                more = self.indexable(value_type)
                session.insert(other, [(None, value) for value in more])
                for value in more:
                    again = (None, value)
                    self.fails(session, UniqueViolation, session.insert, other, [again])
            with self.writing() as session:
                for row in rows:
                    found = session.get(keyed, row)
                    self.check.assertIsNotNone(found, f"{value_type} {row!r:.100}")
                    self.same(value_type, (found or ())[0], row[0])
                    self.fails(session, UniqueViolation, session.insert, keyed, [row])
                deleted = session.delete(keyed, rows)
                self.check.assertEqual(deleted, len(rows), value_type)
                self.check.assertEqual(self.rows(session, keyed), [])

    def test_equal_values_are_one(self) -> None:
        """Values that are equal in SQL are equal in indexes, however written."""
        pairs: list[tuple[ValueType, Any, Any]] = [
            (ValueType.FLOAT, 0.0, -0.0),
            (ValueType.DECIMAL, Decimal(1), Decimal("1.00")),
            (ValueType.DECIMAL, Decimal(100), Decimal("1E+2")),
            (ValueType.DECIMAL, Decimal(0), Decimal("-0.0")),
        ]
        for number, (value_type, one, other) in enumerate(pairs):
            columns = (Column("k", value_type, nullable=False), Column("v", value_type))
            indexes = (unique(f"unique_{number}", "v"),)
            table = Table(f"equal_{number}", columns, ("k",), indexes)
            with self.writing(table) as session:
                session.insert(table, [(one, one)])
                for row in ((other, None), (one + 5, other)):
                    self.fails(session, UniqueViolation, session.insert, table, [row])
                self.check.assertEqual(session.get(table, (other,)), (one, one))
                for column in ("k", "v"):
                    for test in (
                        equals(column, other),
                        (column, "in", False, [other, one]),
                    ):
                        self.check_filters(session, table, [(one, one)], test)

    # Filters

    def test_comparisons(self) -> None:
        """Every comparison finds what SQL finds, NULL included, negated or not."""
        numbers: list[Any] = [0, 1.0, 1.5, Decimal(1), Decimal("-1.5"), True, 2**53 + 1]
        more: dict[ValueType, list[Any]] = {
            # A number of any type can be compared with a column of numbers.
            ValueType.INTEGER: [*numbers, 2**70, -(2**70), 1e300, math.inf, -math.inf],
            ValueType.FLOAT: [*numbers, 0.0, 10**400, -(10**400)],
            ValueType.DECIMAL: [*numbers, math.inf, 1e300, Decimal("1.1")],
        }
        for value_type in ValueType:
            table, rows = self.typed(value_type)
            with self.writing(table) as session:
                session.insert(table, rows)
                values = [*VALUES[value_type], None, *more.get(value_type, ())]
                for negated, value in itertools.product((False, True), values):
                    for lookup in sorted(COMPARISONS - {"in", "isnull"}):
                        one = ("value", lookup, negated, value)
                        self.check_filters(session, table, rows, one)
                for negated in (False, True):
                    null = ("value", "isnull", negated, True)
                    self.check_filters(session, table, rows, null)
                    for choice in (values[:1], values[:2], [*values[:2], None], values):
                        several = ("value", "in", negated, [*choice, *choice])
                        self.check_filters(session, table, rows, several)
                self.check_filters(session, table, rows, ("value", "in", False, []))
                self.check_filters(session, table, rows, ("value", "in", False, [None]))
                for low, high in itertools.combinations(VALUES[value_type], 2):
                    for more_than, less_than in (("gt", "lte"), ("gte", "lt")):
                        bounds = (
                            ("value", more_than, False, low),
                            ("value", less_than, False, high),
                        )
                        self.check_filters(session, table, rows, *bounds)

    def test_bounds_of_numbers(self) -> None:
        """
        Numbers compare by value, whatever type column and bound have.

        By an index, which is read from bound to bound, and row by row.
        """
        choose = random.Random(0)  # noqa: S311  # no secret
        for value_type in (
            ValueType.BOOL,
            ValueType.DECIMAL,
            ValueType.FLOAT,
            ValueType.INTEGER,
        ):
            table, few = self.typed(value_type)
            # So many that the index is used.
            rows = [
                (number, row[1]) for number, row in enumerate(few * (24 // len(few)), 1)
            ]
            numbers = [*NUMBERS, *VALUES[value_type]]
            bounds: list[list[Filter]] = [
                [("value", lookup, False, number)]
                for lookup, number in itertools.product(
                    ("exact", "gt", "gte", "lt", "lte"), numbers
                )
            ]
            for _ in range(60):
                low, high = choose.choices(numbers, k=2)
                if low > high:
                    low, high = high, low
                bounds.append(
                    [
                        ("value", choose.choice(("gt", "gte")), False, low),
                        ("value", choose.choice(("lt", "lte")), False, high),
                    ]
                )
            bounds += [
                [("value", "in", False, choose.choices(numbers, k=5))]
                for _ in range(20)
            ]
            with self.writing(table) as session:
                session.insert(table, rows)
                for filters in bounds:
                    self.check_filters(session, table, rows, *filters)

    def test_patterns(self) -> None:
        """Text is matched as LIKE does, without wildcards, or by Python's ``re``."""
        table, rows = self.typed(ValueType.STRING)
        with self.writing(table) as session:
            session.insert(table, rows)
            texts = [*VALUES[ValueType.STRING], "B", "a\\", "%_", "AB", "é", "X" * 9999]
            regexes = [
                "",
                "^a",
                "a$",
                "^$",
                "[ab]",
                ".",
                "\\\\",
                "\0",
                "É",
                "^a.b$",
                "(a|'|😀)",
            ]
            for negated, lookup in itertools.product((False, True), sorted(PATTERNS)):
                for value in regexes if "regex" in lookup else texts:
                    one = ("value", lookup, negated, value)
                    self.check_filters(session, table, rows, one)

    def things(self, session: Session) -> list[Row]:
        """Fill THINGS with every combination three times, and return the rows."""
        kinds, sizes = ("a", "b", "B", "", None), (-1, 0, 1, 10, None)
        rows = [
            # A third of the codes is NULL.
            (number, f"c{99 - number}" if number % 3 else None, kind, size)
            for number, (kind, size) in enumerate(
                [*itertools.product(kinds, sizes)] * 3
            )
        ]
        session.insert(THINGS, rows)
        return rows

    def test_filters_together(self) -> None:
        """All filters must hold, by whichever index the table is read."""
        with self.writing(THINGS) as session:
            rows = self.things(session)
            kinds: list[Filter] = [
                *(
                    equals("kind", "a"),
                    equals("kind", None),
                    ("kind", "exact", True, "a"),
                ),
                *(("kind", "isnull", negated, True) for negated in (False, True)),
                *(
                    ("kind", "in", negated, ["a", "B", "a"])
                    for negated in (False, True)
                ),
                ("kind", "gte", False, "a"),
                ("kind", "startswith", False, "b"),
            ]
            sizes: list[Filter] = [
                *(equals("size", 10), ("size", "isnull", False, True)),
                *(("size", "gt", negated, 0) for negated in (False, True)),
                ("size", "in", False, [1, 1.0, 2, None]),
            ]
            others: list[Filter] = [
                *(
                    equals("id", 7),
                    ("id", "in", False, [70, 7, 7, -7]),
                    ("id", "lt", False, 9),
                ),
                *(
                    equals("code", "c98"),
                    ("code", "in", False, ["c98", "c97", "c9", None]),
                ),
                *(("code", "isnull", negated, True) for negated in (False, True)),
            ]
            for combination in itertools.product(
                [None, *kinds], [None, *sizes], [None, *others]
            ):
                filters = [one for one in combination if one is not None]
                self.check_filters(session, THINGS, rows, *filters)

    def test_look_up_by_several_columns(self) -> None:
        """A primary key or a unique index of two columns is looked up as a whole."""
        with self.writing(PAIRS) as session:
            rows = [
                (None, n, r, n if r == "x" else None, n % 3)
                for n, r in itertools.product(range(9), "xy")
            ]
            keys = session.insert(PAIRS, rows)
            self.check.assertEqual(keys, [(row[2], row[1]) for row in rows])
            for key, row in zip(keys, rows, strict=True):
                self.check.assertEqual(session.get(PAIRS, key), row)
                whole = equals("left", key[1]), equals("right", key[0])
                self.check_filters(session, PAIRS, rows, *whole)
                self.check_filters(session, PAIRS, rows, whole[0])
                self.check_filters(session, PAIRS, rows, whole[1])
                for a, b in ((row[3], row[4]), (row[3], None), (row[3], 7)):
                    self.check_filters(
                        session, PAIRS, rows, equals("a", a), equals("b", b)
                    )
            lists = (
                ("left", "in", False, [3, 4, 99, 3]),
                ("right", "in", False, ["y", "z"]),
            )
            self.check_filters(session, PAIRS, rows, *lists)
            null = ("a", "isnull", False, True), equals("b", 1)
            self.check_filters(session, PAIRS, rows, *null)

    def test_many_rows(self) -> None:
        """A scan returns each row once, whole or the columns wanted."""
        rows = [(n, f"code {n}", f"kind {n % 7}", -n) for n in range(1, self.many + 1)]
        with self.writing(THINGS) as session:
            keys = session.insert(THINGS, rows)
            self.check.assertEqual(keys, [row[:1] for row in rows])
            self.check.assertEqual(self.rows(session, THINGS), rows)
        with self.reading() as session:
            self.check.assertEqual(self.rows(session, THINGS), rows)
            self.check.assertEqual(self.select(session, THINGS).count(), len(rows))
            for columns in (
                ["size"],
                ["size", "id"],
                ["kind", "code", "size", "id"],
                [],
            ):
                found = list(self.select(session, THINGS, columns=columns).fetch())
                at = [THINGS.positions[column] for column in columns]
                wanted = [tuple(row[n] for n in at) for row in rows]
                self.check.assertCountEqual(found, wanted, columns)
            estimate = session.estimated_rows(THINGS)
            self.check.assertTrue(
                self.many / 10 <= estimate <= self.many * 10, estimate
            )

    # Order and limits

    def test_order(self) -> None:
        """Rows come in the order asked for, where the store says that it can."""
        capabilities = self.store.capabilities
        self.need(capabilities.order is not Order.NONE, "any order")
        columns = [c for c in THINGS.positions if c != "code"]
        with self.writing(THINGS) as session:
            rows = self.things(session)
            orderings = [
                list(zip(names, directions, strict=True))
                for length in (1, 2, 3)
                for names in itertools.permutations(columns, length)
                for directions in itertools.product((False, True), repeat=length)
            ]
            filters: list[list[Filter]] = [
                [],
                [("kind", "in", False, ["a", "b", None])],
                [equals("kind", "a")],
                [equals("kind", "a"), ("size", "gt", False, 0)],
                [("size", "lte", False, 1)],
                [("id", "gt", False, 5)],
            ]
            for ordering, tests in itertools.product(orderings, filters):
                self.check_order(session, THINGS, rows, ordering, tests)
            scan = session.access(THINGS, [], [("id", False)])
            self.check.assertTrue(scan.ordered, "not even by the primary key")
        for value_type in ValueType:
            table, rows = self.typed(value_type)
            with self.writing(table) as session:
                session.insert(table, rows)
                for descending in (False, True):
                    ordering = [("value", descending)]
                    self.check_order(session, table, rows, ordering, [])

    def test_limits(self) -> None:
        """Marks cut what the filters leave."""
        self.need(self.store.capabilities.limit, "limit")
        with self.writing(THINGS) as session:
            rows = self.things(session)
            for filters in (
                [],
                [equals("kind", "a")],
                [equals("id", 7)],
                [equals("id", -7)],
            ):
                if self.precision(THINGS, filters) is not Precision.EXACT:
                    continue
                every = set(self.select(session, THINGS, filters).fetch())
                self.check.assertLessEqual(every, set(rows))
                for low, high in itertools.product((0, 1, 5, 99), (0, 1, 5, 99, None)):
                    found = list(self.select(session, THINGS, filters).fetch(low, high))
                    size = max(0, min(len(every), 99 if high is None else high) - low)
                    self.check.assertEqual(len(found), size, (filters, low, high))
                    self.check.assertEqual(len(set(found) & every), size)
