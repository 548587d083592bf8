"""The cursor that looks at each statement before the driver gets it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from .errors import ReadOnlyError
from .statements import ends_transaction, refused, refused_copy, refused_values

if TYPE_CHECKING:
    from .base import ReadOnlyDatabaseWrapper

#: How names of methods begin by which drivers run statements, beside those below.
_RUNS = ("call", "copy", "execute")


class ReadOnlyCursor:
    """
    A driver's cursor that is given only statements that read.

    :param cursor: the driver's.
    :param wrapper: Django's connection.
    """

    _cursor: Any
    _wrapper: ReadOnlyDatabaseWrapper

    def __init__(self, cursor: Any, wrapper: ReadOnlyDatabaseWrapper) -> None:
        # Past __setattr__, which is for the driver's cursor.
        vars(self).update(_cursor=cursor, _wrapper=wrapper)

    def execute(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
        """
        Execute a statement that reads.

        :raises ReadOnlyError: it does more.
        """
        self._look_at(sql, args)
        result = self._cursor.execute(sql, *args, **kwargs)
        return self if result is self._cursor else result

    def executemany(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement for each set of parameters; as :meth:`execute`."""
        self._look_at(sql, args)
        result = self._cursor.executemany(sql, *args, **kwargs)
        return self if result is self._cursor else result

    def stream(self, sql: Any, *args: Any, **kwargs: Any) -> Iterable[Any]:
        """Execute a statement, as psycopg does, and return its rows as they come."""
        self._look_at(sql, args)
        rows: Iterable[Any] = self._cursor.stream(sql, *args, **kwargs)
        return rows

    def copy(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
        """Run ``COPY … TO STDOUT``, as psycopg does. :raises ReadOnlyError: another."""
        self._look_at(sql, args, copying=True)
        return self._cursor.copy(sql, *args, **kwargs)

    def callproc(self, procname: str, *args: Any, **kwargs: Any) -> Any:
        """Refuse: nobody knows what a procedure does."""
        raise ReadOnlyError(self._wrapper.alias, f"callproc({procname!r})")

    def _look_at(self, sql: Any, args: Sequence[Any], *, copying: bool = False) -> None:
        wrapper = self._wrapper
        if wrapper.is_setting_up:
            return
        writes = getattr(sql, "writes", None)
        if writes is None:
            text = _text(sql, wrapper)
            look = refused_copy if copying else refused
            why = look(text, wrapper.sql_family)
            if why is None and args and args[0] is not None:
                why = refused_values(text, wrapper.sql_family)
            ends = why is None and ends_transaction(text, wrapper.sql_family)
        else:
            why = "a statement that writes" if writes else None
            ends = False
        if why is not None:
            raise ReadOnlyError(wrapper.alias, why)
        wrapper.ask_server(ends_transaction=ends)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_RUNS):
            # Where the driver has none, it is the driver who says so.
            getattr(self._cursor, name)
            raise ReadOnlyError(self._wrapper.alias, f"cursor.{name}()")
        return getattr(self._cursor, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._cursor, name, value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def __next__(self) -> Any:
        return next(self._cursor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._cursor.close()


def _text(sql: Any, wrapper: Any) -> str:
    """Return a statement's text: psycopg takes bytes and composed statements, too."""
    if isinstance(sql, (bytes, bytearray)):
        return bytes(sql).decode("utf-8", "replace")
    compose = getattr(sql, "as_string", None)
    return str(sql if compose is None else compose(wrapper.connection))
