"""The reference store keeps the contract, and equals a list of rows."""

from backendkit.backends.memory.store import MemoryStore
from backendkit.stores.testing import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self):
        return MemoryStore(timeout=0.05)
