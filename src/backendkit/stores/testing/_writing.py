# ruff: noqa: PT009  # pytest is no dependency, and -O takes asserts away
"""Tests of what a store writes: constraints, numbers, updates."""

from __future__ import annotations

from dataclasses import replace

from backendkit.stores import (
    Error,
    OperationalError,
    Precision,
    Session,
    UniqueViolation,
    matcher,
)

from ._base import ContractBase
from ._data import PAIRS, THINGS


class WritingContract(ContractBase):
    """Constraints, numbers, updates."""

    def testunique(self) -> None:
        """Values of a unique index are unique together, but for NULL."""
        with self.writing(PAIRS, THINGS) as session:
            fails, insert = self.fails, session.insert
            insert(PAIRS, [(None, 1, "x", 1, 1), (None, 2, "x", 1, 2)])
            insert(PAIRS, [(None, n, "y", None, 1) for n in (3, 4)])
            insert(PAIRS, [(None, n, "y", 1, None) for n in (5, 6)])
            error = fails(
                session, UniqueViolation, insert, PAIRS, [(None, 9, "x", 1, 2)]
            )
            self._check_violation(error, "pairs", ("a", "b"))
            error = fails(
                session, UniqueViolation, insert, PAIRS, [(None, 1, "x", None, None)]
            )
            self._check_violation(error, "pairs", ("right", "left"))
            # Of one batch, too.
            batch = [(None, n, "z", 7, 7) for n in (1, 2)]
            fails(session, UniqueViolation, insert, PAIRS, batch)
            update = session.update
            moved = (None, 1, "x", 1, 2)
            fails(session, UniqueViolation, update, PAIRS, ("x", 1), moved)
            moved = (None, 2, "x", 1, 1)
            fails(session, UniqueViolation, update, PAIRS, ("x", 1), moved)
            # A row doesn't violate its own values, and leaves the former ones.
            update(PAIRS, ("x", 1), ("note", 1, "x", 1, 1))
            update(PAIRS, ("x", 1), ("note", 8, "x", 1, 1))
            update(PAIRS, ("x", 8), ("note", 8, "x", 1, 9))
            insert(PAIRS, [(None, 1, "x", 1, 1)])
            session.delete(PAIRS, [("x", 8)])
            insert(PAIRS, [(None, 8, "x", 1, 9)])
            error = fails(
                session, UniqueViolation, insert, PAIRS, [(None, 9, "x", 1, 9)]
            )

    def _check_violation(
        self, error: Error, table: str, columns: tuple[str, ...]
    ) -> None:
        if isinstance(error, UniqueViolation):
            self.check.assertEqual((error.table, error.columns), (table, columns))

    def test_unique_among_sessions(self) -> None:
        """A value that another session committed is taken."""
        with self.writing(THINGS) as session:
            session.insert(THINGS, [(None, "taken", None, None)])
        with self.writing() as session:
            row = (None, "taken", None, None)
            self.fails(session, UniqueViolation, session.insert, THINGS, [row])

    def test_numbers(self) -> None:
        """Rows are numbered, and no number is given twice."""
        rest = (None, None, None)
        seen: set[int] = set()

        def add(session: Session, *numbers: int | None) -> list[int]:
            keys = session.insert(THINGS, [(number, *rest) for number in numbers])
            for (number,), asked in zip(keys, numbers, strict=True):
                self.check.assertIs(type(number), int)
                self.check.assertNotIn(number, seen)
                self.check.assertGreater(number, 0 if asked is None else number - 1)
                self.check.assertIn(asked, (None, number))
                self.check.assertIsNotNone(session.get(THINGS, (number,)))
                seen.add(number)
            return [number for (number,) in keys]

        with self.writing(THINGS) as session:
            add(session, None, None)
            add(session, None, 50, None, -5, None)
            self.check.assertGreater(add(session, None)[0], 50)
        with self.writing() as session:
            last = add(session, None)
            session.delete(THINGS, [(number,) for number in seen])
            self.check.assertGreater(add(session, None)[0], last[0])
        with self.writing() as session:
            top = add(session, None)[0]
            session.update(THINGS, (top,), (top + 1, "c", None, None))
            self.check.assertGreater(add(session, None)[0], top + 1)
            session.alter_table("things", replace(THINGS, name="other"))
            other = session.catalog().tables["other"]
            row = session.insert(other, [(None, *rest)])
            self.check.assertGreater(row[0][0], top)

    def test_reset_sequence(self) -> None:
        """The numbering can be set, and starts anew with a new table."""
        row = (None, None, None, None)
        with self.writing(THINGS) as session:
            for value in (0, 41, 2**62):
                session.delete(THINGS, [r[:1] for r in self.rows(session, THINGS)])
                session.reset_sequence(THINGS, value)
                keys = session.insert(THINGS, [row])
                self.check.assertEqual(keys, [(value + 1,)])
        with self.writing() as session:
            session.drop_table("things")
            session.create_table(THINGS)
            self.check.assertEqual(session.insert(THINGS, [row]), [(1,)])

    def test_numbers_end(self) -> None:
        """After the largest integer there are no numbers."""
        with self.writing(THINGS) as session:
            session.insert(THINGS, [(2**63 - 1, None, None, None)])
            row = (None, None, None, None)
            self.fails(session, OperationalError, session.insert, THINGS, [row])

    # Writing

    def test_update_and_delete(self) -> None:
        """Rows are replaced, moved to another key, and deleted, with their entries."""
        with self.writing(THINGS) as session:
            session.insert(THINGS, [(n, f"c{n}", "k", n) for n in range(1, 6)])
            session.update(THINGS, (1,), (1, "new", "other", 7))
            session.update(THINGS, (2,), (20, "c2", None, 2))
            session.update(THINGS, (99,), (99, "none", None, None))
            session.update(THINGS, (99,), (3, "none", None, None))
            taken = (3, "c4", "k", 4)
            self.fails(session, UniqueViolation, session.update, THINGS, (4,), taken)
            deleted = session.delete(THINGS, [(5,), (5,), (99,), (2,)])
            self.check.assertEqual(deleted, 1)
            self.check.assertEqual(session.delete(THINGS, []), 0)
            self.check.assertEqual(session.insert(THINGS, []), [])
            rows = [(1, "new", "other", 7), (3, "c3", "k", 3), (4, "c4", "k", 4)]
            rows.append((20, "c2", None, 2))  # type: ignore[arg-type]  # NULL
            self.check_all(session, rows)
        with self.reading() as session:
            self.check_all(session, rows)

    def test_update_by_filter(self) -> None:
        """Rows that match are changed where they are, with their entries."""
        self.need(self.store.capabilities.update, "updates")
        size = min(self.many, 300)
        with self.writing(THINGS) as session:
            rows = [(n, f"c{n}", "kbd"[n % 3], n) for n in range(1, size + 1)]
            session.insert(THINGS, rows)
            for filters, changes in (
                ([("kind", "exact", False, "k")], {"kind": "l", "size": None}),
                ([("size", "gt", False, 2)], {"size": size + 1}),
                ([("id", "exact", False, 2)], {"code": None}),
                ([("code", "isnull", False, True)], {"code": "c2"}),
                ([("kind", "exact", False, "none")], {"code": "none"}),
                ([], {"size": 0}),
                ([], {"size": 0}),
            ):
                if self.precision(THINGS, filters) is not Precision.EXACT:
                    continue
                tests = [
                    (THINGS.positions[c], matcher(lu, v, n)) for c, lu, n, v in filters
                ]
                found = 0
                for place, row in enumerate(rows):
                    if all(test(row[at]) for at, test in tests):
                        found += 1
                        values = dict(zip(THINGS.positions, row, strict=True)) | changes
                        rows[place] = tuple(values.values())  # type: ignore[assignment]  # as wide as before
                query = self.select(session, THINGS, filters, columns=["id"])
                self.check.assertEqual(query.update(changes), found, filters)
                self.check_all(session, rows)
            update = self.select(session, THINGS, columns=["id"]).update
            self.fails(session, UniqueViolation, update, {"code": "c1"})
            self.check_all(session, rows)
        with self.reading() as session:
            self.check_all(session, rows)

    def test_set_columns(self) -> None:
        """Columns of many rows are changed, with their entries."""
        with self.writing(THINGS) as session:
            rows = [(n, f"c{n}", "k", n) for n in range(1, 6)]
            session.insert(THINGS, rows)
            session.set_columns(THINGS, ["size"], {})
            session.set_columns(THINGS, ["size"], {(2,): [20], (99,): [1]})
            session.set_columns(
                THINGS,
                ["kind", "code"],
                {(5,): ("l", None), (1,): (None, "c5"), (3,): ("k", "c3")},
            )
            rows = [(1, "c5", None, 1), (2, "c2", "k", 20), *rows[2:4]]  # type: ignore[list-item]  # NULL
            rows.append((5, None, "l", 5))  # type: ignore[arg-type]  # NULL
            self.check_all(session, rows)
            # One after another: c4 isn't free yet.
            taken = {(2,): ["c4"], (4,): ["c6"]}
            self.fails(
                session, UniqueViolation, session.set_columns, THINGS, ["code"], taken
            )
            session.set_columns(THINGS, ["code"], {(4,): ["c6"], (2,): ["c4"]})
            rows[1], rows[3] = (2, "c4", "k", 20), (4, "c6", "k", 4)
            self.check_all(session, rows)
            if self.store.capabilities.transactions:
                mark = session.savepoint()
                changes = {(n,): ["z", 0] for n in range(1, 6)}
                session.set_columns(THINGS, ["kind", "size"], changes)
                session.rollback_to(mark)
                self.check_all(session, rows)
        with self.reading() as session:
            self.check_all(session, rows)

    def test_writing_while_reading(self) -> None:
        """A table can be written while it is read; each row is seen once."""
        size = min(self.many, 300)
        with self.writing(THINGS) as session:
            numbers = list(range(1, size + 1))
            session.insert(THINGS, [(n, f"c{n}", "k", n) for n in numbers])
            seen = []
            for row in self.select(session, THINGS, scan=True).fetch():
                seen.append(row[0])
                session.update(THINGS, row[:1], (row[0], row[1], "k", 0))
            self.check.assertCountEqual(seen, numbers)
        with self.writing() as session:
            seen = []
            for row in self.select(session, THINGS, scan=True).fetch():
                seen.append(row[0])
                if len(seen) <= size:
                    session.insert(THINGS, [(None, f"new {row[0]}", None, None)])
            self.check.assertLessEqual(set(numbers), set(seen))
            self.check.assertEqual(len(set(seen)), len(seen))
            seen = []
            for row in self.select(session, THINGS, scan=True).fetch():
                seen.append(row[0])
                session.delete(THINGS, [row[:1]])
            self.check.assertEqual(len(seen), 2 * size)
            self.check.assertEqual(self.rows(session, THINGS), [])
