"""The record layer keeps the contract, on an engine in memory."""

from backendkit.kv import RecordStore
from backendkit.stores.testing import StoreContract

from .memory import MemoryEngine


class TestRecordStore(StoreContract):
    many = 100

    def make_store(self):
        return RecordStore(MemoryEngine(max_key_bytes=20_000))
