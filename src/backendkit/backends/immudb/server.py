"""
The immudb server of development and tests: find it, build it, run it.

Nothing but the standard library is imported, so that ``python -m
backendkit.backends.immudb.server build`` works before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

VERSION = "1.11.1"

PACKAGE = "github.com/codenotary/immudb/cmd/immudb"

# Where Go's own installation is, be it on PATH or not.
USUAL_GO = "/usr/local/go/bin/go"

# Below the range from which Linux takes the ports of outgoing connections.
PORTS = range(20_000, 32_768)

HOST = "127.0.0.1"

# A client's preface and its empty SETTINGS frame (RFC 9113, section 3.4).
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(
    (0, 0, 0, 4, 0, 0, 0, 0, 0)
)


class ServerNotFound(Exception):
    """No immudb on this machine; the message says how to get one."""


class ServerError(Exception):
    """The server didn't start, or ended; the message has the end of its log."""


def cached() -> Path:
    """Where ``make immudb`` puts the program, whether it is there or not."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "django-backendkit", "immudb", VERSION, "immudb")


def find() -> str:
    """
    Return the path of the immudb program.

    In this order: what ``BACKENDKIT_IMMUDB`` names, ``immudb`` on ``PATH``, the
    one that ``make immudb`` has built.

    :raises ServerNotFound: there is none, or ``BACKENDKIT_IMMUDB`` names no program.
    """
    named = os.environ.get("BACKENDKIT_IMMUDB")
    if named:
        found = shutil.which(named)
        if found is None:
            raise ServerNotFound(f"BACKENDKIT_IMMUDB={named} is no program.")
        return found
    for candidate in ("immudb", str(cached())):
        found = shutil.which(candidate)
        if found is not None:
            return found
    raise ServerNotFound(
        "There is no immudb here. Either install Go 1.25 or newer and run "
        "`make immudb` in a checkout of django-backendkit, or put an immudb "
        f"{VERSION} on PATH, or name one in BACKENDKIT_IMMUDB."
    )


def build(module: Path) -> str:
    """
    Build the program into the user's cache, unless :func:`find` finds one.

    :param module: the directory of the Go module that pins the version.
    :raises ServerNotFound: there is no Go.
    :raises ServerError: Go couldn't build it.
    """
    try:
        return find()
    except ServerNotFound:
        if os.environ.get("BACKENDKIT_IMMUDB"):
            raise
        go = shutil.which("go") or shutil.which(USUAL_GO)
        if go is None:
            raise
    target = cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    # A second build waits for the first, and finds its program.
    with open(target.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            fresh = target.parent / "immudb.new"
            # The version that it tells its clients is empty otherwise.
            linked = f"-X github.com/codenotary/immudb/cmd/version.Version={VERSION}"
            options = ["-trimpath", "-ldflags", linked, "-o", str(fresh)]
            command = [go, "build", *options, PACKAGE]
            if subprocess.run(command, cwd=module, check=False).returncode:  # noqa: S603  # the command is ours
                raise ServerError("go build failed, see above")
            os.replace(fresh, target)
    return str(target)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens now."""
    while True:
        port = random.choice(PORTS)  # noqa: S311  # no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def command_line(
    program: str,
    data: str | os.PathLike[str],
    port: int,
    options: Sequence[str] = (),
) -> list[str]:
    """
    Return what starts the server on 127.0.0.1, with all its other ports closed.

    :param program: the path, of :func:`find`.
    :param data: the directory of its data; it makes that.
    :param options: more of its own, e.g. ``["--max-sessions=200"]``.
    """
    return [
        program,
        f"--dir={os.fspath(data)}",
        f"--address={HOST}",
        f"--port={port}",
        "--web-server=false",
        "--metrics-server=false",
        "--pgsql-server=false",
        *options,
    ]


def environment(password: str) -> dict[str, str]:
    """
    Return our environment variables, with the administrator's password.

    Not on the command line, which all users of the machine can read. Other variables
    that are meant for a server are left out.
    """
    ours = {k: v for k, v in os.environ.items() if not k.startswith("IMMUDB_")}
    return ours | {"IMMUDB_ADMIN_PASSWORD": password}


def answers(port: int) -> bool:
    """
    Whether a server on 127.0.0.1 answers; it can be used then.

    It greets as HTTP/2 does, or hangs up, as TLS does on a plain word.
    """
    with socket.socket() as probe:
        probe.settimeout(1)
        try:
            probe.connect((HOST, port))
            probe.sendall(HTTP2_GREETING)
            probe.recv(1)
        except ConnectionResetError:
            return True
        except OSError:
            return False
    return True


class Server:
    """
    An immudb of one's own on 127.0.0.1, and a context manager that stops it.

    :param directory: where its data and its log are; made if it isn't there. A
        temporary one, removed by :meth:`stop`, if not given.
    :param port: one that is free is taken if not given, and kept over restarts.
    :param password: of the user ``immudb``, when the data are new.
    :param options: more of the program's options, e.g. ``["--max-sessions", "200"]``.
    :param timeout: seconds in which it has to be ready.

    Its other ports (web console, metrics, PostgreSQL) are closed.
    """

    host = HOST
    user = "immudb"

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        port: int | None = None,
        password: str = "immudb",  # noqa: S107  # the server's own default
        options: list[str] | None = None,
        timeout: float = 60,
    ) -> None:
        self.program = find()
        self.password = password
        self.options = options or []
        self.timeout = timeout
        self._temporary = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="immudb-"))
        self._any_port = port is None
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of its process; None when it doesn't run."""
        return self._process.pid if self._process else None

    @property
    def log(self) -> Path:
        """The file with what it printed."""
        return self.directory / "server.log"

    def start(self) -> None:
        """
        Start it and wait until it answers.

        :raises ServerError: it ended, or wasn't ready in time.
        """
        assert self._process is None
        self.directory.mkdir(parents=True, exist_ok=True)
        # Another program may take the port between our look and the server's.
        for attempt in range(5):
            if attempt:
                self.port = free_port()
            try:
                self._start()
            except ServerError as error:
                if not (self._any_port and "address already in use" in str(error)):
                    raise
            else:
                # From now on clients know the port.
                self._any_port = False
                return
        raise ServerError("found no free port")

    def _start(self) -> None:
        command = command_line(
            self.program, self.directory / "data", self.port, self.options
        )
        began = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            process = subprocess.Popen(  # noqa: S603  # find() says which program
                command,
                env=environment(self.password),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + self.timeout
        while True:
            if process.poll() is not None:
                raise ServerError(
                    f"immudb ended with {process.returncode}:\n{self._tail(began)}"
                )
            if answers(self.port):
                self._process = process
                return
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise ServerError(
                    f"immudb wasn't ready in {self.timeout} s:\n{self._tail(began)}"
                )
            time.sleep(0.05)

    def _tail(self, position: int) -> str:
        with open(self.log, "rb") as log:
            log.seek(position)
            return log.read()[-2000:].decode(errors="replace")

    def kill(self) -> None:
        """End it at once, as a power cut would; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in an orderly way; remove its directory if that was temporary."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def restart(self) -> None:
        """Stop it and start it again, on the same data and port."""
        temporary, self._temporary = self._temporary, False
        try:
            self.stop()
            self.start()
        finally:
            self._temporary = temporary

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def main(arguments: list[str] | None = None) -> int:
    """``build MODULE`` builds it if there is none; ``find`` prints where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m backendkit.backends.immudb.server", description=main.__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("find")
    commands.add_parser("build").add_argument("module", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        path = find() if chosen.command == "find" else build(chosen.module)
    except (ServerNotFound, ServerError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
