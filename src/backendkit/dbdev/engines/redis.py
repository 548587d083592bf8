"""Valkey or Redis."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from backendkit.dbdev.copying import CopiedServerBackend
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.programs import Program, version_of

DBSETTINGS = {
    "ENGINE": "redis_store",
    "NAME": "dbdev",
    "USER": "",
    "HOST": "127.0.0.1",
}

SERVER = Program(
    ("valkey-server", "redis-server"),
    "DBDEV_REDIS_EXECUTABLE",
    {
        "apt-get": "redis-server",
        "dnf": "valkey",
        "pacman": "valkey",
        "apk": "valkey",
        "brew": "valkey",
    },
)
#: What makes a commit last that was acknowledged, whatever happens to the server.
DURABLE = {"appendonly": "yes", "appendfsync": "always", "save": ""}
_PING = b"*1\r\n$4\r\nPING\r\n"


class RedisBackend(CopiedServerBackend):
    """
    A server that writes each change to its disk before it answers.

    Its one user, ``default``, has the password of the settings.
    """

    display_name = "Redis"
    url_scheme = "redis"

    def programs(self) -> tuple[Program]:
        """Return the server's, Valkey's if both are there."""
        return (SERVER,)

    def version(self) -> str:
        """Return what the server's program says."""
        return version_of(self.program(SERVER))

    def create_data(self, folder: Path) -> None:
        """Leave the folder empty: the server fills it when it starts."""

    @property
    def _configuration(self) -> Path:
        """A file, since all users of the machine can read a command line."""
        return self.instance.folder / "server.conf"

    def before_start(self) -> None:
        """Write the file that the server is configured by."""
        own = self.dbsettings.get("DBDEV", {}).get("OPTIONS", {})
        options = {
            **DURABLE,
            **self.setting("DBDEV_REDIS_OPTIONS", {}),
            **own,
            "bind": self.host,
            "port": self.port,
            "dir": self.instance.data,
            "daemonize": "no",
        }
        password = self.dbsettings.get("PASSWORD")
        if password:
            options["requirepass"] = password
        lines = [f"{name} {_quoted(str(value))}\n" for name, value in options.items()]
        self._configuration.unlink(missing_ok=True)
        opened = os.open(self._configuration, os.O_WRONLY | os.O_CREAT, 0o600)
        with open(opened, "w", encoding="utf-8") as file:
            file.writelines(lines)

    def server_command(self) -> list[str]:
        """Return the server's command line."""
        return [self.program(SERVER), str(self._configuration)]

    def is_ready(self) -> bool:
        """Whether it answers, and has loaded its data."""
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as peer:
                peer.sendall(_PING)
                answer = peer.recv(100)
        except OSError:
            return False
        # Without a password it says no more than that it wants one.
        return answer.startswith((b"+PONG", b"-NOAUTH"))


def _quoted(value: str) -> str:
    """
    Return a value as the server reads it in its file.

    :raises DbdevError: it has a line break, which the file can't have.
    """
    if "\n" in value or "\r" in value or "\0" in value:
        raise DbdevError("an option or the password of the server has a line break")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
