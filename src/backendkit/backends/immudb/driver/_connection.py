"""PEP 249's connection."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import grpc

from backendkit import stores
from backendkit.backends.immudb.arguments import complaint, hidden

from . import immudb_pb2 as pb
from ._audited import Auditor
from ._cursor import Cursor
from ._link import Settings
from ._methods import EXEC, QUERY, TX_EXEC, TX_QUERY, UNARY_QUERY
from ._results import Committed, Rows
from ._session import Deadline
from ._statements import analyze
from ._stream import Stream
from ._values import Decoder, Parameters, bind, parse

TOO_LARGE = "result size limit reached"


def connect(
    host: str = "127.0.0.1",
    port: int | str = 3322,
    database: str = "defaultdb",
    user: str = "immudb",
    password: str = "",
    *,
    autocommit: bool = False,
    timeout: float | None = 30.0,
    connect_timeout: float = 30.0,
    keepalive: float | None = 30.0,
    tls: bool = False,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    server_name: str | None = None,
    states: str | os.PathLike[str] | None = None,
    identity: str | None = None,
    public_key: str | os.PathLike[str] | None = None,
    require_state: bool = False,
) -> Connection:
    """
    Open a connection.

    :param autocommit: whether each statement is a transaction of its own.
    :param timeout: seconds that a call may take, with connecting again before it or
        within it; None for no limit.
    :param connect_timeout: seconds that connecting may take.
    :param keepalive: seconds of silence after which the server is told that we are
        still there; None never to do so. immudb drops a session that was silent for
        its ``--session-timeout``, two minutes.
    :param tls: whether to use TLS; so does naming any of the files below.
    :param ca: file with the certificates (PEM) to trust; the system's if not given.
    :param cert: file with our own certificate, for mutual TLS; with ``key``.
    :param key: file with its key.
    :param server_name: the name that the server's certificate has, if not ``host``.
    :param states: file in which :meth:`Connection.verified_get` keeps what it has
        verified; ``django-backendkit/immudb-states.json`` in ``XDG_STATE_HOME``
        (``~/.local/state``) if not given.
    :param identity: what the server is called there; host and port if not given. The
        server can't choose it: under another name it would be trusted anew.
    :param public_key: file with the key (PEM, ECDSA on P-256) with which the server has
        to have signed its states. Needs the extra ``immudb-signature``.
    :param require_state: whether a database of which ``states`` has nothing is an error
        when it is verified. If not, the server's state is trusted, and a warning in the
        log ``backendkit.immudb`` says so.
    :raises OperationalError: no server there, TLS doesn't fit, wrong password, no such
        database, too many sessions.
    :raises InterfaceError: an argument isn't what it has to be, some don't fit
        together, a file can't be read.
    """
    password = hidden(password)
    wrong = complaint(
        {
            "host": host,
            "port": port,
            "database": database,
            "user": user,
            "password": password,
            "timeout": timeout,
            "connect_timeout": connect_timeout,
            "keepalive": keepalive,
            "tls": tls,
            "ca": ca,
            "cert": cert,
            "key": key,
            "server_name": server_name,
            "states": states,
            "identity": identity,
            "public_key": public_key,
            "require_state": require_state,
        }
    )
    if wrong is not None:
        raise stores.InterfaceError(" ".join(wrong))
    credentials = None
    if (cert is None) != (key is None):
        raise stores.InterfaceError("cert and key are needed together")
    if tls or ca is not None or cert is not None or server_name is not None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_read(ca),
            private_key=_read(key),
            certificate_chain=_read(cert),
        )
    settings = Settings(
        target=f"[{host}]:{int(port)}" if ":" in host else f"{host}:{int(port)}",
        database=database,
        user=user,
        password=password,
        connect_timeout=connect_timeout,
        keepalive=keepalive,
        credentials=credentials,
        server_name=server_name,
    )
    return Connection(
        settings,
        timeout=timeout,
        autocommit=autocommit,
        states=states,
        identity=identity,
        public_key=public_key,
        require_state=require_state,
    )


def _read(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise stores.InterfaceError(f"{path} can't be read: {error}") from error


class Beside:
    """Queries on a connection that are no part of its open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def query(self, sql: str, parameters: Parameters = ()) -> Rows:
        """Return all rows of a query, as they are committed; few of them."""
        return self._connection._query_beside(sql, parameters)


class Connection(Auditor):
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

    def __init__(
        self,
        settings: Settings,
        *,
        timeout: float | None,
        autocommit: bool,
        states: str | os.PathLike[str] | None,
        identity: str | None,
        public_key: str | os.PathLike[str] | None,
        require_state: bool,
    ) -> None:
        super().__init__(
            settings,
            timeout,
            states=states,
            identity=identity,
            public_key=public_key,
            require_state=require_state,
        )
        self._autocommit = autocommit
        # Texts whose answers were too large for one message.
        self._large: set[str] = set()

    # PEP 249

    def cursor(self) -> Cursor:
        """Return a new cursor; all of a connection share its transaction."""
        self._usable()
        return Cursor(self)

    @property
    def autocommit(self) -> bool:
        """Whether a statement outside :meth:`begin` is a transaction of its own."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if self._transaction is not None and value != self._autocommit:
            raise stores.ProgrammingError(
                "a transaction is open: commit it or roll it back first"
            )
        self._autocommit = value

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

    def query(self, sql: str, parameters: Parameters = ()) -> Rows:
        """
        Return all rows of a query.

        :param parameters: values of ``?`` in their order, or of ``@name`` by name.
        """
        decoder, rows = self._query(sql, parameters)
        return Rows(decoder.names, decoder.types, rows)

    def _query_beside(self, sql: str, parameters: Parameters) -> Rows:
        self._usable()
        request = pb.SQLQueryRequest(sql=sql)
        bind(request.params, analyze(sql), parameters)
        decoder, rows = parse(self._outside(UNARY_QUERY, request))
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

    def beside(self) -> Beside:
        """Return what asks as if no transaction was open, on the same session."""
        return Beside(self)

    def stream(
        self,
        sql: str,
        parameters: Parameters = (),
        *,
        timeout: float | None = None,
        raw: bool = False,
    ) -> Stream:
        """
        Run a query whose rows aren't kept all at once.

        :param timeout: seconds in which all rows have to be read; no limit by itself,
            because the time that the reader takes counts, too.
        :param raw: whether times come as microseconds since 1970, and UUIDs as text.
            Python has no times after the year 9999, but immudb has.
        """
        request = self._request(pb.SQLQueryRequest, sql, parameters, is_query=True)
        return self._stream(request, timeout, raw=raw)

    def _stream(
        self, request: pb.SQLQueryRequest, timeout: float | None, *, raw: bool = False
    ) -> Stream:
        request.acceptStream = True
        transaction = self._transaction

        deadline = Deadline(timeout)

        def start() -> tuple[Any, bytes]:
            more = transaction.metadata if transaction else ()
            method = TX_QUERY if transaction else QUERY
            call = self._link.call(method, request, deadline.left(), more)
            return call, next(call)

        if transaction is None:
            call, first = self._renewing(start, deadline, repeat=True)
        else:
            self._settle()
            call, first = self._inside(transaction, start, ends=False)
        stream = Stream(self, transaction, call, first, raw=raw)
        if transaction is not None:
            transaction.stream = stream
        return stream

    def run(
        self, sql: str, parameters: Parameters = (), *, commit: bool = False
    ) -> Committed | None:
        """
        Run a statement, or several at once, that answer with no rows.

        Several are one transaction, all or nothing, also outside of one.

        :param commit: whether the open transaction is committed in the same call. The
            errors are then those of :meth:`commit`, too, and it is over in any case.
        :return: what was committed; None inside a transaction.
        """
        request = self._request(pb.SQLExecRequest, sql, parameters, is_query=False)
        transaction = self._transaction
        if transaction is not None and commit:
            # immudb answers it as any statement: without the transaction's number.
            request.sql += "; COMMIT"
            self._commit(transaction, TX_EXEC, request)
            return None
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

    def send(self, sql: str, parameters: Parameters = ()) -> None:
        """
        Run a statement, or several, in the open transaction, and don't wait.

        The next call in the transaction waits for it before it is sent, and raises its
        error, if there is one. Meanwhile what comes next can be bound.

        :raises ProgrammingError: no transaction is open.
        """
        request = self._request(pb.SQLExecRequest, sql, parameters, is_query=False)
        transaction = self._transaction
        if transaction is None:
            raise stores.ProgrammingError("no transaction is open")
        self._settle()
        transaction.running = self._inside(
            transaction,
            lambda: self._link.call(
                TX_EXEC, request, self.timeout, transaction.metadata, wait=False
            ),
            ends=True,
        )

    def _request(
        self, message: Any, sql: str, parameters: Parameters, *, is_query: bool
    ) -> Any:
        """Check and bind a statement; open the transaction that it needs."""
        self._usable()
        statement = analyze(sql)
        if statement.is_query is not is_query:
            raise stores.ProgrammingError(
                "this statement returns rows: it is a query"
                if statement.is_query
                else "this statement returns no rows: it is no query"
            )
        try:
            request = message(sql=sql)
        except UnicodeEncodeError:
            raise stores.ProgrammingError(
                "the statement contains a lone surrogate, which isn't valid Unicode"
            ) from None
        bind(request.params, statement, parameters)
        if self._transaction is None and not self._autocommit:
            self.begin()
        return request
