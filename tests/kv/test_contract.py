"""The record layer keeps the contract, on an engine in memory."""

from backendkit.kv import RecordStore
from tests.stores.variants import Variant

from .memory import MemoryEngine


class TestRecordStore(Variant):
    """LMDB's store, which shares the record layer, runs the contract at each level."""

    many = 100

    def make_store(self):
        return RecordStore(MemoryEngine(max_key_bytes=20_000))


class TestShortKeys(Variant):
    """Most entries of text, bytes and decimals are shortened."""

    many = 100
    longest_primary_key = 20

    def make_store(self):
        return RecordStore(MemoryEngine(max_key_bytes=64))
