"""
A database server for one job, where a development database can be made.

Run as a module, by the guard: ``python -P -m backendkit.conformance._served ENGINE
FOLDER FILE COMMAND …``. It starts the server of an ENGINE in a folder, writes its port
into FILE instead of ``{server_port}``, runs COMMAND and ends with its exit status. The
server is a process of the same group, so that who ends the one ends the other.

Each job has a server of its own: it begins with nothing, what it needs of memory and
disk is given back, and a label can't meet what another one has left.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The others have settings that name a server.
ENGINES = ("backendkit.backends.immudb", "immudb_backend")

#: Stands for the port, which isn't known before the server runs.
PORT = "{server_port}"

_USER = _PASSWORD = "immudb"  # noqa: S105  # the server's own; it is on the loopback

_SERVER = {
    # Seconds in which it has to be ready: less than a test may take.
    "TIMEOUT": 240,
    "OPTIONS": {
        # It serves tests that are over soon: they need nothing of it after a power cut.
        "synced": "false",
        "max-sessions": 1000,
        # A machine may be suspended meanwhile.
        "session-timeout": "24h",
        "max-session-inactivity-time": "24h",
    },
}

# Seconds: the machine is busy with tests; what hangs is the run's business. Each index
# of a test database costs the server 2.6 KB of memory for each entry.
_DATABASE = {"connect_timeout": 60, "timeout": 240, "max_tx_entries": 2048}


def is_served(engine: str, options: Mapping[str, Any]) -> bool:
    """Whether a job starts a server: we know how, and none is named."""
    named = any(options.get(key) for key in ("HOST", "PORT", "USER", "PASSWORD"))
    return engine in ENGINES and not named


def settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a database's settings, completed by the address of the job's server."""
    address = {"HOST": "127.0.0.1", "PORT": PORT, "USER": _USER}
    own = {**address, "PASSWORD": _PASSWORD}
    return {**options, **own, "OPTIONS": {**_DATABASE, **options.get("OPTIONS", {})}}


def command(engine: str, folder: Path, file: Path, rest: list[str]) -> list[str]:
    """Return the command that runs another one beside a server."""
    head = [sys.executable, "-P", "-m", "backendkit.conformance._served"]
    return [*head, engine, str(folder / "server"), str(file), *rest]


def main(engine: str, folder: str, file: str, *rest: str) -> int:
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: object) -> None:
        if child is not None:
            child.send_signal(number)

    # By it the run asks a test that hangs where it is.
    signal.signal(signal.SIGUSR1, pass_on)
    # The run itself, which imports this module, too, does without Django.
    from backendkit.dbdev.errors import DbdevError  # noqa: PLC0415  # imports Django
    from backendkit.dbdev.temporary import TemporaryServer  # noqa: PLC0415  # the same

    server = TemporaryServer(
        *(engine, folder),
        # Test databases are made by the tests.
        apart=False,
        NAME="defaultdb",
        USER=_USER,
        PASSWORD=_PASSWORD,
        DBDEV=_SERVER,
    )
    try:
        server.start()
    except DbdevError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        text = Path(file).read_text("utf-8")
        Path(file).write_text(text.replace(PORT, str(server.port)), "utf-8")
        child = subprocess.Popen(rest)  # noqa: S603  # the command of the run
        status = child.wait()
    finally:
        # Its data are thrown away, with the folder.
        server.kill()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
