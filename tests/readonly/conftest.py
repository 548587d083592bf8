"""Each kind of database, empty, with an alias that writes and one that reads."""

import itertools
import os

import django
import pytest
from django.conf import settings
from django.db import connections

from backendkit.backends.immudb.server import ServerNotFound, find
from backendkit.dbdev.temporary import TemporaryServer
from tests.dbdev import engines

from .databases import PREPARE, STATEMENTS, aliases, run, wrapped

if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}}, USE_TZ=False
    )
django.setup()

_numbers = itertools.count()


def _entry(server):
    return {k: v for k, v in server.settings.items() if k != "DBDEV"}


@pytest.fixture(scope="session")
def postgresql_server():
    engines.available(engines.POSTGRESQL)
    options = {"OPTIONS": {"fsync": "off"}}
    with TemporaryServer(
        "postgresql", USER="postgres", PASSWORD="", DBDEV=options
    ) as server:
        yield _entry(server)


@pytest.fixture(scope="session")
def mariadb_server():
    engines.available(engines.MARIADB)
    import pymysql

    pymysql.install_as_MySQLdb()
    with TemporaryServer("mariadb") as server:
        yield _entry(server)


@pytest.fixture(scope="session")
def immudb_server():
    try:
        find()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with TemporaryServer("immudb", NAME="defaultdb", PASSWORD="immudb") as server:
        yield _entry(server)


@pytest.fixture(autouse=True)
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    if request.config.pluginmanager.hasplugin("django"):
        with request.getfixturevalue("django_db_blocker").unblock():
            yield
    else:
        yield


def _empty(alias):
    """Drop all that is in the database of a server; the others' are thrown away."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        run(alias, "DROP SCHEMA public CASCADE")
        run(alias, "CREATE SCHEMA public")
    elif connection.vendor == "mysql":
        name = connection.settings_dict["NAME"]
        run(alias, f"DROP DATABASE {name}")
        run(alias, f"CREATE DATABASE {name}")
        run(alias, f"USE {name}")
    elif getattr(connection, "store_vendor", "") == "immudb":
        with connection.constraint_checks_disabled():
            for name in connection.introspection.table_names():
                run(alias, f"DROP TABLE {connection.ops.quote_name(name)}")


KINDS = [
    "sqlite",
    "lmdb",
    "memory",
    "immudb",
    "postgresql",
    pytest.param("mariadb", marks=pytest.mark.check),
]


@pytest.fixture(params=KINDS)
def kind(request):
    """The name of a kind of database."""
    return request.param


@pytest.fixture
def entry(kind, request, tmp_path):
    """An entry of DATABASES that writes."""
    if f"{kind}_server" in {"postgresql_server", "mariadb_server", "immudb_server"}:
        return request.getfixturevalue(f"{kind}_server")
    engine = "django.db.backends.sqlite3"
    if kind != "sqlite":
        engine = f"backendkit.backends.{kind}"
    name = f"reports-{next(_numbers)}"
    return {
        "ENGINE": engine,
        "NAME": name if kind == "memory" else str(tmp_path / name),
        "OPTIONS": {"sync": False} if kind == "lmdb" else {},
    }


@pytest.fixture
def pair(kind, entry, _unblocked):
    """Aliases ``default`` and ``reports`` of one database; what it is told."""
    with aliases(default=entry, reports=wrapped(entry)):
        statements = STATEMENTS[kind]
        try:
            for sql in (*PREPARE, *statements.prepare):
                run("default", sql)
            yield statements
        finally:
            connections["reports"].close()
            _empty("default")
