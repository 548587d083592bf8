"""
The development backends of the engines.

::

    from backendkit.dbdev import backendregistry

    backendregistry.register("django.db.backends.oracle", OracleBackend)

Backends that are registered here override entry points of the group
``backendkit.dbdev`` (name: the engine; value: the class), and those override the
built-in backends.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS
from django.utils.module_loading import import_string

from backendkit.dbdev.errors import DbdevError

if TYPE_CHECKING:
    from backendkit.dbdev.base import BaseDbdevBackend

#: The group of entry points in which other packages name their backends.
GROUP = "backendkit.dbdev"

_ENGINES = "backendkit.dbdev.engines"
#: What :func:`get` takes for a server whose command line is in the settings.
GENERIC = "generic"
# What Django puts where there is no ENGINE.
_NO_ENGINE = "django.db.backends.dummy"
_BUILT_IN = {
    GENERIC: f"{_ENGINES}.generic.GenericBackend",
    "django.db.backends.sqlite3": f"{_ENGINES}.sqlite.SqliteBackend",
    "backendkit.backends.lmdb": f"{_ENGINES}.lmdb.LmdbBackend",
    "django.db.backends.postgresql": f"{_ENGINES}.postgresql.PostgresBackend",
    "django.contrib.gis.db.backends.postgis": f"{_ENGINES}.postgis.PostGisBackend",
    "django.db.backends.mysql": f"{_ENGINES}.mysql.MySqlBackend",
    "backendkit.backends.immudb": f"{_ENGINES}.immudb.ImmudbBackend",
    "backendkit.backends.dynamodb": f"{_ENGINES}.dynamodb.DynamodbBackend",
    # The worked example of the guide.
    "redis_store": f"{_ENGINES}.redis.RedisBackend",
    # The name that the backend has in older texts.
    "immudb_backend": f"{_ENGINES}.immudb.ImmudbBackend",
}
_registered: dict[str, type[BaseDbdevBackend] | str] = {}


def register(engine: str, backend: type[BaseDbdevBackend] | str) -> None:
    """
    Use a backend for an engine, and replace its present one.

    :param engine: as in ``DATABASES[…]["ENGINE"]``.
    :param backend: a subclass of :class:`~backendkit.dbdev.base.BaseDbdevBackend`,
        or its dotted path.
    """
    _registered[engine] = backend


def unregister(engine: str) -> None:
    """Undo :func:`register`. No effect if the engine isn't registered."""
    _registered.pop(engine, None)


def engines() -> list[str]:
    """Return all engines that have a backend, sorted."""
    return sorted({*_BUILT_IN, *_named(), *_registered})


def for_database(
    entry: Mapping[str, Any], alias: str = DEFAULT_DB_ALIAS
) -> type[BaseDbdevBackend]:
    """
    Return the backend of an entry of ``DATABASES``.

    :param alias: for messages.
    :raises DbdevError: the engine has no backend, or one that can't be used.
    """
    if "COMMAND" in (entry.get("DBDEV") or {}):
        return _complete(GENERIC)
    engine = entry.get("ENGINE")
    if not isinstance(engine, str) or engine in {"", _NO_ENGINE}:
        if engine in _registered:
            return _complete(str(engine))
        raise DbdevError(
            f"DATABASES[{alias!r}] has no ENGINE. There are development backends for"
            f" {', '.join(engines())}"
        )
    return _complete(engine)


def get(engine: str) -> type[BaseDbdevBackend]:
    """
    Return the backend of an engine.

    :raises DbdevError: the engine has no backend, or it can't be imported.
    """
    backend = _registered.get(engine)
    if backend is None:
        # The module of a backend is loaded when it is asked for, not before.
        path = _named().get(engine)
        backend = path.replace(":", ".") if path else _BUILT_IN.get(engine)
    if backend is None:
        raise DbdevError(
            f"there is no development backend for the engine {engine!r}. There are"
            f" development backends for {', '.join(engines())}. Register others with"
            " backendkit.dbdev.backendregistry.register()"
        )
    if isinstance(backend, str):
        try:
            found: type[BaseDbdevBackend] = import_string(backend)
        except Exception as error:
            # The module of another package may raise anything.
            raise DbdevError(
                f"the development backend of {engine!r} can't be imported: {error}"
            ) from error
        return found
    return backend


@functools.cache
def _named() -> Mapping[str, str]:
    """
    Return the paths of the backends that installed packages name, by engine.

    All packages' files are read for it, so a process does it once.
    """
    # The first one on the path that Python looks for modules on.
    return {point.name: point.value for point in reversed([*entry_points(group=GROUP)])}


def _complete(engine: str) -> type[BaseDbdevBackend]:
    """
    Return the backend of an engine, which can be used.

    :raises DbdevError: it can't be imported, or doesn't implement all methods.
    """
    backend = get(engine)
    missing = sorted(getattr(backend, "__abstractmethods__", ()))
    if missing:
        methods = ", ".join(f"{name}()" for name in missing)
        raise DbdevError(
            f"the development backend {backend.__name__} of {engine!r} doesn't implement"
            f" {methods}"
        )
    return backend
