"""Stores that are the memory store but for one defect each."""

import itertools
from dataclasses import replace

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.stores import Access, UniqueViolation


class DropsRows(MemoryStore):
    """Every 100th of all the rows that it delivers is lost."""

    def __init__(self, *args):
        super().__init__(*args)
        self.delivered = itertools.count(1)

    def session(self):
        return DropsRowsSession(self)


class DropsRowsSession(MemorySession):
    def query(self, table, columns, access):
        return DropsRowsQuery(self, table, columns, access)


class DropsRowsQuery(MemoryQuery):
    def fetch(self, low_mark=0, high_mark=None):
        delivered = self.session.store.delivered
        rows = super().fetch(low_mark, high_mark)
        return (row for row in rows if next(delivered) % 100)


class NullIsLeast(MemoryStore):
    """NULL is a value like others to filters: the least one, and equal to itself."""

    def session(self):
        return NullIsLeastSession(self)


class NullIsLeastSession(MemorySession):
    def query(self, table, columns, access):
        return NullIsLeastQuery(self, table, columns, access)


class NullIsLeastQuery(MemoryQuery):
    def add_filter(self, column, lookup_type, negated, db_type, value):
        super().add_filter(column, lookup_type, negated, db_type, value)
        if lookup_type == "isnull":
            return
        if lookup_type == "in":
            found = None in value
        elif value is None:
            found = lookup_type in {"exact", "gte", "lte"}
        else:
            found = lookup_type in {"lt", "lte"}
        if found != negated:
            at, right = self.table.positions[column], self._tests[-1]
            wrong = lambda row: row[at] is None or right(row)
            self._tests = (*self._tests[:-1], wrong)


class WantsNullEqual(MemoryStore):
    """IS NULL is taken for = NULL, which is never true; and its negation neither."""

    def session(self):
        return WantsNullEqualSession(self)


class WantsNullEqualSession(MemorySession):
    def query(self, table, columns, access):
        return WantsNullEqualQuery(self, table, columns, access)


class WantsNullEqualQuery(MemoryQuery):
    def add_filter(self, column, lookup_type, negated, db_type, value):
        if lookup_type == "isnull":
            lookup_type, value = "exact", None
        super().add_filter(column, lookup_type, negated, db_type, value)


class NullsCollide(MemoryStore):
    """Two rows with NULL in a unique index are duplicates to it."""

    def session(self):
        return NullsCollideSession(self)


class NullsCollideSession(MemorySession):
    def insert(self, table, rows):
        keys = []
        for row in rows:
            for index, names in table.unique.items():
                at = [table.positions[name] for name in names]
                if index and any(
                    other[n] is None and all(other[m] == row[m] for m in at)
                    for other in self.read(table.name).values()
                    for n in at
                ):
                    raise UniqueViolation(table.name, names)
            keys += super().insert(table, [row])
        return keys


class ForgetsUnique(MemoryStore):
    """It keeps no index, so nothing but primary keys has to be unique."""

    def session(self):
        return ForgetsUniqueSession(self)


class ForgetsUniqueSession(MemorySession):
    def query(self, table, columns, access):
        return super().query(table, columns, Access())

    def insert(self, table, rows):
        return super().insert(replace(table, indexes=()), rows)


class KeepsRolledBack(MemoryStore):
    """What a transaction wrote stays when it is rolled back."""

    def session(self):
        return KeepsRolledBackSession(self)


class KeepsRolledBackSession(MemorySession):
    def rollback(self):
        if self._state is not None and self._undo:
            self.store.committed = self._state
        super().rollback()


class KeepsSavepoint(MemoryStore):
    """What was written after a savepoint stays when one goes back to it."""

    def session(self):
        return KeepsSavepointSession(self)


class KeepsSavepointSession(MemorySession):
    def rollback_to(self, mark):
        self._require()
