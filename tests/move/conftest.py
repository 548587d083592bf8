"""Databases with the tables of hard models, and rows."""

import itertools
import shutil

import pytest
from django.db import connections
from django.test.utils import override_settings
from django.utils import timezone

from tests.django_setup import set_up, unblocked
from tests.nonrel.databases import complete
from tests.servers import starting

from . import project

set_up()
_numbers = itertools.count()


@pytest.fixture(scope="session")
def servers():
    """Return a function that starts a server, once, and returns its settings."""
    with starting() as start:
        yield start


@pytest.fixture(autouse=True)
def _project(request):
    """Have the app and its models installed, and time zones, during a test."""
    with (
        unblocked(request),
        override_settings(USE_TZ=True, INSTALLED_APPS=project.APPS),
    ):
        timezone.get_default_timezone.cache_clear()
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The path of an SQLite database with all tables, once it is made."""
    return tmp_path_factory.mktemp("made") / "sqlite3"


@pytest.fixture
def database(tmp_path, servers, made):
    """Return a function that adds an empty database, and returns its alias."""
    added = []

    def add(engine, *, tables=True):
        alias = f"{engine}_{next(_numbers)}"
        entry = {"ENGINE": f"backendkit.backends.{engine}", "NAME": alias}
        if engine == "sqlite3":
            entry["ENGINE"] = "django.db.backends.sqlite3"
        if engine == "lmdb":
            entry["OPTIONS"] = {"sync": False}
        if engine in {"sqlite3", "lmdb"}:
            entry["NAME"] = str(tmp_path / alias)
        elif engine != "memory":
            entry = servers(engine)
        connections.databases[alias] = complete(entry)
        added.append(alias)
        if tables and engine == "sqlite3" and made.exists():
            shutil.copy(made, entry["NAME"])
        elif tables:
            project.create(alias)
            if engine == "sqlite3":
                connections[alias].close()
                shutil.copy(entry["NAME"], made)
        return alias

    yield add
    for alias in added:
        connections[alias].close()
        del connections[alias]
        del connections.databases[alias]
