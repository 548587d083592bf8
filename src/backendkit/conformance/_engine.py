"""
A child's work with the database itself: ``python -m …_engine describe|clean``.

Runs in a process of its own, on the Django of the archive. Standard input is JSON:
``{"engine": dotted path, "databases": DATABASES}``; the answer is a line of it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

# Seconds that a server may go on with the work of a client that was killed.
_PATIENCE = 15.0


def describe(engine: str, databases: Mapping[str, Any]) -> dict[str, Any]:
    """
    Load an ENGINE as Django does, and make, open and destroy a test database.

    Returns:
        its names, its package's folder, and the server's version.

    """
    from django.db import connection  # noqa: PLC0415  # in the child only
    from django.db.utils import load_backend  # noqa: PLC0415  # as above

    try:
        wrapper = load_backend(engine).DatabaseWrapper
        file = import_module(engine).__file__ or ""
    except Exception as e:  # noqa: BLE001  # whatever it is, it's the answer
        return {"error": f"ENGINE {engine!r} can't be loaded: {_text(e)}"}
    _configure(databases)
    try:
        # As the suite will do: who may connect may not be allowed to do this.
        name = connection.settings_dict["NAME"]
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            connection.ensure_connection()
            version = _version(connection)
        finally:
            connection.creation.destroy_test_db(name, verbosity=0)
    except (Exception, SystemExit) as e:  # noqa: BLE001  # as above
        cause = e.__context__ if isinstance(e, SystemExit) and e.__context__ else e
        return {
            "error": f"can't make a test database with ENGINE {engine!r}: "
            f"{_text(cause)}. Is the server up? Its address and user are given by "
            "--option HOST=…, PORT=…, USER=…, PASSWORD=…"
        }
    return {
        "display_name": str(wrapper.display_name),
        "vendor": str(wrapper.vendor),
        "folder": str(Path(file).parent),
        "server": version,
    }


def clean(databases: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the test databases that a process left when it was killed."""
    _configure(databases)
    from django.db import connections  # noqa: PLC0415  # in the child only

    left = {}
    for alias in databases:
        connection = connections[alias]
        name = connection.settings_dict["NAME"]
        test_name = connection.creation._get_test_db_name()
        connection.settings_dict["NAME"] = test_name
        try:
            connection.ensure_connection()
        except Exception:  # noqa: BLE001, S112  # it never was made, or is gone
            continue
        connection.close()
        if error := _destroy(connection, name, test_name):
            left[test_name] = error
    return {"left": left}


def _destroy(connection: Any, name: str, test_name: str) -> str:
    deadline = time.monotonic() + _PATIENCE
    while True:
        connection.settings_dict["NAME"] = test_name
        try:
            connection.creation.destroy_test_db(name, verbosity=0)
        except Exception as e:  # noqa: BLE001  # whatever it is, it's the answer
            if time.monotonic() > deadline:
                return _text(e)
            time.sleep(0.25)
        else:
            return ""


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


if __name__ == "__main__":
    given = json.load(sys.stdin)
    if sys.argv[1] == "describe":
        answer = describe(given["engine"], given["databases"])
    else:
        answer = clean(given["databases"])
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
