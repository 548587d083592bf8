"""immudb servers for tests, started as development databases are."""

import contextlib

from backendkit.dbdev.temporary import TemporaryServer


class Server(TemporaryServer):
    """
    :param directory: what it keeps; a temporary one if not given.
    :param options: the server's own: ``{"max-sessions": 1}``.
    """

    def __init__(self, directory=None, *, password="immudb", options=None):
        super().__init__(
            "immudb",
            directory,
            NAME="defaultdb",
            PASSWORD=password,
            DBDEV={"OPTIONS": options or {}},
        )


@contextlib.contextmanager
def started(tmp_path_factory):
    """A server whose administrator has a password."""
    directory = tmp_path_factory.mktemp("immudb")
    with Server(directory, password="Pass-word 1!") as running:
        yield running


@contextlib.contextmanager
def connected(server):
    """A connection to a server, where each statement is a transaction of its own."""
    from backendkit.backends.immudb import driver

    with driver.connect(
        server.host, server.port, password=server.password, autocommit=True
    ) as connection:
        yield connection
