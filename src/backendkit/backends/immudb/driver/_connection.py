"""PEP 249's connection, and what immudb has beyond SQL."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import time
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import grpc

from backendkit import stores

from . import immudb_pb2 as pb
from ._cursor import Cursor
from ._errors import (
    connection_lost,
    never_sent,
    session_lost,
    transaction_lost,
    translate,
)
from ._link import EMPTY, KEEP_ALIVE, LINGER, Link, Metadata, Method, Settings, abandon
from ._results import Committed, DatabaseInfo, Rows, ServerInfo
from ._statements import analyze
from ._values import Decoder, Parameters, bind, bind_value, parse

T = TypeVar("T")

UNARY_QUERY = Method("UnarySQLQuery", pb.SQLQueryRequest, None)
QUERY = Method("SQLQuery", pb.SQLQueryRequest, None, streams=True)
TX_QUERY = Method("TxSQLQuery", pb.SQLQueryRequest, None, streams=True)
EXEC = Method("SQLExec", pb.SQLExecRequest, pb.SQLExecResult)
TX_EXEC = Method("TxSQLExec", pb.SQLExecRequest, pb.Empty)
NEW_TX = Method("NewTx", pb.NewTxRequest, pb.NewTxResponse)
COMMIT = Method("Commit", pb.Empty, pb.CommittedSQLTx)
ROLLBACK = Method("Rollback", pb.Empty, pb.Empty)
SERVER_INFO = Method("ServerInfo", pb.ServerInfoRequest, pb.ServerInfoResponse)
USE_DATABASE = Method("UseDatabase", pb.Database, pb.UseDatabaseReply)
CREATE_DATABASE = Method(
    "CreateDatabaseV2", pb.CreateDatabaseRequest, pb.CreateDatabaseResponse
)
UNLOAD_DATABASE = Method(
    "UnloadDatabase", pb.UnloadDatabaseRequest, pb.UnloadDatabaseResponse
)
DELETE_DATABASE = Method(
    "DeleteDatabase", pb.DeleteDatabaseRequest, pb.DeleteDatabaseResponse
)
DATABASES = Method(
    "DatabaseListV2", pb.DatabaseListRequestV2, pb.DatabaseListResponseV2
)
STATE = Method("CurrentState", pb.Empty, pb.ImmutableState)
HEALTH = Method("DatabaseHealth", pb.Empty, pb.DatabaseHealthResponse)
VERIFIABLE_GET = Method(
    "VerifiableSQLGet", pb.VerifiableSQLGetRequest, pb.VerifiableSQLEntry
)
VERIFIABLE_TX = Method("VerifiableTxById", pb.VerifiableTxRequest, pb.VerifiableTx)

# Seconds without a call after which a change, which isn't sent twice, is preceded by a
# call that may be. It takes 0.2 ms, a change takes 7.
IDLE = 0.1

TOO_LARGE = "result size limit reached"

NO_DETAILS = pb.EntryTypeSpec(action=pb.EntryTypeAction.ONLY_DIGEST)


def connect(
    host: str = "127.0.0.1",
    port: int | str = 3322,
    database: str = "defaultdb",
    user: str = "immudb",
    password: str = "",
    *,
    autocommit: bool = False,
    timeout: float | None = 30.0,
    connect_timeout: float = 10.0,
    keepalive: float | None = 30.0,
    tls: bool = False,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    server_name: str | None = None,
) -> Connection:
    """
    Open a connection.

    :param autocommit: whether each statement is a transaction of its own.
    :param timeout: seconds that a call may take; None for no limit.
    :param connect_timeout: seconds that connecting may take.
    :param keepalive: seconds of silence after which the server is told that we are
        still there; None never to do so. immudb drops a session that was silent for
        its ``--session-timeout``, two minutes.
    :param tls: whether to use TLS; so does naming any of the files below.
    :param ca: file with the certificates (PEM) to trust; the system's if not given.
    :param cert: file with our own certificate, for mutual TLS; with ``key``.
    :param key: file with its key.
    :param server_name: the name that the server's certificate has, if not ``host``.
    :raises OperationalError: no server there, TLS doesn't fit, wrong password, no such
        database, too many sessions.
    :raises InterfaceError: the arguments don't fit together, a file can't be read.
    """
    credentials = None
    if (cert is None) != (key is None):
        raise stores.InterfaceError("cert and key are needed together")
    if tls or ca is not None or cert is not None or server_name is not None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_read(ca),
            private_key=_read(key),
            certificate_chain=_read(cert),
        )
    try:
        number = int(port)
    except ValueError:
        raise stores.InterfaceError(f"no port: {port!r}") from None
    try:
        f"{host}{database}{user}{password}".encode()
    except UnicodeEncodeError as error:
        raise stores.InterfaceError(f"not Unicode: {error}") from None
    settings = Settings(
        target=f"[{host}]:{number}" if ":" in host else f"{host}:{number}",
        database=database,
        user=user,
        password=password,
        connect_timeout=connect_timeout,
        keepalive=keepalive,
        credentials=credentials,
        server_name=server_name,
    )
    return Connection(settings, timeout=timeout, autocommit=autocommit)


def _read(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise stores.InterfaceError(f"{path} can't be read: {error}") from error


@dataclasses.dataclass(slots=True)
class Transaction:
    """
    The open transaction of a connection.

    :param metadata: what names it in a call.
    :param failed: why it can only be rolled back; None if it is well.
    :param stream: the one that isn't read to its end yet.
    :param lingers: whether the server may still read for one that was cut off.
    """

    metadata: Metadata
    read_only: bool
    failed: str | None = None
    stream: Stream | None = None
    lingers: bool = False


class Connection:
    """
    A session with the server, see :func:`connect`.

    It belongs to one thread and one process. Another thread may call :meth:`close`,
    which cancels what is running. A session that the server has dropped, or a
    connection that it has closed, is renewed at the next call, unless a transaction
    is open; it is lost then.
    """

    Warning = stores.Warning
    Error = stores.Error
    InterfaceError = stores.InterfaceError
    DatabaseError = stores.DatabaseError
    DataError = stores.DataError
    OperationalError = stores.OperationalError
    IntegrityError = stores.IntegrityError
    InternalError = stores.InternalError
    ProgrammingError = stores.ProgrammingError
    NotSupportedError = stores.NotSupportedError

    #: Seconds that a call may take; None for no limit.
    timeout: float | None

    def __init__(
        self, settings: Settings, *, timeout: float | None, autocommit: bool
    ) -> None:
        self.timeout = timeout
        self._autocommit = autocommit
        self._closed = False
        self._transaction: Transaction | None = None
        # Texts whose answers were too large for one message.
        self._large: set[str] = set()
        self._link = Link(settings)
        self._link.open()
        self._finalizer = weakref.finalize(self, abandon, self._link)

    # PEP 249

    def cursor(self) -> Cursor:
        """Return a new cursor; all of a connection share its transaction."""
        self._usable()
        return Cursor(self)

    def close(self) -> None:
        """
        Roll back and close; once closed, nothing happens.

        A call that is running in another thread is cancelled, and raises
        :class:`~backendkit.stores.InterfaceError` there.
        """
        if not self._closed:
            self._closed = True
            self._finalizer.detach()
            if self._transaction is not None and self._transaction.stream is not None:
                self._transaction.stream.cancel()
                time.sleep(LINGER)
            self._transaction = None
            self._link.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    @property
    def autocommit(self) -> bool:
        """Whether a statement outside :meth:`begin` is a transaction of its own."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if self._transaction is not None and value != self._autocommit:
            raise stores.ProgrammingError("a transaction is open: commit or roll back")
        self._autocommit = value

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, be it one that can only be rolled back."""
        return self._transaction is not None

    def commit(self) -> Committed | None:
        """
        Commit the open transaction; without one, nothing happens.

        :return: its id and more; None if there was nothing to commit.
        :raises ConflictError: another one committed a change to what it had read.
            Nothing of it was kept, and it can be run again.
        :raises OperationalError: an error had ended it before, and nothing was
            committed; or no answer came, and whether it was is unknown.
        """
        self._usable()
        transaction = self._transaction
        if transaction is None:
            return None
        if transaction.failed is not None:
            raise stores.OperationalError(
                f"nothing was committed, roll back: {transaction.failed}"
            )
        if transaction.read_only:
            self.rollback()
            return None
        # immudb doesn't commit while somebody reads.
        self._settle()
        self._transaction = None
        try:
            answer = self._link.call(COMMIT, EMPTY, self.timeout, transaction.metadata)
        except grpc.RpcError as error:
            self._note(error)
            if connection_lost(error) and not never_sent(error):
                raise stores.OperationalError(
                    "no answer to the commit: whether it was made is unknown "
                    f"({translate(error)})"
                ) from error
            if transaction_lost(error):
                raise stores.OperationalError(
                    f"the transaction was lost, nothing was committed ({translate(error)})"
                ) from error
            raise translate(error) from error
        return Committed.of(answer)

    def rollback(self) -> None:
        """Roll back the open transaction; without one, nothing happens."""
        self._usable()
        transaction = self._transaction
        if transaction is None:
            return
        self._transaction = None
        if transaction.stream is not None:
            transaction.stream.close()
            with contextlib.suppress(stores.Error):
                transaction.stream.settle()
        if transaction.lingers:
            time.sleep(LINGER)
        try:
            self._link.call(ROLLBACK, EMPTY, self.timeout, transaction.metadata)
        except grpc.RpcError as error:
            self._note(error)
            # A transaction that can't be found, or whose server can't be, is no more.
            if not transaction_lost(error):
                raise translate(error) from error

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, or roll back after an error; and close."""
        try:
            if kind is None and not self._closed:
                self.commit()
        finally:
            self.close()

    # Transactions and statements

    def begin(self, *, read_only: bool = False) -> None:
        """
        Open a transaction; with autocommit off, the first statement does.

        :param read_only: it writes nothing and can't conflict.
        :raises ProgrammingError: one is open.
        """
        self._usable()
        if self._transaction is not None:
            raise stores.ProgrammingError("a transaction is open")
        mode = pb.TxMode.ReadOnly if read_only else pb.TxMode.ReadWrite
        answer = self._outside(NEW_TX, pb.NewTxRequest(mode=mode))
        self._transaction = Transaction(
            (("transactionid", answer.transactionID),), read_only
        )

    def query(self, sql: str, parameters: Parameters = ()) -> Rows:
        """
        Return all rows of a query.

        :param parameters: values of ``?`` in their order, or of ``@name`` by name.
        """
        decoder, rows = self._query(sql, parameters)
        return Rows(decoder.names, decoder.types, rows)

    def _query(
        self, sql: str, parameters: Parameters
    ) -> tuple[Decoder, list[tuple[Any, ...]]]:
        request = self._request(pb.SQLQueryRequest, sql, parameters, is_query=True)
        if self._transaction is None and sql not in self._large:
            try:
                return parse(self._outside(UNARY_QUERY, request))
            except stores.OperationalError as error:
                if not str(error).startswith(TOO_LARGE):
                    raise
            if len(self._large) >= 1_000:
                self._large.clear()
            self._large.add(sql)
        stream = self._stream(request, self.timeout)
        return stream.decoder, [row for batch in stream for row in batch]

    def stream(
        self,
        sql: str,
        parameters: Parameters = (),
        *,
        timeout: float | None = None,
    ) -> Stream:
        """
        Run a query whose rows aren't kept all at once.

        :param timeout: seconds in which all rows have to be read; no limit by itself,
            because the time that the reader takes counts, too.
        """
        request = self._request(pb.SQLQueryRequest, sql, parameters, is_query=True)
        return self._stream(request, timeout)

    def _stream(self, request: pb.SQLQueryRequest, timeout: float | None) -> Stream:
        request.acceptStream = True
        transaction = self._transaction

        def start() -> tuple[Any, bytes]:
            more = transaction.metadata if transaction else ()
            method = TX_QUERY if transaction else QUERY
            call = self._link.call(method, request, timeout, more)
            return call, next(call)

        if transaction is None:
            call, first = self._renewing(start, repeat=True)
        else:
            self._settle()
            call, first = self._inside(transaction, start, ends=False)
        stream = Stream(self, transaction, call, first)
        if transaction is not None:
            transaction.stream = stream
        return stream

    def run(self, sql: str, parameters: Parameters = ()) -> Committed | None:
        """
        Run a statement, or several at once, that answer with no rows.

        Several are one transaction, all or nothing, also outside of one.

        :return: what was committed; None inside a transaction.
        """
        request = self._request(pb.SQLExecRequest, sql, parameters, is_query=False)
        transaction = self._transaction
        if transaction is not None:
            self._settle()
            self._inside(
                transaction,
                lambda: self._link.call(
                    TX_EXEC, request, self.timeout, transaction.metadata
                ),
                ends=True,
            )
            return None
        answer: pb.SQLExecResult = self._outside(EXEC, request, repeat=False)
        return Committed.of(answer.txs[-1]) if answer.txs else None

    def _request(
        self, message: Any, sql: str, parameters: Parameters, *, is_query: bool
    ) -> Any:
        """Check and bind a statement; open the transaction that it needs."""
        self._usable()
        statement = analyze(sql)
        if statement.is_query is not is_query:
            raise stores.ProgrammingError(
                "this statement answers with rows: it is a query"
                if statement.is_query
                else "this statement answers with no rows: it is no query"
            )
        try:
            request = message(sql=sql, params=bind(statement, parameters))
        except UnicodeEncodeError:
            raise stores.ProgrammingError("the statement isn't Unicode") from None
        if self._transaction is None and not self._autocommit:
            self.begin()
        return request

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
        :raises ProgrammingError: it exists, or immudb allows no such name.
        """
        settings = pb.DatabaseNullableSettings()
        if max_tx_entries is not None:
            settings.maxTxEntries.value = max_tx_entries
        if max_active_snapshots is not None:
            settings.indexSettings.maxActiveSnapshots.value = max_active_snapshots
        if max_concurrency is not None:
            settings.maxConcurrency.value = max_concurrency
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
        """Return what the server says of itself."""
        answer = self._outside(SERVER_INFO, pb.ServerInfoRequest())
        return ServerInfo(
            version=answer.version.removeprefix("v"),
            uuid=self._link.server_uuid,
            started=datetime.datetime(1970, 1, 1)
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
    ) -> pb.VerifiableSQLEntry:
        """
        Return a row with its proofs.

        :param primary_key: its values in the order of the primary key's columns.
        :param since: the transaction of the state that the caller trusts.
        :param at: the transaction that wrote the row; the last one if not given.
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
        try:
            entry: pb.VerifiableSQLEntry = self._outside(VERIFIABLE_GET, request)
        except stores.DatabaseError as error:
            if not str(error).startswith("tbtree: key not found"):
                raise
            raise stores.ProgrammingError(
                f"there is no row {primary_key} in {table}"
            ) from error
        return entry

    def verifiable_tx(self, tx: int, *, since: int = 0) -> pb.VerifiableTx:
        """
        Return a transaction, its entries as digests, with the proof of its place.

        :param since: the transaction of the state that the caller trusts.
        """
        request = pb.VerifiableTxRequest(
            tx=tx,
            proveSinceTx=since,
            entriesSpec=pb.EntriesSpec(
                kvEntriesSpec=NO_DETAILS,
                zEntriesSpec=NO_DETAILS,
                sqlEntriesSpec=NO_DETAILS,
            ),
        )
        answer: pb.VerifiableTx = self._outside(VERIFIABLE_TX, request)
        return answer

    # Calls and what becomes of their errors

    def _usable(self) -> None:
        if self._closed:
            raise stores.InterfaceError("the connection is closed")
        if self._link.pid != os.getpid():
            raise stores.InterfaceError(
                "the connection was made by another process: connect again after a fork"
            )

    def _note(self, error: grpc.RpcError) -> None:
        """Remember what an error says of the connection."""
        if self._closed:
            raise stores.InterfaceError("the connection was closed") from error
        if connection_lost(error) or session_lost(error):
            self._link.broken = True

    def _outside(self, method: Method, request: Any, *, repeat: bool = True) -> Any:
        """
        Call a method that is no part of a transaction.

        :param repeat: whether it may be called again when no answer came.
        """
        self._usable()
        if not repeat and time.monotonic() - self._link.used > IDLE:
            # If the server was restarted meanwhile, this is what meets it.
            self._outside(KEEP_ALIVE, EMPTY)
        return self._renewing(
            lambda: self._link.call(method, request, self.timeout), repeat=repeat
        )

    def _renewing(self, call: Callable[[], T], *, repeat: bool) -> T:
        """Call, renewing a session or connection that is gone; but no transaction."""
        if self._link.broken and self._transaction is None:
            self._link.renew()
        try:
            return call()
        except grpc.RpcError as error:
            self._note(error)
            again = session_lost(error) or (
                error.code() is grpc.StatusCode.UNAVAILABLE
                and (repeat or never_sent(error))
            )
            if not again or self._transaction is not None:
                if not repeat and connection_lost(error):
                    raise stores.OperationalError(
                        "no answer: whether it was done is unknown "
                        f"({translate(error)})"
                    ) from error
                raise translate(error) from error
            if session_lost(error):
                self._link.open_session()
                self._link.broken = False
            else:
                self._link.renew()
        try:
            return call()
        except grpc.RpcError as error:
            self._note(error)
            raise translate(error) from error

    def _inside(
        self, transaction: Transaction, call: Callable[[], T], *, ends: bool
    ) -> T:
        """
        Call a method in a transaction.

        :param ends: whether immudb ends the transaction if it answers with an error.
        """
        if transaction.failed is not None:
            raise stores.OperationalError(
                f"the transaction is over, roll back: {transaction.failed}"
            )
        try:
            return call()
        except grpc.RpcError as error:
            raise self._failure(transaction, error, ends=ends) from error

    def _failure(
        self, transaction: Transaction, error: grpc.RpcError, *, ends: bool
    ) -> stores.Error:
        """Return what to raise for an error in a transaction, and remember it."""
        self._note(error)
        found = translate(error)
        if transaction_lost(error):
            found = stores.OperationalError(f"the transaction is lost: {found}")
            ends = True
        if ends:
            transaction.failed = str(found)
        return found

    def _settle(self) -> None:
        """Read the open stream of the transaction to its end, for its reader."""
        if self._transaction is not None and self._transaction.stream is not None:
            self._transaction.stream.settle()


class Stream:
    """
    The rows of a query as they come: an iterator of lists of tuples.

    In a transaction, another statement first reads the rest of it into memory.

    :ivar names: of the columns.
    :ivar types: immudb's names of their types.
    """

    def __init__(
        self,
        connection: Connection,
        transaction: Transaction | None,
        call: Any,
        first: bytes,
    ) -> None:
        self._connection = connection
        self._transaction = transaction
        self._call = call
        self.decoder, rows = parse(first)
        self.names = self.decoder.names
        self.types = self.decoder.types
        self._waiting: list[list[tuple[Any, ...]]] = [rows]
        self._discarded = False

    def __iter__(self) -> Iterator[list[tuple[Any, ...]]]:
        return self

    def __next__(self) -> list[tuple[Any, ...]]:
        if self._waiting:
            return self._waiting.pop(0)
        data = None if self._discarded else self._receive()
        if data is None:
            raise StopIteration
        return self._decode(data)

    def _decode(self, data: bytes) -> list[tuple[Any, ...]]:
        return self.decoder.many(pb.SQLQueryBatch.FromString(data))

    def _receive(self) -> bytes | None:
        """Return the next message; None at the end."""
        if self._call is None:
            return None
        self._connection._usable()
        try:
            data: bytes | None = next(self._call, None)
        except grpc.RpcError as error:
            self._done()
            if self._transaction is not None:
                self._transaction.lingers = True
                raise self._connection._failure(
                    self._transaction, error, ends=False
                ) from error
            self._connection._note(error)
            raise translate(error) from error
        if data is None:
            self._done()
        return data

    def _done(self) -> None:
        self._call = None
        if self._transaction is not None and self._transaction.stream is self:
            self._transaction.stream = None

    def settle(self) -> None:
        """Receive all that is left, into memory if somebody may want it."""
        while (data := self._receive()) is not None:
            if not self._discarded:
                self._waiting.append(self._decode(data))

    def close(self) -> None:
        """Read no more."""
        self._discarded = True
        self._waiting.clear()
        # In a transaction the rest is received, and dropped, before the next call: one
        # that is cancelled may still be read when immudb is told to roll back, which
        # then leaves the snapshot open for ever.
        if self._transaction is None:
            self.cancel()

    def cancel(self) -> None:
        """Tell the server to send no more."""
        if self._call is not None:
            self._call.cancel()
            self._done()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:
            self._call.cancel()
