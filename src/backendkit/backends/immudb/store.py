"""``ImmudbStore``: a database of an immudb server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    COMPARISONS,
    Capabilities,
    DatabaseError,
    Mutex,
    Order,
    Precision,
    Session,
    Store,
    Table,
    ValueType,
)

from .prefixes import PREFIX_LOOKUPS
from .session import ImmudbSession
from .shared import Place, shared

if TYPE_CHECKING:
    from .driver import Connection

_EXACT = dict.fromkeys(COMPARISONS, Precision.EXACT)
_RANGES = ("gt", "gte", "lt", "lte")
_NO_RANGES = dict.fromkeys(_RANGES, Precision.NONE)


class ImmudbStore(Store):
    """
    A database, for one connection of Django.

    :param options: arguments of :func:`.driver.connect`, but for ``autocommit``.

    Its sessions share connections to the server: as many as have transactions at the
    same time. What is known of tables is shared by all stores of the process.
    """

    capabilities = Capabilities(
        filters={**_EXACT, **dict.fromkeys(PREFIX_LOOKUPS, Precision.COARSE)},
        filters_by_type={
            # Text of a number sorts by its digits.
            ValueType.DECIMAL: _NO_RANGES,
            ValueType.BOOL: _NO_RANGES,
            # In another client's table, immudb has rewritten them.
            ValueType.JSON: dict.fromkeys(COMPARISONS - {"isnull"}, Precision.NONE),
        },
        negations=COMPARISONS,
        indexed=True,
        # And others: see ImmudbSession._access.
        order=Order.INDEX,
        limit=True,
        serializable=True,
        count=True,
        multiple_processes=True,
        remote=True,
    )

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self.patience = options.get("timeout", self.patience)
        self.place: Place = (
            str(options.get("host", "127.0.0.1")),
            int(options.get("port", 3322)),
            str(options.get("database", "defaultdb")),
        )
        self.shared = shared(self.place)
        #: Lengths of the columns of tables, by what they are.
        self.sizes: dict[int, tuple[Table, Mapping[str, int]]] = {}
        self._idle: list[Connection] = []
        self._lock = Mutex()
        self._pid = os.getpid()
        self._closed = False

    def session(self) -> Session:
        return ImmudbSession(self)

    def reader(self) -> Session:
        return ImmudbSession(self, reading=True)

    def version(self) -> tuple[int, ...]:
        """Return the server's version, empty if it doesn't tell; asked for once."""
        with self.other() as connection:
            known = self.shared.version
            if known is None:
                # The server measures its files for the answer, and fails where a
                # database is deleted at the moment.
                text = ""
                with contextlib.suppress(DatabaseError):
                    text = connection.server_info().version
                parts = text.split(".")
                known = tuple(int(part) for part in parts if part.isdigit())
                self.shared.version = known
        return known

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # Connections

    def acquire(self) -> Connection:
        """
        Return a connection that nobody uses, in no transaction.

        :raises OperationalError: the server isn't there, or refuses.
        """
        with self._lock:
            if self._pid != os.getpid():
                # A forked process can't use its parent's; nor may it close them.
                self._abandoned, self._idle = self._idle, []
                self._pid = os.getpid()
            if self._idle:
                return self._idle.pop()
        from .driver import connect  # noqa: PLC0415  # gRPC is loaded when it is used

        return connect(**self._options, autocommit=True)

    def release(self, connection: Connection) -> None:
        """Give a connection back."""
        if connection.inherited:
            return  # nobody can use it here
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    @contextlib.contextmanager
    def other(self) -> Iterator[Connection]:
        """Lend a connection that is in no transaction."""
        connection = self.acquire()
        try:
            yield connection
        finally:
            self.release(connection)
