"""What calls answer, beside the messages of proofs, which are handed on as they are."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from backendkit.clock import real

from . import immudb_pb2 as pb


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """
    All rows of a query.

    :param names: of the columns.
    :param types: immudb's names of their types, e.g. ``"VARCHAR"``.
    :param rows: tuples of values, in the order of the columns.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """
    A transaction that was committed; its id is 0 if there was nothing to write.

    :param tx: its id.
    :param time: when, to the second, in UTC and naive.
    :param rows: how many were written or deleted.
    :param first_ids: table and AUTO_INCREMENT id of its first row that was inserted;
        empty when the transaction was one of several calls.
    :param last_ids: the same of the last row.
    """

    tx: int
    time: datetime.datetime
    rows: int
    first_ids: dict[str, int]
    last_ids: dict[str, int]

    @classmethod
    def of(cls, answer: pb.CommittedSQLTx) -> Committed:
        """Make one of immudb's message."""
        return cls(
            tx=answer.header.id,
            time=real.datetime(1970, 1, 1)
            + datetime.timedelta(seconds=answer.header.ts),
            rows=answer.updatedRows,
            first_ids={table: key.n for table, key in answer.firstInsertedPKs.items()},
            last_ids={table: key.n for table, key in answer.lastInsertedPKs.items()},
        )


@dataclasses.dataclass(frozen=True, slots=True)
class ServerInfo:
    """
    The server itself.

    :param version: e.g. ``"1.11.1"``; empty if the program was built without it.
    :param uuid: that the server gave itself when its data were new.
    :param started: when, to the second, in UTC and naive.
    """

    version: str
    uuid: str
    started: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """
    A database of the server.

    :param loaded: whether it is open.
    :param max_tx_entries: how many entries a transaction may have: a row is one, and
        one more for each of its index entries.
    :param max_key_length: of a row's primary key or index entry, in bytes.
    :param transactions: how many it has had; 0 if it isn't open.
    """

    name: str
    loaded: bool
    max_tx_entries: int
    max_key_length: int
    transactions: int

    @classmethod
    def of(cls, answer: pb.DatabaseInfo) -> DatabaseInfo:
        """Make one of immudb's message."""
        return cls(
            name=answer.name,
            loaded=answer.loaded,
            max_tx_entries=answer.settings.maxTxEntries.value,
            max_key_length=answer.settings.maxKeyLen.value,
            transactions=answer.numTransactions,
        )
