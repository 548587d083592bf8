"""Each database that the fields are tried on, with the models' tables."""

import pytest
from django.db import connection

from tests.django_setup import set_up, unblocked
from tests.nonrel.databases import Database, default, opened
from tests.servers import starting

set_up()

ENGINES = [
    pytest.param("sqlite3", marks=pytest.mark.check),
    "lmdb",
    pytest.param("immudb", marks=pytest.mark.check),
    pytest.param("postgresql", marks=pytest.mark.check),
    pytest.param("mariadb", marks=pytest.mark.check),
]

#: Kinds of values whose properties ``make test`` tries, and ``make check`` on servers.
QUICK = {"big", "decimal", "char", "datetime"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave most kinds of values, on most databases, for ``make soak``."""
    from .kinds import Kind

    for item in items:
        values = item.callspec.params if hasattr(item, "callspec") else {}
        kind = values.get("kind")
        if isinstance(kind, Kind) and kind.name not in QUICK:
            is_quick = values.get("database") == "lmdb"
            item.add_marker(pytest.mark.check if is_quick else pytest.mark.soak)


@pytest.fixture(scope="session")
def servers():
    """Return a function that starts a server, once; it is stopped after the tests."""
    with starting() as start:
        yield start


@pytest.fixture(scope="module")
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    with unblocked(request):
        yield


@pytest.fixture(scope="module", params=ENGINES)
def database(request, tmp_path_factory, servers, _unblocked):
    """The default database, with the tables of all models, for one module."""
    from .models import Person, Team

    folder = tmp_path_factory.mktemp("fields")
    if request.param in {"sqlite3", "lmdb"}:
        place = opened(request.param, folder)
    else:
        place = default(servers(request.param))
    with place:
        database = Database(request.param)
        database.create(Team, Person)
        yield database
        with connection.schema_editor() as editor:
            editor.delete_model(Person)
            editor.delete_model(Team)


@pytest.fixture
def empty(database):
    """The database, without a row when the test is over."""
    from .models import Person, Team

    yield database
    Person.objects.all().delete()
    Team.objects.all().delete()
