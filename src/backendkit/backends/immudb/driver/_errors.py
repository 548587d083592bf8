"""
What immudb's errors are in PEP 249's terms.

Most of them have no code, only a text. It is recognised by how it begins: what
follows may be the user's own words.
"""

from __future__ import annotations

import grpc

from backendkit.stores import (
    ConflictError,
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from . import immudb_pb2 as pb

CODE = grpc.StatusCode


class TamperedError(DatabaseError):
    """
    What the server answered isn't proven by what it sent with it.

    Either it, or somebody between, shows another history than the one that was verified
    before. Asking again doesn't help.
    """


# By how the text begins; the first that fits.
TEXTS: dict[str, type[Error]] = {
    "tx read conflict": ConflictError,
    # More commits at once than the database allows: this one wasn't begun.
    "max concurrency limit exceeded": ConflictError,
    "key already exists": IntegrityError,
    "not nullable column can not be null": IntegrityError,
    "primary key can not be null": IntegrityError,
    "check constraint violation": IntegrityError,
    "max length exceeded": DataError,
    "max key length exceeded": DataError,
    "max value length exceeded": DataError,
    "invalid value provided": DataError,
    "value is not a": DataError,
    "values are not comparable": DataError,
    "numeric type expected": DataError,
    "invalid types": DataError,
    "division by zero": DataError,
    "indexed key of unsupported type or exceeded length": DataError,
    "strconv.": DataError,
    "grpc: received message larger than max": DataError,
    "syntax error": ProgrammingError,
    "parsing error": ProgrammingError,
    "table does not exist": ProgrammingError,
    "column does not exist": ProgrammingError,
    "function does not exist": ProgrammingError,
    "table already exists": ProgrammingError,
    "column already exists": ProgrammingError,
    "index already exists": ProgrammingError,
    "database already exists": ProgrammingError,
    "index not found": ProgrammingError,
    "constraint not found": ProgrammingError,
    "column is not": ProgrammingError,
    "cannot drop column": ProgrammingError,
    "same old and new names": ProgrammingError,
    "duplicated": ProgrammingError,
    "invalid column": ProgrammingError,
    "invalid check constraint": ProgrammingError,
    "invalid number of values": ProgrammingError,
    "invalid condition": ProgrammingError,
    "invalid comparison operator": ProgrammingError,
    "invalid positional parameter": ProgrammingError,
    "either ": ProgrammingError,
    "colon expected": ProgrammingError,
    "double quote expected": ProgrammingError,
    "reserved word": ProgrammingError,
    "no primary key specified": ProgrammingError,
    "multiple primary keys": ProgrammingError,
    "inferred multiple types": ProgrammingError,
    "illegal statement": ProgrammingError,
    "illegal arguments": ProgrammingError,
    "ambiguous selector": ProgrammingError,
    "missing parameter": ProgrammingError,
    "unsupported parameter": ProgrammingError,
    "must appear in the group by": ProgrammingError,
    "having clause requires": ProgrammingError,
    "unrecognized character in database name": ProgrammingError,
    "tx does not exist": ProgrammingError,
    "tx not found": ProgrammingError,
    "read-only transaction": ProgrammingError,
    "database is reserved": ProgrammingError,
    "not supported": NotSupportedError,
    "primary key can not be updated": NotSupportedError,
    "new column must be nullable": NotSupportedError,
    "only ": NotSupportedError,
    "unique index creation is only supported": NotSupportedError,
    "number of columns in multi-column index": NotSupportedError,
    "cannot index column of type JSON": NotSupportedError,
    "cannot change a non-transient key": NotSupportedError,
    "unsupported join type": NotSupportedError,
    "database does not exist": OperationalError,
    "database is read-only because it's a replica": OperationalError,
    "access denied": OperationalError,
    "permission denied": OperationalError,
    "user is not active": OperationalError,
    "max ": OperationalError,
    "can not create new session": OperationalError,
    "MVCC read-set limit exceeded": OperationalError,
    "result size limit": OperationalError,
    "transaction pool exhausted": OperationalError,
    "read tx pool exhausted": OperationalError,
    "write stalling": OperationalError,
    "tx size greater than max": OperationalError,
    "too many": OperationalError,
    "data is corrupted": InternalError,
    "tx data is corrupted": InternalError,
    "commit-log is corrupted": InternalError,
    "corrupted": InternalError,
}

CODES: dict[grpc.StatusCode, type[Error]] = {
    CODE.CANCELLED: OperationalError,
    CODE.DEADLINE_EXCEEDED: OperationalError,
    CODE.UNAVAILABLE: OperationalError,
    CODE.RESOURCE_EXHAUSTED: OperationalError,
    CODE.PERMISSION_DENIED: OperationalError,
    CODE.UNAUTHENTICATED: OperationalError,
    CODE.NOT_FOUND: ProgrammingError,
    CODE.INVALID_ARGUMENT: ProgrammingError,
    CODE.UNIMPLEMENTED: NotSupportedError,
    CODE.INTERNAL: InternalError,
    CODE.DATA_LOSS: InternalError,
}

SQLSTATES: dict[str, type[Error]] = {
    "25P02": ConflictError,
    "23000": IntegrityError,
    "3F000": OperationalError,
}

REMEDIES = {
    "max number of entries per tx exceeded": (
        "each row and each of its index entries counts as one entry; the limit is a"
        " setting of the database, and is set when the database is created"
    ),
    "MVCC read-set limit exceeded": (
        "a read-write transaction has read too many rows; the limit is a setting of"
        " the database, and is set when the database is created"
    ),
    "max active snapshots limit": (
        "clients have left transactions open; restart the server to end them"
    ),
    "can not create new session: max sessions": "close connections, or start the server with a higher --max-sessions",
    "max concurrency limit exceeded": (
        "too many commits at once; run the transaction again, or create the database"
        " with a higher limit"
    ),
    "tx read conflict": "another transaction has changed rows that this one has read; run it again",
    "grpc: received message larger than max": (
        "split the statement, or start the server with a higher --max-recv-msg-size"
    ),
    "values are not comparable": (
        "a parameter needs the type of its column; a UUID needs CAST(? AS UUID)"
    ),
}

#: What the server's system says if it can't write; anywhere in a text.
_NO_ROOM = ("no space left on device", "file too large", "disk quota exceeded")
_NO_ROOM_REMEDY = (
    "the server's disk is full, and its indexes may be wrong from now on, even when there"
    " is room again: queries may return wrong rows. Stop the server and make room. Then"
    " restore a backup, or let the server make its indexes anew, as backendkit's page on"
    " troubleshooting says"
)


def sqlstate(error: grpc.RpcError) -> str | None:
    """Return the SQLSTATE of an error; None if immudb gave it none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in pb.Status.FromString(value).details:
                if detail.type_url.endswith("/immudb.schema.ErrorInfo"):
                    return pb.ErrorInfo.FromString(detail.value).code
    return None


def text(error: grpc.RpcError) -> str:
    """Return what immudb or gRPC said, with a remedy if we know one."""
    said = error.details() or error.code().name
    if _no_room(said):
        return f"{said}: {_NO_ROOM_REMEDY}"
    for beginning, remedy in REMEDIES.items():
        if said.startswith(beginning):
            return f"{said} ({remedy})"
    return said


def translate(error: grpc.RpcError) -> Error:
    """Return PEP 249's exception for one of gRPC; raise it from that one."""
    said = error.details() or ""
    if _no_room(said):
        return OperationalError(text(error))
    for beginning, cls in TEXTS.items():
        if said.startswith(beginning):
            return cls(text(error))
    state = sqlstate(error)
    if state in SQLSTATES:
        return SQLSTATES[state](text(error))
    # The server's clock may be the first, and cancels.
    if error.code() in (CODE.DEADLINE_EXCEEDED, CODE.CANCELLED):
        return OperationalError("immudb didn't answer within the time-out")
    return CODES.get(error.code(), DatabaseError)(text(error))


def _no_room(said: str) -> bool:
    return said.endswith(_NO_ROOM)


def session_lost(error: grpc.RpcError) -> bool:
    """Whether the server has forgotten the session; then it did nothing else."""
    # The first is the answer to a call, the second to one that streams.
    return error.details() in ("session not found", "no session found")


def transaction_lost(error: grpc.RpcError) -> bool:
    """Whether the server has no such transaction, or it can't be known."""
    return (
        session_lost(error)
        or error.details() in ("no transaction found", "no ongoing transaction")
        or connection_lost(error)
    )


def connection_lost(error: grpc.RpcError) -> bool:
    """Whether there was no answer."""
    return error.code() in (CODE.UNAVAILABLE, CODE.DEADLINE_EXCEEDED, CODE.CANCELLED)


def never_sent(error: grpc.RpcError) -> bool:
    """Whether the request can't have reached a server."""
    return error.code() is CODE.UNAVAILABLE and (error.details() or "").startswith(
        "failed to connect"
    )
