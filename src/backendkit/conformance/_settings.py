"""The settings that Django's suite runs with: the release's own, on our ENGINE."""

from __future__ import annotations

import json
import os
import pprint
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import backendkit

from ._archive import SourceTree
from ._errors import UsageError

MODULE = "backendkit_conformance_settings"
ALIASES = ("default", "other")

# test_sqlite.py is what Django runs its suite with by default; it has the release's
# own SECRET_KEY, hasher, USE_TZ and DEFAULT_AUTO_FIELD.
_TEMPLATE = """\
from test_sqlite import *

DATABASES = {databases}
TEST_RUNNER = "backendkit.conformance.probe.RecordingRunner"
CONFORMANCE_JOB = {job!r}
"""


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """
    ``KEY=VALUE`` pairs as the entries of a database's settings.

    A KEY in capitals is a setting (``HOST=db1``, ``TEST.NAME=x``), another one is
    an entry of ``OPTIONS`` (``map_size=1000000``). VALUE is JSON, or else text.
    """
    database: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--option has to be KEY=VALUE, not {pair!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *parents, last = key.split(".") if key[0].isupper() else ["OPTIONS", key]
        inner = database
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise UsageError(f"--option {pair!r}: {parent} isn't a table")
        inner[last] = value
    return database


def merged(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a database, but what ``options`` say; tables entry by entry."""
    result = dict(settings)
    for key, value in options.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merged(below, value)  # noqa: PLW2901  # the same thing, completed
        result[key] = value
    return result


def databases(
    engine: str, options: Mapping[str, Any], folder: Path, job: str
) -> dict[str, dict[str, Any]]:
    """
    ``DATABASES`` for one job.

    In texts of ``options``, ``{folder}`` is the job's own temporary folder,
    ``{alias}`` the database's alias, and ``{job}`` a name that no other job of any
    run has: a server's databases have to be told apart. If there is no ``NAME``,
    it is such a name for Django's own servers and whatever has a ``HOST`` or
    ``PORT``, and a path in the job's folder for others; Django's own SQLite gets
    none, which makes it a database in memory.
    """
    own: dict[str, Any] = {"ENGINE": engine}
    stock = engine.startswith("django.db.backends.") and not engine.endswith(".sqlite3")
    if stock or options.get("HOST") or options.get("PORT"):
        own["NAME"] = "{job}_{alias}"
    elif engine != "django.db.backends.sqlite3":
        own["NAME"] = "{folder}/{alias}"
    own.update(options)

    def fill(value: Any, alias: str) -> Any:
        if isinstance(value, str):
            value = value.replace("{folder}", str(folder))
            return value.replace("{alias}", alias).replace("{job}", job)
        if isinstance(value, dict):
            return {key: fill(inner, alias) for key, inner in value.items()}
        return value

    return {alias: fill(own, alias) for alias in ALIASES}


def on_a_server(tables: Mapping[str, Mapping[str, Any]], folder: Path) -> bool:
    """Whether a job's databases may be anywhere else than in its folder."""
    names = [
        (table.get("TEST") or {}).get("NAME") or table.get("NAME")
        for table in tables.values()
    ]
    return any(name and not Path(name).is_relative_to(folder) for name in names)


def write_settings(folder: Path, tables: Mapping[str, Any], job_file: Path) -> Path:
    """Write the settings module of one job; its path."""
    text = _TEMPLATE.format(databases=pprint.pformat(tables), job=str(job_file))
    file = folder / f"{MODULE}.py"
    file.write_text(text, "utf-8")
    return file


def environment(tree: SourceTree, folder: Path, pycache: Path) -> dict[str, str]:
    """
    The environment of a child process.

    Django itself comes from the archive too, so that it is pristine as well, and
    any release can run beside the installed one.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "PYTEST_", "COVERAGE_"))
    }
    ours = Path(backendkit.__file__).parents[1]
    path = [folder, tree.root, ours]
    # Then where the run itself finds a backend: `python -m` looks here too.
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path += [Path(entry).resolve() for entry in (*given, sys.path[0], ".")]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(map(str, path)))
    # The release's folder stays as it was unpacked, and starts fast all the same.
    env["PYTHONPYCACHEPREFIX"] = str(pycache)
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["TMPDIR"] = str(folder)
    return env
