"""What a transaction reads that is too much for immudb to take note of."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from backendkit.stores import ConflictError, OperationalError, Table

from .names import physical

if TYPE_CHECKING:
    from .store import ImmudbStore

#: What immudb says when a transaction that may write has read too much.
_LIMIT = "MVCC read-set limit exceeded"


def is_too_much(error: BaseException) -> bool:
    """Whether immudb refused a read because the transaction has read too much."""
    return isinstance(error, OperationalError) and str(error).startswith(_LIMIT)


class Asides:
    """
    Tables that a transaction reads outside of immudb's transaction.

    What it reads of them is right as long as nobody has written them since the
    transaction began, which the log tells: see :meth:`check`.

    :param since: a transaction that everything the transaction has read includes.
    """

    def __init__(self, store: ImmudbStore, since: int) -> None:
        self._store = store
        self._since = since
        #: By name: what the keys of their rows begin with; how far the log was read.
        self._tables: dict[str, tuple[bytes, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._tables)

    def __contains__(self, name: str) -> bool:
        return name in self._tables

    def add(self, table: Table) -> None:
        """Note that a table is read."""
        if table.name not in self._tables:
            from .driver._rows import DATABASE, PRIMARY, ROW  # noqa: PLC0415  # gRPC

            shared = self._store.shared
            found = shared.followed().find(self._store, physical(table.name))
            if found is None:
                raise ConflictError(f"the table {table.name} is gone")
            prefix = ROW + struct.pack(">III", DATABASE, found.id, PRIMARY)
            self._tables[table.name] = prefix, self._since

    def check(self) -> None:
        """
        Raise ConflictError if one of the tables was written since.

        What was read of them before this call is then as it was when the transaction
        began.
        """
        if not self._tables:
            return
        from .ledger.log import (  # noqa: PLC0415  # as above
            last_transaction,
            transactions,
        )

        last = last_transaction(self._store)
        first = min(seen for _, seen in self._tables.values()) + 1
        if first <= last:
            found = transactions(self._store, first, last, values=False)
            for one in found:
                keys = [entry.key for entry in one.entries]
                for name, (prefix, seen) in self._tables.items():
                    if one.header.id > seen and any(
                        key.startswith(prefix) for key in keys
                    ):
                        raise ConflictError(
                            f"another transaction has written the table {name}, of"
                            " which this one has read more than immudb takes note of"
                        )
        self._tables = {
            name: (prefix, max(seen, last))
            for name, (prefix, seen) in self._tables.items()
        }
