"""Each database that the fields are tried on, with the models' tables."""

import os

import django
import pytest
from django.conf import settings
from django.db import connection

from backendkit.dbdev.temporary import TemporaryServer
from tests.dbdev import engines
from tests.nonrel.databases import Database, default, opened

if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}}, USE_TZ=False
    )
django.setup()

ENGINES = [
    pytest.param("sqlite3", marks=pytest.mark.check),
    "lmdb",
    pytest.param("immudb", marks=pytest.mark.check),
    pytest.param("postgresql", marks=pytest.mark.check),
]


@pytest.fixture(scope="session")
def servers():
    """Return a function that starts a server, once; it is stopped after the tests."""
    running = {}

    def start(engine):
        if engine not in running:
            missing = getattr(engines, engine.upper()).missing()
            if missing:
                assert not os.environ.get("CI"), missing
                pytest.skip(missing)
            server = TemporaryServer(engine)
            running[engine] = server.__enter__()
        return running[engine]

    yield start
    for server in running.values():
        server.close()


@pytest.fixture(scope="module")
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    if request.config.pluginmanager.hasplugin("django"):
        with request.getfixturevalue("django_db_blocker").unblock():
            yield
    else:
        yield


@pytest.fixture(scope="module", params=ENGINES)
def database(request, tmp_path_factory, servers, _unblocked):
    """The default database, with the tables of all models, for one module."""
    from .models import Person, Team

    folder = tmp_path_factory.mktemp("fields")
    if request.param in {"sqlite3", "lmdb"}:
        place = opened(request.param, folder)
    else:
        place = default(servers(request.param).settings)
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
