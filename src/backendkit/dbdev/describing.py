"""What is told about a database to people: findings, a guide, its address."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.core.exceptions import AppRegistryNotReady
from django.template import Context, Engine, TemplateDoesNotExist
from django.template.base import Template

from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.project import loaded_engine

if TYPE_CHECKING:
    from backendkit.dbdev.base import BaseDbdevBackend


# What has the drivers of engines.
_DRIVERS = {
    "django.db.backends.postgresql": "psycopg[binary]",
    "django.contrib.gis.db.backends.postgis": "psycopg[binary]",
    "django.db.backends.mysql": "mysqlclient",
    "backendkit.backends.lmdb": "django-backendkit[lmdb]",
    "backendkit.backends.immudb": "django-backendkit[immudb]",
}

#: Where templates are; backends for the older package have theirs in the second one.
_FOLDERS = ("dbdev", "django_dbdev")


@dataclass(frozen=True)
class Finding:
    """One line of ``dbdev_doctor``; ``remedy`` is what to do if it isn't ``ok``."""

    ok: bool
    text: str
    remedy: str = ""


def guide(backend: BaseDbdevBackend) -> str:
    """Return a backend's guide, see its method of this name."""
    text = _template(type(backend)).render(
        Context(
            {
                "backend": backend,
                "dbsettings": backend.dbsettings,
                "info": backend.info(),
                "url": backend.database_url(),
            },
            autoescape=False,
        )
    )
    return text.strip()


def database_url(backend: BaseDbdevBackend) -> str:
    """Return a database as one URL, its password included."""
    database = backend.dbsettings
    login = quote(str(database.get("USER") or ""), safe="")
    if database.get("PASSWORD"):
        login += f":{quote(str(database['PASSWORD']), safe='')}"
    host = database.get("HOST") or ""
    port = f":{database['PORT']}" if database.get("PORT") else ""
    name = quote(str(backend.dbname).lstrip("/"), safe="/")
    scheme = backend.url_scheme or str(database["ENGINE"]).rpartition(".")[2]
    return f"{scheme}://{login + '@' if login else ''}{host}{port}/{name}"


def findings(backend: BaseDbdevBackend) -> Iterator[Finding]:
    """Iterate over what ``dbdev_doctor`` tells of any backend."""
    for program in backend.programs():
        try:
            path = backend.find_program(program)
        except DbdevError as error:
            yield Finding(False, str(error))
            continue
        if path is not None:
            yield Finding(True, f"{program.name}: {program.describe(path)}")
        elif program.needed_for:
            yield Finding(
                True,
                f"{program.name} isn't installed; {program.needed_for} needs it. To"
                f" install it: {program.hint()}",
            )
        else:
            yield Finding(
                False, f"{program.name} isn't installed", remedy=program.hint()
            )
    yield from _driver(backend)
    what = "there is a database" if backend.is_initialised() else "no database yet"
    yield Finding(True, f"{what} in {backend.data_paths()[0]}")


def _driver(backend: BaseDbdevBackend) -> Iterator[Finding]:
    try:
        wrapper = loaded_engine(backend.dbsettings["ENGINE"]).DatabaseWrapper
        driver = getattr(wrapper, "Database", None)
        if driver is not None:
            yield Finding(True, f"Python driver: {driver.__name__}")
    except DbdevError as error:
        if isinstance(error.__cause__, AppRegistryNotReady):
            # It has models, and the project's can't be imported.
            return
        package = _DRIVERS.get(backend.dbsettings["ENGINE"])
        remedy = f"python -m pip install '{package}'" if package else ""
        yield Finding(False, str(error), remedy)


def _template(kind: type[BaseDbdevBackend]) -> Template:
    engine = Engine(app_dirs=True)
    for cls in kind.__mro__:
        for folder in _FOLDERS:
            with contextlib.suppress(TemplateDoesNotExist):
                return engine.get_template(f"{folder}/{cls.__name__.lower()}.rst")
    raise DbdevError(f"there is no template dbdev/{kind.__name__.lower()}.rst")
