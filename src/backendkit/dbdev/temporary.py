"""
Servers of which nothing is left: for tests, which need no settings for them.

``python -m backendkit.dbdev.temporary FOLDER keep|remove SIGNAL,… [PID STARTED]`` stops
the one in a folder: that is what the guard of a process does that was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.utils import ConnectionHandler

from backendkit.dbdev import backendregistry, process, serving
from backendkit.dbdev.configuring import ENGINES, entry_of
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import remove
from backendkit.dbdev.instance import Instance
from backendkit.dbdev.server import ServerBackend
from backendkit.dbdev.testing import QuietCommand

_ALIAS = DEFAULT_DB_ALIAS
#: Seconds that a server may take to start or stop: the machine is busy with tests.
_TIMEOUT = 60.0
# Waits for its standard input to end. Unless it says so before that, we were killed.
_GUARD = """
while read -r first rest; do
    [ "$first" != done ] || exit 0
    pid=$first when=$rest
done
exec "$@" ${pid:+"$pid" "$when"}
"""


class TemporaryServer:
    """
    A context manager that starts a separate server on a free port, and stops it.

    ::

        with TemporaryServer("immudb") as server:
            driver.connect(server.host, server.port, password=server.password)

    It is an ordinary development database in a folder of its own. If this process is
    killed, the server is stopped, too. Django's settings have to be configured for
    those of Django's own backends that ask for some: PostgreSQL's.

    :param engine: as for :func:`backendkit.dbdev.dbsettings`.
    :param root: the folder for all files, which is created if it doesn't exist. By
        default, a temporary folder, which :meth:`close` removes.
    :param apart: whether the server has a process group of its own. If not, it ends
        with the group of this process.
    :param changes: entries to change in its entry of ``DATABASES``: ``NAME="shop"``,
        ``DBDEV={"OPTIONS": {"max-sessions": 1}}``.
    :raises DbdevError: the engine has no development backend, or no server.
    """

    def __init__(
        self,
        engine: str,
        root: str | os.PathLike[str] | None = None,
        *,
        apart: bool = True,
        **changes: Any,
    ) -> None:
        found = backendregistry.get(ENGINES.get(engine, engine))
        if not issubclass(found, ServerBackend):
            raise DbdevError(f"{found.display_name} has no server")
        self._class: type[ServerBackend] = found
        self._engine = engine
        self._apart = apart
        self._changes = changes
        self._temporary = root is None
        root = root or tempfile.mkdtemp(prefix="dbdev-")
        self._instance = Instance(Path(root).absolute(), _ALIAS)
        self._backend: ServerBackend | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def backend(self) -> ServerBackend:
        """The development backend, made when it is first asked for."""
        if self._backend is None:
            own = {"TIMEOUT": _TIMEOUT, **self._changes.get("DBDEV", {})}
            entry = entry_of(
                self._engine,
                self._instance.root,
                _ALIAS,
                {**self._changes, "DBDEV": own},
            )
            # With all that Django adds to an entry.
            database = ConnectionHandler({_ALIAS: entry}).databases[_ALIAS]
            self._backend = self._class(QuietCommand(), _ALIAS, database)
            self._backend.apart = self._apart
        return self._backend

    @property
    def settings(self) -> dict[str, Any]:
        """The entry of ``DATABASES``."""
        return self.backend.dbsettings

    @property
    def host(self) -> str:
        """The address on which the server listens."""
        return self.backend.host

    @property
    def port(self) -> int:
        """Its port."""
        return self.backend.port

    @property
    def user(self) -> str:
        """The user of the settings."""
        return str(self.settings.get("USER") or "")

    @property
    def password(self) -> str:
        """The password of that user."""
        return str(self.settings.get("PASSWORD") or "")

    @property
    def pid(self) -> int | None:
        """The id of its process; None if it doesn't run."""
        server = serving.server_of(self._instance)
        return None if server is None else server[0]

    @property
    def directory(self) -> Path:
        """The folder with ``data`` and ``server.log``."""
        return self._instance.folder

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self._instance.data

    @property
    def log(self) -> Path:
        """The file with what it printed."""
        return self._instance.log

    def start(self) -> None:
        """
        Create the database if it doesn't exist, start the server, and wait until it is
        ready.

        :raises DbdevError: a program is missing, or the server doesn't start.
        """
        if self._guard is None and self._apart:
            self._guard = self._guarded()
        self.backend.init()
        if self._guard is not None:
            # The folder may be removed together with us, by who made it.
            state = self._instance.file.load()
            self._tell(f"{state.pid} {state.started}")

    def stop(self) -> None:
        """Stop the server cleanly, and keep its data."""
        if self._backend is not None:
            with self.backend.locked():
                self.backend.quiesce()

    def kill(self) -> None:
        """Kill the server, as a power failure would, and keep its data."""
        server = serving.server_of(self._instance)
        if server is not None:
            process.stop(*server, [signal.SIGKILL], _TIMEOUT)

    def restart(self) -> None:
        """Stop the server and start it again, on the same data and port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server, and remove its folder if that is temporary."""
        try:
            self.stop()
        finally:
            if self._temporary:
                remove(self._instance.root)
            if self._guard is not None:
                self._tell("done")
                self._guard.communicate()
                self._guard = None

    def _tell(self, line: str) -> None:
        assert self._guard is not None
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            # Whoever ended it wants us to do without.
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()

    def _guarded(self) -> subprocess.Popen[bytes]:
        """Start the process that cleans up if this one is killed."""
        clean = [sys.executable, "-P", "-m", __name__, str(self._instance.root)]
        clean.append("remove" if self._temporary else "keep")
        clean.append(",".join(number.name for number in self.backend.signals()))
        return subprocess.Popen(  # noqa: S603  # a command of ours
            ["/bin/sh", "-c", _GUARD, "sh", *clean],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is meant for us.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __enter__(self) -> TemporaryServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def main() -> None:
    """Stop a server whose owner was killed."""
    root, what, names, *told = sys.argv[1:]
    instance = Instance(Path(root), _ALIAS)
    signals = [signal.Signals[name] for name in names.split(",")]
    # What the owner told, and what the folder tells if it is still there.
    known = [(int(told[0]), told[1])] if told else []
    noted = serving.server_of(instance)
    for pid, when in [noted, *known] if noted else known:
        process.stop(pid, when, signals, _TIMEOUT)
    if what == "remove":
        remove(instance.root)


if __name__ == "__main__":
    main()
