"""Each kind of database, empty, with an alias that writes and one that reads."""

import itertools

import pytest
from django.db import connections

from tests.django_setup import set_up, unblocked
from tests.servers import starting

from .databases import PREPARE, STATEMENTS, aliases, run, wrapped

set_up()

_numbers = itertools.count()


@pytest.fixture(scope="session")
def servers():
    """Return a function that starts a server, once, and returns its settings."""
    with starting() as start:
        yield start


#: What a server is started with, by its kind.
SERVERS = {
    "postgresql": {
        "USER": "postgres",
        "PASSWORD": "",
        "DBDEV": {"OPTIONS": {"fsync": "off"}},
    },
    "mariadb": {},
    "immudb": {"NAME": "defaultdb", "PASSWORD": "immudb"},
}


@pytest.fixture(autouse=True)
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    with unblocked(request):
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
def entry(kind, servers, tmp_path):
    """An entry of DATABASES that writes."""
    if kind in SERVERS:
        return servers(kind, **SERVERS[kind])
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
