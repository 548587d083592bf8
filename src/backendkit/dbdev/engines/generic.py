"""Any server that a command line starts."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from backendkit.dbdev import ports, process, users
from backendkit.dbdev.copying import CopiedServerBackend
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.programs import Program
from backendkit.progress import Progress

DBSETTINGS = {"NAME": "dbdev", "USER": "", "HOST": "127.0.0.1"}


class GenericBackend(CopiedServerBackend):
    """
    A server whose command lines are in ``DATABASES[…]["DBDEV"]``, or in a subclass.

    They may contain ``{host} {port} {data} {name} {user}``; the values of environment
    variables ``{password}`` too. It is ready when it accepts connections.
    """

    display_name = "The server"
    url_scheme = "server"

    #: Key ``COMMAND``: starts the server.
    command_line: ClassVar[Sequence[str]] = ()
    #: Key ``CREATE``: are run one after the other on a new, empty folder.
    create_commands: ClassVar[Sequence[Sequence[str]]] = ()
    #: Key ``ENVIRONMENT``: added to the environment of all of them.
    environment: ClassVar[Mapping[str, str]] = {}

    def _option(self, key: str, default: Any) -> Any:
        return self.dbsettings.get("DBDEV", {}).get(key, default)

    @property
    def user(self) -> users.User | None:
        """Who the server runs as; key ``REFUSES_ROOT``: not root."""
        if self._option("REFUSES_ROOT", self.refuses_root):
            return self.unprivileged_user()
        return None

    def programs(self) -> Sequence[Program]:
        """Return those that the command lines begin with."""
        lines = [self._command_line(), *self._option("CREATE", self.create_commands)]
        names = dict.fromkeys(str(line[0]) for line in lines)
        return [
            Program((name,), _setting(name), version_argument=None) for name in names
        ]

    def _command_line(self) -> Sequence[str]:
        line: Sequence[str] = self._option("COMMAND", self.command_line)
        if isinstance(line, str) or not line:
            raise DbdevError(
                f"DATABASES[{self.alias!r}]['DBDEV']['COMMAND'] has to be a list: a"
                " program and its arguments"
            )
        return line

    def _values(self, folder: Path) -> dict[str, str]:
        return {
            "host": self.host,
            "port": str(self.port),
            "data": str(folder),
            "name": str(self.dbname),
            "user": str(self.dbsettings.get("USER") or ""),
        }

    def _filled(self, line: Sequence[str], folder: Path) -> list[str]:
        values = self._values(folder)
        program, *arguments = map(str, line)
        path = self.program(Program((program,), _setting(program)))
        try:
            return [path, *(argument.format(**values) for argument in arguments)]
        except (KeyError, IndexError, ValueError) as error:
            raise DbdevError(
                f"the command line {' '.join(map(str, line))!r} has an unknown"
                f" placeholder: {error}. The placeholders are"
                f" {', '.join(sorted(values))}"
            ) from error

    def create_data(self, folder: Path) -> None:
        """Run the commands that make the data, if there are some."""
        for line in self._option("CREATE", self.create_commands):
            with Progress(sys.stderr, str(line[0])) as progress:
                process.run(
                    self._filled(line, folder),
                    cwd=folder,
                    user=self.user,
                    environment=self.server_environment(),
                    tick=progress.add,
                )

    def server_command(self) -> list[str]:
        """Return the command line with its values."""
        return self._filled(self._command_line(), self.instance.data)

    def server_environment(self) -> Mapping[str, str]:
        """Return ours, and what the settings add."""
        values = self._values(self.instance.data) | {
            "password": str(self.dbsettings.get("PASSWORD") or "")
        }
        more = self._option("ENVIRONMENT", self.environment)
        return os.environ | {
            name: str(value).format(**values) for name, value in more.items()
        }

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return ports.answers(self.port)

    def signals(self) -> Sequence[signal.Signals]:
        """Return how it is stopped; key ``STOP_SIGNAL``: the first."""
        name = self._option("STOP_SIGNAL", None)
        if name is None:
            return self.stop_signals
        return signal.Signals[name], signal.SIGKILL


def _setting(program: str) -> str:
    """Return the name of the setting that may have a program's path."""
    name = re.sub(r"\W", "_", os.path.basename(program)).upper()
    return f"DBDEV_{name}_EXECUTABLE"
