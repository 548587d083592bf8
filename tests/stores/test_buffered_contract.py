"""A store of BufferedSession keeps the whole contract, whatever it can do itself."""

from backendkit.stores.testing import StoreContract
from tests.engine.limited import CAPABILITIES, LimitedSession, LimitedStore

from .buffered import BufferedStore
from .variants import Variant


class TestSnapshots(StoreContract):
    """Over a store that does everything, and finds changed rows alone."""

    def make_store(self):
        return BufferedStore(serializable=False)

    def reopen_store(self, store):
        return BufferedStore(store.inner)


class TestSerializable(Variant):
    """A change of anything that was read is a conflict."""

    def make_store(self):
        return BufferedStore()


class TestReadCommitted(Variant):
    """Each read sees what is committed then."""

    def make_store(self):
        return BufferedStore(snapshots=False, serializable=False)


class TestPreconditions(Variant):
    """Rows that were read for update are compared at commit."""

    def make_store(self):
        return BufferedStore(serializable=False, preconditions=True)


class TestPreconditionsReadCommitted(Variant):
    """The same, where each read sees what is committed then."""

    def make_store(self):
        return BufferedStore(snapshots=False, serializable=False, preconditions=True)


class TestRemote(Variant):
    """Rows that were read are remembered; UPDATE by filters is done by the query."""

    def make_store(self):
        return BufferedStore(remote=True, update=True)


class _Counting(LimitedStore):
    """Its estimates are right, which the contract asks for."""

    def session(self):
        return _CountingSession(self)


class _CountingSession(LimitedSession):
    def estimated_rows(self, table):
        return len(self.read(table.name))


class TestMinimal(Variant):
    """The abstract methods alone, on a database that can scan a table and no more."""

    def make_store(self):
        return BufferedStore(_Counting(CAPABILITIES["nothing"]), serializable=False)


class TestKeys(Variant):
    """The same, where rows can be looked up."""

    def make_store(self):
        return BufferedStore(_Counting(CAPABILITIES["keys"]), snapshots=False)
