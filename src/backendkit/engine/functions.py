"""sqlite3's way to define SQL functions, for Django's, over apsw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from backendkit.stores import OperationalError


class Functions:
    """
    The methods of ``sqlite3.Connection`` that define functions and collations.

    Django registers the functions of its SQLite dialect through them.

    :param databases: the SQLite connections that get each definition.
    """

    def __init__(self, *databases: apsw.Connection) -> None:
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
            database.create_scalar_function(
                name, wrapped, narg, deterministic=deterministic
            )

    def create_aggregate(self, name: str, n_arg: int, aggregate: Any) -> None:
        """Define an aggregate by a class with ``step`` and ``finalize``."""

        def start() -> tuple[Any, Callable[..., None], Callable[[Any], Any]]:
            return _Aggregate(aggregate), _Aggregate.step, _Aggregate.final

        for database in self._databases:
            database.create_aggregate_function(name, start, n_arg)

    def create_collation(
        self, name: str, callable_: Callable[[str, str], int] | None
    ) -> None:
        """Define a collation by a comparison of two strings. None removes it."""
        for database in self._databases:
            database.create_collation(name, callable_)


def _guarded(func: Callable[..., Any]) -> Callable[..., Any]:
    """Raise what sqlite3 raises when a function does."""

    def call(*args: Any) -> Any:
        try:
            return func(*args)
        except Exception as error:
            msg = "user-defined function raised exception"
            raise OperationalError(msg) from error

    return call


class _Aggregate:
    """An aggregate that comes into being with its first row; NULL without one."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._instance: Any = None

    def step(self, *args: Any) -> None:
        """Take a row's arguments."""
        if self._instance is None:
            self._instance = _guarded(self._kind)()
        _guarded(self._instance.step)(*args)

    def final(self) -> Any:
        """Return the result."""
        if self._instance is None:
            return None
        return _guarded(self._instance.finalize)()
