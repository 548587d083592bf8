"""A real immudb for each process of the tests, emptied after each test."""

import os

import pytest

from backendkit.backends.immudb.server import Server, ServerNotFound, find

if os.environ.get("CI"):
    # Elsewhere the tests are skipped without it.
    import grpc  # noqa: F401


@pytest.fixture(scope="session")
def immudb_program():
    """Where immudb is; without one, tests are skipped, but not in CI."""
    try:
        return find()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def server(immudb_program, tmp_path_factory):
    """A server that tests may restart and kill, if they start it again."""
    directory = tmp_path_factory.mktemp("immudb")
    with Server(directory, password="Pass-word 1!") as running:
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


@pytest.fixture(scope="session")
def shared(server):
    """One connection for all tests that need no other: opening one takes 80 ms."""
    from backendkit.backends.immudb import driver

    with driver.connect(
        server.host, server.port, password=server.password, autocommit=True
    ) as connection:
        yield connection


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
