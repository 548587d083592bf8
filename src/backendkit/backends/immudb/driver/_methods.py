"""The methods of immudb's service that the driver calls."""

from __future__ import annotations

import dataclasses
from typing import Any

from . import immudb_pb2 as pb


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Method:
    """
    A method of immudb's service.

    :param name: without the service's.
    :param request: the class of its request.
    :param response: the class of its answer; None for the bytes as they come.
    :param streams: whether it answers with several messages.
    """

    name: str
    request: Any
    response: Any
    streams: bool = False


class Login:
    """
    A request to open a session.

    It is made when it is sent, because messages show what is in them: no frame of a call
    that fails has the password, gRPC's neither.
    """

    def __init__(self, user: str, password: str, database: str) -> None:
        self._values = user, password, database

    def SerializeToString(self) -> bytes:  # noqa: N802  # protobuf's name
        """Return the message."""
        user, password, database = self._values
        return pb.OpenSessionRequest(
            username=user.encode(), password=password.encode(), databaseName=database
        ).SerializeToString()


OPEN_SESSION = Method("OpenSession", Login, pb.OpenSessionResponse)
CLOSE_SESSION = Method("CloseSession", pb.Empty, pb.Empty)
KEEP_ALIVE = Method("KeepAlive", pb.Empty, pb.Empty)
EMPTY = pb.Empty()
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
TX_SCAN = Method("TxScan", pb.TxScanRequest, pb.TxList)
