"""
A PEP 249 driver for immudb, usable without Django.

It speaks immudb's own protocol with grpcio and protobuf. What it adds to
:pep:`249` is on :class:`Connection`: transactions with their ids, databases,
states and proofs::

    from backendkit.backends.immudb import driver

    with driver.connect("127.0.0.1", 3322, "defaultdb", "immudb", "…") as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT name FROM city WHERE id = ?", (5,))
        print(cursor.fetchone())
"""

import os

# gRPC reads it when it is loaded. Without it, a process that has used gRPC and forks
# (Django's parallel tests, servers that load the application first) leaves children
# in which no new connection can be made, even if it has closed its own.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")

from backendkit.stores import (
    ConflictError,
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004  # PEP 249 prescribes this name
)

from ._connection import Beside, Connection, connect
from ._cursor import Cursor
from ._errors import TamperedError
from ._results import Committed, DatabaseInfo, Rows, ServerInfo
from ._stream import Stream
from ._types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from ._verified import VerifiedRow

apilevel = "2.0"

# Threads may share the module, but not a connection; close() is the exception.
threadsafety = 1

# immudb's own `?`; a mapping is bound to its `@name`.
paramstyle = "qmark"

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Beside",
    "Binary",
    "Committed",
    "ConflictError",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "DatabaseInfo",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Rows",
    "ServerInfo",
    "Stream",
    "TamperedError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "VerifiedRow",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]
