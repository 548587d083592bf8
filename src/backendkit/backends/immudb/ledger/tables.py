"""Which tables the log's entries belong to: immudb's catalog, followed through the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backendkit.backends.immudb.driver._catalog import CATALOG, Catalog
from backendkit.backends.immudb.driver._proofs import state_of
from backendkit.backends.immudb.driver._rows import Table
from backendkit.stores import Mutex

from .log import transactions

if TYPE_CHECKING:
    from backendkit.backends.immudb.store import ImmudbStore


class Followed:
    """
    The catalog of one database, up to the last transaction that was looked at.

    Thread-safe. One that is another database's now is noticed by the hash of that
    transaction, and followed from its beginning.
    """

    def __init__(self) -> None:
        self._lock = Mutex()
        self._begin()

    def _begin(self) -> None:
        self._catalog = Catalog()
        self._last = 0
        self._hash = b""

    def find(self, store: ImmudbStore, name: str) -> Table | None:
        """Return a table as it is now, by immudb's name; None if there is none."""
        with self._lock:
            self._follow(store)
            return self._catalog.find(name)

    def _follow(self, store: ImmudbStore) -> None:
        with store.other() as connection:
            state = connection.state()
        last = int(state.txId)
        if last < self._last or (last == self._last and state.txHash != self._hash):
            self._begin()
        if last == self._last:
            return
        for one in transactions(store, self._last + 1, last, values=False):
            header = one.header
            if self._last and header.prevAlh != self._hash:
                self._begin()
                self._follow(store)
                return
            if any(entry.key.startswith(CATALOG) for entry in one.entries):
                (full,) = transactions(store, header.id, header.id, values=True)
                for entry in full.entries:
                    self._catalog.apply(
                        entry.key, entry.value, deleted=entry.metadata.deleted
                    )
            self._last, self._hash = header.id, state_of(header).hash
