"""``dbshell``: a small SQL prompt, through the engine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from django.db.backends.base.client import BaseDatabaseClient

if TYPE_CHECKING:
    from collections.abc import Iterable


class DatabaseClient(BaseDatabaseClient):
    """Runs a prompt in this process: the store may have no client of its own."""

    executable_name = "backendkit"

    def runshell(self, parameters: Iterable[str]) -> None:
        """
        Read statements from standard input until its end, and run them.

        :param parameters: statements to run instead, one an argument.
        """
        from .shell import Shell  # noqa: PLC0415  # only dbshell needs it

        shell = Shell(self.connection, sys.stdout)
        statements = list(parameters)
        if statements:
            for statement in statements:
                shell.run(statement)
        else:
            shell.loop()
