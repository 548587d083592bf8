"""A real immudb for each module, emptied after each test."""

import contextlib
import os

import pytest

from backendkit.backends.immudb.server import ServerNotFound, find
from tests.django_setup import set_up

from .servers import connected, started

set_up()

if os.environ.get("CI"):
    # Elsewhere the tests are skipped without it.
    import grpc  # noqa: F401  # whether it is there


@pytest.fixture(scope="session")
def immudb_program():
    """Where immudb is; without one, tests are skipped, but not in CI."""
    try:
        return find()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server(immudb_program, tmp_path_factory):
    """
    A server that tests may restart and kill, if they start it again.

    Each module has one of its own: immudb forgets no table, and after some hundreds of
    them it takes several times as long to make another one.
    """
    with started(tmp_path_factory) as running:
        yield running


@pytest.fixture
def arguments(server):
    """What ``connect`` needs."""
    return {
        "host": server.host,
        "port": server.port,
        "database": "defaultdb",
        "user": server.user,
        "password": server.password,
    }


@pytest.fixture
def calls(monkeypatch):
    """The names of the calls to the server."""
    from backendkit.backends.immudb.driver._link import Link

    found = []
    honest = Link.call

    def call(self, method, *args, **kwargs):
        found.append(method.name)
        return honest(self, method, *args, **kwargs)

    monkeypatch.setattr(Link, "call", call)
    return found


@pytest.fixture
def asked(monkeypatch):
    """The queries for rows that the backend sends: their texts and parameters."""
    from backendkit.backends.immudb.reading import SessionReads

    found = []
    run = SessionReads.run_batches

    def run_batches(self, sql, parameters, *rest, **options):
        found.append((sql, [*parameters]))
        return run(self, sql, parameters, *rest, **options)

    monkeypatch.setattr(SessionReads, "run_batches", run_batches)
    return found


@pytest.fixture
def proxy(server):
    """A way to the server on which answers can be changed."""
    from .proxies import Proxy

    proxy = Proxy(f"{server.host}:{server.port}")
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def shared(server):
    """One connection for tests that need no other: opening one takes 80 ms."""
    with connected(server) as connection:
        yield connection


@pytest.fixture(scope="module", autouse=True)
def _lent(request):
    """
    Lend the connections of each test to the next one, in modules that ask for it.

    A server hashes a password for each that is opened, which takes longer than all else
    that most tests do. A module that says ``LENDS = True`` doesn't look at how
    connections are opened and closed.
    """
    if not getattr(request.module, "LENDS", False):
        yield
        return
    request.getfixturevalue("server")  # which runs until the connections are closed
    from backendkit.backends.immudb.store import ImmudbStore

    lent = []
    acquire = ImmudbStore.acquire

    def lend(store):
        if not store._idle:
            for place, (options, connection) in enumerate(lent):
                if options == store._options:
                    del lent[place]
                    return connection
        return acquire(store)

    def close(store):
        store._closed = True
        while store._idle:
            connection = store._idle.pop()
            # Which states were verified, each test has in a file of its own.
            if "states" in store._options:
                connection.close()
            else:
                lent.append((store._options, connection))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImmudbStore, "acquire", lend)
        patched.setattr(ImmudbStore, "close", close)
        yield
    for _, connection in lent:
        connection.close()


@pytest.fixture
def connection(shared):
    """
    A connection where each statement is a transaction of its own.

    When the test is over, all tables are dropped.
    """
    yield shared
    shared.rollback()
    for (name,) in shared.query("SELECT name FROM TABLES()").rows:
        shared.run(f'DROP TABLE "{name}"')


@pytest.fixture
def connect(arguments, connection):
    """``connect`` for this server; what it opens is closed before tables are dropped."""
    from backendkit.backends.immudb import driver

    opened = []

    def connect(**changes):
        opened.append(driver.connect(**{**arguments, **changes}))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def place(arguments):
    """``shared.forget`` wants it: a new test knows nothing of the last one."""
    from backendkit.backends.immudb import shared

    found = (arguments["host"], arguments["port"], arguments["database"])
    shared.forget(found)
    return found


@pytest.fixture
def store(arguments, connection, place):
    """A store on an empty database."""
    from backendkit.backends.immudb.store import ImmudbStore

    opened = ImmudbStore(arguments)
    yield opened
    opened.close()


@pytest.fixture
def settings_of_database(arguments):
    """An entry of DATABASES, as the seed writes it."""
    return {
        "ENGINE": "immudb_backend",
        "USER": arguments["user"],
        "PASSWORD": arguments["password"],
        "NAME": arguments["database"],
        "HOST": arguments["host"],
        "PORT": str(arguments["port"]),
    }


@pytest.fixture
def database(request, settings_of_database, connection, place):
    """Django's default database for a while: an empty one of this server."""
    from tests.nonrel.databases import Database, default

    with contextlib.ExitStack() as stack:
        if request.config.pluginmanager.hasplugin("django"):
            blocker = request.getfixturevalue("django_db_blocker")
            stack.enter_context(blocker.unblock())
        stack.enter_context(default(settings_of_database))
        yield Database("immudb")
