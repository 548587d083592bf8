"""Stores that can do less than the reference store, and say so."""

import random

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Capabilities,
    Order,
    Precision,
    matcher,
    sort_key,
)

_ALL = COMPARISONS | PATTERNS

CAPABILITIES = {
    "nothing": Capabilities(),
    "coarse": Capabilities(
        filters=dict.fromkeys(_ALL, Precision.COARSE),
        negations=_ALL,
        indexed=True,
        order=Order.INDEX,
        limit=True,
    ),
    "unordered": Capabilities(
        filters=dict.fromkeys(_ALL, Precision.EXACT),
        negations=_ALL,
        indexed=True,
        limit=True,
        count=True,
    ),
    "indexed": Capabilities(
        filters=dict.fromkeys(_ALL, Precision.EXACT),
        negations=_ALL,
        indexed=True,
        order=Order.INDEX,
        limit=True,
    ),
    "unlimited": Capabilities(
        filters=dict.fromkeys(_ALL, Precision.EXACT), order=Order.ANY
    ),
    "keys": Capabilities(
        filters={"exact": Precision.EXACT, "in": Precision.EXACT},
        order=Order.INDEX,
        limit=True,
    ),
}


class LimitedStore(MemoryStore):
    """
    A store of these capabilities that makes the most of its freedom.

    What it may return in any order comes in a random one, what it may return too
    much of comes with random other rows, and its estimates are wrong. Being asked
    for what it can't do fails.
    """

    def __init__(self, capabilities, seed=0):
        super().__init__()
        self.capabilities = capabilities
        self.random = random.Random(seed)

    def session(self):
        return LimitedSession(self)


class LimitedSession(MemorySession):
    def query(self, table, columns, access):
        return LimitedQuery(self, table, columns, access)

    def estimated_rows(self, table):
        return self.store.random.choice([0, 1, super().estimated_rows(table), 10**6])


class LimitedQuery(MemoryQuery):
    def __init__(self, session, table, columns, access):
        super().__init__(session, table, columns, access)
        self.exact, self.coarse = [], []

    def add_filter(self, column, lookup_type, negated, db_type, value):
        store = self.session.store
        kind = self.table.column(column).type
        assert kind == db_type
        precision = store.capabilities.precision(kind, lookup_type, negated)
        assert precision is not Precision.NONE, (column, lookup_type)
        tests = self.exact if precision is Precision.EXACT else self.coarse
        at = self.table.positions[column]
        tests.append((at, matcher(lookup_type, value, negated)))

    def order_by(self, ordering):
        capabilities = self.session.store.capabilities
        assert capabilities.order is not Order.NONE
        assert self.access.ordered
        self._ordering = ordering

    def fetch(self, low_mark=0, high_mark=None):
        store = self.session.store
        if (low_mark, high_mark) != (0, None):
            assert store.capabilities.limit
            assert not self.coarse, "a limit behind a filter that isn't exact"
        rows = list(self.session.read(self.table.name).values())
        store.random.shuffle(rows)
        rows = [row for row in rows if all(test(row[at]) for at, test in self.exact)]
        rows = [
            row
            for row in rows
            if all(test(row[at]) for at, test in self.coarse)
            or store.random.random() < 0.3
        ]
        for column, descending in reversed(self._ordering):
            at = self.table.positions[column]
            rows.sort(key=lambda row: sort_key(row[at]), reverse=descending)
        for row in rows[low_mark:high_mark]:
            yield tuple(row[self.table.positions[name]] for name in self.columns)

    def count(self):
        return sum(1 for _ in self.fetch())
