"""
Finds and builds the immudb server for development and tests.

``backendkit.dbdev`` runs it.

This module imports only the standard library, so that ``python -m
backendkit.backends.immudb.server build`` works before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VERSION = "1.11.1"

PACKAGE = "github.com/codenotary/immudb/cmd/immudb"

# Where Go's own installation is, be it on PATH or not.
USUAL_GO = "/usr/local/go/bin/go"

HOST = "127.0.0.1"

# A client's preface and its empty SETTINGS frame (RFC 9113, section 3.4).
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(
    (0, 0, 0, 4, 0, 0, 0, 0, 0)
)


class ServerNotFound(Exception):
    """There is no immudb on this machine. The message says how to get one."""


class ServerError(Exception):
    """The server couldn't be built."""


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
        "immudb wasn't found. Install Go 1.25 or later and run `make immudb` in a"
        f" checkout of django-backendkit, or put immudb {VERSION} on PATH, or set"
        " BACKENDKIT_IMMUDB to its path."
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
                raise ServerError("go build failed, see its output above")
            os.replace(fresh, target)
    return str(target)


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
