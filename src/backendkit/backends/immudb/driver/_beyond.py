"""What immudb has beyond SQL: databases, the server itself, states and proofs."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from typing import Any

from backendkit import stores
from backendkit.clock import real

from . import immudb_pb2 as pb
from ._methods import (
    CREATE_DATABASE,
    DATABASES,
    DELETE_DATABASE,
    EMPTY,
    HEALTH,
    SERVER_INFO,
    STATE,
    TX_SCAN,
    UNARY_QUERY,
    UNLOAD_DATABASE,
    USE_DATABASE,
    VERIFIABLE_GET,
    VERIFIABLE_TX,
)
from ._results import DatabaseInfo, ServerInfo
from ._session import Session
from ._values import bind_value

NO_VALUES = pb.EntryTypeSpec(action=pb.EntryTypeAction.ONLY_DIGEST)
VALUES = pb.EntryTypeSpec(action=pb.EntryTypeAction.RAW_VALUE)


class BeyondSQL(Session):
    """The part of a connection that isn't :pep:`249`'s."""

    # Databases and the server

    @property
    def database(self) -> str:
        """The database in use."""
        return self._link.settings.database

    def use_database(self, name: str) -> None:
        """Use another database from now on; no transaction may be open."""
        self._usable()
        if self._transaction is not None:
            raise stores.ProgrammingError("a transaction is open")
        self._outside(USE_DATABASE, pb.Database(databaseName=name))
        # A session that replaces this one has to be there, too.
        self._link.settings = dataclasses.replace(self._link.settings, database=name)

    def databases(self) -> list[DatabaseInfo]:
        """Return the databases that the user may see."""
        answer = self._outside(DATABASES, pb.DatabaseListRequestV2())
        return [DatabaseInfo.of(info) for info in answer.databases]

    def create_database(
        self,
        name: str,
        *,
        max_tx_entries: int | None = None,
        max_active_snapshots: int | None = None,
        max_concurrency: int | None = None,
        max_read_set: int | None = None,
        if_not_exists: bool = False,
    ) -> bool:
        """
        Create a database; return whether it wasn't there.

        :param max_tx_entries: how many entries a transaction may have; 1,024 if not
            given. A row is one, and one more for each of its index entries.
        :param max_active_snapshots: how many transactions may be open at once; 100 if
            not given.
        :param max_concurrency: how many may be committed at once; 30 if not given. One
            more is a :class:`~backendkit.stores.ConflictError`.
        :param max_read_set: how many entries a transaction that may write can read;
            100,000 if not given.
        :raises ProgrammingError: it exists, or immudb allows no such name.
        """
        settings = pb.DatabaseNullableSettings()
        if max_tx_entries is not None:
            settings.maxTxEntries.value = max_tx_entries
        if max_active_snapshots is not None:
            settings.indexSettings.maxActiveSnapshots.value = max_active_snapshots
        if max_concurrency is not None:
            settings.maxConcurrency.value = max_concurrency
        if max_read_set is not None:
            settings.mvccReadSetLimit.value = max_read_set
        request = pb.CreateDatabaseRequest(
            name=name, settings=settings, ifNotExists=if_not_exists
        )
        answer = self._outside(CREATE_DATABASE, request, repeat=False)
        return not answer.alreadyExisted

    def delete_database(self, name: str) -> None:
        """
        Delete a database and all its data.

        :raises OperationalError: there is none.
        """
        self._outside(UNLOAD_DATABASE, pb.UnloadDatabaseRequest(database=name))
        self._outside(DELETE_DATABASE, pb.DeleteDatabaseRequest(database=name))

    def server_info(self) -> ServerInfo:
        """Return the version, the id and the start time of the server."""
        answer = self._outside(SERVER_INFO, pb.ServerInfoRequest())
        return ServerInfo(
            version=answer.version.removeprefix("v"),
            uuid=self._link.server_uuid,
            started=real.datetime(1970, 1, 1)
            + datetime.timedelta(seconds=answer.startedAt),
        )

    def ping(self) -> None:
        """
        Ask the database whether it is well.

        :raises OperationalError: it doesn't answer.
        """
        self._outside(HEALTH, EMPTY)

    # States and proofs: the messages as they come, to be verified by the caller

    def state(self) -> pb.ImmutableState:
        """Return the database's state of now: the last transaction and its hash."""
        state: pb.ImmutableState = self._outside(STATE, EMPTY)
        return state

    def verifiable_get(
        self,
        table: str,
        primary_key: tuple[Any, ...],
        *,
        since: int = 0,
        at: int = 0,
        wait: bool = True,
    ) -> pb.VerifiableSQLEntry:
        """
        Return a row with its proofs.

        :param primary_key: its values in the order of the primary key's columns.
        :param since: the transaction of the state that the caller trusts.
        :param at: the transaction that wrote the row; the last one if not given.
        :param wait: whether what was committed before this call has to be seen; if not,
            what some call before this one has waited for is.
        :raises ProgrammingError: there is no such row.
        """
        request = pb.VerifiableSQLGetRequest(
            sqlGetRequest=pb.SQLGetRequest(
                table=table,
                pkValues=[bind_value(value) for value in primary_key],
                atTx=at,
            ),
            proveSinceTx=since,
        )
        if '"' in table:
            raise stores.ProgrammingError(f"there is no table {table}")
        if wait:
            self._wait(table)
        try:
            entry: pb.VerifiableSQLEntry = self._outside(VERIFIABLE_GET, request)
        except stores.DatabaseError as error:
            if not str(error).startswith("tbtree: key not found"):
                raise
            raise stores.ProgrammingError(
                f"there is no row {primary_key} in {table}"
            ) from error
        return entry

    def _wait(self, table: str) -> None:
        """Wait until a table's index has what is committed."""
        # immudb looks into the table's index as it is when it proves a row, which may not have
        # what was committed just now; a query waits until it has.
        sql = f'SELECT * FROM "{table}" LIMIT 1'
        # That another row is corrupted is found after the waiting.
        with contextlib.suppress(stores.InternalError):
            self._outside(UNARY_QUERY, pb.SQLQueryRequest(sql=sql))

    def verifiable_tx(
        self, tx: int, *, since: int = 0, values: bool = False
    ) -> pb.VerifiableTx:
        """
        Return a transaction with the proof of its place.

        :param since: the transaction of the state that the caller trusts.
        :param values: whether SQL's entries come with their values, not just digests.
        """
        request = pb.VerifiableTxRequest(
            tx=tx,
            proveSinceTx=since,
            entriesSpec=pb.EntriesSpec(
                kvEntriesSpec=NO_VALUES,
                zEntriesSpec=NO_VALUES,
                sqlEntriesSpec=VALUES if values else NO_VALUES,
            ),
        )
        answer: pb.VerifiableTx = self._outside(VERIFIABLE_TX, request)
        return answer

    def transactions(
        self,
        start: int,
        limit: int,
        *,
        backwards: bool = False,
        values: bool = False,
        digests: bool = False,
    ) -> list[pb.Tx]:
        """
        Return transactions as the server reports them, without proofs.

        :param start: the first one's id.
        :param limit: the most transactions to return. The server's limit is 2,500.
        :param backwards: whether later ones come first.
        :param values: whether SQL's entries come with their values, not just digests.
        :param digests: whether the entries that aren't SQL's come, too, with digests.
        :raises ProgrammingError: there is no transaction of that id.
        """
        entries = pb.EntriesSpec(sqlEntriesSpec=VALUES if values else NO_VALUES)
        if digests:
            entries.kvEntriesSpec.CopyFrom(NO_VALUES)
            entries.zEntriesSpec.CopyFrom(NO_VALUES)
        request = pb.TxScanRequest(
            initialTx=start,
            limit=limit,
            desc=backwards,
            entriesSpec=entries,
            # Its index of keys and values isn't needed, so nobody has to wait for it.
            noWait=True,
        )
        return list(self._outside(TX_SCAN, request).txs)

    def headers(
        self, start: int, limit: int, *, backwards: bool = False
    ) -> list[pb.TxHeader]:
        """
        Return transactions' headers as the server reports them, without proofs.

        Its arguments and errors are those of :meth:`transactions`.
        """
        request = pb.TxScanRequest(
            initialTx=start,
            limit=limit,
            desc=backwards,
            # Of no kind are the entries sent.
            entriesSpec=pb.EntriesSpec(),
            noWait=True,
        )
        return [one.header for one in self._outside(TX_SCAN, request).txs]
