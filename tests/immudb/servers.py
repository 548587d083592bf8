"""immudb servers for tests, started as development databases are."""

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
