"""LMDB as a store: what only it has to keep."""

import tempfile

from backendkit.backends.lmdb.store import LMDBStore
from backendkit.stores.testing import StoreContract


class TestContract(StoreContract):
    def make_store(self):
        self.directory = tempfile.TemporaryDirectory()
        return LMDBStore.open(f"{self.directory.name}/db", {"timeout": 0.1})

    def reopen_store(self, store):
        store.close()
        return LMDBStore.open(f"{self.directory.name}/db", {"timeout": 0.1})

    def remove_store(self, store):
        store.close()
        self.directory.cleanup()
