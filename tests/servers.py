"""Servers for tests, started as development databases are, each once."""

import contextlib
import importlib

from backendkit.dbdev.temporary import TemporaryServer

from .dbdev import engines


@contextlib.contextmanager
def starting():
    """
    Yield a function that starts a server, once, and returns an entry of DATABASES.

    The test is skipped if the server isn't there; in CI all have to be.
    """
    with contextlib.ExitStack() as stack:
        running = {}

        def start(engine, **settings):
            if engine not in running:
                engines.available(getattr(engines, engine.upper()))
                if engine == "mariadb":
                    importlib.import_module("pymysql").install_as_MySQLdb()
                server = TemporaryServer(engine, **settings)
                running[engine] = stack.enter_context(server)
            entry = running[engine].settings
            return {key: value for key, value in entry.items() if key != "DBDEV"}

        yield start
