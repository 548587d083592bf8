"""A prompt for SQL on a Django connection."""

from __future__ import annotations

import sqlite3
from typing import IO, TYPE_CHECKING, Any

from django.db import DatabaseError

from backendkit.engine.sqltext import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

_HELP = """\
Statements end with a semicolon and may span lines.
.tables   list the tables
.schema   show the statements that made them
.help     show this
.quit     leave, as does the end of input
"""


class Shell:
    """
    Runs statements and prints their rows as aligned columns.

    :param connection: Django's connection.
    :param output: where to print.
    """

    def __init__(self, connection: BaseDatabaseWrapper, output: IO[str]) -> None:
        self.connection = connection
        self.output = output

    def loop(self) -> None:
        """Read and run statements until the end of input."""
        name = self.connection.display_name
        interactive = self.output.isatty()
        if interactive:
            self._print(f"{name}, SQL through backendkit. .help for help.")
        buffer = ""
        while True:
            prompt = ("...> " if buffer else f"{name}> ") if interactive else ""
            try:
                line = input(prompt)
            except EOFError:
                break
            except KeyboardInterrupt:
                buffer = ""
                self._print("")
                continue
            if not buffer and line.strip().startswith("."):
                if line.strip() in (".quit", ".exit"):
                    break
                self._command(line.strip())
                continue
            buffer += line + "\n"
            if sqlite3.complete_statement(buffer):
                self.run(buffer)
                buffer = ""
        if buffer.strip():
            self.run(buffer)

    def run(self, text: str) -> None:
        """Run statements; print each one's rows, its count of rows, or its error."""
        for statement in split(text):
            self._run(statement)

    def _run(self, statement: str) -> None:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statement)
                rows = cursor.fetchall()
                description = cursor.description
                count = cursor.rowcount
        except DatabaseError as error:
            self._print(f"Error: {error}")
            return
        if description:
            self._table([column[0] for column in description], rows)
        elif count >= 0:
            self._print(f"{count} row{'' if count == 1 else 's'}")

    def _command(self, line: str) -> None:
        if line == ".tables":
            for name in self.connection.introspection.table_names(include_views=True):
                self._print(name)
        elif line == ".schema":
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
                for (sql,) in cursor.fetchall():
                    self._print(f"{sql};")
        else:
            self._print(
                _HELP if line == ".help" else f"Unknown command {line}\n{_HELP}"
            )

    def _table(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        cells = [["NULL" if v is None else str(v) for v in row] for row in rows]
        widths = [
            max([len(name), *(len(row[place]) for row in cells)])
            for place, name in enumerate(names)
        ]
        for row in (names, ["-" * width for width in widths], *cells):
            line = "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))
            self._print(line.rstrip())

    def _print(self, text: str) -> None:
        self.output.write(text + "\n")
