"""What the proven transactions have made of a database: its tables, and their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backendkit.backends.immudb.driver._catalog import TABLE, Catalog, table_of
from backendkit.backends.immudb.driver._proofs import State
from backendkit.backends.immudb.driver._rows import DATABASE, PRIMARY, ROW, Table

from .versions import Versions

if TYPE_CHECKING:
    from backendkit.backends.immudb.driver import Connection
    from backendkit.backends.immudb.driver import immudb_pb2 as pb
    from backendkit.backends.immudb.driver._audited import Definition

#: What the keys of rows begin with, up to the table's id, and behind it.
_BEFORE = ROW + DATABASE.to_bytes(4, "big")
_AFTER = PRIMARY.to_bytes(4, "big")
_TABLE = slice(len(_BEFORE), len(_BEFORE) + 4)
_INDEX = slice(_TABLE.stop, _TABLE.stop + 4)


def row_key(table: Table, key: bytes) -> bytes:
    """Return the whole key of a row."""
    return _BEFORE + table.id.to_bytes(4, "big") + _AFTER + key


class History:
    """
    A database as of a proven transaction.

    :param versions: what is known of it so far.
    :ivar state: the last transaction; None if there is none.
    :ivar tables: as the proven catalog has them, by immudb's names.
    :ivar definitions: how often something of a table's definition was written, by id.
    :ivar walked: how many transactions were proven since this object was made.
    :ivar others: how many entries of them belong to no row and no table.
    """

    def __init__(
        self,
        versions: Versions,
        catalog: Catalog | None = None,
        state: State | None = None,
    ) -> None:
        self.versions = versions
        self.catalog = catalog or Catalog()
        self.state = state
        self.tables = self.catalog.tables()
        self.definitions: Counter[int] = Counter()
        self.walked = 0
        self.others = 0

    @property
    def tx(self) -> int:
        """The last transaction; 0 if there is none."""
        return 0 if self.state is None else self.state.tx

    def advance(
        self, prover: Connection, step: Callable[[], None] | None = None
    ) -> None:
        """
        Prove what was committed since, and go on to its end.

        :param step: called after each transaction.
        :raises TamperedError: it isn't proven. The object can't be used any more then.
        """
        state = prover.prove_history(
            self._take, after=self.state, tables=self.catalog.tables, step=step
        )
        if state is not None:
            self.state = state
        self.tables = self.catalog.tables()

    def _take(self, tx: pb.Tx, definitions: Sequence[Definition]) -> None:
        number = tx.header.id
        add = self.versions.add
        for entry in tx.entries:
            key = entry.key
            if key.startswith(_BEFORE) and key[_INDEX] == _AFTER:
                table = int.from_bytes(key[_TABLE], "big")
                digest = None if entry.metadata.deleted else entry.hValue
                add(table, key[_INDEX.stop :], number, digest)
            elif table_of(key) is None:
                self.others += 1
        for key, value, deleted in definitions:
            self.catalog.apply(key, value, deleted=deleted)
            owner = table_of(key)
            if owner is not None:
                self.definitions[owner] += 1
                if deleted and key.startswith(TABLE):
                    self.versions.drop(owner)
        self.walked += 1
