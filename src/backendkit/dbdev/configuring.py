"""Entries of ``DATABASES`` for settings files."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from backendkit.dbdev import backendregistry
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.instance import DEFAULT_FOLDER, Instance

#: Short names of engines.
ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "lmdb": "backendkit.backends.lmdb",
    "postgresql": "django.db.backends.postgresql",
    "postgis": "django.contrib.gis.db.backends.postgis",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
    "immudb": "backendkit.backends.immudb",
    "dynamodb": "backendkit.backends.dynamodb",
    "redis": "redis_store",
}


def dbsettings(
    engine: str,
    project: str | os.PathLike[str],
    alias: str = "default",
    *,
    datadir: str | os.PathLike[str] = DEFAULT_FOLDER,
    **changes: Any,
) -> dict[str, Any]:
    """
    Return an entry of ``DATABASES`` for a development database of this project.

    The entry of a server gets its own port and password. They are chosen once, and
    stored in the project's data folder.

    :param engine: e.g. ``"postgresql"``, or an ``ENGINE``; ``"generic"``: a server whose
        command line is in ``DBDEV={"COMMAND": […]}``.
    :param project: the project's folder, ``BASE_DIR``.
    :param alias: the key in ``DATABASES``.
    :param datadir: the folder for data, logs and backups, relative to ``project``.
    :param changes: entries to change: ``NAME="shop"``, ``OPTIONS={…}``.
    :raises django.core.exceptions.ImproperlyConfigured: the engine has no backend, or
        the folder can't be written.
    """
    try:
        return entry_of(engine, Path(project).resolve() / datadir, alias, changes)
    except DbdevError as error:
        # Django shows this one as a line, while settings are imported.
        raise ImproperlyConfigured(str(error)) from error


def entry_of(
    engine: str, root: Path, alias: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return what :func:`dbsettings` does.

    :param root: of all instances.
    :raises DbdevError: the engine has no backend, or the folder can't be written.
    """
    backend = backendregistry.get(ENGINES.get(engine, engine))
    entry = copy.deepcopy(backend.module_dbsettings())
    if engine != backendregistry.GENERIC:
        entry["ENGINE"] = ENGINES.get(engine, engine)
    entry |= changes
    more = changes.get("DBDEV", {})
    entry["DBDEV"] = {"DATADIR": str(root), "ALIAS": alias, **more}
    return backend.complete_dbsettings(entry, Instance(root, alias))
