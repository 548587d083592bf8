"""Databases to test, and other threads that use them."""

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.db.utils import ConnectionHandler

from tests.waiting import PATIENCE


def _later(name):
    return pytest.param(name, marks=pytest.mark.check)


#: ``make test`` runs on the store of key-value engines, and on one that merges what a
#: transaction has changed.
OURS = (_later("memory"), "lmdb", "buffered")
ENGINES = (*OURS, _later("sqlite3"))

#: OPTIONS of the oracle: what it takes to be a database of snapshots.
SQLITE_OPTIONS = {"init_command": "PRAGMA journal_mode=WAL"}
_numbers = itertools.count()


def settings_of(engine, folder, **options):
    """Return an entry of DATABASES for an empty database."""
    if engine == "sqlite3":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / "sqlite3.db"),
            "OPTIONS": {**SQLITE_OPTIONS, **options},
        }
    if engine == "lmdb":
        # No test waits for a disk.
        options = {"sync": False, **options}
        name = str(folder / "lmdb.db")
    else:
        name = f"nonrel-{next(_numbers)}"
    path = "tests.stores.engine" if engine == "buffered" else None
    return {
        "ENGINE": path or f"backendkit.backends.{engine}",
        "NAME": name,
        "OPTIONS": options,
    }


def complete(settings):
    """Return an entry of DATABASES with what Django adds to it."""
    return ConnectionHandler({}).configure_settings({"default": settings})["default"]


class Database:
    """The default database during a test."""

    def __init__(self, engine):
        self.engine = engine

    @property
    def is_oracle(self):
        """Whether it is Django's own backend."""
        return self.engine == "sqlite3"

    def set_options(self, **options):
        """Open it with other OPTIONS from now on, in all threads to come."""
        empty = not self.tables()
        connection.close()
        if empty and self.engine == "memory":
            # A store of this name would keep the options of its first connection.
            from backendkit.backends.memory.store import MemoryStore

            MemoryStore.drop(connection.settings_dict["NAME"])
        connections.databases["default"]["OPTIONS"].update(options)

    def create(self, *models):
        """Create the tables of models."""
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)

    def tables(self):
        """Return the names of the tables."""
        return sorted(connection.introspection.table_names())

    def everything(self):
        """Return all rows of all tables, and how these are declared."""
        result = {}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, sql FROM sqlite_master"
                " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name"
            )
            result["schema"] = cursor.fetchall()
            for name in self.tables():
                quoted = connection.ops.quote_name(name)
                cursor.execute(f"SELECT * FROM {quoted}")
                result[name] = sorted(cursor.fetchall(), key=repr)
        return result


def run(sql, params=None):
    """Execute a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def opened(engine, folder, **options):
    """Make an empty database the default one for a while."""
    with default(settings_of(engine, folder, **options)):
        yield Database(engine)
    if engine != "lmdb":
        from backendkit.backends.memory.store import MemoryStore

        MemoryStore._named.clear()


@contextlib.contextmanager
def default(settings):
    """Let settings be those of the default database for a while."""
    before = connections.databases["default"]
    wrapper = getattr(connections._connections, "default", None)
    connections.databases["default"] = complete(settings)
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        while connection.in_atomic_block:  # a test failed within
            connection.in_atomic_block = False
        connection.close()
        connections.databases["default"] = before
        if wrapper is None:
            del connections["default"]
        else:
            connections["default"] = wrapper


class OtherThread:
    """A thread with a connection of its own, which does one thing after the other."""

    def __enter__(self):
        self._executor = ThreadPoolExecutor(1)
        return self

    def __exit__(self, *_):
        self.do(forget_connection)
        self._executor.shutdown()

    def start(self, work, *args):
        """Let the thread begin to do something; return a future."""
        return self._executor.submit(work, *args)

    def do(self, work, *args):
        """Let the thread do something; return what it returns, raise what it raises."""
        return self.start(work, *args).result(timeout=PATIENCE)


def forget_connection():
    """Close this thread's connection; the next use makes another one."""
    if connection.in_atomic_block:
        connection.in_atomic_block = False
    connection.close()
    with contextlib.suppress(AttributeError):
        del connections["default"]
