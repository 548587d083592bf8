# ruff: noqa: PT009  # pytest is no dependency, and -O takes asserts away
"""Tests of the schema: tables, columns, indexes and their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backendkit.stores import (
    Column,
    ForeignKey,
    Index,
    InterfaceError,
    Row,
    Session,
    Table,
    UniqueViolation,
    ValueType,
)

from ._base import ContractBase
from ._data import ID, NAMES, PAIRS, THINGS, equals, unique


class SchemaContract(ContractBase):
    """Tables, columns, indexes and their names."""

    def test_catalog(self) -> None:
        """The catalog has tables as they were given, and a version for each state."""
        columns = tuple(
            Column(
                f"Column {value_type}",
                value_type,
                nullable=number % 2 == 0,
                declared=f"some {value_type}(9)",
                max_length=number or None,
                max_digits=38,
                decimal_places=number,
                hidden=number % 3 == 0,
            )
            for number, value_type in enumerate(ValueType)
        )
        name, sql = columns[1].name, 'CREATE TABLE "é" -- 😀\n'
        table = Table(
            "Full",
            columns,
            (name, columns[4].name),
            (Index("Index", (name,), unique=True, sql="CREATE …"), Index("i", (name,))),
            (ForeignKey((name,), "things", ("id",), "SET NULL"),),
            sql,
        )
        with self.writing() as session:
            versions = [session.catalog().version]
            for one in (table, THINGS, PAIRS):
                session.create_table(one)
                self.check.assertNotIn(session.catalog().version, versions)
                versions.append(session.catalog().version)
        for _ in range(2):
            with self.reading() as session:
                catalog = session.catalog()
                wanted = {"Full": table, "things": THINGS, "pairs": PAIRS}
                self.check.assertEqual(dict(catalog.tables), wanted)
                self.check.assertEqual(session.catalog().version, catalog.version)
                with self.reading() as other:
                    self.check.assertEqual(other.catalog().version, catalog.version)

    def test_drop_table(self) -> None:
        """A dropped table takes rows and entries with it; its names are free."""
        with self.writing(THINGS, PAIRS) as session:
            session.insert(THINGS, [(1, "c1", "k", 1)])
            session.insert(PAIRS, [(None, 1, "x", 1, 1)])
            session.drop_table("things")
            self.check.assertEqual(list(session.catalog().tables), ["pairs"])
            session.create_table(THINGS)
            self.check_all(session, [])
            session.insert(THINGS, [(1, "c1", "k", 1)])
            session.drop_table("pairs")
        with self.reading() as session:
            self.check.assertEqual(list(session.catalog().tables), ["things"])
            self.check_all(session, [(1, "c1", "k", 1)])

    def test_alter_columns(self) -> None:
        """Columns are added, filled, dropped, renamed, swapped; rows are kept."""
        with self.writing(THINGS) as session:
            session.insert(THINGS, [(n, f"c{n}", f"k{n}", n) for n in (1, 2)])
            number, code, kind, size = THINGS.columns
            swapped = Table(
                "things",
                (
                    Column("added", ValueType.STRING),
                    number,
                    replace(code, name="kind"),
                    replace(kind, name="code"),
                    replace(size, nullable=False),
                    Column("empty", ValueType.DATE),
                ),
                ("id",),
                (unique("things_code", "kind"), Index("things_kind", ("code", "size"))),
            )
            renames = {"code": "kind", "kind": "code"}
            session.alter_table("things", swapped, renames, {"added": "new"})
            self.check.assertEqual(session.catalog().tables["things"], swapped)
            rows = [("new", n, f"c{n}", f"k{n}", n, None) for n in (1, 2)]
            self._check_altered(session, swapped, rows)
        with self.writing() as session:
            self._check_altered(session, swapped, rows)
            # The name of a renamed column is given to a new one, others go.
            fewer = Table(
                "moved",
                (
                    replace(number, name="key"),
                    replace(kind, name="code"),
                    Column("size", ValueType.INTEGER),
                    replace(size, name="old"),
                    replace(code, name="kind"),
                ),
                ("key",),
                (unique("things_code", "kind"), Index("things_kind", ("code", "old"))),
            )
            renames = {"size": "old", "id": "key"}
            session.alter_table("things", fewer, renames, {"size": 0})
            altered = [(n, f"k{n}", 0, n, f"c{n}") for n in (1, 2)]
            self._check_altered(session, fewer, altered)
            key = session.insert(fewer, [(None, None, None, None, None)])[0]
            self.check.assertNotIn(key, [(1,), (2,)])
            session.delete(fewer, [key])
        with self.reading() as session:
            self.check.assertEqual(dict(session.catalog().tables), {"moved": fewer})
            self._check_altered(session, fewer, altered)

    def _check_altered(
        self, session: Session, table: Table, rows: Sequence[Row]
    ) -> None:
        self.check.assertEqual(self.rows(session, table), list(rows))
        for column in table.positions:
            for value in {*(row[table.positions[column]] for row in rows), None}:
                self.check_filters(session, table, rows, equals(column, value))
                null = (column, "isnull", False, True)
                self.check_filters(session, table, rows, null)
        at = table.key_positions[0]
        try:
            again = (*rows[0][:at], 99, *rows[0][at + 1 :])
            self.fails(session, UniqueViolation, session.insert, table, [again])
        except InterfaceError:
            pass  # reading only

    def test_create_index(self) -> None:
        """An index is built over the rows that exist, and then kept."""
        plain = replace(THINGS, indexes=())
        with self.writing(plain) as session:
            rows = [(n, f"c{n}", "k" if n < 9 else None, n % 4) for n in range(12)]
            session.insert(plain, rows)
            broken = unique("kinds", "kind")
            self.fails(session, UniqueViolation, session.create_index, "things", broken)
            if self.store.capabilities.transactions:
                self.check.assertEqual(session.catalog().tables["things"], plain)
            for index in THINGS.indexes:
                session.create_index("things", index)
            self.check.assertEqual(session.catalog().tables["things"], THINGS)
            self.check_all(session, rows)
        with self.writing() as session:
            row = (50, "c1", None, None)
            self.fails(session, UniqueViolation, session.insert, THINGS, [row])
            self.check_all(session, rows)
            session.drop_index("things", "things_code")
            left = replace(THINGS, indexes=THINGS.indexes[1:])
            self.check.assertEqual(session.catalog().tables["things"], left)
            self.check.assertEqual(session.insert(left, [row]), [(50,)])
            self.check_all(session, [*rows, row], left)
            same = THINGS.indexes[0]
            self.fails(session, UniqueViolation, session.create_index, "things", same)
            session.delete(left, [(50,)])
            # Unique together with NULL, on a column that has it twice.
            nulls = unique("things_code", "kind", "id")
            session.create_index("things", nulls)
            wanted = replace(left, indexes=(*left.indexes, nulls))
            self.check.assertEqual(session.catalog().tables["things"], wanted)
            self.check_filters(session, wanted, rows, equals("kind", None))

    def test_names(self) -> None:
        """Any text is a name of a table, a column or an index, and nothing else."""
        columns = tuple(Column(name, ValueType.INTEGER) for name in NAMES)
        tables = [
            Table(name, (ID, *columns), ("id",), (unique(f"{name}_", name, NAMES[0]),))
            for name in NAMES
        ]
        rows = {
            table.name: (number, *range(number, number + len(NAMES)))
            for number, table in enumerate(tables)
        }
        with self.writing(*tables) as session:
            for table in tables:
                session.insert(table, [rows[table.name]])
        with self.writing() as session:
            self.check.assertEqual(
                dict(session.catalog().tables), {table.name: table for table in tables}
            )
            for table in tables:
                wanted = [rows[table.name]]
                self.check.assertEqual(self.rows(session, table), wanted, table.name)
                for name in NAMES:
                    value = wanted[0][table.positions[name]]
                    tests = equals(name, value), equals(NAMES[0], wanted[0][1])
                    self.check_filters(session, table, wanted, *tests)
                again = (None, *wanted[0][1:])
                self.fails(session, UniqueViolation, session.insert, table, [again])
            for table in tables[::2]:
                session.drop_table(table.name)
        with self.reading() as session:
            for table in tables[1::2]:
                wanted = [rows[table.name]]
                self.check.assertEqual(self.rows(session, table), wanted, table.name)
