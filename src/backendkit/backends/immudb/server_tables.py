"""
immudb's own functions that return tables, for raw SQL: ``SELECT * FROM TABLES()``.

SQLite runs the statement, and asks the server for the rows when it reads the function, so
that it can be joined and filtered as any table. Like immudb's, it tells what is committed,
with immudb's names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from backendkit.engine.schema_tables import MasterModule
from backendkit.stores import ProgrammingError

if TYPE_CHECKING:
    import apsw

    from backendkit.engine.connection import Connection

_FLAGS = ("nullable", "auto_increment", "indexed", "primary", "unique")
#: Their columns; behind those, what the function is called with.
_FUNCTIONS = {
    "TABLES": (("name",), ()),
    "COLUMNS": (("table", "name", "type", "max_length", *_FLAGS), ("of",)),
    "INDEXES": (("table", "name", "unique", "primary"), ("of",)),
    "USERS": (("name", "permission"), ()),
    "DATABASES": (("name",), ()),
}


def register(connection: Connection) -> None:
    """Let a connection's SQLite find them. A table of the same name takes its place."""
    for name, (columns, arguments) in _FUNCTIONS.items():
        connection.sqlite.create_module(
            name,
            cast(
                "apsw.VTModule", ServerTableModule(connection, name, columns, arguments)
            ),
            use_bestindex_object=True,
            use_no_change=True,
            iVersion=2,
            eponymous=True,
            eponymous_only=True,
        )


class ServerTableModule(MasterModule):
    """
    One of these functions.

    :param name: of the function.
    :param columns: what it returns.
    :param arguments: what it is called with.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        columns: Sequence[str],
        arguments: Sequence[str],
    ) -> None:
        super().__init__(connection)
        self._name = name
        self.columns = (*columns, *arguments)
        self.arguments = len(arguments)

    def rows(self, arguments: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        """
        Return the rows that the server has.

        :raises ProgrammingError: there is no such table, or no argument.
        """
        if len(arguments) < self.arguments:
            raise ProgrammingError(
                f"{self._name}() needs the name of a table: {self._name}('…')"
            )
        marks = ", ".join("?" * len(arguments))
        store: Any = self.connection.store
        with store.other() as connection:
            sql = f"SELECT * FROM {self._name}({marks})"
            found = connection.query(sql, tuple(arguments)).rows
        return [(*row, *arguments) for row in found]
