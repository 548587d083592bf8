"""The engine as a PEP 249 module: what ``DatabaseWrapper.Database`` is."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import apsw

from backendkit.clock import real
from backendkit.stores import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Store,
    Warning,  # noqa: A004  # PEP 249 prescribes this name
    guarded,
)

from .connection import Connection
from .cursor import Cursor
from .functions import Functions
from .limits import ScanLimits

apilevel = "2.0"
#: Threads may share the module, not connections.
threadsafety = 1
paramstyle = "qmark"

Binary = memoryview
Date = real.date
Time = datetime.time
Timestamp = real.datetime
DateFromTicks = real.date.fromtimestamp
TimestampFromTicks = real.datetime.fromtimestamp

sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(int(part) for part in sqlite_version.split("."))


def connect(
    store: Store,
    define: Callable[[Functions], None] | None = None,
    *,
    immediate: bool = False,
    limits: ScanLimits | None = None,
) -> Connection:
    """Return a new :class:`Connection` to a store; see there."""
    return Connection(guarded(store), define, immediate=immediate, limits=limits)


__all__ = [
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "Functions",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "sqlite_version",
    "sqlite_version_info",
    "threadsafety",
]
