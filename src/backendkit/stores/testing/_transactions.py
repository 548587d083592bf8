# ruff: noqa: PT009, PT027  # pytest is no dependency, and -O takes asserts away
"""Tests of transactions, savepoints and locks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from backendkit import clock
from backendkit.stores import (
    Column,
    ConflictError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    Precision,
    Session,
    Table,
    UniqueViolation,
    ValueType,
)

from ._base import ContractBase
from ._data import ID, PAIRS, THINGS, equals, unique


class TransactionsContract(ContractBase):
    """Transactions, savepoints and locks."""

    def test_savepoints(self) -> None:
        """Rolling back to a mark undoes all writes since, and no others."""
        self.need_transactions()
        with self.writing(THINGS) as session:
            first = [(1, "c1", "k", 1), (2, "c2", "k", 2)]
            session.insert(THINGS, first)
            outer = session.savepoint()
            session.update(THINGS, (1,), (1, "new", "k", 5))
            second = [(1, "new", "k", 5), (2, "c2", "k", 2)]
            inner = session.savepoint()
            session.delete(THINGS, [(1,), (2,)])
            session.reset_sequence(THINGS)
            session.insert(THINGS, [(None, "c1", "k", 1), (-9, "c2", "k", 4)])
            session.release(session.savepoint())
            for _ in range(2):  # the mark stays usable
                session.rollback_to(inner)
                self.check_all(session, second)
                added = session.insert(THINGS, [(None, "c1", "k", 3)])
                self.check.assertNotIn(added[0], [(1,), (2,)])
            session.rollback_to(inner)
            row = (None, "new", None, None)
            self.fails(session, UniqueViolation, session.insert, THINGS, [row])
            self.check_all(session, second)
            session.rollback_to(outer)
            self.check_all(session, first)
            row = (None, "c1", None, None)
            self.fails(session, UniqueViolation, session.insert, THINGS, [row])
            kept = session.savepoint()
            session.insert(THINGS, [(3, "c3", "k", 3)])
            session.release(kept)
        with self.reading() as session:
            self.check_all(session, [*first, (3, "c3", "k", 3)])

    def test_savepoints_undo_schema(self) -> None:
        """Rolling back to a mark undoes changes of the schema."""
        self.need_transactions()
        other = Table("other", (ID,), ("id",))
        extra = Column("extra", ValueType.INTEGER)
        wider = replace(THINGS, columns=(*THINGS.columns, extra))
        row = (1, "c1", "k", 1)
        with self.writing(THINGS) as session:
            session.insert(THINGS, [row])
            before = session.catalog()
            changes: list[Callable[[], None]] = [
                lambda: session.create_table(other),
                lambda: session.drop_table("things"),
                lambda: session.create_index("things", unique("kinds", "kind")),
                lambda: session.drop_index("things", "things_code"),
                lambda: session.alter_table("things", replace(THINGS, name="moved")),
                lambda: session.alter_table("things", wider, None, {"extra": 5}),
            ]
            versions = [before.version]
            for change in changes:
                mark = session.savepoint()
                change()
                changed = session.catalog()
                self.check.assertNotEqual(changed.tables, before.tables)
                # A version that was rolled back isn't given to another catalog.
                self.check.assertNotIn(changed.version, versions)
                versions.append(changed.version)
                session.rollback_to(mark)
                after = session.catalog()
                self.check.assertEqual(after.tables, before.tables)
                self.check.assertNotEqual(after.version, changed.version)
                self.check_all(session, [row])
                again = (None, "c1", None, None)
                self.fails(session, UniqueViolation, session.insert, THINGS, [again])
                session.insert(THINGS, [(2, "c2", "k", 1)])
                session.delete(THINGS, [(2,)])
        with self.reading() as session:
            self.check.assertEqual(session.catalog().tables, before.tables)
            self.check_all(session, [row])

    def test_rollback(self) -> None:
        """A transaction that is rolled back changed nothing; it can end by close."""
        self.need_transactions()
        row = (1, "c1", "k", 1)
        with self.writing(THINGS) as session:
            session.insert(THINGS, [row])
        with self.reading() as session:
            version = session.catalog().version
        for end in ("rollback", "close"):
            session = self.session()
            session.begin(write=True)
            session.update(THINGS, (1,), (7, "new", "k", 1))
            session.insert(THINGS, [(1, "c1", "k", 1)])
            session.create_table(PAIRS)
            session.drop_table("things")
            getattr(session, end)()
            with self.reading() as reader:
                self.check_all(reader, [row])
                self.check.assertEqual(list(reader.catalog().tables), ["things"])
                self.check.assertEqual(reader.catalog().version, version)
        with self.writing(PAIRS) as session:
            session.insert(THINGS, [(None, "new", None, None)])
        with self.reading() as reader:
            self.check.assertNotEqual(reader.catalog().version, version)

    def test_isolation(self) -> None:
        """A transaction sees what was committed when it began, and its own writes."""
        self.need_transactions()
        self.need(self.store.capabilities.snapshots, "snapshots")
        first, second = (1, "c1", "k", 1), (2, "c2", "k", 2)
        with self.writing(THINGS) as session:
            session.insert(THINGS, [first])
        before, during, after = self.session(), self.session(), self.session()
        before.begin(write=False)
        self.check_all(before, [first])
        with self.writing(PAIRS) as writer:
            writer.insert(THINGS, [second])
            writer.delete(THINGS, [(1,)])
            self.check_all(writer, [second])
            during.begin(write=False)
            self.check_all(during, [first])
            self.check.assertNotIn("pairs", during.catalog().tables)
        for session in (before, during):
            self.check_all(session, [first])
            self.check.assertNotIn("pairs", session.catalog().tables)
            session.commit()
        after.begin(write=False)
        self.check_all(after, [second])
        self.check.assertIn("pairs", after.catalog().tables)

    def test_upgrade(self) -> None:
        """A reader may go on to write, unless another transaction committed."""
        self.need_transactions()
        with self.writing(THINGS):
            pass
        session = self.session()
        session.begin(write=False)
        session.upgrade()
        session.upgrade()
        session.insert(THINGS, [(1, "c1", "k", 1)])
        session.commit()
        session.begin(write=False)
        self.check.assertEqual(len(self.rows(session, THINGS)), 1)
        with self.writing() as writer:
            writer.insert(THINGS, [(2, "c2", "k", 2)])
            writer.update(THINGS, (1,), (1, "c1", "other", 1))
        with self.check.assertRaises(ConflictError):
            session.upgrade()
            # A store that keeps nobody waiting finds out when it commits.
            session.update(THINGS, (1,), (1, "c1", "k", 2))
            session.commit()
        session.rollback()  # no effect: the transaction is over
        session.begin(write=True)
        self.check_all(session, [(1, "c1", "other", 1), (2, "c2", "k", 2)])
        session.commit()

    def test_wrong_state(self) -> None:
        """What isn't possible in a session's state is an InterfaceError."""
        with self.writing(THINGS):
            pass
        session, row = self.session(), (1, None, None, None)
        raises = self.check.assertRaises
        session.rollback()
        for call in (session.commit, session.upgrade, session.catalog):
            with raises(InterfaceError):
                call()
        with raises(InterfaceError):
            session.get(THINGS, (1,))
        with raises(InterfaceError):
            session.insert(THINGS, [row])
        session.begin(write=False)
        with raises(InterfaceError):
            session.begin(write=False)
        with raises(InterfaceError):
            session.insert(THINGS, [row])
        self.check.assertEqual(self.rows(session, THINGS), [])
        session.close()
        session.close()
        with raises(InterfaceError):
            session.begin(write=False)

    def test_lock(self) -> None:
        """One session at a time has the right to write; others fail, none waits on."""
        session, other = self.session(), self.session()
        if not self.store.capabilities.locks:
            if self.store.capabilities.for_update:
                return  # see test_serializable and test_preconditions
            session.begin(write=True)
            with self.check.assertRaises(NotSupportedError):
                session.lock()
            return
        with self.writing(THINGS):
            pass
        session.begin(write=False)
        session.lock()
        with self.check.assertRaises(OperationalError):
            other.begin(write=True)
        other.begin(write=False)
        with self.check.assertRaises(OperationalError):
            other.lock()
        self.check.assertEqual(self.rows(other, THINGS), [])
        session.rollback()
        other.lock()
        other.insert(THINGS, [(1, None, None, None)])
        other.commit()
        session.begin(write=True)
        self.check.assertEqual(len(self.rows(session, THINGS)), 1)

    def test_serializable(self) -> None:
        """A transaction that writes by what it has read fails if that has changed."""
        self.need(self.store.capabilities.serializable, "serializable transactions")
        with self.writing(THINGS, PAIRS) as writer:
            writer.insert(THINGS, [(1, "c1", "k", 1), (2, "c2", "k", 2)])
        none = equals("code", "c3"), equals("id", 3), equals("kind", "other")
        reads: list[Callable[[Session], object]] = [
            lambda session: session.get(THINGS, (1,)),
            lambda session: self.rows(session, THINGS),
            lambda session: self.select(session, THINGS).count(),
            *(
                lambda session, one=one: list(
                    self.select(session, THINGS, [one]).fetch()
                )
                for one in none
                if self.precision(THINGS, [one]) is not Precision.NONE
            ),
        ]
        for number, read in enumerate(reads):
            session = self.session()
            session.begin(write=False)
            session.lock()
            read(session)
            with self.check.assertRaises(ConflictError, msg=f"read {number}"):
                with self.writing() as writer:
                    writer.update(THINGS, (1,), (1, "c1", "k", 100 + number))
                    writer.insert(THINGS, [(3, "c3", "other", None)])
                session.insert(PAIRS, [(None, number, "x", None, None)])
                session.commit()
            with self.writing() as writer:
                writer.delete(THINGS, [(3,)])
        with self.reading() as session:
            self.check.assertEqual(self.rows(session, PAIRS), [])

    def test_preconditions(self) -> None:
        """A row that was read for update and has changed is a conflict at commit."""
        capabilities = self.store.capabilities
        self.need(
            capabilities.preconditions
            and not (capabilities.locks or capabilities.serializable),
            "preconditions",
        )
        rows = [(1, "c1", "k", 1), (2, "c2", "k", 2)]
        with self.writing(THINGS, PAIRS) as writer:
            writer.insert(THINGS, rows)
        changes: list[Callable[[Session], object]] = [
            lambda writer: writer.update(THINGS, (1,), (1, "c1", "k", 100)),
            lambda writer: writer.delete(THINGS, [(1,)]),
            lambda writer: writer.insert(THINGS, [(3, "c3", "k", 3)]),
        ]
        for change in changes:
            session = self.session()
            session.begin(write=False)
            session.lock()
            access = session.access(THINGS, ())
            query = session.query_for_update(THINGS, ["size"], access)
            self.check.assertEqual(len([*query.fetch()]), 2)
            session.insert(PAIRS, [(None, 1, "x", None, None)])
            with self.writing() as writer:
                change(writer)
            if change is changes[-1]:  # a row that wasn't there
                session.commit()
                continue
            with self.check.assertRaises(ConflictError):
                session.commit()
            with self.writing() as writer:
                writer.delete(THINGS, [(1,)])
                writer.insert(THINGS, rows[:1])
        with self.reading() as session:
            self.check.assertEqual(len(self.rows(session, PAIRS)), 1)
            self.check.assertEqual(
                sorted(self.rows(session, THINGS)), [*rows, (3, "c3", "k", 3)]
            )

    def test_no_lost_updates(self) -> None:
        """Threads that add up, each in its own session, lose no addition."""
        self.need_transactions()
        threads, times = 4, 10
        with self.writing(THINGS) as session:
            session.insert(THINGS, [(1, "total", None, 0)])
        sessions = [self.session() for _ in range(threads)]

        def add(session: Session) -> None:
            done, deadline = 0, clock.monotonic() + self.patience
            while done < times and clock.monotonic() < deadline:
                try:
                    session.begin(write=done % 2 == 0)
                    row = session.get(THINGS, (1,)) or ()
                    session.upgrade()
                    session.update(THINGS, (1,), (*row[:3], row[3] + 1))
                    session.insert(THINGS, [(None, None, None, None)])
                    session.commit()
                    done += 1
                except OperationalError:  # locked, or a conflict
                    session.rollback()

        running = [
            threading.Thread(target=add, args=(one,), daemon=True) for one in sessions
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        with self.reading() as session:
            total = session.get(THINGS, (1,))
            self.check.assertEqual(total, (1, "total", None, threads * times))
            self.check.assertEqual(len(self.rows(session, THINGS)), 1 + threads * times)
