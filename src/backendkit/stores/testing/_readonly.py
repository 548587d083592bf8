# ruff: noqa: PT009, PT027  # pytest is no dependency, and -O takes asserts away
"""The contract for a store that is only read, over the data that it has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    PYTHON_TYPES,
    Access,
    Catalog,
    Column,
    ConflictError,
    InterfaceError,
    NotSupportedError,
    Row,
    Session,
    Table,
)

from ._base import ContractBase

#: Rows of a table that are looked at one by one.
_SOME = 20


class ReadOnlyContract(ContractBase):
    """
    The contract of a store that refuses every write.

    ``make_store()`` returns one that has tables, with rows: best some with NULL, with
    equal values, and of each type. What is there is asked for in all ways that the
    capabilities name, and compared with a scan of the whole table.
    """

    def tables(self, session: Session) -> list[tuple[Table, list[Row]]]:
        """Return the tables, with all their rows."""
        found = [
            (table, self.rows(session, table))
            for table in session.catalog().tables.values()
        ]
        self.check.assertTrue(found, "make_store() has to return a store with tables")
        rows = any(rows for _, rows in found)
        self.check.assertTrue(rows, "make_store() has to return a store with rows")
        return found

    def test_catalog(self) -> None:
        """Tables can be told apart, and stay the same while nobody changes them."""
        with self.reading() as session:
            first, again = session.catalog(), session.catalog()
            self.check.assertIsInstance(first, Catalog)
            self.check.assertEqual(first.version, again.version)
            for name, table in first.tables.items():
                self.check.assertEqual(table.name, name)
                names = [column.name.lower() for column in table.columns]
                self.check.assertEqual(len(names), len(set(names)), f"{name}: {names}")
                self.check.assertTrue(table.primary_key, f"{name} has no primary key")
                self.check.assertLessEqual({*table.primary_key}, {*table.positions})
                self.check.assertEqual(Table.from_json(table.to_json()), table)

    def test_rows(self) -> None:
        """A row is a tuple of its columns' types, and has a primary key of its own."""
        with self.reading() as session:
            for table, rows in self.tables(session):
                for row in rows:
                    what = f"{table.name}: {row!r:.200}"
                    self.check.assertIs(type(row), tuple, what)
                    self.check.assertEqual(len(row), len(table.columns), what)
                    for column, value in zip(table.columns, row, strict=True):
                        self._check_value(table, column, value)
                keys = [table.key_of(row) for row in rows]
                what = f"{table.name}: two rows have the same primary key"
                self.check.assertEqual(len({*keys}), len(keys), what)

    def _check_value(self, table: Table, column: Column, value: Any) -> None:
        what = f"{table.name}.{column.name}: {value!r:.100} isn't of type {column.type}"
        if value is None:
            self.check.assertTrue(column.nullable, what)
            self.check.assertNotIn(column.name, table.primary_key, what)
        else:
            self.check.assertIs(type(value), PYTHON_TYPES[column.type], what)
        if isinstance(value, float):
            self.check.assertEqual(value, value, what)

    def test_columns(self) -> None:
        """Those that are asked for come, in the order of the question."""
        with self.reading() as session:
            for table, rows in self.tables(session):
                names = [*table.positions]
                some: list[list[str]] = [[], names[:1], names[::-1], names[1:]]
                for wanted in some:
                    query = session.query(table, wanted, Access())
                    at = [table.positions[name] for name in wanted]
                    self.check.assertCountEqual(
                        [tuple(row) for row in query.fetch()],
                        [tuple(row[place] for place in at) for row in rows],
                        f"{table.name}: {wanted}",
                    )

    def test_get(self) -> None:
        """A row is found by its primary key, and nothing is by another."""
        with self.reading() as session:
            for table, rows in self.tables(session):
                keys = {table.key_of(row) for row in rows}
                for row in rows[:_SOME]:
                    key = table.key_of(row)
                    self.check.assertEqual(session.get(table, key), row)
                parts = [[key[at] for key in keys] for at in range(len(key))]
                for other in itertools.islice(itertools.product(*parts), _SOME):
                    if other not in keys:
                        self.check.assertIsNone(session.get(table, other))
                number = session.estimated_rows(table)
                self.check.assertIs(type(number), int)
                self.check.assertGreaterEqual(number, 0)

    def test_filters(self) -> None:
        """Each filter that the capabilities name finds what SQL would."""
        with self.reading() as session:
            for table, rows in self.tables(session):
                for column in table.columns:
                    at = table.positions[column.name]
                    values = list(dict.fromkeys(row[at] for row in rows))
                    known = [one for one in values if one is not None][:_SOME]
                    lookups = sorted(COMPARISONS | PATTERNS)
                    for lookup, negated in itertools.product(lookups, (False, True)):
                        for value in _asked(lookup, known):
                            self.check_filters(
                                session,
                                table,
                                rows,
                                (column.name, lookup, negated, value),
                            )

    def test_order(self) -> None:
        """Each order that the capabilities name is SQL's, a page of it too."""
        with self.reading() as session:
            for table, rows in self.tables(session):
                for name in table.positions:
                    for descending in (False, True):
                        self.check_order(session, table, rows, [(name, descending)])
                key = [(name, False) for name in table.primary_key]
                self.check_order(session, table, rows, key)

    def test_writes_are_refused(self) -> None:
        """By NotSupportedError, and nothing has changed."""
        with self.reading() as session:
            before = self.tables(session)
        table, rows = next(pair for pair in before if pair[1])
        key, row = table.key_of(rows[0]), rows[0]
        new = Table("new_table", table.columns, table.primary_key)
        writes: Mapping[str, Callable[[Session], Any]] = {
            "insert": lambda session: session.insert(table, [row]),
            "update": lambda session: session.update(table, key, row),
            "delete": lambda session: session.delete(table, [key]),
            "create_table": lambda session: session.create_table(new),
            "drop_table": lambda session: session.drop_table(table.name),
            "alter_table": lambda session: session.alter_table(table.name, table),
            "reset_sequence": lambda session: session.reset_sequence(table, 1),
        }
        for name, write in writes.items():
            session = self.session()
            with self.check.assertRaises(NotSupportedError, msg=name):
                session.begin(write=False)
                session.upgrade()
                write(session)
                session.commit()
            session.close()
            session = self.session()
            with self.check.assertRaises(NotSupportedError, msg=name):
                session.begin(write=True)
                write(session)
                session.commit()
            session.close()
        with self.reading() as session:
            self.check.assertEqual(self.tables(session), before)

    def test_wrong_state(self) -> None:
        """Outside of a transaction nothing is read, and there is one at a time."""
        session = self.session()
        wrong = InterfaceError
        self.check.assertRaises(wrong, session.catalog)
        self.check.assertRaises(wrong, session.commit)
        session.rollback()
        session.begin(write=False)
        self.check.assertRaises(wrong, session.begin, write=False)
        mark = session.savepoint()
        session.rollback_to(mark)
        session.release(mark)
        session.catalog()
        session.commit()
        self.check.assertRaises(wrong, session.catalog)
        session.close()
        self.check.assertRaises(wrong, session.begin, write=False)

    def test_snapshots(self) -> None:
        """Two transactions read side by side."""
        one, two = self.session(), self.session()
        one.begin(write=False)
        two.begin(write=False)
        try:
            self.check.assertEqual(self.tables(one), self.tables(two))
        except ConflictError as error:  # pragma: no cover  # a store that is wrong
            self.check.fail(f"reading caused a conflict: {error}")
        one.commit()
        self.tables(two)
        two.rollback()


def _asked(lookup: str, known: list[Any]) -> list[Any]:
    """Return values to ask for: those that are there, and NULL."""
    if lookup == "isnull":
        return [True]
    if lookup == "in":
        return [known[:1], known[::2], [*known[:3], None]] if known else []
    if lookup in PATTERNS:
        texts = [one for one in known if isinstance(one, str)]
        if "regex" in lookup:
            return ["", "a", "^.$"]
        return ["", "%", *texts, *(text[1:3] for text in texts)]
    return [*known, None]
