"""The one error of a write that was refused, whoever refused it."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Any

from django.db.utils import DatabaseErrorWrapper, NotSupportedError

#: PostgreSQL's SQLSTATE: read_only_sql_transaction.
_SQLSTATE = "25006"
#: MySQL's and MariaDB's ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, and
#: ER_OPTION_PREVENTS_STATEMENT (the server itself is read-only).
_MYSQL_ERRORS = frozenset({1792, 1290})
#: https://www.sqlite.org/rescode.html: the lowest byte of an extended code.
_SQLITE_CODES = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH})


class ReadOnlyError(NotSupportedError):
    """
    A write to a database that is configured to be read-only. Nothing has changed.

    :param alias: of the database.
    :param what: that was refused, to follow "refuses".
    """

    def __init__(self, alias: str, what: str) -> None:
        super().__init__(
            f"The database {alias!r} is read-only and refuses {what}. Use a database"
            " alias that may write: .using(), --database or a database router"
            " (db_for_write, allow_migrate)."
        )
        self.alias = alias
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it by its arguments, for parallel tests."""
        return type(self), (self.alias, self.what)


def refused_by_server(error: BaseException) -> bool:
    """Whether an exception of a driver says that the database is read-only."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state == _SQLSTATE:
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _SQLITE_CODES
    if getattr(error, "read_only", False):
        return True
    return bool(error.args) and error.args[0] in _MYSQL_ERRORS


class ReadOnlyErrorWrapper(DatabaseErrorWrapper):
    """Raises :class:`ReadOnlyError` where the server refused; else as Django does."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc_value, self.wrapper.Database.Error) and refused_by_server(
            exc_value
        ):
            what = f"the statement. The server's message is: {str(exc_value).strip()}"
            raise ReadOnlyError(self.wrapper.alias, what) from exc_value
        super().__exit__(exc_type, exc_value, traceback)
