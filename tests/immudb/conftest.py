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


@pytest.fixture
def connect(arguments):
    """``connect`` for this server; what it opens is closed, and all tables dropped."""
    from backendkit.backends.immudb import driver

    opened = []

    def connect(**changes):
        opened.append(driver.connect(**{**arguments, **changes}))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
    with driver.connect(**arguments, autocommit=True) as connection:
        for (name,) in connection.query("SELECT name FROM TABLES()").rows:
            connection.run(f'DROP TABLE "{name}"')


@pytest.fixture
def connection(connect):
    """A connection where each statement is a transaction of its own."""
    return connect(autocommit=True)
