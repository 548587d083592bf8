"""A store of :class:`BufferedSession` over the committed data of another store."""

import threading
from collections import Counter
from dataclasses import replace

from backendkit.backends.memory.store import MemoryStore
from backendkit.stores import (
    BufferedSession,
    ConflictError,
    InterfaceError,
    OperationalError,
    Store,
    guarded,
    matcher,
)


class BufferedStore(Store):
    """
    Does nothing but read what is committed, and apply changes at once.

    Its sessions have the defaults of all but the abstract methods, and check what they
    are asked for.

    :param inner: the store that has the data.
    :param snapshots: whether a transaction reads what was committed when it began.
    :param serializable: whether a change of a table that was read is a conflict.
    :param max_changes: of one transaction.
    :param gives_back: whether numbers of a transaction that was rolled back are given
        again, unless others were given since: to be compared with SQLite.
    :param capabilities: of the inner store that differ.
    """

    capabilities = replace(MemoryStore.capabilities, locks=False, serializable=True)

    def __init__(
        self,
        inner=None,
        *,
        snapshots=True,
        serializable=True,
        max_changes=None,
        gives_back=False,
        **capabilities,
    ):
        self.inner = MemoryStore() if inner is None else inner
        self.capabilities = replace(
            self.inner.capabilities,
            snapshots=snapshots,
            serializable=serializable,
            locks=False,
            **capabilities,
        )
        self.max_changes = max_changes
        self.gives_back = gives_back
        self.applying = threading.Lock()
        #: The largest number given, by table.
        self.numbers = Counter()
        #: What was committed, for finding conflicts: table, row before and after; for
        #: a changed definition, None for both.
        self.committed = []
        #: Calls by name, to count them.
        self.calls = Counter()
        #: Called before changes are applied, with them.
        self.on_apply = None

    def session(self):
        return BufferedStoreSession(self)

    def close(self):
        self.inner.close()


class BufferedStoreSession(BufferedSession):
    reader = None

    def __init__(self, store):
        super().__init__(store)
        self.max_changes = store.max_changes
        #: For each query, its table and what rows have to be to be found.
        self.reads = []
        #: By table, the largest number before this transaction took some, and after.
        self.taken = {}

    def _begin(self, *, write):
        assert self.reader is None
        began = len(self.store.committed)  # first: no change may be missed
        self.reader = self.store.inner.session()
        self.reader.begin(write=False)
        self.began = began

    def _end(self):
        self.reader.close()
        self.reader = None
        self.reads.clear()
        with self.store.applying:
            for name, (before, after) in self.taken.items():
                if self.store.gives_back and self.store.numbers[name] == after:
                    self.store.numbers[name] = before
        self.taken.clear()

    def _now(self):
        """Return the session that reads."""
        if self.reader is None:
            raise InterfaceError("there is no transaction")
        if not self.store.capabilities.snapshots:
            self.reader.rollback()
            self.reader.begin(write=False)
        return self.reader

    def _catalog(self):
        return self._now().catalog()

    def _query(self, table, columns, access):
        self._check_committed(table)
        self.store.calls["query"] += 1
        query = self._now().query(table, columns, access)
        tests = []
        self.reads.append((table, tests))
        add_filter = query.add_filter

        def noted(column, lookup_type, negated, db_type, value):
            if lookup_type == "in":
                value = list(value)
            tests.append(
                (table.positions[column], matcher(lookup_type, value, negated))
            )
            add_filter(column, lookup_type, negated, db_type, value)

        query.add_filter = noted
        return query

    def _check_committed(self, table):
        """Check that a table is as committed, not as this transaction has it."""
        if self.store.capabilities.snapshots:
            known = self._catalog().tables.get(table.name)
            assert known == table, f"{table.name} isn't as committed"

    def _estimated_rows(self, table):
        self._check_committed(table)
        return self._now().estimated_rows(table)

    def _access(self, table, filters, ordering=(), *, few=False):
        self._check_committed(table)
        return super()._access(table, filters, ordering, few=few)

    def _allocate(self, table, count, above):
        self.store.calls["allocate"] += 1
        with self.store.applying:
            numbers = self.store.numbers
            first = max(numbers[table.name], above, self._largest(table)) + 1
            if first + count > 2**63:
                raise OperationalError("there are no numbers left")
            before, _ = self.taken.get(table.name, (numbers[table.name], 0))
            numbers[table.name] = first + count - 1
            self.taken[table.name] = before, numbers[table.name]
            return first

    def _largest(self, table):
        """Return the largest number that is committed."""
        name = table.columns[table.auto_increment].name
        session = guarded(self.store.inner).session()
        session.begin(write=False)
        try:
            rows = session.query(table, [name], session.access(table, [])).fetch()
            return max((row[0] for row in rows), default=0)
        finally:
            session.close()

    def _apply(self, changes):
        self.store.calls["apply"] += 1
        if self.store.on_apply is not None:
            self.store.on_apply(changes)
        with self.store.applying:
            session = self.store.inner.session()
            session.begin(write=True)
            try:
                self._check_preconditions(session, changes)
                change_tables(session, changes)
                session.commit()
            finally:
                session.close()
            for change in changes:
                if change.redefined:
                    for table in filter(None, (change.before, change.after)):
                        self.store.committed.append((table.name, None, None))
                else:
                    name = change.after.name
                    self.store.committed += [
                        (name, row.old, row.new) for row in change.rows
                    ]
            self._keep_numbers(changes)
        self.taken.clear()

    def _check_preconditions(self, session, changes):
        if self.store.capabilities.serializable:
            for name, *rows in self.store.committed[self.began :]:
                for table, tests in self.reads:
                    if name == table.name and (
                        rows == [None, None]
                        or any(
                            row is not None and all(test(row[at]) for at, test in tests)
                            for row in rows
                        )
                    ):
                        raise ConflictError(f"{name}: another transaction changed it")
        tables = session.catalog().tables
        for change in changes:
            before = change.before
            if before is None:
                if change.after.name in tables and not any(
                    other.before is not None and other.before.name == change.after.name
                    for other in changes
                ):
                    raise ConflictError(f"{change.after.name} was made meanwhile")
                continue
            if tables.get(before.name) != before:
                raise ConflictError(f"{before.name} has another definition now")
            keys = [row.key for row in change.rows]
            assert len(keys) == len(set(keys)), "a row is changed twice"
            for row in change.rows:
                assert row.old is not None or row.new is not None
                if row.old is not None:
                    assert before.key_of(row.old) == row.key
                if row.new is not None:
                    assert change.after.key_of(row.new) == row.key
                    assert len(row.new) == len(change.after.columns)
                if repr(session.get(before, row.key)) != repr(row.old):
                    raise ConflictError(f"{before.name} {row.key} has changed")

    def _keep_numbers(self, changes):
        numbers = self.store.numbers
        renamed = {}
        for change in changes:
            if change.before is not None:
                last = numbers.pop(change.before.name, 0)
                if change.after is not None:
                    renamed[change.after.name] = last
        numbers.update(renamed)
        for change in changes:
            if change.number is not None:
                name = change.after.name
                largest = 0 if change.reset else numbers[name]
                numbers[name] = max(change.number, largest)


def change_tables(session, changes):
    """Make changes in a session of any store, in the order that _apply is told."""
    altered = []
    for number, change in enumerate(changes):
        before, after = change.before, change.after
        if after is None:
            session.drop_table(before.name)
        elif before is not None and change.redefined:
            kept = [index for index in after.indexes if kept_index(change, index)]
            for index in before.indexes:
                if index.name not in {one.name for one in kept}:
                    session.drop_index(before.name, index.name)
            # Columns that are made anew under their old name: away with those.
            gone = set(before.positions) - set(change.sources.values())
            columns = tuple(one for one in before.columns if one.name not in gone)
            left = session.catalog().tables[before.name]
            session.alter_table(before.name, replace(left, columns=columns))
            # By another name first: names may be exchanged.
            step = replace(after, name=f"changing {number}", indexes=tuple(kept))
            renames = {old: new for new, old in change.sources.items()}
            session.alter_table(before.name, step, renames, change.fill)
            altered.append((step.name, replace(after, indexes=tuple(kept))))
    for name, table in altered:
        session.alter_table(name, table)
    for change in changes:
        after = change.after
        if after is None:
            continue
        if change.before is None:
            session.create_table(after)
        table = session.catalog().tables[after.name]
        session.delete(table, [row.key for row in change.rows if row.old is not None])
        session.insert(table, [row.new for row in change.rows if row.new is not None])
        if change.before is not None:
            for index in after.indexes:
                if index.name not in {one.name for one in table.indexes}:
                    session.create_index(after.name, index)
            if session.catalog().tables[after.name] != after:
                session.alter_table(after.name, after)  # the order of indexes
        assert session.catalog().tables[after.name] == after


def kept_index(change, index):
    for one in change.before.indexes:
        if one.name == index.name:
            columns = tuple(map(change.sources.get, index.columns))
            return one.unique == index.unique and one.columns == columns
    return False
