"""
A child's work with databases: ``python -m …_engine describe FOLDER|clean [killed]``.

Runs in a process of its own, on the Django of the archive. ``describe`` reads
``given.json`` in its folder, ``{"engine": dotted path, "databases": DATABASES}``, and
writes ``answer.json``. ``clean`` reads ``DATABASES`` as JSON from its standard input,
and says on standard error what it couldn't drop.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

# Seconds in which a server has to be done with the work of a client that was killed.
_PATIENCE = 10.0

# Seconds in which a database shows that was being made when its client was killed.
_SETTLED = 2.0


def describe(engine: str, databases: Mapping[str, Any]) -> dict[str, Any]:
    """
    Load an ENGINE as Django does, and make, open and destroy a test database.

    Returns:
        its names, its package's folder, and the server's version.

    """
    from django.db import connections  # noqa: PLC0415  # in the child only
    from django.db.utils import load_backend  # noqa: PLC0415  # as above

    from .marks import find_file  # noqa: PLC0415  # which imports this module

    try:
        wrapper = load_backend(engine).DatabaseWrapper
        file = import_module(engine).__file__ or ""
    except Exception as e:  # noqa: BLE001  # whatever it is, it's the answer
        return {"error": f"ENGINE {engine!r} can't be loaded: {_text(e)}"}
    _configure(databases)
    connection = connections["default"]
    creation, name = connection.creation, connection.settings_dict["NAME"]
    try:
        # As the suite will do: who may connect may not be allowed to do this.
        creation.create_test_db(verbosity=0, autoclobber=True)
        connection.ensure_connection()
        version = _version(connection)
        creation.destroy_test_db(name, verbosity=0)
    except (Exception, SystemExit) as e:  # noqa: BLE001  # as above
        # create_test_db() names the database here once it is made.
        if connection.settings_dict["NAME"] != name:
            with contextlib.suppress(Exception):
                creation.destroy_test_db(name, verbosity=0)
        cause = e.__context__ if isinstance(e, SystemExit) and e.__context__ else e
        return {
            "error": f"can't create a test database with ENGINE {engine!r}: {_text(cause)}. Is"
            " the server running? Set its address and user with --option HOST=…,"
            " PORT=…, USER=…, PASSWORD=…"
        }
    return {
        "display_name": str(wrapper.display_name),
        "vendor": str(wrapper.vendor),
        "folder": str(Path(file).parent),
        "expectations": str(find_file(connection) or ""),
        "server": version,
    }


def clean(databases: Mapping[str, Any], *, killed: bool) -> dict[str, str]:
    """
    Drop the test databases that a process left when it ended.

    Args:
        databases: its ``DATABASES``.
        killed: whether the server may still be at work for it.

    Returns:
        names of databases that may be left, each with the reason.

    """
    _configure(databases)
    from django.db import connections  # noqa: PLC0415  # in the child only

    # Django's PostgreSQL backend warns before it fails to connect.
    warnings.simplefilter("ignore")
    began = time.monotonic()
    waiting = dict.fromkeys(databases, "")
    while waiting:
        for alias in list(waiting):
            settled = not killed or time.monotonic() - began > _SETTLED
            try:
                dropped = _drop(connections[alias])
            except Exception as e:  # noqa: BLE001  # whatever it is, it's the answer
                waiting[alias] = _text(e)
            else:
                if dropped or settled:
                    del waiting[alias]
        if time.monotonic() - began > _PATIENCE:
            break
        if waiting:
            time.sleep(0.25)
    return {
        connections[alias].creation._get_test_db_name(): why
        for alias, why in waiting.items()
    }


def _drop(connection: Any) -> bool:
    """Drop a test database; False if it isn't there."""
    name = connection.settings_dict["NAME"]
    test_name = connection.creation._get_test_db_name()
    if connection.vendor == "postgresql":
        _end_sessions(connection, test_name)
    connection.settings_dict["NAME"] = test_name
    try:
        connection.ensure_connection()
    except Exception:  # noqa: BLE001  # each backend has its own
        connection.settings_dict["NAME"] = name
        # If this can't connect either, nobody knows whether it's there.
        with connection._nodb_cursor():
            return False
    try:
        connection.creation.destroy_test_db(name, verbosity=0)
    finally:
        connection.settings_dict["NAME"] = name
    return True


def _end_sessions(connection: Any, test_name: str) -> None:
    """PostgreSQL ends a statement, though its client was killed, when it is done."""
    with connection._nodb_cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND (datname = %s OR state = 'active' "
            "AND query LIKE 'CREATE DATABASE%%' AND strpos(query, %s) > 0)",
            [test_name, test_name],
        )


def _configure(databases: Mapping[str, Any]) -> None:
    import django  # noqa: PLC0415  # in the child only
    from django.conf import settings  # noqa: PLC0415  # in the child only

    settings.configure(DATABASES=databases, INSTALLED_APPS=[], USE_TZ=False)
    django.setup()


def _version(connection: Any) -> str | None:
    """The server's version, if the backend tells one."""
    tell = getattr(connection, "get_server_version", connection.get_database_version)
    try:
        version = tell()
    except NotImplementedError:
        return None
    if isinstance(version, tuple | list):
        return ".".join(map(str, version))
    return None if version is None else str(version)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")


def main(command: str, *args: str) -> None:
    # A server that doesn't answer is down; libpq would wait for minutes.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "5")
    if command == "describe":
        folder = Path(args[0])
        given = json.loads((folder / "given.json").read_text("utf-8"))
        answer = describe(given["engine"], given["databases"])
        (folder / "answer.json").write_text(json.dumps(answer), "utf-8")
    elif left := clean(json.load(sys.stdin), killed="killed" in args):
        names = "; ".join(f"{name} ({why})" for name, why in left.items())
        sys.stderr.write(
            "backendkit.conformance: some test databases may not have been removed:"
            f" {names}\n"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
