"""sqlite3's way to define SQL functions, for Django's, over apsw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from backendkit.stores import DatabaseError, DataError, OperationalError

from .errors import translated

_INTEGERS = range(-(2**63), 2**63)


class Functions:
    """
    The methods of ``sqlite3.Connection`` that define functions and collations.

    Django registers the functions of its SQLite dialect through them.

    :param failures: where aggregates leave their exceptions.
    :param databases: the SQLite connections that get each definition.
    """

    def __init__(
        self, failures: list[DatabaseError], *databases: apsw.Connection
    ) -> None:
        self._failures = failures
        self._databases = databases

    def execute(self, sql: str) -> apsw.Cursor:
        """Run a statement on SQLite itself: what was it compiled with?"""
        return self._databases[0].execute(sql)

    def create_function(
        self,
        name: str,
        narg: int,
        func: Callable[..., Any] | None,
        *,
        deterministic: bool = False,
    ) -> None:
        """Define a scalar function; -1 arguments are any number. None removes it."""
        wrapped = None if func is None else _guarded(func)
        for database in self._databases:
            with translated():
                database.create_scalar_function(
                    name, wrapped, narg, deterministic=deterministic
                )

    def create_aggregate(self, name: str, n_arg: int, aggregate: Any) -> None:
        """Define an aggregate by a class with ``step`` and ``finalize``."""

        def start() -> tuple[Any, Callable[..., None], Callable[[Any], Any]]:
            instance = _Aggregate(aggregate, self._failures)
            return instance, _Aggregate.step, _Aggregate.final

        for database in self._databases:
            with translated():
                database.create_aggregate_function(name, start, n_arg)

    def create_collation(
        self, name: str, callable_: Callable[[str, str], int] | None
    ) -> None:
        """Define a collation by a comparison of two strings. None removes it."""
        for database in self._databases:
            with translated():
                database.create_collation(name, callable_)


def _guarded(func: Callable[..., Any]) -> Callable[..., Any]:
    """Raise what sqlite3 raises when a function does."""

    def call(*args: Any) -> Any:
        try:
            return _result(func(*args))
        except Exception as error:
            raise _failure(error) from error

    return call


def _result(value: Any) -> Any:
    """
    Return a value that a function has returned, if SQLite has such values.

    :raises OverflowError: an integer of more than 64 bits.
    :raises UnicodeEncodeError: half of a surrogate.
    :raises TypeError: neither a number nor a text nor bytes.
    """
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        if value not in _INTEGERS:
            raise OverflowError
        return value
    if isinstance(value, str):
        if not value.isascii():
            value.encode()
        return value
    return value if isinstance(value, bytes) else bytes(memoryview(value))


def _failure(error: Exception) -> DatabaseError:
    if isinstance(error, OverflowError):
        return DataError("string or blob too big")
    return OperationalError("user-defined function raised exception")


class _Aggregate:
    """
    An aggregate that comes into being with its first row; NULL without one.

    SQLite may drop the error of a group that isn't in the answer, and apsw then
    leaves Python's exception pending. So it is kept aside, for the cursor.
    """

    def __init__(self, kind: Any, failures: list[DatabaseError]) -> None:
        self._kind = kind
        self._failures = failures
        self._instance: Any = None

    def step(self, *args: Any) -> None:
        """Take a row's arguments."""
        try:
            if self._instance is None:
                self._instance = self._kind()
            self._instance.step(*args)
        except Exception as error:  # noqa: BLE001  # the cursor raises it
            self._fail(error)

    def final(self) -> Any:
        """Return the result."""
        if self._instance is None:
            return None
        try:
            return _result(self._instance.finalize())
        except Exception as error:  # noqa: BLE001  # the cursor raises it
            self._fail(error)
            return None

    def _fail(self, error: Exception) -> None:
        failure = _failure(error)
        failure.__cause__ = error
        self._failures.append(failure)
