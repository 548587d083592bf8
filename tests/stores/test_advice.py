"""A test of the contract that fails says whose method it was, and what to do."""

import unittest

import pytest

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.stores.testing import StoreContract


def failures(test, **methods):
    """Run one test of the contract on a store whose query has other methods."""
    query_class = type("LyingQuery", (MemoryQuery,), methods)

    class LyingSession(MemorySession):
        def query(self, table, columns, access):
            return query_class(self, table, columns, access)

    class LyingStore(MemoryStore):
        def session(self):
            return LyingSession(self)

    class Tests(StoreContract, unittest.TestCase):
        def make_store(self):
            return LyingStore(timeout=0.1)

    result = unittest.TestResult()
    Tests(test).run(result)
    return [message for _, message in result.failures + result.errors]


def no_filter(self, *_):
    pass


def backwards(self, low=0, high=None):
    return iter([*MemoryQuery.fetch(self, low, high)][::-1])


def boom(self, low=0, high=None):
    yield from MemoryQuery.fetch(self, low, high)
    raise KeyError("boom")


@pytest.mark.parametrize(
    ("test", "methods", "advice"),
    [
        ("test_patterns", {"add_filter": no_filter}, "Precision.COARSE"),
        ("test_order", {"fetch": backwards}, "Sort as sort_rows() does"),
        ("test_patterns", {"count": lambda self: 0}, "Override count()"),
        ("test_values_come_back", {"fetch": boom}, "it raised KeyError"),
    ],
)
def test_what_to_do(test, methods, advice):
    """The class, the method and the table are named, too."""
    (message,) = failures(test, **methods)
    assert advice in message
    assert "LyingQuery.fetch() of table '" in message


def test_the_store_itself_is_all_right():
    assert failures("test_patterns") == failures("test_values_come_back") == []
