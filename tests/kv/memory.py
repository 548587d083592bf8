"""An ordered key-value engine in memory, which can be told to fail."""

from __future__ import annotations

from bisect import bisect_left

from backendkit.kv import KeyValueStore, KeyValueTransaction, initialize
from backendkit.stores import ConflictError, InterfaceError, OperationalError


class Fault(OSError):
    """A failure that a test asked for."""


class MemoryEngine(KeyValueStore):
    driver_errors = {Fault: OperationalError}

    def __init__(self, max_key_bytes=511):
        self.max_key_bytes = max_key_bytes
        self.pairs = {}
        self.commits = 0
        self.writer = None
        #: How many writes succeed before one fails; None for all.
        self.writes_left = None
        transaction = self.begin(True)
        initialize(transaction)
        transaction.commit()

    def begin(self, write):
        return MemoryTransaction(self, write)

    def close(self):
        assert self.writer is None


class MemoryTransaction(KeyValueTransaction):
    def __init__(self, engine, write):
        self.engine = engine
        self.pairs = dict(engine.pairs)
        self.keys = sorted(self.pairs)
        self.snapshot = engine.commits
        self.writing = self.ended = False
        if write:
            self._take()

    def _take(self):
        if self.engine.writer is not None:
            raise OperationalError("database is locked")
        self.engine.writer = self
        self.writing = True

    def _check(self, write=False):
        if self.ended:
            raise InterfaceError("the transaction has ended")
        if write:
            assert self.writing
            if self.engine.writes_left is not None:
                if not self.engine.writes_left:
                    raise Fault("the disk is full")
                self.engine.writes_left -= 1

    def get(self, key, /):
        self._check()
        assert len(key) <= self.engine.max_key_bytes
        return self.pairs.get(key)

    def range(self, start, stop, reverse=False):
        while True:
            self._check()
            if reverse:
                at = bisect_left(self.keys, stop) - 1
            else:
                at = bisect_left(self.keys, start)
            if not 0 <= at < len(self.keys) or not start <= self.keys[at] < stop:
                return
            key = self.keys[at]
            yield key, self.pairs[key]
            if reverse:
                stop = key
            else:
                start = key + b"\0"

    def put(self, key, value, /):
        self._check(write=True)
        assert 0 < len(key) <= self.engine.max_key_bytes
        assert type(key) is bytes
        assert type(value) is bytes
        if key not in self.pairs:
            self.keys.insert(bisect_left(self.keys, key), key)
        self.pairs[key] = value

    def delete(self, key, /):
        self._check(write=True)
        if key not in self.pairs:
            return False
        del self.pairs[key]
        del self.keys[bisect_left(self.keys, key)]
        return True

    def upgrade(self):
        self._check()
        if self.writing:
            return
        self._take()
        if self.engine.commits != self.snapshot:
            self.abort()
            raise ConflictError("another transaction has committed")

    def commit(self):
        self._check()
        if self.writing:
            self.engine.pairs = self.pairs
            self.engine.commits += 1
        self.abort()

    def abort(self):
        self.ended = True
        if self.engine.writer is self:
            self.engine.writer = None
