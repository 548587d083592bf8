"""The databases that are compared, beside whatever the project configures."""

import contextlib
import os
import shutil
import tempfile
import traceback
from contextvars import ContextVar
from pathlib import Path

from django.core.management.color import no_style
from django.db import connections
from django.db.utils import ConnectionHandler

from .compare import Raised, canonical
from .schemas import Registry
from .strangers import other_tables, processes

ORACLE = "differential_oracle"
#: With ":sql" behind it, an ENGINE answers all queries through SQL.
DEFAULT_ENGINES = ",".join(
    [
        *(
            f"backendkit.backends.{store}{path}"
            for store in ("memory", "lmdb")
            for path in ("", ":sql")
        ),
        # Changes are kept on the client until they are committed.
        "tests.stores.engine",
    ]
)

_current = ContextVar("differential_current", default=ORACLE)


def aliases():
    """The aliases to compare with the oracle, each with its ENGINE."""
    engines = os.environ.get("DIFFERENTIAL_ENGINES", DEFAULT_ENGINES).split(",")
    return {
        f"differential_{number}_{engine.rpartition('.')[2].replace(':', '_')}": engine
        for number, engine in enumerate(engines)
    }


class CurrentDatabase:
    """A router: the text of a query is the same whichever database it is for."""

    def db_for_read(self, model, **hints):
        return _current.get() if isinstance(model._meta.apps, Registry) else None

    db_for_write = db_for_read


@contextlib.contextmanager
def using(alias):
    """Send the queries in this block to ``alias``."""
    token = _current.set(alias)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def added():
    """
    Add the compared databases to ``django.db.connections`` for a while.

    Each other one has hundreds of tables before the first test makes its own.
    """
    folder = tempfile.mkdtemp(prefix="differential-")
    servers = contextlib.ExitStack()
    databases = {ORACLE: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    for alias, engine in aliases().items():
        if engine == "django.db.backends.sqlite3":
            name = ":memory:"
        else:
            # A directory for those that keep files, just a name for others.
            name = str(Path(folder, alias))
        engine, _, path = engine.partition(":")  # noqa: PLW2901  # its name, from here on
        databases[alias] = {"ENGINE": engine, "NAME": name}
        if engine == "backendkit.backends.immudb":
            databases[alias].update(_on_immudb(servers, alias))
        if path == "sql":
            databases[alias]["OPTIONS"] = {"native": False}
    complete = ConnectionHandler({"default": {}}).configure_settings(
        {"default": {}, **databases}
    )
    for alias in databases:
        connections.databases[alias] = complete[alias]
    servers.enter_context(processes())
    try:
        for alias in list(databases)[2::2]:
            other_tables(alias)
        yield tuple(databases)
    finally:
        for alias in databases:
            with contextlib.suppress(AttributeError):
                connections[alias].close()
                del connections[alias]
            del connections.databases[alias]
        servers.close()
        shutil.rmtree(folder)


def _on_immudb(servers, alias):
    """Start a server for this run; return the settings of its database."""
    from backendkit.dbdev.temporary import TemporaryServer

    return servers.enter_context(TemporaryServer("immudb", NAME=alias)).settings


def outcome(alias, action):
    """What ``action()`` answers on ``alias``, canonical; what it raises, if it does."""
    with using(alias):
        try:
            return canonical(action())
        except Exception as error:  # noqa: BLE001  # any exception is an answer
            return ("Raised", Raised(type(error), _described(error)))


def _described(error):
    """The error with the place it came from: a crash is a finding, too."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    code = frame.f_code
    return f"{error} [{code.co_filename}:{line} {code.co_name}]"


def empty(alias, built):
    """Delete all rows of a schema's tables, as ``flush`` does it."""
    connection = connections[alias]
    tables = [model._meta.db_table for model in built.all_models()]
    statements = connection.ops.sql_flush(no_style(), tables, reset_sequences=True)
    connection.ops.execute_sql_flush(statements)
