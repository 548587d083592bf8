"""The second line of defence: databases that are asked to refuse writes themselves."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from .statements import PRAGMAS, PRAGMAS_OF

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class Server:
    """
    A database of which nothing is known: only the statements are looked at.

    :param wrapper: Django's connection, maybe not connected.
    """

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self.wrapper = wrapper

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the OPTIONS that the backend is shown."""
        return options

    def params(self, params: Any) -> Any:
        """Return the parameters to connect with."""
        return params

    def begin(self) -> None:
        """Make a new session read-only."""

    def set_up(self) -> None:
        """Note that the backend has set up the session."""

    def ask(self) -> None:
        """Make sure that the session is read-only, before each statement."""

    def forget(self) -> None:
        """Note that a transaction begins or has ended."""


class PostgreSQL(Server):
    """
    ``default_transaction_read_only`` for the session.

    The server reports each change of it together with its answers, so looking at it
    costs nothing (https://www.postgresql.org/docs/current/libpq-status.html).
    """

    _NAME = "default_transaction_read_only"
    _ASK = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET TRANSACTION READ ONLY"

    def begin(self) -> None:
        self.ask()
        # A rollback would take it back.
        if not self.wrapper.get_autocommit():
            self.wrapper.connection.commit()

    def ask(self) -> None:
        connection = self.wrapper.connection
        if connection.info.parameter_status(self._NAME) == "on":
            return
        # A transaction that has failed takes no statement, and none will be run in it.
        if connection.info.transaction_status != _IN_ERROR:
            with connection.cursor() as cursor:
                cursor.execute(self._ASK)


#: PQTRANS_INERROR of libpq.
_IN_ERROR = 3


class MySQL(Server):
    """
    ``SET SESSION TRANSACTION READ ONLY``, and each transaction begun as a read-only one.

    The server doesn't tell when a stored function takes back what is set for the
    session, so it is set anew before each statement in autocommit mode. A transaction
    stays what it began as.
    """

    _asked = False

    def begin(self) -> None:
        with self.wrapper.connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        self._asked = False

    def ask(self) -> None:
        autocommit = self.wrapper.get_autocommit()
        if self._asked and not autocommit:
            return
        with self.wrapper.connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION TRANSACTION READ ONLY"
                if autocommit
                else "START TRANSACTION READ ONLY"
            )
        self._asked = not autocommit

    def forget(self) -> None:
        self._asked = False


class SQLite(Server):
    """
    ``mode=ro`` for files, ``PRAGMA query_only``, and an authorizer that keeps it.

    The authorizer is SQLite's own: it is asked about each part of each statement.
    """

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        # BEGIN IMMEDIATE takes the right to write.
        return {k: v for k, v in options.items() if k != "transaction_mode"}

    def params(self, params: Any) -> Any:
        database = str(params["database"])
        if self.wrapper.creation.is_in_memory_db(database):
            return params
        return {**params, "database": _read_only_uri(database)}

    def begin(self) -> None:
        self.wrapper.connection.execute("PRAGMA query_only = ON")

    def set_up(self) -> None:
        # A backend may set PRAGMAs before.
        self.wrapper.connection.set_authorizer(_authorize)


def _read_only_uri(database: str) -> str:
    """Return the URI that opens a file for reading only."""
    if not database.startswith("file:"):
        return f"{Path(database).absolute().as_uri()}?mode=ro"
    path, _, query = database.partition("?")
    pairs = [(k, v) for k, v in parse_qsl(query) if k != "mode"]
    return f"{path}?{urlencode([*pairs, ('mode', 'ro')])}"


def _authorize(action: int, what: str | None, value: str | None, *of: object) -> int:
    """Allow all but other files and PRAGMAs that set something."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA:
        allowed = PRAGMAS if value is None else PRAGMAS_OF
        if (what or "").lower() not in allowed:
            return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


class OwnRefusal(Server):
    """
    A backend that knows by itself how to refuse: it has ``refuse_writes()``.

    All stores of ours do, by their session. A store with an option ``readonly`` is
    opened with it.
    """

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        shown = {k: v for k, v in options.items() if k != "transaction_mode"}
        if "readonly" in getattr(self.wrapper, "store_options", ()):
            shown["readonly"] = True
        return shown

    def begin(self) -> None:
        self.wrapper.refuse_writes()  # see server_of()


_SERVERS = {"mysql": MySQL, "postgresql": PostgreSQL, "sqlite": SQLite}
_FAMILIES = {
    "django.db.backends.mysql.base": "mysql",
    "django.db.backends.postgresql.base": "postgresql",
    "django.db.backends.sqlite3.base": "sqlite",
}


def family_of(wrapper: BaseDatabaseWrapper) -> str:
    """Return whose SQL a database speaks: that of Django's backend it builds upon."""
    modules = (kind.__module__ for kind in type(wrapper).__mro__)
    known = (_FAMILIES[module] for module in modules if module in _FAMILIES)
    return next(known, wrapper.vendor)


def server_of(wrapper: BaseDatabaseWrapper) -> Server:
    """Return what asks the database of a connection."""
    if hasattr(wrapper, "refuse_writes"):
        return OwnRefusal(wrapper)
    family = family_of(wrapper)
    if family == "sqlite" and wrapper.Database is not sqlite3.dbapi2:
        return Server(wrapper)
    return _SERVERS.get(family, Server)(wrapper)
