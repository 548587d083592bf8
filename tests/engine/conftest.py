"""The engine over several stores, and plain SQLite beside it."""

import pytest

from backendkit.backends.lmdb.store import LMDBStore
from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi

from .limited import CAPABILITIES, LimitedStore

#: Names of all stores that SQL is run over.
STORES = ["memory", "lmdb", *CAPABILITIES]


def open_store(name, path):
    """Return a new, empty store of this name."""
    if name == "memory":
        return MemoryStore()
    if name == "lmdb":
        return LMDBStore.open(path / "lmdb", {"sync": False})
    return LimitedStore(CAPABILITIES[name])


@pytest.fixture
def connection():
    """A connection to an empty reference store."""
    connection = dbapi.connect(MemoryStore())
    yield connection
    connection.close()


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.check), "lmdb", "coarse"]
)
def any_connection(request, tmp_path):
    """A connection to an empty store, one of three."""
    connection = dbapi.connect(open_store(request.param, tmp_path))
    yield connection
    connection.close()


@pytest.fixture
def two():
    """Two connections to one empty store."""
    store = MemoryStore()
    first, second = dbapi.connect(store), dbapi.connect(store)
    yield first, second
    first.close()
    second.close()
