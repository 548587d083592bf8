"""The reference store keeps the contract, and equals a list of rows."""

import copy

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from backendkit.backends.memory.store import MemoryStore
from backendkit.stores import (
    Column,
    ConflictError,
    FilterShape,
    Index,
    Table,
    UniqueViolation,
    ValueType,
    matcher,
)
from backendkit.stores.testing import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self):
        return MemoryStore(timeout=0.05)


class TestNamedStores:
    @pytest.fixture(autouse=True)
    def forget(self):
        yield
        for name in ("one", "two"):
            MemoryStore.drop(name)

    def test_a_name_is_a_store(self):
        """All callers that open a name get the same store, until it is dropped."""
        store = MemoryStore.open("one")
        assert MemoryStore.open("one") is store
        assert MemoryStore.open("two") is not store
        MemoryStore.drop("one")
        assert MemoryStore.open("one") is not store

    def test_a_clone_goes_its_own_way(self):
        """A clone has what was committed, and neither sees the other's writes."""
        session = MemoryStore.open("one").session()
        session.begin(write=True)
        session.create_table(TABLE)
        session.insert(TABLE, [(1, 1, 1)])
        session.commit()
        MemoryStore.clone("one", "two")
        for name, number in (("one", 2), ("two", 3)):
            session = MemoryStore.open(name).session()
            session.begin(write=True)
            session.insert(TABLE, [(number, number, number)])
            session.commit()
        for name, other in (("one", 3), ("two", 2)):
            session = MemoryStore.open(name).session()
            session.begin(write=False)
            assert session.get(TABLE, (1,)) is not None
            assert session.get(TABLE, (other,)) is None


TABLE = Table(
    "t",
    (
        Column("id", ValueType.INTEGER, nullable=False, auto_increment=True),
        Column("a", ValueType.INTEGER),
        Column("b", ValueType.INTEGER),
    ),
    ("id",),
    (Index("t_a_b", ("a", "b"), unique=True), Index("t_b", ("b",))),
)

SMALL = st.none() | st.integers(0, 3)
KEYS = st.integers(-1, 5)
ROWS = st.tuples(KEYS, SMALL, SMALL)


class ListOfRows(RuleBasedStateMachine):
    """
    Two sessions, and what each should see: a list of rows.

    ``seen`` is a session's list, None outside of a transaction. ``marks`` are the
    session's savepoints, each with the list at that moment.
    """

    @initialize()
    def create(self):
        store = MemoryStore(timeout=0)
        self.sessions = [store.session(), store.session()]
        self.sessions[0].begin(write=True)
        self.sessions[0].create_table(TABLE)
        self.committed = [(-1, None, 1), (0, 1, None), (1, 1, 2)]
        self.sessions[0].insert(TABLE, self.committed)
        self.sessions[0].commit()
        self.version = 0
        self.seen = [None, None]
        self.began = [0, 0]
        self.marks = [[], []]
        self.writer = None

    def end(self, n):
        self.seen[n], self.marks[n] = None, []
        if self.writer == n:
            self.writer = None

    @rule(n=st.integers(0, 1), write=st.booleans())
    def begin(self, n, write):
        if self.seen[n] is None and not (write and self.writer is not None):
            self.sessions[n].begin(write=write)
            self.seen[n], self.began[n] = copy.copy(self.committed), self.version
            if write:
                self.writer = n

    @rule(n=st.integers(0, 1))
    def upgrade(self, n):
        if self.seen[n] is None or self.writer == 1 - n:
            return
        if self.writer != n and self.began[n] != self.version:
            with pytest.raises(ConflictError):
                self.sessions[n].upgrade()
            self.end(n)
        else:
            self.sessions[n].upgrade()
            self.writer = n

    @rule(n=st.integers(0, 1), keep=st.booleans())
    def finish(self, n, keep):
        if self.seen[n] is None:
            return
        if keep:
            self.sessions[n].commit()
            if self.writer == n and self.seen[n] != self.committed:
                self.committed = self.seen[n]
                self.version += 1
            elif self.writer == n:
                # Whether equal contents count as a change is the store's affair.
                other = 1 - n
                if self.seen[other] is not None:
                    self.sessions[other].rollback()
                    self.end(other)
        else:
            self.sessions[n].rollback()
        self.end(n)

    @precondition(lambda self: self.writer is not None)
    @rule()
    def savepoint(self):
        n = self.writer
        self.marks[n].append((self.sessions[n].savepoint(), copy.copy(self.seen[n])))

    @precondition(lambda self: self.writer is not None and self.marks[self.writer])
    @rule(data=st.data(), forget=st.booleans())
    def end_savepoint(self, data, forget):
        n = self.writer
        at = data.draw(st.integers(0, len(self.marks[n]) - 1))
        mark, rows = self.marks[n][at]
        if forget:
            self.sessions[n].release(mark)
            del self.marks[n][at:]
        else:
            self.sessions[n].rollback_to(mark)
            self.seen[n] = copy.copy(rows)
            del self.marks[n][at + 1 :]

    def clashes(self, row, rows):
        return any(
            row[0] == other[0] or (None not in row[1:] and row[1:] == other[1:])
            for other in rows
        )

    def write(self, call, rows):
        """Call, or if the rows are None check that it fails; as the engine does."""
        n = self.writer
        mark = self.sessions[n].savepoint()
        if rows is None:
            with pytest.raises(UniqueViolation):
                call()
            self.sessions[n].rollback_to(mark)
        else:
            call()
            self.seen[n] = rows
        self.sessions[n].release(mark)

    @precondition(lambda self: self.writer is not None)
    @rule(new=st.lists(ROWS, max_size=3))
    def insert(self, new):
        session, rows = self.sessions[self.writer], copy.copy(self.seen[self.writer])
        for row in new:
            if self.clashes(row, rows):
                rows = None
                break
            rows.append(row)
        self.write(lambda: session.insert(TABLE, new), rows)

    @precondition(lambda self: self.writer is not None)
    @rule(a=SMALL, b=SMALL)
    def insert_numbered(self, a, b):
        session, rows = self.sessions[self.writer], self.seen[self.writer]
        if not self.clashes((None, a, b), rows):
            [(number,)] = session.insert(TABLE, [(None, a, b)])
            assert number not in [row[0] for row in rows]
            self.seen[self.writer] = [*rows, (number, a, b)]

    @precondition(lambda self: self.writer is not None)
    @rule(key=KEYS, row=ROWS)
    def update(self, key, row):
        session, before = self.sessions[self.writer], self.seen[self.writer]
        rows = [other for other in before if other[0] != key]
        if len(rows) == len(before):
            rows = before
        elif self.clashes(row, rows):
            rows = None
        else:
            rows = [*rows, row]
        self.write(lambda: session.update(TABLE, (key,), row), rows)

    @precondition(lambda self: self.writer is not None)
    @rule(keys=st.lists(KEYS, max_size=3))
    def delete(self, keys):
        session, before = self.sessions[self.writer], self.seen[self.writer]
        rows = [row for row in before if row[0] not in keys]
        assert session.delete(TABLE, [(k,) for k in keys]) == len(before) - len(rows)
        self.seen[self.writer] = rows

    @rule(
        n=st.integers(0, 1),
        filters=st.lists(
            st.tuples(
                st.sampled_from(["id", "a", "b"]),
                st.sampled_from(["exact", "gt", "lte", "in", "isnull"]),
                st.booleans(),
                SMALL,
                SMALL,
            ),
            max_size=3,
        ),
    )
    def query(self, n, filters):
        if self.seen[n] is None:
            return
        session, wanted = self.sessions[n], self.seen[n]
        filters = [
            (c, lookup, no, {"in": [x, y], "isnull": True}.get(lookup, x))
            for c, lookup, no, x, y in filters
        ]
        shapes = [FilterShape(c, lookup, no) for c, lookup, no, _ in filters]
        query = session.query(TABLE, ["id", "a", "b"], session.access(TABLE, shapes))
        for column, lookup, negated, value in filters:
            query.add_filter(column, lookup, negated, ValueType.INTEGER, value)
            test, at = matcher(lookup, value, negated), TABLE.positions[column]
            wanted = [row for row in wanted if test(row[at])]
        query.order_by([("id", False)])
        assert list(query.fetch()) == sorted(wanted, key=lambda row: row[0])
        assert list(query.fetch(1, 3)) == sorted(wanted, key=lambda row: row[0])[1:3]
        assert query.count() == len(wanted)

    @invariant()
    def each_sees_its_rows(self):
        for n, session in enumerate(getattr(self, "sessions", ())):
            rows = self.seen[n]
            if rows is not None:
                query = session.query(
                    TABLE, ["id", "a", "b"], session.access(TABLE, [])
                )
                assert sorted(query.fetch(), key=lambda row: row[0]) == sorted(
                    rows, key=lambda row: row[0]
                )
                assert session.estimated_rows(TABLE) == len(rows)


TestListOfRows = ListOfRows.TestCase
